//! The whole of it: what stands in the store, what is gossiped and what is compared, and what time does.

use mesh_proto::Keypair;
use mesh_proto::knowledge::Signed;
use rand_chacha::ChaCha8Rng;

use super::testing::net::{Net, gives};
use super::testing::{START, author, cid, content, entry, notes, sign};
use super::*;

mod pace;
mod store;

fn at(millis: u64) -> Now {
    Now { mono: Mono(millis), unix: START + millis }
}

fn knowledge(config: Config) -> Knowledge {
    Knowledge::new(config, author(0).node(), Restored::default(), [1; 32], at(0))
}

fn drain(knowledge: &mut Knowledge) -> Vec<Output> {
    std::iter::from_fn(|| knowledge.poll_output()).collect()
}

fn events(knowledge: &mut Knowledge) -> Vec<Event> {
    let event = |output| if let Output::Event(event) = output { Some(event) } else { None };
    drain(knowledge).into_iter().filter_map(event).collect()
}

/// Writes and signs, by the clock of `now`.
fn write(knowledge: &mut Knowledge, written: Entry, now: Now) -> Result<Written, Error> {
    let Entry { domain, key, change, expires, .. } = written;
    let entry = knowledge.entry(domain, key, change, expires)?;
    Ok(knowledge.written(sign(&author(0), now.unix, &entry), now)?)
}

/// Takes what somebody else has written; whether it is news.
fn hear(knowledge: &mut Knowledge, by: &Keypair, unix: u64, entry: &Entry, now: Now) -> bool {
    knowledge.heard(sign(by, unix, entry), None, now)
}

#[test]
fn what_is_written_is_known_kept_and_said() {
    let mut knowledge = knowledge(Config::default());
    let written = write(&mut knowledge, entry("k", content(1)), at(1)).unwrap();
    let outputs = drain(&mut knowledge);
    assert!(matches!(&outputs[0], Output::Event(Event::Changed { key, current: true, .. }) if key == "k"));
    assert!(matches!(&outputs[1], Output::Keep(write, changes) if *write == written.write && changes.len() == 1));
    assert!(matches!(&outputs[2], Output::Publish(wire) if EntryId::of(wire) == written.id));
    assert_eq!(outputs.len(), 3);
    knowledge.kept(written.write, true);
    assert_eq!(events(&mut knowledge), [Event::Settled { write: written.write, durable: true }]);
    assert_eq!(knowledge.ledger().get(&notes(), "k")[0].id, written.id);
}

#[test]
fn what_is_no_entry_is_not_written() {
    let mut knowledge = knowledge(Config::default());
    let refused = |result: Result<Written, Error>| result.expect_err("it is no entry");
    assert!(matches!(refused(write(&mut knowledge, entry("", content(1)), at(1))), Error::Invalid(_)));
    assert!(matches!(refused(write(&mut knowledge, entry(&"x".repeat(257), content(1)), at(1))), Error::Invalid(_)));
    let others =
        Entry { domain: Domain { name: "lab".into(), owner: Some(author(1).node()) }, ..entry("k", content(1)) };
    assert_eq!(refused(write(&mut knowledge, others, at(1))), Error::Refused(Refused::NotAWriter));
    let dag_cbor = Cid::new_v1(0x71, *cid(1).hash());
    assert!(matches!(knowledge.who_has(dag_cbor, at(1)), Err(Error::Invalid(_))));
    assert!(drain(&mut knowledge).is_empty(), "nobody is told of any of it");
    assert!((0..MAX_QUESTIONS).all(|_| knowledge.who_has(cid(1), at(1)).is_ok()));
    assert_eq!(knowledge.who_has(cid(1), at(1)), Err(Error::Busy));
}

#[test]
fn a_full_node_still_takes_its_keys_away() {
    let mut config = Config::default();
    config.ledger.max_entries = 4;
    let mut knowledge = knowledge(config);
    for n in 0..4 {
        write(&mut knowledge, entry(&format!("{n}"), content(n)), at(1)).unwrap();
    }
    assert_eq!(write(&mut knowledge, entry("4", content(4)), at(2)), Err(Error::Refused(Refused::NoRoom)));
    write(&mut knowledge, entry("3", What::Delete), at(3)).unwrap();
}

#[test]
fn who_writes_again_after_its_clock_was_set_back_is_the_last() {
    let mut knowledge = knowledge(Config::default());
    write(&mut knowledge, entry("k", content(1)), at(50_000)).unwrap();
    let back = Now { mono: Mono(60_000), unix: START };
    let second = write(&mut knowledge, entry("k", content(2)), back).unwrap();
    assert_eq!(knowledge.ledger().get(&notes(), "k").len(), 1);
    assert_eq!(knowledge.ledger().get(&notes(), "k")[0].id, second.id);
}

#[test]
fn entries_from_the_future_wait_for_their_time() {
    let mut knowledge = knowledge(Config::default());
    let ahead = entry("k", content(1));
    assert!(!hear(&mut knowledge, &author(1), START + 60_002, &ahead, at(1)), "a millisecond too much");
    assert!(hear(&mut knowledge, &author(1), START + 60_001, &ahead, at(1)));
    // A clock that was far ahead once lets nothing in any more when it is right again.
    knowledge.handle_timeout(Now { mono: Mono(2), unix: START + 10_000_000 });
    let right = Now { mono: Mono(3), unix: START + 3 };
    assert!(!hear(&mut knowledge, &author(2), START + 5_000_000, &entry("l", content(1)), right));
}

