//! Addresses to listen on, as they are written.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};

use crate::ports::endpoint;

/// Where something is served, `None` for nowhere. Written `IP:PORT` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Listen(pub(crate) Option<SocketAddr>);

/// Where something is served, in several places. Written as a list of `IP:PORT`; empty or just `off` for nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Listen>", into = "Vec<Listen>")]
pub(crate) struct Sockets(pub(crate) Vec<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(address) => Ok(Self(Some(address))),
                Err(_) => Err(format!("{text:?} is neither IP:PORT, as in 127.0.0.1:4003, nor \"off\"")),
            },
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl TryFrom<Vec<Listen>> for Sockets {
    type Error = String;

    fn try_from(list: Vec<Listen>) -> Result<Self, String> {
        match list[..] {
            [Listen(None)] => Ok(Self(Vec::new())),
            _ => list.iter().map(|Listen(address)| *address).collect::<Option<_>>().map(Self).ok_or_else(|| {
                "\"off\" stands alone: it is either off, or there are addresses to listen on".to_owned()
            }),
        }
    }
}

impl From<Sockets> for Vec<Listen> {
    fn from(Sockets(sockets): Sockets) -> Self {
        sockets.into_iter().map(|socket| Listen(Some(socket))).collect()
    }
}

/// `address`, if it stands for the same socket as one of `others`.
pub(super) fn shares_port<'a>(address: &'a Multiaddr, others: &[Multiaddr]) -> Option<&'a Multiaddr> {
    let socket = endpoint(address).filter(|(_, socket)| socket.port() != 0)?;
    others.iter().any(|other| endpoint(other) == Some(socket)).then_some(address)
}

pub(super) fn can_listen_on(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    if !matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_))) {
        return false;
    }
    let rest = (parts.next(), parts.next(), parts.next(), parts.next());
    let known = matches!(
        rest,
        (Some(Protocol::Tcp(_)), None | Some(Protocol::Ws(_) | Protocol::Wss(_)), None, None)
            | (Some(Protocol::Tcp(_)), Some(Protocol::Tls), Some(Protocol::Ws(_)), None)
            | (Some(Protocol::Udp(_)), Some(Protocol::QuicV1), None, None)
    );
    known || (cfg!(feature = "webrtc-direct") && is_webrtc_direct(address) && address.iter().count() == 3)
}

/// Whether browsers come in by this address.
pub(crate) fn is_for_browsers(address: &Multiaddr) -> bool {
    is_websocket(address) || is_webrtc_direct(address)
}

/// Whether they do so by WebRTC, where the address holds a hash of the certificate.
pub(crate) fn is_webrtc_direct(address: &Multiaddr) -> bool {
    address.iter().nth(1).is_some_and(|part| matches!(part, Protocol::Udp(_)))
        && address.iter().nth(2) == Some(Protocol::WebRTCDirect)
}

/// Whether they do so by WebSocket.
pub(crate) fn is_websocket(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_)))
}

/// Whether they do so by TLS: `/wss` and `/tls/ws` are two ways to write it.
pub(crate) fn is_secure(address: &Multiaddr) -> bool {
    is_websocket(address) && address.iter().any(|part| matches!(part, Protocol::Tls | Protocol::Wss(_)))
}
