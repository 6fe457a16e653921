//! Rules that hold the documents against the code: what the code offers has to be described.

use std::collections::BTreeSet;

use crate::layers;
use crate::source::{Source, closing, is_word, words};

/// Metrics without a word in the document.
pub(crate) fn missing_metrics(metrics: &str, document: &str) -> Vec<String> {
    let source = Source::new("src/metrics.rs", metrics);
    let names = literals(metrics, &source.product).filter(|name| name.starts_with("pushmesh_"));
    missing("metric", names.map(str::to_owned), document)
}

/// Flags without a row in the document, or with a row that has not their default.
pub(crate) fn missing_flags(raw: &str, document: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (flag, default) in flags(raw) {
        let cell = format!("| `--{flag}`");
        match (document.lines().find(|line| line.starts_with(&cell)), default) {
            (None, _) => problems.push(format!("the flag --{flag} has no row")),
            (Some(row), Some(default))
                if !row.split('|').any(|cell| cell.trim().trim_matches('`') == default) =>
            {
                problems.push(format!("the row of --{flag} has no cell with its default, {default}"));
            }
            _ => {}
        }
    }
    problems
}

/// Routes of the OpenAPI document that are not described.
pub(crate) fn missing_routes(openapi: &str, document: &str) -> Vec<String> {
    missing("route", routes(openapi).into_iter(), document)
}

/// Error codes that are not described.
pub(crate) fn missing_errors(errors: &str, document: &str) -> Vec<String> {
    let source = Source::new("src/gateway/schema/error.rs", errors);
    let list = source.product.find("codes! {\n").unwrap_or(source.product.len());
    let codes = literals(&errors[list..], &source.product[list..]);
    missing("error code", codes.map(|code| format!("`{code}`")), document)
}

/// Close codes that are not described.
pub(crate) fn missing_close_codes(close: &str, document: &str) -> Vec<String> {
    let source = Source::new("src/session/close.rs", close);
    let numbers = words(&source.product).filter_map(|(_, word)| word.replace('_', "").parse::<u16>().ok());
    let codes = numbers.filter(|number| (1_000..5_000).contains(number));
    missing("close code", codes.map(|code| format!("| {code} |")), document)
}

/// Paths below `src/`, `tests/`, `docs/` or `simulations/` that a document names and that are not there.
pub(crate) fn missing_files(name: &str, document: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folders = ["src/", "tests/", "docs/", "simulations/"];
    let spans = document.split('`').skip(1).step_by(2);
    let paths = spans.filter(|span| folders.iter().any(|folder| span.starts_with(folder)));
    let plain = |path: &&str| !path.contains(|c: char| c.is_whitespace() || "*{…".contains(c));
    paths
        .filter(plain)
        .filter(|path| !exists(path))
        .map(|path| format!("{name} names {path}, which is gone"))
        .collect()
}

/// Modules of the crate that the map does not show.
pub(crate) fn missing_modules(lib: &str, document: &str) -> Vec<String> {
    let modules = layers::modules(&Source::new("src/lib.rs", lib).product);
    let shown = |module: &String| {
        ["`src/", "`"].iter().any(|before| {
            [".rs`", "/`"].iter().any(|after| document.contains(&format!("{before}{module}{after}")))
        })
    };
    modules
        .into_iter()
        .filter(|module| !shown(module))
        .map(|module| format!("the module {module} is not shown"))
        .collect()
}

/// Files of the product that have no row of their own on the map. Several files of tests may share one.
pub(crate) fn missing_rows(sources: &[Source], document: &str) -> Vec<String> {
    let files = sources.iter().filter(|source| !source.is_test()).map(|source| &source.path);
    let shown = |file: &&String| document.lines().any(|line| line.starts_with(&format!("| `{file}` | ")));
    files.filter(|file| !shown(file)).map(|file| format!("{file} has no row")).collect()
}

/// Invariants that name no check, or one that is not among `tests`. A check is a test, a file of the simulations that
/// holds [checks](CHECKS) and that [`missing_files`] looks for, or a lint of clippy. An invariant that has none says so.
pub(crate) fn missing_checks(document: &str, tests: &BTreeSet<&str>) -> Vec<String> {
    let invariants: Vec<_> = document.split("\n- **Invariant:**").skip(1).map(item).collect();
    assert!(!invariants.is_empty(), "no invariant was found: they look different from what this rule reads");
    let mut problems = Vec::new();
    for invariant in invariants {
        let start: String = invariant.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
        let Some((_, checks)) = invariant.split_once("*Checked by") else {
            if !invariant.contains("*Not checked.*") {
                problems.push(format!("the invariant \"{start} …\" does not say what checks it"));
            }
            continue;
        };
        let named: Vec<_> = checks.split('`').skip(1).step_by(2).collect();
        if named.is_empty() || checks.matches('`').count() % 2 != 0 {
            problems.push(format!("the invariant \"{start} …\" names no check"));
        }
        let other = |name: &&&str| CHECKS.iter().chain(&["clippy::"]).any(|start| name.starts_with(start));
        let gone = named.iter().filter(|name| !other(name) && !tests.contains(**name));
        problems
            .extend(gone.map(|name| format!("the invariant \"{start} …\" names {name}, which is no test")));
    }
    problems
}

