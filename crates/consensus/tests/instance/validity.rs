//! What is an offence to say, and what is only not voted for.

use mesh_consensus::instance::Refused;
use mesh_consensus::{Agreement, Instance};
use mesh_proto::decision::{Claim, Message, SignedPropose, SignedVote, Value, Vote};
use mesh_proto::{Digest, Keypair};

use crate::support::{Core, Millis, Table, WINDOW, drain, reject, sleep_until, votes};

with_both_cores!(
    lapsed_is_for_when_the_window_is_over,
    rejected_takes_enough_rejections,
    a_proposal_is_fresh_in_its_first_round_only,
    the_first_round_is_for_proposals,
    who_rejects_signs_no_approval,
    only_the_leader_proposes,
    values_fit_their_slots,
    claims_are_signed_for_this_slot,
);

/// The voter refuses it as an offence, and nothing comes of it.
fn assert_offence<A: Core>(voter: &mut Instance<A>, message: Message, what: &str) {
    let before = format!("{voter:?}");
    let refused = voter.handle(message, 10);
    assert!(matches!(refused, Err(Refused::Offence(_))), "{what}: {refused:?}");
    assert_eq!(format!("{voter:?}"), before, "{what} has left something behind");
}

/// A voter in round 1, which it does not lead, since `entered`. It has heard of the slot at 0.
fn in_round_1<A: Agreement + std::fmt::Debug>(table: &Table, entered: Millis) -> Instance<A> {
    let me = table.follower_in(&[0, 1]);
    let mut voter = table.voter::<A>(me);
    voter.handle(Message::Propose(table.propose(0, table.proposal("one"), None)), 0).unwrap();
    for other in table.others(&[me]) {
        voter.handle(Message::Vote(table.prevote(other, 1, None)), entered).unwrap();
    }
    assert_eq!(voter.round(), 1);
    drain(&mut voter);
    voter
}

fn lapsed_is_for_when_the_window_is_over<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1]);
    let lapsed = table.digest(&Value::Lapsed);
    let word = Message::Propose(table.propose(1, Value::Lapsed, None));

    // Its round ends before the window does.
    let mut voter = in_round_1::<A>(&table, 100);
    voter.handle(word.clone(), 100).unwrap();
    assert_eq!(votes(&drain(&mut voter)).len(), 0);
    sleep_until(&mut voter, WINDOW - 1);
    assert_eq!(votes(&drain(&mut voter))[0], &table.prevote(me, 1, None));

    // The window ends before its round does.
    let mut voter = in_round_1::<A>(&table, WINDOW - 500);
    voter.handle(word.clone(), WINDOW - 400).unwrap();
    sleep_until(&mut voter, WINDOW - 1);
    assert_eq!(votes(&drain(&mut voter)).len(), 0);
    assert_eq!(voter.poll_timeout(), Some(WINDOW));
    sleep_until(&mut voter, WINDOW);
    assert_eq!(votes(&drain(&mut voter))[0], &table.prevote(me, 1, Some(lapsed)));

    // It is over already.
    let mut voter = in_round_1::<A>(&table, WINDOW);
    voter.handle(word, WINDOW).unwrap();
    assert_eq!(votes(&drain(&mut voter))[0], &table.prevote(me, 1, Some(lapsed)));
}

fn rejected_takes_enough_rejections<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1]);
    let [next, epoch, mesh] = table.elsewhere();
    let forged = SignedVote { vote: table.rejection(1).vote, ..table.rejection(0) };
    let stranger = Vote { voter: 4, ..table.rejection(0).vote }.sign(table.key(0)).unwrap();
    let wrong = [
        ("none", vec![]),
        ("one too few", vec![table.rejection(0)]),
        ("one twice", vec![table.rejection(0), table.rejection(0)]),
        ("a forged one", vec![table.rejection(0), forged]),
        ("one of nobody", vec![table.rejection(0), stranger]),
        ("one of another slot", vec![table.rejection(0), next.rejection(1)]),
        ("one of another epoch", vec![table.rejection(0), epoch.rejection(1)]),
        ("one of another mesh", vec![table.rejection(0), mesh.rejection(1)]),
        ("an abstention", vec![table.rejection(0), table.prevote(1, 0, None)]),
        ("a precommit", vec![table.rejection(0), table.precommit(1, 0, None)]),
        ("of a later round", vec![table.rejection(0), table.prevote(1, 1, None)]),
    ];
    let mut voter = in_round_1::<A>(&table, 10);
    for (what, rejections) in wrong {
        let word = Message::Propose(table.propose(1, Value::Rejected(rejections), None));
        assert_offence(&mut voter, word, what);
    }
    let word = table.propose(1, Value::Rejected(vec![table.rejection(1), table.rejection(0)]), None);
    voter.handle(Message::Propose(word.clone()), 10).unwrap();
    assert_eq!(votes(&drain(&mut voter))[0], &table.prevote(me, 1, Some(table.digest(&word.propose.value))));
}

