//! The stored inputs of the fuzz targets: whatever outsiders send is an answer or an error, never a panic.
//!
//! `fuzz/corpus/TARGET/` holds inputs that reach different code each; fuzzers begin with them, and each
//! that has made a decoder fail is kept there. docs/SIMULATION.md says how new ones are found.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use pushmesh::internals::FUZZ_TARGETS;

#[test]
fn no_stored_input_makes_a_decoder_fail() {
    for (name, target) in FUZZ_TARGETS {
        let inputs = files(&folder().join("corpus").join(name));
        assert!(inputs.len() >= INPUTS_MIN, "{name} has {} stored inputs", inputs.len());
        for input in inputs {
            let data = fs::read(&input).expect("an input can be read");
            assert!(catch_unwind(|| target(&data)).is_ok(), "{name} fails with {}", input.display());
        }
    }
}

#[test]
fn every_fuzz_function_has_a_target_and_inputs_and_nothing_else_has() {
    let functions: BTreeSet<_> = FUZZ_TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stem = |path: &PathBuf| path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let stems = |folder: &str| files(&self::folder().join(folder)).iter().map(stem).collect::<BTreeSet<_>>();
    assert_eq!(stems("fuzz_targets"), functions);
    assert_eq!(stems("corpus"), functions);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("the targets have a manifest");
    for name in functions {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
        let target = folder().join("fuzz_targets").join(format!("{name}.rs"));
        let target = fs::read_to_string(target).expect("the target is there");
        assert!(target.contains(&format!("fuzz(\"{name}\", data)")), "{name} calls another function");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// What is in a folder, in a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    files.sort();
    files
}

/// A target with fewer inputs begins with nothing.
const INPUTS_MIN: usize = 5;
