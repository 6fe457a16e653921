//! How fast the directory tells the truth: measured on real processes, printed beside the goals.
//!
//! Each part starts a cluster of its own and prints one table. A goal of speed that is missed is
//! told and is no failure, because the machine decides it. What the directory must never do is one:
//! call a node dead that lives, keep a session unroutable, show one that is gone for good.
//!
//! `cargo bench --bench directory -- reach crash loss --minutes 10`
//!
//! The nodes log to `target/tmp/directory/`, which is left to be read.

#![expect(clippy::print_stdout, reason = "the result is a table for people")]

use std::process::ExitCode;

#[path = "directory/churn.rs"]
mod churn;
#[path = "directory/client.rs"]
mod client;
#[path = "directory/cluster.rs"]
mod cluster;
#[path = "directory/crash.rs"]
mod crash;
#[path = "support/figures.rs"]
mod figures;
#[path = "directory/http.rs"]
mod http;
#[path = "directory/log.rs"]
mod log;
#[path = "directory/loss.rs"]
mod loss;
#[path = "directory/options.rs"]
mod options;
#[path = "directory/reach.rs"]
mod reach;
#[path = "directory/relay.rs"]
mod relay;
#[path = "support/server.rs"]
mod server;
#[path = "directory/table.rs"]
mod table;
#[path = "directory/watch.rs"]
mod watch;

use options::{Options, Part, USAGE};
use server::Failure;
use table::Table;

async fn run(part: Part, options: &Options) -> Result<Vec<Table>, Failure> {
    match part {
        Part::Reach => reach::run(options).await,
        Part::Crash => crash::run(options).await,
        Part::Loss => loss::run(options).await,
    }
}

/// Runs the parts one after the other, and says whether all that they saw was true.
fn run_all(options: &Options) -> Result<bool, Failure> {
    let mut sound = true;
    for part in &options.parts {
        // A runtime for each, so that nothing of a part runs on beside the next.
        let runtime = tokio::runtime::Runtime::new()?;
        for table in runtime.block_on(run(*part, options))? {
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
