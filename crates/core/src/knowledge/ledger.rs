//! What this node knows of keys: for each the entries of which none replaces another.
//!
//! An entry goes when another of its key replaces it, and of those that are left at most [`MAX_SIBLINGS`] stay, the latest by
//! [`rank`]. The first of these is what the key stands for (last writer wins); the others are its siblings, for applications
//! that can merge. What replaces something always has a higher rank, so that nothing goes in a circle:
//!
//! * Whatever the order in which they come, nodes that exchange what they keep end with the same, and the first of each key is
//!   the highest of all that were ever seen. So nothing that was replaced becomes what its key stands for again.
//! * As long as authors replace everything they know, as [`Ledger::replaced`] has it, what is kept is a function of the set of
//!   entries: those that no other replaces. Two cases are left. Of more than [`MAX_SIBLINGS`] written at once, the others are
//!   lost; one of them may be back as a sibling when those before it have been replaced by somebody who did not know it. And who
//!   replaces a key that more than [`MAX_REPLACED`] have written names the latest of them: what the others wrote may come back
//!   from a node that was away, as a sibling.
//!
//! An entry that takes a key away, or has expired, stays as well: it is what keeps older ones from coming back. Room is made of
//! those alone, and only of ones that are older than [`Config::forget_ms`]; then they are not taken in again from others either,
//! unless they replace something.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mesh_proto::knowledge::{Change, Content, Domain, Entry, Summary, Version, digest};
use mesh_proto::limits::{MAX_REPLACED, MAX_SUMMARIES};
use mesh_proto::{EntryId, Hlc, NodeId};

mod away;
mod taking;

use away::Away;

/// Entries of one key that are kept beside each other.
pub const MAX_SIBLINGS: usize = 8;

/// Bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Domains that are kept, or all that come up to the bounds below. At most 256 are named in a summary.
    pub follow: Follow,
    /// Entries in all. Others' are refused when only an eighth is left, which is for this node's own. Twice as many are remembered
    /// by their ids, so that they do not come again; what is beyond that comes with every comparison.
    pub max_entries: usize,
    /// Bytes of entries in all, as they are kept; with the same eighth, which others' may use to take a key away.
    pub max_bytes: usize,
    /// Entries of one author, past which it only replaces what is here.
    pub max_of_author: usize,
    /// Age in milliseconds from which on what takes a key away may be forgotten for want of room: how long a node may be offline
    /// without bringing deleted keys back.
    pub forget_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            follow: Follow::All,
            max_entries: 32_768,
            max_bytes: 16 * 1024 * 1024,
            max_of_author: 16_384,
            forget_ms: 7 * 24 * 3_600 * 1_000,
        }
    }
}

/// Which domains are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Whatever others write.
    All,
    /// These, and those that this node writes in.
    Only(BTreeSet<Domain>),
}

/// An entry that is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Names it.
    pub id: EntryId,
    /// Who wrote it, and when.
    pub version: Version,
    /// What it says.
    pub change: Change,
    /// What it replaces.
    pub replaces: Vec<Version>,
    /// Unix milliseconds of its end.
    pub expires: Option<u64>,
    /// The envelope as it was signed.
    pub wire: Bytes,
}

impl Kept {
    /// Its content, if it has not expired.
    pub fn content(&self, unix: u64) -> Option<&Content> {
        match &self.change {
            Change::Put(content) if self.expires.is_none_or(|expires| expires > unix) => Some(content),
            Change::Put(_) | Change::Delete | Change::Grant(_) => None,
        }
    }

    /// Whether the other goes when this is here.
    fn replaces(&self, other: &Self) -> bool {
        let Version(author, clock) = other.version;
        if self.version.0 == author {
            // Two that their author calls the same are one: the same at everybody's.
            return (self.version.1, self.id) > (clock, other.id);
        }
        self.replaces.iter().any(|Version(of, until)| *of == author && *until >= clock)
    }
}

/// What goes first among siblings: the latest by clock, then by author.
fn rank(kept: &Kept) -> (Hlc, NodeId, EntryId) {
    (kept.version.1, kept.version.0, kept.id)
}

/// What came of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is here already.
    Known,
    /// What is here replaces it, or goes before it.
    Superseded,
    /// It is current now, and these are not any more.
    Current {
        /// What is not kept any more, of this key or, after a grant, of others.
        dropped: Vec<(String, Kept)>,
    },
}

/// Why an entry is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its domain is not followed here.
    #[error("the domain is not followed here")]
    NotFollowed,
    /// Its author may not write in its domain.
    #[error("only its owner, and whom it lets, may write in this domain")]
    NotAWriter,
    /// It is more than a minute ahead.
    #[error("the entry is from more than a minute ahead")]
    FromFuture,
    /// There is no room for it.
    #[error("there is no room for more entries: delete some, or raise the bounds of knowledge")]
    NoRoom,
}

