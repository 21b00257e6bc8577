//! Messages in and out of the signalling stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asynchronous_codec::Framed;
use futures::{AsyncRead, AsyncWrite, Sink as _, Stream as _};

use crate::signalling::codec::{Codec, CodecError, Message, Received};
use crate::signalling::machine::Input;

/// The stream. Dropping it without its having closed resets it.
pub(super) struct Wire<S> {
    framed: Framed<S, Codec>,
    /// What is to be written. The machine bounds it: a description and its candidates.
    unsent: VecDeque<Message>,
    reading: bool,
    writing: Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    /// To be closed when all is written.
    Closing,
    /// Closed or broken, and told.
    Shut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { framed: Framed::new(stream, Codec), unsent: VecDeque::new(), reading: true, writing: Writing::Open }
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: Message) {
        self.unsent.push_back(message);
    }

    /// Closes our half when all is written. Told as [`Input::StreamClosed`].
    pub(super) fn close(&mut self) {
        self.writing = Writing::Closing;
    }

    /// Writes what can be written, then reads.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        match self.writing {
            Writing::Open => {
                if let Poll::Ready(Err(error)) = self.poll_unsent(cx) {
                    return Poll::Ready(self.broken(error));
                }
            }
            Writing::Closing => {
                if let Poll::Ready(result) = self.poll_close(cx) {
                    self.writing = Writing::Shut;
                    return Poll::Ready(result.map_or_else(|error| self.broken(error), |()| Input::StreamClosed));
                }
            }
            Writing::Shut => {}
        }
        if self.reading { self.poll_read(cx) } else { Poll::Pending }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CodecError>> {
        let mut sink = Pin::new(&mut self.framed);
        while !self.unsent.is_empty() {
            ready!(sink.as_mut().poll_ready(cx))?;
            if let Some(message) = self.unsent.pop_front() {
                sink.as_mut().start_send(message)?;
            }
        }
        sink.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CodecError>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.framed).poll_close(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        Poll::Ready(match ready!(Pin::new(&mut self.framed).poll_next(cx)) {
            Some(Ok(received @ (Received::Message(_) | Received::Passed(_)))) => Input::Received(received),
            Some(Err(error)) => self.broken(error),
            None => {
                self.reading = false;
                Input::Ended
            }
        })
    }

    /// Nothing more is read, and if it is the stream that failed, nothing written.
    fn broken(&mut self, error: CodecError) -> Input {
        self.reading = false;
        match error {
            CodecError::Malformed(malformed) => Input::Malformed(malformed),
            CodecError::Io(kind) => {
                self.writing = Writing::Shut;
                self.unsent.clear();
                Input::Broken(kind)
            }
        }
    }
}
