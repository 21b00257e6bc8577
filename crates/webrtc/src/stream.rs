//! A stream over a data channel: [`Machine`](machine::Machine) says what to do, the rest of this module does it.
//!
//! Each stream is driven from two sides. Who holds the [`Stream`] drives it while reading and writing. Its [`Driver`],
//! which the muxer polls, does so all the time, so that flags are answered, time limits are kept and bytes are counted
//! also while nobody reads, and after the stream was dropped.

mod driver;
pub mod machine;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

use crate::rtc::Channel;
use driver::Shared;
pub(crate) use driver::{Driver, Totals};
pub use driver::{MAX_LINGERING, MAX_TOTAL_UNREAD};
use machine::{Input, StreamError};

/// A stream of bytes each way. Dropping one that was not closed resets it.
#[derive(Debug)]
pub struct Stream<C: Channel> {
    shared: Arc<Shared<C>>,
    /// Whether it was closed for writing.
    closed: bool,
}

impl<C: Channel> Stream<C> {
    /// A stream over `channel`, and what drives it.
    pub(crate) fn new(channel: C, totals: Arc<Totals>) -> (Self, Driver<C>) {
        let shared = Arc::new(Shared::new(channel, totals));
        (Self { shared: Arc::clone(&shared), closed: false }, Driver::new(shared))
    }
}

impl<C: Channel> AsyncRead for Stream<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.shared.wakers.read.register(cx.waker());
        self.shared.drive(|half| half.machine.read(into)).map_err(io::Error::from)
    }
}

impl<C: Channel> AsyncWrite for Stream<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.wakers.write.register(cx.waker());
        self.shared.drive(|half| half.machine.write(bytes, half.buffered())).map_err(io::Error::from)
    }

    /// What was written has been handed to the channel already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.shared.drive(|half| half.machine.error().cloned()).map_or(Ok(()), |error| Err(error.into())))
    }

    /// Ready when `FIN` has been handed to the channel. The driver waits for the answer.
    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.shared.drive(|half| half.handle(Input::Finish));
            if let Some(error) = self.shared.drive(|half| half.machine.error().cloned()) {
                return Poll::Ready(Err(error.into()));
            }
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: Channel> Drop for Stream<C> {
    fn drop(&mut self) {
        self.shared.let_go();
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Finished | StreamError::Stopped => io::ErrorKind::BrokenPipe,
            StreamError::Reset => io::ErrorKind::ConnectionReset,
            StreamError::Lost => io::ErrorKind::ConnectionAborted,
            StreamError::Overflow => io::ErrorKind::OutOfMemory,
            StreamError::Malformed(_) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
