//! Blocks: what the machine between store, Bitswap and program wants, as calls of libp2p and tasks beside the driver.

use std::collections::HashMap;

use cid::Cid;
use futures::SinkExt as _;
use futures::channel::oneshot;
use libp2p::kad::{self, store::RecordStore as _};
use mesh_bitswap::StreamError;
use mesh_bitswap::client::MAX_WANTS;
use mesh_bitswap::message::MessageError;
use mesh_core::Offence;
use mesh_unixfs::{Block, Entry, Root};

use super::*;
use crate::blocks::calls::{BlockStats, Call as BlocksCall, FetchOptions, ListOptions, ReadOptions};
use crate::blocks::fetch::MAX_OUT;
use crate::blocks::import;
use crate::blocks::progress::Meter;
use crate::blocks::service::{self, Blocks, JobId, Kept, Loaded, Output};
use crate::blocks::store::{BlockStore, BlockStoreError};
use crate::blocks::{BlocksError, DEFAULT_MEMORY, Dag, FetchFailed, Fetched, Limits, MAX_JOBS, MemoryBlocks};

/// Reports of the store and of imports that wait for the driver; a task past it waits itself.
const REPORTS: usize = 64;

/// Searches for providers in the DHT at once. One past it is not made; it is asked for again.
const MAX_SEARCHES: usize = 16;

// Each job has so many blocks asked for, so Bitswap never refuses one.
const _: () = assert!(MAX_JOBS * MAX_OUT <= MAX_WANTS);

/// The machine, and what it is connected with.
pub(super) struct Shell {
    pub(super) machine: Blocks,
    store: Arc<dyn BlockStore>,
    reports: mpsc::Sender<Report>,
    waiting: BTreeMap<JobId, Waiter>,
    /// Searches in the DHT, and for which root. There are none in a mesh that is not for everybody: its members tell each
    /// other what they have, and strangers, who may be in the DHT, need not know.
    searches: HashMap<kad::QueryId, Cid>,
    is_public: bool,
}

/// What tasks tell the driver.
pub(crate) enum Report {
    /// Something for the machine.
    Input(service::Input),
    /// Blocks of a file that is imported.
    Imported { job: JobId, blocks: Vec<Block>, last: Option<Root>, respond: oneshot::Sender<()> },
}

/// Who waits for a job.
enum Waiter {
    Fetch(Option<Meter>, Reply<Fetched>),
    Read(Reply<Result<Vec<Bytes>, BlocksError>>),
    List(Reply<Result<Vec<Entry>, BlocksError>>),
    Add(Option<oneshot::Sender<()>>, Reply<Result<(Root, Dag), BlocksError>>),
    Remove(Reply<Result<(), BlockStoreError>>),
    /// The core, which is to hold this.
    Hold(Cid),
}

impl Waiter {
    fn has_gone(&self) -> bool {
        match self {
            Self::Fetch(_, reply) => reply.is_canceled(),
            Self::Read(reply) => reply.is_canceled(),
            Self::List(reply) => reply.is_canceled(),
            Self::Add(_, reply) => reply.is_canceled(),
            // It is done all the same.
            Self::Remove(_) | Self::Hold(_) => false,
        }
    }
}

impl Shell {
    /// Learns what is kept.
    pub(super) async fn open(
        store: Option<Arc<dyn BlockStore>>,
        hears: Hears,
    ) -> Result<(Self, mpsc::Receiver<Report>), BlockStoreError> {
        let store = store.unwrap_or_else(|| Arc::new(MemoryBlocks::new(DEFAULT_MEMORY)));
        let machine = Blocks::new(Kept::new(store.list().await?));
        let (reports, reported) = mpsc::channel(REPORTS);
        let shell = Self {
            machine,
            store,
            reports,
            waiting: BTreeMap::new(),
            searches: HashMap::new(),
            is_public: hears == Hears::Everybody,
        };
        Ok((shell, reported))
    }

    pub(super) fn nobody_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What is kept, with the sizes.
    pub(super) fn list(&self) -> Vec<(Cid, u64)> {
        self.machine.kept().list()
    }

    /// Fetches what the core is to hold; whether that has begun.
    pub(super) fn hold(&mut self, cid: Cid, from: Vec<PeerId>, limits: Limits, now: Now) -> bool {
        let Ok(job) = self.machine.fetch(cid, from, limits, now.mono) else { return false };
        self.waiting.insert(job, Waiter::Hold(cid));
        true
    }

