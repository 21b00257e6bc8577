//! Peers that begin things and do not go on with them, and one that wants everything at once.

use std::time::Duration;

use futures::future::join_all;
use futures::{AsyncWriteExt as _, StreamExt as _, stream};
use libp2p::Stream;
use mesh_core::Offence;
use mesh_proto::gossip::Heartbeat;
use mesh_proto::limits::{MAX_ENVELOPE, MAX_JOIN_FRAME};
use mesh_proto::protocol::{DIRECT, JOIN, TRANSFER, Topic};
use mesh_proto::{Envelope, Kind, join};
use serde_bytes::ByteBuf;
use tokio::time::timeout;

use crate::common::attacker::{Attacker, connect};
use crate::common::member::{Journal, Member, Reach, exchange, until_heard};
use crate::common::siege::Siege;
use crate::common::{millis, wire, within};

/// A member that comes now gets in, and talks to `siege.bob`.
async fn a_newcomer_gets_in(siege: &Siege, while_what: &str) {
    let started = millis();
    let carol = Member::leaf(siege.name, "carol", &[siege.hub.tcp()], Reach::RelaysOnly).await;
    carol.until_joined(&siege.hub).await;
    let joined = millis() - started;
    until_heard(&carol, &siege.bob).await;
    until_heard(&siege.bob, &carol).await;
    exchange(&carol, &siege.bob).await;
    println!(
        "{}: {while_what} a newcomer joined after {joined} ms and talked after {} ms",
        siege.name,
        millis() - started
    );
    carol.handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing() {
    const SOCKETS: usize = 200;
    let siege = Siege::begin("half-open").await;
    let attack = async {
        let mut sockets = Vec::new();
        for victim in siege.victims() {
            let listener = victim.tcp();
            sockets.extend(join_all((0..SOCKETS).map(|_| connect(&listener))).await);
        }
        a_newcomer_gets_in(&siege, "beside 200 half-open connections").await;
        drop(sockets);
    };
    siege.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_say_nothing_or_half_a_frame() {
    const STREAMS: usize = 200;
    let siege = Siege::begin("idle").await;
    let attack = async {
        let mut held = Vec::new();
        for victim in siege.victims() {
            let silent = Attacker::connect(siege.mesh, &[victim]).await;
            let halting = Attacker::connect(siege.mesh, &[victim]).await;
            for protocol in [DIRECT, JOIN, TRANSFER].into_iter().cycle().take(STREAMS) {
                held.extend(silent.open(victim, protocol).await);
                // The largest frame that all of them wait for, but for its last byte.
                if let Ok(mut stream) = halting.open(victim, protocol).await {
                    let frame = wire::framed(&vec![0; MAX_ENVELOPE]);
                    let _ = stream.write_all(&frame[..frame.len() - 1]).await;
                    let _ = stream.flush().await;
                    held.push(stream);
                }
            }
            held.push(silent.gossip(victim).await.stream);
            println!("idle: {} streams are held", held.len());
            a_newcomer_gets_in(&siege, "beside idle streams").await;
            drop((silent, halting));
        }
    };
    siege.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_join_requests_at_once() {
    const REQUESTS: usize = 100;
    let siege = Siege::begin("joins").await;
    let attack = async {
        let attacker = Attacker::connect(siege.mesh, &siege.victims()).await;
        for victim in siege.victims() {
            let own = || wire::seal(&wire::announcement(siege.mesh, attacker.key(), "eve"), attacker.key());
            let started = millis();
            // Two at a time: of more than four at once the rest is reset before it can ask.
            let requests = stream::iter((0..REQUESTS).map(|_| attacker.join(victim, own())));
            let answers: Vec<_> = requests.buffer_unordered(2).collect().await;
            let lists: Vec<_> = answers.into_iter().flatten().map(|list| list.len()).collect();
            let took = millis() - started;
            assert!(!lists.is_empty() && lists.iter().all(|members| *members >= 3), "{lists:?}");
            let refused = (REQUESTS - lists.len()) as u64;
            let counted = victim.until_caught(attacker.node(), Offence::RateExceeded, refused).await;
            println!("joins: {} answered {} of {REQUESTS} in {took} ms, counted {counted}", victim.name, lists.len());
            join_all((0..REQUESTS).map(|_| attacker.join(victim, own()))).await;
        }
        a_newcomer_gets_in(&siege, "after a hundred join requests").await;
    };
    siege.endures(attack).await;
}

/// Neighbours that want all gossip and read none of it: what waits for them is bounded for each, 16 MiB at the most, and
/// nobody else waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_that_do_not_read() {
    const DEAF: usize = 4;
    const MESSAGES: usize = 100;
    let siege = Siege::begin("deaf").await;
    let attack = async {
        let mut deaf = Vec::new();
        for _ in 0..DEAF {
            let attacker = Attacker::connect_deaf(siege.mesh, &[&siege.hub]).await;
            let gossip = attacker.gossip(&siege.hub).await;
            deaf.push((attacker, gossip));
        }
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for n in 0..MESSAGES {
            pace.tick().await;
            siege.alice.publish("large", vec![n as u8; 60 * 1024]).await;
        }
        let large =
            |journal: &Journal| journal.broadcasts.iter().filter(|(_, topic, _)| topic == "large").count() == MESSAGES;
        siege.bob.until("all of them", |journal| large(journal).then_some(())).await;
    };
    siege.endures(attack).await;
}

/// Who says to have an announcement that others miss is asked for its list; this one's list is all lies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_list_of_lies() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let siege = Siege::begin("lies").await;
    let attack = async {
        // Only the hub has nobody better to ask: the others ask it.
        for victim in [&siege.hub] {
            let liar = Attacker::connect(siege.mesh, &[victim]).await;
            let mut stream = lure(&liar, victim).await;
            let forged = Envelope { from: victim.node(), ..wire::announcement(siege.mesh, liar.key(), "eve") };
            let lie = ByteBuf::from(wire::seal(&forged, liar.key()));
            let announcements = vec![lie.clone(); (MAX_JOIN_FRAME - 64) / (lie.len() + 3)];
            let count = announcements.len();
            let frame = join::Reply::Members { announcements, end: None };
            let mut frames = 0;
            let lying = async {
                while wire::write_frame(&mut stream, &frame).await.is_ok() {
                    frames += 1;
                }
            };
            let ended = timeout(PATIENCE, lying).await.is_ok();
            println!("lies: {} hung up: {ended}", victim.name);
            println!("lies: {} was sent {frames} frames of {count}", victim.name);
            let caught = victim.until_caught(liar.node(), Offence::Forged, 1).await;
            assert_eq!(caught, 1, "nothing after the first lie is looked at");
        }
    };
    siege.endures(attack).await;
}

/// Makes `victim` ask the liar for its list: a heartbeat says that there is something to be had.
async fn lure(liar: &Attacker, victim: &Member) -> Stream {
    let mut asked = liar.accept(JOIN);
    let mut gossip = liar.gossip(victim).await;
    let beating = async {
        // The victim may have asked somebody just now, and does not so soon again.
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            let heartbeat = Heartbeat { announced: u64::MAX };
            let heartbeat = wire::envelope(liar.mesh, liar.key(), Kind::MeshHeartbeat, &heartbeat);
            gossip.publish(Topic::Agents, &[wire::seal(&heartbeat, liar.key())]).await.unwrap();
        }
    };
    tokio::select! {
        () = beating => unreachable!("it goes on for ever"),
        asked = within("the liar is asked", asked.next()) => asked.unwrap().1,
    }
}
