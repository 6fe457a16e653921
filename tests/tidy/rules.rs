//! Rules about one file at a time.

use crate::source::{Source, body_or_end, closing, words};

/// Files that must be pure. A name that ends with a slash stands for a whole folder.
pub(crate) const PURE: &[&str] = &[
    "src/token/key.rs",
    "src/token/key_set.rs",
    "src/token/key_set/",
    "src/token/read.rs",
    "src/token/rules.rs",
    "src/section.rs",
    "src/section/",
    "src/directory.rs",
    "src/directory/",
    "src/membership/overlay.rs",
    "src/membership/overlay/",
    "src/membership/member.rs",
    "src/membership/effect.rs",
    "src/mesh/contest.rs",
    "src/mesh/dials.rs",
    "src/mesh/meeting.rs",
    "src/mesh/probing.rs",
    "src/replication/comparing.rs",
    "src/replication/serving.rs",
    "src/replication/taking.rs",
    "src/replication/waiting.rs",
    "src/ownership.rs",
    "src/ownership/",
    "src/quorum.rs",
    "src/quorum/",
    "src/session/outbox.rs",
    "src/session/heartbeat.rs",
    "src/session/close.rs",
    "src/gateway/login_keys/schedule.rs",
    "src/router/route.rs",
    "src/node/awake.rs",
    "src/node/readiness.rs",
    "src/node/returned.rs",
    "src/node/round.rs",
];

/// Words that a pure file has no use for.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "Mutex",
    "RwLock",
    "tokio",
    "Instant",
    "SystemTime",
    "rand",
    "spawn",
    "thread",
    "Atomic",
];

/// Whether a pattern of [`PURE`] means this path.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    if pattern.ends_with('/') { path.starts_with(pattern) } else { path == pattern }
}

/// What a pure file does that it must not.
pub(crate) fn impure(source: &Source) -> Vec<String> {
    if source.is_test() || !PURE.iter().any(|pattern| matches(pattern, &source.path)) {
        return Vec::new();
    }
    // `spawn` stands for `spawn_blocking` too, and `Atomic` for all atomics.
    let impure = |word: &str| IMPURE.iter().any(|prefix| word == *prefix || is_kind_of(word, prefix));
    let found = words(&source.product).filter(|(_, word)| impure(word));
    found.map(|(at, word)| format!("{}: `{word}` in a pure file", source.place(at))).collect()
}

fn is_kind_of(word: &str, prefix: &str) -> bool {
    match prefix {
        "spawn" => word.starts_with("spawn_"),
        "Atomic" => word.starts_with("Atomic"),
        _ => false,
    }
}

/// A library that only one part of a folder knows: its name, the folder, and how the paths of that part begin. What
/// the library is for has a name of our own everywhere else.
pub(crate) const KEPT: &[(&str, &str, &str)] =
    &[("tungstenite", "src/gateway", "src/gateway/clients/transport/ws")];

/// Names of libraries outside of the part that stands for them. Tests are no exception.
pub(crate) fn strays(source: &Source) -> Vec<String> {
    let mut strays = Vec::new();
    for (library, folder, part) in KEPT {
        let is_below = |folder: &str| source.path.starts_with(&format!("{folder}/"));
        let is_part = is_below(part) || source.path == format!("{part}.rs");
        if is_part || !(is_below(folder) || source.path == format!("{folder}.rs")) {
            continue;
        }
        let named = words(&source.code).filter(|(_, word)| word.contains(library));
        strays.extend(
            named.map(|(at, word)| format!("{}: `{word}` is named below {part} only", source.place(at))),
        );
    }
    strays
}

/// Methods that only these files call: what the death and the return of a member mean for its claims is decided once, and
/// is done from nowhere else.
pub(crate) const CALLED_BY: &[(&str, &[&str])] = &[
    ("set_hidden", &["src/replica.rs", "src/node/returned.rs"]),
    ("discard", &["src/replica.rs", "src/node/returned.rs"]),
    ("prove", &["src/replica.rs", "src/node/liveness.rs", "src/replication/taking.rs"]),
];

/// Where a file calls a method, tests not counted.
pub(crate) fn calls<'a>(source: &'a Source, method: &'a str) -> impl Iterator<Item = usize> + 'a {
    let product = if source.is_test() { "" } else { source.product.as_str() };
    words(product)
        .filter(move |(at, word)| *word == method && product[..*at].ends_with('.'))
        .map(|(at, _)| at)
}

