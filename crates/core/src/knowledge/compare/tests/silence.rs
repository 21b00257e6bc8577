//! Somebody falls silent, at every message that there is.

use super::*;

/// Two with a few hundred differences; how many messages that takes.
fn two() -> Net {
    let mut net = deaf(2);
    knows(&mut net, 0, 0..600);
    knows(&mut net, 1, 300..1_000);
    net
}

#[test]
fn a_comparison_ends_wherever_the_other_falls_silent_and_the_next_goes_on() {
    let mut whole = two();
    whole.link(0, 1);
    whole.run(3_000);
    assert_eq!(whole.digests().len(), 1);
    let messages = whole.trace.len();
    println!("{messages} messages");
    for who in 0..2 {
        for after in 0..messages {
            let mut net = two();
            net.mute = Some((who, after));
            net.link(0, 1);
            net.run(40_000);
            for peer in &net.peers {
                assert_eq!(peer.knowledge.comparisons.ours.len(), 0, "{who} was silent after {after}");
                assert_eq!(peer.knowledge.comparisons.theirs.len(), 0);
            }
            net.mute = None;
            net.run(130_000);
            assert_eq!(net.digests().len(), 1, "{who} was silent after {after}");
            let times: usize = given(&net).values().sum();
            assert!(times <= 2 * 700, "{times} were given: {who} was silent after {after}");
        }
    }
}

#[test]
fn a_link_that_breaks_ends_it_and_the_next_begins_anew() {
    for after in (0..400).step_by(10) {
        let mut net = two();
        net.link(0, 1);
        net.run(after);
        net.unlink(0, 1);
        for peer in &net.peers {
            let Comparisons { ours, theirs, lanes, settled, later, .. } = &peer.knowledge.comparisons;
            assert_eq!((ours.len(), theirs.len(), lanes.len(), settled.len(), later.len()), (0, 0, 0, 0, 0));
        }
        net.run(50);
        net.link(0, 1);
        net.run(3_000);
        assert_eq!(net.digests().len(), 1, "it broke after {after} ms");
    }
}

#[test]
fn one_that_is_slow_does_not_keep_the_others_away() {
    let mut net = deaf(3);
    knows(&mut net, 1, 0..500);
    knows(&mut net, 2, 0..500);
    net.mute = Some((1, 0));
    let now = net.now;
    for n in 1..3 {
        let summary = summary(&mut net, n, &notes());
        let from = net.id(n);
        net.peers[0].knowledge.handle(from, Message::Summary(vec![summary]), now);
    }
    net.drain(0);
    net.run(11_000);
    assert_eq!(count(&net, 0), 500);
    assert!(done(&net, 0).iter().any(|done| !done.whole) && done(&net, 0).iter().any(|done| done.whole));
}

#[test]
fn what_waits_for_one_that_takes_nothing_is_bounded() {
    let mut lanes = Lanes::default();
    let peer = author(1).node();
    for _ in 0..1_000 {
        lanes.say(peer, Bytes::from(vec![0; 100]));
    }
    assert_eq!(std::iter::from_fn(|| lanes.poll_output()).count(), lanes::WINDOW);
    assert_eq!(lanes.len(), 1 + lanes::MAX_WAITING);
    (0..lanes::WINDOW + lanes::MAX_WAITING).for_each(|_| lanes.told(peer));
    assert_eq!(std::iter::from_fn(|| lanes.poll_output()).count(), lanes::MAX_WAITING);
    assert_eq!(lanes.len(), 0);
    lanes.told(peer);
    for _ in 0..100 {
        lanes.say(peer, Bytes::from(vec![0; 48 * 1024]));
    }
    assert_eq!(lanes.len() - 1, lanes::MAX_WAITING_BYTES / (48 * 1024));
}
