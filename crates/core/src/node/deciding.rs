//! Deciding together: between the proposals and the rest of the node.

use mesh_consensus::certificate::Chain;
use mesh_consensus::instance::Refused;
use mesh_consensus::lease::Lease;
use mesh_proto::SlotId;
use mesh_proto::charter::Voter;
use mesh_proto::decision::{Ballot, Message, Proposal, Record};
use mesh_proto::limits::MAX_DECISION;

use super::*;

/// Milliseconds in which what is told to one node about a slot has to arrive. Later it is asked for again anyway.
const TELL_MS: u64 = 3_000;

/// Who votes in this mesh, and what this node is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate {
    /// The current epoch.
    pub epoch: u64,
    /// Its voters, in ascending order.
    pub voters: Vec<Voter>,
    /// Whether this node votes.
    pub votes: bool,
    /// Whether this node may say who votes.
    pub founder: bool,
    /// The key that signs this node's votes, if it can keep them.
    pub voting_key: Option<NodeId>,
}

impl Node {
    /// Begins to decide about a proposal; ends in [`proposals::Event::Decided`].
    ///
    /// # Errors
    /// [`proposals::Error`]
    pub fn propose(&mut self, proposal: Proposal, now: Now) -> Result<SlotId, proposals::Error> {
        self.deciding(now, |proposals| proposals.propose(proposal, now))
    }

    /// Says what this node thinks of a proposal.
    ///
    /// # Errors
    /// [`proposals::Error`]
    pub fn vote(&mut self, slot: &SlotId, ballot: Ballot, now: Now) -> Result<(), proposals::Error> {
        self.deciding(now, |proposals| proposals.vote(slot, ballot, now))
    }

    /// Claims a resource for `length` milliseconds; ends in [`proposals::Event::Decided`].
    ///
    /// # Errors
    /// [`proposals::Error`]
    pub fn claim(&mut self, resource: &str, length: u64, now: Now) -> Result<SlotId, proposals::Error> {
        self.deciding(now, |proposals| proposals.claim(resource, length, now))
    }

    /// Gives a resource back.
    ///
    /// # Errors
    /// [`proposals::Error`]
    pub fn release(&mut self, resource: &str, now: Now) -> Result<(), proposals::Error> {
        self.deciding(now, |proposals| proposals.release(resource, now))
    }

    /// Who holds a resource, by our clock.
    pub fn lease(&self, resource: &str, now: Now) -> Option<Lease> {
        self.proposals.as_ref()?.lease(resource, now)
    }

    /// Begins the next epoch with these voters, as the mesh's founder; returns its number.
    ///
    /// # Errors
    /// [`proposals::Error`]
    pub fn elect(&mut self, nodes: Vec<NodeId>, now: Now) -> Result<u64, proposals::Error> {
        let Self { proposals, directory, .. } = self;
        let proposals = proposals.as_mut().ok_or(proposals::Error::NoCharter)?;
        let epoch = proposals.elect(nodes, |node| directory.voting_key(node), now)?;
        self.turn(now);
        Ok(epoch)
    }

    /// How a slot has ended, as long as it is remembered.
    pub fn ended(&self, slot: &SlotId) -> Option<proposals::Ended> {
        self.proposals.as_ref()?.ended(slot)
    }

    /// What proves how a slot has ended, as long as it is remembered.
    pub fn record(&self, slot: &SlotId) -> Option<Record> {
        self.proposals.as_ref()?.record(slot)
    }

    /// The charter and the records of later epochs, if the mesh has one.
    pub fn chain(&self) -> Option<&Chain> {
        self.proposals.as_ref().map(Proposals::chain)
    }

