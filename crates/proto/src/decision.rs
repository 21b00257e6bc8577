//! Deciding together: what voters say to each other about a slot, and the certificate that ends it.
//!
//! A [`Slot`] decides one [`Outcome`]. Voters are named by their place in the electorate of the slot's epoch, and sign with
//! the key that stands there. Every signature covers a domain string and the id of the slot, which is a hash over mesh,
//! epoch and subject: no vote counts in another slot, epoch or mesh, nor in another round or step, for those are signed too.
//! The protocol that speaks in these words is in the crate `mesh-consensus`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use crate::charter::{Charter, SignedEpoch, hash};
use crate::codec::{self, Bounded, DecodeError, EncodeError};
use crate::envelope::{Kind, Verifier, payload};
use crate::id::{Digest, Keypair, MeshId, NodeId, SlotId};
use crate::limits::{
    MAX_DECISION, MAX_KNOWN_SLOTS, MAX_LABEL, MAX_LEASE_MS, MAX_PROPOSAL_BODY, MAX_REASON, MAX_RECORD_EPOCHS,
    MAX_ROUND, MAX_TITLE, MAX_TOLD_EPOCHS, MAX_VOTERS, MAX_WINDOW_MS, MIN_WINDOW_MS,
};
use crate::protocol::{
    CLAIM_DOMAIN, OUTCOME_DOMAIN, PROPOSAL_DOMAIN, PROPOSE_DOMAIN, RELEASE_DOMAIN, SLOT_DOMAIN, VOTE_DOMAIN,
};

/// A voter's place in the electorate, from 0.
pub type VoterIndex = u8;

/// Where something is decided: once, by the voters of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// The mesh.
    pub mesh: MeshId,
    /// The epoch whose voters decide.
    pub epoch: u64,
    /// What it is about.
    pub subject: Subject,
}

/// What a slot is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A proposal of one voter. Nobody else can use its slots up.
    Owned {
        /// Whose.
        author: NodeId,
        /// The author's own number for it, never used twice.
        seq: u64,
    },
    /// Who may use a resource next. Claims meet here; `(epoch, seq)` is the fencing token.
    Resource {
        /// Its name.
        name: String,
        /// Counts up from 0 in each epoch.
        seq: u64,
    },
}

impl Slot {
    /// Its id: SHA-256 of a domain string and the slot.
    ///
    /// # Errors
    /// [`EncodeError`] when the name of its resource is too long.
    pub fn id(&self) -> Result<SlotId, EncodeError> {
        Ok(SlotId(hash(SLOT_DOMAIN, &codec::encode(self, MAX_DECISION)?)))
    }
}

impl Bounded for Slot {
    fn check(&self) -> Result<(), DecodeError> {
        match &self.subject {
            Subject::Owned { .. } => Ok(()),
            Subject::Resource { name, .. } => {
                codec::bound("resource", name.len(), MAX_TITLE)?;
                codec::printable("resource", name)
            }
        }
    }
}

/// How a slot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// A quorum approved the proposal of this [`Proposal::digest`].
    Approved(Digest),
    /// The resource is this holder's, for so long.
    Granted {
        /// Whose it is.
        holder: NodeId,
        /// Milliseconds.
        length: u64,
    },
    /// So many rejected it that a quorum could not be had any more.
    Rejected,
    /// Time was over.
    Lapsed,
}

impl Outcome {
    /// What votes name: SHA-256 of a domain string, the slot and the outcome.
    pub fn digest(&self, slot: &SlotId) -> Digest {
        // A pair of so few bytes always has an encoding.
        Digest(hash(OUTCOME_DOMAIN, &codec::encode(&(slot, self), MAX_DECISION).unwrap_or_default()))
    }
}

/// What an author wants decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The application's name for this kind, for example `task-assignment`.
    pub kind: String,
    /// One line for people.
    pub title: String,
    /// The application's own.
    #[serde(with = "payload")]
    pub body: Bytes,
    /// Milliseconds that voters have, from when they hear of it.
    pub window: u64,
    /// When it was made, unix milliseconds.
    pub at: u64,
}

impl Proposal {
    /// Its hash: SHA-256 of a domain string and the proposal.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn digest(&self) -> Result<Digest, EncodeError> {
        Ok(Digest(hash(PROPOSAL_DOMAIN, &codec::encode(self, MAX_DECISION)?)))
    }
}

