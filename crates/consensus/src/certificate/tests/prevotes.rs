//! What prevotes prove: that a quorum is for a value, or that no quorum can be.

use mesh_proto::decision::{Ballot, Choice, PolkaVote};

use super::*;

fn ballot(choice: Choice) -> Option<Ballot> {
    Some(Ballot { choice, reason: "so".into() })
}

fn prevote(voter: VoterIndex, choice: Choice) -> Vote {
    let value = (choice == Choice::Approve).then_some(Digest([4; 32]));
    Vote { slot: SlotId([3; 32]), round: 0, step: Step::Prevote, value, voter, ballot: ballot(choice) }
}

fn polka(round: u32, voters: impl IntoIterator<Item = VoterIndex>) -> Polka {
    let vote = |voter| {
        let ballot = ballot(Choice::Approve).filter(|_| round == 0);
        let reason = ballot.as_ref().map(|ballot| ballot.reason.clone()).unwrap_or_default();
        let vote = Vote { round, ballot, ..prevote(voter, Choice::Approve) };
        PolkaVote { voter, reason, signature: vote.sign(&key(0, voter)).unwrap().signature }
    };
    Polka { slot: SlotId([3; 32]), round, value: Digest([4; 32]), votes: voters.into_iter().map(vote).collect() }
}

#[test]
fn every_quorum_of_prevotes_is_a_polka_and_nothing_less() {
    for (n, quorum) in [(1, 1), (4, 3), (7, 5)] {
        let electorate = Electorate::new(voters(0, n));
        for round in [0, 3] {
            for len in 0..=n.into() {
                for voters in subsets(n, len) {
                    let expected = match len >= quorum {
                        true => Ok(()),
                        false => Err(VerifyError::NoQuorum { signed: len, of: n.into(), needed: quorum }),
                    };
                    let polka = polka(round, voters);
                    assert_eq!(verify_polka(&electorate, &polka, &Strict), expected, "{polka:?}");
                }
            }
        }
    }
    let hundred = Electorate::new(voters(0, 100));
    assert_eq!(verify_polka(&hundred, &polka(0, 33..100), &Strict), Ok(()));
    assert!(verify_polka(&hundred, &polka(0, 34..100), &Strict).is_err());
}

#[test]
fn a_polka_holds_for_what_its_voters_have_said_only() {
    use VerifyError::{Forged, NoQuorum};
    type Change = fn(&mut Polka);
    let electorate = Electorate::new(voters(0, 7));
    let too_few = |signed| NoQuorum { signed, of: 7, needed: 5 };
    let cases: [(&str, Change, VerifyError); 13] = [
        ("another slot", |of| of.slot.0[31] ^= 1, Forged(0)),
        ("another round", |of| of.round = 1, Forged(0)),
        ("another value", |of| of.value.0[0] ^= 1, Forged(0)),
        ("another reason", |of| of.votes[1].reason = "no".into(), Forged(2)),
        ("no reason", |of| of.votes[1].reason.clear(), Forged(2)),
        ("another voter", |of| of.votes[0].voter = 1, Forged(1)),
        ("a voter past the electorate", |of| of.votes[4].voter = 7, Forged(7)),
        ("a signature changed at its start", |of| of.votes[2].signature[0] ^= 1, Forged(3)),
        ("a signature changed at its end", |of| of.votes[4].signature[63] ^= 1, Forged(6)),
        ("a vote left out", |of| drop(of.votes.remove(1)), too_few(4)),
        ("a vote twice in place of another", |of| of.votes[1] = of.votes[0].clone(), too_few(4)),
        ("nobody", |of| of.votes.clear(), too_few(0)),
        (
            "a sixth vote that was not cast",
            |of| of.votes.push(PolkaVote { voter: 4, ..of.votes[0].clone() }),
            Forged(4),
        ),
    ];
    for (what, change, expected) in cases {
        let mut polka = polka(0, [0, 2, 3, 5, 6]);
        assert_eq!(verify_polka(&electorate, &polka, &Strict), Ok(()));
        change(&mut polka);
        assert_eq!(verify_polka(&electorate, &polka, &Strict), Err(expected), "{what}");
    }
    let of_later_voters = Electorate::new(voters(1, 7));
    assert_eq!(verify_polka(&of_later_voters, &polka(0, 0..5), &Strict), Err(Forged(0)));
    let mut precommits = polka(3, 0..5);
    for vote in &mut precommits.votes {
        let precommit = Vote { round: 3, step: Step::Precommit, ballot: None, ..prevote(vote.voter, Choice::Approve) };
        vote.signature = precommit.sign(&key(0, vote.voter)).unwrap().signature;
    }
    assert_eq!(verify_polka(&electorate, &precommits, &Strict), Err(Forged(0)), "precommits");
}

fn rejection(voter: VoterIndex) -> SignedVote {
    cast(prevote(voter, Choice::Reject))
}

fn cast(vote: Vote) -> SignedVote {
    let key = key(0, vote.voter);
    vote.sign(&key).unwrap()
}

fn rejected(n: u8, votes: &[SignedVote]) -> bool {
    rejects(&Electorate::new(voters(0, n)), &SlotId([3; 32]), votes, &Strict)
}

#[test]
fn a_proposal_is_rejected_by_so_many_that_no_quorum_is_left() {
    for (n, blocking) in [(1, 1), (4, 2), (7, 3)] {
        for len in 0..=n.into() {
            for voters in subsets(n, len) {
                let mut votes: Vec<_> = voters.iter().map(|voter| rejection(*voter)).collect();
                assert_eq!(rejected(n, &votes), len >= blocking, "{voters:?} of {n}");
                votes.reverse();
                assert_eq!(rejected(n, &votes), len >= blocking, "{voters:?} of {n}, in another order");
            }
        }
    }
    let votes: Vec<_> = (0..34).map(rejection).collect();
    assert!(rejected(100, &votes));
    assert!(!rejected(100, &votes[1..]));
}

#[test]
fn only_rejections_of_round_0_reject() {
    let mut forged = rejection(1);
    forged.signature[20] ^= 1;
    let others = [
        ("the same once more", rejection(0)),
        ("of another slot", cast(Vote { slot: SlotId([4; 32]), ..prevote(1, Choice::Reject) })),
        ("of another round", cast(Vote { round: 1, ..prevote(1, Choice::Reject) })),
        ("a precommit", cast(Vote { step: Step::Precommit, ..prevote(1, Choice::Reject) })),
        ("an approval", cast(prevote(1, Choice::Approve))),
        ("an abstention", cast(prevote(1, Choice::Abstain))),
        ("a prevote for nothing, without a ballot", cast(Vote { ballot: None, ..prevote(1, Choice::Reject) })),
        ("of nobody", rejection(4)),
        ("with a forged signature", forged),
        ("in the name of another", SignedVote { vote: prevote(1, Choice::Reject), ..rejection(2) }),
        (
            "for another reason",
            SignedVote {
                vote: Vote {
                    ballot: Some(Ballot { choice: Choice::Reject, reason: "no".into() }),
                    ..prevote(1, Choice::Reject)
                },
                ..rejection(1)
            },
        ),
    ];
    for (what, other) in others {
        assert!(!rejected(4, &[rejection(0), other.clone()]), "{what}");
        assert!(rejected(4, &[rejection(0), other, rejection(3)]), "{what}, beside two that do");
    }
}
