//! Plain data as it crosses to JavaScript. The TypeScript declarations are generated from here.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_core::condition::{Condition, Part};
use mesh_proto::credential::Role;
use serde::{Deserialize, Serialize, Serializer};
use serde_bytes::ByteBuf;
use tsify::Tsify;
use wasm_bindgen::JsValue;

use crate::decisions::{Choice, DecisionInfo, OpenProposal};
use crate::entries::{ComparedInfo, EntryInfo};
use crate::error::ErrorCode;

/// What a node is started with.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// Name of the open mesh; of one with a charter, the name in there.
    pub mesh: String,
    /// The charter, if the mesh has one, or a pass, which holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub charter: Option<ByteBuf>,
    /// The invite to redeem, if the store knows nothing of it. Its relays are used besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub invite: Option<ByteBuf>,
    /// Multiaddrs of relays, each ending in `/p2p/<peer id>`.
    pub relays: Vec<String>,
    /// 32-byte Ed25519 seed; generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub identity: Option<ByteBuf>,
    /// Bytes of the largest transfer that is accepted; 256 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub max_incoming_weights: Option<u64>,
    /// Multiaddrs to listen on, where the host can: `/ip4/0.0.0.0/tcp/0/ws`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[tsify(optional)]
    pub listen: Vec<String>,
    /// Direct connections to other leaves; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub webrtc: Option<WebrtcConfig>,
    /// What is known, and what is held for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub knowledge: Option<KnowledgeConfig>,
}

/// What a node knows, and what it holds for others.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeConfig {
    /// Bytes of content that are kept here in all.
    pub max_bytes: f64,
    /// Whether content of others is held here.
    pub holds: bool,
    /// Whether its store is a program's own, and not a browser's.
    pub native: bool,
    /// What it fails together with; empty if nothing is known of that.
    pub zone: String,
    /// The domains that are kept, `name` or `name@peerId`; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub domains: Option<Vec<String>>,
}

/// What a node may do in a private mesh.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// It listens.
    Observer,
    /// Everything but a vote.
    Member,
    /// What a member may, and it is meant to vote.
    Voter,
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Observer => Self::Observer,
            Role::Member => Self::Member,
            Role::Voter => Self::Voter,
        }
    }
}

/// Why a node is no member any more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "kebab-case")]
pub enum ExpelledReason {
    /// Its credential, or one that it stands on, was taken back.
    Revoked,
    /// Nobody has given it the next one in time.
    Expired,
}

/// How direct connections are made.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct WebrtcConfig {
    /// STUN servers, as `stun:host:port`. None when empty.
    pub ice_servers: Vec<String>,
    /// Whether this end's candidates are held back until the other's are here, which node-datachannel needs.
    pub hold_candidates: bool,
}

/// What an agent says it has; units are the application's.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct AgentResources {
    /// Processor share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub cpu: Option<f64>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub memory: Option<f64>,
    /// What it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub specialization: Option<String>,
}

/// An agent to announce.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct AgentInfo {
    /// 1 to 64 bytes, no `@`, no control characters.
    pub name: String,
    /// What sort of agent it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub kind: Option<String>,
    /// At most 32, of at most 64 bytes each.
    pub capabilities: Vec<String>,
    /// What it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub resources: Option<AgentResources>,
    /// At most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub metadata: Option<ByteBuf>,
}

/// What a search asks for: all that is given must match, and all capabilities.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct AgentCriteria {
    /// Exactly this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub name: Option<String>,
    /// Exactly this type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub kind: Option<String>,
    /// All of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub capabilities: Option<Vec<String>>,
    /// On this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub peer: Option<String>,
}

/// How a search ends.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct DiscoverOptions {
    /// With this many matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub limit: Option<u32>,
    /// After this many milliseconds; 2,500 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub timeout_ms: Option<f64>,
    /// With a match, after this many milliseconds without a new one; 250 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub quiet_ms: Option<f64>,
}

/// An agent in the directory.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct PeerAgent {
    /// `name@peerId`.
    pub id: String,
    /// Its name within its node.
    pub name: String,
    /// Its node.
    pub peer_id: String,
    /// What sort of agent it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub kind: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub resources: Option<AgentResources>,
    /// Opaque to the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub metadata: Option<ByteBuf>,
    /// Unix milliseconds by its node's clock; 0 for agents of this node.
    pub announced_at: u64,
    /// Whether it lives on this node.
    pub local: bool,
}

