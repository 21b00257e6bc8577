//! What can be configured. Each key, its unit and the reason for its default stand in `relay.example.toml`, which is
//! also what `--print-config` fills in.
//!
//! [`load()`] reads the layers: defaults, file, environment, flags. Each is checked as it is laid on, so an error can
//! name the file and line, the variable or the flag that brought it.

mod load;
mod render;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use mesh_proto::MeshId;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

pub(crate) use load::{Loaded, load};

use crate::ports::endpoint;

/// Most tokens a minute that libp2p's rate limiter can tell apart: one a microsecond.
const MAX_PER_MINUTE: u32 = 60_000_000;

/// The whole configuration. Field names are the keys of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) mesh: String,
    pub(crate) key: PathBuf,
    pub(crate) log: String,
    pub(crate) mdns: bool,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) external: Vec<Multiaddr>,
    pub(crate) peers: Vec<Multiaddr>,
    pub(crate) http: Http,
    pub(crate) relay: Limits,
}

/// The section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: HttpListen,
    pub(crate) allow_public: bool,
}

/// The section `[relay]`: limits of the circuit relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) max_reservations: NonZeroU32,
    pub(crate) max_reservations_per_peer: NonZeroU32,
    pub(crate) reservation_seconds: NonZeroU32,
    pub(crate) max_circuits: NonZeroU32,
    pub(crate) max_circuits_per_peer: NonZeroU32,
    pub(crate) circuit_seconds: NonZeroU32,
    pub(crate) circuit_mib: u32,
    pub(crate) reservation_burst_per_peer: NonZeroU32,
    pub(crate) reservations_per_minute_per_peer: NonZeroU32,
    pub(crate) reservation_burst_per_address: NonZeroU32,
    pub(crate) reservations_per_minute_per_address: NonZeroU32,
    pub(crate) circuit_burst_per_peer: NonZeroU32,
    pub(crate) circuits_per_minute_per_peer: NonZeroU32,
    pub(crate) circuit_burst_per_address: NonZeroU32,
    pub(crate) circuits_per_minute_per_address: NonZeroU32,
}

/// Where the HTTP endpoints are served, `None` for nowhere. Written `IP:PORT` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct HttpListen(pub(crate) Option<SocketAddr>);

/// A value that has the right type and cannot work all the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The key with its section, as in `http.listen`.
    key: &'static str,
    /// What is wrong with it and what would be right.
    message: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mesh: "lab".to_owned(),
            key: PathBuf::from("mesh-relay.key"),
            log: "info,libp2p=warn,libp2p_kad=error".to_owned(),
            mdns: true,
            listen: default_listeners(),
            external: Vec::new(),
            peers: Vec::new(),
            http: Http::default(),
            relay: Limits::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: HttpListen(Some(SocketAddr::from(([127, 0, 0, 1], 4003)))), allow_public: false }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const fn n(value: u32) -> NonZeroU32 {
            NonZeroU32::MIN.saturating_add(value - 1)
        }
        Self {
            max_reservations: n(512),
            max_reservations_per_peer: n(4),
            reservation_seconds: n(3_600),
            max_circuits: n(8_192),
            max_circuits_per_peer: n(256),
            circuit_seconds: n(86_400),
            circuit_mib: 4_096,
            reservation_burst_per_peer: n(64),
            reservations_per_minute_per_peer: n(12),
            reservation_burst_per_address: n(4_096),
            reservations_per_minute_per_address: n(600),
            circuit_burst_per_peer: n(1_024),
            circuits_per_minute_per_peer: n(600),
            circuit_burst_per_address: n(65_536),
            circuits_per_minute_per_address: n(12_000),
        }
    }
}

fn default_listeners() -> Vec<Multiaddr> {
    let v4 = Multiaddr::from(std::net::Ipv4Addr::UNSPECIFIED);
    let v6 = Multiaddr::from(std::net::Ipv6Addr::UNSPECIFIED);
    let tcp = |ip: &Multiaddr| ip.clone().with(Protocol::Tcp(4001));
    let quic = |ip: &Multiaddr| ip.clone().with(Protocol::Udp(4001)).with(Protocol::QuicV1);
    let ws = |ip: &Multiaddr| ip.clone().with(Protocol::Tcp(4002)).with(Protocol::Ws("/".into()));
    vec![tcp(&v4), tcp(&v6), quic(&v4), quic(&v6), ws(&v4), ws(&v6)]
}

