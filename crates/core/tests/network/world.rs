//! A network in memory: virtual time, latencies from a seed, queues in order. It does for [`Node`]s what `mesh-net` does
//! over libp2p: links, gossip with duplicates dropped, streams, dials through a hub that relays.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use mesh_core::intake::Verdict;

use mesh_core::knowledge::Restored;
use mesh_core::node::{Config, Event, Hearing, Input, Node, Output, Ticket};
use mesh_core::paths::{Ability, Failure};
use mesh_core::proposals::Founding;
use mesh_core::records::Change;
use mesh_core::{Mono, Now, directory, messaging, paths};
use mesh_proto::agent::AgentRecord;
use mesh_proto::charter::{self, Charter, Voter};
use mesh_proto::codec::{self, Bounded};
use mesh_proto::credential::{Answer, Chain, Credential, DAY_S, Request, Role, Serial, SignedCredential};
use mesh_proto::limits::{MAX_ADMISSION, MAX_DIRECT_FRAME, MAX_ENVELOPE, MAX_JOIN_FRAME, MAX_PASS};
use mesh_proto::protocol::Topic;
use mesh_proto::{AgentName, Keypair, MeshId, NodeId, Unverified};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::de::DeserializeOwned;

/// Unix time at the virtual 0.
pub(crate) const EPOCH: u64 = 1_700_000_000_000;
/// The place of the hub.
pub(crate) const HUB: usize = 0;

/// Milliseconds from a link to gossip on it, unless set: subscriptions can come later than the first streams.
const SUBSCRIBE_MS: u64 = 100;

/// Says whether something is lost on its way, given where it comes from and goes to.
type Loss = Box<dyn FnMut(usize, usize, &Input) -> bool>;

pub(crate) struct Member {
    pub(crate) node: Node,
    /// What its application was told, and when.
    pub(crate) events: Vec<(u64, Event)>,
    /// Everything it wanted, in one number.
    trace: DefaultHasher,
    online: bool,
    /// What its store holds. It outlives the process.
    pub(crate) disk: BTreeMap<String, Bytes>,
    /// Up to which write what it has issued may be given away, and whether.
    pub(crate) settled: (u64, bool),
    /// What is on its way to the store.
    writing: Vec<(Ticket, Vec<Change>)>,
    /// Envelopes that it has seen, as gossipsub remembers them.
    seen: BTreeSet<Bytes>,
    tickets: BTreeMap<u64, (usize, Topic, Bytes)>,
    timer: Option<(u64, usize)>,
}

pub(crate) struct World {
    mesh: MeshId,
    members: Vec<Member>,
    places: BTreeMap<NodeId, usize>,
    now: u64,
    rng: ChaCha8Rng,
    /// Milliseconds that everything takes at least, and at most.
    latency: (u64, u64),
    subscribe: u64,
    ability: Ability,
    able: BTreeSet<usize>,
    /// Links that need no relay.
    direct: BTreeSet<(usize, usize)>,
    /// What is under way, by arrival and order of departure.
    queue: BTreeMap<(u64, u64), (usize, usize, Input)>,
    departures: u64,
    /// The latest arrival on each way: nothing overtakes.
    lanes: BTreeMap<(usize, usize), u64>,
    timers: BTreeSet<(u64, usize)>,
    links: BTreeSet<(usize, usize)>,
    /// Who knows of whom that it listens to gossip.
    listeners: BTreeSet<(usize, usize)>,
    pub(crate) loss: Option<Loss>,
    /// In which people vote.
    charter: Option<Charter>,
    /// What nodes have to show when they start, in a private mesh.
    pub(crate) credentials: BTreeMap<usize, Chain>,
    /// Nodes that are in another mesh.
    pub(crate) foreign: BTreeMap<usize, Charter>,
    /// Who has let whom in, in a private mesh.
    admitted: BTreeSet<(usize, usize)>,
    /// Nodes that cannot be reached, and reach nobody.
    pub(crate) cut: BTreeSet<usize>,
    /// What was answered to requests for credentials: by whom, to whom, what.
    pub(crate) answers: Vec<(usize, usize, Answer)>,
    /// What was found of gossip: when, where, of which envelope.
    pub(crate) verdicts: Vec<(u64, usize, Verdict, Bytes)>,
    /// Milliseconds that a store takes at most.
    disk_ms: u64,
    /// Whether stores fail from now on.
    pub(crate) disks_fail: bool,
    /// Frames of member lists, as (from, to, bytes).
    pub(crate) lists: Vec<(usize, usize, usize)>,
}

