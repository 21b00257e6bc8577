//! The machine between the store, Bitswap and the program.
//!
//! It is told what is asked, what the store has done and what has come, and says what to read, write and ask others for.
//! It knows by heart which blocks are kept, so most questions of others are answered without the store. Reads of one block
//! are one read, however many wait for it. The store is told to put and delete one after the other; the index changes when
//! that is done.
//!
//! Each job (a fetch, a read, a list, an import) has an id, which events carry. One that waits for others and gets nothing
//! for its patience is given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use cid::Cid;
use libp2p::PeerId;
use mesh_bitswap::{Found, Look};
use mesh_core::Mono;
use mesh_unixfs::{Block, Entry, Listing, Reader, Root};

use super::fetch::{self, Fetch, MAX_OUT};
use super::hot::Hot;
use super::progress::Progress;
use super::store::BlockStoreError;
use super::{BlocksError, Dag, Fetched, Limits, MAX_JOBS};

mod jobs;
mod writes;

/// Blocks that are read from the store at once: 32 MiB, if they are as large as can be. Others wait.
const MAX_READS: usize = 16;

/// Blocks that are kept, all together: the index takes about 150 bytes for each. Past it the store counts as full.
pub(crate) const MAX_KEPT: usize = 262_144;

/// Peers that a job asks first.
pub(crate) const MAX_FROM: usize = 32;

/// Milliseconds between two searches for the providers of a root. Bitswap asks for one again after 10 s at the earliest, and
/// for each block.
const SEARCH_MS: u64 = 5_000;

/// A job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId(u64);

/// Something happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// What came of [`Output::Load`].
    Loaded(Cid, Loaded),
    /// What came of [`Output::Put`] or [`Output::Delete`], whichever was last.
    Written(Result<(), BlockStoreError>),
    /// A peer asks for a block. [`Output::Looked`] answers.
    Look(Look),
    /// A block has come that was wanted.
    Got(Block),
    /// Nobody whom we are connected with has it.
    Search(Cid),
    /// A search has found peers that have this root.
    Providers(Cid, Vec<PeerId>),
    /// A peer is connected, and may be asked.
    Connected(PeerId),
    /// The next blocks of a file that is imported; with the last of them, what it is known by.
    Imported(JobId, Vec<Block>, Option<Root>),
}

/// What came of a read.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// The block. It is what its CID says.
    Block(Block),
    /// It is not there.
    Missing,
    /// What is there is something else.
    Damaged,
    /// The store fails.
    Failed(BlockStoreError),
}

/// Something is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    /// Read this from the store.
    Load(Cid),
    /// Put these into the store.
    Put(Vec<Block>),
    /// Delete these from the store.
    Delete(Vec<Cid>),
    /// Ask others for it, these first.
    Want(Cid, Vec<PeerId>),
    /// Ask nobody for it any more.
    Cancel(Cid),
    /// These may have it.
    Found(Cid, Vec<PeerId>),
    /// It is kept now: give it to whoever waits for it.
    Added(Cid),
    /// The answer to a look.
    Looked(PeerId, Cid, Found),
    /// Connect to this peer, if it is not connected.
    Dial(PeerId),
    /// Look for providers of this root.
    Search(Cid),
    /// These are not kept any more.
    Gone(Vec<Cid>),
    /// Something is over, or has gone on.
    Event(JobId, Event),
}

/// What comes of a job.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// How far a fetch is.
    Progress(Progress),
    /// A fetch is over.
    Fetched(Fetched),
    /// A read is over.
    Read(Result<Vec<Bytes>, BlocksError>),
    /// A list is over.
    Listed(Result<Vec<Entry>, BlocksError>),
    /// What was imported so far is kept, and more is taken.
    Saved,
    /// An import is over. What was new of one that failed is deleted again.
    Added(Result<(Root, Dag), BlocksError>),
    /// A deletion is over.
    Deleted(Result<(), BlockStoreError>),
}

