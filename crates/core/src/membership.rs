//! Membership: how this node stays part of the mesh.
//!
//! An open mesh takes everyone in. What has to be decided is how to stay in touch with the *seeds*, the relays and
//! bootstrap nodes that were given at start: they are dialled for ever, at once when a link is lost and with back-off
//! after, and each hands over its member list when a link comes up. Whoever finds out that it missed an announcement asks a
//! neighbour for the list again.
//!
//! A node that has lost all of its seeds for a while is an *orphan*: nobody new can reach it, and if its companions go as
//! well it is alone. Other relays of the mesh, which it knows from their announcements, then *stand in*: it dials them, takes
//! a place there and asks them for their lists, until it has seeds again.

use std::collections::{BTreeMap, VecDeque};

use mesh_proto::{NodeId, ordered};

use crate::paths::affinity;
use crate::time::{Mono, Now};

/// Patience.
#[derive(Clone, Debug)]
pub struct Config {
    /// Milliseconds between two dials of a seed that was lost a short while ago: how long a link that is cut and healed
    /// goes unused.
    pub backoff_ms: u64,
    /// That while, milliseconds. Most cuts are short, and a dial costs little; after it the wait doubles with every dial.
    pub eager_ms: u64,
    /// Longest wait between two dials of a seed after that.
    pub max_backoff_ms: u64,
    /// Milliseconds before a join that failed is tried again over the same link.
    pub join_retry_ms: u64,
    /// Milliseconds after which a seed that has given its list is asked for what has come since, each time once: what is
    /// gossiped before a newcomer's subscription has reached its seed goes past it.
    pub again_ms: [u64; 2],
    /// Milliseconds in which nothing is taken from whoever handed over a forged list: checking signatures costs more than
    /// making them up.
    pub distrust_ms: u64,
    /// Least milliseconds between two requests for the list because an announcement was missed.
    pub resync_ms: u64,
    /// Milliseconds without any seed after which other relays stand in: long enough for a seed that restarts.
    pub orphan_ms: u64,
    /// Relays that stand in at once.
    pub stand_ins: usize,
    /// Milliseconds before a relay that could not be dialled is tried again as a stand-in.
    pub spurn_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backoff_ms: 200,
            eager_ms: 30_000,
            max_backoff_ms: 5_000,
            join_retry_ms: 1_000,
            again_ms: [300, 2_000],
            distrust_ms: 60_000,
            resync_ms: 2_000,
            orphan_ms: 3_000,
            stand_ins: 2,
            spurn_ms: 30_000,
        }
    }
}

/// Milliseconds between two looks for stand-ins.
const LOOK_MS: u64 = 1_000;

/// What is to be done to stay a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Dial this seed or stand-in.
    Dial(NodeId),
    /// Ask this neighbour for its member list.
    Join(NodeId),
    /// Reserve a place on this seed or stand-in, if it is a relay, to be reachable through it.
    Reserve(NodeId),
}

#[derive(Debug, Default)]
struct Seed {
    connected: bool,
    /// Whether it is in the mesh, as far as that is asked: a relay of others is of use too.
    admitted: bool,
    /// Dials that failed after the eager while, or came to nothing.
    failures: u32,
    /// When the last link went down, or the node started.
    lost: Mono,
    /// Lists that it has given over this link.
    lists: usize,
    /// When to dial, or, while connected, to ask for the list again.
    due: Option<Mono>,
}

