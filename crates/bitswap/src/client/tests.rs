use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;

struct World {
    client: Client,
    now: Duration,
}

fn block(name: &str) -> Block {
    Block::raw(name.as_bytes().to_vec()).expect("it fits")
}

impl World {
    fn new(peers: &[PeerId]) -> Self {
        let mut world = Self { client: Client::default(), now: Duration::from_secs(1000) };
        for peer in peers {
            world.client.connected(*peer, world.now);
        }
        world
    }

    fn want(&mut self, name: &str, from: &[PeerId]) {
        self.client.want(*block(name).cid(), from, self.now).expect("room");
    }

    fn says(&mut self, peer: &PeerId) -> Vec<Ask> {
        self.client.take(peer, 1000).into_iter().map(|entry| entry.ask).collect()
    }

    fn presence(&mut self, peer: PeerId, name: &str, presence: Presence) {
        self.client.presence(peer, *block(name).cid(), presence, self.now);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.client.poll_output()).collect()
    }
}

/// Peers whose order is that of their names.
fn peers<const N: usize>() -> [PeerId; N] {
    let mut peers: Vec<_> = (0..N).map(|_| PeerId::random()).collect();
    peers.sort_unstable();
    peers.try_into().expect("as many")
}

#[test]
fn what_has_no_answer_is_asked_again_when_a_connection_breaks() {
    let [a, b, c] = peers();
    let mut world = World::new(&[a, b, c]);
    world.want("x", &[]);
    assert_eq!((world.says(&a), world.says(&b), world.says(&c)), (vec![Ask::Block], vec![Ask::Have], vec![Ask::Have]));
    world.presence(b, "x", Presence::DontHave);
    for peer in [a, b, c] {
        world.client.repeat(&peer, world.now);
    }
    // Not of the one that has answered.
    assert_eq!((world.says(&a), world.says(&b), world.says(&c)), (vec![Ask::Block], vec![], vec![Ask::Have]));
    // It has as long to answer as at first.
    world.wait(PATIENCE / 2);
    world.client.repeat(&a, world.now);
    world.wait(PATIENCE / 2);
    assert_eq!(world.says(&a), [Ask::Block]);
    world.client.block(a, block("x"), world.now);
    world.says(&a);
    world.client.repeat(&a, world.now);
    assert_eq!(world.says(&a), []);
}

#[test]
fn one_is_asked_for_the_block_and_others_whether_they_have_it() {
    let [a, b, c] = peers();
    let mut world = World::new(&[a, b, c]);
    world.want("x", &[]);
    assert_eq!((world.says(&a), world.says(&b), world.says(&c)), (vec![Ask::Block], vec![Ask::Have], vec![Ask::Have]));
    world.presence(c, "x", Presence::Have);
    world.presence(b, "x", Presence::DontHave);
    assert_eq!(world.says(&c), []);
    world.presence(a, "x", Presence::DontHave);
    assert_eq!(world.says(&c), [Ask::Block]);
    world.client.block(c, block("x"), world.now);
    assert_eq!(world.outputs(), [Output::Got(block("x"), c)]);
    // To the others it is cancelled, for a block that comes to them later is not wanted any more.
    assert_eq!((world.says(&a), world.says(&b), world.says(&c)), (vec![Ask::Cancel], vec![Ask::Cancel], vec![]));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn whoever_is_said_to_have_it_is_asked_alone() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    world.want("x", &[b, PeerId::random()]);
    assert_eq!((world.says(&a), world.says(&b)), (vec![], vec![Ask::Block]));
    world.presence(b, "x", Presence::DontHave);
    assert_eq!(world.says(&a), [Ask::Block]);
}

#[test]
fn blocks_are_spread_over_those_that_have_them() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    for name in ["1", "2", "3", "4"] {
        world.want(name, &[a, b]);
    }
    assert_eq!((world.says(&a).len(), world.says(&b).len()), (2, 2));
}

