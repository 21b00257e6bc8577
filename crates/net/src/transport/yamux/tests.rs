use futures::executor::block_on;
use futures::io::{AsyncReadExt as _, Cursor};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;

const SYN: u8 = 1;
const ACK: u8 = 2;
const FIN: u8 = 4;
const RST: u8 = 8;

fn header(kind: u8, flags: u8, stream: u32, length: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[1] = kind;
    header[3] = flags;
    header[4..8].copy_from_slice(&stream.to_be_bytes());
    header[8..].copy_from_slice(&length.to_be_bytes());
    header
}

fn data(flags: u8, length: u32) -> Vec<u8> {
    let mut frame = header(DATA, flags, 7, length).to_vec();
    frame.extend((0..length).map(|at| at as u8));
    frame
}

/// What is read of these bytes, in pieces of these lengths.
fn read(bytes: &[u8], mut piece: impl FnMut() -> usize) -> io::Result<Vec<u8>> {
    let mut frames = Frames::new(Cursor::new(bytes));
    let mut all = Vec::new();
    loop {
        let mut part = vec![0; piece()];
        match block_on(frames.read(&mut part))? {
            0 => return Ok(all),
            n => all.extend_from_slice(&part[..n]),
        }
    }
}

/// The headers of these frames, and the bytes of data in all of them.
fn frames(mut bytes: &[u8]) -> (Vec<[u8; HEADER]>, Vec<u8>) {
    let (mut headers, mut body) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let header: [u8; HEADER] = bytes[..HEADER].try_into().expect("a header");
        let length = u32::from_be_bytes(header[8..].try_into().expect("four bytes"));
        let length = if header[1] == DATA { length as usize } else { 0 };
        body.extend_from_slice(&bytes[HEADER..HEADER + length]);
        bytes = &bytes[HEADER + length..];
        headers.push(header);
    }
    (headers, body)
}

#[test]
fn a_frame_of_1_mib_is_left_as_it_is_and_a_longer_one_is_cut() {
    let all = SYN | ACK | FIN | RST;
    let whole = data(all, MAX_FRAME);
    assert_eq!(read(&whole, || 70_000).expect("it is read"), whole);
    let cut = |length: u32| {
        let (headers, body) = frames(&read(&data(all, length), || 70_000).expect("it is read"));
        assert_eq!(body, data(0, length)[HEADER..]);
        headers
    };
    assert_eq!(cut(MAX_FRAME + 1), [header(DATA, SYN | ACK, 7, MAX_FRAME), header(DATA, FIN | RST, 7, 1)]);
    let three = [(SYN | ACK, MAX_FRAME), (0, MAX_FRAME), (FIN | RST, MAX_FRAME)];
    assert_eq!(cut(3 * MAX_FRAME), three.map(|(flags, length)| header(DATA, flags, 7, length)));
}

#[test]
fn whatever_is_no_data_has_a_length_that_is_no_length() {
    let (update, ping, goodbye) = (header(1, SYN, 7, u32::MAX), header(2, ACK, 0, 1 << 30), header(3, 0, 0, 2));
    let bytes = [&update[..], &ping, &data(0, 3), &goodbye].concat();
    assert_eq!(read(&bytes, || 5).expect("it is read"), bytes);
}

#[test]
fn frames_in_pieces_of_any_length_are_cut_alike() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: u32| random.next_u32() % n;
        let mut bytes = Vec::new();
        for _ in 0..=below(6) {
            match below(4) {
                0 => bytes.extend_from_slice(&header(1, 0, below(9), u32::MAX)),
                1 => bytes.extend_from_slice(&data(FIN, 0)),
                2 => bytes.extend_from_slice(&data(SYN, below(100))),
                _ => bytes.extend_from_slice(&data(FIN, below(3 * MAX_FRAME))),
            }
        }
        let at_once = read(&bytes, || 10_000_000).expect("it is read");
        assert_eq!(read(&bytes, || 1 + below(100_000) as usize).expect("it is read"), at_once, "seed {seed}");
        assert_eq!(frames(&at_once).1, frames(&bytes).1, "seed {seed}");
        assert!(
            frames(&at_once).0.iter().all(|header| header[1] != DATA || header[8..] <= MAX_FRAME.to_be_bytes()[..])
        );
    }
}

#[test]
fn an_end_within_a_header_is_told() {
    let error = read(&data(0, 3)[..HEADER - 1], || 100).expect_err("it is cut off");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    // Within a body it is for yamux to tell.
    assert_eq!(read(&data(0, 3)[..HEADER + 2], || 100).expect("it is read").len(), HEADER + 2);
}
