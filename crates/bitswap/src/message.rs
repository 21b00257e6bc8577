//! What travels: Bitswap 1.2's message, within limits.
//!
//! | field            | number | holds                                                                        |
//! |------------------|--------|------------------------------------------------------------------------------|
//! | `wantlist`       | 1      | `entries` (1): `block` 1 (a CID), `priority` 2, `cancel` 3, `wantType` 4 (`Block` 0, `Have` 1), `sendDontHave` 5; `full` (2) |
//! | `payload`        | 3      | `prefix` 1 (version, codec, hash code and hash length as varints), `data` 2   |
//! | `blockPresences` | 4      | `cid` 1, `type` 2 (`Have` 0, `DontHave` 1)                                    |
//! | `pendingBytes`   | 5      | bytes that are waiting for the receiver                                      |
//!
//! Field 2, `blocks` of Bitswap 1.0, is passed over: we speak 1.2 alone. On a stream each message follows its length as a
//! varint ([specification](https://specs.ipfs.tech/bitswap-protocol/)).

mod wire;

use bytes::Bytes;
use cid::Cid;
use mesh_unixfs::Block;

use self::wire::{Fields, Value, bytes_len, put_bytes, put_number, put_varint, varint_len};

pub use self::wire::WireError;

/// Bytes of one message, its length prefix not counted: what Kubo and Helia accept.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Entries of one message's wantlist that are read. Further ones are passed over: Kubo and Helia send 1,024 at most.
pub const MAX_ENTRIES: usize = 4096;

/// Presences of one message that are read. Further ones are passed over.
pub const MAX_PRESENCES: usize = 4096;

/// Blocks of one message. More are an error: each is hashed.
pub const MAX_BLOCKS: usize = 4096;

/// What a wantlist's entry says about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send it.
    Block,
    /// Say whether you have it.
    Have,
    /// It is not wanted any more.
    Cancel,
}

/// An entry of a wantlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which block.
    pub cid: Cid,
    /// What about it.
    pub ask: Ask,
    /// Whether the answer may be [`Presence::DontHave`].
    pub say_dont_have: bool,
    /// The higher, the sooner.
    pub priority: i32,
}

/// What a peer says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The peer has it.
    Have,
    /// The peer does not have it.
    DontHave,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What the sender wants, or wants no more.
    pub wants: Vec<Entry>,
    /// Whether `wants` is all that the sender wants: what is not in it is cancelled.
    pub full: bool,
    /// Blocks. Each was hashed, so it is what its CID says.
    pub blocks: Vec<Block>,
    /// What the sender has and has not.
    pub presences: Vec<(Cid, Presence)>,
}

