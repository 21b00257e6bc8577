//! Every scenario meets its goals and breaks no rule, whatever the seed, and a seed gives one trace. A seed that fails is
//! printed with the command that plays it again.

#![allow(clippy::print_stdout, reason = "figures are what a scenario is played for")]

use mesh_sim::scenario::{self, Options};

/// Plays `name` with several seeds, the first of them twice.
fn play(name: &str, nodes: usize, seeds: std::ops::RangeInclusive<u64>) {
    let scenario = scenario::named(name).expect("a scenario");
    let first = *seeds.start();
    for seed in seeds {
        let options = Options { nodes, seed };
        let report = scenario.run(options);
        println!("{report}");
        let again = format!("npm run sim -- --scenario {name} --nodes {nodes} --seed {seed} --repeat");
        assert!(report.is_good(), "play it again: {again}");
        if seed == first {
            assert_eq!(scenario.run(options), report, "the second run of this seed was another: {again}");
        }
    }
}

#[test]
fn idle() {
    play("idle", 100, 1..=2);
}

#[test]
fn a_hundred_join() {
    play("join", 100, 1..=5);
}

#[test]
fn a_hundred_hear_broadcasts() {
    play("broadcast", 100, 1..=3);
}

#[test]
fn partitions_of_many_sizes_heal() {
    play("partition", 100, 1..=10);
}

#[test]
fn both_halves_write_the_same_keys_and_heal() {
    play("knowledge", 20, 1..=2);
}

#[test]
fn holders_die_and_others_take_their_place() {
    play("holders", 12, 1..=5);
}

#[test]
fn half_of_the_hosts_die() {
    play("crash", 100, 1..=3);
}

#[test]
fn half_of_the_relays_die() {
    play("relays", 100, 1..=3);
}

#[test]
fn an_hour_of_churn() {
    play("churn", 30, 1..=1);
}

#[test]
fn attacks() {
    for name in ["eclipse", "censor", "cold-boot", "flash", "flood", "equivocate"] {
        play(name, 25, 1..=1);
    }
}

/// Each plays once: what a seed repeats is shown with the small ones.
mod large {
    use super::*;

    fn play_once(name: &str, nodes: usize) {
        let report = scenario::named(name).expect("a scenario").run(Options { nodes, seed: 1 });
        println!("{report}");
        assert!(report.is_good(), "play it again: npm run sim -- --scenario {name} --nodes {nodes} --seed 1");
    }

    #[test]
    fn a_hundred_know_the_same_after_healing() {
        play_once("knowledge", 100);
    }

    #[test]
    fn a_thousand_join() {
        play_once("join", 1_000);
    }

    #[test]
    fn a_thousand_hear_broadcasts() {
        play_once("broadcast", 1_000);
    }

    #[test]
    fn a_hundred_churn() {
        play_once("churn", 100);
    }

    #[test]
    fn four_hundred_are_there_from_the_start() {
        play_once("cold-boot", 100);
    }

    #[test]
    fn four_hundred_gather_around_one() {
        play_once("eclipse", 100);
    }

    #[test]
    fn four_hundred_censor_one() {
        play_once("censor", 100);
    }

    #[test]
    fn four_hundred_change_their_minds() {
        play_once("flash", 100);
    }

    #[test]
    fn a_quarter_of_a_hundred_floods() {
        play_once("flood", 100);
    }

    #[test]
    fn a_third_says_two_things() {
        play_once("equivocate", 100);
    }
}
