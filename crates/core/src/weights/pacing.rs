//! How far a sender may run ahead of what its receiver has confirmed.
//!
//! Bulk shares its connection with small messages, and whatever of it waits in a buffer on the way delays them. What
//! waits is what is sent beyond the path's bandwidth-delay product. So that product is estimated, as BBR does (Cardwell
//! et al., "BBR: Congestion-Based Congestion Control", 2016): the greatest recent rate of confirmations times the least
//! recent round trip. On top comes [`SLACK_MS`] worth of data, which is what a message may have to wait, and what lets
//! the estimate follow a path that becomes faster.
//!
//! While the rate still grows, two round trips' worth may be on the way, so that a long path is filled in a few of
//! them. Every [`PROBE_AFTER_MS`] the window closes to its minimum for about a round trip: with the buffers empty the
//! round trip can be measured afresh, or else our own queue would in time be taken for distance. It opens again as
//! confirmations come in, not at once: a window's worth in one burst would be a queue of its own.

use std::collections::VecDeque;

use crate::time::Mono;

/// Bytes that may always be on the way: four of the smallest chunks, where sending starts.
pub const MIN_WINDOW: u64 = 256 * 1024;

/// Most bytes on the way, whatever the path. A quarter second at 250 Mbit/s.
pub const MAX_WINDOW: u64 = 8 * 1024 * 1024;

/// Milliseconds of data that may wait on the way. Messages are to be answered within 20 ms while weights flow.
pub const SLACK_MS: u64 = 15;

/// Milliseconds after which the least round trip is measured again, as in BBR.
pub const PROBE_AFTER_MS: u64 = 10_000;

/// Shortest span over which a rate is measured, milliseconds: ten ticks of the clock.
const MIN_SPAN_MS: u64 = 10;

/// Rates that are remembered; the greatest counts. BBR's is ten round trips.
const RATES: usize = 10;

/// Measurements without a quarter's growth, after which the path counts as full. BBR's.
const FULL_AFTER: u32 = 3;

/// The window of one stream. Times are [`Mono`], sizes bytes, offsets count from the stream's start.
#[derive(Clone, Debug)]
pub struct Pacing {
    sent: u64,
    confirmed: u64,
    on_the_way: VecDeque<Piece>,
    /// How far the window has opened.
    opened: u64,
    rate: Rate,
    round_trip: RoundTrip,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    end: u64,
    at: Mono,
}

impl Pacing {
    /// Nothing sent, nothing known of the path.
    pub fn new(now: Mono) -> Self {
        Self {
            sent: 0,
            confirmed: 0,
            on_the_way: VecDeque::new(),
            opened: MIN_WINDOW,
            rate: Rate::default(),
            round_trip: RoundTrip { least: None, at: now, probe: None },
        }
    }

    /// Bytes that may be on the way.
    pub fn window(&self) -> u64 {
        self.product().min(self.opened)
    }

    /// Whether `len` more bytes fit. One piece always may be on the way, however large.
    pub fn admits(&self, len: u64) -> bool {
        let on_the_way = self.sent - self.confirmed;
        on_the_way == 0 || on_the_way + len <= self.window()
    }

    /// `len` more bytes are being sent, as one piece.
    pub fn sent(&mut self, len: u64, now: Mono) {
        self.sent += len;
        self.on_the_way.push_back(Piece { end: self.sent, at: now });
    }

    /// The next `len` bytes that were sent are confirmed.
    pub fn confirmed(&mut self, len: u64, now: Mono) {
        self.confirmed = (self.confirmed + len).min(self.sent);
        let pieces = self.on_the_way.partition_point(|piece| piece.end <= self.confirmed);
        if let Some(newest) = self.on_the_way.drain(..pieces).next_back() {
            self.round_trip.measured(newest, self.sent, now);
        }
        let span = self.round_trip.least.unwrap_or(0).max(MIN_SPAN_MS);
        self.rate.confirmed(self.confirmed, span, now);
        self.opened = match self.round_trip.probe {
            Some(_) => MIN_WINDOW,
            None => self.product().min(self.opened + len),
        };
    }

