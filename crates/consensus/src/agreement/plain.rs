//! The algorithm as the paper has it: a list of rules, tried until none applies. Slow and obvious.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::Digest;
use mesh_proto::decision::{Step, VoterIndex};

use super::{Agreement, Input, Output, Phase, State, Timeout};
use crate::electorate::Threshold;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plain {
    threshold: Threshold,
    me: VoterIndex,
    leader: Option<VoterIndex>,
    state: State,
    /// By round; a traitor may propose several values.
    proposals: BTreeMap<u32, Vec<Proposal>>,
    /// The first vote of each voter.
    votes: BTreeMap<(u32, Step), BTreeMap<VoterIndex, Option<Digest>>>,
    polkas: BTreeSet<(u32, Digest)>,
    /// What is done once in a round.
    done: BTreeSet<(u32, Once)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Proposal {
    value: Digest,
    pol_round: Option<u32>,
    valid: bool,
}

/// "For the first time", as the paper says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Once {
    PrevoteTimer,
    PrecommitTimer,
    Lock,
    Skip,
}

impl Agreement for Plain {
    fn new(voters: usize, me: VoterIndex) -> Self {
        Self {
            threshold: Threshold::of(voters),
            me,
            leader: None,
            state: State::default(),
            proposals: BTreeMap::new(),
            votes: BTreeMap::new(),
            polkas: BTreeSet::new(),
            done: BTreeSet::new(),
        }
    }

    fn process(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        if self.state.decided.is_none() {
            self.take(input, &mut outputs);
            while self.apply(&mut outputs) {}
        }
        outputs
    }

    fn state(&self) -> State {
        self.state
    }

    fn restore(&mut self, state: State, leader: impl Fn(u32) -> VoterIndex) {
        self.state = state;
        self.leader = state.round.map(leader);
        // Both come from a polka for a valid proposal.
        for (round, value) in state.locked.into_iter().chain(state.valid) {
            self.polkas.insert((round, value));
            self.proposals.insert(round, vec![Proposal { value, pol_round: None, valid: true }]);
            self.done.insert((round, Once::Lock));
        }
    }
}

impl Plain {
    /// Forgets what it is locked on, as a traitor with amnesia does. Every check of safety has to notice if an honest voter
    /// does.
    pub fn forget_locks(&mut self) {
        self.state.locked = None;
        self.state.valid = None;
    }

    /// Writes the input down, and does what it asks for by itself.
    fn take(&mut self, input: Input, outputs: &mut Vec<Output>) {
        match input {
            Input::Round { round, leader } => {
                if self.state.round.is_none_or(|current| current < round) {
                    self.start(round, leader, outputs);
                }
            }
            // Line 18
            Input::Value { round, value } => {
                if self.is_at(round, Phase::Propose) && self.leader == Some(self.me) {
                    outputs.push(Output::Propose { round, value, pol_round: None });
                }
            }
            Input::Proposal { round, value, pol_round, valid, .. } => {
                let of_round = self.proposals.entry(round).or_default();
                match of_round.iter_mut().find(|other| other.value == value) {
                    Some(known) => known.valid |= valid && known.pol_round == pol_round,
                    None => of_round.push(Proposal { value, pol_round, valid }),
                }
            }
            Input::Vote { round, step, voter, value } => {
                self.votes.entry((round, step)).or_default().entry(voter).or_insert(value);
            }
            Input::Polka { round, value } => {
                self.polkas.insert((round, value));
            }
            Input::Timeout(Timeout { round, phase }) => self.late(round, phase, outputs),
        }
    }

    /// Lines 11 to 21.
    fn start(&mut self, round: u32, leader: VoterIndex, outputs: &mut Vec<Output>) {
        self.state.round = Some(round);
        self.state.phase = Some(Phase::Propose);
        self.leader = Some(leader);
        match self.state.valid {
            Some((pol_round, value)) if leader == self.me => {
                outputs.push(Output::Propose { round, value, pol_round: Some(pol_round) });
            }
            valid => {
                outputs.push(Output::Start(Timeout { round, phase: Phase::Propose }));
                if leader == self.me && valid.is_none() {
                    outputs.push(Output::WantValue(round));
                }
            }
        }
    }

    /// Lines 57 to 67.
    fn late(&mut self, round: u32, phase: Phase, outputs: &mut Vec<Output>) {
        match phase {
            Phase::Propose if self.is_at(round, Phase::Propose) => self.prevote(round, None, outputs),
            Phase::Prevote if self.is_at(round, Phase::Prevote) => self.precommit(round, None, outputs),
            Phase::Precommit if self.state.round == Some(round) => self.skip(round.saturating_add(1), outputs),
            Phase::Propose | Phase::Prevote | Phase::Precommit => {}
        }
    }

    /// Applies the first rule that applies; whether one did.
    fn apply(&mut self, outputs: &mut Vec<Output>) -> bool {
        if self.state.decided.is_some() {
            return false;
        }
        let Some(round) = self.state.round else {
            return false;
        };
        self.decide(outputs)
            || self.skip_ahead(round, outputs)
            || self.judge(round, outputs)
            || self.lock(round, outputs)
            || self.give_up(round, outputs)
            || self.timers(round, outputs)
    }

    /// Line 49: a quorum of precommits for a valid proposal of any round.
    fn decide(&mut self, outputs: &mut Vec<Output>) -> bool {
        let decided = self.proposals.iter().find_map(|(round, of_round)| {
            let quorum = |proposal: &&Proposal| proposal.valid && self.has_precommits(*round, proposal.value);
            of_round.iter().find(quorum).map(|proposal| (*round, proposal.value))
        });
        if let Some((round, value)) = decided {
            self.state.decided = Some(value);
            self.state.phase = None;
            outputs.push(Output::Decide { round, value });
        }
        decided.is_some()
    }

