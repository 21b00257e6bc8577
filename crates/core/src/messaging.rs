//! Direct messages, delivered exactly once to the application and in order, or the sender gets a typed error.
//!
//! # What is promised
//!
//! * Each message ends in one event, unless it is cancelled: [`Event::Delivered`] when the receiver's application has
//!   taken it ([`Messaging::taken`]) and its word has reached us, [`Event::Failed`] at its deadline at the latest. A
//!   failure does not say that the message has not arrived: it may have been sent before.
//! * A receiver's application gets each message of a sender's run at most once, in the order of the sends.
//! * "Exactly once" spans what both ends remember. A receiver that restarts has forgotten: what its old run took
//!   without our hearing of it goes to its new run too. So has one that evicted us, see [`Config::max_peers`].
//!
//! # How
//!
//! * **Numbers.** A run has a name, `session`: unix microseconds at its start. Its messages have the numbers
//!   `session + 1`, `session + 2`, … over all receivers. So a number says which run it belongs to, and a late frame of
//!   a run that has ended cannot pass for one of the new run. A receiver sees gaps, and only the order counts for it.
//! * **Sending.** At most a window of messages is sent and unacknowledged; a single one may always go. The rest waits in
//!   the outbox. Each stream of ours begins with a hello and with everything unacknowledged, in order; after it come new
//!   messages. This is go-back-N with streams in the place of timers, for a stream loses nothing but its end.
//! * **Giving up.** A message is dropped at its deadline or when it is cancelled, and the receiver sees one gap more.
//!   If it was sent, its place in the window stays taken until the receiver answers or the stream ends.
//! * **Receiving.** Above the highest number: new. Else a repeat: acknowledged again unless the application still has to
//!   take it. More than a window with the application and not taken: dropped, with all that follows, until there is
//!   room; then [`Output::Reset`] makes the sender begin a new stream.
//! * **Answers** are queued and leave together at the next [`Messaging::handle_timeout`], which is due at once. When
//!   our stream breaks, the last window of them goes out again on the next.
//! * **Links.** Messages are worth a dial, answers only a stream. Back-offs double, see [`Config`].
//!
//! # What the driver owes
//!
//! * Each [`Output::Dial`] is answered by `Connected` or `DialFailed`; each [`Output::Open`] by `Opened` or `Closed`.
//! * `Closed` comes as soon as our stream is seen to be broken, also while there is nothing to write.
//! * [`Output::Frame`] goes to the stream of the latest `Opened`, or nowhere. It is not kept for a later one.
//! * Frames of one inbound stream come in order and without gaps, from its first on. Those of several streams of a peer
//!   may be interleaved. After [`Output::Reset`] and after `Disconnected` nothing more comes from the streams that the
//!   peer had until then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use mesh_proto::direct::{Frame, Message, Reader, Refusal};
use mesh_proto::limits::MAX_BODY;
use mesh_proto::{AgentName, MeshId, NodeId};

use crate::access::OnlyListens;
use crate::offence::Offence;
use crate::time::{Mono, Now};

mod carry;
mod inbox;
mod link;
mod load;
mod outbox;

use inbox::{Greeting, Inbox, Verdict};
use link::{Ask, Change, Demand, Link};
use load::Load;
use outbox::{Answered, Letter, Outbox};

