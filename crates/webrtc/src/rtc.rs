//! What this crate needs of a WebRTC implementation. A browser's is one; `memory`, behind the feature of that
//! name, is another, for tests.
//!
//! Everything is a command that returns at once, or an event that is polled. Nothing here waits, so that the machines
//! above decide alone what comes after what. An implementation queues events from the moment a peer connection or a
//! channel exists, so none is lost before somebody polls.

use std::task::{Context, Poll};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bytes that may wait in one channel's send buffer before [`Channel::buffered`] tells a writer to pause. With the frame
/// that reaches it 64 KiB: what waits goes out in bursts, and Chromium drops what its network process is more than 64 KiB
/// behind with (`kMaximumInFlightBytes`). With the customary 1 MiB the first 10 MB of a connection between two of its pages
/// lost hundreds of packets while SCTP was starting, and took 3 s; with this next to none, and half a second. What is on
/// the way does not wait here, so a long path is filled all the same.
pub const HIGH_WATER: usize = 48 * 1024;

/// Bytes in a channel's send buffer at which [`ChannelEvent::Low`] is told: half a millisecond's at 30 MB/s.
pub const LOW_WATER: usize = 16 * 1024;

/// Bytes that may have arrived on one channel and not been read. Data channels cannot be told to wait; past it the
/// channel is given up ([`ChannelEvent::Overflow`]). Protocols that carry more at once need credit of their own.
pub const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// What an unread message counts against [`MAX_UNREAD`] on top of its bytes, so that empty ones are bounded too.
pub const MESSAGE_OVERHEAD: usize = 64;

/// Channels that the remote has opened and nobody has accepted. Later ones are closed as they come.
pub const MAX_EARLY: usize = 128;

/// Makes peer connections.
pub trait Rtc: Clone + Send + Unpin + 'static {
    /// What it makes.
    type Peer: Peer;

    /// A new peer connection.
    ///
    /// # Errors
    /// [`RtcError`] when the environment has no WebRTC, or no room for one more.
    fn open(&self) -> Result<Self::Peer, RtcError>;
}

/// A peer connection. Dropping it closes it and frees all that it holds.
pub trait Peer: Send + Unpin + 'static {
    /// Its data channels.
    type Channel: Channel;

    /// Opens a reliable, ordered channel.
    ///
    /// # Errors
    /// [`RtcError`] when the connection is closed or has no room for one more.
    fn create_channel(&mut self, label: &str) -> Result<Self::Channel, RtcError>;

    /// Opens a reliable, ordered channel of an id that both sides know, which the remote is not told of. For
    /// [`direct`](crate::direct); an implementation that is never used for it need not have it.
    ///
    /// # Errors
    /// [`RtcError`] when the connection is closed, or the implementation has no such channels.
    fn create_negotiated(&mut self, label: &str, id: u16) -> Result<Self::Channel, RtcError> {
        Err(RtcError::Absent(format!("no channels of an agreed id, such as {label:?} of {id}")))
    }

    /// Asks for a description of `kind`, told as [`PeerEvent::Described`].
    fn describe(&mut self, kind: Kind);

    /// Makes `sdp` the local description, told as [`PeerEvent::LocalSet`].
    fn set_local(&mut self, kind: Kind, sdp: &str);

    /// Makes `sdp` the remote description, told as [`PeerEvent::RemoteSet`].
    fn set_remote(&mut self, kind: Kind, sdp: &str);

    /// Adds a candidate of the remote. A bad one is passed over.
    fn add_candidate(&mut self, candidate: &Candidate);

    /// The next event. After [`PeerEvent::State`] with [`State::Closed`] there is none.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PeerEvent<Self::Channel>>;

    /// Closes the connection and all its channels.
    fn close(&mut self);
}

/// A data channel: reliable, ordered, of messages. Dropping it closes it.
pub trait Channel: Send + Unpin + 'static {
    /// Queues one message, open or not yet: a channel that is connecting sends it when it is open.
    ///
    /// # Errors
    /// [`RtcError`] when the channel is closed or its buffer is full.
    fn send(&mut self, message: &[u8]) -> Result<(), RtcError>;

    /// Bytes that wait to be sent.
    fn buffered(&self) -> usize;

    /// The next event, in the order of their coming. After [`ChannelEvent::Closed`] or [`ChannelEvent::Overflow`] there
    /// is none.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ChannelEvent>;

    /// Closes the channel. What was sent before still goes out.
    fn close(&mut self);
}

/// Which of the two descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The initiator's.
    Offer,
    /// The other's.
    Answer,
}

/// How a peer connection is doing, as `RTCPeerConnection.connectionState` names it. `connecting` and `new` are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Traffic flows.
    Connected,
    /// No traffic for now. It may come back.
    Disconnected,
    /// Gone for good: by ICE, by DTLS or by SCTP.
    Failed,
    /// Closed, by either side.
    Closed,
}

/// What a peer connection tells.
#[derive(Debug)]
pub enum PeerEvent<C> {
    /// The description that was asked for.
    Described(String),
    /// The local description is in place.
    LocalSet,
    /// The remote description is in place.
    RemoteSet,
    /// A local candidate, for the remote.
    Candidate(Candidate),
    /// A new state.
    State(State),
    /// The remote has opened a channel.
    Channel {
        /// Its label, at most 256 bytes of it.
        label: String,
        /// The channel, whose events are kept from its first on.
        channel: C,
    },
    /// A command failed. The connection is of no more use.
    Failed(RtcError),
}

/// What a channel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// It is open. Told once, before any message, also by channels that were open when they came.
    Open,
    /// A message.
    Message(Bytes),
    /// The send buffer has fallen to [`LOW_WATER`].
    Low,
    /// Closed by either side, or with the connection.
    Closed,
    /// More than [`MAX_UNREAD`] bytes were not read; they are gone, and so is what comes later. Comes before anything else.
    /// The channel has to be closed; something may be sent before.
    Overflow,
}

/// An ICE candidate, as `RTCIceCandidate.toJSON()` gives it and `/webrtc-signaling` carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The candidate line, `candidate:…`.
    pub candidate: String,
    /// The media section it belongs to, by name.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// The media section it belongs to, by number.
    #[serde(default)]
    pub sdp_m_line_index: Option<u16>,
    /// The ICE user name it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// Why WebRTC did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcError {
    /// There is no WebRTC here: no `RTCPeerConnection`.
    #[error("no WebRTC here: {0}")]
    Absent(String),
    /// The page, or the connection, has no room for one more.
    #[error("no room for more: {0}")]
    Full(String),
    /// Closed already.
    #[error("closed")]
    Closed,
    /// Anything else that the implementation says.
    #[error("{0}")]
    Failed(String),
}

mod absent;
#[cfg(any(test, feature = "memory"))]
pub mod memory;

#[cfg(target_arch = "wasm32")]
pub mod web;

pub use absent::Absent;
