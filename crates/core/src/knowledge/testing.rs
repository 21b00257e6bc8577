//! What the tests of knowledge begin with.

use cid::Cid;
use cid::multihash::Multihash;
use mesh_proto::NodeId;

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
