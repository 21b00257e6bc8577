//! What an envelope promises, and everything that must not pass for one.

use ed25519_dalek::{Signature, Verifier, VerifyingKey};

use super::*;

const MESH: MeshId = MeshId([7; 32]);

fn key() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

fn envelope(payload: &[u8]) -> Envelope {
    Envelope {
        v: VERSION,
        mesh: MESH,
        kind: Kind::MeshHeartbeat,
        from: key().node(),
        seq: 1_700_000_000_000_001,
        clock: Hlc::at(1_700_000_000_000),
        ttl: TTL_MS,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn open(wire: impl Into<Bytes>) -> Result<Verified<Envelope>, EnvelopeError> {
    Unverified::decode(wire.into())?.verify()
}

/// Bytes that carry `body` under the signature that our key makes of it.
fn signed(body: &[u8]) -> Vec<u8> {
    sealed(body, &key().sign(ENVELOPE_DOMAIN, body))
}

fn sealed(body: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    codec::encode(&Sealed(ByteBuf::from(body), ByteArray::new(*signature)), usize::MAX).unwrap()
}

fn malformed(wire: impl Into<Bytes>) -> bool {
    matches!(open(wire), Err(EnvelopeError::Decode(DecodeError::Malformed(_))))
}

#[test]
fn what_is_signed_is_read_and_believed() {
    let sent = envelope(b"payload").sign(&key()).unwrap();
    let read = Unverified::decode(sent.wire().clone()).unwrap();
    assert_eq!(read.claims(), &*sent);
    let read = read.verify().unwrap();
    assert_eq!(read, sent);
    assert_eq!(*read, envelope(b"payload"));
    assert_eq!(read.wire(), sent.wire(), "the bytes are handed on as they came");
}

#[test]
fn every_kind_has_its_topic() {
    let topics = [
        (Kind::AgentAnnounce, Topic::Agents),
        (Kind::AgentDiscovery, Topic::Agents),
        (Kind::MeshHeartbeat, Topic::Agents),
        (Kind::SwarmBroadcast, Topic::Swarm),
    ];
    for (kind, topic) in topics {
        let sent = Envelope { kind, ..envelope(b"") }.sign(&key()).unwrap();
        assert_eq!(open(sent.wire().clone()).unwrap().kind, kind);
        assert_eq!(kind.topic(), topic);
    }
}

#[test]
fn no_bit_can_be_changed() {
    let sent = envelope(b"x").sign(&key()).unwrap();
    for place in 0..sent.wire().len() {
        for bit in 0..8 {
            let mut wire = sent.wire().to_vec();
            wire[place] ^= 1 << bit;
            assert!(open(wire).is_err(), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn no_byte_can_be_cut_off_or_added() {
    let sent = envelope(b"x").sign(&key()).unwrap();
    for len in 0..sent.wire().len() {
        assert!(malformed(sent.wire().slice(..len)), "the first {len} bytes");
    }
    assert!(malformed([sent.wire(), &[0][..]].concat()), "a byte behind the envelope");

    let body = codec::encode(&envelope(b"x"), MAX_ENVELOPE).unwrap();
    assert!(open(signed(&body)).is_ok());
    assert!(malformed(signed(&[&body, &[0][..]].concat())), "a byte behind the body");
}

#[test]
fn a_signature_is_the_senders_over_this_body_in_this_domain() {
    let body = codec::encode(&envelope(b"x"), MAX_ENVELOPE).unwrap();
    let another = codec::encode(&envelope(b"y"), MAX_ENVELOPE).unwrap();
    let forged = [
        ("another's", Keypair::from_seed(&[2; 32]).sign(ENVELOPE_DOMAIN, &body)),
        ("of another body", key().sign(ENVELOPE_DOMAIN, &another)),
        ("in another domain", key().sign(b"neural-mesh envelope v2\0", &body)),
        ("in no domain", key().sign(b"", &body)),
        ("none", [0; 64]),
    ];
    for (whose, signature) in forged {
        assert_eq!(open(sealed(&body, &signature)), Err(EnvelopeError::Signature), "{whose}");
    }
    assert!(open(sealed(&body, &key().sign(ENVELOPE_DOMAIN, &body))).is_ok());
}

/// Points of small order, all in the encoding that decoders agree on (Chalkias et al., "Taming the many EdDSAs").
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    assert_eq!(text.len(), 2 * N);
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    bytes
}

/// What a verifier that is not strict says.
fn lax(node: &NodeId, message: &[u8], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from_bytes(&node.0).unwrap();
    key.verify(&[ENVELOPE_DOMAIN, message].concat(), &Signature::from_bytes(signature)).is_ok()
}

#[test]
fn keys_of_small_order_sign_nothing() {
    // Nobody has their secret, and yet a signature with S = 0 satisfies the equation for one message in eight.
    let mut fooled = 0;
    for node in SMALL_ORDER.map(|point| NodeId(hex(point))) {
        for seq in 0..16 {
            let body = codec::encode(&Envelope { from: node, seq, ..envelope(b"") }, MAX_ENVELOPE).unwrap();
            for nonce in SMALL_ORDER.map(hex::<32>) {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&nonce);
                fooled += u32::from(lax(&node, &body, &signature));
                assert_eq!(open(sealed(&body, &signature)), Err(EnvelopeError::Signature), "{node} {nonce:?}");
            }
        }
    }
    assert!(fooled >= 64, "only {fooled} of these would fool a lax verifier");
}

#[test]
fn nonces_of_small_order_are_refused_even_of_honest_keys() {
    // R is the identity and S = k·a: the key's owner can make such a signature, but RFC 8032 never does.
    let signature = hex(concat!(
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ac88c76c2c700f660cd7471377f5c8c8c633984d3fed1b52404ff7d94da7d909"
    ));
    assert!(lax(&key().node(), b"hello", &signature), "the equation holds");
    assert!(!key().node().verifies(ENVELOPE_DOMAIN, b"hello", &signature));
}

#[test]
fn a_signature_has_one_form() {
    // S + L verifies where S is not reduced: a second id for the same message.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut signature = key().sign(ENVELOPE_DOMAIN, b"hello");
    let mut carry = 0;
    for (s, l) in signature[32..].iter_mut().zip(L) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        *s = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(!key().node().verifies(ENVELOPE_DOMAIN, b"hello", &signature));
}

#[test]
fn a_sender_that_is_no_key_is_refused() {
    let from = NodeId([2; 32]);
    assert!(VerifyingKey::from_bytes(&from.0).is_err(), "not on the curve");
    let body = codec::encode(&Envelope { from, ..envelope(b"") }, MAX_ENVELOPE).unwrap();
    assert_eq!(open(signed(&body)), Err(EnvelopeError::Signature));
}

#[test]
fn sizes_hold_at_the_limit_and_one_past() {
    let around = envelope(&[0; 60_000]).sign(&key()).unwrap().wire().len() - 60_000;
    let largest = envelope(&vec![0; MAX_ENVELOPE - around]).sign(&key()).unwrap();
    assert_eq!(largest.wire().len(), 65_536);
    assert_eq!(open(largest.wire().clone()).unwrap(), largest);

    let too_long = envelope(&vec![0; MAX_ENVELOPE - around + 1]);
    assert_eq!(too_long.clone().sign(&key()), Err(EncodeError::TooLong { len: 65_537, max: 65_536 }));
    let wire = signed(&codec::encode(&too_long, usize::MAX).unwrap());
    assert_eq!(open(wire), Err(DecodeError::TooLong { len: 65_537, max: 65_536 }.into()));
    assert_eq!(open(vec![0xff; 65_537]), Err(DecodeError::TooLong { len: 65_537, max: 65_536 }.into()));
}

#[test]
fn ttl_holds_at_the_limit_and_one_past() {
    for ttl in [0, 1, 300_000] {
        let sent = Envelope { ttl, ..envelope(b"") }.sign(&key()).unwrap();
        assert_eq!(open(sent.wire().clone()).unwrap().ttl, ttl);
    }
    for ttl in [300_001, u64::from(u32::MAX) + 1, u64::MAX] {
        let sent = Envelope { ttl, ..envelope(b"") }.sign(&key()).unwrap();
        let refused = DecodeError::OutOfBounds { what: "ttl", max: 300_000 };
        assert_eq!(open(sent.wire().clone()), Err(refused.into()));
    }
}

#[test]
fn other_versions_are_not_read() {
    for v in [0, 2, 255] {
        let sent = Envelope { v, ..envelope(b"") }.sign(&key()).unwrap();
        assert!(malformed(sent.wire().clone()), "{v}");
    }
}

// CBOR by hand, to say the same in the wrong way.

fn head(major: u8, value: u64) -> Vec<u8> {
    let [.., a, b, c, d] = value.to_be_bytes();
    let (size, argument) = match value {
        0..24 => (d, vec![]),
        24..0x100 => (24, vec![d]),
        0x100..0x1_0000 => (25, vec![c, d]),
        0x1_0000..0x1_0000_0000 => (26, vec![a, b, c, d]),
        0x1_0000_0000.. => (27, value.to_be_bytes().to_vec()),
    };
    [vec![major << 5 | size], argument].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.into()].concat()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.into()].concat()
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = fields.iter().map(|(key, value)| [text(key), value.clone()].concat());
    [head(5, fields.len() as u64), entries.collect::<Vec<_>>().concat()].concat()
}

/// The fields of `envelope(b"x")`, in order.
fn fields() -> Vec<(&'static str, Vec<u8>)> {
    let Envelope { v, mesh, kind: _, from, seq, clock, ttl, payload } = envelope(b"x");
    vec![
        ("v", head(0, v.into())),
        ("seq", head(0, seq)),
        ("ttl", head(0, ttl)),
        ("from", bytes(&from.0)),
        ("kind", text("mesh-heartbeat")),
        ("mesh", bytes(&mesh.0)),
        ("clock", head(0, clock.0)),
        ("payload", bytes(&payload)),
    ]
}

/// The body with another value for one field.
fn with(name: &str, value: Vec<u8>) -> Vec<u8> {
    let mut fields = fields();
    fields.iter_mut().find(|(field, _)| *field == name).unwrap().1 = value;
    map(&fields)
}

#[test]
fn the_body_has_one_encoding() {
    assert_eq!(map(&fields()), codec::encode(&envelope(b"x"), MAX_ENVELOPE).unwrap());

    let body = map(&fields());
    let swapped = |a: usize, b: usize| {
        let mut fields = fields();
        fields.swap(a, b);
        map(&fields)
    };
    let and = |at: usize, field: (&'static str, Vec<u8>)| {
        let mut fields = fields();
        fields.insert(at, field);
        map(&fields)
    };
    let without = |name: &str| {
        let mut fields = fields();
        fields.retain(|(field, _)| *field != name);
        map(&fields)
    };
    let wrong = [
        ("keys not by length", swapped(0, 1)),
        ("keys of one length not in order", swapped(1, 2)),
        ("a key twice, with one value", and(1, ("v", head(0, 1)))),
        ("a key twice, with two values", and(3, ("ttl", head(0, 5)))),
        ("an unknown key", and(8, ("payload2", head(0, 0)))),
        ("a key too few", without("ttl")),
        ("no payload", without("payload")),
        ("a map of indefinite length", [&[0xbf], &body[1..], &[0xff]].concat()),
        ("the map's length longer than needed", [&[0xb8, 8], &body[1..]].concat()),
        ("a map that claims more", [&[0xa9], &body[1..]].concat()),
        ("a map that claims less", [&[0xa7], &body[1..]].concat()),
        ("fields in an array", [head(4, 8), fields().into_iter().flat_map(|field| field.1).collect()].concat()),
        ("a number longer than needed", with("v", vec![0x18, 1])),
        ("a number much longer than needed", with("v", vec![0x1b, 0, 0, 0, 0, 0, 0, 0, 1])),
        ("a float for a number", with("v", vec![0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0])),
        ("a negative number", with("seq", vec![0x20])),
        ("a bignum", with("seq", vec![0xc2, 0x41, 1])),
        ("null", with("ttl", vec![0xf6])),
        ("undefined", with("ttl", vec![0xf7])),
        ("bytes with a longer length than needed", with("payload", vec![0x58, 1, b'x'])),
        ("bytes of indefinite length", with("payload", vec![0x5f, 0x41, b'x', 0xff])),
        ("text for bytes", with("payload", text("x"))),
        ("an array of numbers for bytes", with("payload", [head(4, 1), head(0, 120)].concat())),
        ("a tag", with("payload", [vec![0xc2], bytes(b"x")].concat())),
        ("a link", with("payload", vec![0xd8, 42, 0x42, 0, b'x'])),
        ("an id a byte short", with("mesh", bytes(&[7; 31]))),
        ("an id a byte long", with("mesh", bytes(&[7; 33]))),
        ("an id as text", with("mesh", text(&"a".repeat(32)))),
        ("an id as numbers", with("mesh", [vec![0x98, 32], vec![7; 32]].concat())),
        ("an unknown kind", with("kind", text("agent-greeting"))),
        ("a kind in another case", with("kind", text("MeshHeartbeat"))),
        ("a kind as number", with("kind", head(0, 2))),
        ("a kind as bytes", with("kind", bytes(b"mesh-heartbeat"))),
        ("a kind as a map to null", with("kind", map(&[("mesh-heartbeat", vec![0xf6])]))),
        // Not even CBOR, though the library takes it: a map of one entry that has no value.
        ("a kind as a map to nothing", with("kind", [vec![0xa1], text("mesh-heartbeat")].concat())),
    ];
    for (what, body) in wrong {
        assert!(malformed(signed(&body)), "{what}");
    }
}

#[test]
fn the_seal_has_one_encoding() {
    let body = map(&fields());
    let signature = key().sign(ENVELOPE_DOMAIN, &body);
    let (body, signature) = (bytes(&body), bytes(&signature));
    let array = |parts: &[&[u8]]| [head(4, parts.len() as u64), parts.concat()].concat();
    assert!(open(array(&[&body, &signature])).is_ok());

    let wrong = [
        ("nothing", vec![]),
        ("one part", array(&[&body])),
        ("three parts", array(&[&body, &signature, &[0]])),
        ("an array of indefinite length", [&[0x9f], &body[..], &signature, &[0xff]].concat()),
        ("the array's length longer than needed", [&[0x98, 2], &body[..], &signature].concat()),
        ("the parts swapped", array(&[&signature, &body])),
        ("a map", map(&[("0", body.clone()), ("1", signature.clone())])),
        ("a signature a byte short", array(&[&body, &bytes(&[0; 63])])),
        ("a signature a byte long", array(&[&body, &bytes(&[0; 65])])),
        ("the body not in bytes", array(&[&map(&fields()), &signature])),
        ("an empty body", array(&[&bytes(b""), &signature])),
        ("a length of 2^64 - 1", vec![0x82, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("an array of 2^64 - 1", vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("arrays all the way down", vec![0x81; 60_000]),
    ];
    for (what, wire) in wrong {
        assert!(malformed(wire), "{what}");
    }
}
