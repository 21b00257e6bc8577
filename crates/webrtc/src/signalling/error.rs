//! Why a handshake failed.

use std::io;

use super::candidate::MAX_CANDIDATES;
use super::codec::Malformed;
use crate::rtc::RtcError;

/// Why a handshake failed, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The remote took the stream and said nothing in time. It may be busy: later, perhaps.
    #[error("the remote has not answered in time")]
    Silent,
    /// The descriptions were exchanged and there is still no connection when the time is over. Most likely no way
    /// leads from one to the other: stay with the relay for long.
    #[error("no connection in time")]
    Timeout,
    /// WebRTC has given up: no way leads from one to the other. Stay with the relay for long.
    #[error("the peer connection failed")]
    Unreachable,
    /// The remote ended the stream before there was a connection. It does not want to, or has given up.
    #[error("the remote ended the stream early")]
    Refused,
    /// The stream broke: the remote gave up, or the relayed connection is gone.
    #[error("the signalling stream broke: {0}")]
    Stream(io::ErrorKind),
    /// Our WebRTC implementation did not do its part.
    #[error("WebRTC: {0}")]
    Rtc(#[from] RtcError),
    /// The remote broke the protocol.
    #[error("the remote broke the protocol: {0}")]
    Offence(#[from] Offence),
}

impl HandshakeError {
    /// Whether the remote is to blame: another attempt would end in the same way.
    pub fn is_offence(&self) -> bool {
        match self {
            Self::Offence(_) => true,
            Self::Silent | Self::Timeout | Self::Unreachable | Self::Refused | Self::Stream(_) | Self::Rtc(_) => false,
        }
    }
}

/// How the remote broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Offence {
    /// What it sent is no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A description or candidate that may not come at this point.
    #[error("a message out of order")]
    OutOfOrder,
    /// More than [`MAX_CANDIDATES`] messages after its description.
    #[error("more than {MAX_CANDIDATES} candidates")]
    Flood,
}
