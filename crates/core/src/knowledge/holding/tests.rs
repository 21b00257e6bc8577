//! One node's rules. [`world`] plays what comes of them among many, [`restarts`] what a store brings back.

use super::*;
use crate::knowledge::testing::{cid, node};

mod restarts;
mod world;

const ME: u32 = 1_000;

fn at(millis: u64) -> Now {
    Now { mono: Mono(millis), unix: millis }
}

fn offer(bytes: u64) -> Option<Storage> {
    Some(Storage { bytes, native: true, zone: String::new() })
}

/// This node and so many others, all of which give room.
fn holding(config: Config, others: u32) -> Holding {
    let mut holding = Holding::new(config, node(ME), BTreeSet::new(), at(0));
    for n in (0..others).chain([ME]) {
        holding.offered(node(n), offer(1 << 30), at(0));
    }
    holding
}

fn of(n: u32, size: u64, replicas: u8) -> knowledge::Content {
    knowledge::Content { cid: cid(n), size, replicas, kind: String::new(), metadata: None }
}

fn drain(holding: &mut Holding) -> Vec<Output> {
    std::iter::from_fn(|| holding.poll_output()).collect()
}

fn timeout(holding: &mut Holding, millis: u64) -> Vec<Output> {
    holding.handle_timeout(at(millis));
    drain(holding)
}

/// What is fetched of these outputs.
fn fetched(outputs: &[Output]) -> Vec<Cid> {
    let fetch = |output: &Output| if let Output::Fetch(cid, ..) = output { Some(*cid) } else { None };
    outputs.iter().filter_map(fetch).collect()
}

/// Whom each of these outputs tells this.
fn told(outputs: &[Output], message: &Message) -> BTreeSet<NodeId> {
    let told = |output: &Output| {
        let Output::Tell(to, said) = output else { panic!("{output:?}") };
        assert_eq!(said, message);
        *to
    };
    outputs.iter().map(told).collect()
}

/// Contents that are placed with this node and, with one copy each, with nobody else.
fn mine(holding: &Holding, count: usize) -> Vec<u32> {
    let first = |n: &u32| placement::place(&cid(*n), 1, &holding.candidates, |_| false) == [node(ME)];
    (0..).filter(first).take(count).collect()
}

#[test]
fn what_is_placed_here_is_fetched_and_told() {
    let mut holding = holding(Config::default(), 2);
    holding.referenced(&of(1, 100, 3), node(50), at(0));
    let outputs = timeout(&mut holding, 0);
    let [Output::Fetch(of_cid, 100, from)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((*of_cid, from[0]), (cid(1), node(50)), "its author is asked first");
    holding.fetched(cid(1), vec![(cid(1), 100)], at(10));
    assert_eq!(drain(&mut holding), []);
    assert_eq!(timeout(&mut holding, 59), []);
    let to = told(&timeout(&mut holding, 60), &Message::Holds { question: 0, contents: vec![cid(1)] });
    assert_eq!(to, BTreeSet::from([node(0), node(1), node(50)]));
    assert_eq!(holding.held(), (1, 1));
}

#[test]
fn so_many_are_fetched_at_once() {
    let mut holding = holding(Config::default(), 0);
    for n in 0..20 {
        holding.referenced(&of(n, 100, 1), node(50), at(0));
    }
    let first = fetched(&timeout(&mut holding, 0));
    assert_eq!(first.len(), 8);
    assert_eq!(fetched(&timeout(&mut holding, 1)), [], "one past it waits");
    holding.fetched(first[0], vec![(first[0], 100)], at(2));
    holding.failed(first[1], false, at(2));
    assert_eq!(fetched(&timeout(&mut holding, 2)).len(), 2);
}

#[test]
fn a_fetch_that_fails_is_tried_again_later_and_later() {
    let mut holding = holding(Config::default(), 0);
    holding.referenced(&of(1, 100, 1), node(50), at(0));
    assert_eq!(fetched(&timeout(&mut holding, 0)), [cid(1)]);
    let mut now = 0;
    for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        holding.failed(cid(1), false, at(now));
        assert_eq!(fetched(&timeout(&mut holding, now + pause - 1)), []);
        now += pause;
        assert_eq!(fetched(&timeout(&mut holding, now)), [cid(1)], "after {pause}");
    }
    // When it has come once, the next failure is a first one again.
    holding.fetched(cid(1), vec![(cid(1), 100)], at(now));
    assert!(holding.failures.is_empty() && holding.wanted.is_empty());
}

