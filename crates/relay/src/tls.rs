//! The certificate files of secure WebSocket listeners.

use std::path::{Path, PathBuf};
use std::{fs, io};

use mesh_net::{Tls, TlsError};

use crate::config;

/// Files that give no certificate: one sentence that names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFileError {
    #[error("cannot read the certificate file {}: {source}; see tls.certificate", path.display())]
    ReadCertificate { path: PathBuf, source: io::Error },
    #[error("cannot read the key file {} of the certificate: {source}; see tls.key", path.display())]
    ReadKey { path: PathBuf, source: io::Error },
    #[error("the certificate file {} is of no use: {reason}", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("the key file {} of the certificate is of no use: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
    #[error("the certificate {} and the key {} cannot be used together: {reason}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, reason: String },
}

/// The certificate that `files` name, `None` when they name none.
pub(crate) fn load(files: &config::Tls) -> Result<Option<Tls>, TlsFileError> {
    let config::Tls { certificate, key } = files;
    if certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    let (chain, secret) = read(certificate, key)?;
    Tls::from_pem(&chain, &secret).map(Some).map_err(|error| blame(error, files))
}

/// Reads the files again, into `tls`. When they are of no use, the former certificate stays.
pub(crate) fn reload(files: &config::Tls, tls: &Tls) -> Result<(), TlsFileError> {
    let (chain, secret) = read(&files.certificate, &files.key)?;
    tls.replace(&chain, &secret).map_err(|error| blame(error, files))
}

fn read(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>), TlsFileError> {
    let chain = fs::read(certificate)
        .map_err(|source| TlsFileError::ReadCertificate { path: certificate.to_owned(), source })?;
    let secret = fs::read(key).map_err(|source| TlsFileError::ReadKey { path: key.to_owned(), source })?;
    Ok((chain, secret))
}

fn blame(error: TlsError, config::Tls { certificate, key }: &config::Tls) -> TlsFileError {
    let (certificate, key) = (certificate.clone(), key.clone());
    match error {
        TlsError::Certificate(reason) => TlsFileError::Certificate { path: certificate, reason },
        TlsError::Key(reason) => TlsFileError::Key { path: key, reason },
        TlsError::Pair(reason) => TlsFileError::Pair { certificate, key, reason },
    }
}
