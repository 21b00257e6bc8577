//! Files become blocks, and files again. Whose CIDs they have: tests/helia.rs. What others can make us hold: tests/bounds.rs.

use std::collections::BTreeMap;

use cid::Cid;
use mesh_unixfs::{
    Block, Error, Importer, Layout, Listing, MAX_BLOCK, MAX_WANTS, Node, Reader, Root, directory, import,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use by_hand::{field, node};

mod by_hand;

type Store = BTreeMap<Cid, Block>;

fn store(blocks: impl IntoIterator<Item = Block>) -> Store {
    blocks.into_iter().map(|block| (*block.cid(), block)).collect()
}

/// Reads with so many blocks on their way at once, which come in an order that is drawn.
fn read(store: &Store, mut reader: Reader, ahead: usize, random: &mut ChaCha8Rng) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    while !reader.is_done() {
        let wants = reader.wants(ahead);
        assert!(!wants.is_empty() && wants.len() <= ahead, "{wants:?}");
        reader.give(&store[&wants[random.next_u32() as usize % wants.len()]])?;
        while let Some(bytes) = reader.next_bytes() {
            out.extend_from_slice(&bytes);
        }
    }
    Ok(out)
}

#[test]
fn files_in_any_pieces_and_ranges_come_back() {
    for seed in 0..150 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: usize| random.next_u32() as usize % n;
        let layout = Layout { chunk: 1 + below(300), width: 2 + below(6) };
        let mut bytes = vec![0; below(5000)];
        let (from, length) = (below(6000) as u64, below(6000) as u64);
        let piece = 1 + below(700);
        let ahead = 1 + below(MAX_WANTS);
        random.fill_bytes(&mut bytes);
        let mut importer = Importer::new(layout).expect("a layout");
        let mut blocks = Vec::new();
        for piece in bytes.chunks(piece) {
            importer.push(piece);
            blocks.extend(std::iter::from_fn(|| importer.next_block()));
        }
        let (root, rest) = importer.finish();
        blocks.extend(rest);
        assert_eq!(import(&bytes, layout).map(|(root, _)| root), Ok(root), "seed {seed}");
        assert_eq!(blocks.last().map(|block| *block.cid()), Some(root.cid), "seed {seed}");
        let store = store(blocks);
        let all = read(&store, Reader::new(root.cid, None, 5000), ahead, &mut random);
        assert_eq!(all.as_ref(), Ok(&bytes), "seed {seed}");
        let end = bytes.len().min((from + length) as usize);
        let part = read(&store, Reader::new(root.cid, Some(from..from + length), 6000), ahead, &mut random);
        assert_eq!(part.expect("a part"), &bytes[end.min(from as usize)..end], "seed {seed}");
    }
}

#[test]
fn an_import_holds_a_chunk_and_a_node_for_each_level() {
    let layout = Layout { chunk: 10, width: 3 };
    let mut importer = Importer::new(layout).expect("a layout");
    for _ in 0..10_000 {
        importer.push(&[1]);
        // A chunk, and at most a node on each of the levels above it.
        let ready = std::iter::from_fn(|| importer.next_block()).count();
        assert!(ready <= 9, "{ready}");
    }
    assert_eq!(importer.finish().0, import(&[1; 10_000], layout).expect("a layout").0);
}

#[test]
fn layouts_have_bounds() {
    for (chunk, width) in [(0, 2), (MAX_BLOCK + 1, 2), (1, 1), (1, 8193)] {
        assert_eq!(import(&[], Layout { chunk, width }).err(), Some(Error::Layout { chunk, width }));
    }
    for (chunk, width) in [(1, 2), (MAX_BLOCK, 8192)] {
        import(&[1, 2, 3], Layout { chunk, width }).expect("at the bound");
    }
    // The widest node of the longest lengths is still a block.
    let (root, blocks) = import(&vec![0; 8192 * 2], Layout { chunk: 2, width: 8192 }).expect("a layout");
    assert!(blocks.last().expect("the root").data().len() < MAX_BLOCK && root.size == 8192 * 2);
}

