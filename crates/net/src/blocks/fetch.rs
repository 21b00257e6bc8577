//! A fetch: walks a DAG from its root until every block of it is kept.
//!
//! It is told what was read and what has come, and says what to read, what to ask others for and what to save. Raw blocks
//! and those of a codec that is not read here are leaves; of dag-pb, the links are followed ([`mesh_unixfs::Node`]). What has
//! come is saved in batches, [`BATCH`] bytes or when there is nothing more to wait for; as long as too much of it is not
//! saved, nothing further is asked for.
//!
//! However it ends, what has come is saved first, so that the next fetch of the same DAG goes on from there.

use std::collections::{BTreeMap, VecDeque};

use cid::Cid;
use mesh_unixfs::{Block, Error, MAX_DEPTH, Node, Shard};

use super::service::Kept;
use super::store::BlockStoreError;
use super::{BlocksError, Dag, FetchFailed, Fetched, Limit, Limits};

/// Blocks that are read or waited for at once.
pub(crate) const MAX_OUT: usize = 32;

/// Bytes of a batch that is saved.
pub(crate) const BATCH: usize = 1024 * 1024;

/// Bytes that may wait to be saved before nothing further is asked for: what comes until then, [`MAX_OUT`] blocks at most,
/// is held beside them.
pub(crate) const MAX_UNSAVED: usize = 8 * 1024 * 1024;

/// dag-pb (<https://github.com/multiformats/multicodec/blob/master/table.csv>).
const DAG_PB: u64 = 0x70;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A block that was to be read, or asked for, is here.
    Block(Block),
    /// A block that was to be read is not kept after all.
    Missing(Cid),
    /// This batch was saved, or not.
    Saved(Vec<Cid>, Result<(), BlockStoreError>),
    /// The store has lost it.
    Lost(Cid),
    /// Nothing has come for too long.
    Silence,
    /// The store cannot be read.
    Unread(BlockStoreError),
    /// It is not wanted any more.
    Cancel,
}

/// Something is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Read this block, which is kept.
    Read(Cid),
    /// Ask others for it.
    Want(Cid),
    /// Keep these.
    Save(Vec<Block>),
    /// It is over; nothing comes after it. Whatever is still being read or asked for is not wanted any more.
    Done(Fetched),
}

/// Where a block of the DAG is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not looked for yet.
    Queued,
    /// Being read.
    Read,
    /// Others are asked for it.
    Wanted,
    /// Here, and not saved yet. It has so many bytes.
    Unsaved(u64),
    /// Kept. It has so many bytes.
    Kept(u64),
}

/// A walk.
#[derive(Debug)]
pub(crate) struct Fetch {
    root: Cid,
    limits: Limits,
    /// Every block of the DAG that was met, and how deep that was, first.
    met: BTreeMap<Cid, (usize, State)>,
    /// Those to look for, in the order of the file; at most as many as were met.
    queue: VecDeque<Cid>,
    /// Blocks that are read or asked for.
    out: usize,
    /// Bytes of the blocks that are here, and how many those are.
    bytes: u64,
    here: usize,
    batch: Vec<Block>,
    batch_bytes: usize,
    /// Bytes in batches that are being saved, and how many those are.
    saving: (usize, usize),
    /// Why it ends.
    failed: Option<BlocksError>,
    done: bool,
}

impl Fetch {
    /// Fetches what is below `root`, and `root`.
    pub(crate) fn new(root: Cid, limits: Limits) -> Self {
        let mut fetch = Self {
            root,
            limits,
            met: BTreeMap::new(),
            queue: VecDeque::new(),
            out: 0,
            bytes: 0,
            here: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            saving: (0, 0),
            failed: None,
            done: false,
        };
        if let Err(error) = fetch.meet(vec![root], 1) {
            fetch.failed = Some(error);
        }
        fetch
    }

    /// Bytes and blocks of the DAG that are here.
    pub(crate) fn progress(&self) -> (u64, usize) {
        (self.bytes, self.here)
    }

    /// Whether this block is a part of the DAG, as far as it was walked.
    pub(crate) fn has_met(&self, cid: &Cid) -> bool {
        self.met.contains_key(cid)
    }

