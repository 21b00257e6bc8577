//! Transfer streams: the bytes of weights, in both directions. What is accepted, resumed and given up is decided in
//! [`mesh_core::weights`]; this is what carries it out.
//!
//! The driver owns one [`Transfers`] and connects it to its node:
//!
//! | when | what |
//! |---|---|
//! | a [`Report`] comes in | [`Transfers::input`]; if that gives an input, hand it to the node |
//! | the node wants a [`Command`] | [`Transfers::carry_out`], with a way to open a stream |
//! | a peer opens a stream of [`PROTOCOL`] | [`Transfers::accept`] |
//! | a program shares weights | [`Transfers::keep`], before the node's outputs are drained |
//! | the node says `weights::Event::Received` | [`Transfers::take`] |
//!
//! One task runs for each stream, [`send`] or [`receive`]. Tasks own no bytes: what has arrived stays in [`Transfers`]
//! when a stream breaks, and the next stream's task goes on with it. They report over a bounded channel and wait when
//! the driver is behind, and so does whoever is at the other end.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::future::{AbortHandle, abortable};
use futures::{AsyncRead, AsyncWrite, SinkExt as _};
use libp2p::StreamProtocol;
use mesh_core::Offence;
use mesh_core::weights::{Command, Decision, Input, SendReport, Ticket};
use mesh_platform::CondSend;
use mesh_proto::transfer::{Manifest, Refusal};
use mesh_proto::{MeshId, NodeId, TransferId, protocol};

use crate::frames::ReadError;
use crate::streams::OpenError;

mod receive;
mod send;

/// The protocol's name, as libp2p wants it.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new(protocol::TRANSFER);

/// Reports that wait for the driver, besides one for each stream.
const REPORTS: usize = 64;

/// Streams that one peer may have open towards us. It needs one for each transfer; those of a link that is going down
/// may linger beside them. One past it is reset.
const MAX_STREAMS_PER_PEER: usize = 16;

/// Bytes of transfers and the tasks of their streams.
pub(crate) struct Transfers {
    mesh: MeshId,
    reports: mpsc::Sender<Report>,
    outgoing: BTreeMap<Key, Parcel>,
    incoming: BTreeMap<Key, Shared>,
    streams: BTreeMap<Ticket, Running>,
    /// Streams that peers have opened so far.
    inbound: u64,
}

type Key = (NodeId, TransferId);

/// What tasks tell the driver, for [`Transfers::input`].
#[derive(Debug)]
pub(crate) enum Report {
    /// Something for the node.
    Input(Input),
    /// A peer offers something, and its task waits for an answer.
    Offered { from: NodeId, ticket: Ticket, manifest: Arc<Manifest>, respond: oneshot::Sender<Answer> },
    /// A stream's task has ended, with something for the node or without.
    Ended { ticket: Ticket, input: Option<Input> },
}

/// What a task is told about the offer that it reported.
#[derive(Debug)]
pub(crate) enum Answer {
    Accept(Shared),
    Known,
    Refuse(Refusal),
}

/// What is sent.
#[derive(Clone, Debug)]
struct Parcel {
    manifest: Arc<Manifest>,
    bytes: Bytes,
}

/// What has arrived of a transfer. The task whose ticket is in it may add to it.
#[derive(Debug)]
pub(crate) struct Partial {
    manifest: Arc<Manifest>,
    owner: Ticket,
    /// As they came: what was promised costs nothing, and nothing is moved to make room.
    chunks: Vec<Bytes>,
}

/// One between [`Transfers`] and the tasks. Locked for a copy at most, never over an await.
type Shared = Arc<Mutex<Partial>>;

struct Running {
    peer: NodeId,
    abort: AbortHandle,
    offer: Option<(Arc<Manifest>, oneshot::Sender<Answer>)>,
}

impl Transfers {
    /// No transfers; and where their reports come from.
    pub(crate) fn new(mesh: MeshId) -> (Self, mpsc::Receiver<Report>) {
        let (reports, incoming) = mpsc::channel(REPORTS);
        let transfers = Self {
            mesh,
            reports,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            streams: BTreeMap::new(),
            inbound: 0,
        };
        (transfers, incoming)
    }

    /// Keeps what the node was asked to share until it says [`Command::Release`]. `manifest` describes `bytes`.
    pub(crate) fn keep(&mut self, to: NodeId, manifest: Arc<Manifest>, bytes: Bytes) {
        self.outgoing.insert((to, manifest.id), Parcel { manifest, bytes });
    }

    /// The chunks of what has arrived, whole and checked; `None` when there is no such transfer.
    pub(crate) fn take(&mut self, from: NodeId, id: TransferId) -> Option<(Arc<Manifest>, Vec<Bytes>)> {
        let partial = self.incoming.remove(&(from, id))?;
        let mut partial = lock(&partial);
        let chunks = std::mem::take(&mut partial.chunks);
        (chunks.len() == partial.manifest.hashes.len()).then(|| (partial.manifest.clone(), chunks))
    }

