//! The modules of a crate do not import each other in a circle.
//!
//! A module is a file; an inline `mod` belongs to the file that it stands in. A file imports another when it names
//! something that the other defines, in a `use` or in a path such as `super::limits::MAX`. Re-exports are followed to the
//! definition, so `use crate::Verdict` imports the file that defines `Verdict` and not `lib.rs`. To declare a module or to
//! re-export what lies below it is no import. Code for tests is left out.

mod graph;
mod paths;
mod resolve;
mod source;

use std::path::Path;

use super::tree::{File, rust};
use graph::Graph;

/// One finding per circle: its files, then each import between them with the names.
pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for root in rust(files).filter(|file| is_crate_root(&file.path)) {
        let modules = source::read(files, &root.path)?;
        let graph = resolve::imports(&modules);
        findings.extend(
            graph
                .circles()
                .iter()
                .map(|circle| describe(&root.path, &graph, circle)),
        );
    }
    Ok(findings)
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

fn describe(root: &str, graph: &Graph, circle: &[String]) -> String {
    let folder = &root[..root.rfind('/').map_or(0, |slash| slash + 1)];
    let short = |path: &str| path.strip_prefix(folder).unwrap_or(path).to_owned();
    let mut text = format!("{root}: {} modules import each other in a circle", circle.len());
    for (from, to, names) in graph.between(circle) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        text += &format!("\n    {} -> {}: {}", short(from), short(to), names.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = sources
            .iter()
            .map(|(path, text)| file(&format!("crates/x/src/{path}"), text))
            .collect();
        find(Path::new("."), &files).expect("the sources parse")
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let circle = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "use super::a::A; pub struct B; impl B { fn a(_: &A) {} }"),
        ]);
        let expected = "crates/x/src/lib.rs: 2 modules import each other in a circle\n    \
                        a.rs -> b.rs: B\n    b.rs -> a.rs: A";
        assert_eq!(circle, [expected]);
    }

    #[test]
    fn a_chain_is_no_circle() {
        let chain = found(&[
            ("lib.rs", "mod a; mod b; pub use a::A; fn f(_: A) {}"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B;"),
        ]);
        assert!(chain.is_empty(), "{chain:?}");
    }

    #[test]
    fn a_circle_of_three_has_every_import() {
        let circle = found(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            (
                "a.rs",
                "use crate::{b::{self, B as Renamed}}; pub struct A; fn f(_: Renamed) { b::g() }",
            ),
            ("b.rs", "use crate::c::C; pub struct B(C); pub fn g() {}"),
            ("c.rs", "pub struct C; fn f() -> crate::a::A { crate::a::A }"),
        ]);
        assert_eq!(circle.len(), 1);
        for import in ["a.rs -> b.rs: B, g", "b.rs -> c.rs: C", "c.rs -> a.rs: A"] {
            assert!(circle[0].contains(import), "{circle:?} has no {import}");
        }
    }

    #[test]
    fn a_reexport_is_followed_to_the_definition() {
        let through_root = [
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A(B);"),
            ("b.rs", "use crate::A; pub struct B; fn f(_: A) {}"),
        ];
        let circle = found(&through_root);
        assert_eq!(circle.len(), 1);
        assert!(circle[0].contains("a.rs -> b.rs: B"), "{circle:?}");
        // The root itself defines nothing that is used.
        assert!(!circle[0].contains("lib.rs ->"), "{circle:?}");
    }

    #[test]
    fn an_item_that_is_named_like_its_module_is_found_once() {
        let circle = found(&[
            (
                "lib.rs",
                "mod compare; mod b; pub use compare::compare; pub use b::{self, b};",
            ),
            ("compare.rs", "pub fn compare() { crate::b() }"),
            ("b.rs", "use crate::compare; pub fn b() { compare() }"),
        ]);
        assert_eq!(circle.len(), 1);
        assert!(circle[0].contains("b.rs -> compare.rs: compare"), "{circle:?}");
    }

    #[test]
    fn globs_are_followed_to_the_names_in_use() {
        let circle = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::*; pub struct A; fn f() { helper() }"),
            (
                "b.rs",
                "use crate::a::A; pub fn helper() {} fn g(_: A) {} pub fn unused() {}",
            ),
        ]);
        assert_eq!(circle.len(), 1);
        assert!(circle[0].contains("a.rs -> b.rs: helper\n"), "{circle:?}");
    }

    #[test]
    fn a_parent_that_uses_a_child_which_uses_the_parent_is_a_circle() {
        let child = "use super::Shared; pub fn draw(_: Shared) {}";
        let uses = "mod child; pub struct Shared; fn f() { child::draw(Shared) }";
        let circle = found(&[
            ("lib.rs", "mod parent;"),
            ("parent/mod.rs", uses),
            ("parent/child.rs", child),
        ]);
        assert_eq!(circle.len(), 1);
        assert!(
            circle[0].contains("parent/mod.rs -> parent/child.rs: draw"),
            "{circle:?}"
        );
        let declares = "mod child; pub struct Shared; pub(crate) use child::draw;";
        let clean = found(&[
            ("lib.rs", "mod parent;"),
            ("parent.rs", declares),
            ("parent/child.rs", child),
        ]);
        assert!(clean.is_empty(), "{clean:?}");
        let reexports_and_uses = "mod child; pub struct Shared; pub(crate) use child::draw; fn f() { draw(Shared) }";
        let circle = found(&[
            ("lib.rs", "mod parent;"),
            ("parent.rs", reexports_and_uses),
            ("parent/child.rs", child),
        ]);
        assert_eq!(circle.len(), 1);
    }

    #[test]
    fn an_inline_module_belongs_to_its_file() {
        let clean = found(&[
            ("lib.rs", "mod a;"),
            (
                "a.rs",
                "mod inner { use super::A; pub fn f(_: A) {} } pub struct A; fn g() { inner::f(A) }",
            ),
        ]);
        assert!(clean.is_empty(), "{clean:?}");
        let circle = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub mod inner { pub use crate::b::B; } pub struct A;"),
            ("b.rs", "pub struct B; fn f(_: super::a::A) {}"),
        ]);
        assert_eq!(circle.len(), 1);
    }

    #[test]
    fn tests_comments_strings_and_other_crates_do_not_count() {
        let clean = found(&[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod testing; mod tests;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            (
                "b.rs",
                "//! See crate::a::A.\n\
                 use other::a::A;\n\
                 pub struct B; const TEXT: &str = \"crate::a::A\";\n\
                 fn local(x: ::a::A) { x.a::<A>(); }\n\
                 #[cfg(test)] use crate::a::A as Tested;\n\
                 impl B { #[cfg(test)] fn a(&self) -> crate::a::A { todo() } fn b(&self) {} }\n\
                 #[cfg(test)] mod tests { use crate::a::A; }",
            ),
            ("testing.rs", "use crate::a::A;"),
            ("tests.rs", "use crate::a::A;"),
        ]);
        assert!(clean.is_empty(), "{clean:?}");
    }

    #[test]
    fn uses_and_paths_inside_functions_and_macros_count() {
        for text in [
            "pub struct B; fn f() { use crate::a::A; let _ = A; }",
            "pub struct B; fn f() { println!(\"{:?}\", super::a::A); }",
            "pub struct B; #[cfg(not(test))] fn f() -> crate::a::A { x() }",
            "use crate::a; pub struct B; fn f() { vec![a::A] }",
            "pub struct B; fn f() -> B { B { ..crate::a::default() } }",
        ] {
            let circle = found(&[
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", "use crate::b::B; pub struct A(B); pub fn default() {}"),
                ("b.rs", text),
            ]);
            assert_eq!(circle.len(), 1, "{text}");
        }
    }
}
