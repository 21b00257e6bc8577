//! Private meshes: members find each other, strangers find nobody, and who was let in can be sent away again.

use std::collections::BTreeSet;

use bytes::Bytes;
use mesh_core::access::{self, Error, Revoke};
use mesh_core::admission::Refusal;
use mesh_core::intake::Verdict;
use mesh_core::node::{Event, Hearing, Input, SendError, Target};
use mesh_core::sealer::Sealer;
use mesh_core::{broadcast, directory, inviter, messaging, proposals};
use mesh_proto::agent::AgentRecord;
use mesh_proto::credential::{
    Answer, Chain, CredentialError, DAY_S, Frame, Invite, NotAdmitted, Redemption, Request, Revocation, Role, Serial,
    Standing,
};
use mesh_proto::decision::Proposal;
use mesh_proto::gossip::{Announcement, Batch, Item};
use mesh_proto::limits::MAX_ENVELOPE;
use mesh_proto::{Kind, MeshId, NodeId, codec, join};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::world::{HUB, World, key, private_charter};
use crate::{agent, ended, got, names, send};

/// The founder's place.
const FOUNDER: usize = 1;
/// How long an envelope waits for its author's announcement.
const HOLD: u64 = 2_000;

/// What `n` was told of who is let in.
fn told(world: &World, n: usize) -> impl Iterator<Item = (u64, access::Event)> {
    world.member(n).events.iter().filter_map(|(when, event)| {
        let Event::Access(event) = event else { return None };
        Some((*when, *event))
    })
}

fn publish(world: &mut World, n: usize, body: &'static str) {
    world.call(n, |node, now| node.publish("talk".into(), body.into(), now)).unwrap();
}

fn heard(world: &World, n: usize, body: &str) -> bool {
    world.member(n).broadcasts().iter().any(|(_, of)| of == body)
}

/// Has `n` issue an invite, and waits until it may be given away.
fn invite(world: &mut World, n: usize, what: (Role, u32)) -> Invite {
    let issued = world.call(n, |node, now| node.invite(vec![], what, 3_600, now)).unwrap();
    world.run_until(100, |world| world.member(n).settled >= (issued.write, true));
    assert!(world.member(n).settled.1);
    issued.it
}

fn redeem(world: &mut World, from: usize, to: usize, invite: &Invite) {
    world.ask(from, to, Request::Redeem(Redemption::new(invite, key(from).node())));
}

/// Has a newcomer redeem an invite and join; its place.
fn let_in(world: &mut World, by: usize, invite: &Invite) -> usize {
    let n = world.members().count();
    let before = world.answers.len();
    redeem(world, n, by, invite);
    world.run_until(1_000, |world| world.answers.len() > before);
    let Answer::Admitted(pass) = world.answers[before].2.clone() else { panic!("{:?}", world.answers[before]) };
    assert_eq!(pass.charter, private_charter());
    world.credentials.insert(n, pass.chain);
    world.join()
}

/// An envelope of a node that has no process here.
fn sealed(world: &World, author: &mut Sealer, kind: Kind, payload: Vec<u8>) -> Bytes {
    author.seal(kind, payload, world.time()).unwrap().wire().clone()
}

fn said(body: &str) -> Vec<u8> {
    let item = Item { topic: "talk".into(), body: Bytes::from(body.to_owned()) };
    codec::encode(&Batch { items: vec![item] }, MAX_ENVELOPE).unwrap()
}

fn announced(credentials: Chain) -> Vec<u8> {
    let agents = vec![AgentRecord::new("sybil".parse().unwrap(), [])];
    codec::encode(&Announcement { agents, credentials, ..Announcement::default() }, MAX_ENVELOPE).unwrap()
}

fn sealer(world: &World, n: usize) -> Sealer {
    Sealer::new(key(n), world.mesh(), world.time())
}

