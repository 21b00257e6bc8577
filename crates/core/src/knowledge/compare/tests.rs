//! Two who compare what they have, and more than two. [`silence`] is about those that fall silent, [`liars`] about those that lie.

use std::collections::BTreeSet;
use std::sync::Mutex;

use mesh_proto::codec;
use mesh_proto::knowledge::{Change, Content, Entry, Signed};
use mesh_proto::limits::MAX_BODY;

use super::*;
use crate::knowledge::testing::net::{LATENCY_MS, Net};
use crate::knowledge::testing::{START, author, content, entry, notes, sign};
use crate::knowledge::{Config, Event, Follow};

mod liars;
mod silence;

/// So many nodes that hear nothing by gossip, none linked.
fn deaf(count: usize) -> Net {
    with(vec![Config::default(); count])
}

fn with(configs: Vec<Config>) -> Net {
    let mut net = Net::new(configs);
    net.peers.iter_mut().for_each(|peer| peer.gossips = false);
    net
}

/// Has a node know these keys, each written by somebody else a millisecond after the last.
fn knows(net: &mut Net, n: usize, keys: impl IntoIterator<Item = u32>) {
    let now = net.now;
    for key in keys {
        assert!(net.peers[n].knowledge.heard(written(key), None, now));
    }
    net.drain(n);
    net.peers[n].events.clear();
    // It was a while ago: else it would be offered, and not compared.
    net.peers[n].knowledge.recent.clear();
}

fn summary(net: &mut Net, n: usize, domain: &Domain) -> Summary {
    net.peers[n].knowledge.ledger.summary(domain)
}

/// Signing takes longer than all the rest.
fn written(key: u32) -> Signed {
    static WRITTEN: Mutex<BTreeMap<u32, Signed>> = Mutex::new(BTreeMap::new());
    let write = || sign(&author(1_000), START - 60_000 + u64::from(key), &entry(&format!("key {key}"), content(key)));
    WRITTEN.lock().unwrap().entry(key).or_insert_with(write).clone()
}

fn count(net: &Net, n: usize) -> usize {
    net.peers[n].knowledge.ledger().load().0
}

fn done(net: &Net, n: usize) -> Vec<&Done> {
    fn done(event: &Event) -> Option<&Done> {
        if let Event::Compared(done) = event { Some(done) } else { None }
    }
    net.peers[n].events.iter().filter_map(done).collect()
}

/// How often each entry was given.
fn given(net: &Net) -> BTreeMap<EntryId, usize> {
    let mut given = BTreeMap::new();
    for (_, _, bytes) in &net.trace {
        if let Message::Push { entries, .. } = codec::decode(bytes, MAX_BODY).unwrap() {
            for wire in entries {
                *given.entry(EntryId::of(&wire)).or_default() += 1;
            }
        }
    }
    given
}

#[test]
fn who_has_the_same_says_no_more_than_that() {
    let mut net = deaf(2);
    knows(&mut net, 0, 0..1_000);
    knows(&mut net, 1, 0..1_000);
    net.link(0, 1);
    net.run(5_000);
    let (messages, bytes, traffic) = net.take_traffic();
    println!("two that have the same thousand: {messages} messages, {bytes} bytes");
    assert_eq!(traffic.keys().collect::<Vec<_>>(), [&"summary"]);
    assert_eq!(messages, 2, "one of each");
}

#[test]
fn a_thousand_differences_each_way_of_ten_thousand_are_found_and_given_once() {
    let mut net = deaf(2);
    // Nine thousand are the same, and among them are a thousand that are not, on each side.
    knows(&mut net, 0, (0..11_000).filter(|n| n % 11 != 5));
    knows(&mut net, 1, (0..11_000).filter(|n| n % 11 != 7));
    net.link(0, 1);
    net.run(5_000);
    assert_eq!(net.digests().len(), 1);
    assert_eq!((count(&net, 0), count(&net, 1)), (11_000, 11_000));
    let given = given(&net);
    assert_eq!(given.len(), 2_000);
    assert!(given.values().all(|times| *times == 1), "nothing is given twice");
    let entries: usize = net.peers[0].knowledge.ledger().load().1 / 11_000;
    let (messages, bytes, traffic) = net.take_traffic();
    println!(
        "1,000 of 10,000 each way: {messages} messages, {bytes} bytes, of which the entries are {}: {traffic:?}",
        2_000 * entries
    );
    // One that was asked for, and one that was told of it.
    let all =
        net.peers.iter().flat_map(|peer| &peer.events).filter(|event| matches!(event, Event::Compared(_))).count();
    assert_eq!(all, 1);
    let by = if done(&net, 0).is_empty() { 1 } else { 0 };
    let Done { received, sent, whole, .. } = done(&net, by)[0];
    assert_eq!((*received, *sent, *whole), (1_000, 1_000, true));
    assert!(bytes < 1_500_000, "{bytes}");
    // And then there is peace: a summary now and then.
    net.run(600_000);
    let (messages, bytes, traffic) = net.take_traffic();
    println!("ten minutes later: {messages} messages, {bytes} bytes");
    assert_eq!(traffic.keys().collect::<Vec<_>>(), [&"summary"]);
    assert!(messages <= 36, "{messages}");
}

