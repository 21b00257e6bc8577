//! The values that `decisions.json` encodes: a mesh of four voters, what they say about a proposal and a resource, and the
//! keys that sign it.

use bytes::Bytes;
use mesh_proto::charter::{self, Charter, EpochRecord, SignedEpoch, Voter};
use mesh_proto::decision::{
    Ballot, Certificate, Choice, Claim, Evidence, Message, Outcome, Polka, PolkaVote, Proposal, Propose, Record,
    Release, SignedVote, Slot, Status, Step, Subject, Value, Vote, VoterIndex, VoterSet,
};
use mesh_proto::{Digest, Keypair, NodeId};

fn sorted(seeds: impl Iterator<Item = u8>) -> Vec<Keypair> {
    let mut keys: Vec<_> = seeds.map(|seed| Keypair::from_seed(&[seed; 32])).collect();
    keys.sort_by_key(Keypair::node);
    keys
}

/// In ascending order: of seeds of 32 bytes 0xf1, 0xf2 and 0xf3.
pub(crate) fn founders() -> Vec<Keypair> {
    sorted(0xf1..=0xf3)
}

/// The nodes of the voters, in ascending order: of seeds of 32 bytes 0x01 to 0x04.
pub(crate) fn nodes() -> Vec<Keypair> {
    sorted(1..=4)
}

/// The keys that sign votes, by place: seeds of 32 bytes 0x11 to 0x14.
pub(crate) fn key(voter: VoterIndex) -> Keypair {
    Keypair::from_seed(&[0x11 + voter; 32])
}

pub(crate) fn node(voter: VoterIndex) -> NodeId {
    nodes()[usize::from(voter)].node()
}

fn voters() -> Vec<Voter> {
    (0..4).map(|voter| Voter { node: node(voter), key: key(voter).node() }).collect()
}

pub(crate) fn charter() -> Charter {
    Charter {
        v: charter::VERSION,
        name: "playground".into(),
        founders: founders().iter().map(Keypair::node).collect(),
        threshold: 2,
        voters: voters(),
        open: true,
    }
}

/// Epoch 1: voter 2 has lost its key and has got another one.
pub(crate) fn epoch() -> SignedEpoch {
    let mesh = charter().mesh().unwrap();
    let mut voters = voters();
    voters[2].key = Keypair::from_seed(&[0x23; 32]).node();
    let record = EpochRecord { v: charter::VERSION, mesh, epoch: 1, previous: Digest(mesh.0), voters };
    let signatures = [0, 2].map(|founder| record.sign(&founders()[founder]).unwrap());
    SignedEpoch { record, signatures: signatures.into() }
}

pub(crate) fn owned() -> Slot {
    let subject = Subject::Owned { author: node(1), seq: 1_700_000_000_000_001 };
    Slot { mesh: charter().mesh().unwrap(), epoch: 0, subject }
}

pub(crate) fn resource() -> Slot {
    Slot { epoch: 1, subject: Subject::Resource { name: "gpu/0".into(), seq: 7 }, ..owned() }
}

pub(crate) fn proposal() -> Proposal {
    Proposal {
        kind: "task-assignment".into(),
        title: "Ada trains, Grace évalue ✓".into(),
        body: Bytes::from_static(b"\xa1\x64task\x01"),
        window: 5_000,
        at: 1_700_000_000_000,
    }
}

/// By name: what can become of which slot.
pub(crate) fn outcomes() -> Vec<(&'static str, Slot, Outcome)> {
    let approved = Outcome::Approved(proposal().digest().unwrap());
    let granted = Outcome::Granted { holder: node(3), length: 60_000 };
    vec![
        ("approved", owned(), approved),
        ("rejected", owned(), Outcome::Rejected),
        ("lapsed", owned(), Outcome::Lapsed),
        ("granted", resource(), granted),
        ("the resource lapsed", resource(), Outcome::Lapsed),
    ]
}

pub(crate) fn claim() -> Claim {
    Claim { slot: resource(), holder: node(3), length: 60_000 }
}

/// A prevote of round 0 for the proposal, or for nothing.
pub(crate) fn prevote(voter: VoterIndex, choice: Choice, reason: &str) -> Vote {
    let slot = owned().id().unwrap();
    let approved = Outcome::Approved(proposal().digest().unwrap()).digest(&slot);
    let value = (choice == Choice::Approve).then_some(approved);
    Vote { slot, round: 0, step: Step::Prevote, value, voter, ballot: Some(Ballot { choice, reason: reason.into() }) }
}

pub(crate) fn precommit(voter: VoterIndex) -> Vote {
    Vote { step: Step::Precommit, ballot: None, ..prevote(voter, Choice::Approve, "") }
}

pub(crate) fn cast(vote: Vote) -> SignedVote {
    let key = key(vote.voter);
    vote.sign(&key).unwrap()
}

pub(crate) fn propose(value: Value) -> Propose {
    Propose { slot: owned(), round: 0, value, pol_round: None, voter: 1 }
}

/// Of the voters 0, 1 and 3; in round 0 the first has given a reason.
pub(crate) fn polka(round: u32) -> Polka {
    let votes = [(0, "she has the data"), (1, ""), (3, "")].map(|(voter, reason)| {
        let first = prevote(voter, Choice::Approve, reason);
        let (ballot, reason) = if round == 0 { (first.ballot.clone(), reason) } else { (None, "") };
        PolkaVote { voter, reason: reason.into(), signature: cast(Vote { round, ballot, ..first }).signature }
    });
    let Vote { slot, value, .. } = precommit(0);
    Polka { slot, round, value: value.unwrap(), votes: votes.into() }
}