#[test]
fn members_find_each_other_and_talk_as_in_an_open_mesh() {
    let mut world = World::private(1, 8);
    for member in world.members() {
        assert_eq!(member.knows(), names(1..=8));
    }
    let call = send(&mut world, 2, agent("agent-5"), "hello", 5_000);
    publish(&mut world, 3, "to all");
    world.run(1_000);
    assert!(matches!(ended(&world, 2, call), Some((_, Ok(())))));
    assert_eq!(got(&world, 5), ["hello"]);
    assert!((0..=8).filter(|n| *n != 3).all(|n| heard(&world, n, "to all")));
    let now = world.time();
    let of = |n: usize| world.member(n).node.membership(now);
    assert!(of(FOUNDER).founder && of(FOUNDER).standing == Some(Standing::FOUNDER) && !of(FOUNDER).open);
    assert_eq!(of(2).standing.map(|standing| (standing.role, standing.invites)), Some((Role::Member, 0)));
    // They find each other again after a restart, and after an hour.
    world.kill(4);
    world.run(2_000);
    world.restart(4);
    world.announce(4, "agent-4");
    world.run(600_000);
    for member in world.members() {
        assert_eq!(member.knows(), names(1..=8));
    }
    world.assert_honest();
}

#[test]
fn a_stranger_learns_nothing_and_nothing_of_it_is_taken() {
    let mut world = World::private(2, 3);
    // It has the charter, which is no secret, and no credential.
    let stranger = world.join();
    world.run(3_000);
    publish(&mut world, 2, "secret");
    world.run(60_000);
    let member = world.member(stranger);
    assert!(member.knows().is_empty() && member.broadcasts().is_empty());
    assert!(!member.events.iter().any(|(_, event)| matches!(event, Event::Joined { .. })));
    assert!(world.lists.iter().all(|(_, to, _)| *to != stranger));
    assert!(!world.linked(HUB, stranger) || world.member(HUB).node.links() == 3);
    let refusals: BTreeSet<_> = told(&world, HUB)
        .filter_map(|(_, event)| {
            let access::Event::TurnedAway { node, refusal } = event else { return None };
            (node == world.id(stranger)).then(|| refusal.to_string())
        })
        .collect();
    let expected = [Refusal::from(CredentialError::Missing), Refusal::Again].map(|refusal| refusal.to_string());
    assert_eq!(refusals, expected.into());
    let id = world.id(stranger);
    assert!(world.members().take(4).all(|member| !member.node.knows(&id)));
    let speak = world.call(stranger, |node, now| node.publish("talk".into(), "let me in".into(), now));
    assert!(matches!(speak, Err(broadcast::Error::OnlyListens(_))));
}

#[test]
fn a_stranger_does_not_hammer_at_the_door() {
    let mut world = World::private(14, 1);
    let stranger = world.join();
    world.run(60_000);
    let tries =
        |world: &World| told(world, HUB).filter(|(_, event)| matches!(event, access::Event::TurnedAway { .. })).count();
    let first = tries(&world);
    world.run(60_000);
    assert!(tries(&world) - first <= 60, "{} tries in the second minute", tries(&world) - first);
    assert!(!world.linked(HUB, stranger) || world.member(HUB).node.links() == 1);
}

#[test]
fn a_relay_keeps_links_of_who_is_silent_or_in_another_mesh() {
    let mut world = World::private(3, 2);
    let silent = world.members().count();
    world.loss =
        Some(Box::new(move |from, to, input| (from == silent || to == silent) && matches!(input, Input::Auth { .. })));
    assert_eq!(world.join(), silent);
    let mut other = private_charter();
    other.name = "elsewhere".into();
    let foreign = silent + 1;
    world.foreign.insert(foreign, other);
    assert_eq!(world.join(), foreign);
    world.run(20_000);
    for n in [silent, foreign] {
        assert!(world.linked(HUB, n), "{n} needs the relay");
        assert!(world.member(n).knows().is_empty());
        assert!(world.lists.iter().all(|(_, to, _)| *to != n));
        let id = world.id(n);
        let now = world.time();
        assert!(!world.member(HUB).node.knows(&id));
        assert_eq!(world.member(HUB).node.hearing(&id, now), Hearing::No);
    }
    let refusal = |n: usize| {
        let id = world.id(n);
        told(&world, HUB).find_map(|(_, event)| {
            let access::Event::TurnedAway { node, refusal } = event else { return None };
            (node == id).then_some(refusal)
        })
    };
    assert_eq!((refusal(silent), refusal(foreign)), (Some(Refusal::Silent), Some(Refusal::OtherMesh)));
    assert_eq!(world.member(HUB).node.links(), 2, "of members");
}

