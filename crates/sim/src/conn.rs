//! Connections between hosts: reliable streams side by side, as TCP with a muxer, QUIC and WebRTC give them.
//!
//! What cannot get through waits, and goes on a while after it can again, as TCP does. A connection on which nothing gets
//! through for longer than its ends' patience is given up by both.

use crate::frame::Frame;
use crate::id::{HostId, Micros};

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// How long a direct connection of two pages may be silent: WebRTC says that it is disconnected after five seconds,
/// mesh-webrtc gives it up ten after that.
const WEBRTC_PATIENCE: Micros = Micros::from_ms(15_000);

/// How long any other may be: three pings with eight seconds' patience each, three seconds apart (mesh-net's behaviour).
const PING_PATIENCE: Micros = Micros::from_ms(30_000);

/// Bytes that wait on a connection through which nothing gets. What is sent past it is lost with the connection's end, as
/// with a send buffer that is full.
const MAX_STALLED: usize = 1 << 20;

/// Streams that keep their order, and do not wait for each other.
pub(crate) const LANES: usize = 3;

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Who dialled, and who was dialled.
    pub(crate) ends: [HostId; 2],
    /// The relay that carries it.
    pub(crate) relay: Option<HostId>,
    /// Between two that cannot be dialled.
    pub(crate) webrtc: bool,
    /// When the last frame of each lane of each direction arrives.
    pub(crate) arrivals: [[Micros; LANES]; 2],
    /// When the line of each direction is free again.
    pub(crate) free: [Micros; 2],
    /// What waits, by direction, in order.
    pub(crate) stalled: Vec<(usize, Frame)>,
    pub(crate) stalled_len: usize,
    /// Since when nothing gets through.
    pub(crate) silent: Option<Micros>,
}

impl Conn {
    pub(crate) fn new(ends: [HostId; 2], relay: Option<HostId>, webrtc: bool) -> Self {
        Self {
            ends,
            relay,
            webrtc,
            arrivals: Default::default(),
            free: Default::default(),
            stalled: Vec::new(),
            stalled_len: 0,
            silent: None,
        }
    }

    pub(crate) fn other(&self, host: HostId) -> HostId {
        let [a, b] = self.ends;
        if a == host { b } else { a }
    }

    /// The direction in which `from` sends: 0 from whoever dialled.
    pub(crate) fn direction(&self, from: HostId) -> usize {
        usize::from(self.ends[0] != from)
    }

    pub(crate) fn patience(&self) -> Micros {
        if self.webrtc { WEBRTC_PATIENCE } else { PING_PATIENCE }
    }

    pub(crate) fn stall(&mut self, direction: usize, frame: Frame) {
        let len = frame.len();
        if self.stalled_len + len <= MAX_STALLED {
            self.stalled_len += len;
            self.stalled.push((direction, frame));
        }
    }
}

/// All connections. An id is a place that is used once.
#[derive(Debug, Default)]
pub(crate) struct Conns(Vec<Option<Box<Conn>>>);

impl Conns {
    pub(crate) fn add(&mut self, conn: Conn) -> ConnId {
        self.0.push(Some(Box::new(conn)));
        ConnId(self.0.len() as u64 - 1)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.0.get(id.0 as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.0.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.0.get_mut(id.0 as usize)?.take().map(|conn| *conn)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        (0..).map(ConnId).zip(&self.0).filter_map(|(id, conn)| Some((id, conn.as_deref()?)))
    }

    /// Those whose way leads by `host`.
    pub(crate) fn of(&self, host: HostId) -> Vec<ConnId> {
        let by = |conn: &Conn| conn.ends.contains(&host) || conn.relay == Some(host);
        self.iter().filter(|(_, conn)| by(conn)).map(|(id, _)| id).collect()
    }
}
