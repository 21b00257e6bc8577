//! What must hold in every slot (reliability 1.9), judged by an observer that sees every signature. It counts for itself and
//! asks nothing of what it judges, but for whether signatures are right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mesh_consensus::Electorate;
use mesh_proto::decision::{Certificate, Choice, Evidence, Message, Outcome, SignedVote, Step, Value, VoterIndex};
use mesh_proto::{Digest, SlotId, Verifier};

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// I1: two outcomes of one slot.
    Disagreement(Outcome, Outcome),
    /// I2: an honest voter has signed two different votes for one step of one round, across crashes.
    DoubleVote(VoterIndex, u32, Step),
    /// I2, for leaders: two different values for one round.
    DoublePropose(VoterIndex, u32),
    /// I3: an honest voter has prevoted something else than what it was locked on, without a polka for it since.
    BrokenLock(VoterIndex, u32),
    /// I4: approved without a quorum of signed approvals in round 0, or without more than a third of honest ones.
    Unapproved(usize, usize),
    /// I8: a certificate that an honest voter has ended with is none.
    BadCertificate,
    /// I9: evidence against an honest voter, or that is none.
    FalseEvidence(VoterIndex),
    /// I10: not everybody knows the outcome, although a quorum was there for long enough.
    Unfinished(usize, usize),
    /// I14: an honest voter that has told of the outcome does not know it after a crash.
    Forgotten(VoterIndex),
    /// I5: decided where no quorum was.
    MinorityDecided,
    /// The second run of a seed was another one.
    NotDeterministic,
    /// A voter's process ended by itself: a panic, or the two cores differ.
    Panicked(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disagreement(a, b) => write!(f, "I1: two outcomes, {a:?} and {b:?}"),
            Self::DoubleVote(voter, round, step) => {
                write!(f, "I2: voter {voter} has voted twice, {step:?} of round {round}")
            }
            Self::DoublePropose(voter, round) => write!(f, "I2: voter {voter} has proposed twice in round {round}"),
            Self::BrokenLock(voter, round) => write!(f, "I3: voter {voter} has left its lock in round {round}"),
            Self::Unapproved(all, honest) => write!(f, "I4: approved by {all} voters, {honest} of them honest"),
            Self::BadCertificate => write!(f, "I8: a certificate does not hold"),
            Self::FalseEvidence(voter) => write!(f, "I9: evidence against voter {voter}"),
            Self::Unfinished(decided, honest) => write!(f, "I10: {decided} of {honest} honest voters know the outcome"),
            Self::Forgotten(voter) => write!(f, "I14: voter {voter} has forgotten the outcome"),
            Self::MinorityDecided => write!(f, "I5: decided without a quorum"),
            Self::NotDeterministic => write!(f, "the second run of this seed was another"),
            Self::Panicked(why) => write!(f, "a voter panicked: {why}"),
        }
    }
}

/// Everything that was ever signed.
#[derive(Debug)]
pub struct Ledger {
    electorate: Electorate,
    slot: SlotId,
    traitors: Vec<bool>,
    quorum: usize,
    faulty: usize,
    /// Who has ever signed what, by round, step and value.
    signed: BTreeMap<(u32, Step, Option<Digest>), BTreeSet<VoterIndex>>,
    /// What each honest voter has said: its vote in each step.
    votes: BTreeMap<(VoterIndex, u32, Step), Option<Digest>>,
    proposed: BTreeMap<(VoterIndex, u32), Digest>,
    /// What each honest voter is locked on.
    locks: BTreeMap<VoterIndex, (u32, Digest)>,
    approvers: BTreeSet<VoterIndex>,
    outcome: Option<Outcome>,
    guilty: BTreeSet<VoterIndex>,
    broken: BTreeSet<Broken>,
}

impl Ledger {
    /// Of a slot whose voters are as said.
    pub fn new(electorate: &Electorate, slot: SlotId, traitors: Vec<bool>) -> Self {
        // Counted here once more, and not taken from what is judged.
        let n = traitors.len();
        Self {
            electorate: electorate.clone(),
            slot,
            traitors,
            quorum: 2 * n / 3 + 1,
            faulty: (n - 1) / 3,
            signed: BTreeMap::new(),
            votes: BTreeMap::new(),
            proposed: BTreeMap::new(),
            locks: BTreeMap::new(),
            approvers: BTreeSet::new(),
            outcome: None,
            guilty: BTreeSet::new(),
            broken: BTreeSet::new(),
        }
    }

    /// An honest voter has said this by itself.
    pub fn said(&mut self, voter: VoterIndex, message: &Message) {
        match message {
            Message::Vote(signed) => self.voted(voter, signed),
            Message::Propose(signed) if signed.propose.voter == voter => {
                let (round, value) = (signed.propose.round, &signed.propose.value);
                let Ok(outcome) = value.outcome() else { return };
                let digest = outcome.digest(&self.slot);
                if *self.proposed.entry((voter, round)).or_insert(digest) != digest {
                    self.broken.insert(Broken::DoublePropose(voter, round));
                }
            }
            Message::Propose(_)
            | Message::Polka(_)
            | Message::Decision(_)
            | Message::Claim(_)
            | Message::Release(_)
            | Message::Evidence(_)
            | Message::Status(_)
            | Message::Epochs(_)
            | Message::EpochsAfter(_)
            | Message::Others(_) => {}
        }
    }

