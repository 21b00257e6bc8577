//! How neighbours are judged: gossipsub's peer score, less P3 and P3b, which are off, and P5, which nobody sets.
//!
//! Only `+`, `-`, `*`, `/` and comparisons, so that every target comes to the same scores.

use std::collections::BTreeMap;

use mesh_core::Mono;
use mesh_core::gossip::Scores;
use mesh_proto::protocol::Topic;

use crate::id::HostId;

/// Scores of hosts that have gone, kept at most; then the one that would be forgotten first goes. libp2p has no such
/// bound.
pub(super) const MAX_RETAINED: usize = 4096;

/// What one topic tells of a neighbour.
#[derive(Clone, Copy, Debug, Default)]
struct TopicStats {
    /// In the mesh since.
    grafted: Option<Mono>,
    /// Time in the mesh, as of the last decay.
    mesh_ms: u64,
    first: f64,
    invalid: f64,
}

/// What is known of a neighbour, and what comes of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    topics: [TopicStats; 2],
    behaviour: f64,
    slow: f64,
    /// Neighbours at its address, itself included.
    colocated: usize,
    score: f64,
}

impl Stats {
    pub(super) fn score(&self) -> f64 {
        self.score
    }

    pub(super) fn grafted(&mut self, topic: Topic, now: Mono, scores: &Scores) {
        let stats = &mut self.topics[super::index(topic)];
        stats.grafted = Some(now);
        stats.mesh_ms = 0;
        self.update(scores);
    }

    pub(super) fn pruned(&mut self, topic: Topic, scores: &Scores) {
        self.topics[super::index(topic)].grafted = None;
        self.update(scores);
    }

    /// It brought a message first.
    pub(super) fn delivered(&mut self, topic: Topic, scores: &Scores) {
        let stats = &mut self.topics[super::index(topic)];
        stats.first = at_most(stats.first + 1.0, scores.first_deliveries_cap);
        self.update(scores);
    }

    /// It passed on what no honest peer does.
    pub(super) fn invalid(&mut self, topic: Topic, scores: &Scores) {
        self.topics[super::index(topic)].invalid += 1.0;
        self.update(scores);
    }

    /// It broke the protocol `count` times.
    pub(super) fn misbehaved(&mut self, count: u32, scores: &Scores) {
        self.behaviour += f64::from(count);
        self.update(scores);
    }

    /// A message to it found what waits for it full.
    pub(super) fn missed(&mut self, scores: &Scores) {
        self.slow += 1.0;
        self.update(scores);
    }

    pub(super) fn set_colocated(&mut self, colocated: usize, scores: &Scores) {
        self.colocated = colocated;
        self.update(scores);
    }

    pub(super) fn decay(&mut self, now: Mono, scores: &Scores) {
        let decayed = |value: f64, factor: f64| {
            let value = value * factor;
            if value < scores.decay_to_zero { 0.0 } else { value }
        };
        for topic in &mut self.topics {
            topic.first = decayed(topic.first, scores.first_deliveries_decay);
            topic.invalid = decayed(topic.invalid, scores.invalid_decay);
            if let Some(since) = topic.grafted {
                topic.mesh_ms = now.since(since);
            }
        }
        self.behaviour = decayed(self.behaviour, scores.behaviour_decay);
        self.slow = decayed(self.slow, scores.slow_decay);
        self.update(scores);
    }

    /// The link is down: what spoke for it is forgotten.
    fn leave(&mut self, scores: &Scores) {
        for topic in &mut self.topics {
            topic.first = 0.0;
            topic.grafted = None;
        }
        self.update(scores);
    }

    fn update(&mut self, scores: &Scores) {
        let mut sum = 0.0;
        for topic in &self.topics {
            let mut score = 0.0;
            if topic.grafted.is_some() {
                let seconds = millis(topic.mesh_ms) / 1000.0;
                score += at_most(seconds, scores.time_in_mesh_cap) * scores.time_in_mesh_weight;
            }
            score += at_most(topic.first, scores.first_deliveries_cap) * scores.first_deliveries_weight;
            score += topic.invalid * topic.invalid * scores.invalid_weight;
            sum += score * scores.topic_weight;
        }
        if scores.topic_cap > 0.0 {
            sum = at_most(sum, scores.topic_cap);
        }
        let excess = |count: f64, threshold: f64| if count > threshold { count - threshold } else { 0.0 };
        let colocated = excess(count(self.colocated), scores.colocation_threshold);
        sum += colocated * colocated * scores.colocation_weight;
        let breaches = excess(self.behaviour, scores.behaviour_threshold);
        sum += breaches * breaches * scores.behaviour_weight;
        sum += excess(self.slow, scores.slow_threshold) * scores.slow_weight;
        self.score = sum;
    }
}

/// Scores of those who have gone.
#[derive(Debug, Default)]
pub(super) struct Retained(BTreeMap<HostId, (Mono, Stats)>);

impl Retained {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get_mut(&mut self, peer: HostId) -> Option<&mut Stats> {
        self.0.get_mut(&peer).map(|(_, stats)| stats)
    }

    pub(super) fn score(&self, peer: HostId) -> f64 {
        self.0.get(&peer).map_or(0.0, |(_, stats)| stats.score)
    }

    /// It is back.
    pub(super) fn take(&mut self, peer: HostId) -> Stats {
        self.0.remove(&peer).map(|(_, stats)| stats).unwrap_or_default()
    }

    /// Keeps the score of whoever has nothing to be proud of. Nobody gets rid of a bad one by going and coming back.
    pub(super) fn keep(&mut self, peer: HostId, mut stats: Stats, now: Mono, scores: &Scores) {
        stats.set_colocated(0, scores);
        if stats.score > 0.0 {
            return;
        }
        stats.leave(scores);
        if self.0.len() >= MAX_RETAINED {
            let soonest = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(peer, _)| *peer);
            soonest.map(|peer| self.0.remove(&peer));
        }
        self.0.insert(peer, (now + scores.retain_ms, stats));
    }

    pub(super) fn expire(&mut self, now: Mono) {
        self.0.retain(|_, (until, _)| now <= *until);
    }
}

fn at_most(value: f64, cap: f64) -> f64 {
    if value < cap { value } else { cap }
}

/// Exact below 2⁵³.
fn millis(value: u64) -> f64 {
    value as f64
}

pub(super) fn count(value: usize) -> f64 {
    value as f64
}
