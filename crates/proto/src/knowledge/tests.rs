//! What an entry and a message about entries promise, and what must not pass for one. [`messages`] is about the latter.

use cid::multihash::Multihash;

use super::*;
use crate::codec::tests::{assert_bound, read_back};
use crate::envelope::VERSION;
use crate::id::{Keypair, MeshId};
use crate::limits::TTL_MS;

mod messages;

const NOW: u64 = 1_700_000_000_000;

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn cid(codec: u64, hash: u64, digest: &[u8]) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(hash, digest).unwrap())
}

fn content() -> Content {
    Content { cid: cid(RAW, SHA2_256, &[9; 32]), size: 5, replicas: 3, kind: String::new(), metadata: None }
}

fn put(content: Content) -> Entry {
    Entry {
        domain: Domain::shared("notes"),
        key: "a".into(),
        change: Change::Put(content),
        replaces: vec![],
        expires: None,
    }
}

fn delete(key: &str) -> Entry {
    Entry { key: key.into(), change: Change::Delete, ..put(content()) }
}

/// By the first key.
fn grant(writers: Vec<NodeId>) -> Entry {
    let domain = Domain { name: "notes".into(), owner: Some(key(1).node()) };
    Entry { domain, key: String::new(), change: Change::Grant(writers), replaces: vec![], expires: None }
}

/// Other nodes, in ascending order.
fn nodes(count: usize) -> Vec<NodeId> {
    (0..count).map(|n| NodeId([n as u8; 32])).collect()
}

fn versions(count: usize) -> Vec<Version> {
    nodes(count).into_iter().map(|node| Version(node, Hlc(u64::MAX - 1))).collect()
}

fn envelope(by: u8, kind: Kind, payload: &impl Serialize) -> Verified<Envelope> {
    let envelope = Envelope {
        v: VERSION,
        mesh: MeshId([7; 32]),
        kind,
        from: key(by).node(),
        seq: u64::MAX,
        clock: Hlc::at(NOW),
        ttl: TTL_MS,
        payload: codec::encode(payload, usize::MAX).unwrap().into(),
    };
    envelope.sign(&key(by)).unwrap()
}

fn sign(by: u8, entry: &Entry) -> Result<Signed, DecodeError> {
    Signed::read(envelope(by, Kind::KnowledgeShare, entry))
}

fn malformed<T: std::fmt::Debug>(read: Result<T, DecodeError>) -> String {
    match read {
        Err(DecodeError::Malformed(why)) => why,
        Ok(_) | Err(DecodeError::TooLong { .. } | DecodeError::OutOfBounds { .. }) => panic!("{read:?}"),
    }
}

#[test]
fn what_is_signed_is_read() {
    let entry = put(content());
    let signed = sign(1, &entry).unwrap();
    assert_eq!(signed.entry, entry);
    assert_eq!(signed.version, Version(key(1).node(), Hlc::at(NOW)));
    assert_eq!(signed.id, EntryId::of(signed.envelope.wire()));
    assert!(sign(1, &delete("a")).is_ok() && sign(1, &grant(vec![])).is_ok());
}

#[test]
fn an_entry_is_bounded() {
    assert_bound("domain", 64, |len| Entry { domain: Domain::shared("x".repeat(len)), ..put(content()) });
    assert_bound("key", 256, |len| Entry { key: "x".repeat(len), ..put(content()) });
    assert_bound("key", 256, |len| delete(&"x".repeat(len)));
    assert_bound("replaces", 16, |count| Entry { replaces: versions(count), ..delete("a") });
    assert_bound("writers", 64, |count| grant(nodes(count)));
    assert_bound("replicas", 8, |count| put(Content { replicas: count as u8, ..content() }));
    assert_bound("type", 64, |len| put(Content { kind: "x".repeat(len), ..content() }));
    assert_bound("metadata", 1024, |len| put(Content { metadata: Some(ByteBuf::from(vec![0; len])), ..content() }));
}

