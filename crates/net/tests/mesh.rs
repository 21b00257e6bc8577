//! The mesh as its members know it, over real sockets: joining, finding, talking, sharing, and coming back.

#![allow(clippy::print_stdout, reason = "tests tell what they measured")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects, in its helpers too")]

mod common;

use common::member::{Member, Reach, agent_name, exchange, until_heard, weights_info};
use common::{millis, within};
use mesh_core::directory::SearchOptions;
use mesh_core::node::{SendError, Target};
use mesh_proto::AgentId;
use mesh_proto::agent::Criteria;
use mesh_proto::limits::MAX_BODY;
use tokio::time::timeout;

const SEND_MS: u64 = 15_000;

fn who_can(capability: &str) -> Criteria {
    Criteria { capabilities: vec![capability.into()], ..Criteria::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_announce_and_find_each_other() {
    let hub = Member::hub("join", "hub", &[]).await;
    let alice = Member::leaf("join", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("join", "bob", &[hub.websocket()], Reach::RelaysOnly).await;
    alice.until_joined(&hub).await;
    bob.until_joined(&hub).await;

    alice.announce("ada", &["math", "code"]).await;
    let ada = AgentId { name: agent_name("ada"), node: alice.node() };
    bob.until("hears of ada", |journal| journal.agents.contains_key(&ada).then_some(())).await;
    let found = bob.handle.discover(who_can("math"), SearchOptions::default()).await.unwrap().unwrap();
    assert_eq!(found.iter().map(|agent| agent.node).collect::<Vec<_>>(), [alice.node()]);
    let none = SearchOptions { timeout_ms: 300, ..SearchOptions::default() };
    assert_eq!(bob.handle.discover(who_can("poetry"), none).await.unwrap().unwrap(), []);

    let started = millis();
    let carol = Member::leaf("join", "carol", &[hub.tcp()], Reach::RelaysOnly).await;
    carol.until("hears of ada", |journal| journal.agents.contains_key(&ada).then_some(())).await;
    println!("a newcomer knows the agent after {} ms", millis() - started);

    alice.handle.withdraw(agent_name("ada")).await.unwrap().unwrap();
    for member in [&bob, &carol] {
        member.until("ada is gone", |journal| (!journal.agents.contains_key(&ada)).then_some(())).await;
    }
    let gone = bob.handle.send(Target::Agent(agent_name("ada"), None), None, "hello".into(), 1000).await.unwrap();
    assert_eq!(gone.unwrap_err(), SendError::UnknownAgent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_go_both_ways_through_the_relay() {
    let hub = Member::hub("relayed", "hub", &[]).await;
    let alice = Member::leaf("relayed", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("relayed", "bob", &[hub.websocket()], Reach::RelaysOnly).await;
    talk(&hub, &alice, &bob).await;
    assert_eq!(alice.relayed(&bob).await, Some(true));
    assert_eq!(bob.relayed(&alice).await, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_go_both_ways_by_tcp() {
    let hub = Member::hub("direct", "hub", &[]).await;
    let alice = Member::leaf("direct", "alice", &[hub.tcp()], Reach::Tcp).await;
    let bob = Member::leaf("direct", "bob", &[hub.tcp()], Reach::Tcp).await;
    talk(&hub, &alice, &bob).await;
    assert_eq!(alice.relayed(&bob).await, Some(false));
    assert_eq!(bob.relayed(&alice).await, Some(false));
}

/// The two get to know each other, and exchange a hundred messages at once in each direction.
async fn talk(hub: &Member, alice: &Member, bob: &Member) {
    alice.until_joined(hub).await;
    bob.until_joined(hub).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;

    let nobody = alice.handle.send(Target::Agent(agent_name("nobody"), None), None, "?".into(), 5000).await.unwrap();
    assert_eq!(nobody.unwrap_err(), SendError::UnknownAgent);

    let started = millis();
    let many = async |from: &Member, agent: &str| {
        let sends = (0..100).map(|n| {
            let target = Target::Agent(agent_name(agent), None);
            from.handle.send(target, None, format!("{} says {n}", from.name).into(), SEND_MS)
        });
        for sent in futures::future::join_all(sends).await {
            sent.unwrap().unwrap();
        }
    };
    within("all are acknowledged", async { tokio::join!(many(alice, "bert"), many(bob, "ada")) }).await;
    println!("200 messages in {} ms", millis() - started);
    for (to, from) in [(alice, bob), (bob, alice)] {
        let bodies: Vec<_> = to.journal().messages.iter().map(|(_, body)| body.clone()).collect();
        let expected: Vec<_> = (0..100).map(|n| format!("{} says {n}", from.name)).collect();
        assert_eq!(bodies, expected, "all of them, once and in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_reach_everybody_once_and_in_order() {
    let hub = Member::hub("broadcast", "hub", &[]).await;
    let alice = Member::leaf("broadcast", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("broadcast", "bob", &[hub.websocket()], Reach::RelaysOnly).await;
    until_heard(&alice, &bob).await;

    for n in 0..300 {
        alice.publish("count", n.to_string()).await;
    }
    for member in [&hub, &bob] {
        member.until("the last", |journal| (journal.heard(alice.node(), b"299") > 0).then_some(())).await;
        let journal = member.journal();
        let heard: Vec<_> = journal.broadcasts.iter().filter(|(_, topic, _)| topic == "count").collect();
        let heard: Vec<_> = heard.iter().map(|(_, _, body)| String::from_utf8_lossy(body).into_owned()).collect();
        assert_eq!(heard, (0..300).map(|n| n.to_string()).collect::<Vec<_>>(), "{}", member.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_broadcasts_back_to_back_all_arrive() {
    // One after the other without a pause, and no more than wait for a neighbour (gossip.rs, QUEUE_LEN).
    const COUNT: usize = 200;
    let hub = Member::hub("large", "hub", &[]).await;
    let alice = Member::leaf("large", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("large", "bob", &[hub.tcp()], Reach::RelaysOnly).await;
    until_heard(&alice, &bob).await;

    let started = millis();
    let publishing = (0..COUNT).map(|n| alice.publish("large", vec![n as u8; MAX_BODY]));
    futures::future::join_all(publishing).await;
    for member in [&hub, &bob] {
        let large =
            |journal: &common::member::Journal| journal.broadcasts.iter().filter(|(_, t, _)| t == "large").count();
        let all = member.until("the last", |journal| (large(journal) == COUNT).then_some(()));
        if timeout(common::LIMIT / 2, all).await.is_err() {
            panic!("{} heard {} of {COUNT}", member.name, large(&member.journal()));
        }
    }
    println!("{COUNT} broadcasts of {MAX_BODY} bytes in {} ms", millis() - started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_arrive_equal() {
    let hub = Member::hub("weights", "hub", &[]).await;
    let alice = Member::leaf("weights", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("weights", "bob", &[hub.websocket()], Reach::RelaysOnly).await;
    alice.until_joined(&hub).await;
    bob.until_joined(&hub).await;

    let bytes: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|n| ((n * 31) >> 7) as u8).collect();
    let started = millis();
    let target = Target::Node(bob.node());
    let sharing = alice.handle.share(target, weights_info(&bytes), bytes.clone().into(), SEND_MS);
    let shared = within("shared", sharing).await.unwrap().unwrap();
    println!("10 MiB through the relay in {} ms", millis() - started);
    assert_eq!((shared.peer, shared.bytes, shared.resumed), (bob.node(), bytes.len() as u64, 0));
    bob.until("the weights", |journal| {
        let (from, manifest, arrived) = journal.weights.first()?;
        assert_eq!((*from, manifest.id), (alice.node(), shared.id));
        assert!(*arrived == bytes, "other bytes arrived");
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_comes_back_is_found_again() {
    let hub = Member::hub("back", "hub", &[]).await;
    let alice = Member::leaf("back", "alice", &[hub.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("back", "bob", &[hub.websocket()], Reach::RelaysOnly).await;
    until_heard(&alice, &bob).await;
    until_heard(&bob, &alice).await;
    exchange(&alice, &bob).await;

    hub.handle.close().await;
    hub.until("it has ended", |journal| journal.ended.then_some(())).await;
    let seed = (hub.node(), false);
    for member in [&alice, &bob] {
        member.until("the hub is gone", |journal| journal.seeds.contains(&seed).then_some(())).await;
    }

    let started = millis();
    let again = Member::hub_again("back", &hub).await;
    for member in [&alice, &bob] {
        let back = (again.node(), true);
        member.until("the hub is back", |journal| (journal.seeds.last() == Some(&back)).then_some(())).await;
    }
    // A message that is sent before the reservations are made again waits for them.
    alice.send(&bob, "welcome back").await;
    bob.send(&alice, "welcome back").await;
    println!("back after {} ms", millis() - started);
    until_heard_again(&alice, &bob).await;
    exchange(&alice, &bob).await;
}

/// As [`until_heard`], for members that have heard each other before.
async fn until_heard_again(alice: &Member, bob: &Member) {
    for member in [alice, bob] {
        member.journal().broadcasts.clear();
    }
    until_heard(alice, bob).await;
    until_heard(bob, alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_are_one_mesh() {
    let north = Member::hub("two", "north", &[]).await;
    let south = Member::hub("two", "south", &[&north]).await;
    south.until_joined(&north).await;
    let alice = Member::leaf("two", "alice", &[north.tcp()], Reach::RelaysOnly).await;
    let bob = Member::leaf("two", "bob", &[south.websocket()], Reach::RelaysOnly).await;
    alice.announce("ada", &[]).await;
    let ada = AgentId { name: agent_name("ada"), node: alice.node() };
    bob.until("hears of ada", |journal| journal.agents.contains_key(&ada).then_some(())).await;
    until_heard(&alice, &bob).await;
    until_heard(&bob, &alice).await;
    println!("across two hubs in {} ms", exchange(&alice, &bob).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_hubs_one_may_go() {
    let north = Member::hub("spare", "north", &[]).await;
    let south = Member::hub("spare", "south", &[&north]).await;
    let hubs = [north.tcp(), south.tcp()];
    let alice = Member::leaf("spare", "alice", &hubs, Reach::RelaysOnly).await;
    let bob = Member::leaf("spare", "bob", &hubs, Reach::RelaysOnly).await;
    for member in [&alice, &bob] {
        member.until_joined(&north).await;
        member.until_joined(&south).await;
    }
    until_heard(&alice, &bob).await;
    until_heard(&bob, &alice).await;
    exchange(&alice, &bob).await;

    north.handle.close().await;
    let seed = (north.node(), false);
    for member in [&alice, &bob] {
        member.until("north is gone", |journal| journal.seeds.contains(&seed).then_some(())).await;
    }
    println!("without one of two hubs in {} ms", exchange(&alice, &bob).await);
}
