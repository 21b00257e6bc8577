//! What signatures and hashes hold: this and nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::envelope::Strict;

#[test]
fn a_vote_is_signed_in_every_field() {
    let cast = prevote().sign(&key(1)).unwrap();
    let holds = |vote| SignedVote { vote, ..cast.clone() }.verifies(&key(1).node(), &Strict);
    assert!(holds(prevote()));
    let others = [
        Vote { slot: SlotId([4; 32]), ..prevote() },
        Vote { round: 1, ..prevote() },
        Vote { step: Step::Precommit, ..prevote() },
        Vote { value: Some(Digest([5; 32])), ..prevote() },
        Vote { value: None, ..prevote() },
        Vote { voter: 3, ..prevote() },
        Vote { ballot: ballot(Choice::Reject, "fine"), ..prevote() },
        Vote { ballot: ballot(Choice::Abstain, "fine"), ..prevote() },
        Vote { ballot: ballot(Choice::Approve, "fin"), ..prevote() },
        Vote { ballot: ballot(Choice::Approve, ""), ..prevote() },
        Vote { ballot: None, ..prevote() },
    ];
    for other in others {
        assert!(!holds(other.clone()), "{other:?}");
    }
    assert!(!cast.verifies(&key(2).node(), &Strict), "by another key");
}

#[test]
fn a_leaders_word_is_signed_in_every_field() {
    let proposed = || Propose { pol_round: Some(1), ..propose(Value::Proposal(proposal())) };
    let said = proposed().sign(&key(1)).unwrap();
    let holds = |propose| SignedPropose { propose, ..said.clone() }.verifies(&key(1).node(), &Strict);
    assert!(holds(proposed()));
    let author = NodeId([1; 32]);
    let others = [
        Propose { slot: Slot { mesh: MeshId([8; 32]), ..owned() }, ..proposed() },
        Propose { slot: Slot { epoch: 2, ..owned() }, ..proposed() },
        Propose { slot: Slot { subject: Subject::Owned { author, seq: 6 }, ..owned() }, ..proposed() },
        Propose { slot: resource("gpu"), ..proposed() },
        Propose { round: 3, ..proposed() },
        Propose { value: Value::Proposal(Proposal { kind: "tasks".into(), ..proposal() }), ..proposed() },
        Propose { value: Value::Proposal(Proposal { title: String::new(), ..proposal() }), ..proposed() },
        Propose { value: Value::Proposal(Proposal { body: Bytes::new(), ..proposal() }), ..proposed() },
        Propose { value: Value::Proposal(Proposal { window: 5_001, ..proposal() }), ..proposed() },
        Propose { value: Value::Proposal(Proposal { at: 0, ..proposal() }), ..proposed() },
        Propose { value: Value::Claim(claims(claim())), ..proposed() },
        Propose { value: Value::Rejected(vec![]), ..proposed() },
        Propose { value: Value::Lapsed, ..proposed() },
        Propose { pol_round: Some(0), ..proposed() },
        Propose { pol_round: None, ..proposed() },
        Propose { voter: 2, ..proposed() },
    ];
    for other in others {
        assert!(!holds(other.clone()), "{other:?}");
    }
    assert!(!said.verifies(&key(2).node(), &Strict), "by another key");
}

#[test]
fn a_claim_is_signed_by_its_holder_in_every_field() {
    let mine = Claim { holder: key(1).node(), ..claim() };
    let signed = mine.clone().sign(&key(1)).unwrap();
    let holds = |claim| SignedClaim { claim, ..signed.clone() }.verifies(&Strict);
    assert!(holds(mine.clone()));
    assert!(!holds(Claim { slot: resource("cpu"), ..mine.clone() }));
    assert!(!holds(Claim { length: 60_001, ..mine.clone() }));
    assert!(!holds(Claim { holder: key(2).node(), ..mine.clone() }), "for another");
    assert!(!mine.sign(&key(2)).unwrap().verifies(&Strict), "by another");
}

#[test]
fn a_release_is_signed_by_its_holder_in_every_field() {
    let mine = Release { holder: key(1).node(), ..release().release };
    let signed = mine.sign(&key(1)).unwrap();
    let holds = |release| SignedRelease { release, ..signed.clone() }.verifies(&Strict);
    assert!(holds(mine));
    assert!(!holds(Release { slot: SlotId([4; 32]), ..mine }));
    assert!(!holds(Release { holder: key(2).node(), ..mine }), "for another");
    assert!(!mine.sign(&key(2)).unwrap().verifies(&Strict), "by another");
}

#[test]
fn no_bit_of_a_signature_can_be_changed() {
    let cast = precommit().sign(&key(1)).unwrap();
    for bit in 0..512 {
        let mut forged = cast.clone();
        forged.signature[bit / 8] ^= 1 << (bit % 8);
        assert!(!forged.verifies(&key(1).node(), &Strict), "bit {bit}");
    }
}

