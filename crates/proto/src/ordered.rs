//! Gathering into maps and sets that are ordered.

/// What `collect` makes of these, one put in after the other.
///
/// `collect` into a `BTreeMap` or `BTreeSet` sorts first, which is 3 kB of code for every type of element, some 800 bytes
/// of the download each (docs/adr/0039). Ours hold few elements at the moment when they are made, or are made once.
pub fn ordered<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    all.extend(items);
    all
}
