//! What stands in the store is what is known, at any time.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_proto::credential::{Credential, Role, Serial};
use mesh_proto::limits::MAX_ENVELOPE;
use mesh_proto::{MeshId, codec};

use super::*;
use crate::records::Change;

type Store = BTreeMap<String, Bytes>;

/// Carries out what is to be kept.
fn keep(knowledge: &mut Knowledge, store: &mut Store) {
    for output in drain(knowledge) {
        if let Output::Keep(_, changes) = output {
            for Change { key, value } in changes {
                match value {
                    Some(value) => drop(store.insert(key, value)),
                    None => drop(store.remove(&key)),
                }
            }
        }
    }
}

fn records(store: &Store) -> Vec<(String, Bytes)> {
    store.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn restored(store: &Store, config: Config, now: Now) -> (Knowledge, Vec<String>) {
    let mut records = records(store);
    let restored = Restored::take(&mut records);
    assert!(records.iter().all(|(key, _)| !key.starts_with(PREFIX)));
    let damaged = restored.damaged.clone();
    (Knowledge::new(config, author(0).node(), restored, [2; 32], now), damaged)
}

/// The store holds these entries and no others.
fn assert_kept(knowledge: &Knowledge, store: &Store) {
    let ledger = knowledge.ledger();
    let ids = ledger.domains().flat_map(|domain| ledger.ids(domain));
    let expected: BTreeSet<_> = ids.map(|id| format!("knowledge/entry/{id}")).collect();
    let kept: BTreeSet<_> = store.keys().filter(|key| key.starts_with("knowledge/entry/")).cloned().collect();
    assert_eq!(kept, expected);
}

/// What shows that somebody is a member. It says which.
fn chain(n: u32) -> Chain {
    let issuer = author(999);
    let credential = Credential {
        mesh: MeshId([7; 32]),
        subject: author(n).node(),
        role: Role::Member,
        invites: 0,
        not_before: 1,
        not_after: 2,
        serial: Serial { issuer: issuer.node(), day: 0, number: n },
    };
    Chain(vec![credential.sign(&issuer).unwrap()])
}

#[test]
fn a_store_that_is_replayed_gives_the_same() {
    let owned = Domain { name: "lab".into(), owner: Some(author(0).node()) };
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut config = Config::default();
        if seed % 2 == 1 {
            (config.ledger.max_entries, config.ledger.forget_ms) = (40, 60_000);
        }
        let mut knowledge = knowledge(config.clone());
        let (mut store, mut now) = (Store::new(), at(0));
        for step in 0..400 {
            let passed = rng.next_u64() % 2_000;
            now = Now { mono: now.mono + passed, unix: now.unix + passed };
            let by = rng.next_u64() as u32 % 6;
            let domain = if rng.next_u64().is_multiple_of(3) { owned.clone() } else { notes() };
            let key = format!("{}", rng.next_u64() % 50);
            let grants = domain == owned && rng.next_u64().is_multiple_of(6);
            let change = match rng.next_u64() % 5 {
                _ if grants => {
                    let mut writers: Vec<_> =
                        (1..6).filter(|_| rng.next_u64().is_multiple_of(2)).map(|n| author(n).node()).collect();
                    writers.sort_unstable();
                    What::Grant(writers)
                }
                0 | 1 => What::Delete,
                n => content(n as u32),
            };
            let key = if grants { String::new() } else { key };
            let by = if grants { 0 } else { by };
            let expires = (!grants && rng.next_u64().is_multiple_of(4)).then(|| now.unix + rng.next_u64() % 9_000);
            let written = Entry { domain, key, change, replaces: vec![], expires };
            if by == 0 {
                let _ = write(&mut knowledge, written, now);
            } else {
                let known = rng.next_u64().is_multiple_of(2);
                let replaces = if known { knowledge.ledger().replaced(&written.domain, &written.key) } else { vec![] };
                let signed = sign(&author(by), now.unix, &Entry { replaces, ..written });
                match step % 2 {
                    0 => drop(knowledge.heard(signed, Some(&chain(by)), now)),
                    _ => knowledge.pushed(
                        author(9).node(),
                        (0, false),
                        &[signed.id],
                        vec![(signed, Some(chain(by)))],
                        now,
                    ),
                }
            }
            if rng.next_u64().is_multiple_of(20) {
                let cid = cid(rng.next_u64() as u32 % 5);
                if rng.next_u64().is_multiple_of(2) {
                    knowledge.pin(cid, now)
                } else {
                    knowledge.unpin(&cid, now)
                };
            }
            if rng.next_u64().is_multiple_of(5) {
                knowledge.handle_timeout(now);
            }
            keep(&mut knowledge, &mut store);
            assert_kept(&knowledge, &store);
        }
        let (mut again, damaged) = restored(&store, config, now);
        assert!(damaged.is_empty());
        assert_eq!(again.digest(), knowledge.digest(), "seed {seed}");
        assert_eq!(again.pins(), knowledge.pins());
        assert_eq!(again.chains, knowledge.chains, "seed {seed}");
        let authors = knowledge.chains.keys().all(|author| knowledge.ledger().of_author(author) > 0);
        assert!(authors, "nobody is remembered of whom there is nothing");
        assert!(drain(&mut again).iter().all(|output| !matches!(output, Output::Keep(..))), "nothing was wrong");
    }
}

