//! What was in the store before.

use super::*;

fn restarted(pins: &[u32], found: &[(u32, u64)], max_bytes: u64) -> Holding {
    let config = Config { max_bytes, ..Config::default() };
    let mut holding = Holding::new(config, node(ME), pins.iter().map(|n| cid(*n)).collect(), at(0));
    holding.referenced(&of(1, 400, 3), node(ME), at(0));
    holding.referenced(&of(2, 400, 3), node(50), at(0));
    holding.offered(node(ME), offer(max_bytes), at(0));
    holding.found(found.iter().map(|(n, bytes)| (cid(*n), *bytes)).collect(), at(0));
    holding
}

#[test]
fn what_is_pinned_placed_or_ours_is_looked_at_first_and_the_rest_may_go_then() {
    // 1 is ours, 2 placed here, 3 pinned, 4 and 5 a cache of before; there is not room for all of it.
    let blocks = [(1, 400), (2, 400), (3, 400), (4, 400), (5, 400)];
    let mut holding = restarted(&[3], &blocks, 4 * 528);
    assert_eq!(fetched(&timeout(&mut holding, 0)), [cid(1), cid(2), cid(3)]);
    // Something is put meanwhile: nothing that is not known yet goes for it.
    holding.fetched(cid(6), vec![(cid(6), 400)], at(1));
    let gone = drain(&mut holding);
    assert_eq!(gone, [Output::Remove(vec![cid(6)])], "only what was just put could go");
    for n in [1, 2, 3] {
        holding.fetched(cid(n), vec![(cid(n), 400)], at(2));
    }
    timeout(&mut holding, 3);
    assert_eq!(holding.shelf().load(), (4 * 528, 4 * 528));
    assert!([1, 2, 3].into_iter().all(|n| holding.shelf().has(&cid(n))));
    assert_eq!(holding.restoring, None);
    holding.fetched(cid(7), vec![(cid(7), 400)], at(4));
    assert!(holding.shelf().has(&cid(7)), "the last of the cache went for it");
}

#[test]
fn a_fetch_without_an_end_does_not_keep_everything() {
    let mut holding = restarted(&[3], &[(4, 400), (5, 400), (6, 400)], 1_000);
    assert_eq!(fetched(&timeout(&mut holding, 0)).len(), 2, "what is placed here, and what is pinned");
    timeout(&mut holding, RESTORE_MS - 1);
    assert_eq!(holding.shelf().load().0, 3 * 528);
    timeout(&mut holding, RESTORE_MS);
    assert!(holding.shelf().load().0 <= 1_000);
}

#[test]
fn what_is_ours_and_not_here_is_not_fetched_to_be_ours() {
    let mut holding = Holding::new(Config::default(), node(ME), BTreeSet::new(), at(0));
    holding.referenced(&of(1, 400, 3), node(ME), at(0));
    holding.offered(node(7), offer(1), at(0));
    holding.found(vec![(cid(3), 100)], at(0));
    assert_eq!(timeout(&mut holding, 0), []);
}