#[test]
fn whoever_is_silent_is_passed_over() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    world.want("x", &[a]);
    world.says(&a);
    assert_eq!(world.client.poll_timeout(), Some(world.now + PATIENCE));
    world.wait(PATIENCE - Duration::from_millis(1));
    assert_eq!(world.says(&b), []);
    world.wait(Duration::from_millis(1));
    assert_eq!((world.says(&a), world.says(&b)), (vec![Ask::Cancel], vec![Ask::Block]));
    // It may still come from the first.
    world.client.block(a, block("x"), world.now);
    assert_eq!(world.outputs(), [Output::Got(block("x"), a)]);
    assert_eq!(world.says(&b), [Ask::Cancel]);
}

#[test]
fn whoever_was_silent_is_not_asked_again_because_it_says_that_it_has_it() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    world.want("x", &[a]);
    world.wait(PATIENCE);
    assert_eq!(world.says(&b), [Ask::Block]);
    world.presence(a, "x", Presence::Have);
    world.presence(b, "x", Presence::DontHave);
    assert_eq!(world.says(&a), []);
    // Who has said that it has it not may have got it since.
    world.presence(b, "x", Presence::Have);
    assert_eq!(world.says(&b), [Ask::Block]);
}

#[test]
fn whoever_sends_others_is_not_waited_for_without_end() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    world.want("x", &[a]);
    let mut rounds = 0;
    while world.says(&b).is_empty() {
        let name = rounds.to_string();
        world.want(&name, &[a]);
        world.client.block(a, block(&name), world.now);
        world.wait(PATIENCE / 2);
        rounds += 1;
        assert!(rounds < 100, "the other is never asked");
    }
    assert_eq!(rounds, LONGEST.as_millis() / (PATIENCE / 2).as_millis());
}

#[test]
fn with_nobody_left_a_search_is_asked_for_and_then_everybody_again() {
    let [a] = peers();
    let mut world = World::new(&[a]);
    world.want("x", &[]);
    let cid = *block("x").cid();
    for pause in [1, 2, 4, 8, 8, 8].map(|times| PAUSE * times) {
        assert_eq!(world.says(&a), [Ask::Block]);
        assert_eq!(world.outputs(), []);
        world.presence(a, "x", Presence::DontHave);
        assert_eq!(world.outputs(), [Output::Search(cid)]);
        assert_eq!(world.client.poll_timeout(), Some(world.now + pause));
        world.wait(pause);
    }
    // A search that finds somebody ends the pause.
    world.presence(a, "x", Presence::DontHave);
    let b = PeerId::random();
    world.client.connected(b, world.now);
    assert_eq!(world.says(&b), [Ask::Block]);
    world.presence(b, "x", Presence::DontHave);
    world.client.found(cid, &[a], world.now);
    assert_eq!(world.says(&a), [Ask::Block]);
}

#[test]
fn without_any_peer_a_search_is_asked_for_at_once() {
    let mut world = World::new(&[]);
    world.want("x", &[]);
    assert_eq!(world.outputs(), [Output::Search(*block("x").cid())]);
}

#[test]
fn whoever_leaves_or_does_not_speak_it_is_passed_over() {
    let [a, b, c] = peers();
    let mut world = World::new(&[a, b, c]);
    world.want("x", &[a]);
    world.client.disconnected(&a, world.now);
    assert_eq!((world.says(&a), world.says(&b), world.says(&c)), (vec![], vec![Ask::Block], vec![Ask::Have]));
    world.client.unsupported(&b, world.now);
    world.presence(c, "x", Presence::Have);
    assert_eq!((world.says(&b), world.says(&c)), (vec![], vec![Ask::Block]));
    world.want("y", &[b]);
    assert_eq!((world.says(&b), world.says(&c)), (vec![], vec![Ask::Block]));
}

#[test]
fn what_was_not_asked_for_is_dropped() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    world.client.block(a, block("y"), world.now);
    assert_eq!((world.outputs(), world.client.unwanted()), (vec![], 1));
    world.want("x", &[a]);
    world.presence(b, "x", Presence::Have);
    world.presence(b, "x", Presence::DontHave);
    world.client.block(a, block("x"), world.now);
    // Twice is once.
    world.client.block(a, block("x"), world.now);
    assert_eq!((world.outputs().len(), world.client.unwanted()), (1, 2));
}

