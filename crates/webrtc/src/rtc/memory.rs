//! WebRTC in memory, for tests: a small network whose links hold, break and fail when they are told to.
//!
//! It has no threads and no timers. Whatever happens, happens within the call that causes it, so that a test which polls
//! in the same order sees the same events. It is as strict as browsers are where a mistake would hurt: an offer without a
//! channel has no media section, a candidate that comes before the remote description is lost, a description with
//! another's fingerprint ends in [`State::Failed`](super::State::Failed).

mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::{Candidate, ChannelEvent, Kind, PeerEvent, RtcError};
use wire::Wire;

/// Bytes that one channel queues before a send fails, as in Chromium.
pub const MAX_BUFFERED: usize = 16 * 1024 * 1024;

/// Bytes of one message, as in Chromium.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Candidates that a peer connection tells after its local description is set.
pub const CANDIDATES: usize = 2;

/// What becomes of two peer connections that know all they need of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ice {
    /// They connect.
    #[default]
    Works,
    /// Nothing happens, ever.
    Never,
    /// Both fail.
    Fails,
}

/// A network of peer connections, and the hooks of a test on it. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Network(Arc<Mutex<Wire>>);

impl Network {
    /// A network in which everything works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// WebRTC for one more node of the network.
    #[must_use]
    pub fn rtc(&self) -> Rtc {
        let node = self.with(Wire::add_node);
        Rtc { network: self.clone(), node }
    }

    /// Two peer connections that are connected already, without signalling, one of each node.
    ///
    /// # Errors
    /// When the network is forbidden.
    pub fn connected(&self, near: &Rtc, far: &Rtc) -> Result<(Peer, Peer), RtcError> {
        let (near, far) = (super::Rtc::open(near)?, super::Rtc::open(far)?);
        self.with(|wire| wire.join(near.id, far.id));
        Ok((near, far))
    }

    /// Peer connections that are not closed.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.with(|wire| wire.open_peers(None))
    }

    /// Ends of channels that are not closed: two for each channel that is open.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.with(|wire| wire.open_channels())
    }

    /// From now on [`super::Rtc::open`] fails with [`RtcError::Absent`], or works again.
    pub fn forbid(&self, forbidden: bool) {
        self.with(|wire| wire.forbidden = forbidden);
    }

    /// What becomes of those that connect from now on.
    pub fn ice(&self, ice: Ice) {
        self.with(|wire| wire.ice = ice);
    }

    /// Loses the next `count` candidates that are added anywhere. Each side tells [`CANDIDATES`] and needs one.
    pub fn lose_candidates(&self, count: usize) {
        self.with(|wire| wire.lose_candidates = count);
    }

    /// Candidates are told as soon as there is a channel, before the local description is set, as node-datachannel does.
    pub fn gather_early(&self, early: bool) {
        self.with(|wire| wire.gather_early = early);
    }

    /// From now on whatever is sent waits: messages, new channels, closes.
    pub fn hold(&self) {
        self.with(|wire| wire.held = true);
    }

    /// Everything that waits arrives, and nothing waits any more.
    pub fn release(&self) {
        self.with(|wire| {
            wire.held = false;
            wire.flush(usize::MAX);
        });
    }

    /// Lets `messages` of those that wait through, and with them the new channels and the closes that come before the
    /// next ones. Gives how many went.
    pub fn pass(&self, messages: usize) -> usize {
        self.with(|wire| wire.flush(messages))
    }

    /// Runs `act` on the wire, then wakes whom it concerns: never while the lock is held, for who is woken may come back
    /// at once.
    fn with<R>(&self, act: impl FnOnce(&mut Wire) -> R) -> R {
        let (result, woken) = {
            let mut wire = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (act(&mut wire), wire.take_woken())
        };
        for waker in woken {
            waker.wake();
        }
        result
    }
}

/// WebRTC of one node.
#[derive(Clone, Debug)]
pub struct Rtc {
    network: Network,
    node: u64,
}

impl Rtc {
    /// This node's peer connections that are not closed.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.network.with(|wire| wire.open_peers(Some(self.node)))
    }

    /// Breaks this node's links, which go to `Disconnected` at both ends. What is sent waits.
    pub fn interrupt(&self) {
        self.network.with(|wire| wire.interrupt(self.node));
    }

    /// Mends this node's links that [`Rtc::interrupt`] broke.
    pub fn restore(&self) {
        self.network.with(|wire| wire.restore(self.node));
    }

    /// Fails this node's links at both ends, for good.
    pub fn fail(&self) {
        self.network.with(|wire| wire.fail(self.node));
    }
}

impl super::Rtc for Rtc {
    type Peer = Peer;

    fn open(&self) -> Result<Peer, RtcError> {
        let id = self.network.with(|wire| wire.open(self.node))?;
        Ok(Peer { network: self.network.clone(), id })
    }
}

/// A peer connection.
#[derive(Debug)]
pub struct Peer {
    network: Network,
    id: u64,
}

impl super::Peer for Peer {
    type Channel = Channel;

    fn create_channel(&mut self, label: &str) -> Result<Channel, RtcError> {
        let id = self.network.with(|wire| wire.create_channel(self.id, label))?;
        Ok(Channel { network: self.network.clone(), id })
    }

    fn describe(&mut self, kind: Kind) {
        self.network.with(|wire| wire.describe(self.id, kind));
    }

    fn set_local(&mut self, kind: Kind, sdp: &str) {
        self.network.with(|wire| wire.set_local(self.id, kind, sdp));
    }

    fn set_remote(&mut self, kind: Kind, sdp: &str) {
        self.network.with(|wire| wire.set_remote(self.id, kind, sdp));
    }

    fn add_candidate(&mut self, candidate: &Candidate) {
        self.network.with(|wire| wire.add_candidate(self.id, candidate));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PeerEvent<Channel>> {
        self.network.with(|wire| wire.poll_peer(self.id, cx)).map(|event| match event {
            PeerEvent::Described(sdp) => PeerEvent::Described(sdp),
            PeerEvent::LocalSet => PeerEvent::LocalSet,
            PeerEvent::RemoteSet => PeerEvent::RemoteSet,
            PeerEvent::Candidate(candidate) => PeerEvent::Candidate(candidate),
            PeerEvent::State(state) => PeerEvent::State(state),
            PeerEvent::Channel { label, channel: id } => {
                PeerEvent::Channel { label, channel: Channel { network: self.network.clone(), id } }
            }
            PeerEvent::Failed(error) => PeerEvent::Failed(error),
        })
    }

    fn close(&mut self) {
        self.network.with(|wire| wire.close_peer(self.id));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.network.with(|wire| wire.remove_peer(self.id));
    }
}

/// One end of a data channel.
#[derive(Debug)]
pub struct Channel {
    network: Network,
    id: u64,
}

impl super::Channel for Channel {
    fn send(&mut self, message: &[u8]) -> Result<(), RtcError> {
        self.network.with(|wire| wire.send(self.id, message))
    }

    fn buffered(&self) -> usize {
        self.network.with(|wire| wire.buffered(self.id))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ChannelEvent> {
        self.network.with(|wire| wire.poll_channel(self.id, cx))
    }

    fn close(&mut self) {
        self.network.with(|wire| wire.close_channel(self.id));
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.network.with(|wire| wire.remove_channel(self.id));
    }
}

#[cfg(test)]
mod tests;
