//! Where a node keeps what it must not forget: whoever starts it brings one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use mesh_core::access;
use mesh_core::node::{Input, Ticket};
use mesh_core::proposals::{Founding, RestoreError, charter_in};
use mesh_core::records::Change;
use mesh_proto::credential::{Chain, CredentialError, Invite, Pass, Serial};
use mesh_webrtc::rtc::Rtc;

use crate::config::{Config, Role};
use crate::identity::entropy;
use crate::redeem::{RedeemError, redeem};

/// Records by key. It belongs to one node at a time.
pub trait Store: fmt::Debug + Send + Sync {
    /// Everything that is kept.
    fn load(&self) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, StoreError>>;

    /// Makes these changes. They must be safe from a crash when this ends; if there is one before, each is made or not, and
    /// none before those that it follows.
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// What a store says when it fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed: {0}")]
pub struct StoreError(pub String);

/// Why a node cannot begin with a charter.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds is of no use.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// This node is not let in.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// An invite lets nobody in.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(#[from] getrandom::Error),
}

/// Everything that is kept.
pub(crate) async fn load(config: &Config) -> Result<Vec<(String, Bytes)>, FoundingError> {
    Ok(match &config.store {
        Some(store) => store.load().await?,
        None => Vec::new(),
    })
}

/// The entries of knowledge, if they are kept apart.
pub(crate) async fn load_entries(config: &Config) -> Result<Vec<(String, Bytes)>, FoundingError> {
    match &config.entries {
        Some(entries) => Ok(entries.load().await?),
        None => Ok(Vec::new()),
    }
}

/// What a node begins with, if its mesh has a charter. Who comes with an invite redeems it first; a store that knows it needs no
/// more of it. Without a store it has no vote.
pub(crate) async fn found<R: Rtc>(
    config: &Config,
    entries: Vec<(String, Bytes)>,
    rtc: Option<R>,
) -> Result<Option<Founding>, FoundingError> {
    let (pass, redeemed) = match &config.invite {
        Some(invite) => admission(config, invite, &entries, rtc).await?,
        None => (config.charter.clone().map(|charter| Pass { charter, chain: config.credentials.clone() }), None),
    };
    let Some(Pass { charter, chain }) = pass else { return Ok(None) };
    let node = config.identity.node();
    let unix_s = mesh_platform::now().unix / 1_000;
    let Some(store) = &config.store else {
        let mut founding = Founding::new(&charter).map_err(RestoreError::from)?;
        let _ = founding.admit(chain);
        founding.standing(&node, unix_s)?;
        return Ok(Some(founding));
    };
    let (mut founding, mut changes) = Founding::restore(&charter, node, entries, entropy()?)?;
    changes.extend(founding.admit(chain));
    changes.extend(redeemed.map(access::Kept::redeemed));
    if !changes.is_empty() {
        store.write(changes).await?;
    }
    founding.standing(&node, unix_s)?;
    Ok(Some(match config.role {
        Role::Leaf => founding,
        Role::Hub => founding.without_vote(),
    }))
}

/// What somebody with an invite comes in with, and the number of the invite if it was redeemed now.
async fn admission<R: Rtc>(
    config: &Config,
    invite: &Invite,
    entries: &[(String, Bytes)],
    rtc: Option<R>,
) -> Result<(Option<Pass>, Option<Serial>), FoundingError> {
    let invitation = &invite.invitation.invitation;
    let known = charter_in(entries).map_err(RestoreError::from)?;
    let known = known.filter(|charter| charter.mesh().is_ok_and(|mesh| mesh == invitation.mesh));
    let kept = |charter| Some(Pass { charter, chain: Chain::default() });
    if access::invite_in(entries).map_err(RestoreError::from)? == Some(invitation.serial) && known.is_some() {
        return Ok((known.and_then(kept), None));
    }
    match redeem(config, invite, rtc).await {
        Ok(pass) => Ok((Some(pass), Some(invitation.serial))),
        // It has come in by another one before.
        Err(error) if known.is_some() => {
            tracing::info!(%error, "the invite is not used: this node is a member already");
            Ok((known.and_then(kept), None))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the changes and tells the core when they are safe. Whom a node without a store has let in is forgotten with it.
pub(crate) async fn keep(store: Option<Arc<dyn Store>>, ticket: Ticket, changes: Vec<Change>) -> Input {
    let durable = match store {
        Some(store) if !changes.is_empty() => {
            store.write(changes).await.inspect_err(|error| tracing::error!(%error)).is_ok()
        }
        Some(_) => true,
        None => matches!(ticket, Ticket::Access(_)),
    };
    Input::Kept { ticket, durable }
}

/// Makes changes of what is known. Without a store it is forgotten with the node, and that is as durable as it gets.
pub(crate) async fn keep_entries(store: Option<Arc<dyn Store>>, changes: Vec<Change>) -> bool {
    match store {
        Some(store) if !changes.is_empty() => {
            store.write(changes).await.inspect_err(|error| tracing::error!(%error)).is_ok()
        }
        Some(_) | None => true,
    }
}
