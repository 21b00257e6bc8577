//! Joining: a newcomer is handed the member list in one round trip, it does not wait to hear it by gossip.
//!
//! The newcomer opens a stream, sends a [`Request`] with its own announcement and reads [`Reply`] frames until one
//! says where the list ends. Every announcement in them is an envelope signed by the node it speaks of, so the list can be
//! incomplete but not forged. The last frame carries a [`Cursor`]; whoever shows it later gets only what came since: a
//! newcomer asks again shortly, for what was gossiped before its subscription had reached its neighbour. Frames are CBOR behind an unsigned varint of their length.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{Bounded, DecodeError, bound};
use crate::credential::SignedRevocation;
use crate::id::MeshId;
use crate::limits::{MAX_ENVELOPE, MAX_JOIN_ANNOUNCEMENTS, MAX_JOIN_REVOCATIONS};

/// First frame, by whoever opened the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The mesh to join.
    pub mesh: MeshId,
    /// The newcomer's own announcement, an envelope.
    pub announcement: ByteBuf,
    /// Where the last list of this neighbour ended, if it gave one over this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
}

/// A place in a neighbour's list, in the order in which announcements came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The neighbour's run: unix microseconds at its start. Places of other runs mean nothing.
    pub run: u64,
    /// Number of announcements that had come.
    pub place: u64,
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
        /// Where the list ends; `None` while another frame follows.
        end: Option<Cursor>,
    },
    /// Credentials that were taken back in a private mesh, before the members.
    Revoked {
        /// As they were signed.
        revocations: Vec<SignedRevocation>,
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
            Self::Revoked { revocations } => {
                bound("revocations", revocations.len(), MAX_JOIN_REVOCATIONS)?;
                revocations.iter().try_for_each(Bounded::check)
            }
            Self::WrongMesh { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use crate::codec::tests::{assert_bound, read_back};
    use crate::credential::{Earlier, Revocation, Serial};
    use crate::id::Keypair;
    use crate::limits::{MAX_INVITES_PER_DAY, MAX_JOIN_FRAME};

    const END: Cursor = Cursor { run: u64::MAX, place: u64::MAX };

    fn largest_revocation() -> SignedRevocation {
        let by = Keypair::from_seed(&[1; 32]);
        let serial = Serial { issuer: by.node(), day: u64::MAX, number: MAX_INVITES_PER_DAY - 1 };
        let earlier = Some(Earlier { subject: by.node(), not_before: u64::MAX });
        Revocation { mesh: MeshId([1; 32]), serial, earlier, until: u64::MAX, by: by.node() }.sign(&by).unwrap()
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let some = Reply::Members { announcements: vec![ByteBuf::from([1, 2])], end: None };
        let none = Reply::Members { announcements: vec![], end: Some(END) };
        let revoked = Reply::Revoked { revocations: vec![largest_revocation(); 2] };
        for reply in [some, none, revoked, Reply::WrongMesh { mesh: MeshId([1; 32]) }] {
            assert_eq!(read_back(&reply), Ok(reply.clone()));
        }
        for after in [None, Some(END)] {
            let request = Request { mesh: MeshId([1; 32]), announcement: ByteBuf::new(), after };
            assert_eq!(read_back(&request), Ok(request.clone()));
        }
    }

    #[test]
    fn frames_are_bounded() {
        let request = |len: usize| {
            let announcement = ByteBuf::from(vec![0; len]);
            Request { mesh: MeshId([1; 32]), announcement, after: Some(END) }
        };
        assert_bound("announcement", 64 * 1024, request);
        let members = |count: usize| Reply::Members { announcements: vec![ByteBuf::new(); count], end: None };
        assert_bound("announcements", 10_000, members);
        let revoked = |count: usize| Reply::Revoked { revocations: vec![largest_revocation(); count] };
        assert_bound("revocations", 128, revoked);
        assert_bound("number", MAX_INVITES_PER_DAY as usize - 1, |number| {
            let mut revocation = largest_revocation();
            revocation.revocation.serial.number = number as u32;
            Reply::Revoked { revocations: vec![largest_revocation(), revocation] }
        });
    }

    #[test]
    fn a_frame_holds_the_largest_announcement() {
        let announcements = vec![ByteBuf::from(vec![0; MAX_ENVELOPE])];
        encode(&Reply::Members { announcements, end: Some(END) }, MAX_JOIN_FRAME).unwrap();
    }

    #[test]
    fn a_frame_holds_as_many_of_the_largest_revocations_as_it_may() {
        let revocations = vec![largest_revocation(); MAX_JOIN_REVOCATIONS];
        encode(&Reply::Revoked { revocations }, MAX_JOIN_FRAME).unwrap();
    }
}
