//! What to hand out: the addresses under which others reach this relay, in the order to try them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use mesh_proto::limits::{MAX_ADDRESS, MAX_INVITE_RELAYS};

use crate::config::{is_for_browsers, is_secure, is_websocket};

/// Under which addresses members reach the relay: the external ones as they were given, then those on this machine,
/// browsers' first.
pub(crate) fn of_members(external: &[Multiaddr], mut listening: Vec<Multiaddr>, peer: PeerId) -> Vec<Multiaddr> {
    // A link-local address means nothing without the name of an interface, which a multiaddr does not tell.
    listening.retain(|address| !matches!(address.iter().next(), Some(Protocol::Ip6(ip)) if ip.is_unicast_link_local()));
    // A certificate is for a name, and these are numbers: where there is a plain WebSocket, it is more likely to work; so is WebRTC, which
    // takes longer to set up.
    listening.sort_by_cached_key(|address| {
        let ipv6 = matches!(address.iter().next(), Some(Protocol::Ip6(_)));
        (!is_for_browsers(address), is_secure(address), !is_websocket(address), ipv6, address.to_string())
    });
    external.iter().chain(&listening).map(|address| with_peer(address, peer)).collect()
}

fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    // It stays as it is when it names a peer already.
    address.clone().with_p2p(peer).unwrap_or_else(|address| address)
}

/// The addresses that go into an invite, in the order to try them: browsers' first. Those of this machine alone only if there are
/// no others. All of them fit: eight of 256 bytes, and less than a kilobyte beside them.
pub(crate) fn for_invites(addresses: &[Multiaddr]) -> Vec<String> {
    let is_local = |address: &&Multiaddr| match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        Some(_) | None => false,
    };
    let (local, mut found): (Vec<_>, Vec<_>) = addresses.iter().partition(is_local);
    if found.is_empty() {
        found = local;
    }
    // Stable: otherwise in the order in which they are handed out.
    found.sort_by_key(|address| !is_for_browsers(address));
    let texts = found.into_iter().map(Multiaddr::to_string);
    texts.filter(|text| text.len() <= MAX_ADDRESS).take(MAX_INVITE_RELAYS).collect()
}

/// The loopback address of the family of `ip`.
pub(crate) fn loopback_like(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// Where STUN is answered, as `stun:HOST:PORT` (RFC 7064): under the hosts of `addresses`, in their order. A socket of
/// one IP address is at that one, or under an external name.
pub(crate) fn of_stun(addresses: &[Multiaddr], external: usize, sockets: &[SocketAddr]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        let Some(host) = address.iter().next().and_then(|part| Host::of(&part)) else { continue };
        for socket in sockets {
            let reached = host.is_reached_by(socket.ip()) || (at < external && host.may_lead_to(socket.ip()));
            let url = format!("stun:{host}:{}", socket.port());
            if reached && !found.contains(&url) {
                found.push(url);
            }
        }
    }
    found
}

