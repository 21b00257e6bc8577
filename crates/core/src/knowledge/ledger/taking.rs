//! How an entry comes in and goes, and what room there is.

use mesh_proto::knowledge::Signed;

use super::*;

/// Milliseconds until what can be forgotten is looked for again after nothing was found.
const FORGET_PAUSE_MS: u64 = 60_000;

impl Ledger {
    /// Takes an entry in, if it is to be kept; `unix` is the time, milliseconds. Whether it is from the future is not asked.
    ///
    /// # Errors
    /// [`Refused`], but for [`Refused::FromFuture`]
    pub fn apply(&mut self, signed: Signed, unix: u64) -> Result<Applied, Refused> {
        self.take(signed, unix, false)
    }

    /// The same of one that was here before: then it is of no matter how much of the room is for this node's own.
    ///
    /// # Errors
    /// As [`apply`](Self::apply)
    pub fn restore(&mut self, signed: Signed, unix: u64) -> Result<Applied, Refused> {
        self.take(signed, unix, true)
    }

    fn take(&mut self, signed: Signed, unix: u64, was_here: bool) -> Result<Applied, Refused> {
        let Signed { id, version, entry, envelope } = signed;
        let (domain, key) = (entry.domain, entry.key);
        if version.0 != self.node && !self.follows(&domain) {
            return Err(Refused::NotFollowed);
        }
        if !self.may_write(&domain, &version.0) {
            return Err(Refused::NotAWriter);
        }
        let wire = envelope.wire().clone();
        let kept = Kept { id, version, change: entry.change, replaces: entry.replaces, expires: entry.expires, wire };
        let heads = self.get(&domain, &key);
        if heads.iter().any(|head| head.id == id) {
            return Ok(Applied::Known);
        }
        let goes_before = |head: &&Kept| !kept.replaces(head) && rank(head) > rank(&kept);
        if heads.iter().any(|head| head.replaces(&kept)) || heads.iter().filter(goes_before).count() >= MAX_SIBLINGS {
            return Ok(Applied::Superseded);
        }
        let room = match was_here {
            true if self.fits(&domain, &key, &kept, true) => Ok(()),
            true => Err(Refused::NoRoom),
            false => self.make_room(&domain, &key, &kept, unix),
        };
        if let Err(refused) = room {
            let max = self.config.max_entries.saturating_mul(2);
            self.away.add(&domain, &key, (id, version), max);
            return Err(refused);
        }
        self.away.remove(&domain, &key);
        Ok(Applied::Current { dropped: self.insert(&domain, key, kept, unix) })
    }

    fn insert(&mut self, domain: &Domain, key: String, kept: Kept, unix: u64) -> Vec<(String, Kept)> {
        self.add(domain, &kept, unix);
        let is_grant = matches!(kept.change, Change::Grant(_));
        let book = self.books.entry(domain.clone()).or_default();
        book.digest = None;
        book.index.insert(kept.id, key.clone());
        let heads = book.keys.entry(key.clone()).or_default();
        let mut dropped: Vec<_> =
            heads.extract_if(.., |head| kept.replaces(head)).map(|head| (key.clone(), head)).collect();
        heads.insert(heads.partition_point(|head| rank(head) > rank(&kept)), kept);
        dropped.extend(heads.split_off(heads.len().min(MAX_SIBLINGS)).into_iter().map(|head| (key.clone(), head)));
        if is_grant {
            dropped.extend(book.expel(domain));
        }
        for (_, gone) in &dropped {
            book.index.remove(&gone.id);
        }
        for (_, gone) in &dropped {
            self.subtract(domain, gone);
        }
        dropped
    }

    /// Forgets a key altogether. Others may bring it back.
    pub(super) fn remove(&mut self, domain: &Domain, key: &str) {
        let Some(book) = self.books.get_mut(domain) else { return };
        let heads = book.keys.remove(key).unwrap_or_default();
        book.digest = None;
        for head in &heads {
            book.index.remove(&head.id);
        }
        if book.keys.is_empty() {
            self.books.remove(domain);
        }
        for head in heads {
            self.subtract(domain, &head);
            self.forgotten.push(head);
        }
    }

