//! Honest members: nodes as a program has them, with a journal of what they told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::Multiaddr;
use mesh_core::directory::{self, PeerAgent};
use mesh_core::metrics::Metrics;
use mesh_core::node::Target;
use mesh_core::paths::Ability;
use mesh_core::weights::{self, ReceiveError};
use mesh_core::{Offence, knowledge, node};
use mesh_net::blocks::BlockStore;
use mesh_net::{Config, Event, EventStream, Handle, Host, Identity, NoHost, Role, WithRtc};
use mesh_proto::agent::AgentRecord;
use mesh_proto::id::Checksum;
use mesh_proto::transfer::{self, Codec, Manifest, WeightsInfo};
use mesh_proto::{AgentId, AgentName, NodeId, TransferId};
use mesh_webrtc::rtc::memory::Rtc;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::relay::RelayHost;
use super::{LIMIT, millis, within};

/// Milliseconds that a direct message may take.
const SEND_MS: u64 = 15_000;

/// Bytes of a broadcast's body that are kept.
const KEPT: usize = 512;

/// A running node.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) handle: Handle,
    pub(crate) identity: Identity,
    pub(crate) listening: Vec<Multiaddr>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    journal: Mutex<Journal>,
    changed: Notify,
}

/// What a node has told so far.
#[derive(Default)]
pub(crate) struct Journal {
    /// Members that handed over their lists.
    pub(crate) joined: Vec<NodeId>,
    /// Links that are up, and whether they are relayed.
    pub(crate) links: BTreeMap<NodeId, bool>,
    /// Changes of links to seeds.
    pub(crate) seeds: Vec<(NodeId, bool)>,
    pub(crate) messages: Vec<(NodeId, Bytes)>,
    /// Author, topic, and how the body begins: the journal must not be what memory grows by.
    pub(crate) broadcasts: Vec<(NodeId, String, Bytes)>,
    pub(crate) offences: BTreeMap<(NodeId, Offence), u64>,
    /// Agents of others as they were last told of.
    pub(crate) agents: BTreeMap<AgentId, AgentRecord>,
    pub(crate) weights: Vec<(NodeId, Arc<Manifest>, Bytes)>,
    pub(crate) receive_failed: Vec<(NodeId, TransferId, ReceiveError)>,
    /// Entries that became current.
    pub(crate) entries: usize,
    /// Events that were dropped because they were not pulled.
    pub(crate) lagged: u64,
    pub(crate) ended: bool,
}

/// Where a leaf is reachable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On a TCP port of its own.
    Tcp,
    /// Through its relays.
    RelaysOnly,
}

impl Member {
    /// A hub with a relay, on TCP and WebSocket.
    pub(crate) async fn hub(mesh: &str, name: &'static str, hubs: &[&Member]) -> Self {
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"].map(|address| address.parse().expect("valid"));
        let identity = Identity::generate().expect("the system has randomness");
        let config = Config {
            role: Role::Hub,
            relays: hubs.iter().map(|hub| hub.tcp()).collect(),
            listen: listen.to_vec(),
            ..Config::new(identity, mesh).expect("a valid name")
        };
        Self::start(name, config, RelayHost).await
    }

    /// The same hub again: its identity, its addresses.
    pub(crate) async fn hub_again(mesh: &str, before: &Member) -> Self {
        let listen = before.listening.iter().cloned().map(|mut address| {
            address.pop();
            address
        });
        let config = Config {
            role: Role::Hub,
            listen: listen.collect(),
            ..Config::new(before.identity.clone(), mesh).expect("a valid name")
        };
        Self::start(before.name, config, RelayHost).await
    }

    /// A leaf that stays in touch with `hubs`.
    pub(crate) async fn leaf(mesh: &str, name: &'static str, hubs: &[Multiaddr], reach: Reach) -> Self {
        let listen = match reach {
            Reach::Tcp => vec!["/ip4/127.0.0.1/tcp/0".parse().expect("valid")],
            Reach::RelaysOnly => Vec::new(),
        };
        let identity = Identity::generate().expect("the system has randomness");
        let config = Config { relays: hubs.to_vec(), listen, ..Config::new(identity, mesh).expect("a valid name") };
        Self::start(name, config, NoHost).await
    }

