//! I2, I9, I14: a process may die after anything that it does. It comes back with what it had put on its disk by then, the
//! slot ends all the same, and it never says another thing than before ([`Net`] watches that).

use mesh_consensus::instance::Output;
use mesh_proto::decision::{Choice, Message, Outcome, Subject, Value, VoterIndex};

use crate::support::{Core, Net, Seat, Table, WINDOW, approve, drain, said, sleep_until, votes};

with_both_cores!(
    approved,
    approved_with_nobody_to_spare,
    rejected,
    rejected_with_nobody_to_spare,
    lapsed,
    lapsed_with_nobody_to_spare,
    granted,
    granted_with_nobody_to_spare,
    alone,
    it_dies_twice,
    a_decision_is_told_again,
    a_polka_without_its_proposal_is_not_lost,
    a_polka_heard_before_the_slot_is_not_lost,
    a_vote_that_it_owes_is_cast,
    a_leader_votes_for_what_it_has_proposed_again,
);

const END: u64 = 120_000;

/// Plays it once for each output of each voter that is there, which dies after it; what it says of the outcome holds for all.
fn at_every_step<A: Core>(table: &Table, seats: &[Seat], check: impl Fn(Outcome)) {
    let play = |dies: Option<(VoterIndex, usize)>| {
        let mut net = Net::<A>::new(table.clone(), seats);
        if let Some((voter, after)) = dies {
            net.host(voter).dies_after = vec![after];
        }
        if matches!(table.slot.subject, Subject::Resource { .. }) {
            net.start_all();
            net.claim(&[1, 2]);
        } else {
            net.propose();
        }
        net.run(END);
        net
    };
    let whole = play(None);
    check(outcome(&whole, None));
    for voter in whole.voters() {
        for after in 0..=whole.hosts[usize::from(voter)].outputs.len() {
            let net = play(Some((voter, after)));
            check(outcome(&net, Some((voter, after))));
        }
    }
}

fn outcome<A: Core>(net: &Net<A>, dies: Option<(VoterIndex, usize)>) -> Outcome {
    net.ended().unwrap_or_else(|why| panic!("{dies:?} died (voter and outputs): {why}"))
}

fn is_approved(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Approved(_)), "{outcome:?}");
}

fn approved<A: Core>() {
    let seat = Seat::Judges(Choice::Approve, 30);
    at_every_step::<A>(&Table::owned(4), &[Seat::WILLING, seat, seat, Seat::WILLING], is_approved);
}

/// One voter is not there at all: without the one that dies nothing goes on.
fn approved_with_nobody_to_spare<A: Core>() {
    // Who dies while it is said for the first time may bring it past its window.
    at_every_step::<A>(&Table::owned(4), &[Seat::Empty, Seat::WILLING, Seat::WILLING, Seat::WILLING], |outcome| {
        assert!(matches!(outcome, Outcome::Approved(_) | Outcome::Lapsed), "{outcome:?}");
    });
}

fn rejected<A: Core>() {
    let seats = [Seat::UNWILLING, Seat::UNWILLING, Seat::WILLING, Seat::WILLING];
    at_every_step::<A>(&Table::owned(4), &seats, |outcome| assert_eq!(outcome, Outcome::Rejected));
}

fn rejected_with_nobody_to_spare<A: Core>() {
    let seats = [Seat::UNWILLING, Seat::UNWILLING, Seat::Empty, Seat::WILLING];
    at_every_step::<A>(&Table::owned(4), &seats, |outcome| {
        assert!(matches!(outcome, Outcome::Rejected | Outcome::Lapsed), "{outcome:?}");
    });
}

fn lapsed<A: Core>() {
    let seats = [Seat::Undecided, Seat::Undecided, Seat::WILLING, Seat::WILLING];
    at_every_step::<A>(&Table::owned(4), &seats, |outcome| assert_eq!(outcome, Outcome::Lapsed));
}

