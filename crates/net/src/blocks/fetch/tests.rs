//! A world in memory: what is kept, what others have, and an order in which they answer.

use bytes::Bytes;
use mesh_unixfs::{Layout, MAX_BLOCK, directory, import};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;

/// What is kept and what others have, and what is under way.
#[derive(Default)]
struct World {
    store: BTreeMap<Cid, Block>,
    others: BTreeMap<Cid, Block>,
    room: Option<u64>,
    reads: Vec<Cid>,
    wants: Vec<Cid>,
    saves: Vec<Vec<Block>>,
    /// The most that was under way at once, and saved in one batch.
    most_out: usize,
    batches: Vec<usize>,
}

impl World {
    fn kept(&self) -> Kept {
        Kept::new(self.store.iter().map(|(cid, block)| (*cid, block.data().len() as u64)).collect())
    }

    fn bytes(&self) -> u64 {
        self.kept().bytes()
    }

    /// Runs until it is over, or waits for what nobody has.
    fn run(&mut self, fetch: &mut Fetch, random: &mut ChaCha8Rng) -> Option<Fetched> {
        loop {
            let kept = self.kept();
            while let Some(output) = fetch.poll_output(&kept) {
                match output {
                    Output::Read(cid) => self.reads.push(cid),
                    Output::Want(cid) => self.wants.push(cid),
                    Output::Save(blocks) => self.saves.push(blocks),
                    Output::Done(result) => return Some(result),
                }
                self.most_out = self.most_out.max(self.reads.len() + self.wants.len());
            }
            if !self.step(fetch, random) {
                return None;
            }
        }
    }

    /// One thing comes to an end.
    fn step(&mut self, fetch: &mut Fetch, random: &mut ChaCha8Rng) -> bool {
        let fulfilled: Vec<_> = (0..self.wants.len()).filter(|at| self.others.contains_key(&self.wants[*at])).collect();
        let choices = fulfilled.len() + self.reads.len() + self.saves.len();
        if choices == 0 {
            return false;
        }
        let choice = random.next_u32() as usize % choices;
        if let Some(at) = fulfilled.get(choice) {
            let cid = self.wants.swap_remove(*at);
            fetch.handle(Input::Block(self.others[&cid].clone()));
        } else if let Some(at) = choice.checked_sub(fulfilled.len()).filter(|at| *at < self.reads.len()) {
            let cid = self.reads.swap_remove(at);
            fetch.handle(match self.store.get(&cid) {
                Some(block) => Input::Block(block.clone()),
                None => Input::Missing(cid),
            });
        } else {
            // In their order, as the store is told.
            let blocks = self.saves.remove(0);
            let cids = blocks.iter().map(|block| *block.cid()).collect();
            let bytes: usize = blocks.iter().map(|block| block.data().len()).sum();
            self.batches.push(bytes);
            let fits = self.room.is_none_or(|room| self.bytes() + bytes as u64 <= room);
            if fits {
                self.store.extend(blocks.into_iter().map(|block| (*block.cid(), block)));
            }
            fetch.handle(Input::Saved(cids, if fits { Ok(()) } else { Err(BlockStoreError::Full) }));
        }
        true
    }
}

