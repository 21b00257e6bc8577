use mesh_proto::Strict;
use mesh_proto::credential::{Credential, DAY_S, Redemption, SignedCredential};

use super::*;

const UNIX_S: u64 = 1_700_000_000;

fn at(mono: u64) -> Now {
    Now { mono: Mono(mono), unix: UNIX_S * 1_000 + mono }
}

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn charter() -> Charter {
    let mut founders = vec![key(1).node(), key(2).node()];
    founders.sort_unstable();
    Charter { v: 1, name: "lab".into(), founders, threshold: 1, voters: vec![], open: false }
}

fn mesh() -> MeshId {
    charter().mesh().unwrap()
}

/// The first founder's, for so many seconds.
fn credential(of: &Keypair, number: u32, seconds: u64) -> SignedCredential {
    let serial = Serial { issuer: key(1).node(), day: UNIX_S / DAY_S, number };
    let (not_before, not_after) = (UNIX_S - 10, UNIX_S + seconds);
    let (mesh, subject) = (mesh(), of.node());
    Credential { mesh, subject, role: Role::Member, invites: 2, not_before, not_after, serial }.sign(&key(1)).unwrap()
}

fn node(seed: u8, kept: Kept) -> Access {
    Access::new(Config::default(), (charter(), mesh()), (key(seed), kept), Arc::new(Strict), [[seed; 32]; 2], at(0))
}

fn with(chain: Vec<SignedCredential>) -> Kept {
    let mut kept = Kept::default();
    kept.admit(Chain(chain), &charter());
    kept
}

fn revocation(signed: &SignedCredential) -> SignedRevocation {
    let serial = signed.credential.serial;
    Revocation { mesh: mesh(), serial, earlier: None, until: serial.over(), by: key(1).node() }.sign(&key(1)).unwrap()
}

fn drain(access: &mut Access) -> Vec<Output> {
    std::iter::from_fn(|| access.poll_output()).collect()
}

/// Writes that were asked for: their numbers, and what they change.
fn writes(outputs: &[Output]) -> Vec<(u64, Vec<Change>)> {
    let keep = |output: &Output| match output {
        Output::Keep(write, changes) => Some((*write, changes.clone())),
        Output::Tell(..)
        | Output::Admitted(_)
        | Output::TurnedAway { .. }
        | Output::Close(_)
        | Output::Expelled(_)
        | Output::Say(_)
        | Output::Ask(..)
        | Output::Settled(..)
        | Output::Reply(..)
        | Output::Renewed
        | Output::Event(_) => None,
    };
    outputs.iter().filter_map(keep).collect()
}

fn invite(access: &mut Access) -> Issued<Invite> {
    access.invite(vec![], (Role::Member, 0), 60, at(0)).unwrap()
}

fn redeem(invite: &Invite, by: &Keypair) -> Request {
    Request::Redeem(Redemption::new(invite, by.node()))
}

#[test]
fn one_write_at_a_time_and_nothing_is_given_away_before_it() {
    let mut founder = node(1, Kept::default());
    let (first, second, third) = (invite(&mut founder), invite(&mut founder), invite(&mut founder));
    assert_eq!((first.write, second.write, third.write), (1, 2, 2), "those that wait go together");
    let outputs = drain(&mut founder);
    assert_eq!(writes(&outputs).len(), 1);
    founder.asked(7, key(3).node(), &redeem(&first.it, &key(3)), at(1));
    assert!(!drain(&mut founder).iter().any(|output| matches!(output, Output::Reply(..) | Output::Keep(..))));

    founder.kept(1, true);
    let outputs = drain(&mut founder);
    assert_eq!(outputs[0], Output::Settled(1, true));
    let [(2, changes)] = &writes(&outputs)[..] else { panic!("{outputs:?}") };
    let keys: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys[..2], ["access/numbers", "access/numbers"], "in order: {keys:?}");
    assert!(keys[2].starts_with("access/redeemed/"));
    founder.kept(2, true);
    let outputs = drain(&mut founder);
    let event = Output::Event(Event::Redeemed {
        serial: first.it.invitation.invitation.serial,
        node: key(3).node(),
        role: Role::Member,
    });
    assert_eq!(outputs[..2], [Output::Settled(2, true), event], "nor is anybody told of it");
    assert!(matches!(&outputs[2..], [Output::Reply(7, answer)] if matches!(**answer, Answer::Admitted(_))));
}

