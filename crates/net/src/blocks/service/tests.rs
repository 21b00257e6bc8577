//! What the machine says and keeps, step by step and in any order.

use mesh_unixfs::directory;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use self::world::*;
use super::*;
use crate::blocks::Limit;

mod world;

#[test]
fn a_fetch_takes_what_is_missing_from_others_and_tells_who_waits() {
    let (root, blocks) = file(30_000, 1);
    let mut world = World::new(&blocks[..10]);
    world.others_have(&blocks);
    let peer = PeerId::random();
    let id = world.fetch(root.cid, &[peer]);
    assert_eq!(world.said, [Output::Want(root.cid, vec![peer]), Output::Dial(peer)]);
    world.settle();
    assert_eq!(world.fetched(id).unwrap(), Dag { root: root.cid, blocks: sizes(&blocks) });
    let added = world.said.iter().filter(|said| matches!(said, Output::Added(_))).count();
    assert_eq!(added, sizes(&blocks).len() - 10);
    assert_eq!(world.blocks.received(), sizes(&blocks[10..]).iter().map(|(_, size)| size).sum::<u64>());
    world.check_idle();
    // What is all here is nobody's business.
    world.said.clear();
    let id = world.fetch(root.cid, &[peer]);
    world.settle();
    assert_eq!(world.fetched(id).unwrap().blocks.len(), sizes(&blocks).len());
    assert_eq!(world.said, []);
}

#[test]
fn reading_and_listing_keep_nothing() {
    let (root, blocks) = file(30_000, 1);
    let (dir, dir_block) = directory([("a", root)]).unwrap();
    let mut world = World::new(&blocks[..10]);
    world.others_have(&blocks);
    world.others_have(std::slice::from_ref(&dir_block));
    let read = world.read(root.cid);
    let list = world.blocks.list(dir.cid, 1, Vec::new(), PATIENCE, world.now).unwrap();
    let too_long = world.blocks.list(dir.cid, 0, Vec::new(), PATIENCE, world.now).unwrap();
    let too_large = world.blocks.read(root.cid, (None, 29_999), Vec::new(), PATIENCE, world.now).unwrap();
    let part = world.blocks.read(root.cid, (Some(500..2_500), 2_000), Vec::new(), PATIENCE, world.now).unwrap();
    world.settle();
    let Some(Event::Read(Ok(pieces))) = world.event(read) else { panic!() };
    assert!(pieces.concat() == bytes(30_000, 1));
    let Some(Event::Read(Ok(pieces))) = world.event(part) else { panic!() };
    assert!(pieces.concat() == bytes(30_000, 1)[500..2_500]);
    let Some(Event::Listed(Ok(entries))) = world.event(list) else { panic!() };
    assert_eq!((entries.len(), entries[0].cid), (1, root.cid));
    let error = mesh_unixfs::Error::TooManyEntries { limit: 0 };
    assert_eq!(world.event(too_long), Some(Event::Listed(Err(error.into()))));
    let error = mesh_unixfs::Error::TooLarge { size: 30_000, limit: 29_999 };
    assert_eq!(world.event(too_large), Some(Event::Read(Err(error.into()))));
    assert_eq!(world.store.len(), 10);
    world.check_idle();
}

