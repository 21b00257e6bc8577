//! The blocks that this node has, and which of them go when there is no room.
//!
//! Content is a root and the blocks below it; blocks that several contents share are counted once. What is pinned stays. What
//! this node is to hold for others stays, and so does its own until others hold it. Everything else is a cache: the longest
//! unused goes first, blocks of no known content before it.

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;
use mesh_proto::ordered;

use crate::time::Mono;

/// Bytes that one block takes at least on a disk: what many small ones really cost.
pub const BLOCK_OVERHEAD: u64 = 128;

/// Why content stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Somebody here has asked for it to stay.
    pub pinned: bool,
    /// Others rely on it.
    pub placed: bool,
    /// It is this node's own, and not with enough others yet.
    pub own: bool,
}

impl Hold {
    fn stays(self) -> bool {
        self.pinned || self.placed || self.own
    }
}

#[derive(Debug)]
struct Root {
    blocks: Vec<Cid>,
    bytes: u64,
    hold: Hold,
    used: (Mono, u64),
}

#[derive(Debug)]
struct Block {
    bytes: u64,
    roots: u32,
}

/// What is here.
#[derive(Debug)]
pub struct Shelf {
    max_bytes: u64,
    roots: BTreeMap<Cid, Box<Root>>,
    blocks: BTreeMap<Cid, Block>,
    /// What does not stay, the longest unused first.
    cached: BTreeMap<(Mono, u64), Cid>,
    bytes: u64,
    /// Of what stays. Blocks that two of them share count twice, so it is never too little.
    held: u64,
    uses: u64,
    /// Whether blocks of no known content stay for now.
    spares_loose: bool,
}