/// Which blocks are kept, and how many bytes each has.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    sizes: BTreeMap<Cid, u64>,
    bytes: u64,
}

impl Kept {
    /// What a store has listed.
    pub(crate) fn new(list: Vec<(Cid, u64)>) -> Self {
        let mut kept = Self::default();
        list.into_iter().for_each(|(cid, size)| kept.insert(cid, size));
        kept
    }

    /// All blocks, with their sizes.
    pub(crate) fn list(&self) -> Vec<(Cid, u64)> {
        self.sizes.iter().map(|(cid, size)| (*cid, *size)).collect()
    }

    /// Bytes of a block, if it is kept.
    pub(crate) fn size(&self, cid: &Cid) -> Option<u64> {
        self.sizes.get(cid).copied()
    }

    /// Blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.sizes.len()
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn insert(&mut self, cid: Cid, size: u64) {
        self.bytes += size;
        self.bytes -= self.sizes.insert(cid, size).unwrap_or(0);
    }

    fn remove(&mut self, cid: &Cid) -> Option<u64> {
        let size = self.sizes.remove(cid)?;
        self.bytes -= size;
        Some(size)
    }
}

/// Who waits for a read.
#[derive(Debug)]
enum For {
    Job(JobId),
    Peer(PeerId),
}

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    kept: Kept,
    hot: Hot,
    jobs: BTreeMap<JobId, Box<jobs::Job>>,
    next_job: u64,
    /// Who waits for what others were asked for.
    wanted: BTreeMap<Cid, BTreeSet<JobId>>,
    /// Who waits for what is read.
    reads: BTreeMap<Cid, Vec<For>>,
    /// Reads that wait, and how many are under way.
    to_read: VecDeque<Cid>,
    reading: usize,
    writes: writes::Writes,
    outputs: VecDeque<Output>,
    /// Bytes of blocks that have come and were wanted.
    received: u64,
}

