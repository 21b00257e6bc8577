//! How bytes get from one host to another.
//!
//! Everything that the mesh sends travels on streams, over TCP, QUIC or SCTP: a lost packet does not lose what is sent, it
//! delays it, and whatever is behind it on the same stream. That is what [`Link::loss`] does. Gossip can lose whole messages
//! all the same, when a neighbour's queue is full; [`Link::drop`], [`Link::duplicate`] and [`Link::reorder`] do that to
//! single gossip messages, which is harder on the overlay than any network is.

use crate::chance::{Chance, MILLION};
use crate::id::Micros;

/// Bytes of a packet.
const PACKET: u64 = 1_200;

/// The least time after which a lost packet is sent again, microseconds: TCP's least time-out on Linux.
const LEAST_RESEND: u64 = 200_000;

/// One direction of the way between two hosts. Probabilities are in a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The shortest time of a packet on its way, microseconds.
    pub latency_us: u64,
    /// What a packet may take on top of it, evenly spread, microseconds.
    pub jitter_us: u64,
    /// Packets that take ten times as long: the tail that every measured network has.
    pub tail: u32,
    /// Packets that are lost, and sent again after a while.
    pub loss: u32,
    /// Gossip messages that vanish.
    pub drop: u32,
    /// Gossip messages that come twice.
    pub duplicate: u32,
    /// Gossip messages that are overtaken by those behind them.
    pub reorder: u32,
    /// Bytes a second, or 0 for no limit.
    pub rate: u64,
}

impl Default for Link {
    /// A link between two homes of one continent: 10 to 60 ms, nothing lost.
    fn default() -> Self {
        Self { latency_us: 10_000, jitter_us: 50_000, tail: 1_000, loss: 0, drop: 0, duplicate: 0, reorder: 0, rate: 0 }
    }
}

impl Link {
    /// How long `len` bytes take, lost packets included.
    pub(crate) fn flight(&self, len: usize, chance: &mut Chance) -> Micros {
        let mut flight = self.latency_us + chance.below(self.jitter_us + 1);
        if chance.happens(self.tail) {
            flight *= 10;
        }
        if self.loss > 0 {
            flight += self.resent(len, chance);
        }
        Micros(flight) + self.takes(len)
    }

    /// How long the line is busy with `len` bytes.
    pub(crate) fn takes(&self, len: usize) -> Micros {
        Micros((len as u64 * 1_000_000).checked_div(self.rate).unwrap_or(0))
    }

    /// What the packets that are lost cost: the worst of them counts, for they are sent again side by side.
    fn resent(&self, len: usize, chance: &mut Chance) -> u64 {
        let packets = (len as u64).div_ceil(PACKET).max(1);
        let first = LEAST_RESEND.max(3 * (self.latency_us + self.jitter_us / 2));
        let lost = |chance: &mut Chance| (0..8).take_while(|_| chance.happens(self.loss.min(MILLION - 1))).count();
        let worst = (0..packets.min(64)).map(|_| lost(chance)).max().unwrap_or(0);
        // The wait doubles with each loss of the same packet (RFC 6298, 5.5).
        first * ((1 << worst) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights(link: &Link, len: usize) -> Vec<u64> {
        let mut chance = Chance::new(1, 2);
        let mut flights: Vec<_> = (0..1000).map(|_| link.flight(len, &mut chance).0).collect();
        flights.sort_unstable();
        flights
    }

    #[test]
    fn a_packet_takes_its_latency_and_some_jitter() {
        let link = Link { latency_us: 10_000, jitter_us: 50_000, tail: 0, ..Link::default() };
        let flights = flights(&link, 100);
        assert!(flights[0] >= 10_000 && flights[999] <= 60_000);
        assert!((30_000..40_000).contains(&flights[500]));
    }

    #[test]
    fn what_is_lost_comes_later() {
        let clean = Link { tail: 0, ..Link::default() };
        let lossy = Link { loss: 200_000, ..clean.clone() };
        let late = flights(&lossy, 100).iter().filter(|flight| **flight >= LEAST_RESEND).count();
        assert!((150..250).contains(&late), "{late}");
        let late = flights(&lossy, 12_000).iter().filter(|flight| **flight >= LEAST_RESEND).count();
        assert!(late > 800, "one of ten packets is lost nearly always: {late}");
    }

    #[test]
    fn bytes_take_time() {
        let link = Link { latency_us: 0, jitter_us: 0, tail: 0, rate: 1_000_000, ..Link::default() };
        assert_eq!(flights(&link, 500_000)[0], 500_000);
    }
}
