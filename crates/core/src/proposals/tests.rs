use bytes::Bytes;
use mesh_consensus::council::Floors;
use mesh_consensus::council::Output as Wanted;
use mesh_proto::charter::{self, Charter, Voter};
use mesh_proto::{Keypair, SlotId, Strict};

use super::*;
use crate::records::Damaged;

fn key(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn charter_of(voters: u8) -> Charter {
    let mut list: Vec<_> = (1..=voters).map(|n| Voter { node: key(n).node(), key: key(100 + n).node() }).collect();
    list.sort_unstable();
    let founders = vec![key(1).node()];
    Charter { v: charter::VERSION, name: "t".into(), founders, threshold: 1, voters: list, open: true }
}

type Disk = BTreeMap<String, Bytes>;

fn make(disk: &mut Disk, changes: impl IntoIterator<Item = Change>) {
    for Change { key, value } in changes {
        match value {
            Some(value) => drop(disk.insert(key, value)),
            None => drop(disk.remove(&key)),
        }
    }
}

fn restore(charter: &Charter, disk: &Disk, seed: u8) -> Result<(Founding, Vec<Change>), RestoreError> {
    Founding::restore(charter, key(1).node(), disk.clone(), [seed; 32])
}

fn at(mono: u64) -> Now {
    Now { mono: Mono(mono), unix: 1_700_000_000_000 + mono }
}

fn open(disk: &mut Disk, now: u64) -> Proposals {
    let (founding, changes) = restore(&charter_of(1), disk, 101).unwrap();
    make(disk, changes);
    Proposals::new(Config::default(), founding, key(1), Arc::new(Strict), [7; 32], at(now))
}

fn proposal(now: Now) -> Proposal {
    Proposal { kind: "k".into(), title: "t".into(), body: Bytes::new(), window: 1_000, at: now.unix }
}

/// Outputs until the store is asked for something.
fn drain(proposals: &mut Proposals) -> (Vec<Output>, Option<(u64, Vec<Change>)>) {
    let mut outputs = Vec::new();
    while let Some(output) = proposals.poll_output() {
        if let Output::Keep { ticket, changes } = output {
            return (outputs, Some((ticket, changes)));
        }
        outputs.push(output);
    }
    (outputs, None)
}

#[test]
fn nothing_is_said_before_it_is_kept() {
    let mut disk = Disk::new();
    let mut proposals = open(&mut disk, 0);
    let slot = proposals.propose(proposal(at(1)), at(1)).unwrap();
    let mut said = 0;
    loop {
        let (outputs, keep) = drain(&mut proposals);
        let spoke = outputs.iter().filter(|output| matches!(output, Output::Say(_))).count();
        said += spoke;
        let Some((ticket, changes)) = keep else { break };
        if said == 0 {
            assert_eq!(spoke, 0, "not a word before the first write is safe");
        }
        proposals.kept(ticket + 1, true, at(2));
        assert_eq!(drain(&mut proposals), (vec![], None), "another's ticket opens nothing");
        make(&mut disk, changes);
        proposals.kept(ticket, true, at(2));
    }
    assert!(said > 0);
    assert!(proposals.ended(&slot).is_some(), "one voter decides alone");
    assert!(disk.contains_key(&format!("slot/{slot}")));

    let mut again = open(&mut disk, 10);
    let decided = |output: &Output| matches!(output, Output::Event(Event::Decided { slot: of, .. }) if *of == slot);
    assert!(drain(&mut again).0.iter().any(decided), "it is told once more after a restart");
}

#[test]
fn a_store_that_never_answers_has_failed_at_the_bound() {
    let mut disk = Disk::new();
    let mut proposals = open(&mut disk, 0);
    proposals.propose(proposal(at(1)), at(1)).unwrap();
    assert!(drain(&mut proposals).1.is_some());
    for _ in proposals.waiting.len()..=MAX_WAITING {
        let told = Message::EpochsAfter(0);
        proposals.waiting.push_back(council::Output::Tell(key(9).node(), Box::new(told)));
    }
    proposals.waiting.pop_back();
    proposals.settle(at(2));
    assert!(proposals.check().is_ok(), "at the bound");
    proposals.waiting.push_back(council::Output::Tell(key(9).node(), Box::new(Message::EpochsAfter(0))));
    proposals.settle(at(2));
    assert_eq!(proposals.check(), Err(Error::StoreFailed), "past it");
    assert!(proposals.waiting.is_empty());
}

#[test]
fn a_new_store_gets_a_key_once() {
    let mut disk = Disk::new();
    let (founding, changes) = restore(&charter_of(1), &disk, 5).unwrap();
    let voting = founding.voting.map(|key| key.node());
    assert_eq!(voting, Some(key(5).node()));
    assert_eq!(changes.len(), 4);
    // A process that dies in its first write has told nobody of a key.
    make(&mut disk, changes[..2].to_vec());
    assert_eq!(restore(&charter_of(1), &disk, 6).unwrap().0.voting.map(|key| key.node()), Some(key(6).node()));
    make(&mut disk, changes);
    let (founding, changes) = restore(&charter_of(1), &disk, 6).unwrap();
    assert_eq!((founding.voting.map(|key| key.node()), changes), (voting, vec![]));
}

#[test]
fn damage_anywhere_is_seen() {
    let mut disk = Disk::new();
    let mut proposals = open(&mut disk, 0);
    proposals.propose(proposal(at(1)), at(1)).unwrap();
    while let (_, Some((ticket, changes))) = drain(&mut proposals) {
        make(&mut disk, changes);
        proposals.kept(ticket, true, at(2));
    }
    let floors = Floors { epoch: 0, seqs: [(0, 7)].into() };
    make(&mut disk, founding::change(&Wanted::Forget(SlotId([3; 32]), floors)).unwrap());
    assert!(restore(&charter_of(1), &disk, 1).is_ok());
    for (name, value) in &disk {
        for place in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[place] ^= 1;
            let disk = Disk::from([(name.clone(), damaged.into())]).into_iter().chain(
                disk.iter().filter(|(other, _)| *other != name).map(|(name, value)| (name.clone(), value.clone())),
            );
            let error = Founding::restore(&charter_of(1), key(1).node(), disk, [1; 32]).unwrap_err();
            assert_eq!(error, RestoreError::from(Damaged(name.clone())));
        }
    }
    let mut moved = disk.clone();
    let slot = moved.keys().find(|key| key.starts_with("slot/")).cloned().unwrap();
    let value = moved.remove(&slot).unwrap();
    moved.insert(format!("slot/{}", SlotId([1; 32])), value);
    assert!(matches!(restore(&charter_of(1), &moved, 1), Err(RestoreError::Damaged(_))), "in another's place");
    let mut keyless = disk.clone();
    keyless.remove("voting-key");
    assert_eq!(restore(&charter_of(1), &keyless, 1).unwrap_err(), RestoreError::from(Damaged("voting-key".into())));
    assert!(matches!(restore(&charter_of(2), &disk, 1), Err(RestoreError::OtherMesh(_))));
    let other = Founding::restore(&charter_of(1), key(2).node(), disk.clone(), [1; 32]);
    assert!(matches!(other, Err(RestoreError::OtherNode(of)) if of == key(1).node()));
    let mut strange = disk;
    strange.insert("other".into(), Bytes::new());
    assert_eq!(restore(&charter_of(1), &strange, 1).unwrap_err(), RestoreError::from(Damaged("other".into())));
}

