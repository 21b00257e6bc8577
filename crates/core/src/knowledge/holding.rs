//! Who holds content: what this node has to fetch because it was placed here, who says that it holds what, and what is to be done
//! when one of those is lost.
//!
//! Nobody is in charge. Every node knows the entries, and who gives room; so it sees by itself that content was placed with it
//! ([`placement`](super::placement)), fetches it from whoever has it, and tells its author and the others with which it was
//! placed. A node that goes is no candidate any more: whoever comes in its place fetches in the same way, and that is the whole of
//! a repair. One that says goodbye is gone at once, one that falls silent after [`Config::lost_ms`]: until then it
//! may be back, and its copies with it. Who has no room says so to the next in rank, and tries again when it has some.
//!
//! A copy that others rely on stays until they have it: an author's own, and that of a node in whose place another has come, until
//! all with which the content is placed have said that they hold it. Who waits for that asks again from time to time, for what is
//! said once may be lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cid::Cid;
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{self, Message};
use mesh_proto::limits::MAX_CONTENTS;
use mesh_proto::{NodeId, ordered};

use super::placement::{self, Candidates};
use super::shelf::{Hold, Shelf};
use crate::time::{Mono, Now};

mod asking;
mod placing;

use asking::Question;

/// Pace and patience.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of blocks that are kept here in all: for others, of this node's own, and as a cache.
    pub max_bytes: u64,
    /// Milliseconds after which a node that is suspected is lost. It has been silent for some seconds before.
    pub lost_ms: u64,
    /// Contents that are fetched at once to be held.
    pub fetches: usize,
    /// Milliseconds until a fetch that failed is tried again; twice as long after the next, up to a minute.
    pub retry_ms: u64,
    /// Milliseconds in which what was fetched is told together.
    pub gather_ms: u64,
    /// Milliseconds that others have to say whether they hold something.
    pub ask_ms: u64,
    /// Milliseconds until those are asked again that have not said that they hold what was placed with them.
    pub audit_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            lost_ms: 22_500,
            fetches: 8,
            retry_ms: 1_000,
            gather_ms: 50,
            ask_ms: 1_500,
            audit_ms: 30_000,
        }
    }
}

/// Nodes that are remembered to hold one content, or to have no room for it, beside those with which it is placed.
const MAX_SAID: usize = 32;
/// Nodes from which content is fetched, and that are asked whether they hold it.
const MAX_ASKED: usize = 16;
/// The longest time between two tries, milliseconds.
const MAX_RETRY_MS: u64 = 60_000;
/// Milliseconds after a start in which blocks stay that belong to nothing yet: what they belong to is only found out then.
const RESTORE_MS: u64 = 120_000;
/// Questions under way at once.
pub const MAX_QUESTIONS: usize = 256;

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Get all blocks of this into the store, from these first.
    Fetch(Cid, u64, Vec<NodeId>),
    /// That is not wanted any more.
    Cancel(Cid),
    /// Remove these from the store.
    Remove(Vec<Cid>),
    /// Say this.
    Tell(NodeId, Message),
    /// Content that this node wrote is held by these.
    Held(Cid, Vec<NodeId>),
    /// The answer to a question.
    Holders(u64, Cid, Vec<NodeId>),
    /// This node fetched it because somebody else was lost.
    Repaired(Cid),
}

/// What an entry says of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    author: NodeId,
    size: u64,
    replicas: u8,
}

/// A content that entries stand for.
#[derive(Debug, Default)]
struct Content {
    /// One for each entry.
    claims: Vec<Claim>,
    placed: Vec<NodeId>,
    /// Who says that it holds it.
    holders: BTreeSet<NodeId>,
    /// Who has no room for it.
    full: BTreeSet<NodeId>,
    /// Whether one with which it was placed was lost.
    moved: bool,
    /// Whether it was placed here before, and those with which it is placed now may not have it yet.
    yields: bool,
}

