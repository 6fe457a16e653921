//! Runs many seeds of the fast level, on all processors, until one fails.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::model::plan::NODES_MAX;
use crate::model::run::{Outcome, run};
use crate::violation::Violation;
use crate::wall_clock::wall_clock;
use crate::{entropy, panics};

/// How many runs, and which.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 10_000, conflicts_with_all = ["seconds", "seed"])]
    runs: u64,
    /// Runs new seeds for so long instead
    #[arg(long, conflicts_with = "seed")]
    seconds: Option<u64>,
    /// The seeds are this one and those after it; drawn if not given
    #[arg(long, conflicts_with = "seed")]
    first_seed: Option<u64>,
    /// Runs this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Prints all that happens in it
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Nodes; drawn if not given, mostly 2 to 6 and sometimes up to 300
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=NODES_MAX as i64))]
    nodes: Option<u16>,
    /// Fails if one of the cases that must be met was not
    #[arg(long)]
    require: bool,
}

/// What came of all runs so far.
#[derive(Default)]
struct Sum {
    runs: u64,
    simulated: Duration,
    /// The longest time until all agreed, and its seed.
    agreed: (Duration, u64),
    nodes_max: usize,
    cases: BTreeMap<&'static str, (u64, u64)>,
    /// The failure with the smallest seed.
    failed: Option<(u64, Violation)>,
}

/// Runs seeds until one fails or all are done, then says what was met.
///
/// # Errors
/// There is no entropy for a seed, or a thread cannot be started.
pub(crate) fn fast(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    panics::watch();
    let nodes = arguments.nodes.map(usize::from);
    if let Some(seed) = arguments.seed {
        let (outcome, _) = guarded(seed, nodes, arguments.trace);
        return Ok(one(seed, nodes, outcome));
    }
    let first = arguments.first_seed.map_or_else(entropy::fresh_seed, Ok)?;
    let (next, stop, sum) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Sum::default()));
    let started = wall_clock();
    let until = arguments.seconds.map(Duration::from_secs);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let done = until.map_or(number >= arguments.runs, |until| started.elapsed() >= until);
            if done {
                return;
            }
            let seed = first.wrapping_add(number);
            let (outcome, simulated) = guarded(seed, nodes, false);
            let mut sum = sum.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            sum.add(seed, outcome, simulated);
            stop.fetch_or(sum.failed.is_some(), Ordering::Relaxed);
        }
    };
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..jobs {
            thread::Builder::new().name("fast".to_owned()).spawn_scoped(scope, work)?;
        }
        Ok::<_, std::io::Error>(())
    })?;
    let sum = sum.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok(sum.report(first, nodes, started.elapsed(), arguments.require))
}

/// A run whose panics are failures.
fn guarded(seed: u64, nodes: Option<usize>, told: bool) -> (Result<Outcome, Violation>, Duration) {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, nodes, told)));
    match outcome {
        Ok(outcome) => {
            let simulated = outcome.simulated;
            (Ok(outcome), simulated)
        }
        Err(_) => {
            let what = panics::take().unwrap_or_default();
            (Err(Violation { at_ms: 0, checker: "no code panics", what }), Duration::ZERO)
        }
    }
}

/// Whether a run ends well.
///
/// # Errors
/// What was wrong.
pub(crate) fn holds(seed: u64, nodes: Option<usize>) -> Result<(), Violation> {
    guarded(seed, nodes, false).0?.verdict
}