#[test]
fn what_others_ask_for_is_answered_by_heart_where_it_can_be() {
    let (kept, absent, peer) = (one(1), one(2), PeerId::random());
    let mut world = World::new(std::slice::from_ref(&kept));
    world.handle(look(peer, &kept, false));
    assert_eq!(world.looked(peer, *kept.cid()), Some(Found::Size(2000)));
    world.handle(look(peer, &absent, true));
    assert_eq!(world.looked(peer, *absent.cid()), Some(Found::Nothing));
    assert!(world.loads.is_empty());
    world.handle(look(peer, &kept, true));
    assert_eq!((world.loads.len(), world.looked(peer, *kept.cid())), (1, None));
    world.settle();
    assert_eq!(world.looked(peer, *kept.cid()), Some(Found::Block(kept.clone())));
    // It is hot now.
    world.handle(look(peer, &kept, true));
    assert_eq!(world.looked(peer, *kept.cid()), Some(Found::Block(kept.clone())));
    // A store that fails has nothing, and keeps it.
    let other = one(3);
    let mut world = World::new(std::slice::from_ref(&other));
    world.handle(look(peer, &other, true));
    world.handle(Input::Loaded(*other.cid(), Loaded::Failed(BlockStoreError::Failed("no".into()))));
    assert_eq!(world.looked(peer, *other.cid()), Some(Found::Nothing));
    assert_eq!(world.blocks.kept().blocks(), 1);
}

#[test]
fn a_block_is_read_once_for_everybody_and_so_many_at_once() {
    let kept: Vec<_> = (0..MAX_READS as u64 + 5).map(one).collect();
    let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
    let mut world = World::new(&kept);
    let job = world.read(*kept[0].cid());
    for peer in &peers {
        kept.iter().for_each(|block| world.handle(look(*peer, block, true)));
    }
    assert_eq!(world.loads.len(), MAX_READS);
    world.load(0);
    assert_eq!(world.loads.len(), MAX_READS, "the next one");
    world.settle();
    for peer in &peers {
        assert!(kept.iter().all(|block| world.looked(*peer, *block.cid()) == Some(Found::Block(block.clone()))));
    }
    assert!(matches!(world.event(job), Some(Event::Read(Ok(_)))));
    world.check_idle();
}

#[test]
fn jobs_are_bounded_at_the_limit_and_one_past() {
    let mut world = World::new(&[]);
    let ids: Vec<_> = (0..MAX_JOBS as u64).map(|seed| world.fetch(*one(seed).cid(), &[])).collect();
    let busy = |world: &mut World| {
        let (now, cid) = (world.now, *one(999).cid());
        let all = [
            world.blocks.fetch(cid, Vec::new(), Limits::default(), now),
            world.blocks.read(cid, (None, 1), Vec::new(), 1, now),
            world.blocks.list(cid, 1, Vec::new(), 1, now),
            world.blocks.import(),
        ];
        all.iter().all(|begun| *begun == Err(BlocksError::Busy))
    };
    assert!(busy(&mut world));
    world.blocks.cancel(ids[0], world.now);
    world.drain();
    assert_eq!(world.fetched(ids[0]).unwrap_err().error, BlocksError::Cancelled);
    assert!(!busy(&mut world));
}

#[test]
fn blocks_are_bounded_at_the_limit_and_one_past() {
    let names = (0..MAX_KEPT as u64 - 1).map(|n| {
        let hash = cid::multihash::Multihash::wrap(0x12, &[&n.to_be_bytes()[..], &[7; 24]].concat()).unwrap();
        (Cid::new_v1(0x55, hash), 1)
    });
    let mut world = World::new(&[]);
    world.blocks = Blocks::new(Kept::new(names.collect()));
    let (last, past) = (one(1), one(2));
    world.others_have(&[last.clone(), past.clone()]);
    let id = world.fetch(*last.cid(), &[]);
    world.settle();
    world.fetched(id).unwrap();
    assert_eq!(world.blocks.kept().blocks(), MAX_KEPT);
    let id = world.fetch(*past.cid(), &[]);
    world.settle();
    assert_eq!(world.fetched(id).unwrap_err().error, BlocksError::Store(BlockStoreError::Full));
}

