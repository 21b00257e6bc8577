//! One slot, many voters, a third of them traitors: the voters are the real ones ([`mesh_consensus::Instance`], with its
//! signatures), the network is one that loses, delays, doubles, reorders and splits, and processes die between any two
//! steps. [`rules`] must hold all the same.
//!
//! [`campaign`] draws everything of a run from a seed, and a run gives the same trace each time; `npm run sim -- --slots N`
//! plays N of them.

mod both;
pub mod campaign;
pub mod rules;
mod traitor;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_consensus::instance::{Config, Me, Output, Saved, Tally};
use mesh_consensus::{Agreement, Electorate, Instance, Malachite};
use mesh_proto::charter::Voter;
use mesh_proto::decision::{
    Ballot, Certificate, Choice, Claim, Message, Outcome, Proposal, Slot, Subject, Value, VoterIndex,
};
use mesh_proto::{Digest, Keypair, MeshId, Verifier};

use crate::chance::{Chance, entropy};
use crate::trace::mix;
use crate::verifier::Memory;
use rules::{Broken, Ledger};
use traitor::Traitor;

pub use both::Both;
pub use traitor::Treason;

/// Virtual milliseconds.
pub type Millis = u64;

/// How the network is.
#[derive(Clone, Debug)]
pub struct Network {
    /// The fastest way of a message over one link, milliseconds.
    pub fastest: Millis,
    /// The slowest one.
    pub slowest: Millis,
    /// Links of each voter, if messages travel by gossip, on the quickest way. Else everybody has a link to everybody.
    pub degree: Option<usize>,
    /// Messages lost, in a million, until it comes to rest.
    pub loss: u32,
    /// Messages that come twice, in a million.
    pub doubled: u32,
    /// When it comes to rest: nothing is lost any more, and nobody dies.
    pub rest: Millis,
    /// Until when it is split, and in which part each voter is.
    pub split: Option<(Millis, Vec<u8>)>,
}

/// What happens to a voter.
#[derive(Clone, Debug)]
pub enum Role {
    /// It does as it should; so many milliseconds after it was asked, its agent says this. `None`: never.
    Honest {
        /// What its agent thinks, and after how long.
        judges: Option<(Choice, Millis)>,
        /// When its process dies, after how many more outputs, how long it is away, and whether it finds its store again.
        dies: Vec<Death>,
    },
    /// It does as it likes.
    Traitor(Treason),
}

/// A process ends.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// With the first output after this.
    pub at: Millis,
    /// And so many more are still carried out.
    pub outputs: u32,
    /// It is away so long.
    pub away: Millis,
    /// Whether its store is there when it comes back. Who has lost it does not vote any more.
    pub store: bool,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What all that is random comes from.
    pub seed: u64,
    /// The voters.
    pub roles: Vec<Role>,
    /// The network.
    pub network: Network,
    /// Milliseconds that voters have.
    pub window: Millis,
    /// Who wants it: the author of a proposal, or those who claim a resource.
    pub authors: Authors,
    /// When the run ends, decided or not.
    pub end: Millis,
}

/// Who wants something decided.
#[derive(Clone, Debug)]
pub enum Authors {
    /// The proposal of this voter.
    Owner(VoterIndex),
    /// The claims of these voters, each so many milliseconds after the start.
    Claims(Vec<(VoterIndex, Millis)>),
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was decided, if anybody has.
    pub outcome: Option<Outcome>,
    /// Honest voters, still alive and with their store or not, and how many of them know the outcome.
    pub honest: usize,
    /// See [`Report::honest`].
    pub decided: usize,
    /// When each of them knew, in ascending order.
    pub times: Vec<Millis>,
    /// The round of the decision.
    pub round: u32,
    /// Messages delivered.
    pub messages: u64,
    /// Processes that ended between two of their outputs.
    pub kills: u64,
    /// Traitors that were found out.
    pub guilty: usize,
    /// The ballots, as the first one to decide knew them.
    pub tally: Tally,
    /// Hash over everything that happened.
    pub trace: u64,
    /// Rules that were broken.
    pub broken: Vec<Broken>,
}

/// A voter's node.
enum Node<A> {
    Honest(Box<Host<A>>),
    Traitor(Box<Traitor>),
}

/// The process of an honest voter, and its disk.
struct Host<A> {
    instance: Option<Instance<A>>,
    disk: Option<Saved>,
    /// Whether the disk was lost: it follows only.
    lost: bool,
    judges: Option<(Choice, Millis)>,
    dies: Vec<Death>,
    /// Outputs that the dying process still carries out.
    dying: Option<(u32, Death)>,
    starts: u64,
}