    fn add(&mut self, domain: &Domain, kept: &Kept, unix: u64) {
        self.entries += 1;
        self.bytes += kept.wire.len();
        *self.authors.entry(kept.version.0).or_default() += 1;
        if let Some(expires) = kept.expires.filter(|expires| *expires > unix) {
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
        // What there was no room for may come now, but not before some of it would fit.
        if self.away.len() > 0 {
            let max = self.config.max_of_author;
            let (below, author) = (self.is_below(13), kept.version.0);
            let full = |of: &NodeId| self.authors.get(of).is_some_and(|count| *count >= max);
            if self.crowded && below {
                self.away.retain(full);
                self.crowded = false;
            } else if self.of_author(&author) + 1 == max {
                self.away.retain(|of| *of != author);
            }
        }
    }

    /// Whether less than so many sixteenths of the room are taken.
    fn is_below(&self, sixteenths: usize) -> bool {
        let part = |max: usize| max - max / 16 * (16 - sixteenths);
        self.entries < part(self.config.max_entries) && self.bytes < part(self.config.max_bytes)
    }

    /// Sees to it that there is room for an entry.
    fn make_room(&mut self, domain: &Domain, key: &str, kept: &Kept, unix: u64) -> Result<(), Refused> {
        if !self.has_domain(domain) {
            return Err(Refused::NoRoom);
        }
        let replaces = self.leaves(domain, key, kept).0 > 0;
        if !replaces && self.of_author(&kept.version.0) >= self.config.max_of_author {
            return Err(Refused::NoRoom);
        }
        self.forgetting &= !self.is_below(8);
        // What would be the first to go again is not taken in.
        let first_to_go = !replaces && self.is_over(kept, unix);
        let own = kept.version.0 == self.node;
        if !(first_to_go && self.forgetting) && self.fits(domain, key, kept, own) {
            return Ok(());
        }
        if !first_to_go {
            self.forget(unix);
            if self.fits(domain, key, kept, own) {
                return Ok(());
            }
        }
        self.crowded = true;
        Err(Refused::NoRoom)
    }

    /// How many entries go when this comes, and their bytes.
    fn leaves(&self, domain: &Domain, key: &str, kept: &Kept) -> (usize, usize) {
        let heads = self.get(domain, key);
        let size = |head: &Kept| head.wire.len();
        // The last of the siblings goes as well when this is one too many.
        let stay = heads.iter().filter(|head| !kept.replaces(head)).take(MAX_SIBLINGS - 1);
        let (stay, bytes) = stay.fold((0, 0), |(count, bytes), head| (count + 1, bytes + size(head)));
        (heads.len() - stay, heads.iter().map(size).sum::<usize>() - bytes)
    }

    fn fits(&self, domain: &Domain, key: &str, kept: &Kept, own: bool) -> bool {
        let (leave, freed) = self.leaves(domain, key, kept);
        let takes_away = leave > 0 && matches!(kept.change, Change::Delete);
        let share = |max: usize, all: bool| if all { max } else { max - max / 8 };
        let entries = leave > 0 || self.entries < share(self.config.max_entries, own);
        let bytes = self.bytes + kept.wire.len() - freed;
        entries && (kept.wire.len() <= freed || bytes <= share(self.config.max_bytes, own || takes_away))
    }

    /// Whether it took a key away, or has expired, so long ago that it may be forgotten.
    fn is_over(&self, kept: &Kept, unix: u64) -> bool {
        let taken_away = matches!(kept.change, Change::Delete | Change::Put(_)) && kept.content(unix).is_none();
        taken_away && kept.version.1.unix_ms().saturating_add(self.config.forget_ms) < unix
    }

    /// Makes room of keys that were taken away long ago.
    fn forget(&mut self, unix: u64) {
        if unix < self.next_forget {
            return;
        }
        let books = self.books.iter();
        let keys = books.flat_map(|(domain, book)| book.keys.iter().map(move |(key, heads)| (domain, key, heads)));
        let over: Vec<_> = keys
            .filter(|(_, _, heads)| heads.iter().all(|head| self.is_over(head, unix)))
            .map(|(domain, key, _)| (domain.clone(), key.clone()))
            .collect();
        for (domain, key) in &over {
            self.remove(domain, key);
        }
        // Each look is one at every key, and entries that there is no room for may come by the thousand.
        self.next_forget = unix.saturating_add(FORGET_PAUSE_MS);
        self.forgetting |= !over.is_empty();
    }
}

impl Book {
    /// Takes out what those have written who may not any more.
    fn expel(&mut self, domain: &Domain) -> Vec<(String, Kept)> {
        let writers = self.grant().unwrap_or_default().to_vec();
        let may_write = |author: &NodeId| {
            domain.owner.is_none_or(|owner| owner == *author) || writers.binary_search(author).is_ok()
        };
        let mut out = Vec::new();
        for (key, heads) in &mut self.keys {
            out.extend(heads.extract_if(.., |head| !may_write(&head.version.0)).map(|head| (key.clone(), head)));
        }
        self.keys.retain(|_, heads| !heads.is_empty());
        out
    }
}
