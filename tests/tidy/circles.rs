//! Files that use each other in a circle: none can be understood, or changed, without the others.
//!
//! A file uses another one when it takes a name from it: by a path that begins with `crate::` or `super::`, or from a
//! module that it declares, itself or by way of a `pub use`. It uses the root of its crate when a name is there and
//! nowhere else, and the other files that have methods of a type when its own methods of that type call those. What a
//! file declares (`mod`), hands on (`pub use`) or shows to others (`pub(in …)`) is no use of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, closing, words};

/// Which file uses which, by the paths of their modules.
pub(crate) struct Circles(BTreeMap<String, BTreeSet<String>>);

impl Circles {
    /// Reads the files of one crate, which lie in the folder `root`.
    pub(crate) fn read(root: &str, sources: &[Source]) -> Self {
        let mut circles = Self::of_names(root, sources);
        let product = || sources.iter().filter(|source| !source.is_test());
        let methods = product().map(|source| {
            let own = module(root, source);
            let methods = methods(&own, &source.product);
            (own, methods)
        });
        let methods: Vec<_> = methods.collect();
        for (own, (own_methods, called)) in &methods {
            let missing = called.iter().filter(|call| !own_methods.contains(*call));
            let missing: BTreeSet<_> = missing.collect();
            let used =
                methods.iter().filter(|(_, (others, _))| others.iter().any(|one| missing.contains(one)));
            let used: Vec<_> = used.map(|(used, _)| used.clone()).filter(|used| used != own).collect();
            circles.0.entry(own.clone()).or_default().extend(used);
        }
        circles
    }

    /// Those of the names that files take from each other, methods aside.
    fn of_names(root: &str, sources: &[Source]) -> Self {
        let product: Vec<_> = sources.iter().filter(|source| !source.is_test()).collect();
        let modules: BTreeSet<_> = product.iter().map(|source| module(root, source)).collect();
        let mut handed_on = BTreeMap::new();
        for source in &product {
            let own = module(root, source);
            for path in statements(&source.product, true).iter().flat_map(|tree| paths(tree)) {
                let name = path.rsplit("::").next().unwrap_or_default();
                handed_on.insert(join(&own, name), absolute(&own, &path));
            }
        }
        let uses = product.iter().map(|source| {
            let own = module(root, source);
            let named = statements(&source.product, false).into_iter().flat_map(|tree| paths(&tree));
            let inline = inline(&without_handing_on(&source.product));
            let used = named
                .chain(inline)
                .filter_map(|path| from_above(&own, &path).or_else(|| from_below(&own, &path, &modules)));
            let used = used.chain(used_and_handed_on(&own, &source.product));
            // The root declares all modules: what is in none of them is in it.
            let used = used.map(|path| file_of(&path, &modules, &handed_on).unwrap_or_default());
            let used = used.filter(|used| *used != own).collect();
            (own, used)
        });
        Self(uses.collect())
    }

    /// The circles, each as one line.
    pub(crate) fn violations(&self) -> Vec<String> {
        let reached: BTreeMap<_, _> = self.0.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut told = BTreeSet::new();
        let mut violations = Vec::new();
        for (file, reaches) in &reached {
            if !reaches.contains(*file) || told.contains(*file) {
                continue;
            }
            let back = |other: &&String| reached.get(other).is_some_and(|reaches| reaches.contains(*file));
            let circle: Vec<_> = reaches.iter().filter(back).cloned().collect();
            let names: Vec<_> =
                circle.iter().map(|file| if file.is_empty() { "the root" } else { file }).collect();
            violations.push(format!("{} use each other in a circle", names.join(", ")));
            told.extend(circle);
        }
        violations
    }

    fn reached_from(&self, file: &str) -> BTreeSet<String> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            for used in self.0.get(file).into_iter().flatten() {
                if reached.insert(used.clone()) {
                    next.push(used);
                }
            }
        }
        reached
    }
}

