//! Transfers that this node makes.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::codec::Bounded;
use mesh_proto::transfer::{Manifest, Refusal};
use mesh_proto::{NodeId, TransferId};

use super::{Command, Direction, Error, Event, Extent, Key, Meter, Output, Outputs, SendReport, ShareError, Ticket};
use crate::time::Mono;

/// How many and how stubbornly.
#[derive(Clone, Debug)]
pub struct Config {
    /// Transfers at once, to all nodes. Their bytes are the application's.
    pub max_transfers: usize,
    /// Milliseconds before a dial or a stream that failed is tried again; doubles each time. A stream that had got on
    /// is resumed at once.
    pub retry_min_ms: u64,
    /// Longest such pause, milliseconds.
    pub retry_max_ms: u64,
    /// Times that a receiver may have lost what it had confirmed, as one that was restarted has.
    pub max_restarts: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_transfers: 64, retry_min_ms: 250, retry_max_ms: 4_000, max_restarts: 3 }
    }
}

#[derive(Debug)]
pub(super) struct Sending {
    config: Config,
    connected: BTreeSet<NodeId>,
    transfers: BTreeMap<Key, Box<Transfer>>,
    tickets: u64,
}

#[derive(Debug)]
struct Transfer {
    extent: Extent,
    timeout_ms: u64,
    started: Mono,
    /// When a chunk was last confirmed.
    progressed: Mono,
    phase: Phase,
    /// Attempts that failed since then.
    failures: u32,
    /// Streams that the receiver accepted.
    accepted: u32,
    restarts: u32,
    have: u32,
    meter: Meter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialling,
    Streaming(Ticket),
    Pausing { until: Mono },
}

impl Transfer {
    fn deadline(&self) -> Mono {
        self.progressed + self.timeout_ms
    }

    fn due(&self) -> Mono {
        match self.phase {
            Phase::Dialling | Phase::Streaming(_) => self.deadline(),
            Phase::Pausing { until } => until.min(self.deadline()),
        }
    }
}

impl Sending {
    pub(super) fn new(config: Config) -> Self {
        Self { config, connected: BTreeSet::new(), transfers: BTreeMap::new(), tickets: 0 }
    }

    pub(super) fn share(
        &mut self,
        to: NodeId,
        manifest: &Manifest,
        timeout_ms: u64,
        now: Mono,
        out: &mut Outputs,
    ) -> Result<(), Error> {
        manifest.check()?;
        let key = (to, manifest.id);
        if self.transfers.contains_key(&key) {
            return Err(Error::UnderWay);
        }
        if self.transfers.len() >= self.config.max_transfers {
            return Err(Error::OverQuota { max: self.config.max_transfers });
        }
        let phase = self.attempt(key, out);
        let transfer = Transfer {
            extent: Extent::of(manifest),
            timeout_ms,
            started: now,
            progressed: now,
            phase,
            failures: 0,
            accepted: 0,
            restarts: 0,
            have: 0,
            meter: Meter::default(),
        };
        self.transfers.insert(key, Box::new(transfer));
        Ok(())
    }

    pub(super) fn cancel(&mut self, key: Key, out: &mut Outputs) {
        self.remove(key, out);
    }

    pub(super) fn connected(&mut self, peer: NodeId, out: &mut Outputs) {
        self.connected.insert(peer);
        for key in self.to(peer) {
            if self.transfers.get(&key).is_some_and(|t| !matches!(t.phase, Phase::Streaming(_))) {
                self.try_again(key, out);
            }
        }
    }

    pub(super) fn disconnected(&mut self, peer: NodeId, now: Mono, out: &mut Outputs) {
        self.connected.remove(&peer);
        for key in self.to(peer) {
            if let Some(Phase::Streaming(ticket)) = self.transfers.get(&key).map(|t| t.phase) {
                out.push_back(Output::Transfer(Command::Close(ticket)));
                self.broken(key, now, out);
            }
        }
    }

    pub(super) fn dial_failed(&mut self, peer: NodeId, now: Mono) {
        for key in self.to(peer) {
            if self.transfers.get(&key).is_some_and(|t| t.phase == Phase::Dialling) {
                self.pause(key, now);
            }
        }
    }