#[test]
fn what_is_cancelled_before_it_was_said_is_never_said() {
    let [a, b] = peers();
    let mut world = World::new(&[a, b]);
    world.want("x", &[]);
    assert_eq!(world.says(&a), [Ask::Block]);
    world.client.cancel(block("x").cid());
    assert_eq!((world.says(&a), world.says(&b)), (vec![Ask::Cancel], vec![]));
    assert_eq!((world.client.wanted(), world.client.poll_timeout()), (0, None));
}

#[test]
fn words_that_free_the_peer_go_first() {
    let [a] = peers();
    let mut world = World::new(&[a]);
    world.want("x", &[]);
    world.says(&a);
    world.want("y", &[]);
    world.client.cancel(block("x").cid());
    let asks = |world: &mut World| world.client.take(&a, 1).into_iter().map(|entry| entry.ask).collect::<Vec<_>>();
    assert_eq!((asks(&mut world), asks(&mut world), asks(&mut world)), (vec![Ask::Cancel], vec![Ask::Block], vec![]));
}

#[test]
fn so_many_are_wanted_and_no_more() {
    let mut world = World::new(&[]);
    for i in 0..MAX_WANTS {
        world.want(&i.to_string(), &[]);
    }
    let cid = *block("one more").cid();
    assert_eq!(world.client.want(cid, &[], world.now), Err(Full));
    world.want("0", &[]);
    world.client.cancel(block("0").cid());
    world.want("one more", &[]);
}

/// Peers that have it and send it, say so and never do, have it not, are silent, leave and come back: whatever one of the
/// sound ones has is got, and in the end nobody is left with a want of ours.
#[test]
fn whatever_a_sound_peer_has_is_got() {
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: usize| random.next_u32() as usize % n;
        let all = peers::<8>();
        let mut world = World::new(&all);
        let names: Vec<_> = (0..20).map(|i| i.to_string()).collect();
        // The first is sound and has everything; what the others are is drawn.
        let kinds: Vec<_> = (0..8).map(|i| if i == 7 { 0 } else { below(4) }).collect();
        let mut wants: BTreeMap<PeerId, BTreeSet<Cid>> = BTreeMap::new();
        for name in &names {
            world.want(name, &[all[below(8)]]);
        }
        let mut got = BTreeSet::new();
        let mut rounds = 0;
        while got.len() < names.len() || wants.values().any(|wants| !wants.is_empty()) {
            rounds += 1;
            assert!(rounds < 3000, "seed {seed}: {} of {} after {rounds} rounds", got.len(), names.len());
            let i = below(8);
            let (peer, kind) = (all[i], kinds[i]);
            if kind == 3 && below(4) == 0 {
                world.client.disconnected(&peer, world.now);
                wants.remove(&peer);
                world.client.connected(peer, world.now);
            }
            for entry in world.client.take(&peer, 1 + below(10)) {
                let theirs = wants.entry(peer).or_default();
                match (entry.ask, kind) {
                    (Ask::Cancel, _) => {
                        theirs.remove(&entry.cid);
                    }
                    // Says that it has it, and sends nothing.
                    (Ask::Have, 0 | 1) => {
                        theirs.insert(entry.cid);
                        world.client.presence(peer, entry.cid, Presence::Have, world.now);
                    }
                    (Ask::Block, 0) => {
                        theirs.remove(&entry.cid);
                        let name = names.iter().find(|name| *block(name).cid() == entry.cid).expect("one of ours");
                        world.client.block(peer, block(name), world.now);
                    }
                    (Ask::Have | Ask::Block, 2) => {
                        theirs.insert(entry.cid);
                        world.client.presence(peer, entry.cid, Presence::DontHave, world.now);
                    }
                    (Ask::Have | Ask::Block, _) => {
                        theirs.insert(entry.cid);
                    }
                }
            }
            for output in world.outputs() {
                if let Output::Got(block, _) = output {
                    assert!(got.insert(*block.cid()), "seed {seed}: twice");
                }
            }
            world.wait(Duration::from_millis(100));
        }
        assert_eq!(world.client.wanted(), 0);
    }
}
