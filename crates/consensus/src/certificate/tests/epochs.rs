//! The electorates of a mesh, one after the other, and which of them a certificate is of.

use mesh_proto::charter::FounderSignature;
use mesh_proto::limits::MAX_RECORD_EPOCHS;
use mesh_proto::protocol::VOTE_DOMAIN;

use super::*;

/// The next record of a chain, with `n` voters, before anybody has signed it.
fn next(chain: &Chain, n: u8) -> EpochRecord {
    let epoch = chain.last_epoch() + 1;
    EpochRecord { v: 1, mesh: chain.mesh(), epoch, previous: chain.last, voters: voters(epoch as u8, n) }
}

fn seal<'a>(record: EpochRecord, keys: impl IntoIterator<Item = &'a Keypair>) -> SignedEpoch {
    let mut signatures: Vec<_> = keys.into_iter().map(|key| record.sign(key).unwrap()).collect();
    signatures.sort_by_key(|signature| signature.founder);
    SignedEpoch { record, signatures }
}

fn extend(chain: &mut Chain, n: u8) {
    let record = seal(next(chain, n), &founders()[..2]);
    chain.extend(&record, &Strict).unwrap();
}

#[test]
fn a_chain_grows_by_records_of_enough_founders() {
    let mut chain = chain(4);
    assert_eq!((chain.last_epoch(), chain.last), (0, Digest(charter(4).mesh().unwrap().0)));
    let [a, b, c] = <[Keypair; 3]>::try_from(founders()).unwrap();
    let stranger = key(9, 9);
    for (epoch, signers) in [(1, vec![&a, &b]), (2, vec![&c, &a]), (3, vec![&a, &b, &c]), (4, vec![&stranger, &b, &c])]
    {
        let record = next(&chain, epoch + 3);
        assert_eq!(chain.extend(&seal(record.clone(), signers), &Strict), Ok(()), "epoch {epoch}");
        assert_eq!((chain.last_epoch(), chain.last), (epoch.into(), record.digest().unwrap()));
        assert_eq!(chain.electorate(epoch.into()).unwrap().voters(), record.voters);
    }
    assert_eq!(chain.electorate(0).unwrap().voters(), voters(0, 4), "the old ones stay");
    assert_eq!(chain.mesh(), charter(4).mesh().unwrap());
}

#[test]
fn a_record_that_does_not_follow_changes_nothing() {
    use VerifyError::{BrokenChain, Founders, Malformed, OtherMesh};
    let mut chain = chain(4);
    extend(&mut chain, 5);
    let [a, b, c] = <[Keypair; 3]>::try_from(founders()).unwrap();
    let (voter, good) = (key(1, 0), next(&chain, 7));
    let both = |record: EpochRecord| seal(record, [&a, &b]);
    let signed_by = |keys: &[&Keypair]| seal(good.clone(), keys.iter().copied());
    let too_few = |signed| Founders { epoch: 2, signed, needed: 2 };
    let malformed = |why: &str| Malformed(DecodeError::Malformed(why.into()));
    // Signatures of one record under another.
    let instead = |record: EpochRecord| SignedEpoch { record, ..both(good.clone()) };
    let in_the_name_of = |founder: &Keypair, by: &Keypair| {
        let mut sealed = signed_by(&[&a, by]);
        let forged = sealed.signatures.iter_mut().find(|signature| signature.founder == by.node()).unwrap();
        forged.founder = founder.node();
        sealed.signatures.sort_by_key(|signature| signature.founder);
        sealed
    };
    let in_domain = |domain: &[u8]| {
        let digest = good.digest().unwrap();
        let sign =
            |key: &Keypair| FounderSignature { founder: key.node(), signature: key.sign(domain, &digest.0).into() };
        let mut signatures = [&a, &b].map(sign);
        signatures.sort_by_key(|signature| signature.founder);
        SignedEpoch { record: good.clone(), signatures: signatures.into() }
    };
    let mesh = MeshId([7; 32]);
    let cases = [
        ("of another mesh", both(EpochRecord { mesh, ..good.clone() }), OtherMesh(mesh)),
        ("an epoch left out", both(EpochRecord { epoch: 3, ..good.clone() }), BrokenChain(3)),
        ("the epoch that is", both(EpochRecord { epoch: 1, ..good.clone() }), BrokenChain(1)),
        ("epoch 0", both(EpochRecord { epoch: 0, ..good.clone() }), malformed("epoch 0 is that of the charter")),
        ("the last epoch of all", both(EpochRecord { epoch: u64::MAX, ..good.clone() }), BrokenChain(u64::MAX)),
        ("after another record", both(EpochRecord { previous: Digest([7; 32]), ..good.clone() }), BrokenChain(2)),
        ("after the charter", both(EpochRecord { previous: Digest(chain.mesh().0), ..good.clone() }), BrokenChain(2)),
        ("signed by nobody", signed_by(&[]), too_few(0)),
        ("signed by one founder", signed_by(&[&c]), too_few(1)),
        (
            "signed by one founder twice",
            signed_by(&[&a, &a]),
            malformed("signatures: not in ascending order, or one twice"),
        ),
        ("signed by a founder and a voter", signed_by(&[&a, &voter]), too_few(1)),
        ("signed by voters", signed_by(&[&voter, &key(1, 1), &key(1, 2)]), too_few(0)),
        ("signed in the name of a founder", in_the_name_of(&b, &c), too_few(1)),
        ("other voters than were signed", instead(EpochRecord { voters: voters(2, 6), ..good.clone() }), too_few(0)),
        (
            "another version than was signed",
            instead(EpochRecord { v: 2, ..good.clone() }),
            malformed("version 2 is not spoken here"),
        ),
        ("signed as votes are", in_domain(VOTE_DOMAIN), too_few(0)),
        ("signed without a domain", in_domain(b""), too_few(0)),
    ];
    let before = format!("{chain:?}");
    for (what, record, expected) in cases {
        assert_eq!(chain.extend(&record, &Strict), Err(expected), "{what}");
        assert_eq!(format!("{chain:?}"), before, "{what}");
    }
    let record = EpochRecord { voters: voters(2, 250), ..good.clone() };
    let too_long = SignedEpoch { record, signatures: vec![] };
    assert!(matches!(chain.extend(&too_long, &Strict), Err(Malformed(DecodeError::OutOfBounds { .. }))));
    assert_eq!(format!("{chain:?}"), before);
    assert_eq!(chain.extend(&both(good), &Strict), Ok(()), "and the right one follows");
}

