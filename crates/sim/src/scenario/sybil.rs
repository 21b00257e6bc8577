//! Four attackers to each honest host, in the shapes of the Protocol Labs hardening report: what they have in common is that
//! they are members like any other until they do not pass on what they should.

use std::collections::BTreeSet;

use super::{Options, Scenario, Swarm};
use crate::byzantine::Byzantine;
use crate::chance::MILLION;
use crate::host::Spec;
use crate::id::{HostId, Micros};
use crate::link::Link;
use crate::report::{Goal, Report};

/// How they attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// All around one victim, and nothing gets to it or from it.
    Eclipse,
    /// Everything but the victim's messages is passed on.
    Censor,
    /// They are there from the beginning, and pass nothing on.
    ColdBoot,
    /// They behave for two minutes, and then pass nothing on.
    Flash,
    /// A quarter of the swarm says twice what it may, for ten seconds.
    Flood,
    /// A third of the swarm tells one half of the others something else than the other half.
    Equivocate,
}

pub(super) const ECLIPSE: Scenario =
    scenario("eclipse", "attackers gather around one host", |o| run(Shape::Eclipse, ECLIPSE.name, o));
pub(super) const CENSOR: Scenario =
    scenario("censor", "attackers pass on all but one host's messages", |o| run(Shape::Censor, CENSOR.name, o));
pub(super) const COLD_BOOT: Scenario =
    scenario("cold-boot", "attackers are there from the start and pass nothing on", |o| {
        run(Shape::ColdBoot, COLD_BOOT.name, o)
    });
pub(super) const FLASH: Scenario =
    scenario("flash", "attackers behave for two minutes and then pass nothing on", |o| {
        run(Shape::Flash, FLASH.name, o)
    });
pub(super) const FLOODED: Scenario =
    scenario("flood", "for ten seconds a quarter of the swarm says twice what it may", |o| {
        run(Shape::Flood, FLOODED.name, o)
    });

pub(super) const EQUIVOCATE: Scenario =
    scenario("equivocate", "a third of the swarm tells one half something else than the other", |o| {
        run(Shape::Equivocate, EQUIVOCATE.name, o)
    });

const fn scenario(name: &'static str, about: &'static str, run: fn(Options) -> Report) -> Scenario {
    Scenario { name, about, nodes: 100, run }
}

/// Attackers for each honest host.
const SYBILS: usize = 4;

/// Broadcasts a second of one that floods: an author may say 200 (core's intake).
const FLOOD: u32 = 400;

const PROBES: u64 = 50;

fn run(shape: Shape, name: &'static str, options: Options) -> Report {
    let mut report = Report::new(name, options.nodes, options.seed);
    let together = shape == Shape::ColdBoot;
    let mut swarm = match together {
        true => Swarm::new(options, Link::default()),
        false => Swarm::settled(options, Link::default()),
    };
    let victim = swarm.hosts.first().copied();
    let mut attackers = Vec::new();
    let count = match shape {
        Shape::Flood => options.nodes.div_ceil(4),
        // Of all of them a third.
        Shape::Equivocate => options.nodes.div_ceil(2),
        Shape::Eclipse | Shape::Censor | Shape::ColdBoot | Shape::Flash => options.nodes * SYBILS,
    };
    for place in 0..count {
        if together && place % SYBILS == 0 {
            swarm.join();
        }
        attackers.push(swarm.attack(shape, victim, place));
        swarm.world.run_for(Micros(20_000_000 / count as u64));
    }
    let end = swarm.world.time() + Micros::from_ms(30_000);
    if shape == Shape::Flood {
        swarm.world.run_to(Micros::from_ms(62_000));
        swarm.probe(&mut report, "broadcasts while it floods", PROBES, Goal::AtLeast(99.9));
    }
    swarm.run(end - swarm.world.time());
    swarm.note_infiltration(&mut report, &attackers);
    if shape == Shape::Equivocate {
        // Whoever heard both breaks a rule.
        swarm.probe_of(&mut report, "either of two things", PROBES, Goal::AtLeast(99.9), &attackers);
    }
    if shape == Shape::Flash {
        for _ in 0..5 {
            swarm.run(Micros::from_ms(20_000));
            swarm.note_infiltration(&mut report, &attackers);
        }
        swarm.probe(&mut report, "broadcasts right after the flash", PROBES, Goal::None);
        for _ in 0..3 {
            swarm.run(Micros::from_ms(20_000));
            swarm.note_infiltration(&mut report, &attackers);
        }
    }
    swarm.probe(&mut report, "broadcasts among honest hosts", PROBES, Goal::AtLeast(99.9));
    if let Some(victim) = victim.filter(|_| matches!(shape, Shape::Eclipse | Shape::Censor)) {
        swarm.probe_of(&mut report, "the victim's broadcasts", PROBES, Goal::AtLeast(99.9), &[victim]);
    }
    for _ in 0..4 {
        swarm.run(Micros::from_ms(15_000));
        swarm.note_infiltration(&mut report, &attackers);
    }
    swarm.note_wronged(&mut report, &attackers);
    report.finish(swarm.world)
}