#[test]
fn what_is_not_wanted_any_more_is_cancelled() {
    let mut holding = holding(Config::default(), 0);
    let content = of(1, 100, 1);
    holding.referenced(&content, node(50), at(0));
    timeout(&mut holding, 0);
    holding.released(&content, &node(50), at(1));
    assert_eq!(drain(&mut holding), [Output::Cancel(cid(1))]);
    assert_eq!(timeout(&mut holding, 100_000), []);
    assert_eq!(holding.retained(), 1, "only our own offer");
    // It comes nevertheless.
    holding.fetched(cid(1), vec![(cid(1), 100)], at(2));
    assert_eq!(holding.shelf().hold(&cid(1)), Some(Hold::default()));
}

#[test]
fn one_content_may_stand_under_several_keys() {
    let mut holding = holding(Config::default(), 0);
    let (few, many) = (of(1, 100, 1), of(1, 100, 3));
    holding.referenced(&few, node(50), at(0));
    holding.referenced(&few, node(50), at(0));
    holding.referenced(&many, node(51), at(0));
    timeout(&mut holding, 0);
    holding.fetched(cid(1), vec![(cid(1), 100)], at(1));
    assert_eq!(holding.contents[&cid(1)].replicas(), 3);
    holding.released(&many, &node(51), at(2));
    assert_eq!(holding.contents[&cid(1)].replicas(), 1, "as many as those that are left want");
    holding.released(&few, &node(50), at(2));
    assert!(holding.shelf().has(&cid(1)));
    holding.released(&few, &node(50), at(2));
    let outputs = drain(&mut holding);
    assert_eq!(outputs.last(), Some(&Output::Remove(vec![cid(1)])));
    // Once more than it was referenced.
    holding.released(&few, &node(50), at(2));
    assert_eq!(drain(&mut holding), []);
}

#[test]
fn an_entry_that_lies_about_its_size_does_not_keep_the_content_away() {
    let config = Config { max_bytes: 10_000, ..Config::default() };
    let mut holding = holding(config, 0);
    // Each of them comes first once.
    holding.referenced(&of(1, 1, 1), node(60), at(0));
    holding.referenced(&of(1, 5_000, 1), node(50), at(0));
    let (mut now, mut sizes) = (0, Vec::new());
    for _ in 0..4 {
        let outputs = timeout(&mut holding, now);
        let [Output::Fetch(_, size, _)] = &outputs[..] else { panic!("{outputs:?}") };
        sizes.push(*size);
        holding.failed(cid(1), false, at(now));
        now += 60_000;
    }
    assert_eq!(sizes, [1, 5_000, 1, 5_000]);
}

#[test]
fn content_that_finds_no_room_is_not_fetched_and_the_next_is_told() {
    let mut holding = holding(Config { max_bytes: 1_000, ..Config::default() }, 4);
    let n = mine(&holding, 1)[0];
    holding.referenced(&of(n, 1_000, 1), node(50), at(0));
    assert_eq!(timeout(&mut holding, 0), []);
    // Its author, and whoever takes it instead.
    timeout(&mut holding, 5);
    let next = holding.placed(&cid(n)).to_vec();
    assert_ne!(next, [node(ME)]);
    let to = told(&timeout(&mut holding, 60), &Message::Full(vec![cid(n)]));
    assert_eq!(to, BTreeSet::from([node(50), next[0]]));
}

#[test]
fn what_is_on_its_way_counts_as_taken() {
    let mut holding = holding(Config { max_bytes: 1_000, ..Config::default() }, 4);
    for n in mine(&holding, 3) {
        holding.referenced(&of(n, 400, 1), node(50), at(0));
    }
    assert_eq!(fetched(&timeout(&mut holding, 0)).len(), 2);
    assert_eq!(holding.refused.len(), 1);
}

#[test]
fn who_has_room_again_tries_again() {
    let mut holding = holding(Config { max_bytes: 1_000, ..Config::default() }, 4);
    let all = mine(&holding, 2);
    for n in &all {
        holding.referenced(&of(*n, 600, 1), node(50), at(0));
    }
    let first = fetched(&timeout(&mut holding, 0))[0];
    holding.fetched(first, vec![(first, 600)], at(1));
    timeout(&mut holding, 60);
    let (gone, other) = if first == cid(all[0]) { (all[0], all[1]) } else { (all[1], all[0]) };
    assert_ne!(holding.placed(&cid(other)), [node(ME)]);
    holding.released(&of(gone, 600, 1), &node(50), at(100));
    timeout(&mut holding, 30_000);
    assert_eq!(fetched(&timeout(&mut holding, 30_005)), [cid(other)]);
    assert!(holding.refused.is_empty());
}

