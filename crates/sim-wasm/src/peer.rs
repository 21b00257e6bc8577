//! Nodes as peer ids, and back, without libp2p: a peer id of an Ed25519 key is that key, as a protobuf, in an identity
//! multihash, in base58btc (libp2p's specification of peer ids). `tests/vectors/ids.json` has some.

use mesh_proto::NodeId;

use crate::convert::brief;
use crate::error::MeshFault;

/// Identity hash of 36 bytes; a protobuf of key type 1 (Ed25519) and a key of 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The node of a peer id.
pub(crate) fn node(peer: &str) -> Result<NodeId, MeshFault> {
    let mut bytes = [0; PREFIX.len() + 32];
    let len = bs58::decode(peer).onto(&mut bytes).unwrap_or(0);
    match (len == bytes.len(), bytes.split_first_chunk()) {
        (true, Some((&PREFIX, key))) => match key.try_into() {
            Ok(key) => Ok(NodeId(key)),
            Err(_) => Err(no_peer(peer)),
        },
        _ => Err(no_peer(peer)),
    }
}

/// A peer id as text.
pub(crate) fn peer_text(node: &NodeId) -> String {
    bs58::encode([&PREFIX[..], &node.0].concat()).into_string()
}

fn no_peer(text: &str) -> MeshFault {
    MeshFault::invalid(format!("'{}' is not a peer id", brief(text)))
}
