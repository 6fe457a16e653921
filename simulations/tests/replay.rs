//! Runs the program as people do: what was found stays found, and a seed repeats itself.

use std::process::{Command, Output};

#[test]
fn runs_that_once_failed_hold() {
    let output = simulations(&["replay"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn one_seed_has_one_trace_in_two_processes() {
    let output = simulations(&["compare", "--seed", "5", "--seconds", "10"]);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    let lines = said.split_once(" lines").and_then(|(said, _)| said.rsplit(' ').next());
    let lines: u64 = lines.and_then(|lines| lines.parse().ok()).expect(&said);
    assert!(lines > 1_000, "so short a trace shows nothing: {said}");
}

#[test]
fn another_seed_or_another_plan_has_another_trace() {
    let hash = |seed, more: &[&str]| {
        let output = simulations(&[&["run", "--seed", seed, "--seconds", "10"], more].concat());
        text(&output).split(" trace ").nth(1).unwrap()[..16].to_owned()
    };
    let first = hash("5", &[]);
    assert_ne!(first, hash("6", &[]));
    assert_ne!(first, hash("5", &["--without", "20-30"]));
    assert_eq!(first, hash("5", &["--only", "1-100000"]));
}

fn simulations(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulations"));
    command.args(arguments).output().expect("the program was built with this test")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}