#[test]
fn who_waits_for_a_write_is_told_even_if_there_is_nothing_to_keep() {
    let mut founder = node(1, Kept::default());
    let issued = invite(&mut founder);
    let what = Revoke::Serial(issued.it.invitation.invitation.serial);
    founder.kept(1, true);
    founder.revoke(what, 0, at(0)).unwrap();
    // While that is being kept, the same is taken back again.
    assert_eq!(founder.revoke(what, 0, at(0)), Ok(3));
    drain(&mut founder);
    founder.kept(2, true);
    assert_eq!(drain(&mut founder), [Output::Settled(2, true), Output::Keep(3, vec![])]);
    founder.kept(3, true);
    assert_eq!(drain(&mut founder), [Output::Settled(3, true)]);
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut founder = node(1, Kept::default());
    let issued = invite(&mut founder);
    founder.kept(1, true);
    let mut passes = Vec::new();
    for ticket in 0..2 {
        founder.asked(ticket, key(3).node(), &redeem(&issued.it, &key(3)), at(1));
        let write = writes(&drain(&mut founder))[0].0;
        founder.kept(write, true);
        passes.extend(
            drain(&mut founder)
                .into_iter()
                .filter_map(|output| if let Output::Reply(_, answer) = output { Some(answer) } else { None }),
        );
    }
    assert!(passes.len() == 2 && passes[0] == passes[1]);
}

#[test]
fn what_was_kept_is_gone_on_with_and_damage_is_seen() {
    let mut founder = node(1, Kept::default());
    let issued = invite(&mut founder);
    founder.kept(1, true);
    founder.asked(0, key(3).node(), &redeem(&issued.it, &key(3)), at(1));
    founder.kept(2, true);
    let gone = credential(&key(4), 77, 1_000);
    assert!(founder.revoked(&revocation(&gone), 0, at(1)));
    founder.kept(3, true);
    let mut disk = BTreeMap::new();
    let own = with(vec![credential(&key(5), 5, 1_000)]);
    let mut kept = Kept::default();
    disk.extend(kept.admit(own.credentials.clone(), &charter()).map(|change| (change.key, change.value.unwrap())));
    for (_, changes) in writes(&drain(&mut founder)) {
        disk.extend(changes.into_iter().map(|change| (change.key, change.value.unwrap())));
    }
    assert_eq!(disk.len(), 4, "{:?}", disk.keys());
    let mut entries = disk.clone();
    entries.insert("slot/1".into(), Bytes::new());
    let kept = Kept::restore(&mut entries).unwrap();
    assert_eq!(entries.len(), 1, "others' records are left");
    assert_eq!((kept.revoked.len(), &kept.credentials), (1, &own.credentials));

    let mut again = node(1, Kept { credentials: Chain::default(), ..kept });
    again.asked(0, key(6).node(), &redeem(&issued.it, &key(6)), at(1));
    assert_eq!(drain(&mut again), [Output::Reply(0, Box::new(Answer::Refused(NotAdmitted::Used)))]);
    assert!(again.admission().is_revoked(&gone.credential.serial));
    assert_eq!(invite(&mut again).it.invitation.invitation.serial.number, 1, "the next number");

    for key in disk.keys() {
        let mut flipped = disk.clone();
        let mut bytes = flipped[key].to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        flipped.insert(key.clone(), bytes.into());
        assert_eq!(Kept::restore(&mut flipped).unwrap_err(), Damaged(key.clone()));
        let mut short = disk.clone();
        short.insert(key.clone(), Bytes::from_static(&[1; 31]));
        assert_eq!(Kept::restore(&mut short).unwrap_err(), Damaged(key.clone()));
    }
    for unknown in ["access/else", "access/redeemed/1", "access/redeemed/a/b"] {
        let mut strange = disk.clone();
        strange.insert(unknown.to_owned(), disk["access/numbers"].clone());
        assert_eq!(Kept::restore(&mut strange).unwrap_err(), Damaged(unknown.to_owned()));
    }
}

#[test]
fn the_better_credentials_are_shown() {
    let (short, long) = (credential(&key(5), 1, 500), credential(&key(5), 2, 1_000));
    let mut kept = with(vec![short.clone()]);
    assert!(kept.admit(Chain::default(), &charter()).is_none());
    assert!(kept.admit(Chain(vec![long.clone()]), &charter()).is_some());
    assert!(kept.admit(Chain(vec![short.clone()]), &charter()).is_none() && kept.credentials.0[0] == long);
    // Longer, but taken back.
    kept.revoked.push(revocation(&long));
    assert!(kept.admit(Chain(vec![short.clone()]), &charter()).is_some());
    assert_eq!(kept.credentials.0[0], short);
}