impl Content {
    /// As many copies as the entry wants that wants most.
    fn replicas(&self) -> usize {
        self.claims.iter().map(|claim| usize::from(claim.replicas)).max().unwrap_or_default()
    }

    /// What it takes, by its entries: of several that do not agree another one in each try.
    fn size(&self, tries: u32) -> u64 {
        let at = tries as usize % self.claims.len().max(1);
        self.claims.get(at).map_or(0, |claim| claim.size)
    }

    fn is_by(&self, author: &NodeId) -> bool {
        self.claims.iter().any(|claim| claim.author == *author)
    }

    /// Its authors, each once.
    fn authors(&self) -> BTreeSet<NodeId> {
        let mut authors = BTreeSet::new();
        for claim in &self.claims {
            if authors.len() < MAX_SAID {
                authors.insert(claim.author);
            }
        }
        authors
    }

    /// Whether all hold it with which it is placed, as far as `node` knows.
    fn is_secured(&self, node: &NodeId) -> bool {
        !self.placed.is_empty() && self.placed.iter().all(|of| of == node || self.holders.contains(of))
    }
}

/// What is to be told to one node.
#[derive(Debug, Default)]
struct News {
    holds: BTreeSet<Cid>,
    full: BTreeSet<Cid>,
}

/// All contents that entries stand for, and what of them is here.
#[derive(Debug)]
pub(super) struct Holding {
    config: Config,
    node: NodeId,
    shelf: Shelf,
    contents: BTreeMap<Cid, Box<Content>>,
    pins: BTreeSet<Cid>,
    /// What members say of the room they give, this node included.
    offers: Candidates,
    /// Of them, those that are not lost.
    candidates: Candidates,
    /// Who is suspected, and when it counts as lost.
    suspects: BTreeMap<NodeId, Mono>,
    /// Contents that are to be placed anew.
    unplaced: BTreeSet<Cid>,
    next_place: Mono,
    /// What is to be fetched, and not before when.
    wanted: BTreeSet<(Mono, Cid)>,
    wanted_at: BTreeMap<Cid, Mono>,
    /// How often a fetch has failed.
    failures: BTreeMap<Cid, u32>,
    /// What is being fetched, and the room that it will take.
    fetching: BTreeMap<Cid, u64>,
    /// What was fetched or found no room, and whom that is to be told.
    news: BTreeMap<NodeId, News>,
    news_due: Option<Mono>,
    /// What was placed here and found no room.
    refused: BTreeSet<Cid>,
    next_audit: Option<Mono>,
    /// Where the last audit ended.
    audited: Option<Cid>,
    /// Until when blocks of nothing stay.
    restoring: Option<Mono>,
    questions: BTreeMap<u64, Box<Question>>,
    last_question: u64,
    outputs: VecDeque<Output>,
}

impl Holding {
    pub(super) fn new(config: Config, node: NodeId, pins: BTreeSet<Cid>, now: Now) -> Self {
        let mut holding = Self {
            shelf: Shelf::new(config.max_bytes),
            config,
            node,
            contents: BTreeMap::new(),
            pins,
            offers: Candidates::new(),
            candidates: Candidates::new(),
            suspects: BTreeMap::new(),
            unplaced: BTreeSet::new(),
            next_place: Mono(0),
            wanted: BTreeSet::new(),
            wanted_at: BTreeMap::new(),
            failures: BTreeMap::new(),
            fetching: BTreeMap::new(),
            news: BTreeMap::new(),
            news_due: None,
            refused: BTreeSet::new(),
            next_audit: None,
            audited: None,
            restoring: None,
            questions: BTreeMap::new(),
            last_question: 0,
            outputs: VecDeque::new(),
        };
        for cid in holding.pins.clone() {
            holding.want(cid, now.mono);
        }
        holding
    }

    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(super) fn pins(&self) -> &BTreeSet<Cid> {
        &self.pins
    }

