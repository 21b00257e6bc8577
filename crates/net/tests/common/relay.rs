//! The circuit relay that a hub of the tests offers, with limits that no test reaches.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::Keypair;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewListenAddr, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId, relay};
use mesh_net::{Host, HostAction};

/// Makes a node a relay.
pub(crate) struct RelayHost;

/// A relay, and what tells others where it is.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    relay: relay::Behaviour,
    reachable: Reachable,
}

impl Host for RelayHost {
    type Behaviour = Behaviour;
    type Rtc = mesh_webrtc::rtc::Absent;

    fn behaviour(&mut self, key: &Keypair) -> Behaviour {
        let hour = Duration::from_secs(3600);
        let config = relay::Config {
            max_reservations: 1024,
            max_reservations_per_peer: 16,
            reservation_duration: hour,
            reservation_rate_limiters: Vec::new(),
            max_circuits: 4096,
            max_circuits_per_peer: 256,
            max_circuit_duration: hour,
            max_circuit_bytes: 1 << 40,
            circuit_src_rate_limiters: Vec::new(),
        };
        let mut relay = relay::Behaviour::new(key.public().to_peer_id(), config);
        relay.set_status(Some(relay::Status::Enable));
        Behaviour { relay, reachable: Reachable::default() }
    }

    fn on_event(&mut self, _event: BehaviourEvent) -> Vec<HostAction> {
        Vec::new()
    }
}

/// Confirms every address that the node listens on: a reservation names them, and without one it is worth nothing.
#[derive(Default)]
pub(crate) struct Reachable(VecDeque<Multiaddr>);

impl NetworkBehaviour for Reachable {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::NewListenAddr(NewListenAddr { addr, .. }) = event {
            self.0.push_back(addr.clone());
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, never: THandlerOutEvent<Self>) {
        match never {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        self.0.pop_front().map_or(Poll::Pending, |address| Poll::Ready(ToSwarm::ExternalAddrConfirmed(address)))
    }
}
