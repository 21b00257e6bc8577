//! A machine, and a store and a network in memory that answer when they are told to.

use mesh_unixfs::{Layout, import};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::super::*;

pub(super) const PATIENCE: u64 = 5_000;
pub(super) const SMALL: Layout = Layout { chunk: 1000, width: 10 };
pub(super) const T0: Mono = Mono(1_000_000);

/// A machine and all that it is connected with.
pub(super) struct World {
    pub(super) blocks: Blocks,
    pub(super) now: Mono,
    pub(super) store: BTreeMap<Cid, Block>,
    pub(super) room: u64,
    /// What others have.
    pub(super) others: BTreeMap<Cid, Block>,
    /// Asked of others, and of the store, and not answered yet.
    pub(super) wants: BTreeSet<Cid>,
    pub(super) loads: Vec<Cid>,
    pub(super) write: Option<Output>,
    /// All else that was said.
    pub(super) said: Vec<Output>,
    pub(super) events: Vec<(JobId, Event)>,
}

impl World {
    pub(super) fn new(kept: &[Block]) -> Self {
        let store: BTreeMap<_, _> = kept.iter().map(|block| (*block.cid(), block.clone())).collect();
        Self {
            blocks: Blocks::new(Kept::new(sizes(kept))),
            now: T0,
            store,
            room: u64::MAX,
            others: BTreeMap::new(),
            wants: BTreeSet::new(),
            loads: Vec::new(),
            write: None,
            said: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn others_have(&mut self, blocks: &[Block]) {
        self.others.extend(blocks.iter().map(|block| (*block.cid(), block.clone())));
    }

    /// Notes what is said.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.blocks.poll_output() {
            match output {
                Output::Load(cid) => self.loads.push(cid),
                Output::Put(_) | Output::Delete(_) => {
                    assert!(self.write.is_none(), "one after the other");
                    self.write = Some(output);
                }
                Output::Want(cid, from) => {
                    self.wants.insert(cid);
                    self.said.push(Output::Want(cid, from));
                }
                Output::Cancel(cid) => assert!(self.wants.remove(&cid), "{cid} was not asked for"),
                Output::Event(_, Event::Progress(_)) => {}
                Output::Event(id, event) => self.events.push((id, event)),
                output @ (Output::Found(..)
                | Output::Added(_)
                | Output::Looked(..)
                | Output::Dial(_)
                | Output::Search(_)
                | Output::Gone(_)) => self.said.push(output),
            }
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.blocks.handle(input, self.now);
        self.drain();
    }

    /// The store reads what was asked for `at`th.
    pub(super) fn load(&mut self, at: usize) {
        let cid = self.loads.swap_remove(at);
        let loaded = self.store.get(&cid).cloned().map_or(Loaded::Missing, Loaded::Block);
        self.handle(Input::Loaded(cid, loaded));
    }

    /// The store does what it was told.
    pub(super) fn write(&mut self) {
        let result = match self.write.take() {
            Some(Output::Put(blocks)) => {
                let used: u64 = self.store.values().chain(&blocks).map(|block| block.data().len() as u64).sum();
                if used <= self.room {
                    self.store.extend(blocks.into_iter().map(|block| (*block.cid(), block)));
                    Ok(())
                } else {
                    Err(BlockStoreError::Full)
                }
            }
            Some(Output::Delete(cids)) => {
                cids.iter().for_each(|cid| drop(self.store.remove(cid)));
                Ok(())
            }
            other => panic!("nothing to write: {other:?}"),
        };
        self.handle(Input::Written(result));
    }

    /// A block comes, if anybody has it.
    pub(super) fn come(&mut self, cid: Cid) -> bool {
        let Some(block) = self.others.get(&cid).cloned() else { return false };
        self.wants.remove(&cid);
        self.handle(Input::Got(block));
        true
    }

    /// Everything happens that can.
    pub(super) fn settle(&mut self) {
        self.drain();
        loop {
            if !self.loads.is_empty() {
                self.load(0);
            } else if self.write.is_some() {
                self.write();
            } else if let Some(cid) = self.wants.iter().copied().find(|cid| self.others.contains_key(cid)) {
                self.come(cid);
            } else {
                return;
            }
        }
    }

    pub(super) fn fetch(&mut self, root: Cid, from: &[PeerId]) -> JobId {
        let limits = Limits { patience_ms: PATIENCE, ..Limits::default() };
        let id = self.blocks.fetch(root, from.to_vec(), limits, self.now).unwrap();
        self.drain();
        id
    }

    pub(super) fn read(&mut self, cid: Cid) -> JobId {
        let id = self.blocks.read(cid, (None, u64::MAX), Vec::new(), PATIENCE, self.now).unwrap();
        self.drain();
        id
    }

    pub(super) fn delete(&mut self, cids: &[Cid]) -> JobId {
        let id = self.blocks.delete(cids.to_vec(), self.now);
        self.drain();
        id
    }

    pub(super) fn event(&mut self, id: JobId) -> Option<Event> {
        let at = self.events.iter().position(|(of, _)| *of == id)?;
        Some(self.events.remove(at).1)
    }

    pub(super) fn fetched(&mut self, id: JobId) -> Fetched {
        match self.event(id) {
            Some(Event::Fetched(result)) => result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn looked(&mut self, peer: PeerId, cid: Cid) -> Option<Found> {
        let at =
            self.said.iter().position(|said| matches!(said, Output::Looked(to, of, _) if (*to, *of) == (peer, cid)))?;
        let Output::Looked(_, _, found) = self.said.remove(at) else { return None };
        Some(found)
    }

    pub(super) fn advance(&mut self, millis: u64) {
        self.now = self.now + millis;
        self.blocks.handle_timeout(self.now);
        self.drain();
    }

    /// The machine knows what is kept, and nothing is left of what is over.
    pub(super) fn check_idle(&self) {
        assert_eq!(self.blocks.kept.sizes.keys().collect::<Vec<_>>(), self.store.keys().collect::<Vec<_>>());
        let bytes: u64 = self.store.values().map(|block| block.data().len() as u64).sum();
        assert_eq!(self.blocks.kept.bytes(), bytes);
        assert!(self.wants.is_empty() && self.blocks.wanted.is_empty(), "{:?}", self.wants);
        assert!(self.blocks.jobs.is_empty() && self.blocks.reads.is_empty() && self.blocks.to_read.is_empty());
        assert_eq!((self.blocks.reading, self.blocks.poll_timeout()), (0, None));
    }
}

pub(super) fn sizes(blocks: &[Block]) -> Vec<(Cid, u64)> {
    let sizes: BTreeMap<_, _> = blocks.iter().map(|block| (*block.cid(), block.data().len() as u64)).collect();
    sizes.into_iter().collect()
}

pub(super) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

pub(super) fn file(len: usize, seed: u64) -> (Root, Vec<Block>) {
    import(&bytes(len, seed), SMALL).unwrap()
}

pub(super) fn one(seed: u64) -> Block {
    Block::raw(bytes(2000, seed)).unwrap()
}

pub(super) fn look(peer: PeerId, block: &Block, read: bool) -> Input {
    Input::Look(Look { peer, cid: *block.cid(), read })
}
