//! Why there is no connection.

use libp2p::{PeerId, noise};

use crate::rtc::RtcError;
use crate::signalling::sdp::SdpError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered, or proved who they are, in time.
    #[error("no connection in time")]
    Timeout,
    /// ICE, DTLS or SCTP failed, or the remote closed the connection.
    #[error("the connection failed")]
    Failed,
    /// Our WebRTC implementation did not do its part.
    #[error("WebRTC: {0}")]
    Rtc(#[from] RtcError),
    /// Our WebRTC implementation made a description that cannot be used.
    #[error("our own description: {0}")]
    Description(#[from] SdpError),
    /// Our WebRTC implementation made a description without a password of the length that the protocol needs.
    #[error("our own description has no ICE password of use")]
    NoPassword,
    /// The Noise handshake failed.
    #[error("no proof of who is there: {0}")]
    Noise(#[from] noise::Error),
    /// Somebody else is at that address.
    #[error("{0} is at that address")]
    OtherPeer(PeerId),
    /// The socket cannot be had, or is gone.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
