//! Both implementations of the algorithm say the same to the same inputs: random ones, in any order, with as many traitors
//! as there may be. (With more, two values of one round can have a quorum each, and which one counts is a matter of taste.)

use std::collections::{BTreeMap, VecDeque};

use mesh_consensus::agreement::{Agreement, Input, Malachite, Output, Phase, Plain, Timeout};
use mesh_consensus::electorate::Threshold;
use mesh_proto::Digest;
use mesh_proto::decision::{Step, VoterIndex};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

const RUNS: u64 = 30_000;
const INPUTS: usize = 120;
const ROUNDS: u32 = 4;
const VALUES: u8 = 3;

#[test]
fn both_say_the_same() {
    for seed in 0..RUNS {
        play(seed);
    }
}

#[test]
fn both_go_on_alike_from_what_they_had_stored() {
    for seed in 0..RUNS / 10 {
        let mut run = Run::new(seed);
        for _ in 0..INPUTS {
            run.step();
            if run.chance(20) {
                run.restart();
            }
        }
    }
}

fn play(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..INPUTS {
        run.step();
    }
}

struct Run {
    seed: u64,
    rng: ChaCha8Rng,
    voters: usize,
    me: VoterIndex,
    malachite: Malachite,
    plain: Plain,
    /// What everybody has prevoted, heard or not.
    truth: BTreeMap<u32, BTreeMap<VoterIndex, Option<Digest>>>,
    /// For the print of a failure.
    trace: Vec<(Input, Vec<Output>)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let voters = [1, 2, 3, 4, 4, 4, 7, 10][(rng.next_u32() % 8) as usize];
        let me = (rng.next_u32() as usize % voters) as VoterIndex;
        let (malachite, plain) = (Malachite::new(voters, me), Plain::new(voters, me));
        let mut run = Self { seed, rng, voters, me, malachite, plain, truth: BTreeMap::new(), trace: Vec::new() };
        run.feed(Input::Round { round: 0, leader: run.leader(0) });
        run
    }

    fn leader(&self, round: u32) -> VoterIndex {
        (round as usize % self.voters) as VoterIndex
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.next_u32().is_multiple_of(one_in)
    }

    fn value(&mut self) -> Digest {
        Digest([(self.rng.next_u32() % u32::from(VALUES)) as u8; 32])
    }

    /// Rounds near the one that they are in are more likely than others.
    fn round(&mut self) -> u32 {
        let current = self.plain.state().round.unwrap_or(0);
        match self.rng.next_u32() % 8 {
            0 => self.rng.next_u32() % ROUNDS,
            1 => current + 1,
            _ => current,
        }
    }

    fn step(&mut self) {
        let round = self.round();
        let value = self.value();
        let input = match self.rng.next_u32() % 20 {
            0..=2 => {
                let pol_round = (round > 0 && self.chance(2)).then(|| self.rng.next_u32() % round);
                let valid = !self.chance(4);
                Input::Proposal { round, leader: self.leader(round), value, pol_round, valid }
            }
            3 if self.can_have_polka(round, value) => Input::Polka { round, value },
            4 => {
                let phase = [Phase::Propose, Phase::Prevote, Phase::Precommit][(self.rng.next_u32() % 3) as usize];
                Input::Timeout(Timeout { round, phase })
            }
            5 => Input::Value { round, value },
            n => {
                let step = if n < 14 { Step::Prevote } else { Step::Precommit };
                let voter = (self.rng.next_u32() as usize % self.voters) as VoterIndex;
                // Most are for one value, so that there are quorums.
                let value = match self.rng.next_u32() % 6 {
                    0 => None,
                    1 => Some(value),
                    _ => Some(Digest([0; 32])),
                };
                // We say only what we are told to.
                if voter == self.me {
                    return;
                }
                let value =
                    if step == Step::Prevote { *self.truth(round).entry(voter).or_insert(value) } else { value };
                Input::Vote { round, step, voter, value }
            }
        };
        self.feed(input);
    }

    fn truth(&mut self, round: u32) -> &mut BTreeMap<VoterIndex, Option<Digest>> {
        self.truth.entry(round).or_default()
    }

    /// Whether a quorum may have prevoted this: from now on it has.
    fn can_have_polka(&mut self, round: u32, value: Digest) -> bool {
        let threshold = Threshold::of(self.voters);
        let (voters, me) = (self.voters as VoterIndex, self.me);
        let traitors: Vec<_> = (0..voters).filter(|voter| *voter != me).take(threshold.faulty).collect();
        let truth = self.truth(round);
        // Our own vote is not cast by anybody else.
        let would = |voter: &VoterIndex| match truth.get(voter) {
            Some(said) => *said == Some(value) || traitors.contains(voter),
            None => *voter != me,
        };
        let willing: Vec<_> = (0..voters).filter(would).collect();
        if willing.len() < threshold.quorum {
            return false;
        }
        for voter in willing {
            truth.entry(voter).or_insert(Some(value));
        }
        true
    }

    /// Hands an input to both, and to both what they ask for.
    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let outputs = self.plain.process(input);
            let others = self.malachite.process(input);
            self.trace.push((input, outputs.clone()));
            assert_eq!(
                outputs, others,
                "seed {}, {} voters, we are {}\n{:#?}",
                self.seed, self.voters, self.me, self.trace
            );
            for output in outputs {
                match output {
                    Output::Round(round) => inputs.push_front(Input::Round { round, leader: self.leader(round) }),
                    Output::Propose { round, value, pol_round } => {
                        inputs.push_back(Input::Proposal { round, leader: self.me, value, pol_round, valid: true })
                    }
                    Output::Vote { round, step, value } => {
                        if step == Step::Prevote {
                            let me = self.me;
                            self.truth(round).insert(me, value);
                        }
                        inputs.push_back(Input::Vote { round, step, voter: self.me, value });
                    }
                    Output::WantValue(_) | Output::Start(_) | Output::Decide { .. } => {}
                }
            }
        }
        assert_eq!(self.plain.state(), self.malachite.state(), "seed {}\n{:#?}", self.seed, self.trace);
    }

    fn restart(&mut self) {
        let state = self.plain.state();
        if state.decided.is_some() {
            return;
        }
        let voters = self.voters;
        let leader = |round: u32| (round as usize % voters) as VoterIndex;
        (self.malachite, self.plain) = (Malachite::new(voters, self.me), Plain::new(voters, self.me));
        self.malachite.restore(state, leader);
        self.plain.restore(state, leader);
        assert_eq!(self.plain.state(), state, "seed {}", self.seed);
        assert_eq!(self.malachite.state(), state, "seed {}", self.seed);
    }
}
