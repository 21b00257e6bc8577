//! Bytes that must be refused. What is wrong is stated in `by`:
//!
//! * `form`: not canonical CBOR, whatever it was meant to be;
//! * `type`: canonical CBOR, but not of this message;
//! * `bound`: past a bound;
//! * `signature`: not the sender's; `strict signature`: one that verifiers who are not strict may let pass.

use bytes::Bytes;
use mesh_proto::gossip::{Announcement, Batch, Heartbeat, Item, Known, Query};
use mesh_proto::limits::{MAX_ENVELOPE, TTL_MS};
use mesh_proto::protocol::ENVELOPE_DOMAIN;
use mesh_proto::{Envelope, Keypair, Kind, MessageId, NodeId, codec, direct, envelope, join, transfer};
use serde::Serialize;
use serde_bytes::{ByteBuf, Bytes as ByteStr};

use crate::samples;

pub(crate) struct Refused {
    pub(crate) name: &'static str,
    /// `envelope`, `direct`, `join` (a reply) or `transfer`.
    pub(crate) what: &'static str,
    pub(crate) by: &'static str,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn all() -> Vec<Refused> {
    let of = |what: &'static str| {
        move |(name, by, bytes): (&'static str, &'static str, Vec<u8>)| Refused { name, what, by, bytes }
    };
    let envelopes = forged().into_iter().chain(misshapen()).chain(out_of_bounds()).map(of("envelope"));
    envelopes
        .chain(direct().into_iter().map(of("direct")))
        .chain(joins().into_iter().map(of("join")))
        .chain(transfers().into_iter().map(of("transfer")))
        .collect()
}

type Case = (&'static str, &'static str, Vec<u8>);

fn heartbeat() -> Envelope {
    samples::envelope(Kind::MeshHeartbeat, &Heartbeat { announced: 1 })
}

fn key() -> Keypair {
    Keypair::from_seed(&samples::seeds()[0])
}

fn seal(body: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(&(ByteStr::new(body), ByteStr::new(signature))).unwrap()
}

/// Whatever is in it, the signature is right.
fn signed(body: &[u8]) -> Vec<u8> {
    seal(body, &key().sign(ENVELOPE_DOMAIN, body))
}

fn signed_value(body: &impl Serialize) -> Vec<u8> {
    signed(&serde_ipld_dagcbor::to_vec(body).unwrap())
}

fn forged() -> Vec<Case> {
    let body = codec::encode(&heartbeat(), MAX_ENVELOPE).unwrap();
    let good = key().sign(ENVELOPE_DOMAIN, &body);
    let other = Keypair::from_seed(&samples::seeds()[1]);
    let mut changed = body.clone();
    *changed.last_mut().unwrap() ^= 2;
    // The point of order 1 as the key and in the signature: S = 0 fits every message.
    let identity: [u8; 32] = std::array::from_fn(|n| u8::from(n == 0));
    let nobody = Envelope { from: NodeId(identity), ..heartbeat() };
    let nobody = codec::encode(&nobody, MAX_ENVELOPE).unwrap();
    let no_signature = std::array::from_fn(|n| u8::from(n == 0));
    vec![
        ("signed by another key", "signature", seal(&body, &other.sign(ENVELOPE_DOMAIN, &body))),
        ("signed in another domain", "signature", seal(&body, &key().sign(b"neural-mesh envelope v2\0", &body))),
        ("signed without a domain", "signature", seal(&body, &key().sign(b"", &body))),
        ("a bit of the payload flipped", "signature", seal(&changed, &good)),
        ("a signature of zeros", "signature", seal(&body, &[0; 64])),
        ("a key and a nonce of small order", "strict signature", seal(&nobody, &no_signature)),
    ]
}