impl Bounded for Proposal {
    fn check(&self) -> Result<(), DecodeError> {
        codec::bound("kind", self.kind.len(), MAX_LABEL)?;
        codec::bound("title", self.title.len(), MAX_TITLE)?;
        codec::bound("body", self.body.len(), MAX_PROPOSAL_BODY)?;
        between("window", self.window, MIN_WINDOW_MS, MAX_WINDOW_MS)
    }
}

/// Somebody wants a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The resource's slot: spelled out, so that who has not heard of it can take part.
    pub slot: Slot,
    /// Who.
    pub holder: NodeId,
    /// For so many milliseconds.
    pub length: u64,
}

/// A claim with its holder's signature: no leader can claim for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedClaim {
    /// The claim.
    pub claim: Claim,
    /// Of the holder's node.
    pub signature: ByteArray<64>,
}

impl Claim {
    /// Signs it; `holder` must be the key's own node.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, key: &Keypair) -> Result<SignedClaim, EncodeError> {
        let signature = key.sign(CLAIM_DOMAIN, &codec::encode(&self, MAX_DECISION)?);
        Ok(SignedClaim { claim: self, signature: ByteArray::new(signature) })
    }
}

impl SignedClaim {
    /// Whether the holder has signed it.
    pub fn verifies(&self, verifier: &dyn Verifier) -> bool {
        let Self { claim, signature } = self;
        verifies(verifier, &claim.holder, CLAIM_DOMAIN, claim, signature)
    }
}

impl Bounded for SignedClaim {
    fn check(&self) -> Result<(), DecodeError> {
        self.claim.slot.check()?;
        between("length", self.claim.length, 1, MAX_LEASE_MS)
    }
}

/// A holder gives a resource back before its lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The slot that granted it.
    pub slot: SlotId,
    /// Whose it was.
    pub holder: NodeId,
}

/// A release with its holder's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRelease {
    /// The release.
    pub release: Release,
    /// Of the holder's node.
    pub signature: ByteArray<64>,
}

impl Release {
    /// Signs it; `holder` must be the key's own node.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, key: &Keypair) -> Result<SignedRelease, EncodeError> {
        let signature = key.sign(RELEASE_DOMAIN, &codec::encode(&self, MAX_DECISION)?);
        Ok(SignedRelease { release: self, signature: ByteArray::new(signature) })
    }
}

impl SignedRelease {
    /// Whether the holder has signed it.
    pub fn verifies(&self, verifier: &dyn Verifier) -> bool {
        let Self { release, signature } = self;
        verifies(verifier, &release.holder, RELEASE_DOMAIN, release, signature)
    }
}

/// What a leader proposes to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Value {
    /// To approve this.
    Proposal(Proposal),
    /// To grant this.
    Claim(SignedClaim),
    /// That it is rejected, for these voters did: round, step and value of a vote that rejects are always the same.
    Rejected(Vec<SignedVote>),
    /// That time is over.
    Lapsed,
}

impl Value {
    /// How the slot ends if this is decided. Two rejections with different witnesses are one outcome.
    ///
    /// # Errors
    /// [`EncodeError`] when a proposal is past a bound.
    pub fn outcome(&self) -> Result<Outcome, EncodeError> {
        Ok(match self {
            Self::Proposal(proposal) => Outcome::Approved(proposal.digest()?),
            Self::Claim(SignedClaim { claim, .. }) => Outcome::Granted { holder: claim.holder, length: claim.length },
            Self::Rejected(_) => Outcome::Rejected,
            Self::Lapsed => Outcome::Lapsed,
        })
    }
}

/// What the leader of a round says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    /// Where: spelled out, so that who has not heard of it can take part.
    pub slot: Slot,
    /// In which round, from 0.
    pub round: u32,
    /// What.
    pub value: Value,
    /// An earlier round in which a quorum prevoted this value, if it is proposed for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pol_round: Option<u32>,
    /// Who says it.
    pub voter: VoterIndex,
}

/// A leader's word with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPropose {
    /// What is said.
    pub propose: Propose,
    /// Of the voter's key.
    pub signature: ByteArray<64>,
}

impl Propose {
    /// Signs it with the voter's key.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, key: &Keypair) -> Result<SignedPropose, EncodeError> {
        let signature = key.sign(PROPOSE_DOMAIN, &codec::encode(&self, MAX_DECISION)?);
        Ok(SignedPropose { propose: self, signature: ByteArray::new(signature) })
    }
}

impl SignedPropose {
    /// Whether `key` has signed it.
    pub fn verifies(&self, key: &NodeId, verifier: &dyn Verifier) -> bool {
        verifies(verifier, key, PROPOSE_DOMAIN, &self.propose, &self.signature)
    }
}

