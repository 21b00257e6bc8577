//! Proposals: what this node wants decided together with others, and what it is asked.
//!
//! The deciding itself is the [council]'s. Here it becomes part of a node:
//!
//! * **The store goes first.** What the council wants kept leaves as [`Output::Keep`], and whatever it says after that waits
//!   until [`Proposals::kept`] tells that it is safe; what gathers meanwhile is kept together. When the store fails, this
//!   node says nothing more: a voter that may have forgotten its votes is a traitor.
//! * **Quotas.** What one node tells us directly, and its questions, which cost us answers.
//! * **Patience.** A slot that has not ended when its window is over, and a moment later, has no quorum within reach:
//!   [`Event::NoQuorum`]. It stays open, and ends when enough voters are back.
//! * **Clocks.** A proposal from too far away in time is rejected, for it may be an old one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mesh_consensus::certificate::Chain;
use mesh_consensus::council::{self, Council, Decision, Keys};
use mesh_consensus::instance::Refused;
use mesh_consensus::lease::Lease;
use mesh_proto::charter::Voter;
use mesh_proto::decision::{Ballot, Certificate, Choice, Evidence, Message, Outcome, Proposal, Record, Subject, Value};
use mesh_proto::{Keypair, NodeId, SlotId, Verifier};

use crate::access::OnlyListens;
use crate::limits::{Limiter, Quota};
use crate::records::Change;
use crate::time::{Mono, Now};

mod founding;

pub use mesh_consensus::instance::Tally;

pub use founding::{Founding, RestoreError, charter_in};

/// Bounds and patience.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of the council.
    pub council: council::Config,
    /// Milliseconds after the end of a window until a slot that is open still counts as without a quorum. Three rounds fit
    /// in.
    pub grace_ms: u64,
    /// How far a proposal's time may be from ours, milliseconds (reliability 1.3).
    pub max_clock_off_ms: u64,
    /// Messages that one node may tell us directly.
    pub told: Quota,
    /// Questions among them.
    pub questions: Quota,
    /// Nodes whose quotas are remembered.
    pub max_tellers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            council: council::Config::default(),
            grace_ms: 3_000,
            max_clock_off_ms: 120_000,
            told: Quota { burst: 4_000, period_ms: 2_000 },
            questions: Quota { burst: 200, period_ms: 2_000 },
            max_tellers: 4_096,
        }
    }
}

/// What waits for the store at most. A store that is that far behind has failed.
const MAX_WAITING: usize = 16_384;
/// Slots that have ended of which more is remembered than the certificate: up to 34 KB of proposal, and 30 KB of ballots.
const MAX_ENDED: usize = 64;

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Make these changes in the store, and say so with [`Proposals::kept`].
    Keep {
        /// Names them in the answer.
        ticket: u64,
        /// All of them.
        changes: Vec<Change>,
    },
    /// Tell everybody.
    Say(Box<Message>),
    /// Tell one node.
    Tell(NodeId, Box<Message>),
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A proposal is open.
    Opened {
        /// Its slot.
        slot: SlotId,
        /// Who made it.
        author: NodeId,
        /// It itself.
        proposal: Box<Proposal>,
        /// Whether [`Proposals::vote`] is expected of us.
        asked: bool,
    },
    /// A voter has said what it thinks.
    Voted {
        /// Of which slot.
        slot: SlotId,
        /// Who.
        voter: NodeId,
        /// What.
        ballot: Ballot,
    },
    /// A slot has ended.
    Decided {
        /// Which.
        slot: SlotId,
        /// How.
        ended: Box<Ended>,
    },
    /// A slot cannot end for now: too few voters can be reached.
    NoQuorum {
        /// Which.
        slot: SlotId,
        /// What was heard.
        tally: Tally,
    },
    /// A voter has voted twice.
    Guilty {
        /// Who.
        voter: NodeId,
        /// The proof.
        evidence: Box<Evidence>,
    },
    /// A new epoch has begun.
    Electorate {
        /// Its number.
        epoch: u64,
        /// Who votes.
        voters: Vec<NodeId>,
    },
    /// The store has failed: this node says nothing more in any slot until it is started anew.
    StoreFailed,
}

