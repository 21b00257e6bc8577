//! Where a relay keeps blocks, and the entries that stand for them: one file, a [redb](https://docs.rs/redb) database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `sizes` | CID | bytes of the block, so that a list reads no data |
//! | `slices` | CID, then which slice (`u16`, big-endian) | at most [`SLICE`] bytes of it |
//! | `records` | the core's name of a record | the record |
//!
//! Each batch is one transaction: after a crash it is there, or it is not. A database stops at the first error of its file, a
//! full disk included; it is then opened anew, as it was after the last transaction. Pages are not written over, so to delete
//! takes some of them too: a file beside the store holds them ready for a disk that has none. All of it happens on threads that
//! may block.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::future::BoxFuture;
use mesh_core::records::Change;
use mesh_net::blocks::{BlockStore, BlockStoreError, MemoryBlocks};
use mesh_net::{Store, StoreError};
use mesh_unixfs::Block;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, Error, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    TableDefinition, TableError, WriteTransaction,
};

use crate::config::Blocks;

const SIZES: TableDefinition<'_, &[u8], u64> = TableDefinition::new("sizes");
const SLICES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("slices");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// Bytes of a slice. A value gets pages of a power of two: 128 KiB hold this with its key, and a block of 1 MiB in one piece
/// would get 2 MiB.
const SLICE: usize = 130_560;

/// Bytes that the database keeps in memory. The node keeps what is asked for most beside them.
const CACHE: usize = 16 * 1024 * 1024;

/// Bytes that are held ready for a deletion on a full disk: it writes a page of 4 KiB for some fifty blocks, and what says
/// which pages are free, 64 KiB for each GiB.
const RESERVE: usize = 2 * 1024 * 1024;

/// Why there is no store: one sentence with the path and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockFileError {
    #[error(
        "the block store {} is in use by another process: stop that relay, or give this one a store of its own with --blocks",
        .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "cannot use the block store {}: {source}; check its permissions, or name another one with --blocks", path.display()
    )]
    Unusable { path: PathBuf, source: Box<Error> },
}

/// Where blocks are kept, and entries if anything is.
type Stores = (Arc<dyn BlockStore>, Option<Arc<dyn Store>>);

/// The store that is configured, for a relay whose key is in the file `key`.
pub(crate) fn open(config: &Blocks, key: &Path) -> Result<Stores, BlockFileError> {
    Ok(match config.max_bytes {
        0 => (Arc::new(MemoryBlocks::new(0)), None),
        max_bytes => {
            let file = Arc::new(FileBlocks::open(&config.path(key), max_bytes)?);
            (file.clone(), Some(file))
        }
    })
}

/// Whether the store that is configured can be used: also while another relay has it open. Creates nothing.
pub(crate) fn check(config: &Blocks, key: &Path) -> Result<(), BlockFileError> {
    match open(config, key) {
        Ok(_) | Err(BlockFileError::InUse(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the database is in.
pub(crate) trait Place: std::fmt::Debug + Send + Sync + 'static {
    /// What reads and writes it.
    type Backend: StorageBackend;

    /// Opens it; `None` if there is none and none is to be made.
    fn open(&self, create: bool) -> Result<Option<Self::Backend>, DatabaseError>;

    /// Holds [`RESERVE`] bytes of the disk, if there are so many.
    fn take_reserve(&self);

    /// Gives them back. Whether there were any.
    fn yield_reserve(&self) -> bool;
}

/// A file that comes into being with the first block, readable by its owner only.
#[derive(Debug)]
pub(crate) struct AtPath(PathBuf);

impl Place for AtPath {
    type Backend = FileBackend;

    fn open(&self, create: bool) -> Result<Option<FileBackend>, DatabaseError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        if create && let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        match options.open(&self.0) {
            Ok(file) => FileBackend::new(file).map(Some),
            Err(error) if !create && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn take_reserve(&self) {
        let path = self.reserve();
        let is_whole = |file: fs::Metadata| file.len() == RESERVE as u64;
        // Half of one is none.
        if !fs::metadata(&path).is_ok_and(is_whole) && fs::write(&path, vec![0xa5; RESERVE]).is_err() {
            let _ = fs::remove_file(&path);
        }
    }

    fn yield_reserve(&self) -> bool {
        fs::remove_file(self.reserve()).is_ok()
    }
}

impl AtPath {
    fn reserve(&self) -> PathBuf {
        let mut name = self.0.as_os_str().to_owned();
        name.push(".reserve");
        name.into()
    }
}

/// Blocks in a file.
#[derive(Debug)]
pub(crate) struct FileBlocks<P: Place = AtPath>(Arc<Inner<P>>);

#[derive(Debug)]
struct Inner<P> {
    place: P,
    max_bytes: u64,
    database: RwLock<Option<Database>>,
    /// Bytes of all blocks. Held while something is put or deleted: one at a time.
    bytes: Mutex<u64>,
}

impl FileBlocks {
    /// The store in the file at `path`, with room for `max_bytes` bytes of blocks. Nobody else can open it meanwhile.
    pub(crate) fn open(path: &Path, max_bytes: u64) -> Result<Self, BlockFileError> {
        Self::at(AtPath(path.to_owned()), max_bytes).map_err(|error| {
            let path = path.to_owned();
            if matches!(error, Error::DatabaseAlreadyOpen) {
                BlockFileError::InUse(path)
            } else {
                BlockFileError::Unusable { path, source: Box::new(error) }
            }
        })
    }
}

impl<P: Place> FileBlocks<P> {
    fn at(place: P, max_bytes: u64) -> Result<Self, Error> {
        let inner = Inner { place, max_bytes, database: RwLock::default(), bytes: Mutex::default() };
        let all = inner.with(false, list)?.unwrap_or_default();
        *lock(&inner.bytes) = all.iter().map(|(_, size)| size).sum();
        Ok(Self(Arc::new(inner)))
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner<P>) -> Result<T, BlockStoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BlockStoreError>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&inner)).await;
            done.unwrap_or_else(|error| Err(BlockStoreError::Failed(error.to_string())))
        })
    }
}