impl Bounded for SignedPropose {
    fn check(&self) -> Result<(), DecodeError> {
        let Propose { slot, round, value, pol_round, voter } = &self.propose;
        slot.check()?;
        check_round(*round)?;
        check_voter(*voter)?;
        if pol_round.is_some_and(|pol| pol >= *round) {
            return Err(DecodeError::Malformed("pol_round: not an earlier round".into()));
        }
        match value {
            Value::Proposal(proposal) => proposal.check(),
            Value::Claim(claim) => claim.check(),
            Value::Rejected(votes) => {
                codec::bound("votes", votes.len(), MAX_VOTERS)?;
                votes.iter().try_for_each(Bounded::check)
            }
            Value::Lapsed => Ok(()),
        }
    }
}

/// The two votes of a round (Buchman, Kwon, Milosevic: "The latest gossip on BFT consensus", 2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Whether one is for it.
    Prevote,
    /// Whether one has seen that a quorum is.
    Precommit,
}

/// What an agent thinks of a proposal: what `voteOnProposal` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// For it.
    Approve,
    /// Against it.
    Reject,
    /// Neither, or no opinion in time.
    Abstain,
}

/// A choice and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballot {
    /// The choice.
    pub choice: Choice,
    /// Why, for people and agents to read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One vote. Prevotes of round 0 carry the ballot of their voter, and no others do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The slot.
    pub slot: SlotId,
    /// From 0.
    pub round: u32,
    /// Which of the two.
    pub step: Step,
    /// For this, or for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Digest>,
    /// Whose.
    pub voter: VoterIndex,
    /// Only in a prevote of round 0: approves exactly if there is a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ballot: Option<Ballot>,
}

/// A vote with its signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// Of the voter's key.
    pub signature: ByteArray<64>,
}

impl Vote {
    /// Signs it with the voter's key.
    ///
    /// # Errors
    /// [`EncodeError`] when it is past a bound.
    pub fn sign(self, key: &Keypair) -> Result<SignedVote, EncodeError> {
        let signature = key.sign(VOTE_DOMAIN, &codec::encode(&self, MAX_DECISION)?);
        Ok(SignedVote { vote: self, signature: ByteArray::new(signature) })
    }

    /// Whether it rejects the proposal of the slot.
    pub fn rejects(&self) -> bool {
        self.ballot.as_ref().is_some_and(|ballot| ballot.choice == Choice::Reject)
    }
}

impl SignedVote {
    /// Whether `key` has signed it.
    pub fn verifies(&self, key: &NodeId, verifier: &dyn Verifier) -> bool {
        verifies(verifier, key, VOTE_DOMAIN, &self.vote, &self.signature)
    }
}

impl Bounded for SignedVote {
    fn check(&self) -> Result<(), DecodeError> {
        let Vote { round, step, value, voter, ballot, .. } = &self.vote;
        check_round(*round)?;
        check_voter(*voter)?;
        let carries = *round == 0 && *step == Step::Prevote;
        match ballot {
            Some(Ballot { choice, reason }) if carries && (*choice == Choice::Approve) == value.is_some() => {
                codec::bound("reason", reason.len(), MAX_REASON)
            }
            None if !carries => Ok(()),
            Some(_) | None => Err(DecodeError::Malformed("ballot: not that of such a vote".into())),
        }
    }
}

/// Voters of an electorate: a bit for each place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoterSet(u128);

impl VoterSet {
    /// Adds a voter; whether it was not there. Places past 127 are nobody's.
    pub fn insert(&mut self, voter: VoterIndex) -> bool {
        let bit = 1_u128.checked_shl(voter.into()).unwrap_or(0);
        let new = bit != 0 && self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Whether a voter is there.
    pub fn contains(self, voter: VoterIndex) -> bool {
        self.0 & 1_u128.checked_shl(voter.into()).unwrap_or(0) != 0
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = VoterIndex> {
        (0..128).filter(move |voter| self.contains(*voter))
    }
}

impl FromIterator<VoterIndex> for VoterSet {
    fn from_iter<I: IntoIterator<Item = VoterIndex>>(voters: I) -> Self {
        let mut set = Self::default();
        for voter in voters {
            set.insert(voter);
        }
        set
    }
}

impl Serialize for VoterSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for VoterSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteArray::<16>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes.into_array())))
    }
}

/// A quorum of prevotes for one value. It is handed on as a whole, for somebody may have heard some of these voters say
/// something else, and would never count it together from their votes (reliability 0, finding 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polka {
    /// The slot.
    pub slot: SlotId,
    /// The round.
    pub round: u32,
    /// What they are for.
    pub value: Digest,
    /// By voter, ascending, each once.
    pub votes: Vec<PolkaVote>,
}