/// Why bytes are not a message that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes; at most {MAX_MESSAGE} are read")]
    TooLong(u64),
    /// Not protobuf.
    #[error("not a message of Bitswap: {0}")]
    Wire(#[from] WireError),
    /// A field has another type than Bitswap's.
    #[error("not a message of Bitswap: field {0} has another type")]
    Type(u64),
    /// An entry, presence or payload without a CID that can be read.
    #[error("no CID: {0}")]
    Cid(String),
    /// More than [`MAX_BLOCKS`].
    #[error("more than {MAX_BLOCKS} blocks in one message")]
    TooManyBlocks,
    /// A block that is too large, or of a hash that is not taken.
    #[error("a block that is not taken: {0}")]
    Block(#[from] mesh_unixfs::Error),
}

impl Message {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty() && !self.full && self.blocks.is_empty() && self.presences.is_empty()
    }

    /// Reads a message, without its length.
    ///
    /// # Errors
    ///
    /// When `bytes` are not a message, or hold a block that is not taken. Hashes every block in it: some milliseconds for
    /// one of [`MAX_MESSAGE`].
    pub fn decode(bytes: Bytes) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong(bytes.len() as u64));
        }
        let mut message = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(list)) => message.read_wants(list)?,
                (3, Value::Bytes(payload)) => {
                    if message.blocks.len() == MAX_BLOCKS {
                        return Err(MessageError::TooManyBlocks);
                    }
                    message.blocks.push(read_block(payload)?);
                }
                (4, Value::Bytes(_)) if message.presences.len() == MAX_PRESENCES => {}
                (4, Value::Bytes(presence)) => message.presences.push(read_presence(presence)?),
                (field @ (1 | 3 | 4), _) => return Err(MessageError::Type(field)),
                _ => {}
            }
        }
        Ok(message)
    }

    fn read_wants(&mut self, list: Bytes) -> Result<(), MessageError> {
        for field in Fields(list) {
            match field? {
                (1, Value::Bytes(_)) if self.wants.len() == MAX_ENTRIES => {}
                (1, Value::Bytes(entry)) => self.wants.push(read_entry(entry)?),
                (2, Value::Varint(full)) => self.full = full != 0,
                (field @ (1 | 2), _) => return Err(MessageError::Type(field)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The message as it travels, its length first.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut list = Vec::new();
        for entry in &self.wants {
            put_bytes(&mut list, 1, &entry_bytes(entry));
        }
        put_number(&mut list, 2, self.full.into());

        let size = self.blocks.iter().map(|block| block_len(block.data().len())).sum::<usize>();
        let mut body = Vec::with_capacity(size + list.len() + 64 * self.presences.len() + 8);
        if !list.is_empty() {
            put_bytes(&mut body, 1, &list);
        }
        for block in &self.blocks {
            put_block(&mut body, block);
        }
        for (cid, presence) in &self.presences {
            let mut inner = Vec::with_capacity(48);
            put_bytes(&mut inner, 1, &cid.to_bytes());
            put_number(&mut inner, 2, u64::from(*presence == Presence::DontHave));
            put_bytes(&mut body, 4, &inner);
        }
        let mut out = Vec::with_capacity(body.len() + varint_len(body.len() as u64));
        put_varint(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
        out.into()
    }
}

/// The most bytes that a block of `length` bytes takes in a message.
#[must_use]
pub const fn block_len(length: usize) -> usize {
    bytes_len(bytes_len(MAX_PREFIX) + bytes_len(length))
}

/// The most bytes that an entry or a presence takes in a message: a CID of 36 bytes, or one of a longer hash, and flags.
pub const ENTRY_LEN: usize = 112;

/// Bytes of a payload's prefix: four varints, of which two may be codes of nine bits and more.
const MAX_PREFIX: usize = 16;

fn read_cid(bytes: &Bytes) -> Result<Cid, MessageError> {
    let mut rest = &bytes[..];
    let cid = Cid::read_bytes(&mut rest).map_err(|error| MessageError::Cid(error.to_string()))?;
    if rest.is_empty() { Ok(cid) } else { Err(MessageError::Cid(format!("{} bytes after it", rest.len()))) }
}

fn read_entry(bytes: Bytes) -> Result<Entry, MessageError> {
    let (mut cid, mut priority, mut cancel, mut have, mut say_dont_have) = (Bytes::new(), 0, false, false, false);
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => cid = bytes,
            // An int32: negative ones are written in ten bytes, and cut to the lower 32 bits by every decoder.
            (2, Value::Varint(value)) => priority = value as i32,
            (3, Value::Varint(value)) => cancel = value != 0,
            (4, Value::Varint(value)) => have = value == 1,
            (5, Value::Varint(value)) => say_dont_have = value != 0,
            (field @ 1..=5, _) => return Err(MessageError::Type(field)),
            _ => {}
        }
    }
    let ask = match (cancel, have) {
        (true, _) => Ask::Cancel,
        (false, true) => Ask::Have,
        (false, false) => Ask::Block,
    };
    Ok(Entry { cid: read_cid(&cid)?, ask, say_dont_have, priority })
}

fn read_presence(bytes: Bytes) -> Result<(Cid, Presence), MessageError> {
    let (mut cid, mut presence) = (Bytes::new(), Presence::Have);
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => cid = bytes,
            (2, Value::Varint(value)) => presence = if value == 0 { Presence::Have } else { Presence::DontHave },
            (field @ (1 | 2), _) => return Err(MessageError::Type(field)),
            _ => {}
        }
    }
    Ok((read_cid(&cid)?, presence))
}

fn read_block(bytes: Bytes) -> Result<Block, MessageError> {
    let (mut prefix, mut data) = (Bytes::new(), Bytes::new());
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => prefix = bytes,
            (2, Value::Bytes(bytes)) => data = bytes,
            (field @ (1 | 2), _) => return Err(MessageError::Type(field)),
            _ => {}
        }
    }
    Ok(Block::with_prefix(&prefix, data)?)
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    put_bytes(&mut out, 1, &entry.cid.to_bytes());
    // Sign-extended, as protobuf writes an int32.
    put_number(&mut out, 2, i64::from(entry.priority) as u64);
    put_number(&mut out, 3, u64::from(entry.ask == Ask::Cancel));
    put_number(&mut out, 4, u64::from(entry.ask == Ask::Have));
    put_number(&mut out, 5, entry.say_dont_have.into());
    out
}

fn put_block(out: &mut Vec<u8>, block: &Block) {
    let prefix = block.prefix();
    put_varint(out, 3 << 3 | 2);
    put_varint(out, (bytes_len(prefix.len()) + bytes_len(block.data().len())) as u64);
    put_bytes(out, 1, &prefix);
    put_bytes(out, 2, block.data());
}

#[cfg(test)]
mod tests;
