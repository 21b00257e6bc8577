//! Rate limits: how much work one peer may cause.
//!
//! A generic cell rate algorithm (ITU-T I.371): every key has a bucket that refills at a constant rate, and its whole
//! state is the time at which it will be full again.

use std::collections::BTreeMap;

use crate::time::Mono;

/// `burst` units at once, and `burst` units in every `period_ms` in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Units that a full bucket holds.
    pub burst: u32,
    /// Milliseconds in which an empty bucket fills.
    pub period_ms: u64,
}

impl Quota {
    /// Microseconds of refilling that `cost` units take.
    fn price(self, cost: u32) -> u64 {
        (self.period_ms * 1000).saturating_mul(u64::from(cost)) / u64::from(self.burst.max(1))
    }
}

/// One bucket for each key.
#[derive(Clone, Debug)]
pub struct Limiter<K> {
    quota: Quota,
    max_keys: usize,
    /// When each bucket is full again, microseconds. Absent means full.
    full_at: BTreeMap<K, u64>,
}

impl<K: Ord + Clone> Limiter<K> {
    /// Buckets for at most `max_keys` keys. When more are in use at once, newcomers find no bucket and are refused:
    /// a flood of new names must not push out the state of old ones.
    pub fn new(quota: Quota, max_keys: usize) -> Self {
        Self { quota, max_keys, full_at: BTreeMap::new() }
    }

    /// Buckets that are remembered: one for each that is not full.
    pub fn retained(&self) -> usize {
        self.full_at.len()
    }

    /// Whether `cost` units would be admitted now.
    pub fn allows(&self, key: &K, cost: u32, now: Mono) -> bool {
        self.after(key, cost, now).is_some()
    }

    /// Whether at least three quarters of the bucket are left: its key has asked for little lately.
    pub fn is_quiet(&self, key: &K, now: Mono) -> bool {
        self.allows(key, self.quota.burst - self.quota.burst / 4, now)
    }

    /// Takes `cost` units, or none and answers `false`.
    pub fn admit(&mut self, key: &K, cost: u32, now: Mono) -> bool {
        let Some(after) = self.after(key, cost, now) else {
            return false;
        };
        if !self.full_at.contains_key(key) && self.full_at.len() >= self.max_keys {
            self.prune(now);
            if self.full_at.len() >= self.max_keys {
                return false;
            }
        }
        self.full_at.insert(key.clone(), after);
        true
    }

    /// When `cost` units will be admitted; `now` if at once, `None` if never.
    pub fn ready_at(&self, key: &K, cost: u32, now: Mono) -> Option<Mono> {
        if cost > self.quota.burst {
            return None;
        }
        let after = self.filled(key, now) + self.quota.price(cost);
        let wait = after.saturating_sub(micros(now) + self.quota.period_ms * 1000);
        Some(now + wait.div_ceil(1000))
    }

    /// Forgets full buckets. Never those of peers that went away, or reconnecting would fill a bucket.
    pub fn prune(&mut self, now: Mono) {
        let now = micros(now);
        self.full_at.retain(|_, full_at| *full_at > now);
    }

    fn after(&self, key: &K, cost: u32, now: Mono) -> Option<u64> {
        let after = self.filled(key, now) + self.quota.price(cost);
        (cost <= self.quota.burst && after <= micros(now) + self.quota.period_ms * 1000).then_some(after)
    }

    fn filled(&self, key: &K, now: Mono) -> u64 {
        self.full_at.get(key).copied().unwrap_or(0).max(micros(now))
    }
}

fn micros(time: Mono) -> u64 {
    time.0.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_burst_and_refills() {
        let mut limiter = Limiter::new(Quota { burst: 4, period_ms: 1000 }, 10);
        // (at, cost, expected)
        let steps = [
            (0, 4, true),
            (0, 1, false),
            (249, 1, false),
            (250, 1, true),
            (250, 1, false),
            (1250, 4, true),
            (9000, 5, false), // more than a bucket ever holds
            (9000, 4, true),
        ];
        for (at, cost, expected) in steps {
            assert_eq!(limiter.admit(&"peer", cost, Mono(at)), expected, "{cost} at {at}");
        }
    }

    #[test]
    fn ready_at_tells_when_admit_succeeds() {
        let mut limiter = Limiter::new(Quota { burst: 2, period_ms: 100 }, 10);
        assert!(limiter.admit(&1, 2, Mono(7)));
        let ready = limiter.ready_at(&1, 1, Mono(7)).unwrap();
        assert!(!limiter.allows(&1, 1, Mono(ready.0 - 1)));
        assert!(limiter.allows(&1, 1, ready));
        assert_eq!(limiter.ready_at(&1, 3, Mono(7)), None);
    }

    #[test]
    fn who_asks_for_a_quarter_of_the_bucket_is_quiet() {
        let mut limiter = Limiter::new(Quota { burst: 4, period_ms: 1000 }, 10);
        for (at, cost, expected) in [(0, 1, true), (0, 1, false), (249, 0, false), (250, 0, true)] {
            assert!(limiter.admit(&"peer", cost, Mono(at)));
            assert_eq!(limiter.is_quiet(&"peer", Mono(at)), expected, "{cost} at {at}");
        }
    }

    #[test]
    fn keys_are_bounded_and_old_state_stays() {
        let mut limiter = Limiter::new(Quota { burst: 1, period_ms: 1000 }, 2);
        assert!(limiter.admit(&1, 1, Mono(0)));
        assert!(limiter.admit(&2, 1, Mono(0)));
        assert!(!limiter.admit(&3, 1, Mono(0)), "a third key finds no room");
        assert!(!limiter.admit(&1, 1, Mono(1)), "and the first is still empty");
        assert!(limiter.admit(&3, 1, Mono(1000)), "full buckets make room");
    }
}
