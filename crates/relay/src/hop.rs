//! libp2p's circuit relay with its books kept, and guarded against three of its faults.
//!
//! `libp2p-relay` 0.22 decides who may reserve and who may connect; this behaviour wraps it and changes no rule. What
//! it adds, each from reading that version:
//!
//! * **Gauges.** `ReservationClosed` is reported for every connection that closes, reserved or not, and `CircuitClosed`
//!   twice when the destination leaves first. Counting those events drifts; here each action is tied to the connection
//!   that caused it, so [`Event::reservations`] and [`Event::circuits`] are what is really there.
//! * **A panic.** A reservation that runs out while its renewal is being answered makes the relay forget the connection
//!   and then expect it. A peer that delays its reading can bring that about, so the connection is made known again
//!   as soon as its reservation has run out.
//! * **A leak.** More than ten circuits being opened to one peer at once are dropped without an answer and hold their
//!   place for as long as that connection lasts. A hundred browsers dial a newcomer within the same second, so the
//!   requests wait here and go out [`MAX_OPENING`] at a time. What waits is bounded by the relay's own limits: each is
//!   one of `max_circuits` and of its source's `max_circuits_per_peer`.
//! * **No address.** A reservation names the relay's confirmed external addresses, and a client refuses one that names
//!   none. A relay on a laptop has no such address, so the ones it listens on stand in: see [`addresses`].
//!
//! The bytes in circuits are counted beside it: see [`traffic`].
//!
//! The relay's messages to its connections are opaque outside its crate. They are told apart by where they go, see
//! [`Behaviour::route`]; the tests beside this file fail when a later version sends them elsewhere.

mod addresses;
mod books;
mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::noop_waker_ref;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::relay;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use addresses::Addresses;
use books::Books;
pub(crate) use traffic::counted;

/// Circuits being opened to one connection at once. Relay and client both handle ten and drop the rest; two stay free
/// for those that one side has finished and the other has not.
const MAX_OPENING: usize = 8;

type Action<E> = ToSwarm<E, THandlerInEvent<relay::Behaviour>>;

/// The circuit relay's server side.
pub(crate) struct Behaviour {
    inner: relay::Behaviour,
    /// What to do next, already told apart.
    actions: VecDeque<Action<Event>>,
    books: Books,
    addresses: Addresses,
    /// Circuits being opened, by the connection they are opened to.
    opening: BTreeMap<ConnectionId, Opening>,
}

/// Something the relay did, and what stands after it.
#[derive(Debug)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) what: relay::Event,
    /// Reservations held now.
    pub(crate) reservations: usize,
    /// Circuits open now.
    pub(crate) circuits: usize,
    /// How long the circuit lasted, when one closed.
    pub(crate) lasted: Option<Duration>,
}

/// The way to one destination.
#[derive(Default)]
struct Opening {
    /// Requests handed to the connection and not answered yet.
    running: usize,
    /// Requests whose turn has not come.
    waiting: VecDeque<Action<Event>>,
}

/// What made the relay act.
#[derive(Clone, Copy)]
enum Cause {
    /// A message from this peer on this connection.
    Message(PeerId, ConnectionId),
    /// This connection to this peer closed.
    Closed(PeerId, ConnectionId),
    /// Anything else.
    Other,
}

impl Behaviour {
    /// A relay that is offered to every peer, whether or not this node knows an address of its own.
    pub(crate) fn new(local: PeerId, config: relay::Config) -> Self {
        let mut inner = relay::Behaviour::new(local, config);
        inner.set_status(Some(relay::Status::Enable));
        Self {
            inner,
            actions: VecDeque::new(),
            books: Books::default(),
            addresses: Addresses::default(),
            opening: BTreeMap::new(),
        }
    }

    /// Takes what the relay wants done and hands it on. Called after everything that can make it act, because only
    /// then is the cause known.
    fn drain(&mut self, cause: Cause) {
        // The real waker follows with the swarm's own call of `poll`, which comes after every event.
        let mut context = Context::from_waker(noop_waker_ref());
        while let Poll::Ready(action) = self.inner.poll(&mut context) {
            self.route(action, cause);
        }
    }

    /// Hands one action on.
    ///
    /// A request to open a circuit is sent to the destination's connection under the name of the source, and its
    /// outcome to the source's connection when the destination has answered. All other messages go back to the
    /// connection that caused them. A peer that opens circuits to itself over two connections can confuse the two, to
    /// its own loss: only its own connections are counted wrong then.
    fn route(&mut self, action: Action<relay::Event>, cause: Cause) {
        if let ToSwarm::GenerateEvent(event) = action {
            self.record(event, cause);
            return;
        }
        let goes_to = if let ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(to), .. } = &action {
            Some((*peer_id, *to))
        } else {
            None
        };
        let action = action.map_out(|event| self.books.unchanged(event));
        match (goes_to, cause) {
            (Some((name, to)), Cause::Message(peer, from)) if to != from && name == peer => self.open(to, action),
            (Some((name, to)), Cause::Message(peer, from)) if to != from && name != peer => {
                self.actions.push_back(action);
                self.opened(from);
            }
            _ => self.actions.push_back(action),
        }
    }

    fn record(&mut self, event: relay::Event, cause: Cause) {
        if let (relay::Event::ReservationTimedOut { .. }, Cause::Message(peer, connection)) = (&event, cause) {
            self.make_known(peer, connection);
        }
        if let Some(event) = self.books.record(event, cause) {
            self.actions.push_back(ToSwarm::GenerateEvent(event));
        }
    }

    /// Tells the relay of a connection without a reservation.
    fn make_known(&mut self, peer_id: PeerId, connection_id: ConnectionId) {
        let nowhere = ConnectedPoint::Listener { local_addr: Multiaddr::empty(), send_back_addr: Multiaddr::empty() };
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id,
            connection_id,
            endpoint: &nowhere,
            failed_addresses: &[],
            other_established: 0,
        }));
    }

    /// Opens a circuit to a connection, now or when it is its turn.
    fn open(&mut self, to: ConnectionId, request: Action<Event>) {
        let opening = self.opening.entry(to).or_default();
        if opening.running < MAX_OPENING {
            opening.running += 1;
            self.actions.push_back(request);
        } else {
            opening.waiting.push_back(request);
        }
    }

    /// A request to a connection has been answered or has failed: the next one's turn.
    fn opened(&mut self, to: ConnectionId) {
        let Some(opening) = self.opening.get_mut(&to) else { return };
        match opening.waiting.pop_front() {
            Some(request) => self.actions.push_back(request),
            None => opening.running = opening.running.saturating_sub(1),
        }
        if opening.running == 0 {
            self.opening.remove(&to);
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = <relay::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let closed = if let FromSwarm::ConnectionClosed(closed) = &event { Some(*closed) } else { None };
        self.addresses.on_swarm_event(event, &mut self.inner);
        let Some(ConnectionClosed { peer_id, connection_id, remaining_established, .. }) = closed else {
            return self.drain(Cause::Other);
        };
        self.opening.remove(&connection_id);
        self.drain(Cause::Closed(peer_id, connection_id));
        if remaining_established == 0 {
            self.books.forget(peer_id);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
        self.drain(Cause::Message(peer, connection));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        while let Poll::Ready(action) = self.inner.poll(context) {
            self.route(action, Cause::Other);
        }
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests;
