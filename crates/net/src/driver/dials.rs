//! Dialling: where a node says it is, and through relays; and upgrades of relayed connections.

use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use mesh_core::Offence;
use mesh_core::paths::Failure;
use mesh_webrtc::address::{is_direct_webrtc, is_relayed};
use mesh_webrtc::rtc::RtcError;
use mesh_webrtc::{Error as WebrtcError, HandshakeError};

use super::links::{distinct, with_peer};
use super::*;

/// Milliseconds that the addresses of a node itself have before the way through relays is tried as well. An address that
/// nobody answers at costs a dial's time-out, one that answers a few round trips.
const HEAD_START_MS: u64 = 500;

/// Characters of a reason that are kept: it may hold what an implementation of WebRTC makes of the remote's SDP.
const MAX_REASON: usize = 200;

/// Attempts to reach a node.
#[derive(Default)]
pub(super) struct Dials(BTreeMap<NodeId, Box<Dial>>);

struct Dial {
    in_flight: usize,
    /// Addresses through relays, and when they are tried if nothing comes of the others until then.
    detour: Option<(Mono, Vec<Multiaddr>)>,
}

impl Dials {
    /// There is a link to `node`.
    pub(super) fn remove(&mut self, node: &NodeId) {
        self.0.remove(node);
    }

    /// When a detour is to be tried.
    pub(super) fn due(&self) -> Option<Mono> {
        self.0.values().filter_map(|dial| dial.detour.as_ref()).map(|(at, _)| *at).min()
    }
}

impl<H: Host> Driver<H> {
    /// Dials `node` where it says it is and where we were told it is; if nobody answers there soon, through relays too.
    pub(super) fn dial(&mut self, node: NodeId, addresses: &[String], now: Now) {
        let Some(peer) = peer_of(&node) else {
            return self.node.handle(Input::DialFailed { peer: node }, now);
        };
        if self.dials.0.contains_key(&node) {
            return;
        }
        let told = self.seeds.get(&node).or_else(|| self.contacts.get(&node)).into_iter().flatten().cloned();
        let said = addresses.iter().filter_map(|address| address.parse().ok());
        // Those are for upgrades, which need no address.
        let said = said.filter(|address| !is_direct_webrtc(address));
        let addresses = said.chain(told).map(|address: Multiaddr| with_peer(address, peer));
        let (mut relayed, direct): (Vec<_>, Vec<_>) = distinct(addresses).into_iter().partition(is_relayed);
        if !self.seeds.contains_key(&node) {
            relayed = distinct(relayed.into_iter().chain(self.circuits(peer)));
        }
        let (first, detour) = match direct.is_empty() {
            true => (relayed, None),
            false => (direct, Some((now.mono + HEAD_START_MS, relayed)).filter(|(_, relayed)| !relayed.is_empty())),
        };
        self.dials.0.insert(node, Box::new(Dial { in_flight: 0, detour }));
        self.dial_at(node, peer, first, now);
    }

    /// Tries the detours whose time has come.
    pub(super) fn take_detours(&mut self, now: Now) {
        let due = |dial: &Dial| dial.detour.as_ref().is_some_and(|(at, _)| *at <= now.mono);
        let nodes: Vec<_> = self.dials.0.iter().filter(|(_, dial)| due(dial)).map(|(node, _)| *node).collect();
        for node in nodes {
            self.take_detour(node, now);
        }
    }

    fn take_detour(&mut self, node: NodeId, now: Now) {
        let detour = self.dials.0.get_mut(&node).and_then(|dial| dial.detour.take());
        if let (Some((_, addresses)), Some(peer)) = (detour, peer_of(&node)) {
            self.dial_at(node, peer, addresses, now);
        }
    }

