//! All runs of two rounds among four voters, one of them a traitor: no two honest voters decide differently (agreement), no
//! honest voter gives two votes for one round and step (I2), and one that is locked prevotes another value only with a polka
//! for it (I3); see reliability 1.9. Checked with stateright over [`Plain`], which `differential.rs` ties to
//! `Malachite`. The algorithm is that of Buchman, Kwon, Milosevic: "The latest gossip on BFT consensus", 2018.
//!
//! # What is covered
//!
//! Rounds 0 and 1 with values A and B, for four schedules of leaders. The network only adds: what an honest voter has said
//! may reach anybody at any later time, in any order, or never. The traitor says anything to anybody at any time, so
//! nothing that it says is part of a state. A voter hears itself at once. Any timer may run out at any time, started or not,
//! which is more than a real one may.
//!
//! What keeps the space small, and why no vote for a value and no decision of another order gets lost:
//!
//! * A voter hears what it needs for a rule in one go: a quorum and the proposal that it is for, or a proposal and the polka
//!   that it names. In [`Plain`] a part of that enables nothing, so it may as well come right before the rest. (But for a
//!   decision before the own prevote. One that prevotes first only says more.)
//! * Two states are one if the honest voters are in the same state of the algorithm and have said the same. What each has
//!   heard is left out: it can be heard again, and nothing of it stands in the way of the rest, as a test shows. (Of the
//!   traitor's votes the first one of a round and step counts, but two quorums of one round and step never need different
//!   ones: without the traitor they would have two of three honest voters each.)
//! * Voters that lead the same rounds may change places, and where one stands that has decided does not matter.
//! * A voter leaves round 0 by a timer once it has given both votes, or by hearing a quorum of round 1. To leave earlier
//!   is to let the timers run out at once and vote for nothing: that only adds votes that the others need not hear.
//! * Quorums of mixed votes only start timers, and those need no start here.
//! * A proposal is always valid. One that is not makes its hearer prevote nil, as the propose timer does here.
//!
//! # What is not
//!
//! More rounds, values or voters; restarts; the checks of what comes in; what the instance adds. Round 1 has no end, so
//! nothing is said here of a lock that is left in round 2. And nothing is said of termination.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use mesh_consensus::agreement::{Agreement, Input, Output, Phase, Plain, Timeout};
use mesh_consensus::electorate::Threshold;
use mesh_proto::Digest;
use mesh_proto::decision::{Step, VoterIndex};
use stateright::{Checker, HasDiscoveries, Model, Property};

const VOTERS: usize = 4;
const HONEST: usize = 3;
const TRAITOR: VoterIndex = 3;
const ROUNDS: u32 = 2;
const POLKAS: [Polka; 2] = [Polka::Votes, Polka::Certificate];
const VALUES: [Digest; 2] = [Digest([0xa; 32]), Digest([0xb; 32])];

