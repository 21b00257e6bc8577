//! Health: who was heard lately, over which links, and how this node shows that it is alive.
//!
//! Every node says so at a steady pace (`mesh-heartbeat`); anything else that it signs counts as well. A node that was
//! silent for a few beats is *suspected*, and is itself again with the first sign of life. Silence alone never removes
//! it: its announcement expires by itself. The pace slows as the mesh grows, so that heartbeats cost a member about the
//! same in any mesh.
//!
//! Neighbours are watched more closely: whoever has a link is pinged, and a link over which nothing came for a while, no
//! answer, no gossip and no message, is *dead* and given up, so that another way is looked for. That neighbours find out
//! and everybody else hears of it later is SWIM's division of labour (Das, Gupta, Motivala: SWIM, 2002). A node that was
//! itself stopped, as pages are, cannot tell who was silent meanwhile: it begins to count anew, which is what Lifeguard
//! (Dadgar, Phillips, Currey: Lifeguard, 2018) adds to it.

use std::collections::{BTreeMap, VecDeque};

use mesh_proto::NodeId;

use crate::time::{Mono, Now};

/// Milliseconds after which a node of a mesh that has come together again shows itself.
const REUNION_MS: u64 = 100;

/// Milliseconds between two looks at the links.
const LINK_CHECK_MS: u64 = 1_000;

/// Pace and patience.
#[derive(Clone, Debug)]
pub struct Config {
    /// Milliseconds between heartbeats in a small mesh.
    pub interval_ms: u64,
    /// Milliseconds between heartbeats for each member: 50 bounds what a member hears to 20 a second.
    pub interval_per_member_ms: u64,
    /// Silent intervals after which a node is suspected.
    pub patience: u64,
    /// Milliseconds of silence after which a link is dead: three pings and their answers.
    pub link_patience_ms: u64,
    /// Milliseconds by which a look at the others may be late before this node counts as having been stopped.
    pub lateness_ms: u64,
    /// Nodes that are watched, about 100 bytes each. Others are not, and never suspected.
    pub max_peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval_ms: 2_500,
            interval_per_member_ms: 50,
            patience: 3,
            link_patience_ms: 10_000,
            lateness_ms: 2_000,
            max_peers: 16_384,
        }
    }
}

/// What health has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Time for a heartbeat.
    Beat,
    /// Nothing was heard of this node for some intervals.
    Suspected(NodeId),
    /// It was heard again.
    Recovered(NodeId),
    /// The links to this node are dead.
    Dead(NodeId),
    /// So many of so many watched nodes are suspected that the mesh has fallen apart, rather than they.
    Split {
        /// Suspected.
        lost: usize,
        /// Watched.
        of: usize,
    },
    /// This node was heard again, one of several that were away.
    Reunited(NodeId),
    /// No more are suspected than may be gone by themselves.
    Whole,
}

/// A link to a connected node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether another node carries it.
    pub relayed: bool,
    /// The remote's address on it.
    pub address: String,
    /// Round trip, milliseconds, once measured.
    pub rtt_ms: Option<u64>,
    /// When it came up.
    pub since: Mono,
    /// When something last came over it.
    pub heard: Mono,
}

/// A node that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// When it was last heard.
    pub last_heard: Mono,
    /// Whether it has been silent for too long.
    pub suspect: bool,
}

/// What is known of others' health.
#[derive(Debug)]
pub struct Health {
    config: Config,
    peers: BTreeMap<NodeId, Peer>,
    links: BTreeMap<NodeId, Link>,
    next_beat: Mono,
    next_check: Mono,
    next_link_check: Mono,
    suspects: usize,
    split: bool,
    outputs: VecDeque<Output>,
}