fn a_proposal_is_fresh_in_its_first_round_only<A: Core>() {
    let table = Table::owned(4);
    let mut voter = in_round_1::<A>(&table, 10);
    for title in ["one", "other"] {
        let word = Message::Propose(table.propose(1, table.proposal(title), None));
        assert_offence(&mut voter, word, "a fresh proposal in round 1");
    }
}

/// Its prevotes are the ballots on what is proposed: one for an end would look like an approval.
fn the_first_round_is_for_proposals<A: Core>() {
    for table in [Table::owned(4), Table::resource(4)] {
        let mut voter = table.voter::<A>(table.follower_in(&[0]));
        for value in [Value::Lapsed, Value::Rejected(vec![table.rejection(1), table.rejection(0)])] {
            assert_offence(&mut voter, Message::Propose(table.propose(0, value, None)), "an end in round 0");
        }
    }
}

/// Not even the leader that hears first that a resource is held.
fn who_rejects_signs_no_approval<A: Core>() {
    let table = Table::resource(4);
    let me = table.leader(0);
    for judges_first in [false, true] {
        let mut voter = table.voter::<A>(me);
        voter.handle(Message::Claim(table.claim(table.key(1))), 0).unwrap();
        if judges_first {
            voter.judge(Digest([0; 32]), reject(), 0).unwrap();
        }
        for other in &table.others(&[me])[..2] {
            voter.handle(Message::Vote(table.rejection(*other)), 0).unwrap();
        }
        if !judges_first {
            voter.judge(Digest([0; 32]), reject(), 0).unwrap();
        }
        sleep_until(&mut voter, WINDOW);
        assert_eq!(votes(&drain(&mut voter))[0], &table.rejection(me), "it judges first: {judges_first}");
    }
}

fn only_the_leader_proposes<A: Core>() {
    let table = Table::owned(4);
    let me = table.follower_in(&[0, 1]);
    let mut voter = table.voter::<A>(me);
    for round in [0, 1] {
        for other in table.others(&[table.leader(round)]) {
            let value = if round == 0 { table.proposal("one") } else { Value::Lapsed };
            let word = table.propose_as(other, u32::try_from(round).unwrap(), value, None);
            assert_offence(&mut voter, Message::Propose(word), "proposed by another one");
        }
    }
    let author = table.leader(0);
    let mut word = table.propose(0, table.proposal("one"), None);
    let right = word.signature;
    word.propose.voter = 200;
    assert_offence(&mut voter, Message::Propose(word.clone()), "proposed by nobody");
    word.propose.voter = author;
    word.signature = [0; 64].into();
    assert_offence(&mut voter, Message::Propose(word.clone()), "a forged proposal");
    word.signature = right;
    let other = SignedPropose { signature: right, ..table.propose(0, table.proposal("other"), None) };
    assert_offence(&mut voter, Message::Propose(other), "the signature of another proposal");
    assert_eq!(voter.handle(Message::Propose(word), 0), Ok(()));
}

fn values_fit_their_slots<A: Core>() {
    let (owned, resource) = (Table::owned(4), Table::resource(4));
    let mut voter = owned.voter::<A>(owned.follower_in(&[0]));
    let word = owned.propose(0, Value::Claim(owned.claim(owned.key(0))), None);
    assert_offence(&mut voter, Message::Propose(word), "a claim in an owned slot");
    let mut voter = resource.voter::<A>(resource.follower_in(&[0, 1]));
    for pol_round in [None, Some(0)] {
        let word = resource.propose(1, resource.proposal("one"), pol_round);
        assert_offence(&mut voter, Message::Propose(word), "a proposal for a resource");
    }
}

fn claims_are_signed_for_this_slot<A: Core>() {
    let table = Table::resource(4);
    let mut voter = table.voter::<A>(table.follower_in(&[0]));
    let stranger = Keypair::from_seed(&[99; 32]);
    let right = table.claim(&stranger);
    let mut forged = table.claim(&stranger);
    forged.claim.length += 1;
    let stolen = Claim { holder: stranger.node(), ..right.claim.clone() }.sign(table.key(0)).unwrap();
    let [next, ..] = table.elsewhere();
    let elsewhere = next.claim(&stranger);
    for (what, claim) in [("longer than signed", forged), ("in another's name", stolen)] {
        assert_offence(&mut voter, Message::Claim(claim.clone()), what);
        assert_offence(&mut voter, Message::Propose(table.propose(0, Value::Claim(claim), None)), what);
    }
    assert_eq!(voter.handle(Message::Claim(elsewhere.clone()), 0), Err(Refused::OtherSlot));
    let word = table.propose(0, Value::Claim(elsewhere), None);
    assert_offence(&mut voter, Message::Propose(word), "for another slot");
    assert_eq!(voter.handle(Message::Claim(right.clone()), 0), Ok(()));
    assert_eq!(voter.handle(Message::Propose(table.propose(0, Value::Claim(right), None)), 0), Ok(()));
}
