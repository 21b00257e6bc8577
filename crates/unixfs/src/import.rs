//! A file becomes blocks: chunks of one size, under a balanced tree of nodes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use cid::Cid;

use crate::node::encode_file_data;
use crate::{Block, Error, MAX_BLOCK, dag_pb};

/// The widest node: 8,192 links of at most 70 bytes keep well within a block.
pub const MAX_WIDTH: usize = 8192;

/// How a file is cut. The same bytes have another CID under another layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes in a chunk, 1 to [`MAX_BLOCK`].
    pub chunk: usize,
    /// Links in a node, 2 to [`MAX_WIDTH`].
    pub width: usize,
}

impl Default for Layout {
    /// 1 MiB and 1,024: Helia's default, and the profile `unixfs-v1-2025` of
    /// [IPIP-499](https://specs.ipfs.tech/ipips/ipip-0499/).
    fn default() -> Self {
        Self { chunk: 1024 * 1024, width: 1024 }
    }
}

impl Layout {
    /// 256 KiB and 174: `ipfs add --cid-version=1` of Kubo before that profile.
    pub const KUBO: Self = Self { chunk: 256 * 1024, width: 174 };
}

/// What a file or directory is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its topmost block.
    pub cid: Cid,
    /// Bytes of the file, or of all files in the directory.
    pub size: u64,
    /// Bytes of all its blocks, one that is there twice counted twice: the `Tsize` of a link to it.
    pub dag_size: u64,
}

/// Cuts a file while it comes in. Holds one chunk, and for each level of the tree one node.
///
/// After each [`push`](Self::push), take the blocks with [`next_block`](Self::next_block); those that are not taken are
/// held too.
#[derive(Debug)]
pub struct Importer {
    layout: Layout,
    /// The chunk that is being filled. A full one waits until it is known whether more comes.
    chunk: BytesMut,
    /// For each level from the chunks up, what the next node will hold: at most `layout.width`.
    levels: Vec<Vec<Root>>,
    ready: VecDeque<Block>,
}

impl Importer {
    /// An empty file.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn new(layout: Layout) -> Result<Self, Error> {
        let Layout { chunk, width } = layout;
        if !(1..=MAX_BLOCK).contains(&chunk) || !(2..=MAX_WIDTH).contains(&width) {
            return Err(Error::Layout { chunk, width });
        }
        Ok(Self { layout, chunk: BytesMut::new(), levels: vec![Vec::new()], ready: VecDeque::new() })
    }

    /// The next bytes of the file, as many as there are.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.chunk.len() == self.layout.chunk {
                self.end_chunk();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.layout.chunk - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
    }

    /// A block that is ready, each after the blocks that it links to.
    pub fn next_block(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }

    /// Ends the file: its root, and the blocks that were not taken before, the root's last.
    pub fn finish(mut self) -> (Root, impl Iterator<Item = Block>) {
        let is_empty = self.levels.iter().all(Vec::is_empty);
        if is_empty || !self.chunk.is_empty() {
            self.end_chunk();
        }
        let mut level = 0;
        // A single chunk is the root itself, without a node above it.
        while level + 1 < self.levels.len() || self.levels[level].len() > 1 {
            self.end_node(level);
            level += 1;
        }
        (self.levels[level][0], self.ready.into_iter())
    }

    fn end_chunk(&mut self) {
        let data = self.chunk.split().freeze();
        let size = data.len() as u64;
        let block = Block::raw(data).expect("a chunk is at most a block");
        self.add(0, Root { cid: *block.cid(), size, dag_size: size });
        self.ready.push_back(block);
    }

    /// Links to something from a level. Full nodes end only now, when there is more, so that none is alone at the top.
    fn add(&mut self, level: usize, root: Root) {
        // From the top down, so that each full node finds room above it.
        let full = (level..self.levels.len()).take_while(|&at| self.levels[at].len() == self.layout.width).count();
        for at in (level..level + full).rev() {
            self.end_node(at);
        }
        if level == self.levels.len() {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(root);
    }

    fn end_node(&mut self, level: usize) {
        let children = std::mem::take(&mut self.levels[level]);
        let links: Vec<_> = children
            .iter()
            .map(|child| dag_pb::Link { cid: child.cid, name: Bytes::new(), dag_size: Some(child.dag_size) })
            .collect();
        let sizes: Vec<_> = children.iter().map(|child| child.size).collect();
        let block = Block::dag_pb(dag_pb::encode(&links, &encode_file_data(&sizes))).expect("a node fits into a block");
        let below: u64 = children.iter().map(|child| child.dag_size).sum();
        let dag_size = block.data().len() as u64 + below;
        let root = Root { cid: *block.cid(), size: sizes.iter().sum(), dag_size };
        self.ready.push_back(block);
        self.add(level + 1, root);
    }
}

/// Cuts a file that is in memory: its root, and its blocks, the root's last.
///
/// # Errors
/// [`Error::Layout`].
pub fn import(bytes: &[u8], layout: Layout) -> Result<(Root, Vec<Block>), Error> {
    let mut importer = Importer::new(layout)?;
    importer.push(bytes);
    let (root, blocks) = importer.finish();
    Ok((root, blocks.collect()))
}
