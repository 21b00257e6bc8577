//! What is fuzzed: each target takes any bytes and panics when a promise is broken. Used by cargo-fuzz, which is guided by
//! coverage, and by tests/fuzz.rs, which is not, and runs on every `cargo test`.

#[path = "signalling.rs"]
pub(crate) mod signalling;

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use mesh_webrtc::framing::{Decoder, MAX_ACCEPTED, encode_data, encode_flag};
use mesh_webrtc::rtc::{ChannelEvent, MAX_UNREAD};
use mesh_webrtc::stream::machine::{FIN_ACK_WAIT, Input, Machine, Output};

/// A name, as in `cargo fuzz run`, and what to run.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const TARGETS: &[Target] = &[
    ("framing", framing),
    ("stream", stream),
    ("signalling", signalling::signalling),
    ("handshake", signalling::handshake),
];

/// The frame decoder: the frames are the same however the bytes are cut, no payload is longer than accepted, and what was
/// read can be written and read again. The first byte says how to cut.
pub(crate) fn framing(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = decode(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(cut) + 1).collect();
    let cut = decode(&pieces);
    assert_eq!(whole, cut);
    let (frames, _) = whole;
    for (flag, payload) in frames {
        assert!(payload.len() <= MAX_ACCEPTED);
        let (mut again, mut rest) = (Vec::new(), &payload[..]);
        while !rest.is_empty() {
            let (frame, count) = encode_data(rest);
            again.push(frame);
            rest = &rest[count..];
        }
        again.extend(flag.map(encode_flag));
        let again: Vec<&[u8]> = again.iter().map(Vec::as_slice).collect();
        let (again, whole) = decode(&again);
        assert!(whole);
        assert_eq!(again.iter().flat_map(|(_, payload)| payload.iter().copied()).collect::<Vec<u8>>(), payload);
        assert_eq!(again.last().and_then(|(flag, _)| *flag), flag);
    }
}

type Frames = Vec<(Option<mesh_webrtc::framing::Flag>, Bytes)>;

/// The frames in the messages, and whether they were all well formed.
fn decode(messages: &[&[u8]]) -> (Frames, bool) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for message in messages {
        decoder.push(Bytes::copy_from_slice(message));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push((frame.flag, frame.payload)),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}

/// The stream machine, with a script of whatever may happen: it says each thing once and in order, holds no more than it
/// may, and once it is over it does nothing more.
pub(crate) fn stream(data: &[u8]) {
    let mut machine = Machine::default();
    let mut watch = Watch::default();
    let mut now = Duration::ZERO;
    let mut script = data.iter().copied();
    while let Some(command) = script.next() {
        let argument = usize::from(command >> 4);
        let was_over = machine.is_over();
        match command & 0xf {
            1 => machine.handle(Input::Channel(ChannelEvent::Low), now),
            2 if argument == 0 => machine.handle(Input::Channel(ChannelEvent::Closed), now),
            2 if argument == 1 => machine.handle(Input::Channel(ChannelEvent::Overflow), now),
            3 => machine.handle(Input::Finish, now),
            4 if argument < 4 => machine.handle(Input::Drop, now),
            5 | 6 => {
                now += Duration::from_millis(1 << argument);
                machine.handle_timeout(now);
            }
            7 | 8 => {
                let mut into = vec![0; argument * 100];
                if let Poll::Ready(Ok(count)) = machine.read(&mut into) {
                    assert!(count <= into.len());
                }
            }
            9 => {
                let bytes = vec![0; argument * 2000];
                if let Poll::Ready(Ok(count)) = machine.write(&bytes, argument << 17) {
                    assert!(count <= bytes.len() && (count > 0 || bytes.is_empty()));
                }
            }
            10 => {
                let payload = vec![0; argument * 1000];
                machine.handle(message(encode_data(&payload).0), now);
            }
            11 | 12 => {
                // A flag alone or with a byte, RESET seldom.
                let flag = if argument == 2 { 2 } else { [0, 1, 3][argument % 3] };
                let frame = if argument < 8 { vec![2, 8, flag] } else { vec![5, 8, flag, 0x12, 1, 7] };
                machine.handle(message(frame), now);
            }
            13 => {
                let (frame, _) = encode_data(&vec![0; argument * 10]);
                let (head, tail) = frame.split_at(argument.min(frame.len()));
                machine.handle(message(head.to_vec()), now);
                machine.handle(message(tail.to_vec()), now);
            }
            14 if argument == 0 => {
                let bytes: Vec<u8> = script.by_ref().take(8).collect();
                machine.handle(message(bytes), now);
            }
            _ => machine.handle(Input::Channel(ChannelEvent::Open), now),
        }
        watch.check(&mut machine, was_over, now);
    }
}

fn message(bytes: Vec<u8>) -> Input {
    Input::Channel(ChannelEvent::Message(bytes.into()))
}

/// What a machine has said.
#[derive(Default)]
struct Watch {
    fin: bool,
    fin_ack: bool,
    stop_sending: bool,
    reset: bool,
    closed: bool,
}

impl Watch {
    fn check(&mut self, machine: &mut Machine, was_over: bool, now: Duration) {
        while let Some(output) = machine.poll_output() {
            assert!(!was_over && !self.closed, "nothing after the end");
            match output {
                Output::Send(frame) => {
                    let (frames, whole) = decode(&[&frame]);
                    assert!(whole && frames.len() == 1, "one frame in one message");
                    assert!(!self.reset, "nothing after a reset");
                    match frame[..] {
                        [2, 8, 0] => assert!(!std::mem::replace(&mut self.fin, true)),
                        [2, 8, 1] => assert!(!std::mem::replace(&mut self.stop_sending, true)),
                        [2, 8, 2] => self.reset = true,
                        [2, 8, 3] => assert!(!std::mem::replace(&mut self.fin_ack, true)),
                        _ => assert!(!self.fin, "no bytes after the end"),
                    }
                }
                Output::Close => self.closed = true,
            }
        }
        assert!(machine.weight() <= MAX_UNREAD);
        assert!(!was_over || machine.is_over(), "the end is the end");
        assert!(!self.closed || machine.is_over());
        match machine.poll_timeout() {
            Some(deadline) => assert!(!machine.is_over() && deadline > now && deadline <= now + FIN_ACK_WAIT),
            None => assert!(machine.is_over() || !self.stop_sending, "a lingering stream has a time limit"),
        }
    }
}
