//! The loop: whatever happens becomes an input of the core, and what the core wants is done.
//!
//! It takes what is ready, in turns, so that no source can shut out another: events of the swarm, calls of the program,
//! reports of stream tasks. Only when nothing more is ready, or a turn is full, does it let the core's timers run: what
//! the core batches (signatures, acknowledgements) then covers all that was ready together.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::AbortHandle;
use futures::{FutureExt as _, StreamExt as _};
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub;
use libp2p::swarm::{self, ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use mesh_core::directory::{self, PeerAgent, SearchId};
use mesh_core::knowledge::{Blocks, Restored};
use mesh_core::node::{self, CallId, Input, Node, Receipt, SendError};
use mesh_core::{Mono, Now};
use mesh_proto::direct::Frame;
use mesh_proto::protocol::Topic;
use mesh_proto::{MeshId, NodeId, SlotId, TransferId, credential, join, ordered};

use crate::behaviour::{Behaviour, BehaviourEvent, Hears};
use crate::blocks::BlockStoreError;
use crate::calls::{Call, Ending, Handle, Reply, ShareFailed, Shared, Taken, TakenItem};
use crate::config::{Config, Role};
use crate::direct::{self, Report};
use crate::events::{Event, EventSender, EventStream};
use crate::host::{Host, HostAction};
use crate::identity::{entropy, node_of, peer_of};
use crate::redeem::addresses_of;
use crate::slow::Slow;
use crate::store::{self, FoundingError, Store};
use crate::streams::Inbound;
use crate::transfer::{self, Transfers};
use crate::transport::{self, Built, TransportError};
use crate::{events, gossip};

mod admitting;
mod asked;
pub(crate) mod blocks;
mod dials;
mod knowing;
mod links;
mod wake;
mod wanted;

/// Things that are taken before the core's timers run.
const TURN: usize = 128;
/// Reports of stream tasks that wait for the driver; a task past it waits itself, and so does its remote.
const REPORTS: usize = 256;
/// Milliseconds of work after which the host gets to run, in JavaScript its events too.
const BUSY_MS: u64 = 8;
/// Milliseconds that a goodbye and the last answers have to leave, once they are on their way.
const GOODBYE_MS: u64 = 150;
/// Milliseconds that a closing node waits for answers that cannot leave yet, at most.
const ANSWERS_MS: u64 = 1_000;
/// Envelopes that wait because every neighbour's queue is full: 16 MiB at most. Past it the oldest counts as unpublished.
const MAX_CONGESTED: usize = 256;
/// Milliseconds after which they are tried again.
const CONGESTED_MS: u64 = 20;
/// Milliseconds between two looks for callers that do not wait any more.
const SWEEP_MS: u64 = 100;

/// A node that runs.
pub struct Running {
    /// Asks things of it.
    pub handle: Handle,
    /// Tells what happens.
    pub events: EventStream,
    /// Where it listens, with its peer id, ready to paste.
    pub listening: Vec<Multiaddr>,
}

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(getrandom::Error),
    /// The transports could not be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The block store fails.
    #[error(transparent)]
    Blocks(#[from] BlockStoreError),
    /// It cannot be a member of its chartered mesh.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system says.
        reason: String,
    },
    /// A relay's address does not end in its peer id.
    #[error("{0} does not end in /p2p/<peer id>, so nobody can tell whether the right node answers")]
    NoPeerId(Multiaddr),
}

