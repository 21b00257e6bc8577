//! A voter that runs both cores at once and stops the run when they say different things.

use mesh_consensus::agreement::{Input, Output, State};
use mesh_consensus::{Agreement, Malachite, Plain};
use mesh_proto::decision::VoterIndex;

/// Decides as [`Malachite`] does, and asks [`Plain`] whether that is right.
#[derive(Debug)]
pub struct Both {
    malachite: Malachite,
    plain: Plain,
    /// What they were told, for the print of a failure.
    inputs: Vec<Input>,
}

impl Agreement for Both {
    fn new(voters: usize, me: VoterIndex) -> Self {
        Self { malachite: Malachite::new(voters, me), plain: Plain::new(voters, me), inputs: Vec::new() }
    }

    fn process(&mut self, input: Input) -> Vec<Output> {
        self.inputs.push(input);
        let (outputs, others) = (self.malachite.process(input), self.plain.process(input));
        assert_eq!(outputs, others, "Malachite on the left, the plain core on the right, after {:#?}", self.inputs);
        outputs
    }

    fn state(&self) -> State {
        let (state, other) = (self.malachite.state(), self.plain.state());
        // Between two rounds one is in the old one still, and the other in the new one.
        if state.phase.is_some() {
            assert_eq!(state, other, "Malachite on the left, the plain core on the right, after {:#?}", self.inputs);
        }
        state
    }

    fn restore(&mut self, state: State, leader: impl Fn(u32) -> VoterIndex) {
        self.malachite.restore(state, &leader);
        self.plain.restore(state, &leader);
    }
}