#[test]
fn who_is_silent_is_given_up_and_not_before() {
    let (root, blocks) = file(5_000, 1);
    let mut world = World::new(&[]);
    let (fetch, read) = (world.fetch(root.cid, &[]), world.read(root.cid));
    assert_eq!(world.blocks.poll_timeout(), Some(T0 + PATIENCE));
    world.advance(PATIENCE - 1);
    assert!(world.events.is_empty());
    // Something comes, and there is as much time again.
    world.others_have(&blocks[5..]);
    world.settle();
    let due = world.now + PATIENCE;
    assert_eq!(world.blocks.poll_timeout(), Some(due));
    world.advance(PATIENCE - 1);
    assert!(world.events.is_empty());
    world.advance(1);
    let missing = *blocks[..5].iter().map(Block::cid).min().unwrap();
    assert_eq!(world.event(read), Some(Event::Read(Err(BlocksError::NotFound(missing)))));
    world.settle();
    let failed = world.fetched(fetch).unwrap_err();
    assert_eq!((failed.error, failed.kept), (BlocksError::NotFound(missing), sizes(&blocks[5..])));
    world.check_idle();
}

#[test]
fn what_two_want_is_asked_for_until_neither_does() {
    let block = one(1);
    let mut world = World::new(&[]);
    let (a, b) = (world.fetch(*block.cid(), &[]), world.read(*block.cid()));
    world.blocks.cancel(a, world.now);
    world.drain();
    assert!(world.wants.contains(block.cid()), "the other one does");
    assert_eq!(world.event(b), None);
    world.blocks.cancel(b, world.now);
    world.drain();
    assert!(world.event(b).is_some() && world.fetched(a).is_err());
    world.check_idle();
}

#[test]
fn peers_are_dialled_found_and_searched_for() {
    let (block, peers) = (one(1), [(); 3].map(|()| PeerId::random()));
    let mut world = World::new(&[]);
    world.fetch(*block.cid(), &peers[..1]);
    world.said.clear();
    world.handle(Input::Connected(peers[1]));
    assert_eq!(world.said, [], "nobody has named it");
    world.handle(Input::Connected(peers[0]));
    assert_eq!(std::mem::take(&mut world.said), [Output::Found(*block.cid(), vec![peers[0]])]);

    let searched = [Output::Dial(peers[0]), Output::Search(*block.cid())];
    world.handle(Input::Search(*block.cid()));
    assert_eq!(std::mem::take(&mut world.said), searched);
    world.now = world.now + (SEARCH_MS - 1);
    world.handle(Input::Search(*block.cid()));
    assert_eq!(world.said, [], "once in a while is enough");
    world.now = world.now + 1;
    world.handle(Input::Search(*block.cid()));
    assert_eq!(std::mem::take(&mut world.said), searched);

    world.handle(Input::Providers(*block.cid(), peers[1..].to_vec()));
    let found = Output::Found(*block.cid(), peers[1..].to_vec());
    assert_eq!(std::mem::take(&mut world.said), [Output::Dial(peers[1]), Output::Dial(peers[2]), found]);
    world.handle(Input::Connected(peers[2]));
    assert_eq!(std::mem::take(&mut world.said), [Output::Found(*block.cid(), vec![peers[2]])]);
    // Of what nobody wants there is nothing to tell.
    world.handle(Input::Providers(*one(2).cid(), peers.to_vec()));
    assert_eq!(world.said, []);

    let many: Vec<_> = (0..MAX_FROM + 1).map(|_| PeerId::random()).collect();
    world.fetch(*one(3).cid(), &many);
    assert_eq!(world.said.iter().filter(|said| matches!(said, Output::Dial(_))).count(), MAX_FROM);
}

