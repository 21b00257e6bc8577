//! Two machines over peer connections that are made up, in every order that chance brings: they always connect.
//!
//! Named invariants, checked at every step:
//! * *description first*: what a side writes begins with its description;
//! * *set in order*: the remote's description is set once, and at the offerer after its own;
//! * *candidates after*: none is added before the remote's description is set;
//! * *nothing after the end*: nothing is written once the stream is closed.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// Candidates that each side finds.
const FOUND: usize = 3;

/// One side: its machine, and what is on its way to it.
struct End {
    machine: Machine,
    role: Role,
    /// From its peer connection, from `init`, from the stream: each in order, none in step with another.
    queues: [VecDeque<Input>; 3],
    /// Finds candidates as soon as it can, as node-datachannel does; else when its description is set.
    early: bool,
    written: usize,
    local_told: bool,
    remote_told: bool,
    local_set: bool,
    remote_set: bool,
    added: usize,
    closed: bool,
    end: Option<Output>,
}

const RTC: usize = 0;
const CHANNEL: usize = 1;
const STREAM: usize = 2;

impl End {
    fn new(role: Role, limits: Limits, early: bool) -> Self {
        Self {
            machine: Machine::new(role, limits, START),
            role,
            queues: Default::default(),
            early,
            written: 0,
            local_told: false,
            remote_told: false,
            local_set: false,
            remote_set: false,
            added: 0,
            closed: false,
            end: None,
        }
    }

    fn name(&self) -> &'static str {
        match self.role {
            Role::Offerer => "offer",
            Role::Answerer => "answer",
        }
    }

    fn gather(&mut self) {
        self.queues[RTC].extend((0..FOUND).map(|n| Input::Candidate(candidate(n))));
    }

    /// Does what its machine says; what it writes goes to the other.
    fn act(&mut self, other: &mut VecDeque<Input>) {
        while let Some(output) = self.machine.poll_output() {
            assert_eq!(self.end, None, "the last output is the last");
            match output {
                Output::CreateInit if self.early => self.gather(),
                Output::CreateInit => {}
                Output::Describe(_) => {
                    let described = Input::Described(sdp(self.name()).as_str().to_owned());
                    self.queues[RTC].push_back(described);
                }
                Output::Send(message) => {
                    assert!(!self.closed, "nothing after the end");
                    let first = !matches!(message, Message::Candidate(_));
                    assert_eq!(first, self.written == 0, "description first");
                    self.written += 1;
                    other.push_back(received(message));
                }
                Output::SetLocal(..) => {
                    assert!(self.written > 0, "sent before it is set");
                    self.local_set = true;
                    self.queues[RTC].push_back(Input::LocalSet);
                    if !self.early {
                        self.gather();
                    }
                }
                Output::SetRemote(..) => {
                    assert!(!self.remote_set, "set in order");
                    assert_eq!(self.local_told, self.role == Role::Offerer, "set in order");
                    self.remote_set = true;
                    self.queues[RTC].push_back(Input::RemoteSet);
                    if self.early && self.role == Role::Answerer {
                        self.gather();
                    }
                }
                Output::AddCandidate(_) => {
                    assert!(self.remote_told, "candidates after");
                    self.added += 1;
                }
                Output::CloseInit => self.queues[CHANNEL].push_back(Input::InitClosed),
                Output::CloseStream => {
                    self.closed = true;
                    self.queues[STREAM].push_back(Input::StreamClosed);
                    other.push_back(Input::Ended);
                }
                end @ (Output::Done | Output::Failed(_)) => self.end = Some(end),
            }
        }
    }

    fn told(&mut self, input: Input, now: Duration) {
        self.local_told |= input == Input::LocalSet;
        self.remote_told |= input == Input::RemoteSet;
        self.machine.handle(input, now);
    }

    fn is_ready(&self) -> bool {
        self.local_set && self.remote_set && self.added > 0
    }
}

fn run(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut chance = |n: u64| usize::try_from(random.next_u64() % n).unwrap();
    let hold = (chance(2) == 0).then_some(ms(100));
    let limits = Limits { hold, ..Limits::default() };
    let mut ends =
        [End::new(Role::Offerer, limits.clone(), chance(2) == 0), End::new(Role::Answerer, limits, chance(2) == 0)];
    let (mut now, mut connected) = (START, false);
    for _ in 0..1_000 {
        let [offerer, answerer] = &mut ends;
        offerer.act(&mut answerer.queues[STREAM]);
        answerer.act(&mut offerer.queues[STREAM]);
        if !connected && ends.iter().all(End::is_ready) {
            connected = true;
            for end in &mut ends {
                end.queues[RTC].push_back(Input::State(State::Connected));
            }
            ends[0].queues[CHANNEL].push_back(Input::InitOpen);
        }
        let waiting: Vec<_> = (0..6).filter(|n| !ends[n / 3].queues[n % 3].is_empty()).collect();
        if let Some(count) = u64::try_from(waiting.len()).ok().filter(|count| *count > 0) {
            let at = waiting[chance(count)];
            let input = ends[at / 3].queues[at % 3].pop_front().unwrap();
            ends[at / 3].told(input, now);
            continue;
        }
        // All is still: the next time limit, which is never one of failure.
        let Some(due) = ends.iter().filter_map(|end| end.machine.poll_timeout()).min() else { break };
        now = due;
        ends.iter_mut().for_each(|end| end.machine.handle_timeout(now));
    }
    for end in &ends {
        assert_eq!(end.end, Some(Output::Done), "{:?}", end.machine);
    }
    assert!(now - START <= ms(100), "no time is lost but to hold candidates");
}

#[test]
fn two_always_connect() {
    for seed in 0..4_000 {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