#[test]
fn what_is_no_entry_is_refused() {
    let owned = Domain { name: "notes".into(), owner: Some(key(1).node()) };
    let mut backwards = versions(2);
    backwards.reverse();
    let twice = [versions(1), versions(1)].concat();
    let mut unsorted = nodes(2);
    unsorted.reverse();
    let unowned = Entry { domain: Domain::shared("notes"), ..grant(vec![]) };
    let cases = [
        ("domain", Entry { domain: Domain::shared(""), ..delete("a") }),
        ("domain", Entry { domain: Domain::shared("a\nb"), ..delete("a") }),
        ("domain", Entry { domain: Domain::shared("\u{85}"), ..delete("a") }),
        ("key", delete("")),
        ("key", delete("a\0")),
        ("key", Entry { key: String::new(), ..put(content()) }),
        ("key", Entry { key: "\u{7f}".into(), ..put(content()) }),
        ("key", Entry { domain: owned.clone(), ..delete("") }),
        ("replaces", Entry { replaces: backwards, ..delete("a") }),
        ("replaces", Entry { replaces: twice, ..delete("a") }),
        ("replicas", put(Content { replicas: 0, ..content() })),
        ("writers", grant(unsorted)),
        ("writers", grant([nodes(1), nodes(1)].concat())),
        ("a grant", Entry { key: "a".into(), ..grant(vec![]) }),
        ("a grant", Entry { expires: Some(u64::MAX), ..grant(vec![]) }),
        ("a grant", unowned),
    ];
    for (what, entry) in cases {
        let why = malformed(read_back(&entry));
        assert!(why.starts_with(what), "{why}: {entry:?}");
        assert!(sign(1, &entry).is_err(), "{entry:?}");
    }
}

#[test]
fn content_is_named_by_a_cid_of_version_1_raw_or_dag_pb_of_sha_256() {
    for codec in [RAW, DAG_PB] {
        let content = Content { cid: cid(codec, SHA2_256, &[9; 32]), ..content() };
        assert!(is_content(&content.cid));
        assert_eq!(read_back(&put(content.clone())), Ok(put(content)));
    }
    let refused = [
        ("version 0", Cid::new_v0(Multihash::wrap(SHA2_256, &[9; 32]).unwrap()).unwrap()),
        ("dag-cbor", cid(0x71, SHA2_256, &[9; 32])),
        ("a key", cid(0x72, SHA2_256, &[9; 32])),
        ("the identity", cid(RAW, 0, &[9; 32])),
        ("the identity of nothing", cid(RAW, 0, &[])),
        ("BLAKE3", cid(RAW, 0x1e, &[9; 32])),
        ("SHA-512", cid(RAW, 0x13, &[9; 64])),
        ("a byte too few", cid(RAW, SHA2_256, &[9; 31])),
        ("a byte too many", cid(DAG_PB, SHA2_256, &[9; 33])),
        ("nothing", Cid::default()),
    ];
    for (what, cid) in refused {
        assert!(!is_content(&cid), "{what}");
        let why = malformed(read_back(&put(Content { cid, ..content() })));
        assert!(why.starts_with("content"), "{what}: {why}");
    }
}

#[test]
fn an_entry_is_of_its_kind_and_of_its_size() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::KnowledgeShare) {
        malformed(Signed::read(envelope(1, kind, &delete("a"))));
    }
    // No entry is so large that only its envelope is past the bound, but for one with bytes that do not belong there.
    let oversized = Signed::read(envelope(1, Kind::KnowledgeShare, &ByteBuf::from(vec![0; MAX_ENTRY])));
    assert_eq!(oversized, Err(DecodeError::OutOfBounds { what: "entry", max: MAX_ENTRY }));
    malformed(Signed::read(envelope(1, Kind::KnowledgeShare, &"no entry")));
}

#[test]
fn only_the_owner_grants() {
    assert!(sign(1, &grant(nodes(64))).is_ok());
    assert!(malformed(sign(2, &grant(nodes(1)))).starts_with("a grant by somebody else"));
    // What they write otherwise is a matter of the grants that a reader knows.
    let domain = grant(vec![]).domain;
    assert!(sign(2, &Entry { domain, ..delete("a") }).is_ok());
}

