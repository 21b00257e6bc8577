//! Nodes of a small network on one machine: real swarms over TCP, a real relay, and WebRTC in memory.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::Either;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::OrTransport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, Transport as _, noise, ping, relay, tcp, yamux};
use mesh_webrtc::address::{bare, is_direct_webrtc, is_relayed};
use mesh_webrtc::rtc::memory::Network;
use mesh_webrtc::{Config, Event};

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long [`World::until_so`] waits for an event before it looks again.
const STEP: Duration = Duration::from_millis(20);

/// How long a connection without streams is kept: for as long as any test.
const IDLE: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    relay: Toggle<relay::Behaviour>,
    client: Toggle<relay::client::Behaviour>,
    webrtc: Toggle<mesh_webrtc::Behaviour>,
    ping: ping::Behaviour,
}

pub(crate) type Happened = SwarmEvent<BehaviourEvent>;

/// All nodes of a test. They live as long as somebody waits in [`World::until`].
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Swarm<Behaviour>>,
}

/// The relay is the first node.
pub(crate) const RELAY: usize = 0;

impl World {
    /// A network with a relay in it.
    pub(crate) async fn new() -> Self {
        let mut world = Self { network: Network::new(), nodes: vec![relay()] };
        world.nodes[RELAY].listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let address = world
            .until("the relay listens", |_, event| match event {
                SwarmEvent::NewListenAddr { address, .. } => Some(address.clone()),
                _ => None,
            })
            .await;
        world.nodes[RELAY].add_external_address(address);
        world
    }

    /// Adds a node, with WebRTC if there is a configuration for it.
    pub(crate) fn add(&mut self, config: Option<Config>) -> usize {
        self.nodes.push(client(&self.network, config));
        self.nodes.len() - 1
    }

    /// Adds a node that holds a reservation.
    pub(crate) async fn add_reachable(&mut self, config: Option<Config>) -> usize {
        let node = self.add(config);
        let circuit = self.relay().with(Protocol::P2pCircuit);
        self.nodes[node].listen_on(circuit).unwrap();
        let expected = self.circuit(node);
        self.until("a reservation", |at, event| match event {
            SwarmEvent::ExternalAddrConfirmed { address } if at == node && *address == expected => Some(()),
            _ => None,
        })
        .await;
        node
    }

    pub(crate) fn peer(&self, node: usize) -> PeerId {
        *self.nodes[node].local_peer_id()
    }

    /// Where the relay is reached.
    pub(crate) fn relay(&self) -> Multiaddr {
        let address = self.nodes[RELAY].external_addresses().next().unwrap().clone();
        address.with(Protocol::P2p(self.peer(RELAY)))
    }

    /// Where a node is reached through the relay.
    pub(crate) fn circuit(&self, node: usize) -> Multiaddr {
        self.relay().with(Protocol::P2pCircuit).with(Protocol::P2p(self.peer(node)))
    }

    /// Where a node is reached by WebRTC.
    pub(crate) fn webrtc(&self, node: usize) -> Multiaddr {
        self.relay().with(Protocol::P2pCircuit).with(Protocol::WebRTC).with(Protocol::P2p(self.peer(node)))
    }

