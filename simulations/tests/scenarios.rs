//! The scenarios, as people run them.

use std::process::{Command, Output};

/// One test for each scenario, and one that says so.
macro_rules! scenarios {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            let output = run(&["scenario", $name]);
            assert!(output.status.success(), "{}", text(&output));
        })*

        #[test]
        fn every_scenario_has_a_test() {
            let listed = text(&run(&["scenario"]));
            let listed: Vec<_> = listed.lines().filter_map(|line| line.split(": ").next()).collect();
            assert_eq!(listed, [$($name),*]);
        }
    };
}

scenarios! {
    nothing_of_a_replaced_node_is_fetched_for_ever: "replaced-node";
}

#[test]
fn a_name_that_nobody_has_is_answered_with_those_that_there_are() {
    let output = run(&["scenario", "nonsense"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("replaced-node"), "{}", text(&output));
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulations"));
    command.args(arguments).output().expect("the program was built with this test")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}
