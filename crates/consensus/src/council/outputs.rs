//! What slots ask for, and what becomes of those that have ended.

use mesh_proto::decision::{Message, Subject, Value};
use mesh_proto::{NodeId, SlotId};
use rand_core::Rng as _;

use super::{Council, Decision, Output, Resource};
use crate::agreement::Agreement;
use crate::instance::{self, Instance, Mono};
use crate::lease::{Lease, Token};

/// One question in so many goes to somebody who is not near.
const WANDER: u32 = 8;

impl<A: Agreement> Council<A> {
    /// Carries on what a slot asks for.
    pub(super) fn stir(&mut self, slot: SlotId, now: Mono) {
        while let Some(output) = self.open.get_mut(&slot).and_then(Instance::poll_output) {
            match output {
                instance::Output::Persist(saved) => self.outputs.push_back(Output::Persist(saved)),
                instance::Output::Say(message) => self.outputs.push_back(Output::Say(message)),
                instance::Output::Ask(status) => {
                    for voter in self.some_voters(&slot) {
                        let message = Message::Status(status.clone());
                        self.outputs.push_back(Output::Tell(voter, Box::new(message)));
                    }
                }
                instance::Output::Judge(digest) => {
                    let value = self.open.get(&slot).and_then(|instance| instance.value(&digest));
                    // Whether a resource is free was said when its slot was opened.
                    if let Some(Value::Proposal(proposal)) = value {
                        let proposal = Box::new(proposal.clone());
                        self.outputs.push_back(Output::Proposed(slot, proposal));
                    }
                }
                instance::Output::Guilty(evidence) => {
                    if !self.repeats {
                        self.outputs.push_back(Output::Say(Box::new(Message::Evidence((*evidence).clone()))));
                    }
                    let of = self.open.get(&slot).and_then(|instance| instance.node_of(evidence.a.vote.voter));
                    self.outputs.extend(of.map(|node| Output::Guilty(node, evidence)));
                }
                instance::Output::Decided(certificate) => {
                    let of = self.open.get(&slot);
                    let tally = of.map(Instance::tally).unwrap_or_default();
                    let value = of.and_then(|instance| instance.value(&instance.first_value()?));
                    let proposal = match value {
                        Some(Value::Proposal(proposal)) => Some(proposal.clone()),
                        Some(Value::Claim(_) | Value::Rejected(_) | Value::Lapsed) | None => None,
                    };
                    self.end(slot, Decision { certificate: *certificate, tally, proposal }, now);
                }
            }
        }
        self.tell_ballots(slot);
        // It stays until its certificate was handed on.
        let is_done = |instance: &Instance<A>| instance.decided().is_some() && instance.poll_timeout().is_none();
        if self.open.get(&slot).is_some_and(is_done) {
            self.open.remove(&slot);
            self.told.remove(&slot);
        }
    }

    /// Tells of ballots that were not told of yet.
    fn tell_ballots(&mut self, slot: SlotId) {
        let Some(instance) = self.open.get(&slot) else {
            return;
        };
        let told = self.told.entry(slot).or_default();
        for (voter, ballot) in instance.ballots() {
            if told.insert(voter)
                && let Some(node) = instance.node_of(voter)
            {
                self.outputs.push_back(Output::Voted(slot, node, ballot.clone()));
            }
        }
    }

    /// A few voters of the slot but us, at random, and mostly those that are near.
    fn some_voters(&mut self, slot: &SlotId) -> Vec<NodeId> {
        let us = self.identity.node();
        let voters = self.open.get(slot).map(Instance::voters).unwrap_or_default();
        let others = voters.iter().map(|voter| voter.node).filter(|node| *node != us);
        let (mut near, mut far): (Vec<_>, Vec<_>) = others.partition(|node| self.near.contains(node));
        let mut chosen = Vec::new();
        while chosen.len() < self.config.fanout && !(near.is_empty() && far.is_empty()) {
            // Not always the same few: they may be the ones that keep it from us.
            let wander = self.rng.next_u32().is_multiple_of(WANDER);
            let of = if near.is_empty() || (wander && !far.is_empty()) { &mut far } else { &mut near };
            let place = usize::try_from(self.rng.next_u32()).ok().and_then(|word| word.checked_rem(of.len()));
            chosen.push(of.swap_remove(place.unwrap_or(0)));
        }
        chosen
    }

