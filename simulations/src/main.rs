//! Deterministic cluster simulation: the shipped node on a simulated network, clock and seed.
//!
//! Several [`pushmesh::Node`]s and their clients run in one thread on simulated UDP and TCP, through
//! the [`pushmesh::Wire`] that production uses too. One seed decides every choice. docs/SIMULATION.md
//! has the whole story. The verdict of a run is its last line, and repeats it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod aim;
mod answer;
mod ask;
mod backend;
mod checkers;
mod child;
mod client;
mod compare;
mod counters;
mod coverage;
mod ddmin;
mod decision;
mod entropy;
mod event;
mod host;
mod id;
mod line;
mod log;
mod model;
mod network;
mod panics;
mod plan;
mod population;
mod position;
mod progress;
mod replay;
mod reply;
mod run;
mod scenario;
mod settings;
mod shrink;
mod socket;
mod steps;
mod swarm;
mod trace;
mod verdict;
mod violation;
mod wall_clock;
mod wire;
mod world;

use plan::Size;
use run::{Options, Planned};
use scenario::Scenario;
use steps::Steps;
use verdict::{COVERED, FAILED};
use wall_clock::wall_clock;

/// Simulates a cluster, deterministically.
#[derive(Parser)]
#[command(about, version = VERSION)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed. The same seed does the same again
    Run {
        /// Decides everything; drawn if not given
        #[arg(long)]
        seed: Option<u64>,
        /// Writes every packet and event to this file
        #[arg(long)]
        trace: Option<PathBuf>,
        #[command(flatten)]
        size: Size,
        #[command(flatten)]
        steps: Steps,
    },
    /// Says what a seed plans, with the numbers of the steps
    Plan {
        /// Decides everything
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        size: Size,
    },
    /// Runs a scenario that is written down; without a name lists them
    Scenario {
        /// Which one
        name: Option<String>,
        /// Decides what the scenario leaves open
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Writes every packet and event to this file
        #[arg(long)]
        trace: Option<PathBuf>,
    },
    /// Runs seeds twice at the same time and compares the traces
    Compare(compare::Arguments),
    /// Runs many seeds, several at a time, until one fails
    Swarm(swarm::Arguments),
    /// Makes a seed that fails small: the fewest steps of its plan that still fail
    Shrink(shrink::Arguments),
    /// Repeats the runs that once failed
    Replay(replay::Arguments),
    /// Runs thousands of seeds of the pure parts alone, until one fails
    Fast(model::fast::Arguments),
}

fn main() -> ExitCode {
    if let Err(error) = entropy::self_test() {
        eprintln!("simulations: {error}");
        return ExitCode::FAILURE;
    }
    let done = match Arguments::parse().command {
        Command::Run { seed, trace, size, steps } => {
            let seed = seed.map_or_else(entropy::fresh_seed, Ok).map_err(Into::into);
            seed.and_then(|seed| one(Options { seed, plan: Planned::Drawn(size, steps), trace }, &[]))
        }
        Command::Scenario { name: Some(name), seed, trace } => scenario::find(&name).and_then(|scenario| {
            one(Options { seed, plan: Planned::Written(scenario.plan), trace }, scenario.meets)
        }),
        Command::Scenario { name: None, .. } => {
            scenario::ALL.iter().for_each(|Scenario { name, story, .. }| println!("{name}: {story}"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Plan { seed, size } => Ok(steps::print(seed, size)),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Swarm(arguments) => swarm::swarm(&arguments),
        Command::Shrink(arguments) => shrink::shrink(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Fast(arguments) => model::fast::fast(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("simulations: {error:#}");
        ExitCode::FAILURE
    })
}

/// Carries out one run, which must meet these cases.
fn one(options: Options, meets: &[&str]) -> anyhow::Result<ExitCode> {
    log::watch();
    panics::watch();
    let seed = options.seed;
    let started = wall_clock();
    let outcome = run::run(options)?;
    let wall = started.elapsed();
    for (case, times) in outcome.coverage.cases() {
        println!("{COVERED}{times:>8}  {case}");
    }
    let met = |case: &&str| outcome.coverage.cases().any(|(met, times)| met == *case && times > 0);
    let missed: Vec<_> = meets.iter().copied().filter(|case| !met(case)).collect();
    let verdict = match &outcome.verdict {
        Ok(()) if missed.is_empty() => "ok",
        Ok(()) => {
            println!("FAILED: this run was to meet {missed:?}, and did not");
            "failed"
        }
        Err(violation) => {
            eprintln!("the last events:");
            outcome.recent.iter().for_each(|line| eprintln!("  {line}"));
            println!("{FAILED}{violation}");
            "failed"
        }
    };
    println!(
        "seed {seed} {verdict} trace {:016x} of {} lines, {:.1} simulated seconds in {:.2} s",
        outcome.hash,
        outcome.lines,
        Duration::from_millis(outcome.simulated_ms).as_secs_f64(),
        wall.as_secs_f64()
    );
    Ok(if verdict == "ok" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The version, which tells builds apart that draw the numbers of `tokio::select!` from elsewhere.
const VERSION: &str = if cfg!(tokio_unstable) {
    concat!(env!("CARGO_PKG_VERSION"), " with tokio_unstable")
} else {
    env!("CARGO_PKG_VERSION")
};