    /// The core need not hold it any more.
    pub(super) fn let_go(&mut self, cid: &Cid, now: Now) {
        let of = |waiter: &Waiter| matches!(waiter, Waiter::Hold(held) if held == cid);
        let jobs: Vec<_> = self.waiting.iter().filter(|(_, waiter)| of(waiter)).map(|(job, _)| *job).collect();
        for job in jobs {
            self.waiting.remove(&job);
            self.machine.cancel(job, now.mono);
        }
    }

    /// Does something with the store, beside the driver.
    fn task(&self, work: impl Future<Output = service::Input> + Send + 'static) {
        let mut reports = self.reports.clone();
        mesh_platform::spawn(async move {
            // Who is closed need not know.
            let _ = reports.send(Report::Input(work.await)).await;
        });
    }

    fn begun(&mut self, begun: Result<JobId, BlocksError>, waiter: Waiter) {
        match begun {
            Ok(job) => drop(self.waiting.insert(job, waiter)),
            Err(error) => match waiter {
                Waiter::Fetch(_, reply) => drop(reply.send(Err(FetchFailed::at_once(error)))),
                Waiter::Read(reply) => drop(reply.send(Err(error))),
                Waiter::List(reply) => drop(reply.send(Err(error))),
                Waiter::Add(_, reply) => drop(reply.send(Err(error))),
                // Nothing keeps it from beginning.
                Waiter::Remove(_) | Waiter::Hold(_) => {}
            },
        }
    }

    /// Gives up what nobody waits for any more.
    pub(super) fn sweep(&mut self, now: Now) {
        let gone: Vec<_> = self.waiting.iter().filter(|(_, waiter)| waiter.has_gone()).map(|(job, _)| *job).collect();
        for job in gone {
            self.machine.cancel(job, now.mono);
        }
    }
}

impl<H: Host> Driver<H> {
    pub(super) fn on_blocks_call(&mut self, call: BlocksCall, now: Now) {
        let Shell { machine, reports, .. } = &mut self.blocks;
        match call {
            BlocksCall::Add(pieces, reply) => {
                let begun = machine.import();
                if let Ok(job) = begun {
                    mesh_platform::spawn(import::import(job, pieces, reports.clone()));
                }
                self.blocks.begun(begun, Waiter::Add(None, reply));
            }
            BlocksCall::Adopt(block, FetchOptions { from, limits, meter }, reply) => {
                let begun = machine.adopt(block, from, limits, now.mono);
                self.blocks.begun(begun, Waiter::Fetch(meter, reply));
            }
            BlocksCall::Fetch(root, FetchOptions { from, limits, meter }, reply) => {
                let begun = machine.fetch(root, from, limits, now.mono);
                self.blocks.begun(begun, Waiter::Fetch(meter, reply));
            }
            BlocksCall::Read(cid, ReadOptions { range, max_bytes, from, patience_ms }, reply) => {
                let begun = machine.read(cid, (range, max_bytes), from, patience_ms, now.mono);
                self.blocks.begun(begun, Waiter::Read(reply));
            }
            BlocksCall::List(cid, ListOptions { max_entries, from, patience_ms }, reply) => {
                let begun = machine.list(cid, max_entries, from, patience_ms, now.mono);
                self.blocks.begun(begun, Waiter::List(reply));
            }
            BlocksCall::Has(cid, reply) => drop(reply.send(machine.kept().size(&cid))),
            BlocksCall::Remove(cids, reply) => {
                let job = machine.delete(cids, now.mono);
                self.blocks.begun(Ok(job), Waiter::Remove(reply));
            }
            BlocksCall::Stats(reply) => {
                let (kept, received) = (machine.kept(), machine.received());
                let sent = self.swarm.behaviour().bitswap.server().all_sent();
                let _ = reply.send(BlockStats { blocks: kept.blocks(), bytes: kept.bytes(), sent, received });
            }
        }
    }

    pub(super) fn on_blocks_report(&mut self, report: Report, now: Now) {
        match report {
            Report::Input(input) => self.blocks.machine.handle(input, now.mono),
            Report::Imported { job, blocks, last, respond } => {
                // One that is over drops `respond`, by which its task ends.
                if let Some(Waiter::Add(waits, _)) = self.blocks.waiting.get_mut(&job) {
                    *waits = Some(respond);
                    self.blocks.machine.handle(service::Input::Imported(job, blocks, last), now.mono);
                }
            }
        }
    }

