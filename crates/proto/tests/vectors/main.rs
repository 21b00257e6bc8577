//! The vectors in `tests/vectors`: every format of the wire, byte by byte. TypeScript reads the same files.
//!
//! A difference here is a change of the wire format: other versions will not understand this one any more. If that is
//! meant, `UPDATE_VECTORS=1 cargo test -p mesh-proto --test vectors` writes the files anew.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::path::Path;

use mesh_proto::charter::{FounderSignature, SignedEpoch};
use mesh_proto::codec::{self, Bounded};
use mesh_proto::credential::SignedRevocation;
use mesh_proto::decision::{Message, SignedVote};
use mesh_proto::knowledge::{Entry, Message as Told, Signed};
use mesh_proto::limits::{
    MAX_ADMISSION, MAX_BODY, MAX_CHARTER, MAX_DECISION, MAX_DIRECT_FRAME, MAX_ENVELOPE, MAX_INVITE, MAX_JOIN_FRAME,
    MAX_PASS, MAX_RECORD, MAX_TRANSFER_FRAME,
};
use mesh_proto::{
    EnvelopeError, Keypair, Kind, MeshId, NodeId, Strict, Unverified, charter, credential, direct, gossip, join,
    protocol, transfer,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use json::{hex, plain};

mod credentials;
mod decisions;
mod json;
mod knowledge;
mod refused;
mod samples;

/// Compares `vectors` with what stands in `file`, or writes it there.
fn pinned(file: &str, vectors: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file);
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, format!("{vectors:#}\n")).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let pinned: Value = serde_json::from_str(&text).unwrap();
    if let Some(difference) = difference(&pinned, vectors) {
        panic!("{file}: {difference}");
    }
}

/// Where two values differ first. Comparing the texts would depend on how some build sorts keys.
fn difference(pinned: &Value, made: &Value) -> Option<String> {
    let within = |key: &dyn std::fmt::Display, pinned: &Value, made: Option<&Value>| {
        difference(pinned, made.unwrap_or(&Value::Null)).map(|what| format!("{key}: {what}"))
    };
    match (pinned, made) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(n, (a, b))| within(&n, a, Some(b)))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(key, a)| within(key, a, b.get(key)))
        }
        _ => (pinned != made).then(|| format!("{pinned} is pinned, {made} is made")),
    }
}

/// A vector for `value`, which is read back from its bytes.
fn vector<T: DeserializeOwned + Bounded + PartialEq + std::fmt::Debug>(name: &str, value: &T, max: usize) -> Value {
    let bytes = codec::encode(value, max).unwrap();
    assert_eq!(codec::decode::<T>(&bytes, max).as_ref(), Ok(value), "{name}");
    json!({ "name": name, "hex": hex(&bytes), "value": plain(&bytes) })
}

#[test]
fn ids() {
    let meshes = ["playground", "a", "Ädäms Mesh ✓", &"x".repeat(128)]
        .map(|name| json!({ "name": name, "id": MeshId::open(name).unwrap().to_string() }));
    let nodes = samples::seeds().map(|seed| {
        let node = Keypair::from_seed(&seed).node();
        json!({ "seed": hex(&seed), "node": node.to_string(), "peerId": peer_id(&node) })
    });
    let mesh = samples::mesh();
    let topics = protocol::Topic::ALL.map(|topic| topic.name(&mesh));
    pinned(
        "ids.json",
        &json!({
            "openMeshDomain": hex(protocol::OPEN_MESH_DOMAIN),
            "openMeshes": meshes,
            "nodes": nodes,
            "topics": { "mesh": mesh.to_string(), "names": topics },
        }),
    );
}

