//! libp2p's [`/webrtc-direct`](https://github.com/libp2p/specs/blob/master/webrtc/webrtc-direct.md): a browser reaches
//! a server that has neither a name nor a certificate that authorities vouch for. The address holds a hash of the
//! server's certificate, and there is no signalling: each side makes up the other's description.
//!
//! * [`client`] dials, with any WebRTC that can make a channel of a given id.
//! * `server`, behind the feature `direct-server`, listens: ICE-lite on one UDP port, on a sans-IO stack.
//!
//! DTLS does not tell the server who came, so a Noise handshake follows, which both fingerprints go into
//! ([`fingerprint::prologue`]): whoever sits between the two has another certificate than one of them, and fails. After
//! it a connection is what every WebRTC connection here is: a [`Muxer`](crate::Muxer).
//!
//! How the two agree on ICE's user names and passwords has two versions, see [`credentials`]. The server speaks both;
//! the client speaks 2, the one that browsers are not about to forbid.

pub mod address;
pub mod client;
pub mod credentials;
mod error;
pub mod fingerprint;
mod handshake;
mod pipe;
mod sdp;
#[cfg(all(feature = "direct-server", not(target_arch = "wasm32")))]
pub mod server;

use std::time::Duration;

pub use error::Error;

/// From the first packet until the remote has proved who it is.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// The id of the channel that the Noise handshake goes over (specification).
const NOISE_CHANNEL: u16 = 0;
