//! How entries get from one side to the other once it is known which.

use std::collections::{BTreeSet, VecDeque};

use mesh_proto::knowledge::{Credited, Domain, Message};
use mesh_proto::limits::{MAX_ADMISSION, MAX_BODY, MAX_CREDITED, MAX_PULLED};
use mesh_proto::{EntryId, NodeId};
use serde_bytes::ByteBuf;

use super::Comparisons;
use crate::knowledge::Chains;
use crate::knowledge::ledger::Ledger;
use crate::time::Now;

/// Entries in one pull. What comes back fits into a handful of messages.
const PULL: usize = 256;
/// Bytes of entries and credentials in one push, less the room for what stands around them.
const PUSH_BYTES: usize = MAX_BODY - 4096;

/// What a peer has asked for and was not given yet.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) ids: VecDeque<EntryId>,
    /// Whether its question was answered to the end.
    pub(super) answered: bool,
}

impl Comparisons {
    /// Asks for the next of what we lack.
    pub(super) fn pull(&mut self, from: NodeId) {
        let Some(ours) = self.ours.get_mut(&from) else { return };
        if ours.pulling || ours.asking.is_some() || ours.need.is_empty() {
            return;
        }
        ours.pulling = true;
        let entries = ours.need.split_off(ours.need.len() - ours.need.len().min(PULL));
        let session = ours.session;
        self.say(from, &Message::Pull { session, entries });
    }

    /// A peer asks for entries of ours. It asks for more when it has these.
    pub(in super::super) fn pulled(
        &mut self,
        from: NodeId,
        session: u64,
        names: &[EntryId],
        (ledger, chains): (&Ledger, &Chains),
        now: Now,
    ) {
        let Some(theirs) = self.theirs.get_mut(&from).filter(|theirs| theirs.session == session) else { return };
        theirs.used = now.mono;
        if theirs.asked.as_ref().is_some_and(|asked| !asked.answered) {
            return;
        }
        let names: BTreeSet<_> = names.iter().collect();
        let ids = names.into_iter().filter_map(|name| theirs.set.names.get(name).copied()).collect();
        theirs.asked = Some(Asked { ids: in_order(ids, &theirs.domain, ledger), answered: false });
        self.give(from, ledger, chains);
    }

    /// Gives the next of what a peer lacks, as far as it has taken what went before.
    pub(super) fn give(&mut self, to: NodeId, ledger: &Ledger, chains: &Chains) {
        while self.lanes.is_free(&to) {
            let asked = self.theirs.get_mut(&to).and_then(|theirs| {
                let asked = theirs.asked.as_mut().filter(|asked| !asked.answered)?;
                let packed = pack(&mut asked.ids, &theirs.domain, ledger, chains);
                asked.answered = asked.ids.is_empty();
                Some((theirs.session, packed, asked.answered))
            });
            if let Some((session, Packed { entries, credentials }, last)) = asked {
                self.say(to, &Message::Push { session, entries, credentials, last });
                continue;
            }
            let Some(ours) = self.ours.get_mut(&to) else { return };
            if ours.asking.is_some() || ours.have.is_empty() {
                return;
            }
            let Packed { entries, credentials } = pack(&mut ours.have, &ours.domain, ledger, chains);
            if !entries.is_empty() {
                ours.sent += entries.len();
                self.say(to, &Message::Push { session: 0, entries, credentials, last: false });
            }
        }
    }

    /// Whether a push is one that was asked for, or of somebody who is comparing with us: any other is not worth the time to
    /// check its signatures.
    pub(in super::super) fn expects(&self, from: &NodeId, session: u64) -> bool {
        match session {
            0 => self.theirs.contains_key(from),
            _ => self.ours.get(from).is_some_and(|ours| ours.session == session && ours.pulling),
        }
    }

    /// A peer has given entries, of which so many were news; with `again` some could not be taken yet, and may be soon.
    pub(in super::super) fn pushed(
        &mut self,
        from: NodeId,
        (session, last): (u64, bool),
        (news, again): (usize, bool),
        now: Now,
    ) {
        if session == 0
            && let Some(theirs) = self.theirs.get_mut(&from)
        {
            theirs.used = now.mono;
        }
        let Some(ours) = self.ours.get_mut(&from).filter(|ours| ours.session == session) else { return };
        ours.received += news;
        ours.again |= again;
        ours.heard = now.mono;
        if last {
            ours.pulling = false;
            self.pull(from);
        }
    }
}

/// Grants first: without them the others are not taken.
pub(super) fn in_order(mut ids: Vec<EntryId>, domain: &Domain, ledger: &Ledger) -> VecDeque<EntryId> {
    ids.sort_by_key(|id| ledger.entry(domain, id).is_some_and(|(key, _)| !key.is_empty()));
    ids.into()
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