#[test]
fn whoever_leads_all_is_well() {
    for leaders in [[TRAITOR, 0], [0, TRAITOR], [TRAITOR, TRAITOR], [0, 1]] {
        let checker = Slot { leaders, forgetful: false }.checker().threads(2).spawn_bfs().join();
        println!("leaders {leaders:?}: {} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
        // Prints the steps that lead to what is wrong.
        checker.assert_properties();
        assert!(checker.is_done(), "not all states were seen");
    }
}

#[test]
fn without_the_lock_rule_two_values_are_decided() {
    for leaders in [[0, TRAITOR], [TRAITOR, TRAITOR]] {
        let slot = Slot { leaders, forgetful: true };
        let enough = HasDiscoveries::AnyOf(BTreeSet::from([AGREEMENT]));
        let checker = slot.checker().finish_when(enough).threads(2).spawn_bfs().join();
        let path = checker.discovery(AGREEMENT).expect("voters without locks agree: this check sees nothing");
        let actions = path.into_actions();
        println!("leaders {leaders:?}: a disagreement after {} steps\n{actions:?}", actions.len());
    }
}

/// The second of the reductions: states that count as one lead to the same states.
#[test]
fn what_was_heard_does_not_matter() {
    const ONE_IN: usize = 10;
    for leaders in [[0, TRAITOR], [TRAITOR, 0]] {
        let slot = Slot { leaders, forgetful: false };
        let mut new = VecDeque::from(slot.init_states());
        let mut known: HashMap<_, _> = new.iter().map(|state| (state.fingerprint(), state.clone())).collect();
        let mut again = 0_usize;
        while let Some(state) = new.pop_front() {
            for (action, next) in slot.next_steps(&state) {
                match known.entry(next.fingerprint()) {
                    Entry::Vacant(entry) => {
                        entry.insert(next.clone());
                        new.push_back(next);
                    }
                    Entry::Occupied(entry) => {
                        again += 1;
                        if again.is_multiple_of(ONE_IN) {
                            let (one, other) = (slot.reach(entry.get()), slot.reach(&next));
                            assert!(one == other, "after {action:?}\n{:#?}\n{next:#?}", entry.get());
                        }
                    }
                }
            }
        }
        assert!(again > ONE_IN, "nothing was compared");
        println!("leaders {leaders:?}: {} states, {} comparisons", known.len(), again / ONE_IN);
    }
}

const AGREEMENT: &str = "agreement";

/// One slot, and who leads its rounds.
#[derive(Clone)]
struct Slot {
    leaders: [VoterIndex; 2],
    /// Whether honest voters forget their locks before each input.
    forgetful: bool,
}

/// The honest voters; the traitor has no state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State([Arc<Honest>; HONEST]);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Honest {
    place: VoterIndex,
    /// Which rounds it leads.
    leads: [bool; ROUNDS as usize],
    core: Plain,
    /// All that it has voted: two votes for one round and step would both be here.
    votes: BTreeSet<Vote>,
    /// What it has proposed as a leader.
    proposals: BTreeSet<Proposal>,
    /// In which round it was asked for a value.
    asked: Option<u32>,
    decided: Option<(u32, Digest)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Vote {
    round: u32,
    step: Step,
    value: Option<Digest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Proposal {
    round: u32,
    value: Digest,
    pol_round: Option<u32>,
}

/// What happens to one honest voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Action {
    voter: usize,
    event: Event,
}

/// How it hears that a quorum has prevoted something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polka {
    Votes,
    Certificate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Its owner gives it a value to propose.
    Value { round: u32, value: Digest },
    /// It hears the leader, after the polka that the leader names.
    Proposal { proposal: Proposal, polka: Polka },
    /// It hears a quorum that votes so, and the proposal for which it does.
    Quorum { vote: Vote, proposal: Proposal, polka: Polka },
    /// It hears a quorum that prevotes nothing.
    Nil { round: u32 },
    /// A timer runs out.
    Timeout(Timeout),
}

impl Model for Slot {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let voters = std::array::from_fn(|place| {
            let mut voter = Honest::new(self, place as VoterIndex);
            voter.feed(self, Input::Round { round: 0, leader: self.leaders[0] });
            Arc::new(voter)
        });
        vec![State(voters)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, voter) in state.0.iter().enumerate() {
            if voter.decided.is_none() {
                let events = self.events(state, voter);
                actions.extend(events.into_iter().map(|event| Action { voter: place, event }));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut voter = Honest::clone(&last.0[action.voter]);
        match action.event {
            Event::Value { round, value } => voter.feed(self, Input::Value { round, value }),
            Event::Proposal { proposal, polka } => {
                voter.hear_proposal(self, last, proposal, polka);
            }
            Event::Quorum { vote, proposal, polka } => {
                voter.hear(self, last, vote, polka);
                voter.hear_proposal(self, last, proposal, polka);
            }
            Event::Nil { round } => {
                voter.hear(self, last, Vote { round, step: Step::Prevote, value: None }, Polka::Votes);
            }
            Event::Timeout(timeout) => voter.feed(self, Input::Timeout(timeout)),
        }
        let mut next = last.clone();
        next.0[action.voter] = Arc::new(voter);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(AGREEMENT, |_, state: &State| state.decisions().len() <= 1),
            Property::always("I2: one vote for each round and step", |_, state: &State| {
                state.0.iter().all(|voter| voter.votes_once())
            }),
            Property::always("I3: a lock is left only with a polka", |_, state: &State| {
                state.0.iter().all(|voter| voter.keeps_its_locks(state))
            }),
            Property::sometimes("A is decided", |_, state: &State| state.decisions().contains(&VALUES[0])),
            Property::sometimes("B is decided", |_, state: &State| state.decisions().contains(&VALUES[1])),
            Property::sometimes("all decide in round 1", |_, state: &State| {
                state.0.iter().all(|voter| voter.decided.is_some_and(|(round, _)| round == 1))
            }),
        ]
    }
}

