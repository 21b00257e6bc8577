use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::wire::put_varint;
use super::*;
use crate::client::{Client, Output};

fn block(data: &[u8]) -> Block {
    Block::raw(data.to_vec()).expect("it fits")
}

fn cid(name: &str) -> Cid {
    *block(name.as_bytes()).cid()
}

fn entry(name: &str, ask: Ask) -> Entry {
    Entry { cid: cid(name), ask, say_dont_have: ask != Ask::Cancel, priority: 1 }
}

/// Without the length that `encode` puts in front.
fn body(message: &Message) -> Bytes {
    let mut bytes = message.encode();
    let prefix = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a length") + 1;
    let body = bytes.split_off(prefix);
    let mut length = Vec::new();
    put_varint(&mut length, body.len() as u64);
    assert_eq!(bytes, length);
    body
}

#[test]
fn what_is_written_is_read() {
    let message = Message {
        wants: vec![
            entry("a", Ask::Block),
            entry("b", Ask::Have),
            Entry { priority: i32::MIN, ..entry("c", Ask::Cancel) },
            Entry { priority: i32::MAX, say_dont_have: false, ..entry("d", Ask::Block) },
        ],
        full: true,
        blocks: vec![block(b"e"), block(b""), Block::dag_pb(vec![0x0a, 0x02, 0x08, 0x01]).expect("it fits")],
        presences: vec![(cid("f"), Presence::Have), (cid("g"), Presence::DontHave)],
    };
    assert_eq!(Message::decode(body(&message)), Ok(message));
    assert_eq!(body(&Message::default()), Bytes::new());
}

/// The bytes of a want for the empty block, by the tables of the specification: field 1 of the message, field 1 of the list,
/// then the CID (01 55 12 20 and the SHA-256 of nothing), priority 1 and "say when you have it not".
#[test]
fn a_want_is_written_as_the_specification_says() {
    let hash = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ];
    let mut expected = vec![46, 0x0a, 44, 0x0a, 42, 0x0a, 36, 0x01, 0x55, 0x12, 0x20];
    expected.extend(hash);
    expected.extend([0x10, 1, 0x28, 1]);
    let message = Message { wants: vec![entry("", Ask::Block)], ..Message::default() };
    assert_eq!(message.encode(), expected);
}

#[test]
fn entries_and_presences_past_the_limit_are_passed_over() {
    let many = |count: usize| Message {
        wants: vec![entry("a", Ask::Have); count],
        presences: vec![(cid("a"), Presence::DontHave); count],
        ..Message::default()
    };
    let read = Message::decode(body(&many(MAX_ENTRIES + 1))).expect("a message");
    assert_eq!((read.wants.len(), read.presences.len()), (MAX_ENTRIES, MAX_PRESENCES));
    // Two million of them, empty, are read in no more memory than these.
    let bomb = Bytes::from([0x0a, 0x00].repeat(MAX_MESSAGE / 2 - 8));
    let mut list = Vec::new();
    put_varint(&mut list, 1 << 3 | 2);
    put_varint(&mut list, bomb.len() as u64);
    list.extend_from_slice(&bomb);
    assert!(matches!(Message::decode(list.into()), Err(MessageError::Cid(_))));
}

#[test]
fn more_blocks_than_the_limit_are_an_error() {
    let many = |count: usize| Message { blocks: vec![block(b"a"); count], ..Message::default() };
    assert_eq!(Message::decode(body(&many(MAX_BLOCKS))).expect("at the limit").blocks.len(), MAX_BLOCKS);
    assert_eq!(Message::decode(body(&many(MAX_BLOCKS + 1))), Err(MessageError::TooManyBlocks));
}

#[test]
fn a_message_past_the_limit_is_an_error() {
    // Field 9 is unknown, and passed over.
    let padded = |length: usize| {
        let mut bytes = vec![9 << 3 | 2];
        put_varint(&mut bytes, (length - 5) as u64);
        bytes.resize(length, 0);
        Bytes::from(bytes)
    };
    assert_eq!(Message::decode(padded(MAX_MESSAGE)), Ok(Message::default()));
    let long = Message::decode(padded(MAX_MESSAGE + 1));
    assert_eq!(long, Err(MessageError::TooLong(MAX_MESSAGE as u64 + 1)));
}

