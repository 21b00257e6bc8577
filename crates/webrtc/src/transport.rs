//! The transport: it owns the handshakes, and asks the behaviour for the streams that they need.
//!
//! A dial is a future that is polled by a task of its own; so it may wait for the behaviour, which the swarm polls, and
//! even for another dial of the same swarm, through a relay. Connections that others begin come as streams, from the
//! behaviour.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use futures_timer::Delay;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId};

use crate::address::{self, Target};
use crate::behaviour::Behaviour;
use crate::clock::now;
use crate::config::Config;
use crate::error::Error;
use crate::lend::{Ask, Lent, Wanted};
use crate::muxer::Muxer;
use crate::rtc::Rtc;
use crate::signalling::{Limits, answer, offer};

/// A connection: with whom, and its streams. The peer id is the one that the relayed connection has proved.
type Connection<R> = (PeerId, Muxer<<R as Rtc>::Peer>);

/// Makes the two halves. Both have to join the same swarm.
pub fn new<R: Rtc>(config: Config, rtc: R) -> (Transport<R>, Behaviour) {
    // Beside this room, each dial has a place of its own in the channel.
    let (asks, asked) = mpsc::channel(config.max_handshakes);
    // No more come than have a place.
    let (give, inbound) = mpsc::channel(config.max_handshakes);
    let behaviour = Behaviour::new(&config, asked, give);
    (Transport { rtc, limits: config.limits(), asks, inbound, listener: ListenerId::next() }, behaviour)
}

/// The transport. It dials the addresses that [`address::parse`] knows, and listens on none.
#[derive(Debug)]
pub struct Transport<R> {
    rtc: R,
    limits: Limits,
    asks: mpsc::Sender<Ask>,
    inbound: mpsc::Receiver<Lent>,
    /// A name for the place where connections come in. The swarm asks for one and makes no use of it.
    listener: ListenerId,
}

impl<R: Rtc> libp2p::Transport for Transport<R> {
    type Output = Connection<R>;
    type Error = Error;
    type ListenerUpgrade = BoxFuture<'static, Result<Connection<R>, Error>>;
    type Dial = BoxFuture<'static, Result<Connection<R>, Error>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        // The relay client would take it for one of its own and reserve at an address that leads nowhere.
        if address::is_direct_webrtc(&address) {
            return Err(TransportError::Other(Error::NoListening));
        }
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        // A hole is punched where the two sides have addresses; that is WebRTC's own affair.
        let target = match opts.role {
            Endpoint::Dialer => address::parse(&address),
            Endpoint::Listener => None,
        };
        let Some(target) = target else { return Err(TransportError::MultiaddrNotSupported(address)) };
        let (rtc, limits, mut asks) = (self.rtc.clone(), self.limits.clone(), self.asks.clone());
        Ok(async move {
            let peer = target.peer;
            let result = dial(target, rtc, limits, &mut asks).await;
            report(&mut asks, peer, false, &result);
            result
        }
        .boxed())
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        // `None`: the behaviour is gone, and nobody comes any more.
        let Poll::Ready(Some(lent)) = self.inbound.poll_next_unpin(cx) else { return Poll::Pending };
        let (rtc, limits, mut asks) = (self.rtc.clone(), self.limits.clone(), self.asks.clone());
        let upgrade = async move {
            let peer = lent.peer;
            let result = accept(lent, rtc, limits).await;
            report(&mut asks, peer, true, &result);
            result
        };
        Poll::Ready(TransportEvent::Incoming {
            listener_id: self.listener,
            upgrade: upgrade.boxed(),
            // Not the circuit's: the connection would count as relayed.
            local_addr: address::local(),
            // Nobody knows it, and identify would tell the remote what stands here. js-libp2p 3.3.11 takes none; at one
            // without an IP address, `/webrtc/p2p/<remote>` for example, it drops all that identify has told.
            send_back_addr: Multiaddr::empty(),
        })
    }
}

async fn dial<R: Rtc>(
    target: Target,
    rtc: R,
    limits: Limits,
    asks: &mut mpsc::Sender<Ask>,
) -> Result<Connection<R>, Error> {
    let started = now();
    let (respond, response) = oneshot::channel();
    let wanted = Wanted { peer: target.peer, relayed: target.relayed, respond };
    asks.send(Ask::Stream(wanted)).await.map_err(|_| Error::Gone)?;
    let Lent { peer, stream, slot: _slot } = lent(response, limits.whole).await?;
    // Only now: peer connections are dear, and most that fails has failed by now.
    let connection = rtc.open()?;
    Ok((peer, offer(stream, connection, limits, started).await?))
}

/// Waits for a stream, but not for longer than the whole may take.
async fn lent(response: oneshot::Receiver<Result<Lent, Error>>, limit: Duration) -> Result<Lent, Error> {
    match select(response, Delay::new(limit)).await {
        Either::Left((Ok(lent), _)) => lent,
        // Dropped with the connection that it was to come from; or too slow.
        Either::Left((Err(oneshot::Canceled), _)) | Either::Right(((), _)) => Err(Error::Stream),
    }
}

async fn accept<R: Rtc>(lent: Lent, rtc: R, limits: Limits) -> Result<Connection<R>, Error> {
    let started = now();
    let Lent { peer, stream, slot: _slot } = lent;
    let connection = rtc.open()?;
    Ok((peer, answer(stream, connection, limits, started).await?))
}

/// Tells the behaviour of a failure. There is room, and whether it is gone does not matter any more.
fn report<T>(asks: &mut mpsc::Sender<Ask>, peer: PeerId, inbound: bool, result: &Result<T, Error>) {
    if let Err(error) = result {
        let _ = asks.try_send(Ask::Failed { peer, error: error.clone(), inbound });
    }
}