#[test]
fn what_replaces_something_comes_after_it() {
    let version = |replaces: Vec<Version>| sign(1, &Entry { replaces, ..delete("a") }).map(|signed| signed.version.1);
    let of = |clock| Version(key(2).node(), clock);
    let (before, at, after) = (Hlc(Hlc::at(NOW).0 - 1), Hlc::at(NOW), Hlc(Hlc::at(NOW).0 + 1));
    assert_eq!(version(vec![]), Ok(at));
    assert_eq!(version(vec![of(before)]), Ok(at));
    assert_eq!(version(vec![of(at)]), Ok(after));
    assert_eq!(version(vec![of(Hlc::at(NOW + 5_000))]), Ok(Hlc(Hlc::at(NOW + 5_000).0 + 1)));
    let own = Version(key(1).node(), after);
    assert_eq!(version(vec![own]), Ok(Hlc(after.0 + 1)), "its own clock stood still, or stepped back");
    let mut both = vec![own, of(Hlc(77 + after.0))];
    both.sort_unstable();
    assert_eq!(version(both), Ok(Hlc(78 + after.0)), "the latest of all");
    assert_eq!(version(vec![of(Hlc(u64::MAX - 1))]), Ok(Hlc(u64::MAX)));
    assert!(malformed(version(vec![of(Hlc(u64::MAX))])).starts_with("it replaces"));
}

#[test]
fn the_largest_entries_have_room() {
    let domain = Domain { name: "x".repeat(MAX_DOMAIN), owner: Some(key(1).node()) };
    let replaces = versions(MAX_REPLACED);
    let content = Content {
        size: u64::MAX,
        replicas: 8,
        kind: "x".repeat(MAX_LABEL),
        metadata: Some(ByteBuf::from(vec![0; MAX_METADATA])),
        ..content()
    };
    let entry =
        |key: String, change| Entry { domain: domain.clone(), key, change, replaces: replaces.clone(), expires: None };
    let put = Entry { expires: Some(u64::MAX), ..entry("x".repeat(MAX_KEY), Change::Put(content)) };
    let sizes = [put, entry(String::new(), Change::Grant(nodes(MAX_WRITERS)))]
        .map(|entry| sign(1, &entry).unwrap().envelope.wire().len());
    println!("the largest put has {} bytes, the largest grant {}", sizes[0], sizes[1]);
    assert!(sizes.iter().all(|size| (2_000..MAX_ENTRY).contains(size)), "{sizes:?}");
}

#[test]
fn an_entry_has_one_encoding() {
    let bytes = codec::encode(&delete("a"), 1024).unwrap();
    let good = b"\xa4\x63key\x61a\x66change\x66delete\x66domain\xa1\x64name\x65notes\x68replaces\x80";
    assert_eq!(bytes, good);
    let wrong: [(&str, &[u8]); 5] = [
        (
            "no end, spelled out",
            b"\xa5\x63key\x61a\x66change\x66delete\x66domain\xa1\x64name\x65notes\x67expires\xf6\x68replaces\x80",
        ),
        (
            "no owner, spelled out",
            b"\xa4\x63key\x61a\x66change\x66delete\x66domain\xa2\x64name\x65notes\x65owner\xf6\x68replaces\x80",
        ),
        (
            "a change as a map to null",
            b"\xa4\x63key\x61a\x66change\xa1\x66delete\xf6\x66domain\xa1\x64name\x65notes\x68replaces\x80",
        ),
        ("an unknown change", b"\xa4\x63key\x61a\x66change\x66Delete\x66domain\xa1\x64name\x65notes\x68replaces\x80"),
        (
            "an unknown field",
            b"\xa5\x61x\x00\x63key\x61a\x66change\x66delete\x66domain\xa1\x64name\x65notes\x68replaces\x80",
        ),
    ];
    for (what, bytes) in wrong {
        assert!(matches!(codec::decode::<Entry>(bytes, 1024), Err(DecodeError::Malformed(_))), "{what}");
    }
}

#[test]
fn ids_of_one_comparison_are_those_of_no_other() {
    let id = EntryId([3; 32]);
    assert_ne!(salted(1, &id), salted(2, &id));
    assert_ne!(salted(1, &id), id);
    assert_eq!(salted(1, &id), EntryId(*blake3::hash(&[&1_u64.to_be_bytes()[..], &[3; 32]].concat()).as_bytes()));
    assert_eq!(digest([&id]), EntryId(*blake3::hash(&[3; 32]).as_bytes()));
    assert_ne!(digest([&id, &id]), digest([&id]));
}
