//! Everybody joins at once, and finds everybody.

use mesh_core::directory::{Event as Told, SearchOptions};
use mesh_proto::agent::Criteria;

use super::{Options, Scenario, Swarm};
use crate::id::Micros;
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const SCENARIO: Scenario =
    Scenario { name: "join", about: "everybody joins within a second; who knows whom, and when", nodes: 1_000, run };

fn run(options: Options) -> Report {
    let mut report = Report::new(SCENARIO.name, options.nodes, options.seed);
    let mut swarm = Swarm::new(options, Link::default());
    swarm.join_all(options.nodes, Micros::from_ms(1_000));
    let joined = swarm.world.time();

    let hosts: Vec<_> = swarm.hosts.iter().map(|host| (*host, swarm.world.node_id(*host))).collect();
    let end = joined + Micros::from_ms(30_000);
    let known = swarm.world.run_until(Micros::from_ms(50), end, |world| world.informed(&hosts, 95) >= 95.0);
    let after = known.map(|at| at.since(joined));
    report.seconds("95 % know 95 %, from the last one's start", after, Goal::AtMost(3.0));
    let all = swarm.world.run_until(Micros::from_ms(250), end, |world| world.informed(&hosts, 100) >= 100.0);
    report.seconds("all know all", all.map(|at| at.since(joined)), Goal::None);

    let last = swarm.hosts[swarm.hosts.len() / 2];
    let criteria = Criteria { name: "agent-nobody".parse().ok(), ..Criteria::default() };
    let began = swarm.world.time();
    let search = swarm.world.with(last, |node, now| node.discover(criteria, SearchOptions::default(), now));
    let id = search.and_then(Result::ok);
    let found = swarm.world.run_until(Micros::from_ms(10), began + Micros::from_ms(10_000), |world| {
        world
            .searches()
            .any(|(host, event)| host == last && matches!(event, Told::Found { id: found, .. } if Some(*found) == id))
    });
    report.seconds("a search for who is not there ends", found.map(|at| at.since(began)), Goal::AtMost(2.5));
    report.finish(swarm.world)
}
