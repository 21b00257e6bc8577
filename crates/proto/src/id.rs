//! Names of things: nodes, meshes, agents, messages; and the key that a node's name stands for.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::limits::{MAX_AGENT_NAME, MAX_MESH_NAME};
use crate::protocol::OPEN_MESH_DOMAIN;

/// Declares a fixed-size identifier: CBOR bytes on the wire, lower-case hex in print.
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Eight digits tell nodes apart in a log; the whole is in Display.
                write!(f, concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, ")")
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde_bytes::ByteArray::<$len>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
            }
        }
    };
}

byte_id!(
    /// A node: its Ed25519 public key.
    NodeId,
    32
);
byte_id!(
    /// A mesh: the hash that people pin.
    MeshId,
    32
);
byte_id!(
    /// One direct message or query, drawn at random by its sender.
    MessageId,
    16
);
byte_id!(
    /// One transfer of weights, drawn at random by its sender; a resumed transfer keeps it.
    TransferId,
    16
);
byte_id!(
    /// BLAKE3 of a chunk.
    ChunkHash,
    32
);
byte_id!(
    /// SHA-256 of weights before compression.
    Checksum,
    32
);
byte_id!(
    /// A slot: the hash of what is decided where, see [`crate::decision::Slot::id`].
    SlotId,
    32
);
byte_id!(
    /// What a slot can be decided on: the hash of an outcome, see [`crate::decision::Outcome::digest`].
    Digest,
    32
);

byte_id!(
    /// A knowledge entry: the hash of the envelope that its author signed.
    EntryId,
    32
);

impl EntryId {
    /// The id of the entry in this envelope: BLAKE3 of its bytes.
    pub fn of(wire: &[u8]) -> Self {
        Self(*blake3::hash(wire).as_bytes())
    }
}

impl MeshId {
    /// The id of the open mesh called `name`: SHA-256 of a domain string and the name.
    ///
    /// # Errors
    /// [`NameError`] when the name is empty, longer than 128 bytes or holds control characters.
    pub fn open(name: &str) -> Result<Self, NameError> {
        check_text(name, MAX_MESH_NAME)?;
        let mut hash = Sha256::new();
        hash.update(OPEN_MESH_DOMAIN);
        hash.update(name.as_bytes());
        Ok(Self(hash.finalize().into()))
    }
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Names have at least one character.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than names may be.
    #[error("a name has at most {max} bytes, this one has {len}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Control characters would let a name forge a log line.
    #[error("a name must not hold control characters")]
    Control,
    /// `@` separates an agent's name from its node's.
    #[error("an agent's name must not hold '@'")]
    At,
}

fn check_text(text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > max {
        return Err(NameError::TooLong { len: text.len(), max });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(())
}

/// An agent's name within its node: 1 to 64 bytes, no `@`, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(String);

impl AgentName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AgentName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        check_text(&name, MAX_AGENT_NAME)?;
        if name.contains('@') {
            return Err(NameError::At);
        }
        Ok(Self(name))
    }
}

impl FromStr for AgentName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::try_from(name.to_owned())
    }
}

impl From<AgentName> for String {
    fn from(name: AgentName) -> Self {
        name.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent anywhere in the mesh: names are scoped by their node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId {
    /// Its name there.
    pub name: AgentName,
    /// The node it lives on.
    pub node: NodeId,
}

/// A hybrid logical clock: 48 bits of unix milliseconds over 16 bits of counter (Kulkarni et al., 2014).
///
/// Orders a sender's messages by cause even when its wall clock stands still or steps back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The reading at `unix_ms` with a counter of 0.
    pub fn at(unix_ms: u64) -> Self {
        Self(unix_ms.min(u64::MAX >> 16) << 16)
    }

    /// Its wall-clock part.
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }

    /// The next reading at `unix_ms`: later than `self`, and not before the wall clock.
    #[must_use]
    pub fn tick(self, unix_ms: u64) -> Self {
        Self(self.0.saturating_add(1)).max(Self::at(unix_ms))
    }
}

/// A node's secret key.
#[derive(Clone)]
pub struct Keypair(SigningKey);

