//! Transfers that others make to this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_proto::id::Checksum;
use mesh_proto::transfer::{Manifest, Refusal};
use mesh_proto::{NodeId, TransferId};

use super::{
    Command, Decision, Direction, Event, Extent, Key, Meter, Output, Outputs, ReceiveError, ReceiveReport, Ticket,
};
use crate::offence::Offence;
use crate::time::Mono;

/// How much is taken.
///
/// Sizes are what offers promise, from the offer until the application has taken the weights; memory is used as bytes
/// arrive, and by twice as much at most.
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest transfer, bytes. A larger one is refused as too large.
    pub max_size: u64,
    /// Bytes from one peer at once. Past it, and past the next three, an offer is refused as busy.
    pub max_size_per_peer: u64,
    /// Bytes at once.
    pub max_size_total: u64,
    /// Transfers from one peer at once.
    pub max_transfers_per_peer: usize,
    /// Transfers at once; each keeps its manifest, up to 280 KB.
    pub max_transfers: usize,
    /// Milliseconds without a chunk after which a stream is closed.
    pub stall_ms: u64,
    /// Milliseconds that a transfer without a stream is kept for its sender to resume.
    pub partial_ttl_ms: u64,
    /// Finished transfers that are remembered, about 120 bytes each. The oldest is forgotten for a new one.
    pub max_finished: usize,
    /// Finished transfers of one peer that are remembered.
    pub max_finished_per_peer: usize,
    /// Milliseconds that they are remembered.
    pub finished_ttl_ms: u64,
}

impl Config {
    /// Takes transfers of up to `max_size` bytes: that much from one peer and twice as much from all.
    pub fn up_to(max_size: u64) -> Self {
        Self {
            max_size,
            max_size_per_peer: max_size,
            max_size_total: max_size.saturating_mul(2),
            max_transfers_per_peer: 4,
            max_transfers: 16,
            stall_ms: 15_000,
            partial_ttl_ms: 300_000,
            max_finished: 1024,
            max_finished_per_peer: 64,
            finished_ttl_ms: 300_000,
        }
    }
}

impl Default for Config {
    /// Up to 256 MiB each.
    fn default() -> Self {
        Self::up_to(256 * 1024 * 1024)
    }
}

#[derive(Debug)]
pub(super) struct Receiving {
    config: Config,
    transfers: BTreeMap<Key, Box<Transfer>>,
    /// Received, but the application does not have them yet: their sizes.
    untaken: BTreeMap<Key, u64>,
    finished: BTreeMap<Key, Finished>,
}

#[derive(Debug)]
struct Transfer {
    manifest: Arc<Manifest>,
    have: u32,
    stream: Option<Ticket>,
    /// When it last got on or, without a stream, when that ended.
    since: Mono,
    meter: Meter,
}

/// What is remembered of a finished transfer: enough to tell a repeated offer from another one.
#[derive(Debug)]
struct Finished {
    extent: Extent,
    checksum: Checksum,
    at: Mono,
}

impl Finished {
    fn is(&self, manifest: &Manifest) -> bool {
        self.extent == Extent::of(manifest) && self.checksum == manifest.info.checksum
    }
}

impl Receiving {
    pub(super) fn new(config: Config) -> Self {
        Self { config, transfers: BTreeMap::new(), untaken: BTreeMap::new(), finished: BTreeMap::new() }
    }

    pub(super) fn offered(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        manifest: Arc<Manifest>,
        now: Mono,
        out: &mut Outputs,
    ) {
        let key = (from, manifest.id);
        let decision = if let Some(finished) = self.finished.get(&key) {
            match finished.is(&manifest) {
                true => Decision::Known,
                false => Decision::Refuse(Refusal::Corrupt),
            }
        } else if let Some(transfer) = self.transfers.get_mut(&key) {
            match *transfer.manifest == *manifest {
                true => transfer.resume(ticket, now, out),
                false => Decision::Refuse(Refusal::Corrupt),
            }
        } else {
            match self.make_room(from, manifest.size, out) {
                Ok(()) => self.begin(key, ticket, manifest, now),
                Err(reason) => Decision::Refuse(reason),
            }
        };
        out.push_back(Output::Transfer(Command::Decide { ticket, decision }));
    }

