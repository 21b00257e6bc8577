//! How a file becomes blocks, and blocks a file: IPFS' [UnixFS](https://specs.ipfs.tech/unixfs/).
//!
//! A file is cut into chunks, each a [`Block`] named by its hash ([`cid::Cid`]). Nodes in
//! [dag-pb](https://ipld.io/specs/codecs/dag-pb/spec/) hold the CIDs of up to [`Layout::width`] chunks or nodes, up to one
//! [`Root`]. A directory is a node whose links have names; a large one is a tree of them (HAMT).
//!
//! * [`Importer`] and [`directory`] make blocks, the same ones that Helia makes.
//! * [`Block::verified`] is the only way in for a block of somebody else.
//! * [`Reader`] says which blocks of a file it wants, is given them, and gives bytes in order. [`Listing`] does the same
//!   for directories.
//!
//! Nothing in here performs IO, reads a clock or knows where blocks come from. What somebody else made decides neither
//! how much is held nor how deep anything is called: every bound is a constant of this crate or an argument.

mod block;
mod dag_pb;
mod directory;
mod error;
mod hash;
mod import;
mod listing;
mod node;
mod reader;
mod wire;

pub use block::{Block, MAX_BLOCK, MAX_IDENTITY};
pub use directory::{MAX_DIRECTORY, MAX_NAME, directory};
pub use error::Error;
pub use hash::use_sha256;
pub use import::{Importer, Layout, MAX_WIDTH, Root, import};
pub use listing::Listing;
pub use node::{Entry, MAX_LINKS, Node, Part, Shard};
pub use reader::{MAX_DEPTH, MAX_OVERHEAD, MAX_PENDING, MAX_WANTS, Reader};

/// The examples in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
