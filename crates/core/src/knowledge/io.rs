//! What knowledge is told, what it wants done, and what it tells the application.

use bytes::Bytes;
use cid::Cid;
use mesh_proto::knowledge::Domain;
use mesh_proto::{DecodeError, EntryId, NodeId};

use super::compare::Done;
use super::holding::MAX_QUESTIONS;
use super::ledger::{Kept, Refused};
use crate::access::OnlyListens;
use crate::records::Change;

/// Why an entry is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part of it is past its bound.
    #[error(transparent)]
    Invalid(#[from] DecodeError),
    /// It is not kept here.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// This node is no member.
    #[error(transparent)]
    OnlyListens(#[from] OnlyListens),
    /// Too many questions wait for answers.
    #[error("{MAX_QUESTIONS} questions who holds something wait for answers already; wait for one to end")]
    Busy,
}

/// What knowledge wants done or has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Tell this to a peer by direct message, and say when it has it.
    Tell(NodeId, Bytes),
    /// Publish this envelope.
    Publish(Bytes),
    /// Make these changes in the store.
    Keep(u64, Vec<Change>),
    /// A peer did what no honest one does.
    Malformed(NodeId),
    /// For the driver's blocks.
    Blocks(Command),
    /// Tell the application.
    Event(Event),
}

/// What is to be done with blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Get all blocks below this root into the store. Ends in [`Node::blocks`](crate::Node::handle).
    Fetch {
        /// The root.
        cid: Cid,
        /// Bytes of the content, by its entry: blocks of more than that and a little are not its.
        size: u64,
        /// Who may have them, the likeliest first.
        from: Vec<NodeId>,
    },
    /// That is not wanted any more.
    Cancel {
        /// The root.
        cid: Cid,
    },
    /// Remove these blocks from the store.
    Remove {
        /// Which.
        blocks: Vec<Cid>,
    },
}

/// What happened to blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// These stood in the store at the beginning, with their sizes.
    Found(Vec<(Cid, u64)>),
    /// All blocks of a root are in the store, with their sizes.
    Fetched {
        /// The root.
        cid: Cid,
        /// All of them, the root's own included.
        blocks: Vec<(Cid, u64)>,
    },
    /// These are not in the store any more, whyever.
    Lost(Vec<Cid>),
    /// They could not be fetched.
    Failed {
        /// The root.
        cid: Cid,
        /// Whether the store has no room.
        full: bool,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A key stands for something else, or there is another sibling.
    Changed {
        /// Where.
        domain: Domain,
        /// Of which key.
        key: String,
        /// The entry that is new.
        entry: Box<Kept>,
        /// Whether the key stands for it now.
        current: bool,
    },
    /// What a key stood for has expired, or its author may not write here any more.
    Expired {
        /// Where.
        domain: Domain,
        /// Of which key.
        key: String,
    },
    /// Entries of this node up to this write are in the store, or are not.
    Settled {
        /// The write.
        write: u64,
        /// Whether they are.
        durable: bool,
    },
    /// Content that this node wrote is held by these.
    Held {
        /// The content.
        cid: Cid,
        /// Who says that it holds it.
        holders: Vec<NodeId>,
    },
    /// Who holds a content, as far as they have answered.
    Holders {
        /// The question.
        question: u64,
        /// The content.
        cid: Cid,
        /// Who does.
        holders: Vec<NodeId>,
    },
    /// This node holds a content now because somebody else was lost.
    Repaired {
        /// The content.
        cid: Cid,
    },
    /// A domain was compared with a peer.
    Compared(Done),
}

/// An entry of ours that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Names it.
    pub id: EntryId,
    /// [`Event::Settled`] tells when it is in the store.
    pub write: u64,
}
