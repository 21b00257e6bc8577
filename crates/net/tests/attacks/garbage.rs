//! Bytes that mean nothing: gossiped, on streams, and before any handshake.

use futures::future::join_all;
use libp2p::Multiaddr;
use mesh_core::Offence;
use mesh_proto::protocol::{DIRECT, JOIN, TRANSFER, Topic};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::attacker::{Attacker, connect};
use crate::common::member::Member;
use crate::common::siege::Siege;
use crate::common::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage() {
    const ROUNDS: usize = 4;
    let siege = Siege::begin("garbage").await;
    let attack = async {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..ROUNDS {
            let attacker = Attacker::connect(siege.mesh, &siege.victims()).await;
            for victim in siege.victims() {
                gossiped(&attacker, victim, &mut rng).await;
                on_streams(&attacker, victim, &mut rng).await;
            }
            before_noise(&siege, &mut rng).await;
        }
    };
    siege.endures(attack).await;
}

async fn gossiped(attacker: &Attacker, victim: &Member, rng: &mut ChaCha8Rng) {
    const MESSAGES: usize = 100;
    let mut gossip = attacker.gossip(victim).await;
    let junk: Vec<_> = (0..MESSAGES).map(|n| noise(rng, 1 + 5 * n)).collect();
    gossip.publish(Topic::Agents, &junk).await.unwrap();
    victim.until_caught(attacker.node(), Offence::Malformed, MESSAGES as u64).await;
    // No gossip at all: gossipsub itself hangs up.
    let _ = gossip.write(&noise(rng, 200_000)).await;
    gossip.until_ended().await;
}

async fn on_streams(attacker: &Attacker, victim: &Member, rng: &mut ChaCha8Rng) {
    use futures::AsyncWriteExt as _;
    const STREAMS: usize = 24;
    let offences = [Offence::Malformed, Offence::TooLarge];
    let caught = || offences.map(|offence| victim.journal().caught(attacker.node(), offence));
    let before: u64 = caught().iter().sum();
    for protocol in [DIRECT, JOIN, TRANSFER].into_iter().cycle().take(STREAMS) {
        let mut stream = attacker.open(victim, protocol).await.unwrap();
        // The victim may hang up before it has read all.
        let _ = stream.write_all(&noise(rng, 32 * 1024)).await;
        let _ = stream.close().await;
    }
    // A few happen to begin with a length that is allowed and more than what comes: streams that broke, no offences.
    let enough = before + STREAMS as u64 * 2 / 3;
    victim
        .until("garbage on streams is counted", |journal| {
            let caught = offences.map(|offence| journal.caught(attacker.node(), offence));
            (caught.iter().sum::<u64>() >= enough).then_some(())
        })
        .await;
    let [malformed, large] = caught();
    println!("garbage: {} caught {malformed} malformed, {large} too-large", victim.name);
}

/// Bytes that no handshake begins or goes on with, on every listener.
async fn before_noise(siege: &Siege, rng: &mut ChaCha8Rng) {
    let openings = [
        noise(rng, 4096),
        [b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec(), noise(rng, 4096)].concat(),
        [b"\x13/multistream/1.0.0\n".to_vec(), vec![0xff; 4096]].concat(),
        b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ?\r\n\r\n\x81\x7f".to_vec(),
        [b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), noise(rng, 512)].concat(),
        Vec::new(),
    ];
    let listeners = [siege.hub.tcp(), siege.hub.websocket(), siege.bob.tcp()];
    let knocks = listeners.iter().flat_map(|listener| openings.iter().map(|opening| knock(listener, opening)));
    within("the listeners hang up", join_all(knocks)).await;
}

async fn knock(listener: &Multiaddr, opening: &[u8]) {
    let mut socket = connect(listener).await;
    let _ = socket.write_all(opening).await;
    let _ = socket.shutdown().await;
    let _ = socket.read_to_end(&mut Vec::new()).await;
}

fn noise(rng: &mut ChaCha8Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}
