//! Messages that were let in before: as they came, in other bytes, by other peers, over other streams.

use bytes::Bytes;
use mesh_core::Offence;
use mesh_proto::protocol::Topic;
use mesh_proto::{AgentId, Envelope, Kind};

use crate::common::attacker::{Attacker, Gossip};
use crate::common::member::{Member, Reach, agent_name};
use crate::common::siege::Siege;
use crate::common::wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_messages() {
    let siege = Siege::begin("replay").await;
    let alice = siege.alice.node();
    let attack = async {
        let first = Attacker::connect(siege.mesh, &siege.victims()).await;
        let second = Attacker::connect(siege.mesh, &siege.victims()).await;
        let mut streams = Vec::new();
        for victim in siege.victims() {
            streams.push((victim, &first, first.gossip(victim).await));
            streams.push((victim, &second, second.gossip(victim).await));
        }
        siege.alice.publish("news", "only once").await;
        let captured = first.overhear(|wire| contains(wire, b"only once").then(|| wire.clone())).await;
        for victim in siege.victims() {
            victim.until("the broadcast", |journal| (journal.heard(alice, b"only once") == 1).then_some(())).await;
        }

        for (victim, attacker, gossip) in &mut streams {
            replay(&captured, attacker, gossip, victim).await;
        }
        let carol = Member::leaf("replay", "carol", &[siege.hub.tcp()], Reach::Tcp).await;
        carol.until_joined(&siege.hub).await;
        late_comer(&captured, &carol).await;
        carol.handle.close().await;
        announcement(&siege, &first).await;
    };
    siege.endures(attack).await;
    for victim in siege.victims() {
        assert_eq!(victim.journal().heard(alice, b"only once"), 1, "{} heard it again", victim.name);
    }
}

/// The same bytes are gossipsub's to drop; the same message in other bytes is for the core, before it looks at any
/// signature, and so is a second message under a number that was used.
async fn replay(captured: &Bytes, attacker: &Attacker, gossip: &mut Gossip, victim: &Member) {
    const OTHERS: u64 = 10;
    let mut messages = vec![captured.to_vec(); 2];
    messages.extend((0..OTHERS).map(|n| signed_otherwise(captured, n as u8)));
    let body = format!("{} through {}", attacker.node(), victim.name);
    let said = wire::broadcast(attacker.mesh, attacker.key(), body.as_bytes());
    let unsaid = Envelope { seq: said.seq, ..wire::broadcast(attacker.mesh, attacker.key(), b"a second story") };
    messages.extend([&said, &unsaid].map(|envelope| wire::seal(envelope, attacker.key())));
    gossip.publish(Topic::Swarm, &messages).await.unwrap();
    let counted = victim.until_caught(attacker.node(), Offence::Replayed, OTHERS + 1).await;
    println!("replay: {} counted {counted} of {} replayed", victim.name, messages.len() - 1);
    assert_eq!(victim.journal().heard(attacker.node(), body.as_bytes()), 1);
    assert_eq!(victim.journal().heard(attacker.node(), b"a second story"), 0);

    // The pair of body and signature has one encoding; others are no envelopes.
    let longer = longer_forms(captured);
    gossip.publish(Topic::Swarm, &longer).await.unwrap();
    victim.until_caught(attacker.node(), Offence::Malformed, longer.len() as u64).await;
}

