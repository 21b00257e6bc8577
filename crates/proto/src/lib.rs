//! What travels: everything two members of a mesh say to each other, as bytes.
//!
//! Read it in this order: [`id`] names things, [`codec`] is the one canonical encoding, [`envelope`] signs what is
//! gossiped, and the message modules ([`gossip`], [`direct`], [`join`], [`transfer`]) list what may be said. [`charter`]
//! says who may vote, [`decision`] what voters say, [`knowledge`] what is kept together. [`limits`] bounds all of it, [`protocol`] names it on the network.
//!
//! Nothing in here performs IO, reads a clock or draws a random number. Formats are pinned by the vectors in
//! `tests/vectors`, which Rust and TypeScript both read.

pub mod agent;
pub mod charter;
pub mod codec;
pub mod credential;
pub mod decision;
pub mod direct;
pub mod envelope;
pub mod gossip;
pub mod id;
pub mod join;
pub mod knowledge;
pub mod limits;
mod ordered;
pub mod protocol;
pub mod transfer;

pub use codec::{DecodeError, EncodeError};
pub use envelope::{Envelope, EnvelopeError, Kind, Strict, Unverified, Verified, Verifier};
pub use id::{
    AgentId, AgentName, Digest, EntryId, Hlc, Keypair, MeshId, MessageId, NameError, NodeId, SlotId, TransferId,
};
pub use ordered::ordered;
