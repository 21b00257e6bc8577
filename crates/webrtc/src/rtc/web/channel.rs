//! `RTCDataChannel`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::Closure;

use super::super::{ChannelEvent, HIGH_WATER, LOW_WATER, MAX_UNREAD, MESSAGE_OVERHEAD, RtcError};
use super::inbox::Inbox;
use super::{failed, js};

/// A data channel.
#[derive(Debug)]
pub struct Channel(SendWrapper<Inner>);

#[derive(Debug)]
struct Inner {
    channel: js::DataChannel,
    shared: Rc<Shared>,
    /// What the channel's events call; detached before they go.
    _handlers: [Closure<dyn FnMut(js::Event)>; 4],
}

#[derive(Debug)]
struct Shared {
    inbox: Inbox<ChannelEvent>,
    unread: Cell<usize>,
    /// Messages that were sent before the channel was open.
    early: RefCell<Option<VecDeque<Vec<u8>>>>,
    closed: Cell<bool>,
}

impl Channel {
    /// Takes over `channel`. To be called in the same turn in which the channel was made or told of: messages that come
    /// before its handlers are attached are lost.
    pub(super) fn new(channel: js::DataChannel) -> Self {
        channel.set_binary_type("arraybuffer");
        channel.set_buffered_amount_low_threshold(LOW_WATER as f64);
        let shared = Rc::new(Shared {
            inbox: Inbox::new(),
            unread: Cell::new(0),
            early: RefCell::new(Some(VecDeque::new())),
            closed: Cell::new(false),
        });
        let handlers = handlers(&channel, &shared);
        let [open, message, low, close] = &handlers;
        channel.set_onopen(Some(open.as_ref().unchecked_ref()));
        channel.set_onmessage(Some(message.as_ref().unchecked_ref()));
        channel.set_onbufferedamountlow(Some(low.as_ref().unchecked_ref()));
        channel.set_onclose(Some(close.as_ref().unchecked_ref()));
        match channel.ready_state().as_string().as_deref() {
            Some("open") => shared.opened(&channel),
            Some("closing" | "closed") => shared.ended(ChannelEvent::Closed),
            Some(_) | None => {}
        }
        Self(SendWrapper::new(Inner { channel, shared, _handlers: handlers }))
    }
}

/// Handlers of `open`, `message`, `bufferedamountlow` and `close`.
fn handlers(channel: &js::DataChannel, shared: &Rc<Shared>) -> [Closure<dyn FnMut(js::Event)>; 4] {
    let open = Closure::new({
        // Held by the channel that it holds: broken up when the handlers are detached.
        let (channel, shared) = (channel.clone(), shared.clone());
        move |_| shared.opened(&channel)
    });
    let message = Closure::new({
        let (channel, shared) = (channel.clone(), shared.clone());
        move |event: js::Event| shared.arrived(&channel, &event)
    });
    let low = Closure::new({
        let shared = shared.clone();
        move |_| shared.inbox.tell(ChannelEvent::Low)
    });
    let close = Closure::new({
        let shared = shared.clone();
        move |_| shared.ended(ChannelEvent::Closed)
    });
    [open, message, low, close]
}

impl Shared {
    fn opened(&self, channel: &js::DataChannel) {
        let Some(early) = self.early.take() else {
            return;
        };
        self.inbox.tell(ChannelEvent::Open);
        for message in early {
            if channel.send(&message).is_err() {
                return self.ended(ChannelEvent::Closed);
            }
        }
    }

    fn arrived(&self, channel: &js::DataChannel, event: &js::Event) {
        // A text message is no part of any protocol here.
        let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() else {
            let _ = channel.close_channel();
            return self.ended(ChannelEvent::Closed);
        };
        // Some implementations tell of messages first.
        self.opened(channel);
        let unread = self.unread.get() + buffer.byte_length() as usize + MESSAGE_OVERHEAD;
        if unread > MAX_UNREAD {
            // Not closed yet: the remote is to be told, which takes less long than closing does.
            return self.inbox.end_at_once(ChannelEvent::Overflow);
        }
        self.unread.set(unread);
        self.inbox.tell(ChannelEvent::Message(Bytes::from(Uint8Array::new(&buffer).to_vec())));
    }

    fn ended(&self, event: ChannelEvent) {
        self.closed.set(true);
        self.inbox.end(event);
    }
}

impl super::super::Channel for Channel {
    fn send(&mut self, message: &[u8]) -> Result<(), RtcError> {
        let Inner { channel, shared, .. } = &*self.0;
        if shared.closed.get() {
            return Err(RtcError::Closed);
        }
        if let Some(early) = &mut *shared.early.borrow_mut() {
            let waiting: usize = early.iter().map(Vec::len).sum();
            if waiting >= HIGH_WATER {
                return Err(RtcError::Full("the channel is not open yet".to_owned()));
            }
            early.push_back(message.to_vec());
            return Ok(());
        }
        channel.send(message).map_err(failed)
    }

    fn buffered(&self) -> usize {
        let Inner { channel, shared, .. } = &*self.0;
        match &*shared.early.borrow() {
            Some(early) => early.iter().map(Vec::len).sum(),
            None => channel.buffered_amount() as usize,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ChannelEvent> {
        let shared = &self.0.shared;
        let event = futures::ready!(shared.inbox.poll(cx));
        if let ChannelEvent::Message(message) = &event {
            shared.unread.set(shared.unread.get() - message.len() - MESSAGE_OVERHEAD);
        }
        Poll::Ready(event)
    }

    fn close(&mut self) {
        let Inner { channel, shared, .. } = &*self.0;
        let _ = channel.close_channel();
        shared.ended(ChannelEvent::Closed);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let channel = &self.0.channel;
        channel.set_onopen(None);
        channel.set_onmessage(None);
        channel.set_onbufferedamountlow(None);
        channel.set_onclose(None);
        let _ = channel.close_channel();
    }
}
