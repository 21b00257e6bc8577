//! After the host has slept, or its network has changed.
//!
//! A socket whose other end is unreachable looks like one that is idle, for minutes. Nobody who has just opened the lid
//! waits for that: a connection over which no ping is answered within a few seconds is closed, and dialled anew.

use super::*;

/// Milliseconds that a connection has to show that it is alive: a ping's interval, and a slow answer. Dialling anew has
/// to fit beside it into the 10 s in which a node is back.
const PROOF_MS: u64 = 5_000;

/// Milliseconds by which the end of that may come late. Pages that nobody sees have their timers run once a minute, those
/// of the pings too: then there was no time to show anything.
const LATE_MS: u64 = 1_000;

/// A ping has to be answered.
pub(super) struct Proof {
    since: Mono,
    pub(super) until: Mono,
}

impl<H: Host> Driver<H> {
    pub(super) fn wake(&mut self, now: Now) {
        self.proof = Some(Proof { since: now.mono, until: now.mono + PROOF_MS });
        self.node.wake(now);
    }

    /// Closes the connections that have given no sign of life since the host woke up.
    pub(super) fn close_unproved(&mut self, now: Now) {
        let Some(Proof { since, until }) = self.proof.take_if(|proof| proof.until <= now.mono) else {
            return;
        };
        if now.mono.since(until) > LATE_MS {
            self.proof = Some(Proof { since, until: now.mono + PROOF_MS });
            return;
        }
        for (id, connection) in self.links.values().flatten() {
            if connection.answered <= since {
                tracing::debug!(?id, "silent since the host woke up");
                self.swarm.close_connection(*id);
            }
        }
    }
}
