//! Finding the slot that a message is about, or opening it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_proto::charter::SignedEpoch;
use mesh_proto::decision::{
    Ballot, Choice, Message, Release, SignedPropose, SignedRelease, Slot, Status, Subject, VoterSet,
};
use mesh_proto::limits::MAX_TOLD_EPOCHS;
use mesh_proto::{Digest, NodeId, SlotId, ordered};
use rand_core::Rng as _;

use super::{Council, Error, MAX_ASKED, MAX_MISSED, Output, Resource};
use crate::agreement::Agreement;
use crate::certificate::{Chain, VerifyError};
use crate::electorate::Electorate;
use crate::instance::{Instance, Me, Mono, Refused};

/// Who opens a slot with this word: the author of a proposal, or the first leader of a resource slot, in round 0.
pub(super) fn opener(chain: &Chain, signed: &SignedPropose) -> Result<Option<NodeId>, Refused> {
    let leader = chain.electorate(signed.propose.slot.epoch)?.get(signed.propose.voter).map(|voter| voter.node);
    let leader = leader.ok_or(Refused::Offence("a proposal of nobody"))?;
    Ok(Some(leader).filter(|_| signed.propose.round == 0))
}

impl<A: Agreement> Council<A> {
    /// The electorate of an epoch, and our place in it if we may vote there.
    pub(super) fn seat(&self, epoch: u64) -> Result<(Arc<Electorate>, Option<Me>), VerifyError> {
        let electorate = self.chain.electorate(epoch)?;
        let place = electorate.index_of(&self.identity.node());
        let me = place.zip(self.key.as_ref()).filter(|(place, key)| {
            // Whoever has lost its voting key waits for the next epoch.
            electorate.get(*place).is_some_and(|voter| voter.key == key.node())
        });
        Ok((Arc::clone(electorate), me.map(|(voter, key)| Me { voter, key: key.clone() })))
    }

    pub(super) fn entropy(&mut self) -> [u8; 32] {
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        entropy
    }

    pub(super) fn instance(&mut self, slot: Slot, now: Mono) -> Result<Instance<A>, Error> {
        let (electorate, me) = self.seat(slot.epoch)?;
        let (config, entropy) = (self.config.instance.clone(), self.entropy());
        let resource = match &slot.subject {
            Subject::Resource { name, .. } => Some(name.clone()),
            Subject::Owned { .. } => None,
        };
        let mut instance = Instance::new(config, slot, electorate, Arc::clone(&self.verifier), me, entropy, now)?;
        if let Some(name) = resource {
            // Whether it is free is not for the agent to say. Who has no vote has nothing to say either.
            match self.lease(&name, now) {
                None => drop(
                    instance
                        .judge(Digest([0; 32]), Ballot { choice: Choice::Approve, reason: String::new() }, now)
                        .is_ok(),
                ),
                Some(lease) => instance.held_by(lease.holder, now),
            }
        }
        Ok(instance)
    }

    /// Whether a resource is known, or can be.
    pub(super) fn has_resource(&self, name: &str) -> bool {
        self.resources.contains_key(name) || self.resources.len() < self.config.max_resources
    }

    pub(super) fn next_seq(&self, resource: &str, epoch: u64) -> u64 {
        self.resources.get(resource).filter(|known| known.epoch == epoch).map_or(0, |known| known.next)
    }

    pub(super) fn has_room(&self, opener: &NodeId) -> Result<(), Error> {
        let max = self.config.max_open_each;
        if self.openers.values().filter(|other| *other == opener).count() >= max {
            return Err(Error::Full(max));
        }
        Ok(())
    }

    pub(super) fn admit(&mut self, slot: SlotId, opener: NodeId, instance: Instance<A>, now: Mono) {
        self.asked.remove(&slot);
        self.open.insert(slot, instance);
        self.openers.insert(slot, opener);
        self.stir(slot, now);
    }

    /// A message that spells its slot out, and may open it.
    pub(super) fn enter(
        &mut self,
        from: NodeId,
        slot: Slot,
        opener: NodeId,
        message: Message,
        now: Mono,
    ) -> Result<(), Refused> {
        let id = slot.id().map_err(VerifyError::from)?;
        if let Some(certificate) = self.certificate(&id) {
            let decision = Message::Decision(certificate.clone());
            self.outputs.push_back(Output::Tell(from, Box::new(decision)));
            return Ok(());
        }
        if self.open.contains_key(&id) {
            return self.hand(id, message, now);
        }
        if slot.mesh != self.chain.mesh() {
            return Err(Refused::Offence("a slot of another mesh"));
        }
        if slot.epoch != self.chain.last_epoch() {
            return Err(VerifyError::UnknownEpoch { epoch: slot.epoch, last: self.chain.last_epoch() }.into());
        }
        match &slot.subject {
            Subject::Owned { author, seq } => match self.chain.electorate(slot.epoch)?.index_of(author) {
                None => return Err(Refused::Offence("a proposal of somebody who may not vote")),
                // It has ended long ago.
                Some(author) if self.floors.covers(slot.epoch, author, *seq) => return Ok(()),
                Some(_) => {}
            },
            Subject::Resource { name, seq } if *seq != self.next_seq(name, slot.epoch) => {
                self.catch_up(from, &slot, name.clone(), *seq, now);
                return Ok(());
            }
            Subject::Resource { name, .. } if !self.has_resource(name) => return Ok(()),
            Subject::Resource { .. } => {}
        }
        // What is full is nobody's fault.
        if self.has_room(&opener).is_err() {
            return Ok(());
        }
        let Ok(mut instance) = self.instance(slot, now) else {
            return Ok(());
        };
        // What is forged opens nothing.
        instance.handle(message, now)?;
        self.admit(id, opener, instance, now);
        Ok(())
    }

