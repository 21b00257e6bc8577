use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{FIN_ACK_WAIT, Input, LAST_WAIT, Machine, Output, StreamError};
use crate::framing::{Flag, FramingError, encode_data, encode_flag};
use crate::rtc::{ChannelEvent, HIGH_WATER, LOW_WATER, MAX_UNREAD, MESSAGE_OVERHEAD};

const FIN: &[u8] = &[2, 8, 0];
const STOP_SENDING: &[u8] = &[2, 8, 1];
const RESET: &[u8] = &[2, 8, 2];
const FIN_ACK: &[u8] = &[2, 8, 3];
const HI: &[u8] = &[4, 0x12, 2, b'h', b'i'];

/// One step of a table.
enum Step {
    /// The remote sends.
    Hears(&'static [u8]),
    /// The channel tells something else.
    Tells(ChannelEvent),
    Finishes,
    Drops,
    Writes(&'static [u8]),
    /// It is so many milliseconds after the start.
    Is(u64),
    /// The machine wants to send this, now.
    Sends(&'static [u8]),
    /// The machine wants the channel closed, now.
    Closes,
    /// There is a time limit, so many milliseconds after the start.
    Waits(u64),
    /// Reading everything gives this, then an end, or none yet.
    Reads(&'static [u8], Poll<Result<(), StreamError>>),
    /// Writing fails.
    Refuses(StreamError),
}

use Step::{Closes, Drops, Finishes, Hears, Is, Reads, Refuses, Sends, Tells, Waits, Writes};

const END: Poll<Result<(), StreamError>> = Poll::Ready(Ok(()));

fn broken(error: StreamError) -> Poll<Result<(), StreamError>> {
    Poll::Ready(Err(error))
}

/// Runs the steps on a machine whose channel is open. No output may be left out, nor a time limit at the end of one that
/// is over.
fn run(name: &str, steps: Vec<Step>) {
    let mut machine = Machine::default();
    machine.handle(Input::Channel(ChannelEvent::Open), Duration::ZERO);
    let mut now = Duration::ZERO;
    for (number, step) in steps.into_iter().enumerate() {
        let at = format!("{name}, step {number}");
        if !matches!(step, Sends(_) | Closes) {
            assert_eq!(machine.poll_output(), None, "{at}");
        }
        match step {
            Hears(bytes) => machine.handle(message(bytes), now),
            Tells(event) => machine.handle(Input::Channel(event), now),
            Finishes => machine.handle(Input::Finish, now),
            Drops => machine.handle(Input::Drop, now),
            Writes(bytes) => assert_eq!(machine.write(bytes, 0), Poll::Ready(Ok(bytes.len())), "{at}"),
            Is(millis) => {
                now = Duration::from_millis(millis);
                machine.handle_timeout(now);
            }
            Sends(bytes) => assert_eq!(machine.poll_output(), Some(Output::Send(bytes.to_vec())), "{at}"),
            Closes => {
                assert_eq!(machine.poll_output(), Some(Output::Close), "{at}");
                assert!(machine.is_over(), "{at}");
            }
            Waits(millis) => assert_eq!(machine.poll_timeout(), Some(Duration::from_millis(millis)), "{at}"),
            Reads(bytes, end) => assert_eq!(read_all(&mut machine), (bytes.to_vec(), end), "{at}"),
            Refuses(error) => assert_eq!(machine.write(b"x", 0), Poll::Ready(Err(error)), "{at}"),
        }
    }
    assert_eq!(machine.poll_output(), None, "{name}");
    if machine.is_over() {
        assert_eq!(machine.poll_timeout(), None, "{name}");
    }
}

fn message(bytes: &[u8]) -> Input {
    Input::Channel(ChannelEvent::Message(Bytes::copy_from_slice(bytes)))
}

fn read_all(machine: &mut Machine) -> (Vec<u8>, Poll<Result<(), StreamError>>) {
    let (mut all, mut part) = (Vec::new(), [0; 7]);
    loop {
        match machine.read(&mut part) {
            Poll::Ready(Ok(0)) => {
                assert_eq!(machine.read(&mut part), Poll::Ready(Ok(0)), "the end stays");
                return (all, Poll::Ready(Ok(())));
            }
            Poll::Ready(Ok(count)) => all.extend_from_slice(&part[..count]),
            Poll::Ready(Err(error)) => return (all, Poll::Ready(Err(error))),
            Poll::Pending => return (all, Poll::Pending),
        }
    }
}

#[test]
fn halves_end_one_after_the_other() {
    run(
        "we first",
        vec![
            Writes(b"hi"),
            Sends(HI),
            Finishes,
            Sends(FIN),
            Waits(10_000),
            Refuses(StreamError::Finished),
            Is(5),
            Hears(FIN_ACK),
            Hears(HI),
            Reads(b"hi", Poll::Pending),
            Hears(FIN),
            Sends(FIN_ACK),
            Closes,
            Reads(b"", END),
        ],
    );
    run(
        "the remote first",
        vec![
            Hears(HI),
            Hears(FIN),
            Sends(FIN_ACK),
            Reads(b"hi", END),
            Writes(b"hi"),
            Sends(HI),
            Is(50),
            Finishes,
            Sends(FIN),
            Waits(2_050),
            Hears(FIN_ACK),
            Closes,
        ],
    );
    run(
        "both at once",
        vec![
            Finishes,
            Sends(FIN),
            Is(10),
            Hears(FIN),
            Sends(FIN_ACK),
            Waits(2_010),
            Hears(FIN_ACK),
            Closes,
            Reads(b"", END),
        ],
    );
    run("closing twice is closing once", vec![Finishes, Sends(FIN), Is(3), Finishes, Waits(10_000)]);
    run("ending twice is ending once", vec![Hears(FIN), Sends(FIN_ACK), Hears(FIN), Hears(HI), Reads(b"", END)]);
    run("an answer to nothing", vec![Hears(FIN_ACK), Writes(b"hi"), Sends(HI)]);
}

#[test]
fn peers_that_send_no_fin_ack() {
    run(
        "they still write",
        vec![
            Finishes,
            Sends(FIN),
            Is(10_000),
            Is(60_000),
            Hears(HI),
            Hears(FIN),
            Sends(FIN_ACK),
            Closes,
            Reads(b"hi", END),
        ],
    );
    run("they have ended", vec![Hears(FIN), Sends(FIN_ACK), Finishes, Sends(FIN), Is(1_999), Is(2_000), Closes]);
    run("they end late", vec![Finishes, Sends(FIN), Is(9_000), Hears(FIN), Sends(FIN_ACK), Waits(10_000)]);
    run(
        "nobody reads",
        vec![Finishes, Sends(FIN), Drops, Sends(STOP_SENDING), Is(10_000), Sends(RESET), Waits(12_000)],
    );
}

/// What libp2p-webrtc-utils 0.5.0 gets wrong, after a write and a close.
#[test]
fn four_cases_that_others_lose_bytes_in() {
    let rest = || [Hears(FIN), Sends(FIN_ACK), Closes, Reads(b"hi", END)];
    for (name, heard) in [
        ("an answer", vec![Hears(FIN_ACK), Hears(HI)]),
        ("not read on", vec![Hears(STOP_SENDING), Hears(HI), Hears(FIN_ACK)]),
        ("an empty frame", vec![Hears(&[0]), Hears(HI), Hears(FIN_ACK)]),
    ] {
        let begin = [Writes(b"hi"), Sends(HI), Finishes, Sends(FIN)];
        run(name, begin.into_iter().chain(heard).chain(rest()).collect());
    }
    run(
        "the end in the frame of the last bytes",
        vec![
            Finishes,
            Sends(FIN),
            Hears(&[6, 8, 0, 0x12, 2, b'h', b'i']),
            Sends(FIN_ACK),
            Reads(b"hi", END),
            Hears(FIN_ACK),
            Closes,
        ],
    );
}

#[test]
fn the_remote_reads_no_more() {
    run(
        "we close",
        vec![
            Hears(STOP_SENDING),
            Refuses(StreamError::Stopped),
            Hears(HI),
            Reads(b"hi", Poll::Pending),
            Finishes,
            Sends(FIN),
            Hears(FIN_ACK),
            Hears(FIN),
            Sends(FIN_ACK),
            Closes,
        ],
    );
    // Never RESET.
    run(
        "we drop",
        vec![
            Hears(STOP_SENDING),
            Drops,
            Sends(FIN),
            Sends(STOP_SENDING),
            Hears(HI),
            Hears(FIN),
            Sends(FIN_ACK),
            Waits(2_000),
            Hears(FIN_ACK),
            Closes,
        ],
    );
    run(
        "we drop after its end",
        vec![Hears(STOP_SENDING), Hears(FIN), Sends(FIN_ACK), Drops, Sends(FIN), Waits(2_000), Hears(FIN_ACK), Closes],
    );
}

#[test]
fn what_is_given_up() {
    run(
        "by the remote",
        vec![Hears(HI), Hears(RESET), Closes, Refuses(StreamError::Reset), Reads(b"hi", broken(StreamError::Reset))],
    );
    run(
        "by the remote after its end",
        vec![
            Hears(HI),
            Hears(FIN),
            Sends(FIN_ACK),
            Hears(RESET),
            Closes,
            Refuses(StreamError::Reset),
            Reads(b"hi", END),
        ],
    );
    let closed = || Tells(ChannelEvent::Closed);
    run("by dropping", vec![Hears(HI), Drops, Sends(RESET), Waits(2_000), Hears(HI), Drops, closed(), closed()]);
    run(
        "by dropping, and the remote does not mind",
        vec![Drops, Sends(RESET), Hears(FIN), Is(2_000), Closes, closed()],
    );
    run("by dropping, on both sides", vec![Drops, Sends(RESET), Hears(RESET), Closes]);
    run("by dropping after the remote's end", vec![Hears(FIN), Sends(FIN_ACK), Drops, Sends(RESET), Waits(2_000)]);
    run("by dropping after closing", vec![Finishes, Sends(FIN), Drops, Sends(STOP_SENDING), Hears(FIN_ACK), Closes]);
    run(
        "by dropping after closing, and the remote writes on",
        vec![Finishes, Sends(FIN), Drops, Sends(STOP_SENDING), Hears(HI), Hears(FIN_ACK), Sends(RESET), Waits(2_000)],
    );
    run(
        "by dropping after closing and the answer",
        vec![Finishes, Sends(FIN), Hears(FIN_ACK), Drops, Sends(STOP_SENDING), Sends(RESET), Waits(2_000)],
    );
    run(
        "by dropping after all",
        vec![Finishes, Sends(FIN), Hears(FIN_ACK), Hears(FIN), Sends(FIN_ACK), Closes, Drops, Hears(HI), Hears(FIN)],
    );
}

#[test]
fn what_the_channel_does() {
    let closed = || Tells(ChannelEvent::Closed);
    run("closes", vec![Hears(HI), closed(), Reads(b"hi", broken(StreamError::Lost)), Refuses(StreamError::Lost)]);
    run(
        "closes after the remote's end",
        vec![Hears(HI), Hears(FIN), Sends(FIN_ACK), closed(), Reads(b"hi", END), Refuses(StreamError::Lost)],
    );
    run(
        "closes when all is said",
        vec![
            Finishes,
            Sends(FIN),
            Hears(FIN),
            Sends(FIN_ACK),
            closed(),
            Reads(b"", END),
            Refuses(StreamError::Finished),
        ],
    );
    run(
        "closes in the middle of a frame",
        vec![Hears(HI), Hears(&HI[..3]), closed(), Reads(b"hi", broken(StreamError::Lost))],
    );
    run(
        "overflows",
        vec![
            Hears(HI),
            Tells(ChannelEvent::Overflow),
            Sends(RESET),
            Reads(b"", broken(StreamError::Overflow)),
            Is(2_000),
            Closes,
            Reads(b"", broken(StreamError::Overflow)),
        ],
    );
    run(
        "brings what is no frame",
        vec![
            Hears(HI),
            Hears(&[0x80, 0]),
            Sends(RESET),
            Hears(HI),
            Reads(b"hi", broken(StreamError::Malformed(FramingError::NotMinimal))),
            Waits(2_000),
            closed(),
        ],
    );
    run(
        "brings frames in pieces",
        vec![Hears(&HI[..1]), Hears(&HI[1..]), Hears(&[4, 0x12, 2]), Hears(b"ho"), Reads(b"hiho", Poll::Pending)],
    );
}

#[test]
fn writing_waits_for_the_channel_to_open_and_to_empty() {
    let mut machine = Machine::default();
    assert_eq!(machine.write(b"x", 0), Poll::Pending);
    machine.handle(Input::Channel(ChannelEvent::Open), Duration::ZERO);
    assert_eq!(machine.write(b"", 0), Poll::Ready(Ok(0)));
    assert_eq!(machine.poll_output(), None, "nothing to say");
    assert_eq!(machine.write(b"x", HIGH_WATER - 5), Poll::Ready(Ok(1)));
    assert_eq!(machine.write(b"x", HIGH_WATER - 4), Poll::Ready(Ok(1)), "reaches the mark");
    assert_eq!(machine.write(b"x", LOW_WATER + 1), Poll::Pending);
    assert_eq!(machine.write(b"x", LOW_WATER), Poll::Ready(Ok(1)), "seen to be low");
    assert_eq!(machine.write(b"x", HIGH_WATER), Poll::Ready(Ok(1)));
    machine.handle(Input::Channel(ChannelEvent::Low), Duration::ZERO);
    assert_eq!(machine.write(b"x", LOW_WATER + 1), Poll::Ready(Ok(1)), "told to be low");
}

#[test]
fn unread_bytes_are_bounded() {
    let frame = encode_data(&[7; 1000]).0;
    let most = MAX_UNREAD / (1000 + MESSAGE_OVERHEAD);
    let mut machine = Machine::default();
    for _ in 0..most {
        machine.handle(message(&frame), Duration::ZERO);
    }
    assert!(!machine.is_over());
    assert_eq!(machine.weight(), most * (1000 + MESSAGE_OVERHEAD));
    let mut part = [0; 1000];
    assert_eq!(machine.read(&mut part), Poll::Ready(Ok(1000)));
    machine.handle(message(&frame), Duration::ZERO);
    assert!(!machine.is_over(), "what is read makes room");
    machine.handle(message(&frame), Duration::ZERO);
    assert_eq!((machine.error(), machine.weight()), (Some(&StreamError::Overflow), 0));
    assert_eq!(machine.read(&mut part), Poll::Ready(Err(StreamError::Overflow)));
}

/// Two machines and what is under way between them.
struct Pair {
    machines: [Machine; 2],
    /// What goes to each.
    pipes: [VecDeque<ChannelEvent>; 2],
    /// Whether each has closed its channel, and hears nothing any more.
    closed: [bool; 2],
    now: Duration,
    /// Whether `FIN_ACK` is left out, as by peers of an older specification.
    old: bool,
}

impl Pair {
    fn new(old: bool) -> Self {
        let pipe = || VecDeque::from([ChannelEvent::Open]);
        Self { machines: Default::default(), pipes: [pipe(), pipe()], closed: [false; 2], now: Duration::ZERO, old }
    }

    fn drain(&mut self, side: usize) {
        while let Some(output) = self.machines[side].poll_output() {
            match output {
                Output::Send(frame) if self.old && frame == encode_flag(Flag::FinAck) => {}
                Output::Send(frame) => {
                    // Cut anywhere: a frame is not a message.
                    let (head, tail) = frame.split_at(frame.len() / 2);
                    for part in [head, tail] {
                        self.pipes[1 - side].push_back(ChannelEvent::Message(Bytes::copy_from_slice(part)));
                    }
                }
                Output::Close => {
                    self.closed[side] = true;
                    self.pipes[1 - side].push_back(ChannelEvent::Closed);
                }
            }
        }
    }

    fn act(&mut self, side: usize, input: Input) {
        self.machines[side].handle(input, self.now);
        self.drain(side);
    }

    /// Brings the next event to `side`. Whether there was one.
    fn deliver(&mut self, side: usize) -> bool {
        let Some(event) = self.pipes[side].pop_front() else { return false };
        if !self.closed[side] {
            self.act(side, Input::Channel(event));
        }
        true
    }

    fn write(&mut self, side: usize, bytes: &[u8]) -> usize {
        let written = self.machines[side].write(bytes, 0);
        self.drain(side);
        if let Poll::Ready(Ok(count)) = written { count } else { 0 }
    }

    /// Lets everything arrive and all time limits pass.
    fn settle(&mut self) {
        loop {
            while self.deliver(0) || self.deliver(1) {}
            let due = self.machines.iter().filter_map(Machine::poll_timeout).min();
            let Some(due) = due else { return };
            self.now = self.now.max(due);
            for side in [0, 1] {
                self.machines[side].handle_timeout(self.now);
                self.drain(side);
            }
        }
    }
}

/// However writes, reads, closes and arrivals are mixed: all that was written before closing is read, both streams end, and
/// no time limit is left.
#[test]
fn whatever_was_written_before_closing_arrives() {
    for seed in 0..2_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pair = Pair::new(seed % 4 == 3);
        let (mut written, mut read) = ([vec![], vec![]], [vec![], vec![]]);
        for _ in 0..rng.next_u32() % 200 {
            let side = rng.next_u32() as usize % 2;
            match rng.next_u32() % 16 {
                0..5 => {
                    let mut bytes = vec![0; rng.next_u32() as usize % 300];
                    rng.fill_bytes(&mut bytes);
                    let count = pair.write(side, &bytes);
                    written[side].extend_from_slice(&bytes[..count]);
                }
                5..13 => {
                    pair.deliver(side);
                }
                13 => read[side].extend(read_all(&mut pair.machines[side]).0),
                14 => pair.now += Duration::from_millis(u64::from(rng.next_u32() % 50)),
                _ => {
                    if rng.next_u32().is_multiple_of(4) {
                        pair.act(side, Input::Finish);
                    }
                }
            }
        }
        for side in [0, 1] {
            pair.act(side, Input::Finish);
        }
        let begin = pair.now;
        pair.settle();
        for side in [0, 1] {
            let (rest, end) = read_all(&mut pair.machines[side]);
            read[side].extend(rest);
            assert_eq!(end, END, "seed {seed}");
            assert!(pair.machines[side].is_over(), "seed {seed}");
            assert_eq!(pair.machines[side].poll_timeout(), None, "seed {seed}");
            assert_eq!(pair.machines[side].weight(), 0, "seed {seed}");
        }
        assert!(read[0] == written[1] && read[1] == written[0], "seed {seed}");
        let spent = pair.now - begin;
        assert!(spent <= if pair.old { LAST_WAIT } else { Duration::ZERO }, "seed {seed}: waited {spent:?}");
    }
}

/// Whenever each side closes, drops or both: both end, without time limits left, and bytes of a side that closed before it
/// dropped are not lost to one that reads.
#[test]
fn whatever_is_dropped_both_sides_end() {
    for seed in 0..2_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pair = Pair::new(seed % 4 == 3);
        for side in [0, 1] {
            pair.deliver(side);
        }
        let count = pair.write(0, b"all of it");
        let closes = rng.next_u32().is_multiple_of(2);
        if closes {
            pair.act(0, Input::Finish);
        }
        let stops = rng.next_u32().is_multiple_of(4);
        for _ in 0..rng.next_u32() % 8 {
            pair.deliver(rng.next_u32() as usize % 2);
        }
        if stops {
            pair.pipes[1].push_back(ChannelEvent::Message(Bytes::from(encode_flag(Flag::StopSending))));
        }
        pair.act(0, Input::Drop);
        while pair.deliver(0) || pair.deliver(1) {}
        if closes {
            assert_eq!(read_all(&mut pair.machines[1]), (b"all of it"[..count].to_vec(), END), "seed {seed}");
        }
        if rng.next_u32().is_multiple_of(2) {
            pair.act(1, Input::Finish);
        }
        pair.act(1, Input::Drop);
        pair.settle();
        for machine in &pair.machines {
            assert!(machine.is_over() && machine.poll_timeout().is_none() && machine.weight() == 0, "seed {seed}");
        }
        assert!(pair.now <= FIN_ACK_WAIT, "seed {seed}");
    }
}
