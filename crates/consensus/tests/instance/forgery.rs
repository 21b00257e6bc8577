//! What nobody has signed who could, and everything else that is refused without a trace.

use mesh_consensus::Instance;
use mesh_consensus::certificate::VerifyError;
use mesh_consensus::instance::Refused;
use mesh_proto::Keypair;
use mesh_proto::decision::{Certificate, Evidence, Message, Outcome, Polka, SignedVote, Step, VoterSet};

use crate::support::{Core, Table, drain};

with_both_cores!(
    forged_votes_are_refused,
    votes_of_nobody_are_refused,
    a_thousand_sybils_have_no_vote,
    polkas_of_less_than_a_quorum_are_refused,
    certificates_of_less_than_a_quorum_are_refused,
    forged_evidence_is_refused,
);

/// A voter that has heard of the slot.
fn voter<A: Core>(table: &Table) -> Instance<A> {
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, table.proposal("one"), None)), 0).unwrap();
    drain(&mut voter);
    voter
}

/// Hands each to a voter: refused, and everything as before.
fn assert_refused<A: Core>(voter: &mut Instance<A>, wrong: impl IntoIterator<Item = (Message, Refused)>) {
    let before = format!("{voter:?}");
    for (message, refused) in wrong {
        assert_eq!(voter.handle(message.clone(), 10), Err(refused), "{message:?}");
    }
    assert_eq!(format!("{voter:?}"), before);
}

const FORGED: Refused = Refused::Offence("a vote with a forged signature");

fn forged_votes_are_refused<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let right = [
        table.prevote(1, 0, Some(digest)),
        table.rejection(1),
        table.precommit(1, 0, Some(digest)),
        table.prevote(1, 2, None),
        // From far ahead.
        table.prevote(1, 1_000, None),
    ];
    let mut wrong = Vec::new();
    for SignedVote { vote, signature } in right {
        let mut other = signature;
        other[0] ^= 1;
        wrong.push(SignedVote { vote: vote.clone(), signature: other });
        // The signature of this vote under each other one that it might be taken for.
        let same = || SignedVote { vote: vote.clone(), signature };
        let mut of_other = same();
        of_other.vote.voter = 2;
        let mut of_round = same();
        of_round.vote.round = if vote.round == 0 { 1 } else { 0 };
        of_round.vote.ballot = table.unsigned(1, of_round.vote.round, vote.step, vote.value).ballot;
        let mut of_step = same();
        of_step.vote.step = if vote.step == Step::Prevote { Step::Precommit } else { Step::Prevote };
        of_step.vote.ballot = table.unsigned(1, vote.round, of_step.vote.step, vote.value).ballot;
        let mut of_value = same();
        of_value.vote.value = if vote.value.is_some() { None } else { Some(digest) };
        of_value.vote.ballot = table.unsigned(1, vote.round, vote.step, of_value.vote.value).ballot;
        wrong.extend([of_other, of_round, of_step, of_value]);
    }
    let mut voter = voter::<A>(&table);
    assert_refused(&mut voter, wrong.into_iter().map(|vote| (Message::Vote(vote), FORGED)));
}

fn votes_of_nobody_are_refused<A: Core>() {
    let table = Table::owned(4);
    let mut voter = voter::<A>(&table);
    let of = |place| {
        let vote = table.unsigned(place, 0, Step::Prevote, None).sign(table.key(0)).unwrap();
        (Message::Vote(vote), Refused::Offence("a vote of nobody"))
    };
    assert_refused(&mut voter, (4..=255).map(of));
}

fn a_thousand_sybils_have_no_vote<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let mut voter = voter::<A>(&table);
    let sybil = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let mut seed = [0xee; 32];
        (seed[0], seed[1]) = (high, low);
        let key = Keypair::from_seed(&seed);
        let step = if n.is_multiple_of(2) { Step::Prevote } else { Step::Precommit };
        let place = u8::try_from(n / 2 % 4).unwrap();
        let vote = table.unsigned(place, u32::from(n % 5), step, Some(digest)).sign(&key).unwrap();
        (Message::Vote(vote), FORGED)
    };
    let status = voter.status();
    assert_refused(&mut voter, (0..1_000).map(sybil));
    assert_eq!(voter.status(), status);
}

