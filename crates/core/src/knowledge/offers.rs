//! Entries by name: what neighbours say that they have, and what of it is pulled from whom.
//!
//! What a node learns by comparison it offers to its neighbours at once, in ids; each pulls what it lacks from the first that
//! has offered it, and from another if that one keeps it waiting. So news crosses the mesh in a round trip for each hop, and
//! comes to each node about once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh_proto::knowledge::{Domain, Message};
use mesh_proto::limits::MAX_NAMED;
use mesh_proto::{EntryId, NodeId};

use super::ledger::Ledger;
use crate::time::{Mono, Now};

/// Entries that were asked for and have not come, about 200 bytes each. What is offered past it is found by comparison.
const MAX_WANTED: usize = 32_768;
/// Of these, such as one peer was asked for: who offers what it does not have leaves room for others.
const MAX_WANTED_OF_PEER: usize = 8_192;
/// Others that have offered the same entry.
const MAX_OTHERS: usize = 4;
/// Milliseconds after which an entry is asked of another.
const PATIENCE_MS: u64 = 1_200;
/// Milliseconds in which a peer may answer, though others have been asked meanwhile.
const LATE_MS: u64 = 10_000;
/// Milliseconds in which news is gathered.
const GATHER_MS: u64 = 30;

/// An entry that was asked for.
#[derive(Debug)]
struct Wanted {
    domain: Domain,
    from: NodeId,
    question: u64,
    others: Vec<NodeId>,
    since: Mono,
}

/// What is wanted, and what is news.
#[derive(Debug, Default)]
pub(super) struct Offers {
    wanted: BTreeMap<EntryId, Box<Wanted>>,
    since: BTreeSet<(Mono, EntryId)>,
    /// How many are wanted of each peer.
    of_peers: BTreeMap<NodeId, usize>,
    /// When peers were asked last.
    asked: BTreeMap<NodeId, Mono>,
    /// What came lately, and who has it already.
    news: BTreeMap<Domain, BTreeMap<EntryId, Vec<NodeId>>>,
    due: Option<Mono>,
    questions: u64,
    outputs: VecDeque<(NodeId, Message)>,
}

impl Offers {
    /// Entries that are remembered of others.
    pub(super) fn retained(&self) -> usize {
        self.wanted.len() + self.asked.len() + self.news.values().map(BTreeMap::len).sum::<usize>()
    }

    /// A peer says what it has.
    pub(super) fn offered(&mut self, from: NodeId, domain: &Domain, ids: &[EntryId], ledger: &Ledger, now: Now) {
        if !ledger.follows(domain) {
            return;
        }
        let mut pull = Vec::new();
        let question = self.questions + 1;
        for id in ids {
            // It is here, or there was no room for it.
            if ledger.entry(domain, id).is_some() || ledger.is_away(domain, id) {
                continue;
            }
            let of_peer = self.of_peers.get(&from).copied().unwrap_or_default();
            if let Some(wanted) = self.wanted.get_mut(id) {
                if wanted.others.len() < MAX_OTHERS && wanted.from != from && !wanted.others.contains(&from) {
                    wanted.others.push(from);
                }
            } else if self.wanted.len() < MAX_WANTED && of_peer < MAX_WANTED_OF_PEER {
                let others = Vec::new();
                let wanted = Wanted { domain: domain.clone(), from, question, others, since: now.mono };
                self.want(*id, Box::new(wanted));
                pull.push(*id);
            }
        }
        self.pull(from, domain, pull, now);
    }

    fn want(&mut self, id: EntryId, wanted: Box<Wanted>) {
        self.since.insert((wanted.since, id));
        *self.of_peers.entry(wanted.from).or_default() += 1;
        self.wanted.insert(id, wanted);
    }

    fn unwant(&mut self, id: &EntryId) -> Option<Box<Wanted>> {
        let wanted = self.wanted.remove(id)?;
        self.since.remove(&(wanted.since, *id));
        if let Some(count) = self.of_peers.get_mut(&wanted.from) {
            *count -= 1;
            if *count == 0 {
                self.of_peers.remove(&wanted.from);
            }
        }
        Some(wanted)
    }

    /// Whether a peer was asked for something lately.
    pub(super) fn expects(&self, from: &NodeId, now: Now) -> bool {
        self.asked.get(from).is_some_and(|at| now.mono.since(*at) < LATE_MS)
    }