#[test]
fn each_time_another_one_is_asked_first_until_it_is_over() {
    let mut member = node(5, with(vec![credential(&key(5), 1, 200)]));
    drain(&mut member);
    let asked = |member: &mut Access, now: u64| {
        member.handle_timeout(at(now));
        drain(member).into_iter().find_map(|output| if let Output::Ask(whom, _) = output { Some(whom) } else { None })
    };
    assert_eq!(asked(&mut member, 99_999), None);
    assert_eq!(asked(&mut member, 100_000), Some(vec![key(1).node(), key(2).node()]), "who has issued it");
    assert_eq!(asked(&mut member, 129_999), None);
    assert_eq!(asked(&mut member, 130_000), Some(vec![key(2).node(), key(1).node()]));
    assert_eq!(asked(&mut member, 160_000), Some(vec![key(1).node(), key(2).node()]));
    assert_eq!(asked(&mut member, 190_000), Some(vec![key(2).node(), key(1).node()]));
    assert_eq!(asked(&mut member, 220_000), None, "it is over");
    assert_eq!(member.poll_timeout(), None, "and nothing is due any more");
}

#[test]
fn only_what_is_for_this_node_and_mesh_is_taken_as_an_answer() {
    let own = credential(&key(5), 1, 200);
    let mut member = node(5, with(vec![own.clone()]));
    let answer =
        |charter: Charter, of: SignedCredential| Answer::Admitted(Box::new(Pass { charter, chain: Chain(vec![of]) }));
    let next = credential(&key(5), 2, 1_000);
    let refused = [
        Answer::Refused(NotAdmitted::Unable),
        answer(Charter { name: "other".into(), ..charter() }, next.clone()),
        answer(charter(), credential(&key(6), 2, 1_000)),
    ];
    for wrong in refused {
        member.answered(wrong, at(0));
        assert_eq!(member.admission().chain().0[0], own);
    }
    assert_eq!(writes(&drain(&mut member)), []);
    member.answered(answer(charter(), next.clone()), at(0));
    assert_eq!(member.admission().chain().0[0], next);
    let outputs = drain(&mut member);
    assert!(outputs.contains(&Output::Renewed) && writes(&outputs)[0].1[0].key == CREDENTIALS);
}

#[test]
fn who_asks_for_the_next_credential_has_to_have_one_that_holds() {
    let mut founder = node(2, Kept::default());
    let asked = |founder: &mut Access, from: &Keypair, chain: Vec<SignedCredential>, now: u64| {
        founder.asked(0, from.node(), &Request::Renew(Chain(chain)), at(now));
        let reply = |output| if let Output::Reply(_, answer) = output { Some(*answer) } else { None };
        let mut answers: Vec<_> = drain(founder).into_iter().filter_map(reply).collect();
        if answers.is_empty() {
            founder.kept(founder.promised, true);
            answers.extend(drain(founder).into_iter().filter_map(reply));
        }
        answers.pop().unwrap()
    };
    let own = credential(&key(5), 1, 200);
    let stolen = asked(&mut founder, &key(6), vec![own.clone()], 0);
    assert_eq!(stolen, Answer::Refused(NotAdmitted::Forged));
    assert_eq!(asked(&mut founder, &key(6), vec![], 0), Answer::Refused(NotAdmitted::Forged));
    let Answer::Admitted(pass) = asked(&mut founder, &key(5), vec![own.clone()], 0) else { panic!("refused") };
    let (next, issuer) = (&pass.chain.0[0].credential, key(2).node());
    assert_eq!((next.role, next.invites, next.serial.issuer), (Role::Member, 2, issuer), "as before, by this founder");
    founder.revoked(&revocation(&own), 0, at(0));
    assert_eq!(asked(&mut founder, &key(5), vec![own.clone()], 0), Answer::Refused(NotAdmitted::Revoked));
    let late = asked(&mut founder, &key(8), vec![credential(&key(8), 8, 200)], 200_000);
    assert_eq!(late, Answer::Refused(NotAdmitted::Expired));
    let mut member = node(6, with(vec![credential(&key(6), 3, 1_000)]));
    let other = credential(&key(7), 4, 1_000);
    assert_eq!(asked(&mut member, &key(7), vec![other], 0), Answer::Refused(NotAdmitted::NotOurs));
}

