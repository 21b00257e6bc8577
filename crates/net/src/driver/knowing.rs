//! Knowledge: what the core wants done with blocks, and who waits for what it tells.

use cid::Cid;
use futures::SinkExt as _;
use mesh_core::knowledge::{self, Blocks, Command};
use mesh_core::node::{self, Ticket};
use mesh_core::records::Change;

use super::*;
use crate::blocks::store::BlockStoreError;
use crate::blocks::{BlocksError, Dag, FetchFailed, Limits};
use crate::knowledge::Call;

/// What the blocks of content may have beside its bytes: a hundredth, and 64 KiB. Helia's layout takes a ten-thousandth.
const fn with_nodes(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 100).saturating_add(64 * 1024)
}

/// Milliseconds in which nothing comes of a fetch that nobody here waits for. The core tries again later.
const PATIENCE_MS: u64 = 12_000;

/// Who waits for knowledge.
#[derive(Default)]
pub(super) struct Waiting {
    writes: BTreeMap<u64, Reply<bool>>,
    questions: BTreeMap<u64, Reply<Vec<NodeId>>>,
    holders: BTreeMap<Cid, Vec<Reply<()>>>,
    compared: BTreeMap<(NodeId, mesh_proto::knowledge::Domain), Vec<Reply<knowledge::Done>>>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        let Self { writes, questions, holders, compared } = self;
        writes.is_empty() && questions.is_empty() && holders.is_empty() && compared.is_empty()
    }

    fn sweep(&mut self) {
        self.writes.retain(|_, reply| !reply.is_canceled());
        self.questions.retain(|_, reply| !reply.is_canceled());
        self.holders.retain(|_, replies| {
            replies.retain(|reply| !reply.is_canceled());
            !replies.is_empty()
        });
        self.compared.retain(|_, replies| {
            replies.retain(|reply| !reply.is_canceled());
            !replies.is_empty()
        });
    }
}

/// Entries on their way to the store: one write at a time, with all that has come by then.
#[derive(Default)]
pub(super) struct Writes {
    busy: bool,
    waiting: VecDeque<(u64, Vec<Change>)>,
}

/// Changes in one write: of the largest entries, 4 MiB.
const MAX_CHANGES: usize = 1_024;

impl<H: Host> Driver<H> {
    /// Puts entries into the store.
    pub(super) fn keep_entries(&mut self, write: u64, changes: Vec<Change>) {
        self.entry_writes.waiting.push_back((write, changes));
        self.write_entries();
    }

    fn write_entries(&mut self) {
        if self.entry_writes.busy || self.entry_writes.waiting.is_empty() {
            return;
        }
        let (mut writes, mut changes) = (Vec::new(), Vec::new());
        while changes.len() < MAX_CHANGES
            && let Some((write, some)) = self.entry_writes.waiting.pop_front()
        {
            writes.push(write);
            changes.extend(some);
        }
        self.entry_writes.busy = true;
        let store = self.entries.clone();
        let mut reports = self.reports.clone();
        mesh_platform::spawn(async move {
            let durable = store::keep_entries(store, changes).await;
            // Who is closed need not know.
            let _ = reports.send(Report::EntriesKept { writes, durable }).await;
        });
    }

    /// They are there, or are not.
    pub(super) fn entries_kept(&mut self, writes: Vec<u64>, durable: bool, now: Now) {
        self.entry_writes.busy = false;
        for write in writes {
            self.node.handle(Input::Kept { ticket: Ticket::Knowledge(write), durable }, now);
        }
        self.write_entries();
    }

    pub(super) fn on_knowledge_call(&mut self, call: Call, now: Now) {
        match call {
            Call::Settled(write, reply) => match self.known_writes.get(&write) {
                Some(durable) => {
                    let _ = reply.send(*durable);
                }
                None => {
                    self.knowing.writes.insert(write, reply);
                }
            },
            Call::WhoHas(cid, reply) => match self.node.who_has(cid, now) {
                Ok(question) => {
                    self.knowing.questions.insert(question, reply);
                }
                // Whoever asks is told that nobody has answered.
                Err(error) => tracing::debug!(%cid, %error),
            },
            Call::Held(cid, reply) => {
                self.knowing.holders.entry(cid).or_default().push(reply);
                self.tell_of_holders();
            }
            Call::Compare(peer, domain, reply) => {
                if self.node.compare(peer, domain.clone(), now) {
                    self.knowing.compared.entry((peer, domain)).or_default().push(reply);
                }
            }
        }
    }