/// An envelope's fields, for making it wrong.
#[derive(Clone)]
struct Fields(Vec<(&'static str, Vec<u8>)>);

impl Fields {
    /// Those of [`heartbeat`], encoded one by one, in order.
    fn new() -> Self {
        let Envelope { v, mesh, kind, from, seq, clock, ttl, payload } = heartbeat();
        Self(vec![
            ("v", cbor(&v)),
            ("seq", cbor(&seq)),
            ("ttl", cbor(&ttl)),
            ("from", cbor(&from)),
            ("kind", cbor(&kind)),
            ("mesh", cbor(&mesh)),
            ("clock", cbor(&clock)),
            ("payload", cbor(&ByteStr::new(&payload))),
        ])
    }

    fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.0.iter_mut().find(|(field, _)| *field == name).unwrap().1 = value.into();
        self
    }

    fn and(mut self, at: usize, name: &'static str, value: &[u8]) -> Self {
        self.0.insert(at, (name, value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(field, _)| *field != name);
        self
    }

    fn swapped(mut self, a: usize, b: usize) -> Self {
        self.0.swap(a, b);
        self
    }

    fn body(&self) -> Vec<u8> {
        let entries = self.0.iter().flat_map(|(name, value)| [cbor(name), value.clone()].concat());
        std::iter::once(0xa0 + self.0.len() as u8).chain(entries).collect()
    }

    fn signed(&self) -> Vec<u8> {
        signed(&self.body())
    }
}

fn cbor(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(value).unwrap()
}

fn misshapen() -> Vec<Case> {
    let fields = Fields::new;
    let body = fields().body();
    assert_eq!(body, codec::encode(&heartbeat(), MAX_ENVELOPE).unwrap());
    let good = signed(&body);
    let payload = |payload: &[u8]| signed_value(&Envelope { payload: Bytes::copy_from_slice(payload), ..heartbeat() });
    let empty_map = cbor(&Announcement::default());
    let announce = |payload: &[u8]| {
        let payload = Bytes::copy_from_slice(payload);
        signed_value(&Envelope { payload, kind: Kind::AgentAnnounce, ..heartbeat() })
    };
    let unsorted = b"\xa2\x66agents\x81\xa2\x64name\x61a\x6ccapabilities\x82\x61b\x61a\x69addresses\x80";
    vec![
        ("nothing", "form", vec![]),
        ("cut short", "form", good[..good.len() - 1].to_vec()),
        ("a byte too many", "form", [&good[..], &[0]].concat()),
        ("a byte too many in the body", "form", signed(&[&body[..], &[0]].concat())),
        ("keys not by length", "form", fields().swapped(0, 1).signed()),
        ("keys of one length not in order", "form", fields().swapped(1, 2).signed()),
        ("a key twice", "form", fields().and(1, "v", &[1]).signed()),
        ("a map of indefinite length", "form", signed(&[&[0xbf], &body[1..], &[0xff]].concat())),
        ("bytes of indefinite length", "form", fields().with("payload", &[0x5f, 0x41, 0xa0, 0xff]).signed()),
        ("a number longer than needed", "form", fields().with("v", &[0x18, 1]).signed()),
        ("a length longer than needed", "form", fields().with("payload", &[0x58, 1, 0xa0]).signed()),
        ("a float of 16 bits", "form", fields().with("ttl", &[0xf9, 0x3e, 0]).signed()),
        ("undefined", "form", fields().with("ttl", &[0xf7]).signed()),
        ("a kind as a map without a value", "form", fields().with("kind", b"\xa1\x6emesh-heartbeat").signed()),
        ("a payload that is not canonical", "form", payload(b"\xa1\x69announced\x18\x01")),
        ("an unknown field", "type", fields().and(8, "reserved", &[0]).signed()),
        ("a field too few", "type", fields().without("ttl").signed()),
        ("a field that is null", "type", fields().with("ttl", &[0xf6]).signed()),
        ("an unknown kind", "type", fields().with("kind", &cbor("agent-greeting")).signed()),
        ("a kind as a map to null", "type", fields().with("kind", b"\xa1\x6emesh-heartbeat\xf6").signed()),
        ("version 0", "type", fields().with("v", &[0]).signed()),
        ("version 2", "type", fields().with("v", &[2]).signed()),
        ("an id a byte short", "type", fields().with("mesh", &cbor(ByteStr::new(&[7; 31]))).signed()),
        ("an id as text", "type", fields().with("mesh", &cbor(&"a".repeat(32))).signed()),
        ("a negative number", "type", fields().with("seq", &[0x20]).signed()),
        ("fields in an array", "type", signed_value(&[1, 2, 3])),
        ("three parts", "type", serde_ipld_dagcbor::to_vec(&(ByteStr::new(&body), ByteStr::new(&[0; 64]), 0)).unwrap()),
        ("a payload of another kind", "type", payload(&empty_map)),
        ("leaving: false, spelled out", "type", announce(b"\xa3\x66agents\x80\x67leaving\xf4\x69addresses\x80")),
        ("capabilities not in order", "type", announce(unsorted)),
    ]
}

fn out_of_bounds() -> Vec<Case> {
    let of = |kind: Kind, payload: &dyn Fn() -> Vec<u8>| {
        signed_value(&Envelope { payload: payload().into(), kind, ..heartbeat() })
    };
    let announce = |addresses: Vec<String>| {
        of(Kind::AgentAnnounce, &|| cbor(&Announcement { addresses: addresses.clone(), ..Announcement::default() }))
    };
    let query = Query {
        id: MessageId([0; 16]),
        criteria: mesh_proto::agent::Criteria::default(),
        known: vec![Known(NodeId([0; 32]), 0); 129],
    };
    let batch = Batch { items: vec![Item { topic: "x".repeat(65), body: Bytes::new() }] };
    vec![
        ("a TTL past 300 s", "bound", signed_value(&Envelope { ttl: TTL_MS + 1, ..heartbeat() })),
        ("nine addresses", "bound", announce(vec!["/a".into(); 9])),
        ("an address of 257 bytes", "bound", announce(vec!["a".repeat(257)])),
        ("129 known nodes", "bound", of(Kind::AgentDiscovery, &|| cbor(&query))),
        ("a topic of 65 bytes", "bound", of(Kind::SwarmBroadcast, &|| cbor(&batch))),
    ]
}

fn direct() -> Vec<Case> {
    let ack = cbor(&direct::Frame::Ack { session: 7, numbers: vec![5] });
    let too_many = cbor(&direct::Frame::Ack { session: 7, numbers: vec![0; 1025] });
    vec![
        ("a frame without the map around it", "form", ack[1..].to_vec()),
        ("numbers of indefinite length", "form", b"\xa1\x63ack\xa2\x67numbers\x9f\x05\xff\x67session\x07".into()),
        ("an unknown frame", "type", b"\xa1\x63Ack\xa2\x67numbers\x81\x05\x67session\x07".into()),
        ("two frames in one", "type", b"\xa2\x63ack\xa2\x67numbers\x81\x05\x67session\x07\x64nack\xf6".into()),
        ("a message without from and to", "type", b"\xa1\x67message\xa2\x64body\x40\x66number\x01".into()),
        (
            "an agent's name with an @",
            "type",
            b"\xa1\x67message\xa4\x62to\x63a@b\x64body\x40\x64from\xf6\x66number\x01".into(),
        ),
        ("1025 acknowledgements", "bound", too_many),
    ]
}

fn joins() -> Vec<Case> {
    let members = join::Reply::Members { announcements: vec![ByteBuf::new(); 10_001], end: None };
    vec![
        ("members as text", "type", b"\xa1\x67members\xa2\x63end\xf6\x6dannouncements\x81\x61x".into()),
        ("10,001 announcements", "bound", cbor(&members)),
    ]
}

fn transfers() -> Vec<Case> {
    let offer = |change: &dyn Fn(&mut transfer::Manifest)| {
        let mut manifest = samples::manifest(&samples::bytes(150_000));
        change(&mut manifest);
        cbor(&transfer::Frame::Offer { mesh: samples::mesh(), manifest })
    };
    vec![
        ("a number past 32 bits", "type", b"\xa1\x66accept\xa1\x64have\x1b\x00\x00\x00\x01\x00\x00\x00\x00".into()),
        ("more bytes than hashes", "type", offer(&|manifest| manifest.size = 4 * 65_536)),
        ("more hashes than bytes", "type", offer(&|manifest| manifest.size = 65_536)),
        ("chunks of 32 KiB", "bound", offer(&|manifest| manifest.chunk = 32_768)),
        ("chunks of 96 KiB", "bound", offer(&|manifest| manifest.chunk = 98_304)),
        ("an agent of 257 bytes", "bound", offer(&|manifest| manifest.info.agent = "x".repeat(257))),
    ]
}

const _: () = assert!(envelope::VERSION == 1, "the versions that are refused are others");
