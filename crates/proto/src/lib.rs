//! What travels: everything two members of a mesh say to each other, as bytes.
//!
//! Read it in this order: [`id`] names things, [`codec`] is the one canonical encoding, [`envelope`] signs what is
//! gossiped, and the message modules ([`gossip`], [`direct`], [`join`], [`transfer`]) list what may be said. [`limits`]
//! bounds all of it, [`protocol`] names it on the network.
//!
//! Nothing in here performs IO, reads a clock or draws a random number. Formats are pinned by the vectors in
//! `tests/vectors`, which Rust and TypeScript both read.

pub mod agent;
pub mod codec;
pub mod direct;
pub mod envelope;
pub mod gossip;
pub mod id;
pub mod join;
pub mod limits;
pub mod protocol;
pub mod transfer;

pub use codec::{DecodeError, EncodeError};
pub use envelope::{Envelope, EnvelopeError, Kind, Strict, Unverified, Verified, Verifier};
pub use id::{AgentId, AgentName, Hlc, Keypair, MeshId, MessageId, NameError, NodeId, TransferId};
