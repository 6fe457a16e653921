//! What the kernel says about this process: CPU time by thread, and memory.

use std::fs;
use std::time::Duration;

/// CPU time of the calling thread. The kernel brings it up to date at every tick, so it is good for
/// spans of many milliseconds; unlike a clock it does not count what other processes take.
///
/// # Panics
/// Without `/proc`.
pub(crate) fn thread_cpu() -> Duration {
    cpu_of("/proc/thread-self/schedstat")
}

/// CPU time so far of the threads of this process that have this name. What an ended thread used is
/// forgotten.
///
/// # Panics
/// Without `/proc`.
pub(crate) fn cpu_of_threads(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect(PROC).flatten();
    let named = tasks.filter(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|found| found.trim_end() == name)
    });
    named.map(|task| cpu_of(&task.path().join("schedstat").to_string_lossy())).sum()
}

/// Bytes of this process that are in memory.
///
/// # Panics
/// Without `/proc`.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect(PROC);
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect(PROC);
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect(PROC) * 1_024
}

fn cpu_of(path: &str) -> Duration {
    // A thread that has just ended has used nothing that matters.
    let text = fs::read_to_string(path).unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

const PROC: &str = "the benches run on Linux";