/// Calls of a method of [`CALLED_BY`] from another file.
pub(crate) fn strange_calls(source: &Source) -> Vec<String> {
    let others = CALLED_BY.iter().filter(|(_, callers)| !callers.contains(&source.path.as_str()));
    others
        .flat_map(|(method, callers)| calls(source, method).map(move |at| (at, method, callers)))
        .map(|(at, method, callers)| {
            format!("{}: `{method}` is called by {} only", source.place(at), callers.join(", "))
        })
        .collect()
}

/// A file that does not say what it is.
pub(crate) fn no_header(source: &Source) -> Option<String> {
    (!source.text.starts_with("//! ")).then(|| format!("{} does not open with a `//!` line", source.path))
}

/// A file with too many lines, its tests not counted.
pub(crate) fn too_long(source: &Source) -> Option<String> {
    let lines = source.product_lines();
    (lines > FILE_LINES_MAX)
        .then(|| format!("{} has {lines} lines, at most {FILE_LINES_MAX} are allowed", source.path))
}

/// Functions with too many lines.
pub(crate) fn long_functions(source: &Source) -> Vec<String> {
    functions(source)
        .filter(|(lines, _)| *lines > FUNCTION_LINES_MAX)
        .map(|(lines, place)| format!("{place} has {lines} lines, at most {FUNCTION_LINES_MAX} are allowed"))
        .collect()
}

/// Length and place of the longest function.
pub(crate) fn longest_function(source: &Source) -> Option<(usize, String)> {
    functions(source).max()
}

/// Length and place of every function with a body.
fn functions(source: &Source) -> impl Iterator<Item = (usize, String)> {
    let code = &source.code;
    words(code).filter(|(_, word)| *word == "fn").filter_map(move |(at, _)| {
        let open = body_or_end(code, at);
        if !code[open..].starts_with('{') {
            return None; // A declaration, or a type.
        }
        let lines = code[at..closing(code, open)].lines().count();
        let name = words(&code[at + 2..open]).next().map_or("a function", |(_, name)| name);
        Some((lines, format!("{} `{name}`", source.place(at))))
    })
}

/// The file name that hides which module it is.
pub(crate) fn mod_rs(source: &Source) -> Option<String> {
    source
        .path
        .ends_with("/mod.rs")
        .then(|| format!("{}: name it after its module, foo.rs beside foo/", source.path))
}

/// Work that was put off, and tests that do not run.
pub(crate) fn leftovers(source: &Source) -> Vec<String> {
    let macros = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    let found = macros.iter().flat_map(|what| source.code.match_indices(*what));
    found.map(|(at, what)| format!("{}: {what}", source.place(at))).collect()
}

/// Printing, which waits for whoever does not read it, and panics where it fails.
pub(crate) fn prints(source: &Source) -> Vec<String> {
    let macros = ["print", "println", "eprint", "eprintln"];
    let found = words(&source.product)
        .filter(|(at, word)| macros.contains(word) && source.product[at + word.len()..].starts_with('!'));
    found.map(|(at, word)| format!("{}: {word}!", source.place(at))).collect()
}

/// Functions whose name starts like that of a test that says nothing.
pub(crate) fn unsaying_names(source: &Source) -> Vec<String> {
    let all: Vec<_> = words(&source.code).collect();
    let named = all.windows(2).filter(|pair| pair[0].1 == "fn" && pair[1].1.starts_with("test_"));
    named.map(|pair| format!("{}: say what `{}` shows", source.place(pair[1].0), pair[1].1)).collect()
}

