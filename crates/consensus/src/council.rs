//! All slots of one node: which are open, what ended how, and who holds which resource.
//!
//! A message finds its [slot](crate::instance) here, or opens it: with the word of the first leader or with a claim, of the
//! current epoch, signed, and within bounds. A vote for a slot that nobody has told us of makes us ask its sender. A resource has one
//! open slot, the one after the last that has ended, so that its numbers grow by one.
//!
//! Each voter may have a few slots open ([`Config::max_open_each`]); what it says past that is not heard, and finds room
//! when something has ended. Of what has ended the last [`Config::max_ended`] are remembered; no slot is opened again,
//! for whoever has voted in one could vote again: of each author we remember the greatest number that was forgotten, and of
//! each resource the next one, until an epoch begins. ([`Config::max_resources`]: past it new ones wait for that.)

mod opening;
mod outputs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesh_proto::charter::{SignedEpoch, Voter};
use mesh_proto::codec::{self, Bounded};
use mesh_proto::decision::{
    Ballot, Certificate, Claim, Evidence, Message, Proposal, Release, Slot, Subject, Value, VoterIndex, VoterSet,
};
use mesh_proto::envelope::Verifier;
use mesh_proto::limits::{MAX_KNOWN_SLOTS, MAX_VOTERS};
use mesh_proto::{DecodeError, EncodeError, Keypair, NodeId, SlotId};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

use crate::agreement::{Agreement, Malachite};
use crate::certificate::{Chain, VerifyError, verify};
use crate::instance::{self, Instance, JudgeError, Mono, Refused, Saved, Tally};
use crate::lease::Lease;

/// Bounds and times.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of each slot.
    pub instance: instance::Config,
    /// Slots that one voter may have opened at once, each up to some hundred KB when a hundred voters take part.
    pub max_open_each: usize,
    /// Certificates that are remembered, 4.4 KB each with a hundred voters.
    pub max_ended: usize,
    /// Resources that are remembered in an epoch, about 200 bytes each.
    pub max_resources: usize,
    /// Voters that are asked at once what we lack.
    pub fanout: usize,
    /// Slots of which somebody was asked, but has not yet told us, are not asked for again so soon, milliseconds.
    pub ask_again_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance: instance::Config::default(),
            max_open_each: 4,
            max_ended: 1_024,
            max_resources: 4_096,
            fanout: 3,
            ask_again_ms: 500,
        }
    }
}

/// Slots that we have asked for at once.
const MAX_ASKED: usize = 256;
/// Certificates that somebody is told who has missed them: the last ones. 420 KB with a hundred voters.
const MAX_MISSED: usize = 64;

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Keep this in place of what was kept for its slot. Only when it is safe, go on with the next output.
    Persist(Box<Saved>),
    /// Keep these in place of those before, and only then do without what was kept for this slot.
    Forget(SlotId, Floors),
    /// Tell all voters.
    Say(Box<Message>),
    /// Tell one node.
    Tell(NodeId, Box<Message>),
    /// Keep this, the next electorate, before anything that its voters say.
    Epoch(Box<SignedEpoch>),
    /// A proposal is open: [`Council::vote`] is expected, if we are a voter.
    Proposed(SlotId, Box<Proposal>),
    /// A voter has said what it thinks of a proposal.
    Voted(SlotId, NodeId, Ballot),
    /// A voter has voted twice, which its own signatures prove.
    Guilty(NodeId, Box<Evidence>),
    /// A slot has ended.
    Decided(SlotId, Box<Decision>),
}

/// The greatest number of a forgotten slot of each author, in an epoch: at most a hundred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// The epoch.
    pub epoch: u64,
    /// By author.
    #[serde(with = "pairs")]
    pub seqs: BTreeMap<VoterIndex, u64>,
}

/// A map as a list of its entries: keys of maps are texts in our CBOR.
mod pairs {
    use std::collections::BTreeMap;