impl Blocks {
    /// Nothing is asked yet; these are kept.
    pub(crate) fn new(kept: Kept) -> Self {
        Self { kept, ..Self::default() }
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Bytes of blocks that have come from others and were wanted.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Fetches a DAG, from these peers first.
    ///
    /// # Errors
    /// [`BlocksError::Busy`].
    pub(crate) fn fetch(
        &mut self,
        root: Cid,
        from: Vec<PeerId>,
        limits: Limits,
        now: Mono,
    ) -> Result<JobId, BlocksError> {
        let patience = limits.patience_ms;
        self.begin(root, from, patience, jobs::Work::Fetch(Box::new(Fetch::new(root, limits))), now)
    }

    /// Keeps a block that was made here, and everything that it links to.
    ///
    /// # Errors
    /// [`BlocksError::Busy`].
    pub(crate) fn adopt(
        &mut self,
        block: Block,
        from: Vec<PeerId>,
        limits: Limits,
        now: Mono,
    ) -> Result<JobId, BlocksError> {
        let root = *block.cid();
        // There the fetch finds it, before anybody is asked.
        self.hot.insert(block);
        self.fetch(root, from, limits, now)
    }

    /// Reads a file or a range of it, `limit` bytes at most.
    ///
    /// # Errors
    /// [`BlocksError::Busy`].
    pub(crate) fn read(
        &mut self,
        cid: Cid,
        (range, limit): (Option<Range<u64>>, u64),
        from: Vec<PeerId>,
        patience_ms: u64,
        now: Mono,
    ) -> Result<JobId, BlocksError> {
        let reading = jobs::Reading::new(Reader::new(cid, range, limit));
        self.begin(cid, from, patience_ms, jobs::Work::Read(Box::new(reading)), now)
    }

    /// Lists a directory, `limit` entries at most.
    ///
    /// # Errors
    /// [`BlocksError::Busy`].
    pub(crate) fn list(
        &mut self,
        cid: Cid,
        limit: usize,
        from: Vec<PeerId>,
        patience_ms: u64,
        now: Mono,
    ) -> Result<JobId, BlocksError> {
        let listing = jobs::Looking::new(Listing::new(cid, limit));
        self.begin(cid, from, patience_ms, jobs::Work::List(Box::new(listing)), now)
    }

    /// Begins to import a file, whose blocks come as [`Input::Imported`].
    ///
    /// # Errors
    /// [`BlocksError::Busy`].
    pub(crate) fn import(&mut self) -> Result<JobId, BlocksError> {
        if self.jobs.len() >= MAX_JOBS {
            return Err(BlocksError::Busy);
        }
        let id = self.next_id();
        let job = jobs::Job::new(Cid::default(), Vec::new(), 0, jobs::Work::Add(jobs::Adding::default()));
        self.jobs.insert(id, Box::new(job));
        Ok(id)
    }

    /// Deletes blocks, once what was said before is done, but for those that a job counts on.
    pub(crate) fn delete(&mut self, cids: Vec<Cid>, now: Mono) -> JobId {
        let id = self.next_id();
        self.write(writes::Write::Delete(Some(id), cids), now);
        id
    }

    /// Nobody wants it any more.
    pub(crate) fn cancel(&mut self, id: JobId, now: Mono) {
        self.end(id, BlocksError::Cancelled, now);
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, input: Input, now: Mono) {
        match input {
            Input::Loaded(cid, loaded) => self.loaded(cid, loaded, now),
            Input::Written(result) => self.written(result, now),
            Input::Look(look) => self.look(look),
            Input::Got(block) => self.got(block, now),
            Input::Search(cid) => self.search(&cid, now),
            Input::Providers(root, peers) => self.providers(root, &peers),
            Input::Connected(peer) => self.connected(peer),
            Input::Imported(id, blocks, last) => self.imported(id, blocks, last, now),
        }
    }

    /// Gives up the jobs whose patience is at its end.
    pub(crate) fn handle_timeout(&mut self, now: Mono) {
        let due = |job: &jobs::Job| job.due.is_some_and(|due| due <= now);
        let silent: Vec<_> = self.jobs.iter().filter(|(_, job)| due(job)).map(|(id, _)| *id).collect();
        for id in silent {
            let missing = self.jobs.get(&id).and_then(|job| job.waits_for());
            if let Some(cid) = missing {
                self.end(id, BlocksError::NotFound(cid), now);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next.
    pub(crate) fn poll_timeout(&self) -> Option<Mono> {
        self.jobs.values().filter_map(|job| job.due).min()
    }

    /// What is to be done; drained after each call.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_id(&mut self) -> JobId {
        self.next_job += 1;
        JobId(self.next_job)
    }

    fn event(&mut self, id: JobId, event: Event) {
        self.outputs.push_back(Output::Event(id, event));
    }

    // Reads.

    /// Reads a block for somebody; gives it at once if it is hot.
    fn load(&mut self, cid: Cid, whom: For) -> Option<Block> {
        if let Some(block) = self.hot.get(&cid) {
            return Some(block);
        }
        let waiting = self.reads.entry(cid).or_default();
        if waiting.is_empty() {
            self.to_read.push_back(cid);
        }
        waiting.push(whom);
        self.read_next();
        None
    }

    fn read_next(&mut self) {
        while self.reading < MAX_READS
            && let Some(cid) = self.to_read.pop_front()
        {
            self.reading += 1;
            self.outputs.push_back(Output::Load(cid));
        }
    }

    fn loaded(&mut self, cid: Cid, loaded: Loaded, now: Mono) {
        self.reading = self.reading.saturating_sub(1);
        self.read_next();
        let waiting = self.reads.remove(&cid).unwrap_or_default();
        match &loaded {
            Loaded::Block(block) => self.hot.insert(block.clone()),
            Loaded::Missing | Loaded::Damaged if self.kept.size(&cid).is_some() => {
                self.kept.remove(&cid);
                if matches!(loaded, Loaded::Damaged) {
                    tracing::warn!(%cid, "what the block store has of it is damaged: deleted");
                    self.write(writes::Write::Purge(cid), now);
                }
                self.forgotten(cid, now);
            }
            Loaded::Missing | Loaded::Damaged | Loaded::Failed(_) => {}
        }
        for whom in waiting {
            match (whom, &loaded) {
                (For::Peer(peer), Loaded::Block(block)) => {
                    self.outputs.push_back(Output::Looked(peer, cid, Found::Block(block.clone())));
                }
                (For::Peer(peer), Loaded::Missing | Loaded::Damaged | Loaded::Failed(_)) => {
                    self.outputs.push_back(Output::Looked(peer, cid, Found::Nothing));
                }
                (For::Job(id), Loaded::Block(block)) => self.deliver(id, block.clone(), now),
                (For::Job(id), Loaded::Missing | Loaded::Damaged) => self.missing(id, cid, now),
                (For::Job(id), Loaded::Failed(error)) => self.end(id, error.clone().into(), now),
            }
        }
    }

    // What others ask.

    fn look(&mut self, Look { peer, cid, read }: Look) {
        let found = match (self.kept.size(&cid), read) {
            (None, _) => self.hot.get(&cid).map_or(Found::Nothing, Found::Block),
            (Some(size), false) => Found::Size(usize::try_from(size).unwrap_or(usize::MAX)),
            (Some(_), true) => match self.load(cid, For::Peer(peer)) {
                Some(block) => Found::Block(block),
                None => return,
            },
        };
        self.outputs.push_back(Output::Looked(peer, cid, found));
    }

    // What we ask of others.

    /// Asks others for a block on behalf of a job.
    fn want(&mut self, cid: Cid, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        self.wanted.entry(cid).or_default().insert(id);
        self.outputs.push_back(Output::Want(cid, job.from.clone()));
    }

    /// A job wants a block no more.
    fn unwant(&mut self, cid: &Cid, id: JobId) {
        if let Some(jobs) = self.wanted.get_mut(cid) {
            jobs.remove(&id);
            if jobs.is_empty() {
                self.wanted.remove(cid);
                self.outputs.push_back(Output::Cancel(*cid));
            }
        }
    }

    fn got(&mut self, block: Block, now: Mono) {
        self.received += block.data().len() as u64;
        // It came in a message that may be larger, and is kept for a while.
        let block = block.compact();
        self.hot.insert(block.clone());
        for id in self.wanted.remove(block.cid()).unwrap_or_default() {
            self.deliver(id, block.clone(), now);
        }
    }

    fn search(&mut self, cid: &Cid, now: Mono) {
        for id in self.wanted.get(cid).cloned().unwrap_or_default() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            if job.searched.is_some_and(|searched| now.since(searched) < SEARCH_MS) {
                continue;
            }
            job.searched = Some(now);
            // Who was not connected may be by now, and who was may be no more.
            self.outputs.extend(job.from.iter().copied().map(Output::Dial));
            self.outputs.push_back(Output::Search(job.root));
        }
    }

    fn providers(&mut self, root: Cid, peers: &[PeerId]) {
        let mut found = BTreeSet::new();
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.root == root) {
            for peer in peers {
                if job.from.len() < MAX_FROM && !job.from.contains(peer) {
                    job.from.push(*peer);
                }
            }
            found.extend(self.wanted.iter().filter(|(_, jobs)| jobs.contains(id)).map(|(cid, _)| *cid));
        }
        if !found.is_empty() {
            self.outputs.extend(peers.iter().take(MAX_FROM).copied().map(Output::Dial));
        }
        self.outputs.extend(found.into_iter().map(|cid| Output::Found(cid, peers.to_vec())));
    }

    fn connected(&mut self, peer: PeerId) {
        for (cid, jobs) in &self.wanted {
            let named = |id: &JobId| self.jobs.get(id).is_some_and(|job| job.from.contains(&peer));
            if jobs.iter().any(named) {
                self.outputs.push_back(Output::Found(*cid, vec![peer]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