/// By the voters 0, 1 and 3.
pub(crate) fn certificate() -> Certificate {
    let votes = [0, 1, 3].map(|voter| cast(precommit(voter)));
    Certificate {
        slot: owned(),
        outcome: Outcome::Approved(proposal().digest().unwrap()),
        round: 0,
        voters: votes.iter().map(|signed| signed.vote.voter).collect(),
        signatures: votes.iter().flat_map(|signed| signed.signature.into_array()).collect::<Vec<_>>().into(),
    }
}

pub(crate) fn record() -> Record {
    let (certificate, proposal) = (certificate(), Some(proposal()));
    Record { charter: charter(), epochs: vec![epoch()], certificate, proposal }
}

/// A decision of a hundred voters, by as many as have to sign it.
pub(crate) fn large_record() -> Record {
    let seed =
        |voter: u8, part: u8| Keypair::from_seed(&[&[voter, part][..], &[0x77; 30]].concat().try_into().unwrap());
    let mut keys: Vec<_> = (0..100).map(|voter| (seed(voter, 0), seed(voter, 1))).collect();
    keys.sort_by_key(|(identity, _)| identity.node());
    let voters = keys.iter().map(|(identity, key)| Voter { node: identity.node(), key: key.node() }).collect();
    let charter = Charter { voters, ..charter() };
    let subject = Subject::Owned { author: keys[7].0.node(), seq: 1_700_000_000_000_001 };
    let slot = Slot { mesh: charter.mesh().unwrap(), epoch: 0, subject };
    let outcome = Outcome::Approved(proposal().digest().unwrap());
    let (id, round) = (slot.id().unwrap(), 0);
    let precommit = |voter: u8| {
        let value = Some(outcome.digest(&id));
        let vote = Vote { slot: id, round, step: Step::Precommit, value, voter, ballot: None };
        vote.sign(&keys[usize::from(voter)].1).unwrap()
    };
    let votes: Vec<_> = (33..100).map(precommit).collect();
    let certificate = Certificate {
        slot,
        outcome,
        round,
        voters: votes.iter().map(|signed| signed.vote.voter).collect(),
        signatures: votes.iter().flat_map(|signed| signed.signature.into_array()).collect::<Vec<_>>().into(),
    };
    Record { charter, epochs: vec![], certificate, proposal: Some(proposal()) }
}

pub(crate) fn evidence() -> Evidence {
    Evidence::new(cast(precommit(2)), cast(Vote { value: None, ..precommit(2) })).unwrap()
}

pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let says = |propose: Propose| {
        let key = key(propose.voter);
        Message::Propose(propose.sign(&key).unwrap())
    };
    let vote = |vote: Vote| Message::Vote(cast(vote));
    let claim = || claim().sign(&nodes()[3]).unwrap();
    let release = Release { slot: resource().id().unwrap(), holder: node(3) };
    let again = Propose { round: 3, pol_round: Some(1), voter: 0, ..propose(Value::Proposal(proposal())) };
    let wanted = Propose { slot: resource(), voter: 0, ..propose(Value::Claim(claim())) };
    let no = |voter| prevote(voter, Choice::Reject, "too late");
    let rejected =
        Propose { round: 1, voter: 3, ..propose(Value::Rejected([2, 3].map(|voter| cast(no(voter))).into())) };
    let status = Status {
        slot: owned().id().unwrap(),
        round: 2,
        proposed: true,
        prevotes: VoterSet::from_iter([0, 1, 3]),
        precommits: VoterSet::default(),
        polka: Some(1),
    };
    vec![
        ("propose", says(propose(Value::Proposal(proposal())))),
        ("propose again, after a polka", says(again)),
        ("propose a claim", says(wanted)),
        ("propose to reject", says(rejected)),
        ("propose that it has lapsed", says(Propose { round: u32::MAX >> 6, ..propose(Value::Lapsed) })),
        ("prevote that approves", vote(prevote(0, Choice::Approve, "she has the data"))),
        ("prevote that rejects", vote(no(2))),
        ("prevote that abstains", vote(prevote(3, Choice::Abstain, ""))),
        ("prevote of a later round", vote(Vote { round: 1, ballot: None, ..prevote(1, Choice::Approve, "") })),
        ("precommit", vote(precommit(1))),
        ("precommit for nothing", vote(Vote { value: None, ..precommit(2) })),
        ("polka with a reason", Message::Polka(polka(0))),
        ("polka of a later round", Message::Polka(polka(1))),
        ("decision", Message::Decision(certificate())),
        ("claim", Message::Claim(claim())),
        ("release", Message::Release(release.sign(&nodes()[3]).unwrap())),
        ("evidence", Message::Evidence(evidence())),
        ("status", Message::Status(status.clone())),
        ("status without a polka", Message::Status(Status { proposed: false, polka: None, ..status })),
        ("electorates", Message::Epochs(vec![epoch()])),
        ("no electorates", Message::Epochs(vec![])),
        ("question for electorates", Message::EpochsAfter(7)),
        ("question for other slots", Message::Others(vec![owned().id().unwrap()])),
    ]
}
