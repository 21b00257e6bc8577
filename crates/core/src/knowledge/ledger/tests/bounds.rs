use super::*;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn with(config: Config) -> Ledger {
    Ledger::new(config, author(0).node())
}

/// With room for so many entries, of which others may take seven eighths.
fn small(max_entries: usize) -> Ledger {
    with(Config { max_entries, ..Config::default() })
}

fn key(n: usize) -> String {
    format!("key {n}")
}

/// Has somebody write keys until there is no room; how many.
fn fill(ledger: &mut Ledger, by: u32, unix: u64) -> usize {
    for n in 0.. {
        let written = sign(&author(by), unix, &entry(&format!("{by}'s {n}"), content(n)));
        match ledger.apply(written, unix) {
            Ok(applied) => assert_eq!(applied, Applied::Current { dropped: vec![] }),
            Err(refused) => {
                assert_eq!(refused, Refused::NoRoom);
                check(ledger);
                return n as usize;
            }
        }
    }
    unreachable!()
}

#[test]
fn others_leave_an_eighth_of_the_entries_to_us() {
    let mut ledger = small(64);
    assert_eq!(fill(&mut ledger, 1, START), 56);
    assert_eq!(fill(&mut ledger, 2, START), 0);
    assert_eq!(fill(&mut ledger, 0, START), 8);
    assert_eq!(ledger.load().0, 64);
}

#[test]
fn others_leave_an_eighth_of_the_bytes_to_us() {
    let one = sign(&author(1), START, &entry("1's 0", content(0))).envelope.wire().len();
    let max_bytes = 64 * one + 200;
    let mut ledger = with(Config { max_bytes, ..Config::default() });
    let others = fill(&mut ledger, 1, START);
    assert!(ledger.load().1 <= max_bytes - max_bytes / 8 && ledger.load().1 + one + 8 > max_bytes - max_bytes / 8);
    let own = fill(&mut ledger, 0, START);
    assert!(ledger.load().1 <= max_bytes && ledger.load().1 + one + 8 > max_bytes);
    println!("{others} of others and {own} of ours, each of {one} bytes, in {max_bytes} bytes");
    // At the bound and one byte past it.
    let (exact, past) = (
        with(Config { max_bytes: one, ..Config::default() }),
        with(Config { max_bytes: one - 1, ..Config::default() }),
    );
    for (mut ledger, fits) in [(exact, true), (past, false)] {
        let own = sign(&author(0), START, &entry("1's 0", content(0)));
        assert_eq!(own.envelope.wire().len(), one);
        assert_eq!(ledger.apply(own, START).is_ok(), fits);
    }
}

#[test]
fn one_author_has_its_bound_and_may_replace_what_is_here() {
    let mut ledger = with(Config { max_of_author: 10, ..Config::default() });
    assert_eq!(fill(&mut ledger, 1, START), 10);
    assert_eq!(fill(&mut ledger, 0, START), 10, "ours as well");
    let again = next(&ledger, &author(1), START + 1, entry("1's 3", Change::Delete));
    assert_eq!(takes(&mut ledger, &again), 1);
    let ours = next(&ledger, &author(1), START + 1, entry("0's 3", Change::Delete));
    assert_eq!(takes(&mut ledger, &ours), 1);
    assert_eq!(ledger.of_author(&author(1).node()), 11);
    assert_eq!(apply(&mut ledger, &sign(&author(1), START + 2, &entry("another", content(1)))), Err(Refused::NoRoom));
}

#[test]
fn what_replaces_others_does_not_outgrow_the_room() {
    let wide = |key: &str, n| {
        let Change::Put(mut content) = content(n) else { panic!("content") };
        content.metadata = Some(serde_bytes::ByteBuf::from(vec![0; 1024]));
        entry(key, Change::Put(content))
    };
    let mut ledger = with(Config { max_bytes: 32 * 1024, ..Config::default() });
    let count = fill(&mut ledger, 1, START);
    assert!(count > 50);
    for n in 0..count {
        let written = next(&ledger, &author(1), START + 1, wide(&format!("1's {n}"), n as u32));
        let _ = ledger.apply(written, START + 1);
        check(&ledger);
        assert!(ledger.load().1 <= 28 * 1024);
    }
    // But each of them may be taken away, by whoever it is, and by us most of all.
    for n in 0..count {
        let delete = next(&ledger, &author(2), START + 2, entry(&format!("1's {n}"), Change::Delete));
        assert_eq!(takes(&mut ledger, &delete), 1, "{n} of {count}");
        assert!(ledger.load().1 <= 32 * 1024);
    }
    let own = next(&ledger, &author(0), START + 3, entry("1's 0", Change::Delete));
    assert_eq!(takes(&mut ledger, &own), 1);
}

#[test]
fn a_full_ledger_still_takes_what_takes_away() {
    let mut ledger = small(16);
    let (others, own) = (fill(&mut ledger, 1, START), fill(&mut ledger, 0, START));
    assert_eq!((others, own), (14, 2));
    for key in ["0's 0", "1's 0"] {
        assert_eq!(ledger.check_own(&notes()), Ok(()));
        let delete = next(&ledger, &author(0), START + 1, entry(key, Change::Delete));
        assert_eq!(takes(&mut ledger, &delete), 1);
    }
}

