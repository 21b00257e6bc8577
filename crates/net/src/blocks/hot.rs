//! Blocks that were used last, so that what many ask for is read once.

use std::collections::BTreeMap;

use cid::Cid;
use mesh_unixfs::Block;

/// Bytes of blocks, at most.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Blocks, most of them: an empty one takes some hundred bytes all the same.
pub(crate) const MAX_BLOCKS: usize = 16 * 1024;

/// The blocks. When there is no room, those go that were used longest ago.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    blocks: BTreeMap<Cid, (u64, Block)>,
    /// When each was used last, by a count of uses.
    used: BTreeMap<u64, Cid>,
    uses: u64,
    bytes: usize,
}

impl Hot {
    /// The block, if it is here.
    pub(crate) fn get(&mut self, cid: &Cid) -> Option<Block> {
        let (used, block) = self.blocks.get_mut(cid)?;
        self.uses += 1;
        self.used.remove(used);
        self.used.insert(self.uses, *cid);
        *used = self.uses;
        Some(block.clone())
    }

    /// Takes in a block that owns its memory.
    pub(crate) fn insert(&mut self, block: Block) {
        self.remove(block.cid());
        self.uses += 1;
        self.bytes += block.data().len();
        self.used.insert(self.uses, *block.cid());
        self.blocks.insert(*block.cid(), (self.uses, block));
        while self.bytes > MAX_BYTES || self.blocks.len() > MAX_BLOCKS {
            let Some((_, oldest)) = self.used.first_key_value().map(|(used, cid)| (*used, *cid)) else { return };
            self.remove(&oldest);
        }
    }

    /// Forgets a block.
    pub(crate) fn remove(&mut self, cid: &Cid) {
        if let Some((used, block)) = self.blocks.remove(cid) {
            self.used.remove(&used);
            self.bytes -= block.data().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_unixfs::MAX_BLOCK;

    use super::*;

    fn block(seed: usize, len: usize) -> Block {
        let mut data = vec![0; len];
        let name = seed.to_le_bytes();
        data[..name.len().min(len)].copy_from_slice(&name[..name.len().min(len)]);
        Block::raw(data).unwrap()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut hot = Hot::default();
        let fit = MAX_BYTES / MAX_BLOCK;
        let blocks: Vec<_> = (0..fit).map(|seed| block(seed, MAX_BLOCK)).collect();
        blocks.iter().for_each(|block| hot.insert(block.clone()));
        assert!(hot.bytes == MAX_BYTES && blocks.iter().all(|block| hot.blocks.contains_key(block.cid())));
        assert_eq!(hot.get(blocks[0].cid()).as_ref(), Some(&blocks[0]), "used again");
        hot.insert(block(fit, 8));
        assert_eq!(hot.get(blocks[1].cid()), None, "a byte past the bound, and the oldest is gone");
        assert!(hot.get(blocks[0].cid()).is_some() && hot.get(blocks[2].cid()).is_some());
        assert_eq!((hot.blocks.len(), hot.used.len()), (fit, fit));
    }

    #[test]
    fn small_ones_are_counted() {
        let mut hot = Hot::default();
        for seed in 0..=MAX_BLOCKS {
            hot.insert(block(seed, 8));
        }
        assert_eq!((hot.blocks.len(), hot.used.len(), hot.bytes), (MAX_BLOCKS, MAX_BLOCKS, MAX_BLOCKS * 8));
        assert_eq!(hot.get(block(0, 8).cid()), None);
    }

    #[test]
    fn one_is_held_once() {
        let mut hot = Hot::default();
        for _ in 0..3 {
            hot.insert(block(1, 1_000));
        }
        assert_eq!((hot.blocks.len(), hot.bytes), (1, 1_000));
        hot.remove(block(1, 1_000).cid());
        assert_eq!((hot.blocks.len(), hot.used.len(), hot.bytes), (0, 0, 0));
    }
}