#[test]
fn what_one_node_tells_us_has_quotas() {
    let mut proposals = open(&mut Disk::new(), 0);
    let Config { told, questions, .. } = Config::default();
    let (asker, other) = (key(8).node(), key(9).node());
    let ask = |proposals: &mut Proposals, from| proposals.told(from, Message::EpochsAfter(7), at(1)).unwrap();
    assert!((0..questions.burst).all(|_| ask(&mut proposals, asker)), "at the bound");
    assert!(!ask(&mut proposals, asker), "past it");
    assert!(ask(&mut proposals, other), "another one has its own");
    let tell = |proposals: &mut Proposals| proposals.told(other, Message::Epochs(vec![]), at(1)).unwrap();
    assert!((1..told.burst).all(|_| tell(&mut proposals)), "its question counts too");
    assert!(!tell(&mut proposals));
}

#[test]
fn of_what_ended_the_last_is_remembered_whole() {
    let mut proposals = open(&mut Disk::new(), 0);
    let mut slots = Vec::new();
    for n in 0..=MAX_ENDED as u64 {
        let now = at(n * 100);
        slots.push(proposals.propose(proposal(now), now).unwrap());
        while let (_, Some((ticket, _))) = drain(&mut proposals) {
            proposals.kept(ticket, true, now);
        }
    }
    let whole = |slot| proposals.record(slot).unwrap().proposal.is_some();
    assert!(!whole(&slots[0]), "of the oldest only the certificate is left");
    assert!(slots[1..].iter().all(whole));
}
