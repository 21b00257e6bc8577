//! What tells samples of one metric apart.

use std::fmt;

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, relay};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: Reason,
}

/// Why something was denied or ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Reason {
    /// One of the relay's limits, in number or rate.
    Limit,
    /// The destination holds no reservation here.
    NoReservation,
    /// The destination did not answer.
    Unreachable,
    /// What the peer sent made no sense.
    Protocol,
    /// Refused by rule.
    Refused,
    /// A connection broke.
    Connection,
    /// Both sides were done.
    Done,
    /// The circuit had lasted as long as one may.
    Time,
    /// The circuit had carried what one may, or the copying failed: libp2p reports both in one way.
    Bytes,
}

impl Reason {
    pub(super) fn of(status: &relay::StatusCode) -> Self {
        match status {
            relay::StatusCode::ResourceLimitExceeded => Self::Limit,
            relay::StatusCode::NoReservation => Self::NoReservation,
            relay::StatusCode::ConnectionFailed => Self::Unreachable,
            relay::StatusCode::MalformedMessage | relay::StatusCode::UnexpectedMessage => Self::Protocol,
            relay::StatusCode::OK | relay::StatusCode::ReservationRefused | relay::StatusCode::PermissionDenied => {
                Self::Refused
            }
        }
    }

    pub(super) fn of_end(error: Option<&std::io::Error>) -> Self {
        match error.map(std::io::Error::kind) {
            None => Self::Done,
            Some(std::io::ErrorKind::TimedOut) => Self::Time,
            Some(std::io::ErrorKind::Other) => Self::Bytes,
            Some(_) => Self::Connection,
        }
    }
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let text = match self {
            Self::Limit => "limit",
            Self::NoReservation => "no_reservation",
            Self::Unreachable => "unreachable",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Connection => "connection",
            Self::Done => "done",
            Self::Time => "time",
            Self::Bytes => "bytes",
        };
        text.encode(encoder)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct TransportLabel {
    pub(super) transport: Transport,
}

/// What a connection runs over.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Transport {
    Relayed,
    WebSocket,
    WebrtcDirect,
    Quic,
    Tcp,
    Other,
}

impl Transport {
    pub(super) fn of(endpoint: &ConnectedPoint) -> Self {
        if endpoint.is_relayed() {
            return Self::Relayed;
        }
        // A listener's own end says how the peer came in; the peer's end has its address only.
        let address: &Multiaddr = match endpoint {
            ConnectedPoint::Dialer { address, .. } => address,
            ConnectedPoint::Listener { local_addr, .. } => local_addr,
        };
        let has = |is: fn(&Protocol<'_>) -> bool| address.iter().any(|part| is(&part));
        if has(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_))) {
            Self::WebSocket
        } else if has(|part| matches!(part, Protocol::WebRTCDirect)) {
            Self::WebrtcDirect
        } else if has(|part| matches!(part, Protocol::QuicV1)) {
            Self::Quic
        } else if has(|part| matches!(part, Protocol::Tcp(_))) {
            Self::Tcp
        } else {
            Self::Other
        }
    }
}

impl EncodeLabelValue for Transport {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let text = match self {
            Self::Relayed => "relayed",
            Self::WebSocket => "websocket",
            Self::WebrtcDirect => "webrtc-direct",
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::Other => "other",
        };
        text.encode(encoder)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: Outcome,
}

/// What became of a datagram to the STUN responder.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Refused,
    Limited,
    Ignored,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let text = match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Ignored => "ignored",
        };
        text.encode(encoder)
    }
}
