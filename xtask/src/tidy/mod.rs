//! `cargo xtask tidy [RULE]…`: the structure and the style that a machine can check.
//!
//! One rule is one file and one row of [`RULES`]: a function from the tree to its findings.

mod arrows;
mod circles;
mod conformance;
mod decisions;
mod file_length;
mod function_length;
mod links;
mod rust_version;
mod tokens;
mod tree;
mod unfinished;
mod unsafe_code;
mod variant_names;
mod words;

use std::path::Path;

use tree::File;

/// A rule: its name on the command line, what must hold, and the function that finds what does not.
struct Rule {
    name: &'static str,
    summary: &'static str,
    find: fn(root: &Path, files: &[File]) -> Result<Vec<String>, String>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "arrows",
        summary: "crates depend on each other along the arrows of ARCHITECTURE.md",
        find: arrows::find,
    },
    Rule {
        name: "circles",
        summary: "the modules of a crate do not import each other in a circle",
        find: circles::find,
    },
    Rule {
        name: "rust-version",
        summary: "the declared minimum Rust version is the lowest that the dependencies and the code allow",
        find: rust_version::find,
    },
    Rule {
        name: "variant-names",
        summary: "no code asks for a mechanism, a model or a probe by its name: what differs is a column of its row",
        find: variant_names::find,
    },
    Rule {
        name: "words",
        summary: "documents, messages and comments use the field's words",
        find: words::find,
    },
    Rule {
        name: "unsafe",
        summary: "unsafe code stands in the system crates only",
        find: unsafe_code::find,
    },
    Rule {
        name: "file-length",
        summary: "a Rust file has at most 600 lines",
        find: file_length::find,
    },
    Rule {
        name: "function-length",
        summary: "a function has at most 70 lines",
        find: function_length::find,
    },
    Rule {
        name: "unfinished",
        summary: "no placeholders in the code",
        find: unfinished::find,
    },
    Rule {
        name: "links",
        summary: "links between pages lead somewhere",
        find: links::find,
    },
    Rule {
        name: "decisions",
        summary: "decisions are numbered without a gap",
        find: decisions::find,
    },
    Rule {
        name: "conformance",
        summary: "each rule of the conformance page names tests that exist",
        find: conformance::find,
    },
];

/// Runs the named rules, or all, and prints every finding.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let named: Vec<String> = std::env::args().skip(2).collect();
    if let Some(unknown) = named.iter().find(|name| RULES.iter().all(|rule| rule.name != **name)) {
        let rules: Vec<String> = RULES
            .iter()
            .map(|rule| format!("  {:16} {}", rule.name, rule.summary))
            .collect();
        return Err(format!(
            "no rule is called {unknown}; the rules are\n{}",
            rules.join("\n")
        ));
    }
    let files = tree::files(root)?;
    let mut count = 0;
    for rule in RULES {
        if !named.is_empty() && named.iter().all(|name| name != rule.name) {
            continue;
        }
        for finding in (rule.find)(root, &files)? {
            eprintln!("{}: {finding}", rule.name);
            count += 1;
        }
    }
    match count {
        0 => Ok(()),
        n => Err(format!("{n} findings")),
    }
}
