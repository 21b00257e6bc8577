//! What a program asks of its node's blocks.

use std::ops::Range;

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use libp2p::PeerId;
use mesh_unixfs::{Block, Entry, Root, directory};

use super::progress::Meter;
use super::store::BlockStoreError;
use super::{BlocksError, Dag, FetchFailed, Fetched, Limits};
use crate::calls::{Call as AnyCall, Closed, Handle, Reply};

/// A call about blocks.
pub(crate) enum Call {
    Add(BoxStream<'static, Bytes>, Reply<Result<(Root, Dag), BlocksError>>),
    Adopt(Block, FetchOptions, Reply<Fetched>),
    Fetch(Cid, FetchOptions, Reply<Fetched>),
    Read(Cid, ReadOptions, Reply<Result<Vec<Bytes>, BlocksError>>),
    List(Cid, ListOptions, Reply<Result<Vec<Entry>, BlocksError>>),
    Has(Cid, Reply<Option<u64>>),
    Remove(Vec<Cid>, Reply<Result<(), BlockStoreError>>),
    Stats(Reply<BlockStats>),
}

/// How a DAG is fetched.
#[derive(Debug, Default)]
pub struct FetchOptions {
    /// Peers that are likely to have it, asked first, and dialled if they are not connected; the first
    /// 32 of them. Everybody else who is connected is asked too.
    pub from: Vec<PeerId>,
    /// How much is fetched, and how long is waited for it.
    pub limits: Limits,
    /// Where to show how far it is; [`progress`](super::progress::progress) makes one.
    pub meter: Option<Meter>,
}

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which bytes, as far as the file has them; all, if `None`.
    pub range: Option<Range<u64>>,
    /// The most bytes to read; a larger file, or range of it, is an error.
    pub max_bytes: u64,
    /// As in [`FetchOptions`].
    pub from: Vec<PeerId>,
    /// Milliseconds in which nothing that is waited for comes, after which it is given up.
    pub patience_ms: u64,
}

impl Default for ReadOptions {
    /// All of it, if that is 64 MiB at most; half a minute.
    fn default() -> Self {
        Self { range: None, max_bytes: 64 * 1024 * 1024, from: Vec::new(), patience_ms: 30_000 }
    }
}

/// How a directory is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// The most entries; a larger directory is an error.
    pub max_entries: usize,
    /// As in [`FetchOptions`].
    pub from: Vec<PeerId>,
    /// Milliseconds in which nothing that is waited for comes, after which it is given up.
    pub patience_ms: u64,
}

impl Default for ListOptions {
    /// 10,000 entries, half a minute.
    fn default() -> Self {
        Self { max_entries: 10_000, from: Vec::new(), patience_ms: 30_000 }
    }
}

/// What is kept, and what has travelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockStats {
    /// Blocks that are kept.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of blocks that others were sent.
    pub sent: u64,
    /// Bytes of blocks that came from others and were wanted.
    pub received: u64,
}

impl Handle {
    /// Cuts a file into blocks and keeps them. Dropping the future gives up, and nothing is kept then.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`BlocksError`].
    pub async fn add_file(&self, bytes: Bytes) -> Result<Result<(Root, Dag), BlocksError>, Closed> {
        self.add_pieces(stream::once(ready(bytes)).boxed()).await
    }

    /// As [`add_file`](Self::add_file), for a file that comes in pieces of any size: one is taken when the one before is cut.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`BlocksError`].
    pub async fn add_pieces(
        &self,
        pieces: BoxStream<'static, Bytes>,
    ) -> Result<Result<(Root, Dag), BlocksError>, Closed> {
        self.blocks(|reply| Call::Add(pieces, reply)).await
    }

    /// Makes a directory of files and other directories, and keeps it with all that is in them: what of that is not kept yet
    /// is fetched.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`FetchFailed`].
    pub async fn add_directory(
        &self,
        entries: Vec<(String, Root)>,
        options: FetchOptions,
    ) -> Result<Result<(Root, Dag), Box<FetchFailed>>, Closed> {
        let (root, block) = match directory(entries) {
            Ok(made) => made,
            Err(error) => return Ok(Err(FetchFailed::at_once(error.into()))),
        };
        let fetched = self.blocks(|reply| Call::Adopt(block, options, reply)).await?;
        Ok(fetched.map(|dag| (root, dag)))
    }

    /// Gets every block of a file or directory and keeps it. Dropping the future gives up; what has come by then is kept,
    /// and the next fetch goes on from there.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`FetchFailed`].
    pub async fn fetch(&self, root: Cid, options: FetchOptions) -> Result<Fetched, Closed> {
        self.blocks(|reply| Call::Fetch(root, options, reply)).await
    }

    /// Reads a file, or a range of it, in pieces. What is not kept comes from others, and is not kept after that. Dropping
    /// the future gives up.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`BlocksError`].
    pub async fn read(&self, cid: Cid, options: ReadOptions) -> Result<Result<Vec<Bytes>, BlocksError>, Closed> {
        self.blocks(|reply| Call::Read(cid, options, reply)).await
    }

    /// Lists a directory, by names. What is not kept of it comes from others, and is not kept after that. Dropping the
    /// future gives up.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`BlocksError`].
    pub async fn list(&self, cid: Cid, options: ListOptions) -> Result<Result<Vec<Entry>, BlocksError>, Closed> {
        self.blocks(|reply| Call::List(cid, options, reply)).await
    }

    /// Bytes of this block, if it is kept. Whether all is kept that it links to, a fetch tells.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn has(&self, cid: Cid) -> Result<Option<u64>, Closed> {
        self.blocks(|reply| Call::Has(cid, reply)).await
    }

    /// Deletes these blocks, but for those that a fetch or an addition under way counts on: they are told when that is over.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`BlockStoreError`].
    pub async fn remove(&self, cids: Vec<Cid>) -> Result<Result<(), BlockStoreError>, Closed> {
        self.blocks(|reply| Call::Remove(cids, reply)).await
    }

    /// What is kept, and what has travelled so far.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn block_stats(&self) -> Result<BlockStats, Closed> {
        self.blocks(Call::Stats).await
    }

    fn blocks<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> impl Future<Output = Result<T, Closed>> {
        self.call(|reply| AnyCall::Blocks(call(reply)))
    }
}
