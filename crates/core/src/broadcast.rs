//! Broadcasts to the swarm: what goes out is batched under one signature, what comes in is unpacked.
//!
//! A signature costs a hundred times what a small message costs, so everything that is published in one turn of the
//! driver travels in as few envelopes as it fits into. Nothing waits for a batch to fill: the first turn that has
//! nothing else to do sends what there is. This node keeps to the quota that others hold it to, so a burst is spread
//! over time and no part of it is refused.

use std::collections::VecDeque;

use bytes::Bytes;
use mesh_proto::gossip::{Batch, Item};
use mesh_proto::limits::{MAX_BATCH, MAX_BODY, MAX_LABEL};

use crate::access::OnlyListens;
use crate::limits::{Limiter, Quota};
use crate::time::{Mono, Now};

/// How much goes out.
#[derive(Clone, Debug)]
pub struct Config {
    /// Envelopes of ours. The burst is small, so that a hundred who speak at once fit into what waits for a slow
    /// neighbour before it misses some; what comes behind it shares envelopes. The rate is below
    /// [`crate::intake::Config::broadcasts`], which is what others let in, because a delay on the way can push two of our
    /// seconds into one of theirs.
    pub quota: Quota,
    /// Bytes that wait to be sent. Past it `publish` answers [`Error::OverQuota`].
    pub max_waiting: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { quota: Quota { burst: 4, period_ms: 25 }, max_waiting: 64 * 1024 * 1024 }
    }
}

/// Why a broadcast was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body or topic is past its bound.
    #[error("a broadcast has at most {max} bytes, this one has {len}")]
    TooLarge {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Too much waits to be sent already.
    #[error("too many broadcasts wait to be sent; wait for earlier ones to resolve")]
    OverQuota,
    /// This node is no member.
    #[error(transparent)]
    OnlyListens(#[from] OnlyListens),
}

/// What waits to be sent.
#[derive(Debug)]
pub struct Broadcast {
    max_waiting: usize,
    quota: Limiter<()>,
    waiting: VecDeque<Item>,
    bytes: usize,
    due: Option<Mono>,
    batches: VecDeque<Batch>,
}

impl Broadcast {
    /// Nothing waiting.
    pub fn new(config: &Config) -> Self {
        let Config { quota, max_waiting } = *config;
        Self {
            max_waiting,
            quota: Limiter::new(quota, 1),
            waiting: VecDeque::new(),
            bytes: 0,
            due: None,
            batches: VecDeque::new(),
        }
    }

    /// Takes a broadcast. It leaves with the next turn.
    ///
    /// # Errors
    /// [`Error`]; nothing was taken then.
    pub fn publish(&mut self, topic: String, body: Bytes, now: Now) -> Result<(), Error> {
        check(topic.len(), MAX_LABEL)?;
        check(body.len(), MAX_BODY)?;
        let size = weight(&topic, &body);
        if self.bytes + size > self.max_waiting {
            return Err(Error::OverQuota);
        }
        self.bytes += size;
        self.waiting.push_back(Item { topic, body });
        self.due.get_or_insert(now.mono);
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.bytes
    }

    /// Packs what waits, as far as the quota goes.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.due.is_none_or(|due| due > now.mono) {
            return;
        }
        while !self.waiting.is_empty() && self.quota.admit(&(), 1, now.mono) {
            let batch = self.pack();
            self.batches.push_back(batch);
        }
        self.due = match self.waiting.is_empty() {
            true => None,
            false => self.quota.ready_at(&(), 1, now.mono),
        };
    }

    /// When there is something to pack.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.due
    }

    /// A batch to sign and publish.
    pub fn poll_output(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// At least one item, and more while they fit.
    fn pack(&mut self) -> Batch {
        let mut items = Vec::new();
        let mut size = 0;
        while let Some(item) = self.waiting.front() {
            let weight = weight(&item.topic, &item.body);
            if !items.is_empty() && (size + weight > MAX_BODY || items.len() == MAX_BATCH) {
                break;
            }
            size += weight;
            items.extend(self.waiting.pop_front());
        }
        self.bytes -= size;
        Batch { items }
    }
}