    /// Contents that this node is to hold, and how many of them it has.
    pub(super) fn held(&self) -> (usize, usize) {
        let mine = self.contents.iter().filter(|(_, content)| content.placed.contains(&self.node));
        let (mut placed, mut here) = (0, 0);
        for (cid, _) in mine {
            placed += 1;
            here += usize::from(self.shelf.has(cid));
        }
        (placed, here)
    }

    /// Entries that are remembered of others.
    pub(super) fn retained(&self) -> usize {
        let news: usize = self.news.values().map(|news| news.holds.len() + news.full.len()).sum();
        self.contents.len()
            + self.wanted.len()
            + self.offers.len()
            + self.suspects.len()
            + self.refused.len()
            + self.questions.len()
            + news
    }

    /// Where a content was placed.
    pub(super) fn placed(&self, cid: &Cid) -> &[NodeId] {
        self.contents.get(cid).map_or(&[], |content| &content.placed)
    }

    /// Who says that it holds a content, as far as this node was told.
    pub(super) fn holders(&self, cid: &Cid) -> Vec<NodeId> {
        self.contents.get(cid).map(|content| content.holders.iter().copied().collect()).unwrap_or_default()
    }

    /// From whom a content is to be fetched, the likeliest first.
    pub(super) fn providers(&self, cid: &Cid) -> Vec<NodeId> {
        let mut providers: Vec<NodeId> = Vec::new();
        let mut add = |nodes: &mut dyn Iterator<Item = &NodeId>| {
            for node in nodes {
                if *node != self.node && !providers.contains(node) && providers.len() < MAX_ASKED {
                    providers.push(*node);
                }
            }
        };
        if let Some(content) = self.contents.get(cid) {
            add(&mut content.holders.iter().filter(|node| self.candidates.contains_key(node)));
            // What was just written is nowhere else yet.
            if content.placed.contains(&self.node) && content.holders.is_empty() {
                add(&mut content.authors().iter());
            }
            add(&mut content.placed.iter());
            add(&mut content.authors().iter());
            add(&mut content.holders.iter());
        }
        add(&mut placement::ranked(cid, &self.candidates).iter().take(MAX_ASKED / 2));
        providers
    }

    /// An entry stands for this.
    pub(super) fn referenced(&mut self, of: &knowledge::Content, author: NodeId, now: Now) {
        let claim = Claim { author, size: of.size, replicas: of.replicas };
        self.contents.entry(of.cid).or_default().claims.push(claim);
        self.place_again(of.cid, now);
    }

    /// An entry stands for it no more.
    pub(super) fn released(&mut self, of: &knowledge::Content, author: &NodeId, now: Now) {
        let cid = of.cid;
        let claim = Claim { author: *author, size: of.size, replicas: of.replicas };
        let Some(content) = self.contents.get_mut(&cid) else { return };
        if let Some(at) = content.claims.iter().position(|other| *other == claim) {
            content.claims.swap_remove(at);
        }
        if !content.claims.is_empty() {
            return self.place_again(cid, now);
        }
        self.contents.remove(&cid);
        self.unplaced.remove(&cid);
        self.refused.remove(&cid);
        if self.pins.contains(&cid) {
            return self.shelf.keep(&cid, Hold { pinned: true, ..Hold::default() });
        }
        self.unwant(&cid);
        self.failures.remove(&cid);
        if self.fetching.remove(&cid).is_some() {
            self.outputs.push_back(Output::Cancel(cid));
        }
        let gone = self.shelf.remove(&cid);
        self.remove(gone);
    }

    fn remove(&mut self, gone: Vec<Cid>) {
        if !gone.is_empty() {
            self.outputs.push_back(Output::Remove(gone));
        }
    }

