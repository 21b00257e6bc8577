//! The key file: who this relay is, across restarts.
//!
//! Holds the 32-byte seed of an Ed25519 key (RFC 8032, section 5.1.5) as 64 hexadecimal digits or as raw bytes. It is
//! created with a fresh seed when there is none, whole or not at all, readable by its owner only. A file that exists
//! is never written to: a relay that lost its key is a stranger to everybody who holds its address.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a seed.
pub(crate) const SEED: usize = 32;

/// The longest file looked at; a key file with generous white space is far shorter.
const MAX_FILE: u64 = 1024;

/// A seed and where it came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The Ed25519 seed.
    pub(crate) seed: [u8; SEED],
    /// Whether the file was made just now.
    pub(crate) created: bool,
}

/// Why there is no key: one sentence with the path and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// Neither 64 hexadecimal digits nor 32 bytes.
    #[error(
        "the key file {} holds neither 64 hexadecimal digits nor 32 raw bytes; restore it from a copy, or move it away \
         to have a new one made (that changes the relay's peer id)",
        path.display()
    )]
    Malformed { path: PathBuf },
    /// Exists and cannot be read.
    #[error("cannot read the key file {}: {source}; check its permissions, or name another one with --key", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Does not exist and cannot be created.
    #[error("cannot create the key file {}: {source}; name a writable place with --key", path.display())]
    Create { path: PathBuf, source: io::Error },
}

/// The key in the file at `path`, which is created with the seed of `fresh` when it does not exist.
pub(crate) fn load_or_create(path: &Path, fresh: impl FnOnce() -> io::Result<[u8; SEED]>) -> Result<Key, KeyError> {
    if let Some(seed) = load(path)? {
        return Ok(Key { seed, created: false });
    }
    let not_created = |source| KeyError::Create { path: path.to_owned(), source };
    let seed = fresh().map_err(not_created)?;
    let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    match create(path, format!("{digits}\n").as_bytes()) {
        Ok(()) => Ok(Key { seed, created: true }),
        // Another relay was quicker: the key is the one in the file.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => match load(path)? {
            Some(seed) => Ok(Key { seed, created: false }),
            None => Err(not_created(source)),
        },
        Err(source) => Err(not_created(source)),
    }
}

/// The seed in the file at `path`, `None` when there is no such file.
pub(crate) fn load(path: &Path) -> Result<Option<[u8; SEED]>, KeyError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeyError::Read { path: path.to_owned(), source }),
    }
    let seed = parse(&bytes).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })?;
    warn_if_open(path);
    Ok(Some(seed))
}

fn parse(bytes: &[u8]) -> Option<[u8; SEED]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let digits = std::str::from_utf8(bytes).ok()?.trim();
    if digits.len() != 2 * SEED || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut seed = [0; SEED];
    for (byte, at) in seed.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(seed)
}

/// Makes a file that only its owner reads: writes the whole of it beside `path` and then gives it its name, which fails
/// when the name is taken.
pub(crate) fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = folder.join(name);
    let done = write_new(&draft, contents).and_then(|()| match fs::hard_link(&draft, path) {
        // File systems without hard links lose the guarantee that a crash leaves no half-written file, and no other.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_new(path, contents),
        linked => linked,
    });
    // A draft that stays behind does no harm: nobody reads it.
    let _ = fs::remove_file(&draft);
    done?;
    sync_folder(folder)
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Makes the new name survive a power cut. Only Unix can open a folder for that.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Says so when others on this machine may read the key.
fn warn_if_open(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others may read the key file; chmod 600 makes it private");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed when it is done.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("mesh-relay-key-{test}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a scratch folder");
            Self(folder)
        }

        fn file(&self, bytes: &[u8]) -> PathBuf {
            let path = self.0.join("key");
            fs::write(&path, bytes).expect("a scratch file");
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn no_fresh() -> io::Result<[u8; SEED]> {
        panic!("an existing key file must be used");
    }

    #[test]
    fn a_missing_file_is_created_with_its_folders_and_then_reused() {
        let scratch = Scratch::new("create");
        let path = scratch.0.join("a/b/key");
        let made = load_or_create(&path, || Ok([7; SEED])).expect("a new key");
        assert_eq!(made, Key { seed: [7; SEED], created: true });
        assert_eq!(fs::read_to_string(&path).expect("text"), "07".repeat(SEED) + "\n");
        let again = load_or_create(&path, no_fresh).expect("the same key");
        assert_eq!(again, Key { seed: [7; SEED], created: false });
        let files = fs::read_dir(scratch.0.join("a/b")).expect("folder").count();
        assert_eq!(files, 1, "no draft is left behind");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("mode");
        let path = scratch.0.join("key");
        load_or_create(&path, || Ok([7; SEED])).expect("a new key");
        let mode = fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn hexadecimal_and_raw_files_are_read() {
        let seed: [u8; SEED] = std::array::from_fn(|at| u8::try_from(at * 8 + 3).expect("a byte"));
        let hex: String = seed.iter().map(|byte| format!("{byte:02X}")).collect();
        for bytes in [seed.to_vec(), hex.clone().into_bytes(), format!("  {hex}\r\n").into_bytes()] {
            let scratch = Scratch::new("read");
            assert_eq!(load_or_create(&scratch.file(&bytes), no_fresh).expect("a key").seed, seed);
        }
    }

    #[test]
    fn a_bad_file_is_one_sentence_and_stays_as_it_is() {
        for bytes in [&b""[..], b"hello", &[0xff; 33], "zz".repeat(SEED).as_bytes(), "07".repeat(SEED + 1).as_bytes()] {
            let scratch = Scratch::new("bad");
            let path = scratch.file(bytes);
            let error = load_or_create(&path, no_fresh).expect_err("a bad file").to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains("move it away"), "{error}");
            assert!(!error.contains('\n'), "{error}");
            assert_eq!(fs::read(&path).expect("still there"), bytes);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_written_to() {
        let scratch = Scratch::new("taken");
        let path = scratch.file(b"precious");
        let error = create(&path, &[7; SEED]).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn a_place_that_cannot_be_created_is_named() {
        let scratch = Scratch::new("place");
        let file = scratch.file(b"a file, not a folder");
        let error = load_or_create(&file.join("key"), || Ok([7; SEED])).expect_err("no such place").to_string();
        assert!(error.contains("key file") && error.contains("--key"), "{error}");
    }
}