    use mesh_proto::decision::VoterIndex;
    use mesh_proto::ordered;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<VoterIndex, u64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<VoterIndex, u64>, D::Error> {
        Vec::<(VoterIndex, u64)>::deserialize(deserializer).map(ordered)
    }
}

impl Floors {
    fn covers(&self, epoch: u64, author: VoterIndex, seq: u64) -> bool {
        self.epoch == epoch && self.seqs.get(&author).is_some_and(|floor| seq <= *floor)
    }

    /// A slot of this epoch is forgotten; floors of older ones mean nothing any more.
    fn raise(&mut self, epoch: u64, author: VoterIndex, seq: u64) {
        if self.epoch != epoch {
            *self = Self { epoch, seqs: BTreeMap::new() };
        }
        let floor = self.seqs.entry(author).or_default();
        *floor = (*floor).max(seq);
    }
}

impl Bounded for Floors {
    fn check(&self) -> Result<(), DecodeError> {
        codec::bound("floors", self.seqs.len(), MAX_VOTERS)
    }
}

/// How a slot has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// For anybody to check.
    pub certificate: Certificate,
    /// The ballots that were heard by then.
    pub tally: Tally,
    /// What was proposed, if that was heard.
    pub proposal: Option<Proposal>,
}

/// Why something cannot be begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only voters may propose.
    #[error("this node is not a voter of epoch {0}")]
    NotAVoter(u64),
    /// We have opened as many slots as we may.
    #[error("{0} slots of this node are open, which is all it may have: wait until one has ended")]
    Full(usize),
    /// Somebody else has it.
    #[error("{holder} holds it for {left_ms} ms more")]
    Held {
        /// Who.
        holder: NodeId,
        /// For so long, by our clock.
        left_ms: u64,
    },
    /// It is not ours, or not any more.
    #[error("this node does not hold it")]
    NotHeld,
    /// A slot of that number was there before.
    #[error("this node has used the number {0} before: take a greater one")]
    Used(u64),
    /// Nothing of that id is open.
    #[error("no such proposal is open")]
    Unknown,
    /// Only who alone may say who votes can.
    #[error("this node is not a founder whose word alone is enough: the charter asks for {0} of them")]
    NotAFounder(u8),
    /// The vote does not count.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// It is past a bound.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The epoch is not known.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// The keys of a node.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What its name stands for; signs claims and releases.
    pub identity: Keypair,
    /// What signs its votes, from the store that keeps them; nothing if it is not to vote.
    pub voting: Option<Keypair>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Council<A = Malachite> {
    config: Config,
    chain: Chain,
    identity: Keypair,
    /// The voting key, if we may have a vote in some epoch.
    key: Option<Keypair>,
    verifier: Arc<dyn Verifier>,
    rng: ChaCha8Rng,
    open: BTreeMap<SlotId, Instance<A>>,
    /// Who has opened them.
    openers: BTreeMap<SlotId, NodeId>,
    floors: Floors,
    ended: BTreeMap<SlotId, Certificate>,
    /// From the oldest on.
    ended_order: VecDeque<SlotId>,
    resources: BTreeMap<String, Resource>,
    /// When we claimed something, by slot.
    claimed: BTreeMap<SlotId, Mono>,
    asked: BTreeMap<SlotId, Mono>,
    /// When somebody was asked for later electorates.
    asked_epochs: Option<Mono>,
    /// Nodes that can be told something without a detour.
    near: BTreeSet<NodeId>,
    /// Voters of open slots whose ballots were told of.
    told: BTreeMap<SlotId, VoterSet>,
    /// Whether what is found out now was said by somebody else.
    repeats: bool,
    outputs: VecDeque<Output>,
}

/// What is known of a resource.
#[derive(Clone, Debug)]
struct Resource {
    /// The epoch that the number is of.
    epoch: u64,
    /// The number of its next slot.
    next: u64,
    /// The last lease, and the slot that granted it.
    lease: Option<(SlotId, Lease)>,
}