/// How a message is sent.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct SendOptions {
    /// Name of the local agent that speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub from: Option<String>,
    /// Milliseconds to deliver it in; 10,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub timeout_ms: Option<f64>,
}

/// Proof that a message is with its receiver's application.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct SendReceipt {
    /// The message.
    pub id: String,
    /// The receiver's node.
    pub peer_id: String,
    /// Milliseconds from the first transmission to the acknowledgement.
    pub round_trip_ms: u64,
}

/// How weights are compressed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum WeightsCodec {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
}

/// What weights are.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct WeightsInfo {
    /// The agent they come from.
    pub agent_id: String,
    /// A name for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub name: Option<String>,
    /// Their format, for example `safetensors`.
    pub format: String,
    /// How they are compressed.
    pub codec: WeightsCodec,
    /// Bytes before compression.
    pub raw_size: u64,
    /// SHA-256 before compression, hex.
    pub checksum: String,
    /// At most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub metadata: Option<ByteBuf>,
}

/// How weights are shared.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ShareOptions {
    /// Milliseconds without progress after which it fails; 60,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub timeout_ms: Option<f64>,
}

/// Weights that arrived whole.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ShareReceipt {
    /// The transfer.
    pub transfer: String,
    /// The receiver.
    pub peer_id: String,
    /// Bytes that were transferred.
    pub bytes: u64,
    /// Times that it was resumed.
    pub resumed: u32,
    /// Milliseconds from the call to the last confirmation.
    pub duration_ms: u64,
}

/// A link to another node.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct LinkInfo {
    /// The node at its other end.
    pub peer_id: String,
    /// Whether a relay carries it.
    pub relayed: bool,
    /// Why it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub reason: Option<String>,
    /// The remote's address.
    pub address: String,
    /// Milliseconds of the last round trip, once measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub rtt_ms: Option<u64>,
    /// Milliseconds that it has been up.
    pub connected_ms: u64,
    /// Whether the node is one of our relays.
    pub relay: bool,
}

/// How a node was heard lately.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum PeerStatus {
    /// Lately.
    Alive,
    /// Not for some heartbeats.
    Suspect,
}

/// A node that was heard of.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Which.
    pub peer_id: String,
    /// How it was heard.
    pub status: PeerStatus,
    /// Milliseconds since it was last heard.
    pub last_heard_ms: u64,
    /// Number of its agents.
    pub agents: usize,
}

/// What is known of the network around this node.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct NetworkTopology {
    /// This node.
    pub peer_id: String,
    /// Its mesh, hex.
    pub mesh_id: String,
    /// Links that are up.
    pub links: Vec<LinkInfo>,
    /// Nodes that were heard of.
    pub peers: Vec<PeerInfo>,
    /// How the mesh is doing.
    pub health: MeshHealth,
}

/// How the mesh is doing.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct MeshHealth {
    /// The worst part's, 0 to 100.
    pub score: u8,
    /// Of each part, 0 to 100.
    pub parts: HealthParts,
    /// What is not at its best, the worst first.
    pub reasons: Vec<String>,
}

impl From<&Condition> for MeshHealth {
    fn from(condition: &Condition) -> Self {
        let part = |part| condition.score_of(part);
        let parts = HealthParts {
            relays: part(Part::Relays),
            links: part(Part::Links),
            members: part(Part::Members),
            delivery: part(Part::Delivery),
        };
        Self { score: condition.score, parts, reasons: condition.reasons().map(ToString::to_string).collect() }
    }
}

/// Parts by name.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct HealthParts {
    /// Relays to be reached through.
    pub relays: u8,
    /// Links to other members.
    pub links: u8,
    /// Other members that are heard.
    pub members: u8,
    /// Messages that arrive.
    pub delivery: u8,
}

/// Counters and gauges by name.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[tsify(hashmap_as_object)]
pub struct MeshMetrics(pub BTreeMap<String, u64>);

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum TransferDirection {
    /// To this node.
    In,
    /// From this node.
    Out,
}