#[test]
fn what_there_is_no_room_for_is_not_kept_either() {
    let config = Config {
        admission: admission::Config { max_revocations: 2, ..admission::Config::default() },
        ..Config::default()
    };
    let mut member = Access::new(
        config,
        (charter(), mesh()),
        (key(5), with(vec![credential(&key(5), 1, 1_000)])),
        Arc::new(Strict),
        [[5; 32]; 2],
        at(0),
    );
    let mut disk = BTreeMap::new();
    for number in 10..20 {
        assert!(member.revoked(&revocation(&credential(&key(9), number, 100)), 0, at(0)));
        while let [(write, changes)] = &writes(&drain(&mut member))[..] {
            for change in changes {
                match &change.value {
                    Some(value) => drop(disk.insert(change.key.clone(), value.clone())),
                    None => drop(disk.remove(&change.key)),
                }
            }
            member.kept(*write, true);
        }
    }
    assert_eq!(disk.len(), 2, "{:?}", disk.keys());
    // Nor what has ended while nobody was here.
    let kept = Kept::restore(&mut disk.clone()).unwrap();
    let later = Now { unix: (UNIX_S + 30 * DAY_S) * 1_000, ..at(0) };
    let (of, verifier) = ((charter(), mesh()), Arc::new(Strict));
    let mut again = Access::new(Config::default(), of, (key(5), kept), verifier, [[5; 32]; 2], later);
    let [(1, changes)] = &writes(&drain(&mut again))[..] else { panic!("nothing is forgotten") };
    let gone: Vec<_> = changes.iter().filter(|change| change.value.is_none()).map(|change| &change.key).collect();
    assert_eq!(gone, disk.keys().collect::<Vec<_>>());
}

#[test]
fn who_is_taken_back_goes_with_all_that_it_was_given() {
    let mut founder = node(1, with(vec![]));
    let invited = invite(&mut founder);
    drain(&mut founder);
    let bob = key(5);
    // It comes in by an invite, and renews.
    let mut given = Vec::new();
    let mut ask = |founder: &mut Access, request: &Request, now: Now| {
        founder.asked(1, bob.node(), request, now);
        founder.kept(u64::MAX - 1, true);
        for output in drain(founder) {
            if let Output::Reply(_, answer) = output {
                let Answer::Admitted(pass) = *answer else { panic!("{answer:?}") };
                given.push(pass.chain);
            }
        }
        given.clone()
    };
    let first = ask(&mut founder, &redeem(&invited.it, &bob), at(0)).remove(0);
    let both = ask(&mut founder, &Request::Renew(first), at(100_000));
    assert_eq!(both.len(), 2);
    for chain in &both {
        assert!(founder.admission().check(chain, &bob.node(), at(200_000)).is_ok());
    }
    let mut by_node = node(1, with(vec![]));
    by_node.learn(bob.node(), &both[1], at(200_000)).unwrap();
    by_node.revoke(Revoke::Node(bob.node()), 0, at(200_000)).unwrap();
    // By the invite that it came in with: only who has issued it knows who that was.
    founder.revoke(Revoke::Serial(invited.it.invitation.invitation.serial), 0, at(200_000)).unwrap();
    for of in [&founder, &by_node] {
        for chain in &both {
            let checked = of.admission().check(chain, &bob.node(), at(200_000));
            assert_eq!(checked, Err(CredentialError::Revoked), "the former one too");
        }
    }
    // It may be let in again.
    let again = founder.issue(bob.node(), (Role::Member, 0), at(260_000)).unwrap().it.chain;
    assert!(founder.admission().check(&again, &bob.node(), at(260_000)).is_ok());
    // What somebody says of a node counts for nothing but what it has issued itself.
    let of = both[1].0[0].credential.clone();
    let earlier = Some(Earlier { subject: bob.node(), not_before: of.not_before });
    let serial = Serial { issuer: key(9).node(), ..of.serial };
    let signed =
        Revocation { mesh: mesh(), serial, earlier, until: serial.over(), by: key(9).node() }.sign(&key(9)).unwrap();
    let mut other = node(1, with(vec![]));
    assert!(other.revoked(&signed, 0, at(0)));
    assert!(other.admission().check(&both[1], &bob.node(), at(200_000)).is_ok());
}
