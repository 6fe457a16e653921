//! Repeats the runs that once failed: `seeds/regressions.toml`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::child::{Case, Jobs};
use crate::model::fast;
use crate::plan::Size;
use crate::progress::Progress;
use crate::steps::Steps;
use crate::wall_clock::wall_clock;

/// Which of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seeds or names from the list; all of them if none is given
    #[arg(value_name = "SEED OR NAME")]
    which: Vec<String>,
    /// How many run at a time; one for each processor if not given
    #[arg(long)]
    jobs: Option<usize>,
}

/// Runs them all, and says the story of each.
///
/// # Errors
/// The list cannot be read, has nothing of that name, or a process cannot be started.
pub(crate) fn replay(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runs = chosen(LIST, &arguments.which)?;
    let (fast, full): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.level == Level::Fast);
    let mut failed = Vec::new();
    for run in &fast {
        let held = fast::holds(run.seed, run.nodes.map(usize::from));
        println!("{}", run.line(held.is_ok()));
        if let Err(violation) = held {
            println!("FAILED at {violation}");
            failed.push(fast::repeat(run.seed, run.nodes.map(usize::from)));
        }
    }
    let mut waiting = full.into_iter();
    let mut jobs = Jobs::new(arguments.jobs)?;
    let mut progress = Progress::new();
    let mut done = fast.len();
    while done < runs.len() {
        while jobs.free()
            && let Some(run) = waiting.next()
        {
            jobs.start((run, wall_clock()), &run.case()?)?;
        }
        if let Some(((run, started), report)) = jobs.ended()? {
            done += 1;
            progress.clear();
            println!("{} ({:.1} s)", run.line(report.ok), started.elapsed().as_secs_f64());
            if !report.ok {
                print!("{}", report.said());
                failed.push(run.case()?.line("run"));
            }
        }
        progress.at(|| format!("{done} of {} runs", runs.len()));
    }
    if failed.is_empty() {
        println!("{done} runs held");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} of {done} runs failed; to repeat them:", failed.len());
    failed.iter().for_each(|line| println!("{line}"));
    Ok(ExitCode::FAILURE)
}

/// The runs of a list that are named by their seed or their name.
fn chosen(list: &str, which: &[String]) -> anyhow::Result<Vec<Run>> {
    let list: List = toml::from_str(list).context("seeds/regressions.toml")?;
    if list.run.is_empty() {
        bail!("seeds/regressions.toml is empty: there is nothing to repeat");
    }
    if let Some(unknown) = which.iter().find(|which| !list.run.iter().any(|run| run.is_called(which))) {
        bail!("seeds/regressions.toml has no run with the seed or name `{unknown}`");
    }
    let wanted = |run: &Run| which.is_empty() || which.iter().any(|which| run.is_called(which));
    Ok(list.run.into_iter().filter(wanted).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    run: Vec<Run>,
}

/// One run to be repeated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    #[serde(default)]
    level: Level,
    seed: u64,
    /// Beside the seed.
    name: Option<String>,
    nodes: Option<u8>,
    clients: Option<u16>,
    /// Not for the fast level, which draws it.
    #[serde(default)]
    seconds: u16,
    /// The steps that are carried out, as after `--only`; all if it is not given.
    only: Option<String>,
    /// What was seen.
    story: String,
    /// Why. Where it begins with `checker`, the product was right.
    cause: String,
    /// What mended it.
    fix: String,
}

/// Which of the two simulations it is a run of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Full,
    Fast,
}

impl Run {
    fn is_called(&self, which: &str) -> bool {
        self.seed.to_string() == which || self.name.as_deref() == Some(which)
    }

    fn title(&self) -> String {
        let level = if self.level == Level::Fast { "fast " } else { "" };
        let name = self.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
        format!("{level}seed {}{name}", self.seed)
    }

    /// What it says of the run, with what to look for when it fails again.
    fn line(&self, ok: bool) -> String {
        let (title, Self { story, cause, fix, .. }) = (self.title(), self);
        if ok {
            format!("ok      {title}: {story}")
        } else {
            format!("FAILED  {title}: {story}; {cause}; {fix}")
        }
    }

    fn case(&self) -> anyhow::Result<Case> {
        let size = Size { nodes: self.nodes, clients: self.clients, seconds: self.seconds };
        let steps = self.only.as_deref().map(Steps::only).transpose();
        let steps = steps.with_context(|| format!("the steps of {}", self.title()))?;
        Ok(Case { seed: self.seed, size, steps: steps.unwrap_or_default() })
    }
}

/// The list, as it was when this program was built.
const LIST: &str = include_str!("../seeds/regressions.toml");

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = r#"
        [[run]]
        seed = 7
        seconds = 20
        story = "one"
        cause = "a"
        fix = "b"
        [[run]]
        seed = 8
        name = "small"
        nodes = 3
        seconds = 60
        only = "3,17,40-52"
        story = "two"
        cause = "c"
        fix = "d"
        [[run]]
        level = "fast"
        seed = 9
        story = "three"
        cause = "e"
        fix = "f"
    "#;

    fn stories(which: &[&str]) -> Vec<String> {
        let which: Vec<_> = which.iter().map(|which| (*which).to_owned()).collect();
        chosen(LISTED, &which).unwrap().into_iter().map(|run| run.story).collect()
    }

    #[test]
    fn runs_are_chosen_by_seed_or_name() {
        assert_eq!(stories(&[]), ["one", "two", "three"]);
        assert_eq!(stories(&["7"]), ["one"]);
        assert_eq!(stories(&["small"]), ["two"]);
        assert_eq!(stories(&["8", "7"]), ["one", "two"]);
        assert!(chosen(LISTED, &["10".to_owned()]).is_err());
        assert!(chosen("run = []", &[]).is_err());
    }

    #[test]
    fn a_run_is_repeated_with_its_size_and_its_steps() {
        let runs = chosen(LISTED, &["small".to_owned()]).unwrap();
        let line = runs[0].case().unwrap().line("run");
        assert!(line.ends_with(" run --seed 8 --nodes 3 --seconds 60 --only 3,17,40-52"), "{line}");
    }

    #[test]
    fn a_run_that_fails_again_says_why_it_did() {
        let runs = chosen(LISTED, &["9".to_owned()]).unwrap();
        assert_eq!(runs[0].line(true), "ok      fast seed 9: three");
        assert_eq!(runs[0].line(false), "FAILED  fast seed 9: three; e; f");
    }

    #[test]
    fn every_run_of_the_list_can_be_repeated() {
        for run in chosen(LIST, &[]).unwrap() {
            run.case().unwrap();
            assert_eq!(run.seconds == 0, run.level == Level::Fast, "{}", run.title());
        }
    }
}