#[test]
fn what_many_say_is_remembered_up_to_a_bound_and_of_those_with_whom_it_is_always() {
    let mut holding = holding(Config::default(), 8);
    holding.referenced(&of(1, 100, 8), node(ME), at(0));
    timeout(&mut holding, 0);
    for n in 100..200 {
        holding.holds(node(n), 0, &[cid(1)], at(1));
    }
    assert_eq!(holding.contents[&cid(1)].holders.len(), MAX_SAID);
    let others: Vec<_> = holding.placed(&cid(1)).iter().copied().filter(|of| *of != node(ME)).collect();
    for other in &others {
        holding.holds(*other, 0, &[cid(1)], at(1));
    }
    assert_eq!(holding.contents[&cid(1)].holders.len(), MAX_SAID + others.len());
    for n in 200..300 {
        holding.full(node(n), &[cid(1)], at(2));
    }
    assert_eq!(holding.contents[&cid(1)].full.len(), MAX_SAID);
    holding.full(others[0], &[cid(1)], at(2));
    assert_eq!(holding.contents[&cid(1)].full.len(), MAX_SAID + 1);
    assert!(!holding.holders(&cid(1)).contains(&others[0]));
    // Of what nobody stands for, nothing is.
    holding.holds(node(1), 0, &[cid(2)], at(3));
    holding.full(node(1), &[cid(2)], at(3));
    assert_eq!(holding.contents.len(), 1);
}

#[test]
fn who_is_not_to_hold_it_moves_nothing_by_saying_that_it_is_full() {
    let mut holding = holding(Config::default(), 20);
    for n in 0..100 {
        holding.referenced(&of(n, 100, 3), node(50), at(0));
    }
    timeout(&mut holding, 0);
    let all: Vec<_> = (0..100).map(cid).collect();
    holding.full(node(99), &all, at(1));
    assert_eq!(holding.unplaced.len(), 0);
    let one = holding.placed(&cid(7))[0];
    holding.full(one, &all, at(1));
    assert!((1..50).contains(&holding.unplaced.len()), "three of twenty");
}

#[test]
fn questions_end_when_all_have_answered_or_in_time() {
    let mut holding = holding(Config::default(), 3);
    holding.referenced(&of(1, 100, 3), node(50), at(0));
    timeout(&mut holding, 0);
    holding.fetched(cid(1), vec![(cid(1), 100)], at(0));
    drain(&mut holding);
    let first = holding.ask(cid(1), at(100)).unwrap();
    let asked = told(&drain(&mut holding), &Message::WhoHas { question: first, contents: vec![cid(1)] });
    let asked = Vec::from_iter(asked);
    assert_eq!(asked.len(), 4, "three that give room and the author");
    holding.holds(node(77), first, &[cid(1)], at(101));
    for (n, to) in asked.iter().enumerate() {
        let contents = if n == 0 { vec![cid(1)] } else { vec![] };
        holding.holds(*to, first, &contents, at(102));
    }
    let outputs = timeout(&mut holding, 102);
    let found: BTreeSet<_> = [node(ME), asked[0]].into();
    assert!(outputs.contains(&Output::Holders(first, cid(1), found.into_iter().collect())), "{outputs:?}");
    // Nobody answers, and nobody knows of it.
    let second = holding.ask(cid(2), at(200)).unwrap();
    drain(&mut holding);
    assert!(!timeout(&mut holding, 1_699).iter().any(|output| matches!(output, Output::Holders(..))));
    assert_eq!(timeout(&mut holding, 1_700), [Output::Holders(second, cid(2), vec![])]);
    // There is nobody to ask.
    let mut alone = self::holding(Config::default(), 0);
    let question = alone.ask(cid(1), at(5)).unwrap();
    assert_eq!(timeout(&mut alone, 5), [Output::Holders(question, cid(1), vec![])]);
}

#[test]
fn so_many_questions_are_asked_at_once() {
    let mut holding = holding(Config::default(), 2);
    for n in 0..MAX_QUESTIONS as u32 {
        assert!(holding.ask(cid(n), at(0)).is_some());
    }
    assert_eq!(holding.ask(cid(1), at(0)), None);
    assert!(drain(&mut holding).len() <= MAX_QUESTIONS * MAX_ASKED);
    timeout(&mut holding, 1_500);
    assert!(holding.ask(cid(1), at(1_500)).is_some());
}

#[test]
fn how_much_room_there_is_moves_nothing_but_a_zone_does() {
    let mut holding = holding(Config::default(), 5);
    for n in 0..50 {
        holding.referenced(&of(n, 100, 3), node(50), at(0));
    }
    timeout(&mut holding, 0);
    holding.offered(node(1), offer(77), at(1));
    assert_eq!((holding.unplaced.len(), holding.offers[&node(1)].bytes), (0, 77));
    let zone = Some(Storage { bytes: 77, native: true, zone: "rack".into() });
    holding.offered(node(1), zone, at(2));
    assert_eq!(holding.unplaced.len(), 50);
}

