//! `/webrtc-direct` addresses, taken apart and made.
//!
//! | address | what it says |
//! |---|---|
//! | `/ip4/…/udp/PORT/webrtc-direct` | listen there |
//! | `/ip4/…/udp/PORT/webrtc-direct/certhash/HASH/p2p/T` | T is there, with a certificate of that hash |

use std::net::{IpAddr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::fingerprint::Fingerprint;

/// Whom an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub socket: SocketAddr,
    /// That of the certificate which the peer shows.
    pub fingerprint: Fingerprint,
    /// Who.
    pub peer: PeerId,
}

/// Takes an address to dial apart. `None` when it is not one of these, its hash is not SHA-256, or it names no peer.
/// Of several hashes the first counts.
pub fn parse(address: &Multiaddr) -> Option<Target> {
    let (socket, mut rest) = split(address)?;
    let Some(Protocol::Certhash(hash)) = rest.next() else { return None };
    let fingerprint = Fingerprint::from_multihash(&hash)?;
    let mut last = rest.next();
    while let Some(Protocol::Certhash(_)) = last {
        last = rest.next();
    }
    match (last, rest.next()) {
        (Some(Protocol::P2p(peer)), None) => Some(Target { socket, fingerprint, peer }),
        _ => None,
    }
}

/// The socket of an address to listen on.
pub fn parse_listen(address: &Multiaddr) -> Option<SocketAddr> {
    let (socket, mut rest) = split(address)?;
    rest.next().is_none().then_some(socket)
}

/// Where a certificate of that fingerprint is shown.
pub fn at(socket: SocketAddr, fingerprint: &Fingerprint) -> Multiaddr {
    bare(socket).with(Protocol::Certhash(fingerprint.to_multihash()))
}

/// An address without a hash: that of a socket, or of who has come.
pub fn bare(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Udp(socket.port())).with(Protocol::WebRTCDirect)
}

/// Whether a connection at `address` is one of these: `webrtc-direct`, and no circuit behind it.
pub fn is_webrtc_direct(address: &Multiaddr) -> bool {
    let direct = address.iter().any(|part| part == Protocol::WebRTCDirect);
    direct && !address.iter().any(|part| part == Protocol::P2pCircuit)
}

fn split(address: &Multiaddr) -> Option<(SocketAddr, impl Iterator<Item = Protocol<'_>>)> {
    let mut parts = address.iter();
    let first = parts.next()?;
    let ip = if let Protocol::Ip4(ip) = first {
        IpAddr::V4(ip)
    } else if let Protocol::Ip6(ip) = first {
        IpAddr::V6(ip)
    } else {
        return None;
    };
    let Some(Protocol::Udp(port)) = parts.next() else { return None };
    (parts.next() == Some(Protocol::WebRTCDirect)).then(|| (SocketAddr::new(ip, port), parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g";
    const PEER: &str = "12D3KooWGCzUSqQCi1cHAhjWzTbJUyfjfqpc4Yx8vtqWmKnkAbcR";

    fn address(text: &str) -> Multiaddr {
        text.replace("HASH", HASH).replace("PEER", PEER).parse().unwrap()
    }

    #[test]
    fn an_address_to_dial_is_taken_apart_and_made() {
        for host in ["/ip4/192.0.2.1", "/ip6/2001:db8::1"] {
            let whole = address(&format!("{host}/udp/4004/webrtc-direct/certhash/HASH/p2p/PEER"));
            let target = parse(&whole).unwrap();
            assert_eq!(target.socket.port(), 4004);
            assert_eq!(target.peer.to_string(), PEER);
            assert_eq!(at(target.socket, &target.fingerprint).with(Protocol::P2p(target.peer)), whole);
            assert!(is_webrtc_direct(&whole));
        }
        let two = address("/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/HASH/certhash/HASH/p2p/PEER");
        assert!(parse(&two).is_some());
    }

    #[test]
    fn an_address_to_listen_on_is_a_socket_alone() {
        let any = address("/ip4/0.0.0.0/udp/4004/webrtc-direct");
        assert_eq!(parse_listen(&any), Some("0.0.0.0:4004".parse().unwrap()));
        assert_eq!(bare("0.0.0.0:4004".parse().unwrap()), any);
        assert_eq!(parse_listen(&address("/ip4/0.0.0.0/udp/4004/webrtc-direct/certhash/HASH")), None);
    }

    #[test]
    fn everything_else_is_not_ours() {
        for other in [
            "",
            "/ip4/192.0.2.1/udp/4004/webrtc-direct",
            "/ip4/192.0.2.1/udp/4004/webrtc-direct/p2p/PEER",
            "/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/HASH",
            "/ip4/192.0.2.1/tcp/4004/webrtc-direct/certhash/HASH/p2p/PEER",
            "/ip4/192.0.2.1/udp/4004/quic-v1/certhash/HASH/p2p/PEER",
            "/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/HASH/p2p/PEER/p2p-circuit",
            "/dns4/relay.example.org/udp/4004/webrtc-direct/certhash/HASH/p2p/PEER",
            // SHA-1.
            "/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/uERQAAAAAAAAAAAAAAAAAAAAAAAAAAA/p2p/PEER",
        ] {
            assert_eq!(parse(&address(other)), None, "{other}");
        }
        let circuit = address("/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/HASH/p2p/PEER/p2p-circuit");
        assert!(!is_webrtc_direct(&circuit));
    }
}
