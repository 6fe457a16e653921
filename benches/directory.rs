//! How fast the directory tells the truth, and what that costs: printed beside the goals.
//!
//! `reach`, `crash` and `loss` start a cluster of real processes each. `structures`, `memory`,
//! `digests`, `ready` and `idle` look inside one process, at the parts or at real nodes whose
//! sessions are claims without sockets; `clients` at a real node with real sockets, and `copies` at a real
//! node that holds messages for another one. A goal of speed that is missed is told and is no failure,
//! because the machine decides it. What the directory must never do is one: call a node dead that lives,
//! keep a session unroutable, show one that is gone for good.
//!
//! `cargo bench --bench directory -- reach crash loss --minutes 10`
//! `cargo bench --bench directory -- memory clients copies structures digests ready idle`
//!
//! The nodes log to `target/tmp/directory/`, which is left to be read.

#![expect(clippy::print_stdout, reason = "the result is a table for people")]

use std::alloc::System;
use std::process::ExitCode;

use cap::Cap;

#[path = "directory/churn.rs"]
mod churn;
#[path = "directory/client.rs"]
mod client;
#[path = "directory/clients.rs"]
mod clients;
#[path = "directory/cluster.rs"]
mod cluster;
#[path = "directory/copies.rs"]
mod copies;
#[path = "directory/crash.rs"]
mod crash;
#[path = "support/dial.rs"]
mod dial;
#[path = "directory/digests.rs"]
mod digests;
#[path = "support/figures.rs"]
mod figures;
#[path = "directory/http.rs"]
mod http;
#[path = "directory/idle.rs"]
mod idle;
#[path = "directory/log.rs"]
mod log;
#[path = "directory/loss.rs"]
mod loss;
#[path = "directory/member.rs"]
mod member;
#[path = "directory/memory.rs"]
mod memory;
#[path = "directory/meter.rs"]
mod meter;
#[path = "directory/options.rs"]
mod options;
#[path = "support/population.rs"]
mod population;
#[path = "support/proc.rs"]
mod proc;
#[path = "support/process.rs"]
mod process;
#[path = "directory/reach.rs"]
mod reach;
#[path = "directory/ready.rs"]
mod ready;
#[path = "directory/relay.rs"]
mod relay;
#[path = "support/server.rs"]
mod server;
#[path = "directory/structures.rs"]
mod structures;
#[path = "directory/table.rs"]
mod table;
#[path = "support/upgrade.rs"]
mod upgrade;
#[path = "directory/watch.rs"]
mod watch;

use options::{Options, Part, USAGE};
use server::Failure;
use table::Table;

/// Counts what is allocated, for the parts `memory`, `clients` and `copies`; two additions to a counter for the others.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn run(part: Part, options: &Options) -> Result<Vec<Table>, Failure> {
    // A runtime for each, so that nothing of a part runs on beside the next.
    let runtime = tokio::runtime::Runtime::new()?;
    match part {
        Part::Reach => runtime.block_on(reach::run(options)),
        Part::Crash => runtime.block_on(crash::run(options)),
        Part::Loss => runtime.block_on(loss::run(options)),
        Part::Structures => structures::run(options),
        Part::Memory => memory::run(),
        Part::Clients => clients::run(),
        Part::Copies => copies::run(),
        Part::Digests => digests::run(),
        Part::Ready => ready::run(),
        Part::Idle => idle::run(),
    }
}

/// Runs the parts one after the other, and says whether all that they saw was true.
fn run_all(options: &Options) -> Result<bool, Failure> {
    let mut sound = true;
    for part in &options.parts {
        for table in run(*part, options)? {
            println!("{table}");
            sound &= table.is_sound();
        }
    }
    Ok(sound)
}

fn main() -> ExitCode {
    // cargo adds `--bench` by itself.
    let options = match Options::parse(std::env::args().skip(1).filter(|arg| arg != "--bench")) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run_all(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the directory did not tell the truth; see the rows that are wrong");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
