//! Links: listening, reservations, and what the swarm says of connections.

use futures::StreamExt as _;
use futures::future::abortable;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Stream, identify, ping};
use mesh_core::messaging;
use mesh_core::node::Hearing;
use mesh_proto::protocol;
use mesh_webrtc::address::is_direct_webrtc;

use super::*;
use crate::admit;

/// Direct streams that one peer may have open to us; a healthy one has a single one, and a second while it reconnects.
const MAX_INBOUND: usize = 4;

/// Streams that one peer may have open to us to ask or show something once: an honest one does one thing at a time. One past it
/// is reset.
const MAX_SERVED: usize = 4;

/// Pings in a row that may go unanswered.
const MAX_PINGS_LOST: u32 = 3;

/// One of the connections to a peer.
pub(super) struct Connection {
    pub(super) relayed: bool,
    pub(super) address: Multiaddr,
    pings_lost: u32,
    /// When a ping was last answered, or the connection came up.
    pub(super) answered: Mono,
}

/// The best of the connections to a peer: a direct one rather than a relayed one.
fn best(connections: &BTreeMap<ConnectionId, Connection>) -> Option<(&ConnectionId, &Connection)> {
    connections.iter().min_by_key(|(_, connection)| connection.relayed)
}

/// The relays' addresses, by node.
pub(super) fn seeds(relays: &[Multiaddr]) -> Result<BTreeMap<NodeId, Vec<Multiaddr>>, StartError> {
    let mut seeds = BTreeMap::<_, Vec<_>>::new();
    for address in relays {
        let node = match address.iter().last() {
            Some(Protocol::P2p(peer)) => node_of(&peer),
            Some(_) | None => None,
        };
        let node = node.ok_or_else(|| StartError::NoPeerId(address.clone()))?;
        seeds.entry(node).or_default().push(address.clone());
    }
    Ok(seeds)
}

/// Listens on all `addresses`. What else happens meanwhile is returned, to be taken in later.
#[expect(clippy::wildcard_enum_match_arm, reason = "what means nothing here is returned")]
pub(super) async fn listen<X>(
    swarm: &mut Swarm<Behaviour<X>>,
    addresses: &[Multiaddr],
) -> Result<Vec<SwarmEvent<BehaviourEvent<X>>>, StartError>
where
    X: NetworkBehaviour + Send,
{
    let mut early = Vec::new();
    for address in addresses {
        let failed = |reason: String| StartError::Listen { address: address.clone(), reason };
        let id = swarm.listen_on(address.clone()).map_err(|error| failed(error.to_string()))?;
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == id => break,
                SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } if listener_id == id => {
                    return Err(failed(error.to_string()));
                }
                SwarmEvent::ListenerError { listener_id, error } if listener_id == id => {
                    return Err(failed(error.to_string()));
                }
                event => early.push(event),
            }
        }
    }
    // A listener on all of a machine's addresses names them one by one.
    while let Some(event) = swarm.select_next_some().now_or_never() {
        early.push(event);
    }
    Ok(early)
}

/// Where the swarm listens, with its peer id.
pub(super) fn listening<X: NetworkBehaviour>(swarm: &Swarm<Behaviour<X>>) -> Vec<Multiaddr> {
    let peer = *swarm.local_peer_id();
    swarm.listeners().map(|address| with_peer(address.clone(), peer)).collect()
}

