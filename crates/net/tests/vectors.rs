//! The ids in `tests/vectors/ids.json`, which are made without libp2p, are libp2p's.

use mesh_net::{Identity, PeerId, node_of, peer_of};
use mesh_proto::Keypair;
use serde_json::Value;

#[test]
fn peer_ids_are_those_of_libp2p() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/ids.json");
    let ids: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
    let nodes = ids["nodes"].as_array().expect("nodes");
    assert!(!nodes.is_empty());
    for vector in nodes {
        let text = |field: &str| vector[field].as_str().expect("a text").to_owned();
        let seed = seed(&text("seed"));
        let peer: PeerId = text("peerId").parse().expect("a peer id");
        assert_eq!(Identity::from_seed(seed).peer_id(), peer);
        let node = Keypair::from_seed(&seed).node();
        assert_eq!(node.to_string(), text("node"));
        assert_eq!(peer_of(&node), Some(peer));
        assert_eq!(node_of(&peer), Some(node));
    }
}

fn seed(hex: &str) -> [u8; 32] {
    std::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex"))
}