impl<A: Agreement> Council<A> {
    /// Of the node of `keys`, which votes where the chain lists it; goes on with what was kept.
    pub fn new(
        config: Config,
        chain: Chain,
        keys: Keys,
        verifier: Arc<dyn Verifier>,
        (saved, floors): (Vec<Saved>, Floors),
        entropy: [u8; 32],
        now: Mono,
    ) -> Self {
        let mut council = Self {
            config,
            chain,
            identity: keys.identity,
            key: keys.voting,
            verifier,
            rng: ChaCha8Rng::from_seed(entropy),
            open: BTreeMap::new(),
            openers: BTreeMap::new(),
            floors,
            ended: BTreeMap::new(),
            ended_order: VecDeque::new(),
            resources: BTreeMap::new(),
            claimed: BTreeMap::new(),
            asked: BTreeMap::new(),
            asked_epochs: None,
            near: BTreeSet::new(),
            told: BTreeMap::new(),
            repeats: false,
            outputs: VecDeque::new(),
        };
        for saved in saved {
            council.reopen(saved, now);
        }
        council
    }

    fn reopen(&mut self, saved: Saved, now: Mono) {
        let Ok((electorate, Some(me))) = self.seat(saved.slot.epoch) else {
            return;
        };
        let entropy = self.entropy();
        let (config, verifier) = (self.config.instance.clone(), Arc::clone(&self.verifier));
        if let Ok(instance) = Instance::restore(config, saved, electorate, verifier, me, entropy, now) {
            let id = instance.id();
            let opener = match &instance.slot().subject {
                Subject::Owned { author, .. } => *author,
                // Whoever it was, it is not held against anybody.
                Subject::Resource { .. } => self.identity.node(),
            };
            self.admit(id, opener, instance, now);
        }
    }

    /// Adds the record of the next epoch. Slots of the one before end in it; new ones begin in the next.
    ///
    /// # Errors
    /// [`VerifyError`]
    pub fn extend(&mut self, epoch: &SignedEpoch) -> Result<(), VerifyError> {
        // Nothing of an older one is opened any more, and its tokens are less than those to come.
        self.chain.extend(epoch, &*self.verifier)?;
        self.outputs.push_back(Output::Epoch(Box::new(epoch.clone())));
        Ok(())
    }

    /// Begins the next epoch with these voters, as its only founder that has to sign; tells everybody.
    ///
    /// # Errors
    /// [`Error::NotAFounder`]; [`Error::Verify`] when it is no electorate.
    pub fn elect(&mut self, voters: Vec<Voter>) -> Result<(), Error> {
        let charter = self.chain.charter();
        if charter.threshold != 1 || !charter.founders.contains(&self.identity.node()) {
            return Err(Error::NotAFounder(charter.threshold));
        }
        let record = self.chain.next(voters);
        let signatures = vec![record.sign(&self.identity)?];
        let epoch = SignedEpoch { record, signatures };
        self.extend(&epoch)?;
        self.outputs.push_back(Output::Say(Box::new(Message::Epochs(vec![epoch]))));
        Ok(())
    }

    /// A node can be told something without a detour from now on: it is asked before others.
    pub fn linked(&mut self, node: NodeId) {
        self.near.insert(node);
    }

    /// It cannot any more.
    pub fn unlinked(&mut self, node: &NodeId) {
        self.near.remove(node);
    }

    /// Asks a node for slots that we have missed.
    pub fn ask_others(&mut self, node: NodeId) {
        let last = self.ended_order.iter().rev().chain(self.open.keys());
        let known = last.copied().take(MAX_KNOWN_SLOTS).collect();
        self.outputs.push_back(Output::Tell(node, Box::new(Message::Others(known))));
    }

    /// Asks a node for electorates that we may not know.
    pub fn catch_up_epochs(&mut self, node: NodeId, now: Mono) {
        let again = |asked: Mono| asked.saturating_add(self.config.ask_again_ms) <= now;
        if self.asked_epochs.is_none_or(again) {
            self.asked_epochs = Some(now);
            let after = Message::EpochsAfter(self.chain.last_epoch());
            self.outputs.push_back(Output::Tell(node, Box::new(after)));
        }
    }

