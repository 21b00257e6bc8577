//! The one place that reads a clock. The machines are told what time it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_timer::Delay;
use web_time::Instant;

/// The time since this was first asked.
#[allow(clippy::disallowed_methods, reason = "this is the crate's clock; in the browser it is another method")]
pub(crate) fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    now.saturating_duration_since(*START.get_or_init(|| now))
}

/// Now, for [`direct::server`](crate::direct::server), whose library takes no other.
#[cfg(all(feature = "direct-server", not(target_arch = "wasm32")))]
#[allow(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Wakes when a machine's time has come.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<(Duration, Delay)>);

impl Timer {
    /// Ready once it is `deadline`, which may be another one each time. Without one it is never ready.
    pub(crate) fn poll(&mut self, deadline: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.0 = None;
            return Poll::Pending;
        };
        loop {
            let left = deadline.saturating_sub(now());
            if left.is_zero() {
                self.0 = None;
                return Poll::Ready(());
            }
            // A browser's timers have whole milliseconds and may be early.
            let delay = match &mut self.0 {
                Some((set, delay)) if *set == deadline => delay,
                other => &mut other.insert((deadline, Delay::new(left.max(Duration::from_millis(1))))).1,
            };
            match Pin::new(delay).poll(cx) {
                Poll::Ready(()) => self.0 = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_wakes_when_its_time_has_come_and_not_without_one() {
        let mut timer = Timer::default();
        let deadline = now() + Duration::from_millis(5);
        futures::executor::block_on(futures::future::poll_fn(|cx| timer.poll(Some(deadline), cx)));
        assert!(now() >= deadline);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(timer.poll(Some(now()), &mut cx).is_ready());
        assert!(timer.poll(Some(now() + Duration::from_secs(60)), &mut cx).is_pending());
        assert!(timer.poll(None, &mut cx).is_pending());
    }
}