#[test]
fn what_a_job_counts_on_is_not_deleted() {
    let (root, blocks) = file(5_000, 1);
    let mut world = World::new(&blocks[1..]);
    let id = world.fetch(root.cid, &[]);
    world.settle();
    assert_eq!(world.wants.len(), 1, "the first chunk is missing");
    let all: Vec<_> = blocks.iter().map(|block| *block.cid()).collect();
    let other = one(9);
    let deleted = world.delete(&[&all[..], &[*other.cid()]].concat());
    world.settle();
    assert_eq!(world.event(deleted), Some(Event::Deleted(Ok(()))));
    assert_eq!(world.store.len(), blocks.len() - 1);
    world.others_have(&blocks);
    world.settle();
    assert_eq!(world.fetched(id).unwrap().blocks, sizes(&blocks));
    let deleted = world.delete(&all);
    // From now on it is gone, for whoever asks.
    let peer = PeerId::random();
    world.handle(look(peer, &blocks[2], true));
    assert_eq!(world.looked(peer, all[2]), Some(Found::Nothing));
    world.settle();
    assert_eq!(world.event(deleted), Some(Event::Deleted(Ok(()))));
    let gone =
        world.said.iter().rev().find_map(|said| if let Output::Gone(cids) = said { Some(cids.len()) } else { None });
    assert_eq!((gone, world.store.len()), (Some(all.len()), 0));
    world.check_idle();
}

#[test]
fn what_could_not_be_deleted_is_kept() {
    let block = one(1);
    let mut world = World::new(std::slice::from_ref(&block));
    let id = world.delete(&[*block.cid()]);
    world.write = None;
    world.handle(Input::Written(Err(BlockStoreError::Full)));
    assert_eq!(world.event(id), Some(Event::Deleted(Err(BlockStoreError::Full))));
    world.check_idle();
}

#[test]
fn a_damaged_block_is_deleted_and_fetched_again() {
    let (root, blocks) = file(5_000, 1);
    let mut world = World::new(&blocks);
    world.others_have(&blocks);
    let (id, peer) = (world.fetch(root.cid, &[]), PeerId::random());
    world.handle(look(peer, blocks.last().unwrap(), true));
    assert_eq!(world.loads, [root.cid]);
    world.loads.clear();
    world.handle(Input::Loaded(root.cid, Loaded::Damaged));
    assert_eq!(world.write, Some(Output::Delete(vec![root.cid])));
    assert_eq!(world.looked(peer, root.cid), Some(Found::Nothing));
    world.settle();
    assert_eq!(world.fetched(id).unwrap().blocks, sizes(&blocks));
    assert_eq!(world.store.len(), sizes(&blocks).len());
    world.check_idle();
}

/// Imports blocks in batches of four.
fn add(world: &mut World, root: Root, blocks: &[Block]) -> (JobId, Option<Event>) {
    let id = world.blocks.import().unwrap();
    let mut batches = blocks.chunks(4).peekable();
    while let Some(batch) = batches.next() {
        let last = batches.peek().is_none().then_some(root);
        world.handle(Input::Imported(id, batch.to_vec(), last));
        world.settle();
        match world.event(id) {
            Some(Event::Saved) => {}
            other => return (id, other),
        }
    }
    panic!("it does not end")
}

#[test]
fn a_file_is_added_in_batches() {
    let (root, blocks) = file(30_000, 1);
    let mut world = World::new(&blocks[..3]);
    let dag = Dag { root: root.cid, blocks: sizes(&blocks) };
    assert_eq!(add(&mut world, root, &blocks).1, Some(Event::Added(Ok((root, dag.clone())))));
    assert_eq!(add(&mut world, root, &blocks).1, Some(Event::Added(Ok((root, dag)))), "once more");
    world.check_idle();
}

#[test]
fn what_does_not_fit_is_not_added_at_all() {
    let (root, blocks) = file(30_000, 1);
    let mut world = World::new(&blocks[..3]);
    world.room = 20_000;
    let full = BlocksError::Store(BlockStoreError::Full);
    assert_eq!(add(&mut world, root, &blocks).1, Some(Event::Added(Err(full))));
    world.settle();
    assert_eq!(world.store.len(), 3, "what was kept before is kept");
    // The same for one that is given up, while a part is on its way.
    world.room = u64::MAX;
    let id = world.blocks.import().unwrap();
    world.handle(Input::Imported(id, blocks[..10].to_vec(), None));
    world.settle();
    world.handle(Input::Imported(id, blocks[10..20].to_vec(), None));
    world.blocks.cancel(id, world.now);
    world.settle();
    assert_eq!(world.store.len(), 3);
    world.handle(Input::Imported(id, blocks[20..].to_vec(), Some(root)));
    assert_eq!(world.write, None, "it is over");
    world.check_idle();
}

