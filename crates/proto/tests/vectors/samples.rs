//! The values that the vectors encode: each kind and each variant, with everything optional given and left out.

use bytes::Bytes;
use mesh_proto::agent::{AgentRecord, Criteria, Resources};
use mesh_proto::credential::Chain;
use mesh_proto::gossip::{Announcement, Batch, Heartbeat, Item, Known, Query, Storage};
use mesh_proto::id::Checksum;
use mesh_proto::limits::{MAX_DECISION, MAX_ENVELOPE, TTL_MS};
use mesh_proto::transfer::{Codec, Manifest, WeightsInfo};
use mesh_proto::{
    AgentName, Envelope, Hlc, Keypair, Kind, MeshId, MessageId, NodeId, TransferId, codec, direct, envelope, join,
    transfer,
};
use serde::Serialize;
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use crate::credentials;

pub(crate) fn mesh() -> MeshId {
    MeshId::open("playground").unwrap()
}

/// Seeds of keys; the last is the first of RFC 8032, 7.1.
pub(crate) fn seeds() -> [[u8; 32]; 4] {
    let rfc: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&RFC[2 * n..2 * n + 2], 16).unwrap()).collect();
    [[1; 32], [2; 32], std::array::from_fn(|n| n as u8), rfc.try_into().unwrap()]
}

const RFC: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

fn node(n: usize) -> NodeId {
    Keypair::from_seed(&seeds()[n]).node()
}

fn name(name: &str) -> AgentName {
    name.parse().unwrap()
}

pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// An envelope of the first key: sequence number and clock of 2023-11-14, 22:13:20 UTC.
pub(crate) fn envelope(kind: Kind, payload: &impl Serialize) -> Envelope {
    Envelope {
        v: envelope::VERSION,
        mesh: mesh(),
        kind,
        from: node(0),
        seq: 1_700_000_000_000_001,
        clock: Hlc(Hlc::at(1_700_000_000_000).0 + 1),
        ttl: TTL_MS,
        payload: codec::encode(payload, MAX_ENVELOPE).unwrap().into(),
    }
}

fn announcement() -> Announcement {
    let trainer = AgentRecord {
        kind: Some("trainer".into()),
        resources: Some(Resources { cpu: Some(0.5), memory: Some(15.75), specialization: Some("digits".into()) }),
        metadata: Some(ByteBuf::from([0xa1, 0x61, b'x', 1])),
        ..AgentRecord::new(name("ada"), ["train".into(), "infer".into(), "évaluer".into()])
    };
    let plain = AgentRecord::new(name("名前"), []);
    let idle = AgentRecord { resources: Some(Resources::default()), ..AgentRecord::new(name("idle"), []) };
    Announcement {
        addresses: vec!["/ip4/127.0.0.1/tcp/4001/ws".into(), "/dns4/relay.example/tcp/443/wss".into()],
        agents: vec![trainer, plain, idle],
        leaving: false,
        relay: false,
        voting: None,
        credentials: Chain::default(),
        storage: None,
    }
}

fn full_query() -> Query {
    Query {
        id: MessageId([0xc3; 16]),
        criteria: Criteria {
            name: Some(name("ada")),
            kind: Some("trainer".into()),
            capabilities: vec!["train".into(), "infer".into()],
            node: Some(node(1)),
        },
        known: vec![Known(node(1), 1_700_000_000_000_002), Known(node(2), u64::MAX)],
    }
}

/// Name, seed, envelope.
pub(crate) fn envelopes() -> Vec<(&'static str, [u8; 32], Envelope)> {
    let nothing = Announcement::default();
    let goodbye = Announcement { leaving: true, ..Announcement::default() };
    let relay =
        Announcement { addresses: vec!["/ip4/127.0.0.1/tcp/4001/ws".into()], relay: true, ..Announcement::default() };
    let any = Query { id: MessageId([0; 16]), criteria: Criteria::default(), known: vec![] };
    let item = |topic: &str, body: &'static [u8]| Item { topic: topic.into(), body: Bytes::from_static(body) };
    let batch = Batch { items: vec![item("news", b"hello"), item("", b""), item("✓", &[0, 255])] };
    let first = [
        ("announcement", envelope(Kind::AgentAnnounce, &announcement())),
        ("announcement of no agents", envelope(Kind::AgentAnnounce, &nothing)),
        ("announcement of leaving", envelope(Kind::AgentAnnounce, &goodbye)),
        ("query with everything", envelope(Kind::AgentDiscovery, &full_query())),
        ("query for anyone", envelope(Kind::AgentDiscovery, &any)),
        ("heartbeat", envelope(Kind::MeshHeartbeat, &Heartbeat { announced: 1_700_000_000_000_000 })),
        ("broadcasts", envelope(Kind::SwarmBroadcast, &batch)),
    ];
    let mut all: Vec<_> = first.into_iter().map(|(name, envelope)| (name, seeds()[0], envelope)).collect();
    let least = Envelope {
        mesh: MeshId([0; 32]),
        from: node(3),
        seq: 0,
        clock: Hlc(0),
        ttl: 0,
        ..envelope(Kind::MeshHeartbeat, &Heartbeat { announced: 0 })
    };
    let most = Envelope {
        mesh: MeshId([255; 32]),
        from: node(2),
        seq: u64::MAX,
        clock: Hlc(u64::MAX),
        ..envelope(Kind::MeshHeartbeat, &Heartbeat { announced: u64::MAX })
    };
    all.push(("announcement of a relay", seeds()[0], envelope(Kind::AgentAnnounce, &relay)));
    let voter = Announcement { voting: Some(node(2)), ..Announcement::default() };
    all.push(("announcement of who can vote", seeds()[0], envelope(Kind::AgentAnnounce, &voter)));
    let member = Announcement { credentials: credentials::chain(), ..Announcement::default() };
    all.push(("announcement of a member", seeds()[0], envelope(Kind::AgentAnnounce, &member)));
    let storage =
        |storage| envelope(Kind::AgentAnnounce, &Announcement { storage: Some(storage), ..Announcement::default() });
    let room = Storage { bytes: 1 << 50, native: true, zone: "стойка 1".into() };
    let tab = Storage { bytes: 0, native: false, zone: String::new() };
    all.push(("announcement of who gives room", seeds()[0], storage(room)));
    all.push(("announcement of a browser that gives room", seeds()[0], storage(tab)));
    let revocation = envelope(Kind::MembershipRevocation, &credentials::revocation());
    all.push(("revocation", seeds()[0], revocation));
    for (name, message) in crate::decisions::messages() {
        if matches!(name, "electorates" | "precommit")
            && let Some(kind) = message.kind()
        {
            all.push((name, seeds()[0], envelope(kind, &message)));
        }
    }
    all.push(("the smallest numbers", seeds()[3], least));
    all.push(("the largest numbers", seeds()[2], most));
    all
}

