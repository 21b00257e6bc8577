//! How polkas and certificates get to everybody: who has one hands it on after a moment, unless somebody else has.

use mesh_consensus::Instance;
use mesh_consensus::instance::{Output, Refused};
use mesh_proto::Digest;
use mesh_proto::decision::{Certificate, Message, Polka};

use crate::support::{Core, Millis, Table, approve, drain, said, sleep_until};

with_both_cores!(
    a_polka_is_handed_on_once,
    a_certificate_is_handed_on_once,
    forgeries_do_not_silence,
    a_polka_does_not_silence_a_certificate,
    who_was_told_does_not_hand_on,
);

/// Nobody waits longer than this: [`mesh_consensus::instance::Config::forward_ms`] and the jitter.
const MOMENT: Millis = 150;

/// A voter that has put a polka together at 0.
fn with_polka<A: Core>(table: &Table) -> (Instance<A>, Digest) {
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, value, None)), 0).unwrap();
    voter.judge(digest, approve(), 0).unwrap();
    for other in [1, 2] {
        voter.handle(Message::Vote(table.prevote(other, 0, Some(digest))), 0).unwrap();
    }
    drain(&mut voter);
    (voter, digest)
}

/// The same that has also decided.
fn with_certificate<A: Core>(table: &Table) -> (Instance<A>, Certificate) {
    let (mut voter, digest) = with_polka::<A>(table);
    for other in [1, 2] {
        voter.handle(Message::Vote(table.precommit(other, 0, Some(digest))), 0).unwrap();
    }
    drain(&mut voter);
    let certificate = voter.decided().unwrap().clone();
    (voter, certificate)
}

/// What a voter hands on until then.
fn handed_on<A: Core>(voter: &mut Instance<A>, until: Millis) -> Vec<Message> {
    sleep_until(voter, until);
    let outputs: Vec<Output> = drain(voter);
    said(&outputs).into_iter().cloned().collect()
}

fn a_polka_is_handed_on_once<A: Core>() {
    let table = Table::owned(4);
    let (mut voter, digest) = with_polka::<A>(&table);
    assert_eq!(handed_on(&mut voter, 49), []);
    let polka = table.polka(&[0, 1, 2], 0, digest);
    assert_eq!(handed_on(&mut voter, MOMENT), [Message::Polka(polka)]);
    assert_eq!(handed_on(&mut voter, 2_000), []);

    let (mut voter, digest) = with_polka::<A>(&table);
    voter.handle(Message::Polka(table.polka(&[1, 2, 3], 0, digest)), 10).unwrap();
    assert_eq!(handed_on(&mut voter, 2_000), [], "another voter has done it");
}

fn a_certificate_is_handed_on_once<A: Core>() {
    let table = Table::owned(4);
    let (mut voter, certificate) = with_certificate::<A>(&table);
    assert_eq!(handed_on(&mut voter, MOMENT), [Message::Decision(certificate.clone())]);
    assert_eq!((handed_on(&mut voter, 2_000), voter.poll_timeout()), (vec![], None));

    let (mut voter, _) = with_certificate::<A>(&table);
    voter.handle(Message::Decision(table.certificate(&[1, 2, 3], 0, certificate.outcome)), 10).unwrap();
    assert_eq!((handed_on(&mut voter, 2_000), voter.poll_timeout()), (vec![], None), "another voter has done it");
}

/// Otherwise a traitor would be first with a forged one, and nobody would hand on the real one (reliability 1.4).
fn forgeries_do_not_silence<A: Core>() {
    let table = Table::owned(4);
    let (mut voter, digest) = with_polka::<A>(&table);
    let mut forged = table.polka(&[0, 1, 2], 0, digest);
    forged.votes[0].signature = [0; 64].into();
    let empty = Polka { votes: Vec::new(), ..forged.clone() };
    for wrong in [forged, empty] {
        let refused = voter.handle(Message::Polka(wrong), 10);
        assert!(matches!(refused, Err(Refused::Invalid(_))), "{refused:?}");
    }
    assert_eq!(handed_on(&mut voter, MOMENT).len(), 1, "the polka");

    let (mut voter, certificate) = with_certificate::<A>(&table);
    let forged = Certificate { round: 1, ..certificate.clone() };
    let empty = Certificate { signatures: Vec::new().into(), ..certificate };
    for wrong in [forged, empty] {
        let refused = voter.handle(Message::Decision(wrong), 10);
        assert!(matches!(refused, Err(Refused::Invalid(_))), "{refused:?}");
    }
    assert_eq!(handed_on(&mut voter, MOMENT).len(), 1, "the certificate");
}

fn a_polka_does_not_silence_a_certificate<A: Core>() {
    let table = Table::owned(4);
    let (mut voter, certificate) = with_certificate::<A>(&table);
    let digest = certificate.outcome.digest(&table.id());
    voter.handle(Message::Polka(table.polka(&[1, 2, 3], 0, digest)), 10).unwrap();
    assert_eq!(handed_on(&mut voter, MOMENT), [Message::Decision(certificate)]);
}

fn who_was_told_does_not_hand_on<A: Core>() {
    let table = Table::owned(4);
    let (mut voter, digest) = with_polka::<A>(&table);
    let outcome = table.proposal("one").outcome().unwrap();
    voter.handle(Message::Decision(table.certificate(&[1, 2, 3], 0, outcome)), 10).unwrap();
    assert_eq!((handed_on(&mut voter, 2_000), voter.poll_timeout()), (vec![], None));
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Polka(table.polka(&[1, 2, 3], 0, digest)), 0).unwrap();
    assert_eq!(handed_on(&mut voter, 2_000), []);
}
