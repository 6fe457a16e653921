//! Runs in processes of their own: what a library counts for a whole process would otherwise differ
//! from a run that is repeated alone. Several go on at a time.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::plan::Size;
use crate::steps::Steps;
use crate::verdict::{COVERED, FAILED};
use crate::wall_clock::wall_clock;

/// Everything that decides about a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Case {
    /// Decides everything
    #[arg(long)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) size: Size,
    #[command(flatten)]
    pub(crate) steps: Steps,
}

impl Case {
    /// The line that does `what` with it again, as a person types it.
    pub(crate) fn line(&self, what: &str) -> String {
        format!("cargo run --release -p simulations -- {what} {}", self.words().join(" "))
    }

    /// Runs it with a build of this program. Its output goes to pipes, which someone has to read.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("run").args(self.words());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The flags that say it on a command line.
    fn words(&self) -> Vec<String> {
        let mut words = vec!["--seed".to_owned(), self.seed.to_string()];
        let Size { nodes, clients, seconds } = self.size;
        let nodes = nodes.map(|nodes| ("--nodes", u64::from(nodes)));
        let clients = clients.map(|clients| ("--clients", u64::from(clients)));
        let seconds = Some(("--seconds", u64::from(seconds)));
        for (flag, value) in [nodes, clients, seconds].into_iter().flatten() {
            words.extend([flag.to_owned(), value.to_string()]);
        }
        words.extend(self.steps.words());
        words
    }
}

/// The runs that go on, each with a mark that tells it from the others. They end with this.
pub(crate) struct Jobs<T> {
    most: usize,
    running: Vec<(T, Running)>,
}

impl<T> Jobs<T> {
    /// Nothing runs; `most` may at a time, one for each processor if it is not given.
    ///
    /// # Errors
    /// The processors cannot be counted.
    pub(crate) fn new(most: Option<usize>) -> io::Result<Self> {
        let most = most.map_or_else(|| thread::available_parallelism().map(usize::from), Ok)?.max(1);
        Ok(Self { most, running: Vec::new() })
    }

    /// Whether one more may run.
    pub(crate) fn free(&self) -> bool {
        self.running.len() < self.most
    }

    /// Whether nothing runs.
    pub(crate) fn idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts a run.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(&mut self, mark: T, case: &Case) -> anyhow::Result<()> {
        let child = case.command(&this_program()?).spawn().context("a run cannot be started")?;
        self.running.push((mark, Running::new(child)?));
        Ok(())
    }

    /// One that has ended, if any; waits a moment if none has.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<(T, Report)>> {
        for at in 0..self.running.len() {
            if let Some(status) = self.running[at].1.child.try_wait()? {
                let (mark, running) = self.running.swap_remove(at);
                return Ok(Some((mark, running.report(status.success())?)));
            }
            self.running[at].1.end_if_it_hangs()?;
        }
        thread::sleep(POLL);
        Ok(None)
    }
}

/// One process, and the threads that read what it says.
struct Running {
    child: Child,
    stdout: Option<Reader>,
    stderr: Option<Reader>,
    started: Instant,
    hung: bool,
}

