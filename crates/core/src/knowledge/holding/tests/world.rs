//! Some who give room, and come and go.

use mesh_proto::EntryId;
use mesh_proto::knowledge::Change;

use super::*;
use crate::knowledge::testing::net::{LATENCY_MS, Net, SUSPECT_MS, gives};
use crate::knowledge::testing::{content, notes};
use crate::knowledge::{Config as Whole, Event};

const LOST_MS: u64 = SUSPECT_MS + 22_500;

/// So many that give a mebibyte each, and one that gives nothing: number 0.
fn world(count: usize) -> Net {
    let configs = std::iter::once(Whole::default()).chain(vec![gives(1 << 20); count]);
    Net::new(configs)
}

/// Who is alive and has it.
fn have(net: &Net, n: u32) -> Vec<usize> {
    let has = |m: &usize| net.peers[*m].alive && net.peers[*m].blocks.contains_key(&cid(n));
    (0..net.peers.len()).filter(has).collect()
}

/// Whether everybody who is alive would find it.
fn is_readable(net: &Net, n: u32) -> bool {
    let found = |m: usize| {
        let providers = net.peers[m].knowledge.providers(&cid(n));
        let has = |of: &usize| net.peers[*of].alive && net.peers[*of].blocks.contains_key(&cid(n));
        net.peers[m].blocks.contains_key(&cid(n))
            || (0..net.peers.len()).filter(has).any(|of| providers.contains(&net.id(of)))
    };
    (0..net.peers.len()).filter(|m| net.peers[*m].alive).all(found)
}

fn write(net: &mut Net, by: usize, n: u32) -> EntryId {
    net.write(by, notes(), &format!("key {n}"), content(n))
}

/// Where it is by what one of them knows.
fn placed(net: &Net, n: u32) -> BTreeSet<usize> {
    let alive = net.peers.iter().find(|peer| peer.alive && peer.config.offer.is_some()).unwrap();
    let placed = alive.knowledge.places(&cid(n)).0;
    (0..net.peers.len()).filter(|m| placed.contains(&net.id(*m))).collect()
}

#[test]
fn three_hold_it_whoever_goes() {
    let mut net = world(12);
    write(&mut net, 0, 1);
    net.run(1_000);
    let first: BTreeSet<_> = have(&net, 1).into_iter().filter(|m| *m != 0).collect();
    assert_eq!((first.len(), &first), (3, &placed(&net, 1)));
    assert!(net.peers[0].events.iter().any(|event| matches!(event, Event::Held { holders, .. } if holders.len() == 3)));
    net.leave(0);
    // Two of the three die, one after the other.
    let mut dead = first.iter().copied();
    let mut fewest = 3;
    for _ in 0..2 {
        net.kill(dead.next().unwrap());
        for _ in 0..(LOST_MS + 2_000) / 50 {
            net.run(50);
            fewest = fewest.min(have(&net, 1).len());
            assert!(is_readable(&net, 1));
        }
        assert_eq!(have(&net, 1).len(), 3);
        assert_eq!(have(&net, 1).into_iter().collect::<BTreeSet<_>>(), placed(&net, 1));
    }
    assert_eq!(fewest, 2);
    let repairs = |peer: &crate::knowledge::testing::net::Peer| {
        peer.events.iter().filter(|event| matches!(event, Event::Repaired { .. })).count()
    };
    assert_eq!(net.peers.iter().map(repairs).sum::<usize>(), 2);
}

#[test]
fn all_but_one_may_die_at_once() {
    let mut net = world(12);
    write(&mut net, 0, 1);
    net.run(1_000);
    net.leave(0);
    let holders = have(&net, 1);
    net.kill(holders[0]);
    net.kill(holders[1]);
    for _ in 0..(LOST_MS + 2_000) / 50 {
        net.run(50);
        assert!(is_readable(&net, 1));
    }
    assert_eq!(have(&net, 1).len(), 3);
}

#[test]
fn who_is_silent_is_lost_after_a_while_and_not_before() {
    let mut net = world(12);
    write(&mut net, 0, 1);
    net.run(1_000);
    let fetches = |net: &Net| net.peers.iter().map(|peer| peer.fetches).sum::<usize>();
    let (holders, before) = (placed(&net, 1), fetches(&net));
    let one = *holders.iter().next().unwrap();
    net.kill(one);
    net.run(LOST_MS - 1);
    assert_eq!((fetches(&net), placed(&net, 1)), (before, holders.clone()));
    net.revive(one);
    net.run(120_000);
    assert_eq!((fetches(&net), placed(&net, 1)), (before, holders.clone()), "it was back in time: nothing moved");
    net.kill(one);
    net.run(LOST_MS + 1_000);
    assert_eq!(fetches(&net), before + 1);
    let after = placed(&net, 1);
    assert!(!after.contains(&one));
    // When it comes back after that, it is placed where it was, and the other lets go.
    net.revive(one);
    net.run(2_000);
    assert_eq!(placed(&net, 1), holders);
    assert_eq!(fetches(&net), before + 1, "it has it still");
    let substitute = after.difference(&holders).next().unwrap();
    let hold = net.peers[*substitute].knowledge.shelf().hold(&cid(1)).unwrap();
    assert_eq!(hold, Hold::default());
}

