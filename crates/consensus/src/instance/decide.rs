//! What a voter does: when it tells the algorithm what, what it votes for, and what it says as a leader.

use std::collections::VecDeque;

use mesh_proto::Digest;
use mesh_proto::decision::{
    Ballot, Certificate, Choice, Message, Outcome, Polka, Propose, SignedClaim, Step, Subject, Value, Vote, VoterIndex,
};
use rand_core::Rng as _;

use super::book::Proposed;
use super::{AHEAD, BEHIND, Instance, Mono, Output};
use crate::agreement::{Agreement, Input, Output as Task, Phase, Timeout};
use crate::electorate::{Threshold, rank};

/// Who leads a round, if these lead one after the other.
pub(super) fn leader_of(leaders: &[VoterIndex], round: u32) -> VoterIndex {
    let place = usize::try_from(round).ok().and_then(|round| round.checked_rem(leaders.len())).unwrap_or(0);
    leaders.get(place).copied().unwrap_or(0)
}

impl<A: Agreement> Instance<A> {
    pub(super) fn threshold(&self) -> Threshold {
        self.electorate.threshold()
    }

    pub(super) fn leader(&self, round: u32) -> VoterIndex {
        leader_of(&self.leaders, round)
    }

    pub(super) fn is_near(&self, round: u32) -> bool {
        let current = self.round();
        round >= current.saturating_sub(BEHIND) && round <= current.saturating_add(AHEAD)
    }

    /// A value was proposed in a round. Only the author says how long the window of its proposal is.
    pub(super) fn hear_of(&mut self, round: u32, value: &Value, now: Mono) {
        self.heard.get_or_insert(now);
        if let Value::Proposal(proposal) = value
            && round == 0
            && self.book.of_round(0).is_empty()
        {
            self.window_ms = proposal.window;
        }
    }

    pub(super) fn window_end(&self) -> Option<Mono> {
        self.heard.map(|heard| heard.saturating_add(self.window_ms))
    }

    fn window_is_over(&self, now: Mono) -> bool {
        self.window_end().is_some_and(|end| end <= now)
    }

    /// Whether something waits for the end of the window: our own word as the leader of a later round, or somebody's that
    /// time is over.
    pub(super) fn waits_for_window(&self) -> bool {
        let lapsed = |proposed: &Proposed| !proposed.fed && proposed.outcome == Outcome::Lapsed;
        self.wanted.is_some() || self.book.of_round(self.round()).iter().any(lapsed)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.me.as_ref().is_none_or(|(_, core)| core.state().round.is_some())
    }

    /// Starts the first round, once there is something to decide, and tells the algorithm what was heard before.
    pub(super) fn begin(&mut self, now: Mono) {
        if self.has_begun() {
            return;
        }
        self.feed(Input::Round { round: 0, leader: self.leader(0) }, now);
        let polkas: Vec<_> = self.book.polkas().map(|Polka { round, value, .. }| (*round, *value)).collect();
        for vote in self.book.all_votes() {
            let Vote { round, step, value, voter, .. } = vote;
            self.feed(Input::Vote { round, step, voter, value }, now);
        }
        for (round, value) in polkas {
            self.feed(Input::Polka { round, value }, now);
        }
    }

    /// Tells the algorithm of what was proposed, as soon as it is clear what we think of it.
    pub(super) fn consider(&mut self, now: Mono) {
        let Some((_, core)) = &self.me else {
            return self.ask_agent();
        };
        let state = core.state();
        let (Some(current), Some(phase)) = (state.round, state.phase) else {
            return;
        };
        let over = self.window_is_over(now);
        let judgement = self.judgement.as_ref().map(|(digest, ballot)| (*digest, ballot.choice));
        let resource = matches!(self.slot.subject, Subject::Resource { .. });
        let mut inputs = Vec::new();
        for proposed in self.book.proposed().filter(|proposed| !proposed.fed) {
            let Propose { round, pol_round, value, voter, .. } = &proposed.signed.propose;
            let past = *round < current || (*round == current && phase > Phase::Propose);
            let fresh = pol_round.is_none();
            let valid = match value {
                _ if *round > current => continue,
                _ if past || !fresh => true,
                Value::Rejected(_) => true,
                Value::Lapsed if over => true,
                Value::Lapsed => continue,
                Value::Claim(claim) if self.holder == Some(claim.claim.holder) => true,
                Value::Proposal(_) | Value::Claim(_) => match judgement {
                    Some((digest, choice)) if resource || digest == proposed.digest => choice == Choice::Approve,
                    Some(_) => false,
                    None => continue,
                },
            };
            proposed.fed = true;
            let proposal = |valid| Input::Proposal {
                round: *round,
                leader: *voter,
                value: proposed.digest,
                pol_round: *pol_round,
                valid,
            };
            if !valid {
                inputs.push(proposal(false));
            }
            // Who has said no honours the quorum all the same.
            inputs.push(proposal(true));
        }
        for input in inputs {
            self.feed(input, now);
        }
        self.ask_agent();
    }

