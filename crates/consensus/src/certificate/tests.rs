//! Certificates that hold, and everything that must not pass for one. See also [`epochs`] and [`prevotes`].

use mesh_proto::charter::Voter;
use mesh_proto::codec;
use mesh_proto::decision::{Message, Outcome, Slot, Subject, Vote, VoterIndex};
use mesh_proto::envelope::Strict;
use mesh_proto::limits::MAX_DECISION;
use mesh_proto::{DecodeError, Keypair};

use super::*;

mod epochs;
mod prevotes;

const APPROVED: Outcome = Outcome::Approved(Digest([4; 32]));

/// The key of a voter, another one in each epoch.
fn key(epoch: u8, place: VoterIndex) -> Keypair {
    let mut seed = [epoch; 32];
    seed[0] = place;
    Keypair::from_seed(&seed)
}

/// `n` voters of an epoch: the same nodes in each.
fn voters(epoch: u8, n: u8) -> Vec<Voter> {
    (0..n).map(|place| Voter { node: NodeId([place + 1; 32]), key: key(epoch, place).node() }).collect()
}

/// Three founders, in ascending order.
fn founders() -> Vec<Keypair> {
    let mut founders: Vec<_> = (0..3).map(|n| key(200, n)).collect();
    founders.sort_by_key(Keypair::node);
    founders
}

/// Of `n` voters; two of three founders may change them.
fn charter(n: u8) -> Charter {
    let founders = founders().iter().map(Keypair::node).collect();
    Charter { v: 1, name: "lab".into(), founders, threshold: 2, voters: voters(0, n), open: true }
}

fn chain(n: u8) -> Chain {
    Chain::new(&charter(n)).unwrap()
}

fn slot(chain: &Chain, epoch: u64) -> Slot {
    Slot { mesh: chain.mesh(), epoch, subject: Subject::Owned { author: NodeId([1; 32]), seq: 5 } }
}

fn resource(chain: &Chain, epoch: u64) -> Slot {
    Slot { subject: Subject::Resource { name: "gpu".into(), seq: 5 }, ..slot(chain, epoch) }
}

/// Signed by these voters with their keys of `epoch`.
fn certify_by(
    epoch: u8,
    slot: &Slot,
    outcome: Outcome,
    round: u32,
    signers: impl IntoIterator<Item = VoterIndex>,
) -> Certificate {
    let id = slot.id().unwrap();
    let value = Some(outcome.digest(&id));
    let voters: VoterSet = signers.into_iter().collect();
    let sign = |voter| {
        let vote = Vote { slot: id, round, step: Step::Precommit, value, voter, ballot: None };
        vote.sign(&key(epoch, voter)).unwrap().signature.into_array()
    };
    let signatures = voters.iter().flat_map(sign).collect::<Vec<_>>().into();
    Certificate { slot: slot.clone(), outcome, round, voters, signatures }
}

fn certify(slot: &Slot, signers: impl IntoIterator<Item = VoterIndex>) -> Certificate {
    certify_by(slot.epoch as u8, slot, APPROVED, 2, signers)
}

fn holds(chain: &Chain, certificate: &Certificate) -> Result<(), VerifyError> {
    verify(chain, certificate, &Strict)
}

/// All sets of `len` of `n` voters.
fn subsets(n: u8, len: usize) -> impl Iterator<Item = Vec<VoterIndex>> {
    let sets = (0_u32..1 << n).filter(move |set| set.count_ones() as usize == len);
    sets.map(move |set| (0..n).filter(|voter| set >> voter & 1 == 1).collect())
}

#[test]
fn a_certificate_of_a_quorum_holds_for_anybody_with_the_charter() {
    for n in [1, 4, 7, 100] {
        let chain = chain(n);
        let quorum = Electorate::new(voters(0, n)).threshold().quorum as u8;
        let slot = slot(&chain, 0);
        for signers in [0..quorum, n - quorum..n, 0..n] {
            let certificate = certify(&slot, signers.clone());
            let bytes = codec::encode(&Message::Decision(certificate.clone()), MAX_DECISION).unwrap();
            assert_eq!(codec::decode(&bytes, MAX_DECISION), Ok(Message::Decision(certificate.clone())));
            assert_eq!(holds(&chain, &certificate), Ok(()), "{signers:?} of {n}");
        }
        let one_less = VerifyError::NoQuorum { signed: quorum as usize - 1, of: n.into(), needed: quorum.into() };
        assert_eq!(holds(&chain, &certify(&slot, 0..quorum - 1)), Err(one_less), "of {n}");
    }
}