/// Starts a node: it listens, and dials its relays in the background for as long as it runs.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start<H: Host>(config: Config, mut host: H) -> Result<Running, StartError> {
    let rtc = host.rtc();
    let mut records = store::load(&config).await?;
    let mut entries = store::load_entries(&config).await?;
    let known = Restored::take(if config.entries.is_some() { &mut entries } else { &mut records });
    known.damaged.iter().for_each(|key| tracing::warn!(key, "a record of knowledge is damaged and counts as missing"));
    let founding = store::found(&config, records, rtc.clone()).await?;
    let now = mesh_platform::now();
    let seeds = links::seeds(&config.relays)?;
    // The relays of a private mesh may be those of others, who know none of its members.
    let private = founding.as_ref().filter(|founding| !founding.charter().open);
    let issuers = private.map(|founding| founding.issuers(&config.identity.node())).unwrap_or_default();
    let contacts: BTreeMap<_, _> = ordered(issuers.into_iter().map(|node| (node, addresses_of(&node, &config.relays))));
    let hears = if private.is_some() { Hears::Members } else { Hears::Everybody };
    let (blocks, blocks_reported) = blocks::Shell::open(config.blocks.clone(), hears).await?;
    let Built { transport, relay, webrtc } = transport::build(&config, rtc)?;
    let extra = host.behaviour(config.identity.libp2p());
    let behaviour = Behaviour::new(&config, hears, relay, webrtc, extra);
    let executor = swarm::Config::with_executor(Box::new(mesh_platform::spawn))
        .with_idle_connection_timeout(std::time::Duration::from_secs(60));
    let mut swarm = Swarm::new(transport, behaviour, config.identity.peer_id(), executor);
    for address in &config.external {
        swarm.add_external_address(address.clone());
    }
    let early = links::listen(&mut swarm, &config.listen).await?;
    let listening = links::listening(&swarm);

    let entropy = entropy().map_err(StartError::Entropy)?;
    let key = config.identity.mesh().clone();
    let mut core = config.core;
    core.charter = founding;
    core.known = known;
    core.contacts = contacts.keys().copied().collect();
    core.directory.relay = config.role == Role::Hub;
    let node = Node::new(core, key, config.mesh, seeds.keys().copied(), entropy, now);
    let (calls, inbox) = mpsc::channel(crate::calls::CALLS);
    let taken = Arc::new(Taken::default());
    let handle = Handle { node: node.id(), mesh: node.mesh(), calls, taken: taken.clone() };
    let (sender, events) = events::queue();
    let (reports, reported) = mpsc::channel(REPORTS);
    let (transfers, transferred) = Transfers::new(config.mesh);
    let mut driver = Driver {
        mesh: config.mesh,
        role: config.role,
        swarm,
        host,
        node,
        seeds,
        contacts,
        links: BTreeMap::new(),
        dials: dials::Dials::default(),
        upgrades: BTreeMap::new(),
        slow: Slow::default(),
        proof: None,
        reservations: BTreeMap::new(),
        inbound: BTreeMap::new(),
        serving: BTreeMap::new(),
        showing: BTreeMap::new(),
        early: BTreeMap::new(),
        settled: (0, true),
        directs: BTreeMap::new(),
        entries: config.entries.or_else(|| config.store.clone()),
        store: config.store,
        transfers,
        transferred,
        knowing: knowing::Waiting::default(),
        known_writes: BTreeMap::new(),
        entry_writes: knowing::Writes::default(),
        blocks,
        blocks_reported,
        reports,
        reported,
        calls: inbox,
        taken,
        events: sender,
        congested: VecDeque::new(),
        waiting: Waiting::default(),
        tickets: Tickets::default(),
        next_ticket: 0,
        next_source: 0,
        closing: None,
    };
    let found = driver.blocks.list();
    driver.node.handle(Input::Blocks(Blocks::Found(found)), now);
    driver.listens();
    for event in early {
        driver.on_swarm(event, now);
        driver.drain(now);
    }
    mesh_platform::spawn(driver.run());
    Ok(Running { handle, events, listening })
}

type Timer = (Mono, Pin<Box<dyn Future<Output = ()> + Send>>);
type MeshSwarm<H> = Swarm<Behaviour<<H as Host>::Behaviour>>;
type MeshEvent<H> = SwarmEvent<BehaviourEvent<<H as Host>::Behaviour>>;

