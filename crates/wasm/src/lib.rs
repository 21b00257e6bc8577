//! The door to JavaScript: one class, plain data, no logic.
//!
//! Methods take `&self` only, for a `&mut self` that is held over an await makes the next call panic. Events are pulled,
//! so that no JavaScript runs while Rust holds a borrow. Errors cross as `{ code, message, details }`.

mod abort;
mod blocks;
mod convert;
mod deciding;
mod decisions;
mod entries;
mod error;
mod hash;
mod knowing;
mod members;
mod net_error;
mod peer;
mod pull;
mod store;
mod told;
mod types;
mod webrtc;

use bytes::Bytes;
use futures::lock::Mutex;
use mesh_core::weights;
use mesh_net::{Config, EventStream, Handle, Identity, Multiaddr, Running, WithRtc};
use mesh_proto::credential::{Invite, Pass};
use tsify::{Ts, Tsify as _};
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

pub use deciding::{
    CharterInfo, VerifiedDecision, decode_charter, encode_charter, peer_id_of, verify_decision, verify_record_bytes,
};
pub use hash::use_sha256;
pub use members::{InviteInfo, MembershipInfo, NewInvite, decode_invite};

use crate::abort::unless_aborted;
use crate::blocks::NodeBlocks;
use crate::convert::millis;
use crate::error::{ErrorCode, MeshFault};
use crate::peer::peer_text;
use crate::store::NodeStore;
use crate::told::Receipts;
use crate::types::{
    AgentCriteria, AgentInfo, DiscoverOptions, MeshEvent, MeshMetrics, NetworkTopology, NodeConfig, PeerAgent,
    SendOptions, SendReceipt, ShareOptions, ShareReceipt, WeightsInfo,
};

/// Milliseconds in which a message is delivered or fails, unless the caller says otherwise.
const SEND_TIMEOUT_MS: u64 = 10_000;

/// A new node identity: a 32-byte Ed25519 seed. Whoever has it is that node.
#[wasm_bindgen(js_name = generateIdentity)]
pub fn generate_identity() -> Result<Vec<u8>, MeshFault> {
    let identity = Identity::generate().map_err(|error| MeshFault::new(ErrorCode::Internal, error))?;
    Ok(identity.seed().to_vec())
}

/// A member of a mesh.
#[wasm_bindgen]
pub struct MeshNode {
    handle: Handle,
    peer_id: String,
    listening: Vec<String>,
    events: Mutex<EventStream>,
    receipts: Receipts,
}

#[wasm_bindgen]
impl MeshNode {
    /// Starts a node. Its relays are dialled in the background, for as long as it runs.
    ///
    /// `store` keeps its votes, and without it this node has none; and what it knows. `blocks` keeps content, which is in memory
    /// without it. Both are the caller's to close, when the node is closed.
    pub async fn open(
        config: Ts<NodeConfig>,
        store: Option<NodeStore>,
        blocks: Option<NodeBlocks>,
    ) -> Result<MeshNode, MeshFault> {
        let NodeConfig { mesh, charter, invite, relays, identity, max_incoming_weights, listen, webrtc, knowledge } =
            config.to_rust()?;
        let identity = match identity {
            Some(seed) => {
                let seed = seed.as_slice().try_into();
                Identity::from_seed(seed.map_err(|_| MeshFault::invalid("an identity is 32 bytes"))?)
            }
            None => Identity::generate().map_err(|error| MeshFault::new(ErrorCode::Internal, error))?,
        };
        let mut config = match (charter, invite) {
            (_, Some(invite)) => Config::invited(identity, Invite::decode(&invite)?),
            (Some(charter), None) => {
                let (charter, chain) = deciding::read_entry(&charter)?;
                Config::admitted(identity, Pass { charter, chain }).map_err(MeshFault::invalid)?
            }
            (None, None) => Config::new(identity, &mesh)?,
        };
        config.store = store.map(store::of);
        config.blocks = blocks.map(blocks::of);
        if let Some(knowledge) = knowledge {
            config.core.knowledge = knowing::config(knowledge)?;
        }
        config.relays.extend(multiaddrs(relays)?);
        config.listen = multiaddrs(listen)?;
        if let Some(max) = max_incoming_weights {
            config.core.weights.receiving = weights::ReceivingConfig::up_to(max);
        }
        let rtc = webrtc::set_up(webrtc, &mut config);
        let Running { handle, events, listening } = mesh_net::start(config, WithRtc(rtc)).await?;
        Ok(Self {
            peer_id: peer_text(&handle.node()),
            listening: listening.iter().map(ToString::to_string).collect(),
            handle,
            events: Mutex::new(events),
            receipts: Receipts::default(),
        })
    }

    /// This node's peer id.
    #[wasm_bindgen(getter, js_name = peerId)]
    pub fn peer_id(&self) -> String {
        self.peer_id.clone()
    }

    /// Where it listens itself, with its peer id.
    #[wasm_bindgen(getter)]
    pub fn listening(&self) -> Vec<String> {
        self.listening.clone()
    }

    /// Its mesh's id, hex.
    #[wasm_bindgen(getter, js_name = meshId)]
    pub fn mesh_id(&self) -> String {
        self.handle.mesh().to_string()
    }

    /// The next event, `undefined` once the node is closed. Of several pullers each gets some.
    #[wasm_bindgen(js_name = nextEvent)]
    pub async fn next_event(&self) -> Result<Option<Ts<MeshEvent>>, MeshFault> {
        let mut events = self.events.lock().await;
        let event = pull::next(&mut events, &self.handle, &self.receipts).await;
        Ok(event.map(|event| event.into_ts()).transpose()?)
    }

