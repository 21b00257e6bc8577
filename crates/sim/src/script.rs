//! What a script does with agents: announces, broadcasts, sends; and what it asks of the whole mesh.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mesh_core::Mono;
use mesh_core::node::Target;
use mesh_proto::NodeId;
use mesh_proto::agent::AgentRecord;
use mesh_proto::protocol::Topic;

use crate::id::{HostId, Micros};
use crate::world::World;

impl World {
    /// Announces an agent named after its host.
    pub fn announce(&mut self, host: HostId) {
        let name = format!("agent-{}", host.0).parse().expect("a valid name");
        let agent = AgentRecord::new(name, ["simulation".to_owned()]);
        self.with(host, |node, now| node.announce(agent, now).expect("one small agent fits"));
    }

    /// Broadcasts `len` bytes, at least the eight that number it.
    pub fn broadcast(&mut self, host: HostId, len: usize) {
        let token = self.number();
        let (author, at) = (self.node_id(host), self.time);
        let body = body(token, len);
        let said = self.with(host, |node, now| node.publish("news".to_owned(), body, now).is_ok());
        if said == Some(true) {
            self.ledger.say(token, author, at);
        }
    }

    /// Sends `len` bytes, at least the eight that number it, to a host's node.
    pub fn message(&mut self, from: HostId, to: HostId, len: usize, timeout: Micros) {
        let token = self.number();
        let target = Target::Node(self.node_id(to));
        let (author, at) = (self.node_id(from), self.time);
        let body = body(token, len);
        let now = self.host(from).now(at);
        let call = self.process(from).map(|process| {
            process.due = None;
            process.node.send(target, None, body, timeout.ms(), now)
        });
        if let Some(Ok(call)) = call {
            // Before anything comes of it.
            self.ledger.send(token, (from, author), call, at, timeout);
        }
        self.settle(from);
    }

    /// Hosts that are up and honest, with their nodes.
    pub fn honest(&self) -> Vec<(HostId, NodeId)> {
        let honest = |host: &HostId| !self.spec(*host).byzantine.is_any();
        self.up().filter(honest).map(|host| (host, self.node_id(host))).collect()
    }

    /// The share of `hosts`, in a hundred, that know at least `percent` in a hundred of the nodes among `hosts`.
    pub fn informed(&self, hosts: &[(HostId, NodeId)], percent: usize) -> f64 {
        let nodes: BTreeSet<_> = hosts.iter().map(|(_, node)| *node).collect();
        let knows = |host: HostId| {
            self.node(host).is_some_and(|node| {
                let known = nodes.iter().filter(|other| **other == node.id() || node.knows(other)).count();
                known * 100 >= nodes.len() * percent
            })
        };
        let informed = hosts.iter().filter(|(host, _)| knows(*host)).count();
        informed as f64 * 100.0 / hosts.len().max(1) as f64
    }

    /// Sizes of the parts into which `hosts` fall, by the links of their nodes; the largest first.
    pub fn parts(&self, hosts: &[(HostId, NodeId)]) -> Vec<usize> {
        let among: BTreeSet<_> = hosts.iter().map(|(host, _)| *host).collect();
        let mut links = BTreeMap::<HostId, BTreeSet<HostId>>::new();
        for (_, conn) in self.conns.iter() {
            let [a, b] = conn.ends;
            // One that carries nothing is none.
            if conn.silent.is_none() && among.contains(&a) && among.contains(&b) {
                links.entry(a).or_default().insert(b);
                links.entry(b).or_default().insert(a);
            }
        }
        let mut left = among;
        let mut parts = Vec::new();
        while let Some(first) = left.pop_first() {
            let (mut size, mut reached) = (0, vec![first]);
            while let Some(host) = reached.pop() {
                size += 1;
                reached.extend(links.get(&host).into_iter().flatten().copied().filter(|next| left.remove(next)));
            }
            parts.push(size);
        }
        parts.sort_unstable_by(|a, b| b.cmp(a));
        parts
    }

    /// How often one of `hosts` suspects a node of another.
    pub fn suspected(&self, hosts: &[(HostId, NodeId)]) -> usize {
        let nodes: BTreeSet<_> = hosts.iter().map(|(_, node)| *node).collect();
        let of = |host: HostId| {
            let peers = self.node(host).map(|node| node.topology().peers).unwrap_or_default();
            peers.iter().filter(|(node, (peer, _))| peer.suspect && nodes.contains(node)).count()
        };
        hosts.iter().map(|(host, _)| of(*host)).sum()
    }

    /// Hosts in a host's gossip meshes, each once.
    pub fn neighbours(&self, host: HostId) -> BTreeSet<HostId> {
        let Some(overlay) = self.overlay(host) else { return BTreeSet::new() };
        Topic::ALL.into_iter().flat_map(|topic| overlay.mesh(topic)).collect()
    }

    /// Checks the rules that hold at any moment; the others are checked as things happen.
    pub fn check(&mut self) {
        let busy = self.hosts.iter().filter(|host| host.frozen || host.spec.cost_us > 0).map(|host| host.id).collect();
        self.ledger.overdue(&busy, self.time);
        self.check_hosts();
    }

    fn check_hosts(&mut self) {
        let now = self.time;
        let mut broken = Vec::new();
        for host in self.hosts.iter().filter(|host| !host.frozen) {
            let Some(process) = &host.process else { continue };
            let linked: BTreeSet<_> = process.links.values().map(|peer| peer.node).collect();
            let told: BTreeSet<_> = process.node.topology().links.keys().copied().collect();
            if host.backlog.is_empty() && linked != told {
                broken.push((
                    "links are what they are",
                    format!("{}: {} told, {} there", host.id, told.len(), linked.len()),
                ));
            }
        }
        for host in self.hosts.iter().filter(|host| !host.frozen && host.spec.cost_us == 0) {
            let Some(process) = &host.process else { continue };
            let peers = process.node.topology().peers;
            let limit = silence(peers.len() as u64);
            let forgotten = |heard: Mono| Micros::from_ms(heard.0) + limit < now;
            if let Some((node, _)) = peers.iter().find(|(_, (peer, _))| !peer.suspect && forgotten(peer.last_heard)) {
                broken.push(("silence is suspected", format!("{}: nothing of {node:?} for over {limit:?}", host.id)));
            }
        }
        for (rule, what) in broken {
            self.ledger.violated(rule, now, what);
        }
    }
}

/// How long a member may be silent before everybody else suspects it: the pace of heartbeats in a mesh of that size (core's
/// health), four missed ones, and a look.
fn silence(members: u64) -> Micros {
    Micros::from_ms(2_500.max(50 * members) * 5)
}

fn body(token: u64, len: usize) -> Bytes {
    let mut body = token.to_be_bytes().to_vec();
    body.resize(len.max(8), 0);
    body.into()
}
