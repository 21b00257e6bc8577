//! The algorithm: one height of Tendermint (Buchman, Kwon, Milosevic: "The latest gossip on BFT consensus", 2018,
//! algorithm 1), on digests and places in the electorate, without signatures, clocks or networks.
//!
//! Two implementations of [`Agreement`] must say the same to the same inputs: [`Malachite`], which decides in production,
//! and [`Plain`], written from the paper to be compared with it (`tests/differential.rs`).
//!
//! What comes in was checked by the caller: signatures, that a proposal is by the leader of its round, that a polka has a
//! quorum. Votes and rounds may come in any order and any number of times.

mod malachite;
mod plain;

use mesh_proto::Digest;
use mesh_proto::decision::{Step, VoterIndex};
use serde::{Deserialize, Serialize};

pub use malachite::Malachite;
pub use plain::Plain;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Start this round, which is later than the current one and has this leader.
    Round {
        /// From 0.
        round: u32,
        /// Who leads it.
        leader: VoterIndex,
    },
    /// We lead this round, and propose this: the answer to [`Output::WantValue`].
    Value {
        /// The round.
        round: u32,
        /// The value.
        value: Digest,
    },
    /// The leader of a round has proposed something. One that was invalid may become valid later, never the other way. If
    /// a leader proposes one value with two proofs, the first one counts.
    Proposal {
        /// Of this round.
        round: u32,
        /// Who leads it.
        leader: VoterIndex,
        /// What is proposed.
        value: Digest,
        /// In which earlier round it has a polka, if it is proposed for that.
        pol_round: Option<u32>,
        /// Whether we may prevote it.
        valid: bool,
    },
    /// Somebody has voted, also we ourselves.
    Vote {
        /// In this round.
        round: u32,
        /// Which vote.
        step: Step,
        /// Who.
        voter: VoterIndex,
        /// For what; or for nothing.
        value: Option<Digest>,
    },
    /// A quorum has prevoted this value, whatever we have heard from each of them.
    Polka {
        /// In this round.
        round: u32,
        /// For this.
        value: Digest,
    },
    /// A timer has run out.
    Timeout(Timeout),
}

/// A timer: which, and of which round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeout {
    /// Its round; in any other one it means nothing.
    pub round: u32,
    /// What is waited for.
    pub phase: Phase,
}

/// Where a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The leader's word is waited for.
    Propose,
    /// We have prevoted.
    Prevote,
    /// We have precommitted.
    Precommit,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Start this round: [`Input::Round`] with its leader is expected.
    Round(u32),
    /// We lead this round: [`Input::Value`] is expected, unless the timer runs out before.
    WantValue(u32),
    /// Say this as the leader of the round, and to ourselves.
    Propose {
        /// Of this round.
        round: u32,
        /// What.
        value: Digest,
        /// In which earlier round it has a polka.
        pol_round: Option<u32>,
    },
    /// Vote, and tell ourselves.
    Vote {
        /// In this round.
        round: u32,
        /// Which vote.
        step: Step,
        /// For what; or for nothing.
        value: Option<Digest>,
    },
    /// Start this timer.
    Start(Timeout),
    /// This is decided: a quorum has precommitted it.
    Decide {
        /// In this round.
        round: u32,
        /// What.
        value: Digest,
    },
}

/// What must not be forgotten: with this and its votes a voter that has crashed goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The round, if one was started.
    pub round: Option<u32>,
    /// Where it is.
    pub phase: Option<Phase>,
    /// What we have precommitted last, and in which round.
    pub locked: Option<(u32, Digest)>,
    /// The last polka that we have seen in its round.
    pub valid: Option<(u32, Digest)>,
    /// What was decided.
    pub decided: Option<Digest>,
}

/// The algorithm as one voter runs it, for one slot.
pub trait Agreement: Sized {
    /// For the voter `me` of `voters`, of whom there is at least one and at most 100.
    fn new(voters: usize, me: VoterIndex) -> Self;

    /// Takes an input; what is to be done is in the order in which it has to be done.
    fn process(&mut self, input: Input) -> Vec<Output>;

    /// What must not be forgotten.
    fn state(&self) -> State;

    /// Brings a new one to this state, in which nothing is decided. Votes of others are not part of it and are heard again.
    fn restore(&mut self, state: State, leader: impl Fn(u32) -> VoterIndex);
}
