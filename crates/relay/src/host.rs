//! What a relay adds to an ordinary node: the circuit relay's server side, and mDNS.

use std::num::NonZeroU32;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::relay;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use mesh_net::{Host, HostAction};

use crate::config::Limits;
use crate::hop;
use crate::metrics::Recorder;
use crate::neighbours::{self, Found};

/// The relay's part of the swarm, before and while it runs.
pub(crate) struct RelayHost {
    limits: Limits,
    mdns: bool,
    recorder: Recorder,
}

/// The relay's behaviours.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(crate) struct Behaviour {
    relay: hop::Behaviour,
    neighbours: Toggle<neighbours::Behaviour>,
}

impl RelayHost {
    pub(crate) fn new(limits: Limits, mdns: bool, recorder: Recorder) -> Self {
        Self { limits, mdns, recorder }
    }
}

impl Host for RelayHost {
    type Behaviour = Behaviour;
    type Rtc = mesh_net::NoRtc;

    fn behaviour(&mut self, key: &Keypair) -> Behaviour {
        let local = key.public().to_peer_id();
        let neighbours = self.mdns.then(|| neighbours::Behaviour::new(local)).and_then(|started| match started {
            Ok(neighbours) => Some(neighbours),
            Err(error) => {
                tracing::warn!(%error, "cannot look for peers on the local network");
                None
            }
        });
        Behaviour { relay: hop::Behaviour::new(local, relay_config(&self.limits)), neighbours: neighbours.into() }
    }

    fn on_event(&mut self, event: BehaviourEvent) -> Vec<HostAction> {
        match event {
            BehaviourEvent::Relay(event) => {
                tracing::debug!(event = ?event.what, event.reservations, event.circuits, "relay");
                self.recorder.relay(&event);
            }
            BehaviourEvent::Neighbours(Found(peer)) => {
                tracing::debug!(%peer, "found on the local network");
                self.recorder.found_by_mdns();
            }
        }
        Vec::new()
    }

    fn on_swarm_event<E>(&mut self, event: &SwarmEvent<E>) {
        self.recorder.swarm(event);
    }
}

fn relay_config(limits: &Limits) -> relay::Config {
    let Limits {
        max_reservations,
        max_reservations_per_peer,
        reservation_seconds,
        max_circuits,
        max_circuits_per_peer,
        circuit_seconds,
        circuit_mib,
        reservation_burst_per_peer,
        reservations_per_minute_per_peer,
        reservation_burst_per_address,
        reservations_per_minute_per_address,
        circuit_burst_per_peer,
        circuits_per_minute_per_peer,
        circuit_burst_per_address,
        circuits_per_minute_per_address,
    } = *limits;
    let config = relay::Config {
        max_reservations: count(max_reservations),
        // The two limits per peer: libp2p-relay 0.22 lets one more in than they say.
        max_reservations_per_peer: count(max_reservations_per_peer) - 1,
        reservation_duration: Duration::from_secs(reservation_seconds.get().into()),
        reservation_rate_limiters: Vec::new(),
        max_circuits: count(max_circuits),
        max_circuits_per_peer: count(max_circuits_per_peer) - 1,
        max_circuit_duration: Duration::from_secs(circuit_seconds.get().into()),
        max_circuit_bytes: u64::from(circuit_mib) * 1024 * 1024,
        circuit_src_rate_limiters: Vec::new(),
    };
    config
        .reservation_rate_per_peer(reservation_burst_per_peer, every(reservations_per_minute_per_peer))
        .reservation_rate_per_ip(reservation_burst_per_address, every(reservations_per_minute_per_address))
        .circuit_src_per_peer(circuit_burst_per_peer, every(circuits_per_minute_per_peer))
        .circuit_src_per_ip(circuit_burst_per_address, every(circuits_per_minute_per_address))
}

fn count(limit: NonZeroU32) -> usize {
    usize::try_from(limit.get()).unwrap_or(usize::MAX)
}

/// The time between two tokens of a bucket. At least the microsecond that the limiter can tell.
fn every(per_minute: NonZeroU32) -> Duration {
    (Duration::from_secs(60) / per_minute.get()).max(Duration::from_micros(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_reach_the_relay() {
        let config = relay_config(&Limits::default());
        assert_eq!(config.max_reservations, 512);
        assert_eq!(config.max_circuits, 8192);
        assert_eq!(config.max_circuit_bytes, 4 << 30);
        assert_eq!(config.max_circuit_duration, Duration::from_secs(86_400));
        assert_eq!((config.reservation_rate_limiters.len(), config.circuit_src_rate_limiters.len()), (2, 2));
    }

    #[test]
    fn a_rate_is_the_time_between_two() {
        let rate = |per_minute| every(NonZeroU32::new(per_minute).expect("not 0"));
        assert_eq!(rate(12), Duration::from_secs(5));
        assert_eq!(rate(60_000_000), Duration::from_micros(1));
    }
}
