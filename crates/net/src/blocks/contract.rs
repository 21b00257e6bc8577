//! What every block store has to do, as tests: memory, files and databases, in Rust and in JavaScript, pass the same ones.

use bytes::Bytes;
use cid::Cid;
use mesh_unixfs::{Block, MAX_BLOCK};

use super::store::{BlockStore, BlockStoreError};

/// Runs all tests, each with a store of its own. `make` makes one that is empty and has room for so many bytes of blocks,
/// and no more.
///
/// # Panics
/// When a store does something else than it should; the message says what.
pub async fn holds<S: BlockStore>(make: impl AsyncFn(u64) -> S) {
    an_empty_one_has_nothing(&make(1_000_000).await).await;
    what_was_put_is_there(&make(4_000_000).await).await;
    what_is_put_twice_is_there_once(&make(3_000).await).await;
    what_was_deleted_is_gone(&make(10_000).await).await;
    blocks_of_every_size(&make(MAX_BLOCK as u64 + 1).await).await;
    a_batch_is_kept_whole_or_not_at_all(&make(10_000).await).await;
    a_full_one_stays_readable_and_goes_on(&make(10_000).await).await;
    codecs_are_kept_apart(&make(10_000).await).await;
    reads_and_writes_at_once(&make(1_000_000).await).await;
}

/// A block of `len` bytes, another one for each `seed`.
fn block(seed: u64, len: usize) -> Block {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(len).collect();
    Block::raw(bytes).expect("no test makes a larger one")
}

async fn put(store: &dyn BlockStore, blocks: &[&Block]) -> Result<(), BlockStoreError> {
    store.put(blocks.iter().map(|block| (*block).clone()).collect()).await
}

async fn get(store: &dyn BlockStore, cid: &Cid) -> Option<Bytes> {
    store.get(*cid).await.expect("a store that works reads")
}

async fn list(store: &dyn BlockStore) -> Vec<(Cid, u64)> {
    let mut list = store.list().await.expect("a store that works lists");
    list.sort_unstable();
    list
}

fn listed<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Vec<(Cid, u64)> {
    let mut list: Vec<_> = blocks.into_iter().map(|block| (*block.cid(), block.data().len() as u64)).collect();
    list.sort_unstable();
    list
}

async fn an_empty_one_has_nothing(store: &dyn BlockStore) {
    assert_eq!(list(store).await, [], "an empty store lists nothing");
    assert_eq!(get(store, block(1, 10).cid()).await, None, "a block that was never put");
    assert_eq!(store.delete(vec![*block(1, 10).cid()]).await, Ok(()), "to delete what is not kept is no error");
    assert_eq!(store.put(Vec::new()).await, Ok(()), "to put nothing is no error");
    assert_eq!(store.delete(Vec::new()).await, Ok(()), "to delete nothing is no error");
}

async fn what_was_put_is_there(store: &dyn BlockStore) {
    let blocks: Vec<_> = (0..200).map(|seed| block(seed, 1 + seed as usize * 97)).collect();
    for batch in blocks.chunks(7) {
        assert_eq!(store.put(batch.to_vec()).await, Ok(()));
    }
    assert_eq!(list(store).await, listed(&blocks), "all that was put, with its sizes");
    for block in &blocks {
        assert_eq!(get(store, block.cid()).await.as_ref(), Some(block.data()), "what was put");
    }
}

async fn what_is_put_twice_is_there_once(store: &dyn BlockStore) {
    let (a, b) = (block(1, 1_000), block(2, 2_000));
    assert_eq!(put(store, &[&a]).await, Ok(()));
    for _ in 0..3 {
        assert_eq!(put(store, &[&a, &a, &b]).await, Ok(()), "what is kept already takes no room");
    }
    assert_eq!(list(store).await, listed([&a, &b]));
    assert_eq!(store.delete(vec![*a.cid()]).await, Ok(()));
    assert_eq!(get(store, a.cid()).await, None, "deleted once is deleted, however often it was put");
}

async fn what_was_deleted_is_gone(store: &dyn BlockStore) {
    let blocks: Vec<_> = (0..6).map(|seed| block(seed, 500)).collect();
    assert_eq!(store.put(blocks.clone()).await, Ok(()));
    let gone = [*blocks[1].cid(), *blocks[4].cid(), *block(99, 5).cid(), *blocks[1].cid()];
    assert_eq!(store.delete(gone.to_vec()).await, Ok(()), "some of these are kept");
    assert_eq!(get(store, blocks[1].cid()).await, None);
    assert_eq!(list(store).await, listed([&blocks[0], &blocks[2], &blocks[3], &blocks[5]]));
    assert_eq!(put(store, &[&blocks[1]]).await, Ok(()), "and can be put again");
    assert_eq!(get(store, blocks[1].cid()).await.as_ref(), Some(blocks[1].data()));
}

