use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Decoder, Flag, Frame, FramingError, MAX_ACCEPTED, MAX_FRAME, MAX_PAYLOAD, encode_data, encode_flag};

fn data(payload: &[u8]) -> Frame {
    Frame { flag: None, payload: Bytes::copy_from_slice(payload) }
}

fn flag(flag: Flag) -> Frame {
    Frame { flag: Some(flag), payload: Bytes::new() }
}

/// All frames in `messages`, up to the first that is none.
fn decode<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Frame>, FramingError> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for message in messages {
        decoder.push(Bytes::copy_from_slice(message));
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

#[test]
fn golden_bytes() {
    for (bytes, frame) in [
        (&[0x02, 0x08, 0x00][..], flag(Flag::Fin)),
        (&[0x02, 0x08, 0x01], flag(Flag::StopSending)),
        (&[0x02, 0x08, 0x02], flag(Flag::Reset)),
        (&[0x02, 0x08, 0x03], flag(Flag::FinAck)),
        (&[0x04, 0x12, 0x02, 0x68, 0x69], data(b"hi")),
    ] {
        let encoded = frame.flag.map_or_else(|| encode_data(&frame.payload).0, encode_flag);
        assert_eq!(encoded, bytes);
        assert_eq!(decode([bytes]), Ok(vec![frame]));
    }
}

#[test]
fn a_frame_is_not_a_message() {
    let all = [&encode_data(b"one").0[..], &encode_data(b"two").0, &encode_flag(Flag::Fin)].concat();
    let frames = vec![data(b"one"), data(b"two"), flag(Flag::Fin)];
    assert_eq!(decode([&all[..]]), Ok(frames.clone()), "several in one");
    assert_eq!(decode(all.chunks(1)), Ok(frames.clone()), "a byte at a time");
    assert_eq!(decode([&all[..1], &all[1..6], &all[6..7], &all[7..]]), Ok(frames), "prefix and body apart");
}

#[test]
fn payload_and_flag_may_share_a_frame_and_be_in_any_order() {
    let both = Frame { flag: Some(Flag::Fin), payload: Bytes::from_static(b"x") };
    assert_eq!(decode([&[5, 0x12, 1, b'x', 0x08, 0][..]]), Ok(vec![both.clone()]));
    assert_eq!(decode([&[5, 0x08, 0, 0x12, 1, b'x'][..]]), Ok(vec![both]));
}

#[test]
fn what_is_unknown_is_passed_over() {
    assert_eq!(decode([&[0][..]]), Ok(vec![Frame::default()]), "nothing at all");
    assert_eq!(decode([&[2, 0x08, 9][..]]), Ok(vec![Frame::default()]), "a flag of later");
    assert_eq!(decode([&[6, 0x18, 7, 0x12, 2, b'h', b'i'][..]]), Ok(vec![data(b"hi")]), "a field of later");
}

#[test]
fn the_largest_frame_is_as_long_as_the_specification_says() {
    let payload = vec![7; MAX_PAYLOAD + 1];
    let (frame, taken) = encode_data(&payload);
    assert_eq!(taken, MAX_PAYLOAD);
    // With a flag, which we never send along, it would be two bytes longer.
    assert_eq!(frame.len(), MAX_FRAME - 2);
    assert_eq!(decode([&frame[..]]), Ok(vec![data(&payload[..MAX_PAYLOAD])]));
}

#[test]
fn the_limit_of_what_is_accepted() {
    // 1 byte key, 3 bytes length.
    let payload = vec![7; MAX_ACCEPTED - 4];
    let mut frame = vec![0x80, 0x80, 0x10, 0x12, 0xfc, 0xff, 0x0f];
    frame.extend_from_slice(&payload);
    assert_eq!(decode([&frame[..]]), Ok(vec![data(&payload)]));
    assert_eq!(decode(frame.chunks(1000)), Ok(vec![data(&payload)]));
    assert_eq!(decode([&[0x81, 0x80, 0x10][..]]), Err(FramingError::TooLong), "one more");
    assert_eq!(decode([&[0x80, 0x80, 0x80][..]]), Err(FramingError::TooLong), "no end");
    assert_eq!(decode([&[0x80][..], &[0x80], &[0xff]]), Err(FramingError::TooLong));
}

#[test]
fn what_is_no_frame() {
    assert_eq!(decode([&[0x82, 0x00, 0x08, 0x00][..]]), Err(FramingError::NotMinimal));
    for garbage in [
        &[1, 0x12][..],   // a key and no value
        &[2, 0x12, 5],    // longer than the frame
        &[2, 0x0a, 0],    // a flag that is bytes
        &[2, 0x10, 0],    // a payload that is a number
        &[1, 0x0f],       // a wire type that there is not
        &[1, 0x00],       // field 0
        &[2, 0x1c, 0x00], // the end of a group that none began
    ] {
        assert!(matches!(decode([garbage]), Err(FramingError::Protobuf(_))), "{garbage:?}");
    }
}

#[test]
fn a_big_buffer_is_not_kept_for_a_small_payload() {
    // A payload of one byte, and a field that means nothing around it.
    let filler = 100_000;
    let mut frame = vec![0xa7, 0x8d, 0x06, 0x12, 1, b'x', 0x1a, 0xa0, 0x8d, 0x06];
    frame.resize(10 + filler, 0);
    let message = Bytes::from(frame);
    let mut decoder = Decoder::default();
    decoder.push(message.clone());
    let kept = decoder.next_frame().unwrap().unwrap().payload;
    assert_eq!(&kept[..], b"x");
    assert_eq!(decoder.next_frame(), Ok(None));
    drop(decoder);
    assert!(message.is_unique(), "the payload is a copy");

    // The last of many.
    let message = Bytes::from([&[0; 100_000][..], &encode_data(b"x").0].concat());
    let mut decoder = Decoder::default();
    decoder.push(message.clone());
    let kept: Vec<Frame> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
    assert_eq!((kept.len(), &kept[100_000].payload[..]), (100_001, &b"x"[..]));
    drop(decoder);
    assert!(message.is_unique());

    let message = Bytes::from(encode_data(&[7; 1000]).0);
    let mut decoder = Decoder::default();
    decoder.push(message.clone());
    let kept = decoder.next_frame().unwrap().unwrap().payload;
    assert_eq!(kept.as_ptr(), message[message.len() - 1000..].as_ptr(), "the payload is a part of its message");
}

#[test]
fn whatever_is_written_is_read_however_it_is_cut() {
    for seed in 0..500 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut bytes, mut frames) = (Vec::new(), Vec::new());
        for _ in 0..rng.next_u32() % 8 {
            match rng.next_u32() % 6 {
                known @ 0..4 => {
                    let known = Flag::try_from(known.cast_signed()).unwrap();
                    bytes.extend(encode_flag(known));
                    frames.push(flag(known));
                }
                _ => {
                    let mut payload = vec![0; (rng.next_u32() as usize % MAX_PAYLOAD) >> (rng.next_u32() % 14)];
                    rng.fill_bytes(&mut payload);
                    bytes.extend(encode_data(&payload).0);
                    frames.push(data(&payload));
                }
            }
        }
        let mut messages = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (message, after) = rest.split_at((1 + rng.next_u32() as usize % 5000).min(rest.len()));
            messages.push(message);
            rest = after;
        }
        assert_eq!(decode(messages), Ok(frames), "seed {seed}");
    }
}
