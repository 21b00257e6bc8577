//! Who gets a resource.

use std::collections::BTreeSet;

use mesh_consensus::instance::Output;
use mesh_proto::Digest;
use mesh_proto::decision::{Choice, Message, Outcome, Subject, Value, VoterIndex};

use crate::support::{Core, Net, Seat, Table, approve, drain, said, sleep_until};

with_both_cores!(
    one_of_two_claims_is_granted,
    a_later_leader_grants_when_the_first_is_silent,
    what_is_held_is_rejected,
    it_lapses_when_nobody_says_that_it_is_free,
    a_leader_waits_for_its_agent,
    one_claim_is_proposed_when_they_are_collected,
    a_claim_of_a_stranger_is_granted,
);

fn holder(outcome: Outcome) -> mesh_proto::NodeId {
    match outcome {
        Outcome::Granted { holder, length: 1_000 } => holder,
        Outcome::Granted { .. } | Outcome::Approved(_) | Outcome::Rejected | Outcome::Lapsed => {
            panic!("it was not granted: {outcome:?}")
        }
    }
}

fn one_of_two_claims_is_granted<A: Core>() {
    for n in [1, 2, 4, 7] {
        for one in 0..n {
            let two = (one + 1) % n;
            let mut net = Net::<A>::willing(Table::resource(n));
            net.start_all();
            let claims = [one, two].map(|voter| VoterIndex::try_from(voter).unwrap());
            net.claim(&claims);
            net.run(60_000);
            let holder = holder(net.outcome());
            assert!(claims.iter().any(|voter| net.table.key(*voter).node() == holder));
            assert!(net.hosts.iter().all(|host| host.decided[0].1.round == 0), "{n} voters");
            assert!(net.now < 500, "{n} voters: at {}", net.now);
        }
    }
}

fn a_later_leader_grants_when_the_first_is_silent<A: Core>() {
    for (n, silent) in [(4, 1), (7, 1), (7, 2)] {
        let table = Table::resource(n);
        let mut seats = vec![Seat::WILLING; n];
        for round in 0..silent {
            seats[usize::from(table.leader(round))] = Seat::Empty;
        }
        let claims: Vec<_> = table.others(&[table.leader(0)]).into_iter().take(2).collect();
        let mut net = Net::<A>::new(table, &seats);
        net.start_all();
        net.claim(&claims);
        net.run(60_000);
        let decided: Vec<_> = net.hosts.iter().filter_map(|host| host.decided.first()).collect();
        assert_eq!(decided.len(), n - silent);
        let outcome = decided[0].1.outcome;
        holder(outcome);
        for (_, certificate) in decided {
            assert_eq!(certificate.outcome, outcome);
            assert!(usize::try_from(certificate.round).unwrap() >= silent);
        }
    }
}

/// Whoever of the voters they are, the leader or not.
fn what_is_held_is_rejected<A: Core>() {
    for one in 0..4 {
        for two in one + 1..4 {
            let mut seats = [Seat::WILLING; 4];
            (seats[one], seats[two]) = (Seat::UNWILLING, Seat::UNWILLING);
            let mut net = Net::<A>::new(Table::resource(4), &seats);
            net.start_all();
            net.claim(&[0, 1]);
            net.run(60_000);
            assert_eq!(net.outcome(), Outcome::Rejected, "{one} and {two} say that it is held");
        }
    }
}

fn it_lapses_when_nobody_says_that_it_is_free<A: Core>() {
    let mut net = Net::<A>::new(Table::resource(4), &[Seat::Undecided; 4]);
    net.start_all();
    net.claim(&[0, 1]);
    net.run(60_000);
    assert_eq!(net.outcome(), Outcome::Lapsed);
}

/// It sleeps meanwhile, see [`sleep_until`], and goes on when the agent has spoken.
fn a_leader_waits_for_its_agent<A: Core>() {
    let table = Table::resource(4);
    let me = table.leader(0);
    let mut voter = table.voter::<A>(me);
    voter.handle(Message::Claim(table.claim(table.key(1))), 0).unwrap();
    sleep_until(&mut voter, 500);
    assert_eq!(said(&drain(&mut voter)), Vec::<&Message>::new());
    voter.judge(Digest([0; 32]), approve(), 500).unwrap();
    let word = table.propose(0, Value::Claim(table.claim(table.key(1))), None);
    assert!(said(&drain(&mut voter)).contains(&&Message::Propose(word)));

    let slow = Seat::Judges(Choice::Approve, 700);
    let mut net = Net::<A>::new(table, &[slow; 4]);
    net.start_all();
    net.claim(&[0, 1]);
    net.run(60_000);
    holder(net.outcome());
}

/// Whoever came first, and not the same holder in each slot.
fn one_claim_is_proposed_when_they_are_collected<A: Core>() {
    let mut winners = BTreeSet::new();
    for seq in 0..20 {
        let subject = Subject::Resource { name: "gpu".to_owned(), seq };
        let table = Table::resource(4).about(subject);
        let mut claims: Vec<_> = (0..4).map(|voter| table.claim(table.key(voter))).collect();
        let mut proposed = Vec::new();
        for _ in 0..2 {
            let mut voter = table.voter::<A>(table.leader(0));
            voter.judge(Digest([0; 32]), approve(), 0).unwrap();
            for (at, claim) in (0..).map(|n| 50 * n).zip(&claims) {
                voter.handle(Message::Claim(claim.clone()), at).unwrap();
            }
            sleep_until(&mut voter, 299);
            assert!(drain(&mut voter).iter().all(|output| !matches!(output, Output::Say(_))));
            sleep_until(&mut voter, 300);
            let outputs = drain(&mut voter);
            let Message::Propose(word) = said(&outputs)[0] else { panic!("{outputs:?}") };
            let Value::Claim(claim) = &word.propose.value else { panic!("{outputs:?}") };
            proposed.push(claim.claim.holder);
            claims.reverse();
        }
        assert_eq!(proposed[0], proposed[1], "slot {seq}: in whatever order they come");
        winners.insert(proposed[0]);
    }
    assert_eq!(winners.len(), 4, "everybody wins somewhere");
}

/// Who may claim is not for the voters' keys to say.
fn a_claim_of_a_stranger_is_granted<A: Core>() {
    let stranger = mesh_proto::Keypair::from_seed(&[99; 32]);
    let table = Table::resource(1);
    let mut voter = table.voter::<A>(0);
    voter.judge(Digest([0; 32]), approve(), 0).unwrap();
    voter.handle(Message::Claim(table.claim(&stranger)), 0).unwrap();
    sleep_until(&mut voter, 300);
    assert_eq!(holder(voter.decided().unwrap().outcome), stranger.node());
}
