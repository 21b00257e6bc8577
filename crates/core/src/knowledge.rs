//! Shared knowledge: what keys stand for, on all nodes, and where their content is.
//!
//! [`ledger`] says which entries are current, [`compare`](self::compare) finds out what two nodes lack of each other's,
//! `holding` sees to it that content is where [`placement`] puts it, and [`shelf`] keeps account of the blocks that are here.
//! This file ties them together and decides when who is told what:
//!
//! * An entry is gossiped by its author. Who writes more at once than others let in by gossip ([`Config::say`]) offers the rest to
//!   its neighbours.
//! * Neighbours that meet offer each other what has come to each lately, which is all that a short absence takes; then they
//!   compare, and else every [`Config::active_ms`] with one of them, or [`Config::idle_ms`] when nothing has changed for a while:
//!   what gossip has lost is found that way. What is learned so is [offered](offers) to other neighbours.
//! * Everything that is current stands in the store, under `knowledge/entry/`, what was pinned under `knowledge/pin/`, and in a
//!   private mesh what shows that the authors are members under `knowledge/author/`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cid::Cid;
use mesh_proto::codec::Bounded as _;
use mesh_proto::credential::Chain;
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{Change as What, Domain, Entry, Message, Summary, is_content};
use mesh_proto::limits::MAX_NAMED;
use mesh_proto::{DecodeError, EntryId, NodeId};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::limits::{Limiter, Quota};
use crate::time::{Mono, Now};

mod compare;
mod holding;
mod io;
pub mod ledger;
mod offers;
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
use offers::Offers;
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
    /// Milliseconds between meeting a neighbour and telling it what is here.
    pub greet_ms: u64,
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
            greet_ms: 50,
        }
    }
}