/// The host of an address.
enum Host {
    Ip(IpAddr),
    /// A name, and of which kind the addresses are that it stands for, if that is said.
    Name(String, Option<Family>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Host {
    #[expect(clippy::wildcard_enum_match_arm, reason = "multiaddrs have dozens of parts that are no host")]
    fn of(part: &Protocol<'_>) -> Option<Self> {
        match part {
            Protocol::Ip4(ip) => Some(Self::Ip((*ip).into())),
            Protocol::Ip6(ip) => Some(Self::Ip((*ip).into())),
            Protocol::Dns(name) => Some(Self::Name(name.to_string(), None)),
            Protocol::Dns4(name) => Some(Self::Name(name.to_string(), Some(Family::V4))),
            Protocol::Dns6(name) => Some(Self::Name(name.to_string(), Some(Family::V6))),
            _ => None,
        }
    }

    /// Whether a socket that is bound to `ip` takes what is sent to this host.
    fn is_reached_by(&self, ip: IpAddr) -> bool {
        matches!(self, Self::Ip(host) if *host == ip || (ip.is_unspecified() && Family::of(*host) == Family::of(ip)))
    }

    /// Whether something between this host and the socket can bring it there: the forwarding of a router, a name server.
    fn may_lead_to(&self, ip: IpAddr) -> bool {
        if ip.is_loopback() {
            return false;
        }
        match self {
            Self::Ip(host) => Family::of(*host) == Family::of(ip),
            Self::Name(_, family) => family.is_none_or(|family| family == Family::of(ip)),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name, _) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("a socket")).collect()
    }

    #[test]
    fn addresses_are_in_the_order_to_hand_them_out() {
        let peer = PeerId::random();
        let external = addresses(&["/dns4/relay.example.org/tcp/443/tls/ws"]);
        let listening = addresses(&[
            "/ip6/fe80::1/tcp/2/ws",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/3/wss",
            "/ip4/127.0.0.1/udp/2/webrtc-direct",
            "/ip6/::1/tcp/2/ws",
            "/ip4/127.0.0.1/tcp/2/ws",
        ]);
        let expected = addresses(&[
            "/dns4/relay.example.org/tcp/443/tls/ws",
            "/ip4/127.0.0.1/tcp/2/ws",
            "/ip6/::1/tcp/2/ws",
            "/ip4/127.0.0.1/udp/2/webrtc-direct",
            "/ip4/127.0.0.1/tcp/3/wss",
            "/ip4/127.0.0.1/tcp/1",
        ]);
        let expected: Vec<_> = expected.iter().map(|address| with_peer(address, peer)).collect();
        assert_eq!(of_members(&external, listening, peer), expected);
    }

    #[test]
    fn addresses_get_the_peer_id_once() {
        let peer = PeerId::random();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("an address");
        let whole = with_peer(&address, peer);
        assert_eq!(whole.to_string(), format!("{address}/p2p/{peer}"));
        assert_eq!(with_peer(&whole, peer), whole);
    }

    #[test]
    fn invites_name_what_others_reach() {
        let local = ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2/ws", "/ip4/127.0.0.1/tcp/2/ws"];
        let order = ["/ip6/::1/tcp/2/ws", "/ip4/127.0.0.1/tcp/2/ws", "/ip4/127.0.0.1/tcp/1"];
        assert_eq!(for_invites(&addresses(&local)), order, "better than none");
        let both = [&local[..], &["/ip4/10.0.0.1/tcp/1", "/dns4/a.b/tcp/443/wss", "/ip4/10.0.0.1/tcp/2/ws"]].concat();
        let order = ["/dns4/a.b/tcp/443/wss", "/ip4/10.0.0.1/tcp/2/ws", "/ip4/10.0.0.1/tcp/1"];
        assert_eq!(for_invites(&addresses(&both)), order);
    }

    #[test]
    fn as_many_as_an_invite_takes_fit_into_it() {
        let with = |ending: &str, port: usize| format!("/dns4/{}/tcp/{port}{ending}", "a".repeat(237));
        let longest = |port| with("/ws", port);
        assert_eq!(longest(10_000).len(), MAX_ADDRESS);
        let many: Vec<Multiaddr> = (10_000..10_020).map(|port| longest(port).parse().expect("an address")).collect();
        let too_long: Multiaddr = with("/ws/ws", 10_000).parse().expect("an address");
        let found = for_invites(&[&[too_long][..], &many].concat());
        assert_eq!(found, (10_000..10_000 + MAX_INVITE_RELAYS).map(longest).collect::<Vec<_>>());
        let mut invite = crate::link::tests::invite(found);
        invite.name = "n".repeat(mesh_proto::limits::MAX_MESH_NAME);
        invite.encode().expect("an invite");
    }

    #[test]
    fn stun_is_at_the_hosts_of_the_relay() {
        let local =
            ["/ip4/10.0.0.5/tcp/4002/ws", "/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4002/ws", "/ip4/10.0.0.5/tcp/1"];
        let any = sockets(&["0.0.0.0:3478", "[::]:3478"]);
        let found = of_stun(&addresses(&local), 0, &any);
        assert_eq!(found, ["stun:10.0.0.5:3478", "stun:127.0.0.1:3478", "stun:[::1]:3478"]);
        assert_eq!(of_stun(&addresses(&local), 0, &sockets(&["127.0.0.1:9"])), ["stun:127.0.0.1:9"]);
        assert_eq!(of_stun(&addresses(&local), 0, &[]), [""; 0]);
    }

    #[test]
    fn stun_is_at_the_external_hosts_first() {
        let both = ["/dns4/relay.example.org/tcp/443/wss", "/ip4/203.0.113.7/tcp/4001", "/ip4/10.0.0.5/tcp/4001"];
        let found = of_stun(&addresses(&both), 2, &sockets(&["0.0.0.0:3478", "[::]:3479"]));
        assert_eq!(found, ["stun:relay.example.org:3478", "stun:203.0.113.7:3478", "stun:10.0.0.5:3478"]);
        let found = of_stun(&addresses(&both), 2, &sockets(&["10.0.0.5:5"]));
        assert_eq!(found, ["stun:relay.example.org:5", "stun:203.0.113.7:5", "stun:10.0.0.5:5"], "by forwarding");
        assert_eq!(of_stun(&addresses(&both), 2, &sockets(&["127.0.0.1:5"])), [""; 0], "nobody else gets there");
    }
}
