//! The certificate of `/webrtc-direct` listeners. It is made with the first of them, and kept beside the key file: its
//! hash is part of their addresses.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use libp2p::Multiaddr;
use mesh_net::{Direct, DirectError};

use crate::config::{Config, is_webrtc_direct};
use crate::key;

/// What the file's name has more than that of the key file.
const SUFFIX: &str = ".webrtc.pem";

/// A certificate file that is of no use: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectFileError {
    #[error("cannot read {}, the certificate of /webrtc-direct: {source}; check its permissions", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot create {}, the certificate of /webrtc-direct: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot make a certificate for /webrtc-direct: {0}")]
    Make(DirectError),
    #[error(
        "{}, the certificate of /webrtc-direct, is of no use: {reason}; restore it from a copy, or move it away to have \
         a new one made (that changes the hash in the relay's addresses)",
        path.display()
    )]
    Useless { path: PathBuf, reason: DirectError },
}

/// Whether there is a listener that needs it.
fn is_needed(config: &Config) -> bool {
    config.listen.iter().any(is_webrtc_direct)
}

/// The certificate, where it is needed. `None` also where there is no file yet.
pub(crate) fn load(config: &Config) -> Result<Option<Direct>, DirectFileError> {
    if is_needed(config) { read(&beside(&config.key)) } else { Ok(None) }
}

/// The certificate, where it is needed; made when there is none.
pub(crate) fn load_or_create(config: &Config) -> Result<Option<Direct>, DirectFileError> {
    if !is_needed(config) {
        return Ok(None);
    }
    let path = beside(&config.key);
    if let Some(kept) = read(&path)? {
        return Ok(Some(kept));
    }
    let made = Direct::generate().map_err(DirectFileError::Make)?;
    let pem = made.to_pem().map_err(DirectFileError::Make)?;
    match key::create(&path, pem.as_bytes()) {
        Ok(()) => Ok(Some(made)),
        // Another relay was quicker: the certificate is the one in the file.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => read(&path),
        Err(source) => Err(DirectFileError::Create { path, source }),
    }
}

/// `addresses`, with the certificate's hash in those that end in `/webrtc-direct`.
pub(crate) fn with_hash(addresses: &[Multiaddr], certificate: Option<&Direct>) -> Vec<Multiaddr> {
    let whole = |address: &Multiaddr| match certificate {
        Some(certificate) if is_webrtc_direct(address) => certificate.in_address(address.clone()),
        Some(_) | None => address.clone(),
    };
    addresses.iter().map(whole).collect()
}

fn beside(key: &Path) -> PathBuf {
    let mut path = OsString::from(key);
    path.push(SUFFIX);
    path.into()
}

fn read(path: &Path) -> Result<Option<Direct>, DirectFileError> {
    match fs::read(path) {
        Ok(pem) => match Direct::from_pem(&pem) {
            Ok(kept) => Ok(Some(kept)),
            Err(reason) => Err(DirectFileError::Useless { path: path.to_owned(), reason }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DirectFileError::Read { path: path.to_owned(), source }),
    }
}
