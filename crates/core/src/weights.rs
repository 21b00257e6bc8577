//! Weights: who may send how much, what is resumed, when a transfer is given up.
//!
//! Bytes do not pass through here. The driver runs one task for each stream and reports what happened on it; this
//! machine answers with [`Command`]s. A stream is known by its [`Ticket`], so what a stream that was replaced still had
//! to say is not taken for news of its successor.
//!
//! *Sending.* A transfer is offered over a stream and resumed over another whenever that one breaks, after a dial when
//! the link is down as well. It fails when nothing was confirmed for its time-out, when the receiver refuses it, and
//! when the receiver lost what it had too often.
//!
//! *Receiving.* An offer is taken while its promised size fits the bounds in [`ReceivingConfig`]. What a broken stream
//! left behind is kept for a while and a repeated offer goes on from there; transfers that nobody is sending make room
//! for those that somebody is. Finished ones are remembered, so that an offer repeated because the last confirmation
//! was lost is answered and not delivered again. A chunk that fails its hash ends the transfer on both sides: its sender
//! does not send what it promised, and no later chunk can mend that.

use std::collections::VecDeque;
use std::sync::Arc;

use mesh_proto::codec::DecodeError;
use mesh_proto::transfer::{Manifest, Refusal};
use mesh_proto::{NodeId, TransferId};

use crate::access::OnlyListens;
use crate::offence::Offence;
use crate::time::{Mono, Now};

pub mod pacing;
mod receiving;
mod sending;

pub use receiving::Config as ReceivingConfig;
pub use sending::Config as SendingConfig;

/// Time without progress after which a share fails, unless the caller says otherwise. Milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 60_000;

/// Least time between two progress events of a transfer, milliseconds: what an eye can follow. The last is never held
/// back.
const PROGRESS_MS: u64 = 50;

/// What is accepted and how long is tried.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Of transfers that this node makes.
    pub sending: SendingConfig,
    /// Of transfers that others make to it.
    pub receiving: ReceivingConfig,
}

/// All transfers of this node.
#[derive(Debug)]
pub struct Weights {
    sending: sending::Sending,
    receiving: receiving::Receiving,
    outputs: Outputs,
}

impl Weights {
    /// No transfers, no links.
    pub fn new(config: Config) -> Self {
        let Config { sending, receiving } = config;
        Self {
            sending: sending::Sending::new(sending),
            receiving: receiving::Receiving::new(receiving),
            outputs: Outputs::new(),
        }
    }

    /// Sends what `manifest` describes to `to`. The driver keeps manifest and bytes until [`Command::Release`].
    ///
    /// Ends with [`Event::Shared`] or [`Event::ShareFailed`]. `timeout_ms` is time without progress.
    ///
    /// # Errors
    /// [`Error`]; nothing was taken then.
    pub fn share(&mut self, to: NodeId, manifest: &Manifest, timeout_ms: u64, now: Now) -> Result<(), Error> {
        self.sending.share(to, manifest, timeout_ms, now.mono, &mut self.outputs)
    }

    /// Gives a share up. No event follows.
    pub fn cancel(&mut self, to: NodeId, id: TransferId) {
        self.sending.cancel((to, id), &mut self.outputs);
    }

    /// The application has the weights of [`Event::Received`]. Until then they count against the bounds, so that an
    /// application that does not keep up is not sent more.
    pub fn taken(&mut self, from: NodeId, id: TransferId) {
        self.receiving.taken((from, id));
    }

    /// Something happened.
    pub fn handle(&mut self, input: Input, now: Now) {
        let (now, out) = (now.mono, &mut self.outputs);
        match input {
            Input::Connected(peer) => self.sending.connected(peer, out),
            Input::DialFailed(peer) => self.sending.dial_failed(peer, now),
            Input::Disconnected(peer) => {
                self.sending.disconnected(peer, now, out);
                self.receiving.disconnected(peer, now, out);
            }
            Input::Sending { to, id, ticket, report } => self.sending.report((to, id), ticket, report, now, out),
            Input::Offered { from, ticket, manifest } => self.receiving.offered(from, ticket, manifest, now, out),
            Input::Receiving { from, id, ticket, report } => {
                self.receiving.report((from, id), ticket, report, now, out);
            }
            Input::Offence { peer, offence } => out.push_back(Output::Offence { peer, offence }),
        }
    }