impl<P: Place> BlockStore for FileBlocks<P> {
    fn list(&self) -> BoxFuture<'static, Result<Vec<(Cid, u64)>, BlockStoreError>> {
        self.blocking(|inner| Ok(inner.with(false, list).map_err(told)?.unwrap_or_default()))
    }

    fn get(&self, cid: Cid) -> BoxFuture<'static, Result<Option<Bytes>, BlockStoreError>> {
        self.blocking(move |inner| Ok(inner.with(false, |database| get(database, &cid)).map_err(told)?.flatten()))
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'static, Result<(), BlockStoreError>> {
        self.blocking(move |inner| {
            if blocks.is_empty() {
                return Ok(());
            }
            let mut bytes = lock(&inner.bytes);
            let room = inner.max_bytes.saturating_sub(*bytes);
            let put = inner.with(true, |database| put(database, &blocks, room)).map_err(told)?;
            let new = put.flatten().ok_or(BlockStoreError::Full)?;
            *bytes += new;
            inner.place.take_reserve();
            Ok(())
        })
    }

    fn delete(&self, cids: Vec<Cid>) -> BoxFuture<'static, Result<(), BlockStoreError>> {
        self.blocking(move |inner| {
            let mut bytes = lock(&inner.bytes);
            let again = || inner.with(false, |database| delete(database, &cids)).map_err(told);
            let gone = match again() {
                Err(BlockStoreError::Full) if inner.place.yield_reserve() => again(),
                done => done,
            };
            *bytes = bytes.saturating_sub(gone?.unwrap_or(0));
            // If this fails, the room is there a little later.
            let _ = inner.with(false, release);
            Ok(())
        })
    }
}

impl<P: Place> Store for FileBlocks<P> {
    fn load(&self) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, StoreError>> {
        let loaded = self.blocking(|inner| Ok(inner.with(false, load).map_err(told)?.unwrap_or_default()));
        Box::pin(async move { loaded.await.map_err(|error| StoreError(error.to_string())) })
    }

    fn write(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> {
        let written = self.blocking(move |inner| {
            inner.with(true, |database| write_records(database, &changes)).map_err(told).map(drop)
        });
        Box::pin(async move { written.await.map_err(|error| StoreError(error.to_string())) })
    }
}

impl<P: Place> Inner<P> {
    /// Does something with the database, which is opened for it if it is not open; nothing, if there is none and none is made.
    fn with<T>(&self, create: bool, work: impl Fn(&Database) -> Result<T, Error>) -> Result<Option<T>, Error> {
        loop {
            let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = &*guard else {
                drop(guard);
                let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
                if guard.is_none() {
                    let Some(backend) = self.place.open(create)? else { return Ok(None) };
                    *guard = Some(Builder::new().set_cache_size(CACHE).create_with_backend(backend)?);
                }
                continue;
            };
            let done = work(database);
            let Err(error) = &done else { return done.map(Some) };
            drop(guard);
            // Somebody else's error of the file, which stops everybody.
            let of_others = matches!(error, Error::PreviousIo | Error::DatabaseClosed);
            if of_others || matches!(error, Error::Io(_)) {
                self.close();
            }
            if !of_others {
                return done.map(Some);
            }
        }
    }

