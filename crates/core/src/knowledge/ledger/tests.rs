//! What is current, one rule at a time. [`bounds`] is about room, [`convergence`] about many at once.

use mesh_proto::Keypair;
use mesh_proto::knowledge::{Entry, Signed};

use super::*;
use crate::knowledge::testing::{START, author, content, entry, notes, replacing, sign};

mod bounds;
mod convergence;

fn ledger() -> Ledger {
    Ledger::new(Config::default(), author(0).node())
}

fn apply(ledger: &mut Ledger, signed: &Signed) -> Result<Applied, Refused> {
    let applied = ledger.apply(signed.clone(), START + 3_600_000);
    check(ledger);
    applied
}

/// Applies what is current then; how many it replaced.
fn takes(ledger: &mut Ledger, signed: &Signed) -> usize {
    match apply(ledger, signed) {
        Ok(Applied::Current { dropped }) => dropped.len(),
        applied => panic!("{applied:?}"),
    }
}

/// The accounts are right, and everything is in its order.
fn check(ledger: &Ledger) {
    let mut authors = BTreeMap::<NodeId, usize>::new();
    let (mut entries, mut bytes) = (0, 0);
    for (domain, book) in &ledger.books {
        assert!(!book.keys.is_empty(), "an empty domain is none");
        let mut index = BTreeMap::new();
        for (key, heads) in &book.keys {
            assert!((1..=MAX_SIBLINGS).contains(&heads.len()));
            assert!(heads.is_sorted_by(|a, b| rank(a) > rank(b)));
            assert!(!heads.iter().any(|a| heads.iter().any(|b| a.id != b.id && a.replaces(b))));
            for head in heads {
                entries += 1;
                bytes += head.wire.len();
                *authors.entry(head.version.0).or_default() += 1;
                index.insert(head.id, key.clone());
                assert!(book.may_write(domain, &head.version.0));
            }
        }
        assert_eq!(index, book.index);
    }
    assert_eq!((entries, bytes), (ledger.entries, ledger.bytes));
    assert_eq!(authors, ledger.authors);
    for (expires, id, domain) in &ledger.expiries {
        assert_eq!(ledger.entry(domain, id).and_then(|(_, kept)| kept.expires), Some(*expires));
    }
}

/// An entry that replaces what `ledger` knows of its key.
fn next(ledger: &Ledger, by: &Keypair, unix: u64, entry: Entry) -> Signed {
    let replaces = ledger.replaced(&entry.domain, &entry.key);
    sign(by, unix, &Entry { replaces, ..entry })
}

fn first(ledger: &Ledger, key: &str) -> EntryId {
    ledger.get(&notes(), key).first().expect("a key that is known").id
}

#[test]
fn the_next_of_an_author_replaces_its_last() {
    let mut ledger = ledger();
    let (a, b) =
        (sign(&author(1), START, &entry("k", content(1))), sign(&author(1), START + 1, &entry("k", content(2))));
    assert_eq!(takes(&mut ledger, &a), 0);
    assert_eq!(apply(&mut ledger, &a), Ok(Applied::Known));
    assert_eq!(takes(&mut ledger, &b), 1);
    assert_eq!(apply(&mut ledger, &a), Ok(Applied::Superseded));
    assert_eq!(ledger.get(&notes(), "k").len(), 1);
}

#[test]
fn who_did_not_know_of_the_other_is_its_sibling_and_the_later_goes_first() {
    let mut ledger = ledger();
    let (a, b) =
        (sign(&author(1), START, &entry("k", content(1))), sign(&author(2), START + 1, &entry("k", content(2))));
    assert_eq!((takes(&mut ledger, &b), takes(&mut ledger, &a)), (0, 0));
    assert_eq!(first(&ledger, "k"), b.id);
    let both = next(&ledger, &author(3), START + 2, entry("k", content(3)));
    assert_eq!(takes(&mut ledger, &both), 2);
    assert_eq!((apply(&mut ledger, &a), apply(&mut ledger, &b)), (Ok(Applied::Superseded), Ok(Applied::Superseded)));
}

#[test]
fn who_writes_last_is_first_though_its_clock_is_behind() {
    let mut ledger = ledger();
    let ahead = sign(&author(1), START + 50_000, &entry("k", content(1)));
    takes(&mut ledger, &ahead);
    let later = next(&ledger, &author(2), START, entry("k", Change::Delete));
    takes(&mut ledger, &later);
    // Somebody who knew neither, and whose clock is right.
    takes(&mut ledger, &sign(&author(3), START + 40_000, &entry("k", content(3))));
    assert_eq!(first(&ledger, "k"), later.id);
}

#[test]
fn an_author_whose_clock_was_set_back_still_replaces_its_own() {
    let mut ledger = ledger();
    takes(&mut ledger, &sign(&author(0), START + 50_000, &entry("k", content(1))));
    let again = next(&ledger, &author(0), START, entry("k", content(2)));
    assert_eq!(takes(&mut ledger, &again), 1);
    assert_eq!(first(&ledger, "k"), again.id);
}

