//! What a voter keeps of a slot, so that it goes on after a crash and never contradicts itself.

use std::sync::Arc;

use mesh_proto::codec::Bounded;
use mesh_proto::decision::{Ballot, Certificate, Message, Polka, SignedPropose, SignedVote, Slot, Step};
use mesh_proto::envelope::Verifier;
use mesh_proto::{DecodeError, Digest, EncodeError};
use serde::{Deserialize, Serialize};

use super::book::Proposed;
use super::decide::leader_of;
use super::{Config, Instance, Me, Mono, Output};
use crate::agreement::{Agreement, Input, Phase, State};
use crate::electorate::Electorate;

/// Largest encoding: four words of leaders, of up to 48 KB each, and two polkas of up to 35 KB. Mostly it is some hundred
/// bytes, and 8 KB once there is a polka of a hundred voters.
pub const MAX_SAVED: usize = 320 * 1024;
/// Most votes, words and polkas in it.
const MAX_PARTS: usize = 8;

/// All of it. Whatever keeps it has to notice when it was damaged: signatures are not checked again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The slot.
    pub slot: Slot,
    /// Where the algorithm is.
    pub state: State,
    /// What the agent thinks of which proposal.
    pub judgement: Option<(Digest, Ballot)>,
    /// The highest step that was signed.
    pub signed: Option<(u32, Step)>,
    /// The highest round that was led.
    pub led: Option<u32>,
    /// Our votes of the current round, the one before and round 0.
    pub votes: Vec<SignedVote>,
    /// What was proposed first, and what we may have to propose again.
    pub proposes: Vec<SignedPropose>,
    /// Those that we may have to show, and the last one.
    pub polkas: Vec<Polka>,
    /// How it ended.
    pub decided: Option<Certificate>,
}

impl Bounded for Saved {
    fn check(&self) -> Result<(), DecodeError> {
        self.slot.check()?;
        for len in [self.votes.len(), self.proposes.len(), self.polkas.len()] {
            if len > MAX_PARTS {
                return Err(DecodeError::OutOfBounds { what: "parts", max: MAX_PARTS });
            }
        }
        self.votes.iter().try_for_each(Bounded::check)?;
        self.proposes.iter().try_for_each(Bounded::check)?;
        self.polkas.iter().try_for_each(Bounded::check)?;
        self.decided.as_ref().map_or(Ok(()), Bounded::check)
    }
}

impl<A: Agreement> Instance<A> {
    pub(super) fn persist(&mut self) {
        let Some((_, core)) = &self.me else {
            return;
        };
        let state = core.state();
        let value = |of: Option<(u32, Digest)>| of.map(|(_, value)| value);
        let shown: Vec<_> =
            state.valid.map(|(round, _)| round).into_iter().chain(self.book.polka().map(|polka| polka.round)).collect();
        let saved = Saved {
            slot: self.slot.clone(),
            state,
            judgement: self.judgement.clone(),
            signed: self.signed,
            led: self.led,
            votes: self.own_votes.clone(),
            proposes: self.book.words(&[value(state.locked), value(state.valid)]),
            polkas: self.book.polkas().filter(|polka| shown.contains(&polka.round)).cloned().collect(),
            decided: self.decided.clone(),
        };
        self.outputs.push_back(Output::Persist(Box::new(saved)));
    }

    /// Goes on from what was kept; tells once more how it ended, if it has. The window begins anew: that delays nobody else.
    ///
    /// # Errors
    /// [`EncodeError`] when the name of a resource is too long.
    pub fn restore(
        config: Config,
        saved: Saved,
        electorate: Arc<Electorate>,
        verifier: Arc<dyn Verifier>,
        me: Me,
        entropy: [u8; 32],
        now: Mono,
    ) -> Result<Self, EncodeError> {
        let Saved { slot, state, judgement, signed, led, votes, proposes, polkas, decided } = saved;
        let mut instance = Self::new(config, slot, electorate, verifier, Some(me), entropy, now)?;
        for signed in proposes {
            if instance.me.as_ref().is_some_and(|(me, _)| me.voter == signed.propose.voter) {
                instance.outputs.push_back(Output::say(Message::Propose(signed.clone())));
            }
            let outcome = signed.propose.value.outcome()?;
            instance.hear_of(signed.propose.round, &signed.propose.value, now);
            let digest = outcome.digest(&instance.id);
            // Those are part of its state; the others it is told of again.
            let round = signed.propose.round;
            let fed = state.locked.into_iter().chain(state.valid).any(|of| of == (round, digest));
            instance.book.note_propose(Proposed { signed, outcome, digest, fed });
        }
        for polka in polkas {
            instance.book.note_polka(polka);
        }
        instance.asked = judgement.is_some() || signed.is_some();
        (instance.judgement, instance.signed, instance.led) = (judgement, signed, led);
        // Whoever waits for it may not have heard of it before.
        instance.outputs.extend(decided.clone().map(|certificate| Output::Decided(Box::new(certificate))));
        instance.decided = decided;
        let open = instance.decided.is_none();
        if let Some((_, core)) = &mut instance.me
            && open
        {
            core.restore(state, |round| leader_of(&instance.leaders, round));
        }
        for signed in &votes {
            instance.outputs.push_back(Output::say(Message::Vote(signed.clone())));
        }
        instance.own_votes.clone_from(&votes);
        for signed in votes {
            instance.count(signed, now);
        }
        // Its state has only those that came with their proposal.
        let polkas: Vec<_> = instance.book.polkas().map(|Polka { round, value, .. }| (*round, *value)).collect();
        for (round, value) in polkas {
            instance.feed(Input::Polka { round, value }, now);
        }
        if let (Some(round), Some(phase @ Phase::Propose)) = (state.round, state.phase) {
            let due = now.saturating_add(instance.length(round, phase, now));
            instance.timers.insert(phase, (round, due));
        }
        instance.cast_what_is_owed(state, now);
        instance.consider(now);
        Ok(instance)
    }

    /// Votes that the crash came before: the algorithm believes that they are cast, and the others may wait for them.
    fn cast_what_is_owed(&mut self, state: State, now: Mono) {
        let Some(round) = state.round.filter(|_| self.decided.is_none()) else {
            return;
        };
        let locked = state.locked.filter(|(locked, _)| *locked == round).map(|(_, value)| value);
        let steps = [(Phase::Prevote, Step::Prevote, None), (Phase::Precommit, Step::Precommit, locked)];
        for (_, step, value) in steps.into_iter().filter(|(phase, ..)| state.phase >= Some(*phase)) {
            // Not cast if it was signed.
            if let Some(input) = self.vote(round, step, value, now) {
                self.feed(input, now);
            }
        }
    }
}