#[test]
fn what_expires_is_told_and_does_not_come_back_with_the_clock() {
    let mut knowledge = knowledge(Config::default());
    let until = Entry { expires: Some(START + 1_000), ..entry("k", content(1)) };
    write(&mut knowledge, until, at(1)).unwrap();
    drain(&mut knowledge);
    // What knowledge waits for is by the monotonic clock.
    let mut now = at(1);
    while now.unix < START + 1_000 {
        let due = knowledge.poll_timeout().unwrap();
        assert!(due <= Mono(1_000), "{due:?}");
        let passed = due.0.saturating_sub(now.mono.0).max(1);
        now = Now { mono: now.mono + passed, unix: now.unix + passed };
        knowledge.handle_timeout(now);
    }
    assert_eq!(events(&mut knowledge), [Event::Expired { domain: notes(), key: "k".into() }]);
    let back = Now { mono: Mono(2_000), unix: START };
    knowledge.handle_timeout(back);
    let head = &knowledge.ledger().get(&notes(), "k")[0];
    assert!(head.content(knowledge.unix()).is_none());
    assert!(events(&mut knowledge).is_empty());
    assert!(knowledge.places(&cid(1)).0.is_empty());
}

#[test]
fn an_entry_that_had_expired_before_it_came_lets_nothing_go() {
    let mut knowledge = knowledge(gives(1 << 20));
    assert!(hear(&mut knowledge, &author(1), START, &entry("a", content(1)), at(1)));
    let over = Entry { expires: Some(START), ..entry("b", content(1)) };
    assert!(hear(&mut knowledge, &author(1), START, &over, at(1)));
    knowledge.handle_timeout(at(2));
    assert!(!drain(&mut knowledge).iter().any(|output| matches!(output, Output::Event(Event::Expired { .. }))));
    assert_eq!(knowledge.places(&cid(1)).0, [author(0).node()], "the other key stands for it");
}

#[test]
fn a_grant_tells_of_the_keys_whose_authors_may_not_write_any_more() {
    let mut knowledge = knowledge(Config::default());
    let owned = Domain { name: "lab".into(), owner: Some(author(1).node()) };
    let of = |entry: Entry| Entry { domain: owned.clone(), ..entry };
    let grant = |n: u32| of(entry("", What::Grant(vec![author(n).node()])));
    assert!(hear(&mut knowledge, &author(1), START, &grant(2), at(1)));
    assert!(hear(&mut knowledge, &author(2), START, &of(entry("a", content(1))), at(1)));
    assert!(hear(&mut knowledge, &author(2), START, &of(entry("b", content(2))), at(1)));
    drain(&mut knowledge);
    assert!(hear(&mut knowledge, &author(1), START + 1, &grant(3), at(1)));
    let mut told = Vec::new();
    for event in events(&mut knowledge) {
        if let Event::Expired { key, .. } = event {
            told.push(key);
        } else if let Event::Changed { key, current: true, .. } = event {
            told.push(format!("changed {key}"));
        }
    }
    assert_eq!(told, ["a", "b", "changed "]);
}

#[test]
fn who_asks_too_much_is_not_heard() {
    let mut knowledge = knowledge(Config::default());
    let ask = |knowledge: &mut Knowledge, message| knowledge.handle(author(1).node(), message, at(1));
    for n in 0..512 {
        assert!(ask(&mut knowledge, Message::WhoHas { question: n + 1, contents: vec![] }));
        let answers = Message::Holds { question: 0, contents: vec![] };
        assert!(ask(&mut knowledge, answers), "answers are not counted");
    }
    assert!(!ask(&mut knowledge, Message::WhoHas { question: 1, contents: vec![] }));
    assert!(knowledge.handle(author(2).node(), Message::Summary(vec![]), at(1)), "others are");
    // What moves contents costs more: 512 of them are 33.
    let full = Message::Full((0..512).map(cid).collect());
    let heard = (0..100).take_while(|_| knowledge.handle(author(3).node(), full.clone(), at(1))).count();
    assert_eq!(heard, 512 / 33);
}

#[test]
fn ledgers_of_many_histories_end_the_same() {
    // Twelve who write at random, over gossip that loses a fifth, with comparisons to make up for it.
    for seed in 0..4 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(vec![gives(1 << 20); 12]);
        for n in 0..12 {
            for step in [1, 3, 4] {
                net.link(n, (n + step) % 12);
            }
        }
        for _ in 0..300 {
            let n = rng.next_u64() as usize % 12;
            net.peers[n].gossips = !rng.next_u64().is_multiple_of(5);
            let key = format!("key {}", rng.next_u64() % 40);
            let change =
                if rng.next_u64().is_multiple_of(4) { What::Delete } else { content(rng.next_u64() as u32 % 60) };
            net.write(n, notes(), &key, change);
            net.run(rng.next_u64() % 300);
        }
        net.run(40_000);
        assert_eq!(net.digests().len(), 1, "seed {seed}");
        net.run(60_000);
        // What stands for something is with three, and nothing else stays anywhere.
        let unix = net.peers[0].knowledge.unix();
        let ledger = net.peers[0].knowledge.ledger();
        let contents: BTreeSet<_> =
            ledger.entries(&notes()).filter_map(|(_, kept)| kept.content(unix)).map(|of| of.cid).collect();
        for cid in &contents {
            let holds = |peer: &&testing::net::Peer| {
                peer.knowledge.shelf().hold(cid).is_some_and(|hold| hold.placed) && peer.blocks.contains_key(cid)
            };
            assert_eq!(net.peers.iter().filter(holds).count(), 3, "seed {seed}");
        }
        let stray = net.peers.iter().flat_map(|peer| peer.blocks.keys()).find(|cid| !contents.contains(cid));
        assert_eq!(stray, None, "seed {seed}");
        assert!(net.peers.iter().all(|peer| peer.offences == 0));
    }
}