#[test]
fn an_invite_lets_one_node_in() {
    let mut world = World::private(4, 2);
    let link = invite(&mut world, FOUNDER, (Role::Member, 0)).encode().unwrap();
    let invite = Invite::decode(&link).unwrap();
    let newcomer = let_in(&mut world, FOUNDER, &invite);
    world.announce(newcomer, &format!("agent-{newcomer}"));
    world.run(2_000);
    assert!(world.members().all(|member| member.knows() == names(1..=3)));
    let redeemed = access::Event::Redeemed {
        serial: invite.invitation.invitation.serial,
        node: world.id(newcomer),
        role: Role::Member,
    };
    assert!(told(&world, FOUNDER).any(|(_, event)| event == redeemed));
    // Others are refused by it, and by those who have not issued it.
    redeem(&mut world, 40, FOUNDER, &invite);
    redeem(&mut world, 41, 2, &invite);
    let mut forged = Redemption::new(&invite, key(42).node());
    forged.invitation.invitation.role = Role::Voter;
    world.ask(42, FOUNDER, Request::Redeem(forged));
    world.ask(43, FOUNDER, Request::Redeem(Redemption::new(&invite, key(42).node())));
    world.run(1_000);
    let refused = |n: usize| world.answers.iter().find(|(_, to, _)| *to == n).map(|(.., answer)| answer.clone());
    assert_eq!(refused(40), Some(Answer::Refused(NotAdmitted::Used)));
    assert_eq!(refused(41), Some(Answer::Refused(NotAdmitted::NotOurs)));
    assert_eq!(refused(42), Some(Answer::Refused(NotAdmitted::Forged)));
    assert_eq!(refused(43), Some(Answer::Refused(NotAdmitted::Forged)), "in another's name");
    for _ in 0..20 {
        redeem(&mut world, 44, FOUNDER, &invite);
    }
    world.run(1_000);
    assert_eq!(world.answers.last().map(|(.., answer)| answer), Some(&Answer::Refused(NotAdmitted::Busy)));
    world.assert_honest();
}

/// Two nodes redeem one invite of the founder, whose process dies at these times after that. How many got a pass.
fn race(seed: u64, deaths: &[u64]) -> usize {
    let mut world = World::private(seed, 1);
    let invite = invite(&mut world, FOUNDER, (Role::Member, 0));
    let ask = |world: &mut World, asker| redeem(world, asker, FOUNDER, &invite);
    (10..12).for_each(|asker| ask(&mut world, asker));
    for death in deaths {
        world.run(*death);
        world.kill(FOUNDER);
        world.run(1);
        world.restart(FOUNDER);
        (10..12).rev().for_each(|asker| ask(&mut world, asker));
    }
    world.run(500);
    (10..12).for_each(|asker| ask(&mut world, asker));
    world.run(500);
    let mut given = BTreeSet::new();
    for (_, to, answer) in &world.answers {
        if let Answer::Admitted(pass) = answer {
            assert_eq!(pass.chain.0[0].credential.subject, world.id(*to));
            given.insert(*to);
        }
    }
    // The numbers are not given anew either.
    let next = self::invite(&mut world, FOUNDER, (Role::Member, 0));
    assert!(next.invitation.invitation.serial.number > invite.invitation.invitation.serial.number);
    given.len()
}

#[test]
fn an_inviter_that_dies_at_any_moment_lets_one_node_in() {
    // The requests are there after 5 ms at the earliest, and the store has it after 4 more.
    for death in 0..32 {
        assert_eq!(race(100 + death, &[death]), 1, "it dies after {death} ms");
    }
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let deaths: Vec<_> = (0..1 + rng.next_u64() % 4).map(|_| rng.next_u64() % 30).collect();
        assert_eq!(race(1_000 + seed, &deaths), 1, "seed {seed}: it dies after {deaths:?} ms");
    }
}