/// Everything that runs in the driver's task.
struct Driver<H: Host> {
    mesh: MeshId,
    role: Role,
    swarm: MeshSwarm<H>,
    host: H,
    node: Node,
    /// Addresses of the relays and bootstrap nodes to stay in touch with.
    seeds: BTreeMap<NodeId, Vec<Multiaddr>>,
    /// Addresses of other members to stay in touch with.
    contacts: BTreeMap<NodeId, Vec<Multiaddr>>,
    /// Connections, by node. The swarm may have several to one.
    links: BTreeMap<NodeId, BTreeMap<ConnectionId, links::Connection>>,
    /// Attempts to reach nodes. No more than the core asks for.
    dials: dials::Dials,
    /// Dials that are to replace a relayed connection.
    upgrades: BTreeMap<ConnectionId, NodeId>,
    /// Links have to show that they are alive.
    proof: Option<wake::Proof>,
    /// Neighbours that are behind.
    slow: Slow,
    /// Circuit listeners, by relay.
    reservations: BTreeMap<NodeId, ListenerId>,
    /// Direct streams that each peer has open to us, by number.
    inbound: BTreeMap<NodeId, BTreeMap<u64, AbortHandle>>,
    /// Number of streams that each peer has open to us to ask or show something once.
    serving: BTreeMap<NodeId, usize>,
    /// Where we show neighbours who we are.
    showing: BTreeMap<NodeId, mpsc::Sender<credential::Frame>>,
    /// Streams of neighbours that have not shown yet who they are.
    early: BTreeMap<NodeId, Vec<Inbound>>,
    /// Up to which write what we have issued may be given away, and whether.
    settled: (u64, bool),
    /// Our direct streams, by the node at their other end.
    directs: BTreeMap<NodeId, Box<Direct>>,
    store: Option<Arc<dyn Store>>,
    /// Where entries of knowledge are kept.
    entries: Option<Arc<dyn Store>>,
    transfers: Transfers,
    transferred: mpsc::Receiver<transfer::Report>,
    /// Who waits for knowledge, and what became of entries that nobody has asked for yet.
    knowing: knowing::Waiting,
    known_writes: BTreeMap<u64, bool>,
    entry_writes: knowing::Writes,
    blocks: blocks::Shell,
    blocks_reported: mpsc::Receiver<blocks::Report>,
    reports: mpsc::Sender<Report>,
    reported: mpsc::Receiver<Report>,
    calls: mpsc::Receiver<Call>,
    taken: Arc<Taken>,
    events: EventSender,
    /// Envelopes that found every neighbour's queue full, in order.
    congested: VecDeque<(Topic, Bytes)>,
    waiting: Waiting,
    tickets: Tickets,
    next_ticket: u64,
    next_source: usize,
    closing: Option<Closing>,
}

/// A direct stream of ours: being opened, or open.
struct Direct {
    generation: u64,
    frames: Option<mpsc::Sender<Frame>>,
}

/// Callers that wait for the end of what they asked for.
#[derive(Default)]
struct Waiting {
    sends: BTreeMap<CallId, Reply<Result<Receipt, SendError>>>,
    searches: BTreeMap<SearchId, Reply<Result<Vec<PeerAgent>, directory::Error>>>,
    shares: BTreeMap<(NodeId, TransferId), Reply<Result<Shared, ShareFailed>>>,
    slots: BTreeMap<SlotId, Vec<Reply<Ending>>>,
    writes: BTreeMap<u64, Vec<Reply<bool>>>,
    next_sweep: Mono,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.searches.is_empty()
            && self.shares.is_empty()
            && self.slots.is_empty()
            && self.writes.is_empty()
    }
}

/// What the core's answers are for.
#[derive(Default)]
struct Tickets {
    gossip: BTreeMap<u64, (gossipsub::MessageId, PeerId)>,
    joins: BTreeMap<u64, Reply<Vec<join::Reply>>>,
    admissions: BTreeMap<u64, Reply<Box<credential::Answer>>>,
}

/// The node says goodbye.
struct Closing {
    reply: Option<Reply<()>>,
    /// When it ends.
    end: Mono,
    /// When it stops waiting for answers to leave.
    patience: Mono,
}

enum Wake<H: Host> {
    Swarm(Box<MeshEvent<H>>),
    Call(Option<Call>),
    Report(Report),
    Taken(Vec<TakenItem>),
    Transfer(transfer::Report),
    Blocks(blocks::Report),
}

impl<H: Host> Driver<H> {
    async fn run(mut self) {
        // The core has something to do from the start: due at once.
        let mut timer: Timer = (Mono::default(), Box::pin(std::future::ready(())));
        let mut busy = 0;
        loop {
            let wake = poll_fn(|cx| match self.poll_wake(cx) {
                Poll::Ready(wake) => Poll::Ready(Some(wake)),
                Poll::Pending => timer.1.poll_unpin(cx).map(|()| None),
            })
            .await;
            let started = mesh_platform::now();
            let wake_was_timer = wake.is_none();
            if self.turn(wake) == Flow::Ended {
                return;
            }

            let now = mesh_platform::now();
            let due = self.due();
            if wake_was_timer || timer.0 != due {
                timer = (due, Box::pin(mesh_platform::sleep(due.since(now.mono))));
            }
            busy += now.mono.since(started.mono);
            if busy >= BUSY_MS {
                busy = 0;
                mesh_platform::yield_now().await;
            }
        }
    }