    /// A leaf that keeps its blocks in `blocks`, and is reached through its relays only.
    pub(crate) async fn storing(
        mesh: &str,
        name: &'static str,
        hubs: &[Multiaddr],
        blocks: Arc<dyn BlockStore>,
    ) -> Self {
        let identity = Identity::generate().expect("the system has randomness");
        let config = Config {
            relays: hubs.to_vec(),
            blocks: Some(blocks),
            ..Config::new(identity, mesh).expect("a valid name")
        };
        Self::start(name, config, NoHost).await
    }

    /// A leaf that says it is reached at `address`, and is reached through its relays only.
    pub(crate) async fn astray(mesh: &str, name: &'static str, hubs: &[Multiaddr], address: Multiaddr) -> Self {
        let identity = Identity::generate().expect("the system has randomness");
        let config = Config {
            relays: hubs.to_vec(),
            external: vec![address],
            ..Config::new(identity, mesh).expect("a valid name")
        };
        Self::start(name, config, NoHost).await
    }

    /// A leaf that has WebRTC.
    pub(crate) async fn able(mesh: &str, name: &'static str, hubs: &[Multiaddr], rtc: Rtc) -> Self {
        let identity = Identity::generate().expect("the system has randomness");
        let mut config = Config { relays: hubs.to_vec(), ..Config::new(identity, mesh).expect("a valid name") };
        config.core.paths.ability = Ability::Able;
        // The first time at once, the next soon.
        config.core.paths.retry_ms = 500;
        Self::start(name, config, WithRtc(Some(rtc))).await
    }

