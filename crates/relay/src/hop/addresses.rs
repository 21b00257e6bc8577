//! The addresses that a reservation names: those under which others reach this relay.

use libp2p::swarm::behaviour::{ExternalAddrConfirmed, ExternalAddrExpired, ExternalAddresses};
use libp2p::swarm::{FromSwarm, NetworkBehaviour};
use libp2p::{Multiaddr, relay};

/// Keeps the relay told of the external addresses, or of those it listens on as long as there are none.
#[derive(Default)]
pub(super) struct Addresses {
    external: ExternalAddresses,
    /// In the order they came in; libp2p keeps them in one of chance.
    listening: Vec<Multiaddr>,
    /// What the relay takes for its external addresses.
    told: Vec<Multiaddr>,
}

impl Addresses {
    /// Passes an event on, with the addresses as this sees them.
    pub(super) fn on_swarm_event(&mut self, event: FromSwarm<'_>, relay: &mut relay::Behaviour) {
        let external = self.external.on_swarm_event(&event);
        let listening = self.on_listen_event(&event);
        if external || listening {
            self.tell(relay);
        }
        if !matches!(event, FromSwarm::ExternalAddrConfirmed(_) | FromSwarm::ExternalAddrExpired(_)) {
            relay.on_swarm_event(event);
        }
    }

    /// Whether the addresses this node listens on are others now.
    fn on_listen_event(&mut self, event: &FromSwarm<'_>) -> bool {
        if let FromSwarm::NewListenAddr(new) = event {
            self.listening.push(new.addr.clone());
            return true;
        }
        if let FromSwarm::ExpiredListenAddr(expired) = event {
            self.listening.retain(|addr| addr != expired.addr);
            return true;
        }
        false
    }

    fn tell(&mut self, relay: &mut relay::Behaviour) {
        let now: Vec<_> = match self.external.as_slice() {
            [] => self.listening.clone(),
            external => external.to_vec(),
        };
        for addr in self.told.iter().filter(|addr| !now.contains(addr)) {
            relay.on_swarm_event(FromSwarm::ExternalAddrExpired(ExternalAddrExpired { addr }));
        }
        for addr in now.iter().filter(|addr| !self.told.contains(addr)) {
            relay.on_swarm_event(FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr }));
        }
        self.told = now;
    }
}
