//! Lazy gossip: IHAVE tells some neighbours outside the mesh what has come, IWANT asks for what was missed, and whoever
//! does not send what it told of has broken a promise.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::Mono;
use mesh_proto::protocol::Topic;

use super::{IHave, MessageId, Output, Overlay, Parts, Rpc, index, scores};
use crate::id::HostId;

/// What was asked for, of whom, and until when it has to come. Bounded by what may be asked of a neighbour in a heartbeat,
/// and by the time it has.
#[derive(Debug, Default)]
pub(super) struct Promises(BTreeMap<MessageId, (HostId, Mono)>);

impl Promises {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Who was asked for `id`.
    pub(super) fn of(&self, id: MessageId) -> Option<HostId> {
        self.0.get(&id).map(|(peer, _)| *peer)
    }

    /// It has come, from whomever.
    pub(super) fn kept(&mut self, id: MessageId) {
        self.0.remove(&id);
    }

    /// How many each has broken, ordered. They are forgotten.
    fn broken(&mut self, now: Mono) -> BTreeMap<HostId, u32> {
        let mut broken = BTreeMap::new();
        self.0.retain(|_, (peer, until)| {
            let open = *until >= now;
            if !open {
                *broken.entry(*peer).or_default() += 1;
            }
            open
        });
        broken
    }
}

impl Overlay {
    /// `apply_iwant_penalties`.
    pub(super) fn punish_broken_promises(&mut self, now: Mono) {
        for (peer, count) in self.promises.broken(now) {
            self.judge(peer, |stats, params| stats.misbehaved(count, &params.scores));
        }
    }

    /// `emit_gossip`.
    pub(super) fn tell_news(&mut self, topic: Topic) {
        let news = self.cache.news(topic);
        if news.is_empty() {
            return;
        }
        let least = self.params.thresholds.gossip;
        let mesh = &self.meshes[index(topic)];
        let others = self.candidates(topic, |id, peer| !mesh.contains(id) && peer.stats.score() >= least);
        let share = (self.params.gossip_factor * scores::count(others.len())) as usize;
        let told = self.pick(others, share.max(self.params.gossip_lazy));
        let ihave = |ids| Rpc::from(Parts { ihave: vec![IHave { topic, ids }], ..Parts::default() });
        if news.len() <= self.params.max_ids {
            return self.send_all(&told, &ihave(news));
        }
        // Each is told of others, so that together they hear of all.
        for peer in told {
            let mut some = news.clone();
            self.shuffle(&mut some);
            some.truncate(self.params.max_ids);
            self.send_all(&[peer], &ihave(some));
        }
    }

    /// `handle_ihave`.
    pub(super) fn on_ihave(&mut self, from: HostId, told: &[IHave], now: Mono) {
        let (max_ihave, max_ids) = (self.params.max_ihave, self.params.max_ids);
        if self.score(from) < self.params.thresholds.gossip {
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.ihaves += 1;
        if peer.ihaves > max_ihave || peer.asked >= max_ids {
            return;
        }
        let room = max_ids - peer.asked;
        let ids = told.iter().flat_map(|told| &told.ids).copied();
        let missing: BTreeSet<_> =
            ids.filter(|id| !self.seen.contains(*id) && self.promises.of(*id).is_none()).collect();
        if missing.is_empty() {
            return;
        }
        let mut iwant: Vec<_> = missing.into_iter().collect();
        self.shuffle(&mut iwant);
        iwant.truncate(room);
        for id in &iwant {
            self.promises.0.insert(*id, (from, now + self.params.iwant_followup_ms));
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.asked += iwant.len();
        }
        self.send(from, Parts { iwant, ..Parts::default() });
    }

    /// `handle_iwant`.
    pub(super) fn on_iwant(&mut self, from: HostId, ids: &[MessageId]) {
        let Some(peer) = self.peers.get(&from) else { return };
        if peer.stats.score() < self.params.thresholds.gossip {
            return;
        }
        for id in ids {
            let Some((message, count)) = self.cache.hand_out(*id, from) else { continue };
            if count <= self.params.retransmissions && !peer.unwanted.contains(*id) {
                self.outputs.push_back(Output::Send { to: from, rpc: message.into() });
            }
        }
    }
}
