//! What came from one peer: how far its numbers have got, which messages our application has not taken yet, and the
//! answers that are owed.
//!
//! Two rules make a message exactly one. Each stream of a peer begins with everything it has sent and seen no answer to,
//! in order; hence a number that is not above the highest one received was received before, or was abandoned by the
//! peer. And when a message had to be dropped because there was no room, everything after it is dropped too until the
//! peer has begun a new stream; else the gap would pass for an abandoned message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh_proto::direct::{Frame, Refusal};
use mesh_proto::limits::MAX_ACKS;

use super::Load;

/// What the peer's latest [`Frame::Hello`] was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// There was none yet.
    None,
    /// One of our mesh.
    Right,
    /// One of another mesh.
    Wrong,
}

/// Whether new messages are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// A message was dropped and there is no room yet.
    Full,
    /// There is room, and the peer's next stream brings what was dropped.
    Awaiting,
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The application is to have it.
    New {
        /// The run it belongs to.
        session: u64,
    },
    /// Nothing: an earlier run's, already here, answered before (its answer is owed again), or behind one that was
    /// dropped.
    Nothing,
    /// There is no room for it.
    NoRoom {
        /// Whether the peer has sent more on this stream than it may, or what it sent before is still here.
        exceeded: bool,
    },
}

/// A message that the application has and has not taken.
#[derive(Debug)]
struct Held {
    bytes: usize,
    /// The stream it came on, see [`Inbox::stream`].
    stream: u64,
}

