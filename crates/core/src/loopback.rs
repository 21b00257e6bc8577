//! Messages between agents of one node: they cross no network, but whoever sends one waits for its receiver all the
//! same, and not for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::CallId;
use crate::time::{Mono, Now};

/// Messages that wait for the application to take them. Past it, sending answers that it is over quota.
pub const MAX_WAITING: usize = 16 * 1024;

/// Messages that the application was given and has not taken.
#[derive(Debug, Default)]
pub struct Loopback {
    waiting: BTreeMap<CallId, Waiting>,
    deadlines: BTreeSet<(Mono, CallId)>,
    failed: Vec<CallId>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Mono,
    deadline: Mono,
}

impl Loopback {
    /// Waits for the receiver of `call`, or answers `false` when too many do.
    pub fn wait(&mut self, call: CallId, deadline: Mono, now: Now) -> bool {
        if self.waiting.len() >= MAX_WAITING {
            return false;
        }
        self.waiting.insert(call, Waiting { since: now.mono, deadline });
        self.deadlines.insert((deadline, call));
        true
    }

    /// The receiver has it: milliseconds that took, unless nobody waits any more.
    pub fn taken(&mut self, call: CallId, now: Now) -> Option<u64> {
        let waiting = self.forget(call)?;
        Some(now.mono.since(waiting.since))
    }

    /// Nobody waits any more.
    pub fn cancel(&mut self, call: CallId) {
        self.forget(call);
    }

    /// Gives up what is past its deadline.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((_, call)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now.mono) {
            self.forget(call);
            self.failed.push(call);
        }
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A message that was not taken in time.
    pub fn poll_output(&mut self) -> Option<CallId> {
        self.failed.pop()
    }

    fn forget(&mut self, call: CallId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&call)?;
        self.deadlines.remove(&(waiting.deadline, call));
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: 0 }
    }

    #[test]
    fn what_is_taken_in_time_is_delivered_and_the_rest_fails_once() {
        let mut loopback = Loopback::default();
        for call in 1..=3 {
            assert!(loopback.wait(CallId(call), Mono(100 * call), at(10)));
        }
        assert_eq!(loopback.taken(CallId(1), at(60)), Some(50));
        assert_eq!(loopback.taken(CallId(1), at(60)), None, "once");
        loopback.cancel(CallId(3));
        assert_eq!(loopback.poll_timeout(), Some(Mono(200)));
        loopback.handle_timeout(at(199));
        assert_eq!(loopback.poll_output(), None);
        loopback.handle_timeout(at(200));
        assert_eq!(loopback.poll_output(), Some(CallId(2)));
        assert_eq!(loopback.poll_output(), None);
        assert_eq!(loopback.poll_timeout(), None);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut loopback = Loopback::default();
        for call in 0..MAX_WAITING as u64 {
            assert!(loopback.wait(CallId(call), Mono(1), at(0)));
        }
        assert!(!loopback.wait(CallId(u64::MAX), Mono(1), at(0)));
        loopback.cancel(CallId(0));
        assert!(loopback.wait(CallId(u64::MAX), Mono(1), at(0)));
    }
}
