//! Lends the transport signalling streams on relayed connections, and gives it those that others open.
//!
//! Also tells the swarm where we are reached: wherever the relay client has a reservation, WebRTC leads to us as well.
//! So there is no listener of our own that would have to keep step with the reservation.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use crate::address;
use crate::config::Config;
use crate::error::Error;
use crate::handler::{Accepted, Handler, Open};
use crate::lend::{Ask, Lent, Wanted};
use crate::slots::Slots;

/// What became of attempts to connect directly. Success is the swarm's to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// No direct connection came of an attempt; the swarm makes one for each `/webrtc` address of a peer. What was
    /// dropped before its end is not told: a dial that was faster at another address, or timed out in the swarm. The
    /// other side of such a one is told [`HandshakeError::Refused`](crate::HandshakeError::Refused).
    Failed {
        /// With whom.
        peer: PeerId,
        /// Why.
        error: Error,
        /// Whether the peer began it.
        inbound: bool,
    },
    /// The peer does not speak `/webrtc`: [`Error::Unsupported`].
    Unsupported {
        /// Who.
        peer: PeerId,
    },
}

/// The behaviour. It has to be in the same swarm as the [`Transport`](crate::Transport) it was made with.
#[derive(Debug)]
pub struct Behaviour {
    stream_timeout: Duration,
    /// From the transport. Bounded there: one for each dial, and some.
    asks: mpsc::Receiver<Ask>,
    /// To the transport. Has room for each place that is given out.
    inbound: mpsc::Sender<Lent>,
    /// Places for the handshakes that we begin.
    ours: Slots<PeerId>,
    /// Places for those that others begin.
    theirs: Slots<PeerId>,
    /// Connections through relays.
    relayed: BTreeMap<PeerId, Vec<ConnectionId>>,
    /// Connections through relays that we are dialling.
    dials: BTreeMap<ConnectionId, Dial>,
    actions: VecDeque<ToSwarm<Event, Open>>,
}

/// A connection through a relay that we are dialling.
#[derive(Debug)]
struct Dial {
    peer: PeerId,
    address: Multiaddr,
    /// Bounded by the places that they hold.
    waiting: Vec<Open>,
}

impl Behaviour {
    pub(crate) fn new(config: &Config, asks: mpsc::Receiver<Ask>, inbound: mpsc::Sender<Lent>) -> Self {
        let slots = || Slots::new(config.max_handshakes, config.max_handshakes_per_peer);
        Self {
            stream_timeout: config.stream_timeout,
            asks,
            inbound,
            ours: slots(),
            theirs: slots(),
            relayed: BTreeMap::new(),
            dials: BTreeMap::new(),
            actions: VecDeque::new(),
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Stream(wanted) => self.wanted(wanted),
            Ask::Failed { peer, error: Error::Unsupported, .. } => {
                self.actions.push_back(ToSwarm::GenerateEvent(Event::Unsupported { peer }));
            }
            Ask::Failed { peer, error, inbound } => {
                self.actions.push_back(ToSwarm::GenerateEvent(Event::Failed { peer, error, inbound }));
            }
        }
    }

    fn wanted(&mut self, Wanted { peer, relayed, respond }: Wanted) {
        // Whoever has given up gives the place back.
        for dial in self.dials.values_mut() {
            dial.waiting.retain(|open| !open.respond.is_canceled());
        }
        let Some(slot) = self.ours.take(peer) else {
            // Whoever asked may have gone.
            let _ = respond.send(Err(Error::Busy));
            return;
        };
        let connection = self.relayed.get(&peer).and_then(|all| all.first()).copied();
        match (connection, relayed) {
            (Some(connection), _) => self.open(peer, connection, Open { slot, respond }),
            (None, Some(address)) => self.dial(peer, address, Open { slot, respond }),
            (None, None) => {
                let _ = respond.send(Err(Error::NotConnected));
            }
        }
    }

    fn open(&mut self, peer: PeerId, connection: ConnectionId, open: Open) {
        let handler = NotifyHandler::One(connection);
        self.actions.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: open });
    }

    fn dial(&mut self, peer: PeerId, address: Multiaddr, open: Open) {
        let same = self.dials.values_mut().find(|dial| dial.peer == peer && dial.address == address);
        if let Some(dial) = same {
            dial.waiting.push(open);
            return;
        }
        // Always: the dial that wants this one counts already, and any other condition would find it.
        let opts = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address.clone()]).build();
        self.dials.insert(opts.connection_id(), Dial { peer, address, waiting: vec![open] });
        self.actions.push_back(ToSwarm::Dial { opts });
    }

    fn established(&mut self, peer: PeerId, connection: ConnectionId, relayed: bool) {
        let dialled = self.dials.remove(&connection);
        if !relayed {
            return;
        }
        self.relayed.entry(peer).or_default().push(connection);
        // It serves those that wait for another one, too.
        let others = self.dials.values_mut().filter(|dial| dial.peer == peer);
        let others: Vec<_> = others.flat_map(|dial| dial.waiting.drain(..)).collect();
        for open in dialled.into_iter().flat_map(|dial| dial.waiting).chain(others) {
            self.open(peer, connection, open);
        }
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(connections) = self.relayed.get_mut(&peer) {
            connections.retain(|id| *id != connection);
            if connections.is_empty() {
                self.relayed.remove(&peer);
            }
        }
    }

    fn not_dialled(&mut self, connection: ConnectionId) {
        for open in self.dials.remove(&connection).into_iter().flat_map(|dial| dial.waiting) {
            let _ = open.respond.send(Err(Error::Relay));
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Of an incoming circuit only our own address tells that it is one.
        Ok(Handler::new(peer, address::is_relayed(local), self.stream_timeout))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, address::is_relayed(remote), self.stream_timeout))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the swarm tells much that means nothing here")]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                let relayed = address::is_relayed(match endpoint {
                    ConnectedPoint::Dialer { address, .. } => address,
                    ConnectedPoint::Listener { local_addr, .. } => local_addr,
                });
                self.established(peer_id, connection_id, relayed);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.closed(peer_id, connection_id);
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => self.not_dialled(connection_id),
            // What we add comes back here, and has no mirror image.
            FromSwarm::ExternalAddrConfirmed(confirmed) => {
                self.actions.extend(address::mirrored(confirmed.addr).map(ToSwarm::ExternalAddrConfirmed));
            }
            FromSwarm::ExternalAddrExpired(expired) => {
                self.actions.extend(address::mirrored(expired.addr).map(ToSwarm::ExternalAddrExpired));
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, Accepted(stream): Accepted) {
        // One without a place is reset.
        if let Some(slot) = self.theirs.take(peer) {
            let _ = self.inbound.try_send(Lent { peer, stream, slot });
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            match ready!(self.asks.poll_next_unpin(cx)) {
                Some(ask) => self.asked(ask),
                // Without a transport there is nobody to ask.
                None => return Poll::Pending,
            }
        }
    }
}