/// A member that was not there has its own windows: it hears what is still alive, once.
async fn late_comer(captured: &Bytes, carol: &Member) {
    const OTHERS: u64 = 5;
    let mesh = carol.handle.mesh();
    let alice = wire::claims(captured).unwrap().from;
    for _ in 0..2 {
        let attacker = Attacker::connect(mesh, &[carol]).await;
        let mut gossip = attacker.gossip(carol).await;
        let others = (0..OTHERS).map(|n| signed_otherwise(captured, n as u8 | 0x80));
        let messages: Vec<_> = [captured.to_vec(), captured.to_vec()].into_iter().chain(others).collect();
        gossip.publish(Topic::Swarm, &messages).await.unwrap();
        // The second attacker's are the first's, so gossipsub drops them; a marker tells when it has.
        let marker = format!("marker of {}", attacker.node());
        let marked = wire::broadcast(mesh, attacker.key(), marker.as_bytes());
        gossip.publish(Topic::Swarm, &[wire::seal(&marked, attacker.key())]).await.unwrap();
        let heard = |journal: &crate::common::member::Journal| journal.heard(attacker.node(), marker.as_bytes()) == 1;
        carol.until("the marker", |journal| heard(journal).then_some(())).await;
    }
    assert_eq!(carol.journal().heard(alice, b"only once"), 1, "carol");
    println!("replay: {}", carol.counted().await);
}

/// An announcement that was replaced does not come back, whichever way it is handed over.
async fn announcement(siege: &Siege, attacker: &Attacker) {
    let ada = AgentId { name: agent_name("ada"), node: siege.alice.node() };
    siege.alice.announce("ada", &["old"]).await;
    siege.until_all("ada", |journal| journal.agents.contains_key(&ada)).await;
    let own = || wire::seal(&wire::announcement(siege.mesh, attacker.key(), "eve"), attacker.key());
    let list = attacker.join(&siege.hub, own()).await.unwrap();
    let captured = list.into_iter().find(|wire| {
        let claims = wire::claims(&Bytes::from(wire.to_vec())).unwrap();
        claims.from == ada.node && contains(wire, b"old")
    });
    let captured = captured.expect("the list has alice").into_vec();
    assert_eq!(wire::claims(&captured.clone().into()).unwrap().kind, Kind::AgentAnnounce);

    siege.alice.announce("ada", &["new"]).await;
    let renewed = |journal: &crate::common::member::Journal| {
        journal.agents.get(&ada).is_some_and(|record| record.capabilities == ["new"])
    };
    siege.until_all("ada anew", renewed).await;
    for victim in siege.victims() {
        attacker.join(victim, captured.clone()).await.unwrap();
        assert!(renewed(&victim.journal()), "{} took the old announcement", victim.name);
    }

    siege.alice.handle.withdraw(ada.name.clone()).await.unwrap().unwrap();
    siege.until_all("ada is gone", |journal| !journal.agents.contains_key(&ada)).await;
    for victim in siege.victims() {
        attacker.join(victim, captured.clone()).await.unwrap();
        assert!(!victim.journal().agents.contains_key(&ada), "{} took the old announcement", victim.name);
    }
}

/// The envelope with a signature that is not its own.
fn signed_otherwise(wire: &Bytes, n: u8) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let last = wire.len() - 1;
    wire[last] ^= n + 1;
    wire
}

/// The envelope's pair in CBOR that is longer than it need be, or followed by something.
fn longer_forms(wire: &Bytes) -> Vec<Vec<u8>> {
    // A head of four bytes, the body, a head of two, the signature.
    let (front, signature) = wire.split_at(wire.len() - 64);
    let body = &front[4..front.len() - 2];
    let body_len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let head = |array: &[u8], body_head: &[u8], signature_head: &[u8]| {
        [array, body_head, body, signature_head, signature].concat()
    };
    let body_head = [&[0x59], &body_len[..]].concat();
    let canonical = head(&[0x82], &body_head, &[0x58, 0x40]);
    assert_eq!(canonical, wire.to_vec(), "between 256 and 65,535 bytes");
    vec![
        head(&[0x98, 0x02], &body_head, &[0x58, 0x40]),
        head(&[0x82], &[&[0x5a, 0, 0], &body_len[..]].concat(), &[0x58, 0x40]),
        head(&[0x82], &body_head, &[0x59, 0x00, 0x40]),
        [&canonical[..], &[0]].concat(),
    ]
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
