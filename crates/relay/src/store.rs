//! Where a relay keeps what it must not forget of a private mesh: its credentials, whom it has let in, what was taken back.
//!
//! One file, in canonical CBOR, that is written anew with each change: beside itself, synced, and then given its name. So a
//! crash leaves what was there before or what came after. Each record has a checksum of the core's. The lock is on a file of
//! its own, because the store's is another one after each write.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use mesh_core::records::Change;
use mesh_net::{Store, StoreError};
use mesh_proto::codec::{self, Bounded};
use mesh_proto::{DecodeError, EncodeError};
use serde::{Deserialize, Serialize};

use crate::key::sync_folder;

/// Bytes of the file. A founder's ten thousand redeemed invites are 5 MB, and as many revocations 4 MB.
const MAX_FILE: usize = 32 * 1024 * 1024;
/// Records in it, several times what the core keeps.
const MAX_RECORDS: usize = 64 * 1024;
/// Bytes of a record's key.
const MAX_KEY: usize = 256;

/// Version of the format.
const VERSION: u8 = 1;

/// Why there is no store: one sentence with the path and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreFileError {
    #[error(
        "the store {} is in use by another process: stop that relay, or give this one a store of its own with --store",
        .0.display()
    )]
    InUse(PathBuf),
    #[error("cannot use the store {}: {source}; check its permissions, or name another one with --store", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the store {} is damaged ({source}): restore it from a copy, or move it away to begin with a new one (the relay then \
         forgets which invites were used)",
        path.display()
    )]
    Damaged { path: PathBuf, source: DecodeError },
}

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    v: u8,
    records: BTreeMap<String, Bytes>,
}

impl Bounded for Contents {
    fn check(&self) -> Result<(), DecodeError> {
        if self.v != VERSION {
            return Err(DecodeError::Malformed(format!("version {} is not known here", self.v)));
        }
        codec::bound("records", self.records.len(), MAX_RECORDS)?;
        self.records.keys().try_for_each(|key| codec::bound("key", key.len(), MAX_KEY))
    }

    fn is_bulk(&self) -> bool {
        true
    }
}

/// A store in a file.
#[derive(Debug)]
pub(crate) struct FileStore {
    path: PathBuf,
    records: Arc<Mutex<Records>>,
    /// How many changes are in the file. Held while it is written: one at a time.
    written: Arc<Mutex<u64>>,
    /// Locked as long as this lives.
    _lock: File,
}

#[derive(Debug)]
struct Records {
    contents: Contents,
    /// How many changes were made.
    changes: u64,
}

impl FileStore {
    /// The store in the file at `path`, which comes into being with the first change. Nobody else can open it meanwhile.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreFileError> {
        let io = |source| StoreFileError::Io { path: path.to_owned(), source };
        fs::create_dir_all(folder(path)).map_err(io)?;
        let lock = open_private(&beside(path, ".lock").map_err(io)?, OpenOptions::new().create(true)).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreFileError::InUse(path.to_owned()),
            TryLockError::Error(source) => io(source),
        })?;
        let contents = read(path)?.unwrap_or(Contents { v: VERSION, records: BTreeMap::new() });
        let records = Records { contents, changes: 0 };
        Ok(Self { path: path.to_owned(), records: Arc::new(Mutex::new(records)), written: Arc::default(), _lock: lock })
    }
}

/// Whether a store at `path` can be read, if there is one.
pub(crate) fn check(path: &Path) -> Result<(), StoreFileError> {
    read(path).map(drop)
}

impl Store for FileStore {
    fn load(&self) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, StoreError>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner).contents.records.clone();
        Box::pin(std::future::ready(Ok(records.into_iter().collect())))
    }

    fn write(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> {
        // Now and not in the other thread, so that they are made in the order in which they were asked for.
        let upto = self.records.lock().unwrap_or_else(PoisonError::into_inner).apply(changes);
        let (path, records, written) = (self.path.clone(), Arc::clone(&self.records), Arc::clone(&self.written));
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || write_upto(&path, &records, &written, upto)).await;
            done.map_err(|error| StoreError(error.to_string()))?.map_err(|error| StoreError(error.to_string()))
        })
    }
}

impl Records {
    fn apply(&mut self, changes: Vec<Change>) -> u64 {
        for Change { key, value } in changes {
            match value {
                Some(value) => self.contents.records.insert(key, value),
                None => self.contents.records.remove(&key),
            };
        }
        self.changes += 1;
        self.changes
    }
}

/// Writes the file unless another write has taken these changes with it.
fn write_upto(path: &Path, records: &Mutex<Records>, written: &Mutex<u64>, upto: u64) -> io::Result<()> {
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    if *written >= upto {
        return Ok(());
    }
    let (bytes, changes) = {
        let records = records.lock().unwrap_or_else(PoisonError::into_inner);
        (encode(&records.contents).map_err(io::Error::other)?, records.changes)
    };
    replace(path, &bytes)?;
    *written = changes;
    Ok(())
}

fn encode(contents: &Contents) -> Result<Vec<u8>, EncodeError> {
    let len = contents.records.len();
    if len > MAX_RECORDS {
        return Err(EncodeError::TooLong { len, max: MAX_RECORDS });
    }
    codec::encode(contents, MAX_FILE)
}