fn random(seed: u64) -> ChaCha8Rng {
    println!("seed {seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn file(len: usize, layout: Layout) -> (Cid, Vec<Block>) {
    let (root, blocks) = import(&bytes(len, 7), layout).unwrap();
    (root.cid, blocks)
}

fn having(blocks: &[Block]) -> World {
    World { others: blocks.iter().map(|block| (*block.cid(), block.clone())).collect(), ..World::default() }
}

fn sizes(blocks: &[Block]) -> Vec<(Cid, u64)> {
    let sizes: BTreeMap<_, _> = blocks.iter().map(|block| (*block.cid(), block.data().len() as u64)).collect();
    sizes.into_iter().collect()
}

fn limits(bytes: u64, blocks: usize) -> Limits {
    Limits { bytes, blocks, ..Limits::default() }
}

/// Fetches it all from others.
fn fetch(root: Cid, blocks: &[Block], limits: Limits) -> (Fetched, World) {
    let mut world = having(blocks);
    let result = world.run(&mut Fetch::new(root, limits), &mut random(1)).expect("it ends");
    (result, world)
}

const SMALL: Layout = Layout { chunk: 1000, width: 10 };

#[test]
fn a_file_is_fetched_whole_in_any_order() {
    let (root, blocks) = file(500_000, SMALL);
    for seed in 0..20 {
        let mut world = having(&blocks);
        let mut fetch = Fetch::new(root, Limits::default());
        let dag = world.run(&mut fetch, &mut random(seed)).expect("it ends").unwrap();
        assert_eq!(dag, Dag { root, blocks: sizes(&blocks) });
        assert_eq!(world.store.len(), dag.blocks.len(), "all of it is kept");
        assert_eq!(fetch.progress(), (dag.bytes(), dag.blocks.len()));
        assert_eq!(world.most_out, MAX_OUT, "as many at once as may be, and no more");
        assert!(fetch.poll_output(&world.kept()).is_none(), "nothing comes after the end");
    }
}

#[test]
fn what_is_kept_is_not_asked_for() {
    let (root, blocks) = file(100_000, SMALL);
    let mut world = having(&blocks);
    world.store.extend(blocks.iter().map(|block| (*block.cid(), block.clone())));
    let nobody = std::mem::take(&mut world.others);
    let dag = world.run(&mut Fetch::new(root, Limits::default()), &mut random(1)).expect("it ends").unwrap();
    assert_eq!(dag.blocks, sizes(&blocks));
    assert_eq!((world.batches.len(), world.wants.len(), nobody.len()), (0, 0, world.store.len()));
}

#[test]
fn batches_are_a_mebibyte_or_what_is_left() {
    let (root, blocks) = file(40 * 100_000, Layout { chunk: 100_000, width: 100 });
    let (result, world) = fetch(root, &blocks, Limits::default());
    result.unwrap();
    // One more block than fits, at most.
    let (last, full) = world.batches.split_last().expect("some");
    assert!(full.iter().all(|bytes| (BATCH..BATCH + 100_000).contains(bytes)), "{full:?}");
    assert!(*last > 0 && *last < BATCH + 100_000, "{last}");
}

#[test]
fn nothing_is_asked_for_while_too_much_is_not_saved() {
    let (root, blocks) = file(64 * MAX_BLOCK, Layout { chunk: MAX_BLOCK, width: 100 });
    let mut world = having(&blocks);
    let mut fetch = Fetch::new(root, Limits::default());
    let kept = world.kept();
    let mut held = 0;
    // A store that never says that it is done.
    loop {
        match fetch.poll_output(&kept) {
            Some(Output::Want(cid)) => world.wants.push(cid),
            Some(Output::Save(_)) => {}
            Some(output @ (Output::Read(_) | Output::Done(_))) => panic!("{output:?}"),
            None => {
                let Some(cid) = world.wants.pop() else { break };
                held += world.others[&cid].data().len();
                fetch.handle(Input::Block(world.others[&cid].clone()));
            }
        }
    }
    assert!((MAX_UNSAVED..=MAX_UNSAVED + MAX_OUT * MAX_BLOCK).contains(&held), "{held}");
    assert_eq!(fetch.progress().0, held as u64);
}

#[test]
fn what_is_there_twice_is_fetched_once() {
    let (root, blocks) = import(&[5; 50_000], SMALL).unwrap();
    let (result, world) = fetch(root.cid, &blocks, Limits::default());
    assert_eq!(result.unwrap().blocks, sizes(&blocks));
    assert!(world.store.len() < 10, "50 chunks, all the same: {}", world.store.len());
}

#[test]
fn directories_are_fetched_with_what_is_in_them() {
    let (a, b) = (import(&bytes(5_000, 1), SMALL).unwrap(), import(&bytes(100, 2), SMALL).unwrap());
    let (inner, inner_block) = directory([("a", a.0)]).unwrap();
    let (outer, outer_block) = directory([("inner", inner), ("b", b.0)]).unwrap();
    let all: Vec<_> = [a.1, b.1, vec![inner_block, outer_block]].concat();
    let (result, _) = fetch(outer.cid, &all, Limits::default());
    assert_eq!(result.unwrap().blocks, sizes(&all));
}

#[test]
fn of_other_codecs_only_the_block_itself_is_fetched() {
    // {"link": CID} in dag-cbor, which has a link that is not followed.
    let data = Bytes::from_static(&[0xa0]);
    let block = Block::with_prefix(&[0x01, 0x71, 0x12, 0x20], data).unwrap();
    let (result, _) = fetch(*block.cid(), std::slice::from_ref(&block), Limits::default());
    assert_eq!(result.unwrap().blocks, [(*block.cid(), 1)]);
    // A symlink links to a path and to no block.
    let link = Block::dag_pb(vec![0x0a, 0x06, 0x08, 0x04, 0x12, 0x02, b'/', b'x']).unwrap();
    let (result, _) = fetch(*link.cid(), std::slice::from_ref(&link), Limits::default());
    assert_eq!(result.unwrap().blocks, [(*link.cid(), 8)]);
}

#[test]
fn what_is_in_its_name_is_neither_asked_for_nor_kept() {
    let inline = Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"hello").unwrap());
    let (result, world) = fetch(inline, &[], Limits::default());
    assert_eq!(result.unwrap(), Dag { root: inline, blocks: Vec::new() });
    assert_eq!((world.wants.len(), world.batches.len()), (0, 0));
}

