//! The contract, crashes, and disks that are full.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mesh_net::blocks::contract;

use super::*;

/// A folder of this test's own, removed when it is done.
struct Scratch(PathBuf, AtomicUsize);

impl Scratch {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("mesh-relay-blocks-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a scratch folder");
        Self(folder, AtomicUsize::new(0))
    }

    /// Another one each time.
    fn path(&self) -> PathBuf {
        self.0.join(format!("made/{}.blocks", self.1.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn block(seed: u64, len: usize) -> Block {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    Block::raw(std::iter::repeat_with(&mut next).take(len).collect::<Vec<_>>()).expect("it fits")
}

async fn listed<P: Place>(store: &FileBlocks<P>) -> Vec<(Cid, u64)> {
    let mut list = store.list().await.expect("a list");
    list.sort_unstable();
    list
}

fn sizes<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Vec<(Cid, u64)> {
    let mut sizes: Vec<_> = blocks.into_iter().map(|block| (*block.cid(), block.data().len() as u64)).collect();
    sizes.sort_unstable();
    sizes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_keeps_the_contract() {
    let scratch = Scratch::new("contract");
    contract::holds(async |max_bytes| FileBlocks::open(&scratch.path(), max_bytes).expect("a new store")).await;
}

#[tokio::test]
async fn slices_meet_at_their_edges() {
    let scratch = Scratch::new("slices");
    let store = FileBlocks::open(&scratch.path(), u64::MAX).expect("a new store");
    let lengths = [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 2 * SLICE + 1, mesh_unixfs::MAX_BLOCK];
    let blocks: Vec<_> = lengths.iter().zip(0..).map(|(len, seed)| block(seed, *len)).collect();
    store.put(blocks.clone()).await.expect("room");
    for block in &blocks {
        assert_eq!(store.get(*block.cid()).await.as_ref(), Ok(&Some(block.data().clone())), "{}", block.data().len());
    }
    store.delete(vec![*blocks[5].cid()]).await.expect("deleted");
    assert_eq!(listed(&store).await, sizes(blocks.iter().filter(|block| *block != &blocks[5])));
    let slices = store.0.with(false, |database| Ok(database.begin_read()?.open_table(SLICES)?.iter()?.count()));
    let left: usize = lengths.iter().map(|len| len.div_ceil(SLICE)).sum::<usize>() - 2;
    assert_eq!(slices.expect("a table"), Some(left), "the slices are gone with it");
}

#[tokio::test]
async fn what_was_put_is_there_when_it_is_opened_again() {
    let scratch = Scratch::new("again");
    let path = scratch.path();
    let blocks: Vec<_> = (0..20).map(|seed| block(seed, 100_000)).collect();
    let store = FileBlocks::open(&path, 2_000_000).expect("a new store");
    assert!(!path.exists(), "there is none before the first block");
    store.put(blocks[..10].to_vec()).await.expect("room");
    store.put(blocks[10..].to_vec()).await.expect("room");
    // As it is on the disk if the process ends now.
    let crashed = scratch.path();
    fs::copy(&path, &crashed).expect("a copy");
    store.delete(vec![*blocks[0].cid()]).await.expect("deleted");
    drop(store);
    for (path, left) in [(&path, &blocks[1..]), (&crashed, &blocks[..])] {
        let store = FileBlocks::open(path, 2_000_000).expect("the same store");
        assert_eq!(listed(&store).await, sizes(left));
        assert_eq!(store.get(*blocks[19].cid()).await, Ok(Some(blocks[19].data().clone())));
        let room = usize::from(left.len() < 20) * 100_000;
        assert_eq!(store.put(vec![block(99, room + 1)]).await, Err(BlockStoreError::Full), "it is counted again");
        assert_eq!(store.put(vec![block(99, room)]).await, Ok(()));
    }
}

#[tokio::test]
async fn nobody_else_opens_it_meanwhile() {
    let scratch = Scratch::new("lock");
    let path = scratch.path();
    let store = FileBlocks::open(&path, 1_000).expect("a new store");
    store.put(vec![block(1, 10)]).await.expect("room");
    let error = FileBlocks::open(&path, 1_000).expect_err("in use").to_string();
    assert!(error.contains("in use by another process") && error.contains("--blocks"), "{error}");
    let config = |file: &Path| Blocks { max_bytes: 1_000, file: file.to_owned(), zone: String::new() };
    check(&config(&path), Path::new("key")).expect("a check does not want it for itself");
    drop(store);
    FileBlocks::open(&path, 1_000).expect("free again");

    let none = scratch.path();
    check(&config(&none), Path::new("key")).expect("it comes into being with the first block");
    assert!(!none.exists(), "a check creates nothing");
    fs::write(&none, "not a database").expect("a scratch folder");
    let error = check(&config(&none), Path::new("key")).expect_err("no store").to_string();
    assert!(error.contains("--blocks"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("mode");
    let path = scratch.path();
    let store = FileBlocks::open(&path, 1_000).expect("a new store");
    store.put(vec![block(1, 10)]).await.expect("room");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_no_store_is_named_and_stays_as_it_is() {
    let scratch = Scratch::new("damaged");
    let path = scratch.0.join("notes");
    fs::write(&path, "hello").expect("a file");
    let error = FileBlocks::open(&path, 1_000).expect_err("no database").to_string();
    assert!(error.contains("cannot use the block store") && error.contains("notes"), "{error}");
    assert_eq!(fs::read(&path).expect("a file"), b"hello");
}

/// A file on a disk with so much room: of all that is written, what is past it fails.
#[derive(Debug)]
struct OnSmallDisk {
    file: AtPath,
    room: Arc<AtomicU64>,
    /// What was set aside.
    reserve: AtomicU64,
}

#[derive(Debug)]
struct SmallDisk {
    file: FileBackend,
    room: Arc<AtomicU64>,
}

impl Place for OnSmallDisk {
    type Backend = SmallDisk;

    fn open(&self, create: bool) -> Result<Option<SmallDisk>, DatabaseError> {
        Ok(self.file.open(create)?.map(|file| SmallDisk { file, room: self.room.clone() }))
    }

    // Set aside from the beginning, as by the first block of a store on a disk that is filled by others.
    fn take_reserve(&self) {}

    fn yield_reserve(&self) -> bool {
        let reserve = self.reserve.swap(0, Ordering::Relaxed);
        self.room.fetch_add(reserve, Ordering::Relaxed);
        reserve > 0
    }
}

impl StorageBackend for SmallDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    // A file may be longer than it has pages on the disk.
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset + data.len() as u64 > self.room.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_what_is_kept_stays_readable() {
    let scratch = Scratch::new("disk");
    let room = Arc::new(AtomicU64::new(u64::MAX));
    let place = OnSmallDisk { file: AtPath(scratch.path()), room: room.clone(), reserve: AtomicU64::new(0) };
    let store = FileBlocks::at(place, u64::MAX).expect("a new store");
    let before: Vec<_> = (0..5).map(|seed| block(seed, 300_000)).collect();
    store.put(before.clone()).await.expect("room");
    // As much as is used now, and a little more each time: the write that fails is another one.
    let used = store.0.with(false, |_| Ok(fs::metadata(&store.0.place.file.0)?.len())).expect("a file").expect("open");
    let mut full = 0;
    for more in 0..40 {
        room.store(used + more * 20_000, Ordering::Relaxed);
        let batch: Vec<_> = (0..4).map(|seed| block(100 + seed, 250_000)).collect();
        let put = store.put(batch.clone()).await;
        for block in &before {
            assert_eq!(store.get(*block.cid()).await, Ok(Some(block.data().clone())), "{more}: {put:?}");
        }
        match put {
            Ok(()) => {
                assert_eq!(listed(&store).await, sizes(before.iter().chain(&batch)), "{more}");
                let gone: Vec<_> = batch.iter().map(|block| *block.cid()).collect();
                if store.delete(gone.clone()).await == Err(BlockStoreError::Full) {
                    assert_eq!(listed(&store).await.len(), 9, "{more}: all of them, or none");
                    room.store(u64::MAX, Ordering::Relaxed);
                    store.delete(gone).await.expect("deleted");
                }
            }
            Err(error) => {
                assert_eq!(error, BlockStoreError::Full, "{more}");
                full += 1;
            }
        }
        assert_eq!(listed(&store).await, sizes(&before), "{more}: none of the batch is left");
    }
    println!("{full} of 40 did not fit");
    assert!(full > 10, "{full}");
    room.store(u64::MAX, Ordering::Relaxed);
    store.put(vec![block(500, 1_000_000)]).await.expect("there is room again");
    assert_eq!(listed(&store).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_full_to_the_last_page_blocks_can_be_deleted() {
    let scratch = Scratch::new("reserve");
    let (room, reserve) = (Arc::new(AtomicU64::new(u64::MAX)), AtomicU64::new(RESERVE as u64));
    let place = OnSmallDisk { file: AtPath(scratch.path()), room: room.clone(), reserve };
    let store = FileBlocks::at(place, u64::MAX).expect("a new store");
    let blocks: Vec<_> = (0..200).map(|seed| block(seed, 20_000)).collect();
    store.put(blocks.clone()).await.expect("room");
    room.store(0, Ordering::Relaxed);
    let gone: Vec<_> = blocks[..100].iter().map(|block| *block.cid()).collect();
    assert_eq!(store.delete(gone.clone()).await, Err(BlockStoreError::Full), "even the reserve is too far behind");
    assert_eq!(listed(&store).await.len(), 200);
    room.store(fs::metadata(&store.0.place.file.0).expect("a file").len(), Ordering::Relaxed);
    store.delete(gone).await.expect("deleted");
    assert_eq!(listed(&store).await, sizes(&blocks[100..]));
    store.put(blocks[..50].to_vec()).await.expect("what was deleted has left room");
}

#[tokio::test]
async fn a_reserve_lies_beside_the_file() {
    let scratch = Scratch::new("beside");
    let path = scratch.path();
    let store = FileBlocks::open(&path, 1_000).expect("a new store");
    let reserve = path.with_extension("blocks.reserve");
    assert!(!reserve.exists());
    store.put(vec![block(1, 10)]).await.expect("room");
    assert_eq!(fs::metadata(&reserve).expect("a reserve").len(), RESERVE as u64);
    assert!(store.0.place.yield_reserve() && !store.0.place.yield_reserve() && !reserve.exists());
    store.put(vec![block(2, 10)]).await.expect("room");
    assert!(reserve.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_takes_little_more_than_what_is_in_it() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new("size");
    let path = scratch.path();
    let store = FileBlocks::open(&path, u64::MAX).expect("a new store");
    for batch in 0..32 {
        store.put((0..2).map(|seed| block(2 * batch + seed, 1024 * 1024)).collect()).await.expect("room");
    }
    // It may have holes, which take no room.
    let used = fs::metadata(&path).expect("a file").blocks() * 512;
    println!("64 blocks of 1 MiB take {} KiB", used / 1024);
    assert!(used < 64 * 1024 * 1024 * 21 / 20, "{used}");
}