/// Bytes that an item takes in a batch: its parts, and at most 24 for its CBOR keys and lengths.
fn weight(topic: &str, body: &Bytes) -> usize {
    topic.len() + body.len() + 24
}

fn check(len: usize, max: usize) -> Result<(), Error> {
    if len > max {
        return Err(Error::TooLarge { len, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mesh_proto::codec;
    use mesh_proto::limits::MAX_ENVELOPE;

    use super::*;

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: 0 }
    }

    fn drain(broadcast: &mut Broadcast, now: Now) -> Vec<Batch> {
        broadcast.handle_timeout(now);
        std::iter::from_fn(|| broadcast.poll_output()).collect()
    }

    #[test]
    fn one_turn_is_one_batch_in_order() {
        let mut broadcast = Broadcast::new(&Config::default());
        for n in 0..100u8 {
            broadcast.publish("t".into(), vec![n].into(), at(5)).unwrap();
        }
        assert_eq!(broadcast.poll_timeout(), Some(Mono(5)), "due at once");
        let batches = drain(&mut broadcast, at(5));
        assert_eq!(batches.len(), 1);
        let sent: Vec<u8> = batches[0].items.iter().map(|item| item.body[0]).collect();
        assert_eq!(sent, (0..100).collect::<Vec<u8>>());
        assert_eq!(broadcast.poll_timeout(), None);
        assert_eq!(broadcast.waiting(), 0);
    }

    #[test]
    fn the_largest_batches_fit_an_envelope() {
        for (count, len, topic) in [(1, MAX_BODY, 64), (5000, 0, 0), (3000, 20, 0), (900, 256, 64), (40, 3000, 3)] {
            let quota = Quota { burst: 100, period_ms: 1 };
            let mut broadcast = Broadcast::new(&Config { quota, ..Config::default() });
            for _ in 0..count {
                broadcast.publish("x".repeat(topic), vec![0; len].into(), at(0)).unwrap();
            }
            let batches = drain(&mut broadcast, at(0));
            assert_eq!(batches.iter().map(|batch| batch.items.len()).sum::<usize>(), count);
            for batch in batches {
                // An envelope's other fields and its seal take less than 512 bytes.
                codec::encode(&batch, MAX_ENVELOPE - 512).unwrap();
                codec::Bounded::check(&batch).unwrap();
            }
        }
    }

    #[test]
    fn a_burst_keeps_to_the_quota_and_loses_nothing() {
        let config = Config { quota: Quota { burst: 2, period_ms: 100 }, ..Config::default() };
        let mut broadcast = Broadcast::new(&config);
        for _ in 0..5 {
            broadcast.publish(String::new(), vec![0; MAX_BODY].into(), at(0)).unwrap();
        }
        let mut sent = Vec::new();
        while let Some(due) = broadcast.poll_timeout() {
            sent.extend(drain(&mut broadcast, at(due.0)).iter().map(|_| due.0));
        }
        assert_eq!(sent, [0, 0, 50, 100, 150]);
    }

    #[test]
    fn bounds_hold_at_the_limit_and_one_past() {
        let mut broadcast = Broadcast::new(&Config { max_waiting: 2 * (MAX_BODY + 24), ..Config::default() });
        let body = |len: usize| Bytes::from(vec![0; len]);
        let too_large = |len, max| Err(Error::TooLarge { len, max });
        assert_eq!(broadcast.publish("x".repeat(65), body(0), at(0)), too_large(65, 64));
        assert_eq!(broadcast.publish(String::new(), body(MAX_BODY + 1), at(0)), too_large(MAX_BODY + 1, MAX_BODY));
        assert_eq!(broadcast.publish(String::new(), body(MAX_BODY), at(0)), Ok(()));
        assert_eq!(broadcast.publish(String::new(), body(MAX_BODY), at(0)), Ok(()));
        assert_eq!(broadcast.publish(String::new(), body(0), at(0)), Err(Error::OverQuota));
    }
}