    fn dial_at(&mut self, node: NodeId, peer: PeerId, addresses: Vec<Multiaddr>, now: Now) {
        let dial = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::Disconnected)
            .extend_addresses_through_behaviour()
            // From the port that it listens on, two that dial each other at once would get a single TCP connection with
            // a dialler at both ends, which libp2p gives up.
            .allocate_new_port()
            .build();
        if let Some(dial) = self.dials.0.get_mut(&node) {
            dial.in_flight += 1;
        }
        if let Err(error) = self.swarm.dial(dial) {
            self.not_dialled(peer, &error, now);
        }
    }

    pub(super) fn not_dialled(&mut self, peer: PeerId, error: &DialError, now: Now) {
        tracing::debug!(%peer, %error, "not dialled");
        let Some(node) = node_of(&peer) else { return };
        if self.links.contains_key(&node) {
            return self.dials.remove(&node);
        }
        // The DHT dials too, and nobody waits for that.
        let Some(dial) = self.dials.0.get_mut(&node) else { return };
        dial.in_flight = dial.in_flight.saturating_sub(1);
        if dial.detour.is_some() {
            self.take_detour(node, now);
        } else if dial.in_flight == 0 {
            self.dials.remove(&node);
            self.node.handle(Input::DialFailed { peer: node }, now);
        }
    }

    /// Makes a direct connection, signalled over the relayed one.
    pub(super) fn upgrade(&mut self, node: NodeId, now: Now) {
        let Some(peer) = peer_of(&node) else { return };
        let dial = DialOpts::peer_id(peer)
            .addresses(vec![mesh_webrtc::address::bare(peer)])
            // There is a connection, and that is the point.
            .condition(PeerCondition::Always)
            .build();
        let id = dial.connection_id();
        match self.swarm.dial(dial) {
            Ok(()) => drop(self.upgrades.insert(id, node)),
            Err(error) => self.not_upgraded(node, &error, now),
        }
    }

    pub(super) fn not_upgraded(&mut self, node: NodeId, error: &DialError, now: Now) {
        tracing::debug!(?node, %error, "not upgraded");
        // What the transport says, its behaviour has told with its reason.
        if !matches!(error, DialError::Transport(_)) {
            let failure = Failure::Failed(error.to_string());
            self.node.handle(Input::UpgradeFailed { peer: node, failure }, now);
        }
    }

    pub(super) fn on_webrtc(&mut self, event: mesh_webrtc::Event, now: Now) {
        let (peer, failure) = match event {
            mesh_webrtc::Event::Unsupported { peer } => (peer, Failure::Unsupported),
            mesh_webrtc::Event::Failed { peer, error, inbound: _ } => {
                if let Some(from) = node_of(&peer).filter(|_| error.is_offence()) {
                    self.node.handle(Input::Offence { from, offence: Offence::OutOfPlace }, now);
                }
                (peer, failure_of(&error))
            }
        };
        if let Some(node) = node_of(&peer) {
            self.node.handle(Input::UpgradeFailed { peer: node, failure }, now);
        }
    }

    /// Addresses of `peer` through the relays that we have a link to.
    fn circuits(&self, peer: PeerId) -> impl Iterator<Item = Multiaddr> + '_ {
        let relays = self.seeds.keys().chain(self.reservations.keys().filter(|relay| !self.seeds.contains_key(relay)));
        relays.filter_map(move |seed| {
            let connection = self.links.get(seed)?.values().find(|connection| !connection.relayed)?;
            let relay = with_peer(connection.address.clone(), peer_of(seed)?);
            Some(relay.with(Protocol::P2pCircuit).with(Protocol::P2p(peer)))
        })
    }
}

fn failure_of(error: &WebrtcError) -> Failure {
    match error {
        WebrtcError::Unsupported => Failure::Unsupported,
        WebrtcError::Handshake(HandshakeError::Rtc(RtcError::Absent(_))) => Failure::Absent,
        WebrtcError::Busy
        | WebrtcError::NotConnected
        | WebrtcError::Relay
        | WebrtcError::Stream
        | WebrtcError::Handshake(_)
        | WebrtcError::Gone
        | WebrtcError::NoListening => Failure::Failed(error.to_string().chars().take(MAX_REASON).collect()),
    }
}
