//! Nodes as peer ids, and back.

use mesh_net::{PeerId, node_of, peer_of};
use mesh_proto::NodeId;

use crate::convert::brief;
use crate::error::MeshFault;

/// The node of a peer id.
pub(crate) fn node(peer: &str) -> Result<NodeId, MeshFault> {
    let id: PeerId = peer.parse().map_err(|_| MeshFault::invalid(format!("'{}' is not a peer id", brief(peer))))?;
    node_of(&id).ok_or_else(|| MeshFault::invalid(format!("{id} is not the id of an Ed25519 key")))
}

/// A peer id as text.
pub(crate) fn peer_text(node: &NodeId) -> String {
    match peer_of(node) {
        Some(peer) => peer.to_string(),
        // No key that ever signed anything is without a peer id.
        None => node.to_string(),
    }
}