fn polkas_of_less_than_a_quorum_are_refused<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let no_quorum = |signed| Refused::Invalid(VerifyError::NoQuorum { signed, of: 4, needed: 3 });
    let right = table.polka(&[0, 1, 2], 1, digest);
    let mut twice = right.clone();
    twice.votes[2] = twice.votes[1].clone();
    let mut forged = right.clone();
    forged.votes[2].signature = forged.votes[1].signature;
    let mut of_nobody = right.clone();
    of_nobody.votes[2].voter = 4;
    let of_round = Polka { round: 2, ..right.clone() };
    let [next, ..] = table.elsewhere();
    let elsewhere = next.polka(&[0, 1, 2], 1, digest);
    let moved = Polka { slot: table.id(), ..elsewhere.clone() };
    let wrong = [
        (table.polka(&[], 1, digest), no_quorum(0)),
        (table.polka(&[0, 1], 1, digest), no_quorum(2)),
        (twice, no_quorum(2)),
        (forged, Refused::Invalid(VerifyError::Forged(2))),
        (of_nobody, Refused::Invalid(VerifyError::Forged(4))),
        (of_round, Refused::Invalid(VerifyError::Forged(0))),
        (moved, Refused::Invalid(VerifyError::Forged(0))),
        (elsewhere, Refused::OtherSlot),
    ];
    let mut voter = voter::<A>(&table);
    assert_refused(&mut voter, wrong.map(|(polka, refused)| (Message::Polka(polka), refused)));
    assert_eq!(voter.handle(Message::Polka(right), 10), Ok(()));
    assert_eq!(voter.round(), 1);
}

fn certificates_of_less_than_a_quorum_are_refused<A: Core>() {
    let table = Table::owned(4);
    let outcome = table.proposal("one").outcome().unwrap();
    let right = table.certificate(&[0, 1, 3], 0, outcome);
    let of_nobody = Certificate { voters: [0, 1, 4].into_iter().collect(), ..right.clone() };
    let of_outcome = Certificate { outcome: Outcome::Rejected, ..right.clone() };
    let of_round = Certificate { round: 1, ..right.clone() };
    let no_signatures = Certificate { signatures: Vec::new().into(), ..right.clone() };
    let no_quorum = |signed| Refused::Invalid(VerifyError::NoQuorum { signed, of: 4, needed: 3 });
    let mut wrong = vec![
        (table.certificate(&[0, 1], 0, outcome), no_quorum(2)),
        (Certificate { voters: VoterSet::default(), ..right.clone() }, no_quorum(0)),
        (no_signatures, no_quorum(0)),
        (of_nobody, Refused::Invalid(VerifyError::Forged(4))),
        (of_outcome, Refused::Invalid(VerifyError::Forged(0))),
        (of_round, Refused::Invalid(VerifyError::Forged(0))),
    ];
    for elsewhere in table.elsewhere() {
        let certificate = elsewhere.certificate(&[0, 1, 3], 0, outcome);
        let moved = Certificate { slot: table.slot.clone(), ..certificate.clone() };
        wrong.extend([(certificate, Refused::OtherSlot), (moved, Refused::Invalid(VerifyError::Forged(0)))]);
    }
    let mut voter = voter::<A>(&table);
    assert_refused(&mut voter, wrong.into_iter().map(|(wrong, refused)| (Message::Decision(wrong), refused)));
    assert_eq!(voter.decided(), None);
    assert_eq!(voter.handle(Message::Decision(right.clone()), 10), Ok(()));
    assert_eq!(voter.decided(), Some(&right));
}

fn forged_evidence_is_refused<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let mut voter = voter::<A>(&table);
    let forged = table.unsigned(1, 0, Step::Precommit, Some(digest)).sign(table.key(2)).unwrap();
    let other = table.unsigned(1, 0, Step::Precommit, None).sign(table.key(2)).unwrap();
    let evidence = Evidence::new(forged, other).unwrap();
    assert_refused(&mut voter, [(Message::Evidence(evidence), FORGED)]);
}
