//! What is known together: two sides that write the same keys while they are apart, and holders that die.

use mesh_core::knowledge::Follow;
use mesh_core::node;
use mesh_proto::EntryId;
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{Change, Domain};

use super::{Options, Scenario, Swarm};
use crate::faults::Crash;
use crate::host::Spec;
use crate::id::{HostId, Micros};
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const HEAL: Scenario = Scenario {
    name: "knowledge",
    about: "100 entries of each host; the network falls into halves for 30 s, both write the same tenth of the keys and delete others, and it heals",
    nodes: 100,
    run: heal,
};

pub(super) const HOLDERS: Scenario = Scenario {
    name: "holders",
    about: "12 agents, some of them pages; who has written something leaves, and two of its three holders die one after the other",
    nodes: 12,
    run: holders,
};

/// Entries that all know before, for each host: 10,000 of a hundred.
const BEFORE: usize = 100;
/// Who writes them.
const AUTHORS: usize = 10;
/// Keys that both sides write while they are apart, for each host; and as many that one of them takes away.
const APART: usize = 10;
const CUT: Micros = Micros::from_ms(30_000);

/// Links that lose one packet in twenty.
fn lossy() -> Link {
    Link { loss: 50_000, ..Link::default() }
}

fn domain() -> Domain {
    Domain::shared("shared")
}

fn key(number: usize) -> String {
    format!("key-{number:05}")
}

fn heal(options: Options) -> Report {
    let mut report = Report::new(HEAL.name, options.nodes, options.seed);
    let mut swarm = Swarm::settled(options, lossy());
    let hosts = swarm.hosts.clone();
    let (before, apart) = (BEFORE * options.nodes, APART * options.nodes);

    // Some write more at once than gossip lets in.
    for number in 0..before {
        swarm.write(hosts[number % AUTHORS.min(hosts.len())], number);
    }
    let all = [&hosts[..], &swarm.relays].concat();
    let end = swarm.world.time() + Micros::from_ms(120_000);
    let began = swarm.world.time();
    let known = swarm.equal(&all, end);
    report.seconds("after the last entry all know all", known.map(|at| at.since(began)), Goal::AtMost(30.0));

    let (far, near): (Vec<_>, Vec<_>) = hosts.iter().copied().enumerate().partition(|(n, _)| n % 2 == 0);
    let hosts_of = |side: Vec<(usize, HostId)>| side.into_iter().map(|(_, host)| host).collect::<Vec<_>>();
    let (far, near) = (hosts_of(far), hosts_of(near));
    let (far_relays, near_relays) = swarm.relays.split_at(swarm.relays.len() / 2);
    let sides = [[&near[..], near_relays].concat(), [&far[..], far_relays].concat()];
    swarm.world.partition(&sides);
    let cut = swarm.world.time();
    swarm.run(Micros(CUT.0 / 3));
    for number in 0..apart {
        for side in [&near, &far] {
            let author = side[number % side.len()];
            swarm.write(author, number);
        }
        let author = near[number % near.len()];
        swarm.world.take_away(author, domain(), key(apart + number));
        if number % 100 == 99 {
            swarm.run(Micros::from_ms(500));
        }
    }
    swarm.run(CUT.since(swarm.world.time().since(cut)));
    report.check("apart, they know different things", swarm.digest(near[0]) != swarm.digest(far[0]));

    swarm.world.heal();
    let healed = swarm.world.time();
    let known = swarm.equal(&all, healed + Micros::from_ms(60_000));
    report.seconds("after healing all know the same", known.map(|at| at.since(healed)), Goal::AtMost(5.0));
    let digest = swarm.digest(hosts[0]);
    report.note(format!("the hash of everything: {}", digest.map(|digest| digest.to_string()).unwrap_or_default()));
    let (mut siblings, mut returned) = (0, 0);
    if let Some(node) = swarm.world.node(hosts[0]) {
        siblings = (0..apart).filter(|number| node.known(&domain(), &key(*number)).len() == 2).count();
        let gone = |number: &usize| {
            node.known(&domain(), &key(apart + number)).iter().all(|kept| kept.change == Change::Delete)
        };
        returned = apart - (0..apart).filter(gone).count();
    }
    report.figure("keys of which both versions are there", siblings as f64, "", Goal::AtLeast(apart as f64));
    report.figure("keys that were taken away and are back", returned as f64, "", Goal::AtMost(0.0));
    report.finish(swarm.world)
}

