//! Who provides which content, as far as the DHT tells this node.
//!
//! Anybody can say that it provides anything, and identities cost nothing. libp2p's own store in memory has a bound on keys, which
//! one peer can use up for all others and for this node, and what has expired there goes only when somebody asks for its key.
//! Here what this node provides stands apart, and when there is no room the peer that has said the most gives way. The values that a
//! DHT can hold as well are of no use to a mesh, and are not taken.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::iter;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use mesh_proto::limits::MAX_ADDRESS;

/// How long a record of another peer lives; those that live on are told again twice a day.
pub(crate) const TTL: Duration = Duration::from_secs(48 * 3_600);
/// Keys that this node provides. The DHT is told each of them twice a day.
pub(crate) const MAX_OWN: usize = 1_024;
/// Records of other peers. One has some hundred bytes, 1,500 at most.
pub(crate) const MAX_OTHERS: usize = 8_192;
/// Providers of one key, which is what others ask for.
pub(crate) const MAX_OF_KEY: usize = 20;
/// Bytes of a key: a multihash of 64 bytes.
const MAX_KEY: usize = 66;
/// Addresses that are remembered with a provider, for whoever asks for it.
const MAX_ADDRESSES: usize = 4;

/// The DHT's store.
#[derive(Debug)]
pub(crate) struct Providers {
    local: PeerId,
    own: BTreeMap<Vec<u8>, ProviderRecord>,
    /// Of others: by key, then by who provides it, with the number under which it came.
    others: BTreeMap<Vec<u8>, BTreeMap<PeerId, (u64, ProviderRecord)>>,
    /// By number, so by when they expire, since all live as long.
    by_age: BTreeMap<u64, (Vec<u8>, PeerId)>,
    /// The numbers of what each peer provides.
    by_peer: BTreeMap<PeerId, BTreeSet<u64>>,
    /// Peers by how much they provide.
    by_count: BTreeSet<(usize, PeerId)>,
    next: u64,
}

impl Providers {
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local,
            own: BTreeMap::new(),
            others: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            by_count: BTreeSet::new(),
            next: 0,
        }
    }

    fn add_own(&mut self, key: Vec<u8>, record: ProviderRecord) -> Result<()> {
        if self.own.len() >= MAX_OWN && !self.own.contains_key(&key) {
            return Err(Error::MaxProvidedKeys);
        }
        self.own.insert(key, record);
        Ok(())
    }

    fn add_other(&mut self, key: Vec<u8>, mut record: ProviderRecord) -> Result<()> {
        record.addresses.retain(|address| address.len() <= MAX_ADDRESS);
        record.addresses.truncate(MAX_ADDRESSES);
        self.expire(&record);
        self.forget(&key, &record.provider);
        if self.others.get(&key).is_some_and(|of_key| of_key.len() >= MAX_OF_KEY) {
            return Err(Error::MaxRecords);
        }
        if self.by_age.len() >= MAX_OTHERS {
            self.make_room(&record.provider)?;
        }
        let (number, provider) = (self.next, record.provider);
        self.next += 1;
        self.count(&provider, |numbers| {
            numbers.insert(number);
        });
        self.by_age.insert(number, (key.clone(), provider));
        self.others.entry(key).or_default().insert(provider, (number, record));
        Ok(())
    }

    /// Forgets the oldest record of who has the most, if that is more than `provider` has.
    fn make_room(&mut self, provider: &PeerId) -> Result<()> {
        let has = self.by_peer.get(provider).map_or(0, BTreeSet::len);
        let most = self.by_count.last().filter(|(count, _)| *count > has);
        let oldest = most.and_then(|(_, peer)| self.by_peer.get(peer)?.first());
        let (key, peer) = oldest.and_then(|oldest| self.by_age.get(oldest)).cloned().ok_or(Error::MaxRecords)?;
        self.forget(&key, &peer);
        Ok(())
    }

    /// Forgets what has expired by the time at which a record comes: it has its whole life before it, which says when that is.
    fn expire(&mut self, new: &ProviderRecord) {
        let Some(now) = new.expires.and_then(|expires| expires.checked_sub(TTL)) else { return };
        while let Some((_, (key, peer))) = self.by_age.first_key_value() {
            let record = self.others.get(key).and_then(|of_key| of_key.get(peer));
            if record.is_some_and(|(_, record)| !record.is_expired(now)) {
                return;
            }
            let (key, peer) = (key.clone(), *peer);
            self.forget(&key, &peer);
        }
    }

    fn forget(&mut self, key: &[u8], peer: &PeerId) {
        let Some(of_key) = self.others.get_mut(key) else { return };
        let Some((number, _)) = of_key.remove(peer) else { return };
        if of_key.is_empty() {
            self.others.remove(key);
        }
        self.by_age.remove(&number);
        self.count(peer, |numbers| {
            numbers.remove(&number);
        });
    }

    fn count(&mut self, peer: &PeerId, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let numbers = self.by_peer.entry(*peer).or_default();
        self.by_count.remove(&(numbers.len(), *peer));
        change(numbers);
        if numbers.is_empty() {
            self.by_peer.remove(peer);
        } else {
            self.by_count.insert((numbers.len(), *peer));
        }
    }
}

