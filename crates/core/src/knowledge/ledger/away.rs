//! Entries that there was no room for. They are remembered by their ids, so that they are not fetched again and again.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::knowledge::{Domain, Version};
use mesh_proto::{EntryId, Hlc, NodeId};

/// Of one domain: some 200 bytes each.
#[derive(Debug, Default)]
struct Entries {
    /// By a hash of their key.
    keys: BTreeMap<(u64, EntryId), Version>,
    ids: BTreeSet<EntryId>,
}

#[derive(Debug, Default)]
pub(super) struct Away {
    domains: BTreeMap<Domain, Entries>,
    len: usize,
}

impl Away {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Remembers an entry, if there are fewer than `max`. Else it comes again.
    pub(super) fn add(&mut self, domain: &Domain, key: &str, (id, version): (EntryId, Version), max: usize) {
        if self.len < max {
            let entries = self.domains.entry(domain.clone()).or_default();
            entries.keys.insert((hash(key), id), version);
            self.len += usize::from(entries.ids.insert(id));
        }
    }

    /// Something of a key was taken in: what was not may replace it.
    pub(super) fn remove(&mut self, domain: &Domain, key: &str) {
        let Some(entries) = self.domains.get_mut(domain) else { return };
        let key = hash(key);
        let of_key: Vec<_> =
            entries.keys.range((key, EntryId([0; 32]))..=(key, EntryId([255; 32]))).map(|(of, _)| *of).collect();
        for entry in &of_key {
            entries.keys.remove(entry);
            entries.ids.remove(&entry.1);
        }
        self.len -= of_key.len();
        if entries.ids.is_empty() {
            self.domains.remove(domain);
        }
    }

    /// There is room for the entries of all authors but of those that `stay`.
    pub(super) fn retain(&mut self, stay: impl Fn(&NodeId) -> bool) {
        for entries in self.domains.values_mut() {
            entries.keys.retain(|_, Version(author, _)| stay(author));
            entries.ids = entries.keys.keys().map(|(_, id)| *id).collect();
        }
        self.domains.retain(|_, entries| !entries.ids.is_empty());
        self.len = self.domains.values().map(|entries| entries.ids.len()).sum();
    }

    pub(super) fn contains(&self, domain: &Domain, id: &EntryId) -> bool {
        self.domains.get(domain).is_some_and(|entries| entries.ids.contains(id))
    }

    pub(super) fn of(&self, domain: &Domain) -> impl Iterator<Item = (EntryId, Hlc)> {
        let entries = self.domains.get(domain).into_iter().flat_map(|entries| &entries.keys);
        entries.map(|((_, id), Version(_, clock))| (*id, *clock))
    }
}

fn hash(key: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(key.as_bytes()).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
