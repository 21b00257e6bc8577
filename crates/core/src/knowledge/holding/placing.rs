//! Where contents are to be, as members come and go and have room or not.

use super::*;

/// Hashes in one go of placing anew; the rest follows at once, after other work. Each takes some hundred nanoseconds, three
/// times as long in a browser.
const HASHES_AT_ONCE: usize = 16_384;
/// Milliseconds between two such goes.
const PLACE_MS: u64 = 5;

impl Holding {
    /// A member gives room, or none any more.
    pub(in super::super) fn offered(&mut self, node: NodeId, offer: Option<Storage>, now: Now) {
        let Some(offer) = offer else {
            self.offers.remove(&node);
            self.suspects.remove(&node);
            return self.withdraw(node, now);
        };
        let before = self.offers.insert(node, offer.clone());
        // One that counts as lost is a candidate when it is heard again.
        let known = before.is_some();
        if known && !self.candidates.contains_key(&node) {
            return;
        }
        // How much room there is does not matter for where something is placed: who has none says so.
        let same = before.is_some_and(|before| (before.native, &before.zone) == (offer.native, &offer.zone));
        self.candidates.insert(node, offer);
        if !same {
            self.place_all(now);
        }
    }

    fn place_all(&mut self, now: Now) {
        self.unplaced.extend(self.contents.keys());
        self.next_place = self.next_place.min(now.mono);
    }

    /// It is no candidate any more, and what it has said does not count.
    pub(super) fn withdraw(&mut self, node: NodeId, now: Now) {
        self.candidates.remove(&node);
        self.news.remove(&node);
        for (cid, content) in &mut self.contents {
            let full = content.full.remove(&node);
            if content.holders.remove(&node) || content.placed.contains(&node) || full {
                self.unplaced.insert(*cid);
            }
        }
        self.next_place = self.next_place.min(now.mono);
    }

    /// A member is silent.
    pub(in super::super) fn suspected(&mut self, node: NodeId, now: Now) {
        if self.candidates.contains_key(&node) {
            self.suspects.entry(node).or_insert(now.mono + self.config.lost_ms);
        }
    }

    /// It was heard again.
    pub(in super::super) fn recovered(&mut self, node: NodeId, now: Now) {
        self.suspects.remove(&node);
        if let Some(offer) = self.offers.get(&node).filter(|_| !self.candidates.contains_key(&node)).cloned() {
            self.candidates.insert(node, offer);
            self.place_all(now);
        }
    }

    /// It has left.
    pub(in super::super) fn left(&mut self, node: NodeId, now: Now) {
        self.offered(node, None, now);
    }

    pub(super) fn place_again(&mut self, cid: Cid, now: Now) {
        self.unplaced.insert(cid);
        self.next_place = self.next_place.min(now.mono);
    }

    pub(super) fn place_due(&mut self, now: Now) {
        if self.next_place <= now.mono && !self.unplaced.is_empty() {
            self.next_place = now.mono + PLACE_MS;
            for _ in 0..HASHES_AT_ONCE.div_ceil(self.candidates.len() + 1) {
                let Some(cid) = self.unplaced.pop_first() else { break };
                self.place(cid, now);
            }
        }
    }

    fn place(&mut self, cid: Cid, now: Now) {
        let Some(content) = self.contents.get_mut(&cid) else { return };
        // Its authors have it anyway, and do not count.
        let may_not = |node: &NodeId| content.full.contains(node) || content.is_by(node);
        let placed = placement::place(&cid, content.replicas(), &self.candidates, may_not);
        let here = self.shelf.has(&cid);
        let before = std::mem::replace(&mut content.placed, placed);
        content.moved |= before.iter().any(|node| !self.candidates.contains_key(node));
        let (was_mine, mine) = (before.contains(&self.node), content.placed.contains(&self.node));
        content.yields = here && !mine && (content.yields || was_mine);
        let (yields, same) = (content.yields, content.placed == before);
        if content.full.contains(&self.node) {
            // Who comes in our place may not know that it does.
            let new: Vec<_> = content.placed.iter().filter(|node| !before.contains(node)).copied().collect();
            self.tell_full(&cid, new, now);
        }
        if here {
            self.keep(&cid);
        }
        if here && !same && (mine || yields) {
            self.announce(&cid, now);
        } else if mine && !here && !self.fetching.contains_key(&cid) && !self.wanted_at.contains_key(&cid) {
            self.want(cid, now.mono);
        } else if !here && !self.is_wanted(&cid) {
            self.unwant(&cid);
            if self.fetching.remove(&cid).is_some() {
                self.outputs.push_back(Output::Cancel(cid));
            }
        }
        if here && (yields || !mine) {
            self.next_audit.get_or_insert(now.mono + self.config.audit_ms);
        }
    }

