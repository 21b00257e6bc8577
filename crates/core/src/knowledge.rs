//! Shared knowledge: what keys stand for, on all nodes, and where their content is.
//!
//! [`ledger`] says which entries are current, [`compare`](self::compare) finds out what two nodes lack of each other's,
//! `holding` sees to it that content is where [`placement`] puts it, and [`shelf`] keeps account of the blocks that are here.
//! This file ties them together and decides when who is told what:
//!
//! * An entry is gossiped by its author. Who writes more at once than others let in by gossip ([`Config::say`]) lets the rest be
//!   found by comparison, which follows at once.
//! * Neighbours compare when they meet, when one has learned something by comparison, and else every [`Config::active_ms`]
//!   with one of them, or [`Config::idle_ms`] when nothing has changed for a while: what gossip has lost is found that way.
//! * Everything that is current stands in the store, under `knowledge/entry/`, what was pinned under `knowledge/pin/`, and in a
//!   private mesh what shows that the authors are members under `knowledge/author/`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cid::Cid;
use mesh_proto::codec::Bounded as _;
use mesh_proto::credential::Chain;
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{Change as What, Domain, Entry, Message, Summary, is_content};
use mesh_proto::{DecodeError, EntryId, NodeId};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::limits::{Limiter, Quota};
use crate::time::{Mono, Now};

mod compare;
mod holding;
mod io;
pub mod ledger;
pub mod placement;
mod restored;
mod sharing;
pub mod shelf;
#[cfg(test)]
pub(crate) mod testing;

use compare::Comparisons;
pub use compare::Done;
use holding::Holding;
pub use holding::{Config as HoldingConfig, MAX_QUESTIONS};
pub use io::{Blocks, Command, Error, Event, Output, Written};
pub use ledger::{Applied, Follow, Kept, Ledger, Refused};
pub use restored::{PREFIX, Restored};

/// What shows that an author is a member, in a private mesh.
pub type Chains = BTreeMap<NodeId, Chain>;

/// Bounds and pace.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of entries.
    pub ledger: ledger::Config,
    /// Of content.
    pub holding: holding::Config,
    /// What room this node gives to content of others, and says so; none if nothing.
    pub offer: Option<Storage>,
    /// Entries of ours that are gossiped: half of what others let in.
    pub say: Quota,
    /// Messages about entries that one peer may send, other than answers: the rest is dropped.
    pub questions: Quota,
    /// Milliseconds between two comparisons while something changes.
    pub active_ms: u64,
    /// Milliseconds between two when nothing has changed for a minute.
    pub idle_ms: u64,
    /// Milliseconds until what came by comparison is told to other neighbours.
    pub spread_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ledger: ledger::Config::default(),
            holding: holding::Config::default(),
            offer: None,
            say: Quota { burst: 64, period_ms: 4_000 },
            questions: Quota { burst: 512, period_ms: 8_000 },
            active_ms: 10_000,
            idle_ms: 60_000,
            spread_ms: 100,
        }
    }
}

/// How long after a change comparisons are frequent, milliseconds.
const ACTIVE_FOR_MS: u64 = 60_000;
/// Neighbours that are told what came by comparison, drawn anew each time.
const SPREAD: usize = 16;
/// Milliseconds between two that are told, so that they need not all be compared with at once.
const STAGGER_MS: u64 = 25;
/// Milliseconds between two new neighbours that are told: a newcomer is to get everything from the first, and not from each.
const MEET_MS: u64 = 500;
/// Peers whose messages are counted.
const MAX_PEERS: usize = 4_096;

/// What this node knows, and what it holds of it.
#[derive(Debug)]
pub struct Knowledge {
    config: Config,
    node: NodeId,
    rng: ChaCha8Rng,
    ledger: Ledger,
    comparisons: Comparisons,
    holding: Holding,
    chains: Chains,
    /// The latest time that was seen: a clock that steps back must not bring back what has expired.
    unix: u64,
    /// When the clocks were looked at last.
    seen: Now,
    said: Limiter<()>,
    questions: Limiter<NodeId>,
    neighbours: BTreeSet<NodeId>,
    /// When neighbours are to be told what is here.
    due: BTreeMap<NodeId, Mono>,
    next_meeting: Mono,
    changed: Option<Mono>,
    next_compare: Mono,
    writes: u64,
    outputs: VecDeque<Output>,
}