#[test]
fn a_block_is_what_its_cid_says() {
    let block = Block::raw(b"hello".to_vec()).expect("it fits");
    assert_eq!(block.cid().to_string(), "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq");
    assert_eq!(Block::verified(*block.cid(), b"hello".to_vec()).as_ref(), Ok(&block));
    assert_eq!(Block::verified(*block.cid(), b"hallo".to_vec()), Err(Error::HashMismatch(*block.cid())));
    let prefix = block.prefix();
    assert_eq!(prefix, [0x01, 0x55, 0x12, 0x20]);
    assert_eq!(Block::with_prefix(&prefix, b"hello".to_vec()), Ok(block));
    let zero = Block::with_prefix(&[0x00, 0x70, 0x12, 0x20], vec![0x0a, 0x02, 0x08, 0x01]).expect("CIDv0");
    assert_eq!(zero.cid().to_string(), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    assert_eq!(zero.prefix(), [0x00, 0x70, 0x12, 0x20]);
    for (prefix, error) in [
        (&[0x01, 0x55, 0x13, 0x40][..], Error::UnsupportedHash { code: 0x13, len: 64 }),
        (&[0x01, 0x55, 0x12, 0x10], Error::UnsupportedHash { code: 0x12, len: 16 }),
        (&[0x01, 0x55, 0x00, 0x05], Error::UnsupportedHash { code: 0, len: 5 }),
        (&[0x01, 0x51, 0x12, 0x20], Error::UnsupportedCodec(0x51)),
        (&[0x02, 0x55, 0x12, 0x20], Error::Prefix),
        (&[0x00, 0x55, 0x12, 0x20], Error::Prefix),
        (&[0x01, 0x55, 0x12], Error::Prefix),
        (&[0x01, 0x55, 0x12, 0x20, 0x00], Error::Prefix),
    ] {
        assert_eq!(Block::with_prefix(prefix, b"hello".to_vec()), Err(error), "{prefix:?}");
    }
    Block::raw(vec![0; MAX_BLOCK]).expect("at the bound");
    let over = Error::BlockTooLarge { len: MAX_BLOCK + 1, max: MAX_BLOCK };
    assert_eq!(Block::raw(vec![0; MAX_BLOCK + 1]), Err(over));
}

#[test]
fn no_flipped_bit_passes() {
    let seed = 3;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut flips = 0;
    while flips < 100_000 {
        let mut data = vec![0; 1 + random.next_u32() as usize % 60];
        random.fill_bytes(&mut data);
        let cid = *Block::raw(data.clone()).expect("it fits").cid();
        for bit in 0..data.len() * 8 {
            data[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Block::verified(cid, data.clone()), Err(Error::HashMismatch(cid)));
            data[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
        }
    }
    println!("{flips} flipped, none passed");
}

fn file(bytes: &[u8]) -> (Root, Block) {
    let (root, mut blocks) = import(bytes, Layout::default()).expect("a layout");
    (root, blocks.pop().expect("one block"))
}

#[test]
fn directories_are_listed() {
    let (a, b) = (file(b"hello"), file(b"world"));
    let (inner, inner_block) = directory([("b", b.0)]).expect("a directory");
    let entries = [("z", a.0), ("inner", inner), ("Ä", a.0)];
    let (root, block) = directory(entries).expect("a directory");
    // In any order it is the same.
    assert_eq!(directory(entries.into_iter().rev()).expect("a directory").0, root);
    assert_eq!(root.size, 15);
    let mut listing = Listing::new(root.cid, 3);
    assert_eq!(listing.wants(8), [root.cid]);
    assert_eq!(listing.give(&inner_block), Err(Error::Unwanted(inner.cid)));
    listing.give(&block).expect("it is wanted");
    let listed: Vec<_> = listing.entries().map(|entry| (entry.name.as_str(), entry.cid, entry.dag_size)).collect();
    let sized = |name, root: Root| (name, root.cid, Some(root.dag_size));
    assert_eq!(listed, [sized("inner", inner), sized("z", a.0), sized("Ä", a.0)]);
    assert!(listing.is_done());
    let mut few = Listing::new(root.cid, 2);
    assert_eq!(few.give(&block), Err(Error::TooManyEntries { limit: 2 }));
    // The empty directory, as everybody has it.
    let empty = directory(Vec::<(String, Root)>::new()).expect("a directory");
    assert_eq!(empty.0.cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
}

/// A part of a HAMT of fanout 16, made by hand: one digit, then the name.
fn shard(links: &[(&str, Cid)]) -> Block {
    let mut out = Vec::new();
    for (name, cid) in links {
        let mut link = Vec::new();
        field(&mut link, 1, &cid.to_bytes());
        field(&mut link, 2, name.as_bytes());
        field(&mut out, 2, &link);
    }
    field(&mut out, 1, &[0x08, 5, 0x30, 16]);
    Block::dag_pb(out).expect("it fits")
}

#[test]
fn directories_in_many_blocks_are_listed_without_hashing_names() {
    let file = file(b"x").0.cid;
    let below = shard(&[("0a", file), ("Fb", file)]);
    let root = shard(&[("3c", file), ("A", *below.cid())]);
    let mut listing = Listing::new(*root.cid(), 3);
    listing.give(&root).expect("it is wanted");
    assert_eq!(listing.wants(8), [*below.cid()]);
    listing.give(&below).expect("it is wanted");
    assert_eq!(listing.entries().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(listing.is_done());
    // A part that is there twice would make it endless, a name twice would hide one, and a name needs its digit.
    for (root, error) in [
        (shard(&[("0", *below.cid()), ("1", *below.cid())]), Error::Repeated(*below.cid())),
        (shard(&[("0a", file), ("1a", file)]), Error::DuplicateName("a".to_owned())),
    ] {
        assert_eq!(Listing::new(*root.cid(), 9).give(&root), Err(error));
    }
    let plain = shard(&[("xa", file)]);
    assert!(matches!(Listing::new(*plain.cid(), 9).give(&plain), Err(Error::Malformed { .. })));
    // A chain of parts, as deep as it may be and deeper.
    let mut top = shard(&[("0a", file)]);
    let mut parts = vec![top.clone()];
    for level in 2..=33 {
        top = shard(&[("0", *top.cid())]);
        parts.push(top.clone());
        let mut listing = Listing::new(*top.cid(), 40);
        let listed = parts.iter().rev().try_for_each(|part| listing.give(part));
        assert_eq!(listed.is_ok(), level <= 32, "{level} levels: {listed:?}");
    }
}

#[test]
fn names_have_rules() {
    let root = file(b"x").0;
    for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(1025)] {
        assert!(matches!(directory([(name, root)]), Err(Error::Name(_))), "{name:?}");
    }
    directory([("x".repeat(1024), root)]).expect("at the bound");
    assert_eq!(directory([("a", root), ("a", root)]).err(), Some(Error::DuplicateName("a".to_owned())));
    // 36 bytes of a CID and 5 of a name.
    let many = |count: usize| directory((0..count).map(|i| (format!("{i:05}"), root)));
    many(262_144 / 41).expect("at the bound");
    assert!(matches!(many(262_144 / 41 + 1), Err(Error::NeedsSharding { .. })));
}

fn fails(blocks: &[Block], limit: u64) -> Error {
    let root = *blocks.last().expect("a root").cid();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    read(&store(blocks.to_vec()), Reader::new(root, None, limit), 8, &mut random).expect_err("it is refused")
}

#[test]
fn data_in_a_node_comes_before_its_parts() {
    let leaf = Block::raw(b"world".to_vec()).expect("it fits");
    let root = node(&[(*leaf.cid(), 5), (*leaf.cid(), 5)], b"hello ", 16);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let bytes = read(&store([leaf, root.clone()]), Reader::new(*root.cid(), None, 16), 8, &mut random);
    assert_eq!(bytes.as_deref(), Ok(&b"hello worldworld"[..]));
}

#[test]
fn sizes_that_lie_end_the_file() {
    let leaf = Block::raw(b"world".to_vec()).expect("it fits");
    let cid = *leaf.cid();
    let small = node(&[(cid, 4)], b"", 4);
    assert_eq!(fails(&[leaf.clone(), small], 10), Error::SizeMismatch { cid, claimed: 4, found: 5 });
    // 4 GiB and more are claimed, and nothing is held for it.
    for claimed in [6, 1 << 32, u64::MAX] {
        let large = node(&[(cid, claimed)], b"", claimed);
        assert_eq!(fails(&[leaf.clone(), large.clone()], u64::MAX), Error::SizeMismatch { cid, claimed, found: 5 });
        let refused = fails(&[leaf.clone(), large], 5);
        assert_eq!(refused, Error::TooLarge { size: claimed, limit: 5 });
    }
    assert!(matches!(fails(&[node(&[(cid, 5)], b"", 6)], 10), Error::Malformed { .. }));
    assert!(matches!(fails(&[node(&[(cid, u64::MAX), (cid, 1)], b"", 0)], 10), Error::Malformed { .. }));
}

#[test]
fn a_file_has_32_levels_at_most() {
    let mut blocks = vec![Block::raw(b"x".to_vec()).expect("it fits")];
    for level in 2..=33 {
        let below = *blocks.last().expect("one").cid();
        blocks.push(node(&[(below, 1)], b"", 1));
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let reader = Reader::new(*blocks.last().expect("one").cid(), None, 1);
        let bytes = read(&store(blocks.clone()), reader, 8, &mut random);
        assert_eq!(bytes.is_ok(), level <= 32, "{level} levels: {bytes:?}");
    }
}

/// Two hundred blocks of ten links each to the one below: 10^200 bytes, if they were believed.
#[test]
fn a_bomb_is_refused_by_its_own_claims() {
    let mut blocks = vec![Block::raw(b"x".to_vec()).expect("it fits")];
    let mut size = 1_u64;
    for _ in 0..19 {
        let below = *blocks.last().expect("one").cid();
        blocks.push(node(&[(below, size); 10], b"", size * 10));
        size *= 10;
    }
    assert_eq!(fails(&blocks, 1 << 30), Error::TooLarge { size, limit: 1 << 30 });
    // A range of it can be read, and asks for no more than its way down.
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let reader = Reader::new(*blocks.last().expect("one").cid(), Some(7_777..7_780), 3);
    assert_eq!(read(&store(blocks), reader, 1, &mut random).as_deref(), Ok(&b"xxx"[..]));
}

#[test]
fn what_is_no_node_is_an_error() {
    let cases: [(&[u8], &str); 9] = [
        (&[], "no data"),
        (&[0x0a, 0x00], "without a type"),
        (&[0x0a, 0x02, 0x08, 0x09], "unknown type"),
        (&[0x0a, 0x02, 0x08, 0x04], "symlink"),
        (&[0x0a, 0x02, 0x08, 0x02, 0x0a, 0x02, 0x08, 0x02], "data twice"),
        (&[0x0a, 0x04, 0x08, 0x02, 0x20, 0x01], "blocksizes"),
        (&[0x12, 0x00], "without a hash"),
        (&[0x12, 0x02, 0x0a, 0x00], "no CID"),
        (&[0x0a, 0x09, 0x08, 0x02], "longer than what is left"),
    ];
    for (bytes, told) in cases {
        let error = Node::decode(&Block::dag_pb(bytes.to_vec()).expect("it fits")).expect_err("no node").to_string();
        assert!(error.contains(told), "{bytes:?}: {error}");
    }
    let block = Block::with_prefix(&[0x01, 0x71, 0x12, 0x20], vec![0xa0]).expect("dag-cbor");
    assert!(matches!(Node::decode(&block), Err(Error::Unsupported { .. })));
}

#[test]
fn random_bytes_are_read_without_harm() {
    let seed = 5;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut file = vec![0; 3000];
    random.fill_bytes(&mut file);
    let (root, blocks) = import(&file, Layout { chunk: 100, width: 5 }).expect("a layout");
    let store = store(blocks);
    let sound = store[&root.cid].data().to_vec();
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random.next_u32() % 3 {
            let at = random.next_u32() as usize % bytes.len();
            bytes[at] = random.next_u32() as u8;
        }
        bytes.truncate(bytes.len() - random.next_u32() as usize % 4);
        if let Ok(Node::File { data, parts }) = Node::decode(&Block::dag_pb(bytes).expect("it fits")) {
            assert!(data.len() <= sound.len() && parts.len() <= 30);
        }
    }
}
