//! Joining: a newcomer is handed the member list in one round trip, it does not wait to hear it by gossip.
//!
//! The newcomer opens a stream, sends a [`Request`] with its own announcement and reads [`Reply`] frames until `more`
//! is false. Every announcement in them is an envelope signed by the node it speaks of, so the list can be
//! incomplete but not forged. Frames are CBOR behind an unsigned varint of their length.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{Bounded, DecodeError, bound};
use crate::id::MeshId;
use crate::limits::{MAX_ENVELOPE, MAX_JOIN_ANNOUNCEMENTS};

/// First frame, by whoever opened the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The mesh to join.
    pub mesh: MeshId,
    /// The newcomer's own announcement, an envelope.
    pub announcement: ByteBuf,
}

impl Bounded for Request {
    fn check(&self) -> Result<(), DecodeError> {
        bound("announcement", self.announcement.len(), MAX_ENVELOPE)
    }
}

/// The answer, in one frame or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// Announcements of members, as envelopes.
    Members {
        /// The envelopes.
        announcements: Vec<ByteBuf>,
        /// Whether another frame follows.
        more: bool,
    },
    /// The node is a member of another mesh.
    WrongMesh {
        /// The mesh it is a member of.
        mesh: MeshId,
    },
}

impl Bounded for Reply {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Members { announcements, .. } => bound("announcements", announcements.len(), MAX_JOIN_ANNOUNCEMENTS),
            Self::WrongMesh { .. } => Ok(()),
        }
    }
}