#[test]
fn who_says_goodbye_is_lost_at_once() {
    let mut net = world(12);
    write(&mut net, 0, 1);
    net.run(1_000);
    let one = *placed(&net, 1).iter().next().unwrap();
    net.leave(one);
    net.run(500);
    assert_eq!(have(&net, 1).into_iter().filter(|m| *m != 0).count(), 3);
}

#[test]
fn a_newcomer_takes_over_its_share_and_the_others_wait_until_it_has_it() {
    let mut net = world(5);
    for n in 0..200 {
        write(&mut net, 0, n);
        net.run(63);
    }
    net.run(3_000);
    assert_eq!(net.peers[1..].iter().map(|peer| peer.knowledge.held().1).sum::<usize>(), 600);
    net.join(gives(1 << 20));
    // It knows no entry yet, so it holds nothing; who is to make way for it waits.
    net.run(5_000);
    for n in 0..200 {
        let held = |m: &usize| net.peers[*m].knowledge.shelf().hold(&cid(n)).is_some_and(|hold| hold.placed);
        assert_eq!((1..6).filter(held).count(), 3, "content {n}");
    }
    net.link(0, 6);
    net.run(60_000);
    let (share, here) = net.peers[6].knowledge.held();
    println!("a sixth node holds {here} of its {share} of 200 contents");
    assert!(share == here && (70..130).contains(&share));
    for n in 0..200 {
        let held = |m: &usize| net.peers[*m].knowledge.shelf().hold(&cid(n)).is_some_and(|hold| hold.placed);
        assert_eq!((1..7).filter(held).count(), 3, "content {n}");
    }
    assert!(net.peers.iter().all(|peer| !peer.events.iter().any(|event| matches!(event, Event::Repaired { .. }))));
}

#[test]
fn the_only_copy_left_stays_until_newcomers_have_it() {
    let mut net = world(3);
    write(&mut net, 0, 1);
    net.run(1_000);
    net.leave(0);
    // Two die, and at the same time some come that go before the third.
    net.kill(1);
    net.kill(2);
    for _ in 0..20 {
        net.join(gives(1 << 20));
    }
    net.run(LOST_MS + 1_000);
    assert_eq!(have(&net, 1), [3]);
    let third = &mut net.peers[3].knowledge;
    assert!(!third.places(&cid(1)).0.contains(&net.peers[3].key.node()), "it is not to hold it any more");
    // It has to make room, but not of this.
    let now = net.now;
    for n in 100..20_000 {
        net.peers[3]
            .knowledge
            .blocks(crate::knowledge::Blocks::Fetched { cid: cid(n), blocks: vec![(cid(n), 100)] }, now);
    }
    net.drain(3);
    assert_eq!(have(&net, 1), [3]);
    for m in 4..24 {
        net.link(3, m);
    }
    net.run(60_000);
    assert!(have(&net, 1).len() >= 3);
    assert_eq!(net.peers[3].knowledge.shelf().hold(&cid(1)), Some(Hold::default()));
}

#[test]
fn where_there_is_no_room_the_next_takes_it_past_several_that_are_full() {
    for full in 1..=4 {
        let mut net = world(8);
        // Ranked by those who know; the first ones have room for nothing.
        let candidates: Candidates =
            (1..9).map(|m| (net.id(m), Storage { bytes: 1, native: true, zone: String::new() })).collect();
        let ranked = placement::ranked(&cid(1), &candidates);
        let small: Vec<_> = (1..9).filter(|m| ranked[..full].contains(&net.id(*m))).collect();
        for m in &small {
            let mut config = gives(1 << 20);
            config.holding.max_bytes = 100;
            net.peers[*m].config = config;
            net.restart(*m);
        }
        write(&mut net, 0, 1);
        net.run(5_000);
        let expected: BTreeSet<_> = (1..9).filter(|m| ranked[full..full + 3].contains(&net.id(*m))).collect();
        assert_eq!(have(&net, 1).into_iter().filter(|m| *m != 0).collect::<BTreeSet<_>>(), expected, "{full} are full");
        // One of the three dies: somebody who knows of none of that has to take it.
        net.leave(0);
        net.kill(*expected.iter().next().unwrap());
        net.run(LOST_MS + 2_000);
        assert_eq!(have(&net, 1).len(), 3, "{full} are full");
    }
}

