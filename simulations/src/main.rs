//! Deterministic cluster simulation: the shipped node on a simulated network, clock and seed.
//!
//! Several [`pushmesh::Node`]s and their clients run in one thread on simulated UDP and TCP, through
//! the [`pushmesh::Wire`] that production uses too. One seed decides every choice. docs/SIMULATION.md
//! has the whole story. The verdict of a run is its last line, and repeats it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod checkers;
mod client;
mod coverage;
mod entropy;
mod event;
mod host;
mod network;
mod panics;
mod plan;
mod population;
mod run;
mod socket;
mod swarm;
mod trace;
mod world;

use plan::Size;
use run::Options;

/// Simulates a cluster, deterministically.
#[derive(Parser)]
#[command(about)]
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
    },
    /// Runs many seeds, several at a time, until one fails
    Swarm(swarm::Arguments),
}

fn main() -> ExitCode {
    if let Err(error) = entropy::self_test() {
        eprintln!("simulations: {error}");
        return ExitCode::FAILURE;
    }
    let done = match Arguments::parse().command {
        Command::Run { seed, trace, size } => one(seed, trace, size),
        Command::Swarm(arguments) => swarm::swarm(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("simulations: {error:#}");
        ExitCode::FAILURE
    })
}

fn one(seed: Option<u64>, trace: Option<PathBuf>, size: Size) -> anyhow::Result<ExitCode> {
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time();
    logs.with_env_filter(tracing_subscriber::EnvFilter::from_env("SIMULATIONS_LOG")).init();
    panics::watch();
    let seed = seed.map_or_else(entropy::fresh_seed, Ok)?;
    let started = wall_clock();
    let outcome = run::run(Options { seed, size, trace })?;
    let wall = started.elapsed();
    for (case, times) in outcome.coverage.cases() {
        println!("{COVERED}{times:>8}  {case}");
    }
    let verdict = match &outcome.verdict {
        Ok(()) => "ok",
        Err(violation) => {
            eprintln!("the last events:");
            outcome.recent.iter().for_each(|line| eprintln!("  {line}"));
            println!("FAILED at {violation}");
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
    Ok(if outcome.verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The machine's time, to say how long a run took.
#[expect(clippy::disallowed_methods, reason = "how long people wait is real time")]
fn wall_clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// What a line of the coverage table begins with.
const COVERED: &str = "covered ";
