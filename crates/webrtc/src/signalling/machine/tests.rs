//! Step tables: what one side does, input by input.

mod pair;

use super::*;
use crate::signalling::candidate::{MAX_CANDIDATE, MAX_CANDIDATES, Passed};
use crate::signalling::sdp::tests::sample;
use crate::signalling::sdp::{MAX_SDP, SdpError};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const START: Duration = ms(7_000);

pub(super) fn sdp(name: &str) -> Sdp {
    Sdp::parse(sample(0).replace("abcd", name)).unwrap()
}

pub(super) fn candidate(n: usize) -> Candidate {
    Candidate {
        candidate: format!("candidate:{n}"),
        sdp_mid: Some("data".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    }
}

fn offer() -> Input {
    received(Message::Offer(sdp("offer")))
}

fn answer() -> Input {
    received(Message::Answer(sdp("answer")))
}

fn theirs(n: usize) -> Input {
    received(Message::Candidate(candidate(n)))
}

fn received(message: Message) -> Input {
    Input::Received(Received::Message(message))
}

fn described(name: &str) -> Input {
    Input::Described(sdp(name).as_str().to_owned())
}

fn sent(n: usize) -> Output {
    Output::Send(Message::Candidate(candidate(n)))
}

/// One side, told things at a time of its own.
struct Side {
    machine: Machine,
    now: Duration,
}

impl Side {
    fn new(role: Role, limits: Limits) -> Self {
        Self { machine: Machine::new(role, limits, START), now: START }
    }

    fn offerer() -> Self {
        let mut side = Self::new(Role::Offerer, Limits::default());
        assert_eq!(side.outputs(), [Output::CreateInit, Output::Describe(Kind::Offer)]);
        side
    }

    fn answerer() -> Self {
        Self::new(Role::Answerer, Limits::default())
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn told(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(input, self.now);
        self.outputs()
    }

    fn after(mut self, inputs: impl IntoIterator<Item = Input>) -> Self {
        for input in inputs {
            self.told(input);
        }
        self
    }

    /// Waits for the next time limit, and not less.
    fn late(&mut self) -> Vec<Output> {
        let due = self.machine.poll_timeout().unwrap();
        self.machine.handle_timeout(due - ms(1));
        assert_eq!(self.outputs(), [], "a millisecond early");
        self.now = due;
        self.machine.handle_timeout(due);
        self.outputs()
    }

    /// Failed with `error`, and deaf from now on.
    fn failed(&mut self, outputs: &[Output], error: impl Into<HandshakeError>) {
        assert_eq!(outputs, [Output::Failed(error.into())]);
        self.over();
    }

    fn over(&mut self) {
        assert_eq!(self.machine.poll_timeout(), None);
        for input in
            [offer(), theirs(1), Input::Ended, Input::State(State::Connected), Input::Broken(io::ErrorKind::Other)]
        {
            assert_eq!(self.told(input), []);
        }
        self.machine.handle_timeout(self.now + ms(1_000_000));
        assert_eq!(self.outputs(), []);
    }
}

/// An offerer that has its answer.
fn connecting_offerer() -> Side {
    Side::offerer().after([described("offer"), Input::LocalSet, answer(), Input::RemoteSet])
}

/// An answerer that has answered.
fn connecting_answerer() -> Side {
    Side::answerer().after([offer(), Input::RemoteSet, described("answer"), Input::LocalSet])
}

#[test]
fn an_answerer_leaves_init_alone() {
    let mut side = connecting_answerer();
    assert_eq!(side.told(Input::InitOpen), []);
    assert_eq!(side.told(Input::State(State::Connected)), [Output::CloseStream]);
    assert_eq!(side.told(Input::InitClosed), []);
    assert_eq!(side.told(Input::StreamClosed), [Output::Done]);
}

#[test]
fn an_offerer_connects() {
    let mut side = Side::offerer();
    assert_eq!(
        side.told(described("offer")),
        [Output::Send(Message::Offer(sdp("offer"))), Output::SetLocal(Kind::Offer, sdp("offer"))]
    );
    assert_eq!(side.told(Input::LocalSet), []);
    assert_eq!(side.told(Input::Candidate(candidate(1))), [sent(1)]);
    assert_eq!(side.told(answer()), [Output::SetRemote(Kind::Answer, sdp("answer"))]);
    assert_eq!(side.told(Input::RemoteSet), []);
    assert_eq!(side.told(theirs(2)), [Output::AddCandidate(candidate(2))]);
    assert_eq!(side.told(Input::State(State::Connected)), []);
    assert_eq!(side.told(Input::Ended), [], "the answerer is through first");
    assert_eq!(side.told(Input::InitOpen), [Output::CloseInit]);
    assert_eq!(side.told(Input::InitClosed), [Output::CloseStream]);
    assert_eq!(side.told(Input::StreamClosed), [Output::Done]);
    side.over();
}

#[test]
fn an_answerer_connects() {
    let mut side = Side::answerer();
    assert_eq!(side.told(offer()), [Output::SetRemote(Kind::Offer, sdp("offer"))]);
    assert_eq!(side.told(Input::RemoteSet), [Output::Describe(Kind::Answer)]);
    assert_eq!(
        side.told(described("answer")),
        [Output::Send(Message::Answer(sdp("answer"))), Output::SetLocal(Kind::Answer, sdp("answer"))]
    );
    assert_eq!(side.told(Input::LocalSet), []);
    assert_eq!(side.told(theirs(1)), [Output::AddCandidate(candidate(1))]);
    assert_eq!(side.told(Input::Candidate(candidate(2))), [sent(2)]);
    assert_eq!(side.told(Input::State(State::Disconnected)), []);
    assert_eq!(side.told(Input::State(State::Connected)), [Output::CloseStream]);
    assert_eq!(side.told(Input::StreamClosed), [Output::Done]);
    side.over();
}

#[test]
fn candidates_wait_for_the_descriptions() {
    let mut side = Side::offerer();
    assert_eq!(side.told(Input::Candidate(candidate(1))), []);
    let description = side.told(described("offer"));
    assert_eq!(description.last(), Some(&sent(1)), "after the description, whenever it was found");
    assert_eq!(side.told(theirs(2)), [], "before the answer");
    assert_eq!(side.told(answer()), [], "not before ours is set");
    assert_eq!(side.told(Input::LocalSet), [Output::SetRemote(Kind::Answer, sdp("answer"))]);
    assert_eq!(side.told(theirs(3)), []);
    assert_eq!(side.told(Input::RemoteSet), [Output::AddCandidate(candidate(2)), Output::AddCandidate(candidate(3))]);

    let mut side = Side::answerer().after([offer(), Input::Candidate(candidate(1))]);
    assert_eq!(side.told(theirs(2)), []);
    assert_eq!(side.told(Input::RemoteSet), [Output::AddCandidate(candidate(2)), Output::Describe(Kind::Answer)]);
    assert_eq!(side.told(described("answer")).last(), Some(&sent(1)));
}

#[test]
fn ours_name_their_section_and_are_bounded() {
    let mut side = Side::offerer().after([described("offer"), Input::LocalSet]);
    let bare =
        Candidate { candidate: "a=candidate:1".into(), sdp_mid: None, sdp_m_line_index: None, username_fragment: None };
    assert_eq!(side.told(Input::Candidate(bare)), [sent(1)], "with the name that the description gives");
    let empty = Candidate { candidate: String::new(), ..candidate(0) };
    assert_eq!(side.told(Input::Candidate(empty)), []);
    let long = Candidate { candidate: "c".repeat(MAX_CANDIDATE), ..candidate(0) };
    assert_eq!(side.told(Input::Candidate(long)), []);
    for n in 3..MAX_CANDIDATES {
        assert_eq!(side.told(Input::Candidate(candidate(n))), [sent(n)]);
    }
    assert_eq!(side.told(Input::Candidate(candidate(0))), []);

    let mut side = connecting_offerer().after([Input::State(State::Connected)]);
    assert_eq!(side.told(Input::Candidate(candidate(1))), [], "too late to help");
}

#[test]
fn held_candidates_go_with_the_first_of_the_remote() {
    let limits = Limits { hold: Some(ms(100)), ..Limits::default() };
    let held = || {
        let mut side = Side::new(Role::Offerer, limits.clone()).after([
            described("offer"),
            Input::LocalSet,
            Input::Candidate(candidate(1)),
        ]);
        assert_eq!(side.told(answer()), [Output::SetRemote(Kind::Answer, sdp("answer"))]);
        side
    };
    let mut side = held();
    assert_eq!(side.told(Input::RemoteSet), []);
    assert_eq!(side.told(theirs(2)), [Output::AddCandidate(candidate(2)), sent(1)]);
    assert_eq!(side.told(Input::Candidate(candidate(3))), [sent(3)]);

    let mut side = held();
    side.told(theirs(2));
    assert_eq!(side.told(Input::RemoteSet), [Output::AddCandidate(candidate(2)), sent(1)]);

    let mut side = held().after([Input::RemoteSet]);
    assert_eq!(side.machine.poll_timeout(), Some(START + ms(100)));
    assert_eq!(side.late(), [sent(1)]);
    assert_eq!(side.machine.poll_timeout(), Some(START + ms(15_000)));

    // A connection that came without ours: they are of no use, least of all after the stream's end.
    let mut side = held().after([Input::RemoteSet, Input::State(State::Connected), Input::InitClosed]);
    assert_eq!(side.late(), []);

    let mut side = held().after([Input::RemoteSet]);
    let outputs = side.told(Input::State(State::Failed));
    side.failed(&outputs, HandshakeError::Unreachable);

    let answerer = Side::new(Role::Answerer, limits.clone());
    let mut side = answerer.after([offer(), Input::RemoteSet, described("answer")]);
    assert_eq!(side.told(Input::Candidate(candidate(1))), [sent(1)], "only the offerer holds");
}

#[test]
fn silence_has_its_limits() {
    let mut side = Side::answerer();
    assert_eq!(side.machine.poll_timeout(), Some(START + ms(5_000)));
    let outputs = side.late();
    side.failed(&outputs, HandshakeError::Silent);

    // The time for an answer begins with the offer.
    let mut side = Side::offerer();
    side.now += ms(3_000);
    side.told(described("offer"));
    side.told(Input::LocalSet);
    assert_eq!(side.machine.poll_timeout(), Some(START + ms(8_000)));
    let outputs = side.late();
    side.failed(&outputs, HandshakeError::Silent);

    let stuck = [
        Side::offerer(),
        Side::offerer().after([described("offer"), answer()]),
        Side::offerer().after([described("offer"), Input::LocalSet, answer()]),
        connecting_offerer(),
        connecting_offerer().after([Input::State(State::Connected)]),
        Side::answerer().after([offer()]),
        Side::answerer().after([offer(), Input::RemoteSet]),
        connecting_answerer(),
    ];
    for mut side in stuck {
        assert_eq!(side.machine.poll_timeout(), Some(START + ms(15_000)), "{:?}", side.machine);
        let outputs = side.late();
        side.failed(&outputs, HandshakeError::Timeout);
    }
}

#[test]
fn what_does_not_close_counts_as_closed() {
    let mut side = connecting_offerer().after([Input::State(State::Connected)]);
    side.now += ms(1_000);
    assert_eq!(side.told(Input::InitOpen), [Output::CloseInit]);
    assert_eq!(side.machine.poll_timeout(), Some(START + ms(3_000)));
    assert_eq!(side.late(), [Output::CloseStream]);
    assert_eq!(side.machine.poll_timeout(), Some(START + ms(5_000)));
    assert_eq!(side.late(), [Output::Done]);
    side.over();

    let mut side = connecting_answerer().after([Input::State(State::Connected)]);
    assert_eq!(side.told(Input::Broken(io::ErrorKind::ConnectionReset)), [Output::Done]);
}

#[test]
fn init_may_be_open_first_or_closed_by_the_remote() {
    let mut side = connecting_offerer().after([Input::InitOpen]);
    assert_eq!(side.told(Input::State(State::Connected)), [Output::CloseInit]);

    let mut side = connecting_offerer().after([Input::InitOpen, Input::InitClosed]);
    assert_eq!(side.told(Input::State(State::Connected)), [Output::CloseStream]);

    // Told before the description that made it possible.
    let early = [described("offer"), Input::LocalSet, answer(), Input::State(State::Connected), Input::InitOpen];
    let mut side = Side::offerer().after(early);
    assert_eq!(side.told(Input::RemoteSet), [Output::CloseInit]);

    let mut side = Side::answerer().after([offer(), Input::RemoteSet, Input::State(State::Connected)]);
    assert_eq!(side.told(described("answer")).last(), Some(&Output::CloseStream));
}

#[test]
fn a_remote_that_breaks_the_protocol_is_named() {
    let out_of_order = HandshakeError::from(Offence::OutOfOrder);
    for (mut side, input) in [
        (Side::offerer(), answer()),
        (Side::offerer(), theirs(1)),
        (Side::offerer().after([described("offer")]), offer()),
        (Side::offerer().after([described("offer"), answer()]), answer()),
        (Side::answerer(), answer()),
        (Side::answerer(), theirs(1)),
        (Side::answerer().after([offer()]), offer()),
        (Side::answerer().after([offer(), Input::RemoteSet]), answer()),
        (connecting_answerer(), offer()),
        (connecting_offerer(), offer()),
        (connecting_offerer(), answer()),
        (connecting_offerer().after([Input::State(State::Connected), Input::InitOpen]), offer()),
    ] {
        let outputs = side.told(input);
        side.failed(&outputs, out_of_order.clone());
    }
    for malformed in [Malformed::TooLong, Malformed::Protobuf, Malformed::NoType, SdpError::NoFingerprint.into()] {
        for mut side in [Side::offerer().after([described("offer")]), Side::answerer(), connecting_answerer()] {
            let outputs = side.told(Input::Malformed(malformed));
            side.failed(&outputs, Offence::Malformed(malformed));
        }
    }
    assert!(out_of_order.is_offence());
    assert!(!HandshakeError::Silent.is_offence());
}

#[test]
fn a_flood_is_an_offence_of_whatever_it_consists() {
    let passed = Input::Received(Received::Passed(Passed::BadCandidate));
    for flood in [theirs(1), passed.clone()] {
        for mut side in [
            Side::offerer().after([described("offer")]),
            Side::answerer().after([offer()]),
            connecting_answerer(),
            connecting_offerer(),
        ] {
            for _ in 0..MAX_CANDIDATES {
                let outputs = side.told(flood.clone());
                assert!(matches!(outputs[..], [] | [Output::AddCandidate(_)]), "{outputs:?}");
            }
            let outputs = side.told(flood.clone());
            side.failed(&outputs, Offence::Flood);
        }
    }
    let side = connecting_offerer().after([theirs(1), passed.clone(), passed]);
    assert_eq!(side.machine.passed(), 2);
}

#[test]
fn an_early_end_counts_by_what_is_missing() {
    for mut side in [Side::offerer(), Side::offerer().after([described("offer"), Input::LocalSet]), Side::answerer()] {
        let outputs = side.told(Input::Ended);
        side.failed(&outputs, HandshakeError::Refused);
    }
    for mut side in [
        Side::offerer().after([described("offer"), answer()]),
        Side::answerer().after([offer()]),
        connecting_offerer(),
        connecting_answerer(),
    ] {
        side.now += ms(1_000);
        assert_eq!(side.told(Input::Ended), []);
        assert_eq!(side.machine.poll_timeout(), Some(START + ms(1_000) + GRACE));
        let outputs = side.late();
        side.failed(&outputs, HandshakeError::Refused);
    }
    let mut side = connecting_answerer();
    assert_eq!(side.told(Input::Ended), [], "the connection may still come");
    assert_eq!(side.told(Input::State(State::Connected)), [Output::CloseStream]);

    for mut side in [Side::offerer(), Side::answerer(), connecting_offerer(), connecting_answerer()] {
        let outputs = side.told(Input::Broken(io::ErrorKind::ConnectionReset));
        side.failed(&outputs, HandshakeError::Stream(io::ErrorKind::ConnectionReset));
    }
    let mut side = connecting_offerer().after([Input::State(State::Connected)]);
    assert_eq!(side.told(Input::Broken(io::ErrorKind::ConnectionReset)), [], "the answerer is through and has left");
    assert_eq!(side.told(Input::InitOpen), [Output::CloseInit]);
}

#[test]
fn webrtc_may_fail_at_any_point() {
    for input in [Input::State(State::Failed), Input::State(State::Closed)] {
        for mut side in [Side::offerer(), Side::answerer(), connecting_offerer(), connecting_answerer()] {
            let outputs = side.told(input.clone());
            side.failed(&outputs, HandshakeError::Unreachable);
        }
    }
    let error = RtcError::Failed("no".into());
    for mut side in [Side::offerer(), Side::answerer(), connecting_offerer(), connecting_answerer()] {
        let outputs = side.told(Input::Rtc(error.clone()));
        side.failed(&outputs, error.clone());
    }
    for unfit in [String::new(), sample(MAX_SDP + 1)] {
        let mut side = Side::offerer();
        let outputs = side.told(Input::Described(unfit));
        assert!(matches!(outputs[..], [Output::Failed(HandshakeError::Rtc(_))]), "{outputs:?}");
    }
}

#[test]
fn what_nobody_asked_for_changes_nothing() {
    for side in [connecting_offerer, connecting_answerer] {
        for input in [described("again"), Input::LocalSet, Input::RemoteSet, Input::StreamClosed] {
            assert_eq!(side().told(input), []);
        }
    }
}
