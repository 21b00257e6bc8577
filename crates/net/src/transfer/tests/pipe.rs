//! A stream in memory, and the faults of real ones.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite};

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fault {
    /// The stream breaks, both ways, when this many bytes have passed.
    pub(super) cut_at: Option<u64>,
    /// The byte at this offset arrives changed.
    pub(super) flip_at: Option<u64>,
}

/// One end of a stream.
pub(super) struct Pipe {
    incoming: Direction,
    outgoing: Direction,
}

/// The two ends of a stream that holds `capacity` bytes each way; `fault` is done to what the first end writes.
pub(super) fn pipe(capacity: usize, fault: Fault) -> (Pipe, Pipe) {
    let [there, back] = [fault, Fault::default()]
        .map(|fault| Direction(Arc::new(Mutex::new(State { capacity, fault, ..State::default() }))));
    let near = Pipe { incoming: back.clone(), outgoing: there.clone() };
    let far = Pipe { incoming: there, outgoing: back };
    (near, far)
}

impl Pipe {
    /// Bytes that this end has written.
    pub(super) fn written(&self) -> Meter {
        Meter(self.outgoing.clone())
    }
}

/// Counts what passes.
pub(super) struct Meter(Direction);

impl Meter {
    pub(super) fn bytes(&self) -> u64 {
        self.0.lock().passed
    }
}

#[derive(Clone)]
struct Direction(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    buffer: VecDeque<u8>,
    capacity: usize,
    fault: Fault,
    passed: u64,
    ended: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }
}

impl State {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.wake();
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.incoming.lock();
        let len = state.buffer.len().min(into.len());
        if len > 0 {
            for (to, from) in into.iter_mut().zip(state.buffer.drain(..len)) {
                *to = from;
            }
            state.wake();
            return Poll::Ready(Ok(len));
        }
        if state.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.ended {
            return Poll::Ready(Ok(0));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.lock();
        if state.broken || state.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let until_cut = state.fault.cut_at.map_or(u64::MAX, |cut| cut.saturating_sub(state.passed));
        if until_cut == 0 {
            state.break_off();
            drop(state);
            self.incoming.lock().break_off();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = (state.capacity - state.buffer.len()) as u64;
        let len = room.min(until_cut).min(from.len() as u64) as usize;
        if len == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (offset, byte) in (state.passed..).zip(&from[..len]) {
            let flip = state.fault.flip_at == Some(offset);
            state.buffer.push_back(byte ^ u8::from(flip));
        }
        state.passed += len as u64;
        state.wake();
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.outgoing.lock();
        state.ended = true;
        state.wake();
        Poll::Ready(Ok(()))
    }
}

/// As with yamux, a stream that is dropped before it is closed is reset, and bytes on their way to it are lost.
impl Drop for Pipe {
    fn drop(&mut self) {
        let mut outgoing = self.outgoing.lock();
        if !outgoing.ended {
            outgoing.break_off();
        }
        drop(outgoing);
        self.incoming.lock().break_off();
    }
}
