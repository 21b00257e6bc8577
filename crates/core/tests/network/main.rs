//! Whole meshes of [`mesh_core::Node`]s, in memory and in virtual time: a hub and its leaves, as real deployments are.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::BTreeSet;

use bytes::Bytes;
use mesh_core::directory::{self, LeftReason};
use mesh_core::node::{CallId, Event, Input, SendError, Target};
use mesh_core::sealer::Sealer;
use mesh_proto::agent::AgentRecord;
use mesh_proto::gossip::Announcement;
use mesh_proto::limits::{MAX_ENVELOPE, MAX_JOIN_FRAME};
use mesh_proto::{Kind, codec, join};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_bytes::ByteBuf;

use world::{HUB, World, announces, key};

mod deciding;
mod knowing;
mod private;
mod world;

fn agent(name: &str) -> Target {
    Target::Agent(name.parse().unwrap(), None)
}

fn send(world: &mut World, from: usize, to: Target, body: &'static str, timeout_ms: u64) -> CallId {
    world.call(from, |node, now| node.send(to, None, Bytes::from(body), timeout_ms, now)).unwrap()
}

/// How a send of `n` has ended, and when.
fn ended(world: &World, n: usize, wanted: CallId) -> Option<(u64, Result<(), SendError>)> {
    for (when, event) in &world.member(n).events {
        if let Event::Sent { call, .. } = event
            && *call == wanted
        {
            return Some((*when, Ok(())));
        }
        if let Event::SendFailed { call, error } = event
            && *call == wanted
        {
            return Some((*when, Err(error.clone())));
        }
    }
    None
}

/// Bodies of the messages that `n` got.
fn got(world: &World, n: usize) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    for (_, event) in &world.member(n).events {
        if let Event::Message(incoming) = event {
            bodies.push(incoming.message.body.clone());
        }
    }
    bodies
}

fn names(names: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    names.into_iter().map(|n| format!("agent-{n}")).collect()
}

#[test]
fn everybody_knows_everybody() {
    let world = World::star(1, 20);
    for member in world.members() {
        assert_eq!(member.knows(), names(1..=20));
        assert_eq!(member.node.metrics().nodes_known, 21);
    }
    world.assert_honest();
}

#[test]
fn a_newcomer_is_handed_the_list_in_one_round_trip() {
    let mut world = World::star(2, 5);
    world.set_latency(10);
    world.set_subscribe(0);
    let newcomer = world.join();
    world.announce(newcomer, "agent-6");
    let start = world.now();
    world.run_until(1_000, |world| world.member(newcomer).knows() == names(1..=6));
    assert_eq!(world.now() - start, 10 + 2 * 10, "the link, and there and back");
    let joined = |(_, event): &(u64, Event)| matches!(event, Event::Joined { agents: 6, .. });
    assert!(world.member(newcomer).events.iter().any(joined));

    let known_to_all = |world: &World| world.members().all(|member| member.knows() == names(1..=6));
    world.run_until(1_000, known_to_all);
    assert_eq!(world.now() - start, 10 + 2 * 10, "its own went with the request, and from the hub to all");
    world.assert_honest();
}

#[test]
fn what_is_said_right_after_a_join_is_heard() {
    let joined =
        |world: &World, n: usize| world.member(n).events.iter().any(|(_, event)| matches!(event, Event::Joined { .. }));
    for (seed, subscribe) in [(31, 0), (32, 10), (33, 100), (34, 450)] {
        let mut world = World::star(seed, 3);
        world.set_subscribe(subscribe);
        let newcomer = world.join();
        world.run_until(1_000, |world| joined(world, newcomer));
        world.call(1, |node, now| node.publish("talk".into(), "welcome".into(), now)).unwrap();
        world.run(100);
        let heard = |(_, event): &(u64, Event)| matches!(event, Event::Broadcast { .. });
        assert!(world.member(newcomer).events.iter().any(heard), "subscribed after {subscribe} ms");
        world.assert_honest();
    }
}

#[test]
fn what_is_said_before_a_newcomer_listens_is_handed_over_too() {
    let mut world = World::star(21, 3);
    world.set_subscribe(700);
    let newcomer = world.join();
    world.run_until(650, |world| world.member(newcomer).knows() == names(1..=3));
    world.announce(2, "meanwhile");
    world.run(40);
    assert!(world.member(1).knows_agent("meanwhile") && !world.member(newcomer).knows_agent("meanwhile"));
    world.run_until(400, |world| world.member(newcomer).knows_agent("meanwhile"));
    world.assert_honest();
}

