//! The charter of the mesh that this relay serves, if it has one.

use std::io;
use std::path::{Path, PathBuf};

use mesh_proto::charter::{Charter, VERSION};
use mesh_proto::limits::MAX_CHARTER;
use mesh_proto::{DecodeError, EncodeError, NodeId, codec};

use crate::key;

/// The file of the charter that `--found` makes, unless another one is named.
const FOUNDED: &str = "mesh-relay.charter";

/// Why a charter cannot be had from its file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CharterFileError {
    #[error("the charter {}: {source}. createCharter() of the package neural-mesh makes one, or --found", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no charter: {source}", path.display())]
    Decode { path: PathBuf, source: DecodeError },
    #[error("cannot create the charter {}: {source}; name a writable place with --charter", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("the charter cannot be written: {0}")]
    Encode(#[from] EncodeError),
    #[error(
        "the charter {} is of the mesh {is:?}, not of {wanted:?}: give its name with --mesh, or name another file with \
         --charter to found another mesh",
        path.display()
    )]
    OtherName { path: PathBuf, is: String, wanted: String },
    #[error(
        "the key of this relay is no founder of {}: restore the key file that it was founded with, or leave out --found and \
         come in by --invite, without this charter",
        path.display()
    )]
    OtherFounder { path: PathBuf },
    #[error("the mesh of {} is open: nobody needs an invite there. Leave out --found", path.display())]
    Open { path: PathBuf },
}

/// The charter of a mesh that this relay has founded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Founded {
    pub(crate) charter: Charter,
    pub(crate) path: PathBuf,
    /// Whether that was now.
    pub(crate) created: bool,
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

/// The private mesh called `name` that `founder` has founded, or founds now: with itself as the only founder, and nobody who
/// votes.
pub(crate) fn found(path: &Path, name: &str, founder: NodeId) -> Result<Founded, CharterFileError> {
    let path = founded_path(path);
    if let Some(charter) = founded(&path, name, Some(founder))? {
        return Ok(Founded { charter, path, created: false });
    }
    let charter = Charter {
        v: VERSION,
        name: name.to_owned(),
        founders: vec![founder],
        threshold: 1,
        voters: Vec::new(),
        open: false,
    };
    match key::create(&path, &codec::encode(&charter, MAX_CHARTER)?) {
        Ok(()) => Ok(Founded { charter, path, created: true }),
        Err(source) => Err(CharterFileError::Create { path, source }),
    }
}

/// Whether a mesh can be founded with the file `path`, or was founded by `founder`, if it is known.
pub(crate) fn check(path: &Path, name: &str, founder: Option<NodeId>) -> Result<(), CharterFileError> {
    founded(&founded_path(path), name, founder).map(drop)
}

fn founded_path(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(FOUNDED) } else { path.to_owned() }
}

/// The charter that was made before, if any.
fn founded(path: &Path, name: &str, founder: Option<NodeId>) -> Result<Option<Charter>, CharterFileError> {
    let charter = match load(path) {
        Ok(Some(charter)) => charter,
        Ok(None) => return Ok(None),
        Err(CharterFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let path = path.to_owned();
    if charter.open {
        return Err(CharterFileError::Open { path });
    }
    if charter.name != name {
        return Err(CharterFileError::OtherName { path, is: charter.name, wanted: name.to_owned() });
    }
    if founder.is_none_or(|founder| !charter.founders.contains(&founder)) {
        return Err(CharterFileError::OtherFounder { path });
    }
    Ok(Some(charter))
}

/// Its bytes as digits, for the page.
pub(crate) fn hex(charter: &Charter) -> String {
    // What was decoded has an encoding.
    let bytes = codec::encode(charter, MAX_CHARTER).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
