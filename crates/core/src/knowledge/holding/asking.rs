//! Questions who holds what: of people here, and of this node about the copies that it waits for.

use super::*;

/// Contents that are looked at in one audit; the others follow in the next.
const AUDITED_AT_ONCE: usize = 4_096;

/// A question who holds something.
#[derive(Debug)]
pub(super) struct Question {
    cid: Cid,
    waiting: BTreeSet<NodeId>,
    found: BTreeSet<NodeId>,
    pub(super) until: Mono,
}

impl Holding {
    /// A member asks which of these are here.
    pub(in super::super) fn asked(&mut self, from: NodeId, question: u64, contents: &[Cid]) {
        let contents = contents.iter().filter(|cid| self.shelf.has(cid)).copied().collect();
        self.outputs.push_back(Output::Tell(from, Message::Holds { question, contents }));
    }

    /// Asks who holds a content; the answer is told with this number. Nothing when too many are asked already.
    pub(in super::super) fn ask(&mut self, cid: Cid, now: Now) -> Option<u64> {
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
        self.questions.insert(self.last_question, Box::new(Question { cid, waiting, found, until }));
        Some(self.last_question)
    }

    /// What a member's answer says about a question.
    pub(super) fn answered(&mut self, from: NodeId, question: u64, contents: &[Cid], now: Now) {
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
    }

    pub(super) fn end_questions(&mut self, now: Now) {
        let over: Vec<_> =
            self.questions.iter().filter(|(_, of)| of.until <= now.mono).map(|(question, _)| *question).collect();
        for question in over {
            if let Some(of) = self.questions.remove(&question) {
                let Question { cid, found, .. } = *of;
                self.outputs.push_back(Output::Holders(question, cid, found.into_iter().collect()));
            }
        }
    }

    /// Asks those again that have not said that they hold what waits here for them, and looks whether there is room for what found
    /// none.
    pub(super) fn audit(&mut self, now: Now) {
        self.next_audit = None;
        let from = self.audited.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let waits = |content: &Content| content.yields || content.is_by(&self.node);
        let mut asked: BTreeMap<NodeId, Vec<Cid>> = BTreeMap::new();
        let mut last = None;
        let mut any = false;
        for (cid, content) in self.contents.range((from, std::ops::Bound::Unbounded)).take(AUDITED_AT_ONCE) {
            last = Some(*cid);
            if waits(content) && !content.is_secured(&self.node) && self.shelf.has(cid) {
                any = true;
                for node in content.placed.iter().filter(|node| **node != self.node && !content.holders.contains(node))
                {
                    asked.entry(*node).or_default().push(*cid);
                }
            }
        }
        // From the beginning the next time, if this was all.
        self.audited =
            last.filter(|_| self.contents.range((from, std::ops::Bound::Unbounded)).nth(AUDITED_AT_ONCE).is_some());
        for (to, contents) in asked {
            for contents in contents.chunks(MAX_CONTENTS) {
                // Who did not know of the content when it was told has to know from whom it can have it.
                let message = Message::Holds { question: 0, contents: contents.to_vec() };
                self.outputs.push_back(Output::Tell(to, message));
                // What comes back is heard as any other word about who holds what.
                self.last_question += 1;
                let message = Message::WhoHas { question: self.last_question, contents: contents.to_vec() };
                self.outputs.push_back(Output::Tell(to, message));
            }
        }
        self.try_refused(now);
        if any || self.audited.is_some() || !self.refused.is_empty() {
            self.next_audit = Some(now.mono + self.config.audit_ms);
        }
    }

    fn try_refused(&mut self, now: Now) {
        let mut reserved: u64 = self.fetching.values().sum();
        for cid in self.refused.clone() {
            let Some(content) = self.contents.get_mut(&cid) else { continue };
            let size = content.size(0);
            if self.shelf.admits(size.saturating_add(reserved)) {
                reserved = reserved.saturating_add(size);
                content.full.remove(&self.node);
                self.refused.remove(&cid);
                self.place_again(cid, now);
            }
        }
    }
}