#[test]
fn a_thousand_members_are_handed_over_in_frames_within_their_bound() {
    let mut world = World::new(3);
    let hub = world.id(HUB);
    let metadata = ByteBuf::from(vec![7; 900]);
    for n in 1_000..2_000 {
        let mut sealer = Sealer::new(key(n), world.mesh(), world.time());
        let name = format!("agent-{n}").parse().unwrap();
        let record = AgentRecord { metadata: Some(metadata.clone()), ..AgentRecord::new(name, ["sum".into()]) };
        let announcement = Announcement { agents: vec![record], ..Announcement::default() };
        let payload = codec::encode(&announcement, MAX_ENVELOPE).unwrap();
        let envelope = sealer.seal(Kind::AgentAnnounce, payload, world.time()).unwrap();
        let reply = join::Reply::Members { announcements: vec![ByteBuf::from(envelope.wire().to_vec())], end: None };
        world.call(HUB, |node, now| node.handle(Input::JoinReply { from: hub, reply }, now));
    }
    assert_eq!(world.member(HUB).knows(), names(1_000..2_000));

    world.set_latency(10);
    world.set_subscribe(0);
    let start = world.now();
    let newcomer = world.join();
    world.run_until(1_000, |world| world.member(newcomer).knows().len() == 1_000);
    assert_eq!(world.now() - start, 30, "still one round trip");
    let sizes: Vec<_> = world.lists.iter().map(|(_, _, bytes)| *bytes).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= MAX_JOIN_FRAME), "{sizes:?}");
    assert!((30..45).contains(&sizes.len()), "1.2 MB in {} frames", sizes.len());
    let lists = sizes.len();
    world.run(10_000);
    assert!(world.lists[lists..].iter().all(|(_, _, bytes)| *bytes < 1_000), "it is not handed over again");
    world.assert_honest();
}

#[test]
fn broadcasts_reach_all_others_once_and_in_order() {
    let mut world = World::star(4, 15);
    let bodies = |n: usize| (0..40).map(move |i| Bytes::from(format!("{n}: {i}")));
    for (i, n) in (0..40).flat_map(|i| (0..=15).map(move |n| (i, n))) {
        let body = bodies(n).nth(i).unwrap();
        world.call(n, |node, now| node.publish("news".into(), body, now)).unwrap();
        if i % 7 == 0 {
            world.run(3);
        }
    }
    world.run(5_000);
    for (n, member) in world.members().enumerate() {
        let broadcasts = member.broadcasts();
        assert_eq!(broadcasts.len(), 15 * 40);
        for author in (0..=15).filter(|author| *author != n) {
            let of_author = broadcasts.iter().filter(|(from, _)| *from == world.id(author));
            assert!(of_author.map(|(_, body)| body.clone()).eq(bodies(author)), "{author} to {n}");
        }
    }
    world.assert_honest();
}

#[test]
fn messages_go_by_name_from_leaf_to_leaf() {
    let mut world = World::star(5, 4);
    let calls = [
        send(&mut world, 1, agent("agent-3"), "to an agent", 5_000),
        send(&mut world, 1, Target::Node(key(2).node()), "to a node", 5_000),
        send(&mut world, 1, agent("agent-1"), "to itself", 5_000),
        send(&mut world, 1, Target::Node(key(HUB).node()), "to the hub", 5_000),
    ];
    world.run(1_000);
    for call in calls {
        assert_eq!(ended(&world, 1, call).unwrap().1, Ok(()));
    }
    let expected = [(3, "to an agent"), (2, "to a node"), (1, "to itself"), (HUB, "to the hub")];
    for (n, body) in expected {
        assert_eq!(got(&world, n), [body]);
    }
    assert_eq!(got(&world, 4), [""; 0]);
    world.assert_honest();
}

#[test]
fn an_agent_that_was_missed_is_looked_for() {
    let mut world = World::star(6, 3);
    // What 3 announces from now on does not reach 1, until 1 asks.
    world.loss = Some(Box::new(|_, to, input| to == 1 && announces(input, 3)));
    world.announce(3, "late");
    world.run(100);
    assert!(world.member(2).knows_agent("late") && !world.member(1).knows_agent("late"));
    world.loss = None;
    let start = world.now();
    let call = send(&mut world, 1, agent("late"), "found", 10_000);
    world.run(3_000);
    let (when, result) = ended(&world, 1, call).unwrap();
    assert_eq!(result, Ok(()));
    assert!(when - start < 500, "it took {} ms", when - start);
    assert_eq!(got(&world, 3), ["found"]);
    world.assert_honest();
}

