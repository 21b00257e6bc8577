//! What stands in a store: records by key, each with a checksum before it. One that was damaged is no reason to go on without
//! it, for it may be the one that says what we have voted.

use bytes::Bytes;
use mesh_proto::codec::{self, Bounded};
use mesh_proto::transfer;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: String,
    /// What it is now; nothing if it is gone.
    pub value: Option<Bytes>,
}

/// A record is not what was kept; its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record '{0}' in the store is damaged, so nobody knows what this node has voted. Give it a new store")]
pub struct Damaged(pub String);

/// Bytes of the checksum.
const SUM: usize = 32;

/// A record that is within its own bounds.
pub(crate) fn write<T: Serialize>(key: String, value: &T, max: usize) -> Change {
    let bytes = codec::encode(value, max);
    // Everything in it is within its own bounds.
    debug_assert!(bytes.is_ok(), "{key} does not fit: {bytes:?}");
    put(key, &bytes.unwrap_or_default())
}

/// A record of these bytes.
pub(crate) fn put(key: String, value: &[u8]) -> Change {
    let mut sealed = sum(&key, value).to_vec();
    sealed.extend_from_slice(value);
    Change { key, value: Some(sealed.into()) }
}

/// What a record holds.
pub(crate) fn read<T: DeserializeOwned + Bounded>(key: &str, sealed: &[u8], max: usize) -> Result<T, Damaged> {
    codec::decode(open(key, sealed)?, max).map_err(|_| Damaged(key.to_owned()))
}

/// The 32 bytes that a record holds.
pub(crate) fn bytes32(key: &str, sealed: &[u8]) -> Result<[u8; 32], Damaged> {
    open(key, sealed)?.try_into().map_err(|_| Damaged(key.to_owned()))
}

/// What a record holds.
pub(crate) fn open<'a>(key: &str, sealed: &'a [u8]) -> Result<&'a [u8], Damaged> {
    match sealed.split_at_checked(SUM) {
        Some((checksum, value)) if checksum == sum(key, value) => Ok(value),
        Some(_) | None => Err(Damaged(key.to_owned())),
    }
}

/// Over the key as well: a record in another's place is damage too.
fn sum(key: &str, value: &[u8]) -> [u8; SUM] {
    transfer::hash(&[key.as_bytes(), &[0], value].concat()).0
}