    /// Retries, gives up and forgets what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.sending.handle_timeout(now.mono, &mut self.outputs);
        self.receiving.handle_timeout(now.mono, &mut self.outputs);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let timeouts = [self.sending.poll_timeout(), self.receiving.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

type Key = (NodeId, TransferId);
type Outputs = VecDeque<Output>;

/// One stream of a transfer. A transfer that is resumed has several, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ticket {
    /// Opened by this node; numbered by [`Weights`].
    Outbound(u64),
    /// Opened by a peer; numbered by the driver.
    Inbound(u64),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The first link to a peer is up, or another one.
    Connected(NodeId),
    /// The last link to a peer is down.
    Disconnected(NodeId),
    /// A peer could not be dialled.
    DialFailed(NodeId),
    /// News of a stream of [`Command::Open`].
    Sending {
        /// The receiver.
        to: NodeId,
        /// The transfer.
        id: TransferId,
        /// The stream.
        ticket: Ticket,
        /// The news.
        report: SendReport,
    },
    /// A peer offers a transfer. Answered with [`Command::Decide`].
    Offered {
        /// The sender.
        from: NodeId,
        /// The stream.
        ticket: Ticket,
        /// What it offers.
        manifest: Arc<Manifest>,
    },
    /// News of a stream that was decided with [`Decision::Accept`].
    Receiving {
        /// The sender.
        from: NodeId,
        /// The transfer.
        id: TransferId,
        /// The stream.
        ticket: Ticket,
        /// The news.
        report: ReceiveReport,
    },
    /// A peer broke the protocol on a stream, which has ended.
    Offence {
        /// The peer.
        peer: NodeId,
        /// What it did.
        offence: Offence,
    },
}

/// What a sending stream's task reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendReport {
    /// The receiver takes it and has the chunks below `have` already.
    Accepted {
        /// Number of leading chunks.
        have: u32,
    },
    /// The receiver has checked the chunks below `have`.
    Confirmed {
        /// Number of leading chunks, more than before.
        have: u32,
    },
    /// The receiver does not want it. The stream has ended.
    Refused(Refusal),
    /// The peer does not speak the protocol.
    Unsupported,
    /// The stream could not be opened, or has ended early.
    Broken,
}

/// What a receiving stream's task reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveReport {
    /// The chunks below `have` are here and checked. First said of what was here when the stream began.
    Arrived {
        /// Number of leading chunks.
        have: u32,
    },
    /// A chunk is not what the manifest says. The task refuses the transfer and ends.
    Corrupt,
    /// The stream has ended early.
    Broken,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to this peer.
    Dial(NodeId),
    /// For whoever moves the bytes.
    Transfer(Command),
    /// For the application.
    Event(Event),
    /// Hold this against the peer.
    Offence {
        /// The peer.
        peer: NodeId,
        /// What it did.
        offence: Offence,
    },
}

/// What is to be done with streams and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Open a stream and offer the transfer over it.
    Open {
        /// The receiver.
        to: NodeId,
        /// The transfer.
        id: TransferId,
        /// What the stream is called in reports.
        ticket: Ticket,
    },
    /// Stop the stream's task; its reports count no more. Bytes are kept.
    Close(Ticket),
    /// Answer the offer made on this stream.
    Decide {
        /// The stream.
        ticket: Ticket,
        /// The answer.
        decision: Decision,
    },
    /// An outgoing transfer is over: forget its bytes.
    Release {
        /// The receiver.
        to: NodeId,
        /// The transfer.
        id: TransferId,
    },
    /// An incoming transfer is given up: forget its bytes. A task that is refusing it goes on.
    Discard {
        /// The sender.
        from: NodeId,
        /// The transfer.
        id: TransferId,
    },
}