/// How much is held and how long is waited. Sizes are bytes of message bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Messages to one peer that are sent and unacknowledged, and messages of one peer that its application may leave
    /// untaken. Both ends need the same value: a sender with a larger window is stopped again and again. It also bounds
    /// the acknowledgements remembered per peer, 8 bytes each.
    pub window_messages: usize,
    /// The same in bytes. 256 KiB fill a link of 20 Mbit/s and 100 ms; more would let small messages wait behind large
    /// ones in the stream's buffer.
    pub window_bytes: usize,
    /// Messages to one peer that are neither acknowledged nor failed. [`Error::OverQuota`] past it.
    pub outbox_messages: usize,
    /// The same in bytes.
    pub outbox_bytes: usize,
    /// Messages to all peers that are neither acknowledged nor failed, about 300 bytes each besides their bodies.
    pub outbox_total_messages: usize,
    /// The same in bytes.
    pub outbox_total_bytes: usize,
    /// Messages of all peers that the application has not taken. Past it no peer's messages are let in; they wait at
    /// their senders.
    pub inbox_total_messages: usize,
    /// The same in bytes.
    pub inbox_total_bytes: usize,
    /// Peers that are remembered although there is no connection to them and nothing to do for them, about 1 KiB each.
    /// Past it the one that was silent for longest is forgotten. That can cost this: if our last acknowledgement did not
    /// reach it before the connection went down, the message it is about is delivered a second time.
    pub max_peers: usize,
    /// How long a message may take when its sender has not said, milliseconds. For callers of [`Messaging::send`].
    pub default_timeout_ms: u64,
    /// Between dials, while messages wait.
    pub redial: Backoff,
    /// Between streams, while the connection holds.
    pub reopen: Backoff,
}

/// A wait that doubles with each failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait, milliseconds.
    pub min_ms: u64,
    /// The longest wait, milliseconds.
    pub max_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_messages: 2048,
            window_bytes: 256 * 1024,
            outbox_messages: 16_384,
            outbox_bytes: 32 * 1024 * 1024,
            outbox_total_messages: 65_536,
            outbox_total_bytes: 64 * 1024 * 1024,
            inbox_total_messages: 65_536,
            inbox_total_bytes: 32 * 1024 * 1024,
            max_peers: 1_024,
            default_timeout_ms: 10_000,
            // A healed link is to be used within 300 ms (perf 9).
            redial: Backoff { min_ms: 250, max_ms: 4_000 },
            reopen: Backoff { min_ms: 100, max_ms: 2_000 },
        }
    }
}

