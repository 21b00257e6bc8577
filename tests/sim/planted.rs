//! The tests of the tests: a fault that is planted in the nodes is found by a rule.

use std::sync::Arc;

use mesh_core::node::Config;
use mesh_proto::{NodeId, Verifier};
use mesh_sim::byzantine::Byzantine;
use mesh_sim::chance::MILLION;
use mesh_sim::{Crash, HostId, Link, Micros, Spec, World};

/// A relay and eight pages, settled.
fn mesh(configure: fn(&mut Config), byzantine: Byzantine) -> (World, Vec<HostId>) {
    let mut world = World::new(3, Link::default());
    world.configure(configure);
    let relay = world.add(Spec { address: 1, ..Spec::relay(vec![]) });
    let hosts: Vec<_> = (0..8)
        .map(|place| {
            let byzantine = if place == 0 { byzantine.clone() } else { Byzantine::default() };
            let host = world.add(Spec { address: 2 + place, byzantine, ..Spec::page(vec![relay]) });
            world.announce(host);
            world.run_for(Micros::from_ms(100));
            host
        })
        .collect();
    world.run_for(Micros::from_ms(10_000));
    world.check();
    (world, hosts)
}

fn rules(world: &World) -> Vec<&'static str> {
    world.ledger().violations().iter().map(|violation| violation.rule).collect()
}

fn a_host_dies(configure: fn(&mut Config)) -> World {
    let (mut world, hosts) = mesh(configure, Byzantine::default());
    world.crash(hosts[3], Crash::Machine);
    for _ in 0..60 {
        world.run_for(Micros::from_ms(1_000));
        world.check();
    }
    world
}

#[test]
fn a_suspicion_timer_that_never_ends_is_found() {
    assert_eq!(rules(&a_host_dies(|_| {})), [""; 0]);
    let found = rules(&a_host_dies(|config| config.health.patience = 1_000_000));
    assert!(found.contains(&"silence is suspected"), "{found:?}");
}

/// Takes every signature.
#[derive(Debug)]
struct Gullible;

impl Verifier for Gullible {
    fn verifies(&self, _: &NodeId, _: &[u8], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
}

fn a_host_forges(configure: fn(&mut Config)) -> World {
    let forger = Byzantine { forge: MILLION / 2, ..Byzantine::default() };
    let (mut world, hosts) = mesh(configure, forger);
    for _ in 0..200 {
        world.broadcast(hosts[1], 64);
        world.broadcast(hosts[0], 64);
        world.run_for(Micros::from_ms(50));
    }
    world.run_for(Micros::from_ms(5_000));
    world.check();
    world
}

#[test]
fn a_signature_that_is_not_checked_is_found() {
    assert_eq!(rules(&a_host_forges(|_| {})), [""; 0]);
    let found = rules(&a_host_forges(|config| config.intake.verifier = Arc::new(Gullible)));
    assert!(found.iter().any(|rule| ["heard once", "what is heard was said"].contains(rule)), "{found:?}");
}