/// Lines of a file without its tests. Source: the house style, whose aim is 150 to 300.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function. Source: the house style aims at 70; a table or a long list may need more.
const FUNCTION_LINES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path, text)
    }

    #[test]
    fn each_impure_word_is_found_in_a_pure_file_only() {
        for text in [
            "async fn f() {}",
            "fn f() { g().await }",
            "use std::sync::Mutex;",
            "let lock: RwLock<u8>;",
            "use tokio::time;",
            "let now = Instant::now();",
            "SystemTime::now();",
            "use rand::Rng;",
            "spawn_blocking(f);",
            "AtomicU64::new(0);",
        ] {
            assert_eq!(impure(&source("src/directory/view.rs", text)).len(), 1, "{text}");
            assert_eq!(impure(&source("src/replica.rs", text)).len(), 0, "{text}");
        }
        let allowed =
            "/// No await here.\nfn operand(spawned: bool) {}\n#[cfg(test)]\nmod tests { use tokio::test; }";
        assert_eq!(impure(&source("src/node/readiness.rs", allowed)).len(), 0);
        assert_eq!(impure(&source("src/directory/tests.rs", "use tokio::test;")).len(), 0);
    }

    #[test]
    fn a_library_outside_of_its_part_is_found_in_tests_too() {
        let text = "use tokio_tungstenite::X;\n#[cfg(test)]\nmod tests { use tungstenite::Y; }";
        for outside in
            ["src/gateway.rs", "src/gateway/clients/connection.rs", "src/gateway/clients/transport/wsx.rs"]
        {
            assert_eq!(strays(&source(outside, text)).len(), 2, "{outside}");
        }
        for inside in [
            "src/gateway/clients/transport/ws.rs",
            "src/gateway/clients/transport/ws/a.rs",
            "src/cli/listen.rs",
        ] {
            assert!(strays(&source(inside, text)).is_empty(), "{inside}");
        }
        assert!(strays(&source("src/gateway/a.rs", "/// See tungstenite.\nfn f() {}")).is_empty());
    }

    #[test]
    fn a_call_from_another_file_is_found() {
        let text = "fn f(a: A) { a.discard(1); a\n.discard(2); discard(3) }\n#[cfg(test)]\nmod tests { fn g() { a.discard(4) } }";
        let found = strange_calls(&source("src/router.rs", text));
        let files = "`discard` is called by src/replica.rs, src/node/returned.rs only";
        assert_eq!(found, [1, 2].map(|line| format!("src/router.rs:{line}: {files}")));
        assert!(strange_calls(&source("src/node/returned.rs", text)).is_empty());
        assert!(strange_calls(&source("src/node/tests.rs", text)).is_empty());
    }

    #[test]
    fn a_missing_header_is_found() {
        assert!(no_header(&source("src/a.rs", "// what\nfn f() {}")).is_some());
        assert!(no_header(&source("src/a.rs", "\n//! Late.")).is_some());
        assert!(no_header(&source("src/a.rs", "//! What it is.")).is_none());
    }

    #[test]
    fn a_file_is_measured_without_its_tests() {
        let long = "fn f() {}\n".repeat(FILE_LINES_MAX);
        assert!(too_long(&source("src/a.rs", &long)).is_none());
        let tested = format!("{long}#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert!(too_long(&source("src/a.rs", &tested)).is_none());
        assert!(too_long(&source("src/a.rs", &format!("{long}fn g() {{}}\n"))).is_some());
    }

    #[test]
    fn a_function_is_measured_to_its_last_brace() {
        let body = |lines: usize| {
            format!("fn f(a: [u8; 2]) -> (u8, u8) {{\n{}}}\nfn g();\n", "    x;\n".repeat(lines))
        };
        assert!(long_functions(&source("src/a.rs", &body(FUNCTION_LINES_MAX - 2))).is_empty());
        let found = long_functions(&source("src/a.rs", &body(FUNCTION_LINES_MAX - 1)));
        assert_eq!(found, ["src/a.rs:1 `f` has 101 lines, at most 100 are allowed"]);
    }

    #[test]
    fn a_mod_rs_is_found() {
        assert!(mod_rs(&source("src/a/mod.rs", "")).is_some());
        assert!(mod_rs(&source("src/a.rs", "")).is_none());
    }

    #[test]
    fn what_was_put_off_is_found_in_tests_too() {
        let text =
            "fn f() { todo!() }\n#[cfg(test)]\nmod tests {\n#[test]\n#[ignore]\nfn g() { dbg!(1); }\n}";
        assert_eq!(leftovers(&source("src/a.rs", text)).len(), 3);
        assert_eq!(leftovers(&source("src/a.rs", "// todo! in a comment\nlet a = \"dbg!\";")).len(), 0);
    }

    #[test]
    fn printing_is_found_in_product_code_only() {
        let text = "/// println!\nfn f() { eprintln!(\"print!\"); print!(); println }\n#[cfg(test)]\nmod tests { fn g() { println!() } }";
        assert_eq!(prints(&source("src/a.rs", text)), ["src/a.rs:2: eprintln!", "src/a.rs:2: print!"]);
    }

    #[test]
    fn a_test_prefix_is_found() {
        assert_eq!(unsaying_names(&source("src/a.rs", "#[test]\nfn test_it() {}")).len(), 1);
        assert_eq!(unsaying_names(&source("src/a.rs", "#[test]\nfn it_is_tested() {}")).len(), 0);
    }
}
