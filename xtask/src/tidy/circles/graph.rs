//! Who imports whom, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

/// The imports between files, with the names.
#[derive(Default)]
pub(super) struct Graph {
    imports: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Graph {
    /// Notes that `from` uses `name`, which `to` defines.
    pub(super) fn add(&mut self, from: &str, to: &str, name: &str) {
        if from != to {
            let imports = self.imports.entry(from.to_owned()).or_default();
            imports.entry(to.to_owned()).or_default().insert(name.to_owned());
        }
    }

    /// The largest sets of files in which each reaches every other.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .imports
            .keys()
            .map(|from| (from.as_str(), self.reached(from)))
            .collect();
        let mut placed = BTreeSet::new();
        let mut circles = Vec::new();
        for (from, all) in &reached {
            let is_mutual = |to: &&&str| reached.get(**to).is_some_and(|back| back.contains(from));
            let circle: Vec<String> = all.iter().filter(is_mutual).map(|to| (*to).to_owned()).collect();
            if circle.len() > 1 && !placed.contains(*from) {
                placed.extend(circle.iter().cloned());
                circles.push(circle);
            }
        }
        circles
    }

    /// The imports among some files.
    pub(super) fn between<'a>(
        &'a self,
        files: &'a [String],
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a BTreeSet<String>)> {
        let inside = move |(from, imports): (&'a String, &'a BTreeMap<String, BTreeSet<String>>)| {
            imports
                .iter()
                .filter(move |(to, _)| files.contains(from) && files.contains(to))
                .map(move |(to, names)| (from.as_str(), to.as_str(), names))
        };
        self.imports.iter().flat_map(inside)
    }

    fn reached<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in self.imports.get(file).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        reached
    }
}
