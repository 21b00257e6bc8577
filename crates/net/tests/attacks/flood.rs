//! A thousand announcements a second, of one author and of ever new ones; and as many frames as a direct stream takes.

use std::time::Duration;

use futures::AsyncWriteExt as _;
use mesh_core::Offence;
use mesh_net::Identity;
use mesh_proto::protocol::{DIRECT, Topic};
use mesh_proto::{AgentId, direct};
use tokio::time::timeout;

use crate::common::attacker::Attacker;
use crate::common::member::{Member, Reach, agent_name};
use crate::common::siege::Siege;
use crate::common::wire;

const EACH_TICK: u64 = 10;
const TICK: Duration = Duration::from_millis(10);

/// Sends what `make` makes to both victims, a thousand a second for `seconds`.
async fn flood(siege: &Siege, attacker: &Attacker, seconds: u64, mut make: impl FnMut() -> Vec<u8>) -> u64 {
    let mut streams = Vec::new();
    for victim in siege.victims() {
        streams.push(attacker.gossip(victim).await);
    }
    let mut tick = tokio::time::interval(TICK);
    let ticks = seconds * 1000 / TICK.as_millis() as u64;
    for _ in 0..ticks {
        tick.tick().await;
        let announcements: Vec<_> = (0..EACH_TICK).map(|_| make()).collect();
        for gossip in &mut streams {
            gossip.publish(Topic::Agents, &announcements).await.unwrap();
        }
    }
    ticks * EACH_TICK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_announcements_a_second() {
    const SECONDS: u64 = 3;
    // What an author may announce: 20 at once, and 20 in 10 seconds; and twice that, for slow machines.
    const QUOTA: u64 = 2 * (20 + 2 * SECONDS);
    let siege = Siege::begin("flood").await;
    let attack = async {
        let attacker = Attacker::connect(siege.mesh, &siege.victims()).await;
        let make = || wire::seal(&wire::announcement(siege.mesh, attacker.key(), "eve"), attacker.key());
        let sent = flood(&siege, &attacker, SECONDS, make).await;
        for victim in siege.victims() {
            let counted = victim.until_caught(attacker.node(), Offence::RateExceeded, sent - QUOTA).await;
            println!("flood: {} counted {counted} of {sent}", victim.name);
        }
    };
    siege.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_strangers_a_second() {
    const SECONDS: u64 = 2;
    let siege = Siege::begin("strangers").await;
    let attack = async {
        let attacker = Attacker::connect(siege.mesh, &siege.victims()).await;
        let make = || {
            let stranger = Identity::generate().unwrap();
            wire::seal(&wire::announcement(siege.mesh, stranger.mesh(), "nobody"), stranger.mesh())
        };
        let sent = flood(&siege, &attacker, SECONDS, make).await;
        // An open mesh takes everyone in, and those who came before are still found.
        for victim in siege.victims() {
            println!("strangers: {} knows {} nodes after {sent}", victim.name, victim.counter("nodes_known").await);
        }
        let carol = Member::leaf("strangers", "carol", &[siege.hub.tcp()], Reach::RelaysOnly).await;
        carol.announce("carla", &[]).await;
        let carla = AgentId { name: agent_name("carla"), node: carol.node() };
        siege.until_all("a newcomer is heard of", |journal| journal.agents.contains_key(&carla)).await;
        carol.until_joined(&siege.hub).await;
        carol.send(&siege.alice, "hello").await;
        carol.handle.close().await;
    };
    siege.endures(attack).await;
}

/// Acknowledgements of what was never sent and greetings without end, as fast as they are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_frames_without_end() {
    const LASTS: Duration = Duration::from_secs(1);
    let siege = Siege::begin("frames").await;
    let attack = async {
        for victim in siege.victims() {
            let attacker = Attacker::connect(siege.mesh, &[victim]).await;
            let mut stream = attacker.open(victim, DIRECT).await.unwrap();
            let mut frames = 0;
            let writing = async {
                loop {
                    let session = 1000 + frames;
                    let numbers = (0..1024).map(|n| u64::MAX - frames - n).collect();
                    wire::write_frame(&mut stream, &direct::Frame::Hello { mesh: siege.mesh, session }).await?;
                    wire::write_frame(&mut stream, &direct::Frame::Ack { session, numbers }).await?;
                    let body = vec![0; 1024].into();
                    let message = direct::Message {
                        number: session + 1,
                        from: None,
                        to: Some(agent_name("x")),
                        body,
                        reader: direct::Reader::Application,
                    };
                    wire::write_frame(&mut stream, &direct::Frame::Message(message)).await?;
                    frames += 3;
                }
            };
            let ended: Result<std::io::Result<()>, _> = timeout(LASTS, writing).await;
            println!("frames: {} read {frames}, then {ended:?}", victim.name);
            let _ = stream.close().await;
        }
    };
    siege.endures(attack).await;
}
