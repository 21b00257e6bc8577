//! What was heard in a slot: the words of leaders, votes, polkas. Everything in here was verified.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mesh_proto::decision::{
    Certificate, Choice, Evidence, Outcome, Polka, PolkaVote, SignedPropose, SignedVote, Slot, Step, Value, Vote,
    VoterIndex, VoterSet,
};
use mesh_proto::{Digest, SlotId};

/// Values that one leader may propose in one round and be remembered for: honest ones propose one, and a second one may be
/// what others got a polka for.
const MAX_VALUES_PER_ROUND: usize = 2;
/// Polkas that are kept, those of the highest rounds: there are no more between two rounds, see [`Book::forget_before`].
const MAX_POLKAS: usize = 8;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    proposes: BTreeMap<u32, Vec<Proposed>>,
    votes: BTreeMap<(u32, Step), BTreeMap<VoterIndex, SignedVote>>,
    /// The last vote of voters who are further ahead than we keep books for.
    ahead: BTreeMap<VoterIndex, SignedVote>,
    /// By round.
    polkas: BTreeMap<u32, Polka>,
    /// Whose evidence was found.
    guilty: VoterSet,
}

/// A leader's word and what it comes to.
#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub(super) signed: SignedPropose,
    pub(super) outcome: Outcome,
    pub(super) digest: Digest,
    /// Whether the algorithm knows that it is valid.
    pub(super) fed: bool,
}

/// What became of a vote.
#[derive(Debug)]
pub(super) enum Noted {
    New,
    Known,
    /// It contradicts another one of the same voter, and nothing of this voter did before.
    Guilty(Box<Evidence>),
}

/// How voters think of a proposal, as far as is known: the ballots of round 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// For it.
    pub approve: usize,
    /// Against it.
    pub reject: usize,
    /// Neither.
    pub abstain: usize,
    /// Not heard of.
    pub missing: usize,
}

impl Book {
    /// Whether a proposal is wanted: of a value that is new in its round.
    pub(super) fn wants_propose(&self, round: u32, digest: &Digest) -> bool {
        let of_round = self.of_round(round);
        of_round.len() < MAX_VALUES_PER_ROUND && of_round.iter().all(|proposed| proposed.digest != *digest)
    }

    pub(super) fn note_propose(&mut self, proposed: Proposed) {
        self.proposes.entry(proposed.signed.propose.round).or_default().push(proposed);
    }

    pub(super) fn of_round(&self, round: u32) -> &[Proposed] {
        self.proposes.get(&round).map_or(&[], Vec::as_slice)
    }

    pub(super) fn proposed(&mut self) -> impl Iterator<Item = &mut Proposed> {
        self.proposes.values_mut().flatten()
    }

    /// A value that was proposed in any round, by what votes call it.
    pub(super) fn value(&self, digest: &Digest) -> Option<(&Value, Outcome)> {
        let of_it = self.proposes.values().flatten().find(|proposed| proposed.digest == *digest)?;
        Some((&of_it.signed.propose.value, of_it.outcome))
    }

    /// The words of leaders that must not be forgotten: those of the first round, and of the values named the last ones.
    pub(super) fn words(&self, named: &[Option<Digest>]) -> Vec<SignedPropose> {
        let first = self.of_round(0).iter();
        let last = named.iter().enumerate().filter(|(place, value)| !named.iter().take(*place).any(|of| of == *value));
        let last = last.filter_map(|(_, value)| {
            let later = self.proposes.values().rev().flatten().filter(|proposed| proposed.signed.propose.round > 0);
            later.clone().find(|proposed| Some(proposed.digest) == *value)
        });
        first.chain(last).map(|proposed| proposed.signed.clone()).collect()
    }

    /// The vote that this one would be counted as, if there is one.
    pub(super) fn vote_of(&self, round: u32, step: Step, voter: VoterIndex) -> Option<&SignedVote> {
        self.votes.get(&(round, step))?.get(&voter)
    }

    /// Whether a vote would change anything: not if it is known, or its voter's guilt is.
    pub(super) fn wants_vote(&self, vote: &Vote) -> bool {
        match self.vote_of(vote.round, vote.step, vote.voter) {
            None => true,
            Some(known) => known.vote.value != vote.value && !self.guilty.contains(vote.voter),
        }
    }

    pub(super) fn note_vote(&mut self, signed: SignedVote) -> Noted {
        let Vote { round, step, voter, .. } = signed.vote;
        match self.votes.entry((round, step)).or_default().entry(voter) {
            Entry::Vacant(place) => {
                place.insert(signed);
                Noted::New
            }
            Entry::Occupied(known) => match Evidence::new(known.get().clone(), signed) {
                Some(evidence) if self.guilty.insert(voter) => Noted::Guilty(Box::new(evidence)),
                Some(_) | None => Noted::Known,
            },
        }
    }

    /// Whether a vote of a round far ahead is later than what we know of its voter.
    pub(super) fn wants_ahead(&self, vote: &Vote) -> bool {
        self.ahead.get(&vote.voter).is_none_or(|known| known.vote.round < vote.round)
    }

    /// The highest round that at least one honest voter has reached, if that can be told.
    pub(super) fn note_ahead(&mut self, signed: SignedVote, honest: usize) -> Option<u32> {
        self.ahead.insert(signed.vote.voter, signed);
        let mut rounds: Vec<_> = self.ahead.values().map(|signed| signed.vote.round).collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        rounds.get(honest.saturating_sub(1)).copied()
    }