#[test]
fn what_is_pinned_is_got_and_stays_whoever_stands_for_it() {
    let mut holding = holding(Config { max_bytes: 10_000, ..Config::default() }, 0);
    assert!(holding.pin(cid(9), at(0)) && !holding.pin(cid(9), at(0)));
    let outputs = timeout(&mut holding, 0);
    let [Output::Fetch(of_cid, room, _)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((*of_cid, *room), (cid(9), 10_000 - 128), "as much as there is room for");
    // It is not to be had now, and there is no room for it: that may change.
    holding.failed(cid(9), false, at(0));
    assert_eq!(fetched(&timeout(&mut holding, 1_000)), [cid(9)]);
    holding.failed(cid(9), true, at(1_000));
    assert_eq!(fetched(&timeout(&mut holding, 3_000)), [cid(9)]);
    holding.fetched(cid(9), vec![(cid(9), 500)], at(3_001));
    let content = of(9, 500, 1);
    holding.referenced(&content, node(50), at(3_002));
    timeout(&mut holding, 3_002);
    holding.released(&content, &node(50), at(3_003));
    assert!(holding.shelf().has(&cid(9)));
    assert!(holding.unpin(&cid(9)) && !holding.unpin(&cid(9)));
    assert_eq!(holding.shelf().hold(&cid(9)), Some(Hold::default()), "a cache now");
    // What is unpinned before it came is not wanted.
    holding.pin(cid(10), at(4_000));
    timeout(&mut holding, 4_000);
    holding.unpin(&cid(10));
    assert_eq!(drain(&mut holding), [Output::Cancel(cid(10))]);
    assert_eq!(timeout(&mut holding, 100_000), []);
}

#[test]
fn what_a_nodes_own_entry_stands_for_stays_until_those_have_it_with_whom_it_is_placed() {
    let config = Config { max_bytes: 1_000, ..Config::default() };
    let mut holding = Holding::new(config, node(ME), BTreeSet::new(), at(0));
    (0..3).for_each(|n| holding.offered(node(n), offer(1 << 30), at(0)));
    holding.fetched(cid(1), vec![(cid(1), 500)], at(0));
    holding.referenced(&of(1, 500, 3), node(ME), at(0));
    timeout(&mut holding, 0);
    let own = |holding: &Holding| holding.shelf().hold(&cid(1)).unwrap().own;
    assert!(own(&holding));
    // Somebody else has it as well, which is nothing to rely on.
    (10..20).for_each(|n| holding.holds(node(n), 0, &[cid(1)], at(1)));
    holding.holds(node(0), 0, &[cid(1)], at(1));
    holding.holds(node(1), 0, &[cid(1)], at(1));
    assert!(own(&holding));
    holding.holds(node(2), 0, &[cid(1)], at(1));
    assert!(!own(&holding));
    // One is lost: it is needed again.
    holding.left(node(1), at(2));
    holding.offered(node(5), offer(1), at(2));
    timeout(&mut holding, 10);
    assert!(own(&holding));
    holding.holds(node(5), 0, &[cid(1)], at(20));
    assert!(!own(&holding));
}

#[test]
fn ten_thousand_contents_are_placed_anew_in_small_steps() {
    let mut holding = holding(Config::default(), 100);
    for n in 0..10_000 {
        holding.referenced(&of(n, 100, 3), node(n % 100), at(0));
    }
    let place_all = |holding: &mut Holding, mut now: u64| {
        let mut steps = 0;
        while !holding.unplaced.is_empty() {
            now += PLACE_STEP;
            holding.handle_timeout(at(now));
            steps += 1;
        }
        steps
    };
    let steps = place_all(&mut holding, 0);
    let placed: usize = holding.contents.values().map(|content| content.placed.len()).sum();
    assert_eq!(placed, 30_000);
    let bytes: usize = holding
        .contents
        .values()
        .map(|of| {
            size_of::<Cid>()
                + size_of::<Content>()
                + of.placed.capacity() * 32
                + of.claims.capacity() * size_of::<Claim>()
        })
        .sum();
    holding.left(node(7), at(10_000));
    let moved = holding.unplaced.len();
    println!("10,000 contents on 101 nodes: {steps} steps, {} bytes each, {moved} move when one goes", bytes / 10_000);
    assert!((150..450).contains(&moved), "about three hundredths of them");
    assert!(place_all(&mut holding, 10_000) < steps / 10);
    assert!(bytes / 10_000 < 1_024);
}

/// Longer than the pause between two goes.
const PLACE_STEP: u64 = 10;
