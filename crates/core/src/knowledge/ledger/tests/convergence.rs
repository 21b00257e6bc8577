//! Many who write, and what comes of it everywhere.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    (rng.next_u64() % n as u64) as usize
}

fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for n in (1..items.len()).rev() {
        let at = below(rng, n + 1);
        items.swap(n, at);
    }
}

fn owned() -> Domain {
    Domain { name: "lab".into(), owner: Some(author(0).node()) }
}

/// Some who write, each with a ledger and a clock of its own.
struct Writers {
    rng: ChaCha8Rng,
    ledgers: Vec<Ledger>,
    skew: Vec<u64>,
    unix: u64,
    all: Vec<Signed>,
    /// How many of a hundred entries reach a given other writer at once.
    connected: usize,
    liars: bool,
}

impl Writers {
    fn new(seed: u64, count: u32, connected: usize, liars: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ledgers = (0..count).map(|n| Ledger::new(Config::default(), author(n).node())).collect();
        let skew = (0..count).map(|_| rng.next_u64() % 50_000).collect();
        Self { rng, ledgers, skew, unix: START, all: Vec::new(), connected, liars }
    }

    fn write(&mut self) {
        let Self { rng, .. } = self;
        self.unix += rng.next_u64() % 1_000;
        let n = below(rng, self.ledgers.len());
        let domain = if rng.next_u64().is_multiple_of(3) { owned() } else { notes() };
        let key = format!("key {}", below(rng, 6));
        let change = match rng.next_u64() % 10 {
            0..=2 => Change::Delete,
            3 if domain == owned() && n == 0 => {
                let all = (1..self.ledgers.len() as u32).filter(|_| rng.next_u64().is_multiple_of(2));
                let mut writers: Vec<_> = all.map(|n| author(n).node()).collect();
                writers.sort_unstable();
                Change::Grant(writers)
            }
            _ => content(rng.next_u64() as u32 % 100),
        };
        let is_grant = matches!(change, Change::Grant(_));
        let key = if is_grant { String::new() } else { key };
        let soon = self.unix + rng.next_u64() % 20_000;
        let expires = (!is_grant && rng.next_u64().is_multiple_of(4)).then_some(soon);
        if self.ledgers[n].check_own(&domain).is_err() {
            return;
        }
        let mut replaces = self.ledgers[n].replaced(&domain, &key);
        if self.liars && self.rng.next_u64().is_multiple_of(4) {
            self.lie(&mut replaces);
        }
        let written = Entry { domain, key, change, replaces, expires };
        let unix = self.unix - self.skew[n];
        let signed = sign(&author(n as u32), unix, &written);
        if self.liars && self.rng.next_u64().is_multiple_of(8) && !is_grant {
            // Two of one version, and everybody gets to see another first.
            self.spread(n, sign(&author(n as u32), unix, &Entry { change: Change::Delete, ..written }));
        }
        self.spread(n, signed);
    }

    /// Leaves out some of what is replaced, and puts in what was never written.
    fn lie(&mut self, replaces: &mut Vec<Version>) {
        let Self { rng, .. } = self;
        replaces.retain(|_| rng.next_u64().is_multiple_of(2));
        for _ in 0..below(rng, 4) {
            let of = author(below(rng, self.ledgers.len()) as u32).node();
            replaces.retain(|Version(node, _)| *node != of);
            replaces.push(Version(of, Hlc::at(self.unix + rng.next_u64() % 2_000 - 1_000)));
        }
        replaces.sort_unstable();
        replaces.truncate(MAX_REPLACED);
    }

    fn spread(&mut self, from: usize, signed: Signed) {
        for n in 0..self.ledgers.len() {
            if n == from || below(&mut self.rng, 100) < self.connected {
                self.hears(n, signed.clone());
                check(&self.ledgers[n]);
            }
        }
        self.all.push(signed);
    }

    /// Everybody gets what everybody keeps, two by two, until nothing changes any more; how many rounds that took.
    fn exchange(&mut self) -> usize {
        for round in 1..50 {
            let mut changed = false;
            for _ in 0..self.ledgers.len() {
                let (a, b) = (below(&mut self.rng, self.ledgers.len()), below(&mut self.rng, self.ledgers.len()));
                changed |= self.give(a, b) | self.give(b, a);
            }
            let digests: BTreeSet<_> = self.ledgers.iter_mut().map(Ledger::digest).collect();
            if digests.len() == 1 {
                assert!(!self.give(0, 1) && !self.give(1, 0), "there is nothing more to give");
                return round;
            }
            assert!(changed || round < 20, "they differ, and nothing changes any more");
        }
        panic!("no end");
    }

    /// An entry reaches a writer; whether it is current.
    fn hears(&mut self, n: usize, signed: Signed) -> bool {
        matches!(self.ledgers[n].apply(signed, self.unix), Ok(Applied::Current { .. }))
    }

    /// What `a` keeps is given to `b`, in some order; whether anything came of it.
    fn give(&mut self, a: usize, b: usize) -> bool {
        let keeps = |signed: &&Signed| self.ledgers[a].entry(&signed.entry.domain, &signed.id).is_some();
        let mut kept: Vec<_> = self.all.iter().filter(keeps).cloned().collect();
        shuffle(&mut self.rng, &mut kept);
        let mut changed = false;
        for signed in kept {
            changed |= self.hears(b, signed);
        }
        check(&self.ledgers[b]);
        changed
    }

