use mesh_proto::Strict;
use mesh_proto::credential::{Credential, Revocation};

use super::*;

const UNIX_S: u64 = 1_700_000_000;

fn at(mono: u64) -> Now {
    Now { mono: Mono(mono), unix: UNIX_S * 1_000 + mono }
}

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn charter(open: bool) -> Charter {
    Charter { v: 1, name: "lab".into(), founders: vec![key(1).node()], threshold: 1, voters: vec![], open }
}

/// The credential of a founder for this node, for so many seconds.
fn credential(of: &Keypair, role: Role, seconds: u64) -> Chain {
    let serial = Serial { issuer: key(1).node(), day: UNIX_S / 86_400, number: 3 };
    let (mesh, not_before) = (charter(false).mesh().unwrap(), UNIX_S - 10);
    let credential =
        Credential { mesh, subject: of.node(), role, invites: 0, not_before, not_after: UNIX_S + seconds, serial };
    Chain(vec![credential.sign(&key(1)).unwrap()])
}

fn node(seed: u8, chain: Chain) -> Admission {
    let charter = charter(false);
    let mesh = charter.mesh().unwrap();
    Admission::new(Config::default(), (charter, mesh), (key(seed), chain), Arc::new(Strict), [seed; 32])
}

fn drain(admission: &mut Admission) -> Vec<Output> {
    std::iter::from_fn(|| admission.poll_output()).collect()
}

fn turned_away(node: NodeId, refusal: impl Into<Refusal>, was_inside: bool) -> Output {
    let refusal = refusal.into();
    Output::TurnedAway { node, refusal, was_inside, lingers: refusal == CredentialError::Revoked.into() }
}

/// Two neighbours meet: what came of it on each side, but for what they said.
fn meet(one: &mut Admission, other: &mut Admission, now: Now) -> [Vec<Output>; 2] {
    let (a, b) = (one.key.node(), other.key.node());
    one.connected(b, now);
    other.connected(a, now);
    let mut ends = [Vec::new(), Vec::new()];
    loop {
        let outputs = [drain(one), drain(other)];
        if outputs.iter().all(Vec::is_empty) {
            return ends;
        }
        for (side, outputs) in outputs.into_iter().enumerate() {
            for output in outputs {
                match output {
                    Output::Tell(_, frame) if side == 0 => other.handle(a, frame, now),
                    Output::Tell(_, frame) => one.handle(b, frame, now),
                    Output::Admitted(..) | Output::TurnedAway { .. } => ends[side].push(output),
                    Output::Close(_) | Output::Expelled(_) | Output::Forgotten(_) | Output::Lost(_) => {
                        panic!("nobody expels: {output:?}")
                    }
                }
            }
        }
    }
}

#[test]
fn two_members_let_each_other_in() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    let mut other = node(3, credential(&key(3), Role::Voter, 2_000));
    let standing = |role, seconds| Standing { role, invites: 0, until: UNIX_S + seconds };
    let ends = meet(&mut one, &mut other, at(0));
    assert_eq!(ends[0], [Output::Admitted(key(3).node(), standing(Role::Voter, 2_000))]);
    assert_eq!(ends[1], [Output::Admitted(key(2).node(), standing(Role::Member, 1_000))]);
    assert!(one.may_speak(&key(3).node(), at(0)));
    one.disconnected(&key(3).node());
    assert!(!one.may_speak(&key(3).node(), at(0)), "it has to show it again");
}

#[test]
fn strangers_stay_outside_of_a_private_mesh() {
    let mut member = node(2, credential(&key(2), Role::Member, 1_000));
    let mut stranger = node(3, Chain::default());
    let [of_member, of_stranger] = meet(&mut member, &mut stranger, at(0));
    assert_eq!(of_member, [turned_away(key(3).node(), CredentialError::Missing, false)]);
    member.disconnected(&key(3).node());
    assert!(matches!(of_stranger[..], [Output::Admitted(..)]), "it knows that the other one is in");
    member.connected(key(3).node(), at(1_000));
    assert_eq!(drain(&mut member), [turned_away(key(3).node(), Refusal::Again, false)]);
    member.disconnected(&key(3).node());
    member.connected(key(3).node(), at(60_000));
    assert!(matches!(drain(&mut member)[..], [Output::Tell(_, Frame::Greeting(_))]), "after a while it may try again");
}