#[test]
fn a_charter_without_founders_has_one_electorate_for_ever() {
    let charter = Charter { founders: vec![], threshold: 0, ..charter(4) };
    let mut chain = Chain::new(&charter).unwrap();
    let record = next(&chain, 4);
    for signers in [&founders()[..], &[]] {
        let expected = VerifyError::Founders { epoch: 1, signed: 0, needed: 1 };
        assert_eq!(chain.extend(&seal(record.clone(), signers), &Strict), Err(expected));
    }
    assert_eq!(chain.last_epoch(), 0);
    assert_eq!(holds(&chain, &certify(&slot(&chain, 0), [0, 1, 2])), Ok(()));
}

#[test]
fn a_certificate_is_of_the_voters_of_its_epoch() {
    let mut chain = chain(4);
    extend(&mut chain, 7);
    let slots = [0, 1].map(|epoch| slot(&chain, epoch));
    for slot in &slots {
        assert_eq!(holds(&chain, &certify(slot, 0..if slot.epoch == 0 { 3 } else { 5 })), Ok(()));
    }
    let others = [
        ("epoch 0 by the voters of epoch 1", certify_by(1, &slots[0], APPROVED, 2, 0..3), VerifyError::Forged(0)),
        ("epoch 1 by the voters of epoch 0", certify_by(0, &slots[1], APPROVED, 2, 0..5), VerifyError::Forged(0)),
        ("a quorum of epoch 0 only", certify(&slots[1], 0..4), VerifyError::NoQuorum { signed: 4, of: 7, needed: 5 }),
        (
            "an epoch that has not come",
            certify(&slot(&chain, 2), 0..5),
            VerifyError::UnknownEpoch { epoch: 2, last: 1 },
        ),
        (
            "moved to the next epoch",
            Certificate { slot: slots[1].clone(), ..certify(&slots[0], 0..4) },
            VerifyError::NoQuorum { signed: 4, of: 7, needed: 5 },
        ),
        (
            "moved to the epoch before",
            Certificate { slot: slots[0].clone(), ..certify(&slots[1], 0..4) },
            VerifyError::Forged(0),
        ),
    ];
    for (what, certificate, expected) in others {
        assert_eq!(holds(&chain, &certificate), Err(expected), "{what}");
    }
}

#[test]
fn a_chain_ends_at_its_bound() {
    let mut chain = chain(4);
    for _ in 0..MAX_RECORD_EPOCHS {
        extend(&mut chain, 4);
    }
    let one_more = seal(next(&chain, 4), &founders());
    assert!(matches!(chain.extend(&one_more, &Strict), Err(VerifyError::Malformed(DecodeError::OutOfBounds { .. }))));
    assert_eq!(chain.last_epoch(), MAX_RECORD_EPOCHS as u64);
}