/// The seeds and the links to them.
#[derive(Debug)]
pub struct Membership {
    config: Config,
    node: NodeId,
    seeds: BTreeMap<NodeId, Box<Seed>>,
    /// Members to stay in touch with who are no relays: without them nobody of a private mesh may be known.
    contacts: BTreeMap<NodeId, Box<Seed>>,
    /// Relays in the place of seeds, no more than are wanted at once.
    stand_ins: BTreeMap<NodeId, Box<Seed>>,
    /// Stand-ins that could not be dialled, and until when they are left alone. Forgotten with the last seed's return.
    spurned: BTreeMap<NodeId, Mono>,
    /// Since when there is no seed.
    orphan: Option<Mono>,
    /// When stand-ins are looked for.
    next_look: Mono,
    resync_after: Mono,
    /// Whose lists are not taken, and until when. Only neighbours that were asked get in.
    distrusted: BTreeMap<NodeId, Mono>,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// `node`, a member that will dial `seeds` and `contacts` at once.
    pub fn new(
        config: Config,
        node: NodeId,
        seeds: impl IntoIterator<Item = NodeId>,
        contacts: impl IntoIterator<Item = NodeId>,
        now: Now,
    ) -> Self {
        let seed = || Box::new(Seed { due: Some(now.mono), lost: now.mono, ..Seed::default() });
        let seeds: BTreeMap<_, _> = ordered(seeds.into_iter().map(|node| (node, seed())));
        let contacts = contacts.into_iter().filter(|contact| *contact != node && !seeds.contains_key(contact));
        Self {
            contacts: ordered(contacts.map(|contact| (contact, seed()))),
            config,
            node,
            seeds,
            stand_ins: BTreeMap::new(),
            spurned: BTreeMap::new(),
            orphan: Some(now.mono),
            next_look: now.mono,
            resync_after: now.mono,
            distrusted: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Whether `node` is a seed.
    pub fn is_seed(&self, node: &NodeId) -> bool {
        self.seeds.contains_key(node)
    }

    /// Whether `node` is a seed or stand-in.
    pub fn wants(&self, node: &NodeId) -> bool {
        self.is_seed(node) || self.stand_ins.contains_key(node)
    }

    /// Seeds with a link.
    pub fn connected_seeds(&self) -> usize {
        self.seeds.values().filter(|seed| seed.connected).count()
    }

    /// Number of seeds.
    pub fn seeds(&self) -> usize {
        self.seeds.len()
    }

    /// Stand-ins with a link.
    pub fn connected_stand_ins(&self) -> usize {
        self.stand_ins.values().filter(|seed| seed.connected).count()
    }

    /// A link to `node` came up.
    pub fn connected(&mut self, node: NodeId) {
        if self.is_seed(&node) {
            self.orphan = None;
            self.spurned.clear();
        }
        if let Some(seed) = self.any(&node).filter(|seed| !seed.connected) {
            let Seed { failures, lost, .. } = *seed;
            *seed = Seed { connected: true, failures, lost, ..Seed::default() };
            if !self.contacts.contains_key(&node) {
                self.outputs.push_back(Output::Reserve(node));
            }
        }
    }

    /// `node`, which has a link, is in the mesh.
    pub fn admitted(&mut self, node: NodeId) {
        if let Some(seed) = self.any(&node).filter(|seed| seed.connected && !seed.admitted) {
            seed.admitted = true;
            self.outputs.push_back(Output::Join(node));
        }
    }

    /// The last link to `node` went down: a seed is dialled again at once. One that has not given its list may have turned us
    /// away, and is dialled like one that cannot be.
    pub fn disconnected(&mut self, node: NodeId, now: Now) {
        self.stand_ins.remove(&node);
        if let Some(seed) = self.kept(&node).filter(|seed| seed.connected) {
            (seed.connected, seed.admitted) = (false, false);
            if seed.lists > 0 {
                (seed.lost, seed.failures) = (now.mono, 0);
                seed.due = Some(now.mono);
            } else {
                self.dial_failed(node, now);
            }
        }
        if self.connected_seeds() == 0 {
            self.orphan.get_or_insert(now.mono);
        }
    }

    /// `node` could not be dialled.
    pub fn dial_failed(&mut self, node: NodeId, now: Now) {
        let Config { backoff_ms, eager_ms, max_backoff_ms, spurn_ms, .. } = self.config;
        if self.stand_ins.get(&node).is_some_and(|seed| !seed.connected) {
            self.stand_ins.remove(&node);
            self.spurned.insert(node, now.mono + spurn_ms);
        }
        if let Some(seed) = self.kept(&node).filter(|seed| !seed.connected) {
            if now.mono.since(seed.lost) >= eager_ms {
                seed.failures += 1;
            }
            seed.due = Some(now.mono + backoff_ms.saturating_mul(1 << seed.failures.min(16)).min(max_backoff_ms));
        }
    }

    /// The host slept, or its network changed: what failed before says nothing any more.
    pub fn wake(&mut self, now: Now) {
        for seed in self.seeds.values_mut().chain(self.contacts.values_mut()).filter(|seed| !seed.connected) {
            **seed = Seed { due: Some(now.mono), lost: now.mono, ..Seed::default() };
        }
    }

    /// `node` has given its list.
    pub fn joined(&mut self, node: NodeId, now: Now) {
        let again_ms = self.config.again_ms;
        if let Some(seed) = self.any(&node).filter(|seed| seed.admitted) {
            seed.due = again_ms.get(seed.lists).map(|wait| now.mono + *wait);
            seed.lists += 1;
        }
    }

    /// A join over the link to `node` failed; a seed is asked again.
    pub fn join_failed(&mut self, node: NodeId, now: Now) {
        let retry = self.config.join_retry_ms;
        if let Some(seed) = self.any(&node).filter(|seed| seed.admitted) {
            seed.due = Some(now.mono + retry);
        }
    }

    /// An announcement was missed that `neighbour` has probably seen: asks a seed for the list, or else the neighbour,
    /// not too often.
    pub fn missed(&mut self, neighbour: NodeId, now: Now) {
        let all = self.seeds.iter().chain(&self.stand_ins).chain(&self.contacts);
        let connected = all.filter(|(_, seed)| seed.admitted).map(|(node, _)| *node);
        let whom = connected.chain([neighbour]).find(|node| self.trusts(node, now));
        if let Some(node) = whom.filter(|_| self.resync_after <= now.mono) {
            self.resync_after = now.mono + self.config.resync_ms;
            self.outputs.push_back(Output::Join(node));
        }
    }

    /// `node` handed over a forged list.
    pub fn distrust(&mut self, node: NodeId, now: Now) {
        self.distrusted.retain(|_, until| *until > now.mono);
        self.distrusted.insert(node, now.mono + self.config.distrust_ms);
    }

    /// Whether lists of `node`'s are taken.
    pub fn trusts(&self, node: &NodeId, now: Now) -> bool {
        self.distrusted.get(node).is_none_or(|until| *until <= now.mono)
    }

    /// Dials and asks what is due. `relays` are those of the mesh that may stand in; they are looked at only by an orphan.
    pub fn handle_timeout<I: Iterator<Item = NodeId>>(&mut self, relays: impl FnOnce() -> I, now: Now) {
        for (node, seed) in self.seeds.iter_mut().chain(&mut self.stand_ins).chain(&mut self.contacts) {
            if seed.due.take_if(|due| *due <= now.mono).is_some() {
                self.outputs.push_back(match seed.connected {
                    true => Output::Join(*node),
                    false => Output::Dial(*node),
                });
            }
        }
        if self.look().is_some_and(|due| due <= now.mono) {
            self.next_look = now.mono + LOOK_MS;
            self.adopt(relays(), now);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let all = self.seeds.values().chain(self.stand_ins.values()).chain(self.contacts.values());
        all.filter_map(|seed| seed.due).chain(self.look()).min()
    }

    /// When stand-ins are to be looked for, if at all.
    fn look(&self) -> Option<Mono> {
        let due = self.orphan? + self.config.orphan_ms;
        (self.stand_ins.len() < self.config.stand_ins).then_some(due.max(self.next_look))
    }

    /// Has relays stand in.
    fn adopt(&mut self, relays: impl Iterator<Item = NodeId>, now: Now) {
        self.spurned.retain(|_, until| *until > now.mono);
        let free = |node: &NodeId| {
            !self.is_seed(node) && !self.stand_ins.contains_key(node) && !self.spurned.contains_key(node)
        };
        let mut free: Vec<_> = relays.filter(free).map(|node| (affinity(&self.node, &node), node)).collect();
        free.sort_unstable();
        let missing = self.config.stand_ins - self.stand_ins.len();
        for (_, node) in free.into_iter().take(missing) {
            self.stand_ins.insert(node, Box::new(Seed { lost: now.mono, ..Seed::default() }));
            self.outputs.push_back(Output::Dial(node));
        }
    }

    fn any(&mut self, node: &NodeId) -> Option<&mut Seed> {
        let relay = self.seeds.get_mut(node).or_else(|| self.stand_ins.get_mut(node));
        relay.or_else(|| self.contacts.get_mut(node)).map(Box::as_mut)
    }

    /// One that is dialled for as long as this node runs.
    fn kept(&mut self, node: &NodeId) -> Option<&mut Seed> {
        self.seeds.get_mut(node).or_else(|| self.contacts.get_mut(node)).map(Box::as_mut)
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId([9; 32]);
    const SEED: NodeId = NodeId([1; 32]);
    const OTHER: NodeId = NodeId([2; 32]);

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: 0 }
    }

    fn drain(membership: &mut Membership, now: Now) -> Vec<Output> {
        membership.handle_timeout(std::iter::empty, now);
        std::iter::from_fn(|| membership.poll_output()).collect()
    }

    #[test]
    fn seeds_are_dialled_for_ever_with_growing_patience() {
        let mut membership = Membership::new(Config::default(), ME, [SEED], [], at(0));
        let mut dials = Vec::new();
        for _ in 0..160 {
            let due = membership.seeds[&SEED].due.unwrap();
            assert_eq!(drain(&mut membership, at(due.0)), [Output::Dial(SEED)]);
            dials.push(due.0);
            membership.dial_failed(SEED, at(due.0));
        }
        let waits: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits[..150].iter().all(|wait| *wait == 200), "eager for half a minute");
        assert_eq!(waits[150..157], [400, 800, 1600, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn a_link_is_used_at_once_and_a_lost_one_dialled_at_once() {
        let mut membership = Membership::new(Config::default(), ME, [SEED], [], at(0));
        drain(&mut membership, at(0));
        membership.connected(SEED);
        membership.admitted(SEED);
        assert_eq!(drain(&mut membership, at(1)), [Output::Reserve(SEED), Output::Join(SEED)]);
        membership.join_failed(SEED, at(2));
        assert_eq!(drain(&mut membership, at(1002)), [Output::Join(SEED)]);
        membership.joined(SEED, at(1100));
        assert_eq!(drain(&mut membership, at(1399)), []);
        assert_eq!(drain(&mut membership, at(1400)), [Output::Join(SEED)]);
        membership.joined(SEED, at(1400));
        assert_eq!(membership.poll_timeout(), Some(Mono(3400)));
        membership.joined(SEED, at(1500));
        assert_eq!(membership.poll_timeout(), None, "three lists are enough");
        membership.disconnected(SEED, at(2000));
        assert_eq!(drain(&mut membership, at(2000)), [Output::Dial(SEED)]);
    }

    #[test]
    fn a_seed_that_turns_us_away_is_dialled_with_growing_patience() {
        let mut membership = Membership::new(Config::default(), ME, [SEED], [], at(0));
        let (mut now, mut dials) = (0, Vec::new());
        while now < 60_000 {
            let due = membership.seeds[&SEED].due.unwrap();
            now = due.0;
            membership.handle_timeout(std::iter::empty, at(now));
            dials.push(now);
            membership.connected(SEED);
            membership.admitted(SEED);
            // It closes before it has given its list; both its link and its place go.
            membership.disconnected(SEED, at(now + 20));
            membership.disconnected(SEED, at(now + 20));
        }
        let waits: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits[0], 220);
        assert_eq!(waits.last(), Some(&5_020));
        // Once it has given its list it is dialled at once again.
        membership.connected(SEED);
        membership.admitted(SEED);
        membership.joined(SEED, at(now));
        membership.disconnected(SEED, at(now + 100));
        assert_eq!(drain(&mut membership, at(now + 100)).last(), Some(&Output::Dial(SEED)));
        membership.dial_failed(SEED, at(now + 100));
        assert_eq!(membership.seeds[&SEED].due, Some(Mono(now + 300)));
    }

    #[test]
    fn contacts_are_kept_up_and_asked_like_seeds_but_carry_nobody() {
        let mut membership = Membership::new(Config::default(), ME, [SEED], [SEED, ME, OTHER], at(0));
        assert_eq!(drain(&mut membership, at(0)), [Output::Dial(SEED), Output::Dial(OTHER)]);
        membership.connected(OTHER);
        assert!(!membership.is_seed(&OTHER) && !membership.wants(&OTHER));
        assert_eq!((membership.seeds(), membership.connected_seeds()), (1, 0));
        membership.admitted(OTHER);
        assert_eq!(drain(&mut membership, at(1)), [Output::Join(OTHER)]);
        membership.joined(OTHER, at(1));
        membership.disconnected(OTHER, at(2));
        assert_eq!(drain(&mut membership, at(2)), [Output::Dial(OTHER)]);
        membership.dial_failed(OTHER, at(3));
        assert_eq!(drain(&mut membership, at(203)), [Output::Dial(OTHER)]);
    }

    #[test]
    fn others_are_not_dialled_and_asked_only_so_often() {
        let mut membership = Membership::new(Config::default(), ME, [], [], at(0));
        membership.connected(OTHER);
        membership.disconnected(OTHER, at(0));
        membership.missed(OTHER, at(0));
        membership.missed(OTHER, at(1999));
        assert_eq!(drain(&mut membership, at(1999)), [Output::Join(OTHER)]);
        membership.missed(OTHER, at(2000));
        assert_eq!(drain(&mut membership, at(2000)), [Output::Join(OTHER)]);
    }

    fn adopted(membership: &mut Membership, relays: &[NodeId], now: Now) -> Vec<NodeId> {
        membership.handle_timeout(|| relays.iter().copied(), now);
        let outputs = std::iter::from_fn(|| membership.poll_output());
        outputs
            .filter_map(|output| match output {
                Output::Dial(node) if node != SEED => Some(node),
                Output::Dial(_) | Output::Join(_) | Output::Reserve(_) => None,
            })
            .collect()
    }

    #[test]
    fn relays_stand_in_for_seeds_that_are_gone() {
        let relays: Vec<_> = (10..14).map(|n| NodeId([n; 32])).collect();
        let mut membership = Membership::new(Config::default(), ME, [SEED], [], at(0));
        membership.connected(SEED);
        assert_eq!(adopted(&mut membership, &relays, at(60_000)), []);
        membership.disconnected(SEED, at(60_000));
        assert_eq!(adopted(&mut membership, &relays, at(62_999)), []);
        let first = adopted(&mut membership, &relays, at(63_000));
        assert_eq!(first.len(), 2);

        // One that cannot be dialled is left alone for a while; another takes its place.
        membership.dial_failed(first[0], at(63_500));
        let second = adopted(&mut membership, &relays, at(64_000));
        assert!(second.len() == 1 && !first.contains(&second[0]));
        membership.connected(second[0]);
        membership.admitted(second[0]);
        let wanted: Vec<_> = std::iter::from_fn(|| membership.poll_output()).collect();
        assert_eq!(wanted, [Output::Reserve(second[0]), Output::Join(second[0])]);

        // No more are needed once a seed is back.
        membership.connected(SEED);
        membership.disconnected(second[0], at(70_000));
        assert_eq!(adopted(&mut membership, &relays, at(80_000)), []);
    }
}