    /// Takes what is ready, then lets the core's timers run.
    fn turn(&mut self, first: Option<Wake<H>>) -> Flow {
        let mut next = first;
        for _ in 0..TURN {
            let Some(wake) = next else { break };
            if self.on_wake(wake, mesh_platform::now()) == Flow::Ended {
                return Flow::Ended;
            }
            next = poll_fn(|cx| self.poll_wake(cx)).now_or_never();
        }
        if let Some(wake) = next {
            self.on_wake(wake, mesh_platform::now());
        }

        let now = mesh_platform::now();
        while self.node.poll_timeout().is_some_and(|(due, _)| due <= now.mono) {
            self.node.handle_timeout(now);
            self.drain(now);
        }
        if self.blocks.machine.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.blocks.machine.handle_timeout(now.mono);
            self.drain(now);
        }
        self.retry_congested(now);
        self.close_unproved(now);
        self.take_detours(now);
        self.sweep(now);
        self.farewell(now)
    }

    /// Whether a node that says goodbye has said it.
    fn farewell(&mut self, now: Now) -> Flow {
        let owes = self.node.owes_answers();
        let Some(closing) = &mut self.closing else {
            return Flow::Goes;
        };
        if owes && now.mono < closing.patience {
            closing.end = now.mono + GOODBYE_MS;
        }
        if now.mono < closing.end {
            return Flow::Goes;
        }
        if let Some(reply) = closing.reply.take() {
            let _ = reply.send(());
        }
        Flow::Ended
    }

    /// When there is something to do even if nothing happens.
    fn due(&self) -> Mono {
        let core = self.node.poll_timeout().map(|(due, _)| due);
        let blocks = self.blocks.machine.poll_timeout();
        let sweep = (!self.nobody_waits()).then_some(self.waiting.next_sweep);
        let closing = self.closing.as_ref().map(|closing| closing.end);
        let congested = (!self.congested.is_empty()).then(|| mesh_platform::now().mono + CONGESTED_MS);
        let proof = self.proof.as_ref().map(|proof| proof.until);
        let all = [core, blocks, sweep, closing, congested, proof, self.dials.due()];
        all.into_iter().flatten().min().unwrap_or(Mono(u64::MAX))
    }

    /// The next thing that is ready, starting behind the source that had something last.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake<H>> {
        const SOURCES: usize = 6;
        for offset in 0..SOURCES {
            let source = (self.next_source + offset) % SOURCES;
            if let Poll::Ready(wake) = self.poll_source(source, cx) {
                self.next_source = source + 1;
                return Poll::Ready(wake);
            }
        }
        Poll::Pending
    }

    fn poll_source(&mut self, source: usize, cx: &mut Context<'_>) -> Poll<Wake<H>> {
        match source {
            0 => self.swarm.poll_next_unpin(cx).map(|event| match event {
                Some(event) => Wake::Swarm(Box::new(event)),
                None => Wake::Call(None),
            }),
            1 => self.calls.poll_next_unpin(cx).map(Wake::Call),
            2 => some(self.reported.poll_next_unpin(cx)).map(Wake::Report),
            3 => {
                self.taken.waker.register(cx.waker());
                match self.taken.drain() {
                    items if items.is_empty() => Poll::Pending,
                    items => Poll::Ready(Wake::Taken(items)),
                }
            }
            4 => some(self.transferred.poll_next_unpin(cx)).map(Wake::Transfer),
            _ => some(self.blocks_reported.poll_next_unpin(cx)).map(Wake::Blocks),
        }
    }

    fn on_wake(&mut self, wake: Wake<H>, now: Now) -> Flow {
        match wake {
            Wake::Swarm(event) => self.on_swarm(*event, now),
            Wake::Call(Some(call)) => self.on_call(call, now),
            // Nobody is left who could ask anything.
            Wake::Call(None) => return Flow::Ended,
            Wake::Report(report) => self.on_report(report, now),
            Wake::Taken(items) => self.on_taken(items, now),
            Wake::Blocks(report) => self.on_blocks_report(report, now),
            Wake::Transfer(report) => {
                if let Some(input) = self.transfers.input(report) {
                    self.node.handle(Input::Transfer(input), now);
                }
            }
        }
        self.drain(now);
        Flow::Goes
    }

    /// Carries out what the core and the blocks want until they want nothing more.
    fn drain(&mut self, now: Now) {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.carry_out(output, now);
            }
            if !self.drain_blocks(now) {
                return;
            }
        }
    }

    fn nobody_waits(&self) -> bool {
        self.waiting.is_empty() && self.knowing.is_empty() && self.blocks.nobody_waits()
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Goes,
    Ended,
}

/// A stream that ends is one that never has anything more.
fn some<T>(polled: Poll<Option<T>>) -> Poll<T> {
    match polled {
        Poll::Ready(Some(item)) => Poll::Ready(item),
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    }
}
