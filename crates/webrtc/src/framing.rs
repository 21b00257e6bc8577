//! How a stream's bytes and flags travel over a data channel: each frame is an unsigned varint of its length, then
//! protobuf.
//!
//! | field     | number | type                                                          |
//! |-----------|--------|---------------------------------------------------------------|
//! | `flag`    | 1      | `FIN` = 0, `STOP_SENDING` = 1, `RESET_STREAM` = 2, `FIN_ACK` = 3 |
//! | `message` | 2      | bytes                                                         |
//!
//! We write a frame as one message of the channel. A peer need not: js-libp2p sends the length and the protobuf as two,
//! so what the messages of a channel hold is one stream of bytes, cut anywhere
//! ([specification](https://github.com/libp2p/specs/blob/master/webrtc/README.md#multiplexing)).

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// Bytes of a frame that we send, its length prefix included: what every peer must accept (specification).
pub const MAX_FRAME: usize = 16 * 1024;

/// Bytes of payload in one frame that we send: [`MAX_FRAME`] less prefix (2), flag (2), and the payload's key (1) and
/// length (2).
pub const MAX_PAYLOAD: usize = MAX_FRAME - 7;

/// Bytes of protobuf in one frame that we accept. Wider than we send, for js-libp2p has no limit of its own and
/// go-libp2p's is about this; it is the largest message that a browser's data channel takes.
pub const MAX_ACCEPTED: usize = 256 * 1024;

/// Bytes of a length prefix that says at most [`MAX_ACCEPTED`].
const MAX_PREFIX: usize = 3;

/// What a frame says beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Flag {
    /// The sender will send no more bytes.
    Fin = 0,
    /// The sender will read no more bytes.
    StopSending = 1,
    /// The sender has given the stream up, both ways.
    Reset = 2,
    /// The sender has got a [`Flag::Fin`].
    FinAck = 3,
}

/// What arrived in one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The flag, if there is one that we know. It holds after the payload.
    pub flag: Option<Flag>,
    /// Bytes of the stream.
    pub payload: Bytes,
}

/// Why bytes are not frames. The stream cannot be read any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The length is past [`MAX_ACCEPTED`].
    #[error("a frame longer than {MAX_ACCEPTED} bytes")]
    TooLong,
    /// The length is not written in the shortest way.
    #[error("a length that is not a minimal varint")]
    NotMinimal,
    /// What follows is not protobuf of this shape.
    #[error("not a frame: {0}")]
    Protobuf(#[from] prost::DecodeError),
}

/// A frame of as many of `bytes` as fit, and how many those are: all of them up to [`MAX_PAYLOAD`].
#[must_use]
pub fn encode_data(bytes: &[u8]) -> (Vec<u8>, usize) {
    let payload = &bytes[..bytes.len().min(MAX_PAYLOAD)];
    let key_and_length = 1 + prost::length_delimiter_len(payload.len());
    let length = key_and_length + payload.len();
    // Prefix and protobuf in one buffer, which goes out as one message: Firefox may reorder small ones (bugzilla 1983831).
    let mut frame = Vec::with_capacity(prost::length_delimiter_len(length) + length);
    encode_varint(length as u64, &mut frame);
    encode_key(2, WireType::LengthDelimited, &mut frame);
    encode_varint(payload.len() as u64, &mut frame);
    frame.extend_from_slice(payload);
    (frame, payload.len())
}

/// A frame of a flag alone.
#[must_use]
pub fn encode_flag(flag: Flag) -> Vec<u8> {
    let mut frame = Vec::with_capacity(3);
    encode_varint(2, &mut frame);
    encode_key(1, WireType::Varint, &mut frame);
    encode_varint(flag as u64, &mut frame);
    frame
}

/// Finds the frames in a channel's messages. Give it a message, then take frames until there is none.
///
/// Between messages it holds less than one frame, so [`MAX_ACCEPTED`] bytes at most.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What is left of the message.
    message: Bytes,
    /// Bytes that it had.
    whole: usize,
    next: Next,
}

/// The part that is being read.
#[derive(Debug)]
enum Next {
    /// The length, of which these bytes are here.
    Prefix([u8; MAX_PREFIX], usize),
    /// So many bytes of protobuf, of which these are here.
    Body(usize, BytesMut),
}

impl Default for Next {
    fn default() -> Self {
        Self::Prefix([0; MAX_PREFIX], 0)
    }
}

impl Decoder {
    /// One more message. The frames of those before must have been taken.
    pub fn push(&mut self, message: Bytes) {
        debug_assert!(self.message.is_empty(), "frames of the last message were not taken");
        self.whole = message.len();
        self.message = message;
    }

    /// The next frame, or `None` when it is not all here. After an error there are no more.
    ///
    /// # Errors
    /// [`FramingError`] when the bytes are no frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FramingError> {
        let result = self.advance();
        if result.is_err() {
            *self = Self::default();
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Frame>, FramingError> {
        loop {
            match &mut self.next {
                Next::Prefix(bytes, known) => {
                    if self.message.is_empty() {
                        return Ok(None);
                    }
                    bytes[*known] = self.message.get_u8();
                    *known += 1;
                    if let Some(length) = parse_length(&bytes[..*known])? {
                        self.next = Next::Body(length, BytesMut::new());
                    }
                }
                Next::Body(length, part) if part.is_empty() && self.message.len() >= *length => {
                    // All in one message, as is usual: the payload stays where it is.
                    let body = self.message.split_to(*length);
                    self.next = Next::default();
                    return parse_body(body, self.whole).map(Some);
                }
                Next::Body(length, part) => {
                    let missing = *length - part.len();
                    part.extend_from_slice(&self.message.split_to(missing.min(self.message.len())));
                    if part.len() < *length {
                        return Ok(None);
                    }
                    let body = std::mem::take(part).freeze();
                    self.next = Next::default();
                    let whole = body.len();
                    return parse_body(body, whole).map(Some);
                }
            }
        }
    }
}

/// The length that a prefix says, or `None` when it goes on.
fn parse_length(prefix: &[u8]) -> Result<Option<usize>, FramingError> {
    match unsigned_varint::decode::u32(prefix) {
        Ok((length, _)) if length as usize > MAX_ACCEPTED => Err(FramingError::TooLong),
        Ok((length, _)) => Ok(Some(length as usize)),
        Err(unsigned_varint::decode::Error::NotMinimal) => Err(FramingError::NotMinimal),
        // What remains is that it goes on; past this many bytes it can only be too long, or padded.
        Err(_) if prefix.len() == MAX_PREFIX => Err(FramingError::TooLong),
        Err(_) => Ok(None),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(enumeration = "Flag", optional, tag = "1")]
    flag: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    message: Option<Bytes>,
}

/// The frame whose protobuf is `body`, a part of a buffer of `whole` bytes.
fn parse_body(body: Bytes, whole: usize) -> Result<Frame, FramingError> {
    let Body { flag, message } = Body::decode(body)?;
    let mut payload = message.unwrap_or_default();
    // A payload keeps the buffer that it is a part of. A small one must not keep a big one: who reads slowly would hold
    // much more than is counted.
    if payload.len() < whole / 2 {
        payload = Bytes::copy_from_slice(&payload);
    }
    // A flag of a later specification says nothing to us.
    let flag = flag.and_then(|flag| Flag::try_from(flag).ok());
    Ok(Frame { flag, payload })
}

#[cfg(test)]
mod tests;
