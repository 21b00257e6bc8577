//! Replay windows: a message counts once, however often it is sent again.
//!
//! One sliding window for each sender over its sequence numbers (RFC 6479): constant memory, and no message that was
//! let in once is let in again. Together with the TTL it also outlives a sender's entry: when an entry is dropped, every
//! message it guarded has expired.

use std::collections::BTreeMap;

use mesh_proto::NodeId;
use mesh_proto::limits::DUPLICATE_WINDOW_MS;

use crate::time::Mono;

/// Sequence numbers behind the newest that are told apart; older ones count as replayed. A sender batches what it says
/// in a hurry, so this is several seconds of the most that its quota lets it say.
pub const WINDOW: u64 = 1024;

const WORDS: usize = (WINDOW / 64) as usize;

/// What a window says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Not seen before.
    New,
    /// Seen, or too far behind to tell.
    Replayed,
    /// A new sender, and there is no room for another.
    NoRoom,
}

/// The windows of all senders.
#[derive(Clone, Debug)]
pub struct ReplayWindows {
    max_senders: usize,
    senders: BTreeMap<NodeId, Box<Window>>,
}

impl ReplayWindows {
    /// Windows for at most `max_senders`, about 200 bytes each.
    pub fn new(max_senders: usize) -> Self {
        Self { max_senders, senders: BTreeMap::new() }
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        self.senders.len()
    }

    /// Whether anything of `sender`'s was let in lately.
    pub fn knows(&self, sender: &NodeId) -> bool {
        self.senders.contains_key(sender)
    }

    /// What is known of `seq` from `sender`. Changes nothing: an unverified message must not move a window.
    pub fn look(&self, sender: &NodeId, seq: u64) -> Freshness {
        match self.senders.get(sender) {
            Some(window) if window.seen(seq) => Freshness::Replayed,
            Some(_) => Freshness::New,
            None if self.senders.len() < self.max_senders => Freshness::New,
            None => Freshness::NoRoom,
        }
    }

    /// Remembers `seq` from `sender`.
    pub fn record(&mut self, sender: NodeId, seq: u64, now: Mono) {
        let window = self.senders.entry(sender).or_insert_with(|| Box::new(Window::new(seq)));
        window.record(seq);
        window.last = now;
    }

    /// Forgets senders whose every message has expired.
    pub fn prune(&mut self, now: Mono) {
        self.senders.retain(|_, window| now.since(window.last) <= DUPLICATE_WINDOW_MS);
    }
}

#[derive(Clone, Debug)]
struct Window {
    top: u64,
    /// Bit `seq % WINDOW` for each of the `WINDOW` numbers up to `top`.
    bits: [u64; WORDS],
    last: Mono,
}

impl Window {
    fn new(top: u64) -> Self {
        Self { top, bits: [0; WORDS], last: Mono::default() }
    }

    fn seen(&self, seq: u64) -> bool {
        if seq > self.top {
            return false;
        }
        self.top - seq >= WINDOW || self.bits[word(seq)] & bit(seq) != 0
    }

    fn record(&mut self, seq: u64) {
        if seq > self.top {
            // The numbers that enter the window take over the bits of those that leave it.
            for entering in (self.top + 1..=seq).take(WINDOW as usize) {
                self.bits[word(entering)] &= !bit(entering);
            }
            self.top = seq;
        }
        self.bits[word(seq)] |= bit(seq);
    }
}

fn word(seq: u64) -> usize {
    (seq % WINDOW / 64) as usize
}

fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    const A: NodeId = NodeId([1; 32]);

    #[test]
    fn a_number_counts_once() {
        let mut windows = ReplayWindows::new(8);
        // (seq, expected)
        let steps = [
            (5000, Freshness::New),
            (5000, Freshness::Replayed),
            (4999, Freshness::New),
            (5000 - WINDOW + 1, Freshness::New),
            (5000 - WINDOW, Freshness::Replayed), // behind the window
            (9000, Freshness::New),               // a jump clears it
            (9000 - WINDOW + 1, Freshness::New),
            (5000, Freshness::Replayed),
            (u64::MAX, Freshness::New),
            (u64::MAX, Freshness::Replayed),
        ];
        for (seq, expected) in steps {
            assert_eq!(windows.look(&A, seq), expected, "{seq}");
            if expected == Freshness::New {
                windows.record(A, seq, Mono(0));
            }
        }
    }

    #[test]
    fn agrees_with_a_set_of_all_numbers() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut windows = ReplayWindows::new(1);
        let mut seen = BTreeSet::new();
        let mut top: u64 = 10_000;
        for _ in 0..50_000 {
            let seq = (top + rng.next_u64() % 40).saturating_sub(rng.next_u64() % (WINDOW + 60));
            let new = !seen.contains(&seq) && (seq > top || top - seq < WINDOW || seen.is_empty());
            assert_eq!(windows.look(&A, seq) == Freshness::New, new, "seq {seq} top {top}");
            if new {
                windows.record(A, seq, Mono(0));
                top = if seen.is_empty() { seq } else { top.max(seq) };
                seen.insert(seq);
            }
        }
    }

    #[test]
    fn senders_are_bounded_and_forgotten_when_their_messages_have_expired() {
        let mut windows = ReplayWindows::new(1);
        windows.record(A, 1, Mono(0));
        let b = NodeId([2; 32]);
        assert_eq!(windows.look(&b, 1), Freshness::NoRoom);
        windows.prune(Mono(DUPLICATE_WINDOW_MS));
        assert_eq!(windows.look(&A, 1), Freshness::Replayed);
        windows.prune(Mono(DUPLICATE_WINDOW_MS + 1));
        assert_eq!(windows.look(&b, 1), Freshness::New);
    }
}
