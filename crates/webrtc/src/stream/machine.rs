//! What a stream does: two halves that end one after the other, over a channel that only opens and closes.
//!
//! The halves end with `FIN`, which the other side answers with `FIN_ACK`. Once both have ended, and we know that the other
//! side has got all of ours, the channel is closed. Either side may also refuse to read on (`STOP_SENDING`) or give all up
//! (`RESET`, or closing the channel without a word).
//!
//! ```text
//! receiving  Open --FIN--> Ended             sending  Open --we close--> Finishing --FIN_ACK, or 10 s--> Finished
//!              '--we drop--> Unwanted                   '--STOP_SENDING--> Stopped --we close--^
//! ```
//!
//! Sources of the rules, as the arms of [`Machine`] name them: *spec* is the
//! [specification](https://github.com/libp2p/specs/blob/master/webrtc/README.md#multiplexing), *js* what js-libp2p does
//! and waits for, *ours* a choice that neither forbids.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::framing::{Decoder, Flag, FramingError, encode_data, encode_flag};
use crate::rtc::{ChannelEvent, HIGH_WATER, LOW_WATER, MAX_UNREAD, MESSAGE_OVERHEAD};

/// How long a `FIN_ACK` is waited for, as in js-libp2p. A peer that has not sent one by then never will.
pub const FIN_ACK_WAIT: Duration = Duration::from_secs(10);

/// The same once the peer has sent its `FIN`. Short, for peers of an older specification send no `FIN_ACK` at all, and
/// each of their streams holds its channel for so long.
pub const LAST_WAIT: Duration = Duration::from_secs(2);

/// How long the remote gets to close the channel once it was sent a `RESET`. js-libp2p does so at once.
pub const RESET_WAIT: Duration = Duration::from_secs(2);

/// What a [`Machine`] is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The channel tells something.
    Channel(ChannelEvent),
    /// The user will write no more.
    Finish,
    /// The user has let go of the stream.
    Drop,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this as one message.
    Send(Vec<u8>),
    /// Close the channel. It is not needed any more.
    Close,
}

/// Why a stream does not do what it is asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Written to after it was closed.
    #[error("the stream is closed for writing")]
    Finished,
    /// The remote does not read any more.
    #[error("the remote does not read this stream any more")]
    Stopped,
    /// The remote has given the stream up.
    #[error("the remote has reset the stream")]
    Reset,
    /// The channel closed before the remote had ended the stream, by the remote or with the connection.
    #[error("the stream's channel is closed")]
    Lost,
    /// The remote has sent more than we keep unread.
    #[error("the remote has sent more than was read")]
    Overflow,
    /// The remote does not speak the protocol.
    #[error(transparent)]
    Malformed(#[from] FramingError),
}

/// The half that the remote writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Open,
    /// Nobody reads it.
    Unwanted,
    /// The remote has sent all.
    Ended,
}

/// The half that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// The remote reads no more.
    Stopped,
    /// Our `FIN` is out and its `FIN_ACK` is awaited.
    Finishing,
    /// The remote has got all, or never said so.
    Finished,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Live(Receiving, Sending),
    /// Our `RESET` is out; why. The remote is to close the channel.
    Left(Option<StreamError>),
    /// Nothing more is said or heard; why, if it did not end well.
    Over(Option<StreamError>),
}

/// What happened, one thing at a time.
enum Event {
    Opened,
    Data(Bytes),
    Flag(Flag),
    Malformed(FramingError),
    /// The send buffer is low.
    Low,
    /// The channel is closed.
    Closed,
    Overflow,
    Finish,
    Drop,
    /// The time set has come.
    Due,
}

/// One stream over one channel. After each call, take the outputs until there is none.
#[derive(Debug)]
pub struct Machine {
    state: State,
    decoder: Decoder,
    /// Whether the channel is open.
    open: bool,
    /// Whether the channel's send buffer is too full.
    paused: bool,
    /// Whether the remote's `FIN` has come.
    ended: bool,
    /// Whether bytes have come that nobody reads any more.
    defied: bool,
    /// What was not read, no part of it empty.
    unread: VecDeque<Bytes>,
    /// What that counts.
    weight: usize,
    deadline: Option<Duration>,
    outputs: VecDeque<Output>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            state: State::Live(Receiving::Open, Sending::Open),
            decoder: Decoder::default(),
            open: false,
            paused: false,
            ended: false,
            defied: false,
            unread: VecDeque::new(),
            weight: 0,
            deadline: None,
            outputs: VecDeque::new(),
        }
    }
}