#[test]
fn envelopes() {
    let envelopes = samples::envelopes().into_iter().map(|(name, seed, envelope)| {
        let sealed = envelope.clone().sign(&Keypair::from_seed(&seed)).unwrap();
        let read = Unverified::decode(sealed.wire().clone()).unwrap().verify().unwrap();
        assert_eq!(*read, envelope, "{name}");
        read_payload(read.kind, &read.payload).unwrap();
        json!({
            "name": name,
            "seed": hex(&seed),
            "hex": hex(sealed.wire()),
            "body": plain(&codec::encode(&envelope, MAX_ENVELOPE).unwrap()),
            "payload": plain(&envelope.payload),
        })
    });
    let envelopes: Vec<_> = envelopes.collect();
    pinned("envelopes.json", &json!({ "domain": hex(protocol::ENVELOPE_DOMAIN), "envelopes": envelopes }));
}

#[test]
fn frames() {
    let direct = samples::direct();
    let direct: Vec<_> = direct.iter().map(|(name, frame)| vector(name, frame, MAX_DIRECT_FRAME)).collect();
    pinned("direct.json", &json!({ "protocol": protocol::DIRECT, "frames": direct }));

    let replies = samples::join_replies();
    let replies: Vec<_> = replies.iter().map(|(name, frame)| vector(name, frame, MAX_JOIN_FRAME)).collect();
    let requests = samples::join_requests();
    let requests: Vec<_> = requests.iter().map(|(name, frame)| vector(name, frame, MAX_ENVELOPE + 256)).collect();
    pinned("join.json", &json!({ "protocol": protocol::JOIN, "requests": requests, "replies": replies }));
}

#[test]
fn transfers() {
    // The bytes of BLAKE3's own test vectors.
    let bytes = samples::bytes(150_000);
    let hashes = [0, 1, 1024].map(|len| json!({ "len": len, "blake3": transfer::hash(&bytes[..len]).to_string() }));
    assert_eq!(hashes[2]["blake3"], "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7");

    let manifest = samples::manifest(&bytes);
    let chunks: Vec<_> = (0..manifest.chunks())
        .map(|index| {
            let range = manifest.range(index);
            assert!(manifest.fits(index, &bytes[range.start as usize..range.end as usize]));
            json!({ "start": range.start, "end": range.end, "blake3": manifest.hashes[index as usize].to_string() })
        })
        .collect();
    let frames = samples::transfer(manifest);
    let frames: Vec<_> = frames.iter().map(|(name, frame)| vector(name, frame, MAX_TRANSFER_FRAME)).collect();
    pinned(
        "transfer.json",
        &json!({
            "protocol": protocol::TRANSFER,
            "bytes": "byte n is n mod 251",
            "hashes": hashes,
            "offered": { "len": bytes.len(), "chunks": chunks },
            "frames": frames,
        }),
    );
}

#[test]
fn decisions() {
    let charter = decisions::charter();
    let mut of_mesh = vector("charter", &charter, MAX_CHARTER);
    of_mesh["mesh"] = charter.mesh().unwrap().to_string().into();
    let epoch = decisions::epoch();
    let mut of_epoch = vector("epoch 1", &epoch, MAX_CHARTER);
    of_epoch["record"] = hex(&codec::encode(&epoch.record, MAX_CHARTER).unwrap()).into();
    of_epoch["digest"] = epoch.record.digest().unwrap().to_string().into();

    let slots = [("owned", decisions::owned()), ("resource", decisions::resource())].map(|(name, slot)| {
        let mut of_slot = vector(name, &slot, MAX_DECISION);
        of_slot["id"] = slot.id().unwrap().to_string().into();
        of_slot
    });
    let outcomes = decisions::outcomes().into_iter().map(|(name, slot, outcome)| {
        let slot = slot.id().unwrap();
        // What is hashed.
        let bytes = codec::encode(&(slot, outcome), MAX_DECISION).unwrap();
        json!({ "name": name, "hex": hex(&bytes), "value": plain(&bytes), "digest": outcome.digest(&slot).to_string() })
    });
    let outcomes: Vec<_> = outcomes.collect();
    let mut of_proposal = vector("proposal", &decisions::proposal(), MAX_DECISION);
    of_proposal["digest"] = decisions::proposal().digest().unwrap().to_string().into();

    let messages = decisions::messages();
    let signatures: Vec<_> = messages.iter().flat_map(|(name, message)| signatures(name, message)).collect();
    let founders = epoch.signatures.iter().map(|signed| {
        let digest = epoch.record.digest().unwrap();
        signature("epoch 1", protocol::EPOCH_DOMAIN, &signed.founder, &digest.0, &signed.signature)
    });
    let messages: Vec<_> = messages.iter().map(|(name, message)| vector(name, message, MAX_DECISION)).collect();
    pinned(
        "decisions.json",
        &json!({
            "domains": domains(),
            "charter": of_mesh,
            "epoch": of_epoch,
            "slots": slots,
            "outcomes": outcomes,
            "proposal": of_proposal,
            "record": vector("record", &decisions::record(), MAX_RECORD),
            "largeRecord": { "hex": hex(&codec::encode(&decisions::large_record(), MAX_RECORD).unwrap()) },
            "messages": messages,
            "signatures": founders.chain(signatures).collect::<Vec<_>>(),
        }),
    );
}

