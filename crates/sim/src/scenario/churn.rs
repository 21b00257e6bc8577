//! Hosts come and go for an hour.

use super::{Options, Scenario, Swarm};
use crate::faults::{Crash, Store};
use crate::id::Micros;
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "churn",
    about: "for an hour a tenth of the hosts goes each minute, and as many come or come back",
    nodes: 100,
    run,
};

const MINUTES: u64 = 60;

fn run(options: Options) -> Report {
    let mut report = Report::new(SCENARIO.name, options.nodes, options.seed);
    let mut swarm = Swarm::settled(options, Link { loss: 10_000, ..Link::default() });
    let began = swarm.world.time();
    let (mut owed, mut heard) = (0.0, 0.0);
    let mut most = 0;
    let mut early = 0;
    for minute in 0..MINUTES {
        for _ in 0..(options.nodes / 10).max(1) {
            swarm.replace_one();
            swarm.run(Micros(60_000_000 / (options.nodes as u64 / 10).max(1)));
            let steady = swarm.steady(Micros::from_ms(30_000));
            let said = swarm.world.time();
            let author = swarm.some(steady.clone(), 1)[0];
            swarm.world.broadcast(author, 100);
            swarm.run(Micros::from_ms(2_000));
            let members: Vec<_> = steady.iter().map(|host| (*host, swarm.world.node_id(*host))).collect();
            let delivery = swarm.world.ledger().broadcasts((said, swarm.world.time()), &members);
            owed += delivery.owed as f64;
            heard += delivery.times.len() as f64;
        }
        let entries = swarm.entries();
        most = most.max(entries);
        if minute == 9 {
            early = entries;
        }
        swarm.world.forget_before(swarm.world.time());
    }
    report.figure("broadcasts heard by those who were there for 30 s", heard * 100.0 / owed, "%", Goal::AtLeast(99.9));
    report.figure("entries in all nodes' maps after ten minutes", early as f64, "", Goal::None);
    let growth = most as f64 / early.max(1) as f64;
    report.figure("most at any time, of these", growth, "x", Goal::AtMost(1.5));
    report.figure("hours", (swarm.world.time().since(began)).0 as f64 / 3.6e9, "", Goal::None);
    report.finish(swarm.world)
}

impl Swarm {
    /// One goes in one of four ways, and another comes, or the same comes back.
    fn replace_one(&mut self) {
        let hosts = self.hosts.clone();
        let host = self.some(hosts, 1)[0];
        match self.world.chance().below(4) {
            0 => self.world.leave(host),
            1 => self.world.crash(host, Crash::Machine),
            _ => self.world.crash(host, Crash::Process),
        }
        let store = if self.world.chance().below(2) == 0 { Store::Kept } else { Store::Lost };
        self.world.restart(host, store);
        self.world.announce(host);
    }

    /// Entries in the maps of all nodes and overlays.
    fn entries(&self) -> usize {
        let of = |host| {
            let node = self.world.node(host).map_or(0, |node| node.retained());
            node + self.world.overlay(host).map_or(0, |overlay| overlay.retained())
        };
        self.world.up().map(of).sum()
    }
}