#[test]
fn an_agent_that_nobody_has_is_unknown_after_the_search() {
    let mut world = World::star(7, 3);
    let start = world.now();
    let patient = send(&mut world, 1, agent("nobody"), "", 60_000);
    let impatient = send(&mut world, 1, agent("nobody"), "", 700);
    let elsewhere = send(&mut world, 1, Target::Agent("agent-2".parse().unwrap(), Some(key(3).node())), "", 60_000);
    world.run(5_000);
    assert_eq!(ended(&world, 1, patient), Some((start + 2_500, Err(SendError::UnknownAgent))));
    assert_eq!(ended(&world, 1, impatient), Some((start + 700, Err(SendError::UnknownAgent))));
    assert_eq!(ended(&world, 1, elsewhere), Some((start + 2_500, Err(SendError::UnknownAgent))));
    world.assert_honest();
}

#[test]
fn an_agent_that_was_just_withdrawn_is_unknown_to_its_node() {
    let mut world = World::star(8, 2);
    world.call(2, |node, now| node.withdraw(&"agent-2".parse().unwrap(), now)).unwrap();
    // 1 has not heard of it.
    let call = send(&mut world, 1, agent("agent-2"), "too late", 5_000);
    world.run(1_000);
    assert_eq!(ended(&world, 1, call).unwrap().1, Err(SendError::UnknownAgent));
    assert_eq!(got(&world, 2), [""; 0]);
    world.assert_honest();
}

#[test]
fn names_that_two_nodes_have_need_the_node() {
    let mut world = World::star(9, 3);
    world.announce(2, "twin");
    world.announce(3, "twin");
    world.run(1_000);
    let sent = world.call(1, |node, now| node.send(agent("twin"), None, Bytes::new(), 1_000, now));
    let Err(SendError::Ambiguous(nodes)) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(nodes.len(), 2);
    let call = send(&mut world, 1, Target::Agent("twin".parse().unwrap(), Some(key(3).node())), "you", 1_000);
    world.run(1_000);
    assert_eq!(ended(&world, 1, call).unwrap().1, Ok(()));
    assert_eq!((got(&world, 2).len(), got(&world, 3).len()), (0, 1));
}

#[test]
fn a_node_that_is_gone_is_unreachable_at_the_deadline() {
    let mut world = World::star(10, 3);
    world.kill(3);
    world.run(100);
    let start = world.now();
    let call = send(&mut world, 1, agent("agent-3"), "hello?", 3_000);
    world.run(10_000);
    assert_eq!(ended(&world, 1, call), Some((start + 3_000, Err(SendError::PeerUnreachable))));
    world.assert_honest();
}

#[test]
fn who_comes_back_in_time_gets_its_messages() {
    let mut world = World::star(11, 3);
    world.kill(3);
    world.run(100);
    let call = send(&mut world, 1, agent("agent-3"), "hello?", 20_000);
    world.run(2_000);
    world.restart(3);
    world.announce(3, "agent-3");
    world.run(10_000);
    assert_eq!(ended(&world, 1, call).unwrap().1, Ok(()));
    assert_eq!(got(&world, 3), ["hello?"]);
    world.assert_honest();
}

#[test]
fn a_goodbye_is_heard_by_all_and_nobody_wonders_where_they_are() {
    let mut world = World::star(12, 6);
    send(&mut world, 2, agent("agent-1"), "a link of their own", 5_000);
    world.run(1_000);
    let start = world.now();
    world.call(1, |node, now| node.leave(now));
    world.run(50);
    // Before its links are closed, the node that leaves still passes on what others say: the hub hears 2 through it.
    world.loss = Some(Box::new(|from, to, input| (from, to) == (2, HUB) && matches!(input, Input::Gossip { .. })));
    world.call(2, |node, now| node.publish(String::new(), Bytes::from_static(b"bye"), now)).unwrap();
    world.run(100);
    assert_eq!(world.member(HUB).broadcasts(), [(world.id(2), Bytes::from_static(b"bye"))]);
    world.loss = None;
    world.kill(1);
    world.run(100_000);
    for (n, member) in world.members().enumerate().filter(|(n, _)| *n != 1) {
        assert_eq!(member.knows(), names(2..=6));
        let gone = member.events.iter().find(|(_, event)| {
            matches!(event, Event::Directory(directory::Event::Left { id, reason: LeftReason::Withdrawn }) if id.node == world.id(1))
        });
        assert!(gone.unwrap().0 - start <= 2 * 15, "two hops");
        let suspected = member.events.iter().filter(|(_, event)| matches!(event, Event::PeerSuspected { .. }));
        assert_eq!(suspected.count(), 0, "{n} was told that it leaves");
        assert!(!member.node.topology().peers.contains_key(&world.id(1)), "{n} has forgotten it");
    }
    world.assert_honest();
}