    /// A leaf of a private mesh, as `config` lets it in.
    pub(crate) async fn private(name: &'static str, config: Config, hubs: &[Multiaddr]) -> Self {
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("valid")];
        Self::start(name, Config { listen, relays: hubs.to_vec(), ..config }, NoHost).await
    }

    /// A node as `config` has it.
    pub(crate) async fn start<H: Host>(name: &'static str, config: Config, host: H) -> Self {
        let identity = config.identity.clone();
        let running = mesh_net::start(config, host).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let shared = Arc::new(Shared::default());
        tokio::spawn(keep_journal(running.events, running.handle.clone(), shared.clone()));
        Self { name, handle: running.handle, identity, listening: running.listening, shared }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.identity.node()
    }

    /// Its plain TCP address.
    pub(crate) fn tcp(&self) -> Multiaddr {
        self.address(false)
    }

    /// Its WebSocket address.
    pub(crate) fn websocket(&self) -> Multiaddr {
        self.address(true)
    }

    fn address(&self, websocket: bool) -> Multiaddr {
        let ws = |address: &&Multiaddr| address.to_string().contains("/ws") == websocket;
        self.listening.iter().find(ws).cloned().unwrap_or_else(|| panic!("{} does not listen there", self.name))
    }

    /// What it has told so far.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.shared)
    }

    /// Waits until the journal has what `find` looks for.
    pub(crate) async fn until<T>(&self, what: &str, find: impl FnMut(&Journal) -> Option<T>) -> T {
        match timeout(LIMIT, self.found(find)).await {
            Ok(found) => found,
            Err(_) => panic!("{}: {what}: not within {LIMIT:?}", self.name),
        }
    }

    async fn found<T>(&self, mut find: impl FnMut(&Journal) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = find(&self.journal()) {
                return found;
            }
            changed.await;
        }
    }

    pub(crate) async fn until_joined(&self, hub: &Member) {
        let hub = hub.node();
        self.until("joined", |journal| journal.joined.contains(&hub).then_some(())).await;
    }

    /// Waits until `peer` was caught `count` times at `offence`, and returns how often it was.
    pub(crate) async fn until_caught(&self, peer: NodeId, offence: Offence, count: u64) -> u64 {
        let what = format!("{count} × {offence} by {peer:?}");
        self.until(&what, |journal| Some(journal.caught(peer, offence)).filter(|caught| *caught >= count)).await
    }

    pub(crate) async fn announce(&self, agent: &str, capabilities: &[&str]) {
        let record = AgentRecord::new(agent_name(agent), capabilities.iter().map(ToString::to_string));
        self.handle.announce(record).await.expect("runs").expect("announced");
    }

    /// Sends `body` to `to` itself, and returns how long it took, in milliseconds.
    pub(crate) async fn send(&self, to: &Member, body: impl Into<Bytes>) -> u64 {
        let sent = self.handle.send(Target::Node(to.node()), None, body.into(), SEND_MS).await.expect("runs");
        sent.unwrap_or_else(|error| panic!("{} to {}: {error}", self.name, to.name)).round_trip_ms
    }

    pub(crate) async fn publish(&self, topic: &str, body: impl Into<Bytes>) {
        self.handle.publish(topic.to_owned(), body.into()).await.expect("runs").expect("published");
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        self.handle.metrics().await.expect("runs")
    }

    /// The counter called `name`.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let found = metrics.entries().find(|(entry, ..)| *entry == name);
        found.map(|(.., value)| value).expect("a counter of that name")
    }

    /// How often it counted that offence, whoever it was that handed such a thing over.
    pub(crate) async fn counted_as(&self, offence: Offence) -> u64 {
        let metrics = self.metrics().await;
        metrics.offences().filter(|(counted, _)| *counted == offence).map(|(_, often)| often).sum()
    }

    /// Whether the link to `peer` is relayed; `None` without one.
    pub(crate) async fn relayed(&self, peer: &Member) -> Option<bool> {
        let (topology, _) = self.handle.topology().await.expect("runs");
        topology.links.get(&peer.node()).map(|(link, _)| link.relayed)
    }

    /// The last round trip to `peer`, in milliseconds.
    pub(crate) async fn round_trip(&self, peer: &Member) -> Option<u64> {
        let (topology, _) = self.handle.topology().await.expect("runs");
        topology.links.get(&peer.node()).and_then(|(link, _)| link.rtt_ms)
    }

    /// Why the link to `peer` is relayed.
    pub(crate) async fn why(&self, peer: &Member) -> Option<String> {
        let (topology, _) = self.handle.topology().await.expect("runs");
        topology.links.get(&peer.node()).and_then(|(_, why)| why.as_ref()).map(ToString::to_string)
    }

    /// Waits until the link to `peer` is relayed, or until it is not.
    pub(crate) async fn until_relayed(&self, peer: &Member, relayed: bool) {
        let (node, what) = (peer.node(), format!("the link to {} is relayed: {relayed}", peer.name));
        self.until(&what, |journal| (journal.links.get(&node) == Some(&relayed)).then_some(())).await;
    }

    /// Agents of others, by what [`Handle::agents`] lists.
    pub(crate) async fn agents(&self) -> Vec<PeerAgent> {
        self.handle.agents().await.expect("runs")
    }

    /// Offences that were counted, for printing.
    pub(crate) async fn counted(&self) -> String {
        let metrics = self.metrics().await;
        let counted: Vec<_> = metrics.offences().filter(|(_, count)| *count > 0).collect();
        let counted: Vec<_> = counted.iter().map(|(offence, count)| format!("{count} {offence}")).collect();
        format!("{} counted [{}]", self.name, counted.join(", "))
    }
}

impl Journal {
    pub(crate) fn caught(&self, peer: NodeId, offence: Offence) -> u64 {
        self.offences.get(&(peer, offence)).copied().unwrap_or(0)
    }

    /// Offences of `peer`, of all kinds.
    pub(crate) fn blamed(&self, peer: NodeId) -> u64 {
        self.offences.iter().filter(|((blamed, _), _)| *blamed == peer).map(|(_, count)| count).sum()
    }

    /// How often `author`'s broadcast of `body` was told.
    pub(crate) fn heard(&self, author: NodeId, body: &[u8]) -> usize {
        self.broadcasts.iter().filter(|(from, _, heard)| *from == author && heard == body).count()
    }

