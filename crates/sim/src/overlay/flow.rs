//! The way of a message: in from one neighbour, past those who brought it before, out to the mesh; or out to all, if it is
//! the host's own.

use mesh_core::Mono;
use mesh_proto::protocol::Topic;

use super::{Message, Output, Overlay, Parts, REFUSED_MS, Rpc, Seen, index};
use crate::id::HostId;

impl Overlay {
    /// `handle_received_message`.
    pub(super) fn on_message(&mut self, from: HostId, message: &Message, now: Mono) {
        let id = message.id();
        self.seen.expire(now);
        match self.seen.get(id) {
            Some((_, Seen::Accepted | Seen::Ignored)) => {}
            Some((_, Seen::Pending)) => self.cache.observe(id, from),
            Some((at, Seen::Rejected)) => {
                if now.since(at) < REFUSED_MS {
                    self.judge(from, |stats, params| stats.invalid(message.topic(), &params.scores));
                }
            }
            None => {
                if message.len() > self.params.idontwant_len {
                    self.refuse_copies(message, from);
                }
                self.seen.insert(id, Seen::Pending, now);
                self.promises.kept(id);
                self.cache.put(message.clone(), false);
                self.outputs.push_back(Output::Message { from, message: message.clone() });
            }
        }
    }

    /// Tells those who will pass it on, or were asked for it, that it has come.
    fn refuse_copies(&mut self, message: &Message, from: HostId) {
        let mut others = self.meshes[index(message.topic())].members().to_vec();
        if let Some(asked) = self.promises.of(message.id())
            && let Err(at) = others.binary_search(&asked)
        {
            others.insert(at, asked);
        }
        others.retain(|peer| *peer != from);
        if !others.is_empty() {
            self.send_all(&others, &Parts { idontwant: vec![message.id()], ..Parts::default() }.into());
        }
    }

    /// `forward_msg`. Begins with a neighbour by chance: where uplinks are slow, the first are served first.
    pub(super) fn forward(&mut self, message: &Message, from: HostId, senders: &[HostId]) {
        let count = self.meshes[index(message.topic())].members().len();
        if count == 0 {
            return;
        }
        let first = self.below(count);
        let members = self.meshes[index(message.topic())].members();
        let rpc = Rpc::from(message.clone());
        for to in members[first..].iter().chain(&members[..first]).copied() {
            let peer = self.peers.get(&to).filter(|peer| !peer.muted() && !peer.unwanted.contains(message.id()));
            if to != from && senders.binary_search(&to).is_err() && peer.is_some() {
                self.outputs.push_back(Output::Send { to, rpc: rpc.clone() });
            }
        }
    }

    /// `publish_peers` and `filter_publish_candidates`.
    pub(super) fn recipients(&mut self, topic: Topic) -> Vec<HostId> {
        let least = self.params.thresholds.publish;
        let candidates = self.candidates(topic, |_, peer| peer.stats.score() >= least);
        if self.params.flood_publish {
            return candidates;
        }
        let mesh = &self.meshes[index(topic)];
        let (mut chosen, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|peer| mesh.contains(*peer));
        let more = self.params.mesh_n.saturating_sub(chosen.len());
        chosen.extend(self.pick(others, more));
        chosen.sort_unstable();
        chosen
    }
}
