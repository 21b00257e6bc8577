//! Which mesh this relay is a member of, and what lets it in.
//!
//! In an open mesh, its name or charter. Into a private one lets it the key of a founder, credentials that its store has, or
//! an invite, which is redeemed once: what it gives is in the store from then on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_net::{FoundingError, Handle, Identity, Multiaddr, RedeemError, StartError};
use mesh_proto::charter::Charter;
use mesh_proto::credential::{CredentialError, Invite, Role};
use mesh_proto::{EncodeError, MeshId, NameError, NodeId};

use crate::charter::{self, CharterFileError, Founded};
use crate::config::Config;
use crate::link::{self, LinkError};
use crate::store::{self, FileStore, StoreFileError};
use crate::{addresses, key, operator};

/// What the first invite of a new mesh allows: whoever takes it can go on without the relay's operator.
const FIRST: (Role, u32) = (Role::Member, 20);
/// Seconds that it can be used.
const FIRST_S: u64 = 7 * 24 * 3600;

/// Why this relay is no member of its mesh: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembershipError {
    #[error(transparent)]
    Charter(#[from] CharterFileError),
    #[error(transparent)]
    Store(#[from] StoreFileError),
    #[error("the invite: {0}")]
    Link(#[from] LinkError),
    #[error("the charter: {0}")]
    LongCharter(#[from] EncodeError),
    #[error("the mesh's name: {0}")]
    Name(#[from] NameError),
    #[error("the store {}: {source}", path.display())]
    Kept { path: PathBuf, source: Box<FoundingError> },
    #[error("{0}")]
    Redeem(RedeemError),
    #[error(
        "the mesh {mesh:?} is private, and this relay is no member ({why}): its key is no founder's, and the store {} has no \
         credential that is valid. Ask a founder for an invite, and start with --invite LINK, without --charter",
        store.display()
    )]
    NoMember { mesh: String, store: PathBuf, why: CredentialError },
    #[error("no invite can be issued: {0}")]
    Invite(#[from] mesh_core::access::Error),
    #[error(transparent)]
    Closed(#[from] mesh_net::Closed),
}

/// What lets this relay in.
pub(crate) enum Membership {
    /// Anybody is.
    Open,
    /// By the charter in the configured file.
    Chartered(Charter),
    /// By the charter that it has made.
    Founded(Founded),
    /// By an invite.
    Invited(Box<Invite>),
}

/// What a relay is in a private mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Private {
    pub(crate) mesh: MeshId,
    /// Whether it is a founder, else a member.
    pub(crate) founder: bool,
}

impl Membership {
    /// As it is configured, by the node of this relay's key.
    pub(crate) fn find(config: &Config, node: NodeId) -> Result<Self, MembershipError> {
        if config.found {
            return Ok(Self::Founded(charter::found(&config.charter, &config.mesh, node)?));
        }
        if !config.invite.is_empty() {
            return Ok(Self::Invited(Box::new(link::read(&config.invite)?)));
        }
        let membership = charter::load(&config.charter)?.map_or(Self::Open, Self::Chartered);
        if !membership.is_private() && config.store.exists() {
            tracing::warn!(
                store = %config.store.display(),
                "this relay serves an open mesh, and there is the store of a private one: was --found or --invite forgotten?"
            );
        }
        Ok(membership)
    }

    /// What the mesh is called, if something else than the configuration says it.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Chartered(charter) | Self::Founded(Founded { charter, .. }) => Some(&charter.name),
            Self::Invited(invite) => Some(&invite.name),
        }
    }

    /// Whether only those come in who were let in.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Chartered(charter) => !charter.open,
            Self::Founded(_) | Self::Invited(_) => true,
        }
    }

    /// Whether the mesh was founded just now.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::Founded(Founded { created: true, .. }))
    }

    /// The charter by which anybody can come in.
    pub(crate) fn open_charter(&self) -> Option<&Charter> {
        match self {
            Self::Chartered(charter) if charter.open => Some(charter),
            Self::Open | Self::Chartered(_) | Self::Founded(_) | Self::Invited(_) => None,
        }
    }

    /// The file of the charter, or nothing.
    pub(crate) fn file(&self, config: &Config) -> PathBuf {
        match self {
            Self::Founded(founded) => founded.path.clone(),
            Self::Open | Self::Chartered(_) | Self::Invited(_) => config.charter.clone(),
        }
    }

    /// The node that becomes a member by it.
    pub(crate) fn node(self, config: &Config, identity: Identity) -> Result<mesh_net::Config, MembershipError> {
        let store = self.is_private().then(|| FileStore::open(&config.store)).transpose()?;
        let mut node = match self {
            Self::Open => mesh_net::Config::new(identity, &config.mesh)?,
            Self::Chartered(charter) | Self::Founded(Founded { charter, .. }) => {
                mesh_net::Config::chartered(identity, charter)?
            }
            Self::Invited(invite) => mesh_net::Config::invited(identity, *invite),
        };
        if let Some(store) = store {
            node.store = Some(Arc::new(store));
        }
        Ok(node)
    }
}

/// Whether what is configured could let this relay in. Creates nothing.
pub(crate) fn check(config: &Config, seed: Option<[u8; key::SEED]>) -> Result<(), MembershipError> {
    let node = seed.map(|seed| Identity::from_seed(seed).node());
    let is_private = if config.found {
        charter::check(&config.charter, &config.mesh, node)?;
        true
    } else {
        // Which node it is says something about a founder alone.
        Membership::find(config, NodeId([0; 32]))?.is_private()
    };
    if is_private {
        store::check(&config.store)?;
    }
    Ok(())
}

/// What kept a node from starting, in the words of a relay.
pub(crate) fn why(error: StartError, config: &Config) -> Result<MembershipError, StartError> {
    match error {
        StartError::Founding(FoundingError::Credential(why)) => Ok(no_member(config, why)),
        StartError::Founding(FoundingError::Redeem(error)) => Ok(MembershipError::Redeem(error)),
        StartError::Founding(source @ (FoundingError::Restore(_) | FoundingError::Store(_))) => {
            Ok(MembershipError::Kept { path: config.store.clone(), source: Box::new(source) })
        }
        StartError::Founding(FoundingError::Entropy(_))
        | StartError::Entropy(_)
        | StartError::Blocks(_)
        | StartError::Transport(_)
        | StartError::Listen { .. }
        | StartError::NoPeerId(_) => Err(error),
    }
}

/// What this relay is in its private mesh, now that it runs.
pub(crate) async fn enter(handle: &Handle, config: &Config) -> Result<Private, MembershipError> {
    let membership = handle.membership().await?;
    if membership.standing.is_none() {
        // It has started with credentials, so what it has kept says that they were taken back.
        return Err(no_member(config, CredentialError::Revoked));
    }
    Ok(Private { mesh: handle.mesh(), founder: membership.founder })
}

fn no_member(config: &Config, why: CredentialError) -> MembershipError {
    MembershipError::NoMember { mesh: config.mesh.clone(), store: config.store.clone(), why }
}

/// The first invite to a new mesh, as a link.
pub(crate) async fn first_invite(
    handle: &Handle,
    ui: Option<SocketAddr>,
    addresses: &[Multiaddr],
) -> Result<String, MembershipError> {
    let invite = handle.invite(addresses::for_invites(addresses), FIRST, FIRST_S).await??;
    Ok(link::write(&operator::base(ui), &invite)?)
}
