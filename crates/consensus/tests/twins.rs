//! Twins: a traitor that is two copies of an honest voter with one identity, each of which follows the algorithm and knows
//! nothing of the other (Bano, Sonnino, Chursin, Perelman, Malkhi: "Twins: BFT Systems Made Robust", 2020). Systematic
//! where random faults are not: all that a scenario consists of is who leads a round and who hears whom in it.
//!
//! Four voters, one of them twinned, so five copies; three rounds. In each round any voter leads (of a twinned leader both
//! copies do, each with another value), and the copies are in two parts that do not hear each other. Locks matter only if
//! some voters hear what others do not, and inside a part all hear the same; so a round has a third thing, which the paper
//! has not: everybody hears the votes of its part, or only one honest voter hears the prevotes, or the precommits. After three
//! rounds the network heals: everybody hears all that was ever said, polkas and decisions are handed on as
//! certificates, and honest voters lead.
//!
//! All scenarios are played, except
//!
//! * those that are others with honest voters or the two copies renamed;
//! * what comes after the decision of the last honest voter;
//! * partitions without a quorum on either side, but for one in which nobody hears anybody: there is no polka in any of them;
//! * votes held back in a round without a polka, where nothing hangs on them;
//! * votes held back in the last round: they are heard right after it.
//!
//! Each is played by [`Plain`] and by [`Malachite`], which must say the same. In all of them no two honest voters decide
//! differently, none votes twice in one step of a round, and all honest ones decide after the network has healed.
//! A copy never lies in any other way than by being there twice; the traitor of `model.rs` does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh_consensus::agreement::{Agreement, Input, Malachite, Output, Phase, Plain, Timeout};
use mesh_consensus::electorate::Threshold;
use mesh_proto::Digest;
use mesh_proto::decision::{Step, VoterIndex};

const VOTERS: usize = 4;
const ROUNDS: usize = 3;
/// Which voter each copy is: the first two are the twins.
const IDENTITIES: [VoterIndex; 5] = [0, 0, 1, 2, 3];
const COPIES: usize = IDENTITIES.len();
const HONEST: std::ops::Range<usize> = 2..COPIES;

#[test]
fn twins_divide_nobody() {
    let (mut scenarios, mut after) = (0_u32, [0_u32; 4]);
    every_scenario(|_| (), &mut |plan, plain: &Net<Plain>| {
        let mut malachite = Net::<Malachite>::new(|_| ());
        malachite.play(plan);
        let (mut plain, rounds) = (plain.clone(), malachite.heal());
        plain.heal();
        malachite.check(plan);
        assert_eq!(plain.said, malachite.said, "{plan:#?}");
        assert_eq!(plain.decisions(), malachite.decisions(), "{plan:#?}");
        let rounds = rounds.unwrap_or_else(|| panic!("some have not decided: {plan:#?}"));
        scenarios += 1;
        after[rounds] += 1;
        true
    });
    println!("{scenarios} scenarios; ended after 0, 1, 2, 3 rounds of healing: {after:?}");
}

#[test]
fn twins_divide_voters_that_forget_their_locks() {
    let mut scenarios = 0_u32;
    let mut found = None;
    every_scenario(Plain::forget_locks, &mut |plan, net| {
        let mut net = net.clone();
        net.heal();
        scenarios += 1;
        if net.honest_decisions().len() > 1 {
            found = Some(plan.to_vec());
        }
        found.is_none()
    });
    let plan = found.expect("voters without locks agree: this check sees nothing");
    println!("scenario {scenarios}: {plan:?}");
}

/// One round of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Round {
    leader: VoterIndex,
    /// For each copy in which part it is. Parts are numbered in the order in which they appear.
    parts: [u8; COPIES],
    /// The only copy that hears these votes, if not all do.
    listener: Option<(Step, usize)>,
}

/// Shows each scenario with how it went, until the visitor has seen enough.
fn every_scenario(forget: fn(&mut Plain), visit: &mut impl FnMut(&[Round], &Net<Plain>) -> bool) {
    descend(&mut Vec::new(), &Net::new(forget), &renamings(), visit);
}

/// Goes on with a scenario that these renamings leave as it is; whether the visitor wants more.
fn descend(
    plan: &mut Vec<Round>,
    net: &Net<Plain>,
    renamings: &[[usize; COPIES]],
    visit: &mut impl FnMut(&[Round], &Net<Plain>) -> bool,
) -> bool {
    if plan.len() == ROUNDS || net.copies[HONEST].iter().all(|copy| copy.decided.is_some()) {
        return visit(plan, net);
    }
    let number = plan.len() as u32;
    let mut polka = false;
    for round in rounds(plan.len() + 1 == ROUNDS) {
        let renamed = |renaming: &&[usize; COPIES]| round.renamed(renaming);
        if renamings.iter().any(|renaming| renamed(&renaming) < round) {
            continue;
        }
        // Each leader and partition comes without a listener first.
        if round.listener.is_some() && !polka {
            continue;
        }
        let same: Vec<_> = renamings.iter().filter(|renaming| renamed(renaming) == round).copied().collect();
        let mut next = net.clone();
        next.round(number, &round);
        if round.listener.is_none() {
            polka = next.had_polka(number);
        }
        plan.push(round);
        let more = descend(plan, &next, &same, visit);
        plan.pop();
        if !more {
            return false;
        }
    }
    true
}