impl Swarm {
    fn attack(&mut self, shape: Shape, victim: Option<HostId>, place: usize) -> HostId {
        let now = self.world.time();
        let victim_node = victim.map(|host| self.world.node_id(host));
        let byzantine = match shape {
            Shape::Eclipse | Shape::ColdBoot => Byzantine { drop: MILLION, ..Byzantine::default() },
            Shape::Censor => Byzantine { drop: MILLION, censor: victim_node, ..Byzantine::default() },
            Shape::Equivocate => Byzantine { equivocate: true, ..Byzantine::default() },
            Shape::Flash => {
                let from = Micros(now.0.max(25_000_000)) + Micros::from_ms(120_000);
                Byzantine { drop: MILLION, from, ..Byzantine::default() }
            }
            Shape::Flood => {
                let from = Micros::from_ms(60_000);
                let until = from + Micros::from_ms(10_000);
                Byzantine { flood: FLOOD, from, until, ..Byzantine::default() }
            }
        };
        let relay = |step: usize| self.relays[(place + step) % self.relays.len()];
        let seeds = match (shape, victim) {
            (Shape::Eclipse, Some(victim)) => vec![relay(0), victim],
            (_, _) => vec![relay(0), relay(1)],
        };
        // A few machines, as the report has it.
        let spec = Spec { address: 900_000 + (place % 25) as u32, byzantine, ..Spec::page(seeds) };
        let host = self.world.add(spec);
        self.world.announce(host);
        host
    }

    /// Tells how many honest hosts other honest hosts hold to have done wrong, who have only passed on what came.
    fn note_wronged(&self, report: &mut Report, attackers: &[HostId]) {
        let honest: BTreeSet<_> = self.hosts.iter().map(|host| self.world.node_id(*host)).collect();
        let judges = |host: &HostId| attackers.binary_search(host).is_err();
        let offences = self.world.ledger().offences().keys();
        let wronged = offences.filter(|(host, node)| judges(host) && honest.contains(node));
        report.figure("honest hosts held to have done wrong", wronged.count() as f64, "", Goal::AtMost(0.0));
    }

    /// Tells how far the attackers have come by now.
    fn note_infiltration(&self, report: &mut Report, attackers: &[HostId]) {
        let name = format!("attackers among an honest host's neighbours, at {} s", self.world.time().ms() / 1_000);
        report.figure(name, self.infiltrated(attackers), "%", Goal::None);
    }

    /// Of a hundred places in the meshes of honest hosts, those that attackers hold.
    fn infiltrated(&self, attackers: &[HostId]) -> f64 {
        let (mut all, mut theirs) = (0_usize, 0_usize);
        for host in &self.hosts {
            for peer in self.world.neighbours(*host) {
                all += 1;
                theirs += usize::from(attackers.binary_search(&peer).is_ok());
            }
        }
        theirs as f64 * 100.0 / all.max(1) as f64
    }
}
