//! What comes after what in a handshake, for both sides.
//!
//! ```text
//! offerer                                   answerer
//!   create init, make the offer
//!   send offer ------------------------------>  set remote
//!   set local                                   make the answer
//!   set remote <------------------------------  send answer
//!                                               set local
//!   candidates <----------------------------->  candidates
//!   connected, and init open                    connected
//!   close init, wait for it                     close the stream
//!   close the stream
//! ```
//!
//! A description is sent *before* it is set, so that no candidate precedes it: js-libp2p refuses one that does.
//! Implementations gather as early as they like; their candidates wait here until our description is written, and those
//! of the remote until its description is set. The end of candidates is never waited for: it may not be told.
//!
//! The offerer keeps the stream open until its `init` has closed; a js-libp2p answerer takes the stream's end for
//! success. An end after the descriptions is thus no failure by itself: the remote is connected and we are about to be,
//! or it has given up (yamux does not tell a reset from an end). [`GRACE`] shows which.
//!
//! Candidates of the offerer may be held back, see [`Limits::hold`]: node-datachannel as an answerer sends its first
//! DTLS packet as soon as it has a way, and when the offerer has none yet, it is lost and repeated one second later.

mod trickle;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::Duration;

use super::candidate::outgoing;
use super::codec::{Malformed, Message, Received};
use super::sdp::Sdp;
use super::{HandshakeError, Limits, Offence};
use crate::rtc::{Candidate, Kind, RtcError, State};
use trickle::{Hold, Local, Remote};

/// How long after the remote's end of the stream we may still be connected, if it is: the last packet of the DTLS
/// handshake may be lost twice, and is repeated after one second and two more.
pub const GRACE: Duration = Duration::from_secs(4);

/// Which side of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opened the stream.
    Offerer,
    /// Was opened the stream.
    Answerer,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The description of [`Output::Describe`].
    Described(String),
    /// [`Output::SetLocal`] is done.
    LocalSet,
    /// [`Output::SetRemote`] is done.
    RemoteSet,
    /// A candidate of ours.
    Candidate(Candidate),
    /// How the peer connection is doing.
    State(State),
    /// The channel of [`Output::CreateInit`] is open.
    InitOpen,
    /// The channel of [`Output::CreateInit`] is closed, by whomever.
    InitClosed,
    /// Our implementation failed to do what it was told.
    Rtc(RtcError),
    /// A message, or one without use, has come.
    Received(Received),
    /// Something else than messages has come.
    Malformed(Malformed),
    /// The remote closed its half of the stream.
    Ended,
    /// The stream broke.
    Broken(io::ErrorKind),
    /// [`Output::CloseStream`] is done.
    StreamClosed,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Create the channel [`INIT_LABEL`](crate::muxer::INIT_LABEL).
    CreateInit,
    /// Ask for a description.
    Describe(Kind),
    /// Send a message, after all that was sent before.
    Send(Message),
    /// Set our description.
    SetLocal(Kind, Sdp),
    /// Set the remote's description.
    SetRemote(Kind, Sdp),
    /// Add a candidate of the remote.
    AddCandidate(Candidate),
    /// Close `init`.
    CloseInit,
    /// Send what is left to send, and close our half of the stream.
    CloseStream,
    /// The connection is there. The last output.
    Done,
    /// There will be none. The last output.
    Failed(HandshakeError),
}

#[derive(Clone, Debug)]
enum Stage {
    /// Offerer: the offer is being made.
    Offering,
    /// Offerer: the offer is sent and being set. The answer has to come, and is set after it.
    Offered { until: Duration, local: bool, answer: Option<Sdp> },
    /// Answerer: the offer has to come.
    Listening { until: Duration },
    /// The remote's description is being set.
    Applying,
    /// Answerer: the answer is being made.
    Answering,
    /// All descriptions are there.
    Connecting,
    /// Offerer: connected. `init` is closing.
    Closing { until: Duration },
    /// Connected. Our half of the stream is closing.
    Leaving { until: Duration },
    /// Done or failed.
    Over,
}