/// How the paths of those files of the simulations begin that check something. What only drives the product checks nothing.
const CHECKS: &[&str] =
    &["simulations/src/checkers/", "simulations/src/scenario/", "simulations/src/model/checks"];

/// The names of all functions that only tests are compiled with.
pub(crate) fn tests(sources: &[Source]) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    for source in sources {
        let all: Vec<_> = words(&source.code).collect();
        let functions = all.windows(2).filter(|pair| pair[0].1 == "fn").map(|pair| pair[1]);
        // What is blank in the product and there in the code is behind `#[cfg(test)]`.
        let of_tests = |at: usize| source.is_test() || source.product[at..].starts_with(char::is_whitespace);
        tests.extend(functions.filter(|(at, _)| of_tests(*at)).map(|(_, name)| name));
    }
    tests
}

/// The text of a list item, from behind its beginning to the next item, an empty line, a table or a heading.
fn item(text: &str) -> String {
    let ends = |line: &&str| line.trim().is_empty() || line.starts_with(['-', '|', '#']);
    text.lines().take_while(|line| !ends(line)).collect::<Vec<_>>().join("\n")
}

fn missing(what: &str, names: impl Iterator<Item = String>, document: &str) -> Vec<String> {
    let names: Vec<_> = names.collect();
    assert!(!names.is_empty(), "no {what} was found: the code looks different from what this rule reads");
    let whole = |name: &str| {
        document.match_indices(name).any(|(at, _)| {
            // A longer name that starts the same does not count.
            document[at + name.len()..].bytes().next().is_none_or(|next| !is_word(next) && next != b'/')
        })
    };
    names
        .iter()
        .filter(|name| !whole(name))
        .map(|name| format!("the {what} {name} is not described"))
        .collect()
}

/// The string literals of the product code.
fn literals<'a>(text: &'a str, product: &'a str) -> impl Iterator<Item = &'a str> {
    // A literal is what is there in the text and blank in the code; comments and tests are blank too,
    // so that only what stands on a line with code counts.
    let lines = text.lines().zip(product.lines()).filter(|(_, code)| !code.trim().is_empty());
    lines.flat_map(|(line, _)| line.split('"').skip(1).step_by(2))
}

/// The flags of the struct that is the command line, with the default that their help text names.
fn flags(raw: &str) -> Vec<(String, Option<String>)> {
    let start = raw.find("pub struct RawConfig").expect("raw.rs has the struct of all flags");
    let mut flags = Vec::new();
    let mut default = None;
    for line in raw[start..].lines().skip(1).take_while(|line| *line != "}").map(str::trim) {
        if let Some((_, rest)) = line.split_once("[default: ").filter(|_| line.starts_with("///")) {
            default = rest.split_once(']').map(|(default, _)| default.to_owned());
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            flags.push((field.replace('_', "-"), default.take()));
        }
    }
    assert!(!flags.is_empty(), "no flag was found: the struct looks different from what this rule reads");
    flags
}