#[test]
fn an_inviter_and_all_it_has_let_in_are_expelled_everywhere() {
    let mut world = World::private(5, 4);
    world.kill(2);
    world.run(1_000);
    world.grant(5, Role::Member, 2, 6 * DAY_S);
    let inviter = world.join();
    world.announce(inviter, "inviter");
    world.run(1_000);
    let links: Vec<_> = (0..2).map(|_| invite(&mut world, inviter, (Role::Member, 0))).collect();
    let third = world.call(inviter, |node, now| node.invite(vec![], (Role::Member, 0), 3_600, now));
    assert_eq!(third.map(drop), Err(Error::Inviter(inviter::Error::Quota(2))));
    let voter = world.call(inviter, |node, now| node.invite(vec![], (Role::Voter, 0), 3_600, now));
    assert_eq!(voter.map(drop), Err(Error::Inviter(inviter::Error::Role(Role::Voter))));
    let guest = let_in(&mut world, inviter, &links[0]);
    world.announce(guest, "guest");
    let call = send(&mut world, guest, agent("agent-3"), "thanks", 5_000);
    world.run(3_000);
    assert!(matches!(ended(&world, guest, call), Some((_, Ok(())))));
    assert!([HUB, FOUNDER, 3, 4].into_iter().all(|n| world.member(n).knows_agent("guest")));

    world.cut_off(4);
    world.run(1_000);
    let nobody = world.call(3, |node, now| node.revoke(Revoke::Node(key(5).node()), now));
    assert_eq!(nobody, Err(Error::NotOurs));
    let id = world.id(inviter);
    let write = world.call(FOUNDER, |node, now| node.revoke(Revoke::Node(id), now)).unwrap();
    let start = world.now();
    let gone = |world: &World, n: usize| {
        ["inviter", "guest"].iter().all(|name| !world.member(n).knows_agent(name))
            && ![inviter, guest].into_iter().any(|of| world.linked(n, of))
    };
    world.run_until(3_000, |world| [HUB, FOUNDER, 3].into_iter().all(|n| gone(world, n)));
    println!("gone everywhere after {} ms", world.now() - start);
    for n in [inviter, guest] {
        let lost = access::Event::Lost(CredentialError::Revoked);
        assert!(told(&world, n).any(|(_, event)| event == lost), "{n} knows why");
    }
    assert!(world.member(4).knows_agent("guest"), "it is cut off");
    // A newcomer does not hear of them.
    let late = world.members().count();
    world.grant(late, Role::Member, 0, 6 * DAY_S);
    assert_eq!(world.join(), late);
    world.cut.clear();
    world.run(5_000);
    assert!(world.member(FOUNDER).settled >= (write, true));
    for n in [HUB, FOUNDER, 3, 4, late] {
        assert!(gone(&world, n), "at {n}");
        assert!(world.member(n).knows_agent("agent-3"));
    }
    // What they say is not taken, whoever hands it on.
    let mut author = sealer(&world, guest);
    let chain = world.credentials[&guest].clone();
    for (kind, payload) in [(Kind::AgentAnnounce, announced(chain)), (Kind::SwarmBroadcast, said("still here"))] {
        let wire = sealed(&world, &mut author, kind, payload);
        world.pass_on(HUB, 3, &wire);
    }
    world.run(60_000);
    for n in [HUB, FOUNDER, 3, 4, late] {
        assert!(gone(&world, n) && !heard(&world, n, "still here"), "at {n}");
    }
    // Its second invite is of no use any more, and a founder stays.
    redeem(&mut world, 40, inviter, &links[1]);
    world.run(1_000);
    if let Some((.., Answer::Admitted(pass))) = world.answers.iter().find(|(_, to, _)| *to == 40).cloned() {
        let n = world.members().count();
        world.credentials.insert(n, Chain(pass.chain.0));
        world.join();
        world.run(5_000);
        assert!(world.member(n).knows().is_empty());
    }
    let founder = world.id(FOUNDER);
    let no = world.call(FOUNDER, |node, now| node.revoke(Revoke::Node(founder), now));
    assert_eq!(no, Err(Error::Founder));
    // A restart forgets nothing.
    world.kill(3);
    world.restart(3);
    world.run(3_000);
    assert!(gone(&world, 3) && world.member(3).knows_agent("agent-4"));
}

