//! Envelopes that are not let in: too large, forged, too old, from the future.

use bytes::Bytes;
use futures::AsyncWriteExt as _;
use mesh_core::Offence;
use mesh_proto::limits::{MAX_CLOCK_AHEAD_MS, MAX_DIRECT_FRAME, MAX_ENVELOPE, TTL_MS};
use mesh_proto::protocol::{DIRECT, Topic};
use mesh_proto::{Envelope, Hlc, NodeId};

use crate::common::attacker::Attacker;
use crate::common::member::Journal;
use crate::common::siege::Siege;
use crate::common::wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_64_kib_and_one_byte() {
    let siege = Siege::begin("size").await;
    let attack = async {
        let author = Attacker::connect(siege.mesh, &siege.victims()).await;
        let fits = wire::broadcast_of_len(siege.mesh, author.key(), MAX_ENVELOPE);
        let too_large = wire::broadcast_of_len(siege.mesh, author.key(), MAX_ENVELOPE + 1);
        author.gossip(&siege.hub).await.publish(Topic::Swarm, &[fits]).await.unwrap();
        // In two broadcasts, for each has its own limit.
        siege.until_all("64 KiB are heard", |journal| heard_of(journal, author.node()) == 2).await;

        for victim in siege.victims() {
            let attacker = Attacker::connect(siege.mesh, &[victim]).await;
            let mut gossip = attacker.gossip(victim).await;
            gossip.publish(Topic::Swarm, std::slice::from_ref(&too_large)).await.unwrap();
            victim.until_caught(attacker.node(), Offence::TooLarge, 1).await;
            // On a direct stream the length alone is enough.
            let mut direct = attacker.open(victim, DIRECT).await.unwrap();
            direct.write_all(&wire::varint(MAX_DIRECT_FRAME + 1)).await.unwrap();
            direct.flush().await.unwrap();
            victim.until_caught(attacker.node(), Offence::TooLarge, 2).await;
            // Gossipsub hangs up on what is far too large, and reads no more of it.
            let _ = gossip.write(&[wire::varint(64 * 1024 * 1024), vec![0; 200 * 1024]].concat()).await;
            gossip.until_ended().await;
        }
        for member in siege.members() {
            assert_eq!(heard_of(&member.journal(), author.node()), 2, "{} heard what is too large", member.name);
        }
    };
    siege.endures(attack).await;
}

