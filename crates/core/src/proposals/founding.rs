//! What a chartered mesh begins with at a node, and what of it stands in the store.
//!
//! The records are `charter`, `mesh` and `node`, whose it all is; `voting-key`; `epoch/7`, records of electorates; `slot/…`, what
//! was said in a slot; `floors`; and those of [`access`](crate::access).

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_consensus::certificate::{Chain, VerifyError};
use mesh_consensus::council::{Floors, Output};
use mesh_consensus::instance::{MAX_SAVED, Saved};
use mesh_proto::charter::{Charter, SignedEpoch};
use mesh_proto::credential::{self, CredentialError, Standing};
use mesh_proto::limits::MAX_CHARTER;
use mesh_proto::{Keypair, MeshId, NodeId, Strict, ordered};

use crate::access;
use crate::records::{Change, Damaged, bytes32, put, read, write};

/// Why what was kept is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record is not what was kept.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The store is another mesh's.
    #[error("the store is that of another mesh, {0}. Give this one a store of its own")]
    OtherMesh(MeshId),
    /// The store is another node's: two nodes with one voting key would be one voter.
    #[error("the store is that of another node, {0}. Give this one a store of its own")]
    OtherNode(NodeId),
    /// The charter is none, or a later electorate does not follow it.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

const CHARTER: &str = "charter";
const MESH: &str = "mesh";
const NODE: &str = "node";
const VOTING_KEY: &str = "voting-key";
const FLOORS: &str = "floors";
const EPOCH: &str = "epoch/";
const SLOT: &str = "slot/";
/// Largest encoding of floors: a hundred of them.
const MAX_FLOORS: usize = 4 * 1024;

/// A chartered mesh, as one of its nodes begins with it.
#[derive(Clone, Debug)]
pub struct Founding {
    pub(super) chain: Chain,
    pub(super) voting: Option<Keypair>,
    pub(super) saved: Vec<Saved>,
    pub(super) floors: Floors,
    pub(crate) access: access::Kept,
}

/// The charter that a store was made for, if it says.
///
/// # Errors
/// [`Damaged`]
pub fn charter_in(entries: &[(String, Bytes)]) -> Result<Option<Charter>, Damaged> {
    let entry = entries.iter().find(|(key, _)| key == CHARTER);
    entry.map(|(key, value)| read(key, value, MAX_CHARTER)).transpose()
}

impl Founding {
    /// Nothing is kept: this node has no vote.
    ///
    /// # Errors
    /// [`VerifyError`] when it is no charter.
    pub fn new(charter: &Charter) -> Result<Self, VerifyError> {
        Ok(Self {
            chain: Chain::new(charter)?,
            voting: None,
            saved: Vec::new(),
            floors: Floors::default(),
            access: access::Kept::default(),
        })
    }

    /// With these credentials to show, unless better ones were kept. The change has to be made before anything else.
    pub fn admit(&mut self, credentials: credential::Chain) -> Option<Change> {
        self.access.admit(credentials, self.chain.charter())
    }