pub(crate) fn direct() -> Vec<(&'static str, direct::Frame)> {
    use direct::{Frame, Message, Reader, Refusal};
    let session = 1_700_000_000_000_000;
    let number = session + 1;
    let message = |from: Option<&str>, to: Option<&str>, body: &'static [u8]| {
        Frame::Message(Message {
            number,
            from: from.map(name),
            to: to.map(name),
            body: Bytes::from_static(body),
            reader: Reader::Application,
        })
    };
    let to_node =
        |reader, body: Vec<u8>| Frame::Message(Message { number, from: None, to: None, body: body.into(), reader });
    let question = codec::encode(&mesh_proto::decision::Message::EpochsAfter(7), MAX_DECISION).unwrap();
    let summary = mesh_proto::knowledge::Message::Summary(vec![]).encode().unwrap();
    vec![
        ("hello", Frame::Hello { mesh: mesh(), session }),
        ("message between agents", message(Some("ada"), Some("grace"), b"\x81\x65hello")),
        ("message between nodes", message(None, None, b"")),
        ("decision", to_node(Reader::Decision, question)),
        ("knowledge", to_node(Reader::Knowledge, summary)),
        ("acknowledgements", Frame::Ack { session, numbers: vec![number, number + 1, number + 3] }),
        ("acknowledgement of nothing", Frame::Ack { session: u64::MAX, numbers: vec![] }),
        ("refusal", Frame::Nack { session, number, reason: Refusal::UnknownAgent }),
    ]
}

pub(crate) fn join_requests() -> Vec<(&'static str, join::Request)> {
    let request = |after| join::Request { mesh: mesh(), announcement: announcements().remove(0), after };
    vec![("first request", request(None)), ("request for what came since", request(Some(END)))]
}

const END: join::Cursor = join::Cursor { run: 1_700_000_000_000_000, place: 2 };

/// Envelopes of announcements, by the first two keys.
fn announcements() -> Vec<ByteBuf> {
    let announce = |n: usize| {
        let from = node(n);
        let envelope = Envelope { from, ..envelope(Kind::AgentAnnounce, &Announcement::default()) };
        ByteBuf::from(envelope.sign(&Keypair::from_seed(&seeds()[n])).unwrap().wire().to_vec())
    };
    vec![announce(0), announce(1)]
}

pub(crate) fn join_replies() -> Vec<(&'static str, join::Reply)> {
    use join::Reply;
    vec![
        ("members, and more to come", Reply::Members { announcements: announcements(), end: None }),
        ("no more members", Reply::Members { announcements: vec![], end: Some(END) }),
        ("revocations", Reply::Revoked { revocations: vec![credentials::revocation()] }),
        ("wrong mesh", Reply::WrongMesh { mesh: mesh() }),
    ]
}

pub(crate) fn manifest(bytes: &[u8]) -> Manifest {
    let info = WeightsInfo {
        agent: "ada".into(),
        name: Some("digits".into()),
        format: "safetensors".into(),
        codec: Codec::Gzip,
        raw_size: 200_000,
        checksum: Checksum(Sha256::digest(bytes).into()),
        metadata: Some(ByteBuf::from([0xf6])),
    };
    Manifest::describe(TransferId([0xd4; 16]), info, bytes)
}

pub(crate) fn transfer(manifest: Manifest) -> Vec<(&'static str, transfer::Frame)> {
    use transfer::{Frame, Refusal};
    let bare = WeightsInfo {
        agent: String::new(),
        name: None,
        format: String::new(),
        codec: Codec::None,
        raw_size: 0,
        checksum: Checksum(Sha256::digest(b"").into()),
        metadata: None,
    };
    let empty = Manifest::describe(TransferId([0; 16]), bare, b"");
    vec![
        ("offer", Frame::Offer { mesh: mesh(), manifest }),
        ("offer of nothing", Frame::Offer { mesh: mesh(), manifest: empty }),
        ("acceptance", Frame::Accept { have: 0 }),
        ("acceptance of the rest", Frame::Accept { have: 2 }),
        ("refusal: too large", Frame::Refuse { reason: Refusal::TooLarge }),
        ("refusal: busy", Frame::Refuse { reason: Refusal::Busy }),
        ("refusal: corrupt", Frame::Refuse { reason: Refusal::Corrupt }),
        ("refusal: wrong mesh", Frame::Refuse { reason: Refusal::WrongMesh }),
        ("chunk", Frame::Chunk { index: 1, data: Bytes::from_static(b"chunk") }),
        ("receipt", Frame::Received { have: 8192 }),
    ]
}
