//! The edge of the core: which gossiped envelopes are let in.
//!
//! Checks go from cheap to dear, and nothing that is not yet believed changes any state but the bucket of the peer that
//! handed it over (reliability 4.2):
//!
//! the peer's bucket -> size and form -> mesh, topic, time -> the author's bucket (looked at) -> replay window (looked
//! at) -> the neighbour's bucket for authors not heard before (looked at) -> signature -> both buckets (charged) and the
//! window (moved).
//!
//! The author's bucket is charged only for what it signed: whoever forges its messages must not be able to silence it.

use std::sync::Arc;

use bytes::Bytes;
use mesh_proto::codec::DecodeError;
use mesh_proto::limits::MAX_CLOCK_AHEAD_MS;
use mesh_proto::protocol::Topic;
use mesh_proto::{Envelope, EnvelopeError, Kind, MeshId, NodeId, Strict, Unverified, Verified, Verifier};

use crate::limits::{Limiter, Quota};
use crate::offence::Offence;
use crate::replay::{Freshness, ReplayWindows};
use crate::time::Now;

/// How much may come in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Envelopes that one neighbour may hand over, its own and others'. Bounds the signatures we check for it: 2,000
    /// cost a fifth of a core.
    pub per_peer: Quota,
    /// Envelopes past that, of authors who have said little lately: those who say much at once, and whose messages reach us
    /// through honest neighbours, must not drown the others.
    pub reserve: Quota,
    /// Broadcast envelopes of one author; each may hold many broadcasts.
    pub broadcasts: Quota,
    /// Announcements of one author.
    pub announcements: Quota,
    /// Queries of one author.
    pub queries: Quota,
    /// Heartbeats of one author.
    pub heartbeats: Quota,
    /// Proposals, claims and electorates of one author. Each opens a slot at all voters.
    pub proposals: Quota,
    /// Votes, polkas and certificates of one author: some six for each slot, and a hundred voters may have four open each.
    pub votes: Quota,
    /// Revocations of one author.
    pub revocations: Quota,
    /// Entries of knowledge of one author; what comes in greater numbers is found by comparison.
    pub entries: Quota,
    /// Authors not heard before that one neighbour may bring. Each is remembered for six minutes: at this rate one
    /// neighbour cannot fill what there is room for, and whoever is refused is found in a member list.
    pub newcomers: Quota,
    /// Member lists that one peer may ask for: an honest one asks three times for each link.
    pub joins: Quota,
    /// Authors and neighbours that are remembered, about 300 bytes each.
    pub max_senders: usize,
    /// Who checks signatures.
    pub verifier: Arc<dyn Verifier>,
}

impl Default for Config {
    fn default() -> Self {
        let per_second = |burst, period_ms| Quota { burst, period_ms };
        Self {
            per_peer: per_second(4000, 2000),
            reserve: per_second(1000, 2000),
            broadcasts: per_second(400, 2000),
            announcements: per_second(20, 10_000),
            queries: per_second(20, 10_000),
            heartbeats: per_second(20, 20_000),
            proposals: per_second(100, 5_000),
            votes: per_second(2_400, 4_000),
            revocations: per_second(100, 10_000),
            entries: per_second(128, 4_000),
            newcomers: per_second(1000, 30_000),
            joins: per_second(20, 20_000),
            max_senders: 16_384,
            verifier: Arc::new(Strict),
        }
    }
}

/// What is to be told to gossipsub of a message: it is passed on, dropped, or held against whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let in; passed on to others.
    Accept,
    /// Old, repeated or over quota: dropped. Honest peers pass such messages on too.
    Ignore,
    /// No honest peer passes this on.
    Reject,
}

/// Why an envelope was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What follows for the peer that handed it over.
    pub verdict: Verdict,
    /// What it is counted as.
    pub offence: Offence,
    /// Whether that peer is to blame. What is ignored may be another's, who said too much or two things under one number, and
    /// honest peers that heard it first have passed it on.
    pub blames: bool,
}

/// The checks and what they remember.
#[derive(Debug)]
pub struct Intake {
    mesh: MeshId,
    verifier: Arc<dyn Verifier>,
    replay: ReplayWindows,
    peers: Limiter<NodeId>,
    reserve: Limiter<NodeId>,
    newcomers: Limiter<NodeId>,
    joins: Limiter<NodeId>,
    authors: Authors,
}

