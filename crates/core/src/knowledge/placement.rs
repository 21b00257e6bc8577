//! Where content is to be: rendezvous hashing (Thaler, Ravishankar: Using Name-Based Mappings to Increase Hit Rates, 1998) among
//! the members that give room.
//!
//! Every node ranks the candidates for a CID by a hash of both, so all who know the same members place it the same without a
//! word, and when a member goes only what it held moves. The first that fail independently are taken, and one of them is native:
//! browsers close their tabs all at once.

use std::collections::BTreeMap;

use cid::Cid;
use mesh_proto::NodeId;
use mesh_proto::gossip::Storage;

/// Members that give room, and what they say of it.
pub type Candidates = BTreeMap<NodeId, Storage>;

/// What `node`'s rank for `cid` is made of: higher goes first.
pub fn score(cid: &Cid, node: &NodeId) -> u64 {
    let mut hash = blake3::Hasher::new();
    hash.update(cid.hash().digest());
    hash.update(&node.0);
    let [a, b, c, d, e, f, g, h, ..] = *hash.finalize().as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The candidates for `cid`, the first choice first.
pub fn ranked(cid: &Cid, candidates: &Candidates) -> Vec<NodeId> {
    let mut ranked: Vec<_> = candidates.keys().map(|node| (score(cid, node), *node)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, node)| node).collect()
}

/// The `replicas` nodes that are to hold `cid`, without those that `may_not`; fewer if there are not as many.
pub fn place(cid: &Cid, replicas: usize, candidates: &Candidates, may_not: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
    let ranked: Vec<_> = ranked(cid, candidates).into_iter().filter(|node| !may_not(node)).collect();
    let zone = |node: &NodeId| candidates.get(node).map_or("", |storage| storage.zone.as_str());
    let native = |node: &NodeId| candidates.get(node).is_some_and(|storage| storage.native);
    let mut placed: Vec<NodeId> = Vec::new();
    for node in &ranked {
        let shares = !zone(node).is_empty() && placed.iter().any(|other| zone(other) == zone(node));
        if placed.len() < replicas && !shares {
            placed.push(*node);
        }
    }
    // Rather twice in one zone than once less.
    for node in &ranked {
        if placed.len() < replicas && !placed.contains(node) {
            placed.push(*node);
        }
    }
    if !placed.iter().any(native)
        && let Some(first) = ranked.iter().find(|node| native(node))
        && let Some(last) = placed.last_mut()
    {
        *last = *first;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::testing::{cid, node};

    fn candidates(count: u32, native: impl Fn(u32) -> bool, zone: impl Fn(u32) -> String) -> Candidates {
        (0..count).map(|n| (node(n), Storage { bytes: 1, native: native(n), zone: zone(n) })).collect()
    }

    fn all(count: u32) -> Candidates {
        candidates(count, |_| true, |_| String::new())
    }

    #[test]
    fn as_many_as_wanted_or_as_there_are() {
        for (count, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (100, 3)] {
            let placed = place(&cid(1), 3, &all(count), |_| false);
            assert_eq!(placed.len(), expected);
            assert!((1..placed.len()).all(|n| !placed[..n].contains(&placed[n])), "nobody twice");
        }
    }

    #[test]
    fn when_one_goes_only_what_it_held_moves_and_by_one_place() {
        let before = all(20);
        let mut after = before.clone();
        after.remove(&node(7));
        let mut moved = 0;
        for n in 0..1000 {
            let (was, is) = (place(&cid(n), 3, &before, |_| false), place(&cid(n), 3, &after, |_| false));
            let stayed = was.iter().filter(|node| is.contains(node)).count();
            assert_eq!(stayed, if was.contains(&node(7)) { 2 } else { 3 });
            moved += 3 - stayed;
        }
        assert!((100..200).contains(&moved), "three of twenty hold a content, so some 150 of 1,000 moved: {moved}");
    }

    #[test]
    fn all_hold_about_as_much() {
        let candidates = all(10);
        let mut held = BTreeMap::<NodeId, u32>::new();
        for n in 0..10_000 {
            for node in place(&cid(n), 3, &candidates, |_| false) {
                *held.entry(node).or_default() += 1;
            }
        }
        assert!(held.values().all(|held| (2_700..3_300).contains(held)), "{held:?}");
    }

    #[test]
    fn one_is_native_if_there_is_one() {
        let candidates = candidates(50, |n| n == 49, |_| String::new());
        for n in 0..100 {
            let placed = place(&cid(n), 3, &candidates, |_| false);
            assert!(placed.contains(&node(49)) && placed.len() == 3);
        }
    }

    #[test]
    fn zones_are_not_shared_if_there_is_a_choice() {
        let candidates = candidates(9, |_| true, |n| format!("zone {}", n % 3));
        let zone = |node: &NodeId| candidates[node].zone.clone();
        for n in 0..100 {
            let zones: std::collections::BTreeSet<_> =
                place(&cid(n), 3, &candidates, |_| false).iter().map(zone).collect();
            assert_eq!(zones.len(), 3);
            assert_eq!(place(&cid(n), 5, &candidates, |_| false).len(), 5, "rather twice in one than once less");
        }
    }

    #[test]
    fn who_has_no_room_is_passed_over() {
        let candidates = all(5);
        let first = place(&cid(1), 3, &candidates, |_| false);
        let second = place(&cid(1), 3, &candidates, |node| *node == first[0]);
        assert_eq!(second[..2], first[1..]);
        assert!(!second.contains(&first[0]));
    }
}