impl Knowledge {
    /// What `node` knows, beginning with what stood in its store.
    pub fn new(config: Config, node: NodeId, restored: Restored, entropy: [u8; 32], now: Now) -> Self {
        let mut knowledge = Self {
            rng: ChaCha8Rng::from_seed(entropy),
            ledger: Ledger::new(config.ledger.clone(), node),
            comparisons: Comparisons::new(node),
            holding: Holding::new(config.holding.clone(), node, restored.pins, now),
            chains: restored.chains,
            unix: now.unix,
            seen: now,
            said: Limiter::new(config.say, 1),
            questions: Limiter::new(config.questions, MAX_PEERS),
            neighbours: BTreeSet::new(),
            due: BTreeMap::new(),
            next_meeting: now.mono,
            changed: None,
            next_compare: now.mono + config.active_ms,
            writes: 0,
            outputs: VecDeque::new(),
            config,
            node,
        };
        knowledge.restore(restored.entries, now);
        if let Some(offer) = knowledge.config.offer.clone() {
            knowledge.holding.offered(node, Some(offer), now);
        }
        knowledge
    }

    /// All entries.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The latest time it has seen, unix milliseconds: what counts as expired is a matter of it.
    pub fn unix(&self) -> u64 {
        self.unix
    }

    /// What is here of blocks.
    pub fn shelf(&self) -> &shelf::Shelf {
        self.holding.shelf()
    }

    /// Contents that were placed here, and how many of them are here.
    pub fn held(&self) -> (usize, usize) {
        self.holding.held()
    }

    /// What is pinned here.
    pub fn pins(&self) -> &BTreeSet<Cid> {
        self.holding.pins()
    }

    /// One hash of all entries: equal on nodes that know the same.
    pub fn digest(&mut self) -> EntryId {
        self.ledger.digest()
    }

    /// What is told of a domain to others.
    pub fn summary(&mut self, domain: &Domain) -> Summary {
        self.ledger.summary(domain)
    }

    /// Where content was placed, and who of all has said that it holds it.
    pub fn places(&self, cid: &Cid) -> (Vec<NodeId>, Vec<NodeId>) {
        let mut holders = self.holding.holders(cid);
        if self.holding.shelf().has(cid) {
            holders.push(self.node);
        }
        (self.holding.placed(cid).to_vec(), holders)
    }

    /// From whom content is to be fetched, the likeliest first.
    pub fn providers(&self, cid: &Cid) -> Vec<NodeId> {
        self.holding.providers(cid)
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        let entries = self.ledger.load().0 + self.comparisons.retained() + self.holding.retained();
        entries + self.chains.len() + self.due.len() + self.questions.retained()
    }

    /// The entry that changes a key so, for its author to sign.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Refused`]
    pub fn entry(&self, domain: Domain, key: String, change: What, expires: Option<u64>) -> Result<Entry, Error> {
        let replaces = self.ledger.replaced(&domain, &key);
        let entry = Entry { domain, key, change, replaces, expires };
        entry.check()?;
        self.ledger.check_own(&entry.domain)?;
        Ok(entry)
    }

    /// A peer says something about entries or content, other than [`Message::Push`], which [`pushed`](Self::pushed) takes.
    /// Whether it was heard: else it says too much.
    pub fn handle(&mut self, from: NodeId, message: Message, now: Now) -> bool {
        let cost = match &message {
            Message::Compared(_) | Message::Holds { .. } | Message::Push { .. } => 0,
            Message::Summary(_) | Message::Compare(_) | Message::Pull { .. } | Message::WhoHas { .. } => 1,
            // Each is placed anew.
            Message::Full(contents) => 1 + contents.len() as u32 / 16,
        };
        if !self.questions.admit(&from, cost, now.mono) {
            return false;
        }
        match message {
            Message::Summary(summaries) => {
                let Self { comparisons, ledger, rng, .. } = self;
                comparisons.summary(from, summaries, ledger, || rng.next_u64(), now);
            }
            Message::Compare(round) => self.comparisons.compare(from, &round, &self.ledger, now),
            Message::Compared(round) => {
                self.comparisons.compared(from, &round, &self.ledger, &self.chains, now);
            }
            Message::Pull { session, entries } => {
                self.comparisons.pulled(from, session, &entries, (&self.ledger, &self.chains), now);
            }
            Message::Push { .. } => debug_assert!(false, "entries are checked first"),
            Message::WhoHas { question, contents } => self.holding.asked(from, question, &contents),
            Message::Holds { question, contents } => self.holding.holds(from, question, &contents, now),
            Message::Full(contents) => self.holding.full(from, &contents, now),
        }
        self.settle(now);
        true
    }

