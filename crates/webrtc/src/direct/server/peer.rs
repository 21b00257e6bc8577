//! The traits of [`rtc`](crate::rtc) over a [`Connection`].

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use str0m::channel::ChannelId;
use tokio::time::Sleep;

use super::connection::{Connection, Told};
use crate::clock::now;
use crate::direct::fingerprint::Fingerprint;
use crate::rtc::{self, Candidate, ChannelEvent, Kind, PeerEvent, RtcError};

/// A connection that came in. Descriptions have no meaning for it: each side has made up the other's.
#[derive(Debug)]
pub struct Peer {
    connection: Arc<Connection>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// One of its channels. Dropping one closes it, except for one that both sides made by its id: that is for who dialled
/// to close, because libraries differ in what they make of its id before both have.
#[derive(Debug)]
pub struct Channel {
    connection: Arc<Connection>,
    id: ChannelId,
    negotiated: bool,
}

impl Peer {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, timer: None }
    }

    /// The certificate that the remote has shown, once connected.
    pub(super) fn remote_fingerprint(&self) -> Option<Fingerprint> {
        let mut inner = self.connection.lock();
        let shown = inner.rtc.direct_api().remote_dtls_fingerprint().map(|shown| shown.bytes.clone())?;
        Some(Fingerprint::new(shown.try_into().ok()?))
    }

    /// The remote has proved who it is: it is trusted with as much memory as other members.
    pub(super) fn proved(&self) {
        self.connection.lock().proved = true;
    }

    /// How many channels wait for the remote to close them.
    #[cfg(test)]
    pub(super) fn lingering(&self) -> usize {
        self.connection.lock().lingering.len()
    }

    fn channel(&self, id: ChannelId, negotiated: bool) -> Channel {
        Channel { connection: Arc::clone(&self.connection), id, negotiated }
    }

    /// Sees to it that the task comes by when it is `due`.
    fn set_timer(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        // One that is early does no harm and is not set again for each datagram.
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

impl rtc::Peer for Peer {
    type Channel = Channel;

    fn create_channel(&mut self, label: &str) -> Result<Channel, RtcError> {
        let mut inner = self.connection.lock();
        if inner.over {
            return Err(RtcError::Closed);
        }
        let id = inner.open(label, None);
        drop(inner);
        Ok(self.channel(id, false))
    }

    fn create_negotiated(&mut self, label: &str, id: u16) -> Result<Channel, RtcError> {
        let id = self.connection.lock().open(label, Some(id));
        Ok(self.channel(id, true))
    }

    fn describe(&mut self, _: Kind) {}

    fn set_local(&mut self, _: Kind, _: &str) {}

    fn set_remote(&mut self, _: Kind, _: &str) {}

    fn add_candidate(&mut self, _: &Candidate) {}

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PeerEvent<Channel>> {
        loop {
            let mut inner = self.connection.lock();
            let more = inner.told.is_empty() && inner.work(&self.connection.post);
            if let Some(told) = inner.told.pop_front() {
                drop(inner);
                return Poll::Ready(match told {
                    Told::State(state) => PeerEvent::State(state),
                    Told::Channel(id, label) => PeerEvent::Channel { label, channel: self.channel(id, false) },
                });
            }
            inner.muxer = Some(cx.waker().clone());
            if more {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let due = inner.due.filter(|_| !inner.over);
            drop(inner);
            if self.set_timer(due, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn close(&mut self) {
        self.connection.lock().close(&self.connection.post);
        self.connection.post.doorman().leave(&self.connection.username, now());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        rtc::Peer::close(self);
    }
}

impl rtc::Channel for Channel {
    fn send(&mut self, message: &[u8]) -> Result<(), RtcError> {
        let mut inner = self.connection.lock();
        let slot = inner.slots.get_mut(&self.id).ok_or(RtcError::Closed)?;
        let waited = slot.has_to_send();
        slot.queue(message)?;
        if !waited && slot.is_open() {
            inner.senders.push_back(self.id);
            inner.wake();
        }
        Ok(())
    }

    fn buffered(&self) -> usize {
        self.connection.lock().slots.get(&self.id).map_or(0, |slot| slot.queued)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ChannelEvent> {
        let mut inner = self.connection.lock();
        let Some(slot) = inner.slots.get_mut(&self.id) else { return Poll::Pending };
        let before = slot.unread;
        let event = slot.poll(cx);
        let read = before - slot.unread;
        inner.unread -= read;
        event
    }

    fn close(&mut self) {
        let mut inner = self.connection.lock();
        let Some(slot) = inner.slots.get_mut(&self.id) else { return };
        if slot.close() && !slot.gone {
            inner.leavers.push(self.id);
            inner.wake();
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.negotiated {
            rtc::Channel::close(self);
        }
        let mut inner = self.connection.lock();
        let Some(slot) = inner.slots.get_mut(&self.id) else { return };
        let unread = slot.unread;
        slot.leave();
        let gone = slot.gone;
        inner.unread -= unread;
        if gone {
            inner.forget(self.id);
        }
    }
}
