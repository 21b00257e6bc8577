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

    fn is_bulk(&self) -> bool {
        matches!(self, Self::Chunk { .. })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use crate::codec::tests::{assert_bound, read_back};
    use crate::limits::MAX_TRANSFER_FRAME;

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;

    fn info() -> WeightsInfo {
        WeightsInfo {
            agent: "trainer".into(),
            name: None,
            format: "safetensors".into(),
            codec: Codec::None,
            raw_size: 1,
            checksum: Checksum([3; 32]),
            metadata: None,
        }
    }

    /// A manifest of `chunks` chunks that are full but for `less` bytes of the last.
    fn manifest(chunk: usize, chunks: usize, less: u64) -> Manifest {
        let size = (chunk * chunks) as u64 - less;
        let hashes = vec![ChunkHash([4; 32]); chunks];
        Manifest { id: TransferId([5; 16]), info: info(), size, chunk: chunk as u32, hashes }
    }

    fn with(info: WeightsInfo) -> Manifest {
        Manifest { info, ..manifest(MIN_CHUNK, 1, 0) }
    }

    #[test]
    fn a_manifest_describes_and_recognizes_every_chunk() {
        for len in [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 200_000, 2 * MIB] {
            let bytes: Vec<u8> = (0..len).map(|n| (n / 251) as u8).collect();
            let manifest = Manifest::describe(TransferId([1; 16]), info(), &bytes);
            assert_eq!(read_back(&manifest), Ok(manifest.clone()), "{len} bytes");
            assert_eq!(manifest.chunk as usize, MIN_CHUNK);
            assert_eq!(manifest.chunks() as usize, len.div_ceil(MIN_CHUNK));
            let mut whole = Vec::new();
            for index in 0..manifest.chunks() {
                let range = manifest.range(index);
                let chunk = &bytes[range.start as usize..range.end as usize];
                assert!(manifest.fits(index, chunk));
                assert!(!manifest.fits(index + 1, chunk));
                whole.extend_from_slice(chunk);
            }
            assert_eq!(whole, bytes);
            assert_eq!(manifest.range(manifest.chunks()), len as u64..len as u64, "past the end is nothing");
            assert!(!manifest.fits(manifest.chunks(), &[]));
        }
    }

    #[test]
    fn a_chunk_fits_by_hash_and_length() {
        let bytes = [vec![1; 64 * KIB], vec![2; 10]].concat();
        let manifest = Manifest::describe(TransferId([1; 16]), info(), &bytes);
        let (first, last) = bytes.split_at(64 * KIB);
        assert!(manifest.fits(0, first) && manifest.fits(1, last));
        let mut flipped = first.to_vec();
        flipped[777] ^= 1;
        let wrong: [(u32, &[u8]); 6] =
            [(0, &flipped), (0, &first[1..]), (0, last), (1, first), (1, &last[..9]), (u32::MAX, last)];
        for (index, data) in wrong {
            assert!(!manifest.fits(index, data), "{} bytes as chunk {index}", data.len());
        }
        // A hash that fits does not excuse a length that does not.
        let stretched = Manifest { size: 64 * KIB as u64 + 11, ..manifest };
        assert!(!stretched.fits(1, last));
    }

    #[test]
    fn chunks_grow_with_the_whole() {
        let cases = [
            (0, 64 * KIB),
            (64 * MIB, 64 * KIB),
            (64 * MIB + 1, 128 * KIB),
            (512 * MIB, 512 * KIB),
            (512 * MIB + 1, MIB),
            (2048 * MIB, MIB),
        ];
        for (len, chunk) in cases {
            assert_eq!(chunk_size(len), chunk, "{len} bytes");
            assert!(len.div_ceil(chunk) <= MAX_CHUNKS);
        }
        assert_eq!(MAX_CHUNKS as u64 * MAX_CHUNK as u64, 8 << 30, "8 GiB, more than 32 bits can count");
    }

    #[test]
    fn a_manifest_is_bounded() {
        let bytes = |len: usize| Some(ByteBuf::from(vec![0; len]));
        assert_bound("agent", 256, |len| with(WeightsInfo { agent: "x".repeat(len), ..info() }));
        assert_bound("name", 256, |len| with(WeightsInfo { name: Some("x".repeat(len)), ..info() }));
        assert_bound("format", 64, |len| with(WeightsInfo { format: "x".repeat(len), ..info() }));
        assert_bound("metadata", 1024, |len| with(WeightsInfo { metadata: bytes(len), ..info() }));
        assert_bound("hashes", 8192, |count| manifest(MIN_CHUNK, count, 0));
    }

    #[test]
    fn chunks_are_powers_of_two_between_their_bounds() {
        for chunk in [64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, MIB] {
            assert_eq!(read_back(&manifest(chunk, 2, 1)), Ok(manifest(chunk, 2, 1)));
        }
        for chunk in [0, 1, 32 * KIB, 64 * KIB - 1, 64 * KIB + 1, 96 * KIB, MIB + 1, 2 * MIB] {
            let refused = Err(DecodeError::OutOfBounds { what: "chunk", max: MIB });
            assert_eq!(read_back(&Manifest { chunk: chunk as u32, ..manifest(MIN_CHUNK, 2, 1) }), refused, "{chunk}");
        }
    }

    #[test]
    fn size_and_hashes_agree() {
        let full = manifest(MIN_CHUNK, 3, 0);
        for size in [full.size, full.size - 1, full.size - MIN_CHUNK as u64 + 1] {
            assert!(read_back(&Manifest { size, ..full.clone() }).is_ok(), "{size}");
        }
        for size in [0, full.size + 1, full.size - MIN_CHUNK as u64, u64::MAX] {
            let refused = read_back(&Manifest { size, ..full.clone() });
            assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{size}");
        }
    }

    #[test]
    fn frames_are_bounded_and_fit_a_stream() {
        let chunk = |len: usize| Frame::Chunk { index: u32::MAX, data: vec![0; len].into() };
        assert_bound("data", MIB, chunk);
        encode(&chunk(MAX_CHUNK), MAX_TRANSFER_FRAME).unwrap();

        let longest = WeightsInfo {
            agent: "x".repeat(MAX_WEIGHTS_LABEL),
            name: Some("x".repeat(MAX_WEIGHTS_LABEL)),
            format: "x".repeat(MAX_LABEL),
            codec: Codec::Gzip,
            raw_size: u64::MAX,
            checksum: Checksum([3; 32]),
            metadata: Some(ByteBuf::from(vec![0; MAX_METADATA])),
        };
        let manifest = Manifest { info: longest, ..manifest(MAX_CHUNK, MAX_CHUNKS, 0) };
        let offer = Frame::Offer { mesh: MeshId([1; 32]), manifest };
        assert_eq!(read_back(&offer), Ok(offer.clone()));
        encode(&offer, MAX_TRANSFER_FRAME).unwrap();

        let reasons = [Refusal::TooLarge, Refusal::Busy, Refusal::Corrupt, Refusal::WrongMesh];
        let small = [Frame::Accept { have: 0 }, Frame::Received { have: u32::MAX }];
        for frame in reasons.map(|reason| Frame::Refuse { reason }).into_iter().chain(small) {
            assert_eq!(read_back(&frame), Ok(frame.clone()));
        }
    }
}
