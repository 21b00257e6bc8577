//! What a host does that it should not, on the way from its honest insides to the wire.
//!
//! Its node and its overlay are the real ones, so it is a member like any other; what it passes on is dropped, delayed,
//! altered or repeated. Probabilities are in a million.

use std::collections::VecDeque;

use bytes::Bytes;
use mesh_proto::codec::{self, Bounded};
use mesh_proto::gossip::{Announcement, Batch};
use mesh_proto::limits::MAX_ENVELOPE;
use mesh_proto::{Envelope, Keypair, Kind, NodeId, Unverified};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chance::Chance;
use crate::id::{HostId, Micros};
use crate::overlay::{Message, Rpc};

/// Messages that are kept to be sent again.
const MAX_KEPT: usize = 64;

/// The misdeeds of a host. The default has none.
#[derive(Clone, Debug)]
pub struct Byzantine {
    /// Messages of others that it does not pass on, nor tells of.
    pub drop: u32,
    /// Only messages of this author are dropped.
    pub censor: Option<NodeId>,
    /// How late its messages are.
    pub delay: Micros,
    /// How often an old message is sent with a new one.
    pub replay: u32,
    /// How often a bit of a message is turned over.
    pub forge: u32,
    /// Whether it tells every other host something else than the rest, under one number and with a good signature.
    pub equivocate: bool,
    /// Broadcasts a second that it makes, past what its own node would let it.
    pub flood: u32,
    /// It behaves until then.
    pub from: Micros,
    /// And again from then on.
    pub until: Micros,
}

impl Default for Byzantine {
    fn default() -> Self {
        Self {
            drop: 0,
            censor: None,
            delay: Micros(0),
            replay: 0,
            forge: 0,
            equivocate: false,
            flood: 0,
            from: Micros(0),
            until: Micros(u64::MAX),
        }
    }
}

impl Byzantine {
    /// Whether it does anything that it should not, ever.
    pub fn is_any(&self) -> bool {
        let Self { drop, censor: _, delay, replay, forge, equivocate, flood, from: _, until: _ } = *self;
        equivocate || delay > Micros(0) || [drop, replay, forge, flood].into_iter().any(|often| often > 0)
    }

    /// Whether it does at `time`.
    pub fn acts(&self, time: Micros) -> bool {
        self.from <= time && time < self.until && self.is_any()
    }

    /// What becomes of `rpc`, which the host of that key was about to send `to` another. `kept`: what it may repeat.
    pub(crate) fn tamper(
        &self,
        key: &Keypair,
        to: HostId,
        mut rpc: Rpc,
        kept: &mut VecDeque<Message>,
        time: Micros,
        chance: &mut Chance,
    ) -> Rpc {
        if !self.acts(time) || (rpc.messages.is_empty() && rpc.ihave.is_empty()) {
            return rpc;
        }
        let own = key.node();
        if self.drop > 0 {
            let keep = |message: &Message, chance: &mut Chance| {
                let author = author(message.wire());
                let spared = author == Some(own) || self.censor.is_some_and(|victim| author != Some(victim));
                spared || !chance.happens(self.drop)
            };
            rpc.messages.retain(|message| keep(message, chance));
            if self.censor.is_none() && chance.happens(self.drop) {
                rpc.ihave.clear();
            }
        }
        if self.equivocate && to.0 % 2 == 1 {
            for message in &mut rpc.messages {
                *message = otherwise(message, key).unwrap_or_else(|| message.clone());
            }
        }
        for message in &mut rpc.messages {
            if chance.happens(self.forge) {
                *message = forged(message, chance);
            }
        }
        if chance.happens(self.replay)
            && let Some(old) = kept.front().cloned()
        {
            rpc.messages.push(old);
        }
        if self.replay > 0 {
            kept.extend(rpc.messages.first().cloned());
            if kept.len() > MAX_KEPT {
                kept.pop_front();
            }
        }
        rpc
    }
}

/// Who says that it has written `wire`.
pub(crate) fn author(wire: &Bytes) -> Option<NodeId> {
    Some(Unverified::decode(wire.clone()).ok()?.claims().from)
}

/// What `key`'s host says instead of `message`, if that is its own: a broadcast has another last byte, an announcement no
/// agents.
fn otherwise(message: &Message, key: &Keypair) -> Option<Message> {
    let said = Unverified::decode(message.wire().clone()).ok()?;
    let mut envelope: Envelope = said.claims().clone();
    if envelope.from != key.node() {
        return None;
    }
    envelope.payload = match envelope.kind {
        Kind::SwarmBroadcast => altered(&envelope.payload, |batch: &mut Batch| {
            for item in &mut batch.items {
                let mut body = item.body.to_vec();
                if let Some(last) = body.last_mut() {
                    *last ^= 1;
                }
                item.body = body.into();
            }
        }),
        Kind::AgentAnnounce => {
            altered(&envelope.payload, |announcement: &mut Announcement| announcement.agents.clear())
        }
        Kind::AgentDiscovery
        | Kind::MeshHeartbeat
        | Kind::CoordinationProposal
        | Kind::ConsensusVote
        | Kind::MembershipRevocation
        | Kind::KnowledgeShare => None,
    }?;
    let wire = envelope.sign(key).ok()?.wire().clone();
    Some(Message::new(message.topic(), wire))
}

fn altered<T: Serialize + DeserializeOwned + Bounded>(payload: &[u8], alter: impl FnOnce(&mut T)) -> Option<Bytes> {
    let mut value: T = codec::decode(payload, MAX_ENVELOPE).ok()?;
    alter(&mut value);
    codec::encode(&value, MAX_ENVELOPE).ok().map(Bytes::from)
}

/// `message` with one bit turned over.
fn forged(message: &Message, chance: &mut Chance) -> Message {
    let mut wire = message.wire().to_vec();
    if !wire.is_empty() {
        let bit = chance.below(wire.len() as u64 * 8) as usize;
        if let Some(byte) = wire.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }
    Message::new(message.topic(), Bytes::from(wire))
}