    /// Remembers how a slot has ended.
    pub(super) fn end(&mut self, slot: SlotId, decision: Decision, now: Mono) {
        let certificate = &decision.certificate;
        if self.ended.contains_key(&slot) {
            return;
        }
        self.openers.remove(&slot);
        if let Subject::Resource { name, seq } = &certificate.slot.subject {
            let began = self.claimed.remove(&slot);
            let us = self.identity.node();
            let lease = Lease::of(certificate, now).map(|(_, lease)| match began {
                // Our own time runs from when we claimed it.
                Some(began) if lease.holder == us => Lease::of(certificate, began).map_or(lease, |(_, lease)| lease),
                // We have forgotten when that was, and what we did with it.
                None if lease.holder == us => Lease { stop_at: now, ..lease },
                Some(_) | None => lease,
            });
            self.passed(slot, name, Token { epoch: certificate.slot.epoch, seq: *seq }, lease, now);
        }
        self.ended.insert(slot, decision.certificate.clone());
        self.ended_order.push_back(slot);
        self.forget_oldest();
        self.outputs.push_back(Output::Decided(slot, Box::new(decision)));
    }

    /// Forgets how the oldest slots have ended, but for the last one of each resource.
    fn forget_oldest(&mut self) {
        let mut left = self.ended_order.len();
        while self.ended.len() > self.config.max_ended && left > 0 {
            left = left.saturating_sub(1);
            let Some(oldest) = self.ended_order.pop_front() else {
                return;
            };
            let slot = self.ended.get(&oldest).map(|certificate| certificate.slot.clone());
            let current = self.chain.last_epoch();
            match slot.as_ref().map(|slot| (slot.epoch, &slot.subject)) {
                Some((epoch, Subject::Resource { name, seq }))
                    if epoch == current && seq.checked_add(1) == Some(self.next_seq(name, epoch)) =>
                {
                    self.ended_order.push_back(oldest);
                    continue;
                }
                Some((epoch, Subject::Owned { author, seq })) if epoch == current => {
                    let author = self.chain.electorate(epoch).ok().and_then(|electorate| electorate.index_of(author));
                    if let Some(author) = author {
                        self.floors.raise(epoch, author, *seq);
                    }
                }
                Some((_, Subject::Resource { .. } | Subject::Owned { .. })) | None => {}
            }
            self.ended.remove(&oldest);
            self.outputs.push_back(Output::Forget(oldest, self.floors.clone()));
        }
    }

    /// A slot of a resource has ended: the next one can begin, and somebody may hold it.
    fn passed(&mut self, slot: SlotId, name: &str, token: Token, lease: Option<Lease>, now: Mono) {
        if self.resources.len() >= self.config.max_resources {
            // Of epochs before this one, what nobody holds any more.
            let epoch = self.chain.last_epoch();
            self.resources.retain(|_, of| of.epoch == epoch || of.lease.is_some_and(|(_, lease)| lease.until > now));
        }
        if !self.has_resource(name) {
            return;
        }
        let resource =
            self.resources.entry(name.to_owned()).or_insert(Resource { epoch: token.epoch, next: 0, lease: None });
        let newer = (token.epoch, token.seq) >= (resource.epoch, resource.next);
        if newer {
            resource.epoch = token.epoch;
            resource.next = token.seq.saturating_add(1);
            // Who was refused, or too late, takes nothing from the holder.
            resource.lease = lease.map(|lease| (slot, lease)).or(resource.lease);
        }
    }
}