enum Event {
    Deliver { to: VoterIndex, from: VoterIndex, message: Arc<Message> },
    Judge { voter: VoterIndex, digest: Digest, choice: Choice },
    Wake(VoterIndex),
    Start(VoterIndex),
    Propose(VoterIndex),
    Claim(VoterIndex),
}

/// See the [module](self). `A` is what the honest voters run.
pub struct World<A = Malachite> {
    setup: Setup,
    slot: Slot,
    electorate: Arc<Electorate>,
    keys: Vec<Keypair>,
    verifier: Arc<dyn Verifier>,
    nodes: Vec<Node<A>>,
    ledger: Ledger,
    agenda: BinaryHeap<Reverse<(Millis, u64)>>,
    events: BTreeMap<u64, Event>,
    entered: u64,
    /// How long gossip takes from one voter to another.
    ways: Option<Vec<Vec<Millis>>>,
    /// The next time that each voter is woken.
    wakes: Vec<Option<Millis>>,
    now: Millis,
    chance: Chance,
    messages: u64,
    kills: u64,
    trace: u64,
    decided: BTreeMap<VoterIndex, (Millis, Certificate)>,
    tally: Option<Tally>,
}

/// Keys of all simulated voters, in ascending order: a voter's place is that of its key.
pub fn keys(n: usize) -> Vec<Keypair> {
    // Those of a hundred take as long as some runs.
    static MADE: Mutex<BTreeMap<usize, Vec<Keypair>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let mut keys: Vec<_> = (0..n as u64).map(|n| Keypair::from_seed(&entropy(n, 0x0076_6f74_6572))).collect();
        keys.sort_by_key(Keypair::node);
        keys
    };
    made.entry(n).or_insert_with(make).clone()
}

/// The electorate of these keys.
pub fn electorate(keys: &[Keypair]) -> Electorate {
    Electorate::new(keys.iter().map(|key| Voter { node: key.node(), key: key.node() }).collect())
}

