//! Many runs, several at a time, until one fails; then what was met, and what should have been.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use crate::child::{Case, Jobs, Report};
use crate::coverage::{REQUIRED_FROM_SECONDS, required};
use crate::entropy;
use crate::plan::Size;
use crate::progress::{Progress, bar, spoken};
use crate::steps::Steps;
use crate::wall_clock::wall_clock;

/// How many runs, and which.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 400, conflicts_with = "minutes")]
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
/// A process cannot be started.
pub(crate) fn swarm(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut swarm = Swarm::new(arguments)?;
    let mut jobs = Jobs::new(arguments.jobs)?;
    let mut progress = Progress::new();
    while swarm.more() || !jobs.idle() {
        while jobs.free() && swarm.more() {
            let case = swarm.next();
            jobs.start(case.clone(), &case)?;
        }
        if let Some((case, report)) = jobs.ended()? {
            if !report.ok {
                progress.clear();
                return Ok(failed(&case, &report));
            }
            swarm.add(&report);
        }
        progress.at(|| swarm.line());
    }
    progress.clear();
    Ok(swarm.end())
}

/// What has run so far.
struct Swarm<'a> {
    arguments: &'a Arguments,
    first: u64,
    started: std::time::Instant,
    begun: u64,
    done: u64,
    /// By case: how often it was met, and in how many runs.
    covered: BTreeMap<String, (u64, u64)>,
}

impl<'a> Swarm<'a> {
    fn new(arguments: &'a Arguments) -> anyhow::Result<Self> {
        let first = arguments.first_seed.map_or_else(entropy::fresh_seed, Ok)?;
        let started = wall_clock();
        Ok(Self { arguments, first, started, begun: 0, done: 0, covered: BTreeMap::new() })
    }

    /// Whether more runs are to be begun.
    fn more(&self) -> bool {
        match self.limit() {
            Some(limit) => self.started.elapsed() < limit,
            None => self.begun < self.arguments.runs,
        }
    }

    fn limit(&self) -> Option<Duration> {
        self.arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes))
    }

    fn next(&mut self) -> Case {
        let seed = self.first.wrapping_add(self.begun);
        self.begun += 1;
        Case { seed, size: self.arguments.size, steps: Steps::default() }
    }

    fn add(&mut self, report: &Report) {
        for (case, times) in report.covered() {
            let (total, runs) = self.covered.entry(case.to_owned()).or_default();
            *total += times;
            *runs += u64::from(times > 0);
        }
        self.done += 1;
    }

    /// How far it is.
    fn line(&self) -> String {
        let elapsed = self.started.elapsed();
        let rate = self.done as f64 / elapsed.as_secs_f64().max(0.001);
        let seed = self.first.wrapping_add(self.begun.saturating_sub(1));
        let (part, of, left) = match self.limit() {
            Some(limit) => {
                let part = elapsed.as_secs_f64() / limit.as_secs_f64().max(0.001);
                (part, String::new(), Some(limit.saturating_sub(elapsed)))
            }
            None => {
                let runs = self.arguments.runs;
                let left = (runs - self.done) as f64 / rate;
                let left = Duration::try_from_secs_f64(left).ok();
                (self.done as f64 / runs.max(1) as f64, format!("/{runs}"), left)
            }
        };
        let left = left.map_or("?".to_owned(), spoken);
        format!("{} {}{of} runs, seed {seed}, {rate:.2}/s, {left} left", bar(part), self.done)
    }

    /// The required cases that were not met, if the swarm was large enough to meet them all.
    fn missed(&self) -> Vec<&'static str> {
        let Size { nodes, clients, seconds } = self.arguments.size;
        let drawn = nodes.is_none() && clients.is_none() && seconds >= REQUIRED_FROM_SECONDS;
        let met = |case: &str| self.covered.get(case).is_some_and(|(times, _)| *times > 0);
        required(self.done).filter(|case| drawn && !met(case)).collect()
    }

    /// The table of what was met, and the verdict.
    fn end(&self) -> ExitCode {
        for (case, (times, runs)) in &self.covered {
            println!("{times:>10} in {runs:>5} runs  {case}");
        }
        let (done, first, seconds) = (self.done, self.first, self.started.elapsed().as_secs_f64());
        let missed = self.missed();
        if missed.is_empty() {
            println!("{done} runs from seed {first} ok in {seconds:.0} s");
            return ExitCode::SUCCESS;
        }
        for case in &missed {
            println!("NEVER MET  {case}");
        }
        println!(
            "{done} runs from seed {first} held in {seconds:.0} s, and checked too little: {} of {} required cases \
             were never met",
            missed.len(),
            required(done).count()
        );
        ExitCode::FAILURE
    }
}

/// Says what was wrong; last the line that repeats it.
fn failed(case: &Case, report: &Report) -> ExitCode {
    print!("{}", report.said());
    println!("make it small, or repeat it:");
    println!("{}", case.line("shrink"));
    println!("{}", case.line("run"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::verdict::COVERED;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// What a swarm of so many runs misses that meets all required cases but one.
    fn missed(line: &str, runs: u64, but: &str) -> Vec<&'static str> {
        let line = Line::parse_from(line.split(' '));
        let mut swarm = Swarm::new(&line.arguments).unwrap();
        let times = |case: &str| u64::from(case != but);
        let stdout =
            required(u64::MAX).map(|case| format!("{COVERED}{:>8}  {case}\n", times(case))).collect();
        let report = Report { ok: true, stdout, ..Report::default() };
        (0..runs).for_each(|_| swarm.add(&report));
        swarm.missed()
    }

    #[test]
    fn a_large_swarm_has_to_meet_every_required_case() {
        for runs in [20, 400] {
            for case in required(runs) {
                assert_eq!(missed("swarm", runs, case), [case]);
            }
            assert!(missed("swarm", runs, "").is_empty());
        }
        assert!(0 < required(20).count() && required(20).count() < required(400).count());
    }

    #[test]
    fn a_swarm_of_few_or_small_runs_may_miss_some() {
        let case = required(20).next().unwrap();
        assert!(missed("swarm", 19, case).is_empty());
        for line in ["swarm --seconds 10", "swarm --nodes 2", "swarm --clients 1"] {
            assert!(missed(line, 20, case).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_line_says_how_far_it_is() {
        let line = Line::parse_from("swarm --runs 4 --first-seed 1000".split(' '));
        let mut swarm = Swarm::new(&line.arguments).unwrap();
        assert!(swarm.line().contains("] 0/4 runs, seed 1000, 0.00/s, "), "{}", swarm.line());
        let seeds: Vec<_> = std::iter::from_fn(|| swarm.more().then(|| swarm.next().seed)).collect();
        assert_eq!(seeds, [1000, 1001, 1002, 1003]);
        (0..2).for_each(|_| swarm.add(&Report::default()));
        assert!(swarm.line().starts_with("[##########----------] 2/4 runs, seed 1003, "), "{}", swarm.line());
    }
}
