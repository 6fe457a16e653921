//! The house rules, checked on the text of the repository.
//!
//! What the compiler and clippy cannot see stands here: which module may use which, what the pure
//! files must not touch, how long a file may be, and that the documents name everything that the
//! code offers. Each rule is a function from text to a list of violations, with a test of its own
//! that plants one: a check that cannot fail checks nothing.
//!
//! It reads text, not syntax. That is enough to catch a slip, and it is no defence against someone
//! who wants to get around it.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::Source;

#[test]
fn modules_use_only_what_stands_to_their_left_in_the_layer_rule() {
    let layers = layers::Layers::read(&text("src/lib.rs"));
    report(sources(&["src"]).iter().flat_map(|source| layers.violations(source)));
}

#[test]
fn no_files_of_the_product_use_each_other_in_a_circle() {
    report(circles::Circles::read("src", &sources(&["src"])).violations());
}

#[test]
fn no_files_of_the_simulations_use_each_other_in_a_circle() {
    let root = "simulations/src";
    report(circles::Circles::read(root, &sources(&[root])).violations());
}

#[test]
fn every_module_has_its_place_in_the_layer_rule() {
    report(layers::Layers::read(&text("src/lib.rs")).unplaced(&text("src/lib.rs")));
}

#[test]
fn pure_files_neither_wait_nor_lock_nor_read_a_clock_nor_draw_entropy() {
    let sources = sources(&["src"]);
    for pattern in rules::PURE {
        assert!(
            sources.iter().any(|source| rules::matches(pattern, &source.path)),
            "{pattern} is gone: update rules.rs"
        );
    }
    report(sources.iter().flat_map(rules::impure));
}

#[test]
fn libraries_are_named_only_in_the_part_that_stands_for_them() {
    let sources = sources(&["src"]);
    for (library, _, part) in rules::KEPT {
        let named = |source: &Source| source.path.starts_with(part) && source.code.contains(library);
        assert!(sources.iter().any(named), "{part} does not name {library}: update rules.rs");
    }
    report(sources.iter().flat_map(rules::strays));
}

#[test]
fn what_a_members_death_means_for_its_claims_is_done_in_one_place() {
    let sources = sources(&["src"]);
    for (method, callers) in rules::CALLED_BY {
        for caller in *callers {
            let calls =
                |source: &Source| source.path == *caller && rules::calls(source, method).next().is_some();
            assert!(sources.iter().any(calls), "{caller} does not call {method}: update rules.rs");
        }
    }
    report(sources.iter().flat_map(rules::strange_calls));
}

#[test]
fn every_file_opens_with_what_it_is() {
    report(sources(EVERYWHERE).iter().filter_map(rules::no_header));
}

#[test]
fn files_and_functions_are_short_enough_to_read() {
    let sources = sources(EVERYWHERE);
    report(
        sources
            .iter()
            .flat_map(|source| rules::too_long(source).into_iter().chain(rules::long_functions(source))),
    );
    if let Some((lines, place)) = sources.iter().filter_map(rules::longest_function).max() {
        eprintln!("the longest function has {lines} lines: {place}");
    }
}

#[test]
fn no_file_is_called_mod_rs() {
    report(sources(EVERYWHERE).iter().filter_map(rules::mod_rs));
}

#[test]
fn nothing_is_left_undone_or_skipped() {
    report(sources(EVERYWHERE).iter().flat_map(rules::leftovers));
}

#[test]
fn the_product_says_nothing_but_by_its_output() {
    report(sources(&["src"]).iter().filter(|source| !source.is_test()).flat_map(rules::prints));
}

#[test]
fn names_of_tests_are_sentences() {
    report(sources(EVERYWHERE).iter().flat_map(rules::unsaying_names));
}

#[test]
fn operations_names_every_metric_and_every_flag_with_its_default() {
    let operations = text("docs/OPERATIONS.md");
    report(documents::missing_metrics(&text("src/metrics.rs"), &operations));
    report(documents::missing_flags(&text("src/config/raw.rs"), &operations));
}

#[test]
fn protocol_names_every_route_every_error_and_every_close_code() {
    let protocol = text("docs/PROTOCOL.md");
    report(documents::missing_routes(&text("src/gateway/openapi.json"), &protocol));
    report(documents::missing_errors(&text("src/gateway/schema/error.rs"), &protocol));
    report(documents::missing_close_codes(&text("src/session/close.rs"), &protocol));
}

#[test]
fn documents_name_no_file_that_is_gone() {
    let documents =
        ["README.md", "docs/ARCHITECTURE.md", "docs/OPERATIONS.md", "docs/PROTOCOL.md", "docs/TUTORIAL.md"];
    for document in documents {
        report(documents::missing_files(document, &text(document), |path| root().join(path).exists()));
    }
}

#[test]
fn architecture_has_every_module_on_its_map() {
    report(documents::missing_modules(&text("src/lib.rs"), &text("docs/ARCHITECTURE.md")));
}

#[test]
fn architecture_has_a_row_for_every_file_of_the_product() {
    report(documents::missing_rows(&sources(&["src"]), &text("docs/ARCHITECTURE.md")));
}

#[test]
fn architecture_names_a_test_that_there_is_for_every_invariant_or_says_that_there_is_none() {
    let sources = sources(EVERYWHERE);
    report(documents::missing_checks(&text("docs/ARCHITECTURE.md"), &documents::tests(&sources)));
}

/// Fails with all violations at once, because fixing them one run at a time is tiresome.
fn report(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<_> = violations.into_iter().collect();
    assert!(violations.is_empty(), "{} violations:\n  {}", violations.len(), violations.join("\n  "));
}

/// All Rust files below these folders, in a fixed order.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    assert!(!paths.is_empty(), "there is nothing to check below {folders:?}");
    paths
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(root()).expect("it was found below the root");
            Source::new(&relative.to_string_lossy().replace('\\', "/"), &read(&path))
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that lists can be read").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn text(path: &str) -> String {
    read(&root().join(path))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the rules for all Rust files apply.
const EVERYWHERE: &[&str] = &["src", "tests", "simulations"];
