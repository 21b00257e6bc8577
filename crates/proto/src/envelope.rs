//! The signed envelope: everything that is gossiped travels in one.
//!
//! On the wire it is the CBOR pair `[body, signature]`. The signature covers a domain string and the *bytes* of the
//! body, and those bytes are kept and forwarded as they came: nothing is ever encoded again to be verified.
//!
//! Gossipsub runs anonymous below this, so that a message is signed and verified once, not twice: a verification costs
//! about 0.1 ms of a browser's core.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use crate::codec::{self, Bounded, DecodeError, EncodeError};
use crate::id::{Hlc, Keypair, MeshId, NodeId};
use crate::limits::{MAX_ENVELOPE, TTL_MS};
use crate::protocol::{ENVELOPE_DOMAIN, Topic};

/// The version of the format that this crate speaks.
pub const VERSION: u8 = 1;

/// What an envelope carries, by the roadmap's names as far as it has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// [`crate::gossip::Announcement`]
    AgentAnnounce,
    /// [`crate::gossip::Query`]
    AgentDiscovery,
    /// [`crate::gossip::Heartbeat`]
    MeshHeartbeat,
    /// [`crate::gossip::Batch`]
    SwarmBroadcast,
    /// [`crate::decision::Message`] that asks voters for something.
    CoordinationProposal,
    /// [`crate::decision::Message`] of voters, and what came out.
    ConsensusVote,
    /// [`crate::credential::SignedRevocation`]
    MembershipRevocation,
    /// [`crate::knowledge::Entry`]
    KnowledgeShare,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::AgentAnnounce,
        Self::AgentDiscovery,
        Self::MeshHeartbeat,
        Self::SwarmBroadcast,
        Self::CoordinationProposal,
        Self::ConsensusVote,
        Self::MembershipRevocation,
        Self::KnowledgeShare,
    ];

    /// The topic that this kind belongs to; on any other it is an offence.
    pub fn topic(self) -> Topic {
        match self {
            Self::AgentAnnounce
            | Self::AgentDiscovery
            | Self::MeshHeartbeat
            | Self::CoordinationProposal
            | Self::ConsensusVote
            | Self::MembershipRevocation => Topic::Agents,
            Self::SwarmBroadcast | Self::KnowledgeShare => Topic::Swarm,
        }
    }
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Format version, 1.
    pub v: u8,
    /// The mesh it is meant for: a message does not count in another one.
    pub mesh: MeshId,
    /// What the payload is.
    pub kind: Kind,
    /// Who says it.
    pub from: NodeId,
    /// Counts up with every envelope of this sender, restarts included: starts at unix microseconds.
    pub seq: u64,
    /// When it was said.
    pub clock: Hlc,
    /// How long it may travel, milliseconds, at most 300,000.
    pub ttl: u64,
    /// Encoded message of this kind.
    #[serde(with = "payload")]
    pub payload: Bytes,
}

impl Bounded for Envelope {
    fn check(&self) -> Result<(), DecodeError> {
        if self.v != VERSION {
            return Err(DecodeError::Malformed(format!("version {} is not spoken here", self.v)));
        }
        codec::bound("ttl", usize::try_from(self.ttl).unwrap_or(usize::MAX), TTL_MS as usize)
    }
}

/// Why an envelope was not let in. Each is an offence of whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The signature is not the sender's.
    #[error("forged signature")]
    Signature,
}

/// An envelope that was read but not yet believed: enough to decide whether its signature is worth checking.
#[derive(Clone, Debug)]
pub struct Unverified {
    envelope: Envelope,
    body: ByteBuf,
    signature: [u8; 64],
    wire: Bytes,
}

impl Unverified {
    /// Reads an envelope of at most 64 KiB.
    ///
    /// # Errors
    /// [`EnvelopeError::Decode`]
    pub fn decode(wire: Bytes) -> Result<Self, EnvelopeError> {
        let Sealed(body, signature) = codec::decode(&wire, MAX_ENVELOPE)?;
        let envelope = codec::decode(&body, MAX_ENVELOPE)?;
        Ok(Self { envelope, body, signature: signature.into_array(), wire })
    }

    /// What it claims.
    pub fn claims(&self) -> &Envelope {
        &self.envelope
    }

    /// The bytes as they came.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// Takes the signature as checked: it was, before these bytes were put into a store that only this node writes.
    pub fn believe(self) -> Verified<Envelope> {
        Verified { value: self.envelope, wire: self.wire }
    }

    /// Checks the signature, strictly.
    ///
    /// # Errors
    /// [`EnvelopeError::Signature`]
    pub fn verify(self) -> Result<Verified<Envelope>, EnvelopeError> {
        self.verify_by(&Strict)
    }

    /// Has `verifier` check the signature.
    ///
    /// # Errors
    /// [`EnvelopeError::Signature`]
    pub fn verify_by(self, verifier: &dyn Verifier) -> Result<Verified<Envelope>, EnvelopeError> {
        let Self { envelope, body, signature, wire } = self;
        if !verifier.verifies(&envelope.from, ENVELOPE_DOMAIN, &body, &signature) {
            return Err(EnvelopeError::Signature);
        }
        Ok(Verified { value: envelope, wire })
    }
}

/// Who says whether a signature is right. Everybody asks [`Strict`], but for a simulation of a thousand nodes, which
/// remembers the answer for all of them.
pub trait Verifier: fmt::Debug + Send + Sync {
    /// Whether `signature` is `node`'s over `message` in `domain`.
    fn verifies(&self, node: &NodeId, domain: &[u8], message: &[u8], signature: &[u8; 64]) -> bool;
}

/// Checks each signature. See [`NodeId::verifies`].
#[derive(Clone, Copy, Debug)]
pub struct Strict;

impl Verifier for Strict {
    fn verifies(&self, node: &NodeId, domain: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
        node.verifies(domain, message, signature)
    }
}

/// A value whose signature was checked, with the bytes that carry it. Only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    wire: Bytes,
}

impl<T> Verified<T> {
    /// The bytes as they came, for handing on.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Envelope {
    /// Signs this envelope. `from` must be the key's own node.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] past 64 KiB.
    pub fn sign(self, key: &Keypair) -> Result<Verified<Self>, EncodeError> {
        debug_assert_eq!(self.from, key.node(), "signed by another node's key");
        let body = codec::encode(&self, MAX_ENVELOPE)?;
        let signature = key.sign(ENVELOPE_DOMAIN, &body);
        let wire = codec::encode(&Sealed(ByteBuf::from(body), ByteArray::new(signature)), MAX_ENVELOPE)?;
        Ok(Verified { value: self, wire: wire.into() })
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed(ByteBuf, ByteArray<64>);

impl Bounded for Sealed {
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// `Bytes` as CBOR bytes. (Its own serde form is a list of numbers in some formats.)
pub(crate) mod payload {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Bytes::from(bytes.into_vec()))
    }
}

#[cfg(test)]
mod tests;
