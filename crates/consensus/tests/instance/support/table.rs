//! The voters of a slot, and everything that they might sign.

use std::sync::Arc;

use mesh_consensus::instance::{Me, Saved};
use mesh_consensus::{Electorate, Instance};
use mesh_proto::charter::Voter;
use mesh_proto::decision::{
    Ballot, Certificate, Choice, Claim, Outcome, Polka, PolkaVote, Proposal, Propose, SignedClaim, SignedPropose,
    SignedVote, Slot, Step, Subject, Value, Vote, VoterIndex,
};
use mesh_proto::{Digest, Keypair, MeshId, SlotId, Strict};

use super::{Core, Millis, WINDOW, config};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) keys: Vec<Keypair>,
    pub(crate) electorate: Arc<Electorate>,
    pub(crate) slot: Slot,
}

pub(crate) fn ballot(choice: Choice) -> Ballot {
    Ballot { choice, reason: String::new() }
}

pub(crate) fn approve() -> Ballot {
    ballot(Choice::Approve)
}

pub(crate) fn reject() -> Ballot {
    ballot(Choice::Reject)
}

impl Table {
    /// `n` voters, and a proposal of the last one.
    pub(crate) fn owned(n: usize) -> Self {
        let table = Self::resource(n);
        let author = table.keys[n - 1].node();
        table.about(Subject::Owned { author, seq: 1 })
    }

    /// `n` voters, and a resource.
    pub(crate) fn resource(n: usize) -> Self {
        let mut keys: Vec<_> = (1..=u8::try_from(n).unwrap()).map(|n| Keypair::from_seed(&[n; 32])).collect();
        keys.sort_by_key(Keypair::node);
        let voters = keys.iter().map(|key| Voter { node: key.node(), key: key.node() }).collect();
        let subject = Subject::Resource { name: "gpu".to_owned(), seq: 1 };
        let slot = Slot { mesh: MeshId([7; 32]), epoch: 0, subject };
        Self { keys, electorate: Arc::new(Electorate::new(voters)), slot }
    }

    /// The same voters about something else.
    pub(crate) fn about(&self, subject: Subject) -> Self {
        Self { slot: Slot { subject, ..self.slot.clone() }, ..self.clone() }
    }