impl Slot {
    fn reach(&self, state: &State) -> BTreeSet<u64> {
        self.next_states(state).iter().map(State::fingerprint).collect()
    }

    /// What may happen to this voter now.
    fn events(&self, state: &State, voter: &Honest) -> Vec<Event> {
        let core = voter.core.state();
        let current = core.round.unwrap_or(0);
        let mut events = Vec::new();
        if let (Some(round), Some(Phase::Propose)) = (voter.asked, core.phase) {
            events.extend(VALUES.map(|value| Event::Value { round, value }));
        }
        if core.phase == Some(Phase::Propose) {
            let proposals = self.proposals(state, current).into_iter();
            events.extend(proposals.flat_map(|proposal| POLKAS.map(|polka| Event::Proposal { proposal, polka })));
        }
        for vote in all_votes().filter(|vote| state.quorum(*vote).is_some()) {
            match (vote.step, vote.value) {
                (Step::Prevote, _) if vote.round < current => {}
                (Step::Prevote, Some(value)) => {
                    let proposals = self.proposals_for(state, vote.round, value);
                    let both = proposals.flat_map(|proposal| POLKAS.map(|polka| (proposal, polka)));
                    events.extend(both.map(|(proposal, polka)| Event::Quorum { vote, proposal, polka }));
                }
                (Step::Precommit, Some(value)) => {
                    let proposals = self.proposals_for(state, vote.round, value);
                    let polka = Polka::Votes;
                    events.extend(proposals.map(|proposal| Event::Quorum { vote, proposal, polka }));
                }
                (Step::Prevote, None) if vote.round == current && core.phase == Some(Phase::Prevote) => {
                    events.push(Event::Nil { round: vote.round });
                }
                // Those start timers at most.
                (Step::Prevote | Step::Precommit, None) => {}
            }
        }
        let last = current + 1 == ROUNDS;
        let phase = core.phase.filter(|phase| !last || *phase != Phase::Precommit);
        events.extend(phase.map(|phase| Event::Timeout(Timeout { round: current, phase })));
        events
    }

    fn proposals_for(&self, state: &State, round: u32, value: Digest) -> impl Iterator<Item = Proposal> {
        self.proposals(state, round).into_iter().filter(move |proposal| proposal.value == value)
    }

    /// What the leader of this round says, or may say. A proposal whose polka does not exist would not be looked at.
    fn proposals(&self, state: &State, round: u32) -> Vec<Proposal> {
        let leader = self.leaders[round as usize];
        match state.0.get(usize::from(leader)) {
            Some(honest) => honest.proposals.iter().filter(|proposal| proposal.round == round).copied().collect(),
            None => {
                let with = |value| {
                    let polkas = (0..round).filter(move |round| state.quorum(Vote::prevote(*round, value)).is_some());
                    let proofs = std::iter::once(None).chain(polkas.map(Some));
                    proofs.map(move |pol_round| Proposal { round, value, pol_round })
                };
                VALUES.into_iter().flat_map(with).collect()
            }
        }
    }
}

impl Vote {
    fn prevote(round: u32, value: Digest) -> Self {
        Self { round, step: Step::Prevote, value: Some(value) }
    }
}

fn all_votes() -> impl Iterator<Item = Vote> {
    let steps = (0..ROUNDS).flat_map(|round| [(round, Step::Prevote), (round, Step::Precommit)]);
    let values = [None, Some(VALUES[0]), Some(VALUES[1])];
    steps.flat_map(move |(round, step)| values.map(|value| Vote { round, step, value }))
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut voters = self.0.each_ref().map(|voter| {
            let mut hasher = DefaultHasher::new();
            let Honest { place: _, leads, core, votes, proposals, asked, decided } = &**voter;
            let state = decided.is_none().then(|| (core.state(), asked));
            (leads, state, votes, proposals, decided).hash(&mut hasher);
            hasher.finish()
        });
        voters.sort_unstable();
        voters.hash(hasher);
    }
}