impl Shelf {
    /// Room for `max_bytes` of blocks, each counted with [`BLOCK_OVERHEAD`].
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            roots: BTreeMap::new(),
            blocks: BTreeMap::new(),
            cached: BTreeMap::new(),
            bytes: 0,
            held: 0,
            uses: 0,
            spares_loose: false,
        }
    }

    /// Bytes that are here, and that may be.
    pub fn load(&self) -> (u64, u64) {
        (self.bytes, self.max_bytes)
    }

    /// Blocks that are here.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Whether all of `root` is here.
    pub fn has(&self, root: &Cid) -> bool {
        self.roots.contains_key(root)
    }

    /// Why `root` stays, if it is here.
    pub fn hold(&self, root: &Cid) -> Option<Hold> {
        self.roots.get(root).map(|root| root.hold)
    }

    /// Whether a block is here, whatever it belongs to.
    pub fn has_block(&self, cid: &Cid) -> bool {
        self.blocks.contains_key(cid)
    }

    /// Whether content of so many bytes would find room beside what stays.
    pub fn admits(&self, bytes: u64) -> bool {
        self.held.saturating_add(bytes).saturating_add(BLOCK_OVERHEAD) <= self.max_bytes
    }

    /// Bytes of one content that would find room beside what stays.
    pub fn room(&self) -> u64 {
        self.max_bytes.saturating_sub(self.held).saturating_sub(BLOCK_OVERHEAD)
    }

    /// Whether blocks of no known content are to stay for now: after a start nobody knows yet what they belong to.
    pub fn spare_loose(&mut self, spares: bool) {
        self.spares_loose = spares;
    }

    /// A block is in the store that belongs to nothing yet: from an earlier run, or of content that is not whole.
    pub fn found(&mut self, cid: Cid, bytes: u64) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.blocks.entry(cid) {
            let bytes = bytes + BLOCK_OVERHEAD;
            entry.insert(Block { bytes, roots: 0 });
            self.bytes += bytes;
        }
    }

    /// All blocks of `root` are in the store. What has to go for it is told, to be removed from there.
    pub fn put(&mut self, root: Cid, blocks: Vec<(Cid, u64)>, hold: Hold, now: Mono) -> Vec<Cid> {
        for (cid, bytes) in &blocks {
            self.found(*cid, *bytes);
        }
        if !self.roots.contains_key(&root) {
            let own: BTreeSet<_> = ordered(blocks.into_iter().map(|(cid, _)| cid));
            let mut bytes = 0;
            for cid in &own {
                if let Some(block) = self.blocks.get_mut(cid) {
                    block.roots += 1;
                    bytes += block.bytes;
                }
            }
            let of = Root { blocks: own.into_iter().collect(), bytes, hold: Hold::default(), used: (now, 0) };
            self.roots.insert(root, Box::new(of));
            self.used(&root, now);
        }
        self.keep(&root, hold);
        self.make_room(Some(&root))
    }

    /// Changes why `root` stays, or lets it go.
    pub fn keep(&mut self, root: &Cid, hold: Hold) {
        let Some(entry) = self.roots.get_mut(root) else { return };
        let stayed = std::mem::replace(&mut entry.hold, hold).stays();
        match (stayed, hold.stays()) {
            (false, true) => {
                self.held += entry.bytes;
                self.cached.remove(&entry.used);
            }
            (true, false) => {
                self.held -= entry.bytes;
                self.cached.insert(entry.used, *root);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Somebody here has read it.
    pub fn used(&mut self, root: &Cid, now: Mono) {
        self.uses += 1;
        let Some(entry) = self.roots.get_mut(root) else { return };
        let before = std::mem::replace(&mut entry.used, (now, self.uses));
        if !entry.hold.stays() {
            self.cached.remove(&before);
            self.cached.insert(entry.used, *root);
        }
    }

    /// Forgets `root`, whyever it stays; the blocks that go with it.
    pub fn remove(&mut self, root: &Cid) -> Vec<Cid> {
        self.keep(root, Hold::default());
        let Some(entry) = self.roots.remove(root) else { return Vec::new() };
        self.cached.remove(&entry.used);
        let mut gone = Vec::new();
        for cid in entry.blocks {
            if let Some(block) = self.blocks.get_mut(&cid) {
                block.roots -= 1;
                if block.roots == 0 {
                    self.bytes -= block.bytes;
                    self.blocks.remove(&cid);
                    gone.push(cid);
                }
            }
        }
        gone
    }

    /// These blocks are not in the store any more. The contents that they belong to are not here then, and what is left of them belongs
    /// to nothing.
    pub fn lost(&mut self, blocks: &[Cid]) -> Vec<Cid> {
        let known: Vec<_> = blocks.iter().filter(|cid| self.blocks.contains_key(cid)).collect();
        if known.is_empty() {
            return Vec::new();
        }
        let torn = |root: &Root| known.iter().any(|cid| root.blocks.contains(cid));
        let torn: Vec<_> = self.roots.iter().filter(|(_, root)| torn(root)).map(|(cid, _)| *cid).collect();
        for root in &torn {
            let sizes: Vec<_> =
                self.roots[root].blocks.iter().filter_map(|cid| Some((*cid, self.blocks.get(cid)?.bytes))).collect();
            self.remove(root);
            for (cid, bytes) in sizes {
                self.found(cid, bytes - BLOCK_OVERHEAD);
            }
        }
        for cid in known {
            if let Some(block) = self.blocks.remove(cid) {
                self.bytes -= block.bytes;
            }
        }
        torn
    }

    /// Lets go of what does not stay until there is room; `but` goes last.
    pub fn make_room(&mut self, but: Option<&Cid>) -> Vec<Cid> {
        let mut gone = Vec::new();
        if self.bytes <= self.max_bytes {
            return gone;
        }
        let is_loose = |block: &Block| block.roots == 0 && !self.spares_loose;
        let loose: Vec<_> = self.blocks.iter().filter(|(_, block)| is_loose(block)).map(|(cid, _)| *cid).collect();
        for cid in loose {
            if self.bytes <= self.max_bytes {
                return gone;
            }
            if let Some(block) = self.blocks.remove(&cid) {
                self.bytes -= block.bytes;
                gone.push(cid);
            }
        }
        while self.bytes > self.max_bytes {
            let oldest = self.cached.values().find(|root| Some(*root) != but).or(self.cached.values().next());
            let Some(oldest) = oldest.copied() else { return gone };
            gone.extend(self.remove(&oldest));
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::testing::cid;

    const STAYS: Hold = Hold { pinned: true, placed: false, own: false };
    const CACHE: Hold = Hold { pinned: false, placed: false, own: false };

    /// Room for `count` blocks of 100 bytes.
    fn shelf(count: u64) -> Shelf {
        Shelf::new(count * (100 + BLOCK_OVERHEAD))
    }

    fn put(shelf: &mut Shelf, n: u32, hold: Hold, now: u64) -> Vec<Cid> {
        shelf.put(cid(n), vec![(cid(n), 100)], hold, Mono(now))
    }

    #[test]
    fn the_longest_unused_goes_first_and_what_stays_never() {
        let mut shelf = shelf(3);
        assert_eq!(put(&mut shelf, 1, CACHE, 1), []);
        assert_eq!(put(&mut shelf, 2, CACHE, 2), []);
        assert_eq!(put(&mut shelf, 3, STAYS, 3), []);
        shelf.used(&cid(1), Mono(4));
        assert_eq!(put(&mut shelf, 4, CACHE, 5), [cid(2)]);
        assert_eq!(put(&mut shelf, 5, CACHE, 6), [cid(1)]);
        assert!(shelf.has(&cid(3)) && shelf.has(&cid(4)) && shelf.has(&cid(5)));
        assert_eq!(shelf.load().0, shelf.load().1);
    }

    #[test]
    fn what_is_let_go_is_a_cache() {
        let mut shelf = shelf(1);
        put(&mut shelf, 1, STAYS, 1);
        assert!(!shelf.admits(1), "what stays fills it");
        shelf.keep(&cid(1), CACHE);
        assert!(shelf.admits(100) && !shelf.admits(101));
        assert_eq!(put(&mut shelf, 2, STAYS, 2), [cid(1)]);
    }

    #[test]
    fn what_finds_no_room_at_all_goes_itself() {
        let mut shelf = shelf(1);
        put(&mut shelf, 1, STAYS, 1);
        assert_eq!(put(&mut shelf, 2, CACHE, 2), [cid(2)]);
        assert!(shelf.has(&cid(1)) && !shelf.has(&cid(2)));
    }

    #[test]
    fn shared_blocks_count_once_and_go_with_the_last() {
        let mut shelf = shelf(10);
        let blocks = |n| vec![(cid(n), 100), (cid(100), 100)];
        shelf.put(cid(1), blocks(1), STAYS, Mono(1));
        shelf.put(cid(2), blocks(2), STAYS, Mono(1));
        assert_eq!(shelf.load().0, 3 * (100 + BLOCK_OVERHEAD));
        assert_eq!(shelf.remove(&cid(1)), [cid(1)]);
        let mut rest = shelf.remove(&cid(2));
        rest.sort_unstable();
        let mut both = vec![cid(2), cid(100)];
        both.sort_unstable();
        assert_eq!((rest, shelf.load().0), (both, 0));
    }

    #[test]
    fn blocks_of_nothing_go_before_a_cache() {
        let mut shelf = shelf(2);
        put(&mut shelf, 1, CACHE, 1);
        shelf.found(cid(9), 100);
        assert_eq!(put(&mut shelf, 2, CACHE, 2), [cid(9)]);
        assert!(shelf.has(&cid(1)));
    }

    #[test]
    fn a_block_that_is_in_a_content_twice_counts_once() {
        let mut shelf = shelf(2);
        shelf.put(cid(1), vec![(cid(1), 100), (cid(2), 100), (cid(2), 100)], CACHE, Mono(1));
        assert_eq!(shelf.load().0, 2 * (100 + BLOCK_OVERHEAD));
        assert_eq!(shelf.remove(&cid(1)).len(), 2);
        assert_eq!(shelf.load().0, 0);
    }
}