async fn blocks_of_every_size(store: &dyn BlockStore) {
    let (empty, largest) = (block(1, 0), block(2, MAX_BLOCK));
    assert_eq!(put(store, &[&empty, &largest]).await, Ok(()));
    assert_eq!(get(store, empty.cid()).await, Some(Bytes::new()), "an empty block is one");
    assert_eq!(get(store, largest.cid()).await.as_ref(), Some(largest.data()));
    assert_eq!(list(store).await, listed([&empty, &largest]));
}

async fn a_batch_is_kept_whole_or_not_at_all(store: &dyn BlockStore) {
    let before = block(1, 4_000);
    assert_eq!(put(store, &[&before]).await, Ok(()));
    let batch: Vec<_> = (2..9).map(|seed| block(seed, 1_000)).collect();
    assert_eq!(store.put(batch.clone()).await, Err(BlockStoreError::Full), "7,000 bytes where 6,000 fit");
    assert_eq!(list(store).await, listed([&before]), "none of them is kept");
    for block in &batch {
        assert_eq!(get(store, block.cid()).await, None);
    }
}

async fn a_full_one_stays_readable_and_goes_on(store: &dyn BlockStore) {
    let (a, b, c) = (block(1, 4_000), block(2, 6_000), block(3, 1));
    assert_eq!(put(store, &[&a]).await, Ok(()));
    assert_eq!(put(store, &[&b]).await, Ok(()), "exactly as much as fits");
    for _ in 0..3 {
        assert_eq!(put(store, &[&c]).await, Err(BlockStoreError::Full), "one byte past it");
        assert_eq!(get(store, a.cid()).await.as_ref(), Some(a.data()));
        assert_eq!(list(store).await, listed([&a, &b]));
        assert_eq!(put(store, &[&a]).await, Ok(()), "what is kept already fits");
    }
    assert_eq!(store.delete(vec![*a.cid()]).await, Ok(()));
    assert_eq!(put(store, &[&c]).await, Ok(()), "there is room again");
    assert_eq!(list(store).await, listed([&b, &c]));
    assert_eq!(put(store, &[&block(4, 3_999)]).await, Ok(()), "all that was deleted");
    assert_eq!(put(store, &[&block(5, 1)]).await, Err(BlockStoreError::Full));
}

async fn codecs_are_kept_apart(store: &dyn BlockStore) {
    // An empty node, as raw bytes, by CIDv1 and by CIDv0: three names, and each is asked for by itself.
    let node = [0x0a, 0x02, 0x08, 0x01];
    let blocks = [
        Block::raw(node.to_vec()),
        Block::dag_pb(node.to_vec()),
        Block::with_prefix(&[0x00, 0x70, 0x12, 0x20], node.to_vec()),
    ];
    let blocks = blocks.map(|block| block.expect("a block"));
    assert_eq!(put(store, &[&blocks[1]]).await, Ok(()));
    assert_eq!((get(store, blocks[0].cid()).await, get(store, blocks[2].cid()).await), (None, None));
    assert_eq!(store.put(blocks.to_vec()).await, Ok(()));
    assert_eq!(list(store).await, listed(&blocks));
    assert_eq!(store.delete(vec![*blocks[0].cid()]).await, Ok(()));
    assert_eq!(list(store).await, listed(&blocks[1..]));
}

async fn reads_and_writes_at_once(store: &dyn BlockStore) {
    let blocks: Vec<_> = (0..40).map(|seed| block(seed, 1_000)).collect();
    assert_eq!(store.put(blocks[..20].to_vec()).await, Ok(()));
    let reads = futures::future::join_all(blocks[..20].iter().map(|block| store.get(*block.cid())));
    let (reads, written) = futures::join!(reads, store.put(blocks[20..].to_vec()));
    assert_eq!(written, Ok(()));
    for (read, block) in reads.into_iter().zip(&blocks) {
        assert_eq!(read, Ok(Some(block.data().clone())), "what is kept is there while others are put");
    }
    assert_eq!(list(store).await, listed(&blocks));
}
