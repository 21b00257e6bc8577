//! The sections of the configuration, each a struct whose fields are the keys of the file.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use mesh_proto::limits::MAX_LABEL;
use serde::{Deserialize, Serialize};

use super::{Invalid, Listen, Sockets, invalid};

/// Most tokens a minute that libp2p's rate limiter can tell apart: one a microsecond.
const MAX_PER_MINUTE: u32 = 60_000_000;

/// Where `--ui` without an address serves the page.
pub(crate) const UI_DEFAULT: &str = "127.0.0.1:8080";

/// The section `[tls]`: the certificate of secure WebSocket listeners. An empty path is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The section `[stun]`: the STUN responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Stun {
    pub(crate) listen: Sockets,
    pub(crate) per_second: NonZeroU32,
    pub(crate) per_second_per_address: NonZeroU32,
}

/// The section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: Listen,
    pub(crate) allow_public: bool,
}

/// The section `[blocks]`: where blocks of IPFS are kept. An empty path is one beside the key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Blocks {
    pub(crate) max_bytes: u64,
    pub(crate) file: PathBuf,
    /// What it fails together with: others of the same zone hold no second copy if there is a choice.
    pub(crate) zone: String,
}

/// The section `[ui]`: the page for browsers. An empty directory is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ui {
    pub(crate) listen: Listen,
    pub(crate) directory: PathBuf,
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

impl Default for Stun {
    fn default() -> Self {
        Self { listen: default_stun(), per_second: n(20_000), per_second_per_address: n(2_000) }
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self { max_bytes: 1024 * 1024 * 1024, file: PathBuf::new(), zone: String::new() }
    }
}

impl Blocks {
    /// The file, for a relay whose key is in the file `key`.
    pub(crate) fn path(&self, key: &Path) -> PathBuf {
        if self.file.as_os_str().is_empty() { key.with_extension("blocks") } else { self.file.clone() }
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        if self.zone.len() > MAX_LABEL {
            return Err(invalid("blocks.zone", format!("{} bytes are more than {MAX_LABEL}", self.zone.len())));
        }
        match i64::try_from(self.max_bytes) {
            Ok(_) => Ok(()),
            Err(_) => Err(invalid("blocks.max_bytes", format!("{} is more than {}", self.max_bytes, i64::MAX))),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: Listen(Some(SocketAddr::from(([127, 0, 0, 1], 4003)))), allow_public: false }
    }
}

impl Default for Ui {
    fn default() -> Self {
        Self { listen: Listen(None), directory: PathBuf::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
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

/// `value`, which is not 0.
const fn n(value: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(value - 1)
}

fn default_stun() -> Sockets {
    Sockets(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 3478))])
}

impl Stun {
    /// Whether the sockets are the ones this program chose: then one that is not to be had is not the user's mistake.
    pub(crate) fn listens_by_default(&self) -> bool {
        self.listen == default_stun()
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Invalid> {
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
