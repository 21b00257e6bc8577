//! Whole stories, each with its figures and what they are to show.

use mesh_proto::NodeId;

use crate::chance::Chance;
use crate::host::Spec;
use crate::id::{HostId, Micros};
use crate::link::Link;
use crate::report::{Goal, Report};
use crate::world::World;

mod broadcast;
mod churn;
mod crash;
mod idle;
mod join;
mod knowledge;
mod partition;
mod sybil;

/// What a scenario is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Hosts besides the relays.
    pub nodes: usize,
    /// What everything random comes from.
    pub seed: u64,
}

/// A story.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// Hosts, if not said otherwise.
    pub nodes: usize,
    run: fn(Options) -> Report,
}

impl Scenario {
    /// Plays it.
    pub fn run(&self, options: Options) -> Report {
        (self.run)(options)
    }
}

/// All of them.
pub const ALL: &[Scenario] = &[
    idle::SCENARIO,
    join::SCENARIO,
    broadcast::SCENARIO,
    partition::SCENARIO,
    knowledge::HEAL,
    knowledge::HOLDERS,
    crash::HOSTS,
    crash::RELAYS,
    churn::SCENARIO,
    sybil::ECLIPSE,
    sybil::CENSOR,
    sybil::COLD_BOOT,
    sybil::FLASH,
    sybil::FLOODED,
    sybil::EQUIVOCATE,
];

/// The scenario of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// Hosts that one relay carries.
const PER_RELAY: usize = 250;

/// Relays and hosts of one swarm, all of them pages.
pub(crate) struct Swarm {
    pub(crate) world: World,
    pub(crate) relays: Vec<HostId>,
    pub(crate) hosts: Vec<HostId>,
}

impl Swarm {
    /// Relays enough for `nodes` hosts, at least three, that know each other, a second old.
    pub(crate) fn new(options: Options, link: Link) -> Self {
        Self::with_relays(options, link, (2 * options.nodes).div_ceil(PER_RELAY).max(3))
    }

    /// `count` relays that know each other, a second old.
    fn with_relays(options: Options, link: Link, count: usize) -> Self {
        let mut world = World::new(options.seed, link);
        let mut relays = Vec::new();
        for place in 0..count {
            let spec = Spec { address: 1 + place as u32, ..Spec::relay(relays.clone()) };
            relays.push(world.add(spec));
        }
        world.run_for(Micros::from_ms(1_000));
        Self { world, relays, hosts: Vec::new() }
    }

    /// A page that joins at two relays.
    pub(crate) fn join(&mut self) -> HostId {
        let place = self.hosts.len();
        let relay = |step: usize| self.relays[(place + step) % self.relays.len()];
        let spec = Spec { address: 1_000 + place as u32, ..Spec::page(vec![relay(0), relay(1)]) };
        let host = self.world.add(spec);
        self.world.announce(host);
        self.hosts.push(host);
        host
    }

    /// Pages that join one after the other, evenly spread over `span`.
    pub(crate) fn join_all(&mut self, count: usize, span: Micros) {
        for _ in 0..count {
            self.join();
            self.world.run_for(Micros(span.0 / count.max(1) as u64));
        }
    }

    /// A swarm that has settled.
    pub(crate) fn settled(options: Options, link: Link) -> Self {
        Self::new(options, link).settle(options.nodes)
    }

    /// The same with `relays`.
    pub(crate) fn settled_on(relays: usize, options: Options, link: Link) -> Self {
        Self::with_relays(options, link, relays).settle(options.nodes)
    }

    fn settle(mut self, nodes: usize) -> Self {
        self.join_all(nodes, Micros::from_ms(5_000));
        self.run(Micros::from_ms(20_000));
        self
    }

    /// Hosts that nobody can reach through a relay.
    pub(crate) fn unreachable(&self) -> usize {
        let placed = |host: &HostId| {
            let mut relays = self.world.places(*host);
            relays.any(|relay| self.world.node(relay).is_some())
        };
        self.hosts.iter().filter(|host| !placed(host)).count()
    }

    /// Lets time pass, and checks every second.
    pub(crate) fn run(&mut self, time: Micros) {
        let end = self.world.time() + time;
        while self.world.time() < end {
            self.world.run_to((self.world.time() + Micros::from_ms(1_000)).min(end));
            self.world.check();
        }
    }

    /// Some of `hosts`, at random.
    pub(crate) fn some(&mut self, mut hosts: Vec<HostId>, count: usize) -> Vec<HostId> {
        let chance: &mut Chance = self.world.chance();
        chance.shuffle(&mut hosts);
        hosts.truncate(count);
        hosts
    }

    /// Hosts and relays that are up, with their nodes.
    pub(crate) fn members(&self) -> Vec<(HostId, NodeId)> {
        let all = self.relays.iter().chain(&self.hosts).filter(|host| self.world.node(**host).is_some());
        all.map(|host| (*host, self.world.node_id(*host))).collect()
    }

    /// Hosts that have been up for `time`.
    pub(crate) fn steady(&self, time: Micros) -> Vec<HostId> {
        let since = self.world.time() - time;
        self.hosts.iter().copied().filter(|host| self.world.started(*host).is_some_and(|at| at <= since)).collect()
    }

    /// Broadcasts by hosts at random, twenty a second, and how many of the others hear them within five seconds.
    pub(crate) fn probe(&mut self, report: &mut Report, name: &str, count: u64, goal: Goal) {
        let hosts = self.hosts.clone();
        self.probe_of(report, name, count, goal, &hosts);
    }

    /// The same, by some of them.
    pub(crate) fn probe_of(&mut self, report: &mut Report, name: &str, count: u64, goal: Goal, authors: &[HostId]) {
        let began = self.world.time();
        for _ in 0..count {
            let author = self.some(authors.to_vec(), 1)[0];
            self.world.broadcast(author, 100);
            self.run(Micros::from_ms(50));
        }
        let said = self.world.time();
        self.run(Micros::from_ms(5_000));
        let hosts: Vec<_> = self.hosts.iter().map(|host| (*host, self.world.node_id(*host))).collect();
        let delivery = self.world.ledger().broadcasts((began, said), &hosts);
        let percent = delivery.percent(Micros::from_ms(5_000));
        report.figure(format!("{name}: heard within 5 s"), percent, "%", goal);
        report.seconds(format!("{name}: 99 % of those within"), Some(delivery.quantile(990_000)), Goal::None);
    }

    /// Messages from hosts at random to hosts at random, and how many are acknowledged.
    pub(crate) fn probe_messages(&mut self, report: &mut Report, name: &str, count: u64, goal: Goal) {
        let timeout = Micros::from_ms(10_000);
        let began = self.world.time();
        for _ in 0..count {
            let hosts = self.hosts.clone();
            if let [from, to] = self.some(hosts, 2)[..] {
                self.world.message(from, to, 100, timeout);
            }
            self.run(Micros::from_ms(50));
        }
        let said = self.world.time();
        self.run(timeout);
        let delivery = self.world.ledger().messages((began, said));
        report.figure(format!("{name}: acknowledged within 10 s"), delivery.percent(timeout), "%", goal);
        report.seconds(format!("{name}: 99 % of those within"), Some(delivery.quantile(990_000)), Goal::None);
    }
}
