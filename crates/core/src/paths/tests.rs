use super::*;

const US: NodeId = NodeId([5; 32]);
const LOWER: NodeId = NodeId([1; 32]);
const HIGHER: NodeId = NodeId([9; 32]);

fn at(mono: u64) -> Now {
    Now { mono: Mono(mono), unix: mono }
}

fn able() -> Config {
    Config { ability: Ability::Able, companions: 0, ..Config::default() }
}

fn new(config: Config) -> Paths {
    Paths::new(config, US, at(0))
}

/// What is wanted at `now`, when nobody could be a companion.
fn wants(paths: &mut Paths, now: u64) -> Vec<Output> {
    wants_of(paths, &[], now)
}

fn wants_of(paths: &mut Paths, candidates: &[NodeId], now: u64) -> Vec<Output> {
    paths.handle_timeout(|| candidates.iter().copied(), at(now));
    std::iter::from_fn(|| paths.poll_output()).collect()
}

fn failed() -> Failure {
    Failure::Failed("ice".to_owned())
}

#[test]
fn a_relayed_link_is_upgraded_and_the_relay_let_go() {
    let mut paths = new(able());
    paths.linked(HIGHER, true, at(0));
    assert_eq!(paths.why(&HIGHER), Some(Why::Upgrading));
    assert_eq!(paths.poll_timeout(), Some(Mono(0)));
    assert_eq!(wants(&mut paths, 0), [Output::Upgrade(HIGHER)]);
    assert_eq!(wants(&mut paths, 10), [], "once");

    paths.linked(HIGHER, false, at(200));
    assert_eq!(paths.why(&HIGHER), None);
    assert_eq!(wants(&mut paths, 3_199), []);
    assert_eq!(wants(&mut paths, 3_200), [Output::CloseRelayed(HIGHER)]);
    paths.linked(HIGHER, false, at(3_210));
    assert_eq!(wants(&mut paths, 10_000), [Output::CloseRelayed(HIGHER)], "a second relayed one would have come");
}

#[test]
fn the_lower_id_begins_and_the_other_waits_for_it() {
    let mut paths = new(able());
    paths.linked(LOWER, true, at(0));
    assert_eq!(wants(&mut paths, 19_999), []);
    assert_eq!(paths.why(&LOWER), Some(Why::Upgrading));
    assert_eq!(wants(&mut paths, 20_000), [Output::Upgrade(LOWER)]);
}

#[test]
fn upgrades_that_fail_are_tried_again_later_and_later() {
    let mut paths = new(able());
    paths.linked(HIGHER, true, at(0));
    let (mut now, mut tried) = (0, Vec::new());
    for _ in 0..10 {
        assert_eq!(wants(&mut paths, now), [Output::Upgrade(HIGHER)]);
        tried.push(now / 1000);
        paths.failed(HIGHER, failed(), at(now));
        assert_eq!(paths.why(&HIGHER), Some(Why::Failed("ice".to_owned())));
        now = paths.paths[&HIGHER].next.0;
        assert_eq!(wants(&mut paths, now - 1), []);
    }
    assert_eq!(tried, [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215]);
}

#[test]
fn silence_is_a_failure() {
    let mut paths = new(able());
    paths.linked(HIGHER, true, at(0));
    assert_eq!(wants(&mut paths, 0), [Output::Upgrade(HIGHER)]);
    assert_eq!(wants(&mut paths, 20_000), []);
    assert_eq!(paths.why(&HIGHER), Some(Why::Failed("no answer".to_owned())));
    assert_eq!(wants(&mut paths, 25_000), [Output::Upgrade(HIGHER)]);
}

#[test]
fn who_does_not_do_it_is_left_alone() {
    let mut paths = new(able());
    paths.linked(HIGHER, true, at(0));
    wants(&mut paths, 0);
    paths.failed(HIGHER, Failure::Unsupported, at(100));
    assert_eq!(paths.why(&HIGHER), Some(Why::There));
    assert_eq!(wants(&mut paths, 299_999), []);
}

#[test]
fn a_direct_link_that_is_lost_is_made_again() {
    let mut paths = new(able());
    paths.linked(HIGHER, false, at(0));
    paths.unlinked(&HIGHER, at(60_000));
    paths.linked(HIGHER, true, at(60_100));
    assert_eq!(wants(&mut paths, 60_100), [Output::Upgrade(HIGHER)], "at once");

    paths.linked(HIGHER, false, at(61_000));
    paths.linked(HIGHER, true, at(62_000));
    assert_eq!(wants(&mut paths, 62_000), [], "one that did not hold counts as a failure");
    assert_eq!(wants(&mut paths, 67_000), [Output::Upgrade(HIGHER)]);
}

#[test]
fn a_failure_told_late_does_not_count() {
    let mut paths = new(able());
    paths.linked(HIGHER, true, at(0));
    paths.linked(HIGHER, false, at(100));
    paths.failed(HIGHER, failed(), at(200));
    assert_eq!(paths.why(&HIGHER), None);
    paths.failed(LOWER, failed(), at(200));
    assert!(!paths.paths.contains_key(&LOWER), "nor does one of a stranger");
}

