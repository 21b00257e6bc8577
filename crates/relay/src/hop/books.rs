//! Who holds what at the relay, kept from its events and from what caused each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, relay};
use mesh_core::Mono;
use mesh_platform::now;

use super::{Cause, Event};

/// Who holds what.
#[derive(Default)]
pub(super) struct Books {
    /// Connections with a reservation.
    pub(super) reserved: BTreeSet<ConnectionId>,
    /// When the open circuits between a source and a destination began, oldest first.
    circuits: BTreeMap<(PeerId, PeerId), VecDeque<Mono>>,
    /// Closings that the source's connection will report although they are in the books already.
    echoes: BTreeMap<(PeerId, PeerId), usize>,
}

impl Books {
    /// Enters an event. `None` when it says nothing new.
    pub(super) fn record(&mut self, what: relay::Event, cause: Cause) -> Option<Event> {
        let mut lasted = None;
        match (&what, cause) {
            (relay::Event::ReservationReqAccepted { .. }, Cause::Message(_, connection)) => {
                self.reserved.insert(connection);
            }
            (relay::Event::ReservationTimedOut { .. }, Cause::Message(_, connection)) => {
                self.reserved.remove(&connection);
            }
            // Told of every connection: only those with a reservation lose one.
            (relay::Event::ReservationClosed { .. }, Cause::Closed(_, connection))
                if !self.reserved.remove(&connection) =>
            {
                return None;
            }
            (relay::Event::CircuitReqAccepted { src_peer_id, dst_peer_id }, _) => {
                self.circuits.entry((*src_peer_id, *dst_peer_id)).or_default().push_back(now().mono);
            }
            (relay::Event::CircuitClosed { src_peer_id, dst_peer_id, .. }, cause) => {
                lasted = Some(self.close((*src_peer_id, *dst_peer_id), cause)?);
            }
            _ => {}
        }
        Some(Event { lasted, ..self.unchanged(what) })
    }

    /// An event that changes nothing in the books.
    pub(super) fn unchanged(&self, what: relay::Event) -> Event {
        Event {
            what,
            reservations: self.reserved.len(),
            circuits: self.circuits.values().map(VecDeque::len).sum(),
            lasted: None,
        }
    }

    /// Takes one circuit between `pair` out. `None` when it is out already.
    fn close(&mut self, pair: (PeerId, PeerId), cause: Cause) -> Option<Duration> {
        match cause {
            // The source's connection drives the circuit: it notices later and reports it once more.
            Cause::Closed(peer, _) if peer == pair.1 => *self.echoes.entry(pair).or_default() += 1,
            Cause::Message(..) | Cause::Other => {
                if let Some(echoes) = self.echoes.get_mut(&pair) {
                    *echoes -= 1;
                    if *echoes == 0 {
                        self.echoes.remove(&pair);
                    }
                    return None;
                }
            }
            Cause::Closed(..) => {}
        }
        let began = self.circuits.get_mut(&pair)?;
        let lasted = began.pop_front().map(|began| Duration::from_millis(now().mono.since(began)));
        if began.is_empty() {
            self.circuits.remove(&pair);
        }
        lasted
    }

    /// A peer without a connection has no circuits, and reports nothing any more.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.circuits.retain(|(src, dst), _| *src != peer && *dst != peer);
        self.echoes.retain(|(src, _), _| *src != peer);
    }
}
