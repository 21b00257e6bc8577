//! Raw streams as a libp2p behaviour: the driver opens them by peer and protocol, and is given those that peers open.
//!
//! Our own because `libp2p-stream` drops an incoming stream when another one is still waiting to be picked up, which a
//! relay that a crowd joins at once meets every time (docs/adr/0009). Here an incoming stream is an event of the swarm like
//! any other. A stream is opened over a direct connection if there is one beside a relayed one. One that was made by
//! WebRTC took an effort that nobody wants to make again: it is kept while nothing is open on it.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::UpgradeInfo;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{InboundUpgrade, OutboundUpgrade, PeerId, Stream, StreamProtocol};

/// Streams that a handler was asked for and that are not being negotiated yet. Past it, asking fails.
const MAX_WAITING: usize = 256;

/// Why there is no stream to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// The peer does not speak the protocol.
    #[error("the peer does not speak the protocol")]
    Unsupported,
    /// There is no link, or it is going.
    #[error("no link to the peer")]
    Failed,
}

/// A stream that is being opened. It fails when the link does.
#[derive(Debug)]
pub(crate) struct Opening(oneshot::Receiver<Result<Stream, OpenError>>);

impl Opening {
    /// The stream.
    pub(crate) async fn stream(self) -> Result<Stream, OpenError> {
        self.0.await.unwrap_or(Err(OpenError::Failed))
    }
}

/// A peer opened a stream.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) peer: PeerId,
    pub(crate) protocol: StreamProtocol,
    pub(crate) stream: Stream,
}

/// The behaviour.
pub(crate) struct Behaviour {
    protocols: Vec<StreamProtocol>,
    /// Connections of each peer, and whether a relay carries them.
    connections: BTreeMap<PeerId, Vec<(ConnectionId, bool)>>,
    events: VecDeque<ToSwarm<Inbound, Request>>,
}

impl Behaviour {
    /// Accepts streams of `protocols`.
    pub(crate) fn new(protocols: impl IntoIterator<Item = StreamProtocol>) -> Self {
        Self { protocols: protocols.into_iter().collect(), connections: BTreeMap::new(), events: VecDeque::new() }
    }

    /// Opens a stream to `peer` over the best connection there is. It does not dial.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: StreamProtocol) -> Opening {
        let (respond, response) = oneshot::channel();
        let best = self.connections.get(&peer).and_then(|all| all.iter().min_by_key(|(_, relayed)| *relayed));
        if let Some((connection, _)) = best {
            self.events.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(*connection),
                event: Request { protocol, respond },
            });
        }
        Opening(response)
    }

    fn handler(&mut self, connection: ConnectionId, peer: PeerId, address: &Multiaddr) -> Handler {
        let relayed = mesh_webrtc::address::is_relayed(address);
        self.connections.entry(peer).or_default().push((connection, relayed));
        Handler {
            protocols: self.protocols.clone(),
            keep: mesh_webrtc::address::is_direct_webrtc(address),
            requests: VecDeque::new(),
            accepted: VecDeque::new(),
        }
    }

    fn forget(&mut self, connection: ConnectionId, peer: PeerId) {
        if let Some(connections) = self.connections.get_mut(&peer) {
            connections.retain(|(id, _)| *id != connection);
            if connections.is_empty() {
                self.connections.remove(&peer);
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Of an incoming circuit only our own address tells that it is one.
        Ok(self.handler(connection, peer, local))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection, peer, address))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the swarm tells much that means nothing here")]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.forget(connection_id, peer_id)
            }
            // Another behaviour may have refused the connection after we counted it.
            FromSwarm::DialFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.forget(failure.connection_id, peer);
                }
            }
            FromSwarm::ListenFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.forget(failure.connection_id, peer);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        let Accepted { protocol, stream } = event;
        self.events.push_back(ToSwarm::GenerateEvent(Inbound { peer, protocol, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Whatever adds an event is called by the swarm's own task, which polls again.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A stream is wanted.
#[derive(Debug)]
pub(crate) struct Request {
    protocol: StreamProtocol,
    respond: oneshot::Sender<Result<Stream, OpenError>>,
}

/// A stream was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    protocol: StreamProtocol,
    stream: Stream,
}

/// One connection's half.
pub(crate) struct Handler {
    protocols: Vec<StreamProtocol>,
    keep: bool,
    requests: VecDeque<Request>,
    accepted: VecDeque<Accepted>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Request;
    type ToBehaviour = Accepted;
    type InboundProtocol = Names;
    type OutboundProtocol = Names;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Result<Stream, OpenError>>;

    fn listen_protocol(&self) -> SubstreamProtocol<Names> {
        SubstreamProtocol::new(Names(self.protocols.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Names, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        if let Some(Request { protocol, respond }) = self.requests.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Names(vec![protocol]), respond),
            });
        }
        // Whatever adds to the queues is called by the connection's own task, which polls again.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, request: Request) {
        // One that is dropped has failed.
        if self.requests.len() < MAX_WAITING {
            self.requests.push_back(request);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a connection tells much that means nothing here")]
    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Names, Names, (), Self::OutboundOpenInfo>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol), ..
            }) => self.accepted.push_back(Accepted { protocol, stream }),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: respond,
            }) => {
                // Whoever asked may have gone.
                let _ = respond.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: respond, error }) => {
                let _ = respond.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => OpenError::Failed,
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}

/// Names to agree on one of; the stream itself is left as it is.
#[derive(Clone, Debug)]
pub(crate) struct Names(Vec<StreamProtocol>);

impl UpgradeInfo for Names {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Names {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Names {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
