//! The way to one peer: the connection, and our stream on it.
//!
//! A machine of its own, because two back-offs, two asynchronous answers and a peer that may come by itself are easy to
//! get wrong when spread over the places that need a stream.

use super::{Backoff, Config};
use crate::time::Mono;

/// What the driver says about it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Connected,
    Disconnected,
    DialFailed,
    Opened,
    Closed,
}

/// What it asks the driver for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Dial,
    Open,
}

/// What there is to say to the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Messages: worth a dial.
    pub(super) messages: bool,
    /// Answers: worth a stream on a connection that is there.
    pub(super) answers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not connected.
    Away,
    /// Not connected; the driver owes an answer.
    Dialling,
    /// Not connected; not to be dialled before `at`.
    Redial { at: Mono },
    /// Connected.
    Joined,
    /// Connected; the driver owes an answer.
    Opening,
    /// Connected; no stream is to be opened before `at`.
    Reopen { at: Mono },
    /// Connected, with a stream that is open since `since`.
    Open { since: Mono },
}

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// How long the next failed dial is waited out, milliseconds.
    redial_ms: u64,
    /// How long the next broken stream is waited out, milliseconds.
    reopen_ms: u64,
    /// Whether a stream was open since the peer connected.
    reached: bool,
}

impl Link {
    pub(super) fn new(config: &Config) -> Self {
        Self { state: State::Away, redial_ms: config.redial.min_ms, reopen_ms: config.reopen.min_ms, reached: false }
    }

    pub(super) fn handle(&mut self, change: Change, config: &Config, now: Mono) {
        use State::{Away, Dialling, Joined, Open, Opening, Redial, Reopen};
        self.state = match (self.state, change) {
            (Away | Dialling | Redial { .. }, Change::Connected) => {
                self.redial_ms = config.redial.min_ms;
                self.reopen_ms = config.reopen.min_ms;
                self.reached = false;
                Joined
            }
            (Dialling, Change::DialFailed) => Redial { at: wait(&mut self.redial_ms, config.redial, now) },
            (Joined | Opening | Reopen { .. } | Open { .. }, Change::Disconnected) => {
                Redial { at: wait(&mut self.redial_ms, config.redial, now) }
            }
            (Joined | Opening | Reopen { .. } | Open { .. }, Change::Opened) => {
                self.reached = true;
                Open { since: now }
            }
            (Opening, Change::Closed) => Reopen { at: wait(&mut self.reopen_ms, config.reopen, now) },
            (Open { since }, Change::Closed) => {
                // A stream that has held is no reason to wait longer than at first.
                if now.since(since) >= config.reopen.max_ms {
                    self.reopen_ms = config.reopen.min_ms;
                }
                Reopen { at: wait(&mut self.reopen_ms, config.reopen, now) }
            }
            // Two ends may dial each other at once; a driver's word may be late or come twice.
            (state @ (Joined | Opening | Reopen { .. } | Open { .. }), Change::Connected | Change::DialFailed)
            | (state @ (Away | Dialling | Redial { .. }), Change::Disconnected | Change::Opened | Change::Closed)
            | (state @ (Away | Redial { .. }), Change::DialFailed)
            | (state @ (Joined | Reopen { .. }), Change::Closed) => state,
        };
    }

    /// What is to be asked for now, once.
    pub(super) fn ask(&mut self, demand: Demand, config: &Config, now: Mono) -> Option<Ask> {
        let (state, ask) = match self.state {
            State::Away if demand.messages => (State::Dialling, Some(Ask::Dial)),
            State::Redial { at } if at <= now && demand.messages => (State::Dialling, Some(Ask::Dial)),
            State::Redial { at } if at <= now => {
                self.redial_ms = config.redial.min_ms;
                (State::Away, None)
            }
            State::Joined if demand.any() => (State::Opening, Some(Ask::Open)),
            State::Reopen { at } if at <= now && demand.any() => (State::Opening, Some(Ask::Open)),
            State::Reopen { at } if at <= now => (State::Joined, None),
            state @ (State::Away
            | State::Dialling
            | State::Redial { .. }
            | State::Joined
            | State::Opening
            | State::Reopen { .. }
            | State::Open { .. }) => (state, None),
        };
        self.state = state;
        ask
    }

    /// When a back-off ends.
    pub(super) fn wake(&self) -> Option<Mono> {
        match self.state {
            State::Redial { at } | State::Reopen { at } => Some(at),
            State::Away | State::Dialling | State::Joined | State::Opening | State::Open { .. } => None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        match self.state {
            State::Joined | State::Opening | State::Reopen { .. } | State::Open { .. } => true,
            State::Away | State::Dialling | State::Redial { .. } => false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether nothing is under way: no connection, no dial, no back-off.
    pub(super) fn is_away(&self) -> bool {
        self.state == State::Away
    }

    /// Whether the peer is connected and has let us open a stream.
    pub(super) fn is_reached(&self) -> bool {
        self.is_connected() && self.reached
    }
}

impl Demand {
    fn any(self) -> bool {
        self.messages || self.answers
    }
}

/// The end of a wait of `delay` milliseconds, which is doubled for the next time.
fn wait(delay: &mut u64, backoff: Backoff, now: Mono) -> Mono {
    let at = now + *delay;
    *delay = delay.saturating_mul(2).min(backoff.max_ms);
    at
}
