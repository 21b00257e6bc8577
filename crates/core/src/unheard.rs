//! What this node said while nobody was there to hear it: kept until somebody is, for as long as it is worth hearing.
//!
//! A node that was alone for an hour must not come back with an hour's heartbeats: others would hold them against it.

use std::collections::VecDeque;

use bytes::Bytes;
use mesh_proto::protocol::Topic;
use mesh_proto::{Kind, NodeId, Unverified};

use crate::time::{Mono, Now};

/// Envelopes that are kept. Past it the oldest goes.
pub const MAX_UNHEARD: usize = 256;

/// How long a question is worth asking, milliseconds: as long as a search waits for answers, unless told otherwise.
const QUESTION_MS: u64 = 2_500;

/// Envelopes of one node.
#[derive(Debug)]
pub struct Unheard {
    node: NodeId,
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    kind: Kind,
    wire: Bytes,
    until: Mono,
}

impl Unheard {
    /// Nothing of `node`'s yet.
    pub fn new(node: NodeId) -> Self {
        Self { node, kept: VecDeque::new() }
    }

    /// Keeps an envelope, if it is worth it.
    pub fn keep(&mut self, wire: Bytes, now: Now) {
        let Ok(envelope) = Unverified::decode(wire.clone()) else {
            return;
        };
        let claims = envelope.claims();
        // What others have announced is handed to whoever joins.
        if claims.from != self.node {
            return;
        }
        let kind = claims.kind;
        let expires = (claims.clock.unix_ms() + claims.ttl).saturating_sub(now.unix);
        let until = match kind {
            // The next one comes soon and says the same.
            Kind::MeshHeartbeat => return,
            Kind::AgentAnnounce => {
                self.kept.retain(|kept| kept.kind != Kind::AgentAnnounce);
                now.mono + expires
            }
            Kind::AgentDiscovery => now.mono + expires.min(QUESTION_MS),
            // Whoever comes is told what is known.
            Kind::KnowledgeShare => return,
            Kind::SwarmBroadcast | Kind::CoordinationProposal | Kind::ConsensusVote | Kind::MembershipRevocation => {
                now.mono + expires
            }
        };
        if self.kept.len() == MAX_UNHEARD {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { kind, wire, until });
    }

    /// What somebody who listens to `topic` is to hear now, in the order it was said.
    pub fn take(&mut self, topic: Topic, now: Now) -> Vec<Bytes> {
        let (taken, kept): (VecDeque<_>, _) =
            std::mem::take(&mut self.kept).into_iter().partition(|kept| kept.kind.topic() == topic);
        self.kept = kept;
        taken.into_iter().filter(|kept| now.mono <= kept.until).map(|kept| kept.wire).collect()
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::limits::TTL_MS;
    use mesh_proto::{Keypair, MeshId};

    use super::*;
    use crate::sealer::Sealer;

    const UNIX: u64 = 1_700_000_000_000;

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: UNIX + mono }
    }

    fn key() -> Keypair {
        Keypair::from_seed(&[1; 32])
    }

    struct Talker {
        sealer: Sealer,
        unheard: Unheard,
    }

    impl Talker {
        fn new() -> Self {
            let sealer = Sealer::new(key(), MeshId([7; 32]), at(0));
            Self { sealer, unheard: Unheard::new(key().node()) }
        }

        fn says(&mut self, kind: Kind, now: u64) -> Bytes {
            let wire = self.sealer.seal(kind, vec![], at(now)).unwrap().wire().clone();
            self.unheard.keep(wire.clone(), at(now));
            wire
        }

        fn heard(&mut self, topic: Topic, now: u64) -> Vec<Bytes> {
            self.unheard.take(topic, at(now))
        }
    }

    #[test]
    fn broadcasts_are_heard_once_in_order_until_they_expire() {
        let mut talker = Talker::new();
        let said = [0, 1, 2].map(|now| talker.says(Kind::SwarmBroadcast, now));
        assert_eq!(talker.heard(Topic::Agents, 2), [""; 0]);
        assert_eq!(talker.heard(Topic::Swarm, 1 + TTL_MS), said[1..]);
        assert_eq!(talker.heard(Topic::Swarm, 1 + TTL_MS), [""; 0]);
    }

    #[test]
    fn only_the_latest_announcement_and_no_heartbeat_is_heard() {
        let mut talker = Talker::new();
        talker.says(Kind::AgentAnnounce, 0);
        talker.says(Kind::MeshHeartbeat, 5_000);
        let latest = talker.says(Kind::AgentAnnounce, 100_000);
        assert_eq!(talker.heard(Topic::Agents, 100_000), [latest]);
    }

    #[test]
    fn questions_are_asked_as_long_as_somebody_waits() {
        let mut talker = Talker::new();
        talker.says(Kind::AgentDiscovery, 0);
        let question = talker.says(Kind::AgentDiscovery, 1);
        assert_eq!(talker.heard(Topic::Agents, 2_501), [question]);
    }

    #[test]
    fn what_others_say_is_theirs() {
        let mut talker = Talker::new();
        talker.unheard.node = NodeId([9; 32]);
        talker.says(Kind::AgentAnnounce, 0);
        talker.unheard.keep(Bytes::from_static(b"junk"), at(0));
        assert_eq!(talker.heard(Topic::Agents, 0), [""; 0]);
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let mut talker = Talker::new();
        let said: Vec<_> = (0..=MAX_UNHEARD).map(|_| talker.says(Kind::SwarmBroadcast, 0)).collect();
        assert_eq!(talker.heard(Topic::Swarm, 0), said[1..]);
    }
}
