//! What is on its way to one peer: messages that wait for room in the window, then those that were sent and are not
//! acknowledged.
//!
//! A message that is abandoned after it was sent keeps its place in the window for as long as the stream lives that
//! carried it: the receiver may hold it still, and a sender that reckoned otherwise would send past the receiver's
//! bound. It is never sent again.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_proto::AgentName;
use mesh_proto::direct::{Message, Reader};

use super::{Load, SendId};
use crate::time::Mono;

/// A message as the application gave it.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) from: Option<AgentName>,
    pub(super) to: Option<AgentName>,
    pub(super) body: Bytes,
    /// Whether it is one node's word to another about a decision, and no agent's.
    pub(super) reader: Reader,
    pub(super) deadline: Mono,
}

/// A message that was sent and is not acknowledged.
#[derive(Debug)]
struct Sent {
    /// `None` once abandoned.
    letter: Option<Letter>,
    bytes: usize,
    first: Mono,
}

/// What an answer of the receiver is about.
#[derive(Debug)]
pub(super) enum Answered {
    /// A message that waits for it.
    Letter {
        letter: Letter,
        /// When it was sent for the first time.
        first: Mono,
    },
    /// One that was abandoned or answered before, or is not this peer's.
    Settled,
    /// One that this peer cannot have seen.
    NeverSent,
}

/// Messages to one peer, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<SendId, Letter>,
    sent: BTreeMap<SendId, Sent>,
    /// What may be with the receiver: all of `sent`, abandoned ones too.
    flight: Load,
    /// What the application waits for: `waiting`, and `sent` without the abandoned ones.
    queued: Load,
}

impl Outbox {
    pub(super) fn queued(&self) -> Load {
        self.queued
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.messages == 0
    }

    pub(super) fn push(&mut self, id: SendId, letter: Letter) {
        self.queued.add(letter.body.len());
        self.waiting.insert(id, letter);
    }

    /// The next message that fits into the window. It counts as sent.
    pub(super) fn send_next(&mut self, window: Load, session: u64, now: Mono) -> Option<Message> {
        let entry = self.waiting.first_entry()?;
        let bytes = entry.get().body.len();
        if !self.flight.admits(bytes, window) {
            return None;
        }
        let (id, letter) = entry.remove_entry();
        let message = letter.message(id, session);
        self.flight.add(bytes);
        let letter = Some(letter);
        self.sent.insert(id, Sent { letter, bytes, first: now });
        Some(message)
    }

    /// What a new stream begins with: everything sent and neither answered nor abandoned, in order.
    pub(super) fn sent_messages(&self, session: u64) -> impl Iterator<Item = Message> {
        self.sent.iter().filter_map(move |(id, sent)| Some(sent.letter.as_ref()?.message(*id, session)))
    }

    /// The receiver's last word on a message.
    pub(super) fn answered(&mut self, id: SendId) -> Answered {
        if self.waiting.contains_key(&id) {
            return Answered::NeverSent;
        }
        let Some(sent) = self.sent.remove(&id) else {
            return Answered::Settled;
        };
        self.flight.remove(sent.bytes);
        match sent.letter {
            Some(letter) => {
                self.queued.remove(sent.bytes);
                Answered::Letter { letter, first: sent.first }
            }
            None => Answered::Settled,
        }
    }

    /// Gives a message up. If it was not sent, it never is.
    pub(super) fn abandon(&mut self, id: SendId) -> Option<Letter> {
        let letter = match self.waiting.remove(&id) {
            Some(letter) => letter,
            None => self.sent.get_mut(&id)?.letter.take()?,
        };
        self.queued.remove(letter.body.len());
        Some(letter)
    }

    /// The stream is gone, and with it what is known of abandoned messages.
    pub(super) fn stream_lost(&mut self) {
        let flight = &mut self.flight;
        self.sent.retain(|_, sent| {
            if sent.letter.is_none() {
                flight.remove(sent.bytes);
            }
            sent.letter.is_some()
        });
    }
}

impl Letter {
    fn message(&self, id: SendId, session: u64) -> Message {
        Message {
            number: session.saturating_add(id.0),
            from: self.from.clone(),
            to: self.to.clone(),
            body: self.body.clone(),
            reader: self.reader,
        }
    }
}