    /// Who votes, if the mesh has a charter.
    pub fn electorate(&self) -> Option<Electorate> {
        let proposals = self.proposals.as_ref()?;
        let chain = proposals.chain();
        let epoch = chain.last_epoch();
        Some(Electorate {
            epoch,
            voters: chain.electorate(epoch).map(|of| of.voters().to_vec()).unwrap_or_default(),
            votes: proposals.is_voter(),
            founder: chain.charter().threshold == 1 && chain.charter().founders.contains(&self.id()),
            voting_key: proposals.voting_key(),
        })
    }

    fn deciding<T>(
        &mut self,
        now: Now,
        verb: impl FnOnce(&mut Proposals) -> Result<T, proposals::Error>,
    ) -> Result<T, proposals::Error> {
        self.check_speaks(now)?;
        let done = verb(self.proposals.as_mut().ok_or(proposals::Error::NoCharter)?)?;
        self.turn(now);
        Ok(done)
    }

    /// What somebody says to everybody about slots. Without a charter it is passed on, and no more.
    pub(super) fn decision_said(&mut self, envelope: &Verified<Envelope>, now: Now) -> Result<Verdict, DecodeError> {
        let message: Message = codec::decode(&envelope.payload, MAX_DECISION)?;
        let Some(proposals) = &mut self.proposals else {
            return Ok(Verdict::Accept);
        };
        if message.kind() != Some(envelope.kind) || !proposals.may_say(&envelope.from, &message) {
            self.offence(envelope.from, Offence::OutOfPlace);
            return Ok(Verdict::Ignore);
        }
        let refused = proposals.heard(envelope.from, message, now);
        Ok(self.refused(envelope.from, refused))
    }

    /// What somebody tells us alone about slots.
    pub(super) fn decision_told(&mut self, from: NodeId, body: &[u8], now: Now) {
        let message = match codec::decode::<Message>(body, MAX_DECISION) {
            Ok(message) => message,
            Err(error) => return self.offence(from, intake::offence_of(&error.into())),
        };
        let Some(proposals) = &mut self.proposals else {
            return;
        };
        match proposals.told(from, message, now) {
            Ok(true) => {}
            Ok(false) => self.offence(from, Offence::RateExceeded),
            Err(error) => {
                self.refused(from, Err(error));
            }
        }
    }

    /// Whoever says what breaks the rules is at fault, and who passes it on is not: it may not know of that slot.
    fn refused(&mut self, from: NodeId, result: Result<(), Refused>) -> Verdict {
        match result {
            Ok(()) => Verdict::Accept,
            // Whoever knows more of the electorates may make something of it.
            Err(Refused::Invalid(VerifyError::UnknownEpoch { .. })) => Verdict::Accept,
            Err(Refused::OtherSlot | Refused::Offence(_) | Refused::Invalid(_)) => {
                self.offence(from, Offence::FalseVote);
                Verdict::Ignore
            }
        }
    }

    pub(super) fn proposals_want(&mut self, output: proposals::Output, now: Now) {
        match output {
            proposals::Output::Keep { ticket, changes } => {
                self.outputs.push_back(Output::Keep { ticket: Ticket::Proposals(ticket), changes });
            }
            proposals::Output::Say(message) => {
                if let Some(kind) = message.kind() {
                    self.seal(kind, &*message, now);
                }
            }
            proposals::Output::Tell(to, message) => self.tell(to, &message, now),
            proposals::Output::Event(event) => self.event(Event::Decision(event)),
        }
    }

    /// Whoever is neither linked nor heard is not worth a dial: what it is told would be asked for, or asked of others, again.
    fn tell(&mut self, to: NodeId, message: &Message, now: Now) {
        let heard = self.health.peers().get(&to).is_some_and(|peer| !peer.suspect);
        if to == self.id() || !(heard || self.health.links().contains_key(&to)) {
            return;
        }
        let body = codec::encode(message, MAX_DECISION);
        debug_assert!(body.is_ok(), "it does not fit: {body:?}");
        if let Ok(body) = body {
            // What finds no room is asked for again.
            let _ = self.messaging.tell(to, direct::Reader::Decision, body.into(), TELL_MS, now);
        }
    }
}