/// `init`, of which an answerer takes no notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    /// Not open yet.
    Opening,
    /// Open.
    Open,
    /// Closed, or there is none: the answerer's.
    Closed,
}

/// One side of a handshake.
#[derive(Debug)]
pub struct Machine {
    role: Role,
    limits: Limits,
    stage: Stage,
    /// When it has to be over.
    deadline: Duration,
    /// What it means when it is not.
    overdue: HandshakeError,
    connected: bool,
    init: Init,
    local: Local,
    remote: Remote,
    outputs: VecDeque<Output>,
}

impl Machine {
    /// A handshake that begins `now`.
    pub fn new(role: Role, limits: Limits, now: Duration) -> Self {
        let (stage, init, outputs) = match role {
            Role::Offerer => {
                (Stage::Offering, Init::Opening, VecDeque::from([Output::CreateInit, Output::Describe(Kind::Offer)]))
            }
            Role::Answerer => (Stage::Listening { until: now + limits.first }, Init::Closed, VecDeque::new()),
        };
        let hold = if role == Role::Offerer && limits.hold.is_some() { Hold::Applied } else { Hold::Free };
        Self {
            role,
            stage,
            deadline: now + limits.whole,
            overdue: HandshakeError::Timeout,
            limits,
            connected: false,
            init,
            local: Local { mid: None, hold, waiting: Vec::new(), seen: 0 },
            remote: Remote::default(),
            outputs,
        }
    }

