//! Broadcasts over links that lose one gossip message in twenty.

use super::{Options, Scenario, Swarm};
use crate::id::Micros;
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "broadcast",
    about: "broadcasts while one gossip message in twenty is lost, some come twice and some late",
    nodes: 100,
    run,
};

/// Broadcasts, one every tenth of a second.
const COUNT: u64 = 100;

fn run(options: Options) -> Report {
    let mut report = Report::new(SCENARIO.name, options.nodes, options.seed);
    let link = Link { drop: 50_000, duplicate: 10_000, reorder: 20_000, loss: 10_000, ..Link::default() };
    let mut swarm = Swarm::settled(options, link);
    swarm.world.follow_flows();
    let began = swarm.world.time();
    for _ in 0..COUNT {
        let hosts = swarm.hosts.clone();
        let author = swarm.some(hosts, 1)[0];
        swarm.world.broadcast(author, 256);
        swarm.run(Micros::from_ms(100));
    }
    let said = swarm.world.time();
    swarm.run(Micros::from_ms(10_000));

    let hosts: Vec<_> = swarm.hosts.iter().map(|host| (*host, swarm.world.node_id(*host))).collect();
    let delivery = swarm.world.ledger().broadcasts((began, said), &hosts);
    let within = Micros::from_ms(5_000);
    report.figure("delivered within 5 s", delivery.percent(within), "%", Goal::AtLeast(99.99));
    report.figure("delivered within 10 s", delivery.percent(Micros::from_ms(10_000)), "%", Goal::None);
    report.seconds("half of them within", Some(delivery.quantile(500_000)), Goal::None);
    report.seconds("99 % of them within", Some(delivery.quantile(990_000)), Goal::None);
    let (hops, copies) = swarm.world.ledger().flows();
    report.figure("most hops", f64::from(hops), "", Goal::None);
    report.figure("copies that a host gets", copies, "", Goal::None);
    report.finish(swarm.world)
}