#[test]
fn no_two_replace_each_other() {
    let mut by_order = Vec::new();
    for swap in [false, true] {
        let (a, b) = (author(1), author(2));
        let late = Hlc::at(START + 10_000);
        // Each claims to have seen what the other writes later.
        let a = sign(&a, START, &replacing([Version(b.node(), late)], entry("k", content(1))));
        let b = sign(&b, START, &replacing([Version(author(1).node(), late)], entry("k", content(2))));
        assert_eq!((a.version.1, b.version.1), (Hlc(late.0 + 1), Hlc(late.0 + 1)));
        let mut ledger = ledger();
        for signed in if swap { [&b, &a] } else { [&a, &b] } {
            apply(&mut ledger, signed).unwrap();
        }
        by_order.push(ledger.digest());
    }
    assert_eq!(by_order[0], by_order[1]);
}

#[test]
fn of_two_that_an_author_calls_the_same_one_stays_the_same_everywhere() {
    let mut digests = Vec::new();
    for swap in [false, true] {
        let mut twins = [1, 2].map(|n| sign(&author(1), START, &entry("k", content(n))));
        twins.sort_by_key(|twin| (twin.id < twin.id, twin.id));
        if swap {
            twins.reverse();
        }
        let mut ledger = ledger();
        twins.iter().for_each(|twin| drop(apply(&mut ledger, twin).unwrap()));
        assert_eq!(ledger.get(&notes(), "k").len(), 1);
        digests.push(ledger.digest());
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn what_replaces_many_names_all_that_is_current() {
    let mut ledger = ledger();
    // Seventeen write one after another, each knowing the last; then seven more who know nothing, with older clocks.
    for n in 1..=17 {
        let signed = next(&ledger, &author(n), START + 1_000 + u64::from(n), entry("k", content(n)));
        takes(&mut ledger, &signed);
    }
    for n in 18..=24 {
        takes(&mut ledger, &sign(&author(n), START + u64::from(n), &entry("k", content(n))));
    }
    let replaced = ledger.replaced(&notes(), "k");
    assert_eq!(replaced.len(), MAX_REPLACED);
    let delete = next(&ledger, &author(1), START + 5_000, entry("k", Change::Delete));
    assert_eq!(takes(&mut ledger, &delete), 8);
    assert_eq!(ledger.get(&notes(), "k").len(), 1);
    // What was left out of the list may be back, but not as what the key stands for.
    let old = sign(&author(2), START + 1_002, &entry("k", content(2)));
    apply(&mut ledger, &old).unwrap();
    assert_eq!(first(&ledger, "k"), delete.id);
}

#[test]
fn eight_siblings_stay_and_a_ninth_takes_the_last_ones_place() {
    let mut ledger = ledger();
    let all: Vec<_> = (1..=10).map(|n| sign(&author(n), START + u64::from(n), &entry("k", content(n)))).collect();
    for signed in &all[1..9] {
        assert_eq!(takes(&mut ledger, signed), 0);
    }
    assert_eq!(apply(&mut ledger, &all[0]), Ok(Applied::Superseded), "it would be the ninth");
    assert_eq!(takes(&mut ledger, &all[9]), 1);
    assert_eq!(apply(&mut ledger, &all[1]), Ok(Applied::Superseded));
    let ids: Vec<_> = ledger.get(&notes(), "k").iter().map(|head| head.id).collect();
    assert_eq!(ids, all[2..].iter().rev().map(|signed| signed.id).collect::<Vec<_>>());
}

#[test]
fn only_writers_write_and_who_is_none_any_more_is_taken_out() {
    let owned = Domain { name: "lab".into(), owner: Some(author(1).node()) };
    let of = |entry: Entry| Entry { domain: owned.clone(), ..entry };
    let grant = |writers: &[u32]| {
        let mut writers: Vec<_> = writers.iter().map(|n| author(*n).node()).collect();
        writers.sort_unstable();
        of(entry("", Change::Grant(writers)))
    };
    let mut ledger = ledger();
    let by_two = sign(&author(2), START + 1, &of(entry("k", content(2))));
    assert_eq!(apply(&mut ledger, &by_two), Err(Refused::NotAWriter));
    assert_eq!(ledger.check_own(&owned), Err(Refused::NotAWriter));
    takes(&mut ledger, &sign(&author(1), START, &of(entry("k", content(1)))));
    takes(&mut ledger, &sign(&author(1), START, &grant(&[0, 2])));
    assert_eq!(ledger.check_own(&owned), Ok(()));
    assert_eq!(takes(&mut ledger, &by_two), 0);
    takes(&mut ledger, &sign(&author(2), START + 1, &of(entry("only two's", content(2)))));
    let Ok(Applied::Current { dropped }) = apply(&mut ledger, &sign(&author(1), START + 2, &grant(&[0]))) else {
        panic!("a grant that is later");
    };
    let keys: Vec<_> = dropped.iter().map(|(key, kept)| (key.as_str(), kept.version.0)).collect();
    let two = author(2).node();
    assert_eq!(keys, [("", author(1).node()), ("k", two), ("only two's", two)]);
    assert_eq!(ledger.get(&owned, "k").len(), 1);
    assert_eq!(apply(&mut ledger, &by_two), Err(Refused::NotAWriter));
    assert_eq!(apply(&mut ledger, &sign(&author(1), START, &grant(&[0, 2]))), Ok(Applied::Superseded));
}

#[test]
fn what_is_not_followed_is_not_kept_but_for_ones_own() {
    let follow = Follow::Only(BTreeSet::from([notes()]));
    let mut ledger = Ledger::new(Config { follow, ..Config::default() }, author(0).node());
    let other = |n| {
        sign(&author(n), START + u64::from(n), &Entry { domain: Domain::shared("other"), ..entry("k", content(n)) })
    };
    takes(&mut ledger, &sign(&author(1), START, &entry("k", content(1))));
    assert_eq!(apply(&mut ledger, &other(1)), Err(Refused::NotFollowed));
    takes(&mut ledger, &other(0));
    takes(&mut ledger, &other(1));
}

#[test]
fn what_expires_is_told_once_and_stays() {
    let mut ledger = ledger();
    let until = |key: &str, expires, n| Entry { expires: Some(expires), ..entry(key, content(n)) };
    for (n, (key, expires)) in [("b", START + 20), ("a", START + 10), ("c", START + 30)].into_iter().enumerate() {
        ledger.apply(sign(&author(1), START, &until(key, expires, n as u32)), START).unwrap();
    }
    // It was over before it came, so nobody was ever told that it began.
    ledger.apply(sign(&author(1), START, &until("d", START, 9)), START).unwrap();
    assert_eq!(ledger.next_expiry(), Some(START + 10));
    assert!(ledger.expire(START + 9).is_empty());
    let told: Vec<_> = ledger.expire(START + 20).into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(told, ["a", "b"]);
    assert!(ledger.expire(START + 20).is_empty());
    assert_eq!((ledger.load().0, ledger.next_expiry()), (4, Some(START + 30)));
    let a = &ledger.get(&notes(), "a")[0];
    assert!(a.content(START + 9).is_some() && a.content(START + 10).is_none());
    // What is replaced does not expire any more.
    let signed = next(&ledger, &author(2), START + 1, entry("c", content(4)));
    ledger.apply(signed, START + 25).unwrap();
    assert_eq!(ledger.next_expiry(), None);
    check(&ledger);
}

#[test]
fn keys_are_told_in_order_and_in_pages() {
    let mut ledger = ledger();
    for key in ["b", "a/2", "a/1", "a", "a/10", "z", "a0"] {
        takes(&mut ledger, &sign(&author(1), START, &entry(key, content(1))));
    }
    let keys = |prefix: &str, after: Option<&str>| -> Vec<String> {
        ledger.keys(&notes(), prefix, after).map(|(key, _)| key.to_owned()).collect()
    };
    assert_eq!(keys("", None), ["a", "a/1", "a/10", "a/2", "a0", "b", "z"]);
    assert_eq!(keys("a/", None), ["a/1", "a/10", "a/2"]);
    assert_eq!(keys("a/", Some("a/1")), ["a/10", "a/2"]);
    assert_eq!(keys("a/", Some("a/11")), ["a/2"], "a key that is not there any more");
    assert_eq!(keys("a/", Some("a")), ["a/1", "a/10", "a/2"], "before all of them");
    assert_eq!(keys("a/", Some("b")), [""; 0]);
    assert_eq!(keys("c", None), [""; 0]);
    assert_eq!(ledger.keys(&Domain::shared("none"), "", None).count(), 0);
    let next = |after: &Option<String>| keys("", after.as_deref()).into_iter().next();
    let paged = std::iter::successors(next(&None), |last| next(&Some(last.clone())));
    assert_eq!(paged.collect::<Vec<_>>(), keys("", None));
}

#[test]
fn nothing_is_left_when_everything_is_removed() {
    let mut ledger = ledger();
    for n in 0..100 {
        let expires = (n % 3 == 0).then_some(START + 7_200_000 + u64::from(n));
        let domain = Domain::shared(format!("domain {}", n % 7));
        let written = Entry { domain, expires, ..entry(&format!("key {}", n % 13), content(n)) };
        apply(&mut ledger, &sign(&author(n % 5), START + u64::from(n), &written)).unwrap();
    }
    let keys: Vec<_> =
        ledger.books.iter().flat_map(|(of, book)| book.keys.keys().map(|key| (of.clone(), key.clone()))).collect();
    keys.iter().for_each(|(domain, key)| ledger.remove(domain, key));
    check(&ledger);
    assert_eq!(ledger.load(), (0, 0));
    assert!(ledger.books.is_empty() && ledger.authors.is_empty() && ledger.expiries.is_empty());
    let mut empty = self::ledger();
    assert_eq!(ledger.digest(), empty.digest());
    assert!(ledger.forgotten().len() >= keys.len() && ledger.forgotten().is_empty());
}