#[test]
fn anybody_listens_in_an_open_mesh() {
    let open = |seed| {
        let charter = charter(true);
        let mesh = charter.mesh().unwrap();
        let chain = Chain::default();
        Admission::new(Config::default(), (charter, mesh), (key(seed), chain), Arc::new(Strict), [seed; 32])
    };
    let (mut one, mut other) = (open(2), open(3));
    meet(&mut one, &mut other, at(0));
    assert_eq!(one.standing(&key(3).node()).unwrap().role, Role::Observer);
    assert!(!one.may_speak(&key(3).node(), at(0)));
}

#[test]
fn who_is_late_or_breaks_the_rules_is_turned_away() {
    let other = key(3).node();
    let fresh = || {
        let mut member = node(2, credential(&key(2), Role::Member, 1_000));
        member.connected(other, at(0));
        drain(&mut member);
        member
    };
    let mesh = charter(false).mesh().unwrap();
    let greeting = |mesh| Frame::Greeting(Greeting { mesh, nonce: ByteArray::new([9; 32]) });
    let proof =
        || Frame::Proof(Proof { chain: credential(&key(3), Role::Member, 1_000), signature: ByteArray::new([0; 64]) });

    let mut member = fresh();
    assert_eq!(member.poll_timeout(), Some(Mono(5_000)));
    member.handle_timeout(at(4_999));
    assert_eq!(drain(&mut member), []);
    member.handle_timeout(at(5_000));
    assert_eq!(drain(&mut member), [turned_away(other, Refusal::Silent, false)]);
    member.disconnected(&other);
    assert!(member.connected(other, at(5_001)), "it may have been on its way to get a credential");
    member.handle(other, greeting(mesh), at(5_002));
    drain(&mut member);
    member.handle_timeout(at(10_001));
    assert_eq!(drain(&mut member), [turned_away(other, Refusal::Late, false)]);

    let cases = [
        ("a proof before a greeting", vec![proof()]),
        ("five greetings", vec![greeting(mesh); 5]),
        ("a forged proof", vec![greeting(mesh), proof()]),
    ];
    for (what, frames) in cases {
        let mut member = fresh();
        for frame in frames {
            member.handle(other, frame, at(1));
        }
        assert_eq!(drain(&mut member).last(), Some(&turned_away(other, Refusal::Offence, false)), "{what}");
    }
    let mut member = fresh();
    member.handle(other, greeting(MeshId([9; 32])), at(1));
    assert_eq!(drain(&mut member), [turned_away(other, Refusal::OtherMesh, false)]);
    member.handle(other, greeting(mesh), at(2));
    assert_eq!(drain(&mut member), [], "it is outside, whatever it says");
    let mut member = fresh();
    member.handle(key(4).node(), greeting(mesh), at(1));
    let nobody = turned_away(key(4).node(), Refusal::Offence, false);
    assert_eq!(drain(&mut member), [nobody], "somebody who is not there");
}

#[test]
fn a_standing_ends_with_its_credential() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    let mut other = node(3, credential(&key(3), Role::Member, 20));
    meet(&mut one, &mut other, at(0));
    assert_eq!(one.poll_timeout(), Some(Mono(20_000)));
    one.handle_timeout(at(19_999));
    assert_eq!(drain(&mut one), []);
    one.handle_timeout(at(20_000));
    assert_eq!(drain(&mut one), [turned_away(key(3).node(), CredentialError::Expired, true)]);
    one.disconnected(&key(3).node());
    other.disconnected(&key(2).node());
    other.renew(credential(&key(3), Role::Member, 500));
    let [of_one, _] = meet(&mut one, &mut other, at(20_100));
    assert!(matches!(of_one[..], [Output::Admitted(..)]), "it comes back at once with a new one");
}