impl<H: Host> Driver<H> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the swarm has many events that mean nothing here")]
    pub(super) fn on_swarm(&mut self, event: MeshEvent<H>, now: Now) {
        self.host.on_swarm_event(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event, now),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.established(peer_id, connection_id, &endpoint, now)
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => self.closed(peer_id, connection_id, now),
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id: Some(peer), error } => {
                match self.upgrades.remove(&connection_id) {
                    Some(node) => self.not_upgraded(node, &error, now),
                    None => self.not_dialled(peer, &error, now),
                }
            }
            SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. } => {
                self.listens();
                self.drain(now);
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.reservations.retain(|_, listener| *listener != listener_id);
                self.listens();
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent<H::Behaviour>, now: Now) {
        match event {
            BehaviourEvent::Gossipsub(event) => self.on_gossip(event, now),
            BehaviourEvent::Ping(ping::Event { peer, connection, result }) => {
                self.on_ping(peer, connection, result, now)
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                let heard = node_of(&peer_id).is_some_and(|node| self.node.hearing(&node, now) == Hearing::Yes);
                if heard && info.protocols.iter().any(|name| name.as_ref() == protocol::KAD) {
                    // Those are for upgrades, which need no address.
                    let dialled = |address: &Multiaddr| !is_direct_webrtc(address);
                    for address in info.listen_addrs.into_iter().filter(dialled).take(8) {
                        self.swarm.behaviour_mut().kad.add_address(&peer_id, address);
                    }
                }
            }
            BehaviourEvent::Host(event) => {
                for action in self.host.on_event(event) {
                    let HostAction::Dial(address) = action;
                    let _ = self.swarm.dial(DialOpts::unknown_peer_id().address(address).allocate_new_port().build());
                }
            }
            BehaviourEvent::Kad(event) => self.on_kad(event, now),
            BehaviourEvent::Bitswap(event) => self.on_bitswap(event, now),
            BehaviourEvent::Identify(_) | BehaviourEvent::Relay(_) => {}
            BehaviourEvent::Webrtc(event) => self.on_webrtc(event, now),
            BehaviourEvent::Streams(inbound) => self.on_stream(inbound),
            BehaviourEvent::Limits(never) => match never {},
        }
    }

    fn on_ping(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        result: Result<std::time::Duration, ping::Failure>,
        now: Now,
    ) {
        let Some(node) = node_of(&peer) else { return };
        match result {
            Ok(round_trip) => {
                let millis = u64::try_from(round_trip.as_millis()).unwrap_or(u64::MAX);
                let Some(connections) = self.links.get_mut(&node) else { return };
                let direct = connections.values().any(|connection| !connection.relayed);
                let Some(connection) = connections.get_mut(&id) else { return };
                (connection.pings_lost, connection.answered) = (0, now.mono);
                // The link is as fast as its best connection.
                if !connection.relayed || !direct {
                    self.node.handle(Input::RoundTrip { peer: node, millis }, now);
                }
            }
            Err(_) => {
                let Some(connection) = self.connection(&node, id) else { return };
                connection.pings_lost += 1;
                if connection.pings_lost >= MAX_PINGS_LOST {
                    self.swarm.close_connection(id);
                }
            }
        }
    }

    fn connection(&mut self, node: &NodeId, id: ConnectionId) -> Option<&mut Connection> {
        self.links.get_mut(node)?.get_mut(&id)
    }

    fn established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint, now: Now) {
        let Some(node) = node_of(&peer) else {
            // Not one of us: nodes of a mesh have Ed25519 keys.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        };
        let address = endpoint.get_remote_address();
        let connection = Connection {
            relayed: endpoint.is_relayed(),
            // Of a direct connection that the other end began, the transport tells no address.
            address: if address.is_empty() { mesh_webrtc::address::bare(peer) } else { address.clone() },
            pings_lost: 0,
            answered: now.mono,
        };
        self.dials.remove(&node);
        self.upgrades.remove(&id);
        let direct = !connection.relayed;
        let connections = self.links.entry(node).or_default();
        let first_direct = direct && connections.values().all(|connection| connection.relayed);
        let handed_over = first_direct && !connections.is_empty();
        connections.insert(id, connection);
        self.linked(node, now);
        self.may_ask(peer, now);
        // Left where it is, the stream would go down with the relayed connection, at whose close what is written by then
        // may neither arrive nor fail.
        if handed_over {
            self.renew_stream(node, now);
        }
    }

    fn closed(&mut self, peer: PeerId, id: ConnectionId, now: Now) {
        let Some(node) = node_of(&peer) else { return };
        let Some(connections) = self.links.get_mut(&node) else { return };
        let was_best = best(connections).is_some_and(|(best, _)| *best == id);
        connections.remove(&id);
        if connections.is_empty() {
            self.links.remove(&node);
            self.directs.remove(&node);
            self.slow.disconnected(&node);
            self.break_inbound(&node);
            self.showing.remove(&node);
            self.early.remove(&node);
            self.node.handle(Input::Disconnected { peer: node }, now);
        } else if was_best {
            self.linked(node, now);
        }
        // Else nothing has changed for the core, to which each word of a link is a sign of life.
    }

    /// Tells the core of the best connection to `node`.
    fn linked(&mut self, node: NodeId, now: Now) {
        if let Some((_, Connection { relayed, address, .. })) = self.links.get(&node).and_then(best) {
            let input = Input::Connected { peer: node, relayed: *relayed, address: address.to_string() };
            self.node.handle(input, now);
        }
    }

    /// Gives up our message stream to `node`: its successor is opened over the best connection, and brings what is not
    /// acknowledged.
    pub(super) fn renew_stream(&mut self, node: NodeId, now: Now) {
        if self.directs.remove(&node).is_some() {
            self.node.handle(Input::Direct(messaging::Input::Closed { peer: node }), now);
        }
    }

    /// Closes the relayed connections to `node`, if a direct one is there to take their place.
    pub(super) fn close_relayed(&mut self, node: &NodeId) {
        let Some(connections) = self.links.get(node) else { return };
        if connections.values().all(|connection| connection.relayed) {
            return;
        }
        for (id, _) in connections.iter().filter(|(_, connection)| connection.relayed) {
            self.swarm.close_connection(*id);
        }
    }

    /// Reserves a place on `node`, so that others reach us through it.
    pub(super) fn reserve(&mut self, node: NodeId) {
        if self.role == Role::Hub || self.reservations.contains_key(&node) {
            return;
        }
        let connection = self.links.get(&node).and_then(|all| all.values().find(|connection| !connection.relayed));
        let (Some(connection), Some(peer)) = (connection, peer_of(&node)) else {
            return;
        };
        let address = with_peer(connection.address.clone(), peer).with(Protocol::P2pCircuit);
        match self.swarm.listen_on(address) {
            Ok(listener) => {
                self.reservations.insert(node, listener);
            }
            Err(error) => tracing::debug!(?node, %error, "no reservation"),
        }
    }

    /// Tells the core where we can be reached now: what we were told first, public and relayed addresses next.
    pub(super) fn listens(&mut self) {
        let peer = *self.swarm.local_peer_id();
        let external = self.swarm.external_addresses().cloned().collect::<Vec<_>>();
        let (loopback, others): (Vec<_>, Vec<_>) = self.swarm.listeners().cloned().partition(is_loopback);
        let addresses = external.into_iter().chain(others).chain(loopback).map(|address| with_peer(address, peer));
        let addresses = distinct(addresses).into_iter().map(|address| address.to_string()).collect();
        self.node.handle(Input::Addresses(addresses), mesh_platform::now());
    }

    pub(super) fn on_stream(&mut self, inbound: Inbound) {
        let Inbound { peer, protocol, stream } = inbound;
        let Some(from) = node_of(&peer) else { return };
        if protocol == admit::AUTH || protocol == admit::ADMIT {
            return self.on_admission_stream(from, &protocol, stream);
        }
        let hearing = self.node.hearing(&from, mesh_platform::now());
        let heard = match hearing {
            Hearing::Yes => true,
            Hearing::Joins => protocol == crate::join::PROTOCOL,
            Hearing::Later => return self.keep_early(from, Inbound { peer, protocol, stream }),
            Hearing::No => false,
        };
        if !heard {
            return;
        }
        if protocol == direct::PROTOCOL {
            self.on_direct_stream(from, stream);
        } else if protocol == transfer::PROTOCOL {
            self.transfers.accept(from, stream);
        } else {
            // The only other name that is accepted.
            self.on_join_stream(from, stream);
        }
    }

    fn on_direct_stream(&mut self, from: NodeId, stream: Stream) {
        let number = self.ticket();
        let open = self.inbound.entry(from).or_default();
        // The oldest hangs on a path that is gone more likely than the newest.
        if open.len() >= MAX_INBOUND
            && let Some((_, oldest)) = open.pop_first()
        {
            oldest.abort();
        }
        let (reader, abort) = abortable(direct::read(stream, (from, number), self.reports.clone()));
        open.insert(number, abort);
        mesh_platform::spawn(async move {
            let _ = reader.await;
        });
    }

    fn on_join_stream(&mut self, from: NodeId, stream: Stream) {
        if self.may_serve(from) {
            mesh_platform::spawn(crate::join::answer(stream, from, self.reports.clone()));
        }
    }

    /// Counts a stream that asks or shows something once, if there are not too many.
    pub(super) fn may_serve(&mut self, from: NodeId) -> bool {
        let open = self.serving.entry(from).or_default();
        let may = *open < MAX_SERVED;
        *open += usize::from(may);
        may
    }

    /// Breaks all direct streams that `from` has open to us.
    pub(super) fn break_inbound(&mut self, from: &NodeId) {
        for (_, reader) in self.inbound.remove(from).unwrap_or_default() {
            reader.abort();
        }
    }
}

pub(super) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Protocol::P2p(_)) => address,
        Some(_) | None => address.with(Protocol::P2p(peer)),
    }
}

pub(super) fn distinct(addresses: impl Iterator<Item = Multiaddr>) -> Vec<Multiaddr> {
    let mut distinct = Vec::new();
    for address in addresses {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    distinct
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        Some(_) | None => false,
    }
}