/// `mesh::link` for `src/mesh/link.rs`.
fn module(root: &str, source: &Source) -> String {
    let path = source.path.trim_start_matches(root).trim_start_matches('/').trim_end_matches(".rs");
    match path {
        "lib" | "main" => String::new(),
        path => path.replace('/', "::"),
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// A path that begins at the root of the crate or above `module`, without that beginning.
fn from_above(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let (mut above, mut path) = (module, path.strip_prefix("super::")?);
    loop {
        above = above.rsplit_once("::").map_or("", |(above, _)| above);
        match path.strip_prefix("super::") {
            Some(rest) => path = rest,
            None => return Some(join(above, path)),
        }
    }
}

/// A path that begins with a module that `module` declares, from the root of the crate.
fn from_below(module: &str, path: &str, files: &BTreeSet<String>) -> Option<String> {
    let path = path.trim_start_matches("self::");
    let declared = join(module, path.split("::").next().unwrap_or_default());
    files.contains(&declared).then(|| join(module, path))
}

/// What a file hands on and uses itself, by paths from the root of the crate.
fn used_and_handed_on(module: &str, code: &str) -> Vec<String> {
    let (trees, rest) = (statements(code, true), without_handing_on(code));
    let is_used = |path: &String| {
        let name = path.rsplit("::").next().unwrap_or_default();
        words(&rest).any(|(_, word)| word == name)
    };
    let handed_on = trees.iter().flat_map(|tree| paths(tree)).filter(is_used);
    handed_on.map(|path| absolute(module, &path)).collect()
}

/// The code without what it hands on.
fn without_handing_on(code: &str) -> String {
    let one_line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let without = |code: String, tree: &String| code.replace(&format!("use {tree};"), "");
    statements(code, true).iter().fold(one_line, without)
}

/// A method: the path of its type, and its name.
type Method = (String, String);

/// The methods that a file has, and those that they call on themselves.
fn methods(module: &str, code: &str) -> (BTreeSet<Method>, BTreeSet<Method>) {
    let (mut has, mut calls) = (BTreeSet::new(), BTreeSet::new());
    for (at, _) in code.match_indices("\nimpl") {
        let Some(open) = code[at..].find('{').map(|open| at + open) else { continue };
        let head = &code[at + "\nimpl".len()..open];
        // A trait has all of its methods in one place.
        if words(head).any(|(_, word)| word == "for") {
            continue;
        }
        let head = if head.starts_with('<') { head.split_once('>').map_or("", |(_, of)| of) } else { head };
        let name = words(head).map(|(_, word)| word).next().unwrap_or_default();
        let taken = statements(code, false).into_iter().flat_map(|tree| paths(&tree));
        let taken = taken
            .filter_map(|path| from_above(module, &path))
            .find(|path| path.rsplit("::").next() == Some(name));
        let of = taken.unwrap_or_else(|| join(module, name));
        let body = &code[open..closing(code, open)];
        let mut before = "";
        for (at, word) in words(body) {
            let on_itself = body[..at].ends_with("self.") || body[..at].ends_with("Self::");
            if before == "fn" {
                has.insert((of.clone(), word.to_owned()));
            } else if on_itself && body[at + word.len()..].starts_with('(') {
                calls.insert((of.clone(), word.to_owned()));
            }
            before = word;
        }
    }
    (has, calls)
}

/// A path as it is from the root of the crate, without `crate::`.
fn absolute(module: &str, path: &str) -> String {
    match path.strip_prefix("crate::") {
        Some(path) => path.to_owned(),
        None => join(module, path.trim_start_matches("self::")),
    }
}

/// The file that a path leads to: the longest beginning of it that is a file, or is handed on from another one.
fn file_of(path: &str, files: &BTreeSet<String>, handed_on: &BTreeMap<String, String>) -> Option<String> {
    let mut path = path.to_owned();
    let mut end = path.len();
    // A name that is handed on several times is found in the end; one that leads to itself is not.
    for _ in 0..64 {
        let beginning = &path[..end];
        if files.contains(beginning) {
            return Some(beginning.to_owned());
        }
        match handed_on.get(beginning) {
            Some(further) => {
                path = format!("{further}{}", &path[end..]);
                end = path.len();
            }
            None => end = beginning.rfind("::")?,
        }
    }
    None
}

/// The trees of `use` statements: those that hand on, or those that do not.
fn statements(code: &str, handing_on: bool) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        let hands_on = line.starts_with("pub");
        if (line.is_empty() || hands_on) && hands_on == handing_on {
            let tree = code[at + "use ".len()..].split(';').next().unwrap_or_default();
            found.push(tree.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    found
}

/// The paths of a tree: `a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.trim_end_matches("::self").trim_end_matches("::*").to_owned()];
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut items, mut depth) = (vec![String::new()], 0);
    for char in inside.chars() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().expect("there is one").push(char);
    }
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| paths(&format!("{}{}", before.trim(), item.trim()))).collect()
}

