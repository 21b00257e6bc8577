//! What can go wrong in a simulation does, and what is promised holds all the same: direct messages arrive once and in
//! order, or their sender is told; frozen tabs, wrong clocks, slow processors and pulled cables are survived.

use mesh_sim::{Crash, HostId, Link, Micros, Spec, Store, World};

const SECOND: Micros = Micros::from_ms(1_000);

/// Two relays and six pages, settled.
fn mesh(seed: u64, link: Link) -> (World, Vec<HostId>, Vec<HostId>) {
    let mut world = World::new(seed, link);
    let first = world.add(Spec { address: 1, ..Spec::relay(vec![]) });
    let second = world.add(Spec { address: 2, ..Spec::relay(vec![first]) });
    let hosts: Vec<_> = (0..6)
        .map(|place| {
            let host = world.add(Spec { address: 3 + place, ..Spec::page(vec![first, second]) });
            world.announce(host);
            world.run_for(Micros::from_ms(100));
            host
        })
        .collect();
    run(&mut world, 10);
    (world, vec![first, second], hosts)
}

fn run(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.run_for(SECOND);
        world.check();
    }
    assert_eq!(world.ledger().violations(), []);
}

/// Every host sends to its successor, and broadcasts; what of it should arrive does.
fn all_hear_all(world: &mut World, hosts: &[HostId]) {
    let began = world.time();
    for (from, to) in hosts.iter().zip(hosts.iter().cycle().skip(1)) {
        world.message(*from, *to, 100, Micros::from_ms(10_000));
        world.broadcast(*from, 100);
    }
    run(world, 10);
    let members: Vec<_> = hosts.iter().map(|host| (*host, world.node_id(*host))).collect();
    let span = (began, began + SECOND);
    assert_eq!(world.ledger().messages(span).percent(Micros::from_ms(10_000)), 100.0);
    assert_eq!(world.ledger().broadcasts(span, &members).percent(Micros::from_ms(10_000)), 100.0);
}

#[test]
fn messages_survive_loss_and_crashes_of_relays() {
    for seed in 0..5 {
        let (mut world, relays, hosts) = mesh(seed, Link { loss: 100_000, ..Link::default() });
        for round in 0..20 {
            for from in &hosts {
                for to in hosts.iter().filter(|to| *to != from) {
                    world.message(*from, *to, 200, Micros::from_ms(20_000));
                }
            }
            if round == 5 {
                world.crash(relays[0], Crash::Process);
            }
            if round == 10 {
                world.restart(relays[0], Store::Kept);
            }
            run(&mut world, 1);
        }
        run(&mut world, 25);
        let all = world.ledger().messages((Micros(0), world.time()));
        assert_eq!(all.percent(Micros::from_ms(20_000)), 100.0, "seed {seed}");
    }
}

#[test]
fn a_frozen_tab_comes_back() {
    let (mut world, _, hosts) = mesh(1, Link::default());
    world.freeze(hosts[0]);
    run(&mut world, 60);
    world.thaw(hosts[0]);
    run(&mut world, 10);
    all_hear_all(&mut world, &hosts);
}

#[test]
fn a_host_whose_clock_is_wrong_is_heard() {
    let (mut world, _, hosts) = mesh(2, Link::default());
    world.set_clock(hosts[0], 30_000);
    world.set_clock(hosts[1], -25_000);
    run(&mut world, 5);
    all_hear_all(&mut world, &hosts);
}

#[test]
fn a_pulled_cable_is_put_back() {
    let (mut world, _, hosts) = mesh(3, Link::default());
    world.unplug(hosts[2]);
    run(&mut world, 45);
    world.plug(hosts[2]);
    run(&mut world, 10);
    all_hear_all(&mut world, &hosts);
}

#[test]
fn a_slow_host_gets_everything() {
    let (mut world, _, hosts) = mesh(4, Link::default());
    world.set_cost(hosts[0], 4_000);
    all_hear_all(&mut world, &hosts);
}

#[test]
fn who_comes_back_without_its_store_is_somebody_else() {
    let (mut world, _, hosts) = mesh(5, Link::default());
    let before = world.node_id(hosts[0]);
    world.crash(hosts[0], Crash::Process);
    run(&mut world, 2);
    world.restart(hosts[0], Store::Lost);
    world.announce(hosts[0]);
    assert_ne!(world.node_id(hosts[0]), before);
    run(&mut world, 10);
    all_hear_all(&mut world, &hosts);
}

#[test]
fn shut_in_hosts_are_reached_through_relays() {
    let mut world = World::new(6, Link::default());
    let relay = world.add(Spec { address: 1, ..Spec::relay(vec![]) });
    let hosts: Vec<_> = (0..3)
        .map(|place| {
            let host = world.add(Spec { address: 2 + place, shut_in: true, ..Spec::page(vec![relay]) });
            world.announce(host);
            host
        })
        .collect();
    run(&mut world, 20);
    all_hear_all(&mut world, &hosts);
    let links = world.node(hosts[0]).expect("it runs").topology().links;
    assert!(links.iter().any(|(node, (link, _))| *node == world.node_id(hosts[1]) && link.relayed));
}

#[test]
fn one_way_cuts_are_survived() {
    let (mut world, relays, hosts) = mesh(7, Link::default());
    world.cut(hosts[0], relays[0]);
    world.cut(hosts[1], hosts[0]);
    run(&mut world, 40);
    all_hear_all(&mut world, &hosts);
    world.heal();
    run(&mut world, 10);
    all_hear_all(&mut world, &hosts);
}
