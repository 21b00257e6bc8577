//! What is remembered for a while: message ids, in the order in which they came.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use mesh_core::Mono;

use super::MessageId;

/// A map by message id that is only ever looked up, never iterated: its order would depend on the library.
pub(super) type ById<V> = HashMap<MessageId, V, BuildHasherDefault<AsIs>>;

/// Ids are hashes already. Who chooses ids that collide (in IHAVE or IDONTWANT) slows a simulation down, no more.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Ids and what is known of each, for a time, and no more than a number of them: then the oldest is forgotten first.
#[derive(Debug)]
pub(super) struct Recent<V> {
    known: ById<(u32, V)>,
    order: VecDeque<MessageId>,
    start: Mono,
    ttl_ms: u64,
    max: usize,
}

impl<V> Recent<V> {
    /// Times are kept as 32 bits of milliseconds since `start`: 49 days.
    pub(super) fn new(ttl_ms: u64, max: usize, start: Mono) -> Self {
        Self { known: ById::default(), order: VecDeque::new(), start, ttl_ms, max }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.known.contains_key(&id)
    }

    /// What is known of `id`, and when it came.
    pub(super) fn get(&self, id: MessageId) -> Option<(Mono, &V)> {
        self.known.get(&id).map(|(at, value)| (self.start + u64::from(*at), value))
    }

    /// Changes what is known of an id that is there.
    pub(super) fn set(&mut self, id: MessageId, value: V) {
        if let Some((_, known)) = self.known.get_mut(&id) {
            *known = value;
        }
    }

    /// Adds `id`, unless it is there.
    pub(super) fn insert(&mut self, id: MessageId, value: V, now: Mono) {
        if self.known.contains_key(&id) {
            return;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(id, (self.stamp(now), value));
        self.order.push_back(id);
    }

    /// Forgets what is as old as the time to live.
    pub(super) fn expire(&mut self, now: Mono) {
        let now = u64::from(self.stamp(now));
        while let Some(oldest) = self.order.front()
            && self.known.get(oldest).is_none_or(|(at, _)| u64::from(*at) + self.ttl_ms <= now)
        {
            self.known.remove(oldest);
            self.order.pop_front();
        }
    }

    fn stamp(&self, now: Mono) -> u32 {
        u32::try_from(now.since(self.start)).unwrap_or(u32::MAX)
    }
}
