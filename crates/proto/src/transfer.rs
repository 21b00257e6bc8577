//! Transfers: weights in chunks, each checked by its hash, resumed where they broke off.
//!
//! The sender opens a stream, offers a [`Manifest`] and is told which chunks the receiver has already. It sends the
//! others, never more than a window ahead of what the receiver has confirmed: bulk must not fill the buffers that small
//! messages travel through. Frames are CBOR behind an unsigned varint of their length.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{Bounded, DecodeError, bound};
use crate::envelope::payload;
use crate::id::{Checksum, ChunkHash, MeshId, TransferId};
use crate::limits::{MAX_CHUNK, MAX_CHUNKS, MAX_LABEL, MAX_METADATA, MAX_WEIGHTS_LABEL, MIN_CHUNK};

/// What is said on a transfer stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Frame {
    /// Sender, first: what is to come.
    Offer {
        /// The mesh that this transfer belongs to.
        mesh: MeshId,
        /// What is to come.
        manifest: Manifest,
    },
    /// Receiver: go on. Chunks below `have` are here already.
    Accept {
        /// Number of leading chunks that need not be sent.
        have: u32,
    },
    /// Receiver: no.
    Refuse {
        /// Why not.
        reason: Refusal,
    },
    /// Sender: one chunk.
    Chunk {
        /// Its place in the manifest.
        index: u32,
        /// Its bytes.
        #[serde(with = "payload")]
        data: Bytes,
    },
    /// Receiver: the chunks below `have` have arrived and are what the manifest says.
    Received {
        /// Number of leading chunks that are here.
        have: u32,
    },
}

/// Why a transfer is refused. None of them is worth a retry as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The receiver takes no transfers this large.
    TooLarge,
    /// The receiver has as many transfers under way as it takes.
    Busy,
    /// A chunk is not what the manifest says.
    Corrupt,
    /// The receiver is a member of another mesh.
    WrongMesh,
}

/// What a transfer consists of. The connection authenticates it, the hashes bind every byte of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Drawn at random; the same when the transfer is resumed.
    pub id: TransferId,
    /// What the bytes are.
    pub info: WeightsInfo,
    /// Bytes to transfer.
    pub size: u64,
    /// Bytes of every chunk but the last, a power of two from 64 KiB to 1 MiB.
    pub chunk: u32,
    /// BLAKE3 of every chunk, in order.
    pub hashes: Vec<ChunkHash>,
}

/// What transferred bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsInfo {
    /// The agent they come from, in the application's words.
    pub agent: String,
    /// A name for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their format, for example `safetensors`.
    pub format: String,
    /// How they are compressed.
    pub codec: Codec,
    /// Bytes before compression.
    pub raw_size: u64,
    /// SHA-256 before compression.
    pub checksum: Checksum,
    /// Opaque to the mesh, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ByteBuf>,
}

/// How weights are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
}

impl Manifest {
    /// Cuts `bytes` into chunks and describes them.
    pub fn describe(id: TransferId, info: WeightsInfo, bytes: &[u8]) -> Self {
        let chunk = chunk_size(bytes.len());
        Self {
            id,
            info,
            size: bytes.len() as u64,
            chunk: chunk as u32,
            hashes: bytes.chunks(chunk).map(hash).collect(),
        }
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        self.hashes.len() as u32
    }

    /// Where chunk `index` lies in the whole.
    pub fn range(&self, index: u32) -> std::ops::Range<u64> {
        let start = u64::from(index) * u64::from(self.chunk);
        start.min(self.size)..(start + u64::from(self.chunk)).min(self.size)
    }

    /// Whether `data` is chunk `index`, by length and hash.
    pub fn fits(&self, index: u32, data: &[u8]) -> bool {
        let range = self.range(index);
        self.hashes
            .get(index as usize)
            .is_some_and(|wanted| data.len() as u64 == range.end - range.start && hash(data) == *wanted)
    }
}

impl Bounded for Manifest {
    fn check(&self) -> Result<(), DecodeError> {
        let Self { id: _, info, size, chunk, hashes } = self;
        bound("agent", info.agent.len(), MAX_WEIGHTS_LABEL)?;
        bound("name", info.name.as_ref().map_or(0, String::len), MAX_WEIGHTS_LABEL)?;
        bound("format", info.format.len(), MAX_LABEL)?;
        bound("metadata", info.metadata.as_ref().map_or(0, |m| m.len()), MAX_METADATA)?;
        bound("hashes", hashes.len(), MAX_CHUNKS)?;

        let chunk = *chunk as usize;
        if !chunk.is_power_of_two() || !(MIN_CHUNK..=MAX_CHUNK).contains(&chunk) {
            return Err(DecodeError::OutOfBounds { what: "chunk", max: MAX_CHUNK });
        }
        if size.div_ceil(chunk as u64) != hashes.len() as u64 {
            return Err(DecodeError::Malformed("size and number of hashes do not agree".into()));
        }
        Ok(())
    }
}

impl Bounded for Frame {
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Offer { manifest, .. } => manifest.check(),
            Self::Chunk { data, .. } => bound("data", data.len(), MAX_CHUNK),
            Self::Accept { .. } | Self::Refuse { .. } | Self::Received { .. } => Ok(()),
        }
    }
}

/// The smallest chunk that keeps a manifest of `len` bytes within 1,024 hashes; larger wholes have more hashes.
fn chunk_size(len: usize) -> usize {
    len.div_ceil(1024).next_power_of_two().clamp(MIN_CHUNK, MAX_CHUNK)
}

/// BLAKE3 of `data`.
pub fn hash(data: &[u8]) -> ChunkHash {
    ChunkHash(*blake3::hash(data).as_bytes())
}
