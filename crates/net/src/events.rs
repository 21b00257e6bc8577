//! The queue between the driver and the application: bounded, and honest about what it dropped.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::Stream;
use mesh_core::node;
use mesh_proto::NodeId;
use mesh_proto::transfer::Manifest;

/// Events that wait for an application that does not pull. Past it, those that can be missed are dropped.
pub const MAX_EVENTS: usize = 16 * 1024;
/// Bytes of broadcasts among them.
pub const MAX_EVENT_BYTES: usize = 32 * 1024 * 1024;

/// What the application pulls.
#[derive(Debug)]
pub enum Event {
    /// What the core has to say.
    Core(node::Event),
    /// Weights have arrived, whole and as their sender described them.
    Weights {
        /// Their sender.
        from: NodeId,
        /// What they are.
        manifest: Arc<Manifest>,
        /// They themselves, compressed as the manifest says, in pieces.
        chunks: Vec<Bytes>,
    },
    /// This many events were dropped before the next one, because they were not pulled.
    Lagged(u64),
}

/// Makes a queue.
pub(crate) fn queue() -> (EventSender, EventStream) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    (EventSender(shared.clone()), EventStream(shared))
}

#[derive(Default)]
struct Shared {
    events: VecDeque<Event>,
    bytes: usize,
    dropped: u64,
    closed: bool,
    puller: Option<Waker>,
}

/// The driver's end.
pub(crate) struct EventSender(Arc<Mutex<Shared>>);

/// The application's end: a stream that ends when the node does.
pub struct EventStream(Arc<Mutex<Shared>>);

impl EventSender {
    /// Queues `event`. When the queue is full, an event that can be missed is dropped and counted.
    pub(crate) fn push(&self, event: Event) {
        let mut shared = lock(&self.0);
        let weight = weight(&event);
        let full = shared.events.len() >= MAX_EVENTS || shared.bytes + weight > MAX_EVENT_BYTES;
        if full && can_be_missed(&event) {
            shared.dropped += 1;
            return;
        }
        shared.bytes += weight;
        shared.events.push_back(event);
        if let Some(puller) = shared.puller.take() {
            puller.wake();
        }
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.closed = true;
        if let Some(puller) = shared.puller.take() {
            puller.wake();
        }
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut shared = lock(&self.0);
        if shared.dropped > 0 {
            return Poll::Ready(Some(Event::Lagged(std::mem::take(&mut shared.dropped))));
        }
        if let Some(event) = shared.events.pop_front() {
            shared.bytes -= weight(&event);
            return Poll::Ready(Some(event));
        }
        if shared.closed {
            return Poll::Ready(None);
        }
        shared.puller = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Direct messages are bounded by their windows, weights by what the node takes in; both were promised.
fn can_be_missed(event: &Event) -> bool {
    !matches!(event, Event::Core(node::Event::Message(_)) | Event::Weights { .. })
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Core(node::Event::Broadcast { body, topic, .. }) => body.len() + topic.len(),
        Event::Core(_) | Event::Weights { .. } | Event::Lagged(_) => 0,
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::executor::block_on;
    use mesh_core::node::Incoming;
    use mesh_proto::{Hlc, direct};

    use super::*;

    const PEER: NodeId = NodeId([1; 32]);

    fn broadcast(len: usize) -> Event {
        Event::Core(node::Event::Broadcast {
            from: PEER,
            seq: (1, 0),
            clock: Hlc::at(0),
            topic: String::new(),
            body: vec![0; len].into(),
        })
    }

    fn message(number: u64) -> Event {
        Event::Core(node::Event::Message(Incoming {
            from: PEER,
            session: 1,
            message: direct::Message {
                number,
                from: None,
                to: None,
                body: Bytes::new(),
                reader: direct::Reader::Application,
            },
        }))
    }

    #[test]
    fn a_full_queue_drops_broadcasts_says_how_many_and_keeps_messages() {
        let (sender, mut stream) = queue();
        for _ in 0..MAX_EVENTS + 5 {
            sender.push(broadcast(1));
        }
        sender.push(message(7));
        drop(sender);
        assert!(matches!(block_on(stream.next()), Some(Event::Lagged(5))));
        let rest: Vec<_> = block_on(stream.collect());
        assert_eq!(rest.len(), MAX_EVENTS + 1);
        assert!(matches!(rest.last(), Some(Event::Core(node::Event::Message(_)))));
    }

    #[test]
    fn bytes_are_bounded_at_the_limit_and_one_past() {
        let (sender, mut stream) = queue();
        sender.push(broadcast(MAX_EVENT_BYTES));
        sender.push(broadcast(1));
        assert!(matches!(block_on(stream.next()), Some(Event::Lagged(1))));
        assert!(matches!(block_on(stream.next()), Some(Event::Core(_))));
        sender.push(broadcast(1));
        assert!(matches!(block_on(stream.next()), Some(Event::Core(_))));
    }
}