    /// Line 55: so many are in a later round that one of them is honest.
    fn skip_ahead(&mut self, round: u32, outputs: &mut Vec<Output>) -> bool {
        let mut by_round = BTreeMap::<u32, BTreeSet<VoterIndex>>::new();
        for ((later, _), votes) in self.votes.range((round.saturating_add(1), Step::Prevote)..) {
            by_round.entry(*later).or_default().extend(votes.keys());
        }
        let honest =
            by_round.iter().filter(|(_, voters)| voters.len() >= self.threshold.honest).map(|(later, _)| *later);
        let by_polka = self.polkas.iter().map(|(later, _)| *later).filter(|later| *later > round);
        let Some(later) = honest.chain(by_polka).max().filter(|later| self.done.insert((*later, Once::Skip))) else {
            return false;
        };
        self.skip(later, outputs);
        true
    }

    /// Lines 22 to 33: what we prevote.
    fn judge(&mut self, round: u32, outputs: &mut Vec<Output>) -> bool {
        if !self.is_at(round, Phase::Propose) {
            return false;
        }
        let ready = self.of_round(round).find(|proposal| match proposal.pol_round {
            None => true,
            Some(pol_round) => pol_round < round && self.has_polka(pol_round, proposal.value),
        });
        let Some(Proposal { value, pol_round, valid }) = ready else {
            return false;
        };
        let unlocked = match (self.state.locked, pol_round) {
            (None, _) => true,
            (Some((_, locked)), None) => locked == value,
            (Some((locked_round, locked)), Some(pol_round)) => locked_round <= pol_round || locked == value,
        };
        self.prevote(round, (valid && unlocked).then_some(value), outputs);
        true
    }

    /// Lines 36 to 43: a polka of this round.
    fn lock(&mut self, round: u32, outputs: &mut Vec<Output>) -> bool {
        if self.state.phase <= Some(Phase::Propose) || self.done.contains(&(round, Once::Lock)) {
            return false;
        }
        let ready = self.of_round(round).find(|proposal| proposal.valid && self.has_polka(round, proposal.value));
        let Some(Proposal { value, .. }) = ready else {
            return false;
        };
        self.done.insert((round, Once::Lock));
        self.state.valid = Some((round, value));
        if self.is_at(round, Phase::Prevote) {
            self.state.locked = Some((round, value));
            self.precommit(round, Some(value), outputs);
        }
        true
    }

    /// Line 44: a quorum of prevotes for nothing.
    fn give_up(&mut self, round: u32, outputs: &mut Vec<Output>) -> bool {
        let nil = self.is_at(round, Phase::Prevote) && self.count(round, Step::Prevote, None) >= self.threshold.quorum;
        if nil {
            self.precommit(round, None, outputs);
        }
        nil
    }

    /// Lines 34 and 47.
    fn timers(&mut self, round: u32, outputs: &mut Vec<Output>) -> bool {
        let quorum = self.threshold.quorum;
        let polka = self.total(round, Step::Prevote) >= quorum || self.polkas.iter().any(|(of, _)| *of == round);
        if self.is_at(round, Phase::Prevote) && polka && self.done.insert((round, Once::PrevoteTimer)) {
            outputs.push(Output::Start(Timeout { round, phase: Phase::Prevote }));
            return true;
        }
        if self.total(round, Step::Precommit) >= quorum && self.done.insert((round, Once::PrecommitTimer)) {
            outputs.push(Output::Start(Timeout { round, phase: Phase::Precommit }));
            return true;
        }
        false
    }

    fn prevote(&mut self, round: u32, value: Option<Digest>, outputs: &mut Vec<Output>) {
        self.state.phase = Some(Phase::Prevote);
        outputs.push(Output::Vote { round, step: Step::Prevote, value });
    }

    fn precommit(&mut self, round: u32, value: Option<Digest>, outputs: &mut Vec<Output>) {
        self.state.phase = Some(Phase::Precommit);
        outputs.push(Output::Vote { round, step: Step::Precommit, value });
    }

    /// Asks for a round. Until it is started we are in none: nothing of the one that was may happen any more.
    fn skip(&mut self, round: u32, outputs: &mut Vec<Output>) {
        self.state.phase = None;
        outputs.push(Output::Round(round));
    }

    fn is_at(&self, round: u32, phase: Phase) -> bool {
        (self.state.round, self.state.phase) == (Some(round), Some(phase))
    }

    fn of_round(&self, round: u32) -> impl Iterator<Item = Proposal> + '_ {
        self.proposals.get(&round).into_iter().flatten().copied()
    }

    fn count(&self, round: u32, step: Step, value: Option<Digest>) -> usize {
        self.votes.get(&(round, step)).map_or(0, |votes| votes.values().filter(|other| **other == value).count())
    }

    fn total(&self, round: u32, step: Step) -> usize {
        self.votes.get(&(round, step)).map_or(0, BTreeMap::len)
    }

    fn has_polka(&self, round: u32, value: Digest) -> bool {
        self.polkas.contains(&(round, value)) || self.count(round, Step::Prevote, Some(value)) >= self.threshold.quorum
    }

    fn has_precommits(&self, round: u32, value: Digest) -> bool {
        self.count(round, Step::Precommit, Some(value)) >= self.threshold.quorum
    }
}
