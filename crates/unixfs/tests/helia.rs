//! `tests/vectors/unixfs.json`: what Helia makes of files and directories. We make the same blocks of the same bytes, and
//! read all of Helia's.

use std::collections::BTreeMap;

use cid::Cid;
use mesh_unixfs::{Block, Entry, Error, Layout, Listing, MAX_DIRECTORY, Node, Reader, Root, directory, import};
use serde_json::{Map, Value};

type Store = BTreeMap<Cid, Block>;

fn vectors(part: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/unixfs.json");
    let text = std::fs::read_to_string(path).expect("a file");
    let mut all: Value = serde_json::from_str(&text).expect("JSON");
    all[part].take()
}

fn list(part: &str) -> Vec<Value> {
    let Value::Array(list) = vectors(part) else { panic!("{part} is a list") };
    assert!(!list.is_empty(), "{part}");
    list
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap_or_else(|| panic!("{field} is a number"))
}

fn cid(vector: &Value) -> Cid {
    vector["cid"].as_str().expect("a text").parse().expect("a CID")
}

fn what(vector: &Value) -> &str {
    vector["what"].as_str().expect("a text")
}

/// The blocks of a vector, each of which has the CID that Helia gave it.
fn store(vector: &Value) -> Store {
    let block = |block: &Value| {
        let hex = block["hex"].as_str().expect("a text");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        let data: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
        Block::verified(cid(block), data).expect("it is what Helia says")
    };
    let blocks = vector["blocks"].as_array().expect("blocks");
    blocks.iter().map(block).map(|block| (*block.cid(), block)).collect()
}

/// The bytes of the vectors: xorshift of 32 bits from 0x12345678, of each the low byte.
fn xorshift(length: u64) -> Vec<u8> {
    let mut x = 0x1234_5678_u32;
    let next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    std::iter::repeat_with(next).take(length as usize).collect()
}