#[derive(Debug)]
pub(super) struct Inbox {
    greeting: Greeting,
    /// The peer's run, `None` before its first right hello.
    session: Option<u64>,
    /// The highest number received in it.
    highest: u64,
    /// Right hellos heard.
    stream: u64,
    gate: Gate,
    /// By run and number. Those of earlier runs are here too: their bytes are still with the application.
    held: BTreeMap<(u64, u64), Held>,
    held_load: Load,
    /// The part of it that came since the last hello.
    stream_load: Load,
    /// Numbers whose answer is owed.
    owed: BTreeSet<u64>,
    /// Numbers whose answer went out on our stream, in that order. It may be lost with the stream.
    given: VecDeque<u64>,
    /// Those whose answer is a refusal, and the order they were refused in.
    refused: BTreeMap<u64, Refusal>,
    refused_order: VecDeque<u64>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            greeting: Greeting::None,
            session: None,
            highest: 0,
            stream: 0,
            gate: Gate::Open,
            held: BTreeMap::new(),
            held_load: Load::default(),
            stream_load: Load::default(),
            owed: BTreeSet::new(),
            given: VecDeque::new(),
            refused: BTreeMap::new(),
            refused_order: VecDeque::new(),
        }
    }

    pub(super) fn greeting(&self) -> Greeting {
        self.greeting
    }

    /// The peer's run. While it is known, forgetting this inbox can make a message arrive twice.
    pub(super) fn session(&self) -> Option<u64> {
        self.session
    }

    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn owes_answers(&self) -> bool {
        !self.owed.is_empty()
    }

    /// A hello of our mesh. One of an earlier run than is known comes from a stream that has been overtaken, and
    /// changes nothing.
    pub(super) fn hello(&mut self, session: u64) {
        self.greeting = Greeting::Right;
        if self.session.is_some_and(|known| session < known) {
            return;
        }
        if self.session != Some(session) {
            self.session = Some(session);
            self.highest = session;
            self.owed.clear();
            self.given.clear();
            self.refused.clear();
            self.refused_order.clear();
        }
        self.stream += 1;
        self.stream_load = Load::default();
        if self.gate == Gate::Awaiting {
            self.gate = Gate::Open;
        }
    }

    /// A hello of another mesh.
    pub(super) fn wrong_hello(&mut self) {
        self.greeting = Greeting::Wrong;
    }

    /// Takes in message `number` of the current run, or says why not. `elsewhere_room` is whether all peers together
    /// leave room for it.
    pub(super) fn receive(&mut self, number: u64, bytes: usize, window: Load, elsewhere_room: bool) -> Verdict {
        let Some(session) = self.session else {
            return Verdict::Nothing;
        };
        if number <= session {
            // Numbers of a run are above its name, so this is an earlier run's.
            return Verdict::Nothing;
        }
        if number <= self.highest {
            self.receive_again(session, number, window);
            return Verdict::Nothing;
        }
        if self.gate != Gate::Open {
            return Verdict::Nothing;
        }
        if !elsewhere_room || !self.held_load.admits(bytes, window) {
            self.gate = Gate::Full;
            let exceeded = !self.stream_load.admits(bytes, window);
            return Verdict::NoRoom { exceeded };
        }
        self.highest = number;
        let stream = self.stream;
        self.held.insert((session, number), Held { bytes, stream });
        self.held_load.add(bytes);
        self.stream_load.add(bytes);
        Verdict::New { session }
    }

    fn receive_again(&mut self, session: u64, number: u64, window: Load) {
        // An honest peer waits for a window of answers, and another window may be in `owed` from a stream that broke.
        let full = self.owed.len() >= window.messages.saturating_mul(2).max(2);
        if !full && !self.held.contains_key(&(session, number)) {
            self.owed.insert(number);
        }
    }

    /// The application has taken a message, or nobody can (`refusal`). The bytes it took up, `None` if it is not held.
    pub(super) fn release(
        &mut self,
        session: u64,
        number: u64,
        refusal: Option<Refusal>,
        window: Load,
    ) -> Option<usize> {
        let Held { bytes, stream } = self.held.remove(&(session, number))?;
        self.held_load.remove(bytes);
        if stream == self.stream {
            self.stream_load.remove(bytes);
        }
        if self.session == Some(session) {
            self.owed.insert(number);
            if let Some(refusal) = refusal {
                self.refused.insert(number, refusal);
                remember(&mut self.refused_order, number, window, |old| {
                    self.refused.remove(&old);
                });
            }
        }
        Some(bytes)
    }

    /// Whether the gate was shut and there is room again: at most half of the window is held. The peer's stream is to
    /// be broken then, so that it begins a new one.
    pub(super) fn unlatch(&mut self, window: Load) -> bool {
        let Load { messages, bytes } = self.held_load;
        let ready = self.gate == Gate::Full && messages <= window.messages / 2 && bytes <= window.bytes / 2;
        if ready {
            self.gate = Gate::Awaiting;
        }
        ready
    }

    /// All answers that are owed.
    pub(super) fn answers(&mut self, window: Load) -> Vec<Frame> {
        let Some(session) = self.session else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        let mut acks = Vec::new();
        for number in std::mem::take(&mut self.owed) {
            match self.refused.get(&number) {
                Some(&reason) => frames.push(Frame::Nack { session, number, reason }),
                None => acks.push(number),
            }
            remember(&mut self.given, number, window, |_| {});
        }
        frames.extend(acks.chunks(MAX_ACKS).map(|numbers| Frame::Ack { session, numbers: numbers.to_vec() }));
        frames
    }

    /// Our stream is gone, and maybe the last answers given on it.
    pub(super) fn stream_lost(&mut self) {
        self.owed.extend(self.given.drain(..));
    }

    /// The connection is gone: the peer's next stream asks again for the answers it has not seen.
    pub(super) fn disconnected(&mut self) {
        self.owed.clear();
        self.given.clear();
    }
}

/// Keeps the last `window.messages` numbers, at least one; `forget` is told which goes. A peer waits for no more answers
/// than that, and those it has not seen are the last ones given.
fn remember(numbers: &mut VecDeque<u64>, number: u64, window: Load, forget: impl FnOnce(u64)) {
    numbers.push_back(number);
    if numbers.len() > window.messages.max(1)
        && let Some(old) = numbers.pop_front()
    {
        forget(old);
    }
}