impl<A: Agreement> World<A> {
    /// Sets a run up.
    pub fn new(setup: Setup) -> Self {
        let keys = keys(setup.roles.len());
        let electorate = Arc::new(electorate(&keys));
        let mesh = MeshId([7; 32]);
        let subject = match &setup.authors {
            Authors::Owner(author) => Subject::Owned { author: keys[usize::from(*author)].node(), seq: setup.seed },
            Authors::Claims(_) => Subject::Resource { name: "gpu".to_owned(), seq: setup.seed },
        };
        let slot = Slot { mesh, epoch: 0, subject };
        let traitors = setup.roles.iter().map(|role| matches!(role, Role::Traitor(_)));
        let ledger = Ledger::new(&electorate, slot.id().expect("a short name"), traitors.collect());
        let mut chance = Chance::new(setup.seed, 1);
        let ways = setup.network.degree.map(|degree| gossip_ways(keys.len(), degree, &setup.network, &mut chance));
        let mut world = Self {
            ways,
            chance,
            slot,
            electorate,
            verifier: Arc::new(Memory::default()),
            nodes: Vec::new(),
            ledger,
            agenda: BinaryHeap::new(),
            events: BTreeMap::new(),
            entered: 0,
            wakes: vec![None; keys.len()],
            now: 0,
            messages: 0,
            kills: 0,
            trace: mix(setup.seed),
            decided: BTreeMap::new(),
            tally: None,
            keys,
            setup,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for (place, role) in self.setup.roles.clone().into_iter().enumerate() {
            let voter = place as VoterIndex;
            let node = match role {
                Role::Honest { judges, dies } => Node::Honest(Box::new(Host {
                    instance: None,
                    disk: None,
                    lost: false,
                    judges,
                    dies,
                    dying: None,
                    starts: 0,
                })),
                Role::Traitor(treason) => {
                    Node::Traitor(Box::new(Traitor::new(treason, self.keys.len(), voter, self.setup.seed)))
                }
            };
            self.nodes.push(node);
            self.push(0, Event::Start(voter));
        }
        match self.setup.authors.clone() {
            Authors::Owner(author) => self.push(1, Event::Propose(author)),
            Authors::Claims(claims) => {
                for (voter, at) in claims {
                    self.push(at.max(1), Event::Claim(voter));
                }
            }
        }
    }

    /// Plays it to its end: when everybody knows the outcome, or time is over.
    pub fn run(mut self) -> Report {
        while let Some(Reverse((at, number))) = self.agenda.pop() {
            if at > self.setup.end || self.is_over() {
                break;
            }
            self.now = at;
            let event = self.events.remove(&number).expect("each event is entered once");
            self.happen(event);
        }
        self.report()
    }

    /// Whether all honest voters know, and nothing is left to go wrong.
    fn is_over(&self) -> bool {
        self.now >= self.setup.network.rest && self.honest().all(|(_, host)| is_done(host))
    }

    fn honest(&self) -> impl Iterator<Item = (VoterIndex, &Host<A>)> {
        (0..=VoterIndex::MAX).zip(&self.nodes).filter_map(|(voter, node)| match node {
            Node::Honest(host) => Some((voter, &**host)),
            Node::Traitor(_) => None,
        })
    }

    fn report(self) -> Report {
        let honest: Vec<_> = self.honest().map(|(voter, _)| voter).collect();
        let known: Vec<_> = honest.iter().filter_map(|voter| self.decided.get(voter)).collect();
        let first = known.iter().min_by_key(|(at, _)| *at);
        let mut times: Vec<_> = known.iter().map(|(at, _)| *at).collect();
        times.sort_unstable();
        Report {
            outcome: first.map(|(_, certificate)| certificate.outcome),
            honest: honest.len(),
            decided: known.len(),
            times,
            round: first.map_or(0, |(_, certificate)| certificate.round),
            messages: self.messages,
            kills: self.kills,
            guilty: self.ledger.guilty(),
            tally: self.tally.unwrap_or_default(),
            trace: self.trace,
            broken: self.ledger.broken(),
        }
    }

    fn push(&mut self, at: Millis, event: Event) {
        self.entered += 1;
        self.events.insert(self.entered, event);
        self.agenda.push(Reverse((at, self.entered)));
    }

    fn note(&mut self, word: u64) {
        self.trace = mix(self.trace ^ word.wrapping_add(self.now << 20));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, message } => self.deliver(to, from, &message),
            Event::Judge { voter, digest, choice } => {
                let now = self.now;
                let ballot = Ballot { choice, reason: String::new() };
                // Who is asked late may find that it has abstained.
                self.with(voter, |instance| {
                    let _abstained = instance.judge(digest, ballot, now);
                });
            }
            Event::Wake(voter) => {
                self.wakes[usize::from(voter)] = None;
                let now = self.now;
                self.with(voter, |instance| instance.handle_timeout(now));
                self.stir(voter);
            }
            Event::Start(voter) => self.start(voter),
            Event::Propose(voter) => self.propose(voter),
            Event::Claim(voter) => self.claim(voter),
        }
    }

    fn proposal(&self, title: &str) -> Value {
        Value::Proposal(Proposal {
            kind: "test".to_owned(),
            title: title.to_owned(),
            body: bytes::Bytes::from_static(b"what it is about"),
            window: self.setup.window,
            at: 0,
        })
    }

    fn propose(&mut self, voter: VoterIndex) {
        let (value, other) = (self.proposal("one"), self.proposal("other"));
        let now = self.now;
        match &mut self.nodes[usize::from(voter)] {
            Node::Honest(_) => self.with(voter, |instance| instance.propose(value, now).expect("a small proposal")),
            Node::Traitor(traitor) => {
                traitor.propose(value, other, now);
                self.stir(voter);
            }
        }
    }

    fn claim(&mut self, voter: VoterIndex) {
        let key = &self.keys[usize::from(voter)];
        let claim = Claim { slot: self.slot.clone(), holder: key.node(), length: 1_000 + u64::from(voter) };
        let claim = Message::Claim(claim.sign(key).expect("a small claim"));
        for to in 0..self.keys.len() {
            self.send(voter, to as VoterIndex, claim.clone());
        }
    }

    fn start(&mut self, voter: VoterIndex) {
        let (keys, slot, electorate, verifier) =
            (&self.keys, self.slot.clone(), Arc::clone(&self.electorate), Arc::clone(&self.verifier));
        let key = keys[usize::from(voter)].clone();
        let (now, seed) = (self.now, self.setup.seed);
        let config = Config { window_ms: self.setup.window, ..Config::default() };
        match &mut self.nodes[usize::from(voter)] {
            Node::Traitor(traitor) => traitor.start(&slot, &electorate, &verifier, &key, &config),
            Node::Honest(host) => {
                host.starts += 1;
                let entropy = entropy(seed, u64::from(voter) | host.starts << 8);
                let me = Me { voter, key };
                let instance = match host.disk.clone() {
                    Some(saved) => Instance::restore(config, saved, electorate, verifier, me, entropy, now),
                    None => {
                        let me = (!host.lost).then_some(me);
                        Instance::new(config, slot, electorate, verifier, me, entropy, now)
                    }
                };
                let instance = instance.expect("a short name");
                if self.decided.contains_key(&voter) && !host.lost && instance.decided().is_none() {
                    self.ledger.forgot(voter);
                }
                host.instance = Some(instance);
                if matches!(self.setup.authors, Authors::Claims(_))
                    && let Some((choice, after)) = host.judges
                {
                    let at = now + after.min(200);
                    self.push(at, Event::Judge { voter, digest: Digest([0; 32]), choice });
                }
            }
        }
        self.note(u64::from(voter) | 1 << 16);
        self.stir(voter);
    }

    fn deliver(&mut self, to: VoterIndex, from: VoterIndex, message: &Message) {
        self.messages += 1;
        self.note(u64::from(to) << 8 | u64::from(from));
        let now = self.now;
        let answers = match &mut self.nodes[usize::from(to)] {
            Node::Traitor(traitor) => {
                traitor.hear(from, message, now);
                Vec::new()
            }
            Node::Honest(host) => match (&mut host.instance, message) {
                (None, _) => return,
                (Some(instance), Message::Status(status)) => instance.answer(status),
                (Some(instance), message) => {
                    // What is refused is a traitor's; it changes nothing.
                    drop(instance.handle(message.clone(), now));
                    Vec::new()
                }
            },
        };
        for answer in answers {
            self.send(to, from, answer);
        }
        self.stir(to);
    }

    /// Does something to the process of an honest voter, if it is alive, and then what it asks for.
    fn with(&mut self, voter: VoterIndex, act: impl FnOnce(&mut Instance<A>)) {
        if let Node::Honest(host) = &mut self.nodes[usize::from(voter)]
            && let Some(instance) = &mut host.instance
        {
            act(instance);
            self.stir(voter);
        }
    }

    /// Carries out what a voter asks for, and wakes it when it wants to be.
    fn stir(&mut self, voter: VoterIndex) {
        match &mut self.nodes[usize::from(voter)] {
            Node::Traitor(traitor) => {
                let (said, due) = traitor.act(self.now);
                for (to, message) in said {
                    self.ledger.heard(&message, &*self.verifier);
                    self.send(voter, to, message);
                }
                self.wake_at(voter, due);
            }
            Node::Honest(_) => {
                while let Some(output) = self.next_output(voter) {
                    self.carry_out(voter, output);
                }
                let due = match &self.nodes[usize::from(voter)] {
                    Node::Honest(host) => host.instance.as_ref().and_then(Instance::poll_timeout),
                    Node::Traitor(_) => None,
                };
                self.wake_at(voter, due);
            }
        }
    }

    /// The next thing that a process does before it dies, if it dies.
    fn next_output(&mut self, voter: VoterIndex) -> Option<Output> {
        let now = self.now;
        let Node::Honest(host) = &mut self.nodes[usize::from(voter)] else {
            return None;
        };
        let output = host.instance.as_mut()?.poll_output()?;
        if host.dying.is_none()
            && let Some(place) = host.dies.iter().position(|death| death.at <= now)
        {
            let death = host.dies.remove(place);
            host.dying = Some((death.outputs, death));
        }
        match &mut host.dying {
            None => Some(output),
            Some((0, death)) => {
                let death = *death;
                (host.dying, host.instance) = (None, None);
                self.kills += 1;
                if !death.store {
                    (host.lost, host.disk) = (true, None);
                }
                self.push(now + death.away, Event::Start(voter));
                None
            }
            Some((left, _)) => {
                *left -= 1;
                Some(output)
            }
        }
    }

    fn carry_out(&mut self, voter: VoterIndex, output: Output) {
        match output {
            Output::Persist(saved) => {
                if let Node::Honest(host) = &mut self.nodes[usize::from(voter)] {
                    host.disk = Some(*saved);
                }
            }
            Output::Say(message) => {
                let message = *message;
                self.ledger.said(voter, &message);
                self.ledger.heard(&message, &*self.verifier);
                for to in 0..self.keys.len() {
                    let to = to as VoterIndex;
                    if to != voter {
                        self.send(voter, to, message.clone());
                    }
                }
            }
            Output::Ask(status) => {
                for _ in 0..3 {
                    let to = self.chance.below(self.keys.len() as u64) as VoterIndex;
                    if to != voter {
                        self.send(voter, to, Message::Status(status.clone()));
                    }
                }
            }
            Output::Judge(digest) => {
                if let Node::Honest(host) = &self.nodes[usize::from(voter)]
                    && matches!(self.setup.authors, Authors::Owner(_))
                    && let Some((choice, after)) = host.judges
                {
                    self.push(self.now + after, Event::Judge { voter, digest, choice });
                }
            }
            Output::Guilty(evidence) => self.ledger.accused(&evidence, &*self.verifier),
            Output::Decided(certificate) => {
                self.ledger.decided(&certificate, &*self.verifier);
                if let Some((until, parts)) = &self.setup.network.split
                    && self.now < *until
                {
                    self.ledger.decided_apart(parts);
                }
                if let Node::Honest(host) = &self.nodes[usize::from(voter)]
                    && self.tally.is_none()
                {
                    self.tally = host.instance.as_ref().map(Instance::tally);
                }
                let now = self.now;
                self.decided.entry(voter).or_insert((now, *certificate));
            }
        }
    }

    fn wake_at(&mut self, voter: VoterIndex, due: Option<Millis>) {
        let wake = &mut self.wakes[usize::from(voter)];
        if let Some(due) = due.map(|due| due.max(self.now + 1))
            && wake.is_none_or(|wake| due < wake)
        {
            *wake = Some(due);
            self.push(due, Event::Wake(voter));
        }
    }

    fn send(&mut self, from: VoterIndex, to: VoterIndex, message: Message) {
        let Network { fastest, slowest, degree: _, loss, doubled, rest, split } = &self.setup.network;
        let (fastest, slowest) = (*fastest, *slowest);
        let restless = self.now < *rest;
        if let Some((until, parts)) = split
            && self.now < *until
            && parts[usize::from(from)] != parts[usize::from(to)]
        {
            return;
        }
        if from != to && restless && self.chance.happens(*loss) {
            return;
        }
        let copies = if self.chance.happens(*doubled) { 2 } else { 1 };
        let message = Arc::new(message);
        for _ in 0..copies {
            let way = match &self.ways {
                _ if from == to => 0,
                Some(ways) => ways[usize::from(from)][usize::from(to)],
                None => self.chance.between(fastest, slowest),
            };
            self.push(self.now + way, Event::Deliver { to, from, message: Arc::clone(&message) });
        }
    }
}

