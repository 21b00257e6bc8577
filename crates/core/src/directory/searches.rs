//! Searches under way: when each ends, and which question goes out next.
//!
//! This node keeps to the quota of questions that others hold it to. A question that has to wait goes out later, or never
//! if its search has ended by then: an answer to another may have brought what it looks for.

use std::collections::{BTreeMap, VecDeque};

use mesh_proto::MessageId;
use mesh_proto::agent::Criteria;

use crate::limits::{Limiter, Quota};
use crate::time::Mono;

/// How a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchOptions {
    /// With this many matches.
    pub limit: Option<usize>,
    /// After this many milliseconds.
    pub timeout_ms: u64,
    /// With at least one match, after this many milliseconds without a new one.
    pub quiet_ms: u64,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { limit: None, timeout_ms: 2500, quiet_ms: 250 }
    }
}

/// A search under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchId(pub u64);

#[derive(Debug)]
pub(super) struct Search {
    pub(super) criteria: Criteria,
    pub(super) options: SearchOptions,
    deadline: Mono,
    quiet: Option<Mono>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Searches {
    max: usize,
    last: SearchId,
    running: BTreeMap<SearchId, Search>,
    quota: Limiter<()>,
    /// Searches whose question has not gone out, with its id on the wire.
    unasked: VecDeque<(SearchId, MessageId)>,
    /// When the first of them may.
    ask_at: Option<Mono>,
}

impl Search {
    /// A search that begins with `matches`.
    pub(super) fn new(criteria: Criteria, options: SearchOptions, matches: usize, now: Mono) -> Self {
        let quiet = (matches > 0).then_some(now + options.quiet_ms);
        Self { criteria, options, deadline: now + options.timeout_ms, quiet }
    }

    /// Whether that many matches are enough.
    pub(super) fn reached(&self, matches: usize) -> bool {
        self.options.limit.is_some_and(|limit| matches >= limit)
    }

    fn ends(&self) -> Mono {
        self.quiet.map_or(self.deadline, |quiet| quiet.min(self.deadline))
    }
}

impl Searches {
    pub(super) fn new(max: usize, quota: Quota) -> Self {
        Self {
            max,
            last: SearchId(0),
            running: BTreeMap::new(),
            quota: Limiter::new(quota, 1),
            unasked: VecDeque::new(),
            ask_at: None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.running.len() >= self.max
    }

    pub(super) fn next_id(&mut self) -> SearchId {
        self.last.0 += 1;
        self.last
    }

    /// Adds a search; `question` is to be asked for it.
    pub(super) fn start(&mut self, id: SearchId, search: Search, question: MessageId) {
        self.running.insert(id, search);
        self.unasked.push_back((id, question));
    }

    pub(super) fn cancel(&mut self, id: SearchId) {
        self.running.remove(&id);
        self.unasked.retain(|(unasked, _)| *unasked != id);
    }

    /// The next question that may go out now, and what is searched for.
    pub(super) fn question(&mut self, now: Mono) -> Option<(MessageId, &Criteria)> {
        let (id, _) = self.unasked.front()?;
        if !self.quota.admit(&(), 1, now) {
            self.ask_at = self.quota.ready_at(&(), 1, now);
            return None;
        }
        let search = self.running.get(id)?;
        let (_, question) = self.unasked.pop_front()?;
        Some((question, &search.criteria))
    }

    /// Searches whose criteria are as `wanted`.
    pub(super) fn of(&self, wanted: impl Fn(&Criteria) -> bool) -> Vec<SearchId> {
        self.running.iter().filter(|(_, search)| wanted(&search.criteria)).map(|(id, _)| *id).collect()
    }

    pub(super) fn get(&self, id: SearchId) -> Option<&Search> {
        self.running.get(&id)
    }

    /// A new match has come, `matches` are there now. Gives the search back if that is enough.
    pub(super) fn advance(&mut self, id: SearchId, matches: usize, now: Mono) -> Option<Search> {
        let search = self.running.get_mut(&id)?;
        if search.reached(matches) {
            return self.end(id);
        }
        search.quiet = Some(now + search.options.quiet_ms);
        None
    }

    /// A search that is over.
    pub(super) fn over(&mut self, now: Mono) -> Option<(SearchId, Search)> {
        let id = self.running.iter().find(|(_, search)| search.ends() <= now).map(|(id, _)| *id)?;
        Some((id, self.end(id)?))
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let ask_at = self.ask_at.filter(|_| !self.unasked.is_empty());
        self.running.values().map(Search::ends).chain(ask_at).min()
    }

    fn end(&mut self, id: SearchId) -> Option<Search> {
        let search = self.running.remove(&id);
        self.cancel(id);
        search
    }
}