    /// The same voters in the next slot, the next epoch and another mesh.
    pub(crate) fn elsewhere(&self) -> [Self; 3] {
        let subject = match self.slot.subject.clone() {
            Subject::Owned { author, seq } => Subject::Owned { author, seq: seq + 1 },
            Subject::Resource { name, seq } => Subject::Resource { name, seq: seq + 1 },
        };
        let in_slot = |slot| Self { slot, ..self.clone() };
        [
            self.about(subject),
            in_slot(Slot { epoch: 1, ..self.slot.clone() }),
            in_slot(Slot { mesh: MeshId([8; 32]), ..self.slot.clone() }),
        ]
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn id(&self) -> SlotId {
        self.slot.id().unwrap()
    }

    pub(crate) fn quorum(&self) -> usize {
        self.electorate.threshold().quorum
    }

    pub(crate) fn leader(&self, round: usize) -> VoterIndex {
        self.electorate.leaders(&self.slot, &self.id())[round % self.len()]
    }

    /// The first voter that leads none of these rounds.
    pub(crate) fn follower_in(&self, rounds: &[usize]) -> VoterIndex {
        let leads = |voter: &VoterIndex| rounds.iter().any(|round| self.leader(*round) == *voter);
        super::all(self.len()).find(|voter| !leads(voter)).unwrap()
    }

    /// Everybody but these.
    pub(crate) fn others(&self, but: &[VoterIndex]) -> Vec<VoterIndex> {
        super::all(self.len()).filter(|voter| !but.contains(voter)).collect()
    }

    pub(crate) fn key(&self, voter: VoterIndex) -> &Keypair {
        &self.keys[usize::from(voter)]
    }

    pub(crate) fn me(&self, voter: VoterIndex) -> Me {
        Me { voter, key: self.key(voter).clone() }
    }

    /// A voter that has just heard of the slot, at `now`.
    pub(crate) fn voter_at<A: Core>(&self, voter: VoterIndex, now: Millis) -> Instance<A> {
        let (electorate, me) = (Arc::clone(&self.electorate), Some(self.me(voter)));
        Instance::new(config(), self.slot.clone(), electorate, Arc::new(Strict), me, [voter; 32], now).unwrap()
    }

    /// The same at 0.
    pub(crate) fn voter<A: Core>(&self, voter: VoterIndex) -> Instance<A> {
        self.voter_at(voter, 0)
    }

    /// Somebody without a vote.
    pub(crate) fn bystander<A: Core>(&self) -> Instance<A> {
        let electorate = Arc::clone(&self.electorate);
        Instance::new(config(), self.slot.clone(), electorate, Arc::new(Strict), None, [0xff; 32], 0).unwrap()
    }

    /// A voter that comes back.
    pub(crate) fn restore<A: Core>(&self, voter: VoterIndex, saved: Saved, now: Millis) -> Instance<A> {
        let electorate = Arc::clone(&self.electorate);
        Instance::restore(config(), saved, electorate, Arc::new(Strict), self.me(voter), [!voter; 32], now).unwrap()
    }

    /// What the author proposes.
    pub(crate) fn proposal(&self, title: &str) -> Value {
        Value::Proposal(Proposal {
            kind: "test".to_owned(),
            title: title.to_owned(),
            body: b"what it is about"[..].into(),
            window: WINDOW,
            at: 0,
        })
    }

    /// What votes call a value.
    pub(crate) fn digest(&self, value: &Value) -> Digest {
        value.outcome().unwrap().digest(&self.id())
    }

    /// The word of the leader of a round.
    pub(crate) fn propose(&self, round: u32, value: Value, pol_round: Option<u32>) -> SignedPropose {
        self.propose_as(self.leader(usize::try_from(round).unwrap()), round, value, pol_round)
    }

    /// The same of anybody.
    pub(crate) fn propose_as(
        &self,
        voter: VoterIndex,
        round: u32,
        value: Value,
        pol_round: Option<u32>,
    ) -> SignedPropose {
        Propose { slot: self.slot.clone(), round, value, pol_round, voter }.sign(self.key(voter)).unwrap()
    }

    /// A vote; in round 0 it approves or abstains.
    pub(crate) fn vote(&self, voter: VoterIndex, round: u32, step: Step, value: Option<Digest>) -> SignedVote {
        self.unsigned(voter, round, step, value).sign(self.key(voter)).unwrap()
    }

    pub(crate) fn unsigned(&self, voter: VoterIndex, round: u32, step: Step, value: Option<Digest>) -> Vote {
        let choice = if value.is_some() { Choice::Approve } else { Choice::Abstain };
        let ballot = (round == 0 && step == Step::Prevote).then(|| ballot(choice));
        Vote { slot: self.id(), round, step, value, voter, ballot }
    }

    pub(crate) fn prevote(&self, voter: VoterIndex, round: u32, value: Option<Digest>) -> SignedVote {
        self.vote(voter, round, Step::Prevote, value)
    }

    pub(crate) fn precommit(&self, voter: VoterIndex, round: u32, value: Option<Digest>) -> SignedVote {
        self.vote(voter, round, Step::Precommit, value)
    }

    /// A voter's no.
    pub(crate) fn rejection(&self, voter: VoterIndex) -> SignedVote {
        let vote = Vote { ballot: Some(reject()), ..self.unsigned(voter, 0, Step::Prevote, None) };
        vote.sign(self.key(voter)).unwrap()
    }

    /// A polka of these voters.
    pub(crate) fn polka(&self, voters: &[VoterIndex], round: u32, value: Digest) -> Polka {
        let vote = |voter: &VoterIndex| PolkaVote {
            voter: *voter,
            reason: String::new(),
            signature: self.prevote(*voter, round, Some(value)).signature,
        };
        Polka { slot: self.id(), round, value, votes: voters.iter().map(vote).collect() }
    }

    /// A certificate of these voters.
    pub(crate) fn certificate(&self, voters: &[VoterIndex], round: u32, outcome: Outcome) -> Certificate {
        let value = Some(outcome.digest(&self.id()));
        let signature = |voter: &VoterIndex| self.precommit(*voter, round, value).signature.into_array();
        Certificate {
            slot: self.slot.clone(),
            outcome,
            round,
            voters: voters.iter().copied().collect(),
            signatures: voters.iter().flat_map(signature).collect::<Vec<_>>().into(),
        }
    }

    /// What somebody signs who wants the resource, voter or not.
    pub(crate) fn claim(&self, holder: &Keypair) -> SignedClaim {
        Claim { slot: self.slot.clone(), holder: holder.node(), length: 1_000 }.sign(holder).unwrap()
    }
}
