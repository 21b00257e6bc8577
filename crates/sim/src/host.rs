//! One host: a node of the mesh, and what its driver keeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use cid::Cid;
use mesh_core::gossip::Params;
use mesh_core::paths::Ability;
use mesh_core::{Mono, Node, Now};
use mesh_proto::gossip::Storage;
use mesh_proto::{Keypair, NodeId};

use crate::blocks::Fetch;
use crate::byzantine::Byzantine;
use crate::conn::ConnId;
use crate::id::{HostId, Micros};
use crate::overlay::{Message, Overlay};
use crate::world::Happening;

/// Unix milliseconds at the beginning of every simulation: the start of 2025.
pub const EPOCH_MS: u64 = 1_735_689_600_000;

/// What kind of host it is.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Whether others can dial it: a relay, or a server. Else it is reached through relays.
    pub public: bool,
    /// Whether it carries others' connections, and gossips with all of them.
    pub relay: bool,
    /// Whether it makes direct connections to those whom it reaches through relays.
    pub ability: Ability,
    /// Whether its NAT lets no direct connection through.
    pub shut_in: bool,
    /// Where it joins.
    pub seeds: Vec<HostId>,
    /// What its events cost it each, microseconds of its processor.
    pub cost_us: u64,
    /// Milliseconds by which its wall clock is wrong.
    pub skew_ms: i64,
    /// What stands for its network address: hosts of one household or one company share it.
    pub address: u32,
    /// Links that it keeps of its own accord; the core's default if not said.
    pub companions: Option<usize>,
    /// Room that it gives to content of others, if any.
    pub storage: Option<Storage>,
    /// What it does that it should not.
    pub byzantine: Byzantine,
}

impl Default for Spec {
    /// A browser's page.
    fn default() -> Self {
        Self {
            public: false,
            relay: false,
            ability: Ability::Able,
            shut_in: false,
            seeds: Vec::new(),
            cost_us: 0,
            skew_ms: 0,
            address: 0,
            companions: None,
            storage: None,
            byzantine: Byzantine::default(),
        }
    }
}

impl Spec {
    /// A relay that stays in touch with `seeds`.
    pub fn relay(seeds: Vec<HostId>) -> Self {
        Self { public: true, relay: true, ability: Ability::Absent, seeds, ..Self::default() }
    }

    /// A page that joins at `seeds`.
    pub fn page(seeds: Vec<HostId>) -> Self {
        Self { seeds, ..Self::default() }
    }

    pub(crate) fn params(&self) -> Params {
        if self.relay { Params::hub() } else { Params::leaf() }
    }

    /// Connections that it holds at most.
    pub(crate) fn max_conns(&self) -> usize {
        if self.relay { 2048 } else { 128 }
    }
}

/// What there is to another host.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The node that was there when the first connection came up: a host that lost its key is another one.
    pub(crate) node: NodeId,
    /// Connections, and whether they are relayed.
    pub(crate) conns: BTreeMap<ConnId, bool>,
}

/// A message stream of ours to a peer.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: u64,
    pub(crate) open: bool,
    pub(crate) conn: ConnId,
}

/// Its process, while it runs.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) node: Node,
    pub(crate) overlay: Overlay,
    /// Connections, by the host at their other end.
    pub(crate) links: BTreeMap<HostId, Peer>,
    /// Message streams of ours.
    pub(crate) streams: BTreeMap<HostId, Stream>,
    /// Message streams that others have open to us.
    pub(crate) inbound: BTreeMap<HostId, BTreeSet<u64>>,
    /// Requests for our member list.
    pub(crate) asked: BTreeMap<u64, (ConnId, HostId)>,
    /// Requests of ours that are not answered.
    pub(crate) asking: BTreeMap<HostId, ConnId>,
    /// Gossip that the core has not judged.
    pub(crate) judged: BTreeMap<u64, (crate::overlay::MessageId, HostId)>,
    /// Dials under way.
    pub(crate) dials: BTreeSet<HostId>,
    /// Relays on which we have a place.
    pub(crate) reservations: BTreeSet<HostId>,
    pub(crate) addresses: Vec<String>,
    /// Contents that are being fetched.
    pub(crate) fetches: BTreeMap<Cid, Fetch>,
    /// When the node wants to be woken; nothing when it has to be asked.
    pub(crate) due: Option<Mono>,
}

impl Process {
    /// Whether there is a connection to `host` that no relay carries.
    pub(crate) fn is_near(&self, host: HostId) -> bool {
        self.links.get(&host).is_some_and(|peer| peer.conns.values().any(|relayed| !relayed))
    }

    /// When the node or the overlay wants to be woken. Asking the node looks at everything it has, and most of what happens
    /// does not concern it, so the answer is kept.
    pub(crate) fn due(&mut self) -> Mono {
        let core = *self.due.get_or_insert_with(|| self.node.poll_timeout().map_or(Mono(u64::MAX), |(due, _)| due));
        core.min(self.overlay.poll_timeout())
    }
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) key: Keypair,
    pub(crate) node: NodeId,
    pub(crate) spec: Spec,
    pub(crate) process: Option<Process>,
    /// Counts its processes: what was meant for an earlier one is not for this one.
    pub(crate) run: u32,
    /// When its timer is set to.
    pub(crate) timer: Option<Micros>,
    /// Nothing happens in it before.
    pub(crate) busy: Micros,
    /// It stands still until it is thawed.
    pub(crate) frozen: bool,
    /// When its process was started.
    pub(crate) started: Micros,
    /// What a Byzantine host has kept to repeat it.
    pub(crate) kept: VecDeque<Message>,
    /// Blocks on its disk, and their sizes.
    pub(crate) disk: BTreeMap<Cid, u64>,
    /// What it has kept of knowledge.
    pub(crate) records: BTreeMap<String, Bytes>,
    /// What waits for it to have time.
    pub(crate) backlog: VecDeque<Happening>,
}

impl Host {
    pub(crate) fn now(&self, time: Micros) -> Now {
        let unix = (EPOCH_MS + time.ms()).saturating_add_signed(self.spec.skew_ms);
        Now { mono: Mono(time.ms()), unix }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }
}
