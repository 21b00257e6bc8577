//! Before gossip: what a peer of a private mesh says there is not heard, and nothing is passed on to it, until it is let in.
//!
//! Gossipsub sends a peer what it has subscribed to. So what a stranger sends is held back, its subscriptions among it, and
//! handed over once it is in. That our own subscriptions are told to it shows no more than the id of the mesh.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};

/// What is held back of one stranger. It comes early: past it nothing more is taken.
const MAX_HELD: usize = 16;

/// A behaviour behind a gate.
pub(crate) struct Gate<B: NetworkBehaviour> {
    inner: B,
    /// Who is in; nobody has to be let in where there is no such list.
    inside: Option<BTreeSet<PeerId>>,
    held: BTreeMap<PeerId, VecDeque<(ConnectionId, THandlerOutEvent<B>)>>,
}

impl<B: NetworkBehaviour> Gate<B> {
    /// Everybody is heard, unless it is `closed`.
    pub(crate) fn new(inner: B, closed: bool) -> Self {
        Self { inner, inside: closed.then(BTreeSet::new), held: BTreeMap::new() }
    }

    /// Lets a peer in, with what it has said.
    pub(crate) fn admit(&mut self, peer: PeerId) {
        if let Some(inside) = &mut self.inside {
            inside.insert(peer);
        }
        for (connection, event) in self.held.remove(&peer).unwrap_or_default() {
            self.inner.on_connection_handler_event(peer, connection, event);
        }
    }
}

impl<B: NetworkBehaviour> Deref for Gate<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.inner
    }
}

impl<B: NetworkBehaviour> DerefMut for Gate<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
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
        if let FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, remaining_established, .. }) =
            &event
        {
            if let Some(held) = self.held.get_mut(peer_id) {
                held.retain(|(connection, _)| connection != connection_id);
            }
            if *remaining_established == 0 {
                self.held.remove(peer_id);
                // Whoever comes back has to show itself again.
                if let Some(inside) = &mut self.inside {
                    inside.remove(peer_id);
                }
            }
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        if self.inside.as_ref().is_none_or(|inside| inside.contains(&peer)) {
            return self.inner.on_connection_handler_event(peer, connection, event);
        }
        let held = self.held.entry(peer).or_default();
        if held.len() < MAX_HELD {
            held.push_back((connection, event));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}
