//! The mesh of a topic: the links that every message takes. Kept between its marks in each heartbeat and whenever somebody
//! subscribes; asked for by GRAFT, given up by PRUNE, and then left alone for a while.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::Mono;
use mesh_core::gossip::Params;
use mesh_proto::protocol::Topic;

use super::{MAX_SUBSCRIPTIONS, Output, Overlay, Parts, Peer, Prune, Subscription, index};
use crate::id::HostId;

/// Longest back-off that a neighbour can ask for, seconds (`MAX_REMOTE_PRUNE_BACKOFF_SECONDS`).
const MAX_BACKOFF_S: u64 = 3600;

/// Back-offs in one topic, at most; then the one that ends first is forgotten. libp2p has no such bound.
pub(super) const MAX_BACKOFFS: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Mesh {
    /// Ordered.
    members: Vec<HostId>,
    /// Until when a link is not to be taken up again. Stays for the slack after that, in which others may ask but this
    /// host does not.
    backoffs: BTreeMap<HostId, Mono>,
}

impl Mesh {
    pub(super) fn members(&self) -> &[HostId] {
        &self.members
    }

    pub(super) fn contains(&self, peer: HostId) -> bool {
        self.members.binary_search(&peer).is_ok()
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.members.len() + self.backoffs.len()
    }

    pub(super) fn remove(&mut self, peer: HostId) -> bool {
        let at = self.members.binary_search(&peer);
        if let Ok(at) = at {
            self.members.remove(at);
        }
        at.is_ok()
    }

    fn insert(&mut self, peer: HostId) {
        if let Err(at) = self.members.binary_search(&peer) {
            self.members.insert(at, peer);
        }
    }

    /// Unless it lasts longer already.
    fn back_off(&mut self, peer: HostId, until: Mono) {
        if self.backoffs.len() >= MAX_BACKOFFS && !self.backoffs.contains_key(&peer) {
            let soonest = self.backoffs.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer);
            soonest.map(|peer| self.backoffs.remove(&peer));
        }
        let known = self.backoffs.entry(peer).or_insert(until);
        *known = until.max(*known);
    }
}

/// What a heartbeat changes: told when all topics are done.
#[derive(Default)]
struct Changes {
    graft: BTreeMap<HostId, Vec<Topic>>,
    prune: BTreeMap<HostId, Vec<Topic>>,
}

impl Overlay {
    /// `handle_received_subscriptions`.
    pub(super) fn on_subscriptions(&mut self, from: HostId, subscriptions: &[Subscription], now: Mono) {
        if subscriptions.len() > MAX_SUBSCRIPTIONS {
            return;
        }
        let mut grafts = Vec::new();
        let mut listens = Vec::new();
        for topic in Topic::ALL {
            // What is begun and ended in one RPC is as if it had not been said.
            let said = subscriptions.iter().filter(|it| it.topic == topic).map(|it| it.subscribe);
            let net = said.fold(None, |net, subscribe| net.is_none_or(|net| net == subscribe).then_some(subscribe));
            let Some(subscribe) = net else { continue };
            let Some(peer) = self.peers.get_mut(&from) else { return };
            peer.topics[index(topic)] = subscribe;
            let welcome = peer.stats.score() >= 0.0;
            let mesh = &mut self.meshes[index(topic)];
            if !subscribe {
                if mesh.remove(from) {
                    mesh.back_off(from, now + self.params.prune_backoff_ms);
                    self.judge(from, |stats, params| stats.pruned(topic, &params.scores));
                }
                continue;
            }
            let room = mesh.members.len() < self.params.mesh_n_low && !mesh.contains(from);
            if welcome && room && !mesh.backoffs.contains_key(&from) {
                mesh.insert(from);
                self.judge(from, |stats, params| stats.grafted(topic, now, &params.scores));
                grafts.push(topic);
            }
            listens.push(topic);
        }
        for topic in grafts {
            self.send(from, Parts { graft: vec![topic], ..Parts::default() });
        }
        self.outputs.extend(listens.into_iter().map(|topic| Output::Listener { peer: from, topic }));
    }

    /// `handle_graft`.
    pub(super) fn on_graft(&mut self, from: HostId, topics: &[Topic], now: Mono) {
        let below_zero = self.score(from) < 0.0;
        let mut refused = BTreeSet::new();
        for topic in topics.iter().copied() {
            let Some(peer) = self.peers.get_mut(&from) else { return };
            let mesh = &mut self.meshes[index(topic)];
            if mesh.contains(from) {
                continue;
            }
            if let Some(until) = mesh.backoffs.get(&from).filter(|until| **until > now) {
                let early = self.params.prune_backoff_ms.checked_sub(self.params.graft_flood_ms);
                let twice = early.is_none_or(|early| until.since(now) > early);
                peer.stats.misbehaved(1 + u32::from(twice), &self.params.scores);
                refused.insert(topic);
            } else if below_zero {
                refused.insert(topic);
            } else if !peer.listens(topic) {
                // Nobody who does not listen is taken in, or answered.
            } else if mesh.members.len() >= self.params.mesh_n_high && !peer.outbound {
                refused.insert(topic);
            } else {
                mesh.insert(from);
                peer.stats.grafted(topic, now, &self.params.scores);
            }
        }
        for topic in refused {
            self.prune(from, topic, now);
        }
    }

    /// `handle_prune`.
    pub(super) fn on_prune(&mut self, from: HostId, prunes: &[Prune], now: Mono) {
        for Prune { topic, backoff_s } in prunes.iter().copied() {
            let mesh = &mut self.meshes[index(topic)];
            let removed = mesh.remove(from);
            let backoff = backoff_s.map_or(self.params.prune_backoff_ms, |seconds| seconds.min(MAX_BACKOFF_S) * 1000);
            mesh.back_off(from, now + backoff);
            if removed {
                self.judge(from, |stats, params| stats.pruned(topic, &params.scores));
            }
        }
    }

