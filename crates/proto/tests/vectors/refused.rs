//! Bytes that must be refused. What is wrong is stated in `by`:
//!
//! * `form`: not canonical CBOR, whatever it was meant to be;
//! * `type`: canonical CBOR, but not of this message;
//! * `bound`: past a bound;
//! * `signature`: not the sender's; `strict signature`: one that verifiers who are not strict may let pass.

use bytes::Bytes;
use mesh_proto::charter::{Charter, SignedEpoch};
use mesh_proto::decision::{
    Ballot, Certificate, Choice, Claim, Evidence, Message, Outcome, Polka, Proposal, Propose, Status, Step, Subject,
    Value, Vote, VoterSet,
};
use mesh_proto::gossip::{Announcement, Batch, Heartbeat, Item, Known, Query, Storage};
use mesh_proto::knowledge::{Change, Content, Domain, Entry, Message as Told, Round, Summary};
use mesh_proto::limits::{MAX_ENVELOPE, TTL_MS};
use mesh_proto::protocol::ENVELOPE_DOMAIN;
use mesh_proto::{Envelope, Keypair, Kind, MessageId, NodeId, SlotId, codec, direct, envelope, join, transfer};
use serde::Serialize;
use serde_bytes::{ByteBuf, Bytes as ByteStr};

use crate::{credentials, decisions, knowledge, samples};

pub(crate) struct Refused {
    pub(crate) name: &'static str,
    /// `envelope`, `direct`, `join` (a reply), `transfer`, `charter`, `epoch` (a signed record), `decision` or `knowledge` (a
    /// message).
    pub(crate) what: &'static str,
    pub(crate) by: &'static str,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn all() -> Vec<Refused> {
    let of = |what: &'static str| {
        move |(name, by, bytes): (&'static str, &'static str, Vec<u8>)| Refused { name, what, by, bytes }
    };
    let envelopes = forged().into_iter().chain(misshapen()).chain(out_of_bounds()).chain(entries());
    let envelopes = envelopes.map(of("envelope"));
    envelopes
        .chain(direct().into_iter().map(of("direct")))
        .chain(joins().into_iter().map(of("join")))
        .chain(transfers().into_iter().map(of("transfer")))
        .chain(charters().into_iter().map(of("charter")))
        .chain(epochs().into_iter().map(of("epoch")))
        .chain(messages().into_iter().map(of("decision")))
        .chain(told().into_iter().map(of("knowledge")))
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
    let mut credentials = credentials::chain();
    credentials.0.push(credentials::of_voter());
    let stranger = Announcement { credentials, ..Announcement::default() };
    let batch = Batch { items: vec![Item { topic: "x".repeat(65), body: Bytes::new() }] };
    let room = |bytes, zone: usize| {
        let storage = Some(Storage { bytes, native: true, zone: "x".repeat(zone) });
        of(Kind::AgentAnnounce, &|| cbor(&Announcement { storage: storage.clone(), ..Announcement::default() }))
    };
    vec![
        ("a TTL past 300 s", "bound", signed_value(&Envelope { ttl: TTL_MS + 1, ..heartbeat() })),
        ("nine addresses", "bound", announce(vec!["/a".into(); 9])),
        ("an address of 257 bytes", "bound", announce(vec!["a".repeat(257)])),
        ("three credentials", "bound", of(Kind::AgentAnnounce, &|| cbor(&stranger))),
        ("129 known nodes", "bound", of(Kind::AgentDiscovery, &|| cbor(&query))),
        ("a topic of 65 bytes", "bound", of(Kind::SwarmBroadcast, &|| cbor(&batch))),
        ("a zone of 65 bytes", "bound", room(1, 65)),
        ("room for more than a pebibyte", "type", room((1 << 50) + 1, 0)),
    ]
}

