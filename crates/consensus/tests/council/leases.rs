//! A resource is one holder's at a time, and tokens only grow.

use std::collections::BTreeMap;

use mesh_consensus::council::{Config, Error};
use mesh_consensus::lease::{Guard, Lease};
use mesh_proto::decision::Outcome;

use super::net::Net;

#[test]
fn of_two_claims_one_is_granted_and_the_other_is_told_whose_it_is() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    let a = net.act(0, |council, now| council.claim("gpu", 10_000, now)).unwrap();
    let b = net.act(1, |council, now| council.claim("gpu", 10_000, now)).unwrap();
    assert_eq!(a, b, "claims meet in one slot");
    net.pass(2_000);
    let leases: Vec<_> = net.councils.iter().map(|council| council.lease("gpu", net.now).unwrap()).collect();
    assert!(leases.iter().all(|lease| lease.holder == leases[0].holder && lease.token == leases[0].token));
    let loser = usize::from(leases[0].holder == net.keys[0].node());
    let refused = net.act(loser, |council, now| council.claim("gpu", 1_000, now));
    let Err(Error::Held { holder, left_ms }) = refused else { panic!("{refused:?}") };
    assert_eq!(holder, leases[0].holder);
    assert!((7_000..10_000).contains(&left_ms), "{left_ms}");
}

#[test]
fn a_resource_is_free_again_when_its_holder_says_so_or_time_is_over() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    let mut tokens = Vec::new();
    for (place, released) in [(0, true), (1, false), (2, true)] {
        net.act(place, |council, now| council.claim("gpu", 5_000, now)).unwrap();
        net.pass(2_000);
        let lease = net.councils[3].lease("gpu", net.now).unwrap();
        assert_eq!(lease.holder, net.keys[place].node());
        tokens.push(lease.token);
        let other = (place + 1) % 4;
        assert_eq!(net.act(other, |council, now| council.release("gpu", now)), Err(Error::NotHeld));
        if released {
            net.act(place, |council, now| council.release("gpu", now)).unwrap();
            net.pass(100);
        } else {
            net.pass(5_000);
        }
        assert!(net.councils.iter().all(|council| council.lease("gpu", net.now).is_none()));
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

#[test]
fn a_holder_can_claim_again_and_nobody_else() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    net.act(1, |council, now| council.claim("gpu", 5_000, now)).unwrap();
    net.pass(2_000);
    let first = net.councils[1].lease("gpu", net.now).unwrap();
    let slot = net.act(1, |council, now| council.claim("gpu", 9_000, now)).unwrap();
    net.pass(2_000);
    let second = net.councils[1].lease("gpu", net.now).unwrap();
    assert!(second.token > first.token && second.until > first.until, "{first:?} {second:?}");
    assert_eq!(second.until, 2_000 + 9_000, "from when it was claimed");
    assert!(matches!(net.decided[0][&slot].certificate.outcome, Outcome::Granted { .. }));
    assert!(net.act(0, |council, now| council.claim("gpu", 1_000, now)).is_err());
}

#[test]
fn so_many_resources_are_known_and_others_wait_for_an_epoch() {
    let config = Config { max_resources: 1, ..Config::default() };
    let mut net = Net::new(4, 4, config, 1);
    net.act(0, |council, now| council.claim("one", 1_000, now)).unwrap();
    net.pass(2_500);
    assert_eq!(net.decided[1].len(), 1);
    net.act(0, |council, now| council.claim("two", 1_000, now)).unwrap();
    net.pass(100);
    assert!((1..4).all(|place| net.councils[place].open().count() == 0), "nobody opens it");
    net.act(1, |council, now| council.claim("one", 60_000, now)).unwrap();
    net.pass(2_500);
    assert_eq!(net.councils[2].lease("one", net.now).unwrap().holder, net.keys[1].node(), "the known one goes on");
}

#[test]
fn who_has_missed_how_the_last_slot_ended_asks() {
    let mut net = Net::new(4, 4, Config::default(), 1);
    net.act(0, |council, now| council.claim("gpu", 2_000, now)).unwrap();
    net.pass(2_500);
    // One forgets everything, as one does that comes new.
    net.disks[3] = Default::default();
    net.restart(3);
    assert!(net.councils[3].lease("gpu", net.now).is_none());
    net.act(1, |council, now| council.claim("gpu", 60_000, now)).unwrap();
    net.pass(5_000);
    let lease = net.councils[3].lease("gpu", net.now).unwrap();
    assert_eq!((lease.holder, lease.token.seq), (net.keys[1].node(), 1));
}

/// Claims, releases and crashes at random with a fifth of all messages lost. By the true time, of which nobody knows, at most
/// one holder has not yet stopped; and a guard that sees all writes never sees a token that is less than one before.
#[test]
fn nobody_holds_what_somebody_else_holds() {
    let mut granted = 0;
    for seed in 0..20 {
        let mut net = Net::new(5, 5, Config::default(), seed);
        net.loss = 20;
        let mut guard = Guard::default();
        let mut holders: BTreeMap<usize, Lease> = BTreeMap::new();
        for _ in 0..150 {
            let place = net.random(5) as usize;
            match net.random(12) {
                0..=4 => drop(net.act(place, |council, now| council.claim("gpu", 1_500, now))),
                5 if net.act(place, |council, now| council.release("gpu", now)).is_ok() => {
                    holders.remove(&place);
                }
                6 => {
                    // What it held it does not believe to hold any more.
                    net.restart(place);
                    holders.remove(&place);
                }
                _ => {}
            }
            let ms = u64::from(net.random(700));
            net.pass(ms);
            let now = net.now;
            holders.retain(|_, lease| lease.stop_at > now);
            for place in 0..5 {
                let own = net.councils[place].lease("gpu", now).filter(|lease| lease.holder == net.keys[place].node());
                if let Some(lease) = own.filter(|lease| lease.stop_at > now) {
                    holders.insert(place, lease);
                    guard.admit(lease.token).unwrap_or_else(|stale| panic!("seed {seed}: {stale}"));
                }
            }
            assert!(holders.len() <= 1, "seed {seed}: two holders at {now}: {holders:?}");
        }
        granted += net.decided[0].values().filter(|d| matches!(d.certificate.outcome, Outcome::Granted { .. })).count();
    }
    println!("{granted} leases, never two at once");
    assert!(granted > 100, "{granted}");
}