#[test]
fn what_is_known() {
    let messages = knowledge::messages();
    let messages: Vec<_> = messages.iter().map(|(name, message)| vector(name, message, MAX_BODY)).collect();
    pinned(
        "knowledge.json",
        &json!({
            "session": knowledge::SESSION.to_string(),
            "entries": knowledge::vectors(),
            "digests": knowledge::digests(),
            "messages": messages,
        }),
    );
}

#[test]
fn credentials() {
    let invite = credentials::invite();
    let redemption = credentials::redemption();
    let revocation = credentials::revocation();
    let chain = credentials::chain();
    let of_voter = credentials::of_voter();
    let frames = credentials::frames();
    assert!(redemption.verifies(&Strict));
    assert!(revocation.verifies(&decisions::charter(), &Strict));
    let all: Vec<_> = chain.0.iter().chain([&of_voter]).collect();
    let mut signatures: Vec<_> = all
        .iter()
        .map(|signed| {
            let bytes = codec::encode(&signed.credential, MAX_ADMISSION).unwrap();
            let by = &signed.credential.serial.issuer;
            signature("credential", protocol::CREDENTIAL_DOMAIN, by, &bytes, &signed.signature)
        })
        .collect();
    let of_invitation = &invite.invitation;
    let bytes = codec::encode(&of_invitation.invitation, MAX_ADMISSION).unwrap();
    let issuer = of_invitation.invitation.serial.issuer;
    signatures.push(signature("invite", protocol::INVITATION_DOMAIN, &issuer, &bytes, &of_invitation.signature));
    let redeemed = [of_invitation.invitation.mesh.0, redemption.node.0].concat();
    let key = of_invitation.invitation.key;
    signatures.push(signature("redemption", protocol::REDEEM_DOMAIN, &key, &redeemed, &redemption.signature));
    let bytes = codec::encode(&revocation.revocation, MAX_ADMISSION).unwrap();
    let by = revocation.revocation.by;
    signatures.push(signature("revocation", protocol::REVOCATION_DOMAIN, &by, &bytes, &revocation.signature));
    let meeting = credentials::meeting();
    let met = codec::encode(&meeting, MAX_ADMISSION).unwrap();
    for (name, frame) in &frames {
        if let credential::Frame::Proof(proof) = frame {
            signatures.push(signature(name, protocol::ADMISSION_DOMAIN, &meeting.shows, &met, &proof.signature));
        }
    }
    let mut messages = vec![
        vector("credential of a voter", &of_voter, MAX_ADMISSION),
        vector("credentials of who was let in by an inviter", &chain, MAX_ADMISSION),
        vector("invite", &invite, MAX_INVITE),
        vector("redemption", &redemption, MAX_ADMISSION),
        vector("revocation", &revocation, MAX_ADMISSION),
        vector("revocation of all that a node was given", &credentials::revocation_of_node(), MAX_ADMISSION),
    ];
    messages.extend(frames.iter().map(|(name, frame)| vector(name, frame, MAX_ADMISSION)));
    messages.extend(credentials::requests().iter().map(|(name, request)| vector(name, request, MAX_ADMISSION)));
    messages.extend(credentials::answers().iter().map(|(name, answer)| vector(name, answer, MAX_PASS)));
    pinned(
        "credentials.json",
        &json!({
            "protocols": { "auth": protocol::AUTH, "admit": protocol::ADMIT },
            "domains": {
                "credential": hex(protocol::CREDENTIAL_DOMAIN),
                "invitation": hex(protocol::INVITATION_DOMAIN),
                "redeem": hex(protocol::REDEEM_DOMAIN),
                "revocation": hex(protocol::REVOCATION_DOMAIN),
                "admission": hex(protocol::ADMISSION_DOMAIN),
            },
            "messages": messages,
            "signatures": signatures,
        }),
    );
}

