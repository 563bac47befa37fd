//! No code asks for a mechanism, a model or a probe by its name: what differs between variants is a column of the row.
//!
//! Found are comparisons (`==`, an arm of `match`, `matches!`, `contains`, `starts_with` …) with a string that is a row's
//! name, or with a constant that holds one, and lists of nothing but such names. The file of the row itself is free.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

use super::tokens::{is_punct, string, without_tests};
use super::tree::{File, rust};

/// Where the rows stand, and the type that a row is written as.
const TABLES: &[(&str, &str)] = &[
    ("crates/event/src/", "Descriptor"),
    ("crates/server/src/", "Descriptor"),
    ("crates/monitor/src/", "Descriptor"),
    ("crates/probe/src/", "Probe"),
];

/// A file may compare one string that happens to be a variant's name: the reason.
const EXEMPT: &[(&str, &str, &str)] = &[];

/// What compares its argument with something.
const COMPARING: &[&str] = &[
    "contains",
    "ends_with",
    "eq",
    "eq_ignore_ascii_case",
    "matches",
    "ne",
    "starts_with",
    "strip_prefix",
    "strip_suffix",
];

/// Each name, and the files of its rows.
type Names = BTreeMap<String, BTreeSet<String>>;

pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut sources = Vec::new();
    for file in rust(files).filter(|file| is_product(&file.path)) {
        sources.push((file.path.as_str(), without_tests(file)?));
    }
    let mut findings = Vec::new();
    let mut names = Names::new();
    for (folder, row) in TABLES {
        let before = names.len();
        for (path, code) in sources.iter().filter(|(path, _)| path.starts_with(folder)) {
            rows(path, code, row, &mut names);
        }
        if names.len() == before {
            findings.push(format!(
                "{folder}: no row of the type {row}; mend TABLES in {}",
                file!()
            ));
        }
    }
    for (path, code) in &sources {
        let is_ours = |name: &str| {
            names.get(name).is_some_and(|rows| !rows.contains(*path))
                && !EXEMPT.iter().any(|(file, exempt, _)| file == path && *exempt == name)
        };
        let constants = constants(code, &is_ours);
        let mut found = BTreeSet::new();
        compared(code, &|token| named(token, &is_ours, &constants), &mut found);
        findings.extend(found.into_iter().map(|what| format!("{path}: {what}")));
    }
    Ok(findings)
}

/// The sources of the crates; their tests name variants as they please.
fn is_product(path: &str) -> bool {
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/testing.rs");
    path.starts_with("crates/") && path.contains("/src/") && !is_test
}

/// Adds the names in `ROW { name: "…", … }`.
fn rows(path: &str, code: &TokenStream, row: &str, names: &mut Names) {
    let tokens: Vec<TokenTree> = code.clone().into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        rows(path, &group.stream(), row, names);
        let is_row = index > 0 && matches!(&tokens[index - 1], TokenTree::Ident(ident) if ident == row);
        if let (true, Some(name)) = (is_row, name_field(&group.stream())) {
            names.entry(name).or_default().insert(path.to_owned());
        }
    }
}

fn name_field(fields: &TokenStream) -> Option<String> {
    let tokens: Vec<TokenTree> = fields.clone().into_iter().collect();
    tokens.windows(3).find_map(|window| match &window[0] {
        TokenTree::Ident(ident) if ident == "name" && is_punct(Some(&window[1]), ':') => string(&window[2]),
        _ => None,
    })
}

/// The constants of a file that hold a name: `const X: &str = "…";`.
fn constants(code: &TokenStream, is_name: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let tokens: Vec<TokenTree> = code.clone().into_iter().collect();
    let mut constants = BTreeMap::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => constants.extend(self::constants(&group.stream(), is_name)),
            TokenTree::Ident(ident) if ident == "const" || ident == "static" => {
                let end = tokens[index..].iter().position(|token| is_punct(Some(token), ';'));
                let item = &tokens[index..index + end.unwrap_or(0)];
                if let [_, TokenTree::Ident(constant), .., equals, value] = item
                    && is_punct(Some(equals), '=')
                    && let Some(name) = string(value).filter(|name| is_name(name))
                {
                    constants.insert(constant.to_string(), name);
                }
            }
            _ => {}
        }
    }
    constants
}

/// The variant that a token names.
fn named(token: &TokenTree, is_name: &dyn Fn(&str) -> bool, constants: &BTreeMap<String, String>) -> Option<String> {
    match token {
        TokenTree::Ident(ident) => constants.get(&ident.to_string()).cloned(),
        other => string(other).filter(|name| is_name(name)),
    }
}