/// How long it takes from each voter to each other one over the quickest way of links, of which each voter has about so
/// many: a ring, so that nobody is left out, and chords.
fn gossip_ways(n: usize, degree: usize, network: &Network, chance: &mut Chance) -> Vec<Vec<Millis>> {
    let mut links = vec![BTreeMap::new(); n];
    let mut link = |a: usize, b: usize, chance: &mut Chance| {
        let way = chance.between(network.fastest, network.slowest);
        links[a].insert(b, way);
        links[b].insert(a, way);
    };
    for a in 0..n {
        link(a, (a + 1) % n, chance);
    }
    for _ in 0..n * degree.saturating_sub(2) / 2 {
        let (a, b) = (chance.below(n as u64) as usize, chance.below(n as u64) as usize);
        if a != b {
            link(a, b, chance);
        }
    }
    (0..n).map(|from| quickest(&links, from)).collect()
}

/// Dijkstra's.
fn quickest(links: &[BTreeMap<usize, Millis>], from: usize) -> Vec<Millis> {
    let mut ways = vec![Millis::MAX; links.len()];
    let mut heap = BinaryHeap::from([Reverse((0, from))]);
    while let Some(Reverse((way, at))) = heap.pop() {
        if way < ways[at] {
            ways[at] = way;
            heap.extend(links[at].iter().map(|(next, more)| Reverse((way + more, *next))));
        }
    }
    ways
}

fn is_done<A: Agreement>(host: &Host<A>) -> bool {
    host.instance.as_ref().is_some_and(|instance| instance.decided().is_some())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, honest, decided, times, round, messages, guilty, trace, broken, .. } = self;
        let outcome = match outcome {
            None => "undecided",
            Some(Outcome::Approved(_)) => "approved",
            Some(Outcome::Granted { .. }) => "granted",
            Some(Outcome::Rejected) => "rejected",
            Some(Outcome::Lapsed) => "lapsed",
        };
        write!(f, "{outcome} in round {round}, known to {decided} of {honest} honest voters")?;
        if let Some(last) = times.last() {
            write!(f, " after {:.2} s", *last as f64 / 1e3)?;
        }
        write!(f, "; {messages} messages, {guilty} traitors found out, trace {trace:016x}")?;
        broken.iter().try_for_each(|broken| write!(f, "\n  BROKEN  {broken}"))
    }
}
