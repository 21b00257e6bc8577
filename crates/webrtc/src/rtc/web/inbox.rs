//! Events from JavaScript's callbacks to whoever polls.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A queue with one reader. Its clones write.
#[derive(Debug)]
pub(super) struct Inbox<E>(Rc<RefCell<Inner<E>>>);

#[derive(Debug)]
struct Inner<E> {
    events: VecDeque<E>,
    /// Nothing is taken in after the last event.
    ended: bool,
    reader: Option<Waker>,
}

impl<E> Inbox<E> {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(Inner { events: VecDeque::new(), ended: false, reader: None })))
    }

    pub(super) fn tell(&self, event: E) {
        self.push(event, false);
    }

    /// Tells the last event.
    pub(super) fn end(&self, event: E) {
        self.push(event, true);
    }

    /// Tells the last event, and nothing of what waits before it.
    pub(super) fn end_at_once(&self, event: E) {
        let waiting = std::mem::take(&mut self.0.borrow_mut().events);
        // What an event holds may write to an inbox when it goes.
        drop(waiting);
        self.push(event, true);
    }

    fn push(&self, event: E, last: bool) {
        let reader = {
            let inner = &mut *self.0.borrow_mut();
            if inner.ended {
                return;
            }
            inner.events.push_back(event);
            inner.ended = last;
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<E> {
        let inner = &mut *self.0.borrow_mut();
        match inner.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn count(&self, which: impl Fn(&E) -> bool) -> usize {
        self.0.borrow().events.iter().filter(|event| which(event)).count()
    }
}

impl<E> Clone for Inbox<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