/// The entries of one domain.
#[derive(Debug, Default)]
struct Book {
    /// By key; the first of each is what it stands for.
    keys: BTreeMap<String, Vec<Kept>>,
    /// The key of each entry.
    index: BTreeMap<EntryId, String>,
    /// Of [`summary`](Ledger::summary), until something changes.
    digest: Option<EntryId>,
}

impl Book {
    fn grant(&self) -> Option<&[NodeId]> {
        match &self.keys.get("")?.first()?.change {
            Change::Grant(writers) => Some(writers),
            Change::Put(_) | Change::Delete => None,
        }
    }

    fn may_write(&self, domain: &Domain, author: &NodeId) -> bool {
        let Some(owner) = &domain.owner else { return true };
        owner == author || self.grant().is_some_and(|writers| writers.binary_search(author).is_ok())
    }
}

/// All domains.
#[derive(Debug)]
pub struct Ledger {
    config: Config,
    node: NodeId,
    books: BTreeMap<Domain, Book>,
    /// Entries of each author.
    authors: BTreeMap<NodeId, usize>,
    /// Ends to come.
    expiries: BTreeSet<(u64, EntryId, Domain)>,
    entries: usize,
    bytes: usize,
    /// What there was no room for.
    away: Away,
    /// Whether something was among it because of others' entries, and not because of its author's.
    crowded: bool,
    /// What was forgotten for want of room and not told yet.
    forgotten: Vec<Kept>,
    /// Whether what is old and takes a key away is not taken in any more.
    forgetting: bool,
    /// Unix milliseconds before which there is nothing to forget.
    next_forget: u64,
}

impl Ledger {
    /// An empty one, of `node`.
    pub fn new(config: Config, node: NodeId) -> Self {
        Self {
            config,
            node,
            books: BTreeMap::new(),
            authors: BTreeMap::new(),
            expiries: BTreeSet::new(),
            entries: 0,
            bytes: 0,
            away: Away::default(),
            crowded: false,
            forgotten: Vec::new(),
            forgetting: false,
            next_forget: 0,
        }
    }

    /// Entries, and their bytes.
    pub fn load(&self) -> (usize, usize) {
        (self.entries, self.bytes)
    }