    /// Takes in what happened. What it was not asked for changes nothing.
    pub(crate) fn handle(&mut self, input: Input) {
        match input {
            Input::Block(block) => self.arrived(block),
            Input::Missing(cid) => {
                if let Some((_, state @ State::Read)) = self.met.get_mut(&cid) {
                    *state = State::Queued;
                    self.out -= 1;
                    self.queue.push_front(cid);
                }
            }
            Input::Saved(cids, result) => self.saved(&cids, result),
            Input::Lost(cid) => {
                if let Some((_, state)) = self.met.get_mut(&cid)
                    && let State::Kept(size) = *state
                {
                    *state = State::Queued;
                    self.bytes -= size;
                    self.here -= 1;
                    self.queue.push_back(cid);
                }
            }
            Input::Silence => {
                let wanted = self.met.iter().find(|(_, (_, state))| *state == State::Wanted);
                let missing = wanted.map_or(self.root, |(cid, _)| *cid);
                self.fail(BlocksError::NotFound(missing));
            }
            Input::Unread(error) => self.fail(error.into()),
            Input::Cancel => self.fail(BlocksError::Cancelled),
        }
    }

    /// What is to be done next. `kept` are the blocks that can be read.
    pub(crate) fn poll_output(&mut self, kept: &Kept) -> Option<Output> {
        if self.done {
            return None;
        }
        if self.failed.is_none()
            && let Some(output) = self.look(kept)
        {
            return Some(output);
        }
        let idle = self.out == 0 && self.queue.is_empty();
        let last = idle || self.failed.is_some();
        if self.batch_bytes >= BATCH || last && !self.batch.is_empty() {
            return Some(self.save());
        }
        if !last || self.saving.1 > 0 {
            return None;
        }
        self.done = true;
        Some(Output::Done(self.end()))
    }

    /// The next block that is to be read or asked for.
    fn look(&mut self, kept: &Kept) -> Option<Output> {
        while self.out < MAX_OUT {
            let may_ask = self.batch_bytes + self.saving.0 < MAX_UNSAVED;
            let cid = *self.queue.front()?;
            let size = kept.size(&cid);
            if size.is_none() && !may_ask {
                return None;
            }
            self.queue.pop_front();
            // What was deleted and put again, or came otherwise, is here already.
            let Some((_, state @ State::Queued)) = self.met.get_mut(&cid) else { continue };
            let is_node = cid.codec() == DAG_PB;
            match (size, Block::inline(&cid)) {
                // It is in its name, and nobody keeps it.
                (_, Ok(Some(block))) => {
                    *state = State::Kept(0);
                    if let Err(error) = self.unfold(&block) {
                        self.fail(error);
                        return None;
                    }
                }
                (_, Err(error)) => {
                    self.fail(error.into());
                    return None;
                }
                (Some(_), Ok(None)) if is_node => {
                    *state = State::Read;
                    self.out += 1;
                    return Some(Output::Read(cid));
                }
                (Some(size), Ok(None)) => {
                    *state = State::Kept(size);
                    if let Err(error) = self.count(size) {
                        self.fail(error);
                        return None;
                    }
                }
                (None, Ok(None)) => {
                    *state = State::Wanted;
                    self.out += 1;
                    return Some(Output::Want(cid));
                }
            }
        }
        None
    }

    fn arrived(&mut self, block: Block) {
        let Some((_, state)) = self.met.get_mut(block.cid()) else { return };
        let size = block.data().len() as u64;
        let was_read = match state {
            State::Read => true,
            State::Wanted => false,
            State::Queued | State::Unsaved(_) | State::Kept(_) => return,
        };
        *state = if was_read { State::Kept(size) } else { State::Unsaved(size) };
        self.out -= 1;
        if self.failed.is_some() && was_read {
            return;
        }
        // Of what is too large or cannot be read, nothing is kept that was not before.
        if let Err(error) = self.count(size).and_then(|()| self.unfold(&block)) {
            if !was_read {
                self.drop_unsaved(block.cid());
            }
            return self.fail(error);
        }
        if !was_read {
            self.batch_bytes += block.data().len();
            self.batch.push(block);
        }
    }

