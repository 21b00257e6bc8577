//! How entries come in, from here and from others, and what follows from that.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::credential::Chain;
use mesh_proto::knowledge::{Change as What, Credited, Signed};
use mesh_proto::limits::MAX_CLOCK_AHEAD_MS;
use mesh_proto::{EntryId, NodeId, ordered};

use super::{Applied, Event, Kept, Knowledge, MAX_RECENT, Output, Refused, Written, restored};
use crate::records::Change;
use crate::time::Now;

impl Knowledge {
    /// An entry that this node has just signed.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn written(&mut self, signed: Signed, now: Now) -> Result<Written, Refused> {
        let (id, wire, domain) = (signed.id, signed.envelope.wire().clone(), signed.entry.domain.clone());
        let mut changes = Vec::new();
        self.apply(signed, &mut changes, now)?;
        let write = self.keep(changes);
        match self.said.admit(&(), 1, now.mono) {
            true => self.outputs.push_back(Output::Publish(wire)),
            false => self.offers.made(&domain, id, now),
        }
        self.settle(now);
        Ok(Written { id, write })
    }

    /// An entry came by gossip, its author being allowed to speak. Whether it is news.
    pub fn heard(&mut self, signed: Signed, chain: Option<&Chain>, now: Now) -> bool {
        let author = signed.version.0;
        let mut changes = Vec::new();
        let news = self.apply(signed, &mut changes, now) == Ok(true);
        if news {
            self.credit(author, chain, &mut changes);
        }
        if !changes.is_empty() {
            self.keep(changes);
        }
        self.settle(now);
        news
    }

    /// What shows that an author is a member, as far as it is known.
    pub fn chain_of(&self, author: &NodeId) -> Option<&Chain> {
        self.chains.get(author)
    }

    /// Whether entries that a peer gives were asked for, or may come: others are not worth a look at their signatures.
    pub fn expects(&self, from: &NodeId, question: u64, now: Now) -> bool {
        self.comparisons.expects(from, question) || self.offers.expects(from, now)
    }

    /// Entries came from a peer, as the answer to this question, or the last of it: all that `came`, and of these the `entries`
    /// that may be news and whose authors may write, each with what shows it.
    pub fn pushed(
        &mut self,
        from: NodeId,
        asked: (u64, bool),
        came: &[EntryId],
        mut entries: Vec<(Signed, Option<Chain>)>,
        now: Now,
    ) {
        let mut has: BTreeMap<_, _> = ordered(came.iter().map(|id| (*id, self.offers.came(from, id))));
        let mut changes = Vec::new();
        let (mut news, mut again) = (0, false);
        // Grants first, and then the latest: it may replace the others.
        entries.sort_by_key(|(signed, _)| {
            (!matches!(signed.entry.change, What::Grant(_)), std::cmp::Reverse(signed.version.1))
        });
        for (signed, chain) in entries {
            let (author, id, domain) = (signed.version.0, signed.id, signed.entry.domain.clone());
            match self.apply(signed, &mut changes, now) {
                Ok(true) => {
                    news += 1;
                    self.offers.learned(&domain, id, has.remove(&id).unwrap_or_default(), now);
                    self.credit(author, chain.as_ref(), &mut changes);
                }
                Ok(false) | Err(Refused::NotFollowed | Refused::NoRoom) => {}
                // Its time may come, and the grant may be in the next message.
                Err(Refused::FromFuture | Refused::NotAWriter) => again = true,
            }
        }
        if !changes.is_empty() {
            self.keep(changes);
        }
        self.comparisons.pushed(from, asked, (news, again), now);
        if let (question, true) = asked {
            self.offers.answered(from, question, now);
        }
        self.settle(now);
    }

    /// Takes an entry in, and what follows from it for content. Whether it is current.
    fn apply(&mut self, signed: Signed, changes: &mut Vec<Change>, now: Now) -> Result<bool, Refused> {
        self.expire(now);
        // By the clock as it is, and not as it ever was: what was let in because it was once ahead would stay the latest.
        if signed.version.1.unix_ms() > now.unix.saturating_add(MAX_CLOCK_AHEAD_MS) {
            return Err(Refused::FromFuture);
        }
        self.take(signed, false, changes, now)
    }

    /// The same of an entry that may have been here before.
    pub(super) fn take(
        &mut self,
        signed: Signed,
        was_here: bool,
        changes: &mut Vec<Change>,
        now: Now,
    ) -> Result<bool, Refused> {
        let (id, version, domain, key) =
            (signed.id, signed.version, signed.entry.domain.clone(), signed.entry.key.clone());
        let applied = match was_here {
            true => self.ledger.restore(signed, self.unix),
            false => self.ledger.apply(signed, self.unix),
        };
        for gone in self.ledger.forgotten() {
            self.gone(&gone, changes, now);
        }
        let Applied::Current { dropped } = applied? else { return Ok(false) };
        self.changed = Some(now.mono);
        // Sooner than when nothing changed.
        self.next_compare = self.next_compare.min(now.mono + self.config.active_ms);
        let Some((_, entry)) = self.ledger.entry(&domain, &id) else { return Ok(false) };
        let entry = Box::new(entry.clone());
        changes.push(restored::entry(&id, &entry.wire));
        // Before the others are let go: they may stand for the same.
        if let Some(content) = entry.content(self.unix) {
            self.holding.referenced(content, version.0, now);
        }
        let mut expelled = BTreeSet::new();
        for (of, gone) in dropped {
            self.gone(&gone, changes, now);
            if of != key {
                expelled.insert(of);
            }
        }
        self.recent.push_back((now.mono, domain.clone(), id));
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
        let current = self.ledger.get(&domain, &key).first().is_some_and(|first| first.id == id);
        let of = expelled.into_iter().map(|key| Event::Expired { domain: domain.clone(), key });
        self.outputs.extend(of.map(Output::Event));
        self.outputs.push_back(Output::Event(Event::Changed { domain, key, entry, current }));
        Ok(true)
    }

    /// An entry is not kept any more.
    fn gone(&mut self, gone: &Kept, changes: &mut Vec<Change>, now: Now) {
        changes.push(restored::no_entry(&gone.id));
        if let Some(content) = gone.content(self.unix) {
            self.holding.released(content, &gone.version.0, now);
        }
        let author = &gone.version.0;
        if self.ledger.of_author(author) == 0 && self.chains.remove(author).is_some() {
            changes.push(restored::no_author(author));
        }
    }

    pub(super) fn expire(&mut self, now: Now) {
        self.unix = self.unix.max(now.unix);
        self.seen = now;
        for (domain, key, kept) in self.ledger.expire(self.unix) {
            if let What::Put(content) = &kept.change {
                self.holding.released(content, &kept.version.0, now);
            }
            self.outputs.push_back(Output::Event(Event::Expired { domain, key }));
        }
    }

    /// Keeps what shows that somebody is a member: of all that is seen, what ends last, which is good for all that it wrote.
    fn credit(&mut self, author: NodeId, chain: Option<&Chain>, changes: &mut Vec<Change>) {
        let end = self.chains.get(&author).map(|known| known.validity().end);
        let Some(chain) = chain.filter(|chain| end.is_none_or(|end| end < chain.validity().end)) else { return };
        let credited = Credited { node: author, chain: chain.clone() };
        changes.push(restored::author(&credited));
        self.chains.insert(author, credited.chain);
    }

    pub(super) fn keep(&mut self, changes: Vec<Change>) -> u64 {
        self.writes += 1;
        self.outputs.push_back(Output::Keep(self.writes, changes));
        self.writes
    }
}