    /// Carries out what the core wants of blocks.
    pub(super) fn on_blocks_command(&mut self, command: Command, now: Now) {
        match command {
            Command::Fetch { cid, size, from } => {
                let from = from.iter().filter_map(peer_of).collect();
                let limits = Limits { bytes: with_nodes(size), patience_ms: PATIENCE_MS, ..Limits::default() };
                if !self.blocks.hold(cid, from, limits, now) {
                    self.node.handle(Input::Blocks(Blocks::Failed { cid, full: false }), now);
                }
            }
            Command::Cancel { cid } => self.blocks.let_go(&cid, now),
            Command::Remove { blocks } => {
                self.blocks.machine.delete(blocks, now.mono);
            }
        }
    }

    /// All blocks of this DAG are kept.
    pub(super) fn dag_kept(&mut self, dag: &Dag, now: Now) {
        let (cid, blocks) = (dag.root, dag.blocks.clone());
        self.node.handle(Input::Blocks(Blocks::Fetched { cid, blocks }), now);
    }

    /// A fetch got some of its blocks; `held` if the core has asked for it.
    pub(super) fn dag_failed(&mut self, failed: &FetchFailed, held: Option<Cid>, now: Now) {
        if !failed.kept.is_empty() {
            self.node.handle(Input::Blocks(Blocks::Found(failed.kept.clone())), now);
        }
        if let Some(cid) = held {
            let full = matches!(failed.error, BlocksError::Store(BlockStoreError::Full));
            self.node.handle(Input::Blocks(Blocks::Failed { cid, full }), now);
        }
    }

    /// These blocks are not kept any more.
    pub(super) fn blocks_gone(&mut self, cids: &[Cid], now: Now) {
        self.node.handle(Input::Blocks(Blocks::Lost(cids.to_vec())), now);
    }

    /// Gives an event to whoever waits for it; what is left is the application's.
    pub(super) fn tell_knowledge(&mut self, event: knowledge::Event) {
        match event {
            knowledge::Event::Settled { write, durable } => match self.knowing.writes.remove(&write) {
                Some(reply) => {
                    let _ = reply.send(durable);
                }
                None => {
                    self.known_writes.insert(write, durable);
                    if self.known_writes.len() > MAX_KNOWN_WRITES {
                        self.known_writes.pop_first();
                    }
                }
            },
            knowledge::Event::Holders { question, cid: _, holders } => {
                if let Some(reply) = self.knowing.questions.remove(&question) {
                    let _ = reply.send(holders);
                }
            }
            knowledge::Event::Held { .. } => {
                self.tell_of_holders();
                self.events.push(Event::Core(node::Event::Knowledge(event)));
            }
            knowledge::Event::Compared(ref done) => {
                for reply in self.knowing.compared.remove(&(done.peer, done.domain.clone())).unwrap_or_default() {
                    let _ = reply.send(done.clone());
                }
                if done.received > 0 || !done.whole {
                    self.events.push(Event::Core(node::Event::Knowledge(event)));
                }
            }
            event @ (knowledge::Event::Changed { .. }
            | knowledge::Event::Expired { .. }
            | knowledge::Event::Repaired { .. }) => self.events.push(Event::Core(node::Event::Knowledge(event))),
        }
    }

    /// Tells those who wait until content is where it was placed.
    pub(super) fn tell_of_holders(&mut self) {
        let Self { knowing, node, .. } = self;
        knowing.holders.retain(|cid, replies| {
            let safe = node.knowledge().is_safe(cid);
            if safe {
                for reply in std::mem::take(replies) {
                    let _ = reply.send(());
                }
            }
            !safe
        });
    }

    pub(super) fn sweep_knowledge(&mut self) {
        self.tell_of_holders();
        self.knowing.sweep();
    }
}

/// Writes whose end is remembered for a caller that has not asked yet.
const MAX_KNOWN_WRITES: usize = 1_024;
