//! What travels: each message is its length as a varint, then a protobuf message (proto3, presence explicit).
//!
//! | field | number | type | content |
//! |---|---|---|---|
//! | `type` | 1 | enum: `SDP_OFFER` = 0, `SDP_ANSWER` = 1, `ICE_CANDIDATE` = 2 | |
//! | `data` | 2 | string | the description, or the candidate as JSON |
//!
//! The zero of an offer is written: js-libp2p refuses a message without a type. A candidate that cannot be read is
//! passed over, as are types we do not know; anything else that is wrong is an offence.

use std::io;

use asynchronous_codec::{Decoder, Encoder};
use bytes::{Buf, BytesMut};
use prost::Message as _;

use super::candidate::{self, Passed};
use super::sdp::{MAX_SDP, Sdp, SdpError};
use crate::rtc::Candidate;

/// The longest message without its length, bytes: a description, and the tags, the type and the length around it. What
/// a later version adds has to fit in as well.
pub const MAX_MESSAGE: usize = MAX_SDP + 16;

/// The longest a varint may be to hold a length up to [`MAX_MESSAGE`], bytes.
const MAX_PREFIX: usize = 3;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The offerer's description, its first message.
    Offer(Sdp),
    /// The answerer's description, its first message.
    Answer(Sdp),
    /// A candidate.
    Candidate(Candidate),
}

/// What has come from the remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Message),
    /// A message without use.
    Passed(Passed),
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_MESSAGE`].
    #[error("the message is too long")]
    TooLong,
    /// No protobuf message of this shape.
    #[error("the message cannot be decoded")]
    Protobuf,
    /// Without a type.
    #[error("the message has no type")]
    NoType,
    /// A description that is not to be used.
    #[error(transparent)]
    Sdp(#[from] SdpError),
}

/// Why nothing more can be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The remote sent something else than messages.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Io(io::ErrorKind),
}

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Reads and writes messages on a stream, with `asynchronous_codec::Framed`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Codec;

impl Encoder for Codec {
    type Item<'a> = Message;
    type Error = CodecError;

    fn encode(&mut self, message: Message, into: &mut BytesMut) -> Result<(), CodecError> {
        let (kind, data) = match message {
            Message::Offer(sdp) => (Kind::SdpOffer, sdp.as_str().to_owned()),
            Message::Answer(sdp) => (Kind::SdpAnswer, sdp.as_str().to_owned()),
            Message::Candidate(candidate) => (Kind::IceCandidate, candidate::write(&candidate)),
        };
        let wire = Wire { kind: Some(kind.into()), data: Some(data) };
        wire.encode_length_delimited(into).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(())
    }
}

impl From<io::ErrorKind> for CodecError {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Io(kind)
    }
}

impl Decoder for Codec {
    type Item = Received;
    type Error = CodecError;

    fn decode(&mut self, from: &mut BytesMut) -> Result<Option<Received>, CodecError> {
        let Some((length, prefix)) = length(from)? else { return Ok(None) };
        if from.len() < prefix + length {
            return Ok(None);
        }
        from.advance(prefix);
        let body = from.split_to(length).freeze();
        let Wire { kind, data } = Wire::decode(body).map_err(|_| Malformed::Protobuf)?;
        let kind = kind.ok_or(Malformed::NoType)?;
        // Absent and empty are one: neither is a description, and both say that no candidates follow.
        let data = data.unwrap_or_default();
        Ok(Some(match Kind::try_from(kind) {
            Ok(Kind::SdpOffer) => Received::Message(Message::Offer(Sdp::parse(data).map_err(Malformed::Sdp)?)),
            Ok(Kind::SdpAnswer) => Received::Message(Message::Answer(Sdp::parse(data).map_err(Malformed::Sdp)?)),
            Ok(Kind::IceCandidate) => match candidate::read(&data) {
                Ok(candidate) => Received::Message(Message::Candidate(candidate)),
                Err(passed) => Received::Passed(passed),
            },
            Err(_) => Received::Passed(Passed::UnknownType),
        }))
    }
}

/// The length of the next message, and how many bytes say it. `None` when they have not all come.
fn length(from: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let prefix = &from[..from.len().min(MAX_PREFIX)];
    match unsigned_varint::decode::usize(prefix) {
        Ok((length, rest)) if length <= MAX_MESSAGE => Ok(Some((length, prefix.len() - rest.len()))),
        Ok(_) => Err(Malformed::TooLong),
        Err(unsigned_varint::decode::Error::Insufficient) if prefix.len() < MAX_PREFIX => Ok(None),
        Err(unsigned_varint::decode::Error::Insufficient) => Err(Malformed::TooLong),
        Err(_) => Err(Malformed::Protobuf),
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Wire {
    #[prost(enumeration = "Kind", optional, tag = "1")]
    kind: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    SdpOffer = 0,
    SdpAnswer = 1,
    IceCandidate = 2,
}

#[cfg(test)]
mod tests;
