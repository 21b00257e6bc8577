//! Blocks become a file again, in order, while they come in.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use cid::Cid;

use crate::block::check;
use crate::{Block, Error, Node};

/// Levels of a file or HAMT, root and leaves included. Two links in a node and 32 levels are two thousand million
/// chunks; Helia's 1,024 need four levels for a petabyte.
pub const MAX_DEPTH: usize = 32;

/// How far ahead of what is next blocks are asked for and held: 32 links, 32 MiB in Helia's layout, 64 MiB at most.
pub const MAX_WANTS: usize = 32;

/// Links held at once, about 120 bytes each. Helia's widths need 1,024 for each level and each block ahead.
pub const MAX_PENDING: usize = 131_072;

/// Bytes of blocks that may be something else than bytes of the file, for each reader, beside as many as it gives:
/// 64 MiB, the largest node on every level. Honest nodes are 0.01% of their file.
pub const MAX_OVERHEAD: u64 = (MAX_DEPTH * crate::MAX_BLOCK) as u64;

/// Reads a file or a range of it.
///
/// Ask [`wants`](Self::wants), [`give`](Self::give) the blocks in any order, take bytes with
/// [`next_bytes`](Self::next_bytes) until there are none, and begin again until [`is_done`](Self::is_done).
#[derive(Debug)]
pub struct Reader {
    range: Range<u64>,
    limit: u64,
    /// What is not given out yet, in order of the file.
    pending: VecDeque<Item>,
    /// Bytes of the file, once its root is here.
    file_size: Option<u64>,
    /// Bytes of the range in the file; of those, what is still to be given out is in `pending`.
    size: u64,
    overhead: u64,
    failed: Option<Error>,
}

#[derive(Debug)]
enum Item {
    Want(Want),
    Have(Bytes),
}

#[derive(Clone, Copy, Debug)]
struct Want {
    cid: Cid,
    /// Where in the file it begins.
    offset: u64,
    /// Bytes of the file, by the node above; the root has none.
    size: Option<u64>,
    depth: usize,
}

impl Reader {
    /// Reads bytes `range` of a file, as far as it has them; `None` is all. At most `limit` bytes are given out.
    pub fn new(cid: Cid, range: Option<Range<u64>>, limit: u64) -> Self {
        let root = Want { cid, offset: 0, size: None, depth: 1 };
        let mut reader = Self {
            range: range.unwrap_or(0..u64::MAX),
            limit,
            pending: VecDeque::from([Item::Want(root)]),
            file_size: None,
            size: 0,
            overhead: 0,
            failed: None,
        };
        reader.settle();
        reader
    }

    /// The blocks it can use now, the most urgent first, each once; at most `max`, and [`MAX_WANTS`]. What was named
    /// before and not given is named again.
    ///
    /// A node that is in a file many times may be wanted again later: keep blocks for a while.
    pub fn wants(&self, max: usize) -> Vec<Cid> {
        let mut wants = Vec::new();
        if self.failed.is_none() {
            for item in self.pending.iter().take(max.min(MAX_WANTS)) {
                if let Item::Want(want) = item
                    && !wants.contains(&want.cid)
                {
                    wants.push(want.cid);
                }
            }
        }
        wants
    }

    /// Takes a block that is wanted.
    ///
    /// # Errors
    /// [`Error::Unwanted`] changes nothing. All others end the file: it cannot be read, by no blocks whatever, and each
    /// further block gives the same error. Bytes that are ready can still be taken.
    pub fn give(&mut self, block: &Block) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(first) = self.position(block.cid()) else {
            return Err(Error::Unwanted(*block.cid()));
        };
        if let Err(error) = self.place(first, block) {
            self.failed = Some(error);
        }
        self.settle();
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// The next bytes of the file that are here.
    pub fn next_bytes(&mut self) -> Option<Bytes> {
        while let Some(Item::Have(_)) = self.pending.front() {
            let next = self.pending.pop_front();
            self.settle();
            if let Some(Item::Have(bytes)) = next
                && !bytes.is_empty()
            {
                return Some(bytes);
            }
        }
        None
    }

