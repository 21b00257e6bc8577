//! What is carried from one round to the next.

use mesh_consensus::Instance;
use mesh_proto::Digest;
use mesh_proto::decision::{Message, Polka, SignedVote, Value, VoterIndex};

use crate::support::{Core, Table, WINDOW, approve, drain, held, said, sleep_until, votes};

with_both_cores!(
    a_leader_proposes_again_what_has_a_polka,
    a_polka_of_before_is_what_makes_it_valid,
    who_is_locked_prevotes_nothing_else,
    a_newer_polka_unlocks,
    a_polka_counts_where_its_votes_do_not,
);

/// A voter that has approved the proposal in round 0, and what the votes call that.
fn willing<A: Core>(table: &Table, me: VoterIndex) -> (Instance<A>, Value, Digest) {
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(me);
    voter.handle(Message::Propose(table.propose(0, value.clone(), None)), 0).unwrap();
    voter.judge(digest, approve(), 0).unwrap();
    (voter, value, digest)
}

fn hear<A: Core>(voter: &mut Instance<A>, votes: impl IntoIterator<Item = SignedVote>, now: u64) {
    for vote in votes {
        voter.handle(Message::Vote(vote), now).unwrap();
    }
}

/// The same, locked on it, while the round ends without a decision.
fn locked<A: Core>(table: &Table, me: VoterIndex) -> (Instance<A>, Value, Digest) {
    let (mut voter, value, digest) = willing::<A>(table, me);
    let others = table.others(&[me]);
    hear(&mut voter, others[..2].iter().map(|other| table.prevote(*other, 0, Some(digest))), 10);
    let outputs = drain(&mut voter);
    assert_eq!(votes(&outputs).last(), Some(&&table.precommit(me, 0, Some(digest))));
    hear(&mut voter, others[..2].iter().map(|other| table.precommit(*other, 0, None)), 20);
    assert_eq!(voter.round(), 0);
    sleep_until(&mut voter, 1_000);
    assert_eq!(voter.round(), 1);
    (voter, value, digest)
}

fn a_leader_proposes_again_what_has_a_polka<A: Core>() {
    let table = Table::owned(4);
    let me = table.leader(1);
    let (mut voter, value, digest) = locked::<A>(&table, me);
    let outputs = drain(&mut voter);
    let again = Message::Propose(table.propose(1, value, Some(0)));
    let place = said(&outputs).iter().position(|message| **message == again).expect("it proposes it again");
    let Message::Polka(Polka { round: 0, value, votes: of, .. }) = said(&outputs)[place + 1] else {
        panic!("with its polka: {outputs:#?}");
    };
    assert_eq!((*value, of.len()), (digest, table.quorum()));
    assert_eq!(votes(&outputs), [&table.prevote(me, 1, Some(digest))]);
}

/// For a voter that has heard nothing of it before, and whatever it would have thought of it.
fn a_polka_of_before_is_what_makes_it_valid<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1]);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    for with_polka in [false, true] {
        let mut voter = table.voter::<A>(me);
        hear(&mut voter, table.others(&[me]).iter().map(|other| table.prevote(*other, 1, None)), 0);
        voter.handle(Message::Propose(table.propose(1, value.clone(), Some(0))), 0).unwrap();
        assert_eq!(votes(&drain(&mut voter)).len(), 0, "nothing proves it yet");
        if with_polka {
            voter.handle(Message::Polka(table.polka(&table.others(&[me]), 0, digest)), 0).unwrap();
            assert_eq!(votes(&drain(&mut voter))[0], &table.prevote(me, 1, Some(digest)));
        } else {
            sleep_until(&mut voter, 10_000);
            assert_eq!(votes(&drain(&mut voter))[0], &table.prevote(me, 1, None));
        }
    }
}

/// I3.
fn who_is_locked_prevotes_nothing_else<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1]);
    let (mut voter, ..) = locked::<A>(&table, me);
    drain(&mut voter);
    let now = WINDOW + 1;
    voter.handle(Message::Propose(table.propose(1, Value::Lapsed, None)), now).unwrap();
    assert_eq!(votes(&drain(&mut voter)), [&table.prevote(me, 1, None)]);
}

fn a_newer_polka_unlocks<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1, 2]);
    let (mut voter, ..) = locked::<A>(&table, me);
    let others = table.others(&[me]);
    let lapsed = table.digest(&Value::Lapsed);
    hear(&mut voter, others.iter().map(|other| table.precommit(*other, 2, None)), 1_100);
    assert_eq!(voter.round(), 2);
    drain(&mut voter);
    voter.handle(Message::Propose(table.propose(2, Value::Lapsed, Some(1))), 1_200).unwrap();
    voter.handle(Message::Polka(table.polka(&others, 1, lapsed)), 1_200).unwrap();
    let outputs = drain(&mut voter);
    assert_eq!(votes(&outputs), [&table.prevote(me, 2, Some(lapsed))]);
}

/// Whoever has heard the other vote of a traitor first never counts the quorum together (reliability 0, finding 4).
fn a_polka_counts_where_its_votes_do_not<A: Core>() {
    let table = Table::owned(4);
    let (mut voter, _, digest) = willing::<A>(&table, 0);
    hear(&mut voter, [table.rejection(1), table.prevote(3, 0, Some(digest))], 10);
    assert_eq!(votes(&drain(&mut voter)).len(), 1);
    voter.handle(Message::Polka(table.polka(&[0, 1, 3], 0, digest)), 20).unwrap();
    assert_eq!(votes(&drain(&mut voter)), [&table.precommit(0, 0, Some(digest))]);
    assert_eq!(held(&voter, 0, mesh_proto::decision::Step::Prevote).len(), 3);
}
