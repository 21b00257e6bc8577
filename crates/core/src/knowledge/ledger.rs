//! What this node knows of keys: for each the entries of which none replaces another.
//!
//! What is current is a function of the set of entries that were seen, whatever their order: an entry goes when another of its
//! key replaces it, and of those that are left at most [`MAX_SIBLINGS`] stay, the latest by [`rank`]. The first of these is what
//! the key stands for (last writer wins); the others are its siblings, for applications that can merge.
//!
//! An entry that takes a key away, or has expired, stays as well: it is what keeps older ones from coming back. Room is made of
//! those alone, and only of ones that are older than [`Config::forget_ms`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mesh_proto::knowledge::{Change, Content, Domain, Entry, Signed, Summary, Version, digest};
use mesh_proto::limits::{MAX_CLOCK_AHEAD_MS, MAX_REPLACED, MAX_SUMMARIES};
use mesh_proto::{EntryId, Hlc, NodeId};

/// Entries of one key that are kept beside each other.
pub const MAX_SIBLINGS: usize = 8;

/// Bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Domains that are kept, or all that come up to the bounds below. At most 256 are named in a summary.
    pub follow: Follow,
    /// Entries in all. Others' are refused when only an eighth is left, which is for this node's own.
    pub max_entries: usize,
    /// Bytes of entries in all, as they are kept; with the same eighth.
    pub max_bytes: usize,
    /// Entries of one author.
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

    fn replaces(&self, version: &Version) -> bool {
        let Version(author, clock) = version;
        if self.version.0 == *author {
            return self.version.1 > *clock;
        }
        self.replaces.iter().any(|Version(of, until)| of == author && until >= clock)
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
            Follow::All => self.books.contains_key(domain) || self.books.len() < MAX_SUMMARIES,
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
        heads.iter().all(|head| head.id != *id && !head.replaces(version))
    }

    /// All entries of a domain, in no order that means anything.
    pub fn entries(&self, domain: &Domain) -> impl Iterator<Item = (&str, &Kept)> {
        let keys = self.books.get(domain).into_iter().flat_map(|book| &book.keys);
        keys.flat_map(|(key, kept)| kept.iter().map(move |kept| (key.as_str(), kept)))
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

    /// What the next entry of `author` for a key replaces: everything that is known of it.
    pub fn replaced(&self, domain: &Domain, key: &str, author: &NodeId) -> Vec<Version> {
        let mut newest: BTreeMap<NodeId, Hlc> = BTreeMap::new();
        let kept = self.get(domain, key).iter();
        for Version(of, clock) in kept.flat_map(|kept| std::iter::once(&kept.version).chain(&kept.replaces)) {
            if of != author {
                let newest = newest.entry(*of).or_default();
                *newest = (*newest).max(*clock);
            }
        }
        let mut newest: Vec<_> = newest.into_iter().map(|(of, clock)| Version(of, clock)).collect();
        newest.sort_unstable_by_key(|Version(_, clock)| std::cmp::Reverse(*clock));
        newest.truncate(MAX_REPLACED);
        newest.sort_unstable();
        newest
    }

    /// Whether this node could write another entry of so many bytes in `domain`.
    ///
    /// # Errors
    /// [`Refused::NotAWriter`], [`Refused::NoRoom`]
    pub fn check_own(&self, domain: &Domain, bytes: usize) -> Result<(), Refused> {
        if !self.may_write(domain, &self.node) {
            return Err(Refused::NotAWriter);
        }
        let domains = self.books.len() < MAX_SUMMARIES || self.books.contains_key(domain);
        let room = self.entries < self.config.max_entries && self.bytes + bytes <= self.config.max_bytes;
        if domains && room { Ok(()) } else { Err(Refused::NoRoom) }
    }

    /// Takes an entry in, if it is to be kept.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn apply(&mut self, signed: Signed, unix: u64) -> Result<Applied, Refused> {
        let Signed { id, version, entry, envelope } = signed;
        let domain = entry.domain;
        if envelope.clock.unix_ms() > unix.saturating_add(MAX_CLOCK_AHEAD_MS) {
            return Err(Refused::FromFuture);
        }
        let own = version.0 == self.node;
        if !own && !self.follows(&domain) {
            return Err(Refused::NotFollowed);
        }
        if !self.may_write(&domain, &version.0) {
            return Err(Refused::NotAWriter);
        }
        let wire = envelope.wire().clone();
        let kept = Kept { id, version, change: entry.change, replaces: entry.replaces, expires: entry.expires, wire };
        let heads = self.get(&domain, &entry.key);
        if heads.iter().any(|head| head.id == id) {
            return Ok(Applied::Known);
        }
        // Two that their author calls the same are one: the same at everybody's.
        let twin = |head: &Kept| head.version == kept.version;
        if heads.iter().any(|head| head.replaces(&kept.version) || twin(head) && head.id < id) {
            return Ok(Applied::Superseded);
        }
        let stays = |head: &&Kept| !kept.replaces(&head.version) && !twin(head);
        let mut before: Vec<_> = heads.iter().filter(stays).map(rank).collect();
        before.sort_unstable_by(|a, b| b.cmp(a));
        if before.len() >= MAX_SIBLINGS && rank(&kept) < before[MAX_SIBLINGS - 1] {
            return Ok(Applied::Superseded);
        }
        // What replaces something needs no more room than that.
        if before.len() == heads.len() {
            self.check_room(&domain, &kept, own, unix)?;
        }
        Ok(Applied::Current { dropped: self.insert(domain, entry.key, kept) })
    }

    fn insert(&mut self, domain: Domain, key: String, kept: Kept) -> Vec<(String, Kept)> {
        let is_grant = matches!(kept.change, Change::Grant(_));
        let mut dropped = Vec::new();
        self.add(&domain, &kept);
        let book = self.books.entry(domain.clone()).or_default();
        book.digest = None;
        book.index.insert(kept.id, key.clone());
        let heads = book.keys.entry(key.clone()).or_default();
        let out = |head: &mut Kept| kept.replaces(&head.version) || head.version == kept.version;
        dropped.extend(heads.extract_if(.., out).map(|head| (key.clone(), head)));
        heads.push(kept);
        heads.sort_unstable_by_key(|head| std::cmp::Reverse(rank(head)));
        while heads.len() > MAX_SIBLINGS {
            dropped.extend(heads.pop().map(|head| (key.clone(), head)));
        }
        if is_grant {
            let outsiders: Vec<_> = book
                .keys
                .iter()
                .flat_map(|(key, heads)| heads.iter().map(move |head| (key, head)))
                .filter(|(_, head)| !book.may_write(&domain, &head.version.0))
                .map(|(key, head)| (key.clone(), head.id))
                .collect();
            for (key, id) in outsiders {
                let heads = book.keys.entry(key.clone()).or_default();
                dropped.extend(heads.extract_if(.., |head| head.id == id).map(|head| (key.clone(), head)));
                if heads.is_empty() {
                    book.keys.remove(&key);
                }
            }
        }
        for (_, gone) in &dropped {
            book.index.remove(&gone.id);
        }
        for (_, gone) in &dropped {
            self.subtract(&domain, gone);
        }
        dropped
    }

    /// Forgets an entry altogether. Others may bring it back.
    fn remove(&mut self, domain: &Domain, key: &str) {
        let Some(book) = self.books.get_mut(domain) else { return };
        let heads = book.keys.remove(key).unwrap_or_default();
        book.digest = None;
        for head in &heads {
            book.index.remove(&head.id);
        }
        if book.keys.is_empty() {
            self.books.remove(domain);
        }
        for head in &heads {
            self.subtract(domain, head);
        }
    }

    fn add(&mut self, domain: &Domain, kept: &Kept) {
        self.entries += 1;
        self.bytes += kept.wire.len();
        *self.authors.entry(kept.version.0).or_default() += 1;
        if let Some(expires) = kept.expires {
            self.expiries.insert((expires, kept.id, domain.clone()));
        }
    }

    fn subtract(&mut self, domain: &Domain, kept: &Kept) {
        self.entries -= 1;
        self.bytes -= kept.wire.len();
        if let Some(count) = self.authors.get_mut(&kept.version.0) {
            *count -= 1;
            if *count == 0 {
                self.authors.remove(&kept.version.0);
            }
        }
        if let Some(expires) = kept.expires {
            self.expiries.remove(&(expires, kept.id, domain.clone()));
        }
    }

    fn check_room(&mut self, domain: &Domain, kept: &Kept, own: bool, unix: u64) -> Result<(), Refused> {
        let Config { max_entries, max_bytes, max_of_author, .. } = self.config;
        let share = |max: usize| if own { max } else { max - max / 8 };
        let fits =
            |ledger: &Self| ledger.entries < share(max_entries) && ledger.bytes + kept.wire.len() <= share(max_bytes);
        let domains = self.books.len() < MAX_SUMMARIES || self.books.contains_key(domain);
        let of_author = self.authors.get(&kept.version.0).copied().unwrap_or_default();
        if !domains || of_author >= max_of_author {
            return Err(Refused::NoRoom);
        }
        // What would be the first to go again is not taken in.
        if !fits(self) && (kept.content(unix).is_none() && self.is_old(kept, unix) || !self.forget(unix) || !fits(self))
        {
            return Err(Refused::NoRoom);
        }
        Ok(())
    }

    fn is_old(&self, kept: &Kept, unix: u64) -> bool {
        kept.version.1.unix_ms().saturating_add(self.config.forget_ms) < unix
    }

    /// Makes room of keys that were taken away long ago; whether there was one.
    fn forget(&mut self, unix: u64) -> bool {
        let is_over = |kept: &Kept| {
            let taken_away = matches!(kept.change, Change::Delete | Change::Put(_)) && kept.content(unix).is_none();
            taken_away && self.is_old(kept, unix)
        };
        let books = self.books.iter();
        let keys = books.flat_map(|(domain, book)| book.keys.iter().map(move |(key, heads)| (domain, key, heads)));
        let over: Vec<_> = keys
            .filter(|(_, _, heads)| heads.iter().all(is_over))
            .map(|(domain, key, _)| (domain.clone(), key.clone()))
            .collect();
        for (domain, key) in &over {
            self.remove(domain, key);
        }
        !over.is_empty()
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

#[cfg(test)]
mod tests;