    /// Runs all nodes until one of them tells what is expected.
    pub(crate) async fn until<T>(&mut self, what: &str, mut expected: impl FnMut(usize, &Happened) -> Option<T>) -> T {
        let nodes = &mut self.nodes;
        let found = poll_fn(|cx| {
            for (at, node) in nodes.iter_mut().enumerate() {
                while let Poll::Ready(Some(event)) = node.poll_next_unpin(cx) {
                    if let Some(found) = expected(at, &event) {
                        return Poll::Ready(found);
                    }
                }
            }
            Poll::Pending
        });
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    /// Runs all nodes until `condition` holds, asked after every event.
    pub(crate) async fn until_so(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let steps = async {
            while !condition(self) {
                // What holds may come to hold without an event.
                let _ = tokio::time::timeout(STEP, self.until(what, |_, _| Some(()))).await;
            }
        };
        tokio::time::timeout(PATIENCE, steps).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    /// Connects two nodes through the relay; gives the connection at the first.
    pub(crate) async fn connect_relayed(&mut self, from: usize, to: usize) -> ConnectionId {
        let circuit = self.circuit(to);
        self.nodes[from].dial(circuit).unwrap();
        self.connected(from, to, is_relayed).await[0]
    }

    /// Dials the bare address, as an upgrade does.
    pub(crate) fn upgrade(&mut self, from: usize, to: usize) {
        let peer = self.peer(to);
        let opts = DialOpts::peer_id(peer).addresses(vec![bare(peer)]).condition(PeerCondition::Always).build();
        self.nodes[from].dial(opts).unwrap();
    }

    /// Waits until both ends tell of a connection with such an address; gives it at both.
    pub(crate) async fn connected(
        &mut self,
        one: usize,
        other: usize,
        is: fn(&Multiaddr) -> bool,
    ) -> [ConnectionId; 2] {
        let mut ids = [None, None];
        let (peers, pair) = ([self.peer(other), self.peer(one)], [one, other]);
        self.until("both are connected", |at, event| {
            if let SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } = event {
                let address = if endpoint.is_dialer() { endpoint.get_remote_address() } else { local(endpoint) };
                for end in 0..2 {
                    if at == pair[end] && *peer_id == peers[end] && is(address) {
                        ids[end] = Some(*connection_id);
                    }
                }
            }
            Some([ids[0]?, ids[1]?])
        })
        .await
    }

    pub(crate) async fn connected_directly(&mut self, one: usize, other: usize) -> [ConnectionId; 2] {
        self.connected(one, other, is_direct_webrtc).await
    }

    /// Waits until both ends have been answered a ping on the connection.
    pub(crate) async fn pinged(&mut self, ends: [(usize, ConnectionId); 2]) {
        let mut left = ends.to_vec();
        self.until("pings on the connection", |at, event| {
            if let SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { connection, result: Ok(_), .. })) = event {
                left.retain(|end| *end != (at, *connection));
            }
            left.is_empty().then_some(())
        })
        .await;
    }

    /// Waits for what our behaviour tells at `node`.
    pub(crate) async fn told(&mut self, node: usize) -> Event {
        self.until("our behaviour's event", |at, event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Webrtc(event)) if at == node => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until no peer connection is left anywhere.
    pub(crate) async fn nothing_left(&mut self) {
        self.until_so("no peer connection is left", |world| world.network.peers() == 0).await;
        assert_eq!(self.network.channels(), 0);
    }
}

fn local(endpoint: &libp2p::core::ConnectedPoint) -> &Multiaddr {
    match endpoint {
        libp2p::core::ConnectedPoint::Dialer { address, .. } => address,
        libp2p::core::ConnectedPoint::Listener { local_addr, .. } => local_addr,
    }
}

fn swarm_config() -> libp2p::swarm::Config {
    libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE)
}

fn pings() -> ping::Behaviour {
    ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(50)))
}

fn relay() -> Swarm<Behaviour> {
    let key = Keypair::generate_ed25519();
    let transport = tcp::tokio::Transport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    let local = key.public().to_peer_id();
    let behaviour = Behaviour {
        relay: Some(relay::Behaviour::new(local, relay::Config::default())).into(),
        client: None.into(),
        webrtc: None.into(),
        ping: pings(),
    };
    Swarm::new(transport, behaviour, local, swarm_config())
}

/// A node that only dials, as a browser does.
fn client(network: &Network, config: Option<Config>) -> Swarm<Behaviour> {
    let key = Keypair::generate_ed25519();
    let local = key.public().to_peer_id();
    let (relay_transport, client) = relay::client::new(local);
    let streams = OrTransport::new(relay_transport, tcp::tokio::Transport::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default());
    let (transport, webrtc) = match config {
        Some(config) => {
            let (transport, behaviour) = mesh_webrtc::new(config, network.rtc());
            let both = OrTransport::new(transport, streams).map(|either, _| match either {
                Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
                Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            });
            (both.boxed(), Some(behaviour))
        }
        None => (streams.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed(), None),
    };
    let behaviour = Behaviour { relay: None.into(), client: Some(client).into(), webrtc: webrtc.into(), ping: pings() };
    Swarm::new(transport, behaviour, local, swarm_config())
}
