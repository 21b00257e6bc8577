//! Handshakes over a pipe, with WebRTC in memory; and remotes that write whatever they like.

mod pipe;

use std::io;

use bytes::BytesMut;
use futures::executor::block_on;
use futures::future::{join, poll_immediate};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::rtc::Rtc as _;
use crate::rtc::memory::{self, Ice, Network};
use crate::signalling::candidate::MAX_CANDIDATES;
use crate::signalling::codec::{MAX_MESSAGE, Malformed};
use crate::signalling::sdp::tests::sample;
use crate::signalling::{Message, Offence, Sdp};
use pipe::{Pipe, pipe};

type Connected = Result<(memory::Peer, Vec<memory::Channel>), HandshakeError>;

fn machine(role: Role) -> Machine {
    Machine::new(role, Limits::default(), now())
}

async fn run(role: Role, stream: Pipe, rtc: &memory::Rtc) -> Connected {
    let super::Connected { peer, early, init: _ } = connect(machine(role), stream, rtc.open().unwrap()).await?;
    Ok((peer, early))
}

fn both(network: &Network) -> (Connected, Connected) {
    let (one, other) = pipe();
    let (alice, bob) = (network.rtc(), network.rtc());
    block_on(join(run(Role::Offerer, one, &alice), run(Role::Answerer, other, &bob)))
}

#[test]
fn two_connect_whenever_candidates_are_found() {
    for early in [false, true] {
        let network = Network::new();
        network.gather_early(early);
        let (offered, answered) = both(&network);
        let (alice, _) = offered.unwrap();
        let (bob, _) = answered.unwrap();
        assert_eq!(network.peers(), 2);
        assert_eq!(network.channels(), 0, "init is closed at both ends");
        drop((alice, bob));
        assert_eq!(network.peers(), 0);
    }
}

#[test]
fn one_candidate_of_each_side_is_enough() {
    let network = Network::new();
    network.lose_candidates(1);
    let (offered, answered) = both(&network);
    assert!(offered.is_ok() && answered.is_ok());
}

#[test]
fn streams_that_are_opened_early_are_kept() {
    let network = Network::new();
    let (one, other) = pipe();
    let (alice, bob) = (network.rtc(), network.rtc());
    // Of `init` the answerer hears nothing before it is through.
    network.hold();
    let offering = run(Role::Offerer, one, &alice);
    let answering = async {
        let (mut peer, early) = run(Role::Answerer, other, &bob).await.unwrap();
        assert!(early.is_empty());
        let mut channel = peer.create_channel("").unwrap();
        channel.send(b"early").unwrap();
        network.release();
        (peer, channel)
    };
    let (offered, _answered) = block_on(join(offering, answering));
    let (_peer, mut early) = offered.unwrap();
    assert_eq!(early.len(), 1);
    for expected in [ChannelEvent::Open, ChannelEvent::Message("early".into())] {
        assert_eq!(block_on(poll_fn(|cx| early[0].poll(cx))), expected);
    }
}

#[test]
fn a_failure_closes_all_and_resets_the_stream() {
    let network = Network::new();
    network.ice(Ice::Fails);
    let (offered, answered) = both(&network);
    for result in [offered, answered] {
        let error = result.unwrap_err();
        assert!(matches!(error, HandshakeError::Unreachable | HandshakeError::Stream(_)), "{error:?}");
    }
    assert_eq!((network.peers(), network.channels()), (0, 0));
}

#[test]
fn a_handshake_that_is_dropped_leaves_nothing_behind() {
    for role in [Role::Offerer, Role::Answerer] {
        let network = Network::new();
        let (one, mut other) = pipe();
        let rtc = network.rtc();
        let mut handshake = Box::pin(run(role, one, &rtc));
        assert!(block_on(poll_immediate(handshake.as_mut())).is_none());
        assert_eq!(network.peers(), 1);
        drop(handshake);
        assert_eq!((network.peers(), network.channels()), (0, 0));
        let read = block_on(other.read_to_end(&mut Vec::new()));
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

/// What becomes of a handshake whose remote writes `bytes`, and then ends the stream or not.
fn against(role: Role, bytes: &[u8], ends: bool) -> HandshakeError {
    let network = Network::new();
    let (one, mut other) = pipe();
    block_on(other.write_all(bytes)).unwrap();
    if ends {
        block_on(other.close()).unwrap();
    }
    let rtc = network.rtc();
    let error = block_on(run(role, one, &rtc)).unwrap_err();
    assert_eq!((network.peers(), network.channels()), (0, 0), "nothing left behind");
    error
}

fn encoded(messages: impl IntoIterator<Item = Message>) -> Vec<u8> {
    use asynchronous_codec::Encoder as _;
    let mut bytes = BytesMut::new();
    for message in messages {
        crate::signalling::codec::Codec.encode(message, &mut bytes).unwrap();
    }
    bytes.to_vec()
}

fn description() -> Sdp {
    Sdp::parse(sample(0)).unwrap()
}

fn candidates(count: usize) -> impl Iterator<Item = Message> {
    let candidate = crate::signalling::candidate::read(r#"{"candidate":"candidate:1"}"#).unwrap();
    std::iter::repeat_n(Message::Candidate(candidate), count)
}

#[test]
fn remotes_that_break_the_protocol_are_found_out() {
    let long = [0x91, 0x80, 0x01];
    assert_eq!(usize::from(long[0] & 0x7f) + (1 << 14), MAX_MESSAGE + 1);
    for (role, bytes, offence) in [
        (Role::Answerer, long.to_vec(), Malformed::TooLong.into()),
        (Role::Offerer, long.to_vec(), Malformed::TooLong.into()),
        (Role::Answerer, vec![0xff; 64], Malformed::TooLong.into()),
        (Role::Answerer, vec![0x00], Malformed::NoType.into()),
        (Role::Answerer, encoded([Message::Answer(description())]), Offence::OutOfOrder),
        (Role::Answerer, encoded(candidates(1)), Offence::OutOfOrder),
        (Role::Offerer, encoded([Message::Offer(description())]), Offence::OutOfOrder),
        (Role::Offerer, encoded(candidates(MAX_CANDIDATES + 1)), Offence::Flood),
    ] {
        let error = against(role, &bytes, false);
        assert_eq!(error, offence.into(), "{role:?} {bytes:02x?}");
    }
}

#[test]
fn remotes_that_leave_early_are_told_from_those_that_break() {
    for role in [Role::Offerer, Role::Answerer] {
        assert_eq!(against(role, &[], true), HandshakeError::Refused);
        let half = against(role, &[0x07, 0x08], true);
        assert_eq!(half, HandshakeError::Stream(io::ErrorKind::UnexpectedEof));
    }
}
