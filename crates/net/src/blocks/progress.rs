//! How far a fetch is, for whoever looks: the latest figures, and none of those before.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use futures::task::AtomicWaker;

/// What of a DAG is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Blocks.
    pub blocks: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// Figures that were not looked at, and whether there will be further ones.
    state: Mutex<(Option<Progress>, bool)>,
    waker: AtomicWaker,
}

/// Where figures come from: a stream that ends with the fetch. Who looks seldom sees only the latest.
#[derive(Debug)]
pub struct Watcher(Arc<Shared>);

/// Where they are put.
#[derive(Debug)]
pub struct Meter(Arc<Shared>);

/// The two ends of one.
pub fn progress() -> (Meter, Watcher) {
    let shared = Arc::new(Shared::default());
    (Meter(shared.clone()), Watcher(shared))
}

impl Shared {
    fn set(&self, change: impl FnOnce(&mut (Option<Progress>, bool))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.waker.wake();
    }
}

impl Meter {
    pub(crate) fn show(&self, progress: Progress) {
        self.0.set(|(latest, _)| *latest = Some(progress));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.set(|(_, ended)| *ended = true);
    }
}

impl Stream for Watcher {
    type Item = Progress;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Progress>> {
        self.0.waker.register(cx.waker());
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (state.0.take(), state.1) {
            (Some(progress), _) => Poll::Ready(Some(progress)),
            (None, true) => Poll::Ready(None),
            (None, false) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    #[test]
    fn only_the_latest_is_seen_and_the_end() {
        let (meter, mut watcher) = progress();
        assert_eq!(watcher.next().now_or_never(), None, "nothing yet");
        for blocks in 1..4 {
            meter.show(Progress { bytes: 10, blocks });
        }
        assert_eq!(watcher.next().now_or_never(), Some(Some(Progress { bytes: 10, blocks: 3 })));
        assert_eq!(watcher.next().now_or_never(), None);
        meter.show(Progress { bytes: 20, blocks: 4 });
        drop(meter);
        assert_eq!(block_on(watcher.collect::<Vec<_>>()), [Progress { bytes: 20, blocks: 4 }]);
    }
}