#[test]
fn bytes_are_bounded_at_the_limit_and_one_past() {
    let (root, blocks) = file(30_000, SMALL);
    let bytes: u64 = sizes(&blocks).iter().map(|(_, size)| size).sum();
    fetch(root, &blocks, limits(bytes, 1000)).0.unwrap();
    let (result, world) = fetch(root, &blocks, limits(bytes - 1, 1000));
    let failed = result.unwrap_err();
    assert_eq!(failed.error, BlocksError::TooLarge(Limit::Bytes(bytes - 1)));
    assert_eq!(failed.kept.len(), world.store.len());
    assert!(world.bytes() < bytes, "what went past it is not kept");
    // Of what is kept already, too.
    let mut world = World::default();
    world.store.extend(blocks.iter().map(|block| (*block.cid(), block.clone())));
    let result = world.run(&mut Fetch::new(root, limits(bytes - 1, 1000)), &mut random(1)).expect("it ends");
    assert_eq!(result.unwrap_err().error, BlocksError::TooLarge(Limit::Bytes(bytes - 1)));
}

#[test]
fn blocks_are_bounded_at_the_limit_and_one_past() {
    let (root, blocks) = file(30_000, SMALL);
    let count = sizes(&blocks).len();
    fetch(root, &blocks, limits(u64::MAX, count)).0.unwrap();
    let error = fetch(root, &blocks, limits(u64::MAX, count - 1)).0.unwrap_err().error;
    assert_eq!(error, BlocksError::TooLarge(Limit::Blocks(count - 1)));
    let error = fetch(root, &blocks, limits(u64::MAX, 0)).0.unwrap_err().error;
    assert_eq!(error, BlocksError::TooLarge(Limit::Blocks(0)));
}