fn read(store: &Store, root: Cid) -> Vec<u8> {
    let mut reader = Reader::new(root, None, u64::MAX);
    let mut out = Vec::new();
    while !reader.is_done() {
        for wanted in reader.wants(8) {
            // One that is in the file many times may have been placed everywhere by the first.
            match reader.give(&store[&wanted]) {
                Ok(()) | Err(Error::Unwanted(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        while let Some(bytes) = reader.next_bytes() {
            out.extend_from_slice(&bytes);
        }
    }
    out
}

fn listed(store: &Store, root: Cid, limit: usize) -> Vec<Entry> {
    let mut listing = Listing::new(root, limit);
    while !listing.is_done() {
        for wanted in listing.wants(8) {
            listing.give(&store[&wanted]).expect("a part of the directory");
        }
    }
    listing.entries().cloned().collect()
}

#[test]
fn files_have_the_cids_and_sizes_of_helia() {
    for vector in list("files") {
        let (length, chunk, width) =
            (number(&vector, "length"), number(&vector, "chunk") as usize, number(&vector, "width") as usize);
        let bytes = xorshift(length);
        let (root, blocks) = import(&bytes, Layout { chunk, width }).expect("a layout");
        let of_helia = Root { cid: cid(&vector), size: length, dag_size: number(&vector, "dagSize") };
        assert_eq!(root, of_helia, "{length} bytes, chunks of {chunk}, {width} in a node");
        let store = blocks.into_iter().map(|block| (*block.cid(), block)).collect();
        assert!(read(&store, root.cid) == bytes, "{length} bytes come back");
    }
    // The two that the vectors have as Helia's default, and as its older one.
    assert_eq!(Layout::default(), Layout { chunk: 1 << 20, width: 1024 });
    assert_eq!(Layout::KUBO, Layout { chunk: 1 << 18, width: 174 });
}

#[test]
fn files_of_all_shapes_are_read() {
    for vector in list("shapes") {
        let bytes = read(&store(&vector), cid(&vector));
        assert_eq!(bytes, xorshift(number(&vector, "length")), "{}", what(&vector));
    }
}

/// Makes a directory of a vector's tree, and looks at each file and directory in it.
fn build(tree: &Map<String, Value>, above: &str, vector: &Value, seen: &mut usize) -> Root {
    let entries = tree.iter().map(|(name, below)| {
        let path = format!("{above}{name}");
        let root = if let Value::Object(tree) = below {
            build(tree, &format!("{path}/"), vector, seen)
        } else {
            let text = below.as_str().expect("a file or a directory");
            let root = import(text.as_bytes(), Layout::default()).expect("a layout").0;
            compare(&path, root, vector, seen);
            root
        };
        (name.as_str(), root)
    });
    let (root, block) = directory(entries.collect::<Vec<_>>()).expect("a directory");
    compare(above.trim_end_matches('/'), root, vector, seen);
    assert_eq!(store(vector).get(&root.cid), Some(&block), "{above}");
    root
}

/// Helia does not tell the roots of empty directories within others.
fn compare(path: &str, root: Root, vector: &Value, seen: &mut usize) {
    let Some(of_helia) = vector["roots"].get(path) else { return };
    let found = (root.cid, root.dag_size);
    assert_eq!(found, (cid(of_helia), number(of_helia, "dagSize")), "{:?} in {}", path, what(vector));
    *seen += 1;
}

#[test]
fn directories_have_the_blocks_of_helia_and_are_listed() {
    for vector in list("directories") {
        let tree = vector["tree"].as_object().expect("a tree");
        let mut seen = 0;
        let root = build(tree, "", &vector, &mut seen);
        assert_eq!(root.cid, cid(&vector), "{}", what(&vector));
        assert_eq!(seen, vector["roots"].as_object().expect("roots").len(), "{}: all were looked at", what(&vector));
        let entries = listed(&store(&vector), root.cid, tree.len());
        let names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
        let mut expected: Vec<_> = tree.keys().collect();
        expected.sort_unstable();
        assert_eq!(names, expected, "{}", what(&vector));
        for entry in &entries {
            if let Some(of_helia) = vector["roots"].get(&entry.name) {
                let of_helia = (cid(of_helia), Some(number(of_helia, "dagSize")));
                assert_eq!((entry.cid, entry.dag_size), of_helia, "{:?} in {}", entry.name, what(&vector));
            }
        }
    }
}

#[test]
fn directories_in_many_blocks_are_listed() {
    for vector in list("shards") {
        let store = store(&vector);
        let names = vector["names"].as_array().expect("names");
        // Each file holds its own name.
        let mut expected: Vec<_> = names
            .iter()
            .map(|name| {
                let name = name.as_str().expect("a text").to_owned();
                let cid = *Block::raw(name.clone()).expect("it fits").cid();
                Entry { dag_size: Some(name.len() as u64), name, cid }
            })
            .collect();
        expected.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(listed(&store, cid(&vector), names.len()), expected, "{}", what(&vector));
        // All of its blocks are parts of it.
        assert!(store.values().all(|block| matches!(Node::decode(block), Ok(Node::Shard(_)))), "{}", what(&vector));
        let mut few = Listing::new(cid(&vector), names.len() - 1);
        let refused = loop {
            let wanted = few.wants(1)[0];
            if let Err(error) = few.give(&store[&wanted]) {
                break error;
            }
        };
        assert_eq!(refused, Error::TooManyEntries { limit: names.len() - 1 }, "{}", what(&vector));
    }
}

#[test]
fn a_directory_is_one_block_as_long_as_it_is_for_helia() {
    let vector = vectors("threshold");
    let (count, fits) = (number(&vector, "count"), number(&vector, "fits") as usize);
    let file = import(b"x", Layout::default()).expect("a layout").0;
    let large = |letters| {
        let names =
            (0..count).map(|n| format!("{n:05}")).chain([String::from_utf8(vec![b'x'; letters]).expect("text")]);
        directory(names.map(|name| (name, file)))
    };
    assert_eq!(number(&vector, "blocks"), 1);
    assert_eq!(large(fits).expect("one block").0.cid, cid(&vector));
    assert!(number(&vector["past"], "blocks") > 1);
    let past = Error::NeedsSharding { size: MAX_DIRECTORY + 1, max: MAX_DIRECTORY };
    assert_eq!(large(fits + 1).err(), Some(past));
}
