//! Messages that were let in before: as they came, in other bytes, by other peers, over other streams.

use bytes::Bytes;
use mesh_core::Offence;
use mesh_proto::protocol::{DIRECT, Topic};
use mesh_proto::{AgentId, Envelope, Kind, direct};

use crate::common::attacker::{Attacker, Gossip};
use crate::common::member::{Journal, Member, Reach, agent_name};
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
        siege.alice.publish("news", once()).await;
        let captured = first.overhear(|wire| contains(wire, &once()).then(|| wire.clone())).await;
        for victim in siege.victims() {
            victim.until("the broadcast", |journal| (journal.heard(alice, &once()) == 1).then_some(())).await;
        }

        for (round, (victim, attacker, gossip)) in streams.iter_mut().enumerate() {
            replay((&captured, round as u8), attacker, gossip, victim).await;
        }
        let carol = Member::leaf("replay", "carol", &[siege.hub.tcp()], Reach::Tcp).await;
        carol.until_joined(&siege.hub).await;
        late_comer(&captured, &carol).await;
        carol.handle.close().await;
        announcement(&siege, &first).await;
        for victim in siege.victims() {
            direct_message(&first, victim).await;
        }
    };
    siege.endures(attack).await;
    for victim in siege.victims() {
        assert_eq!(victim.journal().heard(alice, &once()), 1, "{} heard it again", victim.name);
    }
}

/// Long enough for lengths of two bytes.
fn once() -> Vec<u8> {
    b"only once ".repeat(30)
}

/// The same bytes are gossipsub's to drop; the same message in other bytes is for the core, before it looks at any
/// signature, and so is a second message under a number that was used.
async fn replay((captured, round): (&Bytes, u8), attacker: &Attacker, gossip: &mut Gossip, victim: &Member) {
    const OTHERS: u8 = 10;
    let mut messages = vec![captured.to_vec(); 2];
    messages.extend((0..OTHERS).map(|n| signed_otherwise(captured, round * OTHERS + n)));
    let body = format!("{} through {}", attacker.node(), victim.name);
    let said = wire::broadcast(attacker.mesh, attacker.key(), body.as_bytes());
    let unsaid = Envelope { seq: said.seq, ..wire::broadcast(attacker.mesh, attacker.key(), b"a second story") };
    messages.extend([&said, &unsaid].map(|envelope| wire::seal(envelope, attacker.key())));
    let before = victim.counted_as(Offence::Replayed).await;
    gossip.publish(Topic::Swarm, &messages).await.unwrap();
    // The last is its own; for those of others it may not be to blame.
    victim.until_caught(attacker.node(), Offence::Replayed, 1).await;
    let counted = victim.counted_as(Offence::Replayed).await - before;
    assert!(counted > u64::from(OTHERS), "{counted}");
    println!("replay: {} counted {counted} of {} replayed", victim.name, messages.len() - 1);
    assert_eq!(victim.journal().heard(attacker.node(), body.as_bytes()), 1);
    assert_eq!(victim.journal().heard(attacker.node(), b"a second story"), 0);

    // The pair of body and signature has one encoding; others are no envelopes.
    let longer = longer_forms(captured, round);
    gossip.publish(Topic::Swarm, &longer).await.unwrap();
    victim.until_caught(attacker.node(), Offence::Malformed, longer.len() as u64).await;
}

/// A member that was not there has its own windows: it hears what is still alive, once.
async fn late_comer(captured: &Bytes, carol: &Member) {
    const OTHERS: u8 = 5;
    let mesh = carol.handle.mesh();
    let alice = wire::claims(captured).unwrap().from;
    for _ in 0..2 {
        let attacker = Attacker::connect(mesh, &[carol]).await;
        let mut gossip = attacker.gossip(carol).await;
        let others = (0..OTHERS).map(|n| signed_otherwise(captured, n));
        let messages: Vec<_> = [captured.to_vec(), captured.to_vec()].into_iter().chain(others).collect();
        gossip.publish(Topic::Swarm, &messages).await.unwrap();
        // The second attacker's are the first's, so gossipsub drops them; a marker tells when it has.
        let marker = format!("marker of {}", attacker.node());
        let marked = wire::broadcast(mesh, attacker.key(), marker.as_bytes());
        gossip.publish(Topic::Swarm, &[wire::seal(&marked, attacker.key())]).await.unwrap();
        let heard = |journal: &Journal| journal.heard(attacker.node(), marker.as_bytes()) == 1;
        carol.until("the marker", |journal| heard(journal).then_some(())).await;
    }
    assert_eq!(carol.journal().heard(alice, &once()), 1, "carol");
    println!("replay: {}", carol.counted().await);
}