/// All rounds that differ in what they may lead to.
fn rounds(last: bool) -> Vec<Round> {
    let all = 0..1_u32 << (COPIES - 1);
    // The first copy is in the first part.
    let splits = all.map(|bits| std::array::from_fn(|copy| (bits << 1 >> copy & 1) as u8));
    let listeners = HONEST.filter(|_| !last).flat_map(|copy| [Step::Prevote, Step::Precommit].map(|step| (step, copy)));
    let listeners: Vec<_> = std::iter::once(None).chain(listeners.map(Some)).collect();
    let mut rounds = Vec::new();
    for leader in 0..VOTERS as VoterIndex {
        rounds.push(Round { leader, parts: std::array::from_fn(|copy| copy as u8), listener: None });
        for parts in splits.clone().filter(has_quorum) {
            rounds.extend(listeners.iter().map(|listener| Round { leader, parts, listener: *listener }));
        }
    }
    rounds
}

fn has_quorum(parts: &[u8; COPIES]) -> bool {
    let voters = |part| (0..COPIES).filter(move |copy| parts[*copy] == part).map(|copy| IDENTITIES[copy]);
    [0, 1].map(|part| voters(part).collect::<BTreeSet<_>>().len()).into_iter().any(|voters| voters >= quorum())
}

fn quorum() -> usize {
    Threshold::of(VOTERS).quorum
}

/// New places for the copies: twins stay twins, and honest voters honest.
fn renamings() -> Vec<[usize; COPIES]> {
    let twins = [[0, 1], [1, 0]];
    let honest = [[2, 3, 4], [2, 4, 3], [3, 2, 4], [3, 4, 2], [4, 2, 3], [4, 3, 2]];
    twins.iter().flat_map(|[a, b]| honest.map(|[c, d, e]| [*a, *b, c, d, e])).collect()
}

impl Round {
    fn renamed(&self, renaming: &[usize; COPIES]) -> Self {
        let mut parts = [0; COPIES];
        for (copy, place) in renaming.iter().enumerate() {
            parts[*place] = self.parts[copy];
        }
        let mut numbers = BTreeMap::new();
        for part in &mut parts {
            let next = numbers.len() as u8;
            *part = *numbers.entry(*part).or_insert(next);
        }
        // The last copy of each voter.
        let leader = renaming[usize::from(self.leader) + 1];
        Self { leader: IDENTITIES[leader], parts, listener: self.listener.map(|(step, copy)| (step, renaming[copy])) }
    }

    fn hears(&self, to: usize, from: usize, message: &Message) -> bool {
        let listens = match (message, self.listener) {
            (Message::Vote { step, .. }, Some((of, listener))) => *step != of || listener == to,
            (Message::Vote { .. } | Message::Proposal { .. }, _) => true,
        };
        self.parts[to] == self.parts[from] && listens
    }
}

/// What a copy says to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Proposal { round: u32, value: Digest, pol_round: Option<u32> },
    Vote { round: u32, step: Step, value: Option<Digest> },
}

#[derive(Clone)]
struct Net<A> {
    copies: Vec<Copy<A>>,
    /// Who leads each round that was played.
    leaders: Vec<VoterIndex>,
    /// Everything that was ever said, and by which copy.
    said: Vec<(usize, Message)>,
    /// How much of it was delivered or lost.
    passed: usize,
    /// What is done to an honest voter before each input.
    forget: fn(&mut A),
}

#[derive(Clone)]
struct Copy<A> {
    core: A,
    decided: Option<Digest>,
}

impl<A: Agreement> Net<A> {
    fn new(forget: fn(&mut A)) -> Self {
        let copy = |voter| Copy { core: A::new(VOTERS, voter), decided: None };
        Self { copies: IDENTITIES.map(copy).into(), leaders: Vec::new(), said: Vec::new(), passed: 0, forget }
    }

    fn play(&mut self, plan: &[Round]) {
        for (number, round) in (0..).zip(plan) {
            self.round(number, round);
        }
    }

    /// One round; nobody is in another one.
    fn round(&mut self, number: u32, round: &Round) {
        self.leaders.push(round.leader);
        self.all(|_| Input::Round { round: number, leader: round.leader });
        self.all(|copy| Input::Value { round: number, value: Digest([copy as u8; 32]) });
        for phase in [Phase::Propose, Phase::Prevote] {
            self.deliver(round);
            self.all(|_| Input::Timeout(Timeout { round: number, phase }));
        }
        self.deliver(round);
        self.all(|_| Input::Timeout(Timeout { round: number, phase: Phase::Precommit }));
    }

