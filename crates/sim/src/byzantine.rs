//! What a host does that it should not, on the way from its honest insides to the wire.
//!
//! Its node and its overlay are the real ones, so it is a member like any other; what it passes on is dropped, delayed,
//! altered or repeated. Probabilities are in a million.

use std::collections::VecDeque;

use bytes::Bytes;
use mesh_proto::{NodeId, Unverified};

use crate::chance::Chance;
use crate::id::Micros;
use crate::overlay::{Message, Rpc};

/// Messages that are kept to be sent again.
const MAX_KEPT: usize = 64;

/// The misdeeds of a host. The default has none.
#[derive(Clone, Debug, Default)]
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
    /// Broadcasts a second that it makes on top of what it is asked for.
    pub flood: u32,
    /// How often an envelope of its own goes out in two versions of one number, to different neighbours.
    pub equivocate: u32,
    /// It behaves until then.
    pub from: Micros,
}

impl Byzantine {
    /// Whether it ever does anything that it should not.
    pub fn is_any(&self) -> bool {
        self.acts(Micros(u64::MAX))
    }

    /// Whether it does anything at `time` that it should not.
    pub fn acts(&self, time: Micros) -> bool {
        let Self { drop, censor: _, delay, replay, forge, flood, equivocate, from } = self;
        *from <= time && (*delay > Micros(0) || [drop, replay, forge, flood, equivocate].into_iter().any(|it| *it > 0))
    }

    /// What becomes of `rpc`, which `own` was about to send. `kept`: what it may repeat.
    pub(crate) fn tamper(
        &self,
        own: NodeId,
        mut rpc: Rpc,
        kept: &mut VecDeque<Message>,
        time: Micros,
        chance: &mut Chance,
    ) -> Rpc {
        if !self.acts(time) || (rpc.messages.is_empty() && rpc.ihave.is_empty()) {
            return rpc;
        }
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
