//! Many runs, several at a time, each in a process of its own: what a library counts for a whole
//! process would otherwise differ from a run that is repeated alone.

use std::collections::BTreeMap;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::plan::Size;
use crate::{COVERED, entropy, wall_clock};

/// How many runs, and which.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200, conflicts_with = "minutes")]
    runs: u64,
    /// Runs new seeds for so long instead
    #[arg(long)]
    minutes: Option<u64>,
    /// The seeds are this one and those after it; drawn if not given
    #[arg(long)]
    first_seed: Option<u64>,
    /// How many run at a time; one for each processor if not given
    #[arg(long)]
    jobs: Option<usize>,
    #[command(flatten)]
    size: Size,
}

/// Runs seeds until one fails or all are done, then says what was met.
///
/// # Errors
/// A process can not be started.
pub(crate) fn swarm(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let first = arguments.first_seed.map_or_else(entropy::fresh_seed, Ok)?;
    let jobs = arguments.jobs.map_or_else(|| thread::available_parallelism().map(usize::from), Ok)?.max(1);
    let started = wall_clock();
    let more = |runs: u64| match arguments.minutes {
        Some(minutes) => started.elapsed() < Duration::from_secs(60 * minutes),
        None => runs < arguments.runs,
    };
    let mut running: Vec<(u64, Child)> = Vec::new();
    let mut covered = BTreeMap::new();
    let (mut begun, mut done) = (0, 0);
    while more(begun) || !running.is_empty() {
        while running.len() < jobs && more(begun) {
            let seed = first.wrapping_add(begun);
            running.push((seed, start(seed, &arguments.size)?));
            begun += 1;
        }
        let Some(at) = finished(&mut running)? else {
            thread::sleep(POLL);
            continue;
        };
        let (seed, child) = running.swap_remove(at);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            for (_, mut child) in running {
                // One that has ended by itself needs no end.
                let _ = child.kill();
                child.wait()?;
            }
            return Ok(failed(seed, &arguments.size, &output));
        }
        add(&mut covered, &output);
        done += 1;
    }
    for (case, (times, runs)) in covered {
        println!("{times:>10} in {runs:>5} runs  {case}");
    }
    println!("{done} runs from seed {first} ok in {:.0} s", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn start(seed: u64, size: &Size) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("this program does not find itself")?;
    let mut command = Command::new(program);
    command.args(arguments(seed, size)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("a run can not be started")
}

/// The command line that repeats a run.
fn arguments(seed: u64, size: &Size) -> Vec<String> {
    let mut words = vec!["run".to_owned(), "--seed".to_owned(), seed.to_string()];
    let nodes = size.nodes.map(|nodes| ("--nodes", u64::from(nodes)));
    let clients = size.clients.map(|clients| ("--clients", u64::from(clients)));
    let seconds = Some(("--seconds", u64::from(size.seconds)));
    for (flag, value) in [nodes, clients, seconds].into_iter().flatten() {
        words.extend([flag.to_owned(), value.to_string()]);
    }
    words
}

fn finished(running: &mut [(u64, Child)]) -> anyhow::Result<Option<usize>> {
    for (at, (_, child)) in running.iter_mut().enumerate() {
        if child.try_wait()?.is_some() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn failed(seed: u64, size: &Size, output: &Output) -> ExitCode {
    print!("{}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with(COVERED)) {
        println!("{line}");
    }
    println!("cargo run --release -p simulations -- {}", arguments(seed, size).join(" "));
    ExitCode::FAILURE
}

fn add(covered: &mut BTreeMap<String, (u64, u64)>, output: &Output) {
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((times, case)) = line.strip_prefix(COVERED).and_then(|line| line.trim().split_once("  "))
        else {
            continue;
        };
        let (total, runs) = covered.entry(case.to_owned()).or_default();
        let times: u64 = times.parse().unwrap_or_default();
        *total += times;
        *runs += u64::from(times > 0);
    }
}

/// Time between two looks at what runs. A few kilobytes of output fit the pipe meanwhile.
const POLL: Duration = Duration::from_millis(20);