/// Tells of one run.
fn one(seed: u64, nodes: Option<usize>, outcome: Result<Outcome, Violation>) -> ExitCode {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(violation) => {
            println!("FAILED at {violation}\n{}", repeat(seed, nodes));
            return ExitCode::FAILURE;
        }
    };
    outcome.lines.iter().for_each(|line| println!("{line}"));
    for (case, times) in &outcome.cases {
        println!("{times:>10}  {case}");
    }
    let (hash, count) = (outcome.hash, outcome.nodes);
    let (agreed, simulated) = (outcome.agreed.as_secs_f64(), outcome.simulated.as_secs_f64());
    let verdict = if outcome.verdict.is_ok() { "ok" } else { "failed" };
    if let Err(violation) = &outcome.verdict {
        println!("FAILED at {violation}");
    }
    println!(
        "seed {seed} {verdict} {count} nodes, trace {hash:016x}, agreed after {agreed:.1} of {simulated:.1} simulated seconds"
    );
    if outcome.verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Result<Outcome, Violation>, simulated: Duration) {
        self.runs += 1;
        self.simulated += simulated;
        let verdict = outcome.and_then(|outcome| {
            self.agreed = self.agreed.max((outcome.agreed, seed));
            self.nodes_max = self.nodes_max.max(outcome.nodes);
            for (case, times) in outcome.cases {
                let (total, runs) = self.cases.entry(case).or_default();
                *total += times;
                *runs += 1;
            }
            outcome.verdict
        });
        if let Err(violation) = verdict
            && self.failed.as_ref().is_none_or(|(failed, _)| seed < *failed)
        {
            self.failed = Some((seed, violation));
        }
    }

    fn report(self, first: u64, nodes: Option<usize>, wall: Duration, require: bool) -> ExitCode {
        let rate = self.runs as f64 / wall.as_secs_f64();
        if let Some((seed, violation)) = self.failed {
            // Once more, with all that happens: a seed repeats itself.
            if let (Ok(outcome), _) = guarded(seed, nodes, true) {
                println!("the last events:");
                let told = |line: &&String| !line.contains(" Question {") && !line.contains(" Answer {");
                let lines: Vec<_> = outcome.lines.iter().filter(told).collect();
                let skipped = lines.len().saturating_sub(LAST_LINES);
                lines.iter().skip(skipped).for_each(|line| println!("  {line}"));
            }
            println!("FAILED at {violation}");
            println!("seed {seed} failed, number {} from seed {first}, {rate:.0} runs a second", self.runs);
            println!("{}", repeat(seed, nodes));
            return ExitCode::FAILURE;
        }
        for (case, (times, runs)) in &self.cases {
            println!("{times:>12} in {runs:>8} runs  {case}");
        }
        let missing: Vec<_> = REQUIRED.iter().filter(|case| !self.cases.contains_key(*case)).collect();
        let (agreed, slowest) = (self.agreed.0.as_secs_f64(), self.agreed.1);
        println!(
            "{:.0} simulated hours, up to {} nodes; all agreed within {agreed:.1} s, last in seed {slowest}",
            self.simulated.as_secs_f64() / 3_600.0,
            self.nodes_max
        );
        if !missing.is_empty() {
            println!("never met: {missing:?}");
        }
        let failed = require && !missing.is_empty();
        let verdict = if failed { "failed" } else { "ok" };
        let seconds = wall.as_secs_f64();
        println!("{} runs from seed {first} {verdict} in {seconds:.1} s, {rate:.0} runs a second", self.runs);
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// The command line that repeats a run.
pub(crate) fn repeat(seed: u64, nodes: Option<usize>) -> String {
    let nodes = nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
    format!("cargo run --release -p simulations -- fast --seed {seed}{nodes} --trace")
}

/// Cases that a long series of runs has to meet: what is never met is not checked.
const REQUIRED: [&str; 46] = [
    "directory: snapshot used",
    "directory: gap pulled",
    "directory: relay used",
    "directory: ring overflow",
    "directory: a wrong copy found",
    "directory: a listener fell behind",
    "directory: a listener heard of a change",
    "directory: a member is back, its claims unproven",
    "link: given up by the node",
    "link: its peer is forgotten",
    "link: the one in use stays",
    "link: one is replaced and retired",
    "link: a silent one is replaced",
    "member: fence refused",
    "member: false dead",
    "member: purged",
    "member: an old boot refused",
    "session: takeover lost",
    "session: no room beside another one",
    "session: no room beside two others",
    "session: asks for the end of its earlier one",
    "session: resumed",
    "session: asks whether the older one is there",
    "session: asks the next owner",
    "session: disputed",
    "session: insists",
    "session: gives way",
    "fault: node slept",
    "fault: clock set back",
    "fault: copy made wrong",
    "quorum: a change is followed by another one",
    "quorum: an acceptance is lost",
    "quorum: a group is orphaned",
    "quorum: a member points to newer ones",
    "quorum: a member refuses",
    "quorum: a caretaker claims a session",
    "quorum: a claim goes on with what there is",
    "quorum: all that held a message have crashed",
    "quorum: nobody is left to ask",
    "quorum: a session is over",
    "quorum: something is offered",
    "quorum: a takeover is complete and stored",
    "quorum: checked, members have changed in the end",
    "quorum: checked, complete",
    "quorum: checked, what is stored is held",
    "quorum: checked, what is stored is held in the end",
];
/// Lines of a failure; comparisons of digests are left out.
const LAST_LINES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_thousand_runs_meet_every_required_case() {
        let mut sum = Sum::default();
        for seed in 0..2_000 {
            let (outcome, simulated) = guarded(seed, Some(2 + seed as usize % 4), false);
            sum.add(seed, outcome, simulated);
        }
        assert_eq!(sum.failed, None);
        let missing: Vec<_> = REQUIRED.iter().filter(|case| !sum.cases.contains_key(*case)).collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
    }
}
