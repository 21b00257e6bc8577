//! A connected peer connection as libp2p's muxer: each data channel is a stream.
//!
//! A task that polls the muxer also drives all its streams. Dropping the muxer closes the connection and ends them.

mod health;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

use crate::clock::{self, Timer};
use crate::rtc::{Channel as _, ChannelEvent, MAX_EARLY, Peer, PeerEvent, RtcError};
use crate::stream::{Driver, Stream, Totals};
use health::Health;
pub use health::SILENCE;

/// Streams of a connection that somebody uses or that wait to be taken. At the limit a stream that we open waits until
/// there are fewer, for an error would end the connection, and one that the remote opens is closed. Each may have
/// [`HIGH_WATER`](crate::rtc::HIGH_WATER) bytes in its send buffer.
pub const MAX_STREAMS: usize = 256;

/// How long closing a connection waits for the streams that were closed to be acknowledged.
pub const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The label of the channel that is there for the offer to have something to offer. It is never a stream.
pub const INIT_LABEL: &str = "init";

/// Why a connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// ICE, DTLS or SCTP failed.
    #[error("the connection failed")]
    Failed,
    /// Closed, by us or by the remote.
    #[error("the connection is closed")]
    Closed,
    /// No traffic for [`SILENCE`].
    #[error("nothing was heard of the remote for {} s", SILENCE.as_secs())]
    Silent,
    /// The implementation would not do what it was told.
    #[error(transparent)]
    Rtc(#[from] RtcError),
}

/// The muxer of a connection.
#[derive(Debug)]
pub struct Muxer<P: Peer> {
    peer: P,
    health: Health,
    totals: Arc<Totals>,
    drivers: FuturesUnordered<Driver<P::Channel>>,
    /// What the remote has opened and nobody has taken, at most [`MAX_EARLY`].
    inbound: VecDeque<Stream<P::Channel>>,
    /// The remote's channel [`INIT_LABEL`], until the remote closes it.
    init: Option<P::Channel>,
    timer: Timer,
    /// When closing ends, once it has begun.
    closing: Option<Duration>,
    closing_timer: Timer,
    /// Who is to be woken when there is a stream to take, when there is room to open one, when there is one to drive.
    takes: Option<Waker>,
    opens: Option<Waker>,
    drives: Option<Waker>,
}

impl<P: Peer> Muxer<P> {
    /// A muxer over `peer`, which is connected. `early` are channels that the remote has opened before, but for the one
    /// with the label [`INIT_LABEL`]; those past [`MAX_EARLY`] are closed.
    pub fn new(peer: P, early: Vec<P::Channel>) -> Self {
        let mut muxer = Self {
            peer,
            health: Health::default(),
            totals: Arc::default(),
            drivers: FuturesUnordered::new(),
            inbound: VecDeque::new(),
            init: None,
            timer: Timer::default(),
            closing: None,
            closing_timer: Timer::default(),
            takes: None,
            opens: None,
            drives: None,
        };
        for channel in early {
            muxer.accept(channel);
        }
        muxer
    }

    /// Holds `init`, the offerer's channel [`INIT_LABEL`] that has come before. It is for the offerer to close: js-libp2p
    /// sees it open, closes it and sees it closed. If it is closed before js-libp2p has looked, that waits for its dial to
    /// time out.
    #[must_use]
    pub(crate) fn holding(mut self, init: Option<P::Channel>) -> Self {
        self.init = init;
        self
    }

    /// The peer connection.
    #[cfg(all(test, feature = "direct-server"))]
    pub(crate) fn peer(&mut self) -> &mut P {
        &mut self.peer
    }

    /// A channel of the remote.
    fn accept(&mut self, channel: P::Channel) {
        if self.inbound.len() >= MAX_EARLY || !self.has_room() {
            tracing::debug!("refused a stream: too many");
            return;
        }
        let stream = self.stream(channel);
        self.inbound.push_back(stream);
        wake(&mut self.takes);
    }

