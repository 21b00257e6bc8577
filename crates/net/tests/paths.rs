//! Links become direct where they can, and fall back to a relay where they must. The relay, the circuits and the
//! signalling are real; WebRTC itself is `mesh-webrtc`'s in memory, which fails on demand.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says what it expects")]
#![allow(dead_code, reason = "common to all tests")]

mod common;

use common::member::{Member, Reach, exchange, until_heard, weights_info};
use common::within;
use libp2p::Multiaddr;
use mesh_core::node::Target;
use mesh_webrtc::rtc::memory::{Ice, Network};

async fn able(mesh: &str, hub: &Multiaddr, network: &Network) -> (Member, Member) {
    let hub = std::slice::from_ref(hub);
    let alice = Member::able(mesh, "alice", hub, network.rtc()).await;
    let bob = Member::able(mesh, "bob", hub, network.rtc()).await;
    (alice, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_can_connect_directly_do_and_need_no_hub_then() {
    let network = Network::new();
    let hub = Member::hub("direct", "hub", &[]).await;
    let (alice, bob) = able("direct", &hub.tcp(), &network).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;
    // Companions find each other without a word from anybody.
    alice.until_relayed(&bob, false).await;
    bob.until_relayed(&alice, false).await;
    assert_eq!((alice.why(&bob).await, bob.why(&alice).await), (None, None));
    assert_eq!(network.peers(), 2, "one connection, two ends");

    hub.handle.close().await;
    for member in [&alice, &bob] {
        let gone = (hub.node(), false);
        member.until("the hub is gone", |journal| journal.seeds.contains(&gone).then_some(())).await;
    }
    until_heard(&alice, &bob).await;
    until_heard(&bob, &alice).await;
    exchange(&alice, &bob).await;
    assert_eq!(alice.relayed(&bob).await, Some(false));

    alice.handle.close().await;
    bob.handle.close().await;
    alice.until("it has ended", |journal| journal.ended.then_some(())).await;
    bob.until("it has ended", |journal| journal.ended.then_some(())).await;
    assert_eq!((network.peers(), network.channels()), (0, 0), "nothing stays behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_link_that_is_lost_falls_back_and_no_message_is_lost() {
    let network = Network::new();
    let hub = Member::hub("fallback", "hub", &[]).await;
    let rtc = network.rtc();
    let alice = Member::able("fallback", "alice", &[hub.tcp()], rtc.clone()).await;
    let bob = Member::able("fallback", "bob", &[hub.websocket()], network.rtc()).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;
    alice.until_relayed(&bob, false).await;

    network.ice(Ice::Fails);
    let sending = async {
        for n in 0..200 {
            if n == 100 {
                rtc.fail();
            }
            alice.send(&bob, n.to_string()).await;
        }
    };
    within("all are acknowledged", sending).await;
    let bodies: Vec<_> = bob.journal().messages.iter().map(|(_, body)| body.clone()).collect();
    let expected: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(bodies, expected, "once, in order");
    alice.until_relayed(&bob, true).await;
    exchange(&alice, &bob).await;

    network.ice(Ice::Works);
    alice.until_relayed(&bob, false).await;
    bob.until_relayed(&alice, false).await;
    exchange(&alice, &bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_talks_on_while_the_relayed_connection_is_closed_loses_nothing() {
    /// Milliseconds from before the upgrade until after the relayed connection is closed, 3 s after it.
    const TALK_MS: u64 = 5_000;
    let network = Network::new();
    let hub = Member::hub("handover", "hub", &[]).await;
    let pair = async |network: &Network| {
        let (alice, bob) = able("handover", &hub.websocket(), network).await;
        alice.until_joined(&hub).await;
        bob.until_joined(&hub).await;
        let talk = async |from: &Member, to: &Member| {
            let started = common::millis();
            let mut sent = 0;
            while common::millis() - started < TALK_MS {
                from.send(to, sent.to_string()).await;
                sent += 1;
            }
            sent
        };
        let (sent, back) = tokio::join!(talk(&alice, &bob), talk(&bob, &alice));
        assert_eq!(alice.relayed(&bob).await, Some(false));
        for (to, sent) in [(&bob, sent), (&alice, back)] {
            let bodies: Vec<_> = to.journal().messages.iter().map(|(_, body)| body.clone()).collect();
            assert_eq!(bodies, (0..sent).map(|n| n.to_string()).collect::<Vec<_>>(), "once, in order");
        }
    };
    let pairs = (0..8).map(|_| pair(&network));
    within("all is acknowledged", futures::future::join_all(pairs)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_go_on_over_the_relay_when_the_direct_link_is_lost() {
    let network = Network::new();
    let hub = Member::hub("resume", "hub", &[]).await;
    let rtc = network.rtc();
    let alice = Member::able("resume", "alice", &[hub.tcp()], rtc.clone()).await;
    let bob = Member::able("resume", "bob", &[hub.tcp()], network.rtc()).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;
    alice.until_relayed(&bob, false).await;

    let bytes: bytes::Bytes = (0..4_000_000u32).map(|n| ((n * 31) >> 3) as u8).collect::<Vec<_>>().into();
    network.ice(Ice::Never);
    let share = alice.handle.share(Target::Node(bob.node()), weights_info(&bytes), bytes.clone(), 60_000);
    let cut = async {
        // Somewhere in the middle, as the channels go: they are held until they are full.
        network.hold();
        while network.pass(1) == 0 {
            tokio::task::yield_now().await;
        }
        rtc.fail();
        network.release();
    };
    let (shared, ()) = within("the weights arrive", async { tokio::join!(share, cut) }).await;
    assert_eq!(shared.unwrap().unwrap().bytes, bytes.len() as u64);
    let arrived = bob.until("the weights", |journal| journal.weights.first().map(|(_, _, body)| body.clone())).await;
    assert_eq!(arrived, bytes);
    assert_eq!(alice.relayed(&bob).await, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_way_leads_across_the_relay_carries_everything_and_says_why() {
    let network = Network::new();
    network.ice(Ice::Fails);
    let hub = Member::hub("blocked", "hub", &[]).await;
    let (alice, bob) = able("blocked", &hub.tcp(), &network).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;
    alice.until_relayed(&bob, true).await;
    exchange(&alice, &bob).await;
    within("the failure is told", async {
        while !alice.why(&bob).await.is_some_and(|why| why.starts_with("failed: ")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_died_while_the_host_slept_is_given_up_soon_after_it_woke() {
    let network = Network::new();
    let hub = Member::hub("asleep", "hub", &[]).await;
    let rtc = network.rtc();
    let alice = Member::able("asleep", "alice", &[hub.tcp()], rtc.clone()).await;
    let bob = Member::able("asleep", "bob", &[hub.tcp()], network.rtc()).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;
    alice.until_relayed(&bob, false).await;
    // The first ping has been answered: the next is due in 3 s.
    within("a round trip is measured", async {
        while alice.round_trip(&bob).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let hubs = |member: &Member| member.journal().seeds.len();
    let before = hubs(&alice);

    // Nothing tells of it: the link is not down, there is just no answer any more.
    rtc.interrupt();
    network.ice(Ice::Fails);
    let started = common::millis();
    alice.handle.wake().await.unwrap();
    // Sent over the dead link, and delivered over the relay.
    alice.send(&bob, "good morning").await;
    let took = common::millis() - started;
    assert!(took < 9_000, "{took} ms; left alone, it is given up after 10 s");
    assert_eq!(alice.relayed(&bob).await, Some(true));
    assert_eq!(hubs(&alice), before, "a link that answers is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_nobody_answers_at_is_not_waited_for() {
    // Connections to it come up, and then there is silence.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port()).parse().unwrap();
    let hub = Member::hub("astray", "hub", &[]).await;
    let alice = Member::leaf("astray", "alice", &[hub.tcp()], Reach::Tcp).await;
    let bob = Member::astray("astray", "bob", &[hub.tcp()], address).await;
    alice.announce("ada", &[]).await;
    bob.announce("bert", &[]).await;
    let bert = mesh_proto::AgentId { name: common::member::agent_name("bert"), node: bob.node() };
    alice.until("hears of bert", |journal| journal.agents.contains_key(&bert).then_some(())).await;
    let started = common::millis();
    alice.send(&bob, "hello").await;
    let took = common::millis() - started;
    assert!(took < 5_000, "{took} ms; the silent one is given up after 10 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_webrtc_is_reached_through_the_relay() {
    let network = Network::new();
    let hub = Member::hub("mixed", "hub", &[]).await;
    let alice = Member::able("mixed", "alice", &[hub.tcp()], network.rtc()).await;
    let carol = Member::leaf("mixed", "carol", &[hub.tcp()], Reach::RelaysOnly).await;
    until_heard(&alice, &carol).await;
    until_heard(&carol, &alice).await;
    exchange(&alice, &carol).await;
    assert_eq!(carol.why(&alice).await.as_deref(), Some("no-webrtc-here"));
    within("it is told that they do not", async {
        while alice.why(&carol).await.as_deref() != Some("no-webrtc-there") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(network.peers(), 0);
}
