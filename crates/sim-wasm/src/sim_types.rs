//! Plain data of the simulator, as it crosses to JavaScript. What nodes say and are told is in [`crate::types`].

use serde::{Deserialize, Serialize};
use tsify::Tsify;

use crate::error::MeshFault;
use crate::types::{MeshEvent, PeerAgent, SendReceipt};

/// What a simulation is made of.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct SimConfig {
    /// What everything random comes from: a whole number.
    pub seed: f64,
    /// Hosts 0 to `relays` - 1.
    pub relays: u32,
    /// The hosts after them.
    pub pages: u32,
    /// What every link is like.
    pub link: SimLink,
}

/// One way between two hosts. What is absent is as between two homes of one continent.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct SimLink {
    /// The shortest time of a packet on its way, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub latency_ms: Option<f64>,
    /// What a packet may take on top of it, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub jitter_ms: Option<f64>,
    /// The share of packets that are lost and sent again: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub loss: Option<f64>,
    /// Bytes a second; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub bytes_per_second: Option<f64>,
}

/// A host's application is told something.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct SimTold {
    /// Which host.
    pub host: u32,
    /// What.
    pub what: SimWhat,
}

/// What an application is told.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum SimWhat {
    /// Something happened.
    Event { event: MeshEvent },
    /// A send has ended well.
    Sent { call: u64, receipt: SendReceipt },
    /// A send has failed.
    SendFailed { call: u64, fault: MeshFault },
    /// A search has ended.
    Found { search: u64, agents: Vec<PeerAgent> },
}

/// A rule that was broken.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct SimViolation {
    /// Its name.
    pub rule: String,
    /// Virtual milliseconds.
    pub at_ms: f64,
    /// How it was broken.
    pub what: String,
}

/// What came of a scenario.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct ScenarioReport {
    /// Whether every goal is met and no rule was broken.
    pub good: bool,
    /// The hash of all that has happened, hex.
    pub trace: String,
    /// Figures, goals and broken rules, for people.
    pub text: String,
}
