//! The world: hosts, the network between them, virtual time, and everything that happens in the order in which it does.
//!
//! One loop takes the next event, gives it to the host whose it is and carries out what that host's node wants. Whatever is
//! random comes from one seed, and whatever is iterated is ordered, so a seed and a script give one trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_core::knowledge::{Blocks, Restored};
use mesh_core::node::Input;
use mesh_core::{Mono, Node, directory, node};
use mesh_proto::{Keypair, MeshId, NodeId};

use crate::agenda::Agenda;
use crate::chance::{Chance, entropy};
use crate::conn::{ConnId, Conns};
use crate::frame::Frame;
use crate::host::{Host, Process, Spec};
use crate::id::{HostId, Micros};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::network::Network;
use crate::observe::Told;
use crate::overlay::Overlay;
use crate::trace::Trace;
use crate::verifier::Memory;

/// Between two pings of a connection (mesh-net's behaviour).
pub(crate) const PING: Micros = Micros::from_ms(3_000);

/// Events that may happen at one moment of virtual time. Past it something asks to be woken for nothing.
const MAX_AT_ONCE: u64 = 5_000_000;

/// What happens to one host.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Its timer, which was set to then.
    Timer(Micros),
    /// A connection is there.
    Connected(ConnId),
    /// A connection is gone.
    Closed(ConnId),
    /// Its dial came to nothing.
    NotDialled(HostId),
    /// Its upgrade came to nothing.
    NotUpgraded(HostId, &'static str),
    /// A place on a relay is its own.
    Reserved(HostId),
    /// Something arrived.
    Frame(ConnId, Frame),
    /// A ping was answered, after microseconds.
    Pinged(HostId, u64),
}

/// What happens in the world.
#[derive(Debug)]
pub(crate) enum Event {
    /// To the process number `run` of a host.
    To { host: HostId, run: u32, what: Happening },
    /// A frame comes out of a connection, if it still stands.
    Arrive { conn: ConnId, direction: usize, frame: Frame },
    /// A connection is pinged.
    Ping(ConnId),
    /// A connection has been silent since then.
    Silent(ConnId, Micros),
    /// What waits on a connection goes on.
    Resume(ConnId),
    /// A dial reaches its target, or not.
    Dial { by: (HostId, u32), to: HostId, via: Option<HostId> },
    /// An upgrade does.
    Upgrade { by: (HostId, u32), to: HostId },
    /// A host has time again.
    Free(HostId),
    /// A host makes its flood.
    Flood(HostId),
}

/// A simulation.
#[derive(Debug)]
pub struct World {
    pub(crate) time: Micros,
    pub(crate) seed: u64,
    pub(crate) mesh: MeshId,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) by_node: BTreeMap<NodeId, HostId>,
    pub(crate) conns: Conns,
    pub(crate) network: Network,
    pub(crate) chance: Chance,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    pub(crate) told: Told,
    verifier: Arc<Memory>,
    configure: fn(&mut node::Config),
    next_key: u64,
    next_number: u64,
    events: u64,
    at_once: u64,
}

impl World {
    /// An empty one, in which every link is like `link`.
    pub fn new(seed: u64, link: Link) -> Self {
        Self {
            time: Micros(0),
            seed,
            mesh: MeshId::open("simulation").expect("a valid name"),
            agenda: Agenda::new(),
            hosts: Vec::new(),
            by_node: BTreeMap::new(),
            conns: Conns::default(),
            network: Network::new(link),
            chance: Chance::new(seed, 1),
            ledger: Ledger::default(),
            trace: Trace::default(),
            told: Told::default(),
            verifier: Arc::new(Memory::default()),
            configure: |_| {},
            next_key: 0,
            next_number: 0,
            events: 0,
            at_once: 0,
        }
    }

    /// Has `configure` change the configuration of every node that starts from now on.
    pub fn configure(&mut self, configure: fn(&mut node::Config)) {
        self.configure = configure;
    }