#[test]
fn a_newcomer_gets_everything_once() {
    let mut net = deaf(9);
    for n in 1..9 {
        knows(&mut net, n, 0..2_000);
    }
    for n in 1..9 {
        net.link(0, n);
    }
    net.run(20_000);
    assert_eq!(net.digests().len(), 1);
    let twice = given(&net).values().filter(|times| **times > 1).count();
    let (messages, bytes, traffic) = net.take_traffic();
    println!(
        "a newcomer and eight neighbours: {messages} messages, {bytes} bytes, {twice} of 2,000 entries twice: {traffic:?}"
    );
    assert!(twice <= 200, "{twice} entries were given more than once");
}

#[test]
fn what_was_learned_goes_on_along_a_line() {
    let mut net = deaf(8);
    knows(&mut net, 0, 0..500);
    for n in 1..8 {
        net.link(n - 1, n);
    }
    net.run(15_000);
    assert_eq!(net.digests().len(), 1);
    let hops: usize = given(&net).values().sum();
    println!("500 entries over seven links: {hops} times given");
    assert!(hops <= 8 * 500);
}

#[test]
fn both_ask_at_once_and_one_gives_way() {
    let mut net = deaf(2);
    knows(&mut net, 0, 0..600);
    knows(&mut net, 1, 300..900);
    let (one, other, now) = (net.id(0), net.id(1), net.now);
    // As if both had heard of the other at the same time.
    for (n, peer) in [(0, other), (1, one)] {
        net.peers[n].knowledge.handle(peer, Message::Summary(vec![]), now);
        net.drain(n);
    }
    net.run(5_000);
    assert_eq!(net.digests().len(), 1);
    assert!(given(&net).values().all(|times| *times == 1));
}

#[test]
fn one_domain_is_compared_with_one_peer_at_a_time() {
    let mut net = deaf(4);
    knows(&mut net, 1, 0..500);
    knows(&mut net, 2, 0..500);
    knows(&mut net, 3, 0..501);
    let now = net.now;
    for n in 1..4 {
        let summary = summary(&mut net, n, &notes());
        let from = net.id(n);
        net.peers[0].knowledge.handle(from, Message::Summary(vec![summary]), now);
    }
    net.drain(0);
    net.run(LATENCY_MS);
    let asked = net.trace.iter().filter(|(from, ..)| *from == 0).count();
    assert_eq!(asked, 1, "the others wait");
    net.run(2_000);
    assert_eq!(count(&net, 0), 501);
    assert!(given(&net).values().all(|times| *times == 1));
    assert_eq!(net.peers[0].knowledge.comparisons.later.len(), 0);
}

#[test]
fn what_is_put_off_says_nothing_about_other_domains() {
    let mut net = deaf(3);
    let other = Domain::shared("other");
    for n in 0..3 {
        let entry = Entry { domain: other.clone(), ..entry("k", content(1)) };
        net.hears(n, 77, &entry);
    }
    knows(&mut net, 1, 0..300);
    knows(&mut net, 2, 0..301);
    let now = net.now;
    for n in 1..3 {
        let summaries = [&notes(), &other].map(|domain| summary(&mut net, n, domain)).to_vec();
        let from = net.id(n);
        net.peers[0].knowledge.handle(from, Message::Summary(summaries), now);
    }
    net.drain(0);
    net.run(3_000);
    assert_eq!(count(&net, 0), 302);
    assert!(done(&net, 0).iter().all(|done| done.domain == notes()), "the other is the same everywhere");
}

#[test]
fn a_summary_that_comes_meanwhile_is_not_lost() {
    let mut net = deaf(2);
    knows(&mut net, 1, 0..2_000);
    net.link(0, 1);
    net.run(140);
    let before = count(&net, 0);
    assert!(before < 2_000, "it is under way");
    // It has learned more, and says so now and not again for a while.
    knows(&mut net, 1, 2_000..2_100);
    let summary = summary(&mut net, 1, &notes());
    net.say(1, 0, &Message::Summary(vec![summary]));
    net.run(3_000);
    assert_eq!((count(&net, 0), count(&net, 1)), (2_100, 2_100));
}

