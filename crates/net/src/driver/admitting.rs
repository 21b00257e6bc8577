//! Streams of a private mesh, and what waits for them.

use libp2p::{Stream, StreamProtocol};
use mesh_proto::credential::Frame;

use super::*;
use crate::admit;

/// Streams of one neighbour that wait until it has shown who it is. One past it is reset.
const MAX_EARLY: usize = 8;

impl<H: Host> Driver<H> {
    /// Shows a neighbour who we are. After the proof nothing more is said on that stream.
    pub(super) fn show(&mut self, to: NodeId, frame: Frame) {
        let last = matches!(frame, Frame::Proof(_) | Frame::Revoked(_));
        let open = self.showing.remove(&to).filter(|frames| !frames.is_closed());
        let Some(mut frames) = open.or_else(|| self.open_showing(to)) else { return };
        // One that is full has broken, and tells so.
        if frames.try_send(frame).is_ok() && !last {
            self.showing.insert(to, frames);
        }
    }

    fn open_showing(&mut self, to: NodeId) -> Option<mpsc::Sender<Frame>> {
        let opening = self.swarm.behaviour_mut().streams.open(peer_of(&to)?, admit::AUTH);
        let (frames, queue) = mpsc::channel(admit::QUEUE_LEN);
        mesh_platform::spawn(admit::show(opening, to, queue, self.reports.clone()));
        Some(frames)
    }

    pub(super) fn on_admission_stream(&mut self, from: NodeId, protocol: &StreamProtocol, stream: Stream) {
        if !self.may_serve(from) {
            return;
        }
        let reports = self.reports.clone();
        match *protocol == admit::AUTH {
            true => mesh_platform::spawn(admit::read(stream, from, reports)),
            false => mesh_platform::spawn(admit::answer(stream, from, reports)),
        }
    }

    /// Keeps a stream until its peer has shown who it is: what it shows takes another one, and may come later.
    pub(super) fn keep_early(&mut self, from: NodeId, inbound: Inbound) {
        let early = self.early.entry(from).or_default();
        if early.len() < MAX_EARLY {
            early.push(inbound);
        }
    }

    /// A neighbour is in.
    pub(super) fn admit(&mut self, node: NodeId, now: Now) {
        if let Some(peer) = peer_of(&node) {
            self.swarm.behaviour_mut().gossipsub.admit(peer);
            self.swarm.behaviour_mut().bitswap.admit(peer);
            self.may_ask(peer, now);
        }
        for inbound in self.early.remove(&node).unwrap_or_default() {
            self.on_stream(inbound);
        }
    }

    /// What was issued may be given away, or not.
    pub(super) fn settle(&mut self, write: u64, durable: bool) {
        self.settled = (write, durable);
        let later = self.waiting.writes.split_off(&(write + 1));
        for reply in std::mem::replace(&mut self.waiting.writes, later).into_values().flatten() {
            let _ = reply.send(durable);
        }
    }

    /// Waits until what was issued with this write may be given away.
    pub(super) fn await_write(&mut self, write: u64, reply: Reply<bool>) {
        let (settled, durable) = self.settled;
        if write <= settled {
            let _ = reply.send(durable);
        } else {
            self.waiting.writes.entry(write).or_default().push(reply);
        }
    }
}
