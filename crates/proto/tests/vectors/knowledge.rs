//! Entries of knowledge, and what two nodes say to each other about them.

use cid::Cid;
use cid::multihash::Multihash;
use mesh_proto::knowledge::{
    Change, Content, Credited, Domain, Entry, Message, Round, Signed, Summary, Version, digest, salted,
};
use mesh_proto::limits::MAX_ENVELOPE;
use mesh_proto::{EntryId, Envelope, Hlc, Keypair, Kind, NodeId, Unverified, codec};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::json::{hex, plain};
use crate::{credentials, samples};

/// What ids are salted with.
pub(crate) const SESSION: u64 = 0x0123_4567_89ab_cdef;

fn node(n: usize) -> NodeId {
    Keypair::from_seed(&samples::seeds()[n]).node()
}

/// Of a leaf with these bytes, or of a file of blocks.
fn cid(codec: u64, bytes: &[u8]) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0x12, &Sha256::digest(bytes)).unwrap())
}

pub(crate) fn content() -> Content {
    Content { cid: cid(0x55, b"hello"), size: 5, replicas: 3, kind: String::new(), metadata: None }
}

pub(crate) fn owned() -> Domain {
    Domain { name: "маршруты".into(), owner: Some(node(0)) }
}

pub(crate) fn put() -> Entry {
    let change = Change::Put(content());
    Entry { domain: Domain::shared("notes"), key: "greeting".into(), change, replaces: vec![], expires: None }
}

pub(crate) fn grant() -> Entry {
    let mut writers = vec![node(1), node(2)];
    writers.sort_unstable();
    Entry { domain: owned(), key: String::new(), change: Change::Grant(writers), replaces: vec![], expires: None }
}

/// Sorted, as they are in an entry.
pub(crate) fn versions() -> Vec<Version> {
    let mut versions = vec![Version(node(0), Hlc::at(1_699_999_999_000)), Version(node(1), Hlc(u64::MAX - 1))];
    versions.sort_unstable();
    versions
}

/// Name, whose, entry.
fn entries() -> Vec<(&'static str, usize, Entry)> {
    let everything = Content {
        cid: cid(0x70, b"a file"),
        size: u64::MAX,
        replicas: 8,
        kind: "text/plain".into(),
        metadata: Some(ByteBuf::from([0xf6])),
    };
    let full = Entry {
        domain: owned(),
        key: "город/№ 1".into(),
        change: Change::Put(everything),
        replaces: vec![Version(node(1), Hlc::at(1_699_999_999_000))],
        expires: Some(1_700_000_060_000),
    };
    vec![
        ("content under a key", 0, put()),
        ("content with everything, by a writer", 2, full),
        ("a key taken away", 1, Entry { change: Change::Delete, ..put() }),
        // Its own clock is behind that of what it replaces.
        ("a key taken away after the latest clock", 0, Entry { change: Change::Delete, replaces: versions(), ..put() }),
        ("a grant", 0, grant()),
        ("a grant to nobody", 0, Entry { change: Change::Grant(vec![]), ..grant() }),
    ]
}

pub(crate) fn envelope(by: usize, entry: &Entry) -> Envelope {
    Envelope { from: node(by), ..samples::envelope(Kind::KnowledgeShare, entry) }
}

fn signed() -> Vec<Signed> {
    let sign = |(_, by, entry): (&str, usize, Entry)| {
        let sealed = envelope(by, &entry).sign(&Keypair::from_seed(&samples::seeds()[by])).unwrap();
        Signed::read(Unverified::decode(sealed.wire().clone()).unwrap().verify().unwrap()).unwrap()
    };
    entries().into_iter().map(sign).collect()
}

/// Vectors of entries, in their envelopes.
pub(crate) fn vectors() -> Vec<Value> {
    let vector = |((name, by, entry), signed): ((&str, usize, Entry), Signed)| {
        assert_eq!(signed.entry, entry, "{name}");
        let Version(author, clock) = signed.version;
        json!({
            "name": name,
            "seed": hex(&samples::seeds()[by]),
            "hex": hex(signed.envelope.wire()),
            "body": plain(&codec::encode(&*signed.envelope, MAX_ENVELOPE).unwrap()),
            "payload": plain(&signed.envelope.payload),
            "id": signed.id.to_string(),
            "version": { "author": author.to_string(), "clock": clock.0.to_string() },
            "salted": salted(SESSION, &signed.id).to_string(),
        })
    };
    entries().into_iter().zip(signed()).map(vector).collect()
}

fn ids() -> Vec<EntryId> {
    let mut ids: Vec<_> = signed().iter().map(|signed| signed.id).collect();
    ids.sort_unstable();
    ids
}

/// Of all entries, as a summary says it, and of none.
pub(crate) fn digests() -> Value {
    json!({ "all": digest(&ids()).to_string(), "none": digest([]).to_string() })
}

pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let round = |ranges: &[u8]| Round { session: SESSION, domain: owned(), ranges: ByteBuf::from(ranges) };
    let summary = |domain| Summary { domain, count: 6, digest: digest(&ids()) };
    let empty = Summary { domain: Domain::shared("a"), count: u64::MAX, digest: digest([]) };
    let entries = |count| signed().iter().take(count).map(|of| ByteBuf::from(of.envelope.wire().to_vec())).collect();
    let credentials = vec![
        Credited { node: node(0), chain: credentials::chain() },
        Credited { node: node(1), chain: mesh_proto::credential::Chain::default() },
    ];
    let names: Vec<_> = ids().iter().map(|id| salted(SESSION, id)).collect();
    let contents = || vec![cid(0x55, b"hello"), cid(0x70, b"a file")];
    vec![
        ("summary of nothing", Message::Summary(vec![])),
        ("summary", Message::Summary(vec![empty, summary(owned())])),
        ("step of a comparison", Message::Compare(round(b"\x61\x00\x00\x02\x00"))),
        ("answer to a step", Message::Compared(round(b"\x61"))),
        ("have", Message::Have { domain: owned(), entries: names.clone() }),
        ("pull", Message::Pull { question: 1, session: Some(SESSION), domain: owned(), entries: names }),
        ("pull by name", Message::Pull { question: u64::MAX, session: None, domain: owned(), entries: vec![] }),
        (
            "push, with more to come",
            Message::Push { question: 1, entries: entries(2), credentials: vec![], last: false },
        ),
        ("push with credentials", Message::Push { question: SESSION, entries: entries(1), credentials, last: true }),
        ("push of nothing", Message::Push { question: SESSION, entries: vec![], credentials: vec![], last: true }),
        ("question who has content", Message::WhoHas { question: 1, contents: contents() }),
        ("content that somebody holds", Message::Holds { question: 1, contents: contents() }),
        ("content that nobody asked for", Message::Holds { question: 0, contents: vec![] }),
        ("content without room", Message::Full(contents())),
    ]
}
