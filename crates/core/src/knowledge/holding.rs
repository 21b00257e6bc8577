//! Who holds content: what this node has to fetch because it was placed here, who says that it holds what, and what is to be done
//! when one of those is lost.
//!
//! Nobody is in charge. Every node knows the entries, and who gives room; so it sees by itself that content was placed with it
//! ([`placement`](super::placement)), fetches it from whoever has it, and tells its author and the others with which it was
//! placed. A node that goes is no candidate any more: whoever comes in its place fetches in the same way, and that is the whole of
//! a repair. One that says goodbye is gone at once, one that falls silent after [`Config::lost_ms`]: until then it
//! may be back, and its copies with it. Who has no room says so to the next in rank.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cid::Cid;
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::Message;
use mesh_proto::limits::MAX_CONTENTS;
use mesh_proto::{NodeId, ordered};

use super::placement::{self, Candidates};
use super::shelf::{Hold, Shelf};
use crate::time::{Mono, Now};

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
}

impl Default for Config {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, lost_ms: 22_500, fetches: 8, retry_ms: 1_000, gather_ms: 50, ask_ms: 1_500 }
    }
}

/// Nodes that are remembered to hold one content, or to have no room for it.
const MAX_SAID: usize = 32;
/// Nodes from which content is fetched, and that are asked whether they hold it.
const MAX_ASKED: usize = 16;
/// Contents that are placed anew in one go; the others follow at once, after other work. Each takes a hash for each candidate.
const PLACED_AT_ONCE: usize = 256;
/// Milliseconds between two such goes.
const PLACE_MS: u64 = 5;
/// The longest time between two tries, milliseconds.
const MAX_RETRY_MS: u64 = 60_000;
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

/// A content that an entry stands for.
#[derive(Debug)]
struct Content {
    size: u64,
    replicas: usize,
    /// The entries that stand for it: their authors, one for each.
    authors: Vec<NodeId>,
    placed: Vec<NodeId>,
    /// Who says that it holds it.
    holders: BTreeSet<NodeId>,
    /// Who has no room for it.
    full: BTreeSet<NodeId>,
    /// Whether it was placed with others before.
    moved: bool,
    failures: u32,
}

impl Content {
    /// Where it is to be: its authors have it anyway, and do not count.
    fn place(&self, cid: &Cid, candidates: &Candidates) -> Vec<NodeId> {
        let may_not = |node: &NodeId| self.full.contains(node) || self.authors.contains(node);
        placement::place(cid, self.replicas, candidates, may_not)
    }
}

/// A question who holds something.
#[derive(Debug)]
struct Question {
    cid: Cid,
    waiting: BTreeSet<NodeId>,
    found: BTreeSet<NodeId>,
    until: Mono,
}

/// All contents that entries stand for, and what of them is here.
#[derive(Debug)]
pub(super) struct Holding {
    config: Config,
    node: NodeId,
    shelf: Shelf,
    contents: BTreeMap<Cid, Content>,
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
    fetching: BTreeSet<Cid>,
    /// What was fetched, and whom that is to be told.
    news: BTreeMap<NodeId, BTreeSet<Cid>>,
    news_due: Option<Mono>,
    questions: BTreeMap<u64, Question>,
    last_question: u64,
    outputs: VecDeque<Output>,
}