    /// Blocks are in the store from before.
    pub(super) fn found(&mut self, found: Vec<(Cid, u64)>, now: Now) {
        if self.restoring.is_none() {
            self.restoring = Some(now.mono + RESTORE_MS);
            self.shelf.spare_loose(true);
        }
        for (cid, bytes) in found {
            self.shelf.found(cid, bytes);
            // Its other blocks are here as well, and others may rely on it.
            if self.contents.get(&cid).is_some_and(|content| content.is_by(&self.node)) && !self.shelf.has(&cid) {
                self.want(cid, now.mono);
            }
        }
    }

    /// All blocks of a content are in the store.
    pub(super) fn fetched(&mut self, cid: Cid, blocks: Vec<(Cid, u64)>, now: Now) {
        let asked = self.fetching.remove(&cid).is_some();
        self.unwant(&cid);
        self.failures.remove(&cid);
        let hold = self.hold(&cid);
        let gone = self.shelf.put(cid, blocks, hold, now.mono);
        self.remove(gone);
        let Some(content) = self.contents.get(&cid) else { return };
        if content.placed.contains(&self.node) {
            if asked && content.moved {
                self.outputs.push_back(Output::Repaired(cid));
            }
            self.announce(&cid, now);
        }
    }

    /// Blocks have gone from the store: what they belong to is not whole any more.
    pub(super) fn lost(&mut self, blocks: &[Cid], now: Now) {
        for root in self.shelf.lost(blocks) {
            if self.contents.contains_key(&root) {
                self.place_again(root, now);
            }
            if self.pins.contains(&root) {
                self.want(root, now.mono);
            }
        }
    }

    /// Whether a content is with all with whom it was placed, as far as they have said so. What nobody else is to hold is.
    pub(super) fn is_safe(&self, cid: &Cid) -> bool {
        let Some(content) = self.contents.get(cid) else { return true };
        let has = |node: &NodeId| content.holders.contains(node) || *node == self.node && self.shelf.has(cid);
        !self.unplaced.contains(cid) && content.placed.iter().all(has)
    }

    /// Why a content is to stay here.
    fn hold(&self, cid: &Cid) -> Hold {
        let pinned = self.pins.contains(cid);
        let Some(content) = self.contents.get(cid) else { return Hold { pinned, ..Hold::default() } };
        let secured = content.is_secured(&self.node);
        let placed = content.placed.contains(&self.node) || content.yields && !secured;
        Hold { pinned, placed, own: content.is_by(&self.node) && !secured }
    }

    /// Lets a content go, or keeps it, by what is known now.
    fn keep(&mut self, cid: &Cid) {
        let hold = self.hold(cid);
        self.shelf.keep(cid, hold);
    }

    /// A content could not be fetched; `full` if there was no room for it.
    pub(super) fn failed(&mut self, cid: Cid, full: bool, now: Now) {
        self.fetching.remove(&cid);
        if full && !self.pins.contains(&cid) {
            return self.no_room(cid, now);
        }
        if !self.is_wanted(&cid) {
            return;
        }
        let failures = self.failures.entry(cid).or_default();
        let pause = self.config.retry_ms.saturating_mul(1 << (*failures).min(16)).min(MAX_RETRY_MS);
        *failures = failures.saturating_add(1);
        self.want(cid, now.mono + pause);
    }

    /// Whether a content is to be here.
    fn is_wanted(&self, cid: &Cid) -> bool {
        let content = self.contents.get(cid);
        let placed = content.is_some_and(|content| content.placed.contains(&self.node));
        let own = content.is_some_and(|content| content.is_by(&self.node)) && self.shelf.has_block(cid);
        placed || own || self.pins.contains(cid)
    }

    fn want(&mut self, cid: Cid, at: Mono) {
        self.unwant(&cid);
        self.wanted.insert((at, cid));
        self.wanted_at.insert(cid, at);
    }

    fn unwant(&mut self, cid: &Cid) {
        if let Some(at) = self.wanted_at.remove(cid) {
            self.wanted.remove(&(at, *cid));
        }
    }

