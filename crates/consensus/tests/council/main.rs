//! All slots of a node: opened by whom, how many, never twice; resources and their leases.

#![allow(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

mod catching_up;
mod leases;
mod net;

use mesh_consensus::council::{Config, Error};
use mesh_consensus::instance::Refused;
use mesh_proto::charter::{EpochRecord, SignedEpoch, Voter};
use mesh_proto::decision::{Ballot, Choice, Message, Outcome, Propose, Slot, Step, Subject, Value, Vote};
use mesh_proto::{Digest, Keypair, MeshId, SlotId};

use net::{Net, proposal};

fn ballot(choice: Choice) -> Ballot {
    Ballot { choice, reason: "so".to_owned() }
}

/// Proposes as a member, and has everybody else say what it thinks.
fn decide(net: &mut Net, author: usize, title: &str, choice: Choice) -> SlotId {
    let seq = net.now * 1_000 + net.said.len() as u64 + 1;
    let slot = net.act(author, |council, now| council.propose(proposal(title), seq, now)).unwrap();
    net.pass(50);
    for place in 0..net.keys.len() {
        if place != author && net.councils[place].is_voter() {
            assert_eq!(net.proposed[place].last().unwrap().0, slot);
            net.act(place, |council, now| council.vote(&slot, ballot(choice), now)).unwrap();
        }
    }
    net.pass(3_000);
    slot
}

#[test]
fn voters_decide_and_everybody_learns_it() {
    let mut net = Net::new(6, 4, Config::default(), 1);
    let approved = decide(&mut net, 0, "yes", Choice::Approve);
    let rejected = decide(&mut net, 1, "no", Choice::Reject);
    for place in 0..6 {
        let outcome = |slot| net.decided[place][&slot].certificate.outcome;
        assert_eq!(outcome(approved), Outcome::Approved(proposal("yes").digest().unwrap()), "member {place}");
        assert_eq!(outcome(rejected), Outcome::Rejected, "member {place}");
    }
    let tally = net.decided[0][&approved].tally;
    assert!(tally.approve >= 3 && tally.reject == 0, "{tally:?}");
    assert_eq!(net.councils[0].open().count(), 0);
    assert!(net.councils[4].certificate(&approved).is_some(), "who has no vote knows it too");
}

#[test]
fn only_voters_propose_and_vote() {
    let mut net = Net::new(5, 4, Config::default(), 1);
    let refused = net.act(4, |council, now| council.propose(proposal("mine"), 1, now));
    assert_eq!(refused, Err(Error::NotAVoter(0)));
    let slot = net.act(0, |council, now| council.propose(proposal("a"), 1, now)).unwrap();
    net.pass(50);
    assert_eq!(net.proposed[4].len(), 1, "it is told of it");
    assert!(matches!(
        net.act(4, |council, now| council.vote(&slot, ballot(Choice::Approve), now)),
        Err(Error::Judge(_))
    ));
    let unknown = net.act(1, |council, now| council.vote(&SlotId([0; 32]), ballot(Choice::Approve), now));
    assert_eq!(unknown, Err(Error::Unknown));
}

/// A word of voter `place` for a slot of its own.
fn word(net: &Net, place: usize, seq: u64, mesh: MeshId, epoch: u64, key: &Keypair) -> Message {
    let subject = Subject::Owned { author: net.keys[place].node(), seq };
    let slot = Slot { mesh, epoch, subject };
    let voter = place as u8;
    let value = Value::Proposal(proposal("by hand"));
    Message::Propose(Propose { slot, round: 0, value, pol_round: None, voter }.sign(key).unwrap())
}

#[test]
fn what_is_forged_or_foreign_opens_nothing() {
    let mut net = Net::new(5, 4, Config::default(), 1);
    let mesh = net.charter.mesh().unwrap();
    let (own, stranger) = (net.keys[0].clone(), net.keys[4].clone());
    let cases = [
        ("another key", word(&net, 0, 1, mesh, 0, &stranger)),
        ("another mesh", word(&net, 0, 1, MeshId([0; 32]), 0, &own)),
        ("an epoch to come", word(&net, 0, 1, mesh, 1, &own)),
        ("no voter", word(&net, 4, 1, mesh, 0, &stranger)),
    ];
    for (what, message) in cases {
        assert!(net.tell(1, 0, message).is_err(), "{what}");
        assert_eq!(net.councils[1].open().count(), 0, "{what}");
    }
    net.tell(1, 0, word(&net, 0, 1, mesh, 0, &own)).unwrap();
    assert_eq!(net.councils[1].open().count(), 1);
}