#[test]
fn a_revocation_that_is_lost_on_a_link_that_holds_ends_with_the_announcement() {
    let mut world = World::private(15, 4);
    let serial = world.credentials[&2].0[0].credential.serial;
    // Only gossip is lost, for a while.
    world.loss = Some(Box::new(|_, to, input| to == 4 && matches!(input, Input::Gossip { .. })));
    world.call(FOUNDER, |node, now| node.revoke(Revoke::Serial(serial), now)).unwrap();
    world.run(5_000);
    world.loss = None;
    assert!(world.member(4).knows_agent("agent-2"));
    assert!(!world.member(3).knows_agent("agent-2"));
    // What it says now is taken by nobody, so that nobody hands it on to the one that has missed it.
    world.run(400_000);
    assert!(!world.member(4).knows_agent("agent-2"), "when its announcement has expired at the latest");
}

#[test]
fn what_overtakes_its_authors_announcement_waits_for_it() {
    let mut world = World::private(6, 3);
    let newcomer = 50;
    world.grant(newcomer, Role::Member, 0, DAY_S);
    let chain = world.credentials[&newcomer].clone();
    let mut author = sealer(&world, newcomer);
    let early = sealed(&world, &mut author, Kind::SwarmBroadcast, said("early"));
    let announcement = sealed(&world, &mut author, Kind::AgentAnnounce, announced(chain));
    world.pass_on(HUB, 3, &early);
    world.run(500);
    assert!(!heard(&world, 3, "early"));
    world.pass_on(HUB, 3, &announcement);
    world.run(100);
    assert!(heard(&world, 3, "early"));
    let verdict = |world: &World, wire: &Bytes| {
        world.verdicts.iter().find(|(_, n, _, of)| *n == 3 && of == wire).map(|(_, _, verdict, _)| *verdict)
    };
    assert_eq!(verdict(&world, &early), Some(Verdict::Accept), "it is passed on");

    // One whose announcement never comes.
    let mut stranger = sealer(&world, 51);
    let never = sealed(&world, &mut stranger, Kind::SwarmBroadcast, said("never"));
    world.pass_on(HUB, 3, &never);
    world.run(HOLD - 100);
    assert_eq!(verdict(&world, &never), None);
    world.run(200);
    assert_eq!(verdict(&world, &never), Some(Verdict::Ignore));
    assert!(!heard(&world, 3, "never"));
    world.assert_honest();
}

#[test]
fn as_many_wait_as_there_is_room_for() {
    let mut world = World::private(7, 3);
    world.set_latency(10);
    let before = world.member(3).node.retained();
    // One author gets no more than its share.
    let mut one = sealer(&world, 60);
    for n in 0..20 {
        let wire = sealed(&world, &mut one, Kind::SwarmBroadcast, said(&format!("one {n}")));
        world.pass_on(HUB, 3, &wire);
    }
    world.run(50);
    let ignored = |world: &World| {
        world.verdicts.iter().filter(|(_, n, verdict, _)| *n == 3 && *verdict == Verdict::Ignore).count()
    };
    let settled = ignored(&world);
    assert_eq!(settled, 4);
    world.run(HOLD);
    assert_eq!(ignored(&world), 20);

    for author in 61..81 {
        let mut author = sealer(&world, author);
        for n in 0..15 {
            let wire = sealed(&world, &mut author, Kind::SwarmBroadcast, said(&format!("many {n}")));
            world.pass_on(HUB, 3, &wire);
        }
    }
    world.run(50);
    assert_eq!(ignored(&world), 20 + 300 - 256, "the oldest make room");
    world.run(HOLD);
    assert_eq!(ignored(&world), 320);
    assert!(world.member(3).node.retained() <= before + 2 * 21 + 8, "what waited is gone");
}