fn compared(code: &TokenStream, named: &dyn Fn(&TokenTree) -> Option<String>, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = code.clone().into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            compared(&group.stream(), named, found);
            let inside: Vec<TokenTree> = group.stream().into_iter().collect();
            if is_comparing(&tokens[..index]) {
                let names = inside.iter().filter_map(named);
                found.extend(names.map(|name| format!("compares with {name:?}")));
            }
            found.extend(list(&inside, named));
        }
        if let Some(name) = named(token)
            && is_compared(&tokens[..index], &tokens[index + 1..])
        {
            found.insert(format!("compares with {name:?}"));
        }
    }
}

/// Whether the tokens before an argument list end in a call that compares: `contains`, `matches!`.
fn is_comparing(before: &[TokenTree]) -> bool {
    let callee = match before {
        [.., TokenTree::Ident(ident), mark] if is_punct(Some(mark), '!') => ident,
        [.., TokenTree::Ident(ident)] => ident,
        _ => return false,
    };
    COMPARING.iter().any(|comparing| callee == comparing)
}

/// Whether a value between these tokens is compared: `== "…"`, `"…" != x`, `"…" =>`, `"…" | "…" =>`.
fn is_compared(before: &[TokenTree], after: &[TokenTree]) -> bool {
    let pair = |first: Option<&TokenTree>, second: Option<&TokenTree>| {
        (is_punct(first, '=') || is_punct(first, '!')) && is_punct(second, '=')
    };
    let before = match before {
        [rest @ .., reference] if is_punct(Some(reference), '&') => rest,
        all => all,
    };
    let equals_before = before.len() > 1 && pair(before.get(before.len() - 2), before.last());
    let arm = is_punct(after.first(), '=') && is_punct(after.get(1), '>');
    let alternative = is_punct(after.first(), '|') || is_punct(before.last(), '|');
    let guarded = matches!(after.first(), Some(TokenTree::Ident(ident)) if ident == "if");
    equals_before || pair(after.first(), after.get(1)) || arm || alternative || guarded
}

/// A list of nothing but names.
fn list(tokens: &[TokenTree], named: &dyn Fn(&TokenTree) -> Option<String>) -> Option<String> {
    let names: Vec<String> = tokens.iter().step_by(2).map_while(named).collect();
    let commas = tokens.iter().skip(1).step_by(2).all(|token| is_punct(Some(token), ','));
    let is_list = names.len() > 1 && commas && names.len() == tokens.len().div_ceil(2);
    is_list.then(|| format!("lists {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let row = |folder: &str, row: &str, name: &str| {
            let text = format!("pub static ROW: {row} = {row} {{ name: \"{name}\", run: || x == \"{name}\" }};");
            file(&format!("crates/{folder}/src/{name}.rs"), &text)
        };
        let files = [
            row("event", "Descriptor", "poll"),
            row("event", "Descriptor", "epoll"),
            row("server", "Descriptor", "pool"),
            row("monitor", "Descriptor", "loop"),
            row("probe", "Probe", "switch"),
            file("crates/lab/src/a.rs", text),
        ];
        find(Path::new("."), &files).expect("runs")
    }

    #[test]
    fn each_way_to_ask_for_a_name_is_found() {
        for text in [
            "fn f() { if x == \"poll\" {} }",
            "fn f() { \"poll\" != x }",
            "fn f() { match x { \"poll\" => 1, _ => 2 } }",
            "fn f() { match x { \"poll\" | \"other\" => 1, _ => 2 } }",
            "fn f() { match x { \"other\" | \"poll\" if y => 1, _ => 2 } }",
            "fn f() { matches!(x, \"poll\") }",
            "fn f() { x.starts_with(\"poll\") }",
            "fn f() { set.contains(&\"poll\") }",
            "const P: &str = \"poll\"; fn f() { x == P }",
            "fn f() { const P: &str = \"poll\"; match x { P => 1, _ => 2 } }",
        ] {
            assert_eq!(found(text), ["crates/lab/src/a.rs: compares with \"poll\""], "{text}");
        }
    }

    #[test]
    fn a_list_of_names_is_found() {
        let lists = found("const ALL: &[&str] = &[\"poll\", \"pool\"];");
        assert_eq!(lists, ["crates/lab/src/a.rs: lists poll, pool"]);
    }

    #[test]
    fn other_uses_of_a_name_are_free() {
        for text in [
            "#[arg(default_value = \"poll\")] struct A { name: &'static str }",
            "fn f() { Mechanism::named(\"poll\") }",
            "const CALLS: &[&str] = &[\"poll\", \"read\"];",
            "fn f() { x == \"polls\" || x == y }",
            "#[cfg(test)] mod tests { fn f() { assert!(x == \"poll\"); } }",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_table_that_moved_is_found() {
        let findings = find(Path::new("."), &[]).expect("runs");
        assert_eq!(findings.len(), TABLES.len());
    }
}
