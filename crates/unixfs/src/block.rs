//! Blocks: bytes and the hash that names them.

use bytes::Bytes;
use cid::multihash::Multihash;
use cid::{Cid, Version};

use crate::hash::sha256;
use crate::{Error, wire};

/// The largest block, bytes: 2 MiB, the most that Bitswap and Kubo send (<https://specs.ipfs.tech/bitswap-protocol/>).
pub const MAX_BLOCK: usize = 2 * 1024 * 1024;

/// The longest identity hash, bytes, that is data in the CID itself: 64, what a [`Cid`] holds. Kubo allows 128, and
/// makes them only when it is told to.
pub const MAX_IDENTITY: usize = 64;

// Multicodecs: https://github.com/multiformats/multicodec/blob/master/table.csv
pub(crate) const RAW: u64 = 0x55;
pub(crate) const DAG_PB: u64 = 0x70;
const DAG_CBOR: u64 = 0x71;
const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;

/// Data with the CID that it truly has, at most [`MAX_BLOCK`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

impl Block {
    /// A block of plain bytes, with its CIDv1 by sha2-256.
    ///
    /// # Errors
    /// [`Error::BlockTooLarge`].
    pub fn raw(data: impl Into<Bytes>) -> Result<Self, Error> {
        Self::hashed(RAW, data.into())
    }

    /// A block that holds a dag-pb node, with its CIDv1 by sha2-256. The node is not looked at.
    ///
    /// # Errors
    /// [`Error::BlockTooLarge`].
    pub fn dag_pb(data: impl Into<Bytes>) -> Result<Self, Error> {
        Self::hashed(DAG_PB, data.into())
    }

    /// Takes data of somebody who says that it has this CID, and hashes it.
    ///
    /// # Errors
    /// [`Error::BlockTooLarge`], [`Error::UnsupportedHash`], [`Error::UnsupportedCodec`], [`Error::HashMismatch`].
    pub fn verified(cid: Cid, data: impl Into<Bytes>) -> Result<Self, Error> {
        let data = data.into();
        check(&cid)?;
        fits(data.len(), MAX_BLOCK)?;
        // A digest is compared as it is. `check` has seen to it that it is whole: no prefix of a hash passes for one.
        let matches = match cid.hash().code() {
            IDENTITY => cid.hash().digest() == data,
            _ => cid.hash().digest() == sha256(&data),
        };
        if matches { Ok(Self { cid, data }) } else { Err(Error::HashMismatch(cid)) }
    }

    /// A block by the prefix of its CID, as Bitswap sends it: version, codec, hash code and hash length, each a varint.
    ///
    /// # Errors
    /// [`Error::BlockTooLarge`], [`Error::UnsupportedHash`], [`Error::UnsupportedCodec`], [`Error::Prefix`].
    pub fn with_prefix(prefix: &[u8], data: impl Into<Bytes>) -> Result<Self, Error> {
        let mut rest = Bytes::copy_from_slice(prefix);
        let mut next = || wire::varint(&mut rest).map_err(|_| Error::Prefix);
        let (version, codec, code, len) = (next()?, next()?, next()?, next()?);
        let version = Version::try_from(version).map_err(|_| Error::Prefix)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if !rest.is_empty() {
            return Err(Error::Prefix);
        }
        // A hash that its sender cuts short, or that is data itself, names nothing that we would ask for.
        if (code, len) != (SHA2_256, 32) {
            return Err(Error::UnsupportedHash { code, len });
        }
        let block = Self::hashed(codec, data.into())?;
        let cid = Cid::new(version, codec, *block.cid.hash()).map_err(|_| Error::Prefix)?;
        check(&cid)?;
        Ok(Self { cid, ..block })
    }

    /// The prefix of its CID, as [`with_prefix`](Self::with_prefix) reads it.
    pub fn prefix(&self) -> Vec<u8> {
        let hash = self.cid.hash();
        let mut prefix = Vec::with_capacity(8);
        for value in [self.cid.version().into(), self.cid.codec(), hash.code(), hash.size().into()] {
            wire::put_varint(&mut prefix, value);
        }
        prefix
    }

    /// The block that an identity CID holds in itself, so that it need not be asked for. `None` for other CIDs.
    ///
    /// # Errors
    /// [`Error::UnsupportedHash`] if it is too long, [`Error::UnsupportedCodec`].
    pub fn inline(cid: &Cid) -> Result<Option<Self>, Error> {
        if cid.hash().code() != IDENTITY {
            return Ok(None);
        }
        check(cid)?;
        Ok(Some(Self { cid: *cid, data: Bytes::copy_from_slice(cid.hash().digest()) }))
    }

    /// Whether blocks with this CID are taken here at all, whatever is in them.
    ///
    /// # Errors
    /// [`Error::UnsupportedHash`], [`Error::UnsupportedCodec`].
    pub fn supports(cid: &Cid) -> Result<(), Error> {
        check(cid)
    }

    /// The same with its data in memory of its own, for who keeps it: data that came in a message keeps all of that.
    #[must_use]
    pub fn compact(self) -> Self {
        Self { data: Bytes::copy_from_slice(&self.data), ..self }
    }

    /// What names it.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// What it holds.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    fn hashed(codec: u64, data: Bytes) -> Result<Self, Error> {
        fits(data.len(), MAX_BLOCK)?;
        let hash = Multihash::wrap(SHA2_256, &sha256(&data)).expect("32 bytes fit into the 64 of a Cid");
        Ok(Self { cid: Cid::new_v1(codec, hash), data })
    }
}

/// Whether blocks with this CID are read here at all. CIDv0 is dag-pb by sha2-256; `Cid` sees to that.
pub(crate) fn check(cid: &Cid) -> Result<(), Error> {
    let (code, len) = (cid.hash().code(), cid.hash().digest().len());
    match (code, len) {
        (SHA2_256, 32) => {}
        (IDENTITY, ..=MAX_IDENTITY) if cid.version() == Version::V1 => {}
        _ => return Err(Error::UnsupportedHash { code, len }),
    }
    match cid.codec() {
        RAW | DAG_PB | DAG_CBOR => Ok(()),
        codec => Err(Error::UnsupportedCodec(codec)),
    }
}

fn fits(len: usize, max: usize) -> Result<(), Error> {
    if len > max { Err(Error::BlockTooLarge { len, max }) } else { Ok(()) }
}