    /// Asks the agent once what it thinks of the first proposal of round 0.
    fn ask_agent(&mut self) {
        if self.asked || self.decided.is_some() {
            return;
        }
        if let Some(proposed) = self.book.of_round(0).first() {
            self.asked = true;
            self.outputs.push_back(Output::Judge(proposed.digest));
        }
    }

    /// Proposes, if the algorithm waits for our word and there is something to say.
    pub(super) fn offer(&mut self, now: Mono) {
        let Some(round) = self.wanted else {
            return;
        };
        let Some(value) = self.choose(round, now) else {
            return;
        };
        let Ok(outcome) = value.outcome() else {
            return;
        };
        self.wanted = None;
        let digest = outcome.digest(&self.id);
        self.say(round, value, outcome, None);
        self.feed(Input::Value { round, value: digest }, now);
    }

    /// Claims that we approve: all if the resource is free, else those of who has it.
    pub(super) fn likely_claims(&self) -> impl Iterator<Item = &SignedClaim> {
        let free = self.judgement.as_ref().is_some_and(|(_, ballot)| ballot.choice == Choice::Approve);
        self.claims.iter().filter(move |claim| free || self.holder == Some(claim.claim.holder))
    }

    /// What we propose as the leader of a round without a polka.
    fn choose(&self, round: u32, now: Mono) -> Option<Value> {
        let rejections = self.threshold().blocking;
        if round == 0
            && let Some(own) = &self.own
        {
            return Some(own.clone());
        }
        if self.collect_until <= now
            && let Some(claim) = self.likely_claims().min_by_key(|claim| rank(&self.id, &claim.claim.holder))
        {
            return Some(Value::Claim(claim.clone()));
        }
        if round > 0 && self.book.rejections().count() >= rejections {
            return Some(Value::Rejected(self.book.rejections().take(rejections).cloned().collect()));
        }
        (round > 0 && self.window_is_over(now)).then_some(Value::Lapsed)
    }

    /// Ends waiting that nothing can come of.
    fn hurry(&mut self, now: Mono) {
        let Some((_, core)) = &self.me else {
            return;
        };
        let state = core.state();
        let (Some(round), Some(phase)) = (state.round, state.phase) else {
            return;
        };
        let threshold = self.threshold();
        // No quorum will approve any more, whatever the others say.
        let hopeless = round == 0 && self.book.rejections().count() >= threshold.blocking;
        let late = match phase {
            Phase::Propose if hopeless && self.judgement.is_some() => Some(Phase::Propose),
            Phase::Prevote if hopeless => Some(Phase::Prevote),
            // A round that a quorum has given up.
            Phase::Precommit if self.book.count(round, Step::Precommit, None) >= threshold.quorum => {
                Some(Phase::Precommit)
            }
            Phase::Propose | Phase::Prevote | Phase::Precommit => None,
        };
        if let Some(phase) = late {
            self.feed(Input::Timeout(Timeout { round, phase }), now);
        }
    }