    /// A message of ours was taken by its receiver.
    pub fn told(&mut self, to: NodeId, now: Now) {
        self.comparisons.told(to, true, (&self.ledger, &self.chains), now);
        self.settle(now);
    }

    /// A message of ours was not taken by its receiver, and never will be.
    pub fn lost(&mut self, to: NodeId, now: Now) {
        self.comparisons.told(to, false, (&self.ledger, &self.chains), now);
        self.settle(now);
    }

    /// Compares a domain with a peer, whatever it has said. Whether that has begun.
    pub fn compare(&mut self, peer: NodeId, domain: Domain, now: Now) -> bool {
        let Self { comparisons, ledger, rng, .. } = self;
        let begun = comparisons.begin(peer, vec![(domain, None)], ledger, || rng.next_u64(), now);
        self.settle(now);
        begun
    }

    /// A neighbour that is a member speaks of this mesh, or has come back.
    pub fn met(&mut self, peer: NodeId, now: Now) {
        self.neighbours.insert(peer);
        // One of the two is enough to begin.
        if self.node < peer {
            let at = self.next_meeting.max(now.mono + self.config.spread_ms);
            self.next_meeting = at + MEET_MS;
            self.tell(peer, at);
        }
    }

    /// There is no link to it any more.
    pub fn unlinked(&mut self, peer: &NodeId, now: Now) {
        self.neighbours.remove(peer);
        self.due.remove(peer);
        self.comparisons.unlinked(peer);
        self.settle(now);
    }

    /// A member gives room, or none any more.
    pub fn offered(&mut self, node: NodeId, offer: Option<Storage>, now: Now) {
        self.holding.offered(node, offer, now);
    }

    /// A member is silent.
    pub fn suspected(&mut self, node: NodeId, now: Now) {
        self.holding.suspected(node, now);
    }

    /// It was heard again.
    pub fn recovered(&mut self, node: NodeId, now: Now) {
        self.holding.recovered(node, now);
    }

    /// It has left.
    pub fn left(&mut self, node: NodeId, now: Now) {
        self.holding.left(node, now);
    }

    /// Something happened to blocks.
    pub fn blocks(&mut self, blocks: Blocks, now: Now) {
        match blocks {
            Blocks::Found(found) => self.holding.found(found, now),
            Blocks::Fetched { cid, blocks } => self.holding.fetched(cid, blocks, now),
            Blocks::Failed { cid, full } => self.holding.failed(cid, full, now),
        }
        self.settle(now);
    }

    /// Somebody here has read content.
    pub fn used(&mut self, cid: &Cid, now: Now) {
        self.holding.used(cid, now);
    }

    /// Keeps content, and gets it first if need be. The number is that of a write, see [`Event::Settled`].
    pub fn pin(&mut self, cid: Cid, now: Now) -> u64 {
        let changes = match self.holding.pin(cid, now) {
            true => vec![restored::pin(&cid)],
            false => Vec::new(),
        };
        self.settle(now);
        self.keep(changes)
    }

    /// Keeps it no longer for that.
    pub fn unpin(&mut self, cid: &Cid, now: Now) -> u64 {
        let changes = match self.holding.unpin(cid) {
            true => vec![restored::unpin(cid)],
            false => Vec::new(),
        };
        self.settle(now);
        self.keep(changes)
    }