#[test]
fn a_killed_node_is_suspected_and_then_expires() {
    let mut world = World::star(13, 3);
    let start = world.now();
    world.kill(3);
    world.run(400_000);
    for member in world.members().take(3) {
        let mut story = Vec::new();
        for (when, event) in member.events.iter().filter(|(when, _)| *when >= start) {
            if matches!(event, Event::PeerSuspected { peer } if *peer == world.id(3)) {
                story.push(("suspected", when - start));
            }
            if let Event::Directory(directory::Event::Left { id, reason: LeftReason::Expired }) = event {
                assert_eq!(id.node, world.id(3));
                story.push(("expired", when - start));
            }
        }
        let [("suspected", suspected), ("expired", expired)] = story[..] else {
            panic!("{story:?}");
        };
        assert!((5_000..10_000).contains(&suspected), "after {suspected} ms");
        assert!((290_000..300_000).contains(&expired), "after {expired} ms");
        assert_eq!(member.knows(), names(1..=2));
        assert!(!member.node.topology().peers.contains_key(&world.id(3)));
    }
    world.assert_honest();
}

#[test]
fn a_list_is_no_sign_of_life_of_those_in_it() {
    let mut world = World::star(19, 3);
    world.kill(3);
    world.run(30_000);
    let joins = world.member(1).node.metrics().joins_received;
    world.unlink(1, HUB);
    world.run(30_000);
    assert!(world.member(1).node.metrics().joins_received > joins, "the whole list again");
    assert!(world.member(1).knows_agent("agent-3"));
    let recovered = |event: &Event| matches!(event, Event::PeerRecovered { peer } if *peer == world.id(3));
    assert!(!world.member(1).events.iter().any(|(_, event)| recovered(event)));
    world.assert_honest();
}

#[test]
fn peers_that_never_announce_anything_are_forgotten_with_their_link() {
    let mut world = World::star(20, 1);
    for n in 100..200 {
        let peer = key(n).node();
        let connected = Input::Connected { peer, relayed: false, address: String::new() };
        world.call(HUB, |node, now| node.handle(connected, now));
        world.call(HUB, |node, now| node.handle(Input::RoundTrip { peer, millis: 1 }, now));
        world.call(HUB, |node, now| node.handle(Input::Disconnected { peer }, now));
        world.call(HUB, |node, now| node.handle(Input::RoundTrip { peer, millis: 1 }, now));
    }
    assert_eq!(world.member(HUB).node.topology().peers.len(), 1);
}

#[test]
fn a_missed_announcement_is_repaired_by_a_heartbeat() {
    let mut world = World::star(14, 3);
    world.loss = Some(Box::new(|_, to, input| to == 1 && announces(input, 3)));
    let start = world.now();
    world.announce(3, "missed");
    world.run(200);
    assert!(!world.member(1).knows_agent("missed"));
    let before = world.member(1).node.metrics().joins_received;
    world.run_until(6_000, |world| world.member(1).knows_agent("missed"));
    assert!(world.now() - start <= 5_100, "a heartbeat comes every five seconds");
    assert_eq!(world.member(1).node.metrics().joins_received, before + 1, "one list is asked for");
    world.run(60_000);
    assert_eq!(world.member(1).node.metrics().joins_received, before + 1, "and no other");
    world.assert_honest();
}

#[test]
fn a_goodbye_that_was_missed_is_repaired_too() {
    let mut world = World::star(15, 3);
    world.loss = Some(Box::new(|_, to, input| to == 1 && announces(input, 3)));
    world.call(3, |node, now| node.leave(now));
    world.run(150);
    world.kill(3);
    assert!(world.member(1).knows_agent("agent-3"), "it does not know better");
    // Something else is missed, and the list that is asked for tells of both.
    world.loss = Some(Box::new(|_, to, input| to == 1 && announces(input, 2)));
    world.announce(2, "other");
    world.run(6_000);
    assert_eq!(world.member(1).knows().into_iter().collect::<Vec<_>>(), ["agent-1", "agent-2", "other"]);
    world.assert_honest();
}

#[test]
fn a_hub_that_comes_back_has_everybody_again() {
    let mut world = World::star(16, 10);
    world.kill(HUB);
    world.run(30_000);
    world.announce(1, "meanwhile");
    world.call(2, |node, now| node.publish(String::new(), Bytes::from_static(b"anybody?"), now)).unwrap();
    world.run(30_000);
    world.restart(HUB);
    let start = world.now();
    let mut all = names(1..=10);
    all.insert("meanwhile".into());
    world.run_until(20_000, |world| world.members().all(|member| member.knows() == all));
    assert!(world.now() - start <= 5_000 + 500, "dials are at most five seconds apart: {}", world.now() - start);
    world.run(5_000);
    assert_eq!(world.member(HUB).broadcasts().len(), 1, "what nobody was there to hear is heard now");
    world.assert_honest();
}