    /// The electorates that are known.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Whether we may vote in the current epoch.
    pub fn is_voter(&self) -> bool {
        self.seat(self.chain.last_epoch()).is_ok_and(|(_, me)| me.is_some())
    }

    /// Begins a slot with a proposal of ours, which we approve. `seq` must be greater than any before, restarts included:
    /// unix microseconds are.
    ///
    /// # Errors
    /// [`Error`]
    pub fn propose(&mut self, proposal: Proposal, seq: u64, now: Mono) -> Result<SlotId, Error> {
        let epoch = self.chain.last_epoch();
        if !self.is_voter() {
            return Err(Error::NotAVoter(epoch));
        }
        let author = self.identity.node();
        let slot = Slot { mesh: self.chain.mesh(), epoch, subject: Subject::Owned { author, seq } };
        let id = slot.id()?;
        let place = self.chain.electorate(epoch)?.index_of(&author);
        let forgotten = place.is_some_and(|place| self.floors.covers(epoch, place, seq));
        if forgotten || self.open.contains_key(&id) || self.ended.contains_key(&id) {
            return Err(Error::Used(seq));
        }
        self.has_room(&author)?;
        let mut instance = self.instance(slot, now)?;
        instance.propose(Value::Proposal(proposal), now)?;
        self.admit(id, author, instance, now);
        Ok(id)
    }

    /// Says what we think of a proposal.
    ///
    /// # Errors
    /// [`Error`]; the same vote once more is none.
    pub fn vote(&mut self, slot: &SlotId, ballot: Ballot, now: Mono) -> Result<(), Error> {
        let instance = self.open.get_mut(slot).ok_or(Error::Unknown)?;
        let digest = instance.first_value().ok_or(Error::Unknown)?;
        instance.judge(digest, ballot, now)?;
        self.stir(*slot, now);
        Ok(())
    }

    /// Claims a resource for `length` milliseconds. The slot ends with whose it is.
    ///
    /// # Errors
    /// [`Error`]
    pub fn claim(&mut self, resource: &str, length: u64, now: Mono) -> Result<SlotId, Error> {
        let holder = self.identity.node();
        if !self.is_voter() {
            return Err(Error::NotAVoter(self.chain.last_epoch()));
        }
        if let Some(lease) = self.lease(resource, now)
            && lease.holder != holder
        {
            return Err(Error::Held { holder: lease.holder, left_ms: lease.until.saturating_sub(now) });
        }
        let epoch = self.chain.last_epoch();
        let subject = Subject::Resource { name: resource.to_owned(), seq: self.next_seq(resource, epoch) };
        let slot = Slot { mesh: self.chain.mesh(), epoch, subject };
        let id = slot.id()?;
        let claim = Claim { slot, holder, length }.sign(&self.identity)?;
        if !self.open.contains_key(&id) {
            self.has_room(&holder)?;
            let instance = self.instance(claim.claim.slot.clone(), now)?;
            self.admit(id, holder, instance, now);
        }
        // Claimed once more it is not ours for longer: others may have granted it already.
        self.claimed.entry(id).or_insert(now);
        self.outputs.push_back(Output::Say(Box::new(Message::Claim(claim.clone()))));
        self.hand(id, Message::Claim(claim), now).map_err(|_| Error::Unknown)?;
        Ok(id)
    }

    /// Gives a resource back before its lease is over.
    ///
    /// # Errors
    /// [`Error::NotHeld`]
    pub fn release(&mut self, resource: &str, now: Mono) -> Result<(), Error> {
        let holder = self.identity.node();
        let of = self.resources.get_mut(resource).and_then(|resource| resource.lease.as_mut());
        let (slot, lease) =
            of.filter(|(_, lease)| lease.holder == holder && lease.until > now).ok_or(Error::NotHeld)?;
        lease.until = now;
        let release = Release { slot: *slot, holder }.sign(&self.identity)?;
        self.outputs.push_back(Output::Say(Box::new(Message::Release(release))));
        Ok(())
    }

