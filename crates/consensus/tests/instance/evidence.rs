//! Who is found guilty, and who is not.

use mesh_consensus::Instance;
use mesh_consensus::instance::Output;
use mesh_proto::codec::Bounded as _;
use mesh_proto::decision::{Ballot, Choice, Evidence, Message, SignedVote, Step, Vote, VoterIndex};

use crate::support::{Core, Table, WINDOW, approve, drain, guilty, held, kept, sleep_until, votes};

with_both_cores!(
    two_votes_are_evidence_once,
    each_traitor_is_found_by_itself,
    other_ballots_are_no_guilt,
    evidence_of_others_is_believed_if_it_is_signed,
    the_first_vote_counts,
    who_comes_back_is_not_guilty,
);

fn voter<A: Core>(table: &Table) -> Instance<A> {
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, table.proposal("one"), None)), 0).unwrap();
    drain(&mut voter);
    voter
}

/// What a voter does with these votes.
fn hear<A: Core>(voter: &mut Instance<A>, votes: impl IntoIterator<Item = SignedVote>) -> Vec<Output> {
    for vote in votes {
        assert_eq!(voter.handle(Message::Vote(vote), 10), Ok(()));
    }
    drain(voter)
}

fn two_votes_are_evidence_once<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let other = table.digest(&table.proposal("other"));
    let mut voter = voter::<A>(&table);
    let pairs = [
        // The nil one is the lesser one, whichever comes first.
        (table.prevote(1, 0, Some(digest)), table.prevote(1, 0, None)),
        (table.precommit(1, 0, Some(digest)), table.precommit(1, 0, Some(other))),
        (table.prevote(1, 1, None), table.prevote(1, 1, Some(other))),
    ];
    let mut found = Vec::new();
    for (one, two) in pairs.clone() {
        found.extend(hear(&mut voter, [one.clone(), two.clone(), one, two]));
    }
    let [Output::Guilty(evidence)] = &found[..] else {
        panic!("one voter is found guilty once: {found:#?}");
    };
    let (one, two) = pairs[0].clone();
    assert_eq!(**evidence, Evidence::new(two, one).unwrap());
    assert_eq!(evidence.check(), Ok(()));
}

fn each_traitor_is_found_by_itself<A: Core>() {
    let table = Table::owned(7);
    let digest = table.digest(&table.proposal("one"));
    let mut voter = voter::<A>(&table);
    for traitor in [1, 2] as [VoterIndex; 2] {
        let outputs = hear(&mut voter, [table.precommit(traitor, 0, None), table.precommit(traitor, 0, Some(digest))]);
        assert_eq!(guilty(&outputs), 1);
    }
}

fn other_ballots_are_no_guilt<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let with = |value, choice, reason: &str| {
        let ballot = Some(Ballot { choice, reason: reason.to_owned() });
        Vote { ballot, ..table.unsigned(1, 0, Step::Prevote, value) }.sign(table.key(1)).unwrap()
    };
    let mut first = voter::<A>(&table);
    let same = [with(None, Choice::Reject, ""), with(None, Choice::Abstain, ""), with(None, Choice::Reject, "late")];
    assert_eq!(hear(&mut first, same), []);
    let mut second = voter::<A>(&table);
    let same = [with(Some(digest), Choice::Approve, "good"), with(Some(digest), Choice::Approve, "very good")];
    assert_eq!(hear(&mut second, same), []);
    assert_eq!(kept(&second, "SignedVote"), 1);
}

fn evidence_of_others_is_believed_if_it_is_signed<A: Core>() {
    let table = Table::owned(4);
    let digest = table.digest(&table.proposal("one"));
    let evidence = Evidence::new(table.precommit(1, 0, None), table.precommit(1, 0, Some(digest))).unwrap();
    let mut voter = voter::<A>(&table);
    for times in [1, 0, 0] {
        assert_eq!(voter.handle(Message::Evidence(evidence.clone()), 10), Ok(()));
        assert_eq!(guilty(&drain(&mut voter)), times);
    }
}

/// And the others are not kept: not by the voter, nor by the algorithm under it.
fn the_first_vote_counts<A: Core>() {
    let table = Table::owned(4);
    let mut voter = voter::<A>(&table);
    let digests: Vec<_> = (0..20).map(|n| table.digest(&table.proposal(&format!("{n}")))).collect();
    let outputs = hear(&mut voter, digests.iter().map(|digest| table.precommit(1, 0, Some(*digest))));
    assert_eq!(guilty(&outputs), 1);
    assert_eq!(kept(&voter, "SignedVote"), 1);
    assert_eq!(held(&voter, 0, Step::Precommit).len(), 1);
    let printed = format!("{voter:?}");
    for digest in &digests[1..] {
        assert!(!printed.contains(&format!("{digest:?}")), "{digest} is kept somewhere");
    }
}

/// What it says once more is what it has said; and it does not say another thing when it hears its own votes.
fn who_comes_back_is_not_guilty<A: Core>() {
    let table = Table::owned(4);
    let value = table.proposal("one");
    let digest = table.digest(&value);
    let mut voter = table.voter::<A>(0);
    voter.handle(Message::Propose(table.propose(0, value, None)), 0).unwrap();
    voter.judge(digest, approve(), 0).unwrap();
    let mut outputs = hear(&mut voter, [1, 2].map(|other| table.prevote(other, 0, Some(digest))));
    let mut saved = None;
    let mut observer = table.voter::<A>(3);
    for times in 0..3 {
        for output in outputs {
            match output {
                Output::Persist(to_keep) => saved = Some(*to_keep),
                Output::Say(message) => observer.handle(*message, 10).unwrap(),
                Output::Ask(_) | Output::Judge(_) | Output::Guilty(_) | Output::Decided(_) => {}
            }
        }
        let mut back = table.restore::<A>(0, saved.clone().unwrap(), 100 * times);
        sleep_until(&mut back, WINDOW * 2);
        outputs = drain(&mut back);
        for own in votes(&outputs.clone()).into_iter().cloned() {
            assert_eq!(hear(&mut back, [own]), []);
        }
        assert_eq!(guilty(&drain(&mut observer)), 0);
    }
}