impl State {
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn decisions(&self) -> BTreeSet<Digest> {
        self.0.iter().filter_map(|voter| voter.decided).map(|(_, value)| value).collect()
    }

    /// A quorum that votes so, if there is one. The traitor does, as a last resort.
    fn quorum(&self, vote: Vote) -> Option<Vec<VoterIndex>> {
        let quorum = Threshold::of(VOTERS).quorum;
        let honest = (0..TRAITOR).filter(|place| self.0[usize::from(*place)].votes.contains(&vote));
        let voters: Vec<_> = honest.chain([TRAITOR]).take(quorum).collect();
        (voters.len() == quorum).then_some(voters)
    }
}

impl Honest {
    fn new(slot: &Slot, place: VoterIndex) -> Self {
        Self {
            place,
            leads: slot.leaders.map(|leader| leader == place),
            core: Plain::new(VOTERS, place),
            votes: BTreeSet::new(),
            proposals: BTreeSet::new(),
            asked: None,
            decided: None,
        }
    }

    /// Hands over an input, and what we have to say to ourselves.
    fn feed(&mut self, slot: &Slot, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if slot.forgetful {
                self.core.forget_locks();
            }
            for output in self.core.process(input) {
                match output {
                    Output::Round(round) => {
                        inputs.push_back(Input::Round { round, leader: slot.leaders[round as usize] });
                    }
                    Output::WantValue(round) => self.asked = Some(round),
                    Output::Propose { round, value, pol_round } => {
                        self.proposals.insert(Proposal { round, value, pol_round });
                        inputs.push_back(Input::Proposal { round, leader: self.place, value, pol_round, valid: true });
                    }
                    Output::Vote { round, step, value } => {
                        self.votes.insert(Vote { round, step, value });
                        inputs.push_back(Input::Vote { round, step, voter: self.place, value });
                    }
                    Output::Start(_) => {}
                    Output::Decide { round, value } => self.decided = Some((round, value)),
                }
            }
        }
    }

    fn hear(&mut self, slot: &Slot, state: &State, vote: Vote, polka: Polka) {
        let Vote { round, step, value } = vote;
        match (polka, value) {
            (Polka::Certificate, Some(value)) if step == Step::Prevote => {
                self.feed(slot, Input::Polka { round, value });
            }
            (Polka::Certificate | Polka::Votes, _) => {
                for voter in state.quorum(vote).into_iter().flatten() {
                    self.feed(slot, Input::Vote { round, step, voter, value });
                }
            }
        }
    }

    fn hear_proposal(&mut self, slot: &Slot, state: &State, proposal: Proposal, polka: Polka) {
        let Proposal { round, value, pol_round } = proposal;
        if let Some(pol_round) = pol_round {
            self.hear(slot, state, Vote::prevote(pol_round, value), polka);
        }
        let leader = slot.leaders[round as usize];
        self.feed(slot, Input::Proposal { round, leader, value, pol_round, valid: true });
    }

    fn votes_once(&self) -> bool {
        let steps: BTreeSet<_> = self.votes.iter().map(|vote| (vote.round, vote.step)).collect();
        steps.len() == self.votes.len()
    }

    /// Whether it had a reason for each prevote against a precommit of its own.
    fn keeps_its_locks(&self, state: &State) -> bool {
        let prevotes = self.votes.iter().filter(|vote| vote.step == Step::Prevote && vote.value.is_some());
        prevotes.into_iter().all(|prevote| {
            let locks = |vote: &&Vote| vote.step == Step::Precommit && vote.value.is_some();
            let lock = self.votes.iter().filter(locks).filter(|lock| lock.round < prevote.round).max();
            let polka = |round| state.quorum(Vote { round, ..*prevote }).is_some();
            lock.is_none_or(|lock| lock.value == prevote.value || (lock.round..prevote.round).any(polka))
        })
    }
}
