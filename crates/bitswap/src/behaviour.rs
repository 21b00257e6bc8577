//! Client and server in a swarm.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use futures_timer::Delay;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use mesh_unixfs::Block;

use crate::client::{self, Client, Full};
use crate::clock::now;
use crate::handler::{Command, Handler, Report};
use crate::message::Message;
use crate::server::{Found, Look, Server};
use crate::stream::StreamError;

/// Words of a wantlist in one message: Kubo and Helia take as many.
const MAX_WORDS: usize = 1024;

/// What the behaviour tells.
#[derive(Debug)]
pub enum Event {
    /// A block that was wanted has come, and is what its CID says.
    Got {
        /// The block.
        block: Block,
        /// Who sent it.
        from: PeerId,
    },
    /// Nobody that we are connected with has this block. Answer with [`Behaviour::found`]; everybody is asked again anyway.
    Search(Cid),
    /// A peer asks for this block. Answer with [`Behaviour::looked`].
    Look(Look),
    /// A peer sent what is no message, or one past a limit.
    Bad {
        /// Who.
        peer: PeerId,
        /// What was wrong.
        error: StreamError,
    },
}

/// A peer that we are connected with.
#[derive(Debug, Default)]
struct Peer {
    /// Messages go on the first. Those that no relay carries come before the others.
    connections: Vec<ConnectionId>,
    /// How many of them no relay carries.
    direct: usize,
    /// The message that is on its way, and on which connection.
    sending: Option<(ConnectionId, Bytes)>,
    /// Times that this message, or those before it, could not be sent.
    failures: u32,
}

/// Times that a message is sent before it is given up and the peer is asked nothing more. It may hold answers, and those are
/// asked for once: Helia waits for them until it is disconnected.
const MAX_FAILURES: u32 = 3;

/// Bitswap in a swarm. Blocks are not kept here: what others ask for is told as [`Event::Look`], and what is wanted comes as
/// [`Event::Got`].
#[derive(Debug, Default)]
pub struct Behaviour {
    client: Client,
    server: Server,
    peers: BTreeMap<PeerId, Box<Peer>>,
    /// Who was let in; nobody has to be where there is no such list.
    inside: Option<BTreeSet<PeerId>>,
    events: VecDeque<ToSwarm<Event, Command>>,
    timer: Option<(Duration, Delay)>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Asks nobody for anything, and reads nothing that anybody sends, until [`admit`](Self::admit) lets them in.
    #[must_use]
    pub fn closed() -> Self {
        Self { inside: Some(BTreeSet::new()), ..Self::default() }
    }

    /// Lets in a peer that is connected, until its last connection is closed.
    pub fn admit(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else { return };
        if !self.inside.as_mut().is_some_and(|inside| inside.insert(peer)) {
            return;
        }
        for connection in &known.connections {
            self.events.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(*connection),
                event: Command::Open,
            });
        }
        self.client.connected(peer, now());
        self.wake();
    }

    fn is_inside(&self, peer: &PeerId) -> bool {
        self.inside.as_ref().is_none_or(|inside| inside.contains(peer))
    }

    /// Wants a block, from these peers first; [`Event::Got`] tells that it has come.
    ///
    /// # Errors
    ///
    /// When [`client::MAX_WANTS`] blocks are wanted already.
    pub fn want(&mut self, cid: Cid, from: &[PeerId]) -> Result<(), Full> {
        self.wake();
        self.client.want(cid, from, now())
    }

    /// Wants a block no more.
    pub fn cancel(&mut self, cid: &Cid) {
        self.wake();
        self.client.cancel(cid);
    }

    /// Says who has a block, in answer to [`Event::Search`]. Those that are not connected have to be dialled first.
    pub fn found(&mut self, cid: Cid, peers: &[PeerId]) {
        self.wake();
        self.client.found(cid, peers, now());
    }

    /// Answers an [`Event::Look`].
    pub fn looked(&mut self, peer: PeerId, cid: Cid, found: Found) {
        self.wake();
        self.server.looked(peer, cid, found);
    }

    /// A block has been put into the store: peers that wait for it get it.
    pub fn added(&mut self, cid: &Cid) {
        self.wake();
        self.server.added(cid);
    }

    /// What we want, and its figures.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What others want, and its figures.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sends to each peer that has got the message before.
    fn send(&mut self) {
        for (id, peer) in &mut self.peers {
            let idle = peer.sending.is_none() && (self.client.has_words(id) || self.server.has_answers(id));
            let Some(connection) = peer.connections.first().copied().filter(|_| idle) else { continue };
            let mut message = Message { wants: self.client.take(id, MAX_WORDS), ..Message::default() };
            self.server.take(id, &mut message);
            self.events.push_back(peer.send(*id, connection, message.encode()));
        }
    }

    /// Sends the message again that did not get through, on another connection if there is one.
    fn lost(&mut self, id: PeerId, now: Duration) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some((failed, bytes)) = peer.sending.take() else { return };
        peer.failures += 1;
        let others = peer.connections.iter().filter(|connection| **connection != failed);
        match others.chain(&peer.connections).next().copied() {
            Some(connection) if peer.failures < MAX_FAILURES => {
                self.events.push_back(peer.send(id, connection, bytes));
            }
            Some(_) | None => self.client.unsupported(&id, now),
        }
    }
}