/// What is said to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take it, from the first chunk that is not here.
    Accept,
    /// It was received before: confirm all of it.
    Known,
    /// No.
    Refuse(Refusal),
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To this node.
    In,
    /// From this node.
    Out,
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transfer got on. At most one in 50 ms for each transfer, and the last.
    Progress {
        /// The transfer.
        id: TransferId,
        /// Whose it is.
        direction: Direction,
        /// The node at the other end.
        peer: NodeId,
        /// Bytes that the receiver has checked.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The receiver has all of it, checked.
    Shared {
        /// The transfer.
        id: TransferId,
        /// The receiver.
        peer: NodeId,
        /// Bytes in all.
        bytes: u64,
        /// Times that it was taken up again after a stream broke.
        resumed: u32,
        /// Milliseconds from [`Weights::share`] on.
        duration_ms: u64,
    },
    /// The receiver will not have it.
    ShareFailed {
        /// The transfer.
        id: TransferId,
        /// The receiver.
        peer: NodeId,
        /// Why not.
        error: ShareError,
    },
    /// Weights have arrived and were checked. Manifest and bytes are with the driver; see [`Weights::taken`].
    Received {
        /// The transfer.
        id: TransferId,
        /// The sender.
        from: NodeId,
    },
    /// An incoming transfer was given up.
    ReceiveFailed {
        /// The transfer.
        id: TransferId,
        /// The sender.
        from: NodeId,
        /// Why.
        error: ReceiveError,
    },
}

/// Why a share was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// As many are under way as there may be.
    #[error("{max} transfers are under way, no more are allowed at once")]
    OverQuota {
        /// Transfers allowed.
        max: usize,
    },
    /// The same transfer is under way to the same node.
    #[error("this transfer is under way already")]
    UnderWay,
    /// No receiver could read its manifest.
    #[error("not transferable: {0}")]
    Invalid(#[from] DecodeError),
    /// This node is no member.
    #[error(transparent)]
    OnlyListens(#[from] OnlyListens),
}

/// Why a share failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// There was no link to the peer for the time-out.
    #[error("the peer cannot be reached")]
    PeerUnreachable,
    /// There was a link but no progress for the time-out, or the receiver began anew too often.
    #[error("the transfer made no progress in time")]
    Timeout,
    /// The receiver said no.
    #[error("the receiver refused the transfer: {}", refusal(*.0))]
    Refused(Refusal),
    /// The peer takes no transfers at all.
    #[error("the peer takes no transfers")]
    Unsupported,
    /// The receiver says that a chunk was not what the manifest promised.
    #[error("the receiver got other bytes than were promised")]
    Integrity,
}

/// Why an incoming transfer was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// It broke off and was not resumed in time.
    #[error("the transfer broke off and was not resumed in time")]
    Timeout,
    /// It had broken off and made room for another.
    #[error("the transfer broke off and made room for another one")]
    Displaced,
    /// A chunk was not what the manifest promised.
    #[error("the sender sent other bytes than it promised")]
    Integrity,
}

fn refusal(reason: Refusal) -> &'static str {
    match reason {
        Refusal::TooLarge => "it is too large",
        Refusal::Busy => "it has too many under way",
        Refusal::Corrupt => "it is not what was promised",
        Refusal::WrongMesh => "it is a member of another mesh",
    }
}

/// How much a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    size: u64,
    chunk: u64,
    chunks: u32,
}

impl Extent {
    fn of(manifest: &Manifest) -> Self {
        Self { size: manifest.size, chunk: u64::from(manifest.chunk), chunks: manifest.chunks() }
    }

    /// Bytes in the chunks below `have`.
    fn bytes(&self, have: u32) -> u64 {
        self.size.min(self.chunk * u64::from(have))
    }
}

/// Thins progress events out.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    last: Option<Mono>,
}

impl Meter {
    fn due(&mut self, complete: bool, now: Mono) -> bool {
        let due = complete || self.last.is_none_or(|last| now.since(last) >= PROGRESS_MS);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests;