#[test]
fn a_thousand_sybils_with_stolen_credentials_are_not_taken() {
    let mut world = World::private(8, 3);
    let before = world.member(HUB).node.retained();
    let stolen = world.credentials[&3].clone();
    for n in 0..1_000 {
        let mut sybil = sealer(&world, 10_000 + n);
        let credentials = if n % 2 == 0 { Chain::default() } else { stolen.clone() };
        let wire = sealed(&world, &mut sybil, Kind::AgentAnnounce, announced(credentials));
        world.pass_on(2, HUB, &wire);
        let wire = sealed(&world, &mut sybil, Kind::SwarmBroadcast, said("buy"));
        world.pass_on(2, HUB, &wire);
        world.run(35);
    }
    world.run(HOLD);
    assert_eq!(world.member(HUB).knows(), names(1..=3));
    assert_eq!(world.member(HUB).node.metrics().nodes_known, 4);
    assert_eq!(world.member(HUB).node.metrics().strangers_refused, 1_000);
    assert!((0..=3).all(|n| world.member(n).broadcasts().is_empty()));
    assert!([1, 3].into_iter().all(|n| world.member(n).knows() == names(1..=3)), "nobody has heard of them");
    world.run(800_000);
    let after = world.member(HUB).node.retained();
    assert!(after <= before + 16, "{before} entries before, {after} after");
}

/// No link of `n` has gone since.
fn assert_no_link_lost(world: &World, n: usize, since: u64) {
    let lost = |(when, event): &&(u64, Event)| *when > since && matches!(event, Event::PeerDisconnected { .. });
    let lost: Vec<_> = world.member(n).events.iter().filter(lost).collect();
    assert!(lost.is_empty(), "{n}: {lost:?}");
}

#[test]
fn a_member_asks_for_its_next_credential_in_time() {
    let mut world = World::private(9, 2);
    let member = 3;
    world.grant(member, Role::Member, 0, 120);
    assert_eq!(world.join(), member);
    world.announce(member, "agent-3");
    world.run(3_000);
    let start = world.now();
    world.run(110_000);
    let renewed = told(&world, member).find(|(_, event)| matches!(event, access::Event::Renewed(_)));
    let Some((when, access::Event::Renewed(standing))) = renewed else { panic!("not renewed") };
    assert!((start + 50_000..start + 95_000).contains(&when), "from half of its time on: {when}");
    assert!(standing.until > (world.time().unix / 1_000) + 6 * DAY_S);
    world.run(60_000);
    publish(&mut world, member, "still here");
    world.run(1_000);
    for n in [HUB, FOUNDER, 2] {
        assert!(heard(&world, n, "still here"), "{n}");
        assert!(world.member(n).knows_agent("agent-3"));
    }
    for n in [HUB, member] {
        assert_no_link_lost(&world, n, start);
    }
    // What it got is in its store.
    world.credentials.remove(&member);
    world.kill(member);
    world.restart(member);
    world.run(3_000);
    let now = world.time();
    assert_eq!(world.member(member).node.membership(now).standing, Some(standing));
    world.assert_honest();
}

#[test]
fn a_founder_stands_in_for_an_issuer_that_is_gone() {
    let mut world = World::private(10, 2);
    let (inviter, member) = (3, 4);
    world.grant(inviter, Role::Member, 5, 400);
    world.join();
    let own = world.credential(inviter, member, (Role::Member, 0), 0, 400);
    let above = world.credentials[&inviter].0[0].clone();
    world.credentials.insert(member, Chain(vec![own, above]));
    assert_eq!(world.join(), member);
    world.announce(member, "agent-4");
    world.run(3_000);
    assert!(world.member(2).knows_agent("agent-4"));
    let start = world.now();
    world.kill(inviter);
    world.run(390_000);
    let renewed = told(&world, member).find(|(_, event)| matches!(event, access::Event::Renewed(_)));
    assert!(renewed.is_some(), "the founder has renewed it");
    let chain = world.member(member).node.pass().map(|pass| pass.chain.0);
    assert_eq!(chain.map(|chain| (chain.len(), chain[0].credential.serial.issuer)), Some((1, world.id(FOUNDER))));
    world.run(60_000);
    assert!(world.member(2).knows_agent("agent-4") && world.linked(HUB, member));
    let lost =
        |(when, event): &(u64, Event)| *when > start && *event == Event::PeerDisconnected { peer: key(member).node() };
    assert!(!world.member(HUB).events.iter().any(lost));
}