    /// Everybody hears everything, and then honest voters lead one after the other until all have decided; after how many
    /// rounds they had.
    fn heal(&mut self) -> Option<usize> {
        for (from, message) in self.said.clone() {
            for to in 0..COPIES {
                self.hand_over(to, from, message);
            }
        }
        for polka in self.polkas() {
            self.all(|_| polka);
        }
        for (rounds, leader) in IDENTITIES[HONEST].iter().enumerate() {
            if self.adopt() {
                return Some(rounds);
            }
            let round = Round { leader: *leader, parts: [0; COPIES], listener: None };
            self.round(self.leaders.len() as u32, &round);
        }
        self.adopt().then_some(HONEST.len())
    }

    /// Hands on the certificate of a decision, if an honest voter has one; whether it did. All the same who differs stays so.
    fn adopt(&mut self) -> bool {
        let decided = self.honest_decisions().into_iter().next();
        for copy in &mut self.copies {
            copy.decided = copy.decided.or(decided);
        }
        decided.is_some()
    }

    /// A certificate of each polka, by whoever has prevoted for it.
    fn polkas(&self) -> Vec<Input> {
        let mut voters = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, message) in &self.said {
            if let Message::Vote { round, step: Step::Prevote, value: Some(value) } = *message {
                voters.entry((round, value)).or_default().insert(IDENTITIES[*from]);
            }
        }
        let polkas = voters.into_iter().filter(|(_, voters)| voters.len() >= quorum());
        polkas.map(|((round, value), _)| Input::Polka { round, value }).collect()
    }

    /// Whether any copy has seen one in this round.
    fn had_polka(&self, number: u32) -> bool {
        self.said.iter().any(|(_, message)| match message {
            Message::Vote { round, step: Step::Precommit, value } => *round == number && value.is_some(),
            Message::Vote { .. } | Message::Proposal { .. } => false,
        })
    }

    fn deliver(&mut self, round: &Round) {
        let new = self.said[self.passed..].to_vec();
        self.passed = self.said.len();
        for (from, message) in new {
            for to in (0..COPIES).filter(|to| round.hears(*to, from, &message)) {
                self.hand_over(to, from, message);
            }
        }
    }

    /// A leader hands on the polka that it names.
    fn hand_over(&mut self, to: usize, from: usize, message: Message) {
        if to == from {
            return;
        }
        if let Message::Proposal { value, pol_round: Some(round), .. } = message {
            self.feed(to, Input::Polka { round, value });
        }
        self.feed(to, message.input(from));
    }

    fn all(&mut self, input: impl Fn(usize) -> Input) {
        for copy in 0..COPIES {
            self.feed(copy, input(copy));
        }
    }

    fn feed(&mut self, place: usize, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let copy = &mut self.copies[place];
            if copy.decided.is_some() {
                return;
            }
            if HONEST.contains(&place) {
                (self.forget)(&mut copy.core);
            }
            for output in copy.core.process(input) {
                let message = match output {
                    Output::Propose { round, value, pol_round } => Message::Proposal { round, value, pol_round },
                    Output::Vote { round, step, value } => Message::Vote { round, step, value },
                    Output::Decide { value, .. } => {
                        copy.decided = Some(value);
                        continue;
                    }
                    // The next round starts for all at once.
                    Output::Round(_) | Output::WantValue(_) | Output::Start(_) => continue,
                };
                self.said.push((place, message));
                inputs.push_back(message.input(place));
            }
        }
    }

    fn decisions(&self) -> Vec<Option<Digest>> {
        self.copies.iter().map(|copy| copy.decided).collect()
    }

    fn honest_decisions(&self) -> BTreeSet<Digest> {
        self.copies[HONEST].iter().filter_map(|copy| copy.decided).collect()
    }

    fn check(&self, plan: &[Round]) {
        assert!(self.honest_decisions().len() <= 1, "two decisions: {plan:#?}\n{:#?}", self.said);
        let mut votes = BTreeSet::new();
        for (from, message) in self.said.iter().filter(|(from, _)| HONEST.contains(from)) {
            if let Message::Vote { round, step, .. } = message {
                assert!(votes.insert((from, round, step)), "{from} votes twice: {plan:#?}\n{:#?}", self.said);
            }
        }
    }
}

impl Message {
    /// What others hear of it, and the copy itself.
    fn input(self, from: usize) -> Input {
        let voter = IDENTITIES[from];
        match self {
            Self::Proposal { round, value, pol_round } => {
                Input::Proposal { round, leader: voter, value, pol_round, valid: true }
            }
            Self::Vote { round, step, value } => Input::Vote { round, step, voter, value },
        }
    }
}