#[test]
fn who_is_revoked_goes_at_once_and_stays_outside() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    let mut other = node(3, credential(&key(3), Role::Member, 1_000));
    meet(&mut one, &mut other, at(0));
    let mesh = charter(false).mesh().unwrap();
    let serial = Serial { issuer: key(1).node(), day: UNIX_S / 86_400, number: 3 };
    let revocation =
        |by: &Keypair, until| Revocation { mesh, serial, earlier: None, until, by: by.node() }.sign(by).unwrap();
    assert!(!one.revoke(&revocation(&key(3), UNIX_S + 1_000), 0, at(1)), "by somebody who may not");
    assert!(!one.revoke(&revocation(&key(1), UNIX_S), 0, at(1)), "it is over");
    assert!(!one.revoke(&revocation(&key(1), serial.over() + 1), 0, at(1)), "for longer than it has to be remembered");
    let announced = credential(&key(4), Role::Member, 1_000);
    assert!(one.learn(key(4).node(), &announced, at(1)).is_ok(), "somebody elsewhere, with the same number");
    assert_eq!(drain(&mut one), []);
    let good = revocation(&key(1), UNIX_S + 1_000);
    assert!(one.revoke(&good, 7, at(1)), "handed on");
    assert!(!one.revoke(&good, 7, at(1)), "once");
    let gone = turned_away(key(3).node(), CredentialError::Revoked, true);
    // All of them have the same number here, this one too.
    let lost = Output::Lost(CredentialError::Revoked);
    let told = Output::Tell(key(3).node(), Frame::Revoked(good.clone()));
    assert_eq!(drain(&mut one), [told, gone, Output::Expelled(key(4).node()), lost.clone()]);
    assert_eq!(one.poll_timeout(), Some(Mono(1_001)));
    one.handle_timeout(at(1_001));
    assert_eq!(drain(&mut one), [Output::Close(key(3).node())], "when it has heard why");
    assert!(!one.may_speak(&key(4).node(), at(2)) && one.learn(key(4).node(), &announced, at(2)).is_err());
    assert_eq!(one.revocations_from(7).collect::<Vec<_>>(), [&good]);
    assert_eq!(one.revocations_from(8).count(), 0);
    one.disconnected(&key(3).node());
    other.disconnected(&key(2).node());
    let [of_one, _] = meet(&mut one, &mut other, at(61_000));
    assert_eq!(of_one, [turned_away(key(3).node(), CredentialError::Revoked, false)]);
    other.revoke(&good, 0, at(61_000));
    assert!(drain(&mut other).contains(&lost), "whoever it is about is told");
}

#[test]
fn bounds_hold() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    one.config.max_away = 3;
    one.config.max_revocations = 3;
    one.config.max_members = 3;
    for n in 10..20 {
        one.connected(key(n).node(), at(n.into()));
        one.handle(
            key(n).node(),
            Frame::Proof(Proof { chain: Chain::default(), signature: ByteArray::new([0; 64]) }),
            at(n.into()),
        );
        assert_eq!(one.away.len(), 3.min(usize::from(n) - 9));
        one.learn(key(n).node(), &credential(&key(n), Role::Member, n.into()), at(0)).unwrap();
        assert_eq!(one.members.len(), 3.min(usize::from(n) - 9));
    }
    assert!(one.members.contains_key(&key(19).node()), "those that last longest");
    assert!(one.away.contains_key(&key(19).node()), "the last ones");
    let mesh = charter(false).mesh().unwrap();
    for number in 0..5 {
        let serial = Serial { issuer: key(1).node(), day: UNIX_S / 86_400, number };
        let until = UNIX_S + 100 + u64::from(number);
        let signed = Revocation { mesh, serial, earlier: None, until, by: key(1).node() }.sign(&key(1)).unwrap();
        assert!(one.revoke(&signed, 0, at(0)));
        assert_eq!(one.revoked.len(), 3.min(number as usize + 1));
    }
    assert!(one.revoked.keys().all(|serial| serial.number >= 2), "those that last longest");
    one.handle_timeout(at(200_000));
    assert_eq!(one.revoked.len(), 0, "and nothing for ever");
}