impl Keypair {
    /// The key of a 32-byte Ed25519 seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for keeping. Whoever has it is this node.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The node that this key speaks for.
    pub fn node(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` in `domain`.
    pub fn sign(&self, domain: &[u8], message: &[u8]) -> [u8; 64] {
        self.0.sign(&[domain, message].concat()).to_bytes()
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({:?})", self.node())
    }
}

impl NodeId {
    /// Whether `signature` is this node's over `message` in `domain`.
    ///
    /// Strict: keys and nonces of small order are refused, so that one signature never fits two messages or two keys
    /// (Chalkias, Garillot, Nikolaenko: "Taming the many EdDSAs", 2020).
    pub fn verifies(&self, domain: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(&[domain, message].concat(), &Signature::from_bytes(signature)).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_have_names_of_1_to_64_bytes() {
        let name = |text: &str| text.parse::<AgentName>();
        for text in ["a", "trainer-1", "Ädäm's agent", "名前", &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(name(text).unwrap().as_str(), text);
        }
        let too_long = |len| Err(NameError::TooLong { len, max: 64 });
        let cases = [
            ("", Err(NameError::Empty)),
            (&"x".repeat(65), too_long(65)),
            (&"é".repeat(33), too_long(66)),
            ("a@b", Err(NameError::At)),
            ("@", Err(NameError::At)),
            ("a\nb", Err(NameError::Control)),
            ("a\0", Err(NameError::Control)),
            ("\u{7f}", Err(NameError::Control)),
            ("\u{85}", Err(NameError::Control)),
        ];
        for (text, expected) in cases {
            assert_eq!(name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_are_checked_where_they_are_read() {
        let read = |text: &str| serde_ipld_dagcbor::from_slice::<AgentName>(&serde_ipld_dagcbor::to_vec(text).unwrap());
        assert_eq!(read("ada").unwrap().as_str(), "ada");
        for text in ["", "a@b", "a\n", &"x".repeat(65)] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn meshes_have_names_of_1_to_128_bytes() {
        let a = MeshId::open("a").unwrap();
        assert_ne!(a, MeshId::open("A").unwrap());
        assert_eq!(a, MeshId::open("a").unwrap());
        assert!(MeshId::open("me@home").is_ok(), "'@' matters in names of agents only");
        assert!(MeshId::open(&"x".repeat(128)).is_ok());
        assert_eq!(MeshId::open(&"x".repeat(129)), Err(NameError::TooLong { len: 129, max: 128 }));
        assert_eq!(MeshId::open(""), Err(NameError::Empty));
        assert_eq!(MeshId::open("a\t"), Err(NameError::Control));
    }

    #[test]
    fn ids_print_as_hex_and_briefly_in_logs() {
        let id = MessageId([0x0f; 16]);
        assert_eq!(id.to_string(), "0f".repeat(16));
        assert_eq!(format!("{id:?}"), "MessageId(0f0f0f0f)");
        assert_eq!(MessageId::LEN, 16);
    }

    #[test]
    fn clocks_read_and_tick() {
        let clock = Hlc::at(1_700_000_000_000);
        assert_eq!(clock.unix_ms(), 1_700_000_000_000);
        // (unix, expected reading as (unix, counter))
        let steps = [
            (1_700_000_000_000, (1_700_000_000_000, 1)), // the wall clock stands still
            (1_700_000_000_000, (1_700_000_000_000, 2)),
            (1_699_999_999_000, (1_700_000_000_000, 3)), // it steps back
            (1_700_000_000_001, (1_700_000_000_001, 0)), // it goes on
            (0, (1_700_000_000_001, 1)),
        ];
        let mut now = clock;
        for (unix, (wall, counter)) in steps {
            let next = now.tick(unix);
            assert!(next > now);
            assert_eq!((next.unix_ms(), next.0 & 0xffff), (wall, counter), "at {unix}");
            now = next;
        }
    }

    #[test]
    fn clocks_do_not_overflow() {
        assert_eq!(Hlc(0xffff).tick(0), Hlc::at(1), "a full counter carries into the wall clock");
        assert_eq!(Hlc::at(u64::MAX).unix_ms(), u64::MAX >> 16);
        assert_eq!(Hlc(u64::MAX).tick(u64::MAX), Hlc(u64::MAX));
    }

    #[test]
    fn a_key_is_its_seed_and_speaks_for_its_node() {
        let key = Keypair::from_seed(&[1; 32]);
        assert_eq!(key.seed(), [1; 32]);
        assert_eq!(Keypair::from_seed(&key.seed()).node(), key.node());
        let signature = key.sign(b"domain\0", b"message");
        assert!(key.node().verifies(b"domain\0", b"message", &signature));
        assert!(!key.node().verifies(b"domain\0", b"massage", &signature));
        assert!(!key.node().verifies(b"domain2\0", b"message", &signature));
        assert!(!Keypair::from_seed(&[2; 32]).node().verifies(b"domain\0", b"message", &signature));
        assert!(!format!("{key:?}").contains("0101"), "a seed is not for logs");
    }
}