    fn note(&mut self, event: node::Event) {
        match event {
            node::Event::Joined { peer, .. } => self.joined.push(peer),
            node::Event::PeerConnected { peer, relayed } | node::Event::PathChanged { peer, relayed } => {
                self.links.insert(peer, relayed);
            }
            node::Event::PeerDisconnected { peer } => drop(self.links.remove(&peer)),
            node::Event::Seed { peer, connected } => self.seeds.push((peer, connected)),
            node::Event::Message(incoming) => self.messages.push((incoming.from, incoming.message.body)),
            node::Event::Broadcast { from, topic, body, .. } => {
                let body = Bytes::copy_from_slice(&body[..body.len().min(KEPT)]);
                self.broadcasts.push((from, topic, body));
            }
            node::Event::Offence { peer, offence } => *self.offences.entry((peer, offence)).or_default() += 1,
            node::Event::Directory(directory::Event::Joined(agent) | directory::Event::Updated(agent)) => {
                let id = AgentId { name: agent.record.name.clone(), node: agent.node };
                self.agents.insert(id, agent.record);
            }
            node::Event::Directory(directory::Event::Left { id, .. }) => drop(self.agents.remove(&id)),
            node::Event::Weights(weights::Event::ReceiveFailed { id, from, error }) => {
                self.receive_failed.push((from, id, error));
            }
            node::Event::Knowledge(knowledge::Event::Changed { .. }) => self.entries += 1,
            node::Event::Directory(directory::Event::NodeLeft(_) | directory::Event::Found { .. })
            | node::Event::Weights(_)
            | node::Event::Decision(_)
            | node::Event::Knowledge(_)
            | node::Event::Access(_)
            | node::Event::PeerSuspected { .. }
            | node::Event::PeerRecovered { .. }
            | node::Event::Split { .. }
            | node::Event::Whole
            | node::Event::Sent { .. }
            | node::Event::SendFailed { .. } => {}
        }
    }
}

/// The two talk: a direct message and a broadcast each way. Returns how long it took, in milliseconds.
pub(crate) async fn exchange(a: &Member, b: &Member) -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let started = millis();
    let token = format!("exchange {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let talk = async |from: &Member, to: &Member| {
        from.publish("talk", token.clone()).await;
        from.send(to, token.clone()).await;
        let (author, body) = (from.node(), token.as_bytes());
        let what = format!("{token:?} of {}", from.name);
        to.until(&what, |journal| {
            let sent = journal.messages.iter().filter(|(sender, text)| *sender == author && text == body).count();
            let heard = journal.heard(author, body);
            assert!(sent <= 1 && heard <= 1, "{what} came {sent} times directly and {heard} times by gossip");
            (sent == 1 && heard == 1).then_some(())
        })
        .await;
    };
    within(&token, async { tokio::join!(talk(a, b), talk(b, a)) }).await;
    millis() - started
}

/// Broadcasts from `from` until `to` has heard one: gossip works between them from then on.
pub(crate) async fn until_heard(from: &Member, to: &Member) {
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(200);
    let author = from.node();
    let trying = async {
        loop {
            from.publish("hello", "hello").await;
            let heard = to.found(|journal| (journal.heard(author, b"hello") > 0).then_some(()));
            if timeout(PATIENCE, heard).await.is_ok() {
                return;
            }
        }
    };
    within(&format!("{} hears {}", to.name, from.name), trying).await;
}

/// A description of `bytes`.
pub(crate) fn weights_info(bytes: &[u8]) -> WeightsInfo {
    WeightsInfo {
        agent: "ada".into(),
        name: None,
        format: "raw".into(),
        codec: Codec::None,
        raw_size: bytes.len() as u64,
        // The driver does not look at it; programs do.
        checksum: Checksum(transfer::hash(bytes).0),
        metadata: None,
    }
}

pub(crate) fn agent_name(name: &str) -> AgentName {
    name.parse().expect("a valid name")
}

/// Notes what the node tells, and takes whatever arrives.
async fn keep_journal(mut events: EventStream, handle: Handle, shared: Arc<Shared>) {
    while let Some(event) = events.next().await {
        {
            let mut journal = lock(&shared);
            match event {
                Event::Core(event) => {
                    if let node::Event::Message(incoming) = &event {
                        handle.taken(incoming.from, incoming.session, incoming.message.number);
                    }
                    journal.note(event);
                }
                Event::Weights { from, manifest, chunks } => {
                    let bytes = chunks.concat().into();
                    handle.weights_taken(from, manifest.id);
                    journal.weights.push((from, manifest, bytes));
                }
                Event::Lagged(dropped) => journal.lagged += dropped,
            }
        }
        shared.changed.notify_waiters();
    }
    lock(&shared).ended = true;
    shared.changed.notify_waiters();
}

fn lock(shared: &Shared) -> MutexGuard<'_, Journal> {
    shared.journal.lock().unwrap_or_else(PoisonError::into_inner)
}