    /// Keeps a content, and gets it first if need be. Whether that is new.
    pub(super) fn pin(&mut self, cid: Cid, now: Now) -> bool {
        let new = self.pins.insert(cid);
        if self.shelf.has(&cid) {
            self.keep(&cid);
        } else if !self.fetching.contains_key(&cid) {
            self.want(cid, now.mono);
        }
        new
    }

    /// Keeps it no longer for that. Whether it was pinned.
    pub(super) fn unpin(&mut self, cid: &Cid) -> bool {
        let was = self.pins.remove(cid);
        self.keep(cid);
        if !self.is_wanted(cid) {
            self.unwant(cid);
            self.failures.remove(cid);
            if self.fetching.remove(cid).is_some() {
                self.outputs.push_back(Output::Cancel(*cid));
            }
        }
        let gone = self.shelf.make_room(None);
        self.remove(gone);
        was
    }

    /// Somebody here has read it.
    pub(super) fn used(&mut self, cid: &Cid, now: Now) {
        self.shelf.used(cid, now.mono);
    }

    /// Places, fetches, tells and gives up what is due.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let lost: Vec<_> = self.suspects.iter().filter(|(_, due)| **due <= now.mono).map(|(node, _)| *node).collect();
        for node in lost {
            self.suspects.remove(&node);
            self.withdraw(node, now);
        }
        self.place_due(now);
        if self.next_audit.is_some_and(|due| due <= now.mono) {
            self.audit(now);
        }
        self.fetch(now);
        if self.news_due.is_some_and(|due| due <= now.mono) {
            self.tell_news();
        }
        self.end_questions(now);
        self.end_restoring(now);
    }

    fn fetch(&mut self, now: Now) {
        while self.fetching.len() < self.config.fetches
            && let Some((due, cid)) = self.wanted.first().copied()
            && due <= now.mono
        {
            self.unwant(&cid);
            if !self.is_wanted(&cid) || self.shelf.has(&cid) {
                self.failures.remove(&cid);
                continue;
            }
            let reserved: u64 = self.fetching.values().sum();
            let tries = self.failures.get(&cid).copied().unwrap_or_default();
            // Of what nobody says how large it is, as much is taken as there is room for.
            let size = match self.contents.get(&cid) {
                Some(content) => content.size(tries),
                None => self.shelf.room().saturating_sub(reserved),
            };
            if !self.shelf.admits(size.saturating_add(reserved)) && !self.shelf.has_block(&cid) {
                // There may be room when the others have come, or something has gone.
                if self.pins.contains(&cid) {
                    self.failed(cid, true, now);
                } else {
                    self.no_room(cid, now);
                }
                continue;
            }
            self.fetching.insert(cid, size);
            let providers = self.providers(&cid);
            self.outputs.push_back(Output::Fetch(cid, size, providers));
        }
    }

    /// When everything that was in the store at the beginning has been looked at, the rest may go.
    fn end_restoring(&mut self, now: Now) {
        let Some(until) = self.restoring else { return };
        let waits = self.wanted.first().is_some_and(|(due, _)| *due <= now.mono);
        let looked_at = self.unplaced.is_empty() && self.fetching.is_empty() && !waits;
        if looked_at || until <= now.mono {
            self.restoring = None;
            self.shelf.spare_loose(false);
            let gone = self.shelf.make_room(None);
            self.remove(gone);
        }
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let place = (!self.unplaced.is_empty()).then_some(self.next_place);
        let fetch = self.wanted.first().map(|(due, _)| *due).filter(|_| self.fetching.len() < self.config.fetches);
        let lost = self.suspects.values().min().copied();
        let questions = self.questions.values().map(|of| of.until).min();
        [place, fetch, lost, questions, self.news_due, self.next_audit, self.restoring].into_iter().flatten().min()
    }

    /// What there is to do.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