#[test]
fn every_outcome_and_round_can_be_certified() {
    let chain = chain(4);
    let granted = Outcome::Granted { holder: NodeId([1; 32]), length: 60_000 };
    let (owned, resource) = (slot(&chain, 0), resource(&chain, 0));
    let ends = [(&owned, APPROVED), (&resource, granted)];
    let both = [Outcome::Rejected, Outcome::Lapsed].map(|outcome| [(&owned, outcome), (&resource, outcome)]);
    for (slot, outcome) in ends.into_iter().chain(both.into_iter().flatten()) {
        for round in [0, 1, 1_000] {
            assert_eq!(holds(&chain, &certify_by(0, slot, outcome, round, [0, 1, 3])), Ok(()), "{outcome:?} {round}");
        }
    }
}

#[test]
fn every_quorum_is_one_and_nothing_less() {
    for (n, quorum) in [(4, 3), (7, 5)] {
        let chain = chain(n);
        let slot = slot(&chain, 0);
        for len in 0..=n.into() {
            for signers in subsets(n, len) {
                let expected = match len >= quorum {
                    true => Ok(()),
                    false => Err(VerifyError::NoQuorum { signed: len, of: n.into(), needed: quorum }),
                };
                assert_eq!(holds(&chain, &certify(&slot, signers.clone())), expected, "{signers:?} of {n}");
            }
        }
    }
}

#[test]
fn signers_have_no_order_and_count_once() {
    let chain = chain(4);
    let slot = slot(&chain, 0);
    let certificate = certify(&slot, [0, 1, 3]);
    for signers in [[0, 3, 1], [1, 0, 3], [1, 3, 0], [3, 0, 1], [3, 1, 0]] {
        assert_eq!(certify(&slot, signers), certificate, "{signers:?}");
    }
    let twice = certify(&slot, [0, 0, 1, 1]);
    assert_eq!(twice, certify(&slot, [0, 1]), "there is no way to say it");
    assert_eq!(holds(&chain, &twice), Err(VerifyError::NoQuorum { signed: 2, of: 4, needed: 3 }));
}

/// Why a certificate of voters 0, 2, 3, 5 and 6 of 7 does not hold after a change.
#[track_caller]
fn tampered(what: &str, change: impl FnOnce(&mut Certificate)) -> VerifyError {
    let chain = chain(7);
    let mut certificate = certify(&slot(&chain, 0), [0, 2, 3, 5, 6]);
    assert_eq!(holds(&chain, &certificate), Ok(()));
    change(&mut certificate);
    holds(&chain, &certificate).expect_err(what)
}

#[test]
fn a_certificate_holds_for_its_slot_outcome_and_round_only() {
    use VerifyError::{Forged, OtherMesh, UnknownEpoch};
    type Change = fn(&mut Certificate);
    let author = |author, seq| Subject::Owned { author: NodeId([author; 32]), seq };
    let cases: [(&str, Change, VerifyError); 10] = [
        ("another mesh", |of| of.slot.mesh = MeshId([7; 32]), OtherMesh(MeshId([7; 32]))),
        ("a later epoch", |of| of.slot.epoch = 1, UnknownEpoch { epoch: 1, last: 0 }),
        ("the last epoch", |of| of.slot.epoch = u64::MAX, UnknownEpoch { epoch: u64::MAX, last: 0 }),
        ("another proposal", |of| of.outcome = Outcome::Approved(Digest([5; 32])), Forged(0)),
        ("rejected", |of| of.outcome = Outcome::Rejected, Forged(0)),
        ("lapsed", |of| of.outcome = Outcome::Lapsed, Forged(0)),
        ("the round before", |of| of.round = 1, Forged(0)),
        ("the round after", |of| of.round = 3, Forged(0)),
        ("round 0", |of| of.round = 0, Forged(0)),
        ("the highest round", |of| of.round = 0x03ff_ffff, Forged(0)),
    ];
    for (what, change, expected) in cases {
        assert_eq!(tampered(what, change), expected, "{what}");
    }
    for subject in [author(2, 5), author(1, 6), author(1, 4)] {
        assert_eq!(tampered("another subject", |of| of.slot.subject = subject), Forged(0));
    }
    let resource = |of: &mut Certificate| {
        of.slot.subject = Subject::Resource { name: "gpu".into(), seq: 5 };
        of.outcome = Outcome::Lapsed;
    };
    assert_eq!(tampered("a resource", resource), Forged(0));
}

