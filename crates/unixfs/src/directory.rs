//! Files with names become a directory.

use bytes::Bytes;

use crate::node::encode_directory_data;
use crate::{Block, Error, Root, dag_pb};

/// The longest name, bytes. File systems have 255; paths and addresses used as names are longer.
pub const MAX_NAME: usize = 1024;

/// Bytes of names and CIDs together up to which a directory is one block: 262,144, where Helia begins to make a HAMT
/// (`shardSplitThresholdBytes` of ipfs-unixfs-importer, measured as `links-bytes`), about 5,000 entries.
pub const MAX_DIRECTORY: usize = 262_144;

/// Makes a directory of files and other directories, in any order.
///
/// # Errors
/// [`Error::Name`], [`Error::DuplicateName`], [`Error::NeedsSharding`].
pub fn directory<N: Into<String>>(entries: impl IntoIterator<Item = (N, Root)>) -> Result<(Root, Block), Error> {
    let mut links = Vec::new();
    let (mut size, mut below, mut measure) = (0, 0, 0);
    for (name, root) in entries {
        let name = name.into();
        check_name(&name)?;
        measure += name.len() + root.cid.encoded_len();
        if measure > MAX_DIRECTORY {
            return Err(Error::NeedsSharding { size: measure, max: MAX_DIRECTORY });
        }
        size += root.size;
        below += root.dag_size;
        links.push(dag_pb::Link { cid: root.cid, name: Bytes::from(name), dag_size: Some(root.dag_size) });
    }
    links.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = links.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Error::DuplicateName(String::from_utf8_lossy(&pair[0].name).into_owned()));
    }
    let block = Block::dag_pb(dag_pb::encode(&links, &encode_directory_data()))?;
    let dag_size = block.data().len() as u64 + below;
    Ok((Root { cid: *block.cid(), size, dag_size }, block))
}

/// A name is one step of a path: nothing that a path would read in another way.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    match name {
        "" => Err(Error::Name("that is empty")),
        "." | ".." => Err(Error::Name("that is . or ..")),
        _ if name.len() > MAX_NAME => Err(Error::Name("of more than 1024 bytes")),
        _ if name.contains(['/', '\0']) => Err(Error::Name("with a / or NUL in it")),
        _ => Ok(()),
    }
}
