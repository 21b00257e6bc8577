//! Places for handshakes: so many, and so many with one peer or address.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The places. Only their owner gives them out, so counting holders is enough.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    max: usize,
    max_per_peer: usize,
    all: Arc<()>,
    peers: BTreeMap<K, Arc<()>>,
}

/// A place. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Slot {
    _all: Arc<()>,
    _peer: Arc<()>,
}

impl<K: Ord> Slots<K> {
    pub(crate) fn new(max: usize, max_per_peer: usize) -> Self {
        Self { max, max_per_peer, all: Arc::default(), peers: BTreeMap::new() }
    }

    /// A place for `peer`; `None` when there is none.
    pub(crate) fn take(&mut self, peer: K) -> Option<Slot> {
        self.peers.retain(|_, mark| held(mark) > 0);
        let of_peer = self.peers.get(&peer).map_or(0, held);
        if held(&self.all) >= self.max || of_peer >= self.max_per_peer {
            return None;
        }
        let mark = self.peers.entry(peer).or_default();
        Some(Slot { _all: Arc::clone(&self.all), _peer: Arc::clone(mark) })
    }
}

/// Who else holds it.
fn held(mark: &Arc<()>) -> usize {
    Arc::strong_count(mark) - 1
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_per_peer_and_come_back() {
        let (one, other, third) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut slots = Slots::new(3, 2);
        let first = slots.take(one).unwrap();
        let _second = slots.take(one).unwrap();
        assert!(slots.take(one).is_none(), "of one peer");
        let _third = slots.take(other).unwrap();
        assert!(slots.take(third).is_none(), "of all");
        drop(first);
        let _fourth = slots.take(one).unwrap();
        assert!(slots.take(one).is_none());
        assert_eq!(slots.peers.len(), 2);
    }
}