    /// Something happened.
    #[expect(clippy::too_many_lines, reason = "the protocol, in one place")]
    pub fn handle(&mut self, input: Input, now: Duration) {
        use Stage::{Answering, Applying, Closing, Connecting, Leaving, Listening, Offered, Offering, Over};
        let stage = mem::replace(&mut self.stage, Over);
        self.stage = match (stage, input) {
            (Over, _) => Over,

            // Our own implementation.
            (Offering, Input::Described(sdp)) => match self.ours(sdp) {
                Ok(sdp) => {
                    self.outputs.push_back(Output::Send(Message::Offer(sdp.clone())));
                    self.outputs.push_back(Output::SetLocal(Kind::Offer, sdp));
                    self.release();
                    Offered { until: now + self.limits.first, local: false, answer: None }
                }
                Err(error) => return self.fail(error),
            },
            (Answering, Input::Described(sdp)) => match self.ours(sdp) {
                Ok(sdp) => {
                    self.outputs.push_back(Output::Send(Message::Answer(sdp.clone())));
                    self.outputs.push_back(Output::SetLocal(Kind::Answer, sdp));
                    self.release();
                    self.advance(now)
                }
                Err(error) => return self.fail(error),
            },
            (Offered { answer: Some(answer), .. }, Input::LocalSet) => self.apply(Kind::Answer, answer),
            (Offered { until, answer: None, .. }, Input::LocalSet) => Offered { until, local: true, answer: None },
            (Applying, Input::RemoteSet) => {
                self.described(now);
                match self.role {
                    Role::Offerer => self.advance(now),
                    Role::Answerer => {
                        self.outputs.push_back(Output::Describe(Kind::Answer));
                        Answering
                    }
                }
            }
            (stage, Input::Candidate(candidate)) => {
                self.local.push(candidate);
                self.release();
                stage
            }
            (_, Input::State(State::Failed | State::Closed)) => return self.fail(HandshakeError::Unreachable),
            // ICE may find another way.
            (stage, Input::State(State::Disconnected)) => stage,
            (Connecting, Input::State(State::Connected)) => {
                self.connected = true;
                self.advance(now)
            }
            // Told before the description that made it possible is; or again.
            (stage, Input::State(State::Connected)) => {
                self.connected = true;
                stage
            }
            // js: only the offerer closes `init`, and waits for ever if that was closed before it has looked.
            (stage, Input::InitOpen | Input::InitClosed) if self.role == Role::Answerer => stage,
            (Connecting, Input::InitOpen) => {
                self.init = Init::Open;
                self.advance(now)
            }
            (stage, Input::InitOpen) => {
                self.init = Init::Open;
                stage
            }
            (Connecting, Input::InitClosed) => {
                self.init = Init::Closed;
                self.advance(now)
            }
            (Closing { .. }, Input::InitClosed) => self.leave(now),
            (stage, Input::InitClosed) => {
                self.init = Init::Closed;
                stage
            }
            (_, Input::Rtc(error)) => return self.fail(HandshakeError::Rtc(error)),
            // Answers to nothing that was asked.
            (stage, Input::Described(_) | Input::LocalSet | Input::RemoteSet) => stage,

            // The remote's description comes first. An answerer's early candidates do no harm.
            (Listening { .. }, Input::Received(Received::Message(Message::Offer(offer)))) => {
                self.apply(Kind::Offer, offer)
            }
            (
                Offered { local: true, answer: None, .. },
                Input::Received(Received::Message(Message::Answer(answer))),
            ) => self.apply(Kind::Answer, answer),
            (
                Offered { until, local: false, answer: None },
                Input::Received(Received::Message(Message::Answer(answer))),
            ) => Offered { until, local: false, answer: Some(answer) },
            // What is still under way when we are connected does not matter.
            (Leaving { until }, Input::Received(_) | Input::Malformed(_)) => Leaving { until },
            (
                stage @ (Offered { .. } | Applying | Answering | Connecting | Closing { .. }),
                Input::Received(Received::Message(Message::Candidate(candidate))),
            ) => {
                if !self.remote.count() {
                    return self.fail(Offence::Flood.into());
                }
                self.add(candidate);
                stage
            }
            (stage, Input::Received(Received::Passed(_))) => {
                if !self.remote.count() {
                    return self.fail(Offence::Flood.into());
                }
                self.remote.passed += 1;
                stage
            }
            (
                Offering | Offered { .. } | Listening { .. } | Applying | Answering | Connecting | Closing { .. },
                Input::Received(Received::Message(Message::Offer(_) | Message::Answer(_) | Message::Candidate(_))),
            ) => return self.fail(Offence::OutOfOrder.into()),
            (_, Input::Malformed(malformed)) => return self.fail(Offence::Malformed(malformed).into()),

            // The stream.
            (Offering | Offered { answer: None, .. } | Listening { .. }, Input::Ended) => {
                return self.fail(HandshakeError::Refused);
            }
            (stage @ (Offered { answer: Some(_), .. } | Applying | Answering | Connecting), Input::Ended)
                if !self.connected =>
            {
                self.deadline = self.deadline.min(now + GRACE);
                self.overdue = HandshakeError::Refused;
                stage
            }
            (
                stage @ (Offered { answer: Some(_), .. }
                | Applying
                | Answering
                | Connecting
                | Closing { .. }
                | Leaving { .. }),
                Input::Ended,
            ) => stage,
            (Leaving { .. }, Input::StreamClosed | Input::Broken(_)) => self.done(),
            // The remote is through and has left; only `init` keeps us.
            (stage @ (Connecting | Closing { .. }), Input::Broken(_)) if self.connected => stage,
            (
                Offering | Offered { .. } | Listening { .. } | Applying | Answering | Connecting | Closing { .. },
                Input::Broken(kind),
            ) => return self.fail(HandshakeError::Stream(kind)),
            (stage, Input::StreamClosed) => stage,
        };
    }