impl Config {
    /// Whether the listeners are the ones this program chose: then a missing IPv6 is not the user's mistake.
    pub(crate) fn listens_by_default(&self) -> bool {
        self.listen == default_listeners()
    }

    /// Checks each value on its own.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let Self { mesh, key, log, mdns: _, listen, external, peers, http: _, relay } = self;
        MeshId::open(mesh).map_err(|error| invalid("mesh", error.to_string()))?;
        if key.as_os_str().is_empty() {
            return Err(invalid("key", "the path of the key file is empty".to_owned()));
        }
        EnvFilter::try_new(log).map_err(|error| {
            invalid(
                "log",
                format!("{log:?} is neither a level (error, warn, info, debug, trace) nor directives: {error}"),
            )
        })?;
        if listen.is_empty() {
            return Err(invalid("listen", "the relay needs at least one address to listen on".to_owned()));
        }
        if let Some(address) = listen.iter().find(|address| !can_listen_on(address)) {
            return Err(invalid(
                "listen",
                format!("{address} is not /ip4 or /ip6 followed by /tcp/PORT, /tcp/PORT/ws or /udp/PORT/quic-v1"),
            ));
        }
        if let Some(address) = listen.iter().enumerate().find_map(|(at, address)| shares_port(address, &listen[..at])) {
            return Err(invalid(
                "listen",
                format!("{address} has the port of an address before it; each listener needs one of its own"),
            ));
        }
        if let Some(empty) = external.iter().find(|address| address.is_empty()) {
            return Err(invalid("external", format!("\"{empty}\" is not an address")));
        }
        if let Some(address) = peers.iter().find(|address| !ends_in_peer(address)) {
            return Err(invalid("peers", format!("{address} does not end in /p2p/PEER-ID")));
        }
        relay.check()
    }

    /// Checks values against each other, once all layers are laid on.
    pub(crate) fn check_together(&self) -> Result<(), Invalid> {
        let Http { listen: HttpListen(address), allow_public } = self.http;
        match address {
            Some(address) if !address.ip().is_loopback() && !allow_public => Err(invalid(
                "http.listen",
                format!("{address} can be reached from other machines; set http.allow_public = true if that is meant"),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), Invalid> {
        let rates = [
            ("relay.reservations_per_minute_per_peer", self.reservations_per_minute_per_peer),
            ("relay.reservations_per_minute_per_address", self.reservations_per_minute_per_address),
            ("relay.circuits_per_minute_per_peer", self.circuits_per_minute_per_peer),
            ("relay.circuits_per_minute_per_address", self.circuits_per_minute_per_address),
        ];
        match rates.into_iter().find(|(_, rate)| rate.get() > MAX_PER_MINUTE) {
            Some((key, rate)) => Err(invalid(key, format!("{rate} is more than {MAX_PER_MINUTE} a minute"))),
            None => Ok(()),
        }
    }
}

fn invalid(key: &'static str, message: String) -> Invalid {
    Invalid { key, message }
}

/// `address`, if it stands for the same socket as one of `others`.
fn shares_port<'a>(address: &'a Multiaddr, others: &[Multiaddr]) -> Option<&'a Multiaddr> {
    let socket = endpoint(address).filter(|(_, socket)| socket.port() != 0)?;
    others.iter().any(|other| endpoint(other) == Some(socket)).then_some(address)
}

fn ends_in_peer(address: &Multiaddr) -> bool {
    matches!(address.iter().last(), Some(Protocol::P2p(_)))
}

fn can_listen_on(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    if !matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_))) {
        return false;
    }
    let rest = (parts.next(), parts.next(), parts.next());
    matches!(
        rest,
        (Some(Protocol::Tcp(_)), None | Some(Protocol::Ws(_)), None)
            | (Some(Protocol::Udp(_)), Some(Protocol::QuicV1), None)
    )
}

impl FromStr for HttpListen {
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

impl TryFrom<String> for HttpListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HttpListen> for String {
    fn from(listen: HttpListen) -> Self {
        listen.to_string()
    }
}

impl fmt::Display for HttpListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests;
