//! Protobuf's wire format, as much of it as two small messages need.
//!
//! Written by hand and not with prost: dag-pb wants the links, field 2, before the data, field 1, wants repeated and
//! unknown fields refused, and prost can be told neither. What is left of it is this file.

use bytes::Bytes;

/// Wire types (<https://protobuf.dev/programming-guides/encoding/>).
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LEN: u64 = 2;
const FIXED32: u64 = 5;

/// One field of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Bytes(Bytes),
    /// Of a wire type that neither message uses; skipped.
    Fixed,
}

/// Reads the next field, its number and value; `None` at the end. What it returns shares `bytes`.
///
/// # Errors
/// What is wrong.
pub(crate) fn field(bytes: &mut Bytes) -> Result<Option<(u64, Value)>, &'static str> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = varint(bytes)?;
    let value = match key & 7 {
        VARINT => Value::Varint(varint(bytes)?),
        LEN => {
            let len = usize::try_from(varint(bytes)?).unwrap_or(usize::MAX);
            Value::Bytes(take(bytes, len)?)
        }
        FIXED64 => take(bytes, 8).map(|_| Value::Fixed)?,
        FIXED32 => take(bytes, 4).map(|_| Value::Fixed)?,
        _ => return Err("a wire type that does not exist"),
    };
    match key >> 3 {
        0 => Err("a field number 0"),
        number => Ok(Some((number, value))),
    }
}

/// Reads a varint of at most 64 bits.
///
/// # Errors
/// What is wrong.
pub(crate) fn varint(bytes: &mut Bytes) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1).map_err(|_| "a varint that is cut off")?[0];
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err("a varint of more than 64 bits");
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a varint of more than 64 bits")
}

fn take(bytes: &mut Bytes, len: usize) -> Result<Bytes, &'static str> {
    if len > bytes.len() {
        return Err("a field longer than what is left");
    }
    Ok(bytes.split_to(len))
}

pub(crate) fn put_uint(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3 | VARINT);
    put_varint(out, value);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | LEN);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_back_at_every_length() {
        for value in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut bytes = Bytes::from(out);
            assert_eq!(varint(&mut bytes), Ok(value));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn bad_varints_are_refused() {
        let cut: [&[u8]; 3] = [&[], &[0x80], &[0xff; 9]];
        for bytes in cut {
            assert_eq!(varint(&mut Bytes::from_static(bytes)), Err("a varint that is cut off"));
        }
        let long: [&[u8]; 3] = [&[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2], &[0x80; 11]];
        for bytes in long {
            assert_eq!(varint(&mut Bytes::from_static(bytes)), Err("a varint of more than 64 bits"));
        }
    }
}
