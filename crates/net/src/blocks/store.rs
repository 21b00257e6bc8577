//! Where blocks are kept: whoever starts a node brings a store, and it has blocks by their CIDs and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use mesh_proto::ordered;
use mesh_unixfs::Block;

/// Blocks by CID. It belongs to one node at a time.
///
/// Which blocks are kept for how long is not its business: it keeps what it was given until it is told to delete it. What a
/// block holds was checked against its CID before it came here, and is checked again when it is read.
///
/// [`contract`](super::contract) says by tests what each store has to do. A node puts and deletes one after the other, and
/// reads at the same time.
pub trait BlockStore: fmt::Debug + Send + Sync {
    /// All blocks that are kept, and how many bytes each has.
    fn list(&self) -> BoxFuture<'static, Result<Vec<(Cid, u64)>, BlockStoreError>>;

    /// The bytes of a block, if it is kept.
    fn get(&self, cid: Cid) -> BoxFuture<'static, Result<Option<Bytes>, BlockStoreError>>;

    /// Keeps these blocks, all of them or none. They are safe from a crash when this ends, if anything that the store keeps
    /// is. A block that is kept already is no error, and takes no room twice.
    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'static, Result<(), BlockStoreError>>;

    /// Deletes these blocks, all of them or none. One that is not kept is no error.
    fn delete(&self, cids: Vec<Cid>) -> BoxFuture<'static, Result<(), BlockStoreError>>;
}

/// What a block store says when it does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockStoreError {
    /// There is no room. What is kept stays readable, and when something is deleted there is room again.
    #[error("the block store is full")]
    Full,
    /// It fails.
    #[error("the block store has failed: {0}")]
    Failed(String),
}

/// Blocks in memory, gone with the process.
#[derive(Clone, Debug)]
pub struct MemoryBlocks {
    max_bytes: u64,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    blocks: BTreeMap<Cid, Bytes>,
    bytes: u64,
}

impl MemoryBlocks {
    /// Room for `max_bytes` bytes of blocks. Their names take some hundred bytes each beside them.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: Arc::default() }
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Held) -> Result<T, BlockStoreError>,
    ) -> BoxFuture<'static, Result<T, BlockStoreError>> {
        Box::pin(ready(work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))))
    }
}

impl BlockStore for MemoryBlocks {
    fn list(&self) -> BoxFuture<'static, Result<Vec<(Cid, u64)>, BlockStoreError>> {
        self.with(|held| Ok(held.blocks.iter().map(|(cid, data)| (*cid, data.len() as u64)).collect()))
    }

    fn get(&self, cid: Cid) -> BoxFuture<'static, Result<Option<Bytes>, BlockStoreError>> {
        self.with(|held| Ok(held.blocks.get(&cid).cloned()))
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'static, Result<(), BlockStoreError>> {
        let max_bytes = self.max_bytes;
        self.with(|held| {
            let new = blocks.into_iter().filter(|block| !held.blocks.contains_key(block.cid()));
            // What is part of something larger would keep all of that.
            let new: BTreeMap<_, _> = ordered(new.map(|block| (*block.cid(), block.compact().data().clone())));
            let bytes = held.bytes + new.values().map(|data| data.len() as u64).sum::<u64>();
            if bytes > max_bytes {
                return Err(BlockStoreError::Full);
            }
            held.bytes = bytes;
            held.blocks.extend(new);
            Ok(())
        })
    }

    fn delete(&self, cids: Vec<Cid>) -> BoxFuture<'static, Result<(), BlockStoreError>> {
        self.with(|held| {
            for cid in cids {
                held.bytes -= held.blocks.remove(&cid).map_or(0, |data| data.len() as u64);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::blocks::contract;

    #[test]
    fn memory_keeps_the_contract() {
        block_on(contract::holds(async |max_bytes| MemoryBlocks::new(max_bytes)));
    }
}
