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
    if !value.is_bulk() && !encode(&value, max).is_ok_and(|again| again == bytes) {
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

    /// Whether it is too large to be encoded again only to see that it came in its one encoding: 1 ms for 1 MiB, ten
    /// times what its hash costs. For what is neither signed nor hashed as a whole.
    fn is_bulk(&self) -> bool {
        false
    }
}

/// `Ok` while `len` is at most `max`.
pub fn bound(what: &'static str, len: usize, max: usize) -> Result<(), DecodeError> {
    if len > max {
        return Err(DecodeError::OutOfBounds { what, max });
    }
    Ok(())
}

/// `Ok` for a name that people read: it has at least one character and no control characters, which could forge a log line.
pub(crate) fn printable(what: &'static str, name: &str) -> Result<(), DecodeError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(DecodeError::Malformed(format!("{what}: empty, or with control characters")));
    }
    Ok(())
}

/// A decoder's words may quote the remote's bytes; they are cut so that it does not decide how much we log.
fn brief(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;

    /// What a receiver reads of `value`.
    pub(crate) fn read_back<T: DeserializeOwned + Bounded>(value: &T) -> Result<T, DecodeError> {
        decode(&encode(value, usize::MAX).unwrap(), usize::MAX)
    }

    /// `make(max)` is read, `make(max + 1)` is not, for the sake of `what`.
    pub(crate) fn assert_bound<T: DeserializeOwned + Bounded + PartialEq + Debug>(
        what: &'static str,
        max: usize,
        make: impl Fn(usize) -> T,
    ) {
        assert_eq!(read_back(&make(max)), Ok(make(max)), "{what} at the limit");
        assert_eq!(read_back(&make(max + 1)), Err(DecodeError::OutOfBounds { what, max }), "{what} one past");
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        number: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    }

    impl Bounded for Sample {
        fn check(&self) -> Result<(), DecodeError> {
            bound("text", self.text.as_ref().map_or(0, String::len), 3)
        }
    }

    fn sample(text: &str) -> Sample {
        Sample { number: 1.5, text: Some(text.into()) }
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past() {
        let bytes = encode(&sample("abc"), 26).unwrap();
        assert_eq!(bytes.len(), 26);
        assert_eq!(encode(&sample("abc"), 25), Err(EncodeError::TooLong { len: 26, max: 25 }));
        assert_eq!(decode(&bytes, 26), Ok(sample("abc")));
        assert_eq!(decode::<Sample>(&bytes, 25), Err(DecodeError::TooLong { len: 26, max: 25 }));
        assert_bound("text", 3, |len| sample(&"x".repeat(len)));
    }

    #[test]
    fn floats_are_finite_and_of_64_bits() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Sample { number, text: None };
            assert!(matches!(encode(&value, 100), Err(EncodeError::Unencodable(_))), "{number}");
        }
        let with = |number: &[u8]| [b"\xa1\x66number", number].concat();
        let read = |number: &[u8]| decode::<Sample>(&with(number), 100);
        assert_eq!(read(&[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), Ok(Sample { number: 1.5, text: None }));
        let wrong: [(&str, &[u8]); 7] = [
            ("16 bits", &[0xf9, 0x3e, 0]),
            ("32 bits", &[0xfa, 0x3f, 0xc0, 0, 0]),
            ("an integer", &[2]),
            ("NaN", &[0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
            ("infinity", &[0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
            ("minus 0", &[0xfb, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            ("text", &[0x61, b'1']),
        ];
        for (what, number) in wrong {
            assert!(matches!(read(number), Err(DecodeError::Malformed(_))), "{what}");
        }
    }

    #[test]
    fn what_is_left_out_is_not_spelled_out() {
        let bytes = encode(&Sample { number: 0.0, text: None }, 100).unwrap();
        let spelled_out = [&[0xa2, 0x64], &b"text"[..], &[0xf6], &bytes[1..]].concat();
        let refused = DecodeError::Malformed("not the one encoding of its value".into());
        assert_eq!(decode::<Sample>(&spelled_out, 100), Err(refused));
    }

    #[test]
    fn a_remote_does_not_decide_how_much_we_log() {
        let bytes = [&[0xa1, 0x79, 0x03, 0xe8], "\n\u{1b}[2J≈".repeat(250).as_bytes()].concat();
        let Err(DecodeError::Malformed(why)) = decode::<Sample>(&bytes, 10_000) else {
            panic!("it was read");
        };
        assert!(why.chars().count() <= 120, "{why}");
        assert!(!why.chars().any(char::is_control), "{why}");
    }
}