impl RecordStore for Providers {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> =
        iter::Map<btree_map::Values<'a, Vec<u8>, ProviderRecord>, fn(&'a ProviderRecord) -> Cow<'a, ProviderRecord>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        let key = record.key.to_vec();
        if key.len() > MAX_KEY {
            Err(Error::ValueTooLarge)
        } else if record.provider == self.local {
            self.add_own(key, record)
        } else {
            self.add_other(key, record)
        }
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let key = key.as_ref();
        let others = self.others.get(key).into_iter().flat_map(BTreeMap::values).map(|(_, record)| record);
        self.own.get(key).into_iter().chain(others).cloned().collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.own.values().map(Cow::Borrowed)
    }

    fn remove_provider(&mut self, key: &RecordKey, peer: &PeerId) {
        if *peer == self.local {
            self.own.remove(key.as_ref());
        } else {
            self.forget(key.as_ref(), peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use libp2p::Multiaddr;

    use super::*;

    fn key(n: usize) -> RecordKey {
        RecordKey::new(&format!("key {n}"))
    }

    /// One that comes now.
    #[expect(
        clippy::disallowed_methods,
        reason = "libp2p's records expire at an instant, and there is no other way to get one"
    )]
    fn record(n: usize, provider: PeerId) -> ProviderRecord {
        ProviderRecord { key: key(n), provider, expires: Some(Instant::now() + TTL), addresses: vec![] }
    }

    fn provides(store: &Providers, n: usize, peer: PeerId) -> bool {
        store.providers(&key(n)).iter().any(|record| record.provider == peer)
    }

    #[test]
    fn who_floods_it_takes_no_room_from_others_or_from_this_node() {
        let (local, honest, spammer) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut store = Providers::new(local);
        (0..100).for_each(|n| store.add_provider(record(n, honest)).expect("room"));
        for n in 0..3 * MAX_OTHERS {
            let told = store.add_provider(record(1_000 + n, spammer));
            assert_eq!(told.is_ok(), n < MAX_OTHERS - 100, "nobody has more than who floods: {n}");
        }
        assert_eq!(store.by_age.len(), MAX_OTHERS);
        (0..100).for_each(|n| assert!(provides(&store, n, honest)));
        // Also who comes when it is full is heard, and so is this node.
        let late = PeerId::random();
        (0..100).for_each(|n| store.add_provider(record(n, late)).expect("the one that floods gives way"));
        (0..MAX_OWN).for_each(|n| store.add_provider(record(n, local)).expect("apart from others"));
        assert!(matches!(store.add_provider(record(MAX_OWN, local)), Err(Error::MaxProvidedKeys)));
        store.add_provider(record(0, local)).expect("known already");
        assert_eq!((store.by_age.len(), store.provided().count()), (MAX_OTHERS, MAX_OWN));
        assert!(provides(&store, 7, honest) && provides(&store, 7, late) && provides(&store, 7, local));
        assert!(!provides(&store, 1_000, spammer), "its oldest went");
    }

    #[test]
    fn identities_cost_nothing_and_newcomers_are_heard_all_the_same() {
        let mut store = Providers::new(PeerId::random());
        for n in 0..2 * MAX_OTHERS {
            let _ = store.add_provider(record(n, PeerId::random()));
        }
        let honest = PeerId::random();
        store.add_provider(record(9, honest)).expect("somebody gives way");
        assert!(provides(&store, 9, honest));
        assert_eq!(store.by_age.len(), MAX_OTHERS);
    }

    #[test]
    fn a_key_has_so_many_providers_and_each_of_them_once() {
        let mut store = Providers::new(PeerId::random());
        let peers: Vec<_> = iter::repeat_with(PeerId::random).take(MAX_OF_KEY + 1).collect();
        let told: Vec<_> = peers.iter().map(|peer| store.add_provider(record(1, *peer)).is_ok()).collect();
        assert_eq!(told, [vec![true; MAX_OF_KEY], vec![false]].concat());
        store.add_provider(record(1, peers[0])).expect("it was there");
        assert_eq!(store.providers(&key(1)).len(), MAX_OF_KEY);
        store.remove_provider(&key(1), &peers[0]);
        store.add_provider(record(1, peers[MAX_OF_KEY])).expect("room again");
    }

    #[test]
    fn what_has_expired_makes_room_without_being_asked_for() {
        let mut store = Providers::new(PeerId::random());
        let (gone, peer) = (PeerId::random(), PeerId::random());
        (0..MAX_OTHERS).for_each(|n| store.add_provider(record(n, gone)).expect("room"));
        assert_eq!(store.by_age.len(), MAX_OTHERS);
        let new = record(0, peer);
        let later = new.expires.map(|expires| expires + TTL);
        store.add_provider(ProviderRecord { expires: later, ..new }).expect("room");
        assert_eq!(store.by_age.len(), 1);
        assert!(store.by_peer.len() == 1 && store.by_count.len() == 1 && store.others.len() == 1);
    }

    #[test]
    fn long_keys_and_lists_of_addresses_are_cut_off() {
        let mut store = Providers::new(PeerId::random());
        let peer = PeerId::random();
        let long = ProviderRecord { key: RecordKey::new(&[7; MAX_KEY + 1]), ..record(0, peer) };
        assert!(matches!(store.add_provider(long), Err(Error::ValueTooLarge)));
        let addresses = vec!["/ip4/127.0.0.1/tcp/4001".parse().expect("an address"); 100];
        store.add_provider(ProviderRecord { addresses, ..record(0, peer) }).expect("room");
        assert_eq!(store.providers(&key(0))[0].addresses.len(), MAX_ADDRESSES);
        let of = |name: usize| format!("/dns/{}", "a".repeat(name)).parse().expect("an address");
        let (fits, long): (Multiaddr, Multiaddr) = (of(MAX_ADDRESS - 3), of(MAX_ADDRESS - 2));
        assert_eq!((fits.len(), long.len()), (MAX_ADDRESS, MAX_ADDRESS + 1));
        store.add_provider(ProviderRecord { addresses: vec![long, fits.clone()], ..record(0, peer) }).expect("room");
        assert_eq!(store.providers(&key(0))[0].addresses, [fits]);
    }
}
