//! What may be said about a slot, and all that must not pass for it. What signatures and hashes hold is in [`signed`].

use super::*;
use crate::codec::tests::{assert_bound, read_back};
use crate::limits::MAX_ENVELOPE;

mod signed;

const MESH: MeshId = MeshId([7; 32]);
const VALUE: Digest = Digest([4; 32]);

fn key(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn owned() -> Slot {
    Slot { mesh: MESH, epoch: 1, subject: Subject::Owned { author: NodeId([1; 32]), seq: 5 } }
}

fn resource(name: &str) -> Slot {
    Slot { mesh: MESH, epoch: 1, subject: Subject::Resource { name: name.into(), seq: 5 } }
}

fn proposal() -> Proposal {
    Proposal {
        kind: "task".into(),
        title: "Who trains?".into(),
        body: Bytes::from_static(b"ada"),
        window: 5_000,
        at: 1_700_000_000_000,
    }
}

fn claim() -> Claim {
    Claim { slot: resource("gpu"), holder: NodeId([1; 32]), length: 60_000 }
}

fn release() -> SignedRelease {
    SignedRelease { release: Release { slot: SlotId([3; 32]), holder: NodeId([1; 32]) }, signature: SIGNATURE }
}

fn propose(value: Value) -> Propose {
    Propose { slot: owned(), round: 2, value, pol_round: None, voter: 1 }
}

fn ballot(choice: Choice, reason: &str) -> Option<Ballot> {
    Some(Ballot { choice, reason: reason.into() })
}

/// A prevote of round 0 that approves.
fn prevote() -> Vote {
    Vote {
        slot: SlotId([3; 32]),
        round: 0,
        step: Step::Prevote,
        value: Some(VALUE),
        voter: 2,
        ballot: ballot(Choice::Approve, "fine"),
    }
}

fn rejection() -> Vote {
    Vote { value: None, ballot: ballot(Choice::Reject, "too late"), ..prevote() }
}

fn precommit() -> Vote {
    Vote { step: Step::Precommit, ballot: None, ..prevote() }
}

fn polka(voters: impl IntoIterator<Item = VoterIndex>, reason: &str) -> Polka {
    let vote = |voter| PolkaVote { voter, reason: reason.into(), signature: SIGNATURE };
    Polka { slot: SlotId([3; 32]), round: 0, value: VALUE, votes: voters.into_iter().map(vote).collect() }
}

fn certificate(voters: impl IntoIterator<Item = VoterIndex>) -> Certificate {
    let voters: VoterSet = voters.into_iter().collect();
    let signatures = ByteBuf::from(vec![9; 64 * voters.len()]);
    Certificate { slot: owned(), outcome: Outcome::Approved(VALUE), round: 0, voters, signatures }
}

fn status() -> Status {
    Status {
        slot: SlotId([3; 32]),
        round: 1,
        proposed: true,
        prevotes: [0, 2].into_iter().collect(),
        precommits: VoterSet::default(),
        polka: Some(0),
    }
}

/// Reading does not ask whose it is.
const SIGNATURE: ByteArray<64> = ByteArray::new([9; 64]);

fn unsigned(vote: Vote) -> SignedVote {
    SignedVote { vote, signature: SIGNATURE }
}

fn vote(vote: Vote) -> Message {
    Message::Vote(unsigned(vote))
}

fn proposes(propose: Propose) -> Message {
    Message::Propose(SignedPropose { propose, signature: SIGNATURE })
}

fn claims(claim: Claim) -> SignedClaim {
    SignedClaim { claim, signature: SIGNATURE }
}

fn evidence(a: Vote, b: Vote) -> Message {
    Message::Evidence(Evidence { a: unsigned(a), b: unsigned(b) })
}

/// One of each, with everything optional given and left out.
fn messages() -> Vec<Message> {
    let lease = Outcome::Granted { holder: NodeId([1; 32]), length: 60_000 };
    let granted = Certificate { slot: resource("gpu"), outcome: lease, ..certificate([0, 99]) };
    vec![
        proposes(propose(Value::Proposal(proposal()))),
        proposes(Propose { pol_round: Some(1), ..propose(Value::Proposal(proposal())) }),
        proposes(Propose { slot: resource("gpu"), ..propose(Value::Claim(claims(claim()))) }),
        proposes(propose(Value::Rejected(vec![unsigned(rejection())]))),
        proposes(propose(Value::Lapsed)),
        vote(prevote()),
        vote(Vote { ballot: ballot(Choice::Approve, ""), ..prevote() }),
        vote(rejection()),
        vote(Vote { ballot: ballot(Choice::Abstain, ""), ..rejection() }),
        vote(Vote { round: 1, ballot: None, ..prevote() }),
        vote(Vote { round: 1, ballot: None, value: None, ..prevote() }),
        vote(precommit()),
        vote(Vote { value: None, ..precommit() }),
        Message::Polka(polka([0, 1, 99], "fine")),
        Message::Polka(Polka { round: 1, ..polka([0, 1, 99], "") }),
        Message::Decision(certificate([0, 1, 99])),
        Message::Decision(Certificate { outcome: Outcome::Rejected, ..certificate([0]) }),
        Message::Decision(Certificate { outcome: Outcome::Lapsed, ..certificate([0]) }),
        Message::Decision(granted),
        Message::Claim(claims(claim())),
        evidence(Vote { value: None, ..precommit() }, precommit()),
        Message::Status(status()),
        Message::Status(Status { polka: None, ..status() }),
    ]
}

#[test]
fn what_is_said_is_read() {
    for message in messages() {
        assert_eq!(read_back(&message), Ok(message.clone()));
    }
}

#[test]
fn lengths_hold_at_the_limit_and_one_past() {
    let text = |len| "x".repeat(len);
    let says = |proposal| proposes(propose(Value::Proposal(proposal)));
    assert_bound("kind", 64, |len| says(Proposal { kind: text(len), ..proposal() }));
    assert_bound("title", 256, |len| says(Proposal { title: text(len), ..proposal() }));
    assert_bound("body", 32 * 1024, |len| says(Proposal { body: vec![0; len].into(), ..proposal() }));
    assert_bound("resource", 256, |len| proposes(Propose { slot: resource(&text(len)), ..propose(Value::Lapsed) }));
    let lapsed = |name: &str| Certificate { slot: resource(name), outcome: Outcome::Lapsed, ..certificate([0]) };
    assert_bound("resource", 256, |len| Message::Decision(lapsed(&text(len))));
    assert_bound("reason", 256, |len| vote(Vote { ballot: ballot(Choice::Approve, &text(len)), ..prevote() }));
    assert_bound("reason", 256, |len| vote(Vote { ballot: ballot(Choice::Abstain, &text(len)), ..rejection() }));
    assert_bound("reason", 256, |len| Message::Polka(polka([0, 1], &text(len))));
    let witness = |len| unsigned(Vote { ballot: ballot(Choice::Reject, &text(len)), ..rejection() });
    assert_bound("reason", 256, |len| proposes(propose(Value::Rejected(vec![witness(len)]))));
}

#[test]
fn numbers_of_voters_hold_at_the_limit_and_one_past() {
    assert_bound("votes", 100, |len| Message::Polka(polka(0..len as u8, "")));
    assert_bound("votes", 100, |len| proposes(propose(Value::Rejected(vec![unsigned(rejection()); len]))));
    assert_bound("voter", 99, |last| vote(Vote { voter: last as u8, ..prevote() }));
    assert_bound("voter", 99, |last| proposes(Propose { voter: last as u8, ..propose(Value::Lapsed) }));
    assert_bound("voter", 99, |last| Message::Polka(polka([0, last as u8], "")));
    assert_bound("voter", 99, |last| Message::Decision(certificate([0, last as u8])));
    let seen = |last| [0, last as u8].into_iter().collect();
    assert_bound("voter", 99, |last| Message::Status(Status { prevotes: seen(last), ..status() }));
    assert_bound("voter", 99, |last| Message::Status(Status { precommits: seen(last), ..status() }));
}

#[test]
fn rounds_hold_at_the_limit_and_one_past() {
    assert_bound("round", 0x03ff_ffff, |last| proposes(Propose { round: last as u32, ..propose(Value::Lapsed) }));
    assert_bound("round", 0x03ff_ffff, |last| vote(Vote { round: last as u32, ..precommit() }));
    assert_bound("round", 0x03ff_ffff, |last| vote(Vote { round: last as u32, ballot: None, ..prevote() }));
    assert_bound("round", 0x03ff_ffff, |last| Message::Polka(Polka { round: last as u32, ..polka([0], "") }));
    assert_bound("round", 0x03ff_ffff, |last| {
        Message::Decision(Certificate { round: last as u32, ..certificate([0]) })
    });
    assert_bound("round", 0x03ff_ffff, |last| Message::Status(Status { round: last as u32, ..status() }));
    assert_bound("round", 0x03ff_ffff, |last| Message::Status(Status { polka: Some(last as u32), ..status() }));
}

#[test]
fn times_hold_at_their_limits_and_one_past() {
    const DAY: usize = 86_400_000;
    let says = |window| proposes(propose(Value::Proposal(Proposal { window, ..proposal() })));
    assert_bound("window", DAY, |window| says(window as u64));
    assert_eq!(read_back(&says(500)), Ok(says(500)));
    refused_for("window: less than 500", &says(499));

    let lease = |length| Outcome::Granted { holder: NodeId([1; 32]), length };
    let granted =
        |length| Message::Decision(Certificate { slot: resource("gpu"), outcome: lease(length), ..certificate([0]) });
    let wants = |length| claims(Claim { length, ..claim() });
    let leases: [&dyn Fn(u64) -> Message; 3] =
        [&|length| Message::Claim(wants(length)), &|length| proposes(propose(Value::Claim(wants(length)))), &granted];
    for lease in leases {
        assert_bound("length", DAY, |length| lease(length as u64));
        assert_eq!(read_back(&lease(1)), Ok(lease(1)));
        refused_for("length: less than 1", &lease(0));
        let past = DecodeError::OutOfBounds { what: "length", max: DAY };
        assert_eq!(read_back(&lease(u64::MAX)), Err(past.clone()));
        assert_eq!(read_back(&lease(1 << 32 | 1)), Err(past), "not cut to 32 bits");
    }
}

/// `message` is malformed, as the beginning of the error says.
#[track_caller]
fn refused_for(why: &str, message: &Message) {
    match read_back(message) {
        Err(DecodeError::Malformed(error)) => assert!(error.starts_with(why), "{why}: {error}"),
        read => panic!("{why}: {read:?}"),
    }
}

#[test]
fn prevotes_of_round_0_carry_a_ballot_that_agrees_and_no_others_do() {
    let ballots =
        [None, ballot(Choice::Approve, ""), ballot(Choice::Reject, ""), ballot(Choice::Abstain, "no opinion in time")];
    for (round, step) in [(0, Step::Prevote), (1, Step::Prevote), (0, Step::Precommit), (1, Step::Precommit)] {
        for value in [None, Some(VALUE)] {
            for ballot in &ballots {
                let choice = ballot.as_ref().map(|ballot| ballot.choice);
                let agrees = match (round, step) {
                    (0, Step::Prevote) => choice.is_some_and(|choice| (choice == Choice::Approve) == value.is_some()),
                    _ => choice.is_none(),
                };
                let vote = vote(Vote { round, step, value, ballot: ballot.clone(), ..prevote() });
                match agrees {
                    true => assert_eq!(read_back(&vote), Ok(vote)),
                    false => refused_for("ballot: ", &vote),
                }
            }
        }
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let pol = |round, pol| proposes(Propose { round, pol_round: Some(pol), ..propose(Value::Lapsed) });
    let polkas = |voters: &[VoterIndex]| Message::Polka(polka(voters.iter().copied(), ""));
    let signatures =
        |len| Message::Decision(Certificate { signatures: vec![9; len].into(), ..certificate([0, 5, 99]) });
    let ends = |slot, outcome| Message::Decision(Certificate { slot, outcome, ..certificate([0]) });
    let lease = Outcome::Granted { holder: NodeId([1; 32]), length: 1 };
    let wrong = vec![
        ("pol_round: ", pol(0, 0)),
        ("pol_round: ", pol(2, 2)),
        ("pol_round: ", pol(2, 3)),
        ("pol_round: ", pol(2, u32::MAX)),
        (
            "ballot: ",
            proposes(propose(Value::Rejected(vec![unsigned(rejection()), unsigned(Vote { round: 1, ..rejection() })]))),
        ),
        ("votes: ", polkas(&[1, 0])),
        ("votes: ", polkas(&[0, 1, 1])),
        ("votes: ", polkas(&[0, 2, 1, 3])),
        ("reason: ", Message::Polka(Polka { round: 1, ..polka([0, 1], "fine") })),
        ("signatures: ", signatures(0)),
        ("signatures: ", signatures(2 * 64)),
        ("signatures: ", signatures(3 * 64 - 1)),
        ("signatures: ", signatures(3 * 64 + 1)),
        ("signatures: ", signatures(4 * 64)),
        ("outcome: ", ends(owned(), lease)),
        ("outcome: ", ends(resource("gpu"), Outcome::Approved(VALUE))),
        ("ballot: ", evidence(Vote { value: None, ..prevote() }, prevote())),
        ("ballot: ", evidence(rejection(), Vote { ballot: None, ..prevote() })),
    ];
    for (why, message) in &wrong {
        refused_for(why, message);
    }
    for outcome in [Outcome::Rejected, Outcome::Lapsed] {
        for slot in [owned(), resource("gpu")] {
            let end = ends(slot, outcome);
            assert_eq!(read_back(&end), Ok(end), "either kind of slot can end like this");
        }
    }
}

#[test]
fn evidence_is_of_two_values_and_has_one_order() {
    let other = || Vote { value: Some(Digest([5; 32])), ..precommit() };
    let nothing = || Vote { value: None, ..precommit() };
    for (lesser, greater) in [(precommit(), other()), (nothing(), precommit()), (rejection(), prevote())] {
        let (a, b) = (unsigned(lesser.clone()), unsigned(greater.clone()));
        let proof = Evidence { a: a.clone(), b: b.clone() };
        assert_eq!(Evidence::new(a.clone(), b.clone()), Some(proof.clone()));
        assert_eq!(Evidence::new(b, a), Some(proof.clone()), "whichever was heard first");
        assert_eq!(read_back(&Message::Evidence(proof.clone())), Ok(Message::Evidence(proof)));
        refused_for("evidence: ", &evidence(greater, lesser));
    }
    let resigned = SignedVote { signature: ByteArray::new([8; 64]), ..unsigned(precommit()) };
    assert_eq!(Evidence::new(unsigned(precommit()), resigned), None, "two signatures of one vote");
    let innocent = [
        ("the same twice", precommit(), precommit()),
        ("two reasons", prevote(), Vote { ballot: ballot(Choice::Approve, "very fine"), ..prevote() }),
        ("two ways not to approve", rejection(), Vote { ballot: ballot(Choice::Abstain, ""), ..rejection() }),
        ("in two slots", precommit(), Vote { slot: SlotId([4; 32]), ..other() }),
        ("in two rounds", precommit(), Vote { round: 1, ..other() }),
        ("in two steps", Vote { round: 1, ballot: None, ..prevote() }, Vote { round: 1, ..other() }),
        ("of two voters", precommit(), Vote { voter: 3, ..other() }),
    ];
    for (what, one, another) in innocent {
        assert_eq!(Evidence::new(unsigned(one.clone()), unsigned(another.clone())), None, "{what}");
        assert_eq!(Evidence::new(unsigned(another.clone()), unsigned(one.clone())), None, "{what}");
        refused_for("evidence: ", &evidence(one.clone(), another.clone()));
        refused_for("evidence: ", &evidence(another, one));
    }
}

#[test]
fn sets_of_voters_are_bits_up_to_127() {
    let mut set = VoterSet::default();
    assert!(set.is_empty());
    assert!(set.insert(127) && set.insert(0) && set.insert(64));
    assert!(!set.insert(127), "it is there already");
    for nobody in [128, 129, 255] {
        assert!(!set.insert(nobody) && !set.contains(nobody), "{nobody}");
    }
    assert!(set.contains(127) && set.contains(0) && !set.contains(1) && !set.contains(126));
    assert_eq!((set.len(), set.is_empty()), (3, false));
    assert_eq!(set.iter().collect::<Vec<_>>(), [0, 64, 127]);
    assert_eq!(set, [127, 255, 64, 0, 0].into_iter().collect());

    let bytes = codec::encode(&set, 100).unwrap();
    let expected = [&[0x50, 0x80, 0, 0, 0, 0, 0, 0, 1][..], &[0, 0, 0, 0, 0, 0, 0, 1]].concat();
    assert_eq!(bytes, expected, "16 bytes, the first voter in the last bit");
    for len in [0, 15, 17] {
        let bytes = codec::encode(&ByteBuf::from(vec![0; len]), 100).unwrap();
        assert!(serde_ipld_dagcbor::from_slice::<VoterSet>(&bytes).is_err(), "{len} bytes");
    }
}

/// The largest of each kind that is read at all.
fn largest() -> Vec<(usize, Message)> {
    let reason = "x".repeat(MAX_REASON);
    let slot =
        Slot { epoch: u64::MAX, subject: Subject::Resource { name: "x".repeat(MAX_TITLE), seq: u64::MAX }, ..owned() };
    let says = |value| {
        proposes(Propose { slot: slot.clone(), round: MAX_ROUND, value, pol_round: Some(MAX_ROUND - 1), voter: 99 })
    };
    // It takes a traitor to have approvals among the witnesses of a rejection, but then nothing is longer.
    let approval = unsigned(Vote { voter: 99, ballot: ballot(Choice::Approve, &reason), ..prevote() });
    let no = unsigned(Vote { voter: 99, ballot: ballot(Choice::Reject, &reason), ..rejection() });
    let lease = Outcome::Granted { holder: NodeId([1; 32]), length: MAX_LEASE_MS };
    let body = Proposal {
        kind: "x".repeat(MAX_LABEL),
        title: "x".repeat(MAX_TITLE),
        body: vec![0; MAX_PROPOSAL_BODY].into(),
        window: MAX_WINDOW_MS,
        at: u64::MAX,
    };
    let all = VoterSet::from_iter(0..100);
    vec![
        (48_403, says(Value::Rejected(vec![approval.clone(); MAX_VOTERS]))),
        (44_303, says(Value::Rejected(vec![no.clone(); MAX_VOTERS]))),
        (35_178, Message::Polka(polka(0..100, &reason))),
        (33_638, says(Value::Proposal(body))),
        (720, says(Value::Claim(claims(Claim { length: MAX_LEASE_MS, ..claim() })))),
        (
            6_887,
            Message::Decision(Certificate {
                slot: slot.clone(),
                outcome: lease,
                round: MAX_ROUND,
                ..certificate(0..100)
            }),
        ),
        (932, Message::Evidence(Evidence { a: no, b: approval.clone() })),
        (485, Message::Vote(approval)),
        (229, Message::Claim(claims(Claim { length: MAX_LEASE_MS, ..claim() }))),
        (
            134,
            Message::Status(Status {
                round: MAX_ROUND,
                polka: Some(MAX_ROUND),
                prevotes: all,
                precommits: all,
                ..status()
            }),
        ),
    ]
}

#[test]
fn the_largest_of_each_kind_has_room() {
    let mut lengths = Vec::new();
    for (_, message) in largest() {
        let bytes = codec::encode(&message, MAX_DECISION).unwrap();
        assert_eq!(codec::decode(&bytes, MAX_DECISION), Ok(message));
        lengths.push(bytes.len());
    }
    let expected: Vec<_> = largest().into_iter().map(|(len, _)| len).collect();
    assert_eq!(lengths, expected);
    const { assert!(MAX_DECISION + 1024 <= MAX_ENVELOPE, "and an envelope has room for that") };
}

#[test]
fn sizes_hold_at_the_limit_and_one_past() {
    let past = vec![0xff; MAX_DECISION + 1];
    let too_long = DecodeError::TooLong { len: 61_441, max: 61_440 };
    assert_eq!(codec::decode::<Message>(&past, MAX_DECISION), Err(too_long));
    let read = codec::decode::<Message>(&past[1..], MAX_DECISION);
    assert!(matches!(read, Err(DecodeError::Malformed(_))), "it was looked at");

    // What is signed and hashed has the same limit, whatever was checked before.
    let body = |len| Proposal { body: vec![0; len].into(), ..proposal() };
    let around = codec::encode(&body(60_000), MAX_DECISION).unwrap().len() - 60_000;
    assert!(body(MAX_DECISION - around).digest().is_ok());
    let error = EncodeError::TooLong { len: 61_441, max: 61_440 };
    assert_eq!(body(MAX_DECISION - around + 1).digest(), Err(error.clone()));
    let value = Value::Proposal(body(MAX_DECISION - around + 1));
    assert_eq!(value.outcome(), Err(error));
    assert!(propose(value).sign(&key(1)).is_err());
    assert!(resource(&"x".repeat(MAX_DECISION)).id().is_err());
}

#[test]
fn nothing_is_cut_off_or_added() {
    for message in messages() {
        let bytes = codec::encode(&message, MAX_DECISION).unwrap();
        let malformed =
            |bytes: &[u8]| matches!(codec::decode::<Message>(bytes, MAX_DECISION), Err(DecodeError::Malformed(_)));
        assert!((0..bytes.len()).all(|len| malformed(&bytes[..len])), "cut off: {message:?}");
        assert!(malformed(&[&bytes[..], &[0]].concat()), "a byte behind {message:?}");
        let mut maps = Vec::new();
        assert_eq!(find_maps(&bytes, 0, &mut maps), bytes.len());
        assert!(maps.len() >= 2, "{message:?}");
        for (start, end) in maps {
            let mut more = [&bytes[..end], b"\x78\x18an unknown field of ours\x00", &bytes[end..]].concat();
            more[start] += 1;
            assert!(malformed(&more), "a field more at {start} in {message:?}");
        }
    }
}

/// Where the maps begin and end in the item at `at`; returns where that ends.
fn find_maps(bytes: &[u8], at: usize, maps: &mut Vec<(usize, usize)>) -> usize {
    let (major, size) = (bytes[at] >> 5, usize::from(bytes[at] & 31));
    let (argument, mut end) = match size {
        0..24 => (size, at + 1),
        _ => {
            let end = at + 1 + (1 << (size - 24));
            (bytes[at + 1..end].iter().fold(0, |number, byte| number << 8 | usize::from(*byte)), end)
        }
    };
    let items = match major {
        2 | 3 => return end + argument,
        4 => argument,
        5 => 2 * argument,
        _ => 0,
    };
    for _ in 0..items {
        end = find_maps(bytes, end, maps);
    }
    if major == 5 {
        maps.push((at, end));
    }
    end
}

#[test]
fn a_record_has_so_many_epochs() {
    use crate::charter::{EpochRecord, VERSION};
    let charter =
        Charter { v: VERSION, name: "lab".into(), founders: vec![], threshold: 0, voters: vec![], open: true };
    let mesh = charter.mesh().unwrap();
    let epoch = EpochRecord { v: VERSION, mesh, epoch: 1, previous: Digest(mesh.0), voters: vec![] };
    let epoch = SignedEpoch { record: epoch, signatures: vec![] };
    let record = |epochs: Vec<SignedEpoch>| Record {
        charter: charter.clone(),
        epochs,
        certificate: certificate(0..4),
        proposal: Some(proposal()),
    };
    assert_bound("epochs", MAX_RECORD_EPOCHS, |len| record(vec![epoch.clone(); len]));
    let wrong = Record { proposal: Some(Proposal { window: 1, ..proposal() }), ..record(vec![]) };
    assert!(read_back(&wrong).is_err(), "its parts are checked too");
}
