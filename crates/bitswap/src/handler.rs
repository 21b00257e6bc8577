//! One connection's half: streams that the remote sends messages on, and one of ours.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::lock::Mutex;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use futures_timer::Delay;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};

use crate::message::Message;
use crate::stream::{self, StreamError};

/// The protocol, and the only one of its versions that we speak.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/bitswap/1.2.0");

/// Streams of the remote that are read at once. Further ones are reset, and what is on them is lost: Helia opens one for each
/// message, 50 at once, and says nothing twice.
pub const MAX_STREAMS: usize = 64;

/// How long after a message the next one goes on the same stream. Then it is closed: Helia resets a stream on which nothing
/// has come for 10 s, and what is on its way then is lost without a word.
const KEPT: Duration = Duration::from_secs(5);

/// How long a stream may take to open.
const OPENING: Duration = Duration::from_secs(10);

/// What the behaviour wants of a connection.
#[derive(Debug)]
pub enum Command {
    /// A message to send. One at a time.
    Send(Bytes),
    /// The remote is let in: what it sends is read.
    Open,
}

/// What happened on the connection.
#[derive(Debug)]
pub enum Report {
    /// The remote sent a message.
    Received(Message),
    /// What was to be sent is on its way.
    Sent,
    /// It is not; the remote may have got a part of it.
    Lost(String),
    /// The remote does not speak Bitswap 1.2.
    Unsupported,
    /// The remote sent what is no message. Its stream was reset.
    Bad(StreamError),
}

type Reading = BoxFuture<'static, Result<Option<(Message, Stream)>, StreamError>>;

enum Outbound {
    /// Nothing is being sent.
    Idle,
    /// Nothing is being sent. The stream of the message before is used for the next, until then.
    Kept(Stream, Delay),
    /// A stream is being opened for it.
    Opening(Bytes),
    Writing(BoxFuture<'static, Result<Stream, StreamError>>),
}

/// One connection's half.
pub struct Handler {
    inbound: FuturesUnordered<Reading>,
    turn: Arc<Mutex<()>>,
    outbound: Outbound,
    /// A stream that was kept long enough.
    closing: Option<BoxFuture<'static, ()>>,
    reports: VecDeque<Report>,
    ask: bool,
    /// Whether anything that the remote sends is read. Until then it waits where the transport holds it.
    open: bool,
}

impl Handler {
    pub(crate) fn new(open: bool) -> Self {
        Self {
            inbound: FuturesUnordered::new(),
            turn: Arc::default(),
            outbound: Outbound::Idle,
            closing: None,
            reports: VecDeque::new(),
            ask: false,
            open,
        }
    }

    fn read(&self, mut stream: Stream) {
        let turn = self.turn.clone();
        self.inbound
            .push(async move { Ok(stream::read(&mut stream, &turn).await?.map(|message| (message, stream))) }.boxed());
    }

    fn write(&mut self, mut stream: Stream, bytes: Bytes) {
        self.outbound = Outbound::Writing(
            async move {
                stream::write(&mut stream, bytes).await?;
                Ok(stream)
            }
            .boxed(),
        );
    }

    /// Closes a stream that was kept long enough.
    fn poll_kept(&mut self, cx: &mut Context<'_>) {
        if let Outbound::Kept(_, until) = &mut self.outbound
            && until.poll_unpin(cx).is_ready()
            && let Outbound::Kept(stream, _) = std::mem::replace(&mut self.outbound, Outbound::Idle)
        {
            self.closing = Some(stream::close(stream).boxed());
        }
        if let Some(closing) = &mut self.closing
            && closing.poll_unpin(cx).is_ready()
        {
            self.closing = None;
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Report;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()).with_timeout(OPENING)
    }

    /// While something is being sent. What is wanted is for whoever wants it to hold connections for.
    fn connection_keep_alive(&self) -> bool {
        matches!(self.outbound, Outbound::Opening(_) | Outbound::Writing(_))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Report>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        if std::mem::take(&mut self.ask) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: self.listen_protocol() });
        }
        if let Outbound::Writing(writing) = &mut self.outbound
            && let Poll::Ready(result) = writing.poll_unpin(cx)
        {
            let (outbound, report) = match result {
                Ok(stream) => (Outbound::Kept(stream, Delay::new(KEPT)), Report::Sent),
                Err(error) => (Outbound::Idle, Report::Lost(error.to_string())),
            };
            self.outbound = outbound;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        self.poll_kept(cx);
        // A message is read when the one before was handed over.
        while self.open
            && let Poll::Ready(Some(result)) = self.inbound.poll_next_unpin(cx)
        {
            let report = match result {
                Ok(Some((message, stream))) => {
                    self.read(stream);
                    Report::Received(message)
                }
                // The remote has closed it.
                Ok(None) | Err(StreamError::Io(_)) => continue,
                Err(error) => Report::Bad(error),
            };
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, command: Command) {
        let bytes = match command {
            Command::Send(bytes) => bytes,
            Command::Open => {
                self.open = true;
                return;
            }
        };
        match std::mem::replace(&mut self.outbound, Outbound::Idle) {
            Outbound::Kept(stream, _) => self.write(stream, bytes),
            Outbound::Idle => {
                self.outbound = Outbound::Opening(bytes);
                self.ask = true;
            }
            // The behaviour sends one at a time.
            busy @ (Outbound::Opening(_) | Outbound::Writing(_)) => {
                self.outbound = busy;
                self.reports.push_back(Report::Lost("another message is being sent".to_owned()));
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a connection tells much that means nothing here")]
    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), ()>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if self.inbound.len() < MAX_STREAMS =>
            {
                self.read(stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                if let Outbound::Opening(bytes) = std::mem::replace(&mut self.outbound, Outbound::Idle) {
                    self.write(stream, bytes);
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.outbound = Outbound::Idle;
                self.reports.push_back(match error {
                    StreamUpgradeError::NegotiationFailed => Report::Unsupported,
                    error => Report::Lost(error.to_string()),
                });
            }
            _ => {}
        }
    }
}
