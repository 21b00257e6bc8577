//! The network falls apart, both parts go on, and it comes together again.

use super::{Options, Scenario, Swarm};
use crate::id::{HostId, Micros};
use crate::link::Link;
use crate::report::{Goal, Report};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "partition",
    about: "a random part of the hosts and relays is cut off for 20 s; both parts go on, and are one again after",
    nodes: 100,
    run,
};

const CUT: Micros = Micros::from_ms(20_000);

/// Broadcasts in each part while it is cut off, and afterwards.
const COUNT: u64 = 20;

fn run(options: Options) -> Report {
    let mut report = Report::new(SCENARIO.name, options.nodes, options.seed);
    let mut swarm = Swarm::settled(options, Link::default());

    // Of every size, one after the other as seeds go up.
    let size = 1 + (options.seed as usize).wrapping_mul(37) % (options.nodes - 1);
    let hosts = swarm.hosts.clone();
    let far = swarm.some(hosts.clone(), size);
    let near: Vec<_> = hosts.iter().copied().filter(|host| !far.contains(host)).collect();
    let (far_relays, near_relays) = swarm.relays.split_at(swarm.relays.len() / 2);
    let sides = [[&near[..], near_relays].concat(), [&far[..], far_relays].concat()];
    report.figure("hosts that are cut off", size as f64, "", Goal::None);
    swarm.world.partition(&sides);
    let cut = swarm.world.time();

    // What it takes to notice: the core gives up links that are silent for ten seconds, and finds others.
    swarm.run(Micros(CUT.0 * 7 / 10));
    let began = swarm.world.time();
    for _ in 0..COUNT {
        for side in [&near, &far] {
            let author = swarm.some(side.clone(), 1)[0];
            swarm.world.broadcast(author, 100);
        }
        swarm.run(Micros(CUT.0 / 5 / COUNT));
    }
    let said = swarm.world.time();
    swarm.run(CUT - swarm.world.time().since(cut));
    for (name, side) in [("near", &near), ("far", &far)] {
        let connected = swarm.parts_of(side).first().copied().unwrap_or(0);
        report.figure(
            format!("{name} part: in one piece"),
            connected as f64 * 100.0 / side.len() as f64,
            "%",
            Goal::AtLeast(100.0),
        );
    }
    for (name, side) in [("near", &near), ("far", &far)] {
        let heard = swarm.heard_by_side((began, said), side);
        report.figure(format!("{name} part: of its own broadcasts heard"), heard, "%", Goal::AtLeast(99.9));
    }

    swarm.world.heal();
    let healed = swarm.world.time();
    let all = swarm.members();
    let end = healed + Micros::from_ms(60_000);
    let whole = swarm.world.run_until(Micros::from_ms(50), end, |world| world.parts(&all) == [all.len()]);
    report.seconds("in one piece after healing", whole.map(|at| at.since(healed)), Goal::AtMost(5.0));
    let known = swarm
        .world
        .run_until(Micros::from_ms(50), end, |world| world.informed(&all, 100) >= 100.0 && world.suspected(&all) == 0);
    report.seconds(
        "everybody knows everybody and suspects nobody",
        known.map(|at| at.since(healed)),
        Goal::AtMost(5.0),
    );
    swarm.probe(&mut report, "broadcasts after that", COUNT, Goal::AtLeast(99.9));
    report.finish(swarm.world)
}

impl Swarm {
    /// Pieces of some hosts, by the links among themselves.
    fn parts_of(&self, side: &[HostId]) -> Vec<usize> {
        let members: Vec<_> = side.iter().map(|host| (*host, self.world.node_id(*host))).collect();
        self.world.parts(&members)
    }

    /// Of a hundred broadcasts of `side`'s, those that its hosts heard.
    fn heard_by_side(&self, span: (Micros, Micros), side: &[HostId]) -> f64 {
        let members: Vec<_> = side.iter().map(|host| (*host, self.world.node_id(*host))).collect();
        self.world.ledger().broadcasts_among(span, &members).percent(Micros::from_ms(10_000))
    }
}