    /// `heartbeat`.
    pub(super) fn heartbeat(&mut self, now: Mono) {
        self.ticks += 1;
        let slack = self.params.heartbeat_ms * u64::from(self.params.backoff_slack);
        for mesh in &mut self.meshes {
            mesh.backoffs.retain(|_, until| *until + slack > now);
        }
        for peer in self.peers.values_mut() {
            peer.ihaves = 0;
            peer.asked = 0;
        }
        self.punish_broken_promises(now);
        let mut changes = Changes::default();
        for topic in Topic::ALL {
            self.maintain(topic, &mut changes);
        }
        for topic in Topic::ALL {
            self.tell_news(topic);
        }
        self.tell_changes(changes, now);
        self.cache.shift();
        for peer in self.peers.values_mut() {
            peer.unwanted.expire(now);
        }
    }

    fn maintain(&mut self, topic: Topic, changes: &mut Changes) {
        let Params { mesh_n, mesh_n_low, mesh_n_high, mesh_outbound_min, .. } = self.params;
        let at = index(topic);
        let bad: Vec<_> = self.meshes[at].members.iter().copied().filter(|peer| self.score(*peer) < 0.0).collect();
        for peer in bad {
            self.meshes[at].remove(peer);
            changes.prune.entry(peer).or_default().push(topic);
        }
        let size = self.meshes[at].members.len();
        if size < mesh_n_low {
            self.take_up(topic, mesh_n.saturating_sub(size), |peer| peer.stats.score() >= 0.0, changes);
        }
        if self.meshes[at].members.len() >= mesh_n_high {
            self.give_up_excess(topic, changes);
        }
        if self.meshes[at].members.len() >= mesh_n_low {
            let outbound = self.outbound(&self.meshes[at].members);
            if outbound < mesh_outbound_min {
                let fit = |peer: &Peer| peer.outbound && peer.stats.score() >= 0.0;
                self.take_up(topic, mesh_outbound_min - outbound, fit, changes);
            }
        }
        if self.ticks.is_multiple_of(self.params.opportunistic_graft_ticks)
            && let Some(median) = self.median(&self.meshes[at].members)
            && median < self.params.thresholds.opportunistic_graft
        {
            let count = self.params.opportunistic_graft_peers;
            self.take_up(topic, count, |peer| peer.stats.score() > median, changes);
        }
    }

    /// Adds `count` links, by chance, to neighbours that are `fit`.
    fn take_up(&mut self, topic: Topic, count: usize, fit: impl Fn(&Peer) -> bool, changes: &mut Changes) {
        let mesh = &self.meshes[index(topic)];
        let new = |id| !mesh.contains(id) && !mesh.backoffs.contains_key(&id);
        let candidates = self.candidates(topic, |id, peer| new(id) && fit(peer));
        for peer in self.pick(candidates, count) {
            self.meshes[index(topic)].insert(peer);
            changes.graft.entry(peer).or_default().push(topic);
        }
    }

    /// Gives up links by chance down to `mesh_n`, except the best and, as far as needed, the outbound ones.
    fn give_up_excess(&mut self, topic: Topic, changes: &mut Changes) {
        let mut members = self.meshes[index(topic)].members.clone();
        self.shuffle(&mut members);
        members.sort_by(|a, b| self.score(*a).total_cmp(&self.score(*b)));
        let ordinary = members.len().saturating_sub(self.params.retain_scores);
        self.shuffle(&mut members[..ordinary]);
        let mut outbound = self.outbound(&members);
        let mut excess = members.len().saturating_sub(self.params.mesh_n);
        for peer in members {
            if excess == 0 {
                return;
            }
            if self.outbound(&[peer]) == 1 {
                if outbound <= self.params.mesh_outbound_min {
                    continue;
                }
                outbound -= 1;
            }
            self.meshes[index(topic)].remove(peer);
            changes.prune.entry(peer).or_default().push(topic);
            excess -= 1;
        }
    }

    fn outbound(&self, peers: &[HostId]) -> usize {
        peers.iter().filter(|peer| self.peers.get(peer).is_some_and(|peer| peer.outbound)).count()
    }

    /// The median score of two or more peers.
    fn median(&self, peers: &[HostId]) -> Option<f64> {
        if peers.len() < 2 {
            return None;
        }
        let mut scores: Vec<_> = peers.iter().map(|peer| self.score(*peer)).collect();
        scores.sort_by(f64::total_cmp);
        let middle = scores.len() / 2;
        let even = scores.len().is_multiple_of(2);
        Some(if even { (scores[middle - 1] + scores[middle]) * 0.5 } else { scores[middle] })
    }

    /// `send_graft_prune`.
    fn tell_changes(&mut self, changes: Changes, now: Mono) {
        for (peer, topics) in changes.graft {
            for topic in topics {
                self.judge(peer, |stats, params| stats.grafted(topic, now, &params.scores));
                self.send(peer, Parts { graft: vec![topic], ..Parts::default() });
            }
        }
        for (peer, topics) in changes.prune {
            for topic in topics {
                self.prune(peer, topic, now);
            }
        }
    }

    /// Tells `peer` that it is not in the mesh, and for how long (`make_prune`).
    pub(super) fn prune(&mut self, peer: HostId, topic: Topic, now: Mono) {
        self.judge(peer, |stats, params| stats.pruned(topic, &params.scores));
        self.meshes[index(topic)].back_off(peer, now + self.params.prune_backoff_ms);
        let prune = Prune { topic, backoff_s: Some(self.params.prune_backoff_ms / 1000) };
        self.send(peer, Parts { prune: vec![prune], ..Parts::default() });
    }
}