/// The paths within code, but for those that say who may see a name: that is no use.
fn inline(code: &str) -> Vec<String> {
    let begins = words(code)
        .filter(|(at, word)| code[at + word.len()..].starts_with("::") && !code[..*at].ends_with("::"))
        .filter(|(at, _)| !code[..*at].ends_with("pub(in "));
    begins
        .map(|(at, _)| {
            let rest = &code[at..];
            let end = rest.find(|char: char| !(char.is_alphanumeric() || "_:".contains(char)));
            rest[..end.unwrap_or(rest.len())].trim_end_matches(':').to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        Circles::read("src", &sources).violations()
    }

    #[test]
    fn a_circle_is_found_through_groups_inline_paths_and_names_that_are_handed_on() {
        let circles = [
            [("src/a.rs", "use crate::b::X;"), ("src/b.rs", "use crate::a::Y;"), ("src/c.rs", "")],
            [
                ("src/a.rs", "use crate::{c::Z, b::{X, W}};"),
                ("src/b.rs", "fn f() { crate::a::g() }"),
                ("src/c.rs", ""),
            ],
            [
                ("src/a.rs", "use crate::c::X;"),
                ("src/b.rs", "use crate::a::Y;"),
                ("src/c.rs", "pub(crate) use crate::b::X;"),
            ],
        ];
        for files in circles {
            assert_eq!(violations(&files), ["a, b use each other in a circle"], "{files:?}");
        }
        let nested = [
            ("src/m/a.rs", "use super::b::X;"),
            ("src/m/b.rs", "fn f() { super::super::m::a::g() }"),
            ("src/c.rs", ""),
        ];
        assert_eq!(violations(&nested), ["m::a, m::b use each other in a circle"]);
        let three = [
            ("src/a.rs", "use crate::b::X;"),
            ("src/b.rs", "use crate::c::X;"),
            ("src/c.rs", "use crate::a::X;"),
        ];
        assert_eq!(violations(&three), ["a, b, c use each other in a circle"]);
    }

    #[test]
    fn a_use_in_one_direction_in_a_test_or_of_a_declaration_is_no_circle() {
        for files in [
            [("src/a.rs", "use crate::b::X;"), ("src/b.rs", "#[cfg(test)]\nmod tests { use crate::a::Y; }")],
            [("src/a.rs", "mod b;\npub(crate) use b::X;"), ("src/a/b.rs", "use crate::a::c;")],
            [("src/a.rs", "use crate::b::X;"), ("src/b.rs", "// use crate::a::Y;\nuse crate::b::Z;")],
            [("src/a/c.rs", "use super::b::X;"), ("src/a/b.rs", "pub(in crate::a::c) fn f() {}")],
        ] {
            assert_eq!(violations(&files), [""; 0], "{files:?}");
        }
    }

    #[test]
    fn what_is_declared_the_root_and_methods_of_one_type_are_used_as_well() {
        let circles = [
            (vec![("src/a.rs", "mod b;\nfn f() { b::g() }"), ("src/a/b.rs", "use crate::a::X;")], "a, a::b"),
            (vec![("src/a.rs", "mod b;\nuse b::{g, h};"), ("src/a/b.rs", "use super::X;")], "a, a::b"),
            (
                vec![("src/a.rs", "mod b;\npub use b::B;\nstruct A(B);"), ("src/a/b.rs", "use crate::a::A;")],
                "a, a::b",
            ),
            (
                vec![("src/main.rs", "mod a;\nfn f() {}\nuse a::X;"), ("src/a.rs", "use crate::{a::b, f};")],
                "the root, a",
            ),
            (
                vec![
                    ("src/a.rs", "struct A;\nimpl A {\n fn f(&self) { self.g() } }"),
                    ("src/b.rs", "use crate::a::A;\nimpl A {\n fn g(&self) {} }"),
                ],
                "a, b",
            ),
        ];
        for (files, circle) in circles {
            assert_eq!(violations(&files), [format!("{circle} use each other in a circle")], "{files:?}");
        }
        for files in [
            [("src/a.rs", "mod b;\npub use b::B;"), ("src/a/b.rs", "use crate::a::A;")],
            [("src/a.rs", "mod b;\nuse b::B;"), ("src/a/b.rs", "use std::fmt::A; fn f() { B::new() }")],
            [
                ("src/a.rs", "struct A;\nimpl A {\n fn f(&self) { self.h.g() } }"),
                ("src/b.rs", "use crate::a::A;\nimpl<T> A<T> {\n fn g(&self) { self.f() } }"),
            ],
            [
                ("src/a.rs", "struct A;\nimpl A {\n fn f(&self) { self.g() } fn g(&self) { } }"),
                ("src/b.rs", "use crate::a::f; struct A;\nimpl A {\n fn g(&self) {} }"),
            ],
        ] {
            assert_eq!(violations(&files), [""; 0], "{files:?}");
        }
    }
}