impl Health {
    /// Alone, with a first heartbeat due after one interval.
    pub fn new(config: Config, now: Now) -> Self {
        Self {
            next_beat: now.mono + config.interval_ms,
            next_check: now.mono + config.interval_ms,
            next_link_check: now.mono + LINK_CHECK_MS,
            suspects: 0,
            split: false,
            config,
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Nodes heard of, by id.
    pub fn peers(&self) -> &BTreeMap<NodeId, Peer> {
        &self.peers
    }

    /// Links that are up, by the node at their other end.
    pub fn links(&self) -> &BTreeMap<NodeId, Link> {
        &self.links
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        self.peers.len() + self.links.len()
    }

    /// Watched nodes, and those of them that are suspected.
    pub fn silent(&self) -> (usize, usize) {
        (self.peers.len(), self.suspects)
    }

    /// Whether the mesh has fallen apart.
    pub fn is_split(&self) -> bool {
        self.split
    }

    /// `node` gave a sign of life.
    pub fn heard(&mut self, node: NodeId, now: Now) {
        if !self.peers.contains_key(&node) && self.peers.len() >= self.config.max_peers {
            return;
        }
        let alive = Peer { last_heard: now.mono, suspect: false };
        if self.peers.insert(node, alive).is_some_and(|before| before.suspect) {
            self.outputs.push_back(Output::Recovered(node));
            if self.suspects > 1 {
                // Several were away together, and have not heard of us for as long: they need not wait for our next beat.
                self.next_beat = self.next_beat.min(now.mono + REUNION_MS);
                self.outputs.push_back(Output::Reunited(node));
            }
            self.suspects -= 1;
            self.judge();
        }
    }

    /// `node` has left or expired.
    pub fn forget(&mut self, node: &NodeId) {
        if self.peers.remove(node).is_some_and(|peer| peer.suspect) {
            self.suspects -= 1;
            self.judge();
        }
    }

    /// A link came up, or its better half did.
    pub fn connected(&mut self, node: NodeId, relayed: bool, address: String, now: Now) {
        let since = self.links.get(&node).map_or(now.mono, |link| link.since);
        let rtt_ms = None;
        self.links.insert(node, Link { relayed, address, rtt_ms, since, heard: now.mono });
        self.heard(node, now);
    }

    /// The last link to `node` went down.
    pub fn disconnected(&mut self, node: &NodeId) {
        self.links.remove(node);
    }

    /// A round trip over the link to `node` took `millis`.
    pub fn measured(&mut self, node: NodeId, millis: u64, now: Now) {
        if let Some(link) = self.links.get_mut(&node) {
            link.rtt_ms = Some(millis);
            link.heard = now.mono;
            self.heard(node, now);
        }
    }

    /// Something came over the link to `node`.
    pub fn received(&mut self, node: &NodeId, now: Now) {
        if let Some(link) = self.links.get_mut(node) {
            link.heard = now.mono;
        }
    }

    /// Beats and looks for silence.
    pub fn handle_timeout(&mut self, now: Now) {
        let interval = self.interval();
        if self.next_beat <= now.mono {
            self.next_beat = now.mono + interval;
            self.outputs.push_back(Output::Beat);
        }
        if self.next_check + self.config.lateness_ms < now.mono {
            self.begin_anew(now);
        }
        if self.next_link_check <= now.mono {
            self.next_link_check = now.mono + LINK_CHECK_MS;
            let dead = |link: &Link| now.mono.since(link.heard) > self.config.link_patience_ms;
            let dead = self.links.iter().filter(|(_, link)| dead(link)).map(|(node, _)| Output::Dead(*node));
            self.outputs.extend(dead);
        }
        if self.next_check <= now.mono {
            self.next_check = now.mono + interval / 4;
            let patience = interval * self.config.patience;
            for (node, peer) in &mut self.peers {
                if !peer.suspect && now.mono.since(peer.last_heard) > patience {
                    peer.suspect = true;
                    self.suspects += 1;
                    self.outputs.push_back(Output::Suspected(*node));
                }
            }
            self.judge();
        }
    }

    /// Whether the mesh has fallen apart: a quarter or more of it is suspected, and more than one. So many do not die within
    /// one patience of each other.
    fn judge(&mut self) {
        let (lost, of) = (self.suspects, self.peers.len());
        let split = lost > 1 && lost * 4 >= of;
        if split != self.split {
            self.split = split;
            self.outputs.push_back(if split { Output::Split { lost, of } } else { Output::Whole });
        }
    }

    /// When the next beat or look is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        Some(self.next_beat.min(self.next_check).min(self.next_link_check))
    }

    /// What there is to say.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Nobody is held to have been silent before now.
    fn begin_anew(&mut self, now: Now) {
        for peer in self.peers.values_mut().filter(|peer| !peer.suspect) {
            peer.last_heard = now.mono;
        }
        for link in self.links.values_mut() {
            link.heard = now.mono;
        }
    }

    fn interval(&self) -> u64 {
        let members = self.peers.len() as u64;
        self.config.interval_ms.max(members * self.config.interval_per_member_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);

    fn at(mono: u64) -> Now {
        Now { mono: Mono(mono), unix: 0 }
    }

    fn drain(health: &mut Health, now: Now) -> Vec<Output> {
        health.handle_timeout(now);
        std::iter::from_fn(|| health.poll_output()).filter(|output| *output != Output::Beat).collect()
    }

    #[test]
    fn silence_is_suspected_once_and_a_sign_of_life_ends_it() {
        let mut health = Health::new(Config::default(), at(0));
        health.heard(A, at(0));
        for now in (0..=7_500).step_by(500) {
            assert_eq!(drain(&mut health, at(now)), []);
        }
        assert_eq!(drain(&mut health, at(8_125)), [Output::Suspected(A)]);
        assert_eq!(drain(&mut health, at(40_000)), []);
        health.heard(A, at(40_001));
        assert_eq!(drain(&mut health, at(40_001)), [Output::Recovered(A)]);
    }

    #[test]
    fn beats_slow_down_as_the_mesh_grows() {
        let beats = |members: u16| {
            let mut health = Health::new(Config::default(), at(0));
            let mut beats = 0;
            for second in 0..100 {
                for n in 0..members {
                    let mut id = [0; 32];
                    id[..2].copy_from_slice(&n.to_be_bytes());
                    health.heard(NodeId(id), at(second * 1000));
                }
                health.handle_timeout(at(second * 1000));
                beats += std::iter::from_fn(|| health.poll_output()).filter(|o| *o == Output::Beat).count();
            }
            beats
        };
        assert_eq!(beats(10), 33, "every 2.5 s, looked at once a second");
        assert_eq!(beats(1000), 2, "every 50 s, 20 a second for a member to hear");
    }

    #[test]
    fn watched_nodes_are_bounded() {
        let mut health = Health::new(Config { max_peers: 1, ..Config::default() }, at(0));
        health.heard(A, at(0));
        health.heard(NodeId([2; 32]), at(0));
        assert_eq!(health.peers().len(), 1);
    }

    #[test]
    fn a_link_over_which_nothing_comes_is_dead() {
        let mut health = Health::new(Config::default(), at(0));
        health.connected(A, false, String::new(), at(0));
        let dead = |health: &mut Health, from: u64, to: u64| {
            let outputs = (from..=to).step_by(500).flat_map(|now| drain(health, at(now))).collect::<Vec<_>>();
            outputs.contains(&Output::Dead(A))
        };
        assert!(!dead(&mut health, 500, 10_000));
        health.received(&A, at(10_000));
        assert!(!dead(&mut health, 10_500, 20_000));
        health.measured(A, 30, at(20_000));
        assert!(!dead(&mut health, 20_500, 30_000));
        assert!(dead(&mut health, 30_500, 31_500));
    }

    #[test]
    fn who_was_stopped_suspects_nobody_for_it() {
        let mut health = Health::new(Config::default(), at(0));
        health.connected(A, false, String::new(), at(0));
        assert_eq!(drain(&mut health, at(2_000)), []);
        assert_eq!(drain(&mut health, at(600_000)), []);
        assert_eq!(drain(&mut health, at(605_000)), [], "late again");
        let later: Vec<_> = (605_500..620_000).step_by(500).flat_map(|now| drain(&mut health, at(now))).collect();
        assert!(later.contains(&Output::Suspected(A)) && later.contains(&Output::Dead(A)));
    }

    #[test]
    fn a_mesh_that_falls_apart_is_told_from_nodes_that_die() {
        let node = |n: u8| NodeId([n; 32]);
        let mut health = Health::new(Config::default(), at(0));
        (1..=8).for_each(|n| health.heard(node(n), at(0)));
        let told = |health: &mut Health, silent: u8, from: u64| {
            let mut told = Vec::new();
            for now in (from..from + 9_000).step_by(500) {
                (silent + 1..=8).for_each(|n| health.heard(node(n), at(now)));
                told.extend(drain(health, at(now)));
            }
            told.retain(|output| !matches!(output, Output::Suspected(_) | Output::Recovered(_)));
            told
        };
        assert_eq!(told(&mut health, 1, 0), []);
        assert_eq!(told(&mut health, 2, 9_000), [Output::Split { lost: 2, of: 8 }]);
        health.heard(node(2), at(18_000));
        assert_eq!(
            drain(&mut health, at(18_000)),
            [Output::Recovered(node(2)), Output::Reunited(node(2)), Output::Whole]
        );
        assert!(health.poll_timeout() <= Some(Mono(18_100)), "and shows itself");
    }
}
