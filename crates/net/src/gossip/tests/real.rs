//! Swarms of libp2p that speak nothing but gossipsub, connected in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::{StreamExt, future};
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{
    Behaviour, DataTransform, Event, IdentTopic, Message, MessageAcceptance, RawMessage, TopicHash,
};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, SwarmBuilder, Transport, noise, yamux};
use mesh_proto::MeshId;

use super::{Graph, Spread, Swarm, TOPIC};

const MESH: MeshId = MeshId([7; 32]);

/// Patience with what takes a few heartbeats. Machines that build at the same time are slow.
const LIMIT: Duration = Duration::from_secs(30);

/// Rounds of everything that runs in this thread, in which nothing may happen before it is quiet.
const QUIET: usize = 64;

/// Counts copies: gossipsub tells of the first one only.
#[derive(Clone, Default)]
struct Copies(Arc<Mutex<usize>>);

impl DataTransform for Copies {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, std::io::Error> {
        *self.0.lock().unwrap() += 1;
        let RawMessage { source, data, sequence_number, topic, .. } = raw;
        Ok(Message { source, data, sequence_number, topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, std::io::Error> {
        Ok(data)
    }
}

struct Node {
    swarm: libp2p::Swarm<Behaviour<Copies>>,
    copies: Copies,
    address: Option<Multiaddr>,
}

pub(super) struct Real {
    nodes: Vec<Node>,
    names: BTreeMap<PeerId, usize>,
    got: BTreeMap<usize, Vec<usize>>,
}

impl Real {
    /// Lets the nodes dial each other, all at once.
    pub(super) async fn new(graph: &Graph) -> Self {
        let nodes: Vec<_> = (0..graph.nodes).map(|node| Node::new(graph, node)).collect();
        let names = nodes.iter().enumerate().map(|(name, node)| (*node.swarm.local_peer_id(), name)).collect();
        let mut real = Self { nodes, names, got: BTreeMap::new() };
        real.until("all listen", |real| real.nodes.iter().all(|node| node.address.is_some())).await;
        for (from, to) in &graph.links {
            let address = real.nodes[*to].address.clone().unwrap();
            real.nodes[*from].swarm.dial(address).unwrap();
        }
        real
    }

    /// Waits until nobody does anything any more.
    async fn quiet(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET {
            let moved = future::poll_fn(|context| Poll::Ready(self.poll_all(context))).await;
            quiet = if moved { 0 } else { quiet + 1 };
            // Lets the tasks of the connections run.
            tokio::task::yield_now().await;
        }
    }

    /// One event of each that has one.
    fn poll_all(&mut self, context: &mut std::task::Context<'_>) -> bool {
        let mut moved = false;
        for name in 0..self.nodes.len() {
            if let Poll::Ready(Some(event)) = self.nodes[name].swarm.poll_next_unpin(context) {
                self.on_event(name, event);
                moved = true;
            }
        }
        moved
    }

    fn on_event(&mut self, name: usize, event: SwarmEvent<Event>) {
        let node = &mut self.nodes[name];
        if let SwarmEvent::NewListenAddr { address, .. } = event {
            node.address = Some(address);
        } else if let SwarmEvent::Behaviour(Event::Message { propagation_source: from, message_id, .. }) = event {
            self.got.entry(name).or_default().push(self.names[&from]);
            let gossipsub = node.swarm.behaviour_mut();
            gossipsub.report_message_validation_result(&message_id, &from, MessageAcceptance::Accept);
        } else {
            let lost =
                matches!(event, SwarmEvent::ConnectionClosed { .. } | SwarmEvent::Behaviour(Event::SlowPeer { .. }));
            assert!(!lost, "links hold, and carry what they are given");
        }
    }
}

impl Swarm for Real {
    fn meshes(&self) -> Vec<BTreeSet<usize>> {
        let topic = IdentTopic::new(TOPIC.name(&MESH)).hash();
        let mesh = |node: &Node| node.swarm.behaviour().mesh_peers(&topic).map(|peer| self.names[peer]).collect();
        self.nodes.iter().map(mesh).collect()
    }

    fn listeners(&self) -> Vec<usize> {
        let topic = IdentTopic::new(TOPIC.name(&MESH)).hash();
        let listens = |(_, topics): &(_, Vec<_>)| topics.contains(&&topic);
        self.nodes.iter().map(|node| node.swarm.behaviour().all_peers().filter(listens).count()).collect()
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let work = future::poll_fn(|context| {
            while self.poll_all(context) {}
            if holds(self) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"));
    }

    async fn spread(&mut self, publisher: usize, body: Vec<u8>) -> Spread {
        self.quiet().await;
        self.got.clear();
        self.nodes.iter().for_each(|node| *node.copies.0.lock().unwrap() = 0);
        let topic = IdentTopic::new(TOPIC.name(&MESH));
        self.nodes[publisher].swarm.behaviour_mut().publish(topic, body).unwrap();
        self.quiet().await;
        let copies = self.nodes.iter().map(|node| *node.copies.0.lock().unwrap());
        Spread { got: std::mem::take(&mut self.got), copies: copies.enumerate().collect() }
    }
}

impl Node {
    fn new(graph: &Graph, node: usize) -> Self {
        let copies = Copies::default();
        let behaviour = super::super::with_transform(&MESH, graph.role(node), copies.clone());
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_other_transport(|key| {
                let noise = noise::Config::new(key).unwrap();
                MemoryTransport::default().upgrade(Version::V1).authenticate(noise).multiplex(yamux::Config::default())
            })
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(LIMIT * 2))
            .build();
        swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
        Self { swarm, copies, address: None }
    }
}