    /// The digest of a new ledger to which everything is told, twice and in some order.
    fn told_twice(&mut self) -> EntryId {
        let mut ledger = Ledger::new(Config::default(), author(99).node());
        for _ in 0..2 {
            let mut all = self.all.clone();
            shuffle(&mut self.rng, &mut all);
            for signed in all {
                let _ = ledger.apply(signed, self.unix);
            }
        }
        check(&ledger);
        ledger.digest()
    }

    /// Those that may be written, by the latest grant.
    fn written(&self) -> Vec<&Signed> {
        let grants = self.all.iter().filter(|signed| matches!(signed.entry.change, Change::Grant(_)));
        let latest = grants.max_by_key(|signed| (signed.version.1, signed.id));
        let may_write = |signed: &&Signed| match latest.map(|latest| &latest.entry.change) {
            Some(Change::Grant(writers)) => writers.contains(&signed.version.0),
            _ => false,
        };
        let of_all = |signed: &&Signed| signed.entry.domain == notes() || signed.version.0 == author(0).node();
        self.all.iter().filter(|signed| of_all(signed) || may_write(signed)).collect()
    }

    /// What is current, by the book: of each key those that no other replaces, at most eight.
    fn expected(&self) -> EntryId {
        let replaces = |a: &Signed, b: &Signed| {
            let listed = a.entry.replaces.iter().any(|Version(of, until)| *of == b.version.0 && *until >= b.version.1);
            let own = a.version.0 == b.version.0 && (a.version.1, a.id) > (b.version.1, b.id);
            (listed && a.version.0 != b.version.0) || own
        };
        let mut keys: BTreeMap<(Domain, String), Vec<&Signed>> = BTreeMap::new();
        for signed in self.written() {
            keys.entry((signed.entry.domain.clone(), signed.entry.key.clone())).or_default().push(signed);
        }
        let mut domains: BTreeMap<Domain, BTreeSet<EntryId>> = BTreeMap::new();
        for ((domain, _), entries) in keys {
            let mut heads: Vec<_> = entries
                .iter()
                .filter(|b| !entries.iter().any(|a| replaces(a, b)))
                .map(|head| (head.version.1, head.version.0, head.id))
                .collect();
            heads.sort_unstable_by(|a, b| b.cmp(a));
            heads.truncate(MAX_SIBLINGS);
            domains.entry(domain).or_default().extend(heads.into_iter().map(|(_, _, id)| id));
        }
        let digests: Vec<_> = domains.values().map(digest).collect();
        digest(&digests)
    }
}

/// Seeds of a test, or the one that `SEED` names.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..count).collect(),
    }
}

#[test]
fn what_is_current_is_a_function_of_what_was_written() {
    for seed in seeds(60) {
        let mut writers = Writers::new(seed, 8, 30, false);
        (0..150).for_each(|_| writers.write());
        let expected = writers.expected();
        for _ in 0..3 {
            assert_eq!(writers.told_twice(), expected, "seed {seed}");
        }
    }
}

#[test]
fn after_an_exchange_all_have_the_same_and_it_is_what_was_written_last() {
    for seed in seeds(60) {
        for (count, connected) in [(3, 0), (8, 50), (8, 5)] {
            let mut writers = Writers::new(seed, count, connected, false);
            (0..150).for_each(|_| writers.write());
            writers.exchange();
            assert_eq!(writers.ledgers[0].digest(), writers.expected(), "seed {seed}, {count} writers");
        }
    }
}

#[test]
fn many_siblings_long_lists_and_liars_end_the_same_everywhere() {
    let mut rounds = 0;
    for seed in seeds(60) {
        for (count, connected, liars) in [(24, 2, false), (24, 2, true), (12, 40, true), (4, 10, true)] {
            let mut writers = Writers::new(seed, count, connected, liars);
            (0..200).for_each(|_| writers.write());
            rounds = rounds.max(writers.exchange());
            writers.assert_latest(seed);
        }
    }
    println!("at most {rounds} rounds of an exchange");
}

impl Writers {
    /// The first of each key is the latest that was ever written there by those who may.
    fn assert_latest(&self, seed: u64) {
        let mut latest: BTreeMap<(&Domain, &str), (Hlc, NodeId, EntryId)> = BTreeMap::new();
        for signed in self.written() {
            let of = latest.entry((&signed.entry.domain, &signed.entry.key)).or_insert((
                Hlc(0),
                author(0).node(),
                signed.id,
            ));
            *of = (*of).max((signed.version.1, signed.version.0, signed.id));
        }
        for ((domain, key), latest) in latest {
            // Lies about the future are not let in, and what an owner did not allow then was not either.
            if *domain == notes() {
                assert_eq!(self.ledgers[0].get(domain, key).first().map(rank), Some(latest), "seed {seed}: {key}");
            }
        }
    }
}

#[test]
fn what_was_taken_away_does_not_come_back() {
    for seed in seeds(40) {
        let mut writers = Writers::new(seed, 8, 30, false);
        (0..100).for_each(|_| writers.write());
        writers.exchange();
        writers.unix += 60_000;
        for n in 0..6 {
            let key = format!("key {n}");
            let delete = next(&writers.ledgers[1], &author(1), writers.unix, entry(&key, Change::Delete));
            writers.spread(1, delete);
        }
        writers.exchange();
        // Everything that was ever said is said again, to everybody.
        for n in 0..writers.ledgers.len() {
            let mut all = writers.all.clone();
            shuffle(&mut writers.rng, &mut all);
            for signed in all {
                let _ = writers.ledgers[n].apply(signed, writers.unix);
            }
            for (key, heads) in writers.ledgers[n].keys(&notes(), "", None) {
                assert!(heads.iter().all(|head| head.change == Change::Delete), "seed {seed}: {key}: {heads:?}");
            }
        }
    }
}