#[test]
fn there_are_256_domains() {
    let mut ledger = ledger();
    let of = |n: usize, by: u32| {
        sign(&author(by), START, &Entry { domain: Domain::shared(format!("{n}")), ..entry("k", content(1)) })
    };
    for n in 0..256 {
        takes(&mut ledger, &of(n, 1));
    }
    assert_eq!(apply(&mut ledger, &of(256, 1)), Err(Refused::NotFollowed));
    assert_eq!(apply(&mut ledger, &of(256, 0)), Err(Refused::NoRoom), "not even ours");
    assert_eq!(ledger.check_own(&Domain::shared("256")), Err(Refused::NoRoom));
    takes(&mut ledger, &of(255, 2));
    ledger.remove(&Domain::shared("7"), "k");
    takes(&mut ledger, &of(256, 1));
}

#[test]
fn room_is_made_of_what_was_taken_away_long_ago() {
    let mut ledger = small(32);
    for n in 0..20 {
        ledger.apply(sign(&author(1), START, &entry(&key(n), content(1))), START).unwrap();
        if n >= 10 {
            let delete = next(&ledger, &author(1), START + 1, entry(&key(n), Change::Delete));
            ledger.apply(delete, START + 1).unwrap();
        }
    }
    let soon = START + 7 * DAY_MS;
    assert_eq!(fill(&mut ledger, 2, soon), 8, "they are not old enough yet");
    assert!(ledger.forgotten().is_empty());
    let late = soon + 60_002;
    assert_eq!(fill(&mut ledger, 3, late), 10);
    assert_eq!(ledger.forgotten().len(), 10);
    assert!((0..10).all(|n| !ledger.get(&notes(), &key(n)).is_empty()), "what stands for something stays");
    assert!((10..20).all(|n| ledger.get(&notes(), &key(n)).is_empty()));
}

#[test]
fn an_expired_entry_is_forgotten_like_one_that_was_taken_away() {
    let mut ledger = small(8);
    let until = Entry { expires: Some(START + 10), ..entry("k", content(1)) };
    ledger.apply(sign(&author(1), START, &until), START).unwrap();
    assert_eq!(ledger.expire(START + 10).len(), 1);
    assert_eq!(fill(&mut ledger, 2, START + 8 * DAY_MS), 7);
    assert_eq!(ledger.forgotten().len(), 1);
    check(&ledger);
}

#[test]
fn what_was_forgotten_does_not_come_again_unless_it_takes_something_away() {
    let mut ledger = small(32);
    let put = sign(&author(1), START, &entry("old", content(1)));
    let delete = sign(&author(1), START + 1, &entry("old", Change::Delete));
    ledger.apply(delete.clone(), START + 1).unwrap();
    let late = START + 8 * DAY_MS;
    assert_eq!(fill(&mut ledger, 2, late), 28);
    assert_eq!(ledger.forgotten(), [kept(&delete)]);
    let keep = |ledger: &mut Ledger, count: usize| {
        for n in count..28 {
            ledger.remove(&notes(), &format!("2's {n}"));
        }
        ledger.forgotten();
    };
    // There is room now, but then it would be forgotten, told of by others and taken in for ever.
    keep(&mut ledger, 20);
    assert_eq!(ledger.apply(delete.clone(), late), Err(Refused::NoRoom));
    assert_eq!(ledger.away(&notes()).collect::<Vec<_>>(), [(delete.id, delete.version.1)]);
    // Somebody who was away for longer brings back what it took away: so it is let in, and not remembered as not let in.
    assert_eq!(takes(&mut ledger, &put), 0);
    assert_eq!(ledger.away(&notes()).count(), 0);
    assert_eq!(ledger.apply(delete.clone(), late), Ok(Applied::Current { dropped: vec![("old".into(), kept(&put))] }));
    ledger.remove(&notes(), "old");
    // When half of it is empty, it is remembered like any other.
    keep(&mut ledger, 10);
    assert_eq!(ledger.apply(delete, late), Ok(Applied::Current { dropped: vec![] }));
    check(&ledger);
}

fn kept(signed: &Signed) -> Kept {
    let Signed { id, version, entry, envelope } = signed.clone();
    let wire = envelope.wire().clone();
    Kept { id, version, change: entry.change, replaces: entry.replaces, expires: entry.expires, wire }
}

#[test]
fn what_there_was_no_room_for_is_remembered_until_there_is() {
    let mut ledger = small(64);
    fill(&mut ledger, 1, START);
    for n in 0..200 {
        let signed = sign(&author(2), START, &entry(&key(n), content(1)));
        assert_eq!(ledger.apply(signed.clone(), START), Err(Refused::NoRoom));
        assert_eq!(ledger.apply(signed, START), Err(Refused::NoRoom));
    }
    assert_eq!((ledger.away(&notes()).count(), ledger.retained()), (128, 128), "twice as many as there may be");
    for n in 0..5 {
        ledger.remove(&notes(), &format!("1's {n}"));
    }
    assert_eq!(ledger.retained(), 0, "51 of 64 are here");
    takes(&mut ledger, &sign(&author(2), START, &entry(&key(0), content(1))));
}

#[test]
fn what_was_too_much_of_one_author_comes_when_it_has_less() {
    let mut ledger = with(Config { max_of_author: 4, ..Config::default() });
    fill(&mut ledger, 1, START);
    fill(&mut ledger, 2, START);
    assert_eq!(ledger.retained(), 2);
    let delete = next(&ledger, &author(3), START + 1, entry("1's 0", Change::Delete));
    takes(&mut ledger, &delete);
    assert_eq!(ledger.retained(), 1, "only of the first");
    takes(&mut ledger, &sign(&author(1), START, &entry("1's 4", content(4))));
}
