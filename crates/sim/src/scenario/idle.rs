//! Nothing happens, and nobody is suspected of anything.

use super::{Options, Scenario, Swarm};
use crate::id::Micros;
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "idle",
    about: "two minutes in which nothing happens but heartbeats, on links that lose one packet in fifty",
    nodes: 100,
    run,
};

fn run(options: Options) -> Report {
    let mut report = Report::new(SCENARIO.name, options.nodes, options.seed);
    let mut swarm = Swarm::settled(options, Link { loss: 20_000, ..Link::default() });
    let before = swarm.world.ledger().suspicions().len();
    let events = swarm.world.events();
    let began = swarm.world.time();
    swarm.run(Micros::from_ms(120_000));
    let suspected = swarm.world.ledger().suspicions().len() - before;
    report.figure("suspected for nothing", suspected as f64, "", Goal::AtMost(0.0));
    let seconds = swarm.world.time().since(began).0 as f64 / 1e6;
    let rate = (swarm.world.events() - events) as f64 / seconds / (options.nodes.max(1)) as f64;
    report.figure("events of a host", rate, "/s", Goal::None);
    let links: usize = swarm.hosts.iter().map(|host| swarm.world.node(*host).map_or(0, |node| node.links())).sum();
    report.figure("links of a host", links as f64 / options.nodes.max(1) as f64, "", Goal::None);
    report.finish(swarm.world)
}