#[derive(Debug)]
struct Authors {
    broadcasts: Limiter<NodeId>,
    announcements: Limiter<NodeId>,
    queries: Limiter<NodeId>,
    heartbeats: Limiter<NodeId>,
    proposals: Limiter<NodeId>,
    votes: Limiter<NodeId>,
    revocations: Limiter<NodeId>,
    entries: Limiter<NodeId>,
}

impl Authors {
    fn of(&mut self, kind: Kind) -> &mut Limiter<NodeId> {
        match kind {
            Kind::SwarmBroadcast => &mut self.broadcasts,
            Kind::AgentAnnounce => &mut self.announcements,
            Kind::AgentDiscovery => &mut self.queries,
            Kind::MeshHeartbeat => &mut self.heartbeats,
            Kind::CoordinationProposal => &mut self.proposals,
            Kind::ConsensusVote => &mut self.votes,
            Kind::MembershipRevocation => &mut self.revocations,
            Kind::KnowledgeShare => &mut self.entries,
        }
    }
}

impl Intake {
    /// The intake of a member of `mesh`.
    pub fn new(config: &Config, mesh: MeshId) -> Self {
        let Config {
            per_peer,
            reserve,
            broadcasts,
            announcements,
            queries,
            heartbeats,
            proposals,
            votes,
            revocations,
            entries,
            newcomers,
            joins,
            max_senders,
            ref verifier,
        } = *config;
        let limiter = |quota| Limiter::new(quota, max_senders);
        Self {
            mesh,
            verifier: verifier.clone(),
            replay: ReplayWindows::new(max_senders),
            peers: limiter(per_peer),
            reserve: limiter(reserve),
            newcomers: limiter(newcomers),
            joins: limiter(joins),
            authors: Authors {
                broadcasts: limiter(broadcasts),
                announcements: limiter(announcements),
                queries: limiter(queries),
                heartbeats: limiter(heartbeats),
                proposals: limiter(proposals),
                votes: limiter(votes),
                revocations: limiter(revocations),
                entries: limiter(entries),
            },
        }
    }

    /// Lets in an envelope that `from` handed over on `topic`, or says why not.
    ///
    /// # Errors
    /// [`Refused`], with the verdict to pass on.
    pub fn admit(&mut self, from: NodeId, topic: Topic, wire: Bytes, now: Now) -> Result<Verified<Envelope>, Refused> {
        let within = self.peers.admit(&from, 1, now.mono);
        let decoded = Unverified::decode(wire);
        let own = decoded.as_ref().is_ok_and(|envelope| envelope.claims().from == from);
        let reject = |offence| Refused { verdict: Verdict::Reject, offence, blames: true };
        let ignore = |offence| Refused { verdict: Verdict::Ignore, offence, blames: own };

        if !within {
            let loud = decoded.as_ref().is_ok_and(|envelope| self.is_loud(envelope.claims(), now));
            if loud || !self.reserve.admit(&from, 1, now.mono) {
                return Err(Refused { blames: own || !loud, ..ignore(Offence::RateExceeded) });
            }
        }
        let unverified = decoded.map_err(|error| reject(offence_of(&error)))?;

        let claims = unverified.claims();
        if claims.mesh != self.mesh {
            return Err(reject(Offence::WrongMesh));
        }
        if claims.kind.topic() != topic {
            return Err(reject(Offence::WrongTopic));
        }
        match timeliness(claims, now.unix) {
            Timeliness::Timely => {}
            Timeliness::Stale => return Err(ignore(Offence::Stale)),
            Timeliness::FromFuture => return Err(reject(Offence::FromFuture)),
        }
        let (author, seq, kind) = (claims.from, claims.seq, claims.kind);
        if !self.authors.of(kind).allows(&author, 1, now.mono) {
            return Err(ignore(Offence::RateExceeded));
        }
        match self.replay.look(&author, seq) {
            Freshness::New => {}
            Freshness::Replayed => return Err(ignore(Offence::Replayed)),
            Freshness::NoRoom => return Err(ignore(Offence::RateExceeded)),
        }
        let newcomer = !self.replay.knows(&author);
        if newcomer && !self.newcomers.allows(&from, 1, now.mono) {
            return Err(ignore(Offence::RateExceeded));
        }

        let envelope = unverified.verify_by(&*self.verifier).map_err(|error| reject(offence_of(&error)))?;
        if newcomer {
            self.newcomers.admit(&from, 1, now.mono);
        }
        self.replay.record(author, seq, now.mono);
        if !self.authors.of(kind).admit(&author, 1, now.mono) {
            return Err(ignore(Offence::RateExceeded));
        }
        Ok(envelope)
    }

