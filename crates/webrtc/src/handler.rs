//! One connection's half of the behaviour: signalling streams on a relayed connection, nothing on any other.
//!
//! A direct connection would carry signalling as well, and js-libp2p would take it; but who is connected directly needs
//! no second direct connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::upgrade::UpgradeInfo;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use libp2p::{InboundUpgrade, OutboundUpgrade, PeerId, Stream, StreamProtocol};

use crate::error::Error;
use crate::lend::{Lent, Respond};
use crate::signalling::PROTOCOL;
use crate::slots::Slot;

/// Streams of the remote that the behaviour has not been given yet. Further ones are reset.
const MAX_ACCEPTED: usize = 4;

/// A signalling stream is wanted.
#[derive(Debug)]
pub struct Open {
    pub(crate) slot: Slot,
    pub(crate) respond: Respond,
}

/// The remote opened a signalling stream.
#[derive(Debug)]
pub struct Accepted(pub(crate) Stream);

/// One connection's half.
#[derive(Debug)]
pub struct Handler {
    peer: PeerId,
    /// Whether a relay carries the connection.
    relayed: bool,
    timeout: Duration,
    /// Bounded by the places that they hold.
    wanted: VecDeque<Open>,
    accepted: VecDeque<Accepted>,
}

impl Handler {
    pub(crate) fn new(peer: PeerId, relayed: bool, timeout: Duration) -> Self {
        Self { peer, relayed, timeout, wanted: VecDeque::new(), accepted: VecDeque::new() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Accepted;
    type InboundProtocol = Signalling;
    type OutboundProtocol = Signalling;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Open;

    fn listen_protocol(&self) -> SubstreamProtocol<Signalling> {
        let offered = self.relayed.then_some(PROTOCOL);
        SubstreamProtocol::new(Signalling(offered), ()).with_timeout(self.timeout)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Signalling, Open, Accepted>> {
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        if let Some(open) = self.wanted.pop_front() {
            let protocol = SubstreamProtocol::new(Signalling(Some(PROTOCOL)), open).with_timeout(self.timeout);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        // Whatever adds to the queues is called by the connection's own task, which polls again.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.wanted.push_back(open);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a connection tells much that means nothing here")]
    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Signalling, Signalling, (), Open>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if self.accepted.len() < MAX_ACCEPTED =>
            {
                self.accepted.push_back(Accepted(stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: Open { slot, respond },
            }) => {
                // Whoever asked may have gone; the stream is reset then.
                let _ = respond.send(Ok(Lent { peer: self.peer, stream, slot }));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: Open { respond, .. }, error }) => {
                let _ = respond.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => Error::Unsupported,
                    StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => Error::Stream,
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}

/// Agrees on the protocol, or on none where it is not offered; the stream itself is left as it is.
#[derive(Clone, Debug)]
pub struct Signalling(Option<StreamProtocol>);

impl UpgradeInfo for Signalling {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Signalling {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Signalling {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