    /// The next one opens it anew.
    fn close(&self) {
        self.database.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn list(database: &Database) -> Result<Vec<(Cid, u64)>, Error> {
    let sizes = match database.begin_read()?.open_table(SIZES) {
        Ok(sizes) => sizes,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for entry in sizes.iter()? {
        let (key, size) = entry?;
        // What is no CID was put there by somebody else.
        if let Ok(cid) = Cid::try_from(key.value()) {
            all.push((cid, size.value()));
        }
    }
    Ok(all)
}

fn get(database: &Database, cid: &Cid) -> Result<Option<Bytes>, Error> {
    let key = cid.to_bytes();
    let read = database.begin_read()?;
    let sizes = match read.open_table(SIZES) {
        Ok(sizes) => sizes,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(size) = sizes.get(&*key)?.map(|size| size.value()) else { return Ok(None) };
    let slices = read.open_table(SLICES)?;
    let mut data = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0).min(mesh_unixfs::MAX_BLOCK));
    for slice in slices.range(&*slice_key(&key, 0)..=&*slice_key(&key, u16::MAX))? {
        data.extend_from_slice(slice?.1.value());
    }
    Ok(Some(data.freeze()))
}

/// Bytes of the blocks that were not there before; none if they do not fit into `room`, and nothing is changed then.
fn put(database: &Database, blocks: &[Block], room: u64) -> Result<Option<u64>, Error> {
    let write = begin(database)?;
    let mut new = 0;
    {
        let (mut sizes, mut slices) = (write.open_table(SIZES)?, write.open_table(SLICES)?);
        for block in blocks {
            let (key, size) = (block.cid().to_bytes(), block.data().len() as u64);
            if sizes.insert(&*key, size)?.is_some() {
                continue;
            }
            new += size;
            if new > room {
                break;
            }
            for (slice, number) in block.data().chunks(SLICE).zip(0..) {
                slices.insert(&*slice_key(&key, number), slice)?;
            }
        }
    }
    if new > room {
        write.abort()?;
        return Ok(None);
    }
    write.commit()?;
    Ok(Some(new))
}

/// Bytes of the blocks that were there.
fn delete(database: &Database, cids: &[Cid]) -> Result<u64, Error> {
    let write = begin(database)?;
    let mut gone = 0;
    {
        let (mut sizes, mut slices) = (write.open_table(SIZES)?, write.open_table(SLICES)?);
        for cid in cids {
            let key = cid.to_bytes();
            if let Some(size) = sizes.remove(&*key)? {
                gone += size.value();
                slices.retain_in(&*slice_key(&key, 0)..=&*slice_key(&key, u16::MAX), |_, _| false)?;
            }
        }
    }
    write.commit()?;
    Ok(gone)
}

fn load(database: &Database) -> Result<Vec<(String, Bytes)>, Error> {
    let records = match database.begin_read()?.open_table(RECORDS) {
        Ok(records) => records,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for entry in records.iter()? {
        let (key, value) = entry?;
        all.push((key.value().to_owned(), Bytes::copy_from_slice(value.value())));
    }
    Ok(all)
}

fn write_records(database: &Database, changes: &[Change]) -> Result<(), Error> {
    let write = begin(database)?;
    {
        let mut records = write.open_table(RECORDS)?;
        for Change { key, value } in changes {
            match value {
                Some(value) => drop(records.insert(&**key, &**value)?),
                None => drop(records.remove(&**key)?),
            }
        }
    }
    Ok(write.commit()?)
}

/// Pages that a transaction has freed can be used again after the next one.
fn release(database: &Database) -> Result<(), Error> {
    Ok(begin(database)?.commit()?)
}

fn begin(database: &Database) -> Result<WriteTransaction, Error> {
    let mut write = database.begin_write()?;
    // To open it after a crash, or when the disk was full, takes no time then, and no room.
    write.set_quick_repair(true);
    Ok(write)
}

fn slice_key(key: &[u8], number: u16) -> Vec<u8> {
    [key, &number.to_be_bytes()].concat()
}

/// What a node is told.
fn told(error: Error) -> BlockStoreError {
    if matches!(&error, Error::Io(error) if is_full(error)) {
        BlockStoreError::Full
    } else {
        BlockStoreError::Failed(error.to_string())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

fn lock(bytes: &Mutex<u64>) -> std::sync::MutexGuard<'_, u64> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