fn read(path: &Path) -> Result<Option<Contents>, StoreFileError> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE as u64 + 1;
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreFileError::Io { path: path.to_owned(), source }),
    }
    let damaged = |source| StoreFileError::Damaged { path: path.to_owned(), source };
    codec::decode(&bytes, MAX_FILE).map(Some).map_err(damaged)
}

/// Puts `bytes` in the place of the file at `path`, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = beside(path, ".new")?;
    let mut file = open_private(&draft, OpenOptions::new().create(true).truncate(true))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_folder(folder(path))
}

fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.write(true).open(path)
}

fn beside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(ending);
    Ok(path.with_file_name(name))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed when it is done.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("mesh-relay-store-{test}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a scratch folder");
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("made/store")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn put(key: &str, value: &str) -> Change {
        Change { key: key.to_owned(), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
    }

    async fn kept(store: &FileStore) -> Vec<(String, Bytes)> {
        store.load().await.expect("what is kept")
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_a_crash() {
        let scratch = Scratch::new("crash");
        let store = FileStore::open(&scratch.path()).expect("a new store");
        assert_eq!(kept(&store).await, []);
        store.write(vec![put("a", "1"), put("b", "2")]).await.expect("written");
        let gone = Change { key: "a".to_owned(), value: None };
        store.write(vec![gone, put("b", "3")]).await.expect("written");
        drop(store);
        fs::write(scratch.0.join("made/store.new"), "half of a wri").expect("what a crash leaves");
        let store = FileStore::open(&scratch.path()).expect("the same store");
        assert_eq!(kept(&store).await, [("b".to_owned(), Bytes::from_static(b"3"))]);
        store.write(vec![put("c", "4")]).await.expect("written");
        assert_eq!(kept(&store).await.len(), 2);
    }

    #[tokio::test]
    async fn writes_are_made_in_the_order_in_which_they_were_asked_for() {
        let scratch = Scratch::new("order");
        let store = FileStore::open(&scratch.path()).expect("a new store");
        let writes: Vec<_> = (0..50).map(|n| store.write(vec![put("n", &n.to_string())])).collect();
        // The last one first.
        for write in writes.into_iter().rev() {
            tokio::spawn(write).await.expect("a task").expect("written");
        }
        drop(store);
        let store = FileStore::open(&scratch.path()).expect("the same store");
        assert_eq!(kept(&store).await, [("n".to_owned(), Bytes::from_static(b"49"))]);
    }

    #[test]
    fn nobody_else_opens_it_meanwhile() {
        let scratch = Scratch::new("lock");
        let store = FileStore::open(&scratch.path()).expect("a new store");
        let error = FileStore::open(&scratch.path()).expect_err("in use").to_string();
        assert!(error.contains("in use by another process") && error.contains("--store"), "{error}");
        drop(store);
        FileStore::open(&scratch.path()).expect("free again");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("mode");
        let store = FileStore::open(&scratch.path()).expect("a new store");
        store.write(vec![put("a", "1")]).await.expect("written");
        for name in ["store", "store.lock"] {
            let metadata = fs::metadata(scratch.0.join("made").join(name)).expect("metadata");
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_one_sentence_and_stays_as_it_is() {
        let scratch = Scratch::new("damaged");
        let store = FileStore::open(&scratch.path()).expect("a new store");
        store.write(vec![put("a", "1")]).await.expect("written");
        drop(store);
        let whole = fs::read(scratch.path()).expect("a file");
        let other = Contents { v: 2, records: BTreeMap::new() };
        let other = codec::encode(&other, MAX_FILE).expect("bytes");
        for bytes in [&whole[..whole.len() - 1], &[], b"hello", &[&whole[..], b"0"].concat(), &other] {
            fs::write(scratch.path(), bytes).expect("a file");
            let error = FileStore::open(&scratch.path()).expect_err("damaged").to_string();
            assert!(error.contains("is damaged (") && error.contains("move it away"), "{error}");
            assert_eq!(check(&scratch.path()).expect_err("damaged").to_string(), error);
            assert_eq!(fs::read(scratch.path()).expect("still there"), bytes);
        }
    }

    #[test]
    fn too_much_is_not_written() {
        let records = |count: usize| (0..count).map(|n| (n.to_string(), Bytes::new())).collect();
        assert!(encode(&Contents { v: VERSION, records: records(MAX_RECORDS) }).is_ok());
        assert!(encode(&Contents { v: VERSION, records: records(MAX_RECORDS + 1) }).is_err());
        let long = BTreeMap::from([("a".to_owned(), Bytes::from(vec![0; MAX_FILE]))]);
        assert!(encode(&Contents { v: VERSION, records: long }).is_err());
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_to_is_named() {
        let scratch = Scratch::new("place");
        let file = scratch.0.join("file");
        fs::write(&file, "a file, not a folder").expect("a file");
        let error = FileStore::open(&file.join("store")).expect_err("no such place").to_string();
        assert!(error.contains("cannot use the store") && error.contains("--store"), "{error}");
        let store = FileStore::open(&scratch.path()).expect("a new store");
        fs::remove_dir_all(scratch.0.join("made")).expect("gone");
        store.write(vec![put("a", "1")]).await.expect_err("nowhere to write to");
    }
}
