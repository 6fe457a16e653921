//! Makes a failing run small: it is repeated with ever fewer steps of its plan, for as long as the
//! same checker fails. First faults are left out, then workload.
//!
//! Every step that is left out moves what the libraries draw after it, so that a smaller run is another
//! run. That the same checker fails is what makes it the same failure.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::child::{Case, Failure, Jobs, Report};
use crate::ddmin::minimize;
use crate::plan::Plan;
use crate::progress::{Progress, spoken};
use crate::steps::{StepNumber, Steps, line};
use crate::wall_clock::wall_clock;

/// Which run, and how long to try.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Ends after so long with the smallest run that was found
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How many tries run at a time; one for each processor if not given
    #[arg(long)]
    jobs: Option<usize>,
}

/// Makes a failing run small, and says what is left of it.
///
/// # Errors
/// A process cannot be started, or the run does not repeat itself.
pub(crate) fn shrink(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let until = wall_clock() + Duration::from_secs(60 * arguments.minutes);
    let plan = Plan::draw(arguments.case.seed, arguments.case.size);
    let report = once(&arguments.case)?;
    let Some(failure) = report.failure() else {
        println!("seed {} does not fail: there is nothing to make small", arguments.case.seed);
        return Ok(ExitCode::FAILURE);
    };
    // What is planned for later cannot have to do with it. What ails comes when the faults end.
    let last_ms = failure.at_ms.min(plan.faults_end_ms);
    let planned = plan.numbered().filter(|(number, ..)| arguments.case.steps.contains(*number));
    let early: Vec<_> =
        planned.filter(|(_, at_ms, _)| *at_ms <= last_ms).map(|(number, ..)| number).collect();
    let mut shrinking = Shrinking {
        arguments,
        plan: &plan,
        failure: &failure,
        until,
        tries: 1,
        left: early.len(),
        progress: Progress::new(),
    };
    println!("seed {} fails at {} ms: {}", arguments.case.seed, failure.at_ms, failure.checker);
    let report = once(&shrinking.case(&early))?;
    if !shrinking.counts(&report) {
        bail!("it failed, and not again: does `{}` find two traces?", arguments.case.line("compare"));
    }
    let left = shrinking.shrink(early)?;
    shrinking.progress.clear();
    shrinking.end(&left)
}

/// A run that becomes smaller.
struct Shrinking<'a> {
    arguments: &'a Arguments,
    plan: &'a Plan,
    failure: &'a Failure,
    until: Instant,
    tries: u64,
    /// Steps of the smallest run so far.
    left: usize,
    progress: Progress,
}

impl Shrinking<'_> {
    /// Leaves out faults and workload in turn until neither becomes fewer: with less of one less of
    /// the other may do.
    fn shrink(&mut self, mut left: Vec<StepNumber>) -> anyhow::Result<Vec<StepNumber>> {
        let workload: Vec<bool> = self.plan.numbered().map(|(_, _, step)| step.is_workload()).collect();
        let is_workload = |number: &StepNumber| workload[*number as usize - 1];
        loop {
            let before = left.len();
            for fewer_workload in [false, true] {
                let (smaller, fixed) =
                    left.into_iter().partition(|number| is_workload(number) == fewer_workload);
                let smaller = minimize(smaller, |count, candidate| {
                    self.first(count, |at| sorted(&[&candidate(at)[..], &fixed].concat()))
                })?;
                left = sorted(&[smaller, fixed].concat());
            }
            if left.len() == before || wall_clock() >= self.until {
                return Ok(left);
            }
        }
    }

    /// The first of some candidates that fails alike, whichever ends first. None when time is up.
    fn first(
        &mut self,
        count: usize,
        candidate: impl Fn(usize) -> Vec<StepNumber>,
    ) -> anyhow::Result<Option<usize>> {
        let mut jobs = Jobs::new(self.arguments.jobs)?;
        let mut answers = BTreeMap::new();
        let (mut begun, mut judged) = (0, 0);
        while judged < count && wall_clock() < self.until {
            while jobs.free() && begun < count {
                jobs.start(begun, &self.case(&candidate(begun)))?;
                begun += 1;
            }
            if let Some((at, report)) = jobs.ended()? {
                self.tries += 1;
                answers.insert(at, self.counts(&report));
            }
            while let Some(fails) = answers.remove(&judged) {
                if fails {
                    self.left = candidate(judged).len();
                    return Ok(Some(judged));
                }
                judged += 1;
            }
            let line = self.line();
            self.progress.at(|| line);
        }
        Ok(None)
    }

    fn line(&self) -> String {
        let time = spoken(self.until.saturating_duration_since(wall_clock()));
        format!("{} steps left after {} tries, at most {time} more", self.left, self.tries)
    }

    fn case(&self, kept: &[StepNumber]) -> Case {
        let total = self.plan.numbered().map(|(number, ..)| number).last().unwrap_or_default();
        Case { steps: Steps::of(kept, total), ..self.arguments.case.clone() }
    }

    /// Whether a try is the same failure.
    fn counts(&self, report: &Report) -> bool {
        report.failure().is_some_and(|failure| failure.checker == self.failure.checker)
    }

    fn end(&self, left: &[StepNumber]) -> anyhow::Result<ExitCode> {
        let case = self.case(left);
        let report = once(&case)?;
        print!("{}", report.said());
        let total = self.plan.numbered().count();
        println!("{} of {total} steps are left, after {} tries:", left.len(), self.tries);
        let steps = self.plan.numbered().filter(|(number, ..)| left.binary_search(number).is_ok());
        steps.for_each(|(number, at_ms, step)| println!("{}", line(number, at_ms, step)));
        if wall_clock() >= self.until {
            println!("the time was up: with more --minutes it may become smaller");
        }
        println!("{}", case.line("run"));
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs one case to its end.
fn once(case: &Case) -> anyhow::Result<Report> {
    let mut jobs = Jobs::new(Some(1))?;
    jobs.start((), case)?;
    loop {
        if let Some(((), report)) = jobs.ended()? {
            return Ok(report);
        }
    }
}

fn sorted(numbers: &[StepNumber]) -> Vec<StepNumber> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers
}
