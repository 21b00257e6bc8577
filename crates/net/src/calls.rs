//! What a program asks of its node. Every call carries its own responder, so an answer cannot go to the wrong question.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::{SinkExt as _, task::AtomicWaker};
use mesh_core::access::{self, Issued, Membership, Revoke};
use mesh_core::directory::{self, PeerAgent, SearchOptions};
use mesh_core::lease::Lease;
use mesh_core::metrics::Metrics;
use mesh_core::node::{Electorate, Receipt, SendError, Target, Topology};
use mesh_core::proposals::Ended;
use mesh_core::{Node, Now, broadcast, proposals, weights};
use mesh_proto::agent::{AgentRecord, Criteria};
use mesh_proto::charter::SignedEpoch;
use mesh_proto::credential::{Invite, Pass, Role};
use mesh_proto::decision::{Ballot, Proposal, Record};
use mesh_proto::transfer::WeightsInfo;
use mesh_proto::{AgentName, MeshId, NodeId, SlotId, TransferId};

use crate::blocks::calls as blocks;

/// Calls that wait for the driver; a caller past it waits itself.
pub(crate) const CALLS: usize = 64;

/// The node is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is closed")]
pub struct Closed;

/// Why weights were not shared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareFailed {
    /// The receiver is not known.
    #[error(transparent)]
    Target(#[from] SendError),
    /// The receiver is this node itself.
    #[error("the receiver is this node itself")]
    Local,
    /// The node does not take it.
    #[error(transparent)]
    NotTaken(#[from] weights::Error),
    /// The transfer failed.
    #[error(transparent)]
    Transfer(#[from] weights::ShareError),
}

/// Weights that arrived whole, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The transfer.
    pub id: TransferId,
    /// The receiver.
    pub peer: NodeId,
    /// Bytes that were transferred.
    pub bytes: u64,
    /// Times that the transfer was resumed.
    pub resumed: u32,
    /// Milliseconds from the call to the last confirmation.
    pub duration_ms: u64,
}

/// What comes of a slot that somebody waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It has ended.
    Decided(Box<Ended>),
    /// Too few voters can be reached. It may end later.
    NoQuorum,
}

pub(crate) type Reply<T> = oneshot::Sender<T>;

type Verb = Box<dyn FnOnce(&mut Node, Now) + Send>;

pub(crate) enum Call {
    Announce(AgentRecord, Reply<Result<(), directory::Error>>),
    Withdraw(AgentName, Reply<Result<(), directory::Error>>),
    Agents(Reply<Vec<PeerAgent>>),
    Discover(Criteria, SearchOptions, Reply<Result<Vec<PeerAgent>, directory::Error>>),
    Send(Outgoing, Reply<Result<Receipt, SendError>>),
    Publish(String, Bytes, Reply<Result<(), broadcast::Error>>),
    Share(Sharing, Reply<Result<Shared, ShareFailed>>),
    Topology(Reply<(Topology, Vec<NodeId>)>),
    Metrics(Reply<Metrics>),
    /// Whatever the core answers at once.
    Node(Verb),
    /// How a slot ends.
    Await(SlotId, Reply<Ending>),
    /// Whether what was issued with this write is in the store.
    Settled(u64, Reply<bool>),
    /// About blocks.
    Knowledge(crate::knowledge::Call),
    Blocks(blocks::Call),
    Wake(Reply<()>),
    Close(Reply<()>),
}

pub(crate) struct Outgoing {
    pub(crate) target: Target,
    pub(crate) from: Option<AgentName>,
    pub(crate) body: Bytes,
    pub(crate) timeout_ms: u64,
}

pub(crate) struct Sharing {
    pub(crate) target: Target,
    pub(crate) info: WeightsInfo,
    pub(crate) bytes: Bytes,
    pub(crate) timeout_ms: u64,
}

/// What the application has taken, for the driver to pick up. Bounded by what it was given.
#[derive(Default)]
pub(crate) struct Taken {
    items: Mutex<Vec<TakenItem>>,
    pub(crate) waker: AtomicWaker,
}

pub(crate) enum TakenItem {
    Message { from: NodeId, session: u64, number: u64 },
    Weights { from: NodeId, id: TransferId },
}

impl Taken {
    fn push(&self, item: TakenItem) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        self.waker.wake();
    }

    pub(crate) fn drain(&self) -> Vec<TakenItem> {
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A node, for the program around it. Cheap to clone; the node runs until one of the clones closes it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) node: NodeId,
    pub(crate) mesh: MeshId,
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) taken: Arc<Taken>,
}