    /// Asks for at most [`MAX_NAMED`] entries, which are wanted by the next question.
    fn pull(&mut self, from: NodeId, domain: &Domain, entries: Vec<EntryId>, now: Now) {
        if !entries.is_empty() {
            self.questions += 1;
            self.asked.insert(from, now.mono);
            let (question, domain) = (self.questions, domain.clone());
            self.outputs.push_back((from, Message::Pull { question, session: None, domain, entries }));
        }
    }

    /// A peer has given all it has of what it was asked: the rest is asked of others.
    pub(super) fn answered(&mut self, from: NodeId, question: u64, now: Now) {
        let asked = |of: &Wanted| of.from == from && of.question == question;
        let missing: Vec<_> = self.wanted.iter().filter(|(_, of)| asked(of)).map(|(id, _)| *id).collect();
        self.ask_others(missing, now);
    }

    /// An entry came from a peer. It need not be asked for any more; those are told who have it.
    pub(super) fn came(&mut self, from: NodeId, id: &EntryId) -> Vec<NodeId> {
        let mut has = vec![from];
        if let Some(wanted) = self.unwant(id) {
            has.push(wanted.from);
            has.extend(wanted.others);
        }
        has
    }

    /// An entry that came is current here now: it is news to all but those who have it.
    pub(super) fn learned(&mut self, domain: &Domain, id: EntryId, has: Vec<NodeId>, now: Now) {
        self.news.entry(domain.clone()).or_default().insert(id, has);
        self.due.get_or_insert(now.mono + GATHER_MS);
    }

    /// An entry of ours that is told in no other way.
    pub(super) fn made(&mut self, domain: &Domain, id: EntryId, now: Now) {
        self.learned(domain, id, Vec::new(), now);
    }

    /// There is no link to a peer any more: what it was asked for is asked of others.
    pub(super) fn unlinked(&mut self, peer: &NodeId, now: Now) {
        self.asked.remove(peer);
        self.wanted.values_mut().for_each(|wanted| wanted.others.retain(|other| other != peer));
        let lost: Vec<_> = self.wanted.iter().filter(|(_, of)| of.from == *peer).map(|(id, _)| *id).collect();
        self.ask_others(lost, now);
    }

    fn ask_others(&mut self, ids: Vec<EntryId>, now: Now) {
        let mut pulls: BTreeMap<(NodeId, Domain), Vec<EntryId>> = BTreeMap::new();
        for id in ids {
            let Some(mut wanted) = self.unwant(&id) else { continue };
            // When nobody else has offered it, it is found by comparison.
            let Some(next) = wanted.others.pop() else { continue };
            pulls.entry((next, wanted.domain.clone())).or_default().push(id);
            (wanted.from, wanted.since) = (next, now.mono);
            self.want(id, wanted);
        }
        for ((from, domain), ids) in pulls {
            for ids in ids.chunks(MAX_NAMED) {
                for id in ids {
                    if let Some(wanted) = self.wanted.get_mut(id) {
                        wanted.question = self.questions + 1;
                    }
                }
                self.pull(from, &domain, ids.to_vec(), now);
            }
        }
    }

    /// Whether there is news to be told now.
    pub(super) fn is_due(&self, now: Now) -> bool {
        self.due.is_some_and(|due| due <= now.mono)
    }

    /// Tells `neighbours` what is news to them.
    pub(super) fn tell(&mut self, neighbours: &[NodeId]) {
        self.due = None;
        for (domain, news) in std::mem::take(&mut self.news) {
            for to in neighbours {
                let lacks = |(id, has): (&EntryId, &Vec<NodeId>)| (!has.contains(to)).then_some(*id);
                let ids: Vec<_> = news.iter().filter_map(lacks).collect();
                for entries in ids.chunks(MAX_NAMED) {
                    let message = Message::Have { domain: domain.clone(), entries: entries.to_vec() };
                    self.outputs.push_back((*to, message));
                }
            }
        }
    }

    /// Asks others for what has not come.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let late = |since: &Mono| now.mono.since(*since) >= PATIENCE_MS;
        let late: Vec<_> = self.since.iter().take_while(|(since, _)| late(since)).map(|(_, id)| *id).collect();
        self.ask_others(late, now);
        self.asked.retain(|_, at| now.mono.since(*at) < LATE_MS);
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let late = self.since.first().map(|(since, _)| *since + PATIENCE_MS);
        late.into_iter().chain(self.due).min()
    }

    /// What is to be said, and to whom.
    pub(super) fn poll_output(&mut self) -> Option<(NodeId, Message)> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
