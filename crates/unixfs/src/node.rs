//! What a block holds: a part of a file, a directory, or a part of one.

use bytes::Bytes;
use cid::Cid;

use crate::block::{DAG_PB, RAW};
use crate::directory::check_name;
use crate::wire::{Value, field, put_uint, varint};
use crate::{Block, Error, dag_pb};

/// Links in one node. 2 MiB hold 52,428 by sha2-256, without names; CIDs that are data themselves are shorter.
pub const MAX_LINKS: usize = 65_536;

/// Children of one shard, as in Kubo and Helia: 256 by default.
const MAX_FANOUT: u64 = 1024;

// `Data.DataType` of https://specs.ipfs.tech/unixfs/
const TYPE_RAW: u64 = 0;
const TYPE_DIRECTORY: u64 = 1;
const TYPE_FILE: u64 = 2;
const TYPE_METADATA: u64 = 3;
const TYPE_SYMLINK: u64 = 4;
const TYPE_SHARD: u64 = 5;

/// A decoded block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file or a part of one: these bytes, then these parts.
    File {
        /// Bytes in the block itself.
        data: Bytes,
        /// What follows them, in order.
        parts: Vec<Part>,
    },
    /// A directory in one block, in the block's order.
    Directory(Vec<Entry>),
    /// A part of a directory that is a HAMT.
    Shard(Vec<Shard>),
}

/// A part of a file in another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its block.
    pub cid: Cid,
    /// Bytes of the file in it and below, by the node above.
    pub size: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: not empty, without `/`, and neither `.` nor `..`.
    pub name: String,
    /// The root of the file or directory.
    pub cid: Cid,
    /// Bytes of all of its blocks, by whoever made the directory; nobody checks it.
    pub dag_size: Option<u64>,
}

/// A child of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shard {
    /// An entry of the directory.
    Entry(Entry),
    /// A further shard.
    Shard(Cid),
}

impl Node {
    /// Decodes a block by the codec of its CID.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::Name`], [`Error::DuplicateName`].
    pub fn decode(block: &Block) -> Result<Self, Error> {
        let cid = *block.cid();
        match cid.codec() {
            RAW => return Ok(Self::File { data: block.data().clone(), parts: Vec::new() }),
            DAG_PB => {}
            _ => return Err(Error::Unsupported { cid, what: "neither raw nor dag-pb" }),
        }
        let malformed = |what| Error::Malformed { cid, what };
        let (links, data) = dag_pb::decode(block.data().clone()).map_err(malformed)?;
        let data = Data::decode(data.ok_or(malformed("no data"))?).map_err(malformed)?;
        match data.kind {
            TYPE_RAW | TYPE_FILE => file(links, data).map_err(malformed),
            TYPE_DIRECTORY => entries(links).map(Self::Directory),
            TYPE_SHARD => {
                let digits = data.digits().map_err(malformed)?;
                shards(&cid, links, digits).map(Self::Shard)
            }
            TYPE_SYMLINK => Err(Error::Unsupported { cid, what: "a symlink" }),
            TYPE_METADATA => Err(Error::Unsupported { cid, what: "metadata" }),
            _ => Err(malformed("an unknown type")),
        }
    }

    /// Bytes of the file in this node and below, as it says; `None` unless it is a file. No sum overflows: `decode` has
    /// added them up.
    pub fn file_size(&self) -> Option<u64> {
        match self {
            Self::File { data, parts } => Some(data.len() as u64 + parts.iter().map(|part| part.size).sum::<u64>()),
            Self::Directory(_) | Self::Shard(_) => None,
        }
    }
}

/// The message `Data`. Fields that are not read here, and those that will come, are passed over.
struct Data {
    kind: u64,
    data: Bytes,
    file_size: Option<u64>,
    block_sizes: Vec<u64>,
    fanout: Option<u64>,
}

