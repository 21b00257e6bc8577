//! A channel with its machine, and what keeps them going while nobody uses the stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use super::machine::{Input, Machine, Output};
use crate::clock::{self, Timer};
use crate::rtc::{Channel, ChannelEvent};

/// Unread bytes, counted as [`MAX_UNREAD`](crate::rtc::MAX_UNREAD) counts them, of all streams of a connection together.
/// The stream whose bytes go past it is reset.
pub const MAX_TOTAL_UNREAD: usize = 32 * 1024 * 1024;

/// Streams of a connection that were closed and dropped and whose `FIN_ACK` is awaited. Past it their channels are closed
/// without waiting: what was sent goes out all the same, we only do not know that it came.
pub const MAX_LINGERING: usize = 128;

/// What the streams of one connection share.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    unread: AtomicUsize,
    lingering: AtomicUsize,
}

impl Totals {
    /// What the unread bytes count.
    #[cfg(test)]
    pub(super) fn unread(&self) -> usize {
        self.unread.load(Relaxed)
    }

    /// Streams that were dropped and are not over.
    pub(crate) fn lingering(&self) -> usize {
        self.lingering.load(Relaxed)
    }
}

/// What a stream and its driver share.
#[derive(Debug)]
pub(super) struct Shared<C> {
    half: Mutex<Half<C>>,
    pub(super) wakers: Arc<Wakers>,
}

/// Who waits for the channel: a channel wakes only one, and each of these may be in another task.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    pub(super) read: AtomicWaker,
    pub(super) write: AtomicWaker,
    driver: AtomicWaker,
}

impl Wakers {
    fn wake_user(&self) {
        self.read.wake();
        self.write.wake();
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_user();
        self.driver.wake();
    }
}

/// A channel with its machine.
#[derive(Debug)]
pub(super) struct Half<C> {
    /// `None` once the stream is over.
    channel: Option<C>,
    pub(super) machine: Machine,
    totals: Arc<Totals>,
    /// The part of [`Totals::unread`] that is this stream's.
    counted: usize,
    lingering: bool,
}

impl<C: Channel> Shared<C> {
    pub(super) fn new(channel: C, totals: Arc<Totals>) -> Self {
        let half = Half { channel: Some(channel), machine: Machine::default(), totals, counted: 0, lingering: false };
        Self { half: Mutex::new(half), wakers: Arc::default() }
    }

    /// Takes in what the channel tells, lets `act` act, and does what the machine then wants. Of what the channel tells it
    /// wakes everybody by itself; of a change that `act` has made they are told here.
    pub(super) fn drive<R>(&self, act: impl FnOnce(&mut Half<C>) -> R) -> R {
        let mut half = self.lock();
        let before = (half.machine.poll_timeout(), half.machine.is_over());
        half.pump(&self.wakers);
        let result = act(&mut half);
        half.settle();
        let changed = before != (half.machine.poll_timeout(), half.machine.is_over());
        drop(half);
        if changed {
            self.wakers.wake_by_ref();
        }
        result
    }

    /// The user has let go of the stream.
    pub(super) fn let_go(&self) {
        self.drive(|half| {
            half.handle(Input::Drop);
            if half.machine.is_over() {
                return;
            }
            if half.totals.lingering.fetch_add(1, Relaxed) < MAX_LINGERING {
                half.lingering = true;
            } else {
                half.totals.lingering.fetch_sub(1, Relaxed);
                half.cut_off();
            }
        });
        // The muxer may wait for there to be fewer streams in use.
        self.wakers.driver.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Half<C>> {
        self.half.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Channel> Half<C> {
    pub(super) fn handle(&mut self, input: Input) {
        self.machine.handle(input, clock::now());
        self.settle();
    }

    /// Bytes in the channel's send buffer.
    pub(super) fn buffered(&self) -> usize {
        self.channel.as_ref().map_or(0, Channel::buffered)
    }

    /// Takes in all that the channel tells now.
    fn pump(&mut self, wakers: &Arc<Wakers>) {
        let waker = Waker::from(Arc::clone(wakers));
        let mut cx = Context::from_waker(&waker);
        while let Some(channel) = &mut self.channel
            && let Poll::Ready(event) = channel.poll(&mut cx)
        {
            self.handle(Input::Channel(event));
        }
    }

    /// Does what the machine wants and counts what it holds.
    fn settle(&mut self) {
        self.obey();
        self.count();
        if self.totals.unread.load(Relaxed) > MAX_TOTAL_UNREAD && self.counted > 0 && !self.machine.is_over() {
            self.machine.handle(Input::Channel(ChannelEvent::Overflow), clock::now());
            self.obey();
            self.count();
        }
        if self.machine.is_over() && std::mem::take(&mut self.lingering) {
            self.totals.lingering.fetch_sub(1, Relaxed);
        }
    }

    fn obey(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let Some(channel) = &mut self.channel else { continue };
            match output {
                Output::Send(frame) => {
                    if channel.send(&frame).is_err() {
                        self.cut_off();
                    }
                }
                Output::Close => channel.close(),
            }
        }
        if self.machine.is_over() {
            self.channel = None;
        }
    }

    fn count(&mut self) {
        let weight = self.machine.weight();
        self.totals.unread.fetch_add(weight, Relaxed);
        self.totals.unread.fetch_sub(std::mem::replace(&mut self.counted, weight), Relaxed);
    }

    /// Closes the channel without a word.
    fn cut_off(&mut self) {
        if let Some(mut channel) = self.channel.take() {
            channel.close();
        }
        self.machine.handle(Input::Channel(ChannelEvent::Closed), clock::now());
    }
}

/// Keeps a stream going until it is over. Dropped before, it takes the stream along.
#[derive(Debug)]
pub(crate) struct Driver<C: Channel> {
    shared: Arc<Shared<C>>,
    timer: Timer,
}

impl<C: Channel> Driver<C> {
    pub(super) fn new(shared: Arc<Shared<C>>) -> Self {
        Self { shared, timer: Timer::default() }
    }
}

impl<C: Channel> Future for Driver<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, timer } = &mut *self;
        shared.wakers.driver.register(cx.waker());
        loop {
            let mut half = shared.lock();
            half.pump(&shared.wakers);
            let (over, deadline) = (half.machine.is_over(), half.machine.poll_timeout());
            drop(half);
            if over {
                return Poll::Ready(());
            }
            if timer.poll(deadline, cx).is_pending() {
                return Poll::Pending;
            }
            let mut half = shared.lock();
            half.machine.handle_timeout(clock::now());
            half.settle();
            drop(half);
            shared.wakers.wake_user();
        }
    }
}

impl<C: Channel> Drop for Driver<C> {
    fn drop(&mut self) {
        let mut half = self.shared.lock();
        if !half.machine.is_over() {
            half.cut_off();
            half.settle();
        }
        drop(half);
        // A channel that is gone tells nobody.
        self.shared.wakers.wake_user();
    }
}
