//! Runs the [machine](super::machine) over a stream and a peer connection.
//!
//! All that a handshake holds is in its future: dropping it closes the peer connection with its channels, and resets
//! the stream. So does failing; the remote learns at once.

mod wire;

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};

use super::machine::{Input, Machine, Output, Role};
use super::{HandshakeError, Limits};
use crate::clock::{Timer, now};
use crate::muxer::{INIT_LABEL, Muxer};
use crate::rtc::{Channel as _, ChannelEvent, MAX_EARLY, Peer, PeerEvent};
use wire::Wire;

/// Connects as the one that opened `stream`, in the time that `limits` allow since `started`, which is told by
/// [`now`].
///
/// # Errors
/// [`HandshakeError`]; the peer connection is closed, the stream reset.
pub(crate) async fn offer<S, P>(
    stream: S,
    peer: P,
    limits: Limits,
    started: Duration,
) -> Result<Muxer<P>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Peer,
{
    let Connected { peer, early, init: _ } =
        connect(Machine::new(Role::Offerer, limits, started), stream, peer).await?;
    Ok(Muxer::new(peer, early))
}

/// Connects as the one that was opened `stream`, in the time that `limits` allow since `started`, which is told by
/// [`now`].
///
/// # Errors
/// [`HandshakeError`]; the peer connection is closed, the stream reset.
pub(crate) async fn answer<S, P>(
    stream: S,
    peer: P,
    limits: Limits,
    started: Duration,
) -> Result<Muxer<P>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Peer,
{
    let Connected { peer, early, init } = connect(Machine::new(Role::Answerer, limits, started), stream, peer).await?;
    Ok(Muxer::new(peer, early).holding(init))
}

/// What a handshake has made.
struct Connected<P: Peer> {
    peer: P,
    /// Streams that the remote has opened already.
    early: Vec<P::Channel>,
    init: Option<P::Channel>,
}

async fn connect<S, P>(machine: Machine, stream: S, peer: P) -> Result<Connected<P>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Peer,
{
    let mut session =
        Session { machine, peer, init: None, early: Vec::new(), wire: Wire::new(stream), timer: Timer::default() };
    let result = poll_fn(|cx| session.poll(cx)).await;
    let passed = session.machine.passed();
    if passed > 0 {
        tracing::debug!(passed, "signalling messages without use");
    }
    let Session { peer, early, init, .. } = session;
    result.map(|()| Connected { peer, early, init })
}

/// A handshake and all that it holds.
struct Session<S, P: Peer> {
    machine: Machine,
    peer: P,
    /// The offerer's own, or the answerer's end of it. The latter is only held: closing it is the offerer's part.
    init: Option<P::Channel>,
    /// Streams that the remote has opened already: an answerer is connected before the offerer. At most [`MAX_EARLY`].
    early: Vec<P::Channel>,
    wire: Wire<S>,
    timer: Timer,
}

impl<S, P> Session<S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Peer,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Done => return Poll::Ready(Ok(())),
                    Output::Failed(error) => return Poll::Ready(Err(error)),
                    output @ (Output::CreateInit
                    | Output::Describe(_)
                    | Output::Send(_)
                    | Output::SetLocal(..)
                    | Output::SetRemote(..)
                    | Output::AddCandidate(_)
                    | Output::CloseInit
                    | Output::CloseStream) => self.act(output),
                }
            }
            // The peer connection before the stream: a remote that is connected and leaves is not one that gives up.
            if let Poll::Ready(input) = self.poll_peer(cx) {
                self.machine.handle(input, now());
            } else if let Poll::Ready(input) = self.poll_init(cx) {
                self.machine.handle(input, now());
            } else if let Poll::Ready(input) = self.wire.poll(cx) {
                self.machine.handle(input, now());
            } else if self.timer.poll(self.machine.poll_timeout(), cx).is_ready() {
                self.machine.handle_timeout(now());
            } else {
                return Poll::Pending;
            }
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::CreateInit => match self.peer.create_channel(INIT_LABEL) {
                Ok(channel) => self.init = Some(channel),
                Err(error) => self.machine.handle(Input::Rtc(error), now()),
            },
            Output::Describe(kind) => self.peer.describe(kind),
            Output::Send(message) => self.wire.send(message),
            Output::SetLocal(kind, sdp) => self.peer.set_local(kind, sdp.as_str()),
            Output::SetRemote(kind, sdp) => self.peer.set_remote(kind, sdp.as_str()),
            Output::AddCandidate(candidate) => self.peer.add_candidate(&candidate),
            Output::CloseInit => {
                if let Some(init) = &mut self.init {
                    init.close();
                }
            }
            Output::CloseStream => self.wire.close(),
            Output::Done | Output::Failed(_) => {}
        }
    }

    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        while let Poll::Ready(event) = self.peer.poll(cx) {
            return Poll::Ready(match event {
                PeerEvent::Described(sdp) => Input::Described(sdp),
                PeerEvent::LocalSet => Input::LocalSet,
                PeerEvent::RemoteSet => Input::RemoteSet,
                PeerEvent::Candidate(candidate) => Input::Candidate(candidate),
                PeerEvent::State(state) => Input::State(state),
                PeerEvent::Failed(error) => Input::Rtc(error),
                PeerEvent::Channel { label, channel } => {
                    self.opened(&label, channel);
                    continue;
                }
            });
        }
        Poll::Pending
    }

    /// The remote has opened a channel. One too many is dropped, which closes it.
    fn opened(&mut self, label: &str, channel: P::Channel) {
        if label != INIT_LABEL {
            if self.early.len() < MAX_EARLY {
                self.early.push(channel);
            }
        } else if self.init.is_none() {
            self.init = Some(channel);
        }
    }

    fn poll_init(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        while let Some(init) = &mut self.init {
            match ready!(init.poll(cx)) {
                ChannelEvent::Open => return Poll::Ready(Input::InitOpen),
                ChannelEvent::Closed | ChannelEvent::Overflow => {
                    self.init = None;
                    return Poll::Ready(Input::InitClosed);
                }
                ChannelEvent::Message(_) | ChannelEvent::Low => {}
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