/// How a slot has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// For anybody to check.
    pub certificate: Certificate,
    /// What was proposed, if that is known here.
    pub proposal: Option<Proposal>,
    /// The ballots that were heard by then.
    pub ballots: Vec<(NodeId, Ballot)>,
    /// All of them, counted.
    pub tally: Tally,
}

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The mesh has no charter, so nobody in it has a vote.
    #[error("this mesh is an open one without a charter: nobody in it has a vote. Join one with a charter")]
    NoCharter,
    /// The store has failed.
    #[error("the store has failed, so this node cannot keep what it votes: start it anew")]
    StoreFailed,
    /// It is too late.
    #[error("it has ended already")]
    Ended(Outcome),
    /// A founder wants to give a vote to a node that cannot keep one.
    #[error("{0} has announced no voting key: it has to be in the mesh, with a store")]
    NoVotingKey(NodeId),
    /// This node is no member.
    #[error(transparent)]
    OnlyListens(#[from] OnlyListens),
    /// The council refuses.
    #[error(transparent)]
    Council(#[from] council::Error),
}

/// A slot that is open.
#[derive(Debug)]
struct Watched {
    proposal: Option<Proposal>,
    ballots: Vec<(NodeId, Ballot)>,
    /// When patience ends; nothing once it has.
    patience: Option<Mono>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Proposals {
    config: Config,
    council: Council,
    identity: NodeId,
    voting: Option<NodeId>,
    /// What waits, in order: for the store if something is being kept.
    waiting: VecDeque<council::Output>,
    keeping: Option<(u64, usize)>,
    last_ticket: u64,
    failed: bool,
    watched: BTreeMap<SlotId, Box<Watched>>,
    ended: VecDeque<(SlotId, Ended)>,
    told: Limiter<NodeId>,
    questions: Limiter<NodeId>,
    last_seq: u64,
    outputs: VecDeque<Output>,
}

impl Proposals {
    /// Of the node of `identity`, in the mesh of `founding`.
    pub fn new(
        config: Config,
        founding: Founding,
        identity: Keypair,
        verifier: Arc<dyn Verifier>,
        entropy: [u8; 32],
        now: Now,
    ) -> Self {
        let Founding { chain, voting, saved, floors, access: _ } = founding;
        let node = identity.node();
        let voting_node = voting.as_ref().map(Keypair::node);
        let keys = Keys { identity, voting };
        let council = config.council.clone();
        let council = Council::new(council, chain, keys, verifier, (saved, floors), entropy, now.mono.0);
        let mut proposals = Self {
            council,
            identity: node,
            voting: voting_node,
            waiting: VecDeque::new(),
            keeping: None,
            last_ticket: 0,
            failed: false,
            watched: BTreeMap::new(),
            ended: VecDeque::new(),
            told: Limiter::new(config.told, config.max_tellers),
            questions: Limiter::new(config.questions, config.max_tellers),
            last_seq: 0,
            outputs: VecDeque::new(),
            config,
        };
        proposals.settle(now);
        proposals
    }

    /// The key that signs this node's votes, if it can keep them.
    pub fn voting_key(&self) -> Option<NodeId> {
        self.voting
    }

    /// The electorates that are known.
    pub fn chain(&self) -> &Chain {
        self.council.chain()
    }

    /// Whether this node may vote in the current epoch.
    pub fn is_voter(&self) -> bool {
        self.council.is_voter() && !self.failed
    }

    /// Begins a slot with this proposal. It ends in [`Event::Decided`].
    ///
    /// # Errors
    /// [`Error`]
    pub fn propose(&mut self, proposal: Proposal, now: Now) -> Result<SlotId, Error> {
        self.check()?;
        // Greater than any before, restarts included.
        self.last_seq = now.unix.saturating_mul(1000).max(self.last_seq + 1);
        let slot = self.council.propose(proposal, self.last_seq, now.mono.0)?;
        self.settle(now);
        Ok(slot)
    }

    /// Says what this node thinks of a proposal.
    ///
    /// # Errors
    /// [`Error`]
    pub fn vote(&mut self, slot: &SlotId, ballot: Ballot, now: Now) -> Result<(), Error> {
        self.check()?;
        self.council.vote(slot, ballot, now.mono.0).map_err(|error| match self.council.certificate(slot) {
            Some(certificate) => Error::Ended(certificate.outcome),
            None => error.into(),
        })?;
        self.settle(now);
        Ok(())
    }

    /// Claims a resource for `length` milliseconds. It ends in [`Event::Decided`], which says whose it is.
    ///
    /// # Errors
    /// [`Error`]
    pub fn claim(&mut self, resource: &str, length: u64, now: Now) -> Result<SlotId, Error> {
        self.check()?;
        let slot = self.council.claim(resource, length, now.mono.0)?;
        let patience = self.patience(self.config.council.instance.window_ms, now);
        // Claimed once more, it is waited for once more.
        let watched = Watched { proposal: None, ballots: Vec::new(), patience: None };
        self.watched.entry(slot).or_insert(Box::new(watched)).patience = patience;
        self.settle(now);
        Ok(slot)
    }

    /// Gives a resource back.
    ///
    /// # Errors
    /// [`Error`]
    pub fn release(&mut self, resource: &str, now: Now) -> Result<(), Error> {
        self.check()?;
        self.council.release(resource, now.mono.0)?;
        self.settle(now);
        Ok(())
    }

    /// Who holds a resource, by our clock.
    pub fn lease(&self, resource: &str, now: Now) -> Option<Lease> {
        self.council.lease(resource, now.mono.0)
    }

    /// Begins the next epoch, as its founder. `key_of` knows the voting keys that others have announced; who votes now keeps
    /// its key.
    ///
    /// # Errors
    /// [`Error`]
    pub fn elect(
        &mut self,
        nodes: Vec<NodeId>,
        key_of: impl Fn(&NodeId) -> Option<NodeId>,
        now: Now,
    ) -> Result<u64, Error> {
        self.check()?;
        let chain = self.council.chain();
        let current = chain.electorate(chain.last_epoch()).map_err(council::Error::from)?;
        let listed = |node: &NodeId| current.voters().iter().find(|voter| voter.node == *node).map(|voter| voter.key);
        let voter = |node: NodeId| {
            let own = self.voting.filter(|_| node == self.identity);
            let key = own.or_else(|| key_of(&node)).or_else(|| listed(&node)).ok_or(Error::NoVotingKey(node))?;
            Ok(Voter { node, key })
        };
        let voters = nodes.into_iter().map(voter).collect::<Result<Vec<_>, Error>>()?;
        self.council.elect(voters)?;
        self.settle(now);
        Ok(self.council.chain().last_epoch())
    }

    /// How a slot has ended, as long as it is remembered.
    pub fn ended(&self, slot: &SlotId) -> Option<Ended> {
        let whole = self.ended.iter().find(|(of, _)| of == slot).map(|(_, ended)| ended.clone());
        whole.or_else(|| {
            let certificate = self.council.certificate(slot)?.clone();
            Some(Ended { certificate, proposal: None, ballots: Vec::new(), tally: Tally::default() })
        })
    }

    /// What proves how a slot has ended, as long as it is remembered.
    pub fn record(&self, slot: &SlotId) -> Option<Record> {
        let certificate = self.council.certificate(slot)?.clone();
        let chain = self.council.chain();
        let known = usize::try_from(certificate.slot.epoch).ok()?;
        let proposal = self.ended(slot).and_then(|ended| ended.proposal);
        let epochs = chain.epochs().get(..known)?.to_vec();
        Some(Record { charter: chain.charter().clone(), epochs, certificate, proposal })
    }

    /// A link to this node came up.
    pub fn linked(&mut self, node: NodeId) {
        self.council.linked(node);
    }

    /// There is none any more.
    pub fn unlinked(&mut self, node: &NodeId) {
        self.council.unlinked(node);
    }

    /// Asks a node for electorates and slots that we may have missed.
    pub fn catch_up(&mut self, node: NodeId, now: Now) {
        self.council.catch_up_epochs(node, now.mono.0);
        self.council.ask_others(node);
        self.settle(now);
    }

    /// Whether `author` may say this to everybody: only voters have something to say, and founders who votes.
    pub fn may_say(&self, author: &NodeId, message: &Message) -> bool {
        let chain = self.council.chain();
        let votes = |epoch: u64| chain.electorate(epoch).is_ok_and(|of| of.index_of(author).is_some());
        let last = chain.last_epoch();
        match message {
            Message::Epochs(_) => chain.charter().founders.contains(author),
            // Slots of the epoch before end among its own voters. One of an epoch that we do not know yet may be right.
            Message::Propose(_)
            | Message::Vote(_)
            | Message::Polka(_)
            | Message::Decision(_)
            | Message::Claim(_)
            | Message::Release(_)
            | Message::Evidence(_) => votes(last) || last.checked_sub(1).is_some_and(votes),
            Message::Status(_) | Message::EpochsAfter(_) | Message::Others(_) => false,
        }
    }

    /// Takes what `from` has said to everybody.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn heard(&mut self, from: NodeId, message: Message, now: Now) -> Result<(), Refused> {
        let result = self.council.handle(from, message, now.mono.0);
        self.settle(now);
        result
    }

    /// Takes what `from` has told us alone; whether it was within its quota.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn told(&mut self, from: NodeId, message: Message, now: Now) -> Result<bool, Refused> {
        let question = matches!(message, Message::Status(_) | Message::EpochsAfter(_) | Message::Others(_));
        let within = self.told.admit(&from, 1, now.mono) && (!question || self.questions.admit(&from, 1, now.mono));
        if within {
            self.heard(from, message, now)?;
        }
        Ok(within)
    }

    /// The store has made the changes of this ticket, or has failed to.
    pub fn kept(&mut self, ticket: u64, durable: bool, now: Now) {
        if !durable {
            return self.fail();
        }
        if let Some((_, count)) = self.keeping.take_if(|(of, _)| *of == ticket) {
            for _ in 0..count {
                if let Some(output) = self.waiting.pop_front() {
                    self.pass_on(output);
                }
            }
            self.settle(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.council.handle_timeout(now.mono.0);
        self.settle(now);
        let mut stalled = Vec::new();
        for (slot, watched) in &mut self.watched {
            if watched.patience.take_if(|patience| *patience <= now.mono).is_some() {
                stalled.push(*slot);
            }
        }
        for slot in stalled {
            let tally = self.council.open().find(|open| open.id() == slot).map(|open| open.tally());
            if let Some(tally) = tally {
                self.outputs.push_back(Output::Event(Event::NoQuorum { slot, tally }));
            }
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let patience = self.watched.values().filter_map(|watched| watched.patience).min();
        self.council.poll_timeout().map(Mono).into_iter().chain(patience).min()
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Entries that are remembered of others.
    pub fn retained(&self) -> usize {
        self.waiting.len() + self.watched.len() + self.told.retained() + self.questions.retained()
    }

    fn check(&self) -> Result<(), Error> {
        if self.failed { Err(Error::StoreFailed) } else { Ok(()) }
    }

    fn patience(&self, window: u64, now: Now) -> Option<Mono> {
        Some(now.mono + window.saturating_add(self.config.grace_ms))
    }

    /// Takes over what the council wants, and lets what need not wait for the store pass.
    fn settle(&mut self, now: Now) {
        while let Some(output) = self.council.poll_output() {
            if let council::Output::Proposed(slot, proposal) = &output
                && proposal.at.abs_diff(now.unix) > self.config.max_clock_off_ms
            {
                let reason = "its time is too far from mine".to_owned();
                // It counts as our opinion, if we have said none.
                let _ = self.council.vote(slot, Ballot { choice: Choice::Reject, reason }, now.mono.0);
                continue;
            }
            self.waiting.push_back(output);
        }
        self.watch(now);
        if self.failed {
            self.waiting.clear();
        }
        if self.keeping.is_some() {
            if self.waiting.len() > MAX_WAITING {
                self.fail();
            }
            return;
        }
        let changes: Vec<Change> = match self.voting {
            Some(_) => self.waiting.iter().filter_map(founding::change).flatten().collect(),
            // Without a store there is nothing that others would rely on.
            None => Vec::new(),
        };
        if changes.is_empty() {
            while let Some(output) = self.waiting.pop_front() {
                self.pass_on(output);
            }
            return;
        }
        self.last_ticket += 1;
        self.keeping = Some((self.last_ticket, self.waiting.len()));
        self.outputs.push_back(Output::Keep { ticket: self.last_ticket, changes });
    }

    /// Tells of slots that are new.
    fn watch(&mut self, now: Now) {
        let mut opened = Vec::new();
        for open in self.council.open() {
            let (Subject::Owned { author, .. }, slot) = (&open.slot().subject, open.id()) else {
                continue;
            };
            let known = self.watched.contains_key(&slot);
            let value = open.first_value().filter(|_| !known).and_then(|digest| open.value(&digest));
            if let Some(Value::Proposal(proposal)) = value {
                opened.push((slot, *author, proposal.clone()));
            }
        }
        for (slot, author, proposal) in opened {
            let is_it = |output: &council::Output| matches!(output, council::Output::Proposed(of, _) if *of == slot);
            let asked = self.waiting.iter().any(is_it) && !self.failed;
            let patience = self.patience(proposal.window, now);
            let watched = Watched { proposal: Some(proposal.clone()), ballots: Vec::new(), patience };
            self.watched.insert(slot, Box::new(watched));
            let proposal = Box::new(proposal);
            self.outputs.push_back(Output::Event(Event::Opened { slot, author, proposal, asked }));
        }
    }

    fn pass_on(&mut self, output: council::Output) {
        let event = match output {
            // It is kept by now; that a proposal is open was told when it was seen.
            council::Output::Persist(_) | council::Output::Forget(..) | council::Output::Proposed(..) => return,
            council::Output::Say(message) => {
                // Nobody would let it in.
                if self.may_say(&self.identity, &message) {
                    self.outputs.push_back(Output::Say(message));
                }
                return;
            }
            council::Output::Tell(node, message) => return self.outputs.push_back(Output::Tell(node, message)),
            council::Output::Epoch(epoch) => {
                let voters = epoch.record.voters.iter().map(|voter| voter.node).collect();
                Event::Electorate { epoch: epoch.record.epoch, voters }
            }
            council::Output::Voted(slot, voter, ballot) => {
                if let Some(watched) = self.watched.get_mut(&slot) {
                    watched.ballots.push((voter, ballot.clone()));
                }
                Event::Voted { slot, voter, ballot }
            }
            council::Output::Guilty(voter, evidence) => Event::Guilty { voter, evidence },
            council::Output::Decided(slot, decision) => {
                let Decision { certificate, tally, proposal } = *decision;
                let watched = self.watched.remove(&slot);
                let (seen, ballots) = watched.map(|of| (of.proposal, of.ballots)).unwrap_or_default();
                // One that ended before a restart was not seen by this run.
                let proposal = seen.or(proposal);
                let ended = Ended { certificate, proposal, ballots, tally };
                if self.ended.len() == MAX_ENDED {
                    self.ended.pop_front();
                }
                self.ended.push_back((slot, ended.clone()));
                Event::Decided { slot, ended: Box::new(ended) }
            }
        };
        self.outputs.push_back(Output::Event(event));
    }

    fn fail(&mut self) {
        if !self.failed {
            self.failed = true;
            self.keeping = None;
            self.waiting.clear();
            self.outputs.push_back(Output::Event(Event::StoreFailed));
        }
    }
}

#[cfg(test)]
mod tests;