/// A prevote in a [`Polka`]: what is not the same for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolkaVote {
    /// Whose.
    pub voter: VoterIndex,
    /// That of the ballot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Of the voter's key.
    pub signature: ByteArray<64>,
}

impl Polka {
    /// The votes as they were cast.
    pub fn votes(&self) -> impl Iterator<Item = SignedVote> + '_ {
        self.votes.iter().map(|PolkaVote { voter, reason, signature }| SignedVote {
            vote: Vote {
                slot: self.slot,
                round: self.round,
                step: Step::Prevote,
                value: Some(self.value),
                voter: *voter,
                ballot: (self.round == 0).then(|| Ballot { choice: Choice::Approve, reason: reason.clone() }),
            },
            signature: *signature,
        })
    }
}

impl Bounded for Polka {
    fn check(&self) -> Result<(), DecodeError> {
        codec::bound("votes", self.votes.len(), MAX_VOTERS)?;
        if !self.votes.is_sorted_by(|a, b| a.voter < b.voter) {
            return Err(DecodeError::Malformed("votes: not in ascending order, or one twice".into()));
        }
        if self.round != 0 && self.votes.iter().any(|vote| !vote.reason.is_empty()) {
            return Err(DecodeError::Malformed("reason: in a round without ballots".into()));
        }
        self.votes().try_for_each(|vote| vote.check())
    }
}

/// How a slot has ended, with a quorum of signatures: whoever has the charter and the epoch records can check it, without
/// network and clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The slot.
    pub slot: Slot,
    /// How it ended.
    pub outcome: Outcome,
    /// In which round.
    pub round: u32,
    /// Who precommitted that.
    pub voters: VoterSet,
    /// Their signatures, 64 bytes each, in ascending order of the voters.
    pub signatures: ByteBuf,
}

impl Certificate {
    /// The precommits that it is made of.
    ///
    /// # Errors
    /// [`EncodeError`] when the slot is past a bound.
    pub fn votes(&self) -> Result<impl Iterator<Item = SignedVote> + '_, EncodeError> {
        let slot = self.slot.id()?;
        let value = self.outcome.digest(&slot);
        let (signatures, _) = self.signatures.as_chunks::<64>();
        Ok(self.voters.iter().zip(signatures).map(move |(voter, signature)| SignedVote {
            vote: Vote { slot, round: self.round, step: Step::Precommit, value: Some(value), voter, ballot: None },
            signature: ByteArray::new(*signature),
        }))
    }
}

impl Bounded for Certificate {
    fn check(&self) -> Result<(), DecodeError> {
        self.slot.check()?;
        check_round(self.round)?;
        self.voters.iter().try_for_each(check_voter)?;
        if self.signatures.len() != self.voters.len().saturating_mul(64) {
            return Err(DecodeError::Malformed("signatures: not one for each voter".into()));
        }
        match (&self.slot.subject, &self.outcome) {
            (Subject::Owned { .. }, Outcome::Granted { .. }) | (Subject::Resource { .. }, Outcome::Approved(_)) => {
                Err(DecodeError::Malformed("outcome: not one of such a slot".into()))
            }
            (_, Outcome::Granted { length, .. }) => between("length", *length, 1, MAX_LEASE_MS),
            (_, Outcome::Approved(_) | Outcome::Rejected | Outcome::Lapsed) => Ok(()),
        }
    }
}

/// A decision with everything that is needed to check it, but for the id of the mesh, which people know: a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Of the mesh.
    pub charter: Charter,
    /// From epoch 1 on, at least to that of the decision.
    pub epochs: Vec<SignedEpoch>,
    /// The decision.
    pub certificate: Certificate,
    /// What was approved, or what it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
}

impl Bounded for Record {
    fn check(&self) -> Result<(), DecodeError> {
        self.charter.check()?;
        codec::bound("epochs", self.epochs.len(), MAX_RECORD_EPOCHS)?;
        self.epochs.iter().try_for_each(Bounded::check)?;
        self.certificate.check()?;
        self.proposal.as_ref().map_or(Ok(()), Bounded::check)
    }
}

/// Two votes of one voter for one step of one round that say different things: its signature proves it guilty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The lesser one, so that one offence has one encoding.
    pub a: SignedVote,
    /// The greater one.
    pub b: SignedVote,
}

