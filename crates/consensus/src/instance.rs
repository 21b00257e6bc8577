//! One slot as one voter lives it, or as somebody follows it who has no vote.
//!
//! Around the [algorithm](crate::agreement) this adds what it leaves open:
//!
//! * **Signatures.** Nothing gets in that was not signed by the voter it speaks for; what goes out is signed here. A vote
//!   that contradicts another one of its voter is [`Output::Guilty`].
//! * **What may be voted for** (reliability 1.3). A proposal in round 0 is prevoted as the agent judges it, at the latest when
//!   the window is over: no opinion is an abstention. A dissenter precommits all the same once a quorum approves. Later
//!   rounds may propose a value again that has a polka; that it is rejected, with so many rejections that no quorum is left;
//!   that it has lapsed, when the window is over by the voter's own clock; and, for a resource, another claim.
//! * **Time.** The window counts from when the slot was first heard of, on a clock that nobody else sees. For a proposal, the
//!   leader and the prevotes of round 0 are waited for as long as it; every other step lasts 0.6 s, and 0.2 s more in each
//!   round. A round of nothing but refusals ends at once.
//! * **Getting through.** Polkas and certificates are handed on, unless another voter does so within a moment; and who is
//!   in the dark asks a few others again and again what it lacks ([`Output::Ask`]).
//! * **Memory.** [`Output::Persist`] must be on the disk before what follows it is said. A voter that lost it must not vote
//!   in this slot any more.

mod book;
mod decide;
mod hear;
mod saved;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mesh_proto::charter::Voter;
use mesh_proto::decision::{
    Ballot, Certificate, Choice, Evidence, Message, Outcome, SignedClaim, SignedVote, Slot, Status, Step, Subject,
    Value, VoterIndex,
};
use mesh_proto::envelope::Verifier;
use mesh_proto::{Digest, EncodeError, Keypair, NodeId, SlotId};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use crate::agreement::{Agreement, Input, Phase, Timeout};
use crate::certificate::VerifyError;
use crate::electorate::Electorate;

use book::{Book, Proposed};

pub use book::Tally;
pub use saved::{MAX_SAVED, Saved};

/// Milliseconds on a clock that only goes forward.
pub type Mono = u64;

/// Rounds ahead of ours whose messages are kept.
const AHEAD: u32 = 2;
/// Rounds behind ours whose messages are kept.
const BEHIND: u32 = 2;
/// Claims that are weighed against each other.
const MAX_CLAIMS: usize = 16;
/// Messages in one answer.
const MAX_ANSWER: usize = 256;

/// Times, in milliseconds.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long voters have for claims. Proposals say so themselves.
    pub window_ms: u64,
    /// A step of round 1 lasts this and once [`Config::more_ms`].
    pub step_ms: u64,
    /// Steps of later rounds last longer by this.
    pub more_ms: u64,
    /// The longest step.
    pub max_step_ms: u64,
    /// A polka or certificate is handed on after at least this, unless somebody else did.
    pub forward_ms: u64,
    /// And at most so much later.
    pub forward_jitter_ms: u64,
    /// Others are asked this often what we lack, at first after half of it.
    pub ask_ms: u64,
    /// How long the first leader of a resource slot waits for claims.
    pub collect_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_ms: 5_000,
            step_ms: 600,
            more_ms: 200,
            max_step_ms: 10_000,
            forward_ms: 50,
            forward_jitter_ms: 100,
            ask_ms: 700,
            collect_ms: 300,
        }
    }
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Keep this in place of what was kept for the slot before. Only when it is safe, go on with the next output.
    Persist(Box<Saved>),
    /// Tell all voters.
    Say(Box<Message>),
    /// Ask some other voters, at random.
    Ask(Status),
    /// Ask the agent what it thinks of this: [`Instance::judge`] is expected.
    Judge(Digest),
    /// Somebody has voted twice, which its own signatures prove.
    Guilty(Box<Evidence>),
    /// The slot has ended.
    Decided(Box<Certificate>),
}

