//! Transfers that are not what they promise.

use futures::{AsyncWriteExt as _, StreamExt as _};
use libp2p::Stream;
use mesh_core::Offence;
use mesh_core::node::Target;
use mesh_core::weights::{ReceiveError, ShareError};
use mesh_net::ShareFailed;
use mesh_proto::TransferId;
use mesh_proto::id::ChunkHash;
use mesh_proto::limits::MAX_TRANSFER_FRAME;
use mesh_proto::protocol::TRANSFER;
use mesh_proto::transfer::{Frame, Manifest, Refusal};

use crate::common::attacker::Attacker;
use crate::common::member::{Member, weights_info};
use crate::common::siege::Siege;
use crate::common::{millis, wire};

const SEND_MS: u64 = 15_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte() {
    let siege = Siege::begin("flipped").await;
    let attack = async {
        let attacker = Attacker::connect(siege.mesh, &[&siege.bob, &siege.alice]).await;
        flipped_on_the_way_in(&attacker, &siege.bob).await;
        called_flipped_on_the_way_out(&attacker, &siege.alice).await;
        share(&siege.alice, &siege.bob).await;
    };
    siege.endures(attack).await;
}

async fn flipped_on_the_way_in(attacker: &Attacker, victim: &Member) {
    const ROUNDS: u64 = 5;
    let bytes = vec![7; 300 * 1024];
    for round in 1..=ROUNDS {
        let manifest = Manifest::describe(TransferId([round as u8; 16]), weights_info(&bytes), &bytes);
        let (id, chunk) = (manifest.id, manifest.chunk as usize);
        let mut stream = offer(attacker, victim, manifest).await;
        assert_eq!(answer(&mut stream).await, Frame::Accept { have: 0 });
        let mut data = bytes[..chunk].to_vec();
        wire::write_frame(&mut stream, &Frame::Chunk { index: 0, data: data.clone().into() }).await.unwrap();
        assert_eq!(answer(&mut stream).await, Frame::Received { have: 1 });
        data[chunk / 2] ^= 1;
        wire::write_frame(&mut stream, &Frame::Chunk { index: 1, data: data.into() }).await.unwrap();
        assert_eq!(answer(&mut stream).await, Frame::Refuse { reason: Refusal::Corrupt });

        victim.until_caught(attacker.node(), Offence::Corrupt, round).await;
        let failed = (attacker.node(), id, ReceiveError::Integrity);
        victim.until("the failure", |journal| journal.receive_failed.contains(&failed).then_some(())).await;
    }
    assert!(victim.journal().weights.is_empty(), "something was delivered");
}

/// The sender's end of it, with a receiver that says so.
async fn called_flipped_on_the_way_out(attacker: &Attacker, victim: &Member) {
    let mut incoming = attacker.accept(TRANSFER);
    let refuse = async {
        let (_, mut stream) = incoming.next().await.unwrap();
        assert!(matches!(answer(&mut stream).await, Frame::Offer { .. }));
        wire::write_frame(&mut stream, &Frame::Accept { have: 0 }).await.unwrap();
        assert!(matches!(answer(&mut stream).await, Frame::Chunk { index: 0, .. }));
        wire::write_frame(&mut stream, &Frame::Refuse { reason: Refusal::Corrupt }).await.unwrap();
        stream
    };
    let bytes = vec![7; 300 * 1024];
    let sharing = victim.handle.share(Target::Node(attacker.node()), weights_info(&bytes), bytes.into(), SEND_MS);
    let (_stream, shared) = tokio::join!(refuse, sharing);
    assert_eq!(shared.unwrap().unwrap_err(), ShareFailed::Transfer(ShareError::Integrity));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_of_256_mib() {
    const CHUNK: usize = 256 * 1024;
    let promise = |id: u8, size: usize| {
        let info = weights_info(&[]);
        let hashes = vec![ChunkHash([7; 32]); size.div_ceil(CHUNK)];
        Manifest { id: TransferId([id; 16]), info, size: size as u64, chunk: CHUNK as u32, hashes }
    };
    let size = 256 * 1024 * 1024;
    let siege = Siege::begin("promise").await;
    let bob = &siege.bob;
    let attack = async {
        let attacker = Attacker::connect(siege.mesh, &[bob]).await;
        let mut held = offer(&attacker, bob, promise(1, size)).await;
        assert_eq!(answer(&mut held).await, Frame::Accept { have: 0 });
        let mut larger = offer(&attacker, bob, promise(2, size + 1)).await;
        assert_eq!(answer(&mut larger).await, Frame::Refuse { reason: Refusal::TooLarge });
        let mut more = offer(&attacker, bob, promise(3, CHUNK)).await;
        assert_eq!(answer(&mut more).await, Frame::Refuse { reason: Refusal::Busy });

        share(&siege.alice, bob).await;
        // Half of a chunk, and on other streams frames that are too large or out of place.
        held.write_all(&[wire::varint(CHUNK), vec![0; CHUNK / 2]].concat()).await.unwrap();
        held.flush().await.unwrap();
        let mut stream = attacker.open(bob, TRANSFER).await.unwrap();
        stream.write_all(&wire::varint(MAX_TRANSFER_FRAME + 1)).await.unwrap();
        stream.flush().await.unwrap();
        bob.until_caught(attacker.node(), Offence::TooLarge, 1).await;
        let mut stream = attacker.open(bob, TRANSFER).await.unwrap();
        wire::write_frame(&mut stream, &Frame::Received { have: 1 }).await.unwrap();
        bob.until_caught(attacker.node(), Offence::OutOfPlace, 1).await;
        share(&siege.alice, bob).await;
    };
    siege.endures(attack).await;
}

/// Honest weights arrive meanwhile.
async fn share(from: &Member, to: &Member) {
    let bytes = vec![1; 1024 * 1024];
    let started = millis();
    let target = Target::Node(to.node());
    let shared = from.handle.share(target, weights_info(&bytes), bytes.clone().into(), SEND_MS).await.unwrap().unwrap();
    to.until("the weights", |journal| {
        journal.weights.iter().any(|(_, manifest, arrived)| manifest.id == shared.id && *arrived == bytes).then_some(())
    })
    .await;
    println!("an honest MiB took {} ms", millis() - started);
}

async fn offer(attacker: &Attacker, victim: &Member, manifest: Manifest) -> Stream {
    let mut stream = attacker.open(victim, TRANSFER).await.unwrap();
    wire::write_frame(&mut stream, &Frame::Offer { mesh: attacker.mesh, manifest }).await.unwrap();
    stream
}

async fn answer(stream: &mut Stream) -> Frame {
    let reading = wire::read_frame(stream);
    crate::common::within("an answer", reading).await.unwrap()
}
