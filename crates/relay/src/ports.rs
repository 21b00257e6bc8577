//! Whether the ports to listen on are free.
//!
//! libp2p shares its TCP ports (`SO_REUSEPORT`), to dial from the ones it listens on. A second relay on the same port
//! would start without complaint, and the system would hand each of the two half of the connections. So each port is
//! taken for a moment without sharing, before libp2p takes it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use socket2::{Domain, Socket, Type};

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {}", advice(source))]
pub(crate) struct PortError {
    address: Multiaddr,
    source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        "another program has this port: stop it, or name another address with --listen"
    } else {
        "name another address with --listen"
    }
}

/// Takes and releases the port of each address.
///
/// # Errors
/// The first address that is not to be had.
pub(crate) fn check(addresses: &[Multiaddr]) -> Result<(), PortError> {
    for address in addresses {
        let Some((kind, socket)) = endpoint(address) else { continue };
        take(kind, socket).map_err(|source| PortError { address: address.clone(), source })?;
    }
    Ok(())
}

/// The socket that an address to listen on stands for.
pub(crate) fn endpoint(address: &Multiaddr) -> Option<(Type, SocketAddr)> {
    let mut parts = address.iter();
    let (first, second) = (parts.next()?, parts.next()?);
    let ip = if let Protocol::Ip4(ip) = first {
        IpAddr::V4(ip)
    } else if let Protocol::Ip6(ip) = first {
        IpAddr::V6(ip)
    } else {
        return None;
    };
    if let Protocol::Tcp(port) = second {
        Some((Type::STREAM, SocketAddr::new(ip, port)))
    } else if let Protocol::Udp(port) = second {
        Some((Type::DGRAM, SocketAddr::new(ip, port)))
    } else {
        None
    }
}

fn take(kind: Type, address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        // As libp2p does: the IPv4 address of the same port is a listener of its own.
        socket.set_only_v6(true)?;
    }
    // On Unix this only means that connections of a former relay which are still being closed do not count.
    socket.set_reuse_address(cfg!(unix) && kind == Type::STREAM)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM { socket.listen(1) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_tcp_port_in_use_is_named_even_when_it_is_shared() {
        let other = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        #[cfg(unix)]
        other.set_reuse_port(true).expect("sharing");
        other.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        other.listen(1).expect("a listener");
        let port = other.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").port();
        let taken = address(&format!("/ip4/127.0.0.1/tcp/{port}/ws"));
        let error = check(&[address("/ip4/127.0.0.1/tcp/0"), taken.clone()]).expect_err("in use").to_string();
        assert!(error.starts_with(&format!("cannot listen on {taken}: ")), "{error}");
        assert!(error.contains("another program has this port"), "{error}");
    }

    #[test]
    fn a_udp_port_in_use_is_named() {
        let other = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = other.local_addr().expect("an address").port();
        let taken = address(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1"));
        let error = check(std::slice::from_ref(&taken)).expect_err("in use").to_string();
        assert!(error.starts_with(&format!("cannot listen on {taken}: ")), "{error}");
    }

    #[test]
    fn a_free_port_is_free_afterwards() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        check(&[address(&format!("/ip4/127.0.0.1/tcp/{port}"))]).expect("free");
        TcpListener::bind(("127.0.0.1", port)).expect("still free");
    }
}
