//! I11: what one voter keeps of a slot has bounds, whoever says what. Each is tried at the bound and one past.
//!
//! The bounds are spelled out here once more, so that a change of one is noticed.

use mesh_consensus::Instance;
use mesh_proto::Keypair;
use mesh_proto::decision::{Message, Status, Step, Value};
use mesh_proto::limits::MAX_ROUND;

use crate::support::{Core, Table, all, drain, held, kept};

with_both_cores!(
    rounds_a_little_ahead_are_kept,
    rounds_a_little_behind_are_kept,
    of_rounds_far_ahead_one_vote_of_each_is_kept,
    enough_voters_far_ahead_are_followed,
    a_leader_is_remembered_for_two_values,
    sixteen_claims_are_weighed,
    an_answer_has_an_end,
    eight_polkas_are_kept,
);

const AHEAD: u32 = 2;
const BEHIND: u32 = 2;
const MAX_CLAIMS: usize = 16;
const MAX_ANSWER: usize = 256;
const MAX_POLKAS: usize = 8;

/// A voter that has heard of the slot.
fn voter<A: Core>(table: &Table) -> Instance<A> {
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, table.proposal("one"), None)), 0).unwrap();
    drain(&mut voter);
    voter
}

/// The same, brought to a round.
fn voter_in<A: Core>(table: &Table, round: u32) -> Instance<A> {
    let mut voter = voter::<A>(table);
    for other in [1, 2] {
        voter.handle(Message::Vote(table.precommit(other, round, None)), 0).unwrap();
    }
    assert_eq!(voter.round(), round);
    drain(&mut voter);
    voter
}

fn rounds_a_little_ahead_are_kept<A: Core>() {
    let table = Table::owned(4);
    for (round, kept) in [(AHEAD, true), (AHEAD + 1, false)] {
        let mut voter = voter::<A>(&table);
        voter.handle(Message::Vote(table.prevote(1, round, None)), 0).unwrap();
        assert_eq!(held(&voter, round, Step::Prevote).contains(1), kept, "a vote of round {round}");
        let word = table.propose(round, Value::Lapsed, None);
        voter.handle(Message::Propose(word), 0).unwrap();
        assert_eq!(voter.value(&table.digest(&Value::Lapsed)).is_some(), kept, "a word of round {round}");
    }
}

fn rounds_a_little_behind_are_kept<A: Core>() {
    let table = Table::owned(4);
    for (round, kept) in [(10 - BEHIND, true), (10 - BEHIND - 1, false), (1, false), (0, true)] {
        let mut voter = voter_in::<A>(&table, 10);
        voter.handle(Message::Vote(table.prevote(1, round, None)), 0).unwrap();
        assert_eq!(held(&voter, round, Step::Prevote).contains(1), kept, "a vote of round {round}");
        if round > 0 {
            voter.handle(Message::Propose(table.propose(round, Value::Lapsed, None)), 0).unwrap();
            assert_eq!(voter.value(&table.digest(&Value::Lapsed)).is_some(), kept, "a word of round {round}");
        }
    }
    // What was kept is forgotten when its round is too long ago; round 0 is not.
    let mut voter = voter::<A>(&table);
    for round in [0, 1] {
        voter.handle(Message::Vote(table.prevote(1, round, None)), 0).unwrap();
    }
    for (reached, kept) in [(BEHIND + 1, true), (BEHIND + 2, false)] {
        for other in [1, 2] {
            voter.handle(Message::Vote(table.precommit(other, reached, None)), 0).unwrap();
        }
        assert_eq!(voter.round(), reached);
        assert_eq!(held(&voter, 1, Step::Prevote).contains(1), kept, "in round {reached}");
        assert!(held(&voter, 0, Step::Prevote).contains(1));
    }
}

fn of_rounds_far_ahead_one_vote_of_each_is_kept<A: Core>() {
    let table = Table::owned(4);
    let mut voter = voter::<A>(&table);
    let rounds = (0..500).map(|n| AHEAD + 1 + n * 7).chain([MAX_ROUND - 1, MAX_ROUND, 5, MAX_ROUND]);
    for (place, round) in rounds.enumerate() {
        let step = if place.is_multiple_of(2) { Step::Prevote } else { Step::Precommit };
        assert_eq!(voter.handle(Message::Vote(table.vote(1, round, step, None)), 0), Ok(()));
        assert_eq!(kept(&voter, "SignedVote"), 1, "after a vote of round {round}");
    }
    assert!(format!("{voter:?}").contains(&format!("round: {MAX_ROUND}")), "the last one is kept");
    assert_eq!((voter.round(), drain(&mut voter)), (0, vec![]));
}

