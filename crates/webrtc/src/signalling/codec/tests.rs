//! Golden bytes, limits, and everything that is not a message.

use asynchronous_codec::{Decoder, Encoder};
use bytes::BytesMut;
use prost::Message as _;

use super::*;
use crate::signalling::sdp::tests::sample;

fn encode(message: Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    Codec.encode(message, &mut bytes).unwrap();
    bytes.to_vec()
}

fn decode(bytes: &[u8]) -> Result<Option<Received>, CodecError> {
    Codec.decode(&mut BytesMut::from(bytes))
}

/// What another implementation sends.
fn wire(kind: Option<i32>, data: Option<&str>) -> Vec<u8> {
    Wire { kind, data: data.map(str::to_owned) }.encode_length_delimited_to_vec()
}

fn sdp(text: &str) -> Sdp {
    Sdp::parse(text.to_owned()).unwrap()
}

#[test]
fn the_zero_of_an_offer_is_written() {
    assert_eq!(wire(Some(0), Some("v=0")), [0x07, 0x08, 0x00, 0x12, 0x03, 0x76, 0x3d, 0x30]);
    let offer = encode(Message::Offer(sdp(&sample(0))));
    let length = u8::try_from(sample(0).len() & 0x7f).unwrap() | 0x80;
    assert_eq!(offer[2..6], [0x08, 0x00, 0x12, length]);
}

#[test]
fn a_candidate_is_golden() {
    let candidate = Candidate {
        candidate: "candidate:1".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    };
    let json = br#"{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}"#;
    let mut golden = vec![0x3e, 0x08, 0x02, 0x12, 0x3a];
    golden.extend_from_slice(json);
    assert_eq!(encode(Message::Candidate(candidate)), golden);
}

#[test]
fn all_messages_come_back() {
    let candidate = candidate::read(r#"{"candidate":"candidate:1"}"#).unwrap();
    for message in
        [Message::Offer(sdp(&sample(0))), Message::Answer(sdp(&sample(MAX_SDP))), Message::Candidate(candidate)]
    {
        assert_eq!(decode(&encode(message.clone())), Ok(Some(Received::Message(message))));
    }
}

#[test]
fn messages_come_byte_by_byte_and_several_at_once() {
    let mut bytes = encode(Message::Offer(sdp(&sample(300))));
    bytes.extend(wire(Some(2), Some("null")));
    let (mut buffer, mut heard) = (BytesMut::new(), Vec::new());
    for byte in &bytes {
        buffer.extend_from_slice(&[*byte]);
        heard.extend(Codec.decode(&mut buffer).unwrap());
    }
    let mut at_once = BytesMut::from(&bytes[..]);
    assert_eq!(heard.len(), 2);
    assert_eq!(Codec.decode(&mut at_once).unwrap().as_ref(), heard.first());
    assert_eq!(Codec.decode(&mut at_once).unwrap().as_ref(), heard.last());
    assert_eq!(Codec.decode(&mut at_once), Ok(None));
}

#[test]
fn what_has_no_use_is_passed_over() {
    for (bytes, passed) in [
        (wire(Some(2), Some("")), Passed::LastCandidate),
        (wire(Some(2), None), Passed::LastCandidate),
        (wire(Some(2), Some("{")), Passed::BadCandidate),
        (wire(Some(3), Some("whatever")), Passed::UnknownType),
        (wire(Some(-1), None), Passed::UnknownType),
    ] {
        assert_eq!(decode(&bytes), Ok(Some(Received::Passed(passed))));
    }
    // A field that a later version may add.
    let mut later = vec![0x06, 0x08, 0x02, 0x12, 0x00, 0x18, 0x01];
    assert_eq!(decode(&later), Ok(Some(Received::Passed(Passed::LastCandidate))));
    later.truncate(6);
    assert_eq!(decode(&later), Ok(None), "not all of it");
}

#[test]
fn offences_have_names() {
    for (bytes, error) in [
        (vec![0x00], Malformed::NoType),
        (wire(None, Some(&sample(0))), Malformed::NoType),
        (wire(Some(0), None), Malformed::Sdp(SdpError::Sections)),
        (wire(Some(1), Some("v=0")), Malformed::Sdp(SdpError::Sections)),
        (wire(Some(0), Some(&sample(MAX_SDP + 1))), Malformed::Sdp(SdpError::TooLong)),
        (wire(Some(0), Some(&sample(MAX_MESSAGE))), Malformed::TooLong),
        // A string that is no UTF-8, a field that is no varint, a length past the end.
        (vec![0x05, 0x08, 0x02, 0x12, 0x01, 0xff], Malformed::Protobuf),
        (vec![0x02, 0x0a, 0x00], Malformed::Protobuf),
        (vec![0x03, 0x12, 0x7f, 0x00], Malformed::Protobuf),
        // Lengths: just too long, far too long, not in the shortest form.
        (vec![0x91, 0x80, 0x01], Malformed::TooLong),
        (vec![0xff; 3], Malformed::TooLong),
        (vec![0xff; 20], Malformed::TooLong),
        (vec![0x81, 0x80, 0x00], Malformed::Protobuf),
        (vec![0x81, 0x00], Malformed::Protobuf),
    ] {
        assert_eq!(decode(&bytes), Err(CodecError::Malformed(error)), "{bytes:02x?}");
    }
    assert_eq!(decode(&[0x90, 0x80, 0x01]), Ok(None), "as long as may be");
    assert_eq!(decode(&[]), Ok(None));
    assert_eq!(decode(&[0xff]), Ok(None));
}