    /// What the path holds, and the slack.
    fn product(&self) -> u64 {
        let (Some(least), Some(rate)) = (self.round_trip.least, self.rate.greatest()) else {
            return MIN_WINDOW;
        };
        let product = rate.saturating_mul(self.rate.gain() * least + SLACK_MS);
        product.clamp(MIN_WINDOW, MAX_WINDOW)
    }
}

/// The greatest recent rate of confirmations, bytes a millisecond.
#[derive(Clone, Debug, Default)]
struct Rate {
    /// Start of the span that is being measured: when, and how much was confirmed by then.
    start: Option<(Mono, u64)>,
    recent: VecDeque<u64>,
    /// The rate when it last grew by a quarter, and the measurements since.
    plateau: u64,
    flat: u32,
}

impl Rate {
    fn greatest(&self) -> Option<u64> {
        self.recent.iter().copied().max()
    }

    fn gain(&self) -> u64 {
        if self.flat < FULL_AFTER { 2 } else { 1 }
    }

    fn confirmed(&mut self, confirmed: u64, span: u64, now: Mono) {
        // The first confirmation only starts the clock: the time before it was the path's, not the data's.
        let (at, before) = *self.start.get_or_insert((now, confirmed));
        let elapsed = now.since(at);
        if elapsed < span {
            return;
        }
        let rate = (confirmed - before) / elapsed;
        self.start = Some((now, confirmed));
        if self.recent.len() == RATES {
            self.recent.pop_front();
        }
        self.recent.push_back(rate);
        if rate >= self.plateau + self.plateau / 4 {
            self.plateau = rate;
            self.flat = 0;
        } else {
            self.flat = self.flat.saturating_add(1);
        }
    }
}

/// The least recent round trip, milliseconds.
#[derive(Clone, Debug)]
struct RoundTrip {
    least: Option<u64>,
    /// When `least` was measured.
    at: Mono,
    /// Measuring again: pieces that end past this offset were sent with a closed window.
    probe: Option<u64>,
}

