//! Which steps of a plan are carried out: all of them, only some, or all but some.
//!
//! A step's number is its place in the plan, from 1, in the order of time. It is the same whenever
//! the same seed and size are drawn, so that a smaller run can be told by a few numbers.

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use crate::plan::{Plan, Size, Step};

/// Number of a step in its plan, from 1.
pub(crate) type StepNumber = u32;

/// The steps of a plan that are carried out. All, if nothing is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Steps {
    /// Carries out only these steps of the plan, such as 3,17,40-52; or `none`
    #[arg(long, value_name = "NUMBERS", conflicts_with = "without")]
    only: Option<Numbers>,
    /// Carries out all steps of the plan but these
    #[arg(long, value_name = "NUMBERS")]
    without: Option<Numbers>,
}

impl Steps {
    /// These of `1..=total`, told in the shorter way. The numbers ascend.
    pub(crate) fn of(numbers: &[StepNumber], total: StepNumber) -> Self {
        let only = Numbers::of(numbers.iter().copied());
        let left_out = (1..=total).filter(|number| numbers.binary_search(number).is_err());
        let without = Numbers::of(left_out);
        if without.0.is_empty() {
            Self::default()
        } else if without.0.len() < only.0.len() {
            Self { only: None, without: Some(without) }
        } else {
            Self { only: Some(only), without: None }
        }
    }

    /// Only those that are named as after `--only`.
    ///
    /// # Errors
    /// The text names no steps.
    pub(crate) fn only(text: &str) -> Result<Self, NumbersError> {
        Ok(Self { only: Some(text.parse()?), without: None })
    }

    /// Whether the step with that number is carried out.
    pub(crate) fn contains(&self, number: StepNumber) -> bool {
        match (&self.only, &self.without) {
            (Some(only), _) => only.contains(number),
            (None, Some(without)) => !without.contains(number),
            (None, None) => true,
        }
    }

    /// The flags that say the same on a command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let flags = [("--only", &self.only), ("--without", &self.without)].into_iter();
        let given = flags.filter_map(|(flag, numbers)| Some((flag, numbers.as_ref()?)));
        given.flat_map(|(flag, numbers)| [flag.to_owned(), numbers.to_string()]).collect()
    }
}

impl Plan {
    /// All steps in their order, with their numbers and times.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (StepNumber, u64, &Step)> {
        let steps = self.steps.iter().flat_map(|(at, steps)| steps.iter().map(move |step| (*at, step)));
        (1..).zip(steps).map(|(number, (at, step))| (number, at, step))
    }

    /// Leaves out the steps that are not to be carried out.
    pub(crate) fn keep(&mut self, kept: &Steps) {
        let mut numbers = 1..;
        for steps in self.steps.values_mut() {
            steps.retain(|_| numbers.next().is_some_and(|number| kept.contains(number)));
        }
    }
}

impl Step {
    /// Whether it is what clients and backends do every day. Everything else is a fault.
    pub(crate) fn is_workload(&self) -> bool {
        // Without a wildcard: a new step has to be the one or the other.
        match self {
            Step::Connect { .. }
            | Step::Leave { .. }
            | Step::Break { .. }
            | Step::Push { .. }
            | Step::Call { .. }
            | Step::Stall { .. }
            | Step::Blunder { .. }
            | Step::Say { .. } => true,
            Step::Weather(_)
            | Step::Partition(_)
            | Step::Join
            | Step::Crash { .. }
            | Step::Stop { .. }
            | Step::Restart { .. }
            | Step::Swallow(_)
            | Step::Slow(..)
            | Step::Hurry
            | Step::Pause { .. }
            | Step::Resume { .. }
            | Step::Clock { .. }
            | Step::Late(_)
            | Step::Ail { .. } => false,
        }
    }
}

/// Prints what a seed plans.
pub(crate) fn print(seed: u64, size: Size) -> ExitCode {
    let plan = Plan::draw(seed, size);
    let (nodes, clients, latency) = (plan.nodes, plan.clients, plan.latency_max);
    println!("seed {seed}: {nodes} nodes, {clients} clients, latency up to {latency:?}");
    println!("wall clocks ahead by {:?} ms", plan.skews_ms);
    println!("{:?}", plan.settings);
    plan.numbered().for_each(|(number, at_ms, step)| println!("{}", line(number, at_ms, step)));
    ExitCode::SUCCESS
}

