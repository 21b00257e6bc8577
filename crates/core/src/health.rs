//! Health: who was heard lately, over which links, and how this node shows that it is alive.
//!
//! Every node says so at a steady pace (`mesh-heartbeat`); anything else that it signs counts as well. A node that was
//! silent for a few beats is *suspected*, and is itself again with the first sign of life. Silence alone never removes
//! it: its announcement expires by itself. The pace slows as the mesh grows, so that heartbeats cost a member about the
//! same in any mesh.

use std::collections::{BTreeMap, VecDeque};

use mesh_proto::NodeId;

use crate::time::{Mono, Now};

/// Pace and patience.
#[derive(Clone, Debug)]
pub struct Config {
    /// Milliseconds between heartbeats in a small mesh.
    pub interval_ms: u64,
    /// Milliseconds between heartbeats for each member: 50 bounds what a member hears to 20 a second.
    pub interval_per_member_ms: u64,
    /// Silent intervals after which a node is suspected.
    pub patience: u64,
    /// Nodes that are watched, about 100 bytes each. Others are not, and never suspected.
    pub max_peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval_ms: 2_500, interval_per_member_ms: 50, patience: 3, max_peers: 16_384 }
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
    outputs: VecDeque<Output>,
}

impl Health {
    /// Alone, with a first heartbeat due after one interval.
    pub fn new(config: Config, now: Now) -> Self {
        Self {
            next_beat: now.mono + config.interval_ms,
            next_check: now.mono + config.interval_ms,
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

    /// `node` gave a sign of life.
    pub fn heard(&mut self, node: NodeId, now: Now) {
        if !self.peers.contains_key(&node) && self.peers.len() >= self.config.max_peers {
            return;
        }
        let alive = Peer { last_heard: now.mono, suspect: false };
        if self.peers.insert(node, alive).is_some_and(|before| before.suspect) {
            self.outputs.push_back(Output::Recovered(node));
        }
    }

    /// `node` has left or expired.
    pub fn forget(&mut self, node: &NodeId) {
        self.peers.remove(node);
    }

    /// A link came up, or its better half did.
    pub fn connected(&mut self, node: NodeId, relayed: bool, address: String, now: Now) {
        let since = self.links.get(&node).map_or(now.mono, |link| link.since);
        let rtt_ms = None;
        self.links.insert(node, Link { relayed, address, rtt_ms, since });
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
            self.heard(node, now);
        }
    }

    /// Beats and looks for silence.
    pub fn handle_timeout(&mut self, now: Now) {
        let interval = self.interval();
        if self.next_beat <= now.mono {
            self.next_beat = now.mono + interval;
            self.outputs.push_back(Output::Beat);
        }
        if self.next_check <= now.mono {
            self.next_check = now.mono + interval / 4;
            let patience = interval * self.config.patience;
            for (node, peer) in &mut self.peers {
                if !peer.suspect && now.mono.since(peer.last_heard) > patience {
                    peer.suspect = true;
                    self.outputs.push_back(Output::Suspected(*node));
                }
            }
        }
    }

    /// When the next beat or look is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        Some(self.next_beat.min(self.next_check))
    }

    /// What there is to say.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
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
        assert_eq!(drain(&mut health, at(7_500)), []);
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
}
