//! Peers on the local network: found by mDNS (RFC 6762, libp2p's `_p2p._udp.local`), then dialled at all addresses
//! they gave, once for as long as they are about.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId, mdns};

/// Peers that are remembered. Anybody on the local network can invent some: past this many, new ones are left alone
/// until old ones expire.
const MAX_FOUND: usize = 256;

/// Finds peers and dials them.
pub(crate) struct Behaviour {
    inner: mdns::tokio::Behaviour,
    known: Known,
    actions: VecDeque<ToSwarm<Found, Infallible>>,
}

/// A peer was found, and is being dialled.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) PeerId);

/// Peers that were dialled and are still about.
#[derive(Default)]
struct Known(BTreeSet<PeerId>);

impl Behaviour {
    /// Begins to look.
    ///
    /// # Errors
    /// When the system does not tell its network interfaces.
    pub(crate) fn new(local: PeerId) -> io::Result<Self> {
        let inner = mdns::tokio::Behaviour::new(mdns::Config::default(), local)?;
        Ok(Self { inner, known: Known::default(), actions: VecDeque::new() })
    }

    fn on_event(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(peers) => {
                for peer in self.known.add(peers.into_iter().map(|(peer, _)| peer)) {
                    // Its addresses come out of `handle_pending_outbound_connection`, all of them.
                    self.actions.push_back(ToSwarm::Dial { opts: DialOpts::from(peer) });
                    self.actions.push_back(ToSwarm::GenerateEvent(Found(peer)));
                }
            }
            // Tells which addresses expired; a peer with others is still about.
            mdns::Event::Expired(_) => self.known.keep(self.inner.discovered_nodes().copied().collect()),
        }
    }
}

impl Known {
    /// Those of `peers` that are new.
    fn add(&mut self, peers: impl Iterator<Item = PeerId>) -> Vec<PeerId> {
        peers.filter(|peer| self.0.len() < MAX_FOUND && self.0.insert(*peer)).collect()
    }

    fn keep(&mut self, about: BTreeSet<PeerId>) {
        self.0.retain(|peer| about.contains(peer));
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Found;

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
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
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Found, THandlerInEvent<Self>>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            // mDNS tells what it hears and wants nothing else done.
            let Poll::Ready(action) = self.inner.poll(context) else { return Poll::Pending };
            if let ToSwarm::GenerateEvent(event) = action {
                self.on_event(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_dialled_once_while_it_is_about() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let mut known = Known::default();
        assert_eq!(known.add([a, a, b].into_iter()), [a, b], "several addresses are one peer");
        assert_eq!(known.add([a].into_iter()), []);
        known.keep(BTreeSet::from([b]));
        assert_eq!(known.add([a, b].into_iter()), [a], "it was away");
    }

    #[test]
    fn invented_peers_are_not_remembered_without_end() {
        let mut known = Known::default();
        let invented = std::iter::repeat_with(PeerId::random).take(2 * MAX_FOUND);
        assert_eq!(known.add(invented).len(), MAX_FOUND);
    }
}