#[test]
fn damaged_records_are_missing_and_named() {
    let mut knowledge = knowledge(Config::default());
    let mut store = Store::new();
    for n in 0..10 {
        write(&mut knowledge, entry(&format!("{n}"), content(n)), at(1)).unwrap();
    }
    knowledge.pin(cid(1), at(1));
    knowledge.pin(cid(2), at(1));
    let member = sign(&author(3), START, &entry("member's", content(3)));
    knowledge.heard(member, Some(&chain(3)), at(1));
    keep(&mut knowledge, &mut store);
    assert_eq!(store.len(), 10 + 2 + 2);
    let all = records(&store);
    let damaged: Vec<_> = [0, 3, 11, 12].map(|n| all[n].0.clone()).into();
    for key in &damaged {
        let mut value = store[key].to_vec();
        let last = value.len() - 1;
        value[last] ^= 1;
        store.insert(key.clone(), value.into());
    }
    store.insert("knowledge/other".into(), Bytes::from_static(b"x"));
    store.insert("knowledge/pin/none".into(), store[&all[13].0].clone());
    store.insert("votes".into(), Bytes::from_static(b"of somebody else"));
    let (again, found) = restored(&store, Config::default(), at(2));
    assert_eq!(found.iter().filter(|key| damaged.contains(key)).count(), 4);
    assert_eq!(found.len(), 6, "{found:?}");
    let of = |prefix: &str| damaged.iter().filter(|key| key.starts_with(prefix)).count();
    assert_eq!(again.ledger().load().0, 11 - of("knowledge/entry/"));
    assert_eq!(again.pins().len(), 2 - of("knowledge/pin/"));
    assert_eq!(again.chains.len(), 1 - of("knowledge/author/"));
}

#[test]
fn what_is_in_the_store_and_not_kept_any_more_is_removed_from_it() {
    let mut store = Store::new();
    let mut knowledge = knowledge(Config::default());
    for n in 0..20 {
        let signed = sign(&author(n % 4 + 1), START, &entry(&format!("{n}"), content(n)));
        knowledge.heard(signed, Some(&chain(n % 4 + 1)), at(1));
    }
    keep(&mut knowledge, &mut store);
    // The next run has less room.
    let mut config = Config::default();
    config.ledger.max_entries = 8;
    let (mut again, _) = restored(&store, config.clone(), at(2));
    assert_eq!(again.ledger().load().0, 8);
    keep(&mut again, &mut store);
    assert_kept(&again, &store);
    assert_eq!(store.len(), 8 + again.chains.len());
    // And the one after that finds it as it should be.
    let (mut third, _) = restored(&store, config, at(3));
    assert!(drain(&mut third).is_empty());
    assert_eq!(third.digest(), again.digest());
}

#[test]
fn grants_come_first_and_a_clock_that_is_wrong_loses_nothing() {
    let owned = Domain { name: "lab".into(), owner: Some(author(5).node()) };
    let of = |entry: Entry| Entry { domain: owned.clone(), ..entry };
    let mut knowledge = knowledge(Config::default());
    let mut store = Store::new();
    let grant = of(entry("", What::Grant(vec![author(6).node()])));
    assert!(hear(&mut knowledge, &author(5), START, &grant, at(1)));
    for n in 0..10 {
        assert!(hear(&mut knowledge, &author(6), START, &of(entry(&format!("{n}"), content(n))), at(1)));
    }
    keep(&mut knowledge, &mut store);
    let epoch = Now { mono: Mono(0), unix: 5 };
    let (mut again, _) = restored(&store, Config::default(), epoch);
    assert_eq!(again.digest(), knowledge.digest());
    assert!(drain(&mut again).is_empty(), "nobody is told that anything changed");
}

#[test]
fn what_is_no_entry_is_removed_as_well() {
    let mut store = Store::new();
    let mut knowledge = knowledge(Config::default());
    write(&mut knowledge, entry("k", content(1)), at(1)).unwrap();
    keep(&mut knowledge, &mut store);
    // As a later version might have written it.
    let strange = codec::encode(&"an entry of another kind", MAX_ENVELOPE).unwrap();
    let record = restored::entry(&EntryId::of(&strange), &strange);
    store.insert(record.key, record.value.unwrap());
    let (mut again, damaged) = restored(&store, Config::default(), at(2));
    assert!(damaged.is_empty());
    keep(&mut again, &mut store);
    assert_kept(&again, &store);
}