    /// Serves a stream that `from` has opened.
    pub(crate) fn accept<S>(&mut self, from: NodeId, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let theirs =
            |(ticket, running): &(&Ticket, &Running)| matches!(ticket, Ticket::Inbound(_)) && running.peer == from;
        if self.streams.iter().filter(theirs).count() >= MAX_STREAMS_PER_PEER {
            return;
        }
        self.inbound += 1;
        let ticket = Ticket::Inbound(self.inbound);
        let inbound = receive::Inbound { mesh: self.mesh, from, ticket, reports: self.reports.clone() };
        self.run(ticket, from, receive::receive(stream, inbound));
    }

    /// Does what the node wants. `open` opens a stream to a peer that is connected.
    pub(crate) fn carry_out<S, F>(&mut self, command: Command, open: impl FnOnce(NodeId) -> F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Result<S, OpenError>> + CondSend + 'static,
    {
        match command {
            Command::Open { to, id, ticket } => self.open(to, id, ticket, open(to)),
            Command::Decide { ticket, decision } => self.decide(ticket, decision),
            Command::Close(ticket) => {
                // The task's last report takes it off the list.
                if let Some(running) = self.streams.get(&ticket) {
                    running.abort.abort();
                }
            }
            Command::Release { to, id } => drop(self.outgoing.remove(&(to, id))),
            Command::Discard { from, id } => drop(self.incoming.remove(&(from, id))),
        }
    }

    /// What a report means to the node.
    pub(crate) fn input(&mut self, report: Report) -> Option<Input> {
        match report {
            Report::Input(input) => Some(input),
            Report::Ended { ticket, input } => {
                self.streams.remove(&ticket);
                input
            }
            Report::Offered { from, ticket, manifest, respond } => {
                self.streams.get_mut(&ticket)?.offer = Some((manifest.clone(), respond));
                Some(Input::Offered { from, ticket, manifest })
            }
        }
    }

    fn open<S, F>(&mut self, to: NodeId, id: TransferId, ticket: Ticket, opening: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Result<S, OpenError>> + CondSend + 'static,
    {
        let Some(parcel) = self.outgoing.get(&(to, id)).cloned() else {
            tracing::error!(%id, "no bytes were kept for this transfer");
            return;
        };
        let outbound = send::Outbound { mesh: self.mesh, to, ticket, parcel, reports: self.reports.clone() };
        self.run(ticket, to, async move {
            let report = match opening.await {
                Ok(stream) => return send::send(stream, outbound).await,
                Err(OpenError::Unsupported) => SendReport::Unsupported,
                Err(OpenError::Failed) => SendReport::Broken,
            };
            Some(outbound.input(report))
        });
    }

    fn decide(&mut self, ticket: Ticket, decision: Decision) {
        let Some(running) = self.streams.get_mut(&ticket) else { return };
        let Some((manifest, respond)) = running.offer.take() else { return };
        let answer = match decision {
            Decision::Accept => {
                let key = (running.peer, manifest.id);
                let partial = self.incoming.entry(key).or_insert_with(|| Partial::shared(manifest, ticket));
                lock(partial).owner = ticket;
                Answer::Accept(partial.clone())
            }
            Decision::Known => Answer::Known,
            Decision::Refuse(reason) => Answer::Refuse(reason),
        };
        // A task that is gone has said so.
        let _ = respond.send(answer);
    }

    fn run(&mut self, ticket: Ticket, peer: NodeId, task: impl Future<Output = Option<Input>> + CondSend + 'static) {
        let (task, abort) = abortable(task);
        let running = Running { peer, abort, offer: None };
        self.streams.insert(ticket, running);
        let mut reports = self.reports.clone();
        mesh_platform::spawn(async move {
            let input = task.await.ok().flatten();
            let _ = reports.send(Report::Ended { ticket, input }).await;
        });
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        for running in self.streams.values() {
            running.abort.abort();
        }
    }
}

impl Partial {
    fn shared(manifest: Arc<Manifest>, owner: Ticket) -> Shared {
        Arc::new(Mutex::new(Self { manifest, owner, chunks: Vec::new() }))
    }

    /// Number of leading chunks that are here.
    fn have(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// Adds the next chunk, which was checked. `None` for a task whose stream was replaced.
    fn append(&mut self, task: Ticket, chunk: Bytes) -> Option<u32> {
        if task != self.owner {
            return None;
        }
        self.chunks.push(chunk);
        Some(self.have())
    }
}

fn lock(partial: &Shared) -> std::sync::MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a stream ends before its transfer does.
#[derive(Debug)]
enum Stop {
    /// It broke.
    Broken,
    /// The remote broke the protocol.
    Offence(Offence),
    /// The receiver does not want the transfer.
    Refused(Refusal),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(_) => Self::Broken,
            ReadError::Offence(offence) => Self::Offence(offence),
        }
    }
}

#[cfg(test)]
mod tests;