    /// A host that starts now.
    pub fn add(&mut self, spec: Spec) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).expect("fewer than four billion hosts"));
        let key = self.new_key();
        let node = key.node();
        self.by_node.insert(node, id);
        self.hosts.push(Host {
            id,
            key,
            node,
            spec,
            process: None,
            run: 0,
            timer: None,
            busy: self.time,
            frozen: false,
            started: self.time,
            kept: Default::default(),
            disk: BTreeMap::new(),
            records: BTreeMap::new(),
            backlog: Default::default(),
        });
        self.start(id);
        id
    }

    /// Virtual time.
    pub fn time(&self) -> Micros {
        self.time
    }

    /// Events that have happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The trace until now.
    pub fn trace(&self) -> u64 {
        self.trace.value()
    }

    /// What was said and heard, and what is wrong with it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counts hops and copies of gossip from now on.
    pub fn follow_flows(&mut self) {
        self.ledger.follow_flows();
    }

    /// Searches that have ended.
    pub fn searches(&self) -> impl Iterator<Item = (HostId, &directory::Event)> {
        self.ledger.searches()
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u32).map(HostId)
    }

    /// Hosts whose process runs.
    pub fn up(&self) -> impl Iterator<Item = HostId> + '_ {
        self.hosts.iter().filter(|host| host.is_up()).map(|host| host.id)
    }

    /// What a host is.
    pub fn spec(&self, host: HostId) -> &Spec {
        &self.host(host).spec
    }

    /// The node id of a host.
    pub fn node_id(&self, host: HostId) -> NodeId {
        self.host(host).node
    }

    /// A host's node, while its process runs.
    pub fn node(&self, host: HostId) -> Option<&Node> {
        Some(&self.host(host).process.as_ref()?.node)
    }

    /// A host's overlay, while its process runs.
    pub fn overlay(&self, host: HostId) -> Option<&Overlay> {
        Some(&self.host(host).process.as_ref()?.overlay)
    }

    /// Relays on which a host has a place.
    pub fn places(&self, host: HostId) -> impl Iterator<Item = HostId> {
        self.host(host).process.iter().flat_map(|process| process.reservations.iter().copied())
    }

    /// When its process was started, while it runs.
    pub fn started(&self, host: HostId) -> Option<Micros> {
        let host = self.host(host);
        host.is_up().then_some(host.started)
    }

    /// Forgets what was said before `time`: a long run has no need of it.
    pub fn forget_before(&mut self, time: Micros) {
        self.ledger.forget_before(time);
    }

    /// The host of a node.
    pub fn host_of(&self, node: &NodeId) -> Option<HostId> {
        self.by_node.get(node).copied()
    }

    /// The world's generator, for scripts.
    pub fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// Lets `time` pass.
    pub fn run_for(&mut self, time: Micros) {
        self.run_to(self.time + time);
    }

    /// Lets time pass until `end`.
    pub fn run_to(&mut self, end: Micros) {
        while self.agenda.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.time = self.time.max(end);
    }

    /// Lets time pass until `done`, which is asked every `every`, and says when that was; nothing if it is not by `end`.
    pub fn run_until(&mut self, every: Micros, end: Micros, mut done: impl FnMut(&Self) -> bool) -> Option<Micros> {
        loop {
            if done(self) {
                return Some(self.time);
            }
            if self.time >= end {
                return None;
            }
            self.run_for(every.min(end - self.time));
        }
    }

    /// Does something with a host's node at its present time, and carries out what follows.
    pub fn with<T>(&mut self, host: HostId, act: impl FnOnce(&mut Node, mesh_core::Now) -> T) -> Option<T> {
        let now = self.host(host).now(self.time);
        let process = self.host_mut(host).process.as_mut()?;
        process.due = None;
        let result = act(&mut process.node, now);
        self.settle(host);
        Some(result)
    }

    pub(crate) fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.index()]
    }

    pub(crate) fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.index()]
    }

    pub(crate) fn process(&mut self, host: HostId) -> Option<&mut Process> {
        self.host_mut(host).process.as_mut()
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn new_key(&mut self) -> Keypair {
        self.next_key += 1;
        Keypair::from_seed(&entropy(self.seed, self.next_key << 8 | 2))
    }

    /// Starts a host's process.
    pub(crate) fn start(&mut self, id: HostId) {
        let seeds: Vec<_> = self.host(id).spec.seeds.iter().map(|seed| self.host(*seed).node).collect();
        let rng = self.chance.fork();
        let (time, seed, mesh) = (self.time, self.seed, self.mesh);
        let (verifier, configure) = (self.verifier.clone(), self.configure);
        let host = self.host_mut(id);
        host.run += 1;
        let now = host.now(time);
        let mut config = node::Config::default();
        config.intake.verifier = verifier;
        config.directory.relay = host.spec.relay;
        config.paths.ability = host.spec.ability;
        if let Some(companions) = host.spec.companions {
            config.paths.companions = companions;
        }
        config.knowledge.offer = host.spec.storage.clone();
        let mut records: Vec<_> = host.records.clone().into_iter().collect();
        config.known = Restored::take(&mut records);
        configure(&mut config);
        let entropy = entropy(seed, u64::from(id.0) << 24 | u64::from(host.run) << 8 | 3);
        let node = Node::new(config, host.key.clone(), mesh, seeds, entropy, now);
        host.process = Some(Process {
            node,
            overlay: Overlay::new(&host.spec.params(), rng, Mono(time.ms())),
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            inbound: BTreeMap::new(),
            asked: BTreeMap::new(),
            asking: BTreeMap::new(),
            judged: BTreeMap::new(),
            dials: Default::default(),
            reservations: Default::default(),
            addresses: Vec::new(),
            fetches: BTreeMap::new(),
            due: None,
        });
        (host.timer, host.busy, host.frozen, host.started) = (None, time, false, time);
        host.backlog.clear();
        if host.spec.byzantine.flood > 0 {
            let begin = host.spec.byzantine.from.max(time);
            self.agenda.push(begin, Event::Flood(id));
        }
        let disk = self.host(id).disk.iter().map(|(cid, size)| (*cid, *size)).collect();
        self.input(id, Input::Blocks(Blocks::Found(disk)));
        self.tell_addresses(id);
        self.settle(id);
    }

    pub(crate) fn later(&mut self, host: HostId, after: Micros, what: Happening) {
        let run = self.host(host).run;
        self.agenda.push(self.time + after, Event::To { host, run, what });
    }

    pub(crate) fn step(&mut self) {
        let Some((at, event)) = self.agenda.pop() else { return };
        self.at_once = if at == self.time { self.at_once + 1 } else { 0 };
        if self.at_once == MAX_AT_ONCE {
            self.ledger.violated("time goes on", at, format!("{MAX_AT_ONCE} events at one moment, the last {event:?}"));
        }
        self.time = self.time.max(at);
        self.events += 1;
        match event {
            Event::To { host, run, what } => {
                if self.host(host).run == run {
                    self.happen(host, what);
                }
            }
            Event::Arrive { conn, direction, frame } => self.arrive(conn, direction, frame),
            Event::Ping(conn) => self.ping(conn),
            Event::Silent(conn, since) => self.silent(conn, since),
            Event::Resume(conn) => self.resume(conn),
            Event::Dial { by, to, via } => self.reach(by, to, via),
            Event::Upgrade { by, to } => self.meet(by, to),
            Event::Free(host) => self.free(host),
            Event::Flood(host) => self.flood(host),
        }
    }

    /// Something happens to a host as soon as it has time.
    pub(crate) fn happen(&mut self, id: HostId, what: Happening) {
        let time = self.time;
        let host = self.host_mut(id);
        if !host.is_up() {
            return;
        }
        if host.frozen || host.busy > time || !host.backlog.is_empty() {
            return host.backlog.push_back(what);
        }
        self.take(id, what);
    }

    /// A host has time for what waits.
    fn free(&mut self, id: HostId) {
        loop {
            let time = self.time;
            let host = self.host_mut(id);
            if host.frozen || host.busy > time || !host.is_up() {
                return;
            }
            let Some(what) = host.backlog.pop_front() else { return };
            self.take(id, what);
        }
    }

    fn take(&mut self, id: HostId, what: Happening) {
        let cost = self.host(id).spec.cost_us;
        if cost > 0 {
            let free = self.time + Micros(cost);
            self.host_mut(id).busy = free;
            self.agenda.push(free, Event::Free(id));
        }
        self.trace_happening(id, &what);
        self.happened(id, what);
        self.settle(id);
    }

    fn trace_happening(&mut self, id: HostId, what: &Happening) {
        let (kind, word) = match what {
            Happening::Timer(due) => (1, due.0),
            Happening::Connected(conn) => (2, conn.0),
            Happening::Closed(conn) => (3, conn.0),
            Happening::NotDialled(peer) => (4, u64::from(peer.0)),
            Happening::NotUpgraded(peer, _) => (5, u64::from(peer.0)),
            Happening::Reserved(relay) => (6, u64::from(relay.0)),
            Happening::Frame(conn, frame) => (7, conn.0 ^ frame.digest().rotate_left(17)),
            Happening::Pinged(peer, micros) => (8, u64::from(peer.0) << 32 ^ micros),
        };
        self.trace.add([self.time.0, u64::from(id.0) << 8 | kind, word]);
    }

    /// Sets a host's timer to what its node and its overlay ask for.
    pub(crate) fn arm(&mut self, id: HostId) {
        let time = self.time;
        let host = self.host_mut(id);
        let Some(process) = &mut host.process else { return };
        let due = Micros::from_ms(process.due().0).max(time);
        if host.timer.is_none_or(|timer| timer != due) {
            host.timer = Some(due);
            let run = host.run;
            self.agenda.push(due, Event::To { host: id, run, what: Happening::Timer(due) });
        }
    }
}
