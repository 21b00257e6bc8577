//! Who was away hears what it has missed: slots, how they ended, and who votes.

use mesh_consensus::council::{Config, Error, Output};
use mesh_consensus::instance::Refused;
use mesh_consensus::{Chain, VerifyError};
use mesh_proto::charter::{SignedEpoch, Voter};
use mesh_proto::decision::{Choice, Message, Status, VoterSet};
use mesh_proto::limits::MAX_TOLD_EPOCHS;
use mesh_proto::{NodeId, SlotId};

use crate::decide;
use crate::net::Net;

/// What `to` tells `from` when it hears this.
fn answers(net: &mut Net, to: usize, from: usize, message: Message) -> Vec<Message> {
    let asker = net.keys[from].node();
    net.act(to, |council, now| {
        council.handle(asker, message, now).expect("it is let in");
        let mut told = Vec::new();
        while let Some(output) = council.poll_output() {
            if let Output::Tell(node, message) = output {
                assert_eq!(node, asker);
                told.push(*message);
            }
        }
        told
    })
}

fn status(slot: SlotId, proposed: bool) -> Message {
    let nothing = VoterSet::default();
    Message::Status(Status { slot, round: 0, proposed, prevotes: nothing, precommits: nothing, polka: None })
}

#[test]
fn what_ended_is_told_but_what_is_known_and_no_more_than_the_bound() {
    let mut net = Net::new(2, 1, Config::default(), 1);
    let slots: Vec<_> = (0..70).map(|n| decide(&mut net, 0, &format!("{n}"), Choice::Approve)).collect();
    let of = |messages: &[Message]| -> Vec<SlotId> {
        let id = |message: &Message| {
            let Message::Decision(certificate) = message else { panic!("{message:?}") };
            certificate.slot.id().expect("a slot")
        };
        messages.iter().map(id).collect()
    };
    let last = answers(&mut net, 0, 1, Message::Others(vec![]));
    assert_eq!(of(&last), slots[6..], "64 of 70, the oldest of them first");
    let known = slots[10..].to_vec();
    assert_eq!(of(&answers(&mut net, 0, 1, Message::Others(known))), slots[..10]);
    assert_eq!(answers(&mut net, 0, 1, Message::Others(slots)), []);
}

#[test]
fn who_has_something_of_an_unknown_slot_is_asked_for_it_and_who_only_asks_is_not() {
    let mut net = Net::new(3, 3, Config::default(), 2);
    let unknown = SlotId([7; 32]);
    assert_eq!(answers(&mut net, 0, 1, status(unknown, false)), []);
    assert_eq!(answers(&mut net, 0, 1, status(unknown, true)), [status(unknown, false)]);
    assert_eq!(answers(&mut net, 0, 1, status(unknown, true)), [], "not all the time");
}

/// Epochs 1 to `n`, with all members as voters and one less, in turn.
fn epochs(net: &Net, n: usize) -> Vec<SignedEpoch> {
    let mut chain = Chain::new(&net.charter).expect("a charter");
    let voters: Vec<_> = net.keys.iter().map(|key| Voter { node: key.node(), key: key.node() }).collect();
    let mut epochs = Vec::new();
    for epoch in 1..=n {
        let record = chain.next(voters[..voters.len() - epoch % 2].to_vec());
        let signatures = vec![record.sign(&net.keys[0]).expect("small")];
        let signed = SignedEpoch { record, signatures };
        chain.extend(&signed, &mesh_proto::Strict).expect("it follows");
        epochs.push(signed);
    }
    epochs
}

#[test]
fn electorates_are_told_in_parts_and_kept_before_anything_else() {
    let mut net = Net::new(3, 3, Config::default(), 3);
    let five = epochs(&net, 5);
    for epoch in &five {
        net.act(0, |council, _| {
            council.extend(epoch).expect("it follows");
            assert_eq!(council.poll_output(), Some(Output::Epoch(Box::new(epoch.clone()))));
        });
    }
    let mut known = 0;
    let mut parts = Vec::new();
    loop {
        let told = answers(&mut net, 0, 1, Message::EpochsAfter(known));
        let [Message::Epochs(part)] = &told[..] else { break };
        parts.push(part.len());
        let asks = answers(&mut net, 1, 0, told[0].clone());
        known += part.len() as u64;
        let more = part.len() == MAX_TOLD_EPOCHS;
        assert_eq!(asks, if more { vec![Message::EpochsAfter(known)] } else { vec![] });
    }
    assert_eq!(parts, [3, 2]);
    net.act(1, |council, _| assert_eq!(council.chain().last_epoch(), 5));
    assert_eq!(answers(&mut net, 0, 1, Message::EpochsAfter(u64::MAX)), []);
}

#[test]
fn electorates_that_nobody_signed_change_nothing() {
    let mut net = Net::new(3, 3, Config::default(), 4);
    let [first, second] = &epochs(&net, 2)[..] else { panic!("two") };
    let mut forged = first.clone();
    forged.signatures = vec![forged.record.sign(&net.keys[1]).expect("small")];
    let from = net.keys[1].node();
    let handed = |net: &mut Net, epochs: Vec<SignedEpoch>| net.tell(2, 1, Message::Epochs(epochs));
    assert!(matches!(handed(&mut net, vec![forged]), Err(Refused::Invalid(VerifyError::Founders { .. }))));
    assert!(matches!(handed(&mut net, vec![second.clone()]), Err(Refused::Invalid(VerifyError::BrokenChain(2)))));
    net.act(2, |council, _| assert_eq!(council.chain().last_epoch(), 0));
    let elected = |net: &mut Net, place: usize, nodes: &[NodeId]| {
        let voters = nodes.iter().map(|node| Voter { node: *node, key: *node }).collect();
        net.act(place, |council, _| council.elect(voters))
    };
    assert_eq!(elected(&mut net, 1, &[from]), Err(Error::NotAFounder(1)));
    assert!(matches!(elected(&mut net, 0, &[from, from]), Err(Error::Verify(VerifyError::Malformed(_)))), "one twice");
    assert_eq!(elected(&mut net, 0, &[from]), Ok(()));
    net.act(0, |council, _| assert!(!council.is_voter(), "it has left itself out"));
}