#[test]
fn what_is_no_message_is_an_error() {
    let cases: [(&[u8], &str); 8] = [
        (&[0x08, 1], "field 1"),
        (&[0x0a, 2, 0x08, 1], "field 1"),
        (&[0x0a, 2, 0x12, 0], "field 2"),
        (&[0x0a, 4, 0x0a, 2, 0x08, 1], "field 1"),
        (&[0x1a, 2, 0x10, 1], "field 2"),
        (&[0x22, 2, 0x08, 1], "field 1"),
        (&[0x0a, 9, 0x0a], "ends within"),
        (&[0x22, 4, 0x0a, 2, 0x01, 0x55], "no CID"),
    ];
    for (bytes, told) in cases {
        let error = Message::decode(Bytes::copy_from_slice(bytes)).expect_err("no message").to_string();
        assert!(error.contains(told), "{bytes:?}: {error}");
    }
}

/// A block is what is left of it: with any bit flipped it is refused, or has another CID, and that was not asked for.
#[test]
fn a_flipped_bit_never_passes_for_the_block() {
    let seed = 6;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut data = vec![0; 300];
    random.fill_bytes(&mut data);
    let block = block(&data);
    let sound = body(&Message { blocks: vec![block.clone()], ..Message::default() });
    let (mut refused, mut others) = (0, 0);
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match Message::decode(bytes.into()) {
            Err(_) => refused += 1,
            Ok(message) => {
                assert!(message.blocks.iter().all(|other| other.cid() != block.cid()), "bit {bit}");
                others += 1;
            }
        }
    }
    println!("{refused} refused, {others} other blocks");
    assert!(refused > 0 && others > 0);
}

/// What a wire or a relay can do: some bits of a message are others, a million times, and whatever is taken for a block that
/// was wanted is that block.
#[test]
fn of_a_million_corrupt_messages_no_corrupt_block_is_taken() {
    let seed = 8;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut refused, mut unwanted, mut sound, peer) = (0, 0, 0, libp2p::PeerId::random());
    for _ in 0..1_000 {
        let blocks: Vec<_> = (0..2)
            .map(|_| {
                let mut data = vec![0; random.next_u32() as usize % 200];
                random.fill_bytes(&mut data);
                if random.next_u32() % 2 == 0 { block(&data) } else { Block::dag_pb(data).expect("it fits") }
            })
            .collect();
        let wire = body(&Message { blocks: blocks.clone(), ..Message::default() });
        for _ in 0..1_000 {
            let mut bytes = wire.to_vec();
            for _ in 0..=random.next_u32() % 3 {
                let bit = random.next_u32() as usize % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let Ok(message) = Message::decode(bytes.into()) else {
                refused += 1;
                continue;
            };
            let mut client = Client::default();
            client.connected(peer, Duration::ZERO);
            for block in &blocks {
                client.want(*block.cid(), &[peer], Duration::ZERO).expect("room");
            }
            for other in message.blocks {
                client.block(peer, other, Duration::ZERO);
            }
            unwanted += client.unwanted();
            while let Some(output) = client.poll_output() {
                let Output::Got(got, _) = output else { panic!("{output:?}") };
                assert!(blocks.contains(&got), "{got:?} was never sent");
                sound += 1;
            }
        }
    }
    println!(
        "{refused} messages refused; {unwanted} corrupt blocks that nobody wanted, {sound} blocks that were not hit"
    );
    assert!(refused > 0 && unwanted > 0 && sound > 0);
}

#[test]
fn random_bytes_are_read_without_harm() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..20_000 {
        let mut bytes = vec![0; random.next_u32() as usize % 200];
        random.fill_bytes(&mut bytes);
        // Mostly the fields that there are.
        if let Some(first) = bytes.first_mut() {
            *first = [0x0a, 0x1a, 0x22, *first][random.next_u32() as usize % 4];
        }
        let _ = Message::decode(bytes.into());
    }
}