impl World {
    /// A hub, and nothing else yet.
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            mesh: MeshId::open("network").unwrap(),
            members: Vec::new(),
            places: BTreeMap::new(),
            now: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            latency: (5, 15),
            subscribe: SUBSCRIBE_MS,
            ability: Ability::Absent,
            able: BTreeSet::new(),
            direct: BTreeSet::new(),
            queue: BTreeMap::new(),
            departures: 0,
            lanes: BTreeMap::new(),
            timers: BTreeSet::new(),
            links: BTreeSet::new(),
            listeners: BTreeSet::new(),
            loss: None,
            charter: None,
            credentials: BTreeMap::new(),
            foreign: BTreeMap::new(),
            admitted: BTreeSet::new(),
            cut: BTreeSet::new(),
            answers: Vec::new(),
            verdicts: Vec::new(),
            disk_ms: 4,
            disks_fail: false,
            lists: Vec::new(),
        };
        world.add([]);
        world
    }

    /// A hub and as many leaves as the charter of the mesh names voters: from 1 on, and 1 has founded it. Leaves that join
    /// later have stores too.
    pub(crate) fn chartered(seed: u64, voters: usize) -> Self {
        let voter = |n| Voter { node: key(n).node(), key: voting_key(n).node() };
        let mut voters: Vec<_> = (1..=voters).map(voter).collect();
        voters.sort_unstable();
        let leaves = voters.len();
        let (name, founders) = ("network".to_owned(), vec![key(1).node()]);
        let charter = Charter { v: charter::VERSION, name, founders, threshold: 1, voters, open: true };
        let mut world = Self::of_charter(seed, charter);
        world.add([]);
        for _ in 0..leaves {
            world.join();
        }
        world.run(5_000);
        world
    }

    /// A private mesh: a hub, 1 that has founded it, and members up to `leaves`, each with an agent `agent-1`, `agent-2` …
    /// that has had the time to be known to all.
    pub(crate) fn private(seed: u64, leaves: usize) -> Self {
        let mut world = Self::of_charter(seed, private_charter());
        for n in (HUB..=leaves).filter(|n| *n != 1) {
            world.grant(n, Role::Member, 0, 6 * DAY_S);
        }
        world.add([]);
        for leaf in 1..=leaves {
            world.join();
            world.announce(leaf, &format!("agent-{leaf}"));
        }
        world.run(5_000);
        world
    }

    fn of_charter(seed: u64, charter: Charter) -> Self {
        let mut world = Self::new(seed);
        world.mesh = charter.mesh().unwrap();
        world.charter = Some(charter);
        world.members.clear();
        world.queue.clear();
        world.timers.clear();
        world
    }

    fn is_private(&self) -> bool {
        self.charter.as_ref().is_some_and(|charter| !charter.open)
    }

    /// The founder's credential, for the node at place `n`, when it starts.
    pub(crate) fn grant(&mut self, n: usize, role: Role, invites: u32, seconds: u64) -> SignedCredential {
        let signed = self.credential(1, n, (role, invites), n as u32, seconds);
        self.credentials.insert(n, Chain(vec![signed.clone()]));
        signed
    }

    /// A credential for so many seconds.
    pub(crate) fn credential(
        &self,
        issuer: usize,
        subject: usize,
        (role, invites): (Role, u32),
        number: u32,
        seconds: u64,
    ) -> SignedCredential {
        let unix_s = self.time().unix / 1_000;
        let serial = Serial { issuer: key(issuer).node(), day: unix_s / DAY_S, number };
        let (mesh, subject) = (self.mesh, key(subject).node());
        let (not_before, not_after) = (unix_s - 300, unix_s + seconds);
        Credential { mesh, subject, role, invites, not_before, not_after, serial }.sign(&key(issuer)).unwrap()
    }

    /// Hands `to` an envelope as if `from` passed it on.
    pub(crate) fn pass_on(&mut self, from: usize, to: usize, wire: &Bytes) {
        let topic = Unverified::decode(wire.clone()).unwrap().claims().kind.topic();
        let neighbour = self.id(from);
        self.send(from, to, Input::Gossip { ticket: 0, from: neighbour, topic, wire: wire.clone() });
    }

    /// The node at place `from`, which need not have started, asks `to` for a credential.
    pub(crate) fn ask(&mut self, from: usize, to: usize, request: Request) {
        let asker = self.id(from);
        self.send(from, to, Input::AdmitRequest { ticket: 0, from: asker, request: Box::new(request) });
    }

    /// Whether there is a link.
    pub(crate) fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a, b))
    }

    /// Takes a node off the network, and its process lives on.
    pub(crate) fn cut_off(&mut self, n: usize) {
        self.cut.insert(n);
        for peer in self.neighbours(n) {
            self.unlink(n, peer);
        }
    }

    /// A hub and `leaves` leaves, each with an agent `agent-1`, `agent-2` … that has had the time to be known to all.
    pub(crate) fn star(seed: u64, leaves: usize) -> Self {
        let mut world = Self::new(seed);
        for leaf in 1..=leaves {
            world.join();
            world.announce(leaf, &format!("agent-{leaf}"));
        }
        world.run(5_000);
        world
    }

    /// Everything takes exactly `millis` from now on.
    pub(crate) fn set_latency(&mut self, millis: u64) {
        self.latency = (millis, millis);
    }

    /// From now on a link takes `millis` until there is gossip on it.
    pub(crate) fn set_subscribe(&mut self, millis: u64) {
        self.subscribe = millis;
    }

    /// Members that start from now on can have direct links.
    pub(crate) fn set_able(&mut self) {
        self.ability = Ability::Able;
    }

    /// A new leaf, which dials the hub.
    pub(crate) fn join(&mut self) -> usize {
        let hub = self.id(HUB);
        self.add([hub])
    }

    fn add<const N: usize>(&mut self, seeds: [NodeId; N]) -> usize {
        let n = self.members.len();
        let mut disk = BTreeMap::new();
        let node = self.start(n, seeds, &mut disk);
        self.places.insert(node.id(), n);
        self.members.push(Member {
            node,
            disk,
            settled: (0, true),
            writing: Vec::new(),
            events: Vec::new(),
            trace: DefaultHasher::new(),
            online: true,
            seen: BTreeSet::new(),
            tickets: BTreeMap::new(),
            timer: None,
        });
        self.settle(n);
        n
    }

    fn start<const N: usize>(&mut self, n: usize, seeds: [NodeId; N], disk: &mut BTreeMap<String, Bytes>) -> Node {
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        let paths = paths::Config { ability: self.ability, ..paths::Config::default() };
        let credentials = self.credentials.get(&n);
        let mut records: Vec<_> = disk.clone().into_iter().collect();
        let known = Restored::take(&mut records);
        let charter = self.foreign.get(&n).or(self.charter.as_ref()).map(|charter| {
            let (mut founding, mut changes) = match n {
                HUB => (Founding::new(charter).unwrap(), Vec::new()),
                _ => Founding::restore(charter, key(n).node(), records, voting_key(n).seed()).unwrap(),
            };
            changes.extend(credentials.and_then(|chain| founding.admit(chain.clone())));
            changes.into_iter().for_each(|change| make(disk, change));
            founding
        });
        let mesh = charter.as_ref().map_or(self.mesh, Founding::mesh);
        let directory = directory::Config { relay: n == HUB && self.is_private(), ..directory::Config::default() };
        let config = Config { paths, charter, directory, known, ..Config::default() };
        let mut node = Node::new(config, key(n), mesh, seeds, entropy, self.time());
        if self.ability == Ability::Able {
            self.able.insert(n);
            node.handle(Input::Addresses(vec![format!("/memory/{n}/p2p-circuit/webrtc")]), self.time());
        }
        node
    }

    pub(crate) fn id(&self, n: usize) -> NodeId {
        key(n).node()
    }

    pub(crate) fn mesh(&self) -> MeshId {
        self.mesh
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn time(&self) -> Now {
        Now { mono: Mono(self.now), unix: EPOCH + self.now }
    }

    pub(crate) fn member(&self, n: usize) -> &Member {
        &self.members[n]
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Calls a node, and carries out what it wants then.
    pub(crate) fn call<T>(&mut self, n: usize, call: impl FnOnce(&mut Node, Now) -> T) -> T {
        let now = self.time();
        let answer = call(&mut self.members[n].node, now);
        self.settle(n);
        answer
    }

    pub(crate) fn announce(&mut self, n: usize, name: &str) {
        let record = AgentRecord::new(name.parse().unwrap(), ["sum".into()]);
        self.call(n, |node, now| node.announce(record, now)).unwrap();
    }

    /// Lets `millis` pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `done`, for `millis` at most.
    pub(crate) fn run_until(&mut self, millis: u64, done: impl Fn(&Self) -> bool) {
        let end = self.now + millis;
        while !done(self) {
            assert!(self.step(end), "not within {millis} ms");
        }
    }

    /// Does the next thing until `end`, if there is one.
    fn step(&mut self, end: u64) -> bool {
        let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self.timers.first().map(|(at, _)| *at);
        let next = [arrival, timer].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, (from, to, input)) = self.queue.pop_first().unwrap();
            self.arrive(from, to, input);
        } else {
            let (_, n) = self.timers.pop_first().unwrap();
            self.members[n].timer = None;
            let now = self.time();
            self.members[n].node.handle_timeout(now);
            self.settle(n);
        }
        true
    }

    /// Takes a node away without a word. Others see their links go.
    pub(crate) fn kill(&mut self, n: usize) {
        self.members[n].online = false;
        self.queue.retain(|_, (from, to, _)| (*from, *to) != (n, n));
        let writing = std::mem::take(&mut self.members[n].writing);
        for (_, changes) in writing {
            // A process that dies leaves the first changes behind.
            let made = self.rng.next_u64() as usize % (changes.len() + 1);
            changes.into_iter().take(made).for_each(|change| make(&mut self.members[n].disk, change));
        }
        if let Some(timer) = self.members[n].timer.take() {
            self.timers.remove(&timer);
        }
        let relayed = |(a, b): &&(usize, usize)| n == HUB && a < b && !self.direct.contains(&(*a, *b));
        let relayed: Vec<_> = self.links.iter().filter(relayed).copied().collect();
        for (a, b) in relayed {
            self.unlink(a, b);
        }
        for peer in self.neighbours(n) {
            self.unlink(n, peer);
        }
    }

    /// Starts a killed node anew, without its memory.
    pub(crate) fn restart(&mut self, n: usize) {
        let mut disk = std::mem::take(&mut self.members[n].disk);
        let node = match n {
            HUB => self.start(n, [], &mut disk),
            leaf => {
                let hub = self.id(HUB);
                self.start(leaf, [hub], &mut disk)
            }
        };
        self.members[n].disk = disk;
        let member = &mut self.members[n];
        (member.node, member.online) = (node, true);
        (member.seen, member.tickets, member.settled) = (BTreeSet::new(), BTreeMap::new(), (0, true));
        self.settle(n);
    }

    fn link(&mut self, a: usize, b: usize) {
        if self.links.contains(&(a, b)) {
            return;
        }
        self.links.extend([(a, b), (b, a)]);
        let relayed = a != HUB && b != HUB;
        for (n, peer) in [(a, b), (b, a)] {
            let address = format!("/memory/{peer}");
            self.send(peer, n, Input::Connected { peer: self.id(peer), relayed, address });
        }
        if !self.is_private() {
            self.subscribe(a, b);
        }
    }

    /// Two neighbours listen to each other from now on.
    fn subscribe(&mut self, a: usize, b: usize) {
        for (n, peer) in [(a, b), (b, a)] {
            for topic in Topic::ALL {
                self.send_after(self.subscribe, peer, n, Input::Listener { peer: self.id(peer), topic });
            }
        }
    }

    /// Breaks the link between two nodes, and what is under way on it.
    pub(crate) fn unlink(&mut self, a: usize, b: usize) {
        self.links.remove(&(a, b));
        self.links.remove(&(b, a));
        self.direct.remove(&(a, b));
        self.direct.remove(&(b, a));
        self.listeners.remove(&(a, b));
        self.listeners.remove(&(b, a));
        self.admitted.remove(&(a, b));
        self.admitted.remove(&(b, a));
        self.queue.retain(|_, (from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
        for (n, peer) in [(a, b), (b, a)] {
            self.send(peer, n, Input::Disconnected { peer: self.id(peer) });
        }
    }

    fn neighbours(&self, n: usize) -> Vec<usize> {
        self.links.range((n, 0)..(n + 1, 0)).map(|(_, peer)| *peer).collect()
    }

    /// Neighbours of `n` that it may gossip to.
    fn listeners_of(&self, n: usize) -> Vec<usize> {
        self.listeners.range((n, 0)..(n + 1, 0)).map(|(_, peer)| *peer).collect()
    }

    fn send(&mut self, from: usize, to: usize, input: Input) {
        let at = self.now + self.draw_latency();
        let lane = self.lanes.entry((from, to)).or_default();
        *lane = at.max(*lane);
        let at = *lane;
        self.depart(at, from, to, input);
    }

    /// Sends beside the queue, `millis` later.
    fn send_after(&mut self, millis: u64, from: usize, to: usize, input: Input) {
        let at = self.now + millis + self.draw_latency();
        self.depart(at, from, to, input);
    }

    fn draw_latency(&mut self) -> u64 {
        let (least, most) = self.latency;
        least + self.rng.next_u64() % (most - least + 1)
    }

    fn depart(&mut self, at: u64, from: usize, to: usize, input: Input) {
        self.departures += 1;
        self.queue.insert((at, self.departures), (from, to, input));
    }

    fn arrive(&mut self, from: usize, to: usize, mut input: Input) {
        let lost = self.loss.as_mut().is_some_and(|loss| loss(from, to, &input));
        let member = &mut self.members[to];
        if lost || !member.online {
            return;
        }
        if let Input::Kept { ticket, durable: true } = &input {
            let written = member.writing.iter().position(|(of, _)| of == ticket).unwrap();
            let (_, changes) = member.writing.remove(written);
            changes.into_iter().for_each(|change| make(&mut member.disk, change));
        }
        self.departures += 1;
        let now = Now { mono: Mono(self.now), unix: EPOCH + self.now };
        if matches!(input, Input::Listener { .. }) {
            self.listeners.insert((to, from));
        }
        if let Input::Gossip { ticket, topic, wire, .. } = &mut input {
            // As the driver does: a stranger gossips to nobody.
            if member.node.hearing(&key(from).node(), now) == Hearing::No || !member.seen.insert(wire.clone()) {
                return;
            }
            *ticket = self.departures;
            member.tickets.insert(*ticket, (from, *topic, wire.clone()));
        } else if let Input::JoinRequest { ticket, request, .. } = &mut input {
            *request = over_the_wire(request, MAX_ENVELOPE + 256).0;
            *ticket = self.departures;
            member.tickets.insert(*ticket, (from, Topic::Agents, Bytes::new()));
        } else if let Input::AdmitRequest { ticket, .. } = &mut input {
            *ticket = self.departures;
            member.tickets.insert(*ticket, (from, Topic::Agents, Bytes::new()));
        }
        self.members[to].node.handle(input, now);
        self.settle(to);
    }

    /// Carries out what a node wants until it wants nothing more, and sets its timer.
    fn settle(&mut self, n: usize) {
        while let Some(output) = self.members[n].node.poll_output() {
            let member = &mut self.members[n];
            (self.now, format!("{output:?}")).hash(&mut member.trace);
            self.carry_out(n, output);
        }
        let member = &mut self.members[n];
        if let Some(timer) = member.timer.take() {
            self.timers.remove(&timer);
        }
        if member.online
            && let Some((due, _)) = member.node.poll_timeout()
        {
            member.timer = Some((due.0.max(self.now), n));
            self.timers.extend(member.timer);
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each thing that a node can want")]
    fn carry_out(&mut self, n: usize, output: Output) {
        let id = self.id(n);
        match output {
            Output::Dial { peer, .. } => {
                let to = self.places[&peer];
                let reachable = [(n, to), (HUB, to), (n, HUB)].map(|link| self.links.contains(&link));
                let cut = self.cut.contains(&n) || self.cut.contains(&to);
                if self.members[to].online && !cut && (n == HUB || to == HUB || reachable[1] && reachable[2]) {
                    self.link(n, to);
                } else {
                    self.send(to, n, Input::DialFailed { peer });
                }
            }
            Output::Publish { topic, wire } => {
                if self.listeners_of(n).is_empty() {
                    let now = self.time();
                    return self.members[n].node.handle(Input::Unpublished { topic, wire }, now);
                }
                self.members[n].seen.insert(wire.clone());
                self.forward(n, None, topic, &wire);
            }
            Output::Verdict { ticket, verdict } => {
                let (from, topic, wire) = self.members[n].tickets.remove(&ticket).unwrap();
                self.verdicts.push((self.now, n, verdict, wire.clone()));
                if verdict == Verdict::Accept {
                    self.forward(n, Some(from), topic, &wire);
                }
            }
            Output::Join { peer, request } => {
                self.send(n, self.places[&peer], Input::JoinRequest { ticket: 0, from: id, request });
            }
            Output::JoinReply { ticket, replies } => {
                let (to, _, _) = self.members[n].tickets.remove(&ticket).unwrap();
                if replies.is_empty() {
                    self.send(n, to, Input::JoinFailed { from: id });
                }
                for reply in replies {
                    let (reply, bytes) = over_the_wire(&reply, MAX_JOIN_FRAME);
                    self.lists.push((n, to, bytes));
                    self.send(n, to, Input::JoinReply { from: id, reply });
                }
            }
            Output::OpenDirect { to } => {
                let peer = self.places[&to];
                let opened = self.links.contains(&(n, peer));
                let input = match opened {
                    true => messaging::Input::Opened { peer: to },
                    false => messaging::Input::Closed { peer: to },
                };
                self.send(peer, n, Input::Direct(input));
            }
            Output::ResetDirect { from } => {
                self.send(n, self.places[&from], Input::Direct(messaging::Input::Closed { peer: id }));
            }
            Output::Direct { to, frame } => {
                let peer = self.places[&to];
                if self.links.contains(&(n, peer)) {
                    let frame = over_the_wire(&frame, MAX_DIRECT_FRAME).0;
                    self.send(n, peer, Input::Direct(messaging::Input::Frame { from: id, frame }));
                }
            }
            Output::Keep { ticket, changes } => {
                self.members[n].writing.push((ticket, changes));
                let at = self.now + self.rng.next_u64() % (self.disk_ms + 1);
                self.depart(at, n, n, Input::Kept { ticket, durable: !self.disks_fail });
            }
            Output::Event(event) => {
                if let Event::Message(incoming) = &event {
                    let now = self.time();
                    self.members[n].node.taken(incoming.from, incoming.session, incoming.message.number, now);
                }
                self.members[n].events.push((self.now, event));
            }
            Output::Upgrade { peer } => {
                let to = self.places[&peer];
                if self.able.contains(&to) && self.links.contains(&(n, to)) {
                    self.direct.extend([(n, to), (to, n)]);
                    for (n, peer) in [(n, to), (to, n)] {
                        let address = format!("/memory/{peer}/webrtc");
                        self.send(peer, n, Input::Connected { peer: self.id(peer), relayed: false, address });
                    }
                } else {
                    self.send(to, n, Input::UpgradeFailed { peer, failure: Failure::Unsupported });
                }
            }
            Output::Disconnect { peer } => self.unlink(n, self.places[&peer]),
            // Nobody gives room for content here.
            Output::Reserve { .. } | Output::CloseRelayed { .. } | Output::Blocks(_) => {}
            Output::Auth { to, frame } => {
                let peer = self.places[&to];
                if self.links.contains(&(n, peer)) {
                    let frame = over_the_wire(&frame, MAX_ADMISSION).0;
                    self.send(n, peer, Input::Auth { from: id, frame });
                }
            }
            Output::Admit { peer } => {
                let peer = self.places[&peer];
                self.admitted.insert((n, peer));
                // Gossip begins when both are let in.
                if self.links.contains(&(n, peer)) && self.admitted.contains(&(peer, n)) {
                    self.subscribe(n, peer);
                }
            }
            Output::AskAdmission { to, request } => {
                let request = Box::new(over_the_wire(&*request, MAX_ADMISSION).0);
                self.send(n, self.places[&to], Input::AdmitRequest { ticket: 0, from: id, request });
            }
            Output::AdmitReply { ticket, answer } => {
                let (to, _, _) = self.members[n].tickets.remove(&ticket).unwrap();
                let answer = over_the_wire(&*answer, MAX_PASS).0;
                self.answers.push((n, to, answer.clone()));
                if to < self.members.len() {
                    self.send(n, to, Input::AdmitAnswer(Box::new(answer)));
                }
            }
            Output::Settled { write, durable } => self.members[n].settled = (write, durable),
            Output::Transfer(command) => panic!("nobody shares weights here: {command:?}"),
        }
    }

    fn forward(&mut self, n: usize, source: Option<usize>, topic: Topic, wire: &Bytes) {
        let from = self.id(n);
        for peer in self.listeners_of(n).into_iter().filter(|peer| Some(*peer) != source) {
            self.send(n, peer, Input::Gossip { ticket: 0, from, topic, wire: wire.clone() });
        }
    }

    /// All that everybody wanted, in one number.
    pub(crate) fn trace(&self) -> u64 {
        let mut trace = DefaultHasher::new();
        self.members.iter().for_each(|member| member.trace.finish().hash(&mut trace));
        trace.finish()
    }

    /// Adds to what `n` was told.
    pub(crate) fn note(&mut self, n: usize, events: impl IntoIterator<Item = (u64, Event)>) {
        self.members[n].events.extend(events);
    }

    /// Nobody was accused of anything.
    pub(crate) fn assert_honest(&self) {
        for (n, member) in self.members.iter().enumerate() {
            let offences = member.events.iter().filter(|(_, event)| matches!(event, Event::Offence { .. }));
            let offences: Vec<_> = offences.collect();
            assert!(offences.is_empty(), "{} by {n}, the first {:?}", offences.len(), offences[0]);
        }
    }
}

impl Member {
    /// Names of the agents it knows, its own included.
    pub(crate) fn knows(&self) -> BTreeSet<String> {
        self.node.agents().into_iter().map(|agent| agent.record.name.to_string()).collect()
    }

    pub(crate) fn knows_agent(&self, name: &str) -> bool {
        let name: AgentName = name.parse().unwrap();
        self.node.agents().iter().any(|agent| agent.record.name == name)
    }

    /// Bodies of broadcasts, in the order they came.
    pub(crate) fn broadcasts(&self) -> Vec<(NodeId, Bytes)> {
        let mut broadcasts = Vec::new();
        for (_, event) in &self.events {
            if let Event::Broadcast { from, body, .. } = event {
                broadcasts.push((*from, body.clone()));
            }
        }
        broadcasts
    }
}

pub(crate) fn key(n: usize) -> Keypair {
    let mut seed = [0x5e; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Keypair::from_seed(&seed)
}

pub(crate) fn private_charter() -> Charter {
    let (name, founders) = ("network".to_owned(), vec![key(1).node()]);
    Charter { v: charter::VERSION, name, founders, threshold: 1, voters: vec![], open: false }
}

/// What signs the votes of the node at place `n`, as long as its store is not lost.
pub(crate) fn voting_key(n: usize) -> Keypair {
    let mut seed = [0x70; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Keypair::from_seed(&seed)
}

fn make(disk: &mut BTreeMap<String, Bytes>, Change { key, value }: Change) {
    match value {
        Some(value) => drop(disk.insert(key, value)),
        None => drop(disk.remove(&key)),
    }
}

/// A frame as its receiver reads it, and its size.
fn over_the_wire<T: DeserializeOwned + Bounded>(frame: &T, max: usize) -> (T, usize) {
    let bytes = codec::encode(frame, max).unwrap();
    (codec::decode(&bytes, max).unwrap(), bytes.len())
}

/// Whether a message is an announcement of the node at place `n`.
pub(crate) fn announces(input: &Input, n: usize) -> bool {
    let Input::Gossip { wire, .. } = input else {
        return false;
    };
    let claims = Unverified::decode(wire.clone()).unwrap();
    claims.claims().kind == mesh_proto::Kind::AgentAnnounce && claims.claims().from == key(n).node()
}