    /// Announces an agent, or announces it anew; returns `name@peerId`.
    pub async fn announce(&self, agent: Ts<AgentInfo>) -> Result<String, MeshFault> {
        let record = convert::record(agent.to_rust()?)?;
        let id = convert::agent_id(Some(&record.name), &self.peer_id);
        self.handle.announce(record).await??;
        Ok(id)
    }

    /// Withdraws the local agent of that name.
    pub async fn withdraw(&self, name: String) -> Result<(), MeshFault> {
        Ok(self.handle.withdraw(convert::name(&name)?).await??)
    }

    /// All agents that are known, local ones included.
    pub async fn agents(&self) -> Result<Vec<Ts<PeerAgent>>, MeshFault> {
        agents(self.handle.agents().await?)
    }

    /// Searches the mesh for agents on other nodes.
    pub async fn discover(
        &self,
        criteria: Ts<AgentCriteria>,
        options: Ts<DiscoverOptions>,
        signal: Option<AbortSignal>,
    ) -> Result<Vec<Ts<PeerAgent>>, MeshFault> {
        let criteria = convert::criteria(criteria.to_rust()?)?;
        let options = convert::search(options.to_rust()?);
        let found = unless_aborted(signal, self.handle.discover(criteria, options)).await???;
        agents(found)
    }

    /// Sends a message to `name`, `name@peerId` or a peer id; resolves when the receiving application has it.
    pub async fn send(
        &self,
        to: String,
        body: Vec<u8>,
        options: Ts<SendOptions>,
        signal: Option<AbortSignal>,
    ) -> Result<Ts<SendReceipt>, MeshFault> {
        let SendOptions { from, timeout_ms } = options.to_rust()?;
        let from = from.map(|name| convert::name(&name)).transpose()?;
        let timeout = millis(timeout_ms, SEND_TIMEOUT_MS);
        let send = self.handle.send(convert::target(&to)?, from, Bytes::from(body), timeout);
        let receipt = unless_aborted(signal, send).await???;
        let (session, number) = receipt.number;
        let receipt = SendReceipt {
            id: told::message_id(session, number),
            peer_id: peer_text(&receipt.peer),
            round_trip_ms: receipt.round_trip_ms,
        };
        Ok(receipt.into_ts()?)
    }

    /// The application has the message of that receipt: its sender is told.
    pub fn taken(&self, receipt: u32) {
        if let Some((from, session, number)) = self.receipts.redeem(receipt) {
            self.handle.taken(from, session, number);
        }
    }

    /// Broadcasts to the swarm; resolves when it is on its way.
    pub async fn broadcast(&self, topic: String, body: Vec<u8>) -> Result<(), MeshFault> {
        Ok(self.handle.publish(topic, Bytes::from(body)).await??)
    }

    /// Shares weights with `name`, `name@peerId` or a peer id; resolves when the receiver has checked all of them.
    #[wasm_bindgen(js_name = shareWeights)]
    pub async fn share_weights(
        &self,
        to: String,
        info: Ts<WeightsInfo>,
        body: Vec<u8>,
        options: Ts<ShareOptions>,
        signal: Option<AbortSignal>,
    ) -> Result<Ts<ShareReceipt>, MeshFault> {
        let info = convert::weights(info.to_rust()?)?;
        let ShareOptions { timeout_ms } = options.to_rust()?;
        let timeout = millis(timeout_ms, weights::DEFAULT_TIMEOUT_MS);
        let share = self.handle.share(convert::target(&to)?, info, Bytes::from(body), timeout);
        let shared = unless_aborted(signal, share).await???;
        let receipt = ShareReceipt {
            transfer: shared.id.to_string(),
            peer_id: peer_text(&shared.peer),
            bytes: shared.bytes,
            resumed: shared.resumed,
            duration_ms: shared.duration_ms,
        };
        Ok(receipt.into_ts()?)
    }

    /// The host slept, or its network changed.
    pub async fn wake(&self) -> Result<(), MeshFault> {
        Ok(self.handle.wake().await?)
    }

    /// What is known of the network around this node.
    pub async fn topology(&self) -> Result<Ts<NetworkTopology>, MeshFault> {
        let (topology, seeds) = self.handle.topology().await?;
        let now = mesh_net::now().mono;
        let ids = (self.peer_id.clone(), self.mesh_id());
        let topology = convert::topology(ids, topology, |node| seeds.contains(node), now);
        Ok(topology.into_ts()?)
    }

    /// Counters and gauges now, by camelCase name.
    pub async fn metrics(&self) -> Result<Ts<MeshMetrics>, MeshFault> {
        let metrics = self.handle.metrics().await?;
        Ok(convert::metrics(&metrics).into_ts()?)
    }

    /// Says goodbye to the mesh and closes all links. Closing a closed node is no error.
    pub async fn close(&self) {
        self.handle.close().await;
    }
}

fn agents(agents: Vec<mesh_core::directory::PeerAgent>) -> Result<Vec<Ts<PeerAgent>>, MeshFault> {
    let agents = agents.into_iter().map(|agent| convert::agent(agent).into_ts());
    Ok(agents.collect::<Result<_, _>>()?)
}

fn multiaddrs(texts: Vec<String>) -> Result<Vec<Multiaddr>, MeshFault> {
    let parse = |text: String| {
        let address: Result<Multiaddr, _> = text.parse();
        address.map_err(|error| MeshFault::invalid(format!("'{text}' is not a multiaddr: {error}")))
    };
    texts.into_iter().map(parse).collect()
}