    fn voted(&mut self, voter: VoterIndex, signed: &SignedVote) {
        let vote = &signed.vote;
        if vote.voter != voter {
            return;
        }
        let (round, step, value) = (vote.round, vote.step, vote.value);
        let first = *self.votes.entry((voter, round, step)).or_insert(value);
        if first != value {
            self.broken.insert(Broken::DoubleVote(voter, round, step));
        }
        if vote.ballot.as_ref().is_some_and(|ballot| ballot.choice == Choice::Approve) {
            self.approvers.insert(voter);
        }
        let Some(value) = value else { return };
        match step {
            Step::Precommit => {
                let lock = self.locks.entry(voter).or_insert((round, value));
                if lock.0 <= round {
                    *lock = (round, value);
                }
            }
            Step::Prevote => {
                if let Some((since, locked)) = self.locks.get(&voter)
                    && *since < round
                    && *locked != value
                    && !(*since..round).any(|of| self.count(of, Step::Prevote, Some(value)) >= self.quorum)
                {
                    self.broken.insert(Broken::BrokenLock(voter, round));
                }
            }
        }
    }

    fn count(&self, round: u32, step: Step, value: Option<Digest>) -> usize {
        self.signed.get(&(round, step, value)).map_or(0, BTreeSet::len)
    }

    /// Somebody has sent this, traitor or not.
    pub fn heard(&mut self, message: &Message, verifier: &dyn Verifier) {
        match message {
            Message::Vote(signed) => self.sign(signed, verifier),
            Message::Polka(polka) => polka.votes().for_each(|signed| self.sign(&signed, verifier)),
            Message::Propose(signed) => {
                if let Value::Rejected(votes) = &signed.propose.value {
                    votes.iter().for_each(|signed| self.sign(signed, verifier));
                }
            }
            Message::Evidence(Evidence { a, b }) => {
                self.sign(a, verifier);
                self.sign(b, verifier);
            }
            // A traitor may put one together that nobody else has seen.
            Message::Decision(certificate) if self.holds(certificate, verifier) => self.ended(certificate),
            Message::Decision(_)
            | Message::Claim(_)
            | Message::Release(_)
            | Message::Status(_)
            | Message::Epochs(_)
            | Message::EpochsAfter(_)
            | Message::Others(_) => {}
        }
    }

    fn sign(&mut self, signed: &SignedVote, verifier: &dyn Verifier) {
        let vote = &signed.vote;
        let key = self.electorate.get(vote.voter).map(|voter| voter.key);
        if vote.slot == self.slot && key.is_some_and(|key| signed.verifies(&key, verifier)) {
            self.signed.entry((vote.round, vote.step, vote.value)).or_default().insert(vote.voter);
        }
    }

    fn holds(&self, certificate: &Certificate, verifier: &dyn Verifier) -> bool {
        let Ok(votes) = certificate.votes() else { return false };
        let mut voters = BTreeSet::new();
        for signed in votes {
            let key = self.electorate.get(signed.vote.voter).map(|voter| voter.key);
            if !key.is_some_and(|key| signed.verifies(&key, verifier)) {
                return false;
            }
            voters.insert(signed.vote.voter);
        }
        voters.len() >= self.quorum && certificate.slot.id() == Ok(self.slot)
    }

    /// An honest voter has ended with this.
    pub fn decided(&mut self, certificate: &Certificate, verifier: &dyn Verifier) {
        if !self.holds(certificate, verifier) {
            self.broken.insert(Broken::BadCertificate);
        }
        self.ended(certificate);
    }

    fn ended(&mut self, certificate: &Certificate) {
        let outcome = certificate.outcome;
        match self.outcome {
            Some(other) if other != outcome => {
                self.broken.insert(Broken::Disagreement(other, outcome));
            }
            Some(_) | None => self.outcome = Some(outcome),
        }
        if let Outcome::Approved(_) = outcome {
            let digest = outcome.digest(&self.slot);
            let approvals = self.signed.get(&(0, Step::Prevote, Some(digest))).cloned().unwrap_or_default();
            let honest = approvals.iter().filter(|voter| !self.traitors[usize::from(**voter)]);
            let honest = honest.filter(|voter| self.approvers.contains(voter)).count();
            if approvals.len() < self.quorum || honest < self.quorum - self.faulty {
                self.broken.insert(Broken::Unapproved(approvals.len(), honest));
            }
        }
    }

    /// An honest voter accuses somebody.
    pub fn accused(&mut self, evidence: &Evidence, verifier: &dyn Verifier) {
        let Evidence { a, b } = evidence;
        let voter = a.vote.voter;
        let key = self.electorate.get(voter).map(|voter| voter.key);
        let sound = key.is_some_and(|key| a.verifies(&key, verifier) && b.verifies(&key, verifier))
            && (a.vote.round, a.vote.step, a.vote.slot) == (b.vote.round, b.vote.step, b.vote.slot)
            && a.vote.value != b.vote.value
            && b.vote.voter == voter;
        if !sound || !self.traitors[usize::from(voter)] {
            self.broken.insert(Broken::FalseEvidence(voter));
        }
        self.guilty.insert(voter);
    }

    /// Something was decided while the voters were in these parts, since before the slot was opened.
    pub fn decided_apart(&mut self, parts: &[u8]) {
        let largest = (0..=u8::MAX).map(|part| parts.iter().filter(|of| **of == part).count()).max();
        if largest < Some(self.quorum) {
            self.broken.insert(Broken::MinorityDecided);
        }
    }

    /// An honest voter has lost what it had told of.
    pub fn forgot(&mut self, voter: VoterIndex) {
        self.broken.insert(Broken::Forgotten(voter));
    }

    /// How many traitors were found out.
    pub fn guilty(&self) -> usize {
        self.guilty.len()
    }

    /// All that was broken.
    pub fn broken(&self) -> Vec<Broken> {
        self.broken.iter().cloned().collect()
    }
}