    pub(super) fn on_bitswap(&mut self, event: mesh_bitswap::Event, now: Now) {
        match event {
            mesh_bitswap::Event::Got { block, from: _ } => {
                self.blocks.machine.handle(service::Input::Got(block), now.mono);
            }
            mesh_bitswap::Event::Look(look) => self.blocks.machine.handle(service::Input::Look(look), now.mono),
            mesh_bitswap::Event::Search(cid) => self.blocks.machine.handle(service::Input::Search(cid), now.mono),
            mesh_bitswap::Event::Bad { peer, error } => {
                tracing::debug!(%peer, %error, "bad bitswap");
                if let (Some(from), Some(offence)) = (node_of(&peer), offence_of(&error)) {
                    self.node.handle(Input::Offence { from, offence }, now);
                }
            }
        }
    }

    /// A peer may be asked for blocks: it is connected, or was let in.
    pub(super) fn may_ask(&mut self, peer: PeerId, now: Now) {
        self.blocks.machine.handle(service::Input::Connected(peer), now.mono);
    }

    /// Carries out what the machine wants until it wants nothing more. Whether it wanted anything.
    pub(super) fn drain_blocks(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Some(output) = self.blocks.machine.poll_output() {
            any = true;
            self.carry_out_blocks(output, now);
        }
        any
    }

    fn carry_out_blocks(&mut self, output: Output, now: Now) {
        let bitswap = &mut self.swarm.behaviour_mut().bitswap;
        match output {
            Output::Load(cid) => {
                let got = self.blocks.store.get(cid);
                self.blocks.task(async move { service::Input::Loaded(cid, loaded(cid, got.await)) });
            }
            Output::Put(blocks) => {
                let put = self.blocks.store.put(blocks);
                self.blocks.task(async move { service::Input::Written(put.await) });
            }
            Output::Delete(cids) => {
                let deleted = self.blocks.store.delete(cids);
                self.blocks.task(async move { service::Input::Written(deleted.await) });
            }
            Output::Want(cid, from) => {
                if let Err(error) = bitswap.want(cid, &from) {
                    tracing::error!(%cid, %error);
                }
            }
            Output::Cancel(cid) => bitswap.cancel(&cid),
            Output::Found(cid, peers) => bitswap.found(cid, &peers),
            Output::Added(cid) => bitswap.added(&cid),
            Output::Looked(peer, cid, found) => bitswap.looked(peer, cid, found),
            Output::Dial(peer) => {
                if let Some(node) = node_of(&peer).filter(|node| *node != self.node.id())
                    && !self.links.contains_key(&node)
                {
                    let addresses = self.node.addresses(&node).to_vec();
                    self.dial(node, &addresses, now);
                }
            }
            Output::Search(root) => self.search_providers(root),
            Output::Gone(cids) => self.gone(&cids, now),
            Output::Event(job, event) => self.on_blocks_event(job, event, now),
        }
    }

    fn on_blocks_event(&mut self, job: JobId, event: service::Event, now: Now) {
        match event {
            service::Event::Progress(progress) => {
                if let Some(Waiter::Fetch(Some(meter), _)) = self.blocks.waiting.get(&job) {
                    meter.show(progress);
                }
            }
            service::Event::Saved => {
                if let Some(Waiter::Add(waits, _)) = self.blocks.waiting.get_mut(&job)
                    && let Some(respond) = waits.take()
                {
                    let _ = respond.send(());
                }
            }
            service::Event::Fetched(result) => {
                let waiter = self.blocks.waiting.remove(&job);
                let held = match &waiter {
                    Some(Waiter::Hold(cid)) => Some(*cid),
                    Some(
                        Waiter::Fetch(..) | Waiter::Read(_) | Waiter::List(_) | Waiter::Add(..) | Waiter::Remove(_),
                    )
                    | None => None,
                };
                match &result {
                    Ok(dag) => self.whole(dag, now),
                    Err(failed) => self.dag_failed(failed, held, now),
                }
                if let Some(Waiter::Fetch(_, reply)) = waiter {
                    let _ = reply.send(result);
                }
            }
            service::Event::Added(result) => {
                if let Ok((_, dag)) = &result {
                    self.whole(dag, now);
                }
                if let Some(Waiter::Add(_, reply)) = self.blocks.waiting.remove(&job) {
                    let _ = reply.send(result);
                }
            }
            service::Event::Read(result) => {
                if let Some(Waiter::Read(reply)) = self.blocks.waiting.remove(&job) {
                    let _ = reply.send(result);
                }
            }
            service::Event::Listed(result) => {
                if let Some(Waiter::List(reply)) = self.blocks.waiting.remove(&job) {
                    let _ = reply.send(result);
                }
            }
            service::Event::Deleted(result) => {
                if let Some(Waiter::Remove(reply)) = self.blocks.waiting.remove(&job) {
                    let _ = reply.send(result);
                }
            }
        }
    }

