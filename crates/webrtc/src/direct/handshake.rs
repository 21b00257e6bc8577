//! Runs something over a peer connection while that is kept going.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use futures::future::{Either, select};
use futures_timer::Delay;
use libp2p::core::upgrade::InboundConnectionUpgrade as _;
#[cfg(all(feature = "direct-server", not(target_arch = "wasm32")))]
use libp2p::core::upgrade::OutboundConnectionUpgrade as _;
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise};

use super::pipe::Pipe;
use super::{Error, HANDSHAKE};
use crate::rtc::{MAX_EARLY, Peer, PeerEvent, State};

/// A peer connection that is being set up, and the streams that the remote has opened already.
pub(super) struct Session<P: Peer> {
    pub(super) peer: P,
    pub(super) early: Vec<P::Channel>,
}

impl<P: Peer> Session<P> {
    pub(super) fn new(peer: P) -> Self {
        Self { peer, early: Vec::new() }
    }

    /// The next event that is the handshake's business.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<PeerEvent<P::Channel>, Error>> {
        loop {
            match std::task::ready!(self.peer.poll(cx)) {
                PeerEvent::Channel { label: _, channel } => {
                    // One too many is closed as it goes.
                    if self.early.len() < MAX_EARLY {
                        self.early.push(channel);
                    }
                }
                PeerEvent::Candidate(_) | PeerEvent::State(State::Disconnected) => {}
                PeerEvent::State(State::Failed | State::Closed) => return Poll::Ready(Err(Error::Failed)),
                PeerEvent::Failed(error) => return Poll::Ready(Err(error.into())),
                event @ (PeerEvent::Described(_)
                | PeerEvent::LocalSet
                | PeerEvent::RemoteSet
                | PeerEvent::State(State::Connected)) => return Poll::Ready(Ok(event)),
            }
        }
    }

    /// Waits for what `pick` picks of the events.
    pub(super) async fn wait_for<T>(&mut self, pick: impl Fn(PeerEvent<P::Channel>) -> Option<T>) -> Result<T, Error> {
        loop {
            if let Some(found) = pick(poll_fn(|cx| self.poll(cx)).await?) {
                return Ok(found);
            }
        }
    }

    /// Waits for `future`, and keeps the connection going meanwhile.
    async fn along<T, E>(&mut self, future: impl Future<Output = Result<T, E>>) -> Result<T, Error>
    where
        Error: From<E>,
    {
        let mut future = pin!(future);
        poll_fn(|cx| {
            while let Poll::Ready(event) = self.poll(cx) {
                event?;
            }
            future.as_mut().poll(cx).map_err(Error::from)
        })
        .await
    }

    /// Proves who is who, as the side that dialled: the server begins (specification).
    pub(super) async fn prove_as_client(&mut self, pipe: Pipe<P::Channel>, noise: Noise) -> Result<PeerId, Error> {
        let (peer, _) = self.along(noise.config()?.upgrade_inbound(pipe, "/noise")).await?;
        Ok(peer)
    }

    /// Proves who is who, as the side that was dialled.
    #[cfg(all(feature = "direct-server", not(target_arch = "wasm32")))]
    pub(super) async fn prove_as_server(&mut self, pipe: Pipe<P::Channel>, noise: Noise) -> Result<PeerId, Error> {
        let (peer, _) = self.along(noise.config()?.upgrade_outbound(pipe, "/noise")).await?;
        Ok(peer)
    }
}

/// What the Noise handshake needs.
pub(super) struct Noise {
    pub(super) key: Keypair,
    pub(super) prologue: Vec<u8>,
}

impl Noise {
    fn config(self) -> Result<noise::Config, Error> {
        Ok(noise::Config::new(&self.key)?.with_prologue(self.prologue))
    }
}

/// Gives up after [`HANDSHAKE`].
pub(super) async fn in_time<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match select(pin!(future), Delay::new(HANDSHAKE)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Err(Error::Timeout),
    }
}