/// Entries of knowledge, by the first key.
fn entries() -> Vec<Case> {
    let sealed = |entry: &Entry| signed_value(&knowledge::envelope(0, entry));
    let put = |change: &dyn Fn(&mut Entry)| {
        let mut entry = knowledge::put();
        change(&mut entry);
        sealed(&entry)
    };
    let content = |change: &dyn Fn(&mut Content)| {
        let mut content = knowledge::content();
        change(&mut content);
        put(&|entry| entry.change = Change::Put(content.clone()))
    };
    let of_cid = |codec: u64, hash: u64, digest: &[u8]| {
        let hash = cid::multihash::Multihash::wrap(hash, digest).unwrap();
        content(&|content| content.cid = cid::Cid::new_v1(codec, hash))
    };
    let version_0 = cid::Cid::new_v0(cid::multihash::Multihash::wrap(0x12, &[9; 32]).unwrap()).unwrap();
    let grant = |change: &dyn Fn(&mut Entry)| {
        let mut entry = knowledge::grant();
        change(&mut entry);
        sealed(&entry)
    };
    let writers = |count: u8| Change::Grant((0..count).map(|n| NodeId([n; 32])).collect());
    let untagged = replaced(&cbor(&knowledge::put()), b"\x63cid\xd8\x2a", b"\x63cid");
    let untagged = signed_value(&Envelope { payload: untagged.into(), ..knowledge::envelope(0, &knowledge::put()) });
    let many =
        |count: u8| (0..count).map(|n| mesh_proto::knowledge::Version(NodeId([n; 32]), mesh_proto::Hlc(0))).collect();
    let latest = vec![mesh_proto::knowledge::Version(NodeId([1; 32]), mesh_proto::Hlc(u64::MAX))];
    let others = grant(&|entry| entry.domain.owner = Some(Keypair::from_seed(&samples::seeds()[1]).node()));
    vec![
        ("an entry without a key", "type", put(&|entry| entry.key = String::new())),
        ("a key with a line break", "type", put(&|entry| entry.key = "a\nb".into())),
        ("a domain without a name", "type", put(&|entry| entry.domain = Domain::shared(""))),
        (
            "replaced versions not in order",
            "type",
            put(&|entry| {
                entry.replaces = knowledge::versions();
                entry.replaces.reverse();
            }),
        ),
        (
            "two replaced versions of one author",
            "type",
            put(&|entry| entry.replaces = vec![knowledge::versions()[0]; 2]),
        ),
        ("a replaced version that nothing can come after", "type", put(&|entry| entry.replaces = latest.clone())),
        ("no copies", "type", content(&|content| content.replicas = 0)),
        ("a CID of version 0", "type", content(&|content| content.cid = version_0)),
        ("a CID of dag-cbor", "type", of_cid(0x71, 0x12, &[9; 32])),
        ("a CID of BLAKE3", "type", of_cid(0x55, 0x1e, &[9; 32])),
        ("a CID of bytes themselves", "type", of_cid(0x55, 0, &[9; 32])),
        ("a CID as bytes without a tag", "type", untagged),
        ("a grant by somebody else", "type", others),
        ("a grant in a domain without an owner", "type", grant(&|entry| entry.domain.owner = None)),
        ("a grant with a key", "type", grant(&|entry| entry.key = "a".into())),
        ("a grant that ends", "type", grant(&|entry| entry.expires = Some(1))),
        (
            "writers not in order",
            "type",
            grant(&|entry| {
                if let Change::Grant(writers) = &mut entry.change {
                    writers.reverse();
                }
            }),
        ),
        ("a domain of 65 bytes", "bound", put(&|entry| entry.domain = Domain::shared("x".repeat(65)))),
        ("a key of 257 bytes", "bound", put(&|entry| entry.key = "x".repeat(257))),
        ("17 replaced versions", "bound", put(&|entry| entry.replaces = many(17))),
        ("nine copies", "bound", content(&|content| content.replicas = 9)),
        ("a type of 65 bytes", "bound", content(&|content| content.kind = "x".repeat(65))),
        ("metadata of 1025 bytes", "bound", content(&|content| content.metadata = Some(ByteBuf::from([0; 1025])))),
        ("65 writers", "bound", grant(&|entry| entry.change = writers(65))),
        (
            "an entry of more than 4 KiB",
            "bound",
            signed_value(&samples::envelope(Kind::KnowledgeShare, &ByteBuf::from([0; 4096]))),
        ),
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
    let revoked = join::Reply::Revoked { revocations: vec![credentials::revocation(); 129] };
    vec![
        ("members as text", "type", b"\xa1\x67members\xa2\x63end\xf6\x6dannouncements\x81\x61x".into()),
        ("10,001 announcements", "bound", cbor(&members)),
        ("129 revocations", "bound", cbor(&revoked)),
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

fn charters() -> Vec<Case> {
    let good = decisions::charter;
    let with = |change: &dyn Fn(&mut Charter)| {
        let mut charter = good();
        change(&mut charter);
        cbor(&charter)
    };
    vec![
        ("version 2 of a charter", "type", with(&|charter| charter.v = 2)),
        ("founders not in order", "type", with(&|charter| charter.founders.reverse())),
        ("a founder twice", "type", with(&|charter| charter.founders[1] = charter.founders[0])),
        ("a threshold of 0", "type", with(&|charter| charter.threshold = 0)),
        ("a threshold above the founders", "type", with(&|charter| charter.threshold = 4)),
        ("voters not in order", "type", with(&|charter| charter.voters.reverse())),
        ("a key of two voters", "type", with(&|charter| charter.voters[1].key = charter.voters[3].key)),
        ("a name of 129 bytes", "bound", with(&|charter| charter.name = "x".repeat(129))),
        ("17 founders", "bound", with(&|charter| charter.founders = vec![NodeId([0; 32]); 17])),
        ("101 voters", "bound", with(&|charter| charter.voters = vec![charter.voters[0]; 101])),
    ]
}

fn epochs() -> Vec<Case> {
    let with = |change: &dyn Fn(&mut SignedEpoch)| {
        let mut epoch = decisions::epoch();
        change(&mut epoch);
        cbor(&epoch)
    };
    vec![
        ("a record of epoch 0", "type", with(&|epoch| epoch.record.epoch = 0)),
        ("signatures not in order", "type", with(&|epoch| epoch.signatures.reverse())),
        ("a signature twice", "type", with(&|epoch| epoch.signatures[1] = epoch.signatures[0].clone())),
        ("17 signatures", "bound", with(&|epoch| epoch.signatures = vec![epoch.signatures[0].clone(); 17])),
    ]
}

/// Where the signature covers what is wrong, it is a right one: who reads these does not have to ask whose they are.
fn messages() -> Vec<Case> {
    let vote = |change: &dyn Fn(&mut Vote)| {
        let mut vote = decisions::prevote(0, Choice::Approve, "fine");
        change(&mut vote);
        cbor(&Message::Vote(decisions::cast(vote)))
    };
    let propose = |change: &dyn Fn(&mut Propose)| {
        let mut propose = decisions::propose(Value::Proposal(decisions::proposal()));
        change(&mut propose);
        cbor(&Message::Propose(propose.sign(&decisions::key(1)).unwrap()))
    };
    let polka = |change: &dyn Fn(&mut Polka)| {
        let mut polka = decisions::polka(0);
        change(&mut polka);
        cbor(&Message::Polka(polka))
    };
    let decision = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = decisions::certificate();
        change(&mut certificate);
        cbor(&Message::Decision(certificate))
    };
    let claim = |length| {
        let claim = Claim { length, ..decisions::claim() };
        cbor(&Message::Claim(claim.sign(&decisions::nodes()[3]).unwrap()))
    };
    let Evidence { a, b } = decisions::evidence();
    let says_no = |reason: &str| Some(Ballot { choice: Choice::Reject, reason: reason.into() });
    let long = "x".repeat(257);
    let status = Status {
        slot: decisions::claim().slot.id().unwrap(),
        round: 0x0400_0000,
        proposed: false,
        prevotes: VoterSet::default(),
        precommits: VoterSet::default(),
        polka: None,
    };
    let good = vote(&|_| {});
    let lapsed = decision(&|of| of.outcome = Outcome::Lapsed);
    vec![
        ("a vote cut short", "form", good[..good.len() - 1].to_vec()),
        ("a byte behind a vote", "form", [&good[..], &[0]].concat()),
        ("a round longer than needed", "form", replaced(&good, b"\x65round\x00", b"\x65round\x18\x00")),
        ("an unknown message", "type", replaced(&good, b"\x64vote\xa2", b"\x64Vote\xa2")),
        ("an unknown step", "type", replaced(&good, b"\x67prevote", b"\x67Prevote")),
        ("an unknown choice", "type", replaced(&good, b"\x67approve", b"\x67Approve")),
        ("an unknown field of a ballot", "type", replaced(&good, b"\xa2\x66choice", b"\xa3\x61x\x00\x66choice")),
        ("a round that is null", "type", replaced(&good, b"\x65round\x00", b"\x65round\xf6")),
        ("no reason, spelled out", "type", replaced(&good, b"\x66reason\x64fine", b"\x66reason\x60")),
        ("an outcome as a map to null", "type", replaced(&lapsed, b"\x66lapsed", b"\xa1\x66lapsed\xf6")),
        ("a prevote of round 0 without a ballot", "type", vote(&|vote| vote.ballot = None)),
        ("a ballot in round 1", "type", vote(&|vote| vote.round = 1)),
        ("a ballot in a precommit", "type", vote(&|vote| vote.step = Step::Precommit)),
        ("an approval of nothing", "type", vote(&|vote| vote.value = None)),
        ("a rejection for a value", "type", vote(&|vote| vote.ballot = says_no(""))),
        ("a voter past 99", "bound", vote(&|vote| vote.voter = 100)),
        ("a reason of 257 bytes", "bound", vote(&|vote| vote.ballot.as_mut().unwrap().reason = long.clone())),
        ("a polka of the same round", "type", propose(&|of| (of.round, of.pol_round) = (1, Some(1)))),
        ("a round past the last", "bound", propose(&|of| of.round = 0x0400_0000)),
        (
            "a resource of 257 bytes",
            "bound",
            propose(&|of| of.slot.subject = Subject::Resource { name: long.clone(), seq: 0 }),
        ),
        ("a title of 257 bytes", "bound", propose(&|of| of.value = titled(&long, 5_000))),
        ("a window of 499 ms", "type", propose(&|of| of.value = titled("", 499))),
        ("a window of more than a day", "bound", propose(&|of| of.value = titled("", 86_400_001))),
        ("a polka's votes not in order", "type", polka(&|of| of.votes.reverse())),
        ("a polka's vote twice", "type", polka(&|of| of.votes[1] = of.votes[0].clone())),
        ("a reason in a polka of round 1", "type", polka(&|of| of.round = 1)),
        ("a voter without a signature", "type", decision(&|of| assert!(of.voters.insert(2)))),
        ("a signature without a voter", "type", decision(&|of| of.signatures.extend([0; 64]))),
        ("a signature of 63 bytes", "type", decision(&|of| of.signatures.truncate(3 * 64 - 1))),
        ("a proposal that is granted", "type", decision(&|of| of.outcome = decisions::outcomes()[3].2)),
        ("a resource that is approved", "type", decision(&|of| of.slot = decisions::resource())),
        ("a signer past 99", "bound", decision(&|of| of.voters = VoterSet::from_iter([0, 1, 100]))),
        ("a lease of no time", "type", claim(0)),
        ("a lease of more than a day", "bound", claim(86_400_001)),
        ("evidence the other way round", "type", cbor(&Message::Evidence(Evidence { a: b.clone(), b: a.clone() }))),
        ("evidence of one vote", "type", cbor(&Message::Evidence(Evidence { a: a.clone(), b: a }))),
        ("a status past the last round", "bound", cbor(&Message::Status(status))),
        ("four electorates", "bound", cbor(&Message::Epochs(vec![decisions::epoch(); 4]))),
        ("257 known slots", "bound", cbor(&Message::Others(vec![SlotId([1; 32]); 257]))),
    ]
}

/// What is said about knowledge.
fn told() -> Vec<Case> {
    let content = knowledge::content();
    let other = cid::Cid::new_v1(0x71, *content.cid.hash());
    let round =
        |domain, ranges: usize| Told::Compare(Round { session: 1, domain, ranges: ByteBuf::from(vec![0; ranges]) });
    let summary = |domain| Summary { domain, count: 0, digest: mesh_proto::knowledge::digest([]) };
    let push = |entries| Told::Push { question: 1, entries, credentials: vec![], last: true };
    let id = mesh_proto::EntryId([1; 32]);
    let good = cbor(&push(vec![]));
    vec![
        ("a push cut short", "form", good[..good.len() - 1].to_vec()),
        ("an unknown message about knowledge", "type", replaced(&good, b"\x64push", b"\x64Push")),
        (
            "no credentials, spelled out",
            "type",
            replaced(
                &replaced(&good, b"\xa3\x64last", b"\xa4\x64last"),
                b"\x68question\x01",
                b"\x68question\x01\x6bcredentials\x80",
            ),
        ),
        ("content that is none", "type", cbor(&Told::Full(vec![other]))),
        ("a summary of a domain without a name", "type", cbor(&Told::Summary(vec![summary(Domain::shared(""))]))),
        ("257 domains", "bound", cbor(&Told::Summary(vec![summary(knowledge::owned()); 257]))),
        ("ranges of more than 48 KiB", "bound", cbor(&round(knowledge::owned(), 48 * 1024 + 1))),
        (
            "1025 entries that are asked for",
            "bound",
            cbor(&Told::Pull { question: 1, session: None, domain: Domain::shared("a"), entries: vec![id; 1025] }),
        ),
        ("513 entries that are given", "bound", cbor(&push(vec![ByteBuf::new(); 513]))),
        ("an entry of 4097 bytes", "bound", cbor(&push(vec![ByteBuf::from([0; 4097])]))),
        ("513 contents", "bound", cbor(&Told::WhoHas { question: 1, contents: vec![content.cid; 513] })),
    ]
}

fn titled(title: &str, window: u64) -> Value {
    Value::Proposal(Proposal { title: title.into(), window, ..decisions::proposal() })
}

/// With `new` where `old` stands, which is one place.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    let [at] = places[..] else { panic!("{places:?}") };
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

const _: () = assert!(envelope::VERSION == 1, "the versions that are refused are others");
