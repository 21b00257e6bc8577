//! What can be configured. Each key, its unit and the reason for its default stand in `relay.example.toml`, which is
//! also what `--print-config` fills in.
//!
//! [`load()`] reads the layers: defaults, file, environment, flags. Each is checked as it is laid on, so an error can
//! name the file and line, the variable or the flag that brought it.

mod listen;
mod load;
mod render;
mod sections;

use std::path::PathBuf;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use mesh_proto::MeshId;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "webrtc-direct")]
pub(crate) use listen::is_webrtc_direct;
pub(crate) use listen::{Listen, Sockets, is_for_browsers, is_secure, is_websocket};
use listen::{can_listen_on, shares_port};
pub(crate) use load::{ConfigError, Loaded, load};
pub(crate) use sections::{Blocks, Http, Limits, Stun, Tls, UI_DEFAULT, Ui};

use crate::link;

/// What may follow the IP address of a listener.
const LISTENERS: &str = if cfg!(feature = "webrtc-direct") {
    "/tcp/PORT, /tcp/PORT/ws, /tcp/PORT/wss, /tcp/PORT/tls/ws, /udp/PORT/quic-v1 or /udp/PORT/webrtc-direct"
} else {
    "/tcp/PORT, /tcp/PORT/ws, /tcp/PORT/wss, /tcp/PORT/tls/ws or /udp/PORT/quic-v1"
};

/// The whole configuration. Field names are the keys of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) mesh: String,
    pub(crate) charter: PathBuf,
    pub(crate) found: bool,
    pub(crate) invite: String,
    pub(crate) store: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) log: String,
    pub(crate) mdns: bool,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) external: Vec<Multiaddr>,
    pub(crate) peers: Vec<Multiaddr>,
    pub(crate) tls: Tls,
    pub(crate) blocks: Blocks,
    pub(crate) stun: Stun,
    pub(crate) http: Http,
    pub(crate) ui: Ui,
    pub(crate) relay: Limits,
}

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
            charter: PathBuf::new(),
            found: false,
            invite: String::new(),
            store: PathBuf::from("mesh-relay.store"),
            key: PathBuf::from("mesh-relay.key"),
            log: "info,libp2p=warn,libp2p_kad=error".to_owned(),
            mdns: true,
            listen: default_listeners(),
            external: Vec::new(),
            peers: Vec::new(),
            tls: Tls::default(),
            blocks: Blocks::default(),
            stun: Stun::default(),
            http: Http::default(),
            ui: Ui::default(),
            relay: Limits::default(),
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
        let Self {
            mesh,
            charter: _,
            found: _,
            invite,
            store,
            key,
            log,
            mdns: _,
            listen,
            external,
            peers,
            tls: _,
            blocks,
            stun: _,
            http: _,
            ui: _,
            relay,
        } = self;
        MeshId::open(mesh).map_err(|error| invalid("mesh", error.to_string()))?;
        if key.as_os_str().is_empty() {
            return Err(invalid("key", "the path of the key file is empty".to_owned()));
        }
        if store.as_os_str().is_empty() {
            return Err(invalid("store", "the path of the store is empty".to_owned()));
        }
        if !invite.is_empty() {
            link::read(invite).map_err(|error| invalid("invite", format!("no link with an invite: {error}")))?;
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
            return Err(invalid("listen", format!("{address} is not /ip4 or /ip6 followed by {LISTENERS}")));
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
        blocks.check()?;
        relay.check()
    }

    /// Checks values against each other, once all layers are laid on.
    pub(crate) fn check_together(&self) -> Result<(), Invalid> {
        let Http { listen: Listen(address), allow_public } = self.http;
        if let Some(address) = address.filter(|address| !address.ip().is_loopback() && !allow_public) {
            return Err(invalid(
                "http.listen",
                format!("{address} can be reached from other machines; set http.allow_public = true if that is meant"),
            ));
        }
        if !self.invite.is_empty() && self.found {
            return Err(invalid(
                "invite",
                "a mesh is founded or joined, not both: leave out found or invite".to_owned(),
            ));
        }
        if !self.invite.is_empty() && !self.charter.as_os_str().is_empty() {
            return Err(invalid("invite", "the charter comes with the invite: leave out charter".to_owned()));
        }
        self.check_tls()
    }

    /// A secure listener needs both files, and the files need a secure listener: else somebody believes in a safety
    /// that is not there.
    fn check_tls(&self) -> Result<(), Invalid> {
        let given = |path: &PathBuf| !path.as_os_str().is_empty();
        let secure = self.listen.iter().find(|address| is_secure(address));
        match (given(&self.tls.certificate), given(&self.tls.key), secure) {
            (true, false, _) => {
                Err(invalid("tls.key", "there is a certificate and no key: name the file of its key".to_owned()))
            }
            (false, true, _) => Err(invalid(
                "tls.certificate",
                "there is a key and no certificate: name the file of the certificate".to_owned(),
            )),
            (false, false, Some(address)) => Err(invalid(
                "listen",
                format!("{address} needs a certificate: name its files in tls.certificate and tls.key"),
            )),
            (true, true, None) => Err(invalid(
                "tls.certificate",
                "no listener uses it: add one that ends in /wss, as in /ip4/0.0.0.0/tcp/4443/wss".to_owned(),
            )),
            (true, true, Some(_)) | (false, false, None) => Ok(()),
        }
    }
}

fn invalid(key: &'static str, message: String) -> Invalid {
    Invalid { key, message }
}

fn ends_in_peer(address: &Multiaddr) -> bool {
    matches!(address.iter().last(), Some(Protocol::P2p(_)))
}

#[cfg(test)]
mod tests;