/// A chain of so many nodes, each with one part; the last is a chunk.
fn chain(levels: usize) -> (Cid, Vec<Block>) {
    let mut blocks = vec![Block::raw(vec![1]).unwrap()];
    for _ in 1..levels {
        let mut link = vec![0x0a, 0x24];
        link.extend(blocks.last().unwrap().cid().to_bytes());
        link.extend([0x12, 0x00, 0x18, 0x01]);
        let mut node = vec![0x12, link.len() as u8];
        node.extend(link);
        node.extend([0x0a, 0x06, 0x08, 0x02, 0x18, 0x01, 0x20, 0x01]);
        blocks.push(Block::dag_pb(node).unwrap());
    }
    (*blocks.last().unwrap().cid(), blocks)
}

#[test]
fn levels_are_bounded_at_the_limit_and_one_past() {
    let (root, blocks) = chain(MAX_DEPTH);
    assert_eq!(fetch(root, &blocks, Limits::default()).0.unwrap().blocks.len(), MAX_DEPTH);
    let (root, blocks) = chain(MAX_DEPTH + 1);
    let failed = fetch(root, &blocks, Limits::default()).0.unwrap_err();
    assert_eq!(failed.error, BlocksError::TooLarge(Limit::Depth(MAX_DEPTH)));
}

#[test]
fn what_cannot_be_read_ends_it_and_is_not_kept() {
    let bad = Block::dag_pb(vec![0xff; 10]).unwrap();
    let (result, world) = fetch(*bad.cid(), std::slice::from_ref(&bad), Limits::default());
    let failed = result.unwrap_err();
    assert!(matches!(failed.error, BlocksError::Unreadable(Error::Malformed { .. })), "{failed:?}");
    assert_eq!((failed.kept.len(), world.store.len()), (0, 0));
    // Nobody can send it, so nobody is asked.
    let hash = cid::multihash::Multihash::wrap(0x13, &[0; 64]).unwrap();
    let mut world = World::default();
    let result = world.run(&mut Fetch::new(Cid::new_v1(0x55, hash), Limits::default()), &mut random(1));
    let failed = result.expect("it ends").unwrap_err();
    assert!(matches!(failed.error, BlocksError::Unreadable(Error::UnsupportedHash { .. })), "{failed:?}");
}

#[test]
fn what_nobody_has_is_named_and_the_rest_is_kept_for_the_next() {
    let (root, blocks) = file(100_000, SMALL);
    let (absent, there) = (blocks[3].clone(), blocks.iter().filter(|block| *block != &blocks[3]).cloned());
    let mut world = having(&there.collect::<Vec<_>>());
    let mut fetch = Fetch::new(root, Limits::default());
    assert_eq!(world.run(&mut fetch, &mut random(2)), None, "it waits");
    assert_eq!(world.wants, [*absent.cid()]);
    fetch.handle(Input::Silence);
    let failed = world.run(&mut fetch, &mut random(3)).expect("it ends").unwrap_err();
    assert_eq!(failed.error, BlocksError::NotFound(*absent.cid()));
    assert_eq!(failed.kept, sizes(&blocks).into_iter().filter(|(cid, _)| cid != absent.cid()).collect::<Vec<_>>());
    assert_eq!(world.store.len(), failed.kept.len());

    let before = world.batches.len();
    world.wants.clear();
    world.others = BTreeMap::from([(*absent.cid(), absent)]);
    let mut again = Fetch::new(root, Limits::default());
    let dag = world.run(&mut again, &mut random(4)).expect("it ends").unwrap();
    assert_eq!(dag.blocks, sizes(&blocks));
    assert_eq!(world.batches[before..], [1000], "only what was missing");
}