/// One more than there may be traitors: at least one of them is honest.
fn enough_voters_far_ahead_are_followed<A: Core>() {
    let table = Table::owned(7);
    let mut voter = voter::<A>(&table);
    for (traitor, round) in [(1, MAX_ROUND), (2, 5_000)] {
        voter.handle(Message::Vote(table.prevote(traitor, round, None)), 0).unwrap();
        voter.handle(Message::Vote(table.precommit(traitor, round, None)), 0).unwrap();
    }
    assert_eq!(voter.round(), 0, "two of seven may be traitors");
    voter.handle(Message::Vote(table.prevote(3, 40, None)), 0).unwrap();
    assert_eq!(voter.round(), 40, "the round that one honest voter has reached");
    assert!(held(&voter, 40, Step::Prevote).contains(3), "and its vote counts");
    voter.handle(Message::Vote(table.prevote(4, 6_000, None)), 0).unwrap();
    assert_eq!(voter.round(), 5_000);
    assert!(held(&voter, 5_000, Step::Prevote).contains(2));
}

fn a_leader_is_remembered_for_two_values<A: Core>() {
    let table = Table::owned(4);
    let mut voter = voter::<A>(&table);
    for (title, kept) in [("one", true), ("two", true), ("three", false)] {
        let value = table.proposal(title);
        voter.handle(Message::Propose(table.propose(0, value.clone(), None)), 0).unwrap();
        assert_eq!(voter.value(&table.digest(&value)).is_some(), kept, "{title}");
    }
    assert_eq!(kept(&voter, "SignedPropose"), 2);
    assert_eq!(drain(&mut voter), [], "its agent was asked about the first one");
}

fn sixteen_claims_are_weighed<A: Core>() {
    let table = Table::resource(4);
    let mut voter = table.voter::<A>(table.follower_in(&[0]));
    for n in 0..=MAX_CLAIMS {
        let holder = Keypair::from_seed(&[100 + u8::try_from(n).unwrap(); 32]);
        for _ in 0..2 {
            voter.handle(Message::Claim(table.claim(&holder)), 0).unwrap();
        }
        assert_eq!(kept(&voter, "SignedClaim"), (n + 1).min(MAX_CLAIMS));
    }
    // Nor one holder's second wish.
    let holder = Keypair::from_seed(&[100; 32]);
    let claim = mesh_proto::decision::Claim { length: 5, ..table.claim(&holder).claim };
    let mut voter = table.voter::<A>(table.follower_in(&[0]));
    voter.handle(Message::Claim(table.claim(&holder)), 0).unwrap();
    voter.handle(Message::Claim(claim.sign(&holder).unwrap()), 0).unwrap();
    assert_eq!(kept(&voter, "SignedClaim"), 1);
}

fn an_answer_has_an_end<A: Core>() {
    let table = Table::resource(100);
    let me = table.follower_in(&[0, 1]);
    let others = table.others(&[me]);
    let mut voter = table.voter::<A>(me);
    let nothing = Status { proposed: true, ..table.voter::<A>(me).status() };
    // Enough to bring it to round 1.
    let (some, more) = others.split_at(table.electorate.threshold().honest);
    let mut votes: Vec<_> = some.iter().map(|other| table.prevote(*other, 1, None)).collect();
    votes.extend(others.iter().map(|other| table.prevote(*other, 0, None)));
    votes.extend(others.iter().map(|other| table.precommit(*other, 0, None)));
    votes.extend(more.iter().map(|other| table.prevote(*other, 1, None)));
    for (place, vote) in votes.into_iter().enumerate() {
        voter.handle(Message::Vote(vote), 0).unwrap();
        if voter.round() == 1 {
            assert_eq!(voter.answer(&nothing).len(), (place + 1).min(MAX_ANSWER));
        }
    }
    let lacks_less = Status { prevotes: all(100).collect(), ..nothing };
    assert_eq!(voter.answer(&lacks_less).len(), 99 * 2);
}

/// Also by who has not heard yet what it is about, and so cannot go on from round to round.
fn eight_polkas_are_kept<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let mut voter = table.voter::<A>(0);
    for round in 0..20 {
        voter.handle(Message::Polka(table.polka(&[1, 2, 3], round, digest)), 0).unwrap();
        assert!(kept(&voter, "Polka") <= MAX_POLKAS);
        assert_eq!(voter.status().polka, Some(round));
    }
    assert_eq!(kept(&voter, "Polka"), MAX_POLKAS);
}