    /// Whether the author has said much lately.
    fn is_loud(&mut self, claims: &Envelope, now: Now) -> bool {
        !self.authors.of(claims.kind).is_quiet(&claims.from, now.mono)
    }

    /// Whether `from` may ask for a member list now.
    pub fn admit_join(&mut self, from: NodeId, now: Now) -> bool {
        self.joins.admit(&from, 1, now.mono)
    }

    /// Verifies an announcement that was handed over outside of gossip. It may be minutes old, and known: the
    /// directory takes the newest.
    ///
    /// # Errors
    /// The [`Offence`] it is.
    pub fn admit_announcement(&self, wire: Bytes, now: Now) -> Result<Verified<Envelope>, Offence> {
        let unverified = Unverified::decode(wire).map_err(|error| offence_of(&error))?;
        let claims = unverified.claims();
        if claims.mesh != self.mesh {
            return Err(Offence::WrongMesh);
        }
        if claims.kind != Kind::AgentAnnounce {
            return Err(Offence::OutOfPlace);
        }
        match timeliness(claims, now.unix) {
            Timeliness::Timely => {}
            Timeliness::Stale => return Err(Offence::Stale),
            Timeliness::FromFuture => return Err(Offence::FromFuture),
        }
        unverified.verify_by(&*self.verifier).map_err(|error| offence_of(&error))
    }

    /// Checks the signature of something that was handed over outside of gossip.
    ///
    /// # Errors
    /// [`Offence::Forged`]
    pub fn verify(&self, unverified: Unverified) -> Result<Verified<Envelope>, Offence> {
        unverified.verify_by(&*self.verifier).map_err(|error| offence_of(&error))
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        let Self { mesh: _, verifier: _, replay, peers, reserve, newcomers, joins, authors } = self;
        let Authors { broadcasts, announcements, queries, heartbeats, proposals, votes, revocations, entries } =
            authors;
        let of_authors = [broadcasts, announcements, queries, heartbeats, proposals, votes, revocations, entries];
        let limiters = [peers, reserve, newcomers, joins].into_iter().chain(of_authors);
        replay.retained() + limiters.map(|limiter| limiter.retained()).sum::<usize>()
    }

    /// Forgets what need not be remembered any more. To be called every minute or so.
    pub fn prune(&mut self, now: Now) {
        self.replay.prune(now.mono);
        self.peers.prune(now.mono);
        self.reserve.prune(now.mono);
        self.newcomers.prune(now.mono);
        self.joins.prune(now.mono);
        for kind in Kind::ALL {
            self.authors.of(kind).prune(now.mono);
        }
    }
}

enum Timeliness {
    Timely,
    Stale,
    FromFuture,
}

fn timeliness(claims: &Envelope, unix: u64) -> Timeliness {
    let said = claims.clock.unix_ms();
    if said > unix.saturating_add(MAX_CLOCK_AHEAD_MS) {
        Timeliness::FromFuture
    } else if said.saturating_add(claims.ttl) < unix {
        Timeliness::Stale
    } else {
        Timeliness::Timely
    }
}

/// The offence that a decoding or signature error is.
pub fn offence_of(error: &EnvelopeError) -> Offence {
    match error {
        EnvelopeError::Decode(DecodeError::TooLong { .. } | DecodeError::OutOfBounds { .. }) => Offence::TooLarge,
        EnvelopeError::Decode(DecodeError::Malformed(_)) => Offence::Malformed,
        EnvelopeError::Signature => Offence::Forged,
    }
}

#[cfg(test)]
mod tests;