impl Output {
    fn say(message: Message) -> Self {
        Self::Say(Box::new(message))
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is about another slot.
    #[error("it is about another slot")]
    OtherSlot,
    /// It breaks the protocol or bears a wrong signature: whoever sent it is at fault.
    #[error("{0}")]
    Offence(&'static str),
    /// A certificate or polka does not hold.
    #[error(transparent)]
    Invalid(#[from] VerifyError),
}

/// Why an agent's word does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// This node may not vote in this epoch.
    #[error("this node is not a voter of the slot's epoch")]
    NotAVoter,
    /// It has said something else before, or time ran out and it has abstained.
    #[error("this node has voted already")]
    AlreadyVoted,
    /// The slot has ended.
    #[error("the slot is decided already")]
    Decided,
}

/// Who votes here.
#[derive(Clone, Debug)]
pub struct Me {
    /// Its place.
    pub voter: VoterIndex,
    /// The key that stands there.
    pub key: Keypair,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Instance<A> {
    config: Config,
    slot: Slot,
    id: SlotId,
    electorate: Arc<Electorate>,
    leaders: Vec<VoterIndex>,
    verifier: Arc<dyn Verifier>,
    rng: ChaCha8Rng,
    /// Who has no vote only collects what others say.
    me: Option<(Me, A)>,
    book: Book,
    /// What the agent thinks of which proposal.
    judgement: Option<(Digest, Ballot)>,
    asked: bool,
    /// What we want to propose in round 0, as its author.
    own: Option<Value>,
    claims: Vec<SignedClaim>,
    collect_until: Mono,
    /// Whether the algorithm waits for a value, as the leader of this round.
    wanted: Option<u32>,
    /// The highest step that we have signed: never a second one there.
    signed: Option<(u32, Step)>,
    /// The highest round that we have led.
    led: Option<u32>,
    own_votes: Vec<SignedVote>,
    /// When the slot was first heard of.
    heard: Option<Mono>,
    /// How long the window is, as the proposal says once it is known.
    window_ms: u64,
    /// Who has the resource.
    holder: Option<NodeId>,
    timers: BTreeMap<Phase, (u32, Mono)>,
    /// When the polka that we have is handed on, and when the certificate.
    forward: Option<Mono>,
    ask_at: Mono,
    decided: Option<Certificate>,
    outputs: VecDeque<Output>,
}

impl<A: Agreement> Instance<A> {
    /// Of a slot in the epoch of `electorate`. Without `me` it follows only.
    ///
    /// # Errors
    /// [`EncodeError`] when the name of a resource is too long.
    pub fn new(
        config: Config,
        slot: Slot,
        electorate: Arc<Electorate>,
        verifier: Arc<dyn Verifier>,
        me: Option<Me>,
        entropy: [u8; 32],
        now: Mono,
    ) -> Result<Self, EncodeError> {
        let id = slot.id()?;
        let leaders = electorate.leaders(&slot, &id);
        let me = me.map(|me| {
            let core = A::new(electorate.len(), me.voter);
            (me, core)
        });
        let mut instance = Self {
            window_ms: config.window_ms,
            collect_until: now.saturating_add(config.collect_ms),
            ask_at: now.saturating_add(config.ask_ms.saturating_div(2)),
            config,
            slot,
            id,
            electorate,
            leaders,
            verifier,
            rng: ChaCha8Rng::from_seed(entropy),
            me,
            book: Book::default(),
            judgement: None,
            asked: false,
            own: None,
            claims: Vec::new(),
            wanted: None,
            signed: None,
            led: None,
            own_votes: Vec::new(),
            heard: None,
            holder: None,
            timers: BTreeMap::new(),
            forward: None,
            decided: None,
            outputs: VecDeque::new(),
        };
        if matches!(instance.slot.subject, Subject::Resource { .. }) {
            instance.heard = Some(now);
        }
        Ok(instance)
    }

    /// The slot.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Its id.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// How it has ended, if it has.
    pub fn decided(&self) -> Option<&Certificate> {
        self.decided.as_ref()
    }

    /// What is known of the ballots.
    pub fn tally(&self) -> Tally {
        let approved = self.decided.as_ref().map(|certificate| certificate.outcome);
        let approved = approved.filter(|outcome| matches!(outcome, Outcome::Approved(_) | Outcome::Granted { .. }));
        let of = approved.map(|outcome| outcome.digest(&self.id)).or_else(|| self.first_value());
        self.book.tally(self.electorate.len(), of)
    }

    /// The ballots that are known, by voter.
    pub fn ballots(&self) -> impl Iterator<Item = (VoterIndex, &Ballot)> {
        self.book.votes(0, Step::Prevote).filter_map(|signed| Some((signed.vote.voter, signed.vote.ballot.as_ref()?)))
    }

    /// The round it is in.
    pub fn round(&self) -> u32 {
        self.me.as_ref().and_then(|(_, core)| core.state().round).unwrap_or(0)
    }

    /// Who votes here.
    pub fn voters(&self) -> &[Voter] {
        self.electorate.voters()
    }

    /// The node of a voter.
    pub fn node_of(&self, voter: VoterIndex) -> Option<NodeId> {
        self.electorate.get(voter).map(|voter| voter.node)
    }

    /// What the agent is asked for: the first value of round 0.
    pub fn first_value(&self) -> Option<Digest> {
        self.book.of_round(0).first().map(|proposed| proposed.digest)
    }

    /// A value that was proposed.
    pub fn value(&self, digest: &Digest) -> Option<&Value> {
        self.book.value(digest).map(|(value, _)| value)
    }

    /// Proposes a value of our own, as the author of the slot; it is approved with that.
    pub fn propose(&mut self, value: Value, now: Mono) -> Result<(), EncodeError> {
        let digest = value.outcome()?.digest(&self.id);
        self.judgement.get_or_insert((digest, Ballot { choice: Choice::Approve, reason: String::new() }));
        self.asked = true;
        self.hear_of(0, &value, now);
        self.own = Some(value);
        self.begin(now);
        self.offer(now);
        Ok(())
    }

    /// Says who has the resource: only its own claims are approved then.
    pub fn held_by(&mut self, holder: NodeId, now: Mono) {
        self.holder = Some(holder);
        let ballot = Ballot { choice: Choice::Reject, reason: format!("held by {holder}") };
        // Who has no vote has nothing to say.
        let _no_voter = self.judge(Digest([0; 32]), ballot, now);
    }

    /// Says what the agent thinks of a proposal; for a resource, with any digest, whether it is free.
    ///
    /// # Errors
    /// [`JudgeError`]; the same word once more is none.
    pub fn judge(&mut self, digest: Digest, ballot: Ballot, now: Mono) -> Result<(), JudgeError> {
        if self.me.is_none() {
            return Err(JudgeError::NotAVoter);
        }
        if self.judgement.as_ref().is_some_and(|(of, said)| (of, said) == (&digest, &ballot)) {
            return Ok(());
        }
        if self.decided.is_some() {
            return Err(JudgeError::Decided);
        }
        if self.judgement.is_some() || self.signed.is_some() {
            return Err(JudgeError::AlreadyVoted);
        }
        self.judgement = Some((digest, ballot));
        self.consider(now);
        self.offer(now);
        Ok(())
    }

    /// Takes a message.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn handle(&mut self, message: Message, now: Mono) -> Result<(), Refused> {
        match message {
            Message::Propose(propose) => self.on_propose(propose, now),
            Message::Vote(vote) => self.on_vote(vote, now),
            Message::Polka(polka) => self.on_polka(polka, now),
            Message::Decision(certificate) => self.on_decision(certificate),
            Message::Claim(claim) => self.on_claim(claim, now),
            Message::Evidence(evidence) => {
                let Evidence { a, b } = evidence;
                self.on_vote(a, now)?;
                self.on_vote(b, now)
            }
            // The first is answered by `answer`; the second comes when the slot has ended; the others are about none.
            Message::Status(_)
            | Message::Release(_)
            | Message::Epochs(_)
            | Message::EpochsAfter(_)
            | Message::Others(_) => Ok(()),
        }
    }

    /// What we have, for others to see what we lack.
    pub fn status(&self) -> Status {
        let round = self.round();
        Status {
            slot: self.id,
            round,
            proposed: !self.book.of_round(round).is_empty(),
            prevotes: self.book.voters(round, Step::Prevote),
            precommits: self.book.voters(round, Step::Precommit),
            polka: self.book.polka().map(|polka| polka.round),
        }
    }

    /// What somebody lacks that has only this, at most 256 messages.
    pub fn answer(&self, status: &Status) -> Vec<Message> {
        if let Some(certificate) = &self.decided {
            return vec![Message::Decision(certificate.clone())];
        }
        let round = self.round().max(status.round);
        let mut answer = Vec::new();
        let word = |proposed: &Proposed| Message::Propose(proposed.signed.clone());
        if status.round == 0 && !status.proposed {
            answer.extend(self.claims.iter().cloned().map(Message::Claim));
        }
        if status.round != round || !status.proposed {
            answer.extend(self.book.of_round(round).iter().map(word));
        }
        if let Some(polka) = self.book.polka()
            && status.polka < Some(polka.round)
        {
            if polka.round != round {
                answer.extend(self.book.of_round(polka.round).iter().map(word));
            }
            answer.push(Message::Polka(polka.clone()));
        }
        if round != 0 && status.round == 0 {
            answer.extend(self.book.of_round(0).iter().map(word));
        }
        // Of their round as well: what has led us out of it leads them.
        let rounds = [Some(status.round), Some(round).filter(|round| *round != status.round)];
        for of in rounds.into_iter().flatten() {
            for (step, theirs) in [(Step::Prevote, status.prevotes), (Step::Precommit, status.precommits)] {
                let lacks = |signed: &&SignedVote| status.round != of || !theirs.contains(signed.vote.voter);
                answer.extend(self.book.votes(of, step).filter(lacks).cloned().map(Message::Vote));
            }
        }
        answer.truncate(MAX_ANSWER);
        answer
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.decided.is_some() {
            if self.forward.take_if(|due| *due <= now).is_some()
                && let Some(certificate) = &self.decided
            {
                self.outputs.push_back(Output::say(Message::Decision(certificate.clone())));
            }
            return;
        }
        for phase in [Phase::Propose, Phase::Prevote, Phase::Precommit] {
            if let Some((round, due)) = self.timers.get(&phase).copied()
                && due <= now
            {
                self.timers.remove(&phase);
                self.feed(Input::Timeout(Timeout { round, phase }), now);
            }
        }
        if self.forward.take_if(|due| *due <= now).is_some()
            && let Some(polka) = self.book.polka()
        {
            self.outputs.push_back(Output::say(Message::Polka(polka.clone())));
        }
        if self.ask_at <= now {
            self.ask_at = now.saturating_add(self.config.ask_ms);
            self.outputs.push_back(Output::Ask(self.status()));
        }
        self.consider(now);
        self.offer(now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        if self.decided.is_some() {
            return self.forward;
        }
        let timers = self.timers.values().map(|(_, due)| *due);
        // Without the agent's word nothing comes of claims, and with it they are offered at once.
        let collect = self.wanted.filter(|_| self.likely_claims().next().is_some()).map(|_| self.collect_until);
        // What was held back until the window is over.
        let window = self.window_end().filter(|_| self.me.is_some() && self.round() > 0 && self.waits_for_window());
        timers.chain(self.forward).chain(collect).chain(window).chain([self.ask_at]).min()
    }

    /// What has to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
