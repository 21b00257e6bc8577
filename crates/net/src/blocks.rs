//! IPFS blocks: where a node keeps them, how it gets what is missing from others, and how others get what it has.
//!
//! | file | what |
//! |---|---|
//! | [`store`] | what keeps blocks: [`BlockStore`], and one in memory |
//! | [`contract`] | what every store has to do, as tests |
//! | [`fetch`] | a DAG is walked: what to read, what to ask others for, what to save |
//! | [`service`] | the machine between store, Bitswap and the program: fetches, reads, lists, imports, and what others ask for |
//! | [`hot`] | blocks that were used last |
//! | [`import`] | a file becomes blocks, in slices |
//! | [`calls`], [`progress`] | what a program asks for, and how it hears how far that is |
//!
//! All that decides is pure; the driver carries it out. What is kept is what was added and what was fetched, block by block,
//! until somebody says that it may go: when that is, is not decided here. A read takes what is missing from others, and keeps
//! it only as long as it is hot.

pub(crate) mod calls;
pub mod contract;
pub(crate) mod fetch;
mod hot;
pub(crate) mod import;
pub(crate) mod progress;
pub(crate) mod service;
pub(crate) mod store;

use cid::Cid;

pub use calls::{BlockStats, FetchOptions, ListOptions, ReadOptions};
pub use progress::{Meter, Progress, Watcher, progress};
pub use store::{BlockStore, BlockStoreError, MemoryBlocks};

/// Bytes of blocks that a node keeps in memory if it is given no store.
pub const DEFAULT_MEMORY: u64 = 64 * 1024 * 1024;

/// Fetches, reads, lists and additions at once. Past it they are refused.
pub const MAX_JOBS: usize = 64;

/// How much of a DAG is fetched, and how long is waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its blocks.
    pub bytes: u64,
    /// Its blocks. Each takes about 150 bytes while it is fetched.
    pub blocks: usize,
    /// Milliseconds in which nothing that is waited for comes, after which it is given up.
    pub patience_ms: u64,
}

impl Default for Limits {
    /// 1 GiB, 65,536 blocks, half a minute: a peer that is silent is passed over after 5 s, and everybody asked again after 10.
    fn default() -> Self {
        Self { bytes: 1024 * 1024 * 1024, blocks: 65_536, patience_ms: 30_000 }
    }
}

/// A DAG that is kept as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dag {
    /// Its root.
    pub root: Cid,
    /// All its blocks, each once, with their sizes in bytes.
    pub blocks: Vec<(Cid, u64)>,
}

impl Dag {
    /// Bytes of all its blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|(_, size)| size).sum()
    }
}

/// A fetch that did not get everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct FetchFailed {
    /// Why.
    pub error: BlocksError,
    /// The blocks of the DAG that are kept, as far as it was walked: the next fetch goes on from them.
    pub kept: Vec<(Cid, u64)>,
}

impl FetchFailed {
    /// One that has not begun.
    pub(crate) fn at_once(error: BlocksError) -> Box<Self> {
        Box::new(Self { error, kept: Vec::new() })
    }
}

/// What comes of a fetch.
pub type Fetched = Result<Dag, Box<FetchFailed>>;

/// Which limit something is past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// [`Limits::bytes`].
    #[error("{0} bytes")]
    Bytes(u64),
    /// [`Limits::blocks`].
    #[error("{0} blocks")]
    Blocks(usize),
    /// [`mesh_unixfs::MAX_DEPTH`].
    #[error("{0} levels")]
    Depth(usize),
}

/// Why blocks are not here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// It is larger than the caller allows.
    #[error("more than {0}")]
    TooLarge(Limit),
    /// Nobody that can be reached has this block, or sends it.
    #[error("{0} was found nowhere in time")]
    NotFound(Cid),
    /// What is there cannot be read, whoever has it: it is damaged, past a limit, or of a kind that is not known here.
    #[error(transparent)]
    Unreadable(#[from] mesh_unixfs::Error),
    /// The store is full, or fails.
    #[error(transparent)]
    Store(#[from] BlockStoreError),
    /// As much is being done as can be: [`MAX_JOBS`]. Ask again later.
    #[error("too much is being fetched, read and added at once")]
    Busy,
    /// Whoever asked has gone.
    #[error("given up by whoever asked")]
    Cancelled,
}
