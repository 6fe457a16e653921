//! One run: the world is made from a seed, the plan is carried out under the eyes of the checkers,
//! then the faults end and everything has to be right again.
//!
//! ```text
//!   safety phase: faults, checkers look on ─► the core heals ─► all of it agree, within a bound,
//!   and stay so ─► the others heal ─► all agree ─► end: all promises are kept
//! ```
//!
//! The core is all nodes but those that ail. In half of the runs nobody does.
//!
//! Each run has a thread of its own, so that what libraries keep for a thread starts over.

use std::path::PathBuf;
use std::thread;

use crate::coverage::Coverage;
use crate::plan::{Plan, Size, Step};
use crate::steps::Steps;
use crate::trace::Trace;
use crate::violation::Violation;
use crate::{entropy, panics};

mod agreement;
mod calls;
mod stage;
mod steps;

use stage::Run;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Decides everything.
    pub(crate) seed: u64,
    /// What happens.
    pub(crate) plan: Planned,
    /// Where to write the trace.
    pub(crate) trace: Option<PathBuf>,
}

/// Where the plan of a run comes from.
#[derive(Debug, Clone)]
pub(crate) enum Planned {
    /// It is drawn from the seed, and these of its steps are carried out.
    Drawn(Size, Steps),
    /// It is written down.
    Written(fn() -> Plan),
}

/// What came of a run.
pub(crate) struct Outcome {
    /// What was wrong, if anything.
    pub(crate) verdict: Result<(), Violation>,
    /// The hash of the trace.
    pub(crate) hash: u64,
    /// The lines of the trace.
    pub(crate) lines: u64,
    /// How long it was, in simulated milliseconds.
    pub(crate) simulated_ms: u64,
    /// The last events.
    pub(crate) recent: Vec<String>,
    /// What was met.
    pub(crate) coverage: Coverage,
}

/// Runs a seed in a thread of its own.
///
/// # Errors
/// The trace cannot be written, or there is no thread.
pub(crate) fn run(options: Options) -> anyhow::Result<Outcome> {
    let thread = thread::Builder::new().name("run".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(move || {
        entropy::seed_thread(options.seed);
        let trace = Trace::new(options.trace.as_deref())?;
        let plan = match options.plan {
            Planned::Drawn(size, steps) => {
                let mut plan = Plan::draw(options.seed, size);
                plan.keep(&steps);
                plan
            }
            Planned::Written(plan) => plan(),
        };
        Ok(Run::new(options.seed, plan, trace)?.finish())
    })?;
    thread.join().map_err(|_| {
        let what = panics::take().unwrap_or_default();
        anyhow::anyhow!("the run panicked outside of the nodes: {what}")
    })?
}

impl Run<'_> {
    fn finish(mut self) -> Outcome {
        let verdict = self.phases();
        for (what, times) in self.checkers.compared().chain([self.reach.compared()]) {
            self.coverage.count(format!("checked: {what}"), times);
        }
        for (what, times) in self.checkers.met() {
            self.coverage.count(what, times);
        }
        for (how, packets) in self.world.network().touched() {
            self.coverage.count(how, packets);
        }
        let mut trace = self.world.trace();
        let (hash, lines) = (trace.hash(), trace.lines());
        let flushed = trace.flush().map_err(|error| Violation {
            at_ms: self.now_ms,
            checker: "the trace is written",
            what: error.to_string(),
        });
        let recent = trace.recent().map(str::to_owned).collect();
        drop(trace);
        Outcome {
            verdict: verdict.and(flushed),
            hash,
            lines,
            simulated_ms: self.now_ms,
            recent,
            coverage: self.coverage,
        }
    }

    fn phases(&mut self) -> Result<(), Violation> {
        let mut steps = std::mem::take(&mut self.plan.steps).into_iter().peekable();
        while self.now_ms < self.plan.faults_end_ms {
            while let Some((_, due)) = steps.next_if(|(at, _)| *at <= self.now_ms) {
                for step in due {
                    self.step(step);
                }
            }
            self.advance()?;
        }
        self.heal();
        // Whatever else is planned for this moment has healed.
        let late = steps.flat_map(|(_, late)| late).filter(|step| matches!(step, Step::Ail { .. }));
        late.for_each(|step| self.step(step));
        if !self.ailing.is_empty() {
            self.agree()?;
            self.be_quiet()?;
            self.heal();
        }
        self.agree()?;
        self.survey()?;
        self.be_quiet()?;
        self.checkers.end(self.now_ms)
    }
}

/// Stack of a run: debug builds nest deep futures.
const STACK_BYTES: usize = 64 << 20;
