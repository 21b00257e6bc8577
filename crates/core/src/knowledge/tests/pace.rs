//! Who is told what, and how often.

use super::*;
use crate::knowledge::testing::net::LATENCY_MS;

fn summaries(net: &Net) -> usize {
    net.trace.iter().filter(|(_, _, bytes)| bytes.starts_with(b"\xa1\x67summary")).count()
}

#[test]
fn what_is_too_much_for_gossip_is_found_by_comparison_at_once() {
    let mut net = Net::new(vec![Config::default(); 6]);
    net.link_all();
    net.run(10_000);
    net.take_traffic();
    for n in 0..1_000 {
        net.write(0, notes(), &format!("key {n}"), content(n));
    }
    // As many as others let in go by gossip, the rest by comparison.
    net.run(LATENCY_MS);
    assert!((1..6).all(|n| net.peers[n].knowledge.ledger().load().0 == 64));
    net.run(3_000);
    assert_eq!(net.digests().len(), 1);
    let (messages, bytes, traffic) = net.take_traffic();
    println!("1,000 entries at once to five others: {messages} messages, {bytes} bytes: {traffic:?}");
    assert!(net.peers.iter().all(|peer| peer.offences == 0));
}

#[test]
fn what_gossip_has_lost_is_found_in_time() {
    let mut net = Net::new(vec![Config::default(); 8]);
    for n in 0..8 {
        net.link(n, (n + 1) % 8);
        net.link(n, (n + 3) % 8);
    }
    net.run(20_000);
    net.peers[5].gossips = false;
    net.write(0, notes(), "k", content(1));
    net.run(1_000);
    assert_eq!(net.digests().len(), 2);
    net.run(60_000);
    assert_eq!(net.digests().len(), 1);
}

#[test]
fn when_nothing_happens_little_is_said() {
    let mut net = Net::new(vec![gives(1 << 20); 10]);
    net.link_all();
    for n in 0..100 {
        net.write(n % 10, notes(), &format!("key {n}"), content(n as u32));
        net.run(50);
    }
    net.run(120_000);
    assert_eq!(net.digests().len(), 1);
    net.take_traffic();
    net.run(3_600_000);
    let (messages, bytes, traffic) = net.take_traffic();
    println!("ten nodes for an hour: {messages} messages, {bytes} bytes: {traffic:?}");
    assert_eq!(traffic.keys().collect::<Vec<_>>(), [&"summary"]);
    assert!(messages <= 10 * 61, "one a minute of each");
}

#[test]
fn while_something_changes_neighbours_compare_more_often() {
    let mut net = Net::new(vec![Config::default(); 2]);
    net.link(0, 1);
    net.write(0, notes(), "first", content(1));
    net.run(120_000);
    let before = summaries(&net);
    net.run(300_000);
    let idle = summaries(&net) - before;
    for n in 0..30 {
        net.write(0, notes(), &format!("{n}"), content(n));
        net.run(10_000);
    }
    let active = summaries(&net) - idle - before;
    println!("five minutes of peace: {idle} summaries, five minutes of writing: {active}");
    assert!((8..=14).contains(&idle) && (50..=64).contains(&active));
}

#[test]
fn neighbours_that_meet_offer_what_came_lately_and_compare_the_rest() {
    for lately in [true, false] {
        let mut net = Net::new(vec![Config::default(); 2]);
        net.peers.iter_mut().for_each(|peer| peer.gossips = false);
        net.write(0, notes(), "k", content(1));
        net.run(if lately { RECENT_MS - 100 } else { RECENT_MS + 100 });
        net.link(0, 1);
        net.run(49);
        assert_eq!(net.trace.len(), 0);
        net.run(1);
        let (_, _, traffic) = net.take_traffic();
        assert_eq!(traffic.keys().collect::<Vec<_>>(), [if lately { &"have" } else { &"summary" }]);
        net.run(LATENCY_MS * 4);
        assert_eq!(net.digests().len(), if lately { 1 } else { 2 });
        net.run(2_000);
        assert_eq!(net.digests().len(), 1);
    }
    let mut net = Net::new(vec![Config::default(); 2]);
    net.link(0, 1);
    net.run(600_000);
    assert_eq!(net.trace.len(), 0, "where nobody knows anything, nothing is said");
    // Met twice, as when a better link comes up; and gone before it was told.
    net.write(0, notes(), "k", content(1));
    let (one, now) = (net.id(1), net.now);
    net.peers[0].knowledge.met(one, now);
    net.peers[0].knowledge.met(one, now);
    net.peers[0].knowledge.unlinked(&one, now);
    let Knowledge { due, greeted, neighbours, summarised, .. } = &net.peers[0].knowledge;
    assert_eq!((due.len(), greeted.len(), neighbours.len(), summarised.len()), (0, 0, 0, 0));
}

#[test]
fn two_that_tell_each_other_at_once_compare_once() {
    let mut net = Net::new(vec![Config::default(); 2]);
    net.peers.iter_mut().for_each(|peer| peer.gossips = false);
    net.write(0, notes(), "a", content(1));
    net.write(1, notes(), "b", content(2));
    net.run(RECENT_MS);
    net.link(0, 1);
    net.run(1_000);
    assert_eq!(net.digests().len(), 1);
    let (_, _, traffic) = net.take_traffic();
    assert_eq!((traffic["summary"].0, traffic["compare"].0), (2, 1), "{traffic:?}");
}

#[test]
fn what_was_learned_is_offered_to_32_neighbours_and_not_to_whom_it_came_from() {
    let mut knowledge = knowledge(Config::default());
    for n in 1..=80 {
        knowledge.met(author(n).node(), at(0));
    }
    let signed: Signed = sign(&author(99), START, &entry("k", content(1)));
    let (from, id) = (author(1).node(), signed.id);
    let mut told = |signed: Signed, now: u64| -> Vec<NodeId> {
        knowledge.pushed(from, (0, false), &[id], vec![(signed, None)], at(now));
        knowledge.handle_timeout(at(now + 30));
        let mut told = Vec::new();
        for output in drain(&mut knowledge) {
            if let Output::Tell(to, _) = output {
                told.push(to);
            }
        }
        told
    };
    let first = told(signed.clone(), 1);
    assert!((SPREAD - 1..=SPREAD).contains(&first.len()) && !first.contains(&from));
    assert_eq!(told(signed, 100), [], "it was known");
}

#[test]
fn what_is_remembered_as_new_is_bounded() {
    let mut knowledge = knowledge(Config::default());
    for n in 0..MAX_RECENT as u32 + 10 {
        hear(&mut knowledge, &author(1), START, &entry(&format!("{n}"), content(1)), at(1));
        drain(&mut knowledge);
    }
    assert_eq!(knowledge.recent.len(), MAX_RECENT);
}

#[test]
fn what_is_remembered_of_others_goes_with_them() {
    let mut net = Net::new(vec![Config::default(); 6]);
    net.peers.iter_mut().for_each(|peer| peer.gossips = false);
    for n in 0..6 {
        for key in 0..50 {
            net.write(n, notes(), &format!("{n} {key}"), content(key));
        }
    }
    net.link_all();
    net.run(30_000);
    assert_eq!(net.digests().len(), 1);
    for b in 0..6 {
        (0..b).for_each(|a| net.unlink(a, b));
    }
    net.run(200_000);
    for peer in &net.peers {
        let entries = peer.knowledge.ledger().load().0;
        // The contents and nothing else.
        assert_eq!(peer.knowledge.retained() - entries, 50);
    }
}