    /// What [`Machine::poll_timeout`] named is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        if let Hold::Until(until) = self.local.hold
            && until <= now
        {
            self.local.hold = Hold::Free;
            self.release();
        }
        match self.stage {
            Stage::Offered { until, answer: None, .. } | Stage::Listening { until } if until <= now => {
                self.fail(HandshakeError::Silent);
            }
            Stage::Closing { until } if until <= now => self.stage = self.leave(now),
            Stage::Leaving { until } if until <= now => self.stage = self.done(),
            Stage::Offering
            | Stage::Offered { .. }
            | Stage::Listening { .. }
            | Stage::Applying
            | Stage::Answering
            | Stage::Connecting
                if self.deadline <= now =>
            {
                self.fail(self.overdue.clone());
            }
            Stage::Offering
            | Stage::Offered { .. }
            | Stage::Listening { .. }
            | Stage::Applying
            | Stage::Answering
            | Stage::Connecting
            | Stage::Closing { .. }
            | Stage::Leaving { .. }
            | Stage::Over => {}
        }
    }

    /// When to call [`Machine::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        let stage = match self.stage {
            Stage::Offered { until, answer: None, .. } | Stage::Listening { until } => until.min(self.deadline),
            Stage::Closing { until } | Stage::Leaving { until } => until,
            Stage::Offering
            | Stage::Offered { answer: Some(_), .. }
            | Stage::Applying
            | Stage::Answering
            | Stage::Connecting => self.deadline,
            Stage::Over => return None,
        };
        Some(match self.local.hold {
            Hold::Until(until) => until.min(stage),
            Hold::Applied | Hold::Free => stage,
        })
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Messages of the remote that were passed over.
    pub fn passed(&self) -> usize {
        self.remote.passed
    }

    /// A description of our own implementation. It has to be what a remote would accept.
    fn ours(&mut self, sdp: String) -> Result<Sdp, HandshakeError> {
        let sdp = Sdp::parse(sdp).map_err(|error| RtcError::Failed(error.to_string()))?;
        self.local.mid = Some(sdp.mid().to_owned());
        Ok(sdp)
    }

    /// Sets the remote's description.
    fn apply(&mut self, kind: Kind, sdp: Sdp) -> Stage {
        self.outputs.push_back(Output::SetRemote(kind, sdp));
        Stage::Applying
    }

    /// The remote's description is set.
    fn described(&mut self, now: Duration) {
        self.remote.described = true;
        if let (Hold::Applied, Some(hold)) = (self.local.hold, self.limits.hold) {
            self.local.hold = Hold::Until(now + hold);
        }
        for candidate in mem::take(&mut self.remote.waiting) {
            self.add(candidate);
        }
    }

    /// Adds a candidate of the remote, now or when its description is set.
    fn add(&mut self, candidate: Candidate) {
        if !self.remote.described {
            self.remote.waiting.push(candidate);
            return;
        }
        self.outputs.push_back(Output::AddCandidate(candidate));
        self.local.hold = Hold::Free;
        self.release();
    }

    /// Sends our candidates, if it is time. Once connected they have no use.
    fn release(&mut self) {
        if self.connected {
            self.local.waiting.clear();
        }
        let Local { mid: Some(mid), hold: Hold::Free, waiting, .. } = &mut self.local else { return };
        let sent = mem::take(waiting).into_iter().filter_map(|candidate| outgoing(candidate, mid));
        self.outputs.extend(sent.map(|candidate| Output::Send(Message::Candidate(candidate))));
    }

    /// The stage after all descriptions are there.
    fn advance(&mut self, now: Duration) -> Stage {
        match self.init {
            Init::Open if self.connected => {
                self.outputs.push_back(Output::CloseInit);
                Stage::Closing { until: now + self.limits.closing }
            }
            Init::Closed if self.connected => self.leave(now),
            Init::Opening | Init::Open | Init::Closed => Stage::Connecting,
        }
    }

    fn leave(&mut self, now: Duration) -> Stage {
        self.outputs.push_back(Output::CloseStream);
        Stage::Leaving { until: now + self.limits.closing }
    }

    fn done(&mut self) -> Stage {
        self.outputs.push_back(Output::Done);
        Stage::Over
    }

    /// Nothing else is done any more.
    fn fail(&mut self, error: HandshakeError) {
        self.outputs.clear();
        self.outputs.push_back(Output::Failed(error));
        self.stage = Stage::Over;
    }
}

#[cfg(test)]
mod tests;