    pub(super) fn report(&mut self, key: Key, ticket: Ticket, report: ReceiveReport, now: Mono, out: &mut Outputs) {
        let Some(transfer) = self.transfers.get_mut(&key).filter(|t| t.stream == Some(ticket)) else {
            return;
        };
        match report {
            ReceiveReport::Arrived { have } => self.arrived(key, have, now, out),
            ReceiveReport::Broken => transfer.pause(now),
            ReceiveReport::Corrupt => {
                self.give_up(key, ReceiveError::Integrity, out);
                out.push_back(Output::Offence { peer: key.0, offence: Offence::Corrupt });
            }
        }
    }

    pub(super) fn taken(&mut self, key: Key) {
        self.untaken.remove(&key);
    }

    pub(super) fn disconnected(&mut self, peer: NodeId, now: Mono, out: &mut Outputs) {
        for (_, transfer) in self.transfers.range_mut(all_of(peer)) {
            transfer.close(now, out);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Mono, out: &mut Outputs) {
        let Config { stall_ms, partial_ttl_ms, finished_ttl_ms, .. } = self.config;
        let mut expired = Vec::new();
        for (key, transfer) in &mut self.transfers {
            match transfer.stream {
                Some(_) if transfer.since + stall_ms <= now => transfer.close(now, out),
                None if transfer.since + partial_ttl_ms <= now => expired.push(*key),
                Some(_) | None => {}
            }
        }
        for key in expired {
            self.give_up(key, ReceiveError::Timeout, out);
        }
        self.finished.retain(|_, finished| finished.at + finished_ttl_ms > now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let Config { stall_ms, partial_ttl_ms, finished_ttl_ms, .. } = self.config;
        let transfers = self.transfers.values().map(|transfer| match transfer.stream {
            Some(_) => transfer.since + stall_ms,
            None => transfer.since + partial_ttl_ms,
        });
        let finished = self.finished.values().map(|finished| finished.at + finished_ttl_ms);
        transfers.chain(finished).min()
    }

    fn begin(&mut self, key: Key, ticket: Ticket, manifest: Arc<Manifest>, now: Mono) -> Decision {
        let transfer = Transfer { manifest, have: 0, stream: Some(ticket), since: now, meter: Meter::default() };
        self.transfers.insert(key, Box::new(transfer));
        Decision::Accept
    }

    fn arrived(&mut self, key: Key, have: u32, now: Mono, out: &mut Outputs) {
        let Some(transfer) = self.transfers.get_mut(&key) else { return };
        let extent = Extent::of(&transfer.manifest);
        let complete = have >= extent.chunks;
        if have > transfer.have {
            transfer.have = have;
            transfer.since = now;
            if transfer.meter.due(complete, now) {
                out.push_back(Output::Event(Event::Progress {
                    id: key.1,
                    direction: Direction::In,
                    peer: key.0,
                    bytes: extent.bytes(have),
                    total: extent.size,
                }));
            }
        }
        if complete {
            let checksum = transfer.manifest.info.checksum;
            self.transfers.remove(&key);
            self.untaken.insert(key, extent.size);
            self.remember(key, Finished { extent, checksum, at: now });
            let (from, id) = key;
            out.push_back(Output::Event(Event::Received { id, from }));
        }
    }

    fn remember(&mut self, key: Key, finished: Finished) {
        if self.finished.range(all_of(key.0)).count() >= self.config.max_finished_per_peer {
            let oldest = self.finished.range(all_of(key.0)).min_by_key(|(_, finished)| finished.at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.finished.remove(&oldest);
            }
        }
        if self.finished.len() >= self.config.max_finished {
            let oldest = self.finished.iter().min_by_key(|(_, finished)| finished.at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.finished.remove(&oldest);
            }
        }
        self.finished.insert(key, finished);
    }

    fn give_up(&mut self, key: Key, error: ReceiveError, out: &mut Outputs) {
        self.transfers.remove(&key);
        let (from, id) = key;
        out.push_back(Output::Transfer(Command::Discard { from, id }));
        out.push_back(Output::Event(Event::ReceiveFailed { id, from, error }));
    }

    /// Room for one more transfer, at the cost of the longest idle ones where that helps.
    fn make_room(&mut self, from: NodeId, size: u64, out: &mut Outputs) -> Result<(), Refusal> {
        let Config { max_size, max_size_per_peer, max_size_total, .. } = self.config;
        if size > max_size.min(max_size_per_peer).min(max_size_total) {
            return Err(Refusal::TooLarge);
        }
        if !self.fits(from, size, |transfer| transfer.stream.is_some()) {
            return Err(Refusal::Busy);
        }
        while !self.fits(from, size, |_| true) {
            let Some(idle) = self.longest_idle(from, size) else {
                return Err(Refusal::Busy);
            };
            self.give_up(idle, ReceiveError::Displaced, out);
        }
        Ok(())
    }

    /// Whether `size` more bytes of `from` are within bounds, when only the transfers for which `counts` holds do.
    fn fits(&self, from: NodeId, size: u64, counts: impl Fn(&Transfer) -> bool) -> bool {
        let total = self.load(|_| true, &counts);
        total.transfers < self.config.max_transfers
            && size <= self.config.max_size_total.saturating_sub(total.size)
            && self.fits_peer(from, size, &counts)
    }

    fn fits_peer(&self, from: NodeId, size: u64, counts: impl Fn(&Transfer) -> bool) -> bool {
        let peer = self.load(|node| node == from, &counts);
        peer.transfers < self.config.max_transfers_per_peer
            && size <= self.config.max_size_per_peer.saturating_sub(peer.size)
    }

    /// A peer over its own bounds pays itself.
    fn longest_idle(&self, from: NodeId, size: u64) -> Option<Key> {
        let own = !self.fits_peer(from, size, |_| true);
        let idle = |key: &Key, transfer: &Transfer| transfer.stream.is_none() && (!own || key.0 == from);
        let idle = self.transfers.iter().filter(|(key, transfer)| idle(key, transfer));
        let longest = idle.min_by_key(|(_, transfer)| transfer.since);
        longest.map(|(key, _)| *key)
    }

    fn load(&self, of: impl Fn(NodeId) -> bool, counts: impl Fn(&Transfer) -> bool) -> Load {
        let live = self.transfers.iter().filter(|(_, transfer)| counts(transfer));
        let sizes = live.map(|(key, transfer)| (key.0, transfer.manifest.size));
        let untaken = self.untaken.iter().map(|(key, size)| (key.0, *size));
        let sizes = sizes.chain(untaken).filter(|(node, _)| of(*node)).map(|(_, size)| size);
        sizes.fold(Load::default(), |load, size| Load {
            transfers: load.transfers + 1,
            size: load.size.saturating_add(size),
        })
    }
}

impl Transfer {
    /// The newest stream counts: its sender would not have opened it if the one before were any good.
    fn resume(&mut self, ticket: Ticket, now: Mono, out: &mut Outputs) -> Decision {
        self.close(now, out);
        self.stream = Some(ticket);
        Decision::Accept
    }

    fn close(&mut self, now: Mono, out: &mut Outputs) {
        if let Some(ticket) = self.stream {
            out.push_back(Output::Transfer(Command::Close(ticket)));
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Mono) {
        self.stream = None;
        self.since = now;
    }
}

#[derive(Default)]
struct Load {
    transfers: usize,
    size: u64,
}

fn all_of(peer: NodeId) -> std::ops::RangeInclusive<Key> {
    (peer, TransferId([0; TransferId::LEN]))..=(peer, TransferId([0xff; TransferId::LEN]))
}
