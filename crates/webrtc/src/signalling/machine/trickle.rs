//! Candidates of both sides: what waits, what was counted.

use std::time::Duration;

use crate::rtc::Candidate;
use crate::signalling::candidate::MAX_CANDIDATES;

/// Whether our candidates are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Until the remote's description is set.
    Applied,
    /// Until its first candidate, and at most so long.
    Until(Duration),
    /// No.
    Free,
}

/// Our candidates.
#[derive(Debug)]
pub(super) struct Local {
    /// The name of our media section; `None` as long as our description is not written.
    pub(super) mid: Option<String>,
    pub(super) hold: Hold,
    pub(super) waiting: Vec<Candidate>,
    /// How many there have been.
    pub(super) seen: usize,
}

/// The remote's candidates.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// Whether its description is set.
    pub(super) described: bool,
    pub(super) waiting: Vec<Candidate>,
    /// Messages that were no description.
    pub(super) seen: usize,
    /// Those of them that had no use.
    pub(super) passed: usize,
}

impl Local {
    /// Takes a candidate; past [`MAX_CANDIDATES`] it is dropped.
    pub(super) fn push(&mut self, candidate: Candidate) {
        if self.seen < MAX_CANDIDATES {
            self.seen += 1;
            self.waiting.push(candidate);
        }
    }
}

impl Remote {
    /// Counts a message. `false` when it is one too many.
    pub(super) fn count(&mut self) -> bool {
        self.seen += 1;
        self.seen <= MAX_CANDIDATES
    }
}