    /// All blocks of this DAG are kept, and count as one thing from now on. The core decides how long.
    fn whole(&mut self, dag: &Dag, now: Now) {
        tracing::debug!(root = %dag.root, blocks = dag.blocks.len(), bytes = dag.bytes(), "kept");
        self.dag_kept(dag, now);
        if self.blocks.is_public
            && let Err(error) = self.swarm.behaviour_mut().kad.start_providing(key_of(&dag.root))
        {
            tracing::debug!(root = %dag.root, %error, "not provided in the DHT");
        }
    }

    /// These blocks are not kept any more.
    fn gone(&mut self, cids: &[Cid], now: Now) {
        self.blocks_gone(cids, now);
        if self.blocks.is_public {
            let kad = &mut self.swarm.behaviour_mut().kad;
            cids.iter().for_each(|cid| kad.stop_providing(&key_of(cid)));
        }
    }

    fn search_providers(&mut self, root: Cid) {
        if self.blocks.is_public && self.blocks.searches.len() < MAX_SEARCHES {
            let query = self.swarm.behaviour_mut().kad.get_providers(key_of(&root));
            self.blocks.searches.insert(query, root);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the DHT tells much that means nothing here")]
    pub(super) fn on_kad(&mut self, event: kad::Event, now: Now) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id, result: kad::QueryResult::GetProviders(result), step, ..
            } => {
                let Some(root) = self.blocks.searches.get(&id).copied() else { return };
                if step.last {
                    self.blocks.searches.remove(&id);
                }
                if let Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) = result {
                    let local = *self.swarm.local_peer_id();
                    let peers = providers.into_iter().filter(|peer| *peer != local).collect();
                    self.blocks.machine.handle(service::Input::Providers(root, peers), now.mono);
                }
            }
            kad::Event::InboundRequest { request: kad::InboundRequest::AddProvider { record: Some(record) } }
                if self.blocks.is_public =>
            {
                if let Err(error) = self.swarm.behaviour_mut().kad.store_mut().add_provider(record) {
                    tracing::debug!(%error, "a provider is not remembered");
                }
            }
            // Whoever provides something before it knows anybody tells nobody, and would again half a day later.
            kad::Event::RoutingUpdated { is_new_peer: true, .. } if self.blocks.is_public => {
                let kad = &mut self.swarm.behaviour_mut().kad;
                let peers: usize = kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
                let keys: Vec<_> = match peers {
                    1 => kad.store_mut().provided().map(|record| record.key.clone()).collect(),
                    _ => Vec::new(),
                };
                for key in keys {
                    let _ = kad.start_providing(key);
                }
            }
            _ => {}
        }
    }
}

/// What a read of the store has given. Hashes it, for a disk forgets.
fn loaded(cid: Cid, got: Result<Option<Bytes>, BlockStoreError>) -> Loaded {
    match got {
        Ok(Some(data)) => match Block::verified(cid, data) {
            Ok(block) => Loaded::Block(block),
            Err(_) => Loaded::Damaged,
        },
        Ok(None) => Loaded::Missing,
        Err(error) => {
            tracing::error!(%cid, %error);
            Loaded::Failed(error)
        }
    }
}

fn key_of(cid: &Cid) -> kad::RecordKey {
    kad::RecordKey::new(&cid.hash().to_bytes())
}

/// What of it is no mishap.
fn offence_of(error: &StreamError) -> Option<Offence> {
    match error {
        StreamError::Message(MessageError::TooLong(_) | MessageError::TooManyBlocks) => Some(Offence::TooLarge),
        StreamError::Message(
            MessageError::Wire(_) | MessageError::Type(_) | MessageError::Cid(_) | MessageError::Block(_),
        ) => Some(Offence::Malformed),
        StreamError::Io(_) | StreamError::Stalled => None,
    }
}