/// A step as people read it.
pub(crate) fn line(number: StepNumber, at_ms: u64, step: &Step) -> String {
    format!("{:>6}  {at_ms:>7} ms  {step:?}", format!("#{number}"))
}

/// Numbers in ascending ranges, first and last of each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(Vec<(StepNumber, StepNumber)>);

impl Numbers {
    /// Of numbers that ascend.
    fn of(numbers: impl Iterator<Item = StepNumber>) -> Self {
        let mut ranges: Vec<(StepNumber, StepNumber)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }

    fn contains(&self, number: StepNumber) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(at).is_some_and(|(first, _)| *first <= number)
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        for (place, (first, last)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Numbers {
    type Err = NumbersError;

    fn from_str(text: &str) -> Result<Self, NumbersError> {
        let mut ranges: Vec<(StepNumber, StepNumber)> = Vec::new();
        for part in text.split(',').filter(|_| text != NONE) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |word: &str| word.parse().ok().filter(|number| *number > 0);
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                return Err(NumbersError::NotANumber(part.to_owned()));
            };
            if first > last || ranges.last().is_some_and(|(_, before)| *before >= first) {
                return Err(NumbersError::Descends(part.to_owned()));
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }
}

/// Why a text does not name steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumbersError {
    /// A part is neither a number nor a range.
    #[error("`{0}` is neither a number from 1 nor a range of them, such as 40-52")]
    NotANumber(String),
    /// A part is not greater than what is before it.
    #[error("`{0}`: numbers have to ascend")]
    Descends(String),
}

/// What stands for no number at all.
const NONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Numbers {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for text in ["3", "3,17,40-52", "1-2,4-5", "none"] {
            assert_eq!(numbers(text).to_string(), text);
        }
        let read = numbers("3,17,40-52");
        let met: Vec<_> = (0..60).filter(|number| read.contains(*number)).collect();
        assert_eq!(met, [3, 17].into_iter().chain(40..=52).collect::<Vec<_>>());
        assert_eq!(Numbers::of(met.into_iter()), read);
        assert!((0..60).all(|number| !numbers("none").contains(number)));
    }

    #[test]
    fn what_names_no_steps_is_refused() {
        for text in ["", ",", "1,", "x", "0", "0-3", "-3", "3-", "1-2-3", "99999999999"] {
            assert!(matches!(text.parse::<Numbers>(), Err(NumbersError::NotANumber(_))), "{text}");
        }
        for text in ["5,3", "4-2", "1-5,5", "3,3"] {
            assert!(matches!(text.parse::<Numbers>(), Err(NumbersError::Descends(_))), "{text}");
        }
    }

    #[test]
    fn the_shorter_way_is_told_and_means_the_same() {
        let words = |kept: &[StepNumber]| Steps::of(kept, 9).words().join(" ");
        assert_eq!(words(&[]), "--only none");
        assert_eq!(words(&[2, 3, 7]), "--only 2-3,7");
        assert_eq!(words(&[1, 2, 4, 5, 6, 8, 9]), "--without 3,7");
        assert_eq!(words(&(1..=9).collect::<Vec<_>>()), "");
        for kept in [&[][..], &[2, 3, 7], &[1, 2, 4, 5, 6, 8, 9]] {
            let steps = Steps::of(kept, 9);
            assert_eq!((1..=9).filter(|number| steps.contains(*number)).collect::<Vec<_>>(), kept);
        }
    }

    #[test]
    fn the_rest_of_a_plan_keeps_its_times_and_its_order() {
        let size = Size { seconds: 20, ..Size::default() };
        let mut plan = Plan::draw(3, size);
        let all: Vec<_> = plan.numbered().map(|(number, at, step)| (number, at, step.clone())).collect();
        let kept = Steps { only: Some(numbers("2,5-7")), without: None };
        plan.keep(&kept);
        let left: Vec<_> = plan.numbered().map(|(_, at, step)| (at, step.clone())).collect();
        let wanted = [2, 5, 6, 7].map(|number| (all[number - 1].1, all[number - 1].2.clone()));
        assert_eq!(left, wanted);
        assert!(all.iter().any(|(_, _, step)| !step.is_workload()), "a plan has faults");
    }
}