impl Swarm {
    fn write(&mut self, author: HostId, number: usize) {
        self.world.share(author, domain(), key(number), 200);
    }

    fn digest(&mut self, host: HostId) -> Option<EntryId> {
        self.world.with(host, |node, _| node.knowledge_digest())
    }

    /// When all of `hosts` know the same; nothing if they do not by `end`.
    fn equal(&mut self, hosts: &[HostId], end: Micros) -> Option<Micros> {
        loop {
            let first = self.digest(hosts[0]);
            if hosts.iter().all(|host| self.digest(*host) == first) {
                return Some(self.world.time());
            }
            if self.world.time() >= end {
                return None;
            }
            self.run(Micros::from_ms(100));
        }
    }
}

/// Contents that the one who leaves has written.
const CONTENTS: usize = 50;

fn holders(options: Options) -> Report {
    let mut report = Report::new(HOLDERS.name, options.nodes, options.seed);
    let mut swarm = Swarm::new(options, Link::default());
    swarm.world.configure(|config: &mut node::Config| config.knowledge.ledger.follow = Follow::All);
    for place in 0..options.nodes {
        let storage = Storage { bytes: 1 << 30, native: place % 3 == 0, zone: String::new() };
        swarm.join_with(Some(storage));
    }
    swarm.run(Micros::from_ms(20_000));

    let author = swarm.hosts[1];
    let mut contents = Vec::new();
    for number in 0..CONTENTS {
        swarm.write(author, number);
        let kept =
            swarm.world.node(author).map(|node| node.known(&domain(), &key(number)).to_vec()).unwrap_or_default();
        contents.extend(kept.iter().filter_map(|kept| kept.content(0)).map(|content| content.cid));
    }
    report.figure("contents", contents.len() as f64, "", Goal::AtLeast(CONTENTS as f64));
    let began = swarm.world.time();
    let end = began + Micros::from_ms(30_000);
    let three = swarm.world.run_until(Micros::from_ms(50), end, |world| copies(world, &contents, author) >= 3);
    report.seconds("three others hold each", three.map(|at| at.since(began)), Goal::AtMost(5.0));

    // The page is closed.
    swarm.world.leave(author);
    swarm.run(Micros::from_ms(1_000));
    let mut readable = true;
    let mut longest = Micros(0);
    for how in [Crash::Process, Crash::Machine] {
        let holder = swarm.hosts.iter().copied().find(|host| *host != author && swarm.world.has(*host, &contents[0]));
        let Some(holder) = holder else {
            readable = false;
            break;
        };
        swarm.world.crash(holder, how);
        let died = swarm.world.time();
        let end = died + Micros::from_ms(90_000);
        let again = swarm.world.run_until(Micros::from_ms(100), end, |world| {
            readable &= copies(world, &contents, author) >= 1;
            copies(world, &contents, author) >= 3
        });
        match again {
            Some(at) => longest = longest.max(at.since(died)),
            None => report.check("three hold each again", false),
        }
    }
    report.check("each is readable at any moment", readable);
    report.seconds("after a death three hold each again", Some(longest), Goal::AtMost(60.0));
    report.finish(swarm.world)
}

/// The fewest copies that one of `contents` has, beside its author's.
fn copies(world: &crate::world::World, contents: &[cid::Cid], author: HostId) -> usize {
    let of = |cid| world.up().filter(|host| *host != author && world.has(*host, cid)).count();
    contents.iter().map(of).min().unwrap_or(0)
}

impl Swarm {
    /// A page, or an agent's program, that gives room.
    fn join_with(&mut self, storage: Option<Storage>) -> HostId {
        let place = self.hosts.len();
        let relay = |step: usize| self.relays[(place + step) % self.relays.len()];
        let spec = Spec { address: 1_000 + place as u32, storage, ..Spec::page(vec![relay(0), relay(1)]) };
        let host = self.world.add(spec);
        self.world.announce(host);
        self.hosts.push(host);
        host
    }
}
