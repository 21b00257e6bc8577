//! Signalling: how two peers exchange what their WebRTC implementations need to find each other.
//!
//! Stream protocol [`PROTOCOL`], over a relayed connection, which tells each who the other is. [`codec`] is what
//! travels, [`machine`] decides what comes after what, and [`handshake`] runs the machine over a stream and a peer
//! connection.

pub mod candidate;
pub mod codec;
pub mod error;
mod handshake;
pub mod machine;
pub mod sdp;

use std::time::Duration;

use libp2p::StreamProtocol;

pub use codec::Message;
pub use error::{HandshakeError, Offence};
pub(crate) use handshake::{answer, offer};
pub use machine::{Machine, Role};
pub use sdp::Sdp;

/// The name of the stream protocol.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/webrtc-signaling/0.0.1");

/// How long parts of a handshake may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the offer has come; from our offer until the answer has. 5 s.
    pub first: Duration,
    /// All of it, until both are connected. 15 s.
    pub whole: Duration,
    /// For `init` to close, and for our half of the stream. Past it they count as closed. 2 s.
    pub closing: Duration,
    /// How long the offerer keeps its own candidates back, from the answer being in place until the first candidate
    /// of the remote. `None` sends them as they come. See [`Config::hold_candidates`](crate::Config).
    pub hold: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            whole: Duration::from_secs(15),
            closing: Duration::from_secs(2),
            hold: None,
        }
    }
}
