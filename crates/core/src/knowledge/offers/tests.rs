use mesh_proto::knowledge::{Change, Signed};

use super::*;
use crate::knowledge::ledger::Config;
use crate::knowledge::testing::{START, author, content, entry, node, notes, sign};

fn at(millis: u64) -> Now {
    Now { mono: Mono(millis), unix: START + millis }
}

fn ledger() -> Ledger {
    Ledger::new(Config::default(), author(0).node())
}

fn id(n: u32) -> EntryId {
    EntryId(node(n).0)
}

/// What is pulled: of whom, by which question, and what.
fn pulls(offers: &mut Offers) -> Vec<(NodeId, u64, Vec<EntryId>)> {
    let mut pulls = Vec::new();
    while let Some((to, message)) = offers.poll_output() {
        let Message::Pull { question, session: None, entries, .. } = message else { panic!("{message:?}") };
        pulls.push((to, question, entries));
    }
    pulls
}

fn offer(offers: &mut Offers, from: u32, ids: &[EntryId], now: u64) -> Vec<(NodeId, u64, Vec<EntryId>)> {
    offers.offered(node(from), &notes(), ids, &ledger(), at(now));
    pulls(offers)
}

#[test]
fn what_several_offer_is_pulled_from_the_first() {
    let mut offers = Offers::default();
    assert_eq!(offer(&mut offers, 1, &[id(1), id(2)], 0), [(node(1), 1, vec![id(1), id(2)])]);
    assert_eq!(offer(&mut offers, 2, &[id(1), id(2), id(3)], 1), [(node(2), 2, vec![id(3)])]);
    assert_eq!(offer(&mut offers, 1, &[id(1)], 2), []);
    // It comes: everybody has it who has offered it.
    let mut has = offers.came(node(1), &id(1));
    has.sort_unstable();
    has.dedup();
    assert_eq!(has, [node(1), node(2)]);
    offers.answered(node(1), 1, at(3));
    assert_eq!(pulls(&mut offers), [(node(2), 3, vec![id(2)])], "the first did not have the other any more");
    offers.answered(node(2), 3, at(4));
    offers.answered(node(2), 2, at(4));
    assert_eq!((pulls(&mut offers), offers.wanted.len(), offers.since.len(), offers.of_peers.len()), (vec![], 0, 0, 0));
}

#[test]
fn what_does_not_come_is_pulled_from_another() {
    let mut offers = Offers::default();
    offer(&mut offers, 1, &[id(1), id(2)], 0);
    offer(&mut offers, 2, &[id(1)], 10);
    offers.handle_timeout(at(PATIENCE_MS - 1));
    assert_eq!(pulls(&mut offers), []);
    assert_eq!(offers.poll_timeout(), Some(Mono(PATIENCE_MS)));
    offers.handle_timeout(at(PATIENCE_MS));
    assert_eq!(pulls(&mut offers), [(node(2), 2, vec![id(1)])]);
    assert_eq!(offers.wanted.len(), 1, "the other is left to a comparison");
    // The first may answer for a while.
    assert!(offers.expects(&node(1), at(LATE_MS - 1)) && !offers.expects(&node(1), at(LATE_MS)));
    offers.handle_timeout(at(2 * PATIENCE_MS));
    assert_eq!((pulls(&mut offers), offers.wanted.len()), (vec![], 0));
    offers.handle_timeout(at(2 * LATE_MS));
    assert_eq!(offers.retained(), 0);
}

#[test]
fn who_goes_is_not_asked() {
    let mut offers = Offers::default();
    offer(&mut offers, 1, &[id(1)], 0);
    offer(&mut offers, 2, &[id(1)], 1);
    offer(&mut offers, 3, &[id(1)], 2);
    offers.unlinked(&node(3), at(3));
    assert_eq!(pulls(&mut offers), []);
    offers.unlinked(&node(1), at(3));
    assert_eq!(pulls(&mut offers), [(node(2), 2, vec![id(1)])]);
    offers.unlinked(&node(2), at(4));
    assert_eq!((pulls(&mut offers), offers.retained()), (vec![], 0));
}

#[test]
fn what_is_here_or_has_no_room_or_is_not_followed_is_not_pulled() {
    let mut config = Config { max_entries: 8, ..Config::default() };
    let follow = BTreeSet::from([notes()]);
    config.follow = crate::knowledge::Follow::Only(follow);
    let mut ledger = Ledger::new(config, author(0).node());
    let written: Vec<Signed> =
        (0..8).map(|n| sign(&author(1), START, &entry(&format!("{n}"), Change::Delete))).collect();
    for signed in &written {
        let _ = ledger.apply(signed.clone(), START);
    }
    assert_eq!((ledger.load().0, ledger.retained()), (7, 1));
    let mut offers = Offers::default();
    let ids: Vec<_> = written.iter().map(|signed| signed.id).chain([id(9)]).collect();
    offers.offered(node(1), &notes(), &ids, &ledger, at(0));
    assert_eq!(pulls(&mut offers), [(node(1), 1, vec![id(9)])]);
    offers.offered(node(1), &Domain::shared("other"), &[id(10)], &ledger, at(0));
    assert_eq!(pulls(&mut offers), []);
}

#[test]
fn what_is_wanted_is_bounded_for_each_peer_and_for_all() {
    let mut offers = Offers::default();
    for peer in 0..6 {
        for n in 0..12 {
            let first = peer * 100_000 + n * 1_000;
            let ids: Vec<_> = (first..first + 1_000).map(id).collect();
            offer(&mut offers, peer, &ids, 0);
        }
        let expected = (peer as usize + 1).min(4) * MAX_WANTED_OF_PEER;
        assert_eq!(offers.wanted.len(), expected);
    }
    assert_eq!(offers.wanted.len(), MAX_WANTED);
    assert_eq!(offers.since.len(), MAX_WANTED);
    for peer in 0..10 {
        offer(&mut offers, 1_000 + peer, &[id(0)], 1);
    }
    assert_eq!(offers.wanted[&id(0)].others.len(), MAX_OTHERS);
}

#[test]
fn news_is_gathered_and_told_to_those_who_lack_it() {
    let mut offers = Offers::default();
    let signed = sign(&author(1), START, &entry("k", content(1)));
    offers.learned(&notes(), signed.id, vec![node(1)], at(5));
    offers.made(&notes(), id(2), at(10));
    assert!(!offers.is_due(at(34)) && offers.is_due(at(35)));
    offers.tell(&[node(1), node(2)]);
    let mut told = BTreeMap::new();
    while let Some((to, message)) = offers.poll_output() {
        let Message::Have { entries, .. } = message else { panic!("{message:?}") };
        told.insert(to, entries.len());
    }
    assert_eq!(told, BTreeMap::from([(node(1), 1), (node(2), 2)]));
    assert_eq!((offers.retained(), offers.poll_timeout()), (0, None));
    // More than one message names.
    (0..2_500).for_each(|n| offers.made(&notes(), id(n), at(50)));
    offers.tell(&[node(1)]);
    assert_eq!(offers.outputs.len(), 3);
}