fn domains() -> Value {
    json!({
        "charter": hex(protocol::CHARTER_DOMAIN),
        "epoch": hex(protocol::EPOCH_DOMAIN),
        "slot": hex(protocol::SLOT_DOMAIN),
        "outcome": hex(protocol::OUTCOME_DOMAIN),
        "proposal": hex(protocol::PROPOSAL_DOMAIN),
        "propose": hex(protocol::PROPOSE_DOMAIN),
        "vote": hex(protocol::VOTE_DOMAIN),
        "claim": hex(protocol::CLAIM_DOMAIN),
        "release": hex(protocol::RELEASE_DOMAIN),
    })
}

/// Everything that is signed in a message, with the bytes that are signed behind the domain.
fn signatures(name: &str, message: &Message) -> Vec<Value> {
    let vote = |signed: &SignedVote| {
        let key = decisions::key(signed.vote.voter).node();
        assert!(signed.verifies(&key, &Strict), "{name}");
        let bytes = codec::encode(&signed.vote, MAX_DECISION).unwrap();
        signature(name, protocol::VOTE_DOMAIN, &key, &bytes, &signed.signature)
    };
    match message {
        Message::Propose(signed) => {
            let key = decisions::key(signed.propose.voter).node();
            let bytes = codec::encode(&signed.propose, MAX_DECISION).unwrap();
            vec![signature(name, protocol::PROPOSE_DOMAIN, &key, &bytes, &signed.signature)]
        }
        Message::Vote(signed) => vec![vote(signed)],
        Message::Polka(polka) => polka.votes().map(|signed| vote(&signed)).collect(),
        Message::Decision(certificate) => certificate.votes().unwrap().map(|signed| vote(&signed)).collect(),
        Message::Claim(signed) => {
            let bytes = codec::encode(&signed.claim, MAX_DECISION).unwrap();
            vec![signature(name, protocol::CLAIM_DOMAIN, &signed.claim.holder, &bytes, &signed.signature)]
        }
        Message::Release(signed) => {
            let bytes = codec::encode(&signed.release, MAX_DECISION).unwrap();
            vec![signature(name, protocol::RELEASE_DOMAIN, &signed.release.holder, &bytes, &signed.signature)]
        }
        Message::Evidence(evidence) => vec![vote(&evidence.a), vote(&evidence.b)],
        Message::Epochs(epochs) => {
            let sign = |epoch: &SignedEpoch| -> Vec<Value> {
                let digest = epoch.record.digest().unwrap();
                let of = |by: &FounderSignature| {
                    signature(name, protocol::EPOCH_DOMAIN, &by.founder, &digest.0, &by.signature)
                };
                epoch.signatures.iter().map(of).collect()
            };
            epochs.iter().flat_map(sign).collect()
        }
        Message::Status(_) | Message::EpochsAfter(_) | Message::Others(_) => vec![],
    }
}

fn signature(of: &str, domain: &[u8], by: &NodeId, signed: &[u8], signature: &[u8; 64]) -> Value {
    assert!(by.verifies(domain, signed, signature), "{of}");
    json!({ "of": of, "by": by.to_string(), "domain": hex(domain), "signed": hex(signed), "signature": hex(signature) })
}

