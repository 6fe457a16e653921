//! What the process takes from its machine, and which build it is, under the names that all exporters use.
//!
//! Read when somebody asks, from `/proc`; on other systems than Linux nothing is. Source: Prometheus, "Writing client libraries",
//! process metrics.

use std::fmt::Write;

/// The build, in the text format of Prometheus.
pub(super) fn build() -> String {
    let mut text = String::new();
    let build = format!("pushmesh_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    sample(
        &mut text,
        "pushmesh_build_info",
        "gauge",
        "1; the version of this build is its label.",
        &build,
        1.0,
    );
    text
}

/// What the process takes from its machine, in the same format.
pub(super) fn usage() -> String {
    let mut text = String::new();
    #[cfg(target_os = "linux")]
    for (name, kind, help, value) in linux::read().into_iter().flatten() {
        sample(&mut text, name, kind, help, name, value);
    }
    text
}

fn sample(text: &mut String, name: &str, kind: &str, help: &str, sample: &str, value: f64) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{sample} {value}\n\n"); // A text takes everything.
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::process::{Resource, getrlimit};

    /// Name, kind, help and value.
    type Sample = (&'static str, &'static str, &'static str, f64);

    /// What can be read.
    pub(super) fn read() -> [Option<Sample>; 7] {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let field = |number| stat.as_deref().and_then(|stat| field(stat, number));
        let seconds = |ticks: f64| ticks / clock_ticks_per_second() as f64;
        let bytes = |index: usize| {
            let count = pages.as_deref()?.split_ascii_whitespace().nth(index)?.parse::<f64>().ok()?;
            Some(count * page_size() as f64)
        };
        let cpu = field(UTIME).zip(field(STIME)).map(|(user, system)| seconds(user + system));
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        let max = getrlimit(Resource::Nofile).current.map(|max| max as f64);
        let start = booted().zip(field(STARTTIME)).map(|(booted, since)| booted + seconds(since));
        let samples = [
            ("process_cpu_seconds_total", "counter", "User and system CPU time of the process.", cpu),
            ("process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM.", bytes(1)),
            ("process_virtual_memory_bytes", "gauge", "Memory that the process has mapped.", bytes(0)),
            ("process_open_fds", "gauge", "Files and sockets that the process has open.", open),
            ("process_max_fds", "gauge", "Files and sockets that the process may open.", max),
            ("process_threads", "gauge", "Threads of the process.", field(THREADS)),
            ("process_start_time_seconds", "gauge", "When the process was started, in Unix seconds.", start),
        ];
        samples.map(|(name, kind, help, value)| value.map(|value| (name, kind, help, value)))
    }

    /// A number of `/proc/self/stat`, which counts its fields from 1. The second one is the name of the program, which may hold anything.
    pub(super) fn field(stat: &str, number: usize) -> Option<f64> {
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_ascii_whitespace().nth(number.checked_sub(AFTER_NAME)?)?.parse().ok()
    }

    /// When the machine was started, in Unix seconds.
    fn booted() -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    }

    /// Fields of `/proc/self/stat`. Source: proc_pid_stat(5).
    const AFTER_NAME: usize = 3;
    const UTIME: usize = 14;
    const STIME: usize = 15;
    const THREADS: usize = 20;
    const STARTTIME: usize = 22;
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is in {text}")).parse().unwrap()
    }

    #[test]
    fn what_the_process_takes_is_shown_in_the_usual_units() {
        let text = usage();
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
        let resident = value(&text, "process_resident_memory_bytes");
        assert!(resident > 1e6 && resident < value(&text, "process_virtual_memory_bytes"), "{resident}");
        assert!(value(&text, "process_open_fds") >= 3.0);
        assert!(value(&text, "process_open_fds") < value(&text, "process_max_fds"));
        assert!(value(&text, "process_threads") >= 2.0, "the test has a thread beside the main one");
        let cpu = value(&text, "process_cpu_seconds_total");
        assert!((0.0..1e6).contains(&cpu), "{cpu}");
        // Far from the epoch, and not in the future by more than clocks are apart.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let start = value(&text, "process_start_time_seconds");
        assert!(start > now - 86_400.0 && start < now + 5.0, "{start} {now}");
    }

    #[test]
    fn a_program_whose_name_has_spaces_and_parentheses_is_read() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 111 222 13 14 15 16 17 18 1900";
        assert_eq!(linux::field(stat, 14), Some(111.0));
        assert_eq!(linux::field(stat, 20), Some(17.0));
        assert_eq!((linux::field(stat, 2), linux::field("none", 14)), (None, None));
    }
}
