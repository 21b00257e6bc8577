//! What waits to be said to peers: a few messages at a time to each, in order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use mesh_proto::NodeId;

/// Messages to one peer that it has not acknowledged yet. Past it, they wait.
pub(super) const WINDOW: usize = 16;
/// Messages to one peer that wait. Past it, nothing more is said to it.
pub(super) const MAX_WAITING: usize = 64;
/// Their bytes. Entries do not wait here, but only what is said about them.
pub(super) const MAX_WAITING_BYTES: usize = 1024 * 1024;

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    unacknowledged: usize,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<NodeId, Box<Lane>>,
    outputs: VecDeque<(NodeId, Bytes)>,
}

impl Lanes {
    pub(super) fn len(&self) -> usize {
        self.lanes.values().map(|lane| 1 + lane.waiting.len()).sum()
    }

    /// Says something after what waits already. What is too much is not said.
    pub(super) fn say(&mut self, to: NodeId, bytes: Bytes) {
        let lane = self.lanes.entry(to).or_default();
        if lane.waiting.len() < MAX_WAITING && lane.bytes + bytes.len() <= MAX_WAITING_BYTES {
            lane.bytes += bytes.len();
            lane.waiting.push_back(bytes);
            self.flush(to);
        }
    }

    /// A message was taken, or never will be.
    pub(super) fn told(&mut self, to: NodeId) {
        let Some(lane) = self.lanes.get_mut(&to) else { return };
        lane.unacknowledged = lane.unacknowledged.saturating_sub(1);
        self.flush(to);
        if self.lanes.get(&to).is_some_and(|lane| lane.waiting.is_empty() && lane.unacknowledged == 0) {
            self.lanes.remove(&to);
        }
    }

    fn flush(&mut self, to: NodeId) {
        let Some(lane) = self.lanes.get_mut(&to) else { return };
        while lane.unacknowledged < WINDOW
            && let Some(bytes) = lane.waiting.pop_front()
        {
            lane.bytes -= bytes.len();
            lane.unacknowledged += 1;
            self.outputs.push_back((to, bytes));
        }
    }

    /// Whether the next message goes out at once.
    pub(super) fn is_free(&self, to: &NodeId) -> bool {
        self.lanes.get(to).is_none_or(|lane| lane.waiting.is_empty() && lane.unacknowledged < WINDOW)
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self, to: &NodeId) -> bool {
        self.lanes.get(to).is_none_or(|lane| lane.waiting.is_empty())
    }

    pub(super) fn remove(&mut self, to: &NodeId) {
        self.lanes.remove(to);
    }

    pub(super) fn poll_output(&mut self) -> Option<(NodeId, Bytes)> {
        self.outputs.pop_front()
    }
}
