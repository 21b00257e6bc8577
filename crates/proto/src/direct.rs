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
    /// Who takes it at the receiver.
    #[serde(rename = "for", default, skip_serializing_if = "Reader::is_application")]
    pub reader: Reader,
}

/// Who takes a direct message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// The application.
    #[default]
    Application,
    /// The node itself: the body is a [`crate::decision::Message`].
    Decision,
    /// The node itself: the body is a [`crate::knowledge::Message`].
    Knowledge,
}

impl Reader {
    fn is_application(&self) -> bool {
        *self == Self::Application
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::{assert_bound, read_back};
    use crate::codec::{self, encode};
    use crate::limits::MAX_DIRECT_FRAME;

    fn message(body: usize) -> Frame {
        let name = |text: &str| Some(text.parse().unwrap());
        Frame::Message(Message {
            number: 1,
            from: name("a"),
            to: name("b"),
            body: vec![0; body].into(),
            reader: Reader::Application,
        })
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let unnamed =
            Message { number: u64::MAX, from: None, to: None, body: Bytes::new(), reader: Reader::Application };
        let frames = [
            Frame::Hello { mesh: MeshId([1; 32]), session: 2 },
            message(3),
            Frame::Message(unnamed),
            Frame::Ack { session: 1, numbers: vec![] },
            Frame::Nack { session: 1, number: 2, reason: Refusal::UnknownAgent },
        ];
        for frame in frames {
            assert_eq!(read_back(&frame), Ok(frame.clone()));
        }
    }

    #[test]
    fn frames_are_bounded() {
        assert_bound("body", 60 * 1024, message);
        assert_bound("numbers", 1024, |count| Frame::Ack { session: 1, numbers: vec![u64::MAX; count] });
    }

    #[test]
    fn the_largest_frames_fit_a_stream() {
        let name = || Some("x".repeat(64).parse().unwrap());
        let message = Message {
            number: u64::MAX,
            from: name(),
            to: name(),
            body: vec![0; MAX_BODY].into(),
            reader: Reader::Knowledge,
        };
        encode(&Frame::Message(message), MAX_DIRECT_FRAME).unwrap();
        encode(&Frame::Ack { session: u64::MAX, numbers: vec![u64::MAX; MAX_ACKS] }, MAX_DIRECT_FRAME).unwrap();
    }

    #[test]
    fn a_frame_has_one_encoding() {
        let ack = b"\xa1\x63ack\xa2\x67numbers\x81\x05\x67session\x07";
        let read = |bytes: &[u8]| codec::decode::<Frame>(bytes, 100);
        assert_eq!(read(ack), Ok(Frame::Ack { session: 7, numbers: vec![5] }));
        let wrong: [(&str, &[u8]); 8] = [
            // Not even CBOR, though the library takes it: a name with a map behind it.
            ("no map around it", b"\x63ack\xa2\x67numbers\x81\x05\x67session\x07"),
            ("two in one", b"\xa2\x63ack\xa2\x67numbers\x81\x05\x67session\x07\x64nack\xf6"),
            ("an unknown frame", b"\xa1\x63Ack\xa2\x67numbers\x81\x05\x67session\x07"),
            ("an unknown field", b"\xa1\x63ack\xa3\x61x\x01\x67numbers\x81\x05\x67session\x07"),
            ("a field too few", b"\xa1\x63ack\xa1\x67numbers\x81\x05"),
            ("fields not in order", b"\xa1\x63ack\xa2\x67session\x07\x67numbers\x81\x05"),
            ("numbers of indefinite length", b"\xa1\x63ack\xa2\x67numbers\x9f\x05\xff\x67session\x07"),
            ("a message without from and to", b"\xa1\x67message\xa2\x64body\x40\x66number\x01"),
        ];
        for (what, bytes) in wrong {
            assert!(matches!(read(bytes), Err(DecodeError::Malformed(_))), "{what}");
        }
    }
}