    /// What `node` is with these credentials, as far as they say.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn standing(&self, node: &NodeId, unix_s: u64) -> Result<Standing, CredentialError> {
        self.access.credentials().standing(self.charter(), &self.mesh(), node, unix_s, |_| false, &Strict)
    }

    /// Who gives `node` its next credential: who has issued the one it has, and the founders.
    pub fn issuers(&self, node: &NodeId) -> Vec<NodeId> {
        let issuer = self.access.credentials().0.first().map(|signed| signed.credential.serial.issuer);
        let all = issuer.into_iter().chain(self.charter().founders.iter().copied());
        all.filter(|issuer| issuer != node).collect()
    }

    /// A node that never votes, such as a relay.
    #[must_use]
    pub fn without_vote(self) -> Self {
        Self { voting: None, ..self }
    }

    /// What the mesh is founded on.
    pub fn charter(&self) -> &Charter {
        self.chain.charter()
    }

    /// The mesh that it is.
    pub fn mesh(&self) -> MeshId {
        self.chain.mesh()
    }

    /// Goes on with what was kept. In a new store `seed` becomes the voting key, and the changes have to be made before
    /// anything else: a key that is forgotten must not be announced.
    ///
    /// # Errors
    /// [`RestoreError`]
    pub fn restore(
        charter: &Charter,
        node: NodeId,
        entries: impl IntoIterator<Item = (String, Bytes)>,
        seed: [u8; 32],
    ) -> Result<(Self, Vec<Change>), RestoreError> {
        let mut founding = Self::new(charter)?;
        let mesh = founding.chain.mesh();
        let mut entries: BTreeMap<_, _> = ordered(entries);
        let mut changes = Vec::new();
        match entries.remove(MESH).map(|value| bytes32(MESH, &value).map(MeshId)).transpose()? {
            Some(of) if of != mesh => return Err(RestoreError::OtherMesh(of)),
            Some(_) => {}
            None => changes.push(put(MESH.to_owned(), &mesh.0)),
        }
        match entries.remove(NODE).map(|value| bytes32(NODE, &value).map(NodeId)).transpose()? {
            Some(of) if of != node => return Err(RestoreError::OtherNode(of)),
            Some(_) => {}
            None => changes.push(put(NODE.to_owned(), &node.0)),
        }
        let kept = entries.remove(CHARTER).map(|value| read::<Charter>(CHARTER, &value, MAX_CHARTER)).transpose()?;
        founding.access = access::Kept::restore(&mut entries)?;
        let seed = match entries.remove(VOTING_KEY) {
            Some(value) => bytes32(VOTING_KEY, &value)?,
            None if entries.is_empty() => {
                changes.push(put(VOTING_KEY.to_owned(), &seed));
                seed
            }
            None => return Err(Damaged(VOTING_KEY.to_owned()).into()),
        };
        founding.voting = Some(Keypair::from_seed(&seed));
        if kept.is_none() {
            changes.push(write(CHARTER.to_owned(), charter, MAX_CHARTER));
        }
        if let Some(value) = entries.remove(FLOORS) {
            founding.floors = read(FLOORS, &value, MAX_FLOORS)?;
        }
        let mut epochs = Vec::new();
        for (key, value) in &entries {
            if key.starts_with(EPOCH) {
                epochs.push(read::<SignedEpoch>(key, value, MAX_CHARTER)?);
            } else if key.starts_with(SLOT) {
                founding.saved.push(read(key, value, MAX_SAVED)?);
            } else {
                return Err(Damaged(key.clone()).into());
            }
        }
        epochs.sort_by_key(|epoch| epoch.record.epoch);
        for epoch in &epochs {
            founding.chain.extend(epoch, &Strict)?;
        }
        for saved in &founding.saved {
            founding.chain.electorate(saved.slot.epoch)?;
        }
        Ok((founding, changes))
    }
}

/// What an output of the council changes in the store.
pub(super) fn change(output: &Output) -> Option<Vec<Change>> {
    match output {
        Output::Persist(saved) => Some(vec![write(format!("{SLOT}{}", saved.slot.id().ok()?), &**saved, MAX_SAVED)]),
        Output::Epoch(epoch) => Some(vec![write(format!("{EPOCH}{}", epoch.record.epoch), &**epoch, MAX_CHARTER)]),
        Output::Forget(slot, floors) => Some(vec![
            // In this order: what is forgotten must be covered.
            write(FLOORS.to_owned(), floors, MAX_FLOORS),
            Change { key: format!("{SLOT}{slot}"), value: None },
        ]),
        Output::Say(_)
        | Output::Tell(..)
        | Output::Proposed(..)
        | Output::Voted(..)
        | Output::Guilty(..)
        | Output::Decided(..) => None,
    }
}