/// The direct messages of one node.
#[derive(Debug)]
pub struct Messaging {
    config: Config,
    mesh: MeshId,
    session: u64,
    peers: BTreeMap<NodeId, Box<Peer>>,
    /// The receiver of every message that is neither acknowledged nor failed.
    sends: BTreeMap<SendId, NodeId>,
    last_send: SendId,
    deadlines: BTreeSet<(Mono, SendId)>,
    /// Ends of back-offs.
    wakes: BTreeSet<(Mono, NodeId)>,
    /// Peers whose answers can leave, and since when the first can.
    answering: BTreeSet<NodeId>,
    answers_due: Option<Mono>,
    /// Peers whose messages are not let in for want of room.
    shut: BTreeSet<NodeId>,
    /// Peers with nothing to do, by latest activity.
    resting: BTreeSet<(Mono, NodeId)>,
    /// All outboxes.
    queued: Load,
    /// All inboxes.
    held: Load,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Peer {
    link: Link,
    outbox: Outbox,
    inbox: Inbox,
    /// Latest activity.
    active: Mono,
    /// Its entry in `wakes`.
    wake: Option<Mono>,
    /// Its entry in `resting`.
    resting: Option<Mono>,
}

/// Our name for a message: the sends of a run count up from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub u64);

impl Messaging {
    /// The direct messages of a node of `mesh` that started at `session`, in unix microseconds. A later run of the node
    /// must be given a later one, or receivers that remember this run take nothing from it.
    pub fn new(config: Config, mesh: MeshId, session: u64) -> Self {
        Self {
            config,
            mesh,
            session,
            peers: BTreeMap::new(),
            sends: BTreeMap::new(),
            last_send: SendId(0),
            deadlines: BTreeSet::new(),
            wakes: BTreeSet::new(),
            answering: BTreeSet::new(),
            answers_due: None,
            shut: BTreeSet::new(),
            resting: BTreeSet::new(),
            queued: Load::default(),
            held: Load::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Sends `body` to the agent `to_agent` of node `to`, or to the node itself. Ends in [`Event::Delivered`] or, after
    /// `timeout_ms` milliseconds at the latest, in [`Event::Failed`].
    ///
    /// # Errors
    /// [`Error`], and then nothing was taken in.
    pub fn send(
        &mut self,
        to: NodeId,
        to_agent: Option<AgentName>,
        from: Option<AgentName>,
        body: Bytes,
        timeout_ms: u64,
        now: Now,
    ) -> Result<SendId, Error> {
        let deadline = now.mono + timeout_ms;
        self.post(to, Letter { from, to: to_agent, body, reader: Reader::Application, deadline }, now)
    }

    /// Sends an encoded message to a node, which it takes itself.
    ///
    /// # Errors
    /// [`Error`], and then nothing was taken in.
    pub fn tell(
        &mut self,
        to: NodeId,
        reader: Reader,
        body: Bytes,
        timeout_ms: u64,
        now: Now,
    ) -> Result<SendId, Error> {
        let deadline = now.mono + timeout_ms;
        self.post(to, Letter { from: None, to: None, body, reader, deadline }, now)
    }

    fn post(&mut self, to: NodeId, letter: Letter, now: Now) -> Result<SendId, Error> {
        let bytes = letter.body.len();
        if bytes > MAX_BODY {
            return Err(Error::TooLarge { len: bytes, max: MAX_BODY });
        }
        let queued = self.peers.get(&to).map(|peer| peer.outbox.queued()).unwrap_or_default();
        if !queued.fits(bytes, self.config.outbox()) || !self.queued.fits(bytes, self.config.outbox_total()) {
            return Err(Error::OverQuota);
        }

        let id = SendId(self.last_send.0 + 1);
        self.last_send = id;
        self.sends.insert(id, to);
        self.deadlines.insert((letter.deadline, id));
        self.queued.add(bytes);
        self.peer(to, now.mono).outbox.push(id, letter);
        self.settle(to, now.mono);
        Ok(id)
    }

    /// Forgets a message that nobody waits for any more. If it was not sent, it never is; no event follows.
    pub fn cancel(&mut self, id: SendId) {
        self.abandon(id);
    }

    /// The application has message `number` of `from`'s run `session`: its sender is told so.
    pub fn taken(&mut self, from: NodeId, session: u64, number: u64, now: Now) {
        self.release(from, session, number, None, now.mono);
    }

    /// Message `number` of `from`'s run `session` can never be delivered: its sender is told why.
    pub fn refuse(&mut self, from: NodeId, session: u64, number: u64, reason: Refusal, now: Now) {
        self.release(from, session, number, Some(reason), now.mono);
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Now) {
        let now = now.mono;
        match input {
            Input::Connected { peer } => {
                self.peer(peer, now);
                self.link(peer, Change::Connected, now);
            }
            Input::DialFailed { peer } => self.link(peer, Change::DialFailed, now),
            Input::Opened { peer } => self.opened(peer, now),
            Input::Closed { peer } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.outbox.stream_lost();
                    peer.inbox.stream_lost();
                }
                self.link(peer, Change::Closed, now);
            }
            Input::Disconnected { peer } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.outbox.stream_lost();
                    peer.active = now;
                }
                self.link(peer, Change::Disconnected, now);
            }
            Input::Frame { from, frame } => {
                self.frame(from, frame, now);
                self.settle(from, now);
            }
        }
    }

    /// Lets answers leave, fails messages whose time is up, ends back-offs.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        self.answer();
        while self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= now)
            && let Some((_, id)) = self.deadlines.pop_first()
        {
            self.expire(id, now);
        }
        while self.wakes.first().is_some_and(|(wake, _)| *wake <= now)
            && let Some((_, id)) = self.wakes.pop_first()
        {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.wake = None;
            }
            self.settle(id, now);
        }
    }

    /// Whether a peer that is connected waits for an answer that has not left yet.
    pub fn owes_answers(&self) -> bool {
        self.peers.values().any(|peer| peer.link.is_connected() && peer.inbox.owes_answers())
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        let Self { peers, sends, deadlines, wakes, answering, shut, resting, .. } = self;
        let of_peers = peers.len() + wakes.len() + answering.len() + shut.len() + resting.len();
        of_peers + sends.len() + deadlines.len()
    }

    /// When [`Messaging::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let wake = self.wakes.first().map(|(wake, _)| *wake);
        [self.answers_due, deadline, wake].into_iter().flatten().min()
    }

    /// What is to be done; to be drained before the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// There is a connection to `peer`.
    Connected {
        /// To whom.
        peer: NodeId,
    },
    /// There is no connection to `peer` any more.
    Disconnected {
        /// To whom.
        peer: NodeId,
    },
    /// A dial has failed.
    DialFailed {
        /// To whom.
        peer: NodeId,
    },
    /// Our stream to `peer` is open; one that was open before is gone.
    Opened {
        /// To whom.
        peer: NodeId,
    },
    /// Our stream to `peer` has broken, or could not be opened.
    Closed {
        /// To whom.
        peer: NodeId,
    },
    /// A frame came on a stream of the peer's.
    Frame {
        /// From whom.
        from: NodeId,
        /// What it says.
        frame: Frame,
    },
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to `peer`.
    Dial {
        /// To whom.
        peer: NodeId,
    },
    /// Open our stream to `peer`.
    Open {
        /// To whom.
        peer: NodeId,
    },
    /// Break all streams that `peer` has opened to us, so that it opens another and sends again what was dropped.
    Reset {
        /// Whose.
        peer: NodeId,
    },
    /// Write `frame` on our stream.
    Frame {
        /// To whom.
        to: NodeId,
        /// What.
        frame: Frame,
    },
    /// Tell the application.
    Event(Event),
    /// A peer did what an honest one would not: [`Offence::WrongMesh`], [`Offence::OutOfPlace`] for a frame before the
    /// hello or an answer to what was never sent, [`Offence::WindowExceeded`].
    ///
    /// The last can, though rarely, hit an honest peer. When its stream breaks, messages that it gave up meanwhile may
    /// arrive after its next hello, and nothing tells them from what it sends then. And when we have just restarted,
    /// late acknowledgements of our old run may let it send what our new run has no room for.
    Offence {
        /// Who.
        from: NodeId,
        /// What.
        offence: Offence,
    },
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message for us; [`Messaging::taken`] or [`Messaging::refuse`] is owed.
    Received {
        /// Its sender.
        from: NodeId,
        /// The sender's run.
        session: u64,
        /// The message.
        message: Message,
    },
    /// The receiver's application has a message of ours.
    Delivered {
        /// Which.
        id: SendId,
        /// The receiver.
        peer: NodeId,
        /// Our run.
        session: u64,
        /// The message's number in it.
        number: u64,
        /// From the first transmission to the acknowledgement.
        round_trip_ms: u64,
    },
    /// A message of ours was given up.
    Failed {
        /// Which.
        id: SendId,
        /// The receiver.
        peer: NodeId,
        /// Why.
        error: SendError,
    },
}

/// Why a message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// At the deadline there was no connection, or the receiver had not let us open a stream.
    #[error("the receiver cannot be reached")]
    PeerUnreachable,
    /// The receiver was there, and did not acknowledge in time.
    #[error("not acknowledged in time")]
    Timeout,
    /// The receiver has no agent of that name.
    #[error("the receiver has no agent of that name")]
    UnknownAgent,
}

/// Why a message was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than bodies may be.
    #[error("a message has at most {max} bytes, this one has {len}")]
    TooLarge {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Too much is waiting for this receiver, or for all: send again when some of it has been delivered or has failed.
    #[error("too many messages are waiting to be acknowledged")]
    OverQuota,
    /// This node is no member.
    #[error(transparent)]
    OnlyListens(#[from] OnlyListens),
}

#[cfg(test)]
mod tests;
