//! The one encoding: canonical CBOR (DAG-CBOR), with a limit on every decode.
//!
//! One value has one encoding (<https://ipld.io/specs/codecs/dag-cbor/spec/>), and a decoder takes no other: not with
//! unsorted, repeated or unknown keys, integers longer than needed, indefinite lengths, trailing bytes, or a field
//! spelled out that the encoder leaves out. So two implementations cannot read one message in two ways.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than its kind may be; nothing was read.
    #[error("{len} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not canonical CBOR of the expected shape.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Well-formed, but a part of it is past its own bound.
    #[error("{what} past its bound of {max}")]
    OutOfBounds {
        /// The part.
        what: &'static str,
        /// Its bound, in items or bytes.
        max: usize,
    },
}

/// Why a value has no encoding: it is past a bound, or holds a number that is not finite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than its kind may be.
    #[error("{len} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes it takes.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not expressible, for example a NaN.
    #[error("not encodable: {0}")]
    Unencodable(String),
}

/// Encodes `value`, which may take at most `max` bytes.
///
/// # Errors
/// [`EncodeError`] when it takes more, or cannot be encoded.
pub fn encode<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>, EncodeError> {
    let bytes = serde_ipld_dagcbor::to_vec(value).map_err(|error| EncodeError::Unencodable(error.to_string()))?;
    if bytes.len() > max {
        return Err(EncodeError::TooLong { len: bytes.len(), max });
    }
    Ok(bytes)
}

/// Decodes a `T` of at most `max` bytes and checks its parts.
///
/// # Errors
/// [`DecodeError`], always a fault of whoever made the bytes.
pub fn decode<T: DeserializeOwned + Bounded>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    let value: T =
        serde_ipld_dagcbor::from_slice(bytes).map_err(|error| DecodeError::Malformed(brief(&error.to_string())))?;
    value.check()?;
    // The library knows the rules of CBOR, but not those of our types; and it takes some enums that are not even CBOR.
    if !encode(&value, max).is_ok_and(|again| again == bytes) {
        return Err(DecodeError::Malformed("not the one encoding of its value".into()));
    }
    Ok(value)
}

/// A message whose parts have bounds of their own.
pub trait Bounded: Serialize {
    /// Checks every part.
    ///
    /// # Errors
    /// [`DecodeError::OutOfBounds`] for the first part past its bound.
    fn check(&self) -> Result<(), DecodeError>;
}

/// `Ok` while `len` is at most `max`.
pub(crate) fn bound(what: &'static str, len: usize, max: usize) -> Result<(), DecodeError> {
    if len > max {
        return Err(DecodeError::OutOfBounds { what, max });
    }
    Ok(())
}

/// A decoder's words may quote the remote's bytes; they are cut so that it does not decide how much we log.
fn brief(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
