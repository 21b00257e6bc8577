//! Voters with keys, and a network in which everybody hears everything after the same time.

mod net;
mod table;

use std::fmt::Debug;

use mesh_consensus::instance::{Config, Output};
use mesh_consensus::{Agreement, Instance};
use mesh_proto::decision::{Message, SignedVote, Status, Step, VoterIndex, VoterSet};

pub(crate) use net::{DELAY, Net, Seat};
pub(crate) use table::{Table, approve, ballot, reject};

/// Virtual milliseconds.
pub(crate) type Millis = u64;

/// How long voters have, in slots of both kinds.
pub(crate) const WINDOW: Millis = 3_000;

/// An algorithm that can be printed.
pub(crate) trait Core: Agreement + Debug {}

impl<A: Agreement + Debug> Core for A {}

pub(crate) fn config() -> Config {
    Config { window_ms: WINDOW, ..Config::default() }
}

/// All that a voter wants done.
pub(crate) fn drain<A: Core>(instance: &mut Instance<A>) -> Vec<Output> {
    std::iter::from_fn(|| instance.poll_output()).collect()
}

/// What it says with that.
pub(crate) fn said(outputs: &[Output]) -> Vec<&Message> {
    outputs.iter().filter_map(message).collect()
}

/// What it votes with that.
pub(crate) fn votes(outputs: &[Output]) -> Vec<&SignedVote> {
    said(outputs).into_iter().filter_map(vote).collect()
}

/// How often somebody is found guilty with that.
pub(crate) fn guilty(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Guilty(_))).count()
}

/// Wakes a voter each time that it wants to be, up to and at `until`.
pub(crate) fn sleep_until<A: Core>(instance: &mut Instance<A>, until: Millis) {
    while let Some(due) = instance.poll_timeout().filter(|due| *due <= until) {
        instance.handle_timeout(due);
        assert!(instance.poll_timeout().is_none_or(|next| next > due), "woken at {due}, and wants to be again at once");
    }
}

/// Whose votes of a step a voter has kept.
pub(crate) fn held<A: Core>(instance: &Instance<A>, round: u32, step: Step) -> VoterSet {
    let nothing = Status {
        slot: instance.id(),
        round,
        proposed: true,
        prevotes: VoterSet::default(),
        precommits: VoterSet::default(),
        polka: Some(u32::MAX),
    };
    let answer = instance.answer(&nothing);
    let votes = answer.iter().filter_map(vote).map(|signed| &signed.vote);
    votes.filter(|vote| (vote.round, vote.step) == (round, step)).map(|vote| vote.voter).collect()
}

/// How often something of this type is kept, anywhere in a voter.
pub(crate) fn kept<A: Core>(instance: &Instance<A>, what: &str) -> usize {
    format!("{instance:?}").matches(&format!("{what} {{")).count()
}

/// Voters from 0 to `n` - 1.
pub(crate) fn all(n: usize) -> std::ops::Range<VoterIndex> {
    0..VoterIndex::try_from(n).unwrap()
}

fn message(output: &Output) -> Option<&Message> {
    match output {
        Output::Say(message) => Some(message),
        Output::Persist(_) | Output::Ask(_) | Output::Judge(_) | Output::Guilty(_) | Output::Decided(_) => None,
    }
}

fn vote(message: &Message) -> Option<&SignedVote> {
    match message {
        Message::Vote(vote) => Some(vote),
        Message::Propose(_)
        | Message::Polka(_)
        | Message::Decision(_)
        | Message::Claim(_)
        | Message::Release(_)
        | Message::Evidence(_)
        | Message::Status(_)
        | Message::Epochs(_)
        | Message::EpochsAfter(_)
        | Message::Others(_) => None,
    }
}
