//! From the paths of a crate to the files that define what they name.

use std::collections::BTreeSet;

use super::graph::Graph;
use super::source::Module;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// A name that a module defines.
    Item(usize, String),
}

/// Who imports whom in a crate.
pub(super) fn imports(modules: &[Module]) -> Graph {
    let mut graph = Graph::default();
    for (index, module) in modules.iter().enumerate() {
        let mut used = |path: &[String], is_reexport: bool| {
            for target in Search::new(modules).from(index, path) {
                if let Target::Item(owner, name) = target
                    && !(is_reexport && is_within(modules, owner, index))
                {
                    graph.add(&module.file, &modules[owner].file, &name);
                }
            }
        };
        for import in &module.imports {
            used(&import.path, import.is_reexport);
        }
        for path in &module.paths {
            used(path, false);
        }
    }
    graph
}

/// Whether a module is another or lies below it.
fn is_within(modules: &[Module], mut module: usize, outer: usize) -> bool {
    while module != outer {
        match modules[module].parent {
            Some(parent) => module = parent,
            None => return false,
        }
    }
    true
}

/// One lookup. Imports can lead back to themselves (`use compare::compare`), so each is followed once.
struct Search<'a> {
    modules: &'a [Module],
    /// A module and the position of one of its imports.
    followed: BTreeSet<(usize, usize)>,
}

impl<'a> Search<'a> {
    fn new(modules: &'a [Module]) -> Self {
        Self {
            modules,
            followed: BTreeSet::new(),
        }
    }

    /// Where a path leads that is written in a module; nowhere if out of the crate.
    fn from(&mut self, module: usize, path: &[String]) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else {
            return vec![Target::Module(module)];
        };
        match first.as_str() {
            "crate" => self.from(0, rest),
            "self" => self.from(module, rest),
            "super" => match self.modules[module].parent {
                Some(parent) => self.from(parent, rest),
                None => Vec::new(),
            },
            name => self.named(module, name, rest),
        }
    }

    fn named(&mut self, module: usize, name: &str, rest: &[String]) -> Vec<Target> {
        let here = &self.modules[module];
        let mut targets = Vec::new();
        if let Some(child) = here.children.get(name) {
            targets.extend(self.from(*child, rest));
        }
        if here.items.contains(name) {
            targets.push(Target::Item(module, name.to_owned()));
        }
        for (position, import) in here.imports.iter().enumerate() {
            if import.name.as_deref() == Some(name) && self.followed.insert((module, position)) {
                let full: Vec<String> = import.path.iter().chain(rest).cloned().collect();
                targets.extend(self.from(module, &full));
            }
        }
        if targets.is_empty() {
            targets = self.through_globs(module, name, rest);
        }
        targets
    }

    fn through_globs(&mut self, module: usize, name: &str, rest: &[String]) -> Vec<Target> {
        let mut targets = Vec::new();
        for (position, import) in self.modules[module].imports.iter().enumerate() {
            if import.name.is_some() || !self.followed.insert((module, position)) {
                continue;
            }
            for target in self.from(module, &import.path) {
                if let Target::Module(opened) = target {
                    targets.extend(self.named(opened, name, rest));
                }
            }
        }
        targets
    }
}