#[test]
fn whose_credential_ends_is_told_and_others_close() {
    let mut world = World::private(11, 3);
    let member = 4;
    world.grant(member, Role::Member, 0, 120);
    world.join();
    world.announce(member, "agent-4");
    world.run(3_000);
    world.kill(FOUNDER);
    let start = world.now();
    world.run(110_000);
    assert!(told(&world, member).all(|(_, event)| !matches!(event, access::Event::Lost(_))));
    assert!(world.linked(HUB, member));
    world.run(12_000);
    assert!(told(&world, member).any(|(_, event)| event == access::Event::Lost(CredentialError::Expired)));
    let lost =
        |(when, event): &(u64, Event)| *when > start && *event == Event::PeerDisconnected { peer: key(member).node() };
    assert!(world.member(HUB).events.iter().any(lost), "the hub has closed");
    let speak = world.call(member, |node, now| node.publish("talk".into(), "more".into(), now));
    assert!(matches!(speak, Err(broadcast::Error::OnlyListens(_))));
    world.run(60_000);
    let ends: Vec<_> = told(&world, member).filter(|(_, event)| matches!(event, access::Event::Lost(_))).collect();
    assert_eq!(ends.len(), 1, "once");
    let now = world.time();
    assert_eq!(world.member(member).node.membership(now).standing, None);

    // With a new one it is in again.
    world.kill(member);
    world.grant(member, Role::Member, 0, DAY_S);
    world.run(60_000);
    world.restart(member);
    world.announce(member, "agent-4");
    world.run(10_000);
    assert!(world.member(2).knows_agent("agent-4") && world.member(member).knows_agent("agent-2"));
}

#[test]
fn an_observer_hears_and_says_nothing() {
    let mut world = World::private(12, 2);
    let observer = 3;
    world.grant(observer, Role::Observer, 0, DAY_S);
    assert_eq!(world.join(), observer);
    world.run(3_000);
    let lists = world.lists.len();
    publish(&mut world, 2, "for all to hear");
    world.run(60_000);
    assert!(heard(&world, observer, "for all to hear"));
    assert_eq!(world.member(observer).knows(), names(1..=2));
    assert!(world.lists.len() <= lists + 2, "{} lists because of what it says", world.lists.len() - lists);

    let record = AgentRecord::new("observer".parse().unwrap(), []);
    let announce = world.call(observer, |node, now| node.announce(record, now));
    assert!(matches!(announce, Err(directory::Error::OnlyListens(_))));
    let publish = world.call(observer, |node, now| node.publish("talk".into(), "me too".into(), now));
    assert!(matches!(publish, Err(broadcast::Error::OnlyListens(_))));
    let to = Target::Node(world.id(2));
    let send = world.call(observer, |node, now| node.send(to, None, Bytes::new(), 1_000, now));
    assert!(matches!(send, Err(SendError::NotTaken(messaging::Error::OnlyListens(_)))));
    let propose = world.call(observer, |node, now| {
        let proposal =
            Proposal { kind: "test".into(), title: "no".into(), body: Bytes::new(), window: 2_000, at: now.unix };
        node.propose(proposal, now)
    });
    assert!(matches!(propose, Err(proposals::Error::OnlyListens(_))));
    let invite = world.call(observer, |node, now| node.invite(vec![], (Role::Observer, 0), 60, now));
    assert_eq!(invite.map(drop), Err(Error::Inviter(inviter::Error::Role(Role::Observer))));

    world.assert_honest();
    // What it says all the same, past its own checks, is not taken.
    let mut author = sealer(&world, observer);
    let wire = sealed(&world, &mut author, Kind::SwarmBroadcast, said("me too"));
    world.pass_on(observer, HUB, &wire);
    let chain = world.credentials[&observer].clone();
    let wire = sealed(&world, &mut author, Kind::AgentAnnounce, announced(chain));
    world.pass_on(observer, HUB, &wire);
    world.run(5_000);
    assert!((0..=2).all(|n| !heard(&world, n, "me too") && !world.member(n).knows_agent("sybil")));
}

