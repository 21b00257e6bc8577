//! How entries get from one side to the other once it is known which.

use std::collections::{BTreeSet, VecDeque};

use mesh_proto::knowledge::{Credited, Domain, Message};
use mesh_proto::limits::{MAX_ADMISSION, MAX_BODY, MAX_CREDITED, MAX_NAMED, MAX_PULLED};
use mesh_proto::{EntryId, NodeId, ordered};
use serde_bytes::ByteBuf;

use super::{Comparisons, MAX_NEED};
use crate::knowledge::Chains;
use crate::knowledge::ledger::Ledger;
use crate::time::Now;

/// Entries in one pull. What comes back fits into a handful of messages.
const PULL: usize = 512;
/// Pulls that are not answered wholly yet: on a line that loses packets, one after the other would take as many times as long.
const PULLS: u32 = 4;
/// Bytes of entries and credentials in one push, less the room for what stands around them.
const PUSH_BYTES: usize = MAX_BODY - 256;

/// What a peer has asked for and was not given yet.
#[derive(Debug)]
pub(super) struct Asked {
    question: u64,
    domain: Domain,
    pub(super) ids: VecDeque<EntryId>,
}

impl Comparisons {
    /// Asks for the next of what we lack.
    pub(super) fn pull(&mut self, from: NodeId) {
        let Some(ours) = self.ours.get_mut(&from) else { return };
        if ours.asking.is_some() {
            return;
        }
        let mut pulls = Vec::new();
        while ours.pulling < PULLS && !ours.need.is_empty() {
            ours.pulling += 1;
            let entries = ours.need.split_off(ours.need.len() - ours.need.len().min(PULL));
            let (session, domain) = (ours.session, ours.domain.clone());
            pulls.push(Message::Pull { question: session, session: Some(session), domain, entries });
        }
        pulls.iter().for_each(|pull| self.say(from, pull));
    }

    /// Tells a peer what it lacks.
    pub(super) fn offer(&mut self, to: NodeId, ledger: &Ledger) {
        let Some(ours) = self.ours.get_mut(&to) else { return };
        let (have, domain) = (std::mem::take(&mut ours.have), ours.domain.clone());
        ours.sent = have.len();
        for entries in in_order(have, &domain, ledger).chunks(MAX_NAMED) {
            self.say(to, &Message::Have { domain: domain.clone(), entries: entries.to_vec() });
        }
    }

    /// A peer asks for entries of ours. What is too much at once is not answered.
    pub(in super::super) fn pulled(
        &mut self,
        from: NodeId,
        (question, session): (u64, Option<u64>),
        (domain, names): (&Domain, &[EntryId]),
        (ledger, chains): (&Ledger, &Chains),
        now: Now,
    ) {
        let names: BTreeSet<EntryId> = ordered(names.iter().copied());
        let ids: Vec<_> = match session {
            None => names.into_iter().collect(),
            Some(session) => {
                let Some(theirs) = self.theirs(from, session, domain, ledger, now) else { return };
                names.iter().filter_map(|name| theirs.set.names.get(name).copied()).collect()
            }
        };
        let waiting: usize = self.asked.get(&from).into_iter().flatten().map(|asked| 1 + asked.ids.len()).sum();
        if waiting + ids.len() < MAX_NEED {
            let ids = in_order(ids, domain, ledger).into();
            self.asked.entry(from).or_default().push_back(Asked { question, domain: domain.clone(), ids });
            self.give(from, ledger, chains);
        }
    }

    /// Gives the next of what a peer has asked for, as far as it has taken what went before.
    pub(super) fn give(&mut self, to: NodeId, ledger: &Ledger, chains: &Chains) {
        while self.lanes.is_free(&to)
            && let Some(queue) = self.asked.get_mut(&to)
        {
            let Some(Asked { question, domain, ids }) = queue.front_mut() else {
                self.asked.remove(&to);
                return;
            };
            let Packed { entries, credentials } = pack(ids, domain, ledger, chains);
            let (question, last) = (*question, ids.is_empty());
            if last {
                queue.pop_front();
            }
            self.say(to, &Message::Push { question, entries, credentials, last });
        }
    }

    /// Whether a comparison has asked a peer this.
    pub(in super::super) fn expects(&self, from: &NodeId, question: u64) -> bool {
        self.ours.get(from).is_some_and(|ours| ours.session == question && ours.pulling > 0)
    }

    /// A peer has given entries, of which so many were news; with `again` some could not be taken yet, and may be soon.
    pub(in super::super) fn pushed(
        &mut self,
        from: NodeId,
        (question, last): (u64, bool),
        (news, again): (usize, bool),
        now: Now,
    ) {
        let Some(ours) = self.ours.get_mut(&from).filter(|ours| ours.session == question) else { return };
        ours.received += news;
        ours.again |= again;
        ours.heard = now.mono;
        if last {
            ours.pulling = ours.pulling.saturating_sub(1);
            self.pull(from);
        }
    }
}

/// Grants first: without them the others are not taken.
fn in_order(ids: Vec<EntryId>, domain: &Domain, ledger: &Ledger) -> Vec<EntryId> {
    let stands_on_one = |id: &EntryId| ledger.entry(domain, id).is_some_and(|(key, _)| !key.is_empty());
    let (others, mut ids): (Vec<_>, Vec<_>) = ids.into_iter().partition(stands_on_one);
    ids.extend(others);
    ids
}

/// Entries for one push, and their authors' credentials.
#[derive(Debug, Default)]
struct Packed {
    entries: Vec<ByteBuf>,
    credentials: Vec<Credited>,
}

/// Takes as many of `ids` as fit into one push; those that are not here any more go as well.
fn pack(ids: &mut VecDeque<EntryId>, domain: &Domain, ledger: &Ledger, chains: &Chains) -> Packed {
    let mut push = Packed::default();
    let (mut bytes, mut authors) = (0, BTreeSet::new());
    while let Some(id) = ids.front() {
        if let Some((_, kept)) = ledger.entry(domain, id) {
            let author = kept.version.0;
            // Again in each push: they may come to nothing one by one.
            let chain = chains.get(&author).filter(|_| !authors.contains(&author));
            let size = kept.wire.len() + 8 + if chain.is_some() { MAX_ADMISSION } else { 0 };
            let full = push.entries.len() >= MAX_PULLED || chain.is_some() && push.credentials.len() >= MAX_CREDITED;
            if full || bytes + size > PUSH_BYTES {
                return push;
            }
            bytes += size;
            push.credentials.extend(chain.map(|chain| Credited { node: author, chain: chain.clone() }));
            push.entries.push(ByteBuf::from(kept.wire.to_vec()));
            authors.insert(author);
        }
        ids.pop_front();
    }
    push
}