    /// Asks who holds content; ends in [`Event::Holders`] with this number.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Invalid`]
    pub fn who_has(&mut self, cid: Cid, now: Now) -> Result<u64, Error> {
        if !is_content(&cid) {
            return Err(DecodeError::Malformed("content: not a CIDv1, raw or dag-pb, of SHA-256".into()).into());
        }
        let question = self.holding.ask(cid, now).ok_or(Error::Busy)?;
        self.settle(now);
        Ok(question)
    }

    /// Entries are in the store, or could not be put there.
    pub fn kept(&mut self, write: u64, durable: bool) {
        self.outputs.push_back(Output::Event(Event::Settled { write, durable }));
    }

    /// Compares, places, expires and gives up what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.expire(now);
        let due: Vec<_> = self.due.iter().filter(|(_, due)| **due <= now.mono).map(|(peer, _)| *peer).collect();
        for peer in due {
            self.due.remove(&peer);
            self.comparisons.summarise(peer, &mut self.ledger);
        }
        if self.next_compare <= now.mono {
            let active = self.changed.is_some_and(|changed| now.mono.since(changed) < ACTIVE_FOR_MS);
            self.next_compare = now.mono + if active { self.config.active_ms } else { self.config.idle_ms };
            self.comparisons.prune(now);
            self.questions.prune(now.mono);
            if let Some(peer) = self.draw(1, None).pop() {
                self.comparisons.summarise(peer, &mut self.ledger);
            }
        }
        self.comparisons.handle_timeout(now);
        self.holding.handle_timeout(now);
        self.settle(now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let expiry = self.ledger.next_expiry();
        let expiry = expiry.map(|at| self.seen.mono + at.saturating_sub(self.seen.unix).max(1));
        let due = self.due.values().min().copied();
        [Some(self.next_compare), due, expiry, self.comparisons.poll_timeout(), self.holding.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What there is to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Some neighbours are told soon what is here, but for the one that it came from.
    fn spread(&mut self, but: Option<NodeId>, now: Now) {
        for (n, peer) in self.draw(SPREAD, but).into_iter().enumerate() {
            self.tell(peer, now.mono + self.config.spread_ms + n as u64 * STAGGER_MS);
        }
    }

    fn tell(&mut self, peer: NodeId, at: Mono) {
        let due = self.due.entry(peer).or_insert(at);
        *due = (*due).min(at);
    }

    /// At most `count` neighbours, in an order that is drawn.
    fn draw(&mut self, count: usize, but: Option<NodeId>) -> Vec<NodeId> {
        let mut others: Vec<_> = self.neighbours.iter().filter(|peer| Some(**peer) != but).copied().collect();
        let count = count.min(others.len());
        for n in 0..count {
            let at = n + self.rng.next_u64() as usize % (others.len() - n);
            others.swap(n, at);
        }
        others.truncate(count);
        others
    }

    /// Carries what the parts want until none wants anything more.
    fn settle(&mut self, now: Now) {
        let Self { comparisons, ledger, rng, .. } = self;
        comparisons.advance(ledger, || rng.next_u64(), now);
        loop {
            if let Some(output) = self.comparisons.poll_output() {
                self.outputs.push_back(match output {
                    compare::Output::Tell(to, bytes) => Output::Tell(to, bytes),
                    compare::Output::Compared(done) => Output::Event(Event::Compared(done)),
                    compare::Output::Malformed(peer) => Output::Malformed(peer),
                });
            } else if let Some(output) = self.holding.poll_output() {
                let output = match output {
                    holding::Output::Tell(to, message) => {
                        self.comparisons.say(to, &message);
                        continue;
                    }
                    holding::Output::Fetch(cid, size, from) => Output::Blocks(Command::Fetch { cid, size, from }),
                    holding::Output::Cancel(cid) => Output::Blocks(Command::Cancel { cid }),
                    holding::Output::Remove(blocks) => Output::Blocks(Command::Remove { blocks }),
                    holding::Output::Held(cid, holders) => Output::Event(Event::Held { cid, holders }),
                    holding::Output::Holders(question, cid, holders) => {
                        Output::Event(Event::Holders { question, cid, holders })
                    }
                    holding::Output::Repaired(cid) => Output::Event(Event::Repaired { cid }),
                };
                self.outputs.push_back(output);
            } else {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