    fn count(&mut self, size: u64) -> Result<(), BlocksError> {
        self.bytes += size;
        self.here += 1;
        if self.bytes > self.limits.bytes {
            Err(BlocksError::TooLarge(Limit::Bytes(self.limits.bytes)))
        } else {
            Ok(())
        }
    }

    /// Meets what a block links to.
    fn unfold(&mut self, block: &Block) -> Result<(), BlocksError> {
        if block.cid().codec() != DAG_PB {
            return Ok(());
        }
        let links: Vec<_> = match Node::decode(block) {
            Ok(Node::File { parts, .. }) => parts.into_iter().map(|part| part.cid).collect(),
            Ok(Node::Directory(entries)) => entries.into_iter().map(|entry| entry.cid).collect(),
            Ok(Node::Shard(children)) => children
                .into_iter()
                .map(|child| match child {
                    Shard::Entry(entry) => entry.cid,
                    Shard::Shard(cid) => cid,
                })
                .collect(),
            // A symlink, for example: it links to no block.
            Err(Error::Unsupported { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let depth = self.met.get(block.cid()).map_or(1, |(depth, _)| *depth);
        self.meet(links, depth + 1)
    }

    /// Queues those that were not met before, ahead of all others and in their order.
    fn meet(&mut self, mut links: Vec<Cid>, depth: usize) -> Result<(), BlocksError> {
        let mut new = Vec::new();
        for cid in links.drain(..) {
            if self.met.contains_key(&cid) {
                continue;
            }
            if depth > MAX_DEPTH {
                return Err(BlocksError::TooLarge(Limit::Depth(MAX_DEPTH)));
            }
            if self.met.len() >= self.limits.blocks {
                return Err(BlocksError::TooLarge(Limit::Blocks(self.limits.blocks)));
            }
            Block::supports(&cid)?;
            self.met.insert(cid, (depth, State::Queued));
            new.push(cid);
        }
        for cid in new.into_iter().rev() {
            self.queue.push_front(cid);
        }
        Ok(())
    }

    fn save(&mut self) -> Output {
        self.saving.0 += self.batch_bytes;
        self.saving.1 += 1;
        self.batch_bytes = 0;
        Output::Save(std::mem::take(&mut self.batch))
    }

    fn saved(&mut self, cids: &[Cid], result: Result<(), BlockStoreError>) {
        self.saving.1 = self.saving.1.saturating_sub(1);
        for cid in cids {
            let Some((_, state @ State::Unsaved(_))) = self.met.get_mut(cid) else { continue };
            let State::Unsaved(size) = *state else { continue };
            self.saving.0 = self.saving.0.saturating_sub(usize::try_from(size).unwrap_or(usize::MAX));
            match &result {
                Ok(()) => *state = State::Kept(size),
                Err(_) => self.drop_unsaved(cid),
            }
        }
        if let Err(error) = result {
            // There is no room for the others either.
            for block in std::mem::take(&mut self.batch) {
                self.drop_unsaved(block.cid());
            }
            self.batch_bytes = 0;
            self.fail(error.into());
        }
    }

    fn drop_unsaved(&mut self, cid: &Cid) {
        if let Some((_, state @ State::Unsaved(_))) = self.met.get_mut(cid) {
            *state = State::Queued;
        }
    }

    /// The first reason is the reason.
    fn fail(&mut self, error: BlocksError) {
        self.failed.get_or_insert(error);
    }

    fn end(&mut self) -> Fetched {
        let kept = |(cid, (_, state)): (&Cid, &(usize, State))| match state {
            // What is in its name is nowhere else.
            State::Kept(size) if !is_inline(cid) => Some((*cid, *size)),
            State::Kept(_) | State::Queued | State::Read | State::Wanted | State::Unsaved(_) => None,
        };
        let blocks = self.met.iter().filter_map(kept).collect();
        match self.failed.take() {
            Some(error) => Err(Box::new(FetchFailed { error, kept: blocks })),
            None => Ok(Dag { root: self.root, blocks }),
        }
    }
}

fn is_inline(cid: &Cid) -> bool {
    matches!(Block::inline(cid), Ok(Some(_)))
}

#[cfg(test)]
mod tests;
