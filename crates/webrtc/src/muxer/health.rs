//! Whether a connection still lives.

use std::time::Duration;

use super::Error;
use crate::rtc::State;

/// How long a connection may be without traffic before it is given up. Chromium says `disconnected` five seconds after
/// the other side has gone, and `failed` ten more after that; most that come back do so within a few.
pub const SILENCE: Duration = Duration::from_secs(10);

/// What is known of the connection.
#[derive(Debug, Default)]
pub(super) enum Health {
    #[default]
    Well,
    /// No traffic, and when it is given up.
    Silent(Duration),
    Lost(Error),
}

impl Health {
    /// A new state of the connection.
    pub(super) fn handle(&mut self, state: State, now: Duration) {
        match (&*self, state) {
            (Self::Well | Self::Silent(_), State::Connected) => *self = Self::Well,
            (Self::Well, State::Disconnected) => *self = Self::Silent(now + SILENCE),
            (Self::Silent(_), State::Disconnected) => {}
            (Self::Well | Self::Silent(_), State::Failed) => *self = Self::Lost(Error::Failed),
            (Self::Well | Self::Silent(_), State::Closed) => *self = Self::Lost(Error::Closed),
            (Self::Lost(_), State::Connected | State::Disconnected | State::Failed | State::Closed) => {}
        }
    }

    /// It is what [`Health::poll_timeout`] said, or later.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            *self = Self::Lost(Error::Silent);
        }
    }

    /// When [`Health::handle_timeout`] is to be called, if at all.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Silent(deadline) => Some(*deadline),
            Self::Well | Self::Lost(_) => None,
        }
    }

    /// Why the connection is lost, if it is.
    pub(super) fn lost(&self) -> Option<&Error> {
        match self {
            Self::Lost(error) => Some(error),
            Self::Well | Self::Silent(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Closed, Connected, Disconnected, Failed};
    use super::*;

    #[test]
    fn steps() {
        let second = Duration::from_secs(1);
        for (name, steps, expected) in [
            ("lives", &[(0, Connected)][..], None),
            ("comes back", &[(0, Disconnected), (9, Connected), (30, Connected)], None),
            ("stays away", &[(0, Disconnected), (9, Disconnected), (10, Connected)], Some(Error::Silent)),
            ("fails", &[(0, Disconnected), (1, Failed), (2, Connected)], Some(Error::Failed)),
            ("is closed", &[(0, Closed), (1, Failed)], Some(Error::Closed)),
        ] {
            let mut health = Health::default();
            for (at, state) in steps {
                health.handle_timeout(second * *at);
                health.handle(*state, second * *at);
            }
            assert_eq!(health.lost(), expected.as_ref(), "{name}");
            assert_eq!(health.poll_timeout(), None, "{name}");
        }
    }
}
