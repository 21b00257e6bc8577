//! Entries that there was no room for. They are remembered by their ids, so that they are not fetched again and again.

use std::collections::BTreeMap;

use mesh_proto::knowledge::{Domain, Version};
use mesh_proto::{EntryId, Hlc, NodeId};

type Keys = BTreeMap<String, BTreeMap<EntryId, Version>>;

#[derive(Debug, Default)]
pub(super) struct Away {
    domains: BTreeMap<Domain, Keys>,
    len: usize,
}

impl Away {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Remembers an entry, if there are fewer than `max`. Else it comes again.
    pub(super) fn add(&mut self, domain: &Domain, key: &str, (id, version): (EntryId, Version), max: usize) {
        if self.len < max {
            let keys = self.domains.entry(domain.clone()).or_default();
            let before = keys.entry(key.to_owned()).or_default().insert(id, version);
            self.len += usize::from(before.is_none());
        }
    }

    /// Something of a key was taken in: what was not may replace it.
    pub(super) fn remove(&mut self, domain: &Domain, key: &str) {
        if let Some(keys) = self.domains.get_mut(domain)
            && let Some(entries) = keys.remove(key)
        {
            self.len -= entries.len();
            if keys.is_empty() {
                self.domains.remove(domain);
            }
        }
    }

    /// There is room for the entries of all authors but of those that `stay`.
    pub(super) fn retain(&mut self, stay: impl Fn(&NodeId) -> bool) {
        for keys in self.domains.values_mut() {
            for entries in keys.values_mut() {
                entries.retain(|_, Version(author, _)| stay(author));
            }
            keys.retain(|_, entries| !entries.is_empty());
        }
        self.domains.retain(|_, keys| !keys.is_empty());
        self.len = self.domains.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum();
    }

    pub(super) fn of(&self, domain: &Domain) -> impl Iterator<Item = (EntryId, Hlc)> {
        let keys = self.domains.get(domain).into_iter().flat_map(BTreeMap::values);
        keys.flatten().map(|(id, Version(_, clock))| (*id, *clock))
    }
}