    /// Who holds a resource, by our clock.
    pub fn lease(&self, resource: &str, now: Mono) -> Option<Lease> {
        let (_, lease) = self.resources.get(resource)?.lease?;
        (lease.until > now).then_some(lease)
    }

    /// Slots that are open.
    pub fn open(&self) -> impl Iterator<Item = &Instance<A>> {
        self.open.values().filter(|instance| instance.decided().is_none())
    }

    /// How a slot has ended, if that is remembered.
    pub fn certificate(&self, slot: &SlotId) -> Option<&Certificate> {
        self.open.get(slot).and_then(Instance::decided).or_else(|| self.ended.get(slot))
    }

    /// Takes a message of `from`.
    ///
    /// # Errors
    /// [`Refused`]: what it says is not let in.
    pub fn handle(&mut self, from: NodeId, message: Message, now: Mono) -> Result<(), Refused> {
        let result = self.take(from, message, now);
        if let Err(Refused::Invalid(VerifyError::UnknownEpoch { epoch, last })) = &result
            && epoch > last
        {
            self.catch_up_epochs(from, now);
        }
        result
    }

    fn take(&mut self, from: NodeId, message: Message, now: Mono) -> Result<(), Refused> {
        match &message {
            Message::Propose(signed) => {
                let slot = signed.propose.slot.clone();
                let id = slot.id().map_err(VerifyError::from)?;
                let known = self.open.contains_key(&id) || self.ended.contains_key(&id);
                let Some(opener) = opening::opener(&self.chain, signed)?.or(known.then(|| self.identity.node())) else {
                    // A word of a later round opens nothing; whoever has it has the first one too.
                    self.ask(from, id, now);
                    return Ok(());
                };
                self.enter(from, slot, opener, message, now)
            }
            Message::Claim(signed) => {
                let (slot, holder) = (signed.claim.slot.clone(), signed.claim.holder);
                if self.chain.electorate(slot.epoch)?.index_of(&holder).is_none() {
                    return Err(Refused::Offence("a claim of somebody who may not vote"));
                }
                self.enter(from, slot, holder, message, now)
            }
            Message::Vote(signed) => self.about(from, signed.vote.slot, message, now),
            Message::Polka(polka) => self.about(from, polka.slot, message, now),
            Message::Evidence(evidence) => {
                // Whoever has found it out has said so.
                self.repeats = true;
                let result = self.about(from, evidence.a.vote.slot, message, now);
                self.repeats = false;
                result
            }
            Message::Status(status) => {
                self.answer(from, status, now);
                Ok(())
            }
            Message::Others(known) => {
                self.tell_others(from, known);
                Ok(())
            }
            Message::Decision(certificate) => {
                let slot = certificate.slot.id().map_err(VerifyError::from)?;
                if self.open.contains_key(&slot) {
                    return self.hand(slot, message, now);
                }
                if self.ended.contains_key(&slot) {
                    return Ok(());
                }
                verify(&self.chain, certificate, &*self.verifier)?;
                self.end(
                    slot,
                    Decision { certificate: certificate.clone(), tally: Tally::default(), proposal: None },
                    now,
                );
                Ok(())
            }
            Message::Release(release) => self.on_release(release, now),
            Message::Epochs(epochs) => self.on_epochs(from, epochs),
            Message::EpochsAfter(epoch) => {
                self.tell_epochs(from, *epoch);
                Ok(())
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        let due = |instance: &Instance<A>| instance.poll_timeout().is_some_and(|due| due <= now);
        let slots: Vec<_> = self.open.iter().filter(|(_, instance)| due(instance)).map(|(id, _)| *id).collect();
        for slot in slots {
            if let Some(instance) = self.open.get_mut(&slot) {
                instance.handle_timeout(now);
                self.stir(slot, now);
            }
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.open.values().filter_map(Instance::poll_timeout).min()
    }

    /// What has to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
