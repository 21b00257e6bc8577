//! The little of protobuf that Bitswap's messages need.
//!
//! Not derived: what a peer sends is counted while it is read. A message of four mebibytes can hold two million empty
//! entries, which a decoder that fills vectors first turns into a hundred times its bytes.

use bytes::{Buf as _, Bytes};

/// Why bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A varint of more than ten bytes, or past 64 bits.
    #[error("a varint past 64 bits")]
    Varint,
    /// The message ends within a field.
    #[error("the message ends within a field")]
    Cut,
    /// A wire type that is none, or field number 0.
    #[error("no field of protobuf")]
    Field,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2.
    Bytes(Bytes),
    /// Wire types 1 and 5, which no field of ours has.
    Fixed,
}

/// Reads the fields of one message in their order, known or not.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Bytes);

impl Fields {
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            if self.0.is_empty() {
                return Err(WireError::Cut);
            }
            let byte = self.0.get_u8();
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(WireError::Varint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Varint)
    }

    fn take(&mut self, length: u64) -> Result<Bytes, WireError> {
        match usize::try_from(length) {
            Ok(length) if length <= self.0.len() => Ok(self.0.split_to(length)),
            _ => Err(WireError::Cut),
        }
    }
}

impl Iterator for Fields {
    type Item = Result<(u64, Value), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.varint().and_then(|key| {
            let value = match key & 7 {
                0 => Value::Varint(self.varint()?),
                1 => self.take(8).map(|_| Value::Fixed)?,
                2 => {
                    let length = self.varint()?;
                    Value::Bytes(self.take(length)?)
                }
                5 => self.take(4).map(|_| Value::Fixed)?,
                _ => return Err(WireError::Field),
            };
            if key >> 3 == 0 { Err(WireError::Field) } else { Ok((key >> 3, value)) }
        });
        if field.is_err() {
            // Nothing after it can be told apart.
            self.0.clear();
        }
        Some(field)
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field of wire type 0; left out when it is 0, as proto3 does.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        put_varint(out, field << 3);
        put_varint(out, value);
    }
}

/// Writes a field of wire type 2.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Bytes of a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Bytes of a field of wire type 2 whose number is at most 15.
pub(crate) const fn bytes_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Vec<Result<(u64, Value), WireError>> {
        Fields(Bytes::copy_from_slice(bytes)).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for value in [1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, 5, value);
            assert_eq!(out.len(), 1 + varint_len(value));
            assert_eq!(fields(&out), [Ok((5, Value::Varint(value)))]);
        }
        let mut out = Vec::new();
        put_bytes(&mut out, 3, &[7; 300]);
        assert_eq!(out.len(), bytes_len(300));
        assert_eq!(fields(&out), [Ok((3, Value::Bytes(Bytes::from(vec![7; 300]))))]);
    }

    #[test]
    fn a_number_that_is_zero_is_left_out() {
        let mut out = Vec::new();
        put_number(&mut out, 5, 0);
        assert!(out.is_empty());
    }

    #[test]
    fn what_is_no_protobuf_ends_the_reading() {
        let cases: [(&[u8], WireError); 8] = [
            (&[0x08], WireError::Cut),
            (&[0x08, 0x80], WireError::Cut),
            (&[0x0a, 0x05, 1, 2], WireError::Cut),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], WireError::Cut),
            (&[0x09, 1, 2, 3], WireError::Cut),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], WireError::Varint),
            (&[0x00, 0x00], WireError::Field),
            (&[0x0b], WireError::Field),
        ];
        for (bytes, error) in cases {
            assert_eq!(fields(bytes), [Err(error)], "{bytes:?}");
        }
    }

    #[test]
    fn unknown_fields_are_read_past() {
        assert_eq!(
            fields(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x0d, 0, 0, 0, 0, 0x18, 1]),
            [Ok((1, Value::Fixed)), Ok((1, Value::Fixed)), Ok((3, Value::Varint(1)))]
        );
    }
}
