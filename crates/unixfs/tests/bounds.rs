//! Each bound of what somebody else's blocks can make us hold: at it, and past it.

use cid::Cid;
use cid::multihash::Multihash;
use mesh_unixfs::{Block, Error, MAX_BLOCK, MAX_IDENTITY, MAX_LINKS, MAX_OVERHEAD, MAX_PENDING, Node, Reader};

use by_hand::{field, node, padded};

mod by_hand;

/// A CID that is its data itself: the shortest there are, so that many fit into a node.
fn inline(data: &[u8]) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0, data).expect("it fits"))
}

/// A node of so many parts of a byte each; the first is this one.
fn wide(first: (Cid, u64), parts: usize) -> Block {
    let mut links = vec![(inline(b"x"), 1); parts];
    links[0] = first;
    node(&links, b"", first.1 + parts as u64 - 1)
}

fn malformed(block: &Block) -> &'static str {
    let Err(Error::Malformed { cid, what }) = Node::decode(block) else { panic!("it is read") };
    assert_eq!(cid, *block.cid());
    what
}

#[test]
fn a_node_has_65536_links_at_most() {
    assert_eq!(MAX_LINKS, 65_536);
    let byte = (inline(b"x"), 1);
    let Ok(Node::File { parts, .. }) = Node::decode(&wide(byte, MAX_LINKS)) else { panic!("it is a file") };
    assert_eq!(parts.len(), MAX_LINKS);
    assert_eq!(malformed(&wide(byte, MAX_LINKS + 1)), "more than 65536 links");
}

/// Sizes without links take a block further than links do: packed ones of nothing are a byte each.
#[test]
fn a_node_has_65536_blocksizes_at_most() {
    let sizes = |count: usize| {
        let (mut data, mut out) = (vec![0x08, 2], Vec::new());
        field(&mut data, 4, &vec![0; count]);
        field(&mut out, 1, &data);
        Block::dag_pb(out).expect("it fits")
    };
    assert_eq!(malformed(&sizes(MAX_LINKS)), "not one of blocksizes for each link");
    assert_eq!(malformed(&sizes(MAX_LINKS + 1)), "more than 65536 blocksizes");
}

#[test]
fn a_reader_holds_131072_links_at_most() {
    assert_eq!(MAX_PENDING, 131_072);
    // Beside the links of both nodes, the root's own bytes: none, but they have their place.
    let begun = |below: usize| {
        let below = wide((inline(b"x"), 1), below);
        let Ok(Some(size)) = Node::decode(&below).map(|node| node.file_size()) else { panic!("it is a file") };
        let root = wide((*below.cid(), size), MAX_LINKS);
        let mut reader = Reader::new(*root.cid(), None, u64::MAX);
        reader.give(&root).expect("it is wanted");
        assert_eq!(reader.wants(8), [*below.cid()]);
        (reader, below)
    };
    let (mut reader, below) = begun(MAX_PENDING - MAX_LINKS - 1);
    reader.give(&below).expect("at the bound");
    let bytes = std::iter::from_fn(|| reader.next_bytes()).map(|bytes| bytes.len()).sum::<usize>();
    assert!(reader.is_done());
    assert_eq!(
        bytes,
        MAX_PENDING - 2,
        "a byte for each link but the one to the node below, and one place for the root's"
    );
    let (mut reader, below) = begun(MAX_PENDING - MAX_LINKS);
    let past = Error::TooWide { cid: *below.cid(), held: MAX_PENDING + 1, max: MAX_PENDING };
    assert_eq!(reader.give(&below), Err(past.clone()));
    assert_eq!(reader.error(), Some(&past));
}

/// 32 nodes of 2 MiB that hold a byte of the file each, and the root above them.
#[test]
fn a_reader_takes_64_mib_of_nodes_more_than_it_gives_bytes() {
    const NODES: u64 = 32;
    assert_eq!(MAX_OVERHEAD, 64 * 1024 * 1024);
    let leaf = |byte: u64, length: usize| {
        let bare = padded(&[], &[byte as u8], 1, MAX_BLOCK / 2).data().len() - MAX_BLOCK / 2;
        let leaf = padded(&[], &[byte as u8], 1, length - bare);
        assert_eq!(leaf.data().len(), length);
        leaf
    };
    let read = |over: usize| {
        let mut leaves: Vec<_> = (1..NODES).map(|byte| leaf(byte, MAX_BLOCK)).collect();
        let root_of = |leaves: &[Block]| {
            let links: Vec<_> = leaves.iter().map(|leaf| (*leaf.cid(), 1)).collect();
            node(&links, b"", links.len() as u64)
        };
        // Whatever the last one is, the root has the same length.
        let root = root_of(&[&leaves[..], &leaves[..1]].concat()).data().len();
        let spent = root + leaves.iter().map(|leaf| leaf.data().len() - 1).sum::<usize>();
        leaves.push(leaf(NODES, (MAX_OVERHEAD + NODES) as usize - spent + 1 + over));
        let root = root_of(&leaves);
        let mut reader = Reader::new(*root.cid(), None, NODES);
        let mut bytes = 0;
        for block in std::iter::once(&root).chain(&leaves) {
            reader.give(block)?;
            bytes += std::iter::from_fn(|| reader.next_bytes()).map(|bytes| bytes.len() as u64).sum::<u64>();
        }
        Ok(bytes)
    };
    assert_eq!(read(0), Ok(NODES));
    assert_eq!(read(1), Err(Error::TooMuchOverhead { nodes: MAX_OVERHEAD + NODES + 1, size: NODES }));
}

#[test]
fn a_cid_holds_64_bytes_of_data_at_most() {
    assert_eq!(MAX_IDENTITY, 64);
    let data = [7; MAX_IDENTITY];
    let cid = inline(&data);
    let block = Block::inline(&cid).expect("at the bound").expect("it is in the CID");
    assert_eq!(block.data()[..], data);
    assert_eq!(Block::verified(cid, data.to_vec()), Ok(block));
    // Nobody is asked for it.
    let mut reader = Reader::new(cid, None, 64);
    assert_eq!(reader.wants(8), []);
    assert_eq!(reader.next_bytes().as_deref(), Some(&data[..]));
    assert!(reader.is_done());
    // Past the bound there is no CID to begin with: neither here nor in the link of somebody else.
    assert!(Multihash::<64>::wrap(0, &[7; MAX_IDENTITY + 1]).is_err());
    let long = [&[1, 0x55, 0, 65][..], &[7; 65]].concat();
    assert!(Cid::try_from(&long[..]).is_err());
    let (mut link, mut out) = (Vec::new(), Vec::new());
    field(&mut link, 1, &long);
    field(&mut out, 2, &link);
    field(&mut out, 1, &[0x08, 2, 0x20, 65]);
    assert_eq!(malformed(&Block::dag_pb(out).expect("it fits")), "a link whose hash is no CID");
}
