//! Targets for signalling: what comes from a remote, and whatever may happen in a handshake.

use std::time::Duration;

use asynchronous_codec::{Decoder as _, Encoder as _};
use bytes::BytesMut;
use mesh_webrtc::rtc::{Candidate, Kind, RtcError, State};
use mesh_webrtc::signalling::Limits;
use mesh_webrtc::signalling::candidate::{MAX_CANDIDATE, MAX_CANDIDATES, Passed};
use mesh_webrtc::signalling::codec::{Codec, CodecError, Malformed, Message, Received};
use mesh_webrtc::signalling::machine::{Input, Machine, Output, Role};
use mesh_webrtc::signalling::sdp::{MAX_SDP, Sdp};

/// The codec: messages are the same however the bytes are cut, keep to their limits, and can be written and read again.
/// The first byte says how to cut.
pub(crate) fn signalling(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = decode(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(cut) + 1).collect();
    assert_eq!(whole, decode(&pieces));
    for received in whole.0 {
        let Received::Message(message) = received else { continue };
        match &message {
            Message::Offer(sdp) | Message::Answer(sdp) => assert!(sdp.as_str().len() <= MAX_SDP),
            Message::Candidate(candidate) => {
                assert!(candidate.candidate.len() <= MAX_CANDIDATE && !candidate.candidate.is_empty());
                assert!(candidate.sdp_m_line_index.is_some());
            }
        }
        let mut again = BytesMut::new();
        Codec.encode(message.clone(), &mut again).expect("what was read can be written");
        // What a remote says in as few bytes as can be may take more when all is said.
        let fits = again.len() <= MAX_CANDIDATE || !matches!(message, Message::Candidate(_));
        if fits {
            assert_eq!(decode(&[&again]), (vec![Received::Message(message)], None));
        }
    }
}

fn decode(pieces: &[&[u8]]) -> (Vec<Received>, Option<CodecError>) {
    let (mut buffer, mut received) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match Codec.decode(&mut buffer) {
                Ok(Some(message)) => received.push(message),
                Ok(None) => break,
                Err(error) => return (received, Some(error)),
            }
        }
    }
    (received, None)
}

/// The handshake, with a script of whatever may happen: it says each thing once and in order, keeps to its bounds and to
/// its time, and once it is over it does nothing more. The first byte says which side it is.
pub(crate) fn handshake(data: &[u8]) {
    let Some((&first, script)) = data.split_first() else { return };
    let role = if first & 1 == 0 { Role::Offerer } else { Role::Answerer };
    let limits = Limits { hold: (first & 2 == 0).then_some(Duration::from_millis(100)), ..Limits::default() };
    let mut now = Duration::ZERO;
    let mut machine = Machine::new(role, limits.clone(), now);
    let mut watch = Watch::new(role);
    watch.check(&mut machine);
    for &command in script {
        let argument = usize::from(command >> 4);
        if command & 0xf == 15 {
            now += Duration::from_millis(1 << argument);
            machine.handle_timeout(now);
            assert!(machine.poll_timeout().is_none_or(|due| due > now), "what was due is done");
        } else {
            let input = input(command & 0xf, argument);
            watch.remote_told |= input == Input::RemoteSet;
            machine.handle(input, now);
        }
        watch.check(&mut machine);
    }
    let end = now.max(limits.whole) + 2 * limits.closing;
    while let Some(due) = machine.poll_timeout() {
        assert!(due <= end, "all ends in time");
        machine.handle_timeout(due);
        watch.check(&mut machine);
    }
    assert!(watch.over, "all ends");
}

fn input(command: u8, argument: usize) -> Input {
    match command {
        0 => Input::Described(if argument == 0 { String::new() } else { description().as_str().to_owned() }),
        1 => Input::LocalSet,
        2 => Input::RemoteSet,
        3 => Input::Candidate(candidate(argument)),
        4 => Input::State(State::Connected),
        5 if argument == 0 => Input::State(State::Failed),
        5 if argument == 1 => Input::State(State::Closed),
        5 => Input::State(State::Disconnected),
        6 => Input::InitOpen,
        7 => Input::InitClosed,
        8 if argument == 0 => Input::Rtc(RtcError::Closed),
        8 if argument == 1 => Input::Malformed(Malformed::Protobuf),
        8 => Input::Received(Received::Passed(Passed::LastCandidate)),
        9 => Input::Received(Received::Message(Message::Offer(description()))),
        10 => Input::Received(Received::Message(Message::Answer(description()))),
        11 => Input::Received(Received::Message(Message::Candidate(candidate(argument)))),
        12 if argument == 0 => Input::Broken(std::io::ErrorKind::ConnectionReset),
        12 if argument == 1 => Input::Ended,
        13 => Input::StreamClosed,
        _ => Input::Received(Received::Message(Message::Candidate(candidate(argument)))),
    }
}

/// A description that is good.
pub(crate) fn description() -> Sdp {
    let fingerprint = ["AB"; 32].join(":");
    let text =
        format!("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 {fingerprint}\r\n");
    Sdp::parse(text).expect("it is good")
}

pub(crate) fn candidate(n: usize) -> Candidate {
    Candidate {
        candidate: format!("candidate:{n}"),
        sdp_mid: Some("0".to_owned()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    }
}

/// What a machine has said.
struct Watch {
    kind: Kind,
    sent: usize,
    local: bool,
    remote: bool,
    /// Whether the machine knows that the remote's description is set.
    remote_told: bool,
    added: usize,
    init_closed: bool,
    closed: bool,
    over: bool,
}

impl Watch {
    fn new(role: Role) -> Self {
        let kind = if role == Role::Offerer { Kind::Offer } else { Kind::Answer };
        Self {
            kind,
            sent: 0,
            local: false,
            remote: false,
            remote_told: false,
            added: 0,
            init_closed: false,
            closed: false,
            over: false,
        }
    }

    fn check(&mut self, machine: &mut Machine) {
        while let Some(output) = machine.poll_output() {
            assert!(!self.over, "nothing after the end");
            match output {
                Output::CreateInit | Output::Describe(_) => assert!(!self.local),
                Output::Send(message) => {
                    let first = match message {
                        Message::Offer(_) => self.kind == Kind::Offer,
                        Message::Answer(_) => self.kind == Kind::Answer,
                        Message::Candidate(_) => false,
                    };
                    assert_eq!(first, self.sent == 0, "the description first, and once");
                    assert!(!self.closed && self.sent <= MAX_CANDIDATES);
                    self.sent += 1;
                }
                Output::SetLocal(kind, _) => {
                    assert!(kind == self.kind && self.sent > 0);
                    assert!(!std::mem::replace(&mut self.local, true));
                }
                Output::SetRemote(kind, _) => {
                    assert_ne!(kind, self.kind);
                    assert!(!std::mem::replace(&mut self.remote, true));
                }
                Output::AddCandidate(_) => {
                    assert!(self.remote && self.remote_told, "after the description");
                    self.added += 1;
                    assert!(self.added <= MAX_CANDIDATES);
                }
                Output::CloseInit => assert!(!std::mem::replace(&mut self.init_closed, true)),
                Output::CloseStream => assert!(!std::mem::replace(&mut self.closed, true)),
                Output::Done => {
                    assert!(self.closed && self.local && self.remote);
                    self.over = true;
                }
                Output::Failed(_) => self.over = true,
            }
        }
        assert_eq!(self.over, machine.poll_timeout().is_none());
        assert!(machine.passed() <= MAX_CANDIDATES);
    }
}
