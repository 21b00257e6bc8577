//! How much there is, and how much there may be.

use super::Config;

/// Messages and the bytes of their bodies; a count or a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    /// Whether one more of `bytes` stays within `max`.
    pub(super) fn fits(self, bytes: usize, max: Self) -> bool {
        self.messages < max.messages && self.bytes + bytes <= max.bytes
    }

    /// The same, but a single one is always let through.
    pub(super) fn admits(self, bytes: usize, max: Self) -> bool {
        self.messages == 0 || self.fits(bytes, max)
    }

    /// Whether another `more` stays within `max`, or there is nothing.
    pub(super) fn leaves(self, more: Self, max: Self) -> bool {
        self.messages == 0 || (self.messages + more.messages <= max.messages && self.bytes + more.bytes <= max.bytes)
    }
}

impl Config {
    pub(super) fn window(&self) -> Load {
        Load { messages: self.window_messages, bytes: self.window_bytes }
    }

    pub(super) fn outbox(&self) -> Load {
        Load { messages: self.outbox_messages, bytes: self.outbox_bytes }
    }

    pub(super) fn outbox_total(&self) -> Load {
        Load { messages: self.outbox_total_messages, bytes: self.outbox_total_bytes }
    }

    pub(super) fn inbox_total(&self) -> Load {
        Load { messages: self.inbox_total_messages, bytes: self.inbox_total_bytes }
    }
}
