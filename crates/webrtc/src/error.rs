//! Why there is no direct connection.

use crate::rtc::RtcError;
use crate::signalling::HandshakeError;

/// Why there is no direct connection, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer does not speak `/webrtc-signaling`: do not ask it again.
    #[error("the peer does not speak /webrtc")]
    Unsupported,
    /// As many handshakes run as may, with that peer or with all: later.
    #[error("too many handshakes at once")]
    Busy,
    /// There is no relayed connection to the peer, and the address names none: connect through a relay first.
    #[error("no relayed connection to the peer")]
    NotConnected,
    /// The peer cannot be reached through the relay that the address names.
    #[error("the peer is not reached through the relay")]
    Relay,
    /// The relayed connection, or the stream on it, was lost or too slow.
    #[error("no signalling stream to the peer")]
    Stream,
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The [`Behaviour`](crate::Behaviour) was dropped, or never joined the swarm.
    #[error("the behaviour is gone")]
    Gone,
    /// Nothing is to be listened on. Who holds a reservation is reached by WebRTC as well.
    #[error("there is nothing to listen on: listen on the relay's /p2p-circuit")]
    NoListening,
}

impl From<RtcError> for Error {
    fn from(error: RtcError) -> Self {
        Self::Handshake(HandshakeError::Rtc(error))
    }
}

impl Error {
    /// Whether the remote broke the protocol.
    pub fn is_offence(&self) -> bool {
        match self {
            Self::Handshake(error) => error.is_offence(),
            Self::Unsupported
            | Self::Busy
            | Self::NotConnected
            | Self::Relay
            | Self::Stream
            | Self::Gone
            | Self::NoListening => false,
        }
    }
}
