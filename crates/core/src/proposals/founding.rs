//! What a chartered mesh begins with at a node, and what of it stands in the store.
//!
//! The store holds records by key, each with a checksum before it: `mesh` and `node`, whose it all is; `voting-key`;
//! `epoch/7`, records of electorates; `slot/…`, what was said in a slot; `floors`. A record that was damaged is no reason to
//! go on without it, for it may be the one that says what we have voted.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_consensus::certificate::{Chain, VerifyError};
use mesh_consensus::council::{Floors, Output};
use mesh_consensus::instance::{MAX_SAVED, Saved};
use mesh_proto::charter::{Charter, SignedEpoch};
use mesh_proto::codec::{self, Bounded};
use mesh_proto::limits::MAX_CHARTER;
use mesh_proto::{Keypair, MeshId, NodeId, Strict, transfer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: String,
    /// What it is now; nothing if it is gone.
    pub value: Option<Bytes>,
}

/// Why what was kept is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record is not what was kept.
    #[error("the record '{0}' in the store is damaged, so nobody knows what this node has voted. Give it a new store")]
    Damaged(String),
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

const MESH: &str = "mesh";
const NODE: &str = "node";
const VOTING_KEY: &str = "voting-key";
const FLOORS: &str = "floors";
const EPOCH: &str = "epoch/";
const SLOT: &str = "slot/";
/// Bytes of the checksum.
const SUM: usize = 32;
/// Largest encoding of floors: a hundred of them.
const MAX_FLOORS: usize = 4 * 1024;

/// A chartered mesh, as one of its nodes begins with it.
#[derive(Clone, Debug)]
pub struct Founding {
    pub(super) chain: Chain,
    pub(super) voting: Option<Keypair>,
    pub(super) saved: Vec<Saved>,
    pub(super) floors: Floors,
}

impl Founding {
    /// Nothing is kept: this node has no vote.
    ///
    /// # Errors
    /// [`VerifyError`] when it is no charter.
    pub fn new(charter: &Charter) -> Result<Self, VerifyError> {
        Ok(Self { chain: Chain::new(charter)?, voting: None, saved: Vec::new(), floors: Floors::default() })
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
        let mut entries: BTreeMap<_, _> = entries.into_iter().collect();
        let mut changes = Vec::new();
        match entries.remove(MESH).map(|value| seal_of(MESH, &value).map(MeshId)).transpose()? {
            Some(of) if of != mesh => return Err(RestoreError::OtherMesh(of)),
            Some(_) => {}
            None => changes.push(put(MESH.to_owned(), &mesh.0)),
        }
        match entries.remove(NODE).map(|value| seal_of(NODE, &value).map(NodeId)).transpose()? {
            Some(of) if of != node => return Err(RestoreError::OtherNode(of)),
            Some(_) => {}
            None => changes.push(put(NODE.to_owned(), &node.0)),
        }
        let seed = match entries.remove(VOTING_KEY) {
            Some(value) => seal_of(VOTING_KEY, &value)?,
            None if entries.is_empty() => {
                changes.push(put(VOTING_KEY.to_owned(), &seed));
                seed
            }
            None => return Err(RestoreError::Damaged(VOTING_KEY.to_owned())),
        };
        founding.voting = Some(Keypair::from_seed(&seed));
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
                return Err(RestoreError::Damaged(key.clone()));
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

fn write<T: Serialize>(key: String, value: &T, max: usize) -> Change {
    let bytes = codec::encode(value, max);
    // Everything in it is within its own bounds.
    debug_assert!(bytes.is_ok(), "{key} does not fit: {bytes:?}");
    put(key, &bytes.unwrap_or_default())
}

fn put(key: String, value: &[u8]) -> Change {
    let mut sealed = sum(&key, value).to_vec();
    sealed.extend_from_slice(value);
    Change { key, value: Some(sealed.into()) }
}

fn read<T: DeserializeOwned + Bounded>(key: &str, sealed: &[u8], max: usize) -> Result<T, RestoreError> {
    codec::decode(open(key, sealed)?, max).map_err(|_| RestoreError::Damaged(key.to_owned()))
}

fn seal_of(key: &str, sealed: &[u8]) -> Result<[u8; 32], RestoreError> {
    open(key, sealed)?.try_into().map_err(|_| RestoreError::Damaged(key.to_owned()))
}

fn open<'a>(key: &str, sealed: &'a [u8]) -> Result<&'a [u8], RestoreError> {
    match sealed.split_at_checked(SUM) {
        Some((checksum, value)) if checksum == sum(key, value) => Ok(value),
        Some(_) | None => Err(RestoreError::Damaged(key.to_owned())),
    }
}

/// Over the key as well: a record in another's place is damage too.
fn sum(key: &str, value: &[u8]) -> [u8; SUM] {
    transfer::hash(&[key.as_bytes(), &[0], value].concat()).0
}
