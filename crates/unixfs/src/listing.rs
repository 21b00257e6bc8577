//! Blocks become the entries of a directory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cid::Cid;

use crate::block::check;
use crate::{Block, Entry, Error, MAX_DEPTH, MAX_WANTS, Node, Shard};

/// Lists a directory, of one block or a HAMT. No name is hashed: which child of a shard an entry is does not matter for
/// a list, and no entry can be hidden by lying about it.
///
/// Ask [`wants`](Self::wants), [`give`](Self::give) the blocks in any order, until [`is_done`](Self::is_done).
#[derive(Debug)]
pub struct Listing {
    limit: usize,
    /// Shards that are not here yet, and how deep each is.
    pending: VecDeque<(Cid, usize)>,
    /// All shards there are, given or not: each is in a HAMT once, for its names are only in one place.
    known: BTreeSet<Cid>,
    entries: BTreeMap<String, Entry>,
    failed: Option<Error>,
}

impl Listing {
    /// Lists at most `limit` entries.
    pub fn new(cid: Cid, limit: usize) -> Self {
        let mut listing = Self {
            limit,
            pending: VecDeque::from([(cid, 1)]),
            known: BTreeSet::new(),
            entries: BTreeMap::new(),
            failed: None,
        };
        listing.known.insert(cid);
        listing.settle();
        listing
    }

    /// The blocks it can use now, at most `max`, and [`MAX_WANTS`]. What was named before and not given is named again.
    pub fn wants(&self, max: usize) -> Vec<Cid> {
        let wants = if self.failed.is_none() { max.min(MAX_WANTS) } else { 0 };
        self.pending.iter().take(wants).map(|(cid, _)| *cid).collect()
    }

    /// Takes a block that is wanted.
    ///
    /// # Errors
    /// [`Error::Unwanted`] changes nothing. All others end the list, and each further block gives the same error.
    pub fn give(&mut self, block: &Block) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let wanted = self.pending.iter().take(MAX_WANTS).position(|(cid, _)| cid == block.cid());
        let Some(at) = wanted else {
            return Err(Error::Unwanted(*block.cid()));
        };
        self.failed = self.place(at, block).err();
        self.settle();
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Whether all entries are here.
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && self.failed.is_none()
    }

    /// Why it cannot be listed, if so.
    pub fn error(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// The entries that are here, sorted by the bytes of their names: all of them, when it is done.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    fn settle(&mut self) {
        let mut at = 0;
        while self.failed.is_none() && at < self.pending.len().min(MAX_WANTS) {
            let cid = self.pending[at].0;
            match check(&cid).and_then(|()| Block::inline(&cid)) {
                Ok(None) => at += 1,
                Ok(Some(block)) => self.failed = self.place(at, &block).err(),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn place(&mut self, at: usize, block: &Block) -> Result<(), Error> {
        let (cid, depth) = self.pending[at];
        let children = match Node::decode(block)? {
            Node::Directory(entries) if depth == 1 => entries.into_iter().map(Shard::Entry).collect(),
            Node::Shard(children) => children,
            Node::Directory(_) | Node::File { .. } => return Err(Error::NotADirectory(cid)),
        };
        self.pending.remove(at);
        for child in children {
            match child {
                Shard::Entry(entry) => self.add(entry)?,
                Shard::Shard(_) if depth == MAX_DEPTH => return Err(Error::TooDeep(cid)),
                Shard::Shard(below) => {
                    if !self.known.insert(below) {
                        return Err(Error::Repeated(below));
                    }
                    self.pending.push_back((below, depth + 1));
                }
            }
        }
        // A shard below the root is made for two entries at least; two whose hashes begin alike have a chain above them.
        if self.known.len() > self.limit.saturating_add(MAX_DEPTH) {
            return Err(Error::TooManyEntries { limit: self.limit });
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> Result<(), Error> {
        if self.entries.contains_key(&entry.name) {
            return Err(Error::DuplicateName(entry.name));
        }
        if self.entries.len() == self.limit {
            return Err(Error::TooManyEntries { limit: self.limit });
        }
        self.entries.insert(entry.name.clone(), entry);
        Ok(())
    }
}
