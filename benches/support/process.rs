//! A process that a bench starts, reads from and kills, and what the kernel says about it.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::server::Failure;

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it. Its standard output is read by [`line`](Self::line).
    ///
    /// # Errors
    /// There is no such program.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().ok_or("a child without stdout")?).lines();
        Ok(Self { child, stdout })
    }

    /// Blocks until it says the next line.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        Ok(self.stdout.next().ok_or("a process ended that a bench needs")??)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, without a word to anybody, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill(); // Fails on a process that has ended, which is what is wanted.
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU time that a process used so far, user and system, in microseconds.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub(crate) fn cpu_us(pid: u32) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("an odd /proc/PID/stat")?.1;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks * 10_000) // Linux counts in hundredths of a second on every machine we know.
}
