//! Runs the program as people do: what was found stays found, and a seed repeats itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde::Deserialize;

#[test]
fn runs_that_once_failed_hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/regressions.toml");
    let seeds: Seeds = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(!seeds.run.is_empty(), "an empty list checks nothing");
    for Run { seed, seconds, story } in seeds.run {
        let output = run(&["--seed", &seed.to_string(), "--seconds", &seconds.to_string()]);
        assert!(output.status.success(), "{story}\n{}", text(&output));
    }
}

#[test]
fn one_seed_has_one_trace_in_two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let traces = ["first", "second"].map(|name| {
        let path = folder.path().join(name);
        let output = run(&["--seed", "5", "--seconds", "10", "--trace", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output));
        fs::read_to_string(path).unwrap()
    });
    let [first, second] = &traces;
    let differ = first.lines().zip(second.lines()).enumerate().find(|(_, (first, second))| first != second);
    assert_eq!(differ, None, "the first line that differs, with its number");
    assert_eq!(first.lines().count(), second.lines().count(), "one trace is longer");
    assert!(first.lines().count() > 1_000, "so short a trace shows nothing");
}

#[test]
fn another_seed_has_another_trace() {
    let last = |seed| {
        text(&run(&["--seed", seed, "--seconds", "10"])).split(" trace ").nth(1).unwrap()[..16].to_owned()
    };
    assert_ne!(last("5"), last("6"));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeds {
    run: Vec<Run>,
}

/// One run to be repeated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    seed: u64,
    seconds: u16,
    /// What it is about, in a line.
    story: String,
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulations"));
    command.arg("run").args(arguments).output().expect("the program was built with this test")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}