#[test]
fn what_is_not_followed_is_not_given() {
    let only = |domain: &str| {
        let mut config = Config::default();
        config.ledger.follow = Follow::Only(BTreeSet::from([Domain::shared(domain)]));
        config
    };
    let mut net = with(vec![only("a"), only("notes")]);
    knows(&mut net, 1, 0..1_000);
    net.hears(0, 5, &Entry { domain: Domain::shared("a"), ..entry("k", content(1)) });
    net.link(0, 1);
    net.run(600_000);
    let (messages, bytes, traffic) = net.take_traffic();
    println!("two that follow other domains, ten minutes: {messages} messages, {bytes} bytes");
    assert!(!traffic.contains_key("push") && !traffic.contains_key("pull"), "{traffic:?}");
    assert!(messages < 60);
}

#[test]
fn what_there_is_no_room_for_is_not_given_again_and_again() {
    let mut small = Config::default();
    small.ledger.max_entries = 800;
    for swap in [false, true] {
        let configs =
            if swap { vec![small.clone(), Config::default()] } else { vec![Config::default(), small.clone()] };
        let mut net = with(configs);
        let (small, large) = if swap { (0, 1) } else { (1, 0) };
        knows(&mut net, large, 0..2_000);
        net.link(0, 1);
        net.run(60_000);
        assert_eq!(count(&net, small), 700);
        assert_eq!(net.peers[small].knowledge.ledger().retained(), 1_300);
        let before: usize = given(&net).values().sum();
        // Something is written every ten seconds.
        for n in 0..60 {
            knows(&mut net, large, 2_000 + n..2_001 + n);
            net.run(10_000);
        }
        let after: usize = given(&net).values().sum::<usize>() - before;
        let (messages, bytes, _) = net.take_traffic();
        println!(
            "a ledger that is too small, ten minutes of writing: {after} entries given, {messages} messages, {bytes} bytes"
        );
        assert!(before < 5_000 && after < 200, "{before} and {after} were given");
    }
}

#[test]
fn what_somebody_may_not_write_is_not_given_for_ever() {
    let mut net = deaf(2);
    let owned = Domain { name: "lab".into(), owner: Some(author(50).node()) };
    let of = |key: &str, change| Entry { domain: owned.clone(), ..entry(key, change) };
    let grant = of("", Change::Grant(vec![author(51).node()]));
    assert!(net.hears(0, 50, &grant));
    let now = net.now;
    for n in 0..700 {
        let signed = sign(&author(51), now.unix - 1_000 + u64::from(n), &of(&format!("{n}"), content(n)));
        assert!(net.peers[0].knowledge.heard(signed, None, now));
    }
    // The newest of all, so that it comes last in the order of a comparison.
    net.run(1_000);
    assert!(net.hears(0, 50, &grant));
    net.link(0, 1);
    net.run(30_000);
    assert_eq!(count(&net, 1), 701);
    let times: usize = given(&net).values().sum();
    println!("701 entries under a grant were given {times} times");
    assert!(times < 1_500);
}

#[test]
fn the_same_seed_says_the_same() {
    let traces: Vec<_> = (0..2)
        .map(|_| {
            let mut net = deaf(5);
            for n in 0..5 {
                knows(&mut net, n, n as u32 * 100..n as u32 * 100 + 250);
            }
            net.link_all();
            net.run(30_000);
            assert_eq!(net.digests().len(), 1);
            net.trace
        })
        .collect();
    assert!(traces[0] == traces[1], "{} and {} messages", traces[0].len(), traces[1].len());
}

#[test]
fn many_who_differ_end_the_same_and_remember_little() {
    let mut net = deaf(20);
    for n in 0..20 {
        knows(&mut net, n, n as u32 * 50..n as u32 * 50 + 100);
    }
    for n in 0..20 {
        for step in [1, 3, 7] {
            net.link(n, (n + step) % 20);
        }
    }
    net.run(20_000);
    assert_eq!(net.digests().len(), 1);
    let (messages, bytes, traffic) = net.take_traffic();
    let times: usize = given(&net).values().sum();
    println!(
        "twenty with 1,050 entries among them: {messages} messages, {bytes} bytes, {times} given for {} that lacked: {traffic:?}",
        20 * 950
    );
    net.run(300_000);
    for peer in &net.peers {
        assert!(peer.knowledge.retained() < 1_050 * 2 + 200, "{}", peer.knowledge.retained());
        assert_eq!(peer.offences, 0);
    }
}

#[test]
fn large_entries_go_in_as_many_messages_as_they_need() {
    let mut net = deaf(2);
    let now = net.now;
    for n in 0..300 {
        let Change::Put(of) = content(n) else { panic!("content") };
        let of = Content { metadata: Some(ByteBuf::from(vec![0; 1024])), ..of };
        let entry = entry(&"x".repeat(200 + n as usize % 50), Change::Put(of));
        let signed = sign(&author(n), now.unix, &entry);
        net.peers[0].knowledge.heard(signed, None, now);
    }
    net.drain(0);
    net.link(0, 1);
    net.run(3_000);
    assert_eq!(net.digests().len(), 1);
    assert!(net.trace.iter().all(|(_, _, bytes)| bytes.len() <= MAX_BODY));
}
