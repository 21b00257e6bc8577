//! The driver: moves what `mesh-core` decides over libp2p, the same natively and in wasm.
//!
//! [`start`] builds a swarm and runs it in a task of its own; the [`Handle`] it returns asks things of it, and its
//! [`EventStream`] tells what happened. Nothing in here decides: swarm events and calls become inputs of
//! [`mesh_core::node::Node`], and its outputs become calls of libp2p.

mod admit;
mod behaviour;
pub mod blocks;
mod calls;
mod config;
mod direct;
mod driver;
mod events;
mod frames;
mod gate;
mod gossip;
mod host;
mod identity;
mod join;
mod knowledge;
mod providers;
mod redeem;
mod slow;
mod store;
mod streams;
mod transfer;
mod transport;

pub use calls::{Closed, Ending, Handle, ShareFailed, Shared};
pub use config::{Around, Config, Role};
pub use driver::{Running, StartError, start};
pub use events::{Event, EventStream, MAX_EVENT_BYTES, MAX_EVENTS};
pub use host::{Host, HostAction, NoHost, WithRtc};
pub use identity::{Identity, node_of, peer_of};
pub use knowledge::{Keys, Load, Put, PutError, PutOptions};
pub use libp2p::{Multiaddr, PeerId};
pub use mesh_platform::now;
pub use mesh_webrtc::rtc::Absent as NoRtc;
pub use redeem::RedeemError;
pub use store::{FoundingError, Store, StoreError};
pub use transport::{Direct, DirectError, Tls, TlsError, TransportError};