fn lapsed_with_nobody_to_spare<A: Core>() {
    let seats = [Seat::Undecided, Seat::Undecided, Seat::Empty, Seat::WILLING];
    at_every_step::<A>(&Table::owned(4), &seats, |outcome| assert_eq!(outcome, Outcome::Lapsed));
}

fn granted<A: Core>() {
    at_every_step::<A>(&Table::resource(4), &[Seat::WILLING; 4], |outcome| {
        assert!(matches!(outcome, Outcome::Granted { .. }), "{outcome:?}");
    });
}

fn granted_with_nobody_to_spare<A: Core>() {
    let table = Table::resource(4);
    for empty in 0..4 {
        let mut seats = [Seat::WILLING; 4];
        seats[empty] = Seat::Empty;
        at_every_step::<A>(&table, &seats, |outcome| {
            assert!(matches!(outcome, Outcome::Granted { .. } | Outcome::Lapsed), "{outcome:?}");
        });
    }
}

fn alone<A: Core>() {
    at_every_step::<A>(&Table::owned(1), &[Seat::WILLING], is_approved);
}

/// And again when it has come back; the others have nobody to spare.
fn it_dies_twice<A: Core>() {
    for reject in [false, true] {
        let other = if reject { Seat::UNWILLING } else { Seat::WILLING };
        let seats = [Seat::Empty, other, other, Seat::WILLING];
        for voter in 1..4 {
            for first in 0..14 {
                for second in first..first + 10 {
                    let mut net = Net::<A>::new(Table::owned(4), &seats);
                    net.host(voter).dies_after = vec![first, second];
                    net.propose();
                    net.run(END);
                    let end = net.ended();
                    assert!(end.is_ok(), "{voter} dies after {first} and {second} outputs, {end:?}");
                }
            }
        }
    }
}

fn a_decision_is_told_again<A: Core>() {
    let mut net = Net::<A>::willing(Table::owned(4));
    net.propose();
    net.run_without_timers();
    let outcome = net.outcome();
    for voter in net.voters() {
        let place = |output: &Output| matches!(output, Output::Persist(saved) if saved.decided.is_some());
        let outputs = &net.hosts[usize::from(voter)].outputs;
        let Some(Output::Persist(saved)) = outputs.iter().find(|output| place(output)) else {
            panic!("voter {voter} keeps the decision");
        };
        for _ in 0..2 {
            let mut back = net.table.restore::<A>(voter, (**saved).clone(), 5_000);
            let told = |output: &Output| matches!(output, Output::Decided(end) if end.outcome == outcome);
            assert_eq!(drain(&mut back).iter().filter(|output| told(output)).count(), 1);
            let answer = back.answer(&net.table.voter::<A>(0).status());
            assert!(matches!(&answer[..], [Message::Decision(end)] if end.outcome == outcome));
            assert_eq!(back.poll_timeout(), None);
        }
    }
}

/// It has seen the quorum, but not what it was for, when it dies. Then the proposal comes for a second time, and the quorum
/// with it: it has to prevote it.
fn a_polka_without_its_proposal_is_not_lost<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1]);
    let others = table.others(&[me]);
    let (value, other) = (table.proposal("one"), table.proposal("other"));
    let digest = table.digest(&value);
    let polka = Message::Polka(table.polka(&others, 0, digest));
    for dies in [false, true] {
        let mut voter = table.voter::<A>(me);
        // Its author is a traitor, and has told it of something else.
        voter.handle(Message::Propose(table.propose(0, other.clone(), None)), 0).unwrap();
        voter.handle(polka.clone(), 0).unwrap();
        voter.judge(table.digest(&other), approve(), 0).unwrap();
        sleep_until(&mut voter, 2 * WINDOW);
        let mut saved = None;
        for output in drain(&mut voter) {
            if let Output::Persist(to_keep) = output {
                saved = Some(*to_keep);
            }
        }
        if dies {
            voter = table.restore(me, saved.unwrap(), 2 * WINDOW);
        }
        for other in &others[..2] {
            voter.handle(Message::Vote(table.prevote(*other, 1, None)), 2 * WINDOW).unwrap();
        }
        drain(&mut voter);
        voter.handle(Message::Propose(table.propose(1, value.clone(), Some(0))), 2 * WINDOW).unwrap();
        voter.handle(polka.clone(), 2 * WINDOW).unwrap();
        assert_eq!(votes(&drain(&mut voter)), [&table.prevote(me, 1, Some(digest))], "it has died: {dies}");
    }
}