    /// Takes out what was heard from rounds up to this one before it was of use.
    pub(super) fn caught_up(&mut self, round: u32) -> Vec<SignedVote> {
        let now: Vec<_> =
            self.ahead.iter().filter(|(_, signed)| signed.vote.round <= round).map(|(voter, _)| *voter).collect();
        now.iter().filter_map(|voter| self.ahead.remove(voter)).collect()
    }

    pub(super) fn voters(&self, round: u32, step: Step) -> VoterSet {
        self.votes.get(&(round, step)).into_iter().flatten().map(|(voter, _)| *voter).collect()
    }

    pub(super) fn votes(&self, round: u32, step: Step) -> impl Iterator<Item = &SignedVote> {
        self.votes.get(&(round, step)).into_iter().flatten().map(|(_, signed)| signed)
    }

    pub(super) fn all_votes(&self) -> Vec<Vote> {
        self.votes.values().flat_map(BTreeMap::values).map(|signed| signed.vote.clone()).collect()
    }

    pub(super) fn count(&self, round: u32, step: Step, value: Option<Digest>) -> usize {
        self.votes(round, step).filter(|signed| signed.vote.value == value).count()
    }

    /// Votes of round 0 that reject.
    pub(super) fn rejections(&self) -> impl Iterator<Item = &SignedVote> {
        self.votes(0, Step::Prevote).filter(|signed| signed.vote.rejects())
    }

    /// Of all voters, about the value that was proposed first, or decided. Who approves another one has not spoken of it.
    pub(super) fn tally(&self, voters: usize, of: Option<Digest>) -> Tally {
        let mut tally = Tally { missing: voters, ..Tally::default() };
        for Vote { ballot, value, .. } in self.votes(0, Step::Prevote).map(|signed| &signed.vote) {
            let count = match ballot.as_ref().map(|ballot| ballot.choice) {
                Some(Choice::Approve) if *value == of => &mut tally.approve,
                Some(Choice::Reject) => &mut tally.reject,
                Some(Choice::Abstain) => &mut tally.abstain,
                Some(Choice::Approve) | None => continue,
            };
            *count = count.saturating_add(1);
            tally.missing = tally.missing.saturating_sub(1);
        }
        tally
    }

    /// The one of the highest round.
    pub(super) fn polka(&self) -> Option<&Polka> {
        self.polkas.values().next_back()
    }

    pub(super) fn polka_of(&self, round: u32) -> Option<&Polka> {
        self.polkas.get(&round)
    }

    pub(super) fn polkas(&self) -> impl Iterator<Item = &Polka> {
        self.polkas.values()
    }

    pub(super) fn wants_polka(&self, round: u32) -> bool {
        let highest = self.polkas.last_key_value().is_none_or(|(highest, _)| *highest < round);
        highest || (self.polkas.len() < MAX_POLKAS && !self.polkas.contains_key(&round))
    }

    pub(super) fn note_polka(&mut self, polka: Polka) {
        self.polkas.insert(polka.round, polka);
        while self.polkas.len() > MAX_POLKAS {
            self.polkas.pop_first();
        }
    }

    /// Makes a polka of the votes of a round, if there are enough and it is news.
    pub(super) fn gather_polka(&mut self, slot: SlotId, round: u32, value: Digest, quorum: usize) -> bool {
        let is_news = self.wants_polka(round) && self.count(round, Step::Prevote, Some(value)) >= quorum;
        if is_news {
            let votes = self.votes(round, Step::Prevote).filter(|signed| signed.vote.value == Some(value));
            let vote = |signed: &SignedVote| PolkaVote {
                voter: signed.vote.voter,
                reason: signed.vote.ballot.as_ref().map(|ballot| ballot.reason.clone()).unwrap_or_default(),
                signature: signed.signature,
            };
            let votes = votes.take(quorum).map(vote).collect();
            self.note_polka(Polka { slot, round, value, votes });
        }
        is_news
    }

    /// The certificate of a decision that a quorum of known votes has made.
    pub(super) fn certificate(&self, slot: &Slot, round: u32, value: Digest, quorum: usize) -> Option<Certificate> {
        let (_, outcome) = self.value(&value)?;
        let votes: Vec<_> =
            self.votes(round, Step::Precommit).filter(|signed| signed.vote.value == Some(value)).take(quorum).collect();
        (votes.len() == quorum).then(|| Certificate {
            slot: slot.clone(),
            outcome,
            round,
            voters: votes.iter().map(|signed| signed.vote.voter).collect(),
            signatures: votes.iter().flat_map(|signed| signed.signature.iter().copied()).collect::<Vec<_>>().into(),
        })
    }

    /// Forgets what was said in old rounds, but for round 0, the last polka, and what is `kept`: a round and its value.
    pub(super) fn forget_before(&mut self, round: u32, kept: &[(u32, Digest)]) {
        let last = self.polkas.last_key_value().map(|(last, _)| *last);
        let keeps = |of: u32| of >= round || Some(of) == last || kept.iter().any(|(kept, _)| *kept == of);
        self.votes.retain(|(of, _), _| *of == 0 || *of >= round);
        self.polkas.retain(|of, _| keeps(*of));
        self.proposes.retain(|of, _| *of == 0 || keeps(*of));
    }
}
