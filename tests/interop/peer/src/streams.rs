//! Raw streams over direct connections: opened by peer and protocol, and given out when a peer opens one. Connections
//! through relays have none, so what arrives has come by WebRTC.

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
use mesh_webrtc::address::is_direct_webrtc;

/// Answered with the stream, or with why there is none.
pub(crate) type Respond = oneshot::Sender<Result<Stream, String>>;

/// A peer opened a stream, or one was opened to it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) peer: PeerId,
    pub(crate) protocol: StreamProtocol,
    pub(crate) stream: Stream,
}

/// The behaviour.
pub(crate) struct Behaviour {
    protocols: Vec<StreamProtocol>,
    direct: BTreeMap<ConnectionId, PeerId>,
    actions: VecDeque<ToSwarm<Opened, Request>>,
}

impl Behaviour {
    /// Accepts streams of `protocols`.
    pub(crate) fn new(protocols: Vec<StreamProtocol>) -> Self {
        Self { protocols, direct: BTreeMap::new(), actions: VecDeque::new() }
    }

    /// Opens a stream to `peer`, to which there has to be a direct connection.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: StreamProtocol, respond: Respond) {
        match self.direct.iter().find(|(_, other)| **other == peer) {
            Some((connection, _)) => self.actions.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(*connection),
                event: Request { protocol, respond },
            }),
            None => drop(respond.send(Err("no direct connection".to_owned()))),
        }
    }

    fn handler(&mut self, connection: ConnectionId, peer: PeerId, address: &Multiaddr) -> Handler {
        let protocols = match is_direct_webrtc(address) {
            true => {
                self.direct.insert(connection, peer);
                self.protocols.clone()
            }
            false => Vec::new(),
        };
        Handler { protocols, requests: VecDeque::new(), accepted: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Opened;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
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

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) = event {
            self.direct.remove(&connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        let (stream, protocol) = event;
        self.actions.push_back(ToSwarm::GenerateEvent(Opened { peer, protocol, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Who opens a stream wakes the swarm.
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A stream is wanted.
#[derive(Debug)]
pub(crate) struct Request {
    protocol: StreamProtocol,
    respond: Respond,
}

/// One connection's half.
pub(crate) struct Handler {
    protocols: Vec<StreamProtocol>,
    requests: VecDeque<Request>,
    accepted: VecDeque<(Stream, StreamProtocol)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Request;
    type ToBehaviour = (Stream, StreamProtocol);
    type InboundProtocol = Names;
    type OutboundProtocol = Names;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Respond;

    fn listen_protocol(&self) -> SubstreamProtocol<Names> {
        SubstreamProtocol::new(Names(self.protocols.clone()), ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Names, Respond, Self::ToBehaviour>> {
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        if let Some(Request { protocol, respond }) = self.requests.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Names(vec![protocol]), respond),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Names, Names, (), Respond>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: accepted, .. }) => {
                self.accepted.push_back(accepted);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: (stream, _), info }) => {
                // Whoever asked may have gone.
                let _ = info.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let _ = info.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => "the peer does not speak the protocol".to_owned(),
                    StreamUpgradeError::Timeout => "not in time".to_owned(),
                    StreamUpgradeError::Io(error) => error.to_string(),
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