    /// Hands the algorithm an input, and does what it says until it is content.
    pub(super) fn feed(&mut self, input: Input, now: Mono) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            // What comes before the first round is told to it when that begins.
            let begins = self.has_begun() || matches!(input, Input::Round { .. });
            let Some((_, core)) = self.me.as_mut().filter(|_| begins && self.decided.is_none()) else {
                return;
            };
            for output in core.process(input) {
                match output {
                    Task::Round(round) => inputs.push_back(Input::Round { round, leader: self.leader(round) }),
                    Task::WantValue(round) => self.wanted = Some(round),
                    Task::Start(Timeout { round, phase }) => {
                        let due = now.saturating_add(self.length(round, phase, now));
                        self.timers.insert(phase, (round, due));
                    }
                    Task::Propose { round, value, pol_round } => self.repeat(round, value, pol_round, &mut inputs),
                    Task::Vote { round, step, value } => inputs.extend(self.vote(round, step, value, now)),
                    // It has counted the votes that we have counted.
                    Task::Decide { .. } => {}
                }
            }
            if let Input::Round { .. } = input {
                self.entered(now);
            }
        }
        // Our own vote may have been the last one that was missing.
        self.hurry(now);
    }

    /// A new round has begun.
    fn entered(&mut self, now: Mono) {
        let round = self.round();
        self.wanted = self.wanted.filter(|wanted| *wanted >= round);
        self.timers.retain(|_, (of, _)| *of >= round);
        let state = self.me.as_ref().map(|(_, core)| core.state()).unwrap_or_default();
        let kept: Vec<_> = state.locked.into_iter().chain(state.valid).collect();
        self.book.forget_before(round.saturating_sub(BEHIND), &kept);
        for signed in self.book.caught_up(round.saturating_add(AHEAD)) {
            self.count(signed, now);
        }
        self.consider(now);
        self.offer(now);
    }

    /// How long a step may last. For a proposal, round 0 is open until the window is over, so that slow judges are heard.
    pub(super) fn length(&self, round: u32, phase: Phase, now: Mono) -> u64 {
        let step = self.config.step_ms.saturating_add(self.config.more_ms.saturating_mul(round.into()));
        let step = step.min(self.config.max_step_ms);
        let owned = matches!(self.slot.subject, Subject::Owned { .. });
        match (phase, self.window_end()) {
            (Phase::Propose | Phase::Prevote, Some(end)) if round == 0 && owned => end.saturating_sub(now).max(step),
            (Phase::Propose, _) if round == 0 => step.saturating_add(self.config.collect_ms),
            (Phase::Propose | Phase::Prevote | Phase::Precommit, _) => step,
        }
    }

    /// Proposes again what has a polka, as the algorithm says.
    fn repeat(&mut self, round: u32, digest: Digest, pol_round: Option<u32>, inputs: &mut VecDeque<Input>) {
        // Also what we have said ourselves a moment ago, see `offer`.
        let known = self.book.of_round(round).iter().any(|proposed| proposed.digest == digest);
        if !known {
            let Some((value, outcome)) = self.book.value(&digest).map(|(value, outcome)| (value.clone(), outcome))
            else {
                return;
            };
            self.say(round, value, outcome, pol_round);
            if let Some(polka) = pol_round.and_then(|pol_round| self.book.polka_of(pol_round)) {
                self.outputs.push_back(Output::say(Message::Polka(polka.clone())));
            }
        }
        for proposed in self.book.proposed().filter(|proposed| proposed.digest == digest) {
            proposed.fed = true;
        }
        let leader = self.leader(round);
        inputs.push_back(Input::Proposal { round, leader, value: digest, pol_round, valid: true });
    }

    /// Says something as the leader of a round: once.
    fn say(&mut self, round: u32, value: Value, outcome: Outcome, pol_round: Option<u32>) {
        let Some((me, _)) = &self.me else {
            return;
        };
        if self.led >= Some(round) {
            return;
        }
        let propose = Propose { slot: self.slot.clone(), round, value, pol_round, voter: me.voter };
        let Ok(signed) = propose.sign(&me.key) else {
            return;
        };
        self.led = Some(round);
        let digest = outcome.digest(&self.id);
        self.book.note_propose(Proposed { signed: signed.clone(), outcome, digest, fed: true });
        self.persist();
        self.outputs.push_back(Output::say(Message::Propose(signed)));
    }

    /// Votes: once for each step of each round, whatever happens.
    pub(super) fn vote(&mut self, round: u32, step: Step, value: Option<Digest>, now: Mono) -> Option<Input> {
        let (me, _) = self.me.as_ref()?;
        if self.signed >= Some((round, step)) {
            return None;
        }
        let ballot = (round == 0 && step == Step::Prevote).then(|| self.ballot(value));
        let vote = Vote { slot: self.id, round, step, value, voter: me.voter, ballot };
        let signed = vote.sign(&me.key).ok()?;
        let voter = me.voter;
        self.signed = Some((round, step));
        self.own_votes.retain(|own| own.vote.round == 0 || own.vote.round.saturating_add(1) >= round);
        self.own_votes.push(signed.clone());
        self.persist();
        self.outputs.push_back(Output::say(Message::Vote(signed.clone())));
        self.book.note_vote(signed);
        let quorum = self.threshold().quorum;
        if let Some(value) = value {
            match step {
                Step::Prevote if self.book.gather_polka(self.id, round, value, quorum) => self.forward_soon(now),
                Step::Precommit => self.decide(round, value, now),
                Step::Prevote => {}
            }
        }
        Some(Input::Vote { round, step, voter, value })
    }

    /// The ballot that goes with our prevote of round 0.
    fn ballot(&self, value: Option<Digest>) -> Ballot {
        match &self.judgement {
            Some((_, ballot)) if (ballot.choice == Choice::Approve) == value.is_some() => ballot.clone(),
            Some(_) | None if value.is_some() => Ballot { choice: Choice::Approve, reason: String::new() },
            Some(_) | None => Ballot { choice: Choice::Abstain, reason: String::new() },
        }
    }

    /// Ends the slot if a quorum has precommitted this and we know what it is.
    pub(super) fn decide(&mut self, round: u32, value: Digest, now: Mono) {
        let certificate = self.book.certificate(&self.slot, round, value, self.threshold().quorum);
        if let Some(certificate) = certificate.filter(|_| self.decided.is_none()) {
            self.end(certificate);
            self.forward_soon(now);
        }
    }

    pub(super) fn end(&mut self, certificate: Certificate) {
        self.decided = Some(certificate.clone());
        self.timers.clear();
        self.forward = None;
        self.persist();
        self.outputs.push_back(Output::Decided(Box::new(certificate)));
    }

    pub(super) fn forward_soon(&mut self, now: Mono) {
        // Nobody lets in what somebody without a vote says to all.
        if self.me.is_none() {
            return;
        }
        let jitter = u64::from(self.rng.next_u32()).checked_rem(self.config.forward_jitter_ms.max(1)).unwrap_or(0);
        self.forward = Some(now.saturating_add(self.config.forward_ms).saturating_add(jitter));
    }
}
