//! Where and with what the figures were measured.

use std::fmt;
use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::nats::Nats;
use crate::options::Options;
use crate::redis::Redis;

/// The machine, the programs, and the command.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    date: String,
    command: String,
    commit: String,
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    redis: String,
    nats: String,
    /// Threads of each server.
    threads: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here(options: &Options) -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let line = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split(':').nth(1)).unwrap_or_default().trim().to_owned()
        };
        let memory_kib = line(&file("/proc/meminfo"), "MemTotal");
        let memory_kib: u64 =
            memory_kib.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
        let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
        Self {
            date: output("date", &["-u", "+%F %H:%M UTC"]),
            command: format!("cargo bench --bench cluster -- {}", args.join(" "))
                .trim_end_matches([' ', '-'])
                .to_owned(),
            commit: output("git", &["describe", "--always", "--dirty"]),
            processor: line(&file("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_kib >> 20,
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            redis: Redis::version().unwrap_or_else(|| "none".to_owned()),
            nats: Nats::version().unwrap_or_else(|| "none".to_owned()),
            threads: options.threads.map_or_else(
                || "as many threads as it takes by itself".to_owned(),
                |threads| format!("{threads} {}", if threads == 1 { "thread" } else { "threads" }),
            ),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, command, commit, processor, cores, memory_gib, kernel, redis, nats, threads } = self;
        writeln!(f, "{command}")?;
        writeln!(
            f,
            "{date}, commit {commit}, Redis {redis}, NATS {nats}; each server has {threads}, Redis one"
        )?;
        writeln!(f, "{cores} cores of {processor}, {memory_gib} GiB, Linux {kernel}")
    }
}

/// What a program says, or nothing.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
