//! Neighbours that do not read what they are sent.
//!
//! What waits for one of them takes memory, up to [`mesh_core::gossip::Params::queue_len`] messages, and what does not fit is lost to
//! it. One that is behind for a moment is left alone. One that stays behind is better off with a new link, over which it
//! is brought up to date, and so is our memory.

use std::collections::BTreeMap;

use mesh_core::time::{Mono, Now};
use mesh_proto::NodeId;

/// How long a neighbour may stay behind, milliseconds.
const PATIENCE_MS: u64 = 10_000;

/// A pause in its misses after which it counts as having caught up, milliseconds: three heartbeats of gossipsub, which
/// tells of them once in each.
const CAUGHT_UP_MS: u64 = 2_100;

/// Neighbours that are behind: since when, and when last told. Entries go with the link.
#[derive(Debug, Default)]
pub(crate) struct Slow(BTreeMap<NodeId, (Mono, Mono)>);

impl Slow {
    /// `peer` has missed something. Whether it has been behind for too long.
    pub(crate) fn missed(&mut self, peer: NodeId, now: Now) -> bool {
        let (since, last) = self.0.entry(peer).or_insert((now.mono, now.mono));
        if now.mono.since(*last) > CAUGHT_UP_MS {
            *since = now.mono;
        }
        *last = now.mono;
        now.mono.since(*since) >= PATIENCE_MS
    }

    /// The last link to `peer` went down.
    pub(crate) fn disconnected(&mut self, peer: &NodeId) {
        self.0.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: mono }
    }

    #[test]
    fn one_that_stays_behind_is_given_up() {
        let mut slow = Slow::default();
        let peer = NodeId([1; 32]);
        assert!((0..PATIENCE_MS).step_by(700).all(|now| !slow.missed(peer, at(now))));
        assert!(slow.missed(peer, at(PATIENCE_MS)));
    }

    #[test]
    fn one_that_catches_up_is_not() {
        let mut slow = Slow::default();
        let peer = NodeId([1; 32]);
        assert!((0..10 * PATIENCE_MS).step_by(CAUGHT_UP_MS as usize + 1).all(|now| !slow.missed(peer, at(now))));
    }

    #[test]
    fn a_new_link_starts_anew() {
        let mut slow = Slow::default();
        let peer = NodeId([1; 32]);
        assert!(!slow.missed(peer, at(0)));
        slow.disconnected(&peer);
        assert!(!slow.missed(peer, at(PATIENCE_MS)));
    }
}
