//! The swarm's protocols, side by side.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, gossipsub, identify, kad, ping, relay};
use mesh_proto::protocol;

use crate::config::{Config, Role};
use crate::gate::Gate;
use crate::providers::{self, Providers};
use crate::{admit, direct, gossip, join, streams, transfer};

/// Time between two pings of one peer.
const PING_INTERVAL: Duration = Duration::from_secs(3);
/// Patience with one ping. A host with a busy loop answers late; three late ones in a row are a lost link.
const PING_TIMEOUT: Duration = Duration::from_secs(8);

/// Everything a member speaks, and what its host program adds.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour<X: NetworkBehaviour> {
    limits: connection_limits::Behaviour,
    pub(crate) gossipsub: Gate<gossipsub::Behaviour>,
    pub(crate) bitswap: mesh_bitswap::Behaviour,
    pub(crate) kad: kad::Behaviour<Providers>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    relay: relay::client::Behaviour,
    webrtc: Toggle<mesh_webrtc::Behaviour>,
    pub(crate) streams: streams::Behaviour,
    host: X,
}

/// Whom a swarm listens to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hears {
    /// That of a node which is not in its mesh yet: it only asks.
    Nobody,
    /// That of a private mesh.
    Members,
    /// That of an open one.
    Everybody,
}

impl<X: NetworkBehaviour> Behaviour<X> {
    pub(crate) fn new(
        config: &Config,
        hears: Hears,
        relay: relay::client::Behaviour,
        webrtc: Option<mesh_webrtc::Behaviour>,
        host: X,
    ) -> Self {
        let key = config.identity.libp2p();
        let identify = identify::Config::new(protocol::IDENTIFY.to_owned(), key.public())
            .with_agent_version(config.agent_version.clone())
            .with_push_listen_addr_updates(true)
            // The core says where to dial. What is remembered here would lead a dial through a relay past it.
            .with_cache_size(0);
        let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT);
        let shared = [direct::PROTOCOL, join::PROTOCOL, transfer::PROTOCOL];
        let shared = shared.into_iter().filter(|_| hears != Hears::Nobody);
        let admission = [admit::AUTH, admit::ADMIT].into_iter().filter(|_| hears == Hears::Members);
        let protocols = shared.chain(admission);
        Self {
            limits: connection_limits::Behaviour::new(limits(config.role)),
            gossipsub: Gate::new(gossip::behaviour(&config.mesh, config.role), hears != Hears::Everybody),
            bitswap: match hears {
                Hears::Everybody => mesh_bitswap::Behaviour::default(),
                Hears::Members | Hears::Nobody => mesh_bitswap::Behaviour::closed(),
            },
            kad: dht(config),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            relay,
            webrtc: webrtc.into(),
            streams: streams::Behaviour::new(protocols),
            host,
        }
    }
}

/// How many connections at once (decision 13, reliability 4.2).
fn limits(role: Role) -> ConnectionLimits {
    let (established, pending) = match role {
        Role::Leaf => (128, 32),
        Role::Hub => (2048, 1024),
    };
    ConnectionLimits::default()
        .with_max_established(Some(established))
        .with_max_established_per_peer(Some(4))
        .with_max_pending_incoming(Some(pending))
        .with_max_pending_outgoing(Some(pending))
}

fn dht(config: &Config) -> kad::Behaviour<Providers> {
    let peer = config.identity.peer_id();
    let mut dht = kad::Config::new(StreamProtocol::new(protocol::KAD));
    dht.set_query_timeout(Duration::from_secs(10))
        .disjoint_query_paths(true)
        .set_provider_record_ttl(Some(providers::TTL))
        .set_record_filtering(kad::StoreInserts::FilterBoth);
    let mut dht = kad::Behaviour::with_config(peer, Providers::new(peer), dht);
    dht.set_mode(Some(match config.role {
        Role::Leaf => kad::Mode::Client,
        Role::Hub => kad::Mode::Server,
    }));
    dht
}