    /// Asks how the slot before this one ended: only then can it begin.
    pub(super) fn catch_up(&mut self, from: NodeId, slot: &Slot, name: String, seq: u64, now: Mono) {
        let Some(before) = seq.checked_sub(1).filter(|_| seq > self.next_seq(&name, slot.epoch)) else {
            return;
        };
        let before = Slot { subject: Subject::Resource { name, seq: before }, ..slot.clone() };
        if let Ok(before) = before.id() {
            self.ask(from, before, now);
        }
    }

    /// A message that names its slot by its id.
    pub(super) fn about(&mut self, from: NodeId, slot: SlotId, message: Message, now: Mono) -> Result<(), Refused> {
        if self.open.contains_key(&slot) {
            return self.hand(slot, message, now);
        }
        if !self.ended.contains_key(&slot) {
            self.ask(from, slot, now);
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, from: NodeId, slot: SlotId, now: Mono) {
        let patience = self.config.ask_again_ms;
        let lately = |asked: Mono| asked.saturating_add(patience) > now;
        if self.asked.get(&slot).is_some_and(|asked| lately(*asked)) {
            return;
        }
        if self.asked.len() >= MAX_ASKED {
            self.asked.retain(|_, asked| lately(*asked));
        }
        if self.asked.len() >= MAX_ASKED {
            return;
        }
        self.asked.insert(slot, now);
        let nothing = VoterSet::default();
        let status = Status { slot, round: 0, proposed: false, prevotes: nothing, precommits: nothing, polka: None };
        self.outputs.push_back(Output::Tell(from, Box::new(Message::Status(status))));
    }

    pub(super) fn answer(&mut self, from: NodeId, status: &Status, now: Mono) {
        let known = self.open.contains_key(&status.slot) || self.ended.contains_key(&status.slot);
        // Whoever has something of a slot that we have not heard of can tell us of it; an empty question is of no use.
        let has_some = status.proposed || !status.prevotes.is_empty() || !status.precommits.is_empty();
        if !known && has_some {
            return self.ask(from, status.slot, now);
        }
        let answers = match (self.open.get(&status.slot), self.ended.get(&status.slot)) {
            (Some(instance), _) => instance.answer(status),
            (None, Some(certificate)) => vec![Message::Decision(certificate.clone())],
            (None, None) => Vec::new(),
        };
        self.outputs.extend(answers.into_iter().map(|answer| Output::Tell(from, Box::new(answer))));
    }

    /// Tells somebody of slots that it does not know: how they ended, or that they are open.
    pub(super) fn tell_others(&mut self, to: NodeId, known: &[SlotId]) {
        let known: BTreeSet<&SlotId> = ordered(known);
        let ended = self.ended_order.iter().rev().filter(|slot| !known.contains(slot)).take(MAX_MISSED);
        let ended =
            ended.filter_map(|slot| self.ended.get(slot)).map(|certificate| Message::Decision(certificate.clone()));
        let open = self.open.iter().filter(|(slot, instance)| !known.contains(slot) && instance.decided().is_none());
        let open = open.map(|(_, instance)| Message::Status(instance.status()));
        let all: Vec<_> = ended.chain(open).collect();
        // Those that came first go first: of a resource the last one counts.
        self.outputs.extend(all.into_iter().rev().map(|message| Output::Tell(to, Box::new(message))));
    }

    pub(super) fn hand(&mut self, slot: SlotId, message: Message, now: Mono) -> Result<(), Refused> {
        let Some(instance) = self.open.get_mut(&slot) else {
            return Ok(());
        };
        let result = instance.handle(message, now);
        self.stir(slot, now);
        result
    }

    pub(super) fn on_release(&mut self, signed: &SignedRelease, now: Mono) -> Result<(), Refused> {
        let Release { slot, holder } = signed.release;
        let of_it = |resource: &&mut Resource| {
            resource.lease.is_some_and(|(of, lease)| of == slot && lease.holder == holder && lease.until > now)
        };
        let Some(resource) = self.resources.values_mut().find(of_it) else {
            return Ok(());
        };
        if !signed.verifies(&*self.verifier) {
            return Err(Refused::Offence("a forged release"));
        }
        if let Some((_, lease)) = &mut resource.lease {
            lease.until = now;
        }
        Ok(())
    }

    /// Electorates that somebody tells of: those that come next.
    pub(super) fn on_epochs(&mut self, from: NodeId, epochs: &[SignedEpoch]) -> Result<(), Refused> {
        for epoch in epochs {
            if epoch.record.epoch > self.chain.last_epoch() {
                self.extend(epoch)?;
            }
        }
        if epochs.len() == MAX_TOLD_EPOCHS {
            let after = Message::EpochsAfter(self.chain.last_epoch());
            self.outputs.push_back(Output::Tell(from, Box::new(after)));
        }
        Ok(())
    }

    pub(super) fn tell_epochs(&mut self, to: NodeId, after: u64) {
        let known = usize::try_from(after).ok().and_then(|after| self.chain.epochs().get(after..));
        let epochs: Vec<_> = known.unwrap_or_default().iter().take(MAX_TOLD_EPOCHS).cloned().collect();
        if !epochs.is_empty() {
            self.outputs.push_back(Output::Tell(to, Box::new(Message::Epochs(epochs))));
        }
    }
}