impl Peer {
    fn add(&mut self, connection: ConnectionId, is_relayed: bool) {
        if is_relayed {
            self.connections.push(connection);
        } else {
            self.connections.insert(self.direct, connection);
            self.direct += 1;
        }
    }

    fn remove(&mut self, connection: ConnectionId) {
        let Some(at) = self.connections.iter().position(|id| *id == connection) else { return };
        self.connections.remove(at);
        if at < self.direct {
            self.direct -= 1;
        }
    }

    fn send(&mut self, id: PeerId, connection: ConnectionId, bytes: Bytes) -> ToSwarm<Event, Command> {
        self.sending = Some((connection, bytes.clone()));
        ToSwarm::NotifyHandler { peer_id: id, handler: NotifyHandler::One(connection), event: Command::Send(bytes) }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.is_inside(&peer)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.is_inside(&peer)))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a swarm tells much that means nothing here")]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let now = now();
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                let is_inside = self.is_inside(&peer_id);
                let peer = self.peers.entry(peer_id).or_default();
                peer.add(connection_id, endpoint.is_relayed());
                if peer.connections.len() == 1 && is_inside {
                    self.client.connected(peer_id, now);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                let Some(peer) = self.peers.get_mut(&peer_id) else { return };
                peer.remove(connection_id);
                let lost = peer.sending.as_ref().is_some_and(|(on, _)| *on == connection_id);
                if peer.connections.is_empty() {
                    self.peers.remove(&peer_id);
                    if let Some(inside) = &mut self.inside {
                        inside.remove(&peer_id);
                    }
                    self.client.disconnected(&peer_id, now);
                    self.server.disconnected(&peer_id);
                } else {
                    if lost {
                        self.lost(peer_id, now);
                    }
                    // What had been sent on it by either side may never arrive.
                    self.client.repeat(&peer_id, now);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, report: THandlerOutEvent<Self>) {
        let now = now();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        match report {
            Report::Received(message) => {
                for block in message.blocks {
                    self.client.block(peer, block, now);
                }
                for (cid, presence) in message.presences {
                    self.client.presence(peer, cid, presence, now);
                }
                self.server.wantlist(peer, message.wants, message.full);
            }
            Report::Sent => {
                known.sending = None;
                known.failures = 0;
            }
            Report::Lost(why) => {
                tracing::debug!(%peer, %connection, why, "a message was not sent");
                self.lost(peer, now);
            }
            Report::Unsupported => {
                known.sending = None;
                self.client.unsupported(&peer, now);
                self.server.disconnected(&peer);
            }
            Report::Bad(error) => self.events.push_back(ToSwarm::GenerateEvent(Event::Bad { peer, error })),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            while let Some(output) = self.client.poll_output() {
                self.events.push_back(ToSwarm::GenerateEvent(match output {
                    client::Output::Got(block, from) => Event::Got { block, from },
                    client::Output::Search(cid) => Event::Search(cid),
                }));
            }
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if let Some(look) = self.server.poll_look() {
                return Poll::Ready(ToSwarm::GenerateEvent(Event::Look(look)));
            }
            self.send();
            if !self.events.is_empty() {
                continue;
            }
            let Some(due) = self.client.poll_timeout() else {
                self.timer = None;
                break;
            };
            let now = now();
            if due <= now {
                self.client.handle_timeout(now);
                continue;
            }
            let timer = match &mut self.timer {
                Some((at, timer)) if *at == due => timer,
                timer => &mut timer.insert((due, Delay::new(due - now))).1,
            };
            if timer.poll_unpin(cx).is_pending() {
                break;
            }
            self.timer = None;
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
