//! A stream in memory, with a reset when an end is dropped without being closed.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite};

/// Bytes under way in each direction.
const ROOM: usize = 64 * 1024;

/// One end.
pub(super) struct Pipe {
    from: Arc<Mutex<Way>>,
    to: Arc<Mutex<Way>>,
}

#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    closed: bool,
    reset: bool,
    wakers: Vec<Waker>,
}

/// Both ends.
pub(super) fn pipe() -> (Pipe, Pipe) {
    let (one, other) = (Arc::default(), Arc::default());
    (Pipe { from: Arc::clone(&one), to: Arc::clone(&other) }, Pipe { from: other, to: one })
}

fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Way {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut from = lock(&self.from);
        if from.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if from.bytes.is_empty() && !from.closed {
            return from.wait(cx);
        }
        let count = into.len().min(from.bytes.len());
        for (place, byte) in into.iter_mut().zip(from.bytes.drain(..count)) {
            *place = byte;
        }
        from.wake();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut to = lock(&self.to);
        if to.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = bytes.len().min(ROOM - to.bytes.len());
        if count == 0 {
            return to.wait(cx);
        }
        to.bytes.extend(&bytes[..count]);
        to.wake();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut to = lock(&self.to);
        to.closed = true;
        to.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let finished = lock(&self.to).closed;
        for way in [&self.to, &self.from] {
            let mut way = lock(way);
            way.reset |= !finished;
            way.wake();
        }
    }
}