#[test]
fn a_signature_of_one_kind_is_none_of_another() {
    let bytes = codec::encode(&precommit(), MAX_DECISION).unwrap();
    for domain in [PROPOSE_DOMAIN, CLAIM_DOMAIN, RELEASE_DOMAIN, SLOT_DOMAIN, OUTCOME_DOMAIN, PROPOSAL_DOMAIN, b""] {
        let signature = ByteArray::new(key(1).sign(domain, &bytes));
        let forged = SignedVote { vote: precommit(), signature };
        assert!(!forged.verifies(&key(1).node(), &Strict), "{domain:?}");
    }
}

#[test]
fn votes_of_polkas_and_certificates_are_those_that_were_cast() {
    let cast = |vote: Vote| vote.sign(&key(1)).unwrap();
    let ballots = [(0, ballot(Choice::Approve, "fine"), "fine"), (0, ballot(Choice::Approve, ""), ""), (3, None, "")];
    for (round, ballot, reason) in ballots {
        let votes = [2, 5].map(|voter| cast(Vote { round, voter, ballot: ballot.clone(), ..prevote() }));
        let of = |signed: &SignedVote| PolkaVote {
            voter: signed.vote.voter,
            reason: reason.into(),
            signature: signed.signature,
        };
        let polka = Polka { round, votes: votes.iter().map(of).collect(), ..polka([], "") };
        assert_eq!(polka.votes().collect::<Vec<_>>(), votes, "round {round}, {reason:?}");
    }

    let slot = owned().id().unwrap();
    let value = Some(Outcome::Approved(VALUE).digest(&slot));
    let votes = [2, 5].map(|voter| cast(Vote { slot, value, voter, round: 3, ..precommit() }));
    let signatures = votes.iter().flat_map(|signed| signed.signature.into_array()).collect::<Vec<_>>().into();
    let certificate = Certificate { round: 3, signatures, ..certificate([5, 2]) };
    assert_eq!(certificate.votes().unwrap().collect::<Vec<_>>(), votes);
}

/// Another slot in each of its parts.
fn slots() -> Vec<Slot> {
    let of = |subject| Slot { subject, ..owned() };
    vec![
        owned(),
        Slot { mesh: MeshId([8; 32]), ..owned() },
        Slot { epoch: 0, ..owned() },
        of(Subject::Owned { author: NodeId([2; 32]), seq: 5 }),
        of(Subject::Owned { author: NodeId([1; 32]), seq: 6 }),
        resource("gpu"),
        resource("gpu2"),
        resource(""),
        Slot { mesh: MeshId([8; 32]), ..resource("gpu") },
        Slot { epoch: 0, ..resource("gpu") },
        of(Subject::Resource { name: "gpu".into(), seq: 6 }),
    ]
}

#[test]
fn a_slot_is_another_in_each_of_its_parts() {
    let ids: BTreeSet<_> = slots().iter().map(|slot| slot.id().unwrap()).collect();
    assert_eq!(ids.len(), slots().len());
    assert_eq!(owned().id(), owned().id());
}

#[test]
fn an_outcome_is_another_in_each_of_its_parts_and_in_each_slot() {
    let lease = |holder, length| Outcome::Granted { holder: NodeId([holder; 32]), length };
    let outcomes = [
        Outcome::Approved(VALUE),
        Outcome::Approved(Digest([5; 32])),
        lease(1, 1),
        lease(1, 2),
        lease(2, 1),
        Outcome::Rejected,
        Outcome::Lapsed,
    ];
    let ids: Vec<_> = slots().iter().map(|slot| slot.id().unwrap()).collect();
    let digests: BTreeSet<_> = ids.iter().flat_map(|id| outcomes.map(|outcome| outcome.digest(id))).collect();
    assert_eq!(digests.len(), ids.len() * outcomes.len());
}

#[test]
fn a_proposal_is_another_in_each_of_its_parts() {
    let all = [
        proposal(),
        Proposal { kind: "tasks".into(), ..proposal() },
        Proposal { title: "Who trains".into(), ..proposal() },
        Proposal { body: Bytes::from_static(b"adb"), ..proposal() },
        Proposal { window: 5_001, ..proposal() },
        Proposal { at: 0, ..proposal() },
    ];
    let digests: BTreeSet<_> = all.iter().map(|proposal| proposal.digest().unwrap()).collect();
    assert_eq!(digests.len(), all.len());
}

#[test]
fn a_value_ends_its_slot_in_one_way() {
    let digest = proposal().digest().unwrap();
    assert_eq!(Value::Proposal(proposal()).outcome(), Ok(Outcome::Approved(digest)));
    let Claim { holder, length, .. } = claim();
    assert_eq!(Value::Claim(claims(claim())).outcome(), Ok(Outcome::Granted { holder, length }));
    assert_eq!(Value::Lapsed.outcome(), Ok(Outcome::Lapsed));
    let witnesses = [vec![], vec![unsigned(rejection())], vec![unsigned(Vote { voter: 3, ..rejection() })]];
    for witnesses in witnesses {
        assert_eq!(Value::Rejected(witnesses).outcome(), Ok(Outcome::Rejected), "whoever has rejected it");
    }
}

#[test]
fn only_a_rejection_rejects() {
    assert!(rejection().rejects());
    for vote in [prevote(), precommit(), Vote { ballot: ballot(Choice::Abstain, ""), ..rejection() }] {
        assert!(!vote.rejects(), "{vote:?}");
    }
}
