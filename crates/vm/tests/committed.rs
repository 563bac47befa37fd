//! The committed tables of the guest, and what is made of them.

use std::fs;
use std::path::PathBuf;

use c10k_record::CostTable;
use c10k_vm::claims::{self, Verdict};
use c10k_vm::study::STUDIES;
use c10k_vm::{Scaling, curves};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../experiments/vm")
}

/// The tables in the order of the studies.
fn tables() -> Vec<CostTable> {
    let path = |name: &str| folder().join(format!("{}.json", name.trim_start_matches("vm/")));
    let table = |name| serde_json::from_slice(&fs::read(path(name)).expect("it is committed")).expect("it is a table");
    STUDIES.iter().map(|study| table(study.name)).collect()
}

#[test]
fn every_figure_is_drawn_from_its_table() {
    let mut count = 0;
    for table in tables() {
        for figure in curves::figures(&table, Scaling::default()).expect("it draws") {
            let committed = fs::read_to_string(folder().join(format!("{}.svg", figure.name)));
            assert!(
                committed.expect("it is committed") == figure.wide,
                "{} is not drawn from the table of {}: c10k vm study writes both",
                figure.name,
                table.study
            );
            count += 1;
        }
    }
    assert_eq!(count, 16);
}

#[test]
fn the_committed_verdicts_are_those_of_the_committed_tables() {
    let committed = fs::read_to_string(folder().join("claims.json")).expect("it is committed");
    let judged: Vec<Verdict> = tables().iter().flat_map(claims::judge).collect();
    let judged = serde_json::to_string_pretty(&judged).expect("they are finite") + "\n";
    assert_eq!(committed, judged);
}