#[test]
fn upgrades_keep_to_their_bounds() {
    let mut paths = new(Config { max_upgrades: 2, max_direct: 3, ..able() });
    let nodes: Vec<_> = (10..16).map(|n| NodeId([n; 32])).collect();
    for node in &nodes {
        paths.linked(*node, true, at(0));
    }
    assert_eq!(wants(&mut paths, 0).len(), 2, "at once");
    paths.linked(nodes[0], false, at(1));
    paths.linked(nodes[1], false, at(1));
    assert_eq!(wants(&mut paths, 1), [Output::Upgrade(nodes[2])], "in all");
    paths.linked(nodes[2], false, at(2));
    assert_eq!(wants(&mut paths, 2), []);
    assert_eq!(paths.why(&nodes[3]), Some(Why::Full));
    assert_eq!(paths.poll_timeout(), Some(Mono(1_000)), "no busy loop while there is no room");
}

#[test]
fn without_the_means_nothing_is_tried() {
    for (ability, name) in [(Ability::Absent, "no-webrtc-here"), (Ability::Off, "relay-only")] {
        let mut paths = new(Config { ability, companions: 6, ..able() });
        paths.linked(HIGHER, true, at(0));
        assert_eq!(wants_of(&mut paths, &[LOWER], 100_000), []);
        assert_eq!(paths.poll_timeout(), None);
        assert_eq!(paths.why(&HIGHER).map(|why| why.to_string()).as_deref(), Some(name));
    }
}

#[test]
fn companions_are_dialled_until_there_are_enough() {
    let mut paths = new(Config { companions: 4, ..able() });
    let others: Vec<_> = (10..30).map(|n| NodeId([n; 32])).collect();
    let dials = wants_of(&mut paths, &others, 0);
    assert_eq!(dials.len(), MAX_DIALS);
    assert_eq!(wants_of(&mut paths, &others, 1_000).len(), 1, "those under way count");
    assert_eq!(wants_of(&mut paths, &others, 2_000), []);

    let Output::Dial(first) = dials[0] else { panic!("{dials:?}") };
    paths.dial_failed(first, at(2_100));
    let again = wants_of(&mut paths, &others, 3_000);
    assert_eq!(again.len(), 1);
    assert_ne!(again, [Output::Dial(first)], "somebody else");

    let Output::Dial(second) = dials[1] else { panic!("{dials:?}") };
    paths.linked(second, true, at(3_100));
    assert_eq!(wants_of(&mut paths, &others, 3_100), [Output::Upgrade(second)]);
    assert_eq!(wants_of(&mut paths, &others, 4_000), []);
    paths.unlinked(&second, at(4_100));
    assert_eq!(wants_of(&mut paths, &others, 5_000).len(), 1, "one that has gone is replaced");
}

#[test]
fn companions_make_one_mesh() {
    // Everybody's first picks, as a graph: all can reach all.
    let nodes: Vec<_> = (0..100u8).map(|n| NodeId([n.wrapping_mul(37); 32])).collect();
    let mut edges = Vec::new();
    for node in &nodes {
        let mut paths = Paths::new(Config { companions: 6, ..able() }, *node, at(0));
        for now in [0, 1_000, 2_000] {
            let dials = wants_of(&mut paths, &nodes, now);
            edges.extend(dials.iter().map(|dial| match dial {
                Output::Dial(to) => (*node, *to),
                Output::Upgrade(_) | Output::CloseRelayed(_) | Output::Disconnect(_) => panic!("{dial:?}"),
            }));
        }
    }
    let mut reached = std::collections::BTreeSet::from([nodes[0]]);
    loop {
        let before = reached.len();
        for (a, b) in &edges {
            if reached.contains(a) || reached.contains(b) {
                reached.extend([*a, *b]);
            }
        }
        if reached.len() == before {
            break;
        }
    }
    assert_eq!(reached.len(), 100);
    let most = nodes.iter().map(|node| edges.iter().filter(|(a, b)| a == node || b == node).count()).max();
    assert!(most < Some(24), "{most:?} links at one node");
}

#[test]
fn what_is_over_is_forgotten() {
    let mut paths = new(Config { companions: 0, ..able() });
    for n in 10..200 {
        paths.linked(NodeId([n; 32]), true, at(0));
        paths.unlinked(&NodeId([n; 32]), at(10));
    }
    wants(&mut paths, 400_000);
    assert_eq!(paths.paths.len(), 0);
}

#[test]
fn who_said_goodbye_is_let_go() {
    let mut paths = new(able());
    paths.linked(HIGHER, false, at(0));
    wants(&mut paths, 3_000);
    paths.left(&HIGHER, at(5_000));
    paths.left(&LOWER, at(5_000));
    assert_eq!(wants(&mut paths, 6_999), []);
    assert_eq!(wants(&mut paths, 7_000), [Output::Disconnect(HIGHER)]);
    assert_eq!(wants(&mut paths, 8_000), [], "once");
}