    /// The domains that have entries.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.books.keys()
    }

    /// Whether entries of `domain` are kept.
    pub fn follows(&self, domain: &Domain) -> bool {
        match &self.config.follow {
            Follow::All => self.has_domain(domain),
            Follow::Only(domains) => domains.contains(domain) || self.books.contains_key(domain),
        }
    }

    /// Whether `node` may write in `domain`.
    pub fn may_write(&self, domain: &Domain, node: &NodeId) -> bool {
        match self.books.get(domain) {
            Some(book) => book.may_write(domain, node),
            None => domain.owner.is_none_or(|owner| owner == *node),
        }
    }

    /// What a key stands for, and its siblings: the latest first.
    pub fn get(&self, domain: &Domain, key: &str) -> &[Kept] {
        self.books.get(domain).and_then(|book| book.keys.get(key)).map_or(&[], Vec::as_slice)
    }

    /// The keys of a domain that begin with `prefix` and come after `after`, in order.
    pub fn keys<'a>(
        &'a self,
        domain: &Domain,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a [Kept])> {
        let from = after.map_or(std::ops::Bound::Included(prefix), |after| {
            if after < prefix { std::ops::Bound::Included(prefix) } else { std::ops::Bound::Excluded(after) }
        });
        let book = self.books.get(domain).into_iter();
        book.flat_map(move |book| book.keys.range::<str, _>((from, std::ops::Bound::Unbounded)))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, kept)| (key.as_str(), kept.as_slice()))
    }

    /// An entry by its id.
    pub fn entry(&self, domain: &Domain, id: &EntryId) -> Option<(&str, &Kept)> {
        let book = self.books.get(domain)?;
        let (key, kept) = book.keys.get_key_value(book.index.get(id)?)?;
        Some((key, kept.iter().find(|kept| kept.id == *id)?))
    }

    /// Whether an entry would be current, as far as its key is concerned. What is not need not be verified.
    pub fn is_news(&self, entry: &Entry, id: &EntryId, version: &Version) -> bool {
        let heads = self.get(&entry.domain, &entry.key);
        let Version(author, clock) = version;
        let replaced = |head: &Kept| {
            let mut before = head.replaces.iter();
            head.version.0 == *author && head.version.1 > *clock
                || before.any(|Version(of, until)| of == author && until >= clock)
        };
        heads.iter().all(|head| head.id != *id && !replaced(head))
    }

    /// All entries of a domain, in no order that means anything.
    pub fn entries(&self, domain: &Domain) -> impl Iterator<Item = (&str, &Kept)> {
        let keys = self.books.get(domain).into_iter().flat_map(|book| &book.keys);
        keys.flat_map(|(key, kept)| kept.iter().map(move |kept| (key.as_str(), kept)))
    }

    /// The ids of a domain's entries, in order.
    pub fn ids(&self, domain: &Domain) -> impl Iterator<Item = &EntryId> {
        self.books.get(domain).into_iter().flat_map(|book| book.index.keys())
    }

    /// Entries of a domain.
    pub fn count(&self, domain: &Domain) -> usize {
        self.books.get(domain).map_or(0, |book| book.index.len())
    }

    /// What is told of a domain to others.
    pub fn summary(&mut self, domain: &Domain) -> Summary {
        let book = self.books.get_mut(domain);
        let count = book.as_ref().map_or(0, |book| book.index.len()) as u64;
        let digest = match book {
            Some(book) => *book.digest.get_or_insert_with(|| digest(book.index.keys())),
            None => digest([]),
        };
        Summary { domain: domain.clone(), count, digest }
    }

    /// One hash of everything that is current: equal on nodes that know the same.
    pub fn digest(&mut self) -> EntryId {
        let domains: Vec<_> = self.books.keys().cloned().collect();
        let digests: Vec<_> = domains.iter().map(|domain| self.summary(domain).digest).collect();
        digest(&digests)
    }

    /// Entries of this author.
    pub fn of_author(&self, author: &NodeId) -> usize {
        self.authors.get(author).copied().unwrap_or_default()
    }

    /// Entries of a domain that there was no room for: a comparison takes them as if they were here, or they would come anew
    /// each time.
    pub fn away(&self, domain: &Domain) -> impl Iterator<Item = (EntryId, Hlc)> {
        self.away.of(domain)
    }

    /// Whether there was no room for an entry: it is not to be asked for.
    pub fn is_away(&self, domain: &Domain, id: &EntryId) -> bool {
        self.away.contains(domain, id)
    }

    /// Entries that are remembered though there was no room for them.
    pub fn retained(&self) -> usize {
        self.away.len()
    }

    /// What was forgotten for want of room since this was asked last.
    pub fn forgotten(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.forgotten)
    }

    /// What the next entry of anybody for a key replaces: what is current, and the latest of what that has replaced.
    pub fn replaced(&self, domain: &Domain, key: &str) -> Vec<Version> {
        let heads = self.get(domain, key);
        let mut newest: BTreeMap<NodeId, (bool, Hlc)> = BTreeMap::new();
        let current = heads.iter().map(|head| (true, head.version));
        for (is_head, Version(of, clock)) in current.chain(heads.iter().flat_map(before)) {
            let known = newest.entry(of).or_default();
            *known = (known.0 || is_head, known.1.max(clock));
        }
        let mut newest: Vec<_> = newest.into_iter().map(|(of, (is_head, clock))| (is_head, clock, of)).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest.truncate(MAX_REPLACED);
        let mut newest: Vec<_> = newest.into_iter().map(|(_, clock, of)| Version(of, clock)).collect();
        newest.sort_unstable();
        newest
    }

    /// Whether this node could write in `domain`, if there is room.
    ///
    /// # Errors
    /// [`Refused::NotAWriter`], [`Refused::NoRoom`]
    pub fn check_own(&self, domain: &Domain) -> Result<(), Refused> {
        if !self.may_write(domain, &self.node) {
            return Err(Refused::NotAWriter);
        }
        if self.has_domain(domain) { Ok(()) } else { Err(Refused::NoRoom) }
    }

    fn has_domain(&self, domain: &Domain) -> bool {
        self.books.len() < MAX_SUMMARIES || self.books.contains_key(domain)
    }

    /// The entries whose time is over by now; each is told once.
    pub fn expire(&mut self, unix: u64) -> Vec<(Domain, String, Kept)> {
        let mut over = Vec::new();
        while let Some((expires, id, domain)) = self.expiries.first().cloned()
            && expires <= unix
        {
            self.expiries.remove(&(expires, id, domain.clone()));
            if let Some((key, kept)) = self.entry(&domain, &id) {
                over.push((domain.clone(), key.to_owned(), kept.clone()));
            }
        }
        over
    }

    /// Unix milliseconds at which the next entry expires.
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires, ..)| *expires)
    }
}

/// What an entry says of those before it.
fn before(kept: &Kept) -> impl Iterator<Item = (bool, Version)> {
    kept.replaces.iter().map(|version| (false, *version))
}

#[cfg(test)]
mod tests;
