//! Runs the fuzz targets on made-up input: valid messages that were damaged, and plain random bytes.
//!
//! `FUZZ_EXECUTIONS` sets how many for each target, `FUZZ_SEED` where to begin; with the seed that a failure prints and
//! one execution it happens again. A target without coverage to guide it finds the shallow faults only; cargo-fuzz in
//! fuzz/ finds the others.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

use asynchronous_codec::Encoder as _;
use bytes::BytesMut;
use mesh_webrtc::framing::{Flag, encode_data, encode_flag};
use mesh_webrtc::signalling::codec::{Codec, Message};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use targets::signalling::{candidate, description};

/// Executions of each target without `FUZZ_EXECUTIONS`: a few seconds for all in a debug build.
const EXECUTIONS: u64 = 30_000;

#[test]
fn whatever_comes_in_is_survived() {
    let executions = setting("FUZZ_EXECUTIONS").unwrap_or(EXECUTIONS);
    let first = setting("FUZZ_SEED").unwrap_or(1);
    // Two at a time, as most machines that run this have two cores or more.
    for both in targets::TARGETS.chunks(2) {
        std::thread::scope(|scope| {
            for target in both {
                scope.spawn(move || execute(target, first, executions));
            }
        });
        for (name, _) in both {
            println!("{name}: {executions} executions from seed {first}");
        }
    }
}

fn execute((name, run): &targets::Target, first: u64, executions: u64) {
    for seed in first..first + executions {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let input = input(name, &mut rng);
        if catch_unwind(AssertUnwindSafe(|| run(&input))).is_err() {
            panic!("{name} broke with FUZZ_SEED={seed} FUZZ_EXECUTIONS=1 and {} bytes of input", input.len());
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Input for a target: one in four is plain random bytes.
fn input(target: &str, rng: &mut ChaCha8Rng) -> Vec<u8> {
    if below(rng, 4) == 0 {
        return random(rng, 64);
    }
    let mut bytes = match target {
        "framing" => [random(rng, 1), frames(rng)].concat(),
        // The commands of a script are few enough to be met by chance.
        "stream" | "handshake" => random(rng, 200),
        "signalling" => [random(rng, 1), messages(rng)].concat(),
        other => panic!("no valid input is known for {other}"),
    };
    damage(rng, &mut bytes);
    bytes
}

/// A few frames in a row.
fn frames(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=below(rng, 6) {
        match below(rng, 5) {
            0 => bytes.extend(encode_flag(Flag::Fin)),
            1 => bytes.extend(encode_flag(Flag::FinAck)),
            2 => bytes.extend([6, 0x12, 2, 7, 7, 8, 0]),
            _ => bytes.extend(encode_data(&random(rng, 300)).0),
        }
    }
    bytes
}

/// A few messages in a row.
fn messages(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for n in 0..=below(rng, 4) {
        let message = match below(rng, 4) {
            0 => Message::Offer(description()),
            1 => Message::Answer(description()),
            _ => Message::Candidate(candidate(n)),
        };
        Codec.encode(message, &mut bytes).expect("it can be written");
    }
    bytes.to_vec()
}

/// Up to three small changes.
fn damage(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    for _ in 0..below(rng, 4) {
        if bytes.is_empty() {
            return;
        }
        let at = below(rng, bytes.len());
        match below(rng, 5) {
            0 => bytes[at] ^= 1 << below(rng, 8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(rng, 5)],
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            _ => bytes.splice(at..at, random(rng, 8)).for_each(drop),
        }
    }
}

/// Up to `most` random bytes, at least one.
fn random(rng: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; 1 + below(rng, most)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}