/// Why an agent is gone.
#[derive(Clone, Copy, Debug, Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum LeftReason {
    /// Its node said so.
    Withdrawn,
    /// Its node was silent for too long.
    Expired,
}

/// Something happened.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum MeshEvent {
    /// A relay has a link.
    RelayConnected { peer_id: String },
    /// A relay has no link any more.
    RelayDisconnected { peer_id: String },
    /// A node handed us its member list.
    Joined { peer_id: String, agents: usize },
    /// A link came up.
    PeerConnected { peer_id: String, relayed: bool },
    /// A link that was relayed is direct now, or the other way round.
    PathChanged { peer_id: String, relayed: bool },
    /// The last link to a node went down.
    PeerDisconnected { peer_id: String },
    /// A node has been silent for too long.
    PeerSuspected { peer_id: String },
    /// A suspected node was heard again.
    PeerRecovered { peer_id: String },
    /// The mesh has fallen apart: `lost` of `of` nodes are silent at once.
    MeshSplit { lost: usize, of: usize },
    /// The mesh is one again, or those that were silent are gone.
    MeshWhole,
    /// This node has its next credential.
    Membership { role: MemberRole, until: u64 },
    /// This node is no member any more.
    Expelled { reason: ExpelledReason },
    /// Somebody has come in by an invite of this node.
    InviteUsed { peer_id: String, role: MemberRole },
    /// An agent is new.
    AgentJoined { agent: PeerAgent },
    /// An agent says something else of itself.
    AgentUpdated { agent: PeerAgent },
    /// An agent is gone.
    AgentLeft { id: String, reason: LeftReason },
    /// A direct message. `taken(receipt)` acknowledges it.
    Message {
        id: String,
        from: String,
        to: String,
        #[tsify(type = "Uint8Array")]
        body: JsBytes,
        receipt: u32,
    },
    /// A broadcast.
    Broadcast {
        id: String,
        from: String,
        topic: String,
        #[tsify(type = "Uint8Array")]
        body: JsBytes,
        sent_at: u64,
    },
    /// A transfer got on.
    WeightsProgress { transfer: String, direction: TransferDirection, peer_id: String, bytes: u64, total: u64 },
    /// Weights have arrived, still compressed.
    WeightsReceived {
        transfer: String,
        peer_id: String,
        info: WeightsInfo,
        #[serde(with = "serde_wasm_bindgen::preserve")]
        #[tsify(type = "Uint8Array")]
        body: JsValue,
    },
    /// An incoming transfer was given up.
    WeightsFailed {
        transfer: String,
        #[tsify(type = "\"in\"")]
        direction: TransferDirection,
        peer_id: String,
        code: ErrorCode,
        message: String,
    },
    /// A proposal is open; `asked` if this node is expected to vote.
    Proposal { proposal: OpenProposal, asked: bool },
    /// A voter has said what it thinks.
    Vote { id: String, peer_id: String, vote: Choice, reason: String },
    /// A proposal or claim has ended.
    Decided { decision: DecisionInfo },
    /// A proposal or claim cannot end for now: too few voters can be reached.
    NoQuorum { id: String },
    /// A voter has voted twice, which its own signatures prove.
    DoubleVote { peer_id: String },
    /// Others vote from now on.
    Electorate { epoch: u64, voters: Vec<String> },
    /// The store has failed: this node has no vote any more.
    StoreFailed,
    /// A key stands for something else, or has another sibling; `current` if it stands for this now.
    KnowledgeChanged { entry: EntryInfo, current: bool },
    /// What a key stood for has expired.
    KnowledgeExpired { domain: String, key: String },
    /// A domain was compared with a neighbour, and something came of it.
    KnowledgeCompared { compared: ComparedInfo },
    /// Content of this node's is held by these.
    ContentHeld { cid: String, holders: Vec<String> },
    /// This node holds content now because another was lost.
    ContentRepaired { cid: String },
    /// A peer did what an honest one would not.
    Offence { peer_id: String, offence: String },
    /// Events were dropped, because nobody pulled.
    Lagged { dropped: u64 },
}

/// Bytes that become a `Uint8Array` with one copy.
#[derive(Clone, Debug)]
pub struct JsBytes(pub Bytes);

impl Serialize for JsBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}