    pub(super) fn report(&mut self, key: Key, ticket: Ticket, report: SendReport, now: Mono, out: &mut Outputs) {
        let current = self.transfers.get(&key).map(|transfer| transfer.phase);
        if current != Some(Phase::Streaming(ticket)) {
            return;
        }
        match report {
            SendReport::Accepted { have } => self.accepted(key, have, now, out),
            SendReport::Confirmed { have } => self.confirmed(key, have, now, out),
            SendReport::Refused(Refusal::Corrupt) => self.fail(key, ShareError::Integrity, out),
            SendReport::Refused(reason) => self.fail(key, ShareError::Refused(reason), out),
            SendReport::Unsupported => self.fail(key, ShareError::Unsupported, out),
            SendReport::Broken => self.broken(key, now, out),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Mono, out: &mut Outputs) {
        let due = self.transfers.iter().filter(|(_, transfer)| transfer.due() <= now);
        let due: Vec<_> = due.map(|(key, transfer)| (*key, transfer.deadline())).collect();
        for (key, deadline) in due {
            if deadline > now {
                self.try_again(key, out);
            } else if self.connected.contains(&key.0) {
                self.fail(key, ShareError::Timeout, out);
            } else {
                self.fail(key, ShareError::PeerUnreachable, out);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.transfers.values().map(|transfer| transfer.due()).min()
    }

    fn accepted(&mut self, key: Key, have: u32, now: Mono, out: &mut Outputs) {
        let Some(transfer) = self.transfers.get_mut(&key) else { return };
        transfer.accepted += 1;
        if transfer.accepted == 1 {
            // To be heard at all is progress, once: a receiver that accepts and hangs up in turn gains no time by it.
            transfer.progressed = now;
        }
        if have < transfer.have {
            transfer.restarts += 1;
            transfer.have = have;
            if transfer.restarts > self.config.max_restarts {
                return self.fail(key, ShareError::Timeout, out);
            }
        }
        self.confirmed(key, have, now, out);
    }

    fn confirmed(&mut self, key: Key, have: u32, now: Mono, out: &mut Outputs) {
        let Some(transfer) = self.transfers.get_mut(&key) else { return };
        let complete = have >= transfer.extent.chunks;
        if have > transfer.have {
            transfer.have = have;
            transfer.progressed = now;
            transfer.failures = 0;
            if transfer.meter.due(complete, now) {
                out.push_back(Output::Event(Event::Progress {
                    id: key.1,
                    direction: Direction::Out,
                    peer: key.0,
                    bytes: transfer.extent.bytes(have),
                    total: transfer.extent.size,
                }));
            }
        }
        if complete {
            let shared = Event::Shared {
                id: key.1,
                peer: key.0,
                bytes: transfer.extent.size,
                resumed: transfer.accepted.saturating_sub(1),
                duration_ms: now.since(transfer.started),
            };
            // The stream's task has said all it had to say and ends by itself.
            self.transfers.remove(&key);
            out.push_back(Output::Transfer(Command::Release { to: key.0, id: key.1 }));
            out.push_back(Output::Event(shared));
        }
    }

    fn fail(&mut self, key: Key, error: ShareError, out: &mut Outputs) {
        self.remove(key, out);
        let (peer, id) = key;
        out.push_back(Output::Event(Event::ShareFailed { id, peer, error }));
    }

    fn remove(&mut self, key: Key, out: &mut Outputs) {
        let Some(transfer) = self.transfers.remove(&key) else { return };
        if let Phase::Streaming(ticket) = transfer.phase {
            out.push_back(Output::Transfer(Command::Close(ticket)));
        }
        out.push_back(Output::Transfer(Command::Release { to: key.0, id: key.1 }));
    }

    fn broken(&mut self, key: Key, now: Mono, out: &mut Outputs) {
        let Some(transfer) = self.transfers.get_mut(&key) else { return };
        if transfer.failures > 0 {
            return self.pause(key, now);
        }
        transfer.failures = 1;
        self.try_again(key, out);
    }

    fn pause(&mut self, key: Key, now: Mono) {
        let Config { retry_min_ms, retry_max_ms, .. } = self.config;
        if let Some(transfer) = self.transfers.get_mut(&key) {
            let doublings = transfer.failures.min(16);
            let pause = retry_min_ms.saturating_mul(1 << doublings).min(retry_max_ms);
            transfer.failures += 1;
            transfer.phase = Phase::Pausing { until: now + pause };
        }
    }

    fn try_again(&mut self, key: Key, out: &mut Outputs) {
        let phase = self.attempt(key, out);
        if let Some(transfer) = self.transfers.get_mut(&key) {
            transfer.phase = phase;
        }
    }

    /// A stream where there is a link, else a dial, else the wait for one that is under way.
    fn attempt(&mut self, (to, id): Key, out: &mut Outputs) -> Phase {
        if self.connected.contains(&to) {
            self.tickets += 1;
            let ticket = Ticket::Outbound(self.tickets);
            out.push_back(Output::Transfer(Command::Open { to, id, ticket }));
            return Phase::Streaming(ticket);
        }
        let under_way = |key: &Key| self.transfers.get(key).is_some_and(|t| t.phase == Phase::Dialling);
        if !self.to(to).iter().any(under_way) {
            out.push_back(Output::Dial(to));
        }
        Phase::Dialling
    }

    fn to(&self, peer: NodeId) -> Vec<Key> {
        let all = (peer, TransferId([0; TransferId::LEN]))..=(peer, TransferId([0xff; TransferId::LEN]));
        self.transfers.range(all).map(|(key, _)| *key).collect()
    }
}