#[test]
fn a_certificate_holds_for_its_voters_only() {
    use VerifyError::{Forged, NoQuorum};
    let set = |voters: &[VoterIndex]| voters.iter().copied().collect::<VoterSet>();
    let named = [
        ("the first is another", set(&[1, 2, 3, 5, 6]), Forged(1)),
        ("the last is another", set(&[0, 2, 3, 4, 5]), Forged(4)),
        ("they have moved up", set(&[0, 1, 2, 3, 4]), Forged(1)),
        ("one is past the electorate", set(&[0, 2, 3, 5, 7]), Forged(7)),
        ("one is far past it", set(&[0, 2, 3, 5, 99]), Forged(99)),
    ];
    for (what, voters, expected) in named {
        assert_eq!(tampered(what, |of| of.voters = voters), expected, "{what}");
    }

    let too_few = tampered("the last one left out", |of| {
        of.voters = set(&[0, 2, 3, 5]);
        of.signatures.truncate(4 * 64);
    });
    assert_eq!(too_few, NoQuorum { signed: 4, of: 7, needed: 5 });
    let nobody = tampered("nobody", |of| {
        of.voters = VoterSet::default();
        of.signatures.clear();
    });
    assert_eq!(nobody, NoQuorum { signed: 0, of: 7, needed: 5 });
    let one_more = tampered("a sixth voter who has not signed that", |of| {
        of.voters.insert(4);
        of.signatures.splice(3 * 64..3 * 64, [0; 64]);
    });
    assert_eq!(one_more, Forged(4), "a quorum that holds does not make up for it");
    let past = tampered("a place that no voter has", |of| of.voters = set(&[0, 2, 3, 5, 100]));
    assert_eq!(past, DecodeError::OutOfBounds { what: "voter", max: 99 }.into());
    let kind = tampered("granted, but not a resource", |of| {
        of.outcome = Outcome::Granted { holder: NodeId([1; 32]), length: 1 };
    });
    assert!(matches!(kind, VerifyError::Malformed(_)), "{kind}");
}

#[test]
fn each_voter_has_exactly_one_signature() {
    type Change = fn(&mut Certificate);
    let cases: [(&str, Change); 7] = [
        ("no signatures", |of| of.signatures.clear()),
        ("a signature too few", |of| of.signatures.truncate(4 * 64)),
        ("a byte too few", |of| of.signatures.truncate(5 * 64 - 1)),
        ("a byte too many", |of| of.signatures.push(0)),
        ("a signature too many", |of| of.signatures.extend([0; 64])),
        ("a voter without a signature", |of| assert!(of.voters.insert(1))),
        ("a signature without a voter", |of| of.voters = [0, 2, 3, 5].into_iter().collect()),
    ];
    for (what, change) in cases {
        let error = tampered(what, change);
        let expected = DecodeError::Malformed("signatures: not one for each voter".into());
        assert_eq!(error, expected.into(), "{what}");
    }
    // With one signature more than needed, one voter more would still leave a quorum.
    let chain = chain(4);
    let mut more = certify(&slot(&chain, 0), [0, 1, 2]);
    more.voters.insert(3);
    assert!(matches!(holds(&chain, &more), Err(VerifyError::Malformed(_))), "voter 3 has not signed");
}

#[test]
fn no_byte_of_a_signature_can_be_changed() {
    let chain = chain(7);
    let signers = [0, 2, 3, 5, 6];
    let certificate = certify(&slot(&chain, 0), signers);
    for (n, voter) in signers.into_iter().enumerate() {
        for byte in (0..64).filter(|byte| byte % 7 == n || *byte == 63) {
            let mut forged = certificate.clone();
            forged.signatures[64 * n + byte] ^= 1;
            assert_eq!(holds(&chain, &forged), Err(VerifyError::Forged(voter)), "byte {byte} of voter {voter}'s");
        }
    }
    let mut swapped = certificate.clone();
    swapped.signatures.rotate_left(64);
    assert_eq!(holds(&chain, &swapped), Err(VerifyError::Forged(0)), "each other's signatures");
    let mut copied = certificate;
    copied.signatures.copy_within(..64, 64);
    assert_eq!(holds(&chain, &copied), Err(VerifyError::Forged(2)), "one signature for two");
}

#[test]
fn prevotes_make_no_certificate() {
    let chain = chain(4);
    let mut certificate = certify(&slot(&chain, 0), [0, 1, 2]);
    let prevotes = certificate.votes().unwrap().flat_map(|signed| {
        let key = key(0, signed.vote.voter);
        let prevote = Vote { step: Step::Prevote, ..signed.vote };
        prevote.sign(&key).unwrap().signature.into_array()
    });
    let prevotes: Vec<_> = prevotes.collect();
    certificate.signatures = prevotes.into();
    assert_eq!(holds(&chain, &certificate), Err(VerifyError::Forged(0)));
}

#[test]
fn where_nobody_votes_nothing_is_decided() {
    let chain = chain(0);
    for signers in [vec![], vec![0]] {
        let signed = signers.len();
        let certificate = certify(&slot(&chain, 0), signers);
        assert_eq!(holds(&chain, &certificate), Err(VerifyError::NoQuorum { signed, of: 0, needed: 1 }));
    }
}
