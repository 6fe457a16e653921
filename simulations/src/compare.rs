//! Whether one seed has one trace: two processes run it at the same time, and their traces are
//! compared line by line while they are written. Neither is kept.
//!
//! The coverage table and the verdict follow the trace on the same pipe and are compared too, but
//! for the wall time.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode};

use anyhow::{Context, bail};

use crate::child::{Case, Reader, this_program};
use crate::plan::Size;
use crate::steps::Steps;
use crate::wall_clock::wall_clock;

/// Which seeds, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Decides everything; several are compared one after the other
    #[arg(long, required = true, value_delimiter = ',')]
    seed: Vec<u64>,
    /// Another build of this program, which runs the seed for the second time
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    steps: Steps,
}

/// Compares seeds until one has two traces.
///
/// # Errors
/// A process cannot be started, or ends without a verdict.
pub(crate) fn compare(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let this = this_program()?;
    let other = arguments.against.as_deref().unwrap_or(&this);
    for seed in &arguments.seed {
        let case = Case { seed: *seed, size: arguments.size, steps: arguments.steps.clone() };
        let started = wall_clock();
        match in_lockstep(&case, &this, other)? {
            Compared::Same { verdict } => {
                println!("{verdict}: twice the same, in {:.2} s", started.elapsed().as_secs_f64());
            }
            Compared::Differ { line, before, versions } => {
                println!("seed {seed} has two traces; they part at line {line}:");
                before.iter().for_each(|line| println!("      {line}"));
                for (name, version) in ["one", "two"].into_iter().zip(versions) {
                    println!("{name} > {}", version.as_deref().unwrap_or("(it has ended)"));
                }
                let against =
                    arguments.against.as_ref().map(|program| format!(" --against {}", program.display()));
                println!("{}{}", case.line("compare"), against.unwrap_or_default());
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of two runs of a seed.
#[derive(Debug, PartialEq, Eq)]
enum Compared {
    /// Both said the same, at the end this.
    Same { verdict: String },
    /// They differ in a line, counted from 1. `None` is a version that is shorter.
    Differ { line: u64, before: Vec<String>, versions: [Option<String>; 2] },
}

fn in_lockstep(case: &Case, one: &Path, two: &Path) -> anyhow::Result<Compared> {
    let [mut one, mut two] = [Traced::start(case.command(one))?, Traced::start(case.command(two))?];
    let compared = streams(|| one.line(), || two.line())?;
    if let Compared::Same { verdict } = &compared
        && !verdict.starts_with(&format!("seed {} ", case.seed))
    {
        bail!("seed {} ended without a verdict: {verdict}\n{}{}", case.seed, one.end()?, two.end()?);
    }
    if let Compared::Differ { versions, .. } = &compared {
        for (version, traced) in versions.iter().zip([&mut one, &mut two]) {
            if version.is_none() {
                eprint!("{}", traced.end()?); // It may say why.
            }
        }
    }
    Ok(compared)
}

/// Compares two streams of lines, of which only the last few are kept.
fn streams(
    mut one: impl FnMut() -> anyhow::Result<Option<String>>,
    mut two: impl FnMut() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<Compared> {
    let mut before = VecDeque::new();
    for line in 1.. {
        let versions = [one()?, two()?];
        match versions {
            [None, None] => break,
            [Some(one), Some(two)] if one == two => {
                if before.len() == BEFORE_LINES {
                    before.pop_front();
                }
                before.push_back(one);
            }
            versions => return Ok(Compared::Differ { line, before: before.into(), versions }),
        }
    }
    Ok(Compared::Same { verdict: before.pop_back().unwrap_or_default() })
}

/// A run whose trace is read while it is written.
struct Traced {
    child: Child,
    lines: BufReader<ChildStdout>,
    stderr: Option<Reader>,
}

impl Traced {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.args(["--trace", STDOUT]).spawn().context("a run cannot be started")?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let lines = BufReader::new(stdout.expect("the command has a pipe"));
        Ok(Self { child, lines, stderr: stderr.map(Reader::new).transpose()? })
    }

    /// The next line, without what the wall clock says.
    fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = Vec::new();
        if self.lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        Ok(Some(without_wall_time(line.trim_end_matches('\n')).to_owned()))
    }

    /// What it said on stderr until its end.
    fn end(&mut self) -> anyhow::Result<String> {
        self.child.wait()?;
        Ok(self.stderr.take().map_or(Ok(String::new()), Reader::text)?)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A verdict up to its simulated time; any other line as it is.
fn without_wall_time(line: &str) -> &str {
    match line.split_once(" simulated seconds in ") {
        Some((verdict, _)) if verdict.starts_with("seed ") => {
            &line[..verdict.len() + " simulated seconds".len()]
        }
        _ => line,
    }
}

/// Lines that are shown before the first that differs. Guess: what led there.
const BEFORE_LINES: usize = 20;
/// Where the trace goes: to the pipe that is the process's standard output.
const STDOUT: &str = "/dev/stdout";

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(one: &[&str], two: &[&str]) -> Compared {
        let next = |lines: &[&str]| {
            let mut lines: VecDeque<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            move || Ok(lines.pop_front())
        };
        streams(next(one), next(two)).unwrap()
    }

    #[test]
    fn streams_are_the_same_or_part_at_a_line() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(compared(&["a", "b"], &["a", "b"]), Compared::Same { verdict: "b".to_owned() });
        let versions = [Some("b".to_owned()), Some("c".to_owned())];
        let differ = Compared::Differ { line: 2, before: texts(&["a"]), versions };
        assert_eq!(compared(&["a", "b", "d"], &["a", "c", "d"]), differ);
        let versions = [Some("b".to_owned()), None];
        assert_eq!(
            compared(&["a", "b"], &["a"]),
            Compared::Differ { line: 2, before: texts(&["a"]), versions }
        );
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let lines: Vec<_> = (0..1_000).map(|line| line.to_string()).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let Compared::Differ { before, .. } = compared(&lines, &lines[..900]) else {
            panic!("one is longer")
        };
        assert_eq!((before.len(), before.last().map(String::as_str)), (BEFORE_LINES, Some("899")));
    }

    #[test]
    fn only_a_verdict_loses_its_wall_time() {
        let verdict = "seed 7 ok trace 00 of 3 lines, 13.2 simulated seconds";
        assert_eq!(without_wall_time(&format!("{verdict} in 0.44 s")), verdict);
        let line = "12 Planned(13 simulated seconds in 2)";
        assert_eq!(without_wall_time(line), line);
    }
}