#[test]
fn words_of_later_rounds_open_nothing() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    let (mesh, author) = (net.charter.mesh().unwrap(), net.keys[0].node());
    let slot = Slot { mesh, epoch: 0, subject: Subject::Owned { author, seq: 1 } };
    let leaders = net.councils[0].chain().electorate(0).unwrap().leaders(&slot, &slot.id().unwrap());
    for round in [1, 2, 3, 400] {
        let leader = leaders[round as usize % 4];
        let key = net.keys[usize::from(leader)].clone();
        let values = [(Value::Lapsed, None), (Value::Proposal(proposal("not the author's")), Some(0))];
        for (value, pol_round) in values {
            let word = Propose { slot: slot.clone(), round, value, pol_round, voter: leader };
            let mut signed = word.sign(&key).unwrap();
            net.tell(1, leader.into(), Message::Propose(signed.clone())).unwrap();
            signed.signature[0] ^= 1;
            net.tell(2, leader.into(), Message::Propose(signed)).unwrap();
        }
    }
    assert_eq!((net.councils[1].open().count(), net.councils[2].open().count()), (0, 0));
    net.act(0, |council, now| council.propose(proposal("the author's"), 1, now)).unwrap();
    net.pass(50);
    assert_eq!(net.proposed[1].last().unwrap().1.title, "the author's");
}

#[test]
fn a_number_is_used_once() {
    let config = Config { max_ended: 1, ..Config::default() };
    let mut net = Net::new(1, 1, config, 1);
    for seq in [5, 6] {
        net.act(0, |council, now| council.propose(proposal("a"), seq, now)).unwrap();
        let again = net.act(0, |council, now| council.propose(proposal("b"), seq, now));
        assert_eq!(again, Err(Error::Used(seq)), "open or ended");
        net.pass(1_000);
    }
    net.restart(0);
    for seq in [1, 5, 6] {
        let again = net.act(0, |council, now| council.propose(proposal("b"), seq, now));
        assert_eq!(again, Err(Error::Used(seq)), "forgotten, and before");
    }
    net.act(0, |council, now| council.propose(proposal("b"), 7, now)).unwrap();
}

#[test]
fn a_traitor_is_told_of_once() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    let slot = net.act(0, |council, now| council.propose(proposal("a"), 1, now)).unwrap();
    net.pass(50);
    let vote = |value| Vote { slot, round: 1, step: Step::Precommit, value, voter: 3, ballot: None };
    for value in [None, Some(Digest([1; 32])), Some(Digest([2; 32]))] {
        let vote = vote(value).sign(&net.keys[3]).unwrap();
        net.tell(1, 3, Message::Vote(vote)).unwrap();
    }
    net.pass(500);
    let traitor = net.keys[3].node();
    for place in 0..3 {
        assert_eq!(net.guilty[place], [traitor], "member {place}");
    }
    let said = net.said.iter().filter(|(_, message)| matches!(message, Message::Evidence(_)));
    assert_eq!(said.map(|(by, _)| *by).collect::<Vec<_>>(), [1]);
}

#[test]
fn each_voter_may_have_a_few_slots_open() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    let mesh = net.charter.mesh().unwrap();
    let key = net.keys[0].clone();
    for seq in 1..=5 {
        net.tell(1, 0, word(&net, 0, seq, mesh, 0, &key)).unwrap();
        assert_eq!(net.councils[1].open().count(), 4.min(seq as usize));
    }
    let other = net.keys[2].clone();
    net.tell(1, 2, word(&net, 2, 1, mesh, 0, &other)).unwrap();
    assert_eq!(net.councils[1].open().count(), 5, "that takes nobody else's room");
    for seq in 1..=4 {
        net.act(3, |council, now| council.propose(proposal("mine"), seq, now)).unwrap();
    }
    assert_eq!(net.act(3, |council, now| council.propose(proposal("mine"), 5, now)), Err(Error::Full(4)));
}