impl Handle {
    /// This node's id.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Its mesh.
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Announces an agent of this node, or announces it anew.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`directory::Error`].
    pub async fn announce(&self, agent: AgentRecord) -> Result<Result<(), directory::Error>, Closed> {
        self.call(|reply| Call::Announce(agent, reply)).await
    }

    /// Withdraws an agent of this node.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`directory::Error`].
    pub async fn withdraw(&self, name: AgentName) -> Result<Result<(), directory::Error>, Closed> {
        self.call(|reply| Call::Withdraw(name, reply)).await
    }

    /// All agents that are known, this node's included.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn agents(&self) -> Result<Vec<PeerAgent>, Closed> {
        self.call(Call::Agents).await
    }

    /// Searches the mesh for agents on other nodes. Dropping the future ends the search.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`directory::Error`].
    pub async fn discover(
        &self,
        criteria: Criteria,
        options: SearchOptions,
    ) -> Result<Result<Vec<PeerAgent>, directory::Error>, Closed> {
        self.call(|reply| Call::Discover(criteria, options, reply)).await
    }

    /// Sends a message and waits until its receiver has it. Dropping the future gives it up.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`SendError`].
    pub async fn send(
        &self,
        target: Target,
        from: Option<AgentName>,
        body: Bytes,
        timeout_ms: u64,
    ) -> Result<Result<Receipt, SendError>, Closed> {
        let outgoing = Outgoing { target, from, body, timeout_ms };
        self.call(|reply| Call::Send(outgoing, reply)).await
    }

    /// The application has a message that it was given: its sender is told.
    pub fn taken(&self, from: NodeId, session: u64, number: u64) {
        self.taken.push(TakenItem::Message { from, session, number });
    }

    /// The application has weights that it was given: there is room for others.
    pub fn weights_taken(&self, from: NodeId, id: TransferId) {
        self.taken.push(TakenItem::Weights { from, id });
    }

    /// Broadcasts to the swarm.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`broadcast::Error`].
    pub async fn publish(&self, topic: String, body: Bytes) -> Result<Result<(), broadcast::Error>, Closed> {
        self.call(|reply| Call::Publish(topic, body, reply)).await
    }

    /// Shares weights and waits until the receiver has checked all of them. Dropping the future gives up.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`ShareFailed`].
    pub async fn share(
        &self,
        target: Target,
        info: WeightsInfo,
        bytes: Bytes,
        timeout_ms: u64,
    ) -> Result<Result<Shared, ShareFailed>, Closed> {
        let sharing = Sharing { target, info, bytes, timeout_ms };
        self.call(|reply| Call::Share(sharing, reply)).await
    }

    /// Begins to decide about a proposal. How that ends is an event.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`proposals::Error`].
    pub async fn propose(&self, proposal: Proposal) -> Result<Result<SlotId, proposals::Error>, Closed> {
        self.with(move |node, now| node.propose(proposal, now)).await
    }

    /// Waits for the end of a slot. One that ended long ago, or that nobody has heard of, is waited for in vain.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn ending(&self, slot: SlotId) -> Result<Ending, Closed> {
        self.call(|reply| Call::Await(slot, reply)).await
    }

    /// Says what this node thinks of a proposal.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`proposals::Error`].
    pub async fn vote(&self, slot: SlotId, ballot: Ballot) -> Result<Result<(), proposals::Error>, Closed> {
        self.with(move |node, now| node.vote(&slot, ballot, now)).await
    }

    /// Claims a resource for `length` milliseconds. Whose it is then is an event.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`proposals::Error`].
    pub async fn claim(&self, resource: String, length: u64) -> Result<Result<SlotId, proposals::Error>, Closed> {
        self.with(move |node, now| node.claim(&resource, length, now)).await
    }

    /// Gives a resource back.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`proposals::Error`].
    pub async fn release(&self, resource: String) -> Result<Result<(), proposals::Error>, Closed> {
        self.with(move |node, now| node.release(&resource, now)).await
    }

    /// Who holds a resource, and when it is now by the same clock.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn lease(&self, resource: String) -> Result<Option<(Lease, Now)>, Closed> {
        self.with(move |node, now| Some((node.lease(&resource, now)?, now))).await
    }

    /// Begins the next epoch with these voters, as the mesh's founder.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`proposals::Error`].
    pub async fn elect(&self, nodes: Vec<NodeId>) -> Result<Result<u64, proposals::Error>, Closed> {
        self.with(move |node, now| node.elect(nodes, now)).await
    }

    /// Who votes, if the mesh has a charter.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn electorate(&self) -> Result<Option<Electorate>, Closed> {
        self.with(|node, _| node.electorate()).await
    }

    /// The records of the epochs after the charter's.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn epochs(&self) -> Result<Vec<SignedEpoch>, Closed> {
        self.with(|node, _| node.chain().map(|chain| chain.epochs().to_vec()).unwrap_or_default()).await
    }

    /// What proves how a slot has ended, as long as it is remembered.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn record(&self, slot: SlotId) -> Result<Option<Record>, Closed> {
        self.with(move |node, _| node.record(&slot)).await
    }

    /// Issues an invite to the mesh, for one node, which may let in `invites` others a day. `relays` are addresses by which the
    /// mesh is reached.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`access::Error`].
    pub async fn invite(
        &self,
        relays: Vec<String>,
        what: (Role, u32),
        lifetime_s: u64,
    ) -> Result<Result<Invite, access::Error>, Closed> {
        let issued = self.with(move |node, now| node.invite(relays, what, lifetime_s, now)).await?;
        self.settled(issued).await
    }

    /// Issues what a node needs to come in whose id is known.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`access::Error`].
    pub async fn issue(&self, subject: NodeId, what: (Role, u32)) -> Result<Result<Pass, access::Error>, Closed> {
        let issued = self.with(move |node, now| node.issue(subject, what, now)).await?;
        self.settled(issued).await
    }

    /// Takes an invite or a credential back, for everybody.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`access::Error`].
    pub async fn revoke(&self, what: Revoke) -> Result<Result<(), access::Error>, Closed> {
        let revoked = self.with(move |node, now| node.revoke(what, now)).await?;
        self.settled(revoked.map(|write| Issued { it: (), write })).await
    }

    async fn settled<T>(&self, issued: Result<Issued<T>, access::Error>) -> Result<Result<T, access::Error>, Closed> {
        let Issued { it, write } = match issued {
            Ok(issued) => issued,
            Err(error) => return Ok(Err(error)),
        };
        let durable = self.call(|reply| Call::Settled(write, reply)).await?;
        Ok(if durable { Ok(it) } else { Err(access::Error::StoreFailed) })
    }

    /// What this node is in its mesh.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn membership(&self) -> Result<Membership, Closed> {
        self.with(|node, now| node.membership(now)).await
    }

    /// What this node comes in with, if the mesh has a charter.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn pass(&self) -> Result<Option<Pass>, Closed> {
        self.with(|node, _| node.pass()).await
    }

    pub(crate) fn with<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Node, Now) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Closed>> {
        let with_reply = |reply: Reply<T>| -> Call {
            Call::Node(Box::new(move |node, now| {
                let _ = reply.send(verb(node, now));
            }))
        };
        self.call(with_reply)
    }

    /// What is known of the network around this node, and which nodes are its seeds.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn topology(&self) -> Result<(Topology, Vec<NodeId>), Closed> {
        self.call(Call::Topology).await
    }

    /// Counters and gauges now.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn metrics(&self) -> Result<Metrics, Closed> {
        self.call(Call::Metrics).await
    }

    /// The host slept, or its network changed: links have a few seconds to show that they are alive, and what waits for
    /// its next try is tried now.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn wake(&self) -> Result<(), Closed> {
        self.call(Call::Wake).await
    }

    /// Says goodbye to the mesh and closes all links. Closing a closed node is no error.
    pub async fn close(&self) {
        let _ = self.call(Call::Close).await;
    }

    /// Asks something that may go unanswered.
    pub(crate) async fn give(&self, call: Call) -> Result<(), Closed> {
        let mut calls = self.calls.clone();
        calls.send(call).await.map_err(|_| Closed)
    }

    /// Asks, and waits for the answer.
    ///
    /// Only what is done here at once depends on the call: the code of a future that waits is there once for each type of answer.
    pub(crate) fn call<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> impl Future<Output = Result<T, Closed>> {
        let (reply, answer) = oneshot::channel();
        self.answer(call(reply), answer)
    }

    async fn answer<T>(&self, call: Call, answer: oneshot::Receiver<T>) -> Result<T, Closed> {
        self.give(call).await?;
        answer.await.map_err(|_| Closed)
    }
}