#[test]
fn nothing_is_issued_when_the_store_fails() {
    let mut world = World::private(13, 2);
    let good = invite(&mut world, FOUNDER, (Role::Member, 0));
    world.disks_fail = true;
    let issued = world.call(FOUNDER, |node, now| node.invite(vec![], (Role::Member, 0), 3_600, now)).unwrap();
    redeem(&mut world, 40, FOUNDER, &good);
    world.run(100);
    assert_eq!(world.member(FOUNDER).settled, (issued.write, false), "it is not to be given away");
    world.disks_fail = false;
    redeem(&mut world, 41, FOUNDER, &good);
    world.run(100);
    for (_, to, answer) in &world.answers {
        assert_eq!(*answer, Answer::Refused(NotAdmitted::Unable), "{to}");
    }
    assert_eq!(world.answers.len(), 2);
    let again = world.call(FOUNDER, |node, now| node.invite(vec![], (Role::Member, 0), 3_600, now));
    assert_eq!(again.map(drop), Err(Error::StoreFailed));
    let id = world.id(2);
    assert_eq!(world.call(FOUNDER, |node, now| node.revoke(Revoke::Node(id), now)), Err(Error::StoreFailed));
    assert_eq!(
        world.call(FOUNDER, |node, now| node.issue(key(9).node(), (Role::Member, 0), now)).map(drop),
        Err(Error::StoreFailed)
    );
    // A new process with a store that works goes on, and the invite was not used.
    world.kill(FOUNDER);
    world.restart(FOUNDER);
    redeem(&mut world, 41, FOUNDER, &good);
    world.run(100);
    assert!(matches!(world.answers.last(), Some((_, 41, Answer::Admitted(_)))));
}

#[test]
fn who_floods_with_revocations_makes_nobody_forget_those_of_founders() {
    let mut world = World::private(16, 3);
    let id = world.id(3);
    world.call(FOUNDER, |node, now| node.revoke(Revoke::Node(id), now)).unwrap();
    world.run(1_000);
    assert!(!world.member(HUB).knows_agent("agent-3"));
    // Anybody can take back what it might have issued, for as long as the number's day lets it.
    let mesh: MeshId = world.mesh();
    let by = key(2);
    let day = u64::from(u32::MAX);
    let neighbour = world.id(2);
    let revocations: Vec<_> = (0..5_000)
        .map(|number| {
            let serial = Serial { issuer: by.node(), day, number };
            let until = serial.over();
            Revocation { mesh, serial, earlier: None, until, by: by.node() }.sign(&by).unwrap()
        })
        .collect();
    for some in revocations.chunks(128) {
        let reply = join::Reply::Revoked { revocations: some.to_vec() };
        world.call(HUB, |node, now| node.handle(Input::JoinReply { from: neighbour, reply }, now));
        world.run(5);
    }
    world.run(120_000);
    let now = world.time();
    assert!(!world.member(HUB).knows_agent("agent-3"));
    assert_ne!(world.member(HUB).node.hearing(&id, now), Hearing::Yes);
    let entries = world.member(HUB).node.retained();
    assert!(entries < 4_096 + 1_000, "{entries} entries");
}

#[test]
fn strangers_say_only_what_concerns_oneself() {
    let mut world = World::private(18, 2);
    let (mesh, by) = (world.mesh(), key(70));
    let before = world.member(HUB).node.retained();
    for number in 0..100 {
        let serial = Serial { issuer: by.node(), day: 40_000, number };
        let signed = Revocation { mesh, serial, earlier: None, until: serial.over(), by: by.node() }.sign(&by).unwrap();
        let input = Input::Auth { from: by.node(), frame: Frame::Revoked(signed) };
        world.call(HUB, |node, now| node.handle(input, now));
    }
    assert_eq!(world.member(HUB).node.retained(), before);
}

#[test]
fn one_seed_makes_one_history() {
    let history = || {
        let mut world = World::private(17, 4);
        let invite = invite(&mut world, FOUNDER, (Role::Member, 0));
        let newcomer = let_in(&mut world, FOUNDER, &invite);
        world.announce(newcomer, "newcomer");
        world.run(2_000);
        let node: NodeId = world.id(newcomer);
        world.call(FOUNDER, |of, now| of.revoke(Revoke::Node(node), now)).unwrap();
        world.run(20_000);
        world.trace()
    };
    assert_eq!(history(), history());
}
