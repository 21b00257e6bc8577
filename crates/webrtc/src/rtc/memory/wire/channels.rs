//! The channels: what waits in them, and what arrives.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::super::super::{ChannelEvent, LOW_WATER, MAX_EARLY, MAX_UNREAD, MESSAGE_OVERHEAD, PeerEvent, RtcError};
use super::super::{MAX_BUFFERED, MAX_MESSAGE};
use super::{Link, PeerEnd, Wire};

#[derive(Debug)]
pub(super) struct ChannelEnd {
    pub(super) peer: u64,
    label: String,
    /// The other end, from when the remote knows of the channel.
    other: Option<u64>,
    outbox: VecDeque<Bytes>,
    buffered: usize,
    /// To be closed once the outbox is empty.
    closing: bool,
    pub(super) closed: bool,
    /// Nobody holds this end any more.
    dropped: bool,
    inbox: VecDeque<ChannelEvent>,
    unread: usize,
    waker: Option<Waker>,
}

impl ChannelEnd {
    fn new(peer: u64, label: &str, other: Option<u64>) -> Self {
        Self {
            peer,
            label: label.to_owned(),
            other,
            outbox: VecDeque::new(),
            buffered: 0,
            closing: false,
            closed: false,
            dropped: false,
            inbox: VecDeque::new(),
            unread: 0,
            waker: None,
        }
    }
}

impl Wire {
    pub(in super::super) fn create_channel(&mut self, id: u64, label: &str) -> Result<u64, RtcError> {
        let peer = self.peers.get(&id).ok_or(RtcError::Closed)?;
        if matches!(peer.link, Link::Failed | Link::Closed) {
            return Err(RtcError::Closed);
        }
        self.next_id += 1;
        let channel = self.next_id;
        self.channels.insert(channel, ChannelEnd::new(id, label, None));
        if self.gather_early {
            self.gather(id);
        }
        self.flush_unless_held(channel);
        Ok(channel)
    }

    pub(in super::super) fn send(&mut self, id: u64, message: &[u8]) -> Result<(), RtcError> {
        let end = self.channels.get_mut(&id).ok_or(RtcError::Closed)?;
        if end.closed || end.closing {
            return Err(RtcError::Closed);
        }
        if message.len() > MAX_MESSAGE {
            return Err(RtcError::Failed("too big a message".into()));
        }
        if end.buffered + message.len() > MAX_BUFFERED {
            return Err(RtcError::Full("send buffer".into()));
        }
        end.outbox.push_back(Bytes::copy_from_slice(message));
        end.buffered += message.len();
        self.flush_unless_held(id);
        Ok(())
    }

    pub(in super::super) fn buffered(&self, id: u64) -> usize {
        self.channels.get(&id).map_or(0, |end| end.buffered)
    }

    pub(in super::super) fn poll_channel(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<ChannelEvent> {
        let Some(end) = self.channels.get_mut(&id) else { return Poll::Pending };
        let Some(event) = end.inbox.pop_front() else {
            end.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let ChannelEvent::Message(message) = &event {
            end.unread -= message.len() + MESSAGE_OVERHEAD;
        }
        Poll::Ready(event)
    }

    pub(in super::super) fn close_channel(&mut self, id: u64) {
        let Some(end) = self.channels.get_mut(&id) else { return };
        end.closing = true;
        if end.other.is_none() && end.outbox.is_empty() {
            // The remote never hears of it.
            self.end(id, ChannelEvent::Closed);
        } else {
            self.flush_unless_held(id);
        }
    }

    pub(in super::super) fn remove_channel(&mut self, id: u64) {
        if let Some(end) = self.channels.get_mut(&id) {
            end.dropped = true;
            end.inbox.clear();
            self.close_channel(id);
            self.forget(id);
        }
    }

    /// An end that nobody holds is kept until what it has sent has arrived.
    fn forget(&mut self, id: u64) {
        if self.channels.get(&id).is_some_and(|end| end.dropped && end.closed) {
            self.channels.remove(&id);
        }
    }

    pub(super) fn flush_unless_held(&mut self, id: u64) {
        if !self.held {
            self.flush_channel(id, usize::MAX);
        }
    }

    /// Lets what waits in one channel through, at most `messages` of them. Gives how many more might have gone.
    pub(super) fn flush_channel(&mut self, id: u64, messages: usize) -> usize {
        let Some(end) = self.channels.get(&id).filter(|end| !end.closed) else { return messages };
        if self.peers.get(&end.peer).is_none_or(|peer| peer.link != Link::Up) {
            return messages;
        }
        let Some(other) = end.other.or_else(|| self.announce(id)) else { return messages };
        let mut left = messages;
        while left > 0 && self.flush_message(id, other) {
            left -= 1;
        }
        if self.channels.get(&id).is_some_and(|end| end.closing && end.outbox.is_empty()) {
            self.end(other, ChannelEvent::Closed);
            self.end(id, ChannelEvent::Closed);
        }
        left
    }

    /// Makes the remote's end of a channel and tells both that it is open, unless the remote has too many already.
    fn announce(&mut self, id: u64) -> Option<u64> {
        let end = self.channels.get(&id)?;
        let remote = self.peers.get(&end.peer)?.remote?;
        let waiting =
            |peer: &PeerEnd| peer.events.iter().filter(|event| matches!(event, PeerEvent::Channel { .. })).count();
        if self.peers.get(&remote).is_none_or(|peer| waiting(peer) >= MAX_EARLY) {
            self.end(id, ChannelEvent::Closed);
            return None;
        }
        let label: String = end
            .label
            .chars()
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= 256).then_some(c)
            })
            .collect();
        self.next_id += 1;
        let other = self.next_id;
        self.channels.insert(other, ChannelEnd::new(remote, &label, Some(id)));
        if let Some(end) = self.channels.get_mut(&id) {
            end.other = Some(other);
        }
        self.put(other, ChannelEvent::Open);
        self.put(id, ChannelEvent::Open);
        self.tell(remote, PeerEvent::Channel { label, channel: other });
        Some(other)
    }

    /// Lets one message through, if there is one.
    fn flush_message(&mut self, from: u64, to: u64) -> bool {
        let Some(end) = self.channels.get_mut(&from) else { return false };
        let Some(message) = end.outbox.pop_front() else { return false };
        let before = end.buffered;
        end.buffered -= message.len();
        if before > LOW_WATER && end.buffered <= LOW_WATER {
            self.put(from, ChannelEvent::Low);
        }
        let Some(end) = self.channels.get_mut(&to).filter(|end| !end.closed && !end.closing) else { return true };
        end.unread += message.len() + MESSAGE_OVERHEAD;
        if end.unread <= MAX_UNREAD {
            self.put(to, ChannelEvent::Message(message));
        } else {
            end.inbox.clear();
            self.end(to, ChannelEvent::Overflow);
            self.end(from, ChannelEvent::Closed);
        }
        true
    }

    /// Ends one end, with `last` as its last event.
    pub(super) fn end(&mut self, id: u64, last: ChannelEvent) {
        let Some(end) = self.channels.get_mut(&id).filter(|end| !end.closed) else { return };
        end.closed = true;
        end.outbox.clear();
        end.buffered = 0;
        self.put(id, last);
        self.forget(id);
    }

    fn put(&mut self, id: u64, event: ChannelEvent) {
        if let Some(end) = self.channels.get_mut(&id).filter(|end| !end.dropped) {
            end.inbox.push_back(event);
            self.woken.extend(end.waker.take());
        }
    }
}