    /// There is no room for a content that was placed here: the next in rank is to take it.
    pub(super) fn no_room(&mut self, cid: Cid, now: Now) {
        let node = self.node;
        let Some(content) = self.contents.get_mut(&cid) else { return };
        let mut told = content.authors();
        told.extend(&content.placed);
        told.extend(&content.full);
        content.full.insert(node);
        self.failures.remove(&cid);
        self.refused.insert(cid);
        self.next_audit.get_or_insert(now.mono + self.config.audit_ms);
        self.tell_full(&cid, told, now);
        self.place_again(cid, now);
    }

    /// A member says that it has no room for these.
    pub(in super::super) fn full(&mut self, from: NodeId, contents: &[Cid], now: Now) {
        for cid in contents {
            let Some(content) = self.contents.get_mut(cid) else { continue };
            let placed = content.placed.contains(&from);
            let room = content.full.len() < MAX_SAID || placed;
            if from != self.node && room && content.full.insert(from) {
                content.holders.remove(&from);
                // Else nothing moves: it was not to hold it, as far as is known here.
                if placed {
                    self.place_again(*cid, now);
                }
            }
        }
    }

    /// A member says that it holds these.
    pub(in super::super) fn holds(&mut self, from: NodeId, question: u64, contents: &[Cid], now: Now) {
        self.answered(from, question, contents, now);
        for cid in contents {
            let Some(content) = self.contents.get_mut(cid) else { continue };
            if content.full.remove(&from) {
                self.unplaced.insert(*cid);
                self.next_place = self.next_place.min(now.mono);
            }
            let placed = content.placed.contains(&from);
            if from == self.node || content.holders.len() >= MAX_SAID && !placed || !content.holders.insert(from) {
                continue;
            }
            let (by_us, mine) = (content.is_by(&self.node), content.placed.contains(&self.node));
            if by_us {
                let holders = content.holders.iter().copied().collect();
                self.outputs.push_back(Output::Held(*cid, holders));
            }
            if self.wanted_at.contains_key(cid) {
                // There is somebody to have it from now.
                self.want(*cid, now.mono);
            } else if self.shelf.has(cid) {
                self.keep(cid);
                // It waits until those have it in whose place it was.
                if mine && !placed {
                    self.news.entry(from).or_default().holds.insert(*cid);
                    self.news_due.get_or_insert(now.mono + self.config.gather_ms);
                }
            }
        }
    }

    /// Tells its authors, those with which it was placed, and those who said that they hold it or have no room for it, that a
    /// content is here.
    pub(super) fn announce(&mut self, cid: &Cid, now: Now) {
        let Some(content) = self.contents.get(cid) else { return };
        let mut others = content.authors();
        others.extend(&content.placed);
        others.extend(&content.holders);
        others.extend(&content.full);
        others.remove(&self.node);
        for other in others {
            self.news.entry(other).or_default().holds.insert(*cid);
        }
        self.news_due.get_or_insert(now.mono + self.config.gather_ms);
    }

    fn tell_full(&mut self, cid: &Cid, to: impl IntoIterator<Item = NodeId>, now: Now) {
        for node in to.into_iter().filter(|node| *node != self.node) {
            self.news.entry(node).or_default().full.insert(*cid);
            self.news_due.get_or_insert(now.mono + self.config.gather_ms);
        }
    }

    pub(super) fn tell_news(&mut self) {
        self.news_due = None;
        for (to, News { holds, full }) in std::mem::take(&mut self.news) {
            let holds: Vec<_> = holds.into_iter().filter(|cid| self.shelf.has(cid)).collect();
            for contents in holds.chunks(MAX_CONTENTS) {
                let message = Message::Holds { question: 0, contents: contents.to_vec() };
                self.outputs.push_back(Output::Tell(to, message));
            }
            let is_full = |cid: &Cid| self.contents.get(cid).is_some_and(|content| content.full.contains(&self.node));
            let full: Vec<_> = full.into_iter().filter(is_full).collect();
            for contents in full.chunks(MAX_CONTENTS) {
                self.outputs.push_back(Output::Tell(to, Message::Full(contents.to_vec())));
            }
        }
    }
}