#[test]
fn who_has_room_again_takes_its_share_back_and_the_other_lets_go() {
    let mut net = world(6);
    let candidates: Candidates =
        (1..7).map(|m| (net.id(m), Storage { bytes: 1, native: true, zone: String::new() })).collect();
    // Two contents for which the same node comes first, and room for one.
    let first = |n: &u32| placement::ranked(&cid(*n), &candidates)[0] == net.id(1);
    let both: Vec<_> = (0..).filter(first).take(2).collect();
    net.peers[1].config.holding.max_bytes = 300;
    net.restart(1);
    write(&mut net, 0, both[0]);
    net.run(1_000);
    write(&mut net, 0, both[1]);
    net.run(1_000);
    assert_eq!((have(&net, both[0]).contains(&1), have(&net, both[1]).contains(&1)), (true, false));
    net.write(0, notes(), &format!("key {}", both[0]), Change::Delete);
    net.run(60_000);
    assert!(have(&net, both[1]).contains(&1));
    let holds = |m: &usize| net.peers[*m].knowledge.shelf().hold(&cid(both[1])).is_some_and(|hold| hold.placed);
    assert_eq!((1..7).filter(holds).count(), 3);
}

#[test]
fn what_is_taken_away_is_removed_everywhere() {
    let mut net = world(6);
    for n in 0..20 {
        write(&mut net, 0, n);
    }
    net.run(3_000);
    for n in 0..20 {
        let change = if n % 2 == 0 { Change::Delete } else { content(100 + n) };
        if n % 2 == 1 {
            net.write(0, notes(), &format!("key {n}"), change);
        } else {
            net.write(3, notes(), &format!("key {n}"), change);
        }
    }
    net.run(3_000);
    assert!((0..20).all(|n| have(&net, n).is_empty()));
    assert!((0..20).filter(|n| n % 2 == 1).all(|n| have(&net, 100 + n).len() == 4));
    assert!(net.peers.iter().all(|peer| peer.knowledge.shelf().blocks() == peer.blocks.len()));
}

#[test]
fn what_was_said_and_lost_is_asked_for() {
    let mut net = world(6);
    write(&mut net, 0, 1);
    // Nobody hears of anybody for a while, but for what they fetch.
    net.run(LATENCY_MS);
    net.mute = Some((0, 0));
    net.run(30_000);
    net.mute = None;
    assert!(net.peers[0].knowledge.shelf().hold(&cid(1)).unwrap().own, "it was not told");
    net.run(40_000);
    assert!(!net.peers[0].knowledge.shelf().hold(&cid(1)).unwrap().own);
    assert!(net.peers[0].events.iter().any(|event| matches!(event, Event::Held { holders, .. } if holders.len() == 3)));
    let (before, ..) = net.take_traffic();
    net.run(600_000);
    let (after, _, traffic) = net.take_traffic();
    println!("{before} messages until then, and {after} in the ten minutes after: {traffic:?}");
    assert_eq!(after, 0, "there is nothing left to ask");
}

#[test]
fn anybody_finds_out_who_has_it() {
    let mut net = world(12);
    write(&mut net, 0, 1);
    net.run(1_000);
    let now = net.now;
    let question = net.peers[7].knowledge.who_has(cid(1), now).unwrap();
    net.drain(7);
    net.run(2_000);
    let answer = net.peers[7].events.iter().find_map(|event| {
        if let Event::Holders { question: of, holders, .. } = event {
            (*of == question).then_some(holders.clone())
        } else {
            None
        }
    });
    let expected: BTreeSet<_> = have(&net, 1).into_iter().map(|m| net.id(m)).collect();
    assert_eq!(answer.unwrap().into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_restart_brings_back_what_was_held() {
    let mut net = world(6);
    for n in 0..30 {
        write(&mut net, (n % 3) as usize, n);
    }
    net.run(3_000);
    let now = net.now;
    net.peers[5].knowledge.pin(cid(7), now);
    net.drain(5);
    net.run(1_000);
    let before: Vec<_> = (0..7).map(|m| (net.peers[m].blocks.clone(), net.peers[m].knowledge.held())).collect();
    let fetches: Vec<_> = net.peers.iter().map(|peer| peer.fetches).collect();
    for m in 0..7 {
        net.restart(m);
        net.run(1_000);
    }
    for m in 0..7 {
        assert_eq!((&net.peers[m].blocks, net.peers[m].knowledge.held()), (&before[m].0, before[m].1));
        assert_eq!(net.peers[m].fetches, fetches[m], "nothing had to come from others");
    }
    assert!(net.peers[5].knowledge.shelf().hold(&cid(7)).unwrap().pinned);
    assert_eq!(net.digests().len(), 1);
}

#[test]
fn half_of_all_leave_one_after_the_other_and_nothing_is_lost() {
    let mut net = world(20);
    for n in 0..50 {
        write(&mut net, 0, n);
    }
    net.run(3_000);
    net.leave(0);
    for dead in 1..=10 {
        net.kill(dead);
        net.run(LOST_MS + 3_000);
        assert!((0..50).all(|n| is_readable(&net, n)), "after {dead}");
    }
    for n in 0..50 {
        assert_eq!(have(&net, n).into_iter().collect::<BTreeSet<_>>(), placed(&net, n));
    }
}