impl Evidence {
    /// Of two votes, if they contradict each other. Ballots do not: who gives two reasons is no traitor.
    pub fn new(one: SignedVote, other: SignedVote) -> Option<Self> {
        let (a, b) = if one.vote <= other.vote { (one, other) } else { (other, one) };
        let evidence = Self { a, b };
        evidence.is_sound().then_some(evidence)
    }

    fn is_sound(&self) -> bool {
        let (a, b) = (&self.a.vote, &self.b.vote);
        (a.slot, a.round, a.step, a.voter) == (b.slot, b.round, b.step, b.voter) && a.value < b.value
    }
}

impl Bounded for Evidence {
    fn check(&self) -> Result<(), DecodeError> {
        self.a.check()?;
        self.b.check()?;
        if !self.is_sound() {
            return Err(DecodeError::Malformed("evidence: the votes do not contradict each other".into()));
        }
        Ok(())
    }
}

/// What a voter has of a slot: the other one answers with what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The slot.
    pub slot: SlotId,
    /// The round it is in.
    pub round: u32,
    /// Whether it has the leader's word of this round.
    pub proposed: bool,
    /// Whose prevotes of this round it has.
    pub prevotes: VoterSet,
    /// Whose precommits of this round it has.
    pub precommits: VoterSet,
    /// The last round of which it has a polka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polka: Option<u32>,
}

impl Bounded for Status {
    fn check(&self) -> Result<(), DecodeError> {
        check_round(self.round)?;
        self.polka.map_or(Ok(()), check_round)?;
        self.prevotes.iter().chain(self.precommits.iter()).try_for_each(check_voter)
    }
}

/// Everything that is said about slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// The leader of a round.
    Propose(SignedPropose),
    /// A vote.
    Vote(SignedVote),
    /// A quorum of prevotes.
    Polka(Polka),
    /// The end.
    Decision(Certificate),
    /// Somebody wants a resource.
    Claim(SignedClaim),
    /// Somebody gives it back.
    Release(SignedRelease),
    /// Somebody has voted twice.
    Evidence(Evidence),
    /// What its sender has.
    Status(Status),
    /// Electorates after the one that was asked for, in order.
    Epochs(Vec<SignedEpoch>),
    /// Asks for the electorates after this epoch.
    EpochsAfter(u64),
    /// Asks for slots beside these, the last ones that are known to whoever asks.
    Others(Vec<SlotId>),
}

impl Message {
    /// What an envelope that carries it is called. What is only told to one has no name.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Propose(_) | Self::Claim(_) | Self::Epochs(_) => Some(Kind::CoordinationProposal),
            Self::Vote(_) | Self::Polka(_) | Self::Decision(_) | Self::Release(_) | Self::Evidence(_) => {
                Some(Kind::ConsensusVote)
            }
            Self::Status(_) | Self::EpochsAfter(_) | Self::Others(_) => None,
        }
    }
}

impl Bounded for Message {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Propose(propose) => propose.check(),
            Self::Vote(vote) => vote.check(),
            Self::Polka(polka) => polka.check(),
            Self::Decision(certificate) => certificate.check(),
            Self::Claim(claim) => claim.check(),
            Self::Release(_) | Self::EpochsAfter(_) => Ok(()),
            Self::Evidence(evidence) => evidence.check(),
            Self::Status(status) => status.check(),
            Self::Others(slots) => codec::bound("slots", slots.len(), MAX_KNOWN_SLOTS),
            Self::Epochs(epochs) => {
                codec::bound("epochs", epochs.len(), MAX_TOLD_EPOCHS)?;
                epochs.iter().try_for_each(Bounded::check)
            }
        }
    }
}

fn verifies<T: Serialize>(
    verifier: &dyn Verifier,
    node: &NodeId,
    domain: &[u8],
    value: &T,
    signature: &[u8; 64],
) -> bool {
    codec::encode(value, MAX_DECISION).is_ok_and(|bytes| verifier.verifies(node, domain, &bytes, signature))
}

fn check_round(round: u32) -> Result<(), DecodeError> {
    codec::bound("round", round as usize, MAX_ROUND as usize)
}

fn check_voter(voter: VoterIndex) -> Result<(), DecodeError> {
    codec::bound("voter", voter.into(), MAX_VOTERS - 1)
}

fn between(what: &'static str, value: u64, min: u64, max: u64) -> Result<(), DecodeError> {
    if value < min {
        return Err(DecodeError::Malformed(format!("{what}: less than {min}")));
    }
    codec::bound(what, usize::try_from(value).unwrap_or(usize::MAX), usize::try_from(max).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
