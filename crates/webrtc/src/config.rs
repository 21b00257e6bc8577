//! How much is allowed at once, and how long it may take.

use std::time::Duration;

use crate::signalling::Limits;

/// How long the offerer keeps its candidates back, [`Config::hold_candidates`]. The answerer's come 30 ms after its
/// answer; who has none is not waited for longer.
const HOLD: Duration = Duration::from_millis(100);

/// Settings of [`new`](crate::new).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Handshakes at once that we began, and as many that others began. Each holds a peer connection, of which a page
    /// has 500 in its life at worst, and a stream through a relay. Past it a dial fails with
    /// [`Error::Busy`](crate::Error::Busy), and a remote's stream is reset. 8.
    pub max_handshakes: usize,
    /// How many of them with one peer. Two, for one that was given up here and not there yet. 2.
    pub max_handshakes_per_peer: usize,
    /// For the peer to take the signalling stream, once there is a relayed connection. 5 s.
    pub stream_timeout: Duration,
    /// For the first message of the remote: its offer, or its answer to ours. 5 s.
    pub first_timeout: Duration,
    /// For all of it, dialling through the relay included. js-libp2p gives up after 6 s when it dials and 10 s when it
    /// listens. libp2p's `SwarmBuilder` puts 10 s around every transport: `with_connection_timeout` lifts that. 15 s.
    pub whole_timeout: Duration,
    /// For `init` and then the stream to close once connected. 2 s each.
    pub closing_timeout: Duration,
    /// The offerer sends its candidates after the remote's first one, or 100 ms after its answer. Between two peers
    /// with node-datachannel this saves a second in half of the cases (a lost DTLS packet); elsewhere it costs a way
    /// through the relay. `false`.
    pub hold_candidates: bool,
}

impl Default for Config {
    fn default() -> Self {
        let Limits { first, whole, closing, hold: _ } = Limits::default();
        Self {
            max_handshakes: 8,
            max_handshakes_per_peer: 2,
            stream_timeout: Duration::from_secs(5),
            first_timeout: first,
            whole_timeout: whole,
            closing_timeout: closing,
            hold_candidates: false,
        }
    }
}

impl Config {
    /// The part that the handshake keeps itself.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            first: self.first_timeout,
            whole: self.whole_timeout,
            closing: self.closing_timeout,
            hold: self.hold_candidates.then_some(HOLD),
        }
    }
}