#[test]
fn a_directory_is_adopted_with_what_is_in_it() {
    let (root, blocks) = file(5_000, 1);
    let (dir, block) = directory([("a", root)]).unwrap();
    let mut world = World::new(&blocks);
    let id = world.blocks.adopt(block.clone(), Vec::new(), Limits::default(), T0).unwrap();
    world.settle();
    let dag = world.fetched(id).unwrap();
    assert_eq!((dag.root, dag.blocks.len()), (dir.cid, sizes(&blocks).len() + 1));
    assert!(world.store.contains_key(&dir.cid));
    let few = Limits { blocks: 2, ..Limits::default() };
    let id = world.blocks.adopt(block, Vec::new(), few, T0).unwrap();
    world.settle();
    assert_eq!(world.fetched(id).unwrap_err().error, BlocksError::TooLarge(Limit::Blocks(2)));
}

/// Anything happens in any order, and in the end the machine knows what is kept, and nothing is left.
#[test]
fn whatever_happens_nothing_is_left_behind() {
    let files: Vec<_> = (0..5).map(|seed| file(3_000 * (1 + seed as usize), seed % 4)).collect();
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for seed in 0..300 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(&[]);
        world.room = 40_000;
        for (_, blocks) in &files[..3] {
            world.others_have(blocks);
        }
        let mut jobs = Vec::new();
        for _ in 0..150 {
            let (root, blocks) = &files[random.next_u32() as usize % files.len()];
            match random.next_u32() % 20 {
                0 | 1 => jobs.push(world.fetch(root.cid, &[])),
                2 => jobs.push(world.read(root.cid)),
                3 => {
                    let id = world.blocks.import().unwrap();
                    world.handle(Input::Imported(id, blocks.clone(), Some(*root)));
                    jobs.push(id);
                }
                4 => {
                    let some = blocks
                        .iter()
                        .filter(|_| random.next_u32() % 2 == 0)
                        .map(|block| *block.cid())
                        .collect::<Vec<_>>();
                    world.delete(&some);
                }
                5 if !jobs.is_empty() => {
                    let id = jobs.swap_remove(random.next_u32() as usize % jobs.len());
                    world.blocks.cancel(id, world.now);
                    world.drain();
                }
                6 => world.advance(u64::from(random.next_u32()) % PATIENCE),
                7 => world.handle(look(PeerId::random(), &blocks[0], true)),
                8..11 if !world.loads.is_empty() => world.load(random.next_u32() as usize % world.loads.len()),
                11..14 if world.write.is_some() => world.write(),
                _ => {
                    let wants: Vec<_> = world.wants.iter().copied().collect();
                    if !wants.is_empty() {
                        world.come(wants[random.next_u32() as usize % wants.len()]);
                    }
                }
            }
        }
        world.settle();
        while world.blocks.poll_timeout().is_some() {
            world.advance(PATIENCE);
            world.settle();
        }
        world.check_idle();
        for (_, event) in &world.events {
            *outcomes
                .entry(match event {
                    Event::Fetched(Ok(_)) => "fetched",
                    Event::Fetched(Err(failed)) if failed.error == BlockStoreError::Full.into() => "full",
                    Event::Fetched(Err(_)) => "not fetched",
                    Event::Read(Ok(_)) => "read",
                    Event::Added(Ok(_)) => "added",
                    Event::Added(Err(_)) => "not added",
                    Event::Read(Err(_)) | Event::Listed(_) | Event::Deleted(_) | Event::Saved | Event::Progress(_) => {
                        "other"
                    }
                })
                .or_default() += 1;
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes.len() == 7 && outcomes.values().all(|count| *count > 50), "all of it happens: {outcomes:?}");
}