#[test]
fn hours_alone_are_held_against_nobody() {
    let mut world = World::star(17, 2);
    world.kill(HUB);
    // More than a TTL: what was said early on has expired, and what was said all the time is a lot.
    world.run(20 * 60_000);
    world.restart(HUB);
    world.run(10_000);
    assert!(world.members().all(|member| member.knows() == names(1..=2)));
    world.assert_honest();
}

#[test]
fn many_searches_at_once_are_all_answered() {
    let mut world = World::star(18, 3);
    world.loss = Some(Box::new(|_, to, input| to == 1 && announces(input, 3)));
    for n in 0..60 {
        world.announce(3, &format!("late-{n:02}"));
    }
    world.run(100);
    world.loss = None;
    let calls: Vec<_> = (0..60).map(|n| send(&mut world, 1, agent(&format!("late-{n:02}")), "", 10_000)).collect();
    world.run(10_000);
    for call in calls {
        assert_eq!(ended(&world, 1, call).unwrap().1, Ok(()));
    }
    world.assert_honest();
}

#[test]
fn companions_hold_the_mesh_together_without_its_hub() {
    for seed in 50..60 {
        let mut world = World::new(seed);
        world.set_able();
        for leaf in 1..=20 {
            world.join();
            world.announce(leaf, &format!("agent-{leaf}"));
        }
        world.run(10_000);
        for (n, member) in world.members().enumerate().skip(1) {
            let links = member.node.topology().links;
            let direct = links.values().filter(|(link, why)| !link.relayed && why.is_none()).count();
            assert!(direct > 6, "seed {seed}, node {n}: {direct} direct links");
        }
        world.kill(HUB);
        world.run(1_000);
        for n in 1..=20 {
            world.call(n, |node, now| node.publish("talk".into(), vec![n as u8].into(), now)).unwrap();
        }
        world.run(1_000);
        for (n, member) in world.members().enumerate().skip(1) {
            assert_eq!(member.broadcasts().len(), 19, "seed {seed}, node {n}");
        }
        let friend = (2..=20).find(|n| world.member(*n).node.topology().links.contains_key(&world.id(1))).unwrap();
        let one = agent("agent-1");
        let call = world.call(friend, |node, now| node.send(one, None, "hello".into(), 5_000, now)).unwrap();
        world.run(1_000);
        assert_eq!(ended(&world, friend, call).unwrap().1, Ok(()));
        world.assert_honest();
    }
}

/// A star in which everything happens at random, for a minute.
fn random_life(seed: u64) -> World {
    let mut world = World::star(seed, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xfeed);
    let mut gone = None;
    for step in 0..200 {
        let n = 1 + (rng.next_u64() % 8) as usize;
        if gone != Some(n) {
            match rng.next_u64() % 5 {
                0 => world.announce(n, &format!("extra-{step}")),
                1 => world.call(n, |node, now| node.publish("t".into(), vec![step].into(), now)).unwrap(),
                2 | 3 => {
                    let to = agent(&format!("agent-{}", 1 + rng.next_u64() % 9));
                    let _ = world.call(n, |node, now| node.send(to, None, vec![step].into(), 4_000, now));
                }
                _ => match gone.replace(n) {
                    Some(back) => {
                        world.restart(back);
                        world.announce(back, &format!("agent-{back}"));
                        world.kill(n);
                    }
                    None => world.kill(n),
                },
            }
        }
        world.run(rng.next_u64() % 600);
    }
    if let Some(back) = gone {
        world.restart(back);
        world.announce(back, &format!("agent-{back}"));
    }
    world.run(20_000);
    world
}

#[test]
fn in_the_end_everybody_knows_the_same() {
    for seed in 0..10 {
        let world = random_life(seed);
        let all = world.member(HUB).knows();
        assert!(all.is_superset(&names(1..=8)), "seed {seed}: {all:?}");
        for (n, member) in world.members().enumerate() {
            assert_eq!(member.knows(), all, "seed {seed}, node {n}");
        }
        world.assert_honest();
    }
}

#[test]
fn equal_seeds_give_equal_traces() {
    assert_eq!(random_life(5).trace(), random_life(5).trace());
    assert_ne!(random_life(5).trace(), random_life(6).trace());
}
