//! What the tests of knowledge begin with.

use cid::Cid;
use cid::multihash::Multihash;
use mesh_proto::knowledge::{Change, Content, Domain, Entry, Signed, Version};
use mesh_proto::limits::{MAX_ENVELOPE, TTL_MS};
use mesh_proto::{Envelope, Hlc, Keypair, Kind, MeshId, NodeId, codec};

/// When the tests begin, unix milliseconds.
pub(crate) const START: u64 = 1_700_000_000_000;

/// The CID of a leaf whose hash begins with `n`.
pub(crate) fn cid(n: u32) -> Cid {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
}

/// A node whose id begins with `n`.
pub(crate) fn node(n: u32) -> NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    NodeId(id)
}

/// Somebody who signs.
pub(crate) fn author(n: u32) -> Keypair {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    Keypair::from_seed(&seed)
}

/// The shared domain of the tests.
pub(crate) fn notes() -> Domain {
    Domain::shared("notes")
}

/// Content of 100 bytes for three nodes.
pub(crate) fn content(n: u32) -> Change {
    let (size, kind) = (100, String::new());
    Change::Put(Content { cid: cid(n), size, replicas: 3, kind, metadata: None })
}

/// An entry in [`notes`] that replaces nothing and does not end.
pub(crate) fn entry(key: &str, change: Change) -> Entry {
    Entry { domain: notes(), key: key.into(), change, replaces: vec![], expires: None }
}

pub(crate) fn replacing(replaces: impl Into<Vec<Version>>, entry: Entry) -> Entry {
    let mut replaces = replaces.into();
    replaces.sort_unstable();
    Entry { replaces, ..entry }
}

/// As its author signs it at a time, unix milliseconds.
pub(crate) fn sign(by: &Keypair, unix: u64, entry: &Entry) -> Signed {
    let clock = Hlc::at(unix);
    let envelope = Envelope {
        v: mesh_proto::envelope::VERSION,
        mesh: MeshId([7; 32]),
        kind: Kind::KnowledgeShare,
        from: by.node(),
        seq: clock.0,
        clock,
        ttl: TTL_MS,
        payload: codec::encode(entry, MAX_ENVELOPE).unwrap().into(),
    };
    Signed::read(envelope.sign(by).unwrap()).unwrap()
}

pub(crate) mod net;