/// An announcement that was replaced does not come back, whichever way it is handed over.
async fn announcement(siege: &Siege, attacker: &Attacker) {
    let ada = AgentId { name: agent_name("ada"), node: siege.alice.node() };
    siege.alice.announce("ada", &["old"]).await;
    siege.until_victims("ada", |journal| journal.agents.contains_key(&ada)).await;
    let own = || wire::seal(&wire::announcement(siege.mesh, attacker.key(), "eve"), attacker.key());
    let list = attacker.join(&siege.hub, own()).await.unwrap();
    let captured = list.into_iter().find(|wire| {
        let claims = wire::claims(&Bytes::from(wire.to_vec())).unwrap();
        claims.from == ada.node && contains(wire, b"old")
    });
    let captured = captured.expect("the list has alice").into_vec();
    assert_eq!(wire::claims(&captured.clone().into()).unwrap().kind, Kind::AgentAnnounce);

    siege.alice.announce("ada", &["new"]).await;
    let renewed = |journal: &Journal| journal.agents.get(&ada).is_some_and(|record| record.capabilities == ["new"]);
    siege.until_victims("ada anew", renewed).await;
    for victim in siege.victims() {
        attacker.join(victim, captured.clone()).await.unwrap();
        assert!(renewed(&victim.journal()), "{} took the old announcement", victim.name);
    }

    siege.alice.handle.withdraw(ada.name.clone()).await.unwrap().unwrap();
    siege.until_victims("ada is gone", |journal| !journal.agents.contains_key(&ada)).await;
    for victim in siege.victims() {
        attacker.join(victim, captured.clone()).await.unwrap();
        assert!(!victim.journal().agents.contains_key(&ada), "{} took the old announcement", victim.name);
    }
}

/// A direct message that is sent again, on its stream and on the next one, is delivered once.
async fn direct_message(attacker: &Attacker, victim: &Member) {
    let session = 1_000_000;
    let message = |number, body: &str| {
        let body = body.to_owned().into();
        direct::Frame::Message(direct::Message {
            number: session + number,
            from: None,
            to: None,
            body,
            reader: direct::Reader::Application,
        })
    };
    for _ in 0..2 {
        let mut stream = attacker.open(victim, DIRECT).await.unwrap();
        let hello = direct::Frame::Hello { mesh: attacker.mesh, session };
        for frame in [hello, message(1, "only once"), message(1, "only once"), message(1, "or something else")] {
            wire::write_frame(&mut stream, &frame).await.unwrap();
        }
    }
    let mut stream = attacker.open(victim, DIRECT).await.unwrap();
    wire::write_frame(&mut stream, &direct::Frame::Hello { mesh: attacker.mesh, session }).await.unwrap();
    wire::write_frame(&mut stream, &message(2, "the last")).await.unwrap();
    let from = attacker.node();
    let bodies = victim.until("the last message", |journal| {
        let mine = journal.messages.iter().filter(|(sender, _)| *sender == from);
        let bodies: Vec<_> = mine.map(|(_, body)| body.clone()).collect();
        bodies.contains(&"the last".into()).then_some(bodies)
    });
    assert_eq!(bodies.await, ["only once", "the last"], "{}", victim.name);
}

/// The envelope with a signature that is not its own.
fn signed_otherwise(wire: &Bytes, n: u8) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let last = wire.len() - 1;
    wire[last] ^= n + 1;
    wire
}

/// The envelope's pair in CBOR that is longer than it need be, or followed by something; different in each round, for
/// gossipsub drops what it knows to be invalid.
fn longer_forms(wire: &Bytes, round: u8) -> Vec<Vec<u8>> {
    // A head of four bytes, the body, a head of two, the signature.
    let (front, signature) = wire.split_at(wire.len() - 64);
    let body = &front[4..front.len() - 2];
    let body_len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let pair = |array: &[u8], body_head: &[u8], signature_head: &[u8], signature: &[u8]| {
        [array, body_head, &body_len, body, signature_head, signature].concat()
    };
    assert_eq!(pair(&[0x82], &[0x59], &[0x58, 0x40], signature), wire.to_vec(), "of 256 to 65,535 bytes");
    let other = signed_otherwise(wire, round);
    let signature = &other[wire.len() - 64..];
    vec![
        pair(&[0x98, 0x02], &[0x59], &[0x58, 0x40], signature),
        pair(&[0x82], &[0x5a, 0, 0], &[0x58, 0x40], signature),
        pair(&[0x82], &[0x59], &[0x59, 0x00, 0x40], signature),
        [&other[..], &[0]].concat(),
    ]
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
