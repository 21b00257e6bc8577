//! Half of everything dies at once.

use super::{Options, Scenario, Swarm};
use crate::faults::Crash;
use crate::id::Micros;
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const HOSTS: Scenario = Scenario {
    name: "crash",
    about: "half of the hosts die at once, every other one without a word",
    nodes: 100,
    run: hosts,
};

pub(super) const RELAYS: Scenario = Scenario {
    name: "relays",
    about: "half of six relays die at once and without a word; some hosts had no other",
    nodes: 100,
    run: relays,
};

const COUNT: u64 = 50;

const RELAY_COUNT: usize = 6;

fn hosts(options: Options) -> Report {
    let mut report = Report::new(HOSTS.name, options.nodes, options.seed);
    let mut swarm = Swarm::settled(options, Link::default());
    let hosts = swarm.hosts.clone();
    let dead = swarm.some(hosts, options.nodes / 2);
    for (place, host) in dead.iter().enumerate() {
        swarm.world.crash(*host, if place % 2 == 0 { Crash::Process } else { Crash::Machine });
    }
    swarm.hosts.retain(|host| !dead.contains(host));
    whole_again(&mut report, &mut swarm);
    probe(&mut report, &mut swarm);
    report.finish(swarm.world)
}

fn relays(options: Options) -> Report {
    let mut report = Report::new(RELAYS.name, options.nodes, options.seed);
    let mut swarm = Swarm::settled_on(RELAY_COUNT, options, Link::default());
    let relays = swarm.relays.clone();
    let dead = swarm.some(relays, RELAY_COUNT / 2);
    for relay in &dead {
        swarm.world.crash(*relay, Crash::Machine);
    }
    swarm.relays.retain(|relay| !dead.contains(relay));
    let died = swarm.world.time();
    report.figure("hosts without a relay that lives", swarm.unreachable() as f64, "", Goal::None);
    whole_again(&mut report, &mut swarm);
    let end = died + Micros::from_ms(60_000);
    while swarm.unreachable() > 0 && swarm.world.time() < end {
        swarm.run(Micros::from_ms(200));
    }
    let placed = (swarm.unreachable() == 0).then(|| swarm.world.time().since(died));
    report.seconds("every host has a place on a relay", placed, Goal::AtMost(30.0));
    probe(&mut report, &mut swarm);
    report.finish(swarm.world)
}

/// The survivors find together again, and hear each other meanwhile.
fn whole_again(report: &mut Report, swarm: &mut Swarm) {
    let died = swarm.world.time();
    let all = swarm.members();
    let end = died + Micros::from_ms(60_000);
    let whole = swarm.world.run_until(Micros::from_ms(50), end, |world| world.parts(&all) == [all.len()]);
    report.seconds("survivors in one piece", whole.map(|at| at.since(died)), Goal::AtMost(10.0));
    swarm.probe(report, "broadcasts at once", COUNT, Goal::None);
    swarm.run(Micros::from_ms(10_000) - swarm.world.time().since(died));
}

fn probe(report: &mut Report, swarm: &mut Swarm) {
    swarm.probe(report, "broadcasts after that", COUNT, Goal::AtLeast(99.9));
    swarm.probe_messages(report, "messages after that", COUNT, Goal::AtLeast(99.9));
}
