//! The tables of the guest, as they are committed: the instructions that each of its cells costs. A claim may name cells of
//! them.

use std::sync::LazyLock;

use c10k_record::{CostCell, CostTable, read};

macro_rules! table {
    ($name:literal) => {
        include_str!(concat!("../experiments/vm/", $name, ".json"))
    };
}

const TEXTS: &[&str] = &[
    table!("blocking-work"),
    table!("burst-cost"),
    table!("dev-poll-cost"),
    table!("dispatch-cost"),
    table!("idle-connections"),
    table!("peers"),
    table!("queue-overflow"),
    table!("ready-batch"),
    table!("request-cost"),
    table!("table-1"),
    table!("throughput-252-1b"),
    table!("throughput-6000-1b"),
    table!("throughput-6000-6k"),
];

/// A test reads every text.
static TABLES: LazyLock<Vec<CostTable>> = LazyLock::new(|| {
    let tables = TEXTS.iter().map(|text| read::object(text.as_bytes()));
    tables.filter_map(Result::ok).collect()
});

/// The table of this study of the guest.
pub(crate) fn find(study: &str) -> Option<&'static CostTable> {
    TABLES.iter().find(|table| table.study == study)
}

/// All names, for messages.
pub(crate) fn names() -> String {
    let names: Vec<&str> = TABLES.iter().map(|table| table.study.as_str()).collect();
    names.join(", ")
}

/// The cell of this name, which is its subject and its load.
pub(crate) fn cell<'t>(table: &'t CostTable, name: &str) -> Option<&'t CostCell> {
    table.cells.iter().find(|cell| cell.name() == name)
}

/// The cells whose names are most like this one, for messages: those that share the most words, and of these those that begin
/// like it.
pub(crate) fn nearest(table: &CostTable, name: &str) -> String {
    /// So many are enough to see how a name is written.
    const SHOWN: usize = 3;
    let likeness = |other: &str| {
        let shared = other.split(' ').filter(|word| name.split(' ').any(|own| own == *word));
        let beginning = other.chars().zip(name.chars()).take_while(|(one, two)| one == two);
        (shared.count(), beginning.count())
    };
    let mut names: Vec<String> = table.cells.iter().map(CostCell::name).collect();
    names.sort_by_key(|name| std::cmp::Reverse(likeness(name)));
    names.truncate(SHOWN);
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_table_is_read_and_every_cell_has_a_cost_and_its_own_name() {
        assert_eq!(TABLES.len(), TEXTS.len());
        for table in TABLES.iter() {
            let mut names: Vec<String> = table.cells.iter().map(CostCell::name).collect();
            assert!(!names.is_empty() && table.study.starts_with("vm/"), "{}", table.study);
            assert!(
                table.cells.iter().all(|cell| cell.instructions_per_work() > 0.0),
                "{}",
                table.study
            );
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.cells.len(), "{}", table.study);
        }
    }

    #[test]
    fn every_table_of_the_repository_is_in_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/vm");
        let files = std::fs::read_dir(folder).expect("the folder is there");
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        // Verdicts, not a table.
        let names = names.filter(|name| name != "claims.json");
        for name in names.filter_map(|name| Some(format!("vm/{}", name.strip_suffix(".json")?))) {
            assert!(find(&name).is_some(), "{name} is not in the list");
        }
    }

    #[test]
    fn the_nearest_names_share_words_with_the_wrong_one() {
        let table = find("vm/dispatch-cost").expect("it is committed");
        assert!(cell(table, "rt-signal idle=5000 active=1").is_some());
        assert!(cell(table, "rt-signal idle=10000 active=1").is_none());
        let near = nearest(table, "rt-signal idle=10000 active=1");
        assert!(near.starts_with("rt-signal idle=1000 active=1, "), "{near}");
        assert_eq!(near.split(", ").count(), 3);
    }
}