impl Holding {
    pub(super) fn new(config: Config, node: NodeId, pins: BTreeSet<Cid>) -> Self {
        Self {
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
            fetching: BTreeSet::new(),
            news: BTreeMap::new(),
            news_due: None,
            questions: BTreeMap::new(),
            last_question: 0,
            outputs: VecDeque::new(),
        }
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
        self.contents.len()
            + self.wanted.len()
            + self.offers.len()
            + self.suspects.len()
            + self.news.len()
            + self.questions.len()
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
            add(&mut content.placed.iter());
            add(&mut content.authors.iter());
            add(&mut content.holders.iter());
        }
        add(&mut placement::ranked(cid, &self.candidates).iter().take(MAX_ASKED / 2));
        providers
    }

    /// An entry stands for this.
    pub(super) fn referenced(&mut self, cid: Cid, (size, replicas): (u64, u8), author: NodeId, now: Now) {
        let content = self.contents.entry(cid).or_insert_with(|| Content {
            size,
            replicas: 0,
            authors: Vec::new(),
            placed: Vec::new(),
            holders: BTreeSet::new(),
            full: BTreeSet::new(),
            moved: false,
            failures: 0,
        });
        content.authors.push(author);
        // Until the entry with the most copies goes, and the others with it.
        content.replicas = content.replicas.max(usize::from(replicas));
        self.unplaced.insert(cid);
        self.next_place = self.next_place.min(now.mono);
    }

    /// An entry stands for it no more.
    pub(super) fn released(&mut self, cid: &Cid, author: &NodeId) {
        let Some(content) = self.contents.get_mut(cid) else { return };
        if let Some(at) = content.authors.iter().position(|of| of == author) {
            content.authors.swap_remove(at);
        }
        if !content.authors.is_empty() {
            return;
        }
        self.contents.remove(cid);
        self.unplaced.remove(cid);
        self.unwant(cid);
        if self.pins.contains(cid) {
            return self.shelf.keep(cid, Hold { pinned: true, ..Hold::default() });
        }
        if self.fetching.remove(cid) {
            self.outputs.push_back(Output::Cancel(*cid));
        }
        let gone = self.shelf.remove(cid);
        self.remove(gone);
    }

    fn remove(&mut self, gone: Vec<Cid>) {
        if !gone.is_empty() {
            self.outputs.push_back(Output::Remove(gone));
        }
    }

    /// A member gives room, or none any more.
    pub(super) fn offered(&mut self, node: NodeId, offer: Option<Storage>, now: Now) {
        let before = match offer.clone() {
            Some(offer) => self.offers.insert(node, offer),
            None => self.offers.remove(&node),
        };
        if before != offer && !self.suspects.contains_key(&node) || before.is_some() != offer.is_some() {
            self.candidate(node, offer, now);
        }
    }

    fn candidate(&mut self, node: NodeId, offer: Option<Storage>, now: Now) {
        match offer {
            Some(offer) => {
                self.candidates.insert(node, offer);
                self.unplaced.extend(self.contents.keys());
            }
            None => {
                self.candidates.remove(&node);
                let affected = |content: &Content| content.placed.contains(&node) || content.holders.contains(&node);
                self.unplaced.extend(self.contents.iter().filter(|(_, of)| affected(of)).map(|(cid, _)| *cid));
                for content in self.contents.values_mut() {
                    content.holders.remove(&node);
                    content.full.remove(&node);
                }
            }
        }
        self.next_place = self.next_place.min(now.mono);
    }

    /// A member is silent.
    pub(super) fn suspected(&mut self, node: NodeId, now: Now) {
        if self.offers.contains_key(&node) {
            self.suspects.insert(node, now.mono + self.config.lost_ms);
        }
    }

    /// It was heard again.
    pub(super) fn recovered(&mut self, node: NodeId, now: Now) {
        self.suspects.remove(&node);
        if !self.candidates.contains_key(&node)
            && let Some(offer) = self.offers.get(&node).cloned()
        {
            self.candidate(node, Some(offer), now);
        }
    }

    /// It has left.
    pub(super) fn left(&mut self, node: NodeId, now: Now) {
        self.suspects.remove(&node);
        self.offered(node, None, now);
        self.candidate(node, None, now);
    }

    /// A block is in the store from before.
    pub(super) fn found(&mut self, cid: Cid, bytes: u64) {
        self.shelf.found(cid, bytes);
    }

    /// All blocks of a content are in the store.
    pub(super) fn fetched(&mut self, cid: Cid, blocks: Vec<(Cid, u64)>, now: Now) {
        let asked = self.fetching.remove(&cid);
        self.unwant(&cid);
        let hold = self.hold(&cid);
        let gone = self.shelf.put(cid, blocks, hold, now.mono);
        self.remove(gone);
        let Some(content) = self.contents.get_mut(&cid) else { return };
        content.failures = 0;
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
            } else if self.pins.contains(&root) {
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
        let placed = content.placed.contains(&self.node);
        let safe = !content.placed.is_empty() && content.placed.iter().all(|node| content.holders.contains(node));
        let own = content.authors.contains(&self.node) && !safe;
        Hold { pinned, placed, own }
    }

    /// Tells its authors, and those with which it was placed, that a content is here.
    fn announce(&mut self, cid: &Cid, now: Now) {
        let Some(content) = self.contents.get(cid) else { return };
        let others = content.authors.iter().chain(&content.placed).filter(|node| **node != self.node);
        for other in others {
            self.news.entry(*other).or_default().insert(*cid);
        }
        self.news_due.get_or_insert(now.mono + self.config.gather_ms);
    }

    /// A content could not be fetched; `full` if there was no room for it.
    pub(super) fn failed(&mut self, cid: Cid, full: bool, now: Now) {
        self.fetching.remove(&cid);
        if full {
            return self.no_room(cid, now);
        }
        let Some(content) = self.contents.get_mut(&cid) else { return };
        content.failures = content.failures.saturating_add(1);
        let pause = self.config.retry_ms.saturating_mul(1 << content.failures.min(10)).min(MAX_RETRY_MS);
        if content.placed.contains(&self.node) || self.pins.contains(&cid) {
            self.want(cid, now.mono + pause);
        }
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

    /// There is no room for a content that was placed here: the next in rank is to take it.
    fn no_room(&mut self, cid: Cid, now: Now) {
        let Some(content) = self.contents.get_mut(&cid) else { return };
        content.full.insert(self.node);
        let next = content.place(&cid, &self.candidates);
        let told: BTreeSet<_> = ordered(next.iter().chain(&content.placed).chain(&content.authors).copied());
        for to in told.into_iter().filter(|to| *to != self.node) {
            self.outputs.push_back(Output::Tell(to, Message::Full(vec![cid])));
        }
        self.place_again(cid, now);
    }

    fn place_again(&mut self, cid: Cid, now: Now) {
        self.unplaced.insert(cid);
        self.next_place = self.next_place.min(now.mono);
    }

    /// A member says that it has no room for these.
    pub(super) fn full(&mut self, from: NodeId, contents: &[Cid], now: Now) {
        for cid in contents {
            let Some(content) = self.contents.get_mut(cid) else { continue };
            if content.full.len() < MAX_SAID && content.full.insert(from) {
                content.holders.remove(&from);
                self.place_again(*cid, now);
            }
        }
    }

    /// A member says that it holds these.
    pub(super) fn holds(&mut self, from: NodeId, question: u64, contents: &[Cid], now: Now) {
        if let Some(of) = self.questions.get_mut(&question)
            && of.waiting.remove(&from)
        {
            if contents.contains(&of.cid) {
                of.found.insert(from);
            }
            if of.waiting.is_empty() {
                of.until = now.mono;
            }
        }
        for cid in contents {
            let Some(content) = self.contents.get_mut(cid) else { continue };
            content.full.remove(&from);
            if content.holders.len() < MAX_SAID && content.holders.insert(from) && content.authors.contains(&self.node)
            {
                let holders = content.holders.iter().copied().collect();
                self.outputs.push_back(Output::Held(*cid, holders));
                let hold = self.hold(cid);
                self.shelf.keep(cid, hold);
            }
        }
    }

    /// A member asks which of these are here.
    pub(super) fn asked(&mut self, from: NodeId, question: u64, contents: &[Cid]) {
        let contents = contents.iter().filter(|cid| self.shelf.has(cid)).copied().collect();
        self.outputs.push_back(Output::Tell(from, Message::Holds { question, contents }));
    }

    /// Asks who holds a content; the answer is told with this number. Nothing when too many are asked already.
    pub(super) fn ask(&mut self, cid: Cid, now: Now) -> Option<u64> {
        if self.questions.len() >= MAX_QUESTIONS {
            return None;
        }
        self.last_question += 1;
        let waiting: BTreeSet<_> = ordered(self.providers(&cid));
        for to in &waiting {
            let message = Message::WhoHas { question: self.last_question, contents: vec![cid] };
            self.outputs.push_back(Output::Tell(*to, message));
        }
        let found = ordered(self.shelf.has(&cid).then_some(self.node));
        let until = if waiting.is_empty() { now.mono } else { now.mono + self.config.ask_ms };
        self.questions.insert(self.last_question, Question { cid, waiting, found, until });
        Some(self.last_question)
    }

    /// Keeps a content, and gets it first if need be. Whether that is new.
    pub(super) fn pin(&mut self, cid: Cid, now: Now) -> bool {
        let new = self.pins.insert(cid);
        match self.shelf.has(&cid) {
            true => self.shelf.keep(&cid, self.hold(&cid)),
            false => self.want(cid, now.mono),
        }
        new
    }

    /// Keeps it no longer for that. Whether it was pinned.
    pub(super) fn unpin(&mut self, cid: &Cid) -> bool {
        let was = self.pins.remove(cid);
        self.shelf.keep(cid, self.hold(cid));
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
            self.candidate(node, None, now);
        }
        if self.next_place <= now.mono {
            self.next_place = now.mono + PLACE_MS;
            for _ in 0..PLACED_AT_ONCE {
                let Some(cid) = self.unplaced.pop_first() else { break };
                self.place(cid, now);
            }
        }
        self.fetch(now);
        if self.news_due.is_some_and(|due| due <= now.mono) {
            self.news_due = None;
            for (to, contents) in std::mem::take(&mut self.news) {
                let contents: Vec<_> = contents.into_iter().filter(|cid| self.shelf.has(cid)).collect();
                for contents in contents.chunks(MAX_CONTENTS) {
                    let message = Message::Holds { question: 0, contents: contents.to_vec() };
                    self.outputs.push_back(Output::Tell(to, message));
                }
            }
        }
        let over: Vec<_> =
            self.questions.iter().filter(|(_, of)| of.until <= now.mono).map(|(question, _)| *question).collect();
        for question in over {
            if let Some(Question { cid, found, .. }) = self.questions.remove(&question) {
                self.outputs.push_back(Output::Holders(question, cid, found.into_iter().collect()));
            }
        }
    }

    fn place(&mut self, cid: Cid, now: Now) {
        let Some(content) = self.contents.get_mut(&cid) else { return };
        let placed = content.place(&cid, &self.candidates);
        content.moved |= !content.placed.is_empty() && placed != content.placed;
        let before = std::mem::replace(&mut content.placed, placed);
        let mine = content.placed.contains(&self.node);
        let here = self.shelf.has(&cid);
        if here {
            let hold = self.hold(&cid);
            self.shelf.keep(&cid, hold);
        }
        let same = self.contents.get(&cid).is_some_and(|content| content.placed == before);
        if mine && here && !same {
            self.announce(&cid, now);
        } else if mine && !here && !self.fetching.contains(&cid) {
            self.want(cid, now.mono);
        } else if !mine && !here && !self.pins.contains(&cid) && self.fetching.remove(&cid) {
            self.outputs.push_back(Output::Cancel(cid));
        }
    }

    fn fetch(&mut self, now: Now) {
        while self.fetching.len() < self.config.fetches
            && let Some((due, cid)) = self.wanted.first().copied()
            && due <= now.mono
        {
            self.unwant(&cid);
            let size = self.contents.get(&cid).map_or(0, |content| content.size);
            let wanted = self.placed(&cid).contains(&self.node) || self.pins.contains(&cid);
            if !wanted || self.shelf.has(&cid) {
                continue;
            }
            if !self.shelf.admits(size) {
                self.no_room(cid, now);
                continue;
            }
            self.fetching.insert(cid);
            let providers = self.providers(&cid);
            self.outputs.push_back(Output::Fetch(cid, size, providers));
        }
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let place = (!self.unplaced.is_empty()).then_some(self.next_place);
        let fetch = self.wanted.first().map(|(due, _)| *due).filter(|_| self.fetching.len() < self.config.fetches);
        let lost = self.suspects.values().min().copied();
        let questions = self.questions.values().map(|of| of.until).min();
        [place, fetch, lost, questions, self.news_due].into_iter().flatten().min()
    }

    /// What there is to do.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
