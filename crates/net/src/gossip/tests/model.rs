//! The simulator's model, over links of about the same latency.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::Mono;
use mesh_core::intake::Verdict;
use mesh_sim::id::HostId;
use mesh_sim::overlay::{LOOPBACK, Message, Output, Overlay, Rpc};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Graph, Spread, Swarm, TOPIC};

/// Longest way over a link, and the shortest. If all took the same time, everything would happen at both ends of a link at
/// once, and nobody would be asked for a link by one whom it has not asked itself.
const LATENCY_MS: u64 = 6;
const LEAST_MS: u64 = 4;

const LIMIT_MS: u64 = 30_000;

pub(super) struct Model {
    nodes: Vec<Overlay>,
    /// What is under way from whom to whom, by its arrival and the order of sending.
    links: BTreeMap<(Mono, u64), (usize, usize, Rpc)>,
    /// When the last RPC arrives on each link: they keep their order.
    last: BTreeMap<(usize, usize), Mono>,
    sent: u64,
    rng: ChaCha8Rng,
    now: Mono,
    spread: Spread,
}

impl Model {
    /// Connects the nodes as the real ones are, all at once.
    pub(super) fn new(graph: &Graph, seed: u64) -> Self {
        let rng = |node| ChaCha8Rng::seed_from_u64(seed * 1000 + node as u64);
        let nodes = (0..graph.nodes).map(|node| Overlay::new(&graph.params(node), rng(node), Mono(0))).collect();
        let mut model = Self {
            nodes,
            links: BTreeMap::new(),
            last: BTreeMap::new(),
            sent: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Mono(0),
            spread: Spread::default(),
        };
        for (a, b) in graph.links.iter().copied() {
            model.nodes[a].connected(host(b), true, LOOPBACK, model.now);
            model.nodes[b].connected(host(a), false, LOOPBACK, model.now);
        }
        model
    }

    fn run(&mut self, until: Mono) {
        loop {
            (0..self.nodes.len()).for_each(|node| self.carry_out(node));
            let timer = self.nodes.iter().map(Overlay::poll_timeout).min().unwrap();
            let next = self.links.first_key_value().map_or(timer, |((at, _), _)| timer.min(*at));
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            for node in self.nodes.iter_mut().filter(|node| node.poll_timeout() <= next) {
                node.handle_timeout(next);
            }
            while let Some(entry) = self.links.first_entry()
                && entry.key().0 <= next
            {
                let (from, to, rpc) = entry.remove();
                *self.spread.copies.entry(to).or_default() += rpc.messages.len();
                self.nodes[to].receive(host(from), &rpc, next);
                self.carry_out(to);
            }
        }
    }

    fn carry_out(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll_output() {
            match output {
                Output::Send { to, rpc } => self.send(node, to.0 as usize, rpc),
                Output::Message { from, message } => {
                    self.spread.got.entry(node).or_default().push(from.0 as usize);
                    self.nodes[node].validated(message.id(), from, Verdict::Accept, self.now);
                }
                Output::Listener { .. } => {}
            }
        }
    }
}

impl Model {
    fn send(&mut self, from: usize, to: usize, rpc: Rpc) {
        let latency = LEAST_MS + u64::from(self.rng.next_u32()) % (LATENCY_MS - LEAST_MS + 1);
        let last = self.last.entry((from, to)).or_default();
        *last = (self.now + latency).max(*last);
        self.links.insert((*last, self.sent), (from, to, rpc));
        self.sent += 1;
    }
}

impl Swarm for Model {
    fn meshes(&self) -> Vec<BTreeSet<usize>> {
        self.nodes.iter().map(|node| node.mesh(TOPIC).map(|peer| peer.0 as usize).collect()).collect()
    }

    fn listeners(&self) -> Vec<usize> {
        let listeners = |node: &Overlay| node.peers().filter(|peer| node.listens(*peer, TOPIC)).count();
        self.nodes.iter().map(listeners).collect()
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let limit = self.now + LIMIT_MS;
        while !holds(self) {
            assert!(self.now < limit, "{what}: not within {LIMIT_MS} ms");
            self.run(self.now + 1);
        }
    }

    async fn spread(&mut self, publisher: usize, body: Vec<u8>) -> Spread {
        self.spread = Spread::default();
        self.nodes[publisher].publish(Message::new(TOPIC, body.into()), self.now).unwrap();
        // Two hops, and whatever comes back.
        self.run(self.now + 4 * LATENCY_MS);
        std::mem::take(&mut self.spread)
    }
}

fn host(node: usize) -> HostId {
    HostId(u32::try_from(node).unwrap())
}
