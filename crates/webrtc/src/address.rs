//! `/webrtc` addresses: taken apart, told from others, and made from the addresses of circuits.
//!
//! | address | what it says |
//! |---|---|
//! | `<relay>/p2p/R/p2p-circuit/webrtc/p2p/T` | signal to T through R, then connect directly |
//! | `/webrtc/p2p/T` | signal to T over the relayed connection that is there |
//! | `<relay>/p2p/R/p2p-circuit/p2p/T` | a relayed connection, not ours |
//!
//! A connection that was dialled at the first kind has `/p2p-circuit` in its address and is direct all the same:
//! [`is_direct_webrtc`] and [`is_relayed`] know, libp2p's `ConnectedPoint::is_relayed` does not.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// Whom a `/webrtc` address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The peer at its end.
    pub peer: PeerId,
    /// Where a relayed connection to the peer can be had: the address without its `webrtc`. `None` when the address
    /// counts on one that is there.
    pub relayed: Option<Multiaddr>,
}

/// Takes a `/webrtc` address apart. `None` when it is not one, or names no peer.
pub fn parse(address: &Multiaddr) -> Option<Target> {
    let mut way = address.clone();
    let Some(Protocol::P2p(peer)) = way.pop() else { return None };
    if way.pop() != Some(Protocol::WebRTC) {
        return None;
    }
    if way.is_empty() {
        return Some(Target { peer, relayed: None });
    }
    let circuit = ends_in_a_circuit(&way) && !way.iter().any(|part| part == Protocol::WebRTC);
    circuit.then(|| Target { peer, relayed: Some(way.with(Protocol::P2p(peer))) })
}

/// The address for a peer to which there is a relayed connection: `/webrtc/p2p/<peer>`.
pub fn bare(peer: PeerId) -> Multiaddr {
    local().with(Protocol::P2p(peer))
}

/// Our end of a connection: `/webrtc`.
pub(crate) fn local() -> Multiaddr {
    Multiaddr::from(Protocol::WebRTC)
}

/// The address at which who is reached by a circuit is reached by WebRTC: `<relay>/p2p-circuit/p2p/T` becomes
/// `<relay>/p2p-circuit/webrtc/p2p/T`. `None` for every other address.
pub fn mirrored(circuit: &Multiaddr) -> Option<Multiaddr> {
    let mut way = circuit.clone();
    let Some(peer @ Protocol::P2p(_)) = way.pop() else { return None };
    ends_in_a_circuit(&way).then(|| way.with(Protocol::WebRTC).with(peer))
}

/// Whether a connection at `address` is WebRTC's: a `webrtc` after the last `p2p-circuit`, or one and no circuit.
pub fn is_direct_webrtc(address: &Multiaddr) -> bool {
    address.iter().fold(false, |direct, part| part == Protocol::WebRTC || (direct && part != Protocol::P2pCircuit))
}

/// Whether a relay carries the connection at `address`.
pub fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit) && !is_direct_webrtc(address)
}

/// Whether `way` is that of one relay, named by its peer id, and of nothing behind it.
fn ends_in_a_circuit(way: &Multiaddr) -> bool {
    let mut parts = way.iter().collect::<Vec<_>>().into_iter().rev();
    parts.next() == Some(Protocol::P2pCircuit)
        && matches!(parts.next(), Some(Protocol::P2p(_)))
        && !parts.any(|part| part == Protocol::P2pCircuit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "/ip4/192.0.2.1/tcp/4001/ws/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
    const PEER: &str = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";

    fn address(text: &str) -> Multiaddr {
        text.replace("RELAY", RELAY).replace("PEER", PEER).parse().unwrap()
    }

    #[test]
    fn a_full_address_is_split_into_the_circuit_and_the_peer() {
        let target = parse(&address("RELAY/p2p-circuit/webrtc/p2p/PEER")).unwrap();
        assert_eq!(target.peer.to_string(), PEER);
        assert_eq!(target.relayed, Some(address("RELAY/p2p-circuit/p2p/PEER")));
    }

    #[test]
    fn a_relay_may_be_reached_by_webrtc_direct() {
        let relay = "/ip4/192.0.2.1/udp/9/webrtc-direct/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        let target = parse(&address(&format!("{relay}/p2p-circuit/webrtc/p2p/PEER"))).unwrap();
        assert_eq!(target.relayed, Some(address(&format!("{relay}/p2p-circuit/p2p/PEER"))));
    }

    #[test]
    fn a_bare_address_names_the_peer_alone() {
        let target = parse(&address("/webrtc/p2p/PEER")).unwrap();
        assert_eq!(target, Target { peer: PEER.parse().unwrap(), relayed: None });
        assert_eq!(bare(target.peer), address("/webrtc/p2p/PEER"));
    }

    #[test]
    fn everything_else_is_not_ours() {
        for other in [
            "",
            "/webrtc",
            "/p2p/PEER",
            "RELAY",
            "RELAY/webrtc/p2p/PEER",
            "RELAY/p2p-circuit/p2p/PEER",
            "RELAY/p2p-circuit/webrtc",
            "RELAY/p2p-circuit/p2p/PEER/webrtc",
            "RELAY/p2p-circuit/p2p/PEER/webrtc/p2p/PEER",
            "RELAY/p2p-circuit/webrtc/webrtc/p2p/PEER",
            "RELAY/p2p-circuit/p2p/PEER/p2p-circuit/webrtc/p2p/PEER",
            "/p2p-circuit/webrtc/p2p/PEER",
            "/ip4/192.0.2.1/tcp/4001/p2p-circuit/webrtc/p2p/PEER",
            "/webrtc/p2p/PEER/p2p-circuit/webrtc/p2p/PEER",
            "/ip4/192.0.2.1/udp/9/webrtc-direct/p2p/PEER",
        ] {
            assert_eq!(parse(&address(other)), None, "{other}");
        }
    }

    #[test]
    fn circuits_are_mirrored_and_nothing_else() {
        let mirror = mirrored(&address("RELAY/p2p-circuit/p2p/PEER")).unwrap();
        assert_eq!(mirror, address("RELAY/p2p-circuit/webrtc/p2p/PEER"));
        assert!(parse(&mirror).is_some());
        for other in ["", "RELAY", "RELAY/p2p-circuit", "/webrtc/p2p/PEER", "/p2p-circuit/p2p/PEER"] {
            assert_eq!(mirrored(&address(other)), None, "{other}");
        }
        assert_eq!(mirrored(&mirror), None, "an echo of its own");
    }

    #[test]
    fn direct_and_relayed_are_told_apart() {
        for (text, direct, relayed) in [
            ("/webrtc", true, false),
            ("/webrtc/p2p/PEER", true, false),
            ("RELAY/p2p-circuit/webrtc/p2p/PEER", true, false),
            ("RELAY/p2p-circuit", false, true),
            ("RELAY/p2p-circuit/p2p/PEER", false, true),
            ("/webrtc/p2p/PEER/p2p-circuit/p2p/PEER", false, true),
            ("RELAY", false, false),
            ("/ip4/192.0.2.1/udp/9/webrtc-direct/p2p/PEER", false, false),
        ] {
            assert_eq!((is_direct_webrtc(&address(text)), is_relayed(&address(text))), (direct, relayed), "{text}");
        }
    }
}