    fn stream(&mut self, channel: P::Channel) -> Stream<P::Channel> {
        let (stream, driver) = Stream::new(channel, Arc::clone(&self.totals));
        self.drivers.push(driver);
        wake(&mut self.drives);
        stream
    }

    fn has_room(&self) -> bool {
        self.drivers.len().saturating_sub(self.totals.lingering()) < MAX_STREAMS
    }

    /// Takes in all that the connection tells, and drives the streams.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        self.drives = Some(cx.waker().clone());
        while self.health.lost().is_none()
            && let Poll::Ready(event) = self.peer.poll(cx)
        {
            self.hear(event);
        }
        while let Some(init) = &mut self.init
            && let Poll::Ready(event) = init.poll(cx)
        {
            match event {
                ChannelEvent::Closed | ChannelEvent::Overflow => self.init = None,
                ChannelEvent::Open | ChannelEvent::Message(_) | ChannelEvent::Low => {}
            }
        }
        while self.timer.poll(self.health.poll_timeout(), cx).is_ready() {
            self.health.handle_timeout(clock::now());
        }
        if let Some(error) = self.health.lost() {
            let error = error.clone();
            self.end();
            return Err(error);
        }
        while let Poll::Ready(Some(())) = self.drivers.poll_next_unpin(cx) {}
        if self.has_room() {
            wake(&mut self.opens);
        }
        Ok(())
    }

    fn hear(&mut self, event: PeerEvent<P::Channel>) {
        match event {
            PeerEvent::State(state) => self.health.handle(state, clock::now()),
            PeerEvent::Channel { label, channel } if label == INIT_LABEL => {
                // One more than there should be is closed as it goes.
                self.init.get_or_insert(channel);
            }
            PeerEvent::Channel { label: _, channel } => self.accept(channel),
            PeerEvent::Failed(error) => self.health = Health::Lost(Error::Rtc(error)),
            // Signalling is over; the remote would not hear of a candidate.
            PeerEvent::Candidate(_) | PeerEvent::Described(_) | PeerEvent::LocalSet | PeerEvent::RemoteSet => {}
        }
    }

    /// Ends the connection with all its streams.
    fn end(&mut self) {
        self.peer.close();
        self.drivers.clear();
        self.inbound.clear();
        self.init = None;
        wake(&mut self.takes);
        wake(&mut self.opens);
    }
}

impl<P: Peer> StreamMuxer for Muxer<P> {
    type Substream = Stream<P::Channel>;
    type Error = Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, Error>> {
        if let Some(error) = self.health.lost() {
            return Poll::Ready(Err(error.clone()));
        }
        if let Some(stream) = self.inbound.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        self.takes = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, Error>> {
        if let Some(error) = self.health.lost() {
            return Poll::Ready(Err(error.clone()));
        }
        if self.has_room() {
            // specification: the label must be empty.
            match self.peer.create_channel("") {
                Ok(channel) => return Poll::Ready(Ok(self.stream(channel))),
                // The next stream that ends makes room.
                Err(RtcError::Full(_)) if !self.drivers.is_empty() => {}
                Err(error @ (RtcError::Absent(_) | RtcError::Full(_) | RtcError::Closed | RtcError::Failed(_))) => {
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
        self.opens = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Gives the streams that were closed and dropped a moment to get their bytes over, then closes the connection.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = &mut *self;
        let until = *this.closing.get_or_insert_with(|| clock::now() + CLOSE_WAIT);
        if this.drive(cx).is_err() {
            // It has ended by itself.
            return Poll::Ready(Ok(()));
        }
        if this.totals.lingering() > 0 && this.closing_timer.poll(Some(until), cx).is_pending() {
            return Poll::Pending;
        }
        this.health = Health::Lost(Error::Closed);
        this.end();
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Error>> {
        match self.drive(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<P: Peer> Drop for Muxer<P> {
    fn drop(&mut self) {
        self.end();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
