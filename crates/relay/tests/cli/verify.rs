//! `mesh-relay verify`: a file that proves a decision, and files that do not.

use mesh_proto::charter::{Charter, EpochRecord, SignedEpoch, Voter};
use mesh_proto::decision::{Certificate, Outcome, Proposal, Record, Slot, Step, Subject, Vote, VoterIndex};
use mesh_proto::limits::MAX_RECORD;
use mesh_proto::{Digest, Keypair, codec};
use serde_json::Value;

use crate::common::{Scratch, failure, run};

fn keys() -> Vec<Keypair> {
    let mut keys: Vec<_> = (1..=4).map(|seed| Keypair::from_seed(&[seed; 32])).collect();
    keys.sort_by_key(Keypair::node);
    keys
}

fn charter() -> Charter {
    let voters = keys().iter().map(|key| Voter { node: key.node(), key: key.node() }).collect();
    Charter { v: 1, name: "lab".into(), founders: vec![keys()[0].node()], threshold: 1, voters, open: false }
}

fn proposal() -> Proposal {
    Proposal {
        kind: "task".into(),
        title: "Ada trains\nOutcome   rejected".into(),
        body: "".into(),
        window: 5_000,
        at: 0,
    }
}

/// What three of four voters of epoch 1 have approved.
fn record() -> Record {
    let (charter, keys) = (charter(), keys());
    let mesh = charter.mesh().expect("a small charter");
    let epoch = EpochRecord { v: 1, mesh, epoch: 1, previous: Digest(mesh.0), voters: charter.voters.clone() };
    let signatures = vec![epoch.sign(&keys[0]).expect("a small record")];
    let slot = Slot { mesh, epoch: 1, subject: Subject::Owned { author: keys[1].node(), seq: 7 } };
    let id = slot.id().expect("a small slot");
    let outcome = Outcome::Approved(proposal().digest().expect("a small proposal"));
    let sign = |voter: VoterIndex| {
        let value = Some(outcome.digest(&id));
        let vote = Vote { slot: id, round: 0, step: Step::Precommit, value, voter, ballot: None };
        vote.sign(&keys[usize::from(voter)]).expect("a small vote").signature.into_array()
    };
    let certificate = Certificate {
        slot,
        outcome,
        round: 0,
        voters: [0, 1, 3].into_iter().collect(),
        signatures: [0, 1, 3].into_iter().flat_map(sign).collect::<Vec<_>>().into(),
    };
    Record { charter, epochs: vec![SignedEpoch { record: epoch, signatures }], certificate, proposal: Some(proposal()) }
}

fn file(scratch: &Scratch, record: &Record) -> String {
    let path = scratch.path("decision.cbor");
    std::fs::write(&path, codec::encode(record, MAX_RECORD).expect("a small file")).expect("a scratch file");
    path
}

#[test]
fn a_decision_is_told_with_its_signers_and_its_mesh() {
    let scratch = Scratch::new("verify");
    let path = file(&scratch, &record());
    let output = run(&["verify", &path]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mesh = charter().mesh().expect("a small charter").to_string();
    for line in
        ["Outcome   approved", "Signed by 3 of 4 voters, in round 0", "Epoch     1", &format!("Mesh      lab {mesh}")]
    {
        assert!(text.lines().any(|of| of.starts_with(line)), "{line:?} in {text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("Outcome")).count(), 1, "a title forges no line: {text}");

    let output = run(&["verify", &path, "--mesh-id", &mesh, "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["outcome"]["is"], &told["signers"], &told["voters"]), (&"approved".into(), &3.into(), &4.into()));
    assert_eq!((&told["mesh"], &told["slot"]["seq"]), (&mesh.into(), &7.into()));
}

#[test]
fn what_does_not_hold_is_said_in_one_sentence() {
    let scratch = Scratch::new("verify-not");
    type Change = fn(&mut Record);
    let cases: [(Change, &str); 6] = [
        (|of| of.certificate.round = 1, "forged signature of voter 0"),
        (|of| of.certificate.outcome = Outcome::Rejected, "forged signature of voter 0"),
        (|of| of.certificate.signatures[70] ^= 1, "forged signature of voter 1"),
        (|of| of.epochs.clear(), "epoch 1 is not in the chain"),
        (|of| of.epochs[0].signatures.clear(), "has 0 signatures of founders, 1 are needed"),
        (
            |of| of.proposal = Some(Proposal { title: "Bob trains".into(), ..proposal() }),
            "not the one that was approved",
        ),
    ];
    for (change, expected) in cases {
        let mut record = record();
        change(&mut record);
        let error = failure(&["verify", &file(&scratch, &record)]);
        assert!(error.contains(expected), "{expected:?} in {error:?}");
    }
    let path = file(&scratch, &record());
    let error = failure(&["verify", &path, "--mesh-id", &"ab".repeat(32)]);
    assert!(error.contains("not of abab"), "{error}");
    let error = failure(&["verify", &scratch.file("text", "no decision")]);
    assert!(error.contains("not a file with a decision"), "{error}");
    assert!(failure(&["verify", &scratch.path("none")]).contains("none: "));
    assert_eq!(run(&["verify", &path, "--mesh-id", "abc"]).status.code(), Some(2));
    assert_eq!(run(&["verify"]).status.code(), Some(2));
}
