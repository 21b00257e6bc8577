//! Who we are on the network: the core's Ed25519 key as libp2p's.

use libp2p::PeerId;
use libp2p::identity;
use mesh_proto::{Keypair, NodeId};

/// A node's identity: its key in the mesh's and in libp2p's form.
#[derive(Clone, Debug)]
pub struct Identity {
    mesh: Keypair,
    libp2p: identity::Keypair,
}

impl Identity {
    /// The identity of a 32-byte Ed25519 seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let libp2p = identity::Keypair::ed25519_from_bytes(seed).expect("any 32 bytes are an Ed25519 seed");
        Self { mesh: Keypair::from_seed(&seed), libp2p }
    }

    /// A new identity.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self::from_seed(entropy()?))
    }

    /// The seed, for keeping. Whoever has it is this node.
    pub fn seed(&self) -> [u8; 32] {
        self.mesh.seed()
    }

    /// This node's id in the mesh.
    pub fn node(&self) -> NodeId {
        self.mesh.node()
    }

    /// This node's id on the network.
    pub fn peer_id(&self) -> PeerId {
        self.libp2p.public().to_peer_id()
    }

    /// The key in libp2p's form.
    pub fn libp2p(&self) -> &identity::Keypair {
        &self.libp2p
    }

    /// The key in the mesh's form.
    pub fn mesh(&self) -> &Keypair {
        &self.mesh
    }
}

/// 32 random bytes of the system's.
pub(crate) fn entropy() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The peer id of `node`. Keys that are no curve point have none.
pub fn peer_of(node: &NodeId) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// The node of `peer`. Peers whose id is not an inlined Ed25519 key have none.
pub fn node_of(peer: &PeerId) -> Option<NodeId> {
    const IDENTITY_HASH: u64 = 0;
    let multihash: &libp2p::multihash::Multihash<64> = peer.as_ref();
    if multihash.code() != IDENTITY_HASH {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(multihash.digest()).ok()?;
    key.try_into_ed25519().ok().map(|key| NodeId(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_convert_both_ways() {
        for n in 0..64 {
            let identity = Identity::from_seed([n; 32]);
            assert_eq!(peer_of(&identity.node()), Some(identity.peer_id()));
            assert_eq!(node_of(&identity.peer_id()), Some(identity.node()));
        }
    }

    #[test]
    fn peers_without_an_inlined_ed25519_key_have_no_node() {
        assert_eq!(node_of(&PeerId::random()), None);
    }
}