impl Data {
    fn decode(mut bytes: Bytes) -> Result<Self, &'static str> {
        let (mut kind, mut data, mut file_size, mut fanout) = (None, None, None, None);
        let mut block_sizes = Vec::new();
        while let Some((number, value)) = field(&mut bytes)? {
            match (number, value) {
                (1, Value::Varint(value)) => once(&mut kind, value)?,
                (2, Value::Bytes(value)) => once(&mut data, value)?,
                (3, Value::Varint(value)) => once(&mut file_size, value)?,
                (4, Value::Varint(value)) => push(&mut block_sizes, value)?,
                // Packed, as later versions of protobuf write them.
                (4, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        push(&mut block_sizes, varint(&mut packed)?)?;
                    }
                }
                (6, Value::Varint(value)) => once(&mut fanout, value)?,
                (1..=4 | 6, _) => return Err("a field of the data of a wrong wire type"),
                _ => {}
            }
        }
        let kind = kind.ok_or("data without a type")?;
        Ok(Self { kind, data: data.unwrap_or_default(), file_size, block_sizes, fanout })
    }

    /// Hexadecimal digits that a shard puts before its names: as many as its last child's number has.
    fn digits(&self) -> Result<usize, &'static str> {
        match self.fanout {
            Some(fanout @ 8..=MAX_FANOUT) if fanout.is_power_of_two() => Ok(fanout.ilog2().div_ceil(4) as usize),
            _ => Err("a shard whose fanout is not a power of two from 8 to 1024"),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    if slot.replace(value).is_some() { Err("a field of the data twice") } else { Ok(()) }
}

fn push(block_sizes: &mut Vec<u64>, value: u64) -> Result<(), &'static str> {
    if block_sizes.len() == MAX_LINKS {
        return Err("more than 65536 blocksizes");
    }
    block_sizes.push(value);
    Ok(())
}

fn file(links: Vec<dag_pb::Link>, data: Data) -> Result<Node, &'static str> {
    let Data { kind: _, data, file_size, block_sizes, fanout: _ } = data;
    if links.len() != block_sizes.len() {
        return Err("not one of blocksizes for each link");
    }
    let size = block_sizes.iter().try_fold(data.len() as u64, |sum, size| sum.checked_add(*size));
    let size = size.ok_or("blocksizes of more than 64 bits together")?;
    if file_size.is_some_and(|claimed| claimed != size) {
        return Err("a filesize that is not the sum of its parts");
    }
    let parts = links.iter().zip(block_sizes).map(|(link, size)| Part { cid: link.cid, size }).collect();
    Ok(Node::File { data, parts })
}

fn entries(links: Vec<dag_pb::Link>) -> Result<Vec<Entry>, Error> {
    let entries = links.iter().map(|link| entry(link, 0)).collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::DuplicateName(pair[0].clone())),
        None => Ok(entries),
    }
}

fn shards(cid: &Cid, links: Vec<dag_pb::Link>, digits: usize) -> Result<Vec<Shard>, Error> {
    let child = |link: &dag_pb::Link| {
        let prefix = link.name.get(..digits).filter(|prefix| prefix.iter().all(u8::is_ascii_hexdigit));
        match prefix {
            None => Err(Error::Malformed { cid: *cid, what: "a name in a shard without its hexadecimal prefix" }),
            Some(_) if link.name.len() == digits => Ok(Shard::Shard(link.cid)),
            Some(_) => entry(link, digits).map(Shard::Entry),
        }
    };
    links.iter().map(child).collect()
}

fn entry(link: &dag_pb::Link, skip: usize) -> Result<Entry, Error> {
    let name = std::str::from_utf8(&link.name[skip..]).map_err(|_| Error::Name("that is not UTF-8"))?;
    check_name(name)?;
    Ok(Entry { name: name.to_owned(), cid: link.cid, dag_size: link.dag_size })
}

/// The message `Data` of a node of a file.
pub(crate) fn encode_file_data(block_sizes: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 1, TYPE_FILE);
    put_uint(&mut out, 3, block_sizes.iter().sum());
    for size in block_sizes {
        put_uint(&mut out, 4, *size);
    }
    out
}

/// The message `Data` of a directory.
pub(crate) fn encode_directory_data() -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 1, TYPE_DIRECTORY);
    out
}