    /// Bytes of the whole file, once its root was given: by the root's word, until all of it is read.
    pub fn file_size(&self) -> Option<u64> {
        self.file_size
    }

    /// Why it cannot be read, if so.
    pub fn error(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Whether all bytes have been taken.
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && self.failed.is_none()
    }

    fn position(&self, cid: &Cid) -> Option<usize> {
        self.pending.iter().take(MAX_WANTS).position(|item| matches!(item, Item::Want(want) if want.cid == *cid))
    }

    /// Puts into their places the blocks that are in their CIDs, and finds those that nobody can give.
    fn settle(&mut self) {
        let mut at = 0;
        while self.failed.is_none() && at < self.pending.len().min(MAX_WANTS) {
            match &self.pending[at] {
                Item::Have(_) => at += 1,
                Item::Want(want) => match check(&want.cid).and_then(|()| Block::inline(&want.cid)) {
                    Ok(None) => at += 1,
                    Ok(Some(block)) => self.failed = self.place(at, &block).err(),
                    Err(error) => self.failed = Some(error),
                },
            }
        }
    }

    /// Puts a block where it is wanted from `first` on: a leaf everywhere, so that it is held once, and a node with
    /// links at `first` only, so that one that is repeated does not unfold all at once.
    fn place(&mut self, first: usize, block: &Block) -> Result<(), Error> {
        let cid = *block.cid();
        let node = Node::decode(block)?;
        let (Node::File { data, parts }, Some(found)) = (&node, node.file_size()) else {
            return Err(Error::NotAFile(cid));
        };
        self.overhead += (block.data().len() - data.len()) as u64;
        let last = if parts.is_empty() { self.pending.len().min(MAX_WANTS) } else { first + 1 };
        for at in first..last {
            let want = match &self.pending[at] {
                Item::Want(want) if want.cid == cid => *want,
                Item::Want(_) | Item::Have(_) => continue,
            };
            match want.size {
                None => self.begin(found)?,
                Some(claimed) if claimed != found => return Err(Error::SizeMismatch { cid, claimed, found }),
                Some(_) => {}
            }
            self.pending[at] = Item::Have(self.cut(want.offset, data));
            if !parts.is_empty() {
                self.unfold(at, want, data.len() as u64, parts)?;
            }
        }
        if self.overhead > MAX_OVERHEAD.saturating_add(self.size) {
            return Err(Error::TooMuchOverhead { nodes: self.overhead, size: self.size });
        }
        Ok(())
    }

    /// The root is here, and with it the file's size.
    fn begin(&mut self, file_size: u64) -> Result<(), Error> {
        self.file_size = Some(file_size);
        self.range.end = self.range.end.min(file_size);
        self.range.start = self.range.start.min(self.range.end);
        self.size = self.range.end - self.range.start;
        if self.size > self.limit {
            return Err(Error::TooLarge { size: self.size, limit: self.limit });
        }
        Ok(())
    }

    /// Puts the parts of a node behind place `at`, those of them that are in the range. A part without bytes never is.
    fn unfold(&mut self, at: usize, above: Want, data: u64, parts: &[crate::Part]) -> Result<(), Error> {
        let depth = above.depth + 1;
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep(above.cid));
        }
        let mut offset = above.offset + data; // no overflow: the sum of all parts was added up, from the root down
        let mut wants = Vec::new();
        for part in parts {
            let end = offset + part.size;
            if offset.max(self.range.start) < end.min(self.range.end) {
                wants.push(Item::Want(Want { cid: part.cid, offset, size: Some(part.size), depth }));
            }
            offset = end;
        }
        let held = self.pending.len() + wants.len();
        if held > MAX_PENDING {
            return Err(Error::TooWide { cid: above.cid, held, max: MAX_PENDING });
        }
        let behind = self.pending.split_off(at + 1);
        self.pending.extend(wants);
        self.pending.extend(behind);
        Ok(())
    }

    /// What is in the range of bytes that begin at `offset`.
    fn cut(&self, offset: u64, data: &Bytes) -> Bytes {
        let within = |place: u64| place.saturating_sub(offset).min(data.len() as u64) as usize;
        data.slice(within(self.range.start)..within(self.range.end))
    }
}