#[test]
fn what_is_refused() {
    let vectors = refused::all().into_iter().map(|refused| {
        let refused::Refused { name, what, by, bytes } = refused;
        let error = read(what, &bytes).expect_err(name);
        let agrees = match by {
            "bound" => error.starts_with("bound: "),
            "signature" | "strict signature" => error.starts_with("signature: "),
            _ => error.starts_with("malformed: "),
        };
        assert!(agrees, "{name} is refused by {by}, not for: {error}");
        json!({ "name": name, "what": what, "by": by, "hex": hex(&bytes) })
    });
    pinned("refused.json", &Value::Array(vectors.collect()));
}

/// Reads `bytes` as a receiver does, and says why not.
fn read(what: &str, bytes: &[u8]) -> Result<(), String> {
    let read = match what {
        "envelope" => Unverified::decode(bytes.to_vec().into()).and_then(Unverified::verify).and_then(|envelope| {
            if envelope.kind == Kind::KnowledgeShare {
                // What an entry may say depends on who says it as well.
                return Signed::read(envelope).map(drop).map_err(EnvelopeError::Decode);
            }
            read_payload(envelope.kind, &envelope.payload).map_err(EnvelopeError::Decode)
        }),
        "direct" => codec::decode::<direct::Frame>(bytes, MAX_DIRECT_FRAME).map(drop).map_err(EnvelopeError::Decode),
        "join" => codec::decode::<join::Reply>(bytes, MAX_JOIN_FRAME).map(drop).map_err(EnvelopeError::Decode),
        "transfer" => {
            codec::decode::<transfer::Frame>(bytes, MAX_TRANSFER_FRAME).map(drop).map_err(EnvelopeError::Decode)
        }
        "charter" => codec::decode::<charter::Charter>(bytes, MAX_CHARTER).map(drop).map_err(EnvelopeError::Decode),
        "epoch" => codec::decode::<SignedEpoch>(bytes, MAX_CHARTER).map(drop).map_err(EnvelopeError::Decode),
        "decision" => codec::decode::<Message>(bytes, MAX_DECISION).map(drop).map_err(EnvelopeError::Decode),
        "knowledge" => codec::decode::<Told>(bytes, MAX_BODY).map(drop).map_err(EnvelopeError::Decode),
        _ => panic!("what is {what}?"),
    };
    read.map_err(|error| match &error {
        EnvelopeError::Signature => format!("signature: {error}"),
        EnvelopeError::Decode(codec::DecodeError::Malformed(_)) => error.to_string(),
        EnvelopeError::Decode(codec::DecodeError::TooLong { .. } | codec::DecodeError::OutOfBounds { .. }) => {
            format!("bound: {error}")
        }
    })
}

fn read_payload(kind: Kind, payload: &[u8]) -> Result<(), codec::DecodeError> {
    match kind {
        Kind::AgentAnnounce => codec::decode::<gossip::Announcement>(payload, MAX_ENVELOPE).map(drop),
        Kind::AgentDiscovery => codec::decode::<gossip::Query>(payload, MAX_ENVELOPE).map(drop),
        Kind::MeshHeartbeat => codec::decode::<gossip::Heartbeat>(payload, MAX_ENVELOPE).map(drop),
        Kind::SwarmBroadcast => codec::decode::<gossip::Batch>(payload, MAX_ENVELOPE).map(drop),
        Kind::MembershipRevocation => codec::decode::<SignedRevocation>(payload, MAX_ENVELOPE).map(drop),
        Kind::CoordinationProposal | Kind::ConsensusVote => codec::decode::<Message>(payload, MAX_DECISION).map(drop),
        Kind::KnowledgeShare => codec::decode::<Entry>(payload, MAX_ENVELOPE).map(drop),
    }
}

/// The libp2p peer id of `node`: base58btc of an identity multihash of the key's protobuf.
fn peer_id(node: &NodeId) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let multihash = [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20], &node.0[..]].concat();
    // Base 58, smallest digit first.
    let mut digits = Vec::<u32>::new();
    for byte in &multihash {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let zeros = multihash.iter().take_while(|byte| **byte == 0).map(|_| 0);
    let text = zeros.chain(digits.into_iter().rev());
    text.map(|digit| char::from(ALPHABET[digit as usize])).collect()
}
