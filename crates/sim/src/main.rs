//! Plays scenarios and prints what came of them. Ends with 0 when every goal was met and no rule broken, else with 1.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::process::ExitCode;

use clap::Parser;
use mesh_sim::scenario::{self, Options, Scenario};
use mesh_sim::slots::campaign::{self, Totals};

/// Plays a mesh of many nodes in virtual time.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// What to play; may be given several times. Everything, if not said
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,

    /// Nodes besides the relays, instead of the scenario's own number
    #[arg(long)]
    nodes: Option<usize>,

    /// What everything random comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Seeds to play: this many, from --seed on
    #[arg(long, default_value_t = 1)]
    seeds: u64,

    /// Play each seed twice and compare the traces
    #[arg(long)]
    repeat: bool,

    /// Play this many single slots with a third of traitors instead, from --seed on, and count what came of them
    #[arg(long, value_name = "RUNS", conflicts_with = "scenarios")]
    slots: Option<u64>,

    /// Voters of each slot; 4 to 31 if not said
    #[arg(long, requires = "slots", value_parser = clap::value_parser!(u8).range(1..=100))]
    voters: Option<u8>,

    /// Print the scenarios and exit
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for Scenario { name, about, nodes, .. } in scenario::ALL {
            println!("{name:<16} {about} ({nodes} nodes)");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(runs) = arguments.slots {
        return play_slots(runs, &arguments);
    }
    let chosen: Result<Vec<_>, _> = match arguments.scenarios.is_empty() {
        true => Ok(scenario::ALL.iter().collect()),
        false => arguments.scenarios.iter().map(|name| scenario::named(name).ok_or(name)).collect(),
    };
    match chosen {
        Ok(chosen) => play(&chosen, &arguments),
        Err(name) => {
            eprintln!("there is no scenario {name:?}: see --list");
            ExitCode::from(2)
        }
    }
}

/// Plays single slots on all processors, and tells how far it is.
fn play_slots(runs: u64, arguments: &Arguments) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = arguments.seed..arguments.seed.saturating_add(runs);
    let step = (runs / 20).max(1_000);
    let tell = |totals: &Totals| {
        if totals.runs.is_multiple_of(step) {
            println!("{totals}");
        }
    };
    let totals = campaign::play_all(seeds, arguments.voters.map(usize::from), threads, tell);
    println!("{totals}");
    let voters = arguments.voters.map_or(String::new(), |voters| format!(" --voters {voters}"));
    for (seed, _) in &totals.broken {
        println!("  npm run sim -- --slots 1 --seed {seed}{voters}");
    }
    if totals.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(scenarios: &[&Scenario], arguments: &Arguments) -> ExitCode {
    let mut failed = Vec::new();
    for scenario in scenarios {
        for seed in arguments.seed..arguments.seed + arguments.seeds {
            let options = Options { nodes: arguments.nodes.unwrap_or(scenario.nodes), seed };
            #[expect(clippy::disallowed_methods, reason = "how fast it is, is a matter of real time")]
            let began = std::time::Instant::now();
            let report = scenario.run(options);
            let took = began.elapsed().as_secs_f64();
            println!("{report}, {took:.1} s ({:.1} virtual seconds in each)", report.time.0 as f64 / 1e6 / took);
            let same = !arguments.repeat || scenario.run(options) == report;
            if !same {
                println!("  BROKEN  the second run of this seed was another");
            }
            if !same || !report.is_good() {
                failed.push(format!("--scenario {} --nodes {} --seed {seed}", scenario.name, options.nodes));
            }
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nto play what failed again:");
    for failed in failed {
        println!("  npm run sim -- {failed} --repeat");
    }
    ExitCode::FAILURE
}
