//! All files below a CID, of which each block is taken from the store or wanted.

use std::collections::BTreeSet;

use cid::Cid;
use mesh_unixfs::{Block, Listing, Node, Reader};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Peer;

/// How far ahead of a file's next byte blocks are asked for.
const AHEAD: usize = 32;

/// A walk through a tree, file by file.
pub(crate) struct Walk {
    /// What comes later, the next last.
    later: Vec<(String, Cid)>,
    now: Option<(String, Part)>,
    files: Vec<Value>,
    /// Blocks that were asked for and may not have come.
    pub(crate) wanted: BTreeSet<Cid>,
}

enum Part {
    /// Not known to be a file or a directory yet.
    Root(Cid),
    File(Reader, Sha256, u64),
    Directory(Listing),
}

impl Walk {
    pub(crate) fn new(root: Cid) -> Self {
        Self { later: vec![(String::new(), root)], now: None, files: Vec::new(), wanted: BTreeSet::new() }
    }

    /// Goes on with the blocks that are here: all files, once it is done.
    pub(crate) fn go_on(&mut self, peer: &mut Peer) -> Result<Option<Value>, String> {
        loop {
            let Some((path, part)) = self.now.take() else {
                let Some((path, root)) = self.later.pop() else {
                    self.files.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
                    return Ok(Some(std::mem::take(&mut self.files).into()));
                };
                self.now = Some((path, Part::Root(root)));
                continue;
            };
            self.now = match self.step(&path, part, peer)? {
                Step::Waits(part) => {
                    self.now = Some((path, part));
                    return Ok(None);
                }
                Step::Is(part) => Some((path, part)),
                Step::Done => None,
            };
        }
    }

    fn step(&mut self, path: &str, part: Part, peer: &mut Peer) -> Result<Step, String> {
        match part {
            Part::Root(cid) => {
                let Some(block) = self.block(cid, peer)? else { return Ok(Step::Waits(Part::Root(cid))) };
                Ok(Step::Is(match Node::decode(&block).map_err(text)? {
                    Node::File { .. } => Part::File(Reader::new(cid, None, u64::MAX), Sha256::new(), 0),
                    Node::Directory(_) | Node::Shard(_) => Part::Directory(Listing::new(cid, usize::MAX)),
                }))
            }
            Part::File(mut reader, mut hash, mut length) => {
                while !reader.is_done() {
                    let mut found = false;
                    for cid in reader.wants(AHEAD) {
                        let Some(block) = self.block(cid, peer)? else { continue };
                        found = true;
                        // One that is in the file many times is placed everywhere at once.
                        match reader.give(&block) {
                            Ok(()) | Err(mesh_unixfs::Error::Unwanted(_)) => {}
                            Err(error) => return Err(text(error)),
                        }
                    }
                    while let Some(bytes) = reader.next_bytes() {
                        hash.update(&bytes);
                        length += bytes.len() as u64;
                        found = true;
                    }
                    if !found {
                        return Ok(Step::Waits(Part::File(reader, hash, length)));
                    }
                }
                self.files.push(json!({ "path": path, "length": length, "sha256": hex(&hash.finalize()) }));
                Ok(Step::Done)
            }
            Part::Directory(mut listing) => {
                while !listing.is_done() {
                    let mut found = false;
                    for cid in listing.wants(AHEAD) {
                        let Some(block) = self.block(cid, peer)? else { continue };
                        listing.give(&block).map_err(text)?;
                        found = true;
                    }
                    if !found {
                        return Ok(Step::Waits(Part::Directory(listing)));
                    }
                }
                let mut entries =
                    listing.entries().map(|entry| (format!("{path}/{}", entry.name), entry.cid)).peekable();
                if entries.peek().is_none() {
                    self.files.push(json!({ "path": format!("{path}/") }));
                }
                self.later.extend(entries);
                Ok(Step::Done)
            }
        }
    }

    /// A block of the store, or of its CID; another is wanted.
    fn block(&mut self, cid: Cid, peer: &mut Peer) -> Result<Option<Block>, String> {
        if let Some(block) = Block::inline(&cid).map_err(text)? {
            return Ok(Some(block));
        }
        if let Some(block) = peer.store.get(&cid) {
            self.wanted.remove(&cid);
            return Ok(Some(block.clone()));
        }
        if self.wanted.insert(cid) {
            peer.bitswap().want(cid, &[]).map_err(text)?;
        }
        Ok(None)
    }
}

enum Step {
    Waits(Part),
    Is(Part),
    Done,
}

/// Length and hash of bytes.
pub(crate) fn told(bytes: &[u8]) -> Value {
    json!({ "length": bytes.len(), "sha256": hex(&Sha256::digest(bytes)) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