impl Running {
    fn new(mut child: Child) -> io::Result<Self> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = (stdout.map(Reader::new).transpose()?, stderr.map(Reader::new).transpose()?);
        Ok(Self { child, stdout, stderr, started: wall_clock(), hung: false })
    }

    /// Simulated time may stand still: a run is ended then, so that it can be told.
    fn end_if_it_hangs(&mut self) -> io::Result<()> {
        if !self.hung && self.started.elapsed() > HANGS_AFTER {
            self.hung = true;
            self.child.kill()?;
        }
        Ok(())
    }

    fn report(mut self, ok: bool) -> io::Result<Report> {
        let text = |reader: Option<Reader>| reader.map_or(Ok(String::new()), Reader::text);
        let (stdout, mut stderr) = (text(self.stdout.take())?, text(self.stderr.take())?);
        if self.hung {
            stderr.push_str(&format!("ended from outside: no verdict within {HANGS_AFTER:?}\n"));
        }
        Ok(Report { ok, stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end, so that its writer never waits.
pub(crate) struct Reader(JoinHandle<io::Result<Vec<u8>>>);

impl Reader {
    /// Begins to read.
    ///
    /// # Errors
    /// There is no thread.
    pub(crate) fn new(mut pipe: impl Read + Send + 'static) -> io::Result<Self> {
        let read = move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        };
        thread::Builder::new().spawn(read).map(Self)
    }

    /// What was written, as soon as nobody can write any more.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn text(self) -> io::Result<String> {
        let bytes =
            self.0.join().map_err(|_| io::Error::other("the thread that reads a pipe panicked"))??;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What a run said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Whether it ended without a violation.
    pub(crate) ok: bool,
    /// Its verdict, after the table of what was met.
    pub(crate) stdout: String,
    /// The last events, if it failed.
    pub(crate) stderr: String,
}

impl Report {
    /// What was wrong, if anything.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if self.ok {
            return None;
        }
        let read = |line: &str| {
            let (at_ms, rest) = line.strip_prefix(FAILED)?.split_once(" ms: ")?;
            let (checker, _) = rest.split_once(": ")?;
            Some(Failure { at_ms: at_ms.parse().ok()?, checker: checker.to_owned() })
        };
        let without_verdict = || Failure { at_ms: u64::MAX, checker: "a run ends with a verdict".to_owned() };
        Some(self.stdout.lines().find_map(read).unwrap_or_else(without_verdict))
    }

    /// What was met and how often.
    pub(crate) fn covered(&self) -> impl Iterator<Item = (&str, u64)> {
        self.stdout.lines().filter_map(|line| {
            let (times, case) = line.strip_prefix(COVERED)?.trim().split_once("  ")?;
            Some((case, times.parse().ok()?))
        })
    }

    /// The last events and the verdict.
    pub(crate) fn said(&self) -> String {
        let verdict = self.stdout.lines().filter(|line| !line.starts_with(COVERED));
        self.stderr.lines().chain(verdict).map(|line| format!("{line}\n")).collect()
    }
}

/// A violation, as another process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// When, in simulated milliseconds.
    pub(crate) at_ms: u64,
    /// Which checker saw it.
    pub(crate) checker: String,
}

/// Where this program is.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn this_program() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("this program does not find itself")
}

/// How long a run may take. Guess: a hundred times what it takes on an idle machine.
const HANGS_AFTER: Duration = Duration::from_secs(600);
/// Time between two looks at what runs.
const POLL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::violation::Violation;

    #[test]
    fn a_failure_is_read_as_it_is_said() {
        let what = "push 3: twice: at 5 ms: here".to_owned();
        let violation = Violation { at_ms: 17, checker: "nothing comes twice", what };
        let stdout = format!("{COVERED}      12  fault: crash\n{FAILED}{violation}\nseed 1 failed\n");
        let report = Report { ok: false, stdout, stderr: "the last events:\n".to_owned() };
        let failure = Failure { at_ms: 17, checker: "nothing comes twice".to_owned() };
        assert_eq!(report.failure(), Some(failure));
        assert_eq!(report.covered().collect::<Vec<_>>(), [("fault: crash", 12)]);
        assert_eq!(report.said().lines().count(), 3);
        assert_eq!(Report { ok: true, ..report }.failure(), None);
    }

    #[test]
    fn a_run_that_says_nothing_has_failed() {
        assert_eq!(Report::default().failure().map(|failure| failure.at_ms), Some(u64::MAX));
    }

    #[test]
    fn a_command_line_says_the_whole_case() {
        use clap::Parser;

        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            case: Case,
        }
        let text = "simulations --seed 7 --nodes 3 --seconds 20 --only 3,17,40-52";
        let line = Line::parse_from(text.split(' '));
        assert_eq!(line.case.words(), text.split(' ').skip(1).collect::<Vec<_>>());
        let both = "simulations --seed 7 --only 3 --without 4";
        assert!(Line::try_parse_from(both.split(' ')).is_err());
        assert!(Line::try_parse_from("simulations --seed 7 --only 4,3".split(' ')).is_err());
    }
}