#[test]
fn strangers_take_nothing_back_for_which_others_have_to_make_room() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    one.config.max_revocations = 3;
    let mesh = charter(false).mesh().unwrap();
    // Whoever lets others in is known by what it has announced.
    let invites = Credential { invites: 9, ..credential(&key(4), Role::Member, 1_000).0[0].credential };
    one.learn(key(4).node(), &Chain(vec![invites.sign(&key(1)).unwrap()]), at(0)).unwrap();
    let revoke = |one: &mut Admission, by: u8, day: u64, number: u32| {
        let serial = Serial { issuer: key(by).node(), day, number };
        let signed = Revocation { mesh, serial, earlier: None, until: serial.over(), by: key(by).node() }
            .sign(&key(by))
            .unwrap();
        one.revoke(&signed, 0, at(0))
    };
    let today = UNIX_S / 86_400;
    assert!(revoke(&mut one, 9, today + 1_000, 50) && revoke(&mut one, 9, today + 1_000, 51));
    assert!(revoke(&mut one, 1, today, 50) && revoke(&mut one, 4, today, 51), "a stranger's makes room");
    assert!(revoke(&mut one, 1, today, 52));
    assert!(!revoke(&mut one, 9, today + 1_000, 53), "there is no room for a stranger's");
    assert!(revoke(&mut one, 1, today - 1, 54), "an inviter's makes room for a founder's");
    assert!(one.revoked.keys().all(|serial| serial.issuer == key(1).node()));
    assert!(!revoke(&mut one, 4, today + 1_000, 55));
    let forgotten = drain(&mut one).iter().filter(|output| matches!(output, Output::Forgotten(_))).count();
    assert_eq!(forgotten, 3, "what is forgotten is told, what is not taken is not");
}

#[test]
fn a_meeting_outlives_a_stream_that_breaks() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    let mut other = node(3, credential(&key(3), Role::Member, 1_000));
    let (a, b) = (key(2).node(), key(3).node());
    one.connected(b, at(0));
    other.connected(a, at(0));
    // What the first one said is lost, both greeting and proof.
    drain(&mut one);
    for output in drain(&mut other) {
        let Output::Tell(_, frame) = output else { panic!("{output:?}") };
        one.handle(b, frame, at(1));
    }
    drain(&mut one);
    one.broken(&b);
    let again = drain(&mut one);
    assert_eq!(again.len(), 2, "a greeting and a proof");
    for output in again {
        let Output::Tell(_, frame) = output else { panic!("{output:?}") };
        other.handle(a, frame, at(2));
    }
    for output in drain(&mut other) {
        if let Output::Tell(_, frame) = output {
            one.handle(b, frame, at(3));
        }
    }
    assert!(one.standing(&b).is_some() && other.standing(&a).is_some());
    for _ in 0..10 {
        one.broken(&b);
    }
    assert_eq!(drain(&mut one).iter().filter(|output| matches!(output, Output::Tell(..))).count(), 0, "it is in");
}

#[test]
fn who_comes_back_before_it_was_missed_is_let_in_again() {
    let mut one = node(2, credential(&key(2), Role::Member, 1_000));
    let mut other = node(3, credential(&key(3), Role::Member, 1_000));
    meet(&mut one, &mut other, at(0));
    // The other one's links are gone, and it makes a new one; ours is still there.
    other.disconnected(&key(2).node());
    let [of_one, of_other] = meet(&mut one, &mut other, at(100));
    assert_eq!(of_one, [], "it has been in all the time");
    assert!(matches!(of_other[..], [Output::Admitted(..)]));
    assert!(one.standing(&key(3).node()).is_some());
    one.handle_timeout(at(5_200));
    assert_eq!(drain(&mut one), [], "nobody is late");
}

#[test]
fn founders_need_no_credential() {
    let mut founder = node(1, Chain::default());
    let mut member = node(2, credential(&key(2), Role::Member, 1_000));
    let [_, of_member] = meet(&mut founder, &mut member, at(0));
    assert_eq!(of_member, [Output::Admitted(key(1).node(), Standing::FOUNDER)]);
    assert!(member.may_speak(&key(1).node(), at(1_000_000)));
}
