//! The charter of the mesh that this relay serves, if it has one.

use std::io;
use std::path::{Path, PathBuf};

use mesh_proto::charter::Charter;
use mesh_proto::limits::MAX_CHARTER;
use mesh_proto::{DecodeError, codec};

/// Why a charter cannot be had from its file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CharterFileError {
    #[error("the charter {}: {source}. createCharter() of the package neural-mesh makes one", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no charter: {source}", path.display())]
    Decode { path: PathBuf, source: DecodeError },
}

/// The charter in `path`; an empty path is none.
pub(crate) fn load(path: &Path) -> Result<Option<Charter>, CharterFileError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|source| CharterFileError::Read { path: path.to_owned(), source })?;
    let charter = codec::decode(&bytes, MAX_CHARTER);
    charter.map(Some).map_err(|source| CharterFileError::Decode { path: path.to_owned(), source })
}

/// Its bytes as digits, for the page.
pub(crate) fn hex(charter: &Charter) -> String {
    // What was decoded has an encoding.
    let bytes = codec::encode(charter, MAX_CHARTER).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