#[test]
fn a_vote_for_an_unknown_slot_makes_us_ask_but_not_all_the_time() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    net.loss = 100;
    net.act(0, |council, now| council.propose(proposal("unheard of"), 1, now)).unwrap();
    let vote = net.said.iter().find(|(_, message)| matches!(message, Message::Vote(_))).unwrap().1.clone();
    net.loss = 0;
    for _ in 0..3 {
        net.tell(1, 0, vote.clone()).unwrap();
    }
    assert_eq!(net.councils[1].open().count(), 0);
    net.pass(45);
    assert_eq!(net.proposed[1].len(), 1, "its sender has told us");
}

#[test]
fn so_many_unknown_slots_are_asked_for_at_once() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    net.now = 10_000;
    let ask = |net: &mut Net, n: u16| {
        let mut slot = SlotId([0; 32]);
        slot.0[..2].copy_from_slice(&n.to_be_bytes());
        let vote = Vote { slot, round: 1, step: Step::Precommit, value: None, voter: 0, ballot: None };
        let from = net.keys[0].node();
        let vote = Message::Vote(vote.sign(&net.keys[0]).unwrap());
        net.councils[1].handle(from, vote, net.now).unwrap();
        std::iter::from_fn(|| net.councils[1].poll_output()).count()
    };
    assert!((0..256).all(|n| ask(&mut net, n) == 1));
    assert_eq!(ask(&mut net, 256), 0, "it has to wait");
    net.now += 501;
    assert_eq!(ask(&mut net, 256), 1, "until others were asked for long enough ago");
}

#[test]
fn no_slot_is_opened_twice() {
    let config = Config { max_ended: 3, ..Config::default() };
    let mut net = Net::new(4, 4, config, 1);
    let slots: Vec<_> = (0..6).map(|n| decide(&mut net, 0, &n.to_string(), Choice::Approve)).collect();
    assert!(net.councils[1].certificate(&slots[0]).is_none(), "long forgotten");
    assert_eq!(net.disks[1].0.len(), 3, "also on the disk");
    let words: Vec<_> =
        net.said.iter().filter(|(_, message)| matches!(message, Message::Propose(_))).cloned().collect();
    for restarted in [false, true] {
        if restarted {
            net.restart(1);
            net.pass(1_000);
        }
        for (from, word) in &words {
            net.tell(1, *from, word.clone()).unwrap();
            assert_eq!(net.councils[1].open().count(), 0, "restarted: {restarted}");
        }
    }
}

#[test]
fn slots_end_in_their_epoch_and_new_ones_begin_in_the_next() {
    let mut net = Net::new(5, 4, Config::default(), 1);
    let mesh = net.charter.mesh().unwrap();
    let slot = net.act(0, |council, now| council.propose(proposal("before"), 1, now)).unwrap();
    net.pass(50);
    let voters = net.keys[1..5].iter().map(|key| Voter { node: key.node(), key: key.node() }).collect();
    let record = EpochRecord { v: 1, mesh, epoch: 1, previous: Digest(mesh.0), voters };
    let signatures = vec![record.sign(&net.keys[0]).unwrap()];
    let epoch = SignedEpoch { record, signatures };
    for place in 0..5 {
        net.act(place, |council, _| council.extend(&epoch)).unwrap();
    }
    for place in 1..4 {
        net.act(place, |council, now| council.vote(&slot, ballot(Choice::Approve), now)).unwrap();
    }
    net.pass(1_000);
    for place in 0..5 {
        assert!(matches!(net.decided[place][&slot].certificate.outcome, Outcome::Approved(_)), "member {place}");
    }
    assert_eq!(net.act(0, |council, now| council.propose(proposal("after"), 2, now)), Err(Error::NotAVoter(1)));
    let old = word(&net, 2, 9, mesh, 0, &net.keys[2]);
    assert!(matches!(net.tell(1, 2, old), Err(Refused::Invalid(_))), "the old epoch begins nothing any more");
    let after = net.act(4, |council, now| council.propose(proposal("after"), 1, now)).unwrap();
    net.pass(50);
    for place in 1..4 {
        net.act(place, |council, now| council.vote(&after, ballot(Choice::Approve), now)).unwrap();
    }
    net.pass(1_000);
    assert!(net.decided.iter().all(|decided| decided.contains_key(&after)));
}
