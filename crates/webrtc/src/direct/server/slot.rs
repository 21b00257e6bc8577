//! What waits on one channel, in either direction.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::rtc::{ChannelEvent, HIGH_WATER, LOW_WATER, MAX_UNREAD, MESSAGE_OVERHEAD, RtcError};

/// Bytes that wait to be sent past which nothing more is taken. Who heeds [`HIGH_WATER`] never gets there.
const MAX_QUEUED: usize = 4 * HIGH_WATER;

/// One channel.
#[derive(Debug, Default)]
pub(super) struct Slot {
    events: VecDeque<ChannelEvent>,
    reader: Option<Waker>,
    /// Of `events`, as [`MAX_UNREAD`] counts.
    pub(super) unread: usize,
    queue: VecDeque<Vec<u8>>,
    pub(super) queued: usize,
    open: bool,
    /// Nothing is told any more.
    ended: bool,
    /// We have closed it.
    closed: bool,
    /// The machine does not know it any more.
    pub(super) gone: bool,
    /// Nobody holds its handle any more.
    pub(super) left: bool,
}

impl Slot {
    fn tell(&mut self, event: ChannelEvent, last: bool) {
        if self.ended || self.left {
            return;
        }
        self.ended = last;
        self.events.push_back(event);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn opened(&mut self) {
        self.open = true;
        self.tell(ChannelEvent::Open, false);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn arrived(&mut self, message: Bytes) {
        if self.ended || self.left {
            return;
        }
        let unread = self.unread + message.len() + MESSAGE_OVERHEAD;
        if unread > MAX_UNREAD {
            self.events.clear();
            self.unread = 0;
            return self.tell(ChannelEvent::Overflow, true);
        }
        self.unread = unread;
        self.tell(ChannelEvent::Message(message), false);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ChannelEvent> {
        let Some(event) = self.events.pop_front() else {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let ChannelEvent::Message(message) = &event {
            self.unread -= message.len() + MESSAGE_OVERHEAD;
        }
        Poll::Ready(event)
    }

    /// The machine does not know the channel any more.
    pub(super) fn gone(&mut self) {
        self.gone = true;
        self.discard();
        self.tell(ChannelEvent::Closed, true);
    }

    /// We close it: what comes is of no interest, what was sent goes out. Whether it was not closed before.
    pub(super) fn close(&mut self) -> bool {
        self.tell(ChannelEvent::Closed, true);
        !std::mem::replace(&mut self.closed, true)
    }

    /// Nobody reads any more.
    pub(super) fn leave(&mut self) {
        self.left = true;
        self.events.clear();
        self.unread = 0;
        self.reader = None;
    }

    pub(super) fn queue(&mut self, message: &[u8]) -> Result<(), RtcError> {
        if self.gone || self.ended {
            return Err(RtcError::Closed);
        }
        let limit = if self.open { MAX_QUEUED } else { HIGH_WATER };
        if self.queued >= limit {
            return Err(RtcError::Full("too much waits to be sent".to_owned()));
        }
        self.queued += message.len();
        self.queue.push_back(message.to_vec());
        Ok(())
    }

    pub(super) fn has_to_send(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What is to be sent next, once it is open.
    pub(super) fn next_message(&self) -> Option<&[u8]> {
        self.queue.front().filter(|_| self.open).map(Vec::as_slice)
    }

    /// That was sent.
    pub(super) fn sent(&mut self) {
        let before = self.queued;
        self.queued -= self.queue.pop_front().map_or(0, |message| message.len());
        if before > LOW_WATER && self.queued <= LOW_WATER {
            self.tell(ChannelEvent::Low, false);
        }
    }

    /// Nothing more is sent.
    pub(super) fn discard(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(slot: &mut Slot) -> Option<ChannelEvent> {
        match slot.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_not_read_is_bounded_and_counted() {
        let mut slot = Slot::default();
        slot.opened();
        slot.arrived(vec![0; 1000].into());
        assert_eq!(slot.unread, 1000 + MESSAGE_OVERHEAD);
        assert_eq!(next(&mut slot), Some(ChannelEvent::Open));
        assert!(matches!(next(&mut slot), Some(ChannelEvent::Message(_))));
        assert_eq!(slot.unread, 0);
        for _ in 0..2 {
            slot.arrived(vec![0; MAX_UNREAD - MESSAGE_OVERHEAD].into());
        }
        assert_eq!((next(&mut slot), slot.unread), (Some(ChannelEvent::Overflow), 0));
        slot.arrived(vec![0; 10].into());
        assert_eq!(next(&mut slot), None, "nothing after the last");
        assert_eq!(slot.queue(b"reset"), Err(RtcError::Closed));
    }

    #[test]
    fn what_is_not_sent_is_bounded_and_low_is_told_once() {
        let mut slot = Slot::default();
        let message = vec![0; LOW_WATER];
        assert_eq!(slot.next_message(), None);
        while slot.queue(&message).is_ok() {}
        assert_eq!(slot.queued, HIGH_WATER, "not open yet");
        assert_eq!(slot.next_message(), None);
        slot.opened();
        while slot.queue(&message).is_ok() {}
        assert_eq!(slot.queued, MAX_QUEUED);
        while slot.next_message().is_some() {
            slot.sent();
        }
        assert_eq!(slot.queued, 0);
        assert_eq!((next(&mut slot), next(&mut slot)), (Some(ChannelEvent::Open), Some(ChannelEvent::Low)));
        assert_eq!(next(&mut slot), None);
    }

    #[test]
    fn a_channel_that_ended_says_so_after_its_messages() {
        let mut slot = Slot::default();
        slot.opened();
        slot.arrived(Bytes::from_static(b"last"));
        slot.gone();
        assert_eq!(slot.queue(b"no"), Err(RtcError::Closed));
        assert_eq!(next(&mut slot), Some(ChannelEvent::Open));
        assert!(matches!(next(&mut slot), Some(ChannelEvent::Message(_))));
        assert_eq!((next(&mut slot), next(&mut slot)), (Some(ChannelEvent::Closed), None));
    }
}