/// How long after a change comparisons are frequent, milliseconds.
const ACTIVE_FOR_MS: u64 = 60_000;
/// Neighbours that are told what is new, drawn anew each time.
const SPREAD: usize = 32;
/// Entries that are offered to a neighbour that was just met, about 150 bytes each.
const MAX_RECENT: usize = 4_096;
/// How long after it came an entry is offered so, milliseconds.
const RECENT_MS: u64 = 120_000;
/// Milliseconds that what was offered so has to get through, before the rest is compared.
const COMPARE_AFTER_MS: u64 = 1_500;
/// Milliseconds in which two summaries have crossed: one of the two neighbours begins.
const CROSSING_MS: u64 = 1_000;
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
    offers: Offers,
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
    /// When those that were just met are offered what came lately.
    greeted: BTreeMap<NodeId, Mono>,
    /// What came lately, the oldest first.
    recent: VecDeque<(Mono, Domain, EntryId)>,
    /// When neighbours were told last.
    summarised: BTreeMap<NodeId, Mono>,
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
            offers: Offers::default(),
            holding: Holding::new(config.holding.clone(), node, restored.pins, now),
            chains: restored.chains,
            unix: now.unix,
            seen: now,
            said: Limiter::new(config.say, 1),
            questions: Limiter::new(config.questions, MAX_PEERS),
            neighbours: BTreeSet::new(),
            due: BTreeMap::new(),
            greeted: BTreeMap::new(),
            recent: VecDeque::new(),
            summarised: BTreeMap::new(),
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

    /// What is known of each domain: how many entries, and a hash that is equal where the same is known.
    pub fn summaries(&mut self) -> Vec<Summary> {
        let domains: Vec<_> = self.ledger.domains().cloned().collect();
        domains.iter().map(|domain| self.ledger.summary(domain)).collect()
    }

    /// Where content was placed, and who of all has said that it holds it.
    pub fn places(&self, cid: &Cid) -> (Vec<NodeId>, Vec<NodeId>) {
        let mut holders = self.holding.holders(cid);
        if self.holding.shelf().has(cid) {
            holders.push(self.node);
        }
        (self.holding.placed(cid).to_vec(), holders)
    }

    /// Whether content is with all with whom it was placed, as far as they have said so.
    pub fn is_safe(&self, cid: &Cid) -> bool {
        self.holding.is_safe(cid)
    }

    /// From whom content is to be fetched, the likeliest first.
    pub fn providers(&self, cid: &Cid) -> Vec<NodeId> {
        self.holding.providers(cid)
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        let entries = self.ledger.load().0 + self.ledger.retained() + self.chains.len();
        let parts = self.comparisons.retained() + self.offers.retained() + self.holding.retained();
        entries + parts + self.due.len() + self.greeted.len() + self.recent.len() + self.questions.retained()
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
            Message::Summary(_)
            | Message::Compare(_)
            | Message::Have { .. }
            | Message::Pull { .. }
            | Message::WhoHas { .. } => 1,
            // Each is placed anew.
            Message::Full(contents) => 1 + contents.len() as u32 / 16,
        };
        if !self.questions.admit(&from, cost, now.mono) {
            return false;
        }
        match message {
            // It has been told what is here, and begins.
            Message::Summary(_) if self.node > from && self.told_lately(&from, now) => {}
            Message::Summary(summaries) => {
                let Self { comparisons, ledger, rng, .. } = self;
                comparisons.summary(from, summaries, ledger, || rng.next_u64(), now);
            }
            Message::Compare(round) => self.comparisons.compare(from, &round, &self.ledger, now),
            Message::Compared(round) => {
                self.comparisons.compared(from, &round, &self.ledger, now);
            }
            Message::Have { domain, entries } => self.offers.offered(from, &domain, &entries, &self.ledger, now),
            Message::Pull { question, session, domain, entries } => {
                let (asked, what) = ((question, session), (&domain, &entries[..]));
                self.comparisons.pulled(from, asked, what, (&self.ledger, &self.chains), now);
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
        // Where nobody knows anything, nothing is said.
        if self.ledger.load().0 > 0 {
            self.greeted.insert(peer, now.mono + self.config.greet_ms);
        }
    }

    /// There is no link to it any more.
    pub fn unlinked(&mut self, peer: &NodeId, now: Now) {
        self.neighbours.remove(peer);
        self.due.remove(peer);
        self.greeted.remove(peer);
        self.summarised.remove(peer);
        self.comparisons.unlinked(peer);
        self.offers.unlinked(peer, now);
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
            Blocks::Lost(lost) => self.holding.lost(&lost, now),
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
        for peer in over(&mut self.greeted, now) {
            self.greet(peer, now);
        }
        for peer in over(&mut self.due, now) {
            self.summarise(peer, now);
        }
        if self.next_compare <= now.mono {
            let active = self.changed.is_some_and(|changed| now.mono.since(changed) < ACTIVE_FOR_MS);
            self.next_compare = now.mono + if active { self.config.active_ms } else { self.config.idle_ms };
            self.comparisons.prune(now);
            self.questions.prune(now.mono);
            while self.recent.front().is_some_and(|(at, ..)| now.mono.since(*at) >= RECENT_MS) {
                self.recent.pop_front();
            }
            if self.ledger.load().0 > 0
                && let Some(peer) = self.draw(1).pop()
            {
                self.summarise(peer, now);
            }
        }
        if self.offers.is_due(now) {
            let neighbours = self.draw(SPREAD);
            self.offers.tell(&neighbours);
        }
        self.comparisons.handle_timeout(now);
        self.offers.handle_timeout(now);
        self.holding.handle_timeout(now);
        self.settle(now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let expiry = self.ledger.next_expiry();
        let expiry = expiry.map(|at| self.seen.mono + at.saturating_sub(self.seen.unix).max(1));
        let due = self.due.values().chain(self.greeted.values()).min().copied();
        let parts = [self.comparisons.poll_timeout(), self.offers.poll_timeout(), self.holding.poll_timeout()];
        [Some(self.next_compare), due, expiry].into_iter().chain(parts).flatten().min()
    }

    /// What there is to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Offers a neighbour what came lately. What else it lacks is found after that.
    fn greet(&mut self, peer: NodeId, now: Now) {
        let mut recent: BTreeMap<&Domain, Vec<EntryId>> = BTreeMap::new();
        let lately = |at: &Mono| now.mono.since(*at) < RECENT_MS;
        for (_, domain, id) in self.recent.iter().filter(|(at, ..)| lately(at)) {
            if self.ledger.entry(domain, id).is_some() {
                recent.entry(domain).or_default().push(*id);
            }
        }
        let offered = !recent.is_empty();
        for (domain, ids) in recent {
            for entries in ids.chunks(MAX_NAMED) {
                self.comparisons.say(peer, &Message::Have { domain: domain.clone(), entries: entries.to_vec() });
            }
        }
        let at = now.mono + if offered { COMPARE_AFTER_MS } else { 0 };
        let due = self.due.entry(peer).or_insert(at);
        *due = (*due).min(at);
    }

    fn summarise(&mut self, peer: NodeId, now: Now) {
        self.summarised.insert(peer, now.mono);
        self.comparisons.summarise(peer, &mut self.ledger);
    }

    fn told_lately(&self, peer: &NodeId, now: Now) -> bool {
        self.summarised.get(peer).is_some_and(|at| now.mono.since(*at) < CROSSING_MS)
    }

    /// At most `count` neighbours, in an order that is drawn.
    fn draw(&mut self, count: usize) -> Vec<NodeId> {
        let mut drawn: Vec<_> = self.neighbours.iter().copied().collect();
        let count = count.min(drawn.len());
        for n in 0..count {
            let at = n + self.rng.next_u64() as usize % (drawn.len() - n);
            drawn.swap(n, at);
        }
        drawn.truncate(count);
        drawn
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
            } else if let Some((to, message)) = self.offers.poll_output() {
                self.comparisons.say(to, &message);
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

/// Takes out whose time has come.
fn over(due: &mut BTreeMap<NodeId, Mono>, now: Now) -> Vec<NodeId> {
    let over: Vec<_> = due.iter().filter(|(_, due)| **due <= now.mono).map(|(peer, _)| *peer).collect();
    for peer in &over {
        due.remove(peer);
    }
    over
}

#[cfg(test)]
mod tests;