impl RoundTrip {
    fn measured(&mut self, piece: Piece, sent: u64, now: Mono) {
        let sample = now.since(piece.at);
        let probed = self.probe.is_some_and(|from| piece.end > from);
        if probed || self.least.is_none_or(|least| sample <= least) {
            self.least = Some(sample);
            self.at = now;
            self.probe = None;
        } else if self.probe.is_none() && now.since(self.at) > PROBE_AFTER_MS {
            self.probe = Some(sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 64 * 1024;

    /// A bottleneck of `rate` bytes a millisecond with an endless buffer, `rtt` milliseconds there and back.
    struct Path {
        rate: u64,
        rtt: u64,
        /// When the bottleneck has passed on what it holds, microseconds.
        free_at: u64,
        confirmations: VecDeque<u64>,
        /// Longest wait at the bottleneck in the last second, milliseconds, by second.
        waits: Vec<u64>,
        delivered: Vec<u64>,
    }

    impl Path {
        fn new(rate: u64, rtt: u64) -> Self {
            Self { rate, rtt, free_at: 0, confirmations: VecDeque::new(), waits: Vec::new(), delivered: Vec::new() }
        }

        /// Sends as much as `pacing` admits from `from` to `until`, milliseconds.
        fn run(&mut self, pacing: &mut Pacing, from: u64, until: u64) {
            for now in from..until {
                let second = (now / 1000) as usize;
                self.waits.resize(second + 1, 0);
                self.delivered.resize(second + 1, 0);
                while self.confirmations.front().is_some_and(|at| *at <= now * 1000) {
                    self.confirmations.pop_front();
                    pacing.confirmed(CHUNK, Mono(now));
                    self.delivered[second] += CHUNK;
                }
                while pacing.admits(CHUNK) {
                    pacing.sent(CHUNK, Mono(now));
                    self.free_at = self.free_at.max(now * 1000) + CHUNK * 1000 / self.rate;
                    self.confirmations.push_back(self.free_at + self.rtt * 1000);
                }
                self.waits[second] = self.waits[second].max((self.free_at / 1000).saturating_sub(now));
            }
        }
    }

    #[test]
    fn starts_with_the_least_window() {
        let mut pacing = Pacing::new(Mono(0));
        for _ in 0..4 {
            assert!(pacing.admits(CHUNK));
            pacing.sent(CHUNK, Mono(0));
        }
        assert!(!pacing.admits(1));
        pacing.confirmed(CHUNK, Mono(1));
        assert!(pacing.admits(CHUNK));
        assert!(!pacing.admits(CHUNK + 1));
    }

    #[test]
    fn one_large_piece_is_always_admitted() {
        let mut pacing = Pacing::new(Mono(0));
        assert!(pacing.admits(MAX_WINDOW * 2));
        pacing.sent(MAX_WINDOW * 2, Mono(0));
        assert!(!pacing.admits(1));
    }

    #[test]
    fn fills_any_path_and_little_more() {
        // (bytes a millisecond, round trip)
        let paths = [
            (100_000, 0),  // this machine
            (12_500, 2),   // 100 Mbit/s, near
            (12_500, 100), // 100 Mbit/s, far
            (25_000, 200), // 200 Mbit/s, across the world: 5 MB on the way
            (1_250, 40),   // 10 Mbit/s
        ];
        for (rate, rtt) in paths {
            let (mut path, mut pacing) = (Path::new(rate, rtt), Pacing::new(Mono(0)));
            path.run(&mut pacing, 0, 8_000);
            let delivered = path.delivered[3];
            assert!(delivered * 100 >= rate * 1000 * 90, "{rate} B/ms, {rtt} ms: {delivered} B in a second");
            // What waits is the slack, or the least window where that is more than the path holds, and one chunk.
            let allowed = SLACK_MS.max(MIN_WINDOW / rate) * 5 / 4 + CHUNK / rate + 2;
            let wait = path.waits[7];
            assert!(wait <= allowed, "{rate} B/ms, {rtt} ms: waits {wait} of {allowed} ms");
        }
    }

    #[test]
    fn never_passes_the_bounds() {
        let mut pacing = Pacing::new(Mono(0));
        for now in 0..1000 {
            while pacing.admits(CHUNK) {
                pacing.sent(CHUNK, Mono(now));
            }
            assert!((MIN_WINDOW..=MAX_WINDOW).contains(&pacing.window()));
            // Far faster than any path: all of it in the next millisecond.
            pacing.confirmed(MAX_WINDOW, Mono(now + 1));
        }
        assert_eq!(pacing.window(), MAX_WINDOW);
    }

    #[test]
    fn follows_a_path_that_becomes_slower_longer_or_faster() {
        // What the path becomes after 5 s.
        for (rate, rtt) in [(2_500, 30), (12_500, 120), (25_000, 30)] {
            let (mut path, mut pacing) = (Path::new(12_500, 30), Pacing::new(Mono(0)));
            path.run(&mut pacing, 0, 5_000);
            (path.rate, path.rtt) = (rate, rtt);
            path.run(&mut pacing, 5_000, 40_000);
            let delivered = path.delivered[38];
            assert!(delivered * 100 >= rate * 1000 * 80, "{rate} B/ms, {rtt} ms: {delivered} B in a second");
            let allowed = SLACK_MS.max(MIN_WINDOW / rate) * 5 / 4 + CHUNK / rate + 2;
            let wait = path.waits[38];
            assert!(wait <= allowed, "{rate} B/ms, {rtt} ms: waits {wait} of {allowed} ms");
        }
    }

    #[test]
    fn its_own_queue_is_not_taken_for_distance() {
        let (mut path, mut pacing) = (Path::new(12_500, 50), Pacing::new(Mono(0)));
        path.run(&mut pacing, 0, 120_000);
        let mut waits = path.waits.split_off(5);
        waits.sort_unstable();
        // All but the seconds in which a probe ends, where the window opens again, and even then.
        assert!(waits[waits.len() * 8 / 10] <= SLACK_MS * 5 / 4, "{waits:?}");
        assert!(waits[waits.len() - 1] <= SLACK_MS * 5 / 2, "{waits:?}");
        let slowest = path.delivered[2..].iter().min().copied().unwrap_or(0);
        assert!(slowest >= 12_500 * 800, "a probe costs little: {slowest} B in its second");
    }
}
