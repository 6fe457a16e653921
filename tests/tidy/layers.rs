//! The layer rule of `src/lib.rs`, read from its page and held against every `use`.

use std::collections::BTreeMap;

use crate::source::{Source, is_word, words};

/// Which layer each module is in, and which module each name at the root of the crate comes from.
pub(crate) struct Layers {
    levels: BTreeMap<String, usize>,
    exports: BTreeMap<String, String>,
}

impl Layers {
    /// Reads the diagram below `# The layer rule`: modules of one layer side by side, `◄─` between
    /// layers, the lowest first.
    pub(crate) fn read(lib: &str) -> Self {
        let page = lib.split("# The layer rule").nth(1).expect("lib.rs has a layer rule");
        let diagram = page.split("```text").nth(1).and_then(|rest| rest.split("```").next());
        let diagram = diagram.expect("the layer rule has a diagram").replace("//!", " ");
        let mut levels = BTreeMap::new();
        for (level, modules) in diagram.split("◄─").enumerate() {
            levels.extend(modules.split_whitespace().map(|module| (module.to_owned(), level)));
        }
        Self { levels, exports: exports(&Source::new("src/lib.rs", lib).product) }
    }

    /// Modules of the crate that the diagram does not show.
    pub(crate) fn unplaced(&self, lib: &str) -> Vec<String> {
        let modules = modules(&Source::new("src/lib.rs", lib).product);
        let unplaced = modules.into_iter().filter(|module| !self.levels.contains_key(module));
        unplaced.map(|module| format!("{module} is not in the layer rule of src/lib.rs")).collect()
    }

    /// Uses of a module that stands further to the right, or that is none of this one's business.
    pub(crate) fn violations(&self, source: &Source) -> Vec<String> {
        let path = source.path.trim_start_matches("src/").trim_end_matches(".rs");
        let module = path.split('/').next().unwrap_or_default();
        let Some(level) = self.levels.get(module).filter(|_| !source.is_test()) else { return Vec::new() };
        let depth = path.split('/').count();
        root_names(&source.product, depth)
            .into_iter()
            .filter_map(|(at, name)| {
                let used = self.exports.get(&name).unwrap_or(&name).as_str();
                let too_high = self.levels.get(used).is_some_and(|other| other > level);
                let strange =
                    used != module && [used, module].iter().all(|module| STRANGERS.contains(module));
                let apart = APART.contains(&(module, used));
                let wrong = too_high || strange || apart;
                wrong.then(|| format!("{}: {module} must not use {used} ({name})", source.place(at)))
            })
            .collect()
    }
}

/// Modules side by side that do not know each other either: what one means for another is decided
/// by the node.
const STRANGERS: &[&str] = &["directory", "membership", "session"];

/// Modules that do not use one to their left either: what links carry is not known to them.
const APART: &[(&str, &str)] = &[("mesh", "directory"), ("mesh", "replica"), ("mesh", "section")];

/// The modules that a crate page declares.
pub(crate) fn modules(product: &str) -> Vec<String> {
    let all: Vec<_> = words(product).collect();
    let pairs = all.windows(2).filter(|pair| pair[0].1 == "mod");
    pairs.map(|pair| pair[1].1.to_owned()).collect()
}

/// Names that `pub use module::Name` brings to the root.
fn exports(product: &str) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for statement in product.split(';').filter_map(|statement| statement.trim().strip_prefix("pub use ")) {
        let mut names = words(statement).map(|(_, word)| word);
        let Some(module) = names.next() else { continue };
        exports.extend(names.map(|name| (name.to_owned(), module.to_owned())));
    }
    exports
}

/// Every name that is taken from the root of the crate: `crate::name`, `crate::{name, …}` and, in a
/// file `depth` modules deep, as many `super::`.
fn root_names(code: &str, depth: usize) -> Vec<(usize, String)> {
    let prefixes = ["crate::".to_owned(), "super::".repeat(depth)];
    let mut names = Vec::new();
    for prefix in prefixes {
        for (at, _) in code.match_indices(&prefix) {
            let inside = at > 0 && (is_word(code.as_bytes()[at - 1]) || code[..at].ends_with("super::"));
            if inside {
                continue;
            }
            let rest = &code[at + prefix.len()..];
            names.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    names
}

/// The name at the start of a path, or those of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name =
        |text: &str| text.bytes().take_while(|byte| is_word(*byte)).map(char::from).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth, mut expects) = (Vec::new(), 0, true);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => expects = true,
            byte if expects && is_word(byte) => {
                names.push(name(&group[at..]));
                expects = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! # The layer rule\n//! ```text\n//! id ◄─ mesh session directory\n//!    ◄─ node\n//! ```\n\
                       pub mod id;\nmod mesh;\nmod session;\nmod directory;\nmod node;\npub use node::{Node, Fault};\n";

    fn violations(path: &str, text: &str) -> usize {
        Layers::read(LIB).violations(&Source::new(path, text)).len()
    }

    #[test]
    fn a_use_to_the_right_is_found_in_every_form() {
        for text in [
            "use crate::node::X;",
            "use crate::{id::A, node::{B, C}};",
            "fn f() { crate::node::g() }",
            "use crate::Node;",
            "use super::super::node::X;",
        ] {
            assert_eq!(violations("src/mesh/link.rs", text), 1, "{text}");
        }
        assert_eq!(violations("src/mesh.rs", "use super::node::X;"), 1);
    }

    #[test]
    fn a_use_to_the_left_or_beside_is_allowed_and_so_are_tests_and_comments() {
        for text in [
            "use crate::id::X;",
            "use crate::session::Y;",
            "#[cfg(test)]\nmod tests { use crate::directory::X; }",
            "/// See [`crate::node`].\nfn f() {}",
            "#[cfg(test)]\nmod tests { use crate::node::X; }",
            "use super::node::X;",
        ] {
            assert_eq!(violations("src/mesh/link.rs", text), 0, "{text}");
        }
        assert_eq!(violations("src/mesh/link/tests.rs", "use crate::node::X;"), 0);
    }

    #[test]
    fn the_parts_that_only_the_node_connects_do_not_know_each_other() {
        assert_eq!(violations("src/directory/view.rs", "use crate::session::X;"), 1);
        assert_eq!(violations("src/directory/view.rs", "use crate::directory::X;"), 0);
        assert_eq!(violations("src/directory/view.rs", "use crate::mesh::X;"), 0);
    }

    #[test]
    fn the_mesh_does_not_know_what_it_carries() {
        assert_eq!(violations("src/mesh/link.rs", "use crate::directory::X;"), 1);
        assert_eq!(violations("src/mesh/link.rs", "use crate::{id::A, replica::B};"), 1);
        assert_eq!(violations("src/node/start.rs", "use crate::{directory::A, replica::B};"), 0);
    }

    #[test]
    fn a_module_without_a_place_is_named() {
        let lib = format!("{LIB}mod stray;\n");
        let unplaced = Layers::read(&lib).unplaced(&lib);
        assert_eq!(unplaced, ["stray is not in the layer rule of src/lib.rs"]);
    }
}