#[test]
fn one_that_is_cancelled_keeps_what_it_has() {
    let (root, blocks) = file(100_000, SMALL);
    for seed in 0..20 {
        let mut random = random(seed);
        let mut world = having(&blocks);
        let mut fetch = Fetch::new(root, Limits::default());
        for _ in 0..random.next_u32() % 60 {
            let kept = world.kept();
            while let Some(output) = fetch.poll_output(&kept) {
                match output {
                    Output::Read(cid) => world.reads.push(cid),
                    Output::Want(cid) => world.wants.push(cid),
                    Output::Save(blocks) => world.saves.push(blocks),
                    Output::Done(_) => panic!("too soon"),
                }
            }
            world.step(&mut fetch, &mut random);
        }
        let (bytes, count) = fetch.progress();
        fetch.handle(Input::Cancel);
        world.wants.clear();
        let failed = world.run(&mut fetch, &mut random).expect("it ends").unwrap_err();
        assert_eq!(failed.error, BlocksError::Cancelled);
        assert_eq!((failed.kept.len(), world.store.len(), world.bytes()), (count, count, bytes));
    }
}

#[test]
fn a_full_store_ends_it() {
    let (root, blocks) = file(5_000_000, Layout { chunk: 100_000, width: 100 });
    let mut world = having(&blocks);
    world.room = Some(2_500_000);
    let failed = world.run(&mut Fetch::new(root, Limits::default()), &mut random(5)).expect("it ends").unwrap_err();
    assert_eq!(failed.error, BlocksError::Store(BlockStoreError::Full));
    assert_eq!(failed.kept.len(), world.store.len());
    assert!(world.bytes() > 1_000_000, "the first batches fit");
}

#[test]
fn a_store_that_cannot_be_read_ends_it() {
    let (root, _) = file(5_000, SMALL);
    let mut fetch = Fetch::new(root, Limits::default());
    fetch.handle(Input::Unread(BlockStoreError::Failed("worn out".into())));
    let Some(Output::Done(Err(failed))) = fetch.poll_output(&Kept::default()) else { panic!("it goes on") };
    assert_eq!(failed.error, BlocksError::Store(BlockStoreError::Failed("worn out".into())));
}

#[test]
fn what_the_store_has_lost_is_fetched_again() {
    let (root, blocks) = file(50_000, Layout { chunk: 1000, width: 100 });
    let (lost, absent) = (*blocks[0].cid(), *blocks[1].cid());
    let mut world = having(&blocks);
    world.store.extend(blocks.iter().map(|block| (*block.cid(), block.clone())));
    world.store.remove(&absent);
    let mut fetch = Fetch::new(root, Limits::default());
    // Before it was read.
    assert_eq!(fetch.poll_output(&world.kept()), Some(Output::Read(root)));
    let root_block = world.store.remove(&root).unwrap();
    fetch.handle(Input::Missing(root));
    assert_eq!(fetch.poll_output(&world.kept()), Some(Output::Want(root)));
    fetch.handle(Input::Block(root_block));
    // When it was counted as kept.
    assert_eq!(fetch.poll_output(&world.kept()), Some(Output::Want(absent)));
    assert_eq!(fetch.poll_output(&world.kept()), None);
    let before = fetch.progress();
    world.store.remove(&lost);
    fetch.handle(Input::Lost(lost));
    assert_eq!(fetch.progress(), (before.0 - 1000, before.1 - 1));
    assert_eq!(fetch.poll_output(&world.kept()), Some(Output::Want(lost)));
    world.wants = vec![absent, lost];
    let dag = world.run(&mut fetch, &mut random(6)).expect("it ends").unwrap();
    assert_eq!((dag.blocks, world.store.len()), (sizes(&blocks), blocks.len()));
}

#[test]
fn what_was_not_asked_for_changes_nothing() {
    let (root, blocks) = file(50_000, SMALL);
    let mut world = having(&blocks);
    let mut fetch = Fetch::new(root, Limits::default());
    for block in &blocks {
        fetch.handle(Input::Block(block.clone()));
        fetch.handle(Input::Missing(*block.cid()));
        fetch.handle(Input::Lost(*block.cid()));
        fetch.handle(Input::Saved(vec![*block.cid()], Ok(())));
    }
    assert_eq!(fetch.progress(), (0, 0));
    assert_eq!(world.run(&mut fetch, &mut random(7)).expect("it ends").unwrap().blocks, sizes(&blocks));
}
