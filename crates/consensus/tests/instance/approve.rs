//! The way of a proposal that enough like.

use mesh_consensus::instance::{JudgeError, Output, Tally};
use mesh_proto::decision::{Choice, Message, Outcome, Step};

use crate::support::{Core, DELAY, Net, Seat, Table, WINDOW, approve, ballot, drain, reject, votes};

with_both_cores!(
    a_proposal_is_approved_in_three_delays,
    a_dissenter_honours_the_quorum,
    a_certificate_releases_who_has_not_judged,
    a_bystander_learns_how_it_ends,
    a_word_is_given_once,
);

/// I12: no timer runs out on the way.
fn a_proposal_is_approved_in_three_delays<A: Core>() {
    for n in [1, 4, 7] {
        let mut net = Net::<A>::willing(Table::owned(n));
        net.propose();
        net.run_without_timers();
        let Outcome::Approved(digest) = net.outcome() else {
            panic!("{n} voters did not approve");
        };
        assert_eq!(net.value().outcome(), Ok(Outcome::Approved(digest)));
        for host in &net.hosts {
            let instance = host.instance.as_ref().unwrap();
            assert_eq!(instance.tally(), Tally { approve: n, ..Tally::default() }, "{n} voters");
            assert_eq!(instance.ballots().count(), n);
            let delays = if n == 1 { 0 } else { 3 };
            let [(at, certificate)] = &host.decided[..] else {
                panic!("it ends once: {:?}", host.decided);
            };
            assert_eq!((*at, certificate.round), (delays * DELAY, 0), "{n} voters");
            assert_eq!(certificate.voters.len(), net.table.quorum());
        }
    }
}

fn a_dissenter_honours_the_quorum<A: Core>() {
    let table = Table::owned(4);
    let mut net = Net::<A>::new(table, &[Seat::UNWILLING, Seat::WILLING, Seat::WILLING, Seat::WILLING]);
    net.propose();
    net.run_without_timers();
    assert_eq!(net.value().outcome(), Ok(net.outcome()));
    let digest = net.table.digest(&net.value());
    let of_dissenter: Vec<_> =
        votes(&net.hosts[0].outputs).iter().map(|signed| (signed.vote.step, signed.vote.value)).collect();
    assert_eq!(of_dissenter, [(Step::Prevote, None), (Step::Precommit, Some(digest))]);
    for host in &net.hosts {
        let tally = host.instance.as_ref().unwrap().tally();
        assert_eq!(tally, Tally { approve: 3, reject: 1, ..Tally::default() });
    }
}

fn a_certificate_releases_who_has_not_judged<A: Core>() {
    let table = Table::owned(4);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut late = table.voter::<A>(0);
    late.handle(Message::Propose(table.propose(0, value.clone(), None)), 0).unwrap();
    assert_eq!(drain(&mut late), [Output::Judge(digest)]);
    let certificate = table.certificate(&[1, 2, 3], 0, value.outcome().unwrap());
    late.handle(Message::Decision(certificate.clone()), 10).unwrap();
    let outputs = drain(&mut late);
    assert!(matches!(&outputs[..], [Output::Persist(_), Output::Decided(of)] if **of == certificate), "{outputs:?}");
    assert_eq!(late.judge(digest, approve(), 20), Err(JudgeError::Decided));
    assert_eq!((drain(&mut late), late.poll_timeout()), (vec![], None));

    // The same when it has heard the votes, and its agent is only slow.
    let seats = [Seat::Judges(Choice::Approve, WINDOW / 2), Seat::WILLING, Seat::WILLING, Seat::WILLING];
    let mut net = Net::<A>::new(table, &seats);
    net.propose();
    net.run_without_timers();
    assert_eq!(net.value().outcome(), Ok(net.outcome()));
    assert_eq!(net.hosts[0].decided[0].0, 3 * DELAY);
    assert_eq!(votes(&net.hosts[0].outputs).len(), 0, "it had nothing to say yet");
}

fn a_bystander_learns_how_it_ends<A: Core>() {
    let mut net = Net::<A>::willing(Table::owned(4));
    net.propose();
    net.run_without_timers();
    let mut bystander = net.table.bystander::<A>();
    let outcome = net.outcome();
    let votes = |message: &&Message| matches!(message, Message::Propose(_) | Message::Vote(_));
    for (_, message) in net.said().filter(|(_, message)| votes(message)) {
        bystander.handle(message.clone(), 0).unwrap();
    }
    assert_eq!(bystander.decided().map(|certificate| certificate.outcome), Some(outcome));
    let digest = net.table.digest(&net.value());
    assert_eq!(bystander.judge(digest, approve(), 0), Err(JudgeError::NotAVoter));
    assert!(drain(&mut bystander).iter().all(|output| matches!(output, Output::Judge(_) | Output::Decided(_))));
}

fn a_word_is_given_once<A: Core>() {
    let table = Table::owned(4);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, value, None)), 0).unwrap();
    assert_eq!(voter.judge(digest, reject(), 10), Ok(()));
    let outputs = drain(&mut voter);
    assert_eq!(votes(&outputs), [&table.rejection(0)]);
    assert_eq!(voter.judge(digest, reject(), 20), Ok(()), "the same word");
    assert_eq!(voter.judge(digest, approve(), 20), Err(JudgeError::AlreadyVoted));
    assert_eq!(voter.judge(digest, ballot(Choice::Abstain), 20), Err(JudgeError::AlreadyVoted));
    assert_eq!(drain(&mut voter), []);
}