impl Machine {
    /// Something happened. `now` is the time since any start, always the same.
    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Channel(ChannelEvent::Open) => self.step(Event::Opened, now),
            Input::Channel(ChannelEvent::Message(message)) => self.message(message, now),
            Input::Channel(ChannelEvent::Low) => self.step(Event::Low, now),
            Input::Channel(ChannelEvent::Closed) => self.step(Event::Closed, now),
            Input::Channel(ChannelEvent::Overflow) => self.step(Event::Overflow, now),
            Input::Finish => self.step(Event::Finish, now),
            Input::Drop => {
                self.step(Event::Drop, now);
                self.discard();
            }
        }
    }

    /// It is what [`Machine::poll_timeout`] said, or later.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.step(Event::Due, now);
        }
    }

    /// When [`Machine::handle_timeout`] is to be called, if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes bytes that have arrived: how many, none at the end of the stream. Pending until something arrives. All that
    /// has arrived is given before the end, and before the error.
    ///
    /// # Errors
    /// [`StreamError`] when the stream did not end well. Of an overflow all is lost at once.
    pub fn read(&mut self, into: &mut [u8]) -> Poll<Result<usize, StreamError>> {
        if let Some(part) = self.unread.front_mut() {
            let count = part.len().min(into.len());
            part.copy_to_slice(&mut into[..count]);
            self.weight -= count;
            if part.is_empty() {
                self.weight -= MESSAGE_OVERHEAD;
                self.unread.pop_front();
            }
            return Poll::Ready(Ok(count));
        }
        match &self.state {
            State::Left(Some(StreamError::Overflow)) | State::Over(Some(StreamError::Overflow)) => {
                Poll::Ready(Err(StreamError::Overflow))
            }
            State::Live(..) | State::Left(_) | State::Over(_) if self.ended => Poll::Ready(Ok(0)),
            State::Live(..) => Poll::Pending,
            State::Left(error) | State::Over(error) => Poll::Ready(Err(error.clone().unwrap_or(StreamError::Lost))),
        }
    }

    /// Sends bytes: how many, at most a frame's. Pending until the channel is open, and while its send buffer, of which
    /// `buffered` bytes are used, is too full.
    ///
    /// # Errors
    /// [`StreamError`] when nothing can be written any more.
    pub fn write(&mut self, bytes: &[u8], buffered: usize) -> Poll<Result<usize, StreamError>> {
        match &self.state {
            State::Live(_, Sending::Open) => {}
            State::Live(_, Sending::Stopped) => return Poll::Ready(Err(StreamError::Stopped)),
            State::Live(_, Sending::Finishing | Sending::Finished) => return Poll::Ready(Err(StreamError::Finished)),
            State::Left(error) | State::Over(error) => {
                return Poll::Ready(Err(error.clone().unwrap_or(StreamError::Finished)));
            }
        }
        // The buffer may have emptied in the moment before it was found too full; then nothing tells that it is low.
        self.paused &= buffered > LOW_WATER;
        if !self.open || self.paused {
            return Poll::Pending;
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (frame, count) = encode_data(bytes);
        self.paused = buffered + frame.len() >= HIGH_WATER;
        self.outputs.push_back(Output::Send(frame));
        Poll::Ready(Ok(count))
    }

    /// What the unread bytes count: themselves, and [`MESSAGE_OVERHEAD`] for each frame that brought them.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether nothing more will be said or heard. What has arrived may still be read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Why the stream did not end well, if so.
    #[must_use]
    pub fn error(&self) -> Option<&StreamError> {
        match &self.state {
            State::Live(..) => None,
            State::Left(error) | State::Over(error) => error.as_ref(),
        }
    }

    fn message(&mut self, message: Bytes, now: Duration) {
        self.decoder.push(message);
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    if !frame.payload.is_empty() {
                        self.step(Event::Data(frame.payload), now);
                    }
                    if let Some(flag) = frame.flag {
                        self.step(Event::Flag(flag), now);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.step(Event::Malformed(error), now);
                    break;
                }
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "a protocol is one visible match")]
    fn step(&mut self, event: Event, now: Duration) {
        use Receiving::{Ended, Unwanted};
        use Sending::{Finished, Finishing, Stopped};
        use State::{Left, Live, Over};

        let state = std::mem::replace(&mut self.state, Over(None));
        self.state = match (state, event) {
            (Live(receiving, sending), Event::Opened) => {
                self.open = true;
                Live(receiving, sending)
            }
            (Live(receiving, sending), Event::Low) => {
                self.paused = false;
                Live(receiving, sending)
            }

            // ours: a bound, because data channels cannot tell the remote to wait.
            (Live(Receiving::Open, sending), Event::Data(bytes)) => {
                self.weight += bytes.len() + MESSAGE_OVERHEAD;
                self.unread.push_back(bytes);
                if self.weight > MAX_UNREAD { self.overflow(now) } else { Live(Receiving::Open, sending) }
            }
            // spec: after STOP_SENDING "incoming data is being discarded".
            (Live(Unwanted, sending), Event::Data(_)) => {
                self.defied = true;
                Live(Unwanted, sending)
            }
            // spec: after FIN there is none.
            (Live(Ended, sending), Event::Data(_)) => Live(Ended, sending),

            // spec: a FIN SHOULD be answered with FIN_ACK, and with both FIN and FIN_ACK received the channel may go.
            (Live(Receiving::Open | Unwanted, Finished), Event::Flag(Flag::Fin)) => {
                self.ended = true;
                self.say(Flag::FinAck);
                self.leave(None)
            }
            // ours: without FIN_ACK the peer may be one that sends none.
            (Live(Receiving::Open | Unwanted, Finishing), Event::Flag(Flag::Fin)) => {
                self.ended = true;
                self.say(Flag::FinAck);
                self.deadline = self.deadline.map(|deadline| deadline.min(now + LAST_WAIT));
                Live(Ended, Finishing)
            }
            (Live(Receiving::Open | Unwanted, sending @ (Sending::Open | Stopped)), Event::Flag(Flag::Fin)) => {
                self.ended = true;
                self.say(Flag::FinAck);
                Live(Ended, sending)
            }
            (Live(Ended, sending), Event::Flag(Flag::Fin)) => Live(Ended, sending),

            // spec: "the write half counts as closed on FIN_ACK".
            (Live(Ended, Finishing), Event::Flag(Flag::FinAck)) => self.leave(None),
            // ours: js-libp2p writes on after STOP_SENDING.
            (Live(Unwanted, Finishing), Event::Flag(Flag::FinAck)) if self.defied => self.reset(None, now),
            (Live(Unwanted, Finishing), Event::Flag(Flag::FinAck)) => self.leave(None),
            (Live(Receiving::Open, Finishing), Event::Flag(Flag::FinAck)) => {
                self.deadline = None;
                Live(Receiving::Open, Finished)
            }
            // It answers nothing that we have said.
            (Live(receiving, sending @ (Sending::Open | Stopped | Finished)), Event::Flag(Flag::FinAck)) => {
                Live(receiving, sending)
            }

            // spec: STOP_SENDING must not be answered with RESET. js: it closes our half for writing, no more.
            (Live(receiving, Sending::Open), Event::Flag(Flag::StopSending)) => Live(receiving, Stopped),
            (Live(receiving, sending @ (Stopped | Finishing | Finished)), Event::Flag(Flag::StopSending)) => {
                Live(receiving, sending)
            }

            // spec: both halves are given up.
            (Live(..), Event::Flag(Flag::Reset)) => self.leave(Some(StreamError::Reset)),
            // ours
            (Live(..), Event::Malformed(error)) => self.reset(Some(StreamError::Malformed(error)), now),
            (Live(..), Event::Overflow) => self.overflow(now),
            // js: the remote closes once it has seen the end of both halves, without us perhaps.
            (Live(Ended, Finishing | Finished), Event::Closed) => self.lose(None),
            (Live(..), Event::Closed) => self.lose(Some(StreamError::Lost)),

            // spec: FIN ends our half, also after STOP_SENDING.
            (Live(receiving @ (Receiving::Open | Unwanted), Sending::Open | Stopped), Event::Finish) => {
                self.say(Flag::Fin);
                self.deadline = Some(now + FIN_ACK_WAIT);
                Live(receiving, Finishing)
            }
            (Live(Ended, Sending::Open | Stopped), Event::Finish) => {
                self.say(Flag::Fin);
                self.deadline = Some(now + LAST_WAIT);
                Live(Ended, Finishing)
            }
            (Live(receiving, sending @ (Finishing | Finished)), Event::Finish) => Live(receiving, sending),

            // js: what is dropped without having been closed is reset.
            (Live(_, Sending::Open), Event::Drop) => self.reset(None, now),
            // spec: but not in answer to STOP_SENDING. Our half ends well, and so does the other.
            (Live(Receiving::Open | Unwanted, Stopped), Event::Drop) => {
                self.say(Flag::Fin);
                self.say(Flag::StopSending);
                self.deadline = Some(now + FIN_ACK_WAIT);
                Live(Unwanted, Finishing)
            }
            (Live(Ended, Stopped), Event::Drop) => {
                self.say(Flag::Fin);
                self.deadline = Some(now + LAST_WAIT);
                Live(Ended, Finishing)
            }
            // ours: a RESET here could take from the remote what it has not read yet, so the channel stays until FIN_ACK.
            (Live(Receiving::Open, Finishing), Event::Drop) => {
                self.say(Flag::StopSending);
                Live(Unwanted, Finishing)
            }
            (Live(Receiving::Open, Finished), Event::Drop) => {
                self.say(Flag::StopSending);
                self.reset(None, now)
            }
            (Live(receiving @ (Ended | Unwanted), sending @ (Finishing | Finished)), Event::Drop) => {
                Live(receiving, sending)
            }

            // spec: closing without FIN_ACK is allowed. But not while the remote may still write.
            (Live(Ended, Finishing), Event::Due) => self.leave(None),
            (Live(Unwanted, Finishing), Event::Due) => self.reset(None, now),
            (Live(Receiving::Open, Finishing), Event::Due) => Live(Receiving::Open, Finished),
            (Live(receiving, sending @ (Sending::Open | Stopped | Finished)), Event::Due) => Live(receiving, sending),

            // ours: see `reset`.
            (Left(error), Event::Closed) => self.lose(error),
            (Left(error), Event::Flag(Flag::Reset) | Event::Due) => self.leave(error),
            (Left(error), _) => Left(error),

            (Over(error), _) => Over(error),
        };
    }

    fn overflow(&mut self, now: Duration) -> State {
        self.discard();
        self.reset(Some(StreamError::Overflow), now)
    }

    /// Tells the remote, and leaves it to the remote to close the channel. Were it closed here right away,
    ///
    /// * a remote with node-datachannel would lose what is under way to it, the `RESET` and bytes before it
    ///   (murat-dogan/node-datachannel#375), and js-libp2p takes a channel that closes for the end of the stream;
    /// * a remote that writes would hear of it only when SCTP has agreed on it, up to seconds later. Chromium keeps 16 MiB
    ///   of what comes until then; past that the channel's id is free at once, and the next channel of that id gets what
    ///   was meant for this one.
    fn reset(&mut self, error: Option<StreamError>, now: Duration) -> State {
        self.say(Flag::Reset);
        self.deadline = Some(now + RESET_WAIT);
        State::Left(error)
    }

    fn say(&mut self, flag: Flag) {
        self.outputs.push_back(Output::Send(encode_flag(flag)));
    }

    fn leave(&mut self, error: Option<StreamError>) -> State {
        self.outputs.push_back(Output::Close);
        self.lose(error)
    }

    /// The channel is closed already.
    fn lose(&mut self, error: Option<StreamError>) -> State {
        self.deadline = None;
        State::Over(error)
    }

    fn discard(&mut self) {
        self.unread.clear();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests;