/// The same for a quorum of a later round that it hears of before it knows the slot.
fn a_polka_heard_before_the_slot_is_not_lost<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 9, 10]);
    let others = table.others(&[me]);
    let lapsed = table.digest(&Value::Lapsed);
    let polka = Message::Polka(table.polka(&others, 9, lapsed));
    let mut voter = table.voter::<A>(me);
    voter.handle(polka.clone(), 0).unwrap();
    for other in &others[..2] {
        voter.handle(Message::Vote(table.precommit(*other, 10, None)), 0).unwrap();
    }
    assert_eq!(voter.round(), 10);
    drain(&mut voter);
    voter.handle(polka, 0).unwrap();
    voter.handle(Message::Propose(table.propose(10, Value::Lapsed, Some(9))), 0).unwrap();
    assert_eq!(votes(&drain(&mut voter)), [&table.prevote(me, 10, Some(lapsed))]);
}

/// Its agent speaks when the quorum is there already, so that both votes are due at once, and it dies between them. The
/// others may be waiting for the second one.
fn a_vote_that_it_owes_is_cast<A: Core>() {
    let table = Table::owned(4);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, value, None)), 0).unwrap();
    voter.handle(Message::Polka(table.polka(&[1, 2, 3], 0, digest)), 0).unwrap();
    drain(&mut voter);
    voter.judge(digest, approve(), 0).unwrap();
    let outputs = drain(&mut voter);
    let (prevote, precommit) = (table.prevote(0, 0, Some(digest)), table.precommit(0, 0, Some(digest)));
    assert_eq!(votes(&outputs), [&prevote, &precommit]);
    let Some(Output::Persist(first)) = outputs.first() else {
        panic!("it is kept first: {outputs:#?}");
    };
    let mut back = table.restore::<A>(0, (**first).clone(), 100);
    let outputs = drain(&mut back);
    assert_eq!(votes(&outputs), [&prevote, &precommit]);
    assert!(outputs.iter().any(|output| matches!(output, Output::Persist(saved) if saved.votes.contains(&precommit))));
    for other in [1, 2] {
        back.handle(Message::Vote(table.precommit(other, 0, Some(digest))), 100).unwrap();
    }
    assert!(back.decided().is_some());
}

/// It dies between proposing again what has a polka and voting for it.
fn a_leader_votes_for_what_it_has_proposed_again<A: Core>() {
    let table = Table::owned(4);
    let me = table.leader(1);
    let others = table.others(&[me]);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(me);
    voter.handle(Message::Propose(table.propose(0, value.clone(), None)), 0).unwrap();
    voter.judge(digest, approve(), 0).unwrap();
    voter.handle(Message::Polka(table.polka(&others, 0, digest)), 0).unwrap();
    for other in &others {
        voter.handle(Message::Vote(table.precommit(*other, 0, None)), 0).unwrap();
    }
    assert_eq!(voter.round(), 1);
    let leads = |output| match output {
        Output::Persist(saved) if saved.led == Some(1) => Some(*saved),
        Output::Persist(_) | Output::Say(_) | Output::Ask(_) | Output::Judge(_) | Output::Guilty(_) => None,
        Output::Decided(_) => None,
    };
    let saved = drain(&mut voter).into_iter().find_map(leads).expect("it leads the round");
    let mut back = table.restore::<A>(me, saved, 100);
    let outputs = drain(&mut back);
    assert!(said(&outputs).contains(&&Message::Propose(table.propose(1, value, Some(0)))));
    assert_eq!(votes(&outputs).last(), Some(&&table.prevote(me, 1, Some(digest))));
}
