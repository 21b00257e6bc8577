//! Proposals that are not approved.

use mesh_consensus::instance::{JudgeError, Tally};
use mesh_proto::decision::{Choice, Message, Outcome, VoterIndex};

use crate::support::{Core, DELAY, Net, Seat, Table, WINDOW, approve, ballot, drain, reject, sleep_until, votes};

with_both_cores!(
    enough_rejections_end_it_before_the_window,
    one_rejection_too_few_does_not_end_it,
    it_lapses_when_too_few_judge,
    silence_is_an_abstention,
    it_waits_for_slow_judges_while_the_window_is_open,
    a_lonely_voter_decides_nothing,
);

fn enough_rejections_end_it_before_the_window<A: Core>() {
    for (n, blocking) in [(2, 1), (4, 2), (7, 3)] {
        for against in blocking..n {
            let mut seats = vec![Seat::WILLING; n];
            seats[..against].fill(Seat::UNWILLING);
            let mut net = Net::<A>::new(Table::owned(n), &seats);
            net.propose();
            net.run(60_000);
            assert_eq!(net.outcome(), Outcome::Rejected, "{against} of {n} are against it");
            // Proposal, both votes of round 0, proposal and both votes of round 1; no timer runs out.
            assert_eq!(net.now, 6 * DELAY, "{against} of {n}");
        }
    }
}

/// A quorum of the rest may still come.
fn one_rejection_too_few_does_not_end_it<A: Core>() {
    for (n, blocking) in [(4, 2), (7, 3)] {
        let mut seats = vec![Seat::Undecided; n];
        seats[..blocking - 1].fill(Seat::UNWILLING);
        let mut net = Net::<A>::new(Table::owned(n), &seats);
        net.propose();
        net.run(60_000);
        assert_eq!(net.outcome(), Outcome::Lapsed, "{n} voters");
        assert!(net.now >= WINDOW);
    }
}

fn it_lapses_when_too_few_judge<A: Core>() {
    for (n, judges) in [(2, 1), (4, 2), (7, 4)] {
        let mut seats = vec![Seat::Undecided; n];
        // The author is one of them.
        seats[n - judges..].fill(Seat::WILLING);
        let mut net = Net::<A>::new(Table::owned(n), &seats);
        net.propose();
        net.run(60_000);
        assert_eq!(net.outcome(), Outcome::Lapsed, "{n} voters");
        assert!((WINDOW..WINDOW + 3_000).contains(&net.now), "at {}", net.now);
        for host in &net.hosts {
            let tally = host.instance.as_ref().unwrap().tally();
            assert_eq!(tally, Tally { approve: judges, abstain: n - judges, ..Tally::default() }, "{n} voters");
        }
    }
}

fn silence_is_an_abstention<A: Core>() {
    let table = Table::owned(4);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, value, None)), 100).unwrap();
    sleep_until(&mut voter, WINDOW + 99);
    assert_eq!(votes(&drain(&mut voter)).len(), 0, "the window is still open");
    sleep_until(&mut voter, WINDOW + 100);
    assert_eq!(votes(&drain(&mut voter)), [&table.prevote(0, 0, None)]);
    for late in [approve(), reject(), ballot(Choice::Abstain)] {
        assert_eq!(voter.judge(digest, late, WINDOW + 100), Err(JudgeError::AlreadyVoted));
    }
    assert_eq!(drain(&mut voter), []);
}

fn it_waits_for_slow_judges_while_the_window_is_open<A: Core>() {
    let slow = Seat::Judges(Choice::Approve, WINDOW - 5 * DELAY);
    let mut net = Net::<A>::new(Table::owned(4), &[slow, slow, slow, Seat::WILLING]);
    net.propose();
    net.run(60_000);
    assert!(matches!(net.outcome(), Outcome::Approved(_)));
    assert!(net.hosts.iter().all(|host| host.decided[0].1.round == 0));
}

/// I5, and that it goes on asking all the same.
fn a_lonely_voter_decides_nothing<A: Core>() {
    let table = Table::owned(4);
    let mut voter = table.voter::<A>(0);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    voter.handle(Message::Propose(table.propose(0, value, None)), 0).unwrap();
    voter.judge(digest, approve(), 0).unwrap();
    // One short of a quorum, itself included.
    for other in [1, 2] as [VoterIndex; 2] {
        voter.handle(Message::Vote(table.precommit(other, 0, Some(digest))), 1).unwrap();
    }
    sleep_until(&mut voter, 3_600_000);
    assert_eq!(voter.decided(), None);
    let outputs = drain(&mut voter);
    assert_eq!(votes(&outputs).len(), 1, "it cannot even precommit");
    assert!(outputs.len() > 1_000, "it asks again and again");
}
