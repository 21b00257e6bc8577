//! CBOR as JSON, so that people and other languages can read what bytes stand for.
//!
//! What JSON lacks is an object with one key that begins with a slash: `{"/bytes": "00ff"}`; `{"/int": "18446744073709551615"}`
//! for integers that a float of 64 bits cannot hold; `{"/cid": "0155..."}` for CIDs, which have a tag of their own.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value that `bytes` encode.
pub(crate) fn plain(bytes: &[u8]) -> Value {
    serde_ipld_dagcbor::from_slice::<Plain>(bytes).unwrap().0
}

struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        const EXACT: u64 = 1 << 53;
        Ok(if value < EXACT { value.into() } else { json!({ "/int": value.to_string() }) })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        assert!(value.fract() != 0.0, "JavaScript has integers only, where it can");
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(json!({ "/bytes": hex(value) }))
    }

    /// A CID comes so, and gives its bytes without the zero before them.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let bytes: serde_bytes::ByteBuf = deserializer.deserialize_bytes(BytesVisitor)?;
        Ok(json!({ "/cid": hex(&bytes) }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Plain(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Plain(value))) = entries.next_entry::<String, Plain>()? {
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = serde_bytes::ByteBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Self::Value, E> {
        Ok(serde_bytes::ByteBuf::from(value))
    }
}