/// `GET /path` for every operation below `paths`.
fn routes(openapi: &str) -> Vec<String> {
    let mut routes = Vec::new();
    for (at, _) in openapi.match_indices("\"/") {
        let Some((path, rest)) = openapi[at + 1..].split_once('"') else { continue };
        let Some(rest) = rest.trim_start().strip_prefix(':') else { continue };
        let open = openapi.len() - rest.trim_start().len();
        // Brackets inside of texts come in pairs here, as in any sentence.
        let item = &openapi[open..closing(openapi, open)];
        for method in ["get", "post", "put", "delete"] {
            if item.contains(&format!("\"{method}\":")) || item.contains(&format!("\"{method}\" :")) {
                routes.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_is_not_described_is_found() {
        let metrics = "metrics! { a: counter(\"pushmesh_a_total\"), \"Help.\"; b: gauge(\"pushmesh_b\"), \"Help.\"; }\n\
                       #[cfg(test)]\nmod tests { fn t() { x(\"pushmesh_c\"); } }";
        assert_eq!(missing_metrics(metrics, "| `pushmesh_a_total` | `pushmesh_b_total` |").len(), 1);
        assert!(missing_metrics(metrics, "`pushmesh_a_total` `pushmesh_b`").is_empty());
    }

    #[test]
    fn a_flag_without_a_row_or_with_another_default_is_found() {
        let raw = "pub struct RawConfig {\n    /// How long [default: 2s]\n    #[arg(long)]\n    pub push_timeout: Option<Duration>,\n\
                   \x20   /// Who\n    pub name: Option<String>,\n}\npub other: u8,";
        assert_eq!(missing_flags(raw, "| `--push-timeout` | `2s` |\n| `--name` | |"), Vec::<String>::new());
        assert_eq!(missing_flags(raw, "| `--push-timeout` | `3s` |\n| `--name` | |").len(), 1);
        assert_eq!(missing_flags(raw, "| `--push-timeout` | `2s` |\nthe flag --name").len(), 1);
    }

    #[test]
    fn a_route_that_is_not_described_is_found() {
        let openapi = r##"{"paths":{"/v1/a":{"get":{"summary":"x"},"delete":{}},"/v1/a/{b}/c":{"post":{}}},
                           "components":{"x":{"$ref":"#/components/y"}}}"##;
        let described = "`GET /v1/a` `DELETE /v1/a` `POST /v1/a/{b}/c`";
        assert!(missing_routes(openapi, described).is_empty());
        assert_eq!(missing_routes(openapi, "`GET /v1/a` `POST /v1/a/{b}/c`").len(), 1);
        assert_eq!(missing_routes(openapi, "`GET /v1/a/` `DELETE /v1/a` `POST /v1/a/{b}/c`").len(), 1);
    }

    #[test]
    fn an_error_code_that_is_not_described_is_found() {
        let errors = "let other = \"x\";\ncodes! {\n    /// Bad.\n    Bad = \"bad_request\",\n    Gone = \"not_found\",\n}";
        assert!(missing_errors(errors, "`bad_request` `not_found`").is_empty());
        assert_eq!(missing_errors(errors, "`bad_request`").len(), 1);
    }

    #[test]
    fn a_close_code_that_is_not_described_is_found() {
        let close = "fn code() -> u16 { match x { A => 1000, B => 4_001 } }\nconst MAX: u64 = 123;";
        assert!(missing_close_codes(close, "| 1000 | bye |\n| 4001 | x |").is_empty());
        assert_eq!(missing_close_codes(close, "| 1000 | 4001 times |").len(), 1);
    }

    #[test]
    fn a_file_that_is_gone_is_found() {
        let document = "see `src/a.rs` and `src/b.rs`, `src/*.rs`, `docs/c d`";
        assert_eq!(
            missing_files("x", document, |path| path == "src/a.rs"),
            ["x names src/b.rs, which is gone"]
        );
    }

    #[test]
    fn a_module_that_is_not_on_the_map_is_found() {
        let lib = "pub mod id;\nmod mesh;\n";
        assert!(missing_modules(lib, "`src/id.rs` `mesh/`").is_empty());
        assert_eq!(missing_modules(lib, "`src/id.rs`"), ["the module mesh is not shown"]);
    }

    #[test]
    fn a_file_without_a_row_of_its_own_is_found() {
        let sources = ["src/a.rs", "src/a/b.rs", "src/a/tests.rs"].map(|path| Source::new(path, ""));
        assert!(missing_rows(&sources, "| `src/a.rs` | a |\n| `src/a/b.rs` | b |\n").is_empty());
        for document in
            ["| `src/a.rs` | see `src/a/b.rs` |", "| `src/a.rs` | a |\n| `src/c.rs`, `src/a/b.rs` | b |"]
        {
            assert_eq!(missing_rows(&sources, document), ["src/a/b.rs has no row"], "{document}");
        }
    }

    #[test]
    fn an_invariant_without_a_check_or_with_a_test_that_is_gone_is_found() {
        let sources = [
            Source::new(
                "src/a.rs",
                "fn product() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn unit() {}\n}\n",
            ),
            Source::new("tests/cluster/b.rs", "#[tokio::test]\nasync fn whole() {}\n"),
        ];
        let tests = tests(&sources);
        let problems =
            |text: &str| missing_checks(&format!("# A\n\n- **Invariant:** {text}\n"), &tests).len();
        assert_eq!(
            problems(
                "`A` holds. *Checked by*\n  `unit`, `whole`, and `simulations/src/checkers/c.rs`.\n\n`gone`"
            ),
            0
        );
        assert_eq!(problems("it holds. *Checked by* `clippy::lint`."), 0);
        assert_eq!(problems("it holds. *Not checked.*"), 0);
        assert_eq!(problems("it holds. *Checked by* `unit`, `gone`."), 1, "a test that is gone");
        for check in ["simulations/src/scenario/a.rs", "simulations/src/model/checks/a.rs"] {
            assert_eq!(problems(&format!("it holds. *Checked by* `{check}`.")), 0, "{check}");
        }
        for other in ["simulations/src/model/sessions.rs", "simulations/src/host.rs", "src/a.rs"] {
            assert_eq!(problems(&format!("it holds. *Checked by* `{other}`.")), 1, "{other} checks nothing");
        }
        assert_eq!(problems("it holds. *Checked by* `product`."), 1, "a function that is no test");
        assert_eq!(problems("it holds. *Checked by* unit."), 1, "no name");
        assert_eq!(
            problems("it holds.\n- **Invariant:** so does it. *Checked by* `unit`."),
            1,
            "no word of a check"
        );
    }
}
