//! What comes in: nothing that is not signed, asked for and new goes any further.

use mesh_proto::decision::{
    Certificate, Polka, Propose, SignedClaim, SignedPropose, SignedVote, Step, Subject, Value, Vote,
};

use super::book::{Noted, Proposed};
use super::{AHEAD, BEHIND, Instance, MAX_CLAIMS, Mono, Output, Refused};
use crate::agreement::{Agreement, Input};
use crate::certificate::{rejects, verify_in, verify_polka};

impl<A: Agreement> Instance<A> {
    pub(super) fn on_propose(&mut self, signed: SignedPropose, now: Mono) -> Result<(), Refused> {
        let Propose { slot, round, value, voter, .. } = &signed.propose;
        if *slot != self.slot {
            return Err(Refused::OtherSlot);
        }
        if self.leader(*round) != *voter {
            return Err(Refused::Offence("proposed by another than the leader of the round"));
        }
        let Ok(outcome) = value.outcome() else {
            return Err(Refused::Offence("a proposal past its bounds"));
        };
        let digest = outcome.digest(&self.id);
        if self.decided.is_some() || !self.is_near(*round) || !self.book.wants_propose(*round, &digest) {
            return Ok(());
        }
        let key = self.electorate.get(*voter).map(|voter| voter.key);
        if !key.is_some_and(|key| signed.verifies(&key, &*self.verifier)) {
            return Err(Refused::Offence("a proposal with a forged signature"));
        }
        self.check_value(value, *round, signed.propose.pol_round)?;
        self.hear_of(signed.propose.round, &signed.propose.value.clone(), now);
        self.book.note_propose(Proposed { signed, outcome, digest, fed: false });
        self.begin(now);
        self.consider(now);
        // Who has heard the votes before knows only now what they were for.
        for round in self.round().saturating_sub(BEHIND)..=self.round().saturating_add(AHEAD) {
            self.decide(round, digest, now);
        }
        Ok(())
    }

    /// Whether a value can be one of this slot, whoever likes it.
    fn check_value(&self, value: &Value, round: u32, pol_round: Option<u32>) -> Result<(), Refused> {
        let resource = matches!(self.slot.subject, Subject::Resource { .. });
        match value {
            Value::Rejected(_) | Value::Lapsed if round == 0 => {
                Err(Refused::Offence("an end in place of a proposal in the first round"))
            }
            Value::Proposal(_) if resource => Err(Refused::Offence("a proposal for a resource")),
            Value::Proposal(_) if round > 0 && pol_round.is_none() => {
                Err(Refused::Offence("a proposal in a later round without a polka"))
            }
            Value::Claim(_) if !resource => Err(Refused::Offence("a claim that is not for a resource")),
            Value::Claim(claim) if claim.claim.slot != self.slot || !claim.verifies(&*self.verifier) => {
                Err(Refused::Offence("a forged claim"))
            }
            Value::Rejected(votes) if !rejects(&self.electorate, &self.id, votes, &*self.verifier) => {
                Err(Refused::Offence("a rejection that too few have rejected"))
            }
            Value::Proposal(_) | Value::Claim(_) | Value::Rejected(_) | Value::Lapsed => Ok(()),
        }
    }

    pub(super) fn on_vote(&mut self, signed: SignedVote, now: Mono) -> Result<(), Refused> {
        let vote = &signed.vote;
        if vote.slot != self.id {
            return Err(Refused::OtherSlot);
        }
        let Some(key) = self.electorate.get(vote.voter).map(|voter| voter.key) else {
            return Err(Refused::Offence("a vote of nobody"));
        };
        let is_near = self.is_near(vote.round) || vote.round == 0;
        let wanted = match is_near {
            true => self.book.wants_vote(vote),
            false => vote.round > self.round() && self.book.wants_ahead(vote),
        };
        if self.decided.is_some() || !wanted {
            return Ok(());
        }
        if !signed.verifies(&key, &*self.verifier) {
            return Err(Refused::Offence("a vote with a forged signature"));
        }
        if matches!(self.slot.subject, Subject::Resource { .. }) {
            self.begin(now);
        }
        if !is_near {
            let reached = self.book.note_ahead(signed, self.threshold().honest);
            if let Some(round) = reached.filter(|round| *round > self.round()) {
                // It may be the first that we hear of the slot, but for votes and polkas.
                self.begin(now);
                self.feed(Input::Round { round, leader: self.leader(round) }, now);
            }
            return Ok(());
        }
        self.count(signed, now);
        Ok(())
    }

    /// Counts a verified vote.
    pub(super) fn count(&mut self, signed: SignedVote, now: Mono) {
        let Vote { round, step, value, voter, .. } = signed.vote;
        match self.book.note_vote(signed) {
            Noted::Known => return,
            Noted::Guilty(evidence) => return self.outputs.push_back(Output::Guilty(evidence)),
            Noted::New => {}
        }
        let quorum = self.threshold().quorum;
        if let Some(value) = value
            && step == Step::Prevote
            && self.book.gather_polka(self.id, round, value, quorum)
        {
            self.forward_soon(now);
        }
        self.feed(Input::Vote { round, step, voter, value }, now);
        if step == Step::Precommit
            && let Some(value) = value
        {
            self.decide(round, value, now);
        }
    }

    pub(super) fn on_polka(&mut self, polka: Polka, now: Mono) -> Result<(), Refused> {
        if polka.slot != self.id {
            return Err(Refused::OtherSlot);
        }
        if self.decided.is_some() {
            return Ok(());
        }
        if !self.book.wants_polka(polka.round) {
            // Somebody else has handed it on, unless it is forged to make us believe that.
            if self.forward.is_some() && self.book.polka().is_some_and(|last| last.round == polka.round) {
                verify_polka(&self.electorate, &polka, &*self.verifier)?;
                self.forward = None;
            }
            return Ok(());
        }
        verify_polka(&self.electorate, &polka, &*self.verifier)?;
        let Polka { round, value, .. } = polka;
        self.book.note_polka(polka);
        self.forward = None;
        self.feed(Input::Polka { round, value }, now);
        self.consider(now);
        Ok(())
    }

    pub(super) fn on_decision(&mut self, certificate: Certificate) -> Result<(), Refused> {
        if certificate.slot != self.slot {
            return Err(Refused::OtherSlot);
        }
        if self.decided.is_some() && self.forward.is_none() {
            return Ok(());
        }
        verify_in(&self.electorate, &certificate, &*self.verifier)?;
        // Somebody else has handed it on.
        self.forward = None;
        if self.decided.is_none() {
            self.end(certificate);
        }
        Ok(())
    }

    pub(super) fn on_claim(&mut self, signed: SignedClaim, now: Mono) -> Result<(), Refused> {
        if signed.claim.slot != self.slot {
            return Err(Refused::OtherSlot);
        }
        let known = self.claims.iter().any(|other| other.claim.holder == signed.claim.holder);
        if self.decided.is_some() || known || self.claims.len() >= MAX_CLAIMS {
            return Ok(());
        }
        if !signed.verifies(&*self.verifier) {
            return Err(Refused::Offence("a forged claim"));
        }
        self.claims.push(signed);
        self.begin(now);
        self.offer(now);
        Ok(())
    }
}
