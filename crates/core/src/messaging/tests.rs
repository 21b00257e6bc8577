//! The rules one by one, against a driver and a peer that the test plays. [`network`] plays whole networks.

use super::*;

mod malice;
mod network;
mod receiver;
mod sender;

const SESSION: u64 = 1_000_000;
const THEIRS: u64 = 5_000_000;
const MESH: MeshId = MeshId([7; 32]);
const PEER: NodeId = NodeId([1; 32]);

fn at(millis: u64) -> Now {
    Now { mono: Mono(millis), unix: millis }
}

fn node(config: Config) -> Messaging {
    Messaging::new(config, MESH, SESSION)
}

/// A window of `messages` and `bytes`, everything else as usual.
fn window(messages: usize, bytes: usize) -> Config {
    Config { window_messages: messages, window_bytes: bytes, ..Config::default() }
}

fn drain(messaging: &mut Messaging) -> Vec<Output> {
    std::iter::from_fn(|| messaging.poll_output()).collect()
}

fn send(messaging: &mut Messaging, bytes: usize, timeout_ms: u64, now: u64) -> SendId {
    let body = Bytes::from(vec![0; bytes]);
    messaging.send(PEER, None, None, body, timeout_ms, at(now)).unwrap()
}

fn input(messaging: &mut Messaging, input: Input, now: u64) -> Vec<Output> {
    messaging.handle(input, at(now));
    drain(messaging)
}

fn timeout(messaging: &mut Messaging, now: u64) -> Vec<Output> {
    messaging.handle_timeout(at(now));
    drain(messaging)
}

/// Connects and opens our stream to PEER at 0.
fn open(messaging: &mut Messaging) -> Vec<Output> {
    input(messaging, Input::Connected { peer: PEER }, 0);
    input(messaging, Input::Opened { peer: PEER }, 0)
}

fn hears(messaging: &mut Messaging, frame: Frame, now: u64) -> Vec<Output> {
    input(messaging, Input::Frame { from: PEER, frame }, now)
}

/// PEER's hello; nothing follows from it.
fn greeted(messaging: &mut Messaging, session: u64) {
    assert_eq!(hears(messaging, hello(session), 0), []);
}

fn hello(session: u64) -> Frame {
    Frame::Hello { mesh: MESH, session }
}

fn message(number: u64, bytes: usize) -> Frame {
    let body = Bytes::from(vec![0; bytes]);
    Frame::Message(Message { number, from: None, to: None, body, reader: Reader::Application })
}

fn ack(session: u64, numbers: impl IntoIterator<Item = u64>) -> Frame {
    let numbers = numbers.into_iter().collect();
    Frame::Ack { session, numbers }
}

fn nack(session: u64, number: u64) -> Frame {
    let reason = Refusal::UnknownAgent;
    Frame::Nack { session, number, reason }
}

fn out(frame: Frame) -> Output {
    Output::Frame { to: PEER, frame }
}

fn failed(id: SendId, error: SendError) -> Output {
    Output::Event(Event::Failed { id, peer: PEER, error })
}

fn offence(offence: Offence) -> Output {
    Output::Offence { from: PEER, offence }
}

fn delivered(id: SendId, round_trip_ms: u64) -> Output {
    Output::Event(Event::Delivered { id, peer: PEER, session: SESSION, number: SESSION + id.0, round_trip_ms })
}

/// Numbers of the messages that go out.
fn sent(outputs: &[Output]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for output in outputs {
        if let Output::Frame { frame: Frame::Message(message), .. } = output {
            numbers.push(message.number);
        }
    }
    numbers
}

/// Numbers of the messages that the application gets.
fn received(outputs: &[Output]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for output in outputs {
        if let Output::Event(Event::Received { message, .. }) = output {
            numbers.push(message.number);
        }
    }
    numbers
}