fn heard_of(journal: &Journal, author: NodeId) -> usize {
    journal.broadcasts.iter().filter(|(from, ..)| *from == author).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_signatures() {
    const FORGERS: u64 = 3;
    // More than an author may say in a moment, so that a bucket charged for forgeries would silence alice.
    const EACH: u64 = 190;
    let siege = Siege::begin("forged").await;
    let alice = siege.alice.node();
    let attack = async {
        for forger in 0..FORGERS {
            let attacker = Attacker::connect(siege.mesh, &siege.victims()).await;
            let mut streams = Vec::new();
            for victim in siege.victims() {
                streams.push((victim, attacker.gossip(victim).await));
            }
            // In the name of alice, with the numbers that she is about to use, and with the last there is.
            let last = attacker.overhear(|wire| wire::claims(wire).filter(|claims| claims.from == alice)).await.seq;
            let numbers = (1..EACH).map(|n| last + forger * EACH + n).chain([u64::MAX]);
            let forge = |seq| {
                let honest = wire::broadcast(siege.mesh, attacker.key(), b"forged");
                wire::seal(&Envelope { from: alice, seq, ..honest }, attacker.key())
            };
            let forged: Vec<_> = numbers.map(forge).collect();
            for (victim, gossip) in &mut streams {
                let counted = async || {
                    let [forged, replayed] = [Offence::Forged, Offence::Replayed].map(|o| victim.counted_as(o));
                    [forged.await, replayed.await]
                };
                let before = counted().await;
                // What comes after them tells when all were looked at.
                let last = format!("the last for {}", victim.name).into_bytes();
                let end = wire::seal(&wire::broadcast(siege.mesh, attacker.key(), &last), attacker.key());
                gossip.publish(Topic::Swarm, &[forged.clone(), vec![end]].concat()).await.unwrap();
                // The other victim hears it too, before anything later of the same author: numbers are times here, and one that
                // is overtaken by a later one is behind the window.
                let ended = |journal: &Journal| journal.heard(attacker.node(), &last) == 1;
                siege.until_victims("the end of the forgeries", ended).await;
                let after = counted().await;
                // Some numbers may be alice's by now: those are not even looked at.
                let [forged, replayed] = [after[0] - before[0], after[1] - before[1]];
                assert_eq!(forged + replayed, EACH, "every forgery is counted");
                assert_eq!(victim.journal().caught(attacker.node(), Offence::Forged), forged);
                assert!(forged > EACH / 2, "{forged} forged, {replayed} replayed");
            }
        }
    };
    siege.endures(attack).await;
    for member in siege.members() {
        let journal = member.journal();
        assert_eq!(journal.heard(alice, b"forged"), 0, "{}", member.name);
        assert_eq!(journal.blamed(alice), 0, "{} blames alice", member.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_from_the_past_and_from_the_future() {
    const EACH: u64 = 90;
    let siege = Siege::begin("time").await;
    let attack = async {
        let attacker = Attacker::connect(siege.mesh, &siege.victims()).await;
        let now = mesh_net::now().unix;
        let made = |unix, ttl, body: &[u8]| {
            let envelope = wire::broadcast(siege.mesh, attacker.key(), body);
            wire::seal(&Envelope { clock: Hlc::at(unix), ttl, ..envelope }, attacker.key())
        };
        let past = now - TTL_MS;
        let future = now + MAX_CLOCK_AHEAD_MS;
        let old: Vec<_> =
            (1..EACH).map(|n| made(past - 1000 * n, TTL_MS, b"old")).chain([made(now - 1, 0, b"old")]).collect();
        let early: Vec<_> = (1..=EACH).map(|n| made(future + 20_000 * n, TTL_MS, b"early")).collect();
        let timely = [made(past + 20_000, TTL_MS, b"in time"), made(future - 20_000, TTL_MS, b"in time")];
        let immortal = made(now, TTL_MS + 1, b"immortal");
        for victim in siege.victims() {
            let mut gossip = attacker.gossip(victim).await;
            gossip.publish(Topic::Swarm, &old).await.unwrap();
            victim.until_caught(attacker.node(), Offence::Stale, EACH).await;
            gossip.publish(Topic::Swarm, &timely).await.unwrap();
            let both = |journal: &Journal| (journal.heard(attacker.node(), b"in time") == 2).then_some(());
            victim.until("both that are in time", both).await;
            gossip.publish(Topic::Swarm, &[early.clone(), vec![immortal.clone()]].concat()).await.unwrap();
            victim.until_caught(attacker.node(), Offence::FromFuture, EACH).await;
            victim.until_caught(attacker.node(), Offence::TooLarge, 1).await;
        }
        for member in siege.members() {
            let bodies: [&[u8]; 3] = [b"old", b"early", b"immortal"];
            let heard = bodies.map(|body| member.journal().heard(attacker.node(), body));
            assert_eq!(heard, [0; 3], "{}", member.name);
        }
    };
    siege.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_another_mesh_and_on_another_topic() {
    const EACH: usize = 50;
    let siege = Siege::begin("mesh").await;
    let other = mesh_proto::MeshId::open("another").unwrap();
    let attack = async {
        for victim in siege.victims() {
            let attacker = Attacker::connect(siege.mesh, &[victim]).await;
            let of = |mesh| -> Vec<Vec<u8>> {
                let made = |n: usize| wire::broadcast(mesh, attacker.key(), &Bytes::from(format!("elsewhere {n}")));
                (0..EACH).map(|n| wire::seal(&made(n), attacker.key())).collect()
            };
            let mut gossip = attacker.gossip(victim).await;
            gossip.publish(Topic::Swarm, &of(other)).await.unwrap();
            victim.until_caught(attacker.node(), Offence::WrongMesh, EACH as u64).await;
            let attacker = Attacker::connect(siege.mesh, &[victim]).await;
            let mut gossip = attacker.gossip(victim).await;
            gossip.publish(Topic::Agents, &of(siege.mesh)).await.unwrap();
            victim.until_caught(attacker.node(), Offence::WrongTopic, EACH as u64).await;
            assert_eq!(heard_of(&victim.journal(), attacker.node()), 0);
        }
    };
    siege.endures(attack).await;
}
