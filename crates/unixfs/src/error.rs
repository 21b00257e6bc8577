use cid::Cid;

/// What went wrong, and whose fault it is: all but [`Error::Layout`], [`Error::NeedsSharding`], [`Error::Unwanted`] and
/// the caller's own limits are faults of whoever made the blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A block is larger than [`MAX_BLOCK`](crate::MAX_BLOCK), or an identity hash than
    /// [`MAX_IDENTITY`](crate::MAX_IDENTITY). It was not hashed.
    #[error("a block of {len} bytes, at most {max} are allowed")]
    BlockTooLarge {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The hash function is not one that is trusted here. Ask for the same content under sha2-256.
    #[error("hash 0x{code:x} of {len} bytes is not supported; sha2-256 of 32 bytes and identity are")]
    UnsupportedHash {
        /// Its multicodec.
        code: u64,
        /// Length of the digest, bytes.
        len: usize,
    },
    /// The codec is none of raw, dag-pb and dag-cbor.
    #[error("codec 0x{0:x} is not supported; raw (0x55), dag-pb (0x70) and dag-cbor (0x71) are")]
    UnsupportedCodec(u64),
    /// Not the four numbers of a CID's prefix.
    #[error("not the prefix of a CID")]
    Prefix,
    /// The data does not have the hash in its CID: whoever sent it lied. Ask somebody else.
    #[error("the data does not hash to {0}")]
    HashMismatch(Cid),
    /// A dag-pb block that cannot be read.
    #[error("{cid} is malformed: {what}")]
    Malformed {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A kind of node that is not read here: a symlink, metadata, dag-cbor.
    #[error("{cid} is {what}, which is not supported")]
    Unsupported {
        /// The block.
        cid: Cid,
        /// Its kind.
        what: &'static str,
    },
    /// A file was asked for and this is something else; list it instead.
    #[error("{0} is a directory, not a file")]
    NotAFile(Cid),
    /// A directory, or a part of one, was asked for and this is something else.
    #[error("{0} is not a directory")]
    NotADirectory(Cid),
    /// A block that was not asked for, or is not wanted any more. Nothing has changed.
    #[error("{0} is not wanted")]
    Unwanted(Cid),
    /// A node says that a part of it has another size than that part has.
    #[error("{cid} has {found} bytes of the file, the node above says {claimed}")]
    SizeMismatch {
        /// The part.
        cid: Cid,
        /// Bytes by the node above.
        claimed: u64,
        /// Bytes by the part.
        found: u64,
    },
    /// More was asked for, or claimed, than the caller's limit. Ask for a range, or for less.
    #[error("{size} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of the file in the range that was asked for.
        size: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// More entries than the caller's limit.
    #[error("a directory of more than {limit} entries, which is the limit")]
    TooManyEntries {
        /// The caller's limit.
        limit: usize,
    },
    /// More levels than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("{0} is deeper than 32 levels")]
    TooDeep(Cid),
    /// More links held at once than [`MAX_PENDING`](crate::MAX_PENDING).
    #[error("{cid} takes the links that are held to {held}, at most {max} are allowed")]
    TooWide {
        /// The node with the links.
        cid: Cid,
        /// Links that would be held.
        held: usize,
        /// Links allowed.
        max: usize,
    },
    /// The nodes are large and the file in them small, past [`MAX_OVERHEAD`](crate::MAX_OVERHEAD).
    #[error("nodes of {nodes} bytes for a file of {size}")]
    TooMuchOverhead {
        /// Bytes of blocks that are not the file's.
        nodes: u64,
        /// Bytes of the file that were asked for.
        size: u64,
    },
    /// One node is in a directory twice: it would be endless, or a bomb.
    #[error("{0} is in the directory twice")]
    Repeated(Cid),
    /// A name that no entry of a directory may have.
    #[error("a name {0}")]
    Name(&'static str),
    /// Two entries of one name.
    #[error("two entries have the name {0:?}")]
    DuplicateName(String),
    /// Helia would make a HAMT of a directory of this size, and this crate makes none: spread it over several.
    #[error("a directory of {size} bytes of names and CIDs, past {max} it needs sharding; use subdirectories")]
    NeedsSharding {
        /// Bytes of all names and CIDs.
        size: usize,
        /// Bytes allowed, [`MAX_DIRECTORY`](crate::MAX_DIRECTORY).
        max: usize,
    },
    /// A layout that makes no sense.
    #[error("chunks of {chunk} bytes, {width} in a node: allowed are 1 to 2097152, and 2 to 8192")]
    Layout {
        /// Bytes in a chunk.
        chunk: usize,
        /// Links in a node.
        width: usize,
    },
}
