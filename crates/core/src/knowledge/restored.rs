//! What stands in the store: entries, what was pinned, and what shows that authors are members.

use std::collections::BTreeSet;

use bytes::Bytes;
use cid::Cid;
use mesh_proto::knowledge::{Change as What, Credited, Signed};
use mesh_proto::limits::MAX_ADMISSION;
use mesh_proto::{EntryId, MeshId, NodeId, Unverified, ordered};

use super::{Chains, Knowledge};
use crate::records::{self, Change};
use crate::time::Now;

const ENTRY: &str = "knowledge/entry/";
const PIN: &str = "knowledge/pin/";
const AUTHOR: &str = "knowledge/author/";
/// What the keys of all records begin with.
pub const PREFIX: &str = "knowledge/";

/// What stood in the store.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    pub(super) entries: Vec<Bytes>,
    pub(super) pins: BTreeSet<Cid>,
    pub(super) chains: Chains,
    /// Records that are damaged: they count as missing, for others have the same entries.
    pub damaged: Vec<String>,
}

impl Restored {
    /// Takes its records out of those of a store.
    pub fn take(records: &mut Vec<(String, Bytes)>) -> Self {
        let mut restored = Self::default();
        for (key, value) in records.extract_if(.., |(key, _)| key.starts_with(PREFIX)) {
            if !restored.record(&key, &value) {
                restored.damaged.push(key);
            }
        }
        restored
    }

    /// Without what is of another mesh than `mesh`: the store may have been another's.
    #[must_use]
    pub fn of(mut self, mesh: &MeshId) -> Self {
        self.entries.retain(|wire| Unverified::decode(wire.clone()).is_ok_and(|entry| entry.claims().mesh == *mesh));
        self
    }

    fn record(&mut self, key: &str, value: &[u8]) -> bool {
        if key.starts_with(ENTRY) {
            let wire = records::open(key, value);
            wire.map(|wire| self.entries.push(Bytes::copy_from_slice(wire))).is_ok()
        } else if let Some(cid) = key.strip_prefix(PIN) {
            records::open(key, value).is_ok() && cid.parse().map(|cid| self.pins.insert(cid)).is_ok()
        } else if key.starts_with(AUTHOR) {
            let read = records::read::<Credited>(key, value, MAX_ADMISSION);
            read.map(|of| self.chains.insert(of.node, of.chain)).is_ok()
        } else {
            false
        }
    }
}

/// The record of an entry.
pub(super) fn entry(id: &EntryId, wire: &[u8]) -> Change {
    records::put(format!("{ENTRY}{id}"), wire)
}

/// An entry is kept no longer.
pub(super) fn no_entry(id: &EntryId) -> Change {
    Change { key: format!("{ENTRY}{id}"), value: None }
}

pub(super) fn pin(cid: &Cid) -> Change {
    records::put(format!("{PIN}{cid}"), &[])
}

pub(super) fn unpin(cid: &Cid) -> Change {
    Change { key: format!("{PIN}{cid}"), value: None }
}

/// The record of what shows that an author is a member.
pub(super) fn author(of: &Credited) -> Change {
    records::write(format!("{AUTHOR}{}", of.node), of, MAX_ADMISSION)
}

pub(super) fn no_author(node: &NodeId) -> Change {
    Change { key: format!("{AUTHOR}{node}"), value: None }
}

impl Knowledge {
    /// Takes in what stood in the store, and has removed from there what is not kept any more: the bounds may be others now.
    pub(super) fn restore(&mut self, entries: Vec<Bytes>, now: Now) {
        let ids: BTreeSet<_> = ordered(entries.iter().map(|wire| EntryId::of(wire)));
        let read = |wire| Signed::read(Unverified::decode(wire).ok()?.believe()).ok();
        // Grants first, for the others may stand on them.
        let (grants, others): (Vec<_>, Vec<_>) =
            entries.into_iter().filter_map(read).partition(|signed| matches!(signed.entry.change, What::Grant(_)));
        for signed in grants.into_iter().chain(others) {
            let _ = self.take(signed, true, &mut Vec::new(), now);
        }
        self.outputs.clear();
        // That is news to nobody.
        self.recent.clear();
        let kept: BTreeSet<_> = ordered(self.ledger.domains().flat_map(|domain| self.ledger.ids(domain)).copied());
        let mut changes: Vec<_> = ids.difference(&kept).map(no_entry).collect();
        let strangers: Vec<_> =
            self.chains.keys().filter(|author| self.ledger.of_author(author) == 0).copied().collect();
        for author in strangers {
            self.chains.remove(&author);
            changes.push(no_author(&author));
        }
        if !changes.is_empty() {
            self.keep(changes);
        }
    }
}
