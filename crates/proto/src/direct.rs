//! Direct messages: frames of the stream that one node keeps open to another.
//!
//! Each side opens a stream of its own for what it has to say: a [`Frame::Hello`], its messages, and its
//! acknowledgements of the other side's. Frames are CBOR behind an unsigned varint of their length. They need no
//! signature: the connection's Noise handshake has proved who is at the other end, through a relay too.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{Bounded, DecodeError, bound};
use crate::envelope::payload;
use crate::id::{AgentName, MeshId};
use crate::limits::{MAX_ACKS, MAX_BODY};

/// What is said on a direct stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Frame {
    /// First on every stream.
    Hello {
        /// The mesh that this stream belongs to.
        mesh: MeshId,
        /// The sender's run: unix microseconds at its start. Message numbers count within it.
        session: u64,
    },
    /// A message to an agent of the receiving node, or to the node itself.
    Message(Message),
    /// These messages of the receiver's are with the application.
    Ack {
        /// The receiver's run that they belong to.
        session: u64,
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// This message of the receiver's cannot be delivered, ever.
    Nack {
        /// The receiver's run that it belongs to.
        session: u64,
        /// Its number.
        number: u64,
        /// Why not.
        reason: Refusal,
    },
}

/// One direct message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Counts up within the sender's run and towards this receiver.
    pub number: u64,
    /// The sending agent, when one speaks.
    pub from: Option<AgentName>,
    /// The agent it is for, or the node.
    pub to: Option<AgentName>,
    /// The application's bytes, at most 60 KiB.
    #[serde(with = "payload")]
    pub body: Bytes,
}

/// Why a message cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// No agent of that name lives here.
    UnknownAgent,
}

impl Bounded for Frame {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Message(message) => bound("body", message.body.len(), MAX_BODY),
            Self::Ack { numbers, .. } => bound("numbers", numbers.len(), MAX_ACKS),
            Self::Hello { .. } | Self::Nack { .. } => Ok(()),
        }
    }
}
