//! Slots with a third of traitors, by the thousand: none breaks a rule. And how long it takes when nobody is one, on a
//! mesh of a hundred voters whose links take 100 ms.

#![allow(clippy::print_stdout, reason = "figures are what a campaign is played for")]

use mesh_consensus::Malachite;
use mesh_proto::decision::{Choice, Outcome};
use mesh_sim::slots::campaign::{self, Totals};
use mesh_sim::slots::{Authors, Network, Report, Role, Setup, Treason, World};

#[track_caller]
fn assert_good(voters: &str, totals: &Totals) {
    println!("{voters} voters: {totals}");
    let again: Vec<_> =
        totals.broken.iter().map(|(seed, _)| format!("npm run sim -- --slots 1 --seed {seed}")).collect();
    assert!(totals.broken.is_empty(), "play them again (with --voters 100 if so many were said): {again:#?}");
}

#[test]
fn slots_of_4_to_31_voters() {
    assert_good("4 to 31", &campaign::play_all(0..10_000, None, 2, |_| {}));
}

#[test]
fn slots_of_a_hundred_voters_and_33_traitors() {
    assert_good("100", &campaign::play_all(0..20, Some(100), 2, |_| {}));
}

/// A hundred voters of degree 8, links of 50 to 150 ms.
fn gossip(seed: u64, silent: usize) -> Setup {
    let role = |voter| match voter {
        // The author is not one of them.
        1.. if voter <= silent => Role::Traitor(Treason::Silent),
        _ => Role::Honest { judges: Some((Choice::Approve, 0)), dies: Vec::new() },
    };
    let network = Network { fastest: 50, slowest: 150, degree: Some(8), loss: 0, doubled: 0, rest: 0, split: None };
    Setup {
        seed,
        roles: (0..100).map(role).collect(),
        network,
        window: 30_000,
        authors: Authors::Owner(0),
        end: 60_000,
    }
}

/// Milliseconds after which half, 99 of 100 and all voters know, of all runs.
fn times(name: &str, setup: impl Fn(u64) -> Setup) -> [u64; 3] {
    let reports: Vec<_> = (0..10).map(|seed| World::<Malachite>::new(setup(seed)).run()).collect();
    for report in &reports {
        assert!(report.broken.is_empty() && report.decided == report.honest, "{name}: {report}");
        assert!(matches!(report.outcome, Some(Outcome::Approved(_))), "{name}: {report}");
    }
    let mut times: Vec<_> = reports.iter().flat_map(|report| report.times.iter().copied()).collect();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let [half, most, all] = [at(50), at(99), at(100)];
    println!("100 voters: {name}: half know after {half} ms, 99 of 100 after {most} ms, all after {all} ms");
    [half, most, all]
}

#[test]
fn a_hundred_voters_decide_in_a_second() {
    let [half, most, _] = times("all vote", |seed| gossip(seed, 0));
    assert!(half < 800 && most < 2_000);
    let [_, most, _] = times("33 are silent", |seed| gossip(seed, 33));
    assert!(most < 3_000);
}

/// 31 voters of whom so many are apart from the others for 20 s.
fn split(seed: u64, apart: usize) -> Report {
    let parts = (0..31).map(|voter| u8::from(voter >= 31 - apart)).collect();
    let network =
        Network { fastest: 10, slowest: 100, degree: None, loss: 0, doubled: 0, rest: 0, split: Some((20_000, parts)) };
    let role = Role::Honest { judges: Some((Choice::Approve, 100)), dies: Vec::new() };
    let setup = Setup { seed, roles: vec![role; 31], network, window: 30_000, authors: Authors::Owner(0), end: 60_000 };
    World::<Malachite>::new(setup).run()
}

#[test]
fn only_a_quorum_decides_and_the_others_learn_it() {
    let mut slowest = 0;
    for seed in 0..10 {
        let report = split(seed, 15);
        assert!(report.broken.is_empty() && report.decided == 31, "seed {seed}: {report}");
        assert!(report.times[0] >= 20_000, "seed {seed}: 16 of 31 have decided: {report}");
        slowest = slowest.max(report.times[30] - 20_000);

        let report = split(seed, 10);
        assert!(report.broken.is_empty() && report.decided == 31, "seed {seed}: {report}");
        assert!(report.times[20] < 2_000 && report.times[21] >= 20_000, "seed {seed}: {report}");
        slowest = slowest.max(report.times[30] - 20_000);
    }
    println!("31 voters: all know at most {slowest} ms after a split of 16 and 15 or 21 and 10 has healed");
    assert!(slowest < 10_000);
}
