//! Compares result folders of real studies that the test runs: of a server, and of the same server made slower.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use c10k_record::{CellRecord, CellStatus, Change, ComparisonRecord, Pairing, SCHEMA};

const EXPERIMENT: &str = r#"
name = "small"
title = "A small study"
question = "Does it run?"
seconds = 5
call-passes = 0

[server]
model = "event-loop"
mechanism = "epoll-level"
work = "WORK"

[load]
rate = 100
connections = 2
reply = 92
duration = "500ms"
warmup = "20ms"
timeout = "60s"
max-lag = "60s"

[[variant]]
name = "VARIANT"
"#;

/// A study without a server, so that CPU per request is not among its measures.
const PROBE: &str = r#"
name = "ring"
title = "A ring of tasks"
question = "What does a switch cost?"
seconds = 5

[probe]
name = "switch-cost"
by = "eventfd"
tasks = 2
time = "20ms"

[[variant]]
name = "eventfd"
"#;

const BLOCKS: usize = 3;

fn c10k(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_c10k")).args(arguments).output();
    output.expect("the command starts")
}

/// The only printed comparison.
#[track_caller]
fn comparison(output: &Output) -> ComparisonRecord {
    let found: ComparisonRecord = serde_json::from_slice(&output.stdout).expect("a comparison");
    assert_eq!(found.schema, SCHEMA);
    found
}

/// Runs the study into a folder of the given name and returns its path. A busy machine makes cells invalid: then the study
/// runs again, until all blocks count.
fn study(folder: &Path, name: &str, work: &str, variant: &str, seed: &str) -> String {
    let file = folder.join(format!("{name}.toml"));
    let text = EXPERIMENT.replace("WORK", work).replace("VARIANT", variant);
    fs::write(&file, text).expect("it can be written");
    let out = folder.join(name).to_str().expect("UTF-8").to_owned();
    let file = file.to_str().expect("UTF-8");
    for _ in 0..20 {
        let output = c10k(&[
            "study",
            file,
            "--out",
            &out,
            "--repeats",
            &BLOCKS.to_string(),
            "--seed",
            seed,
        ]);
        assert!(
            output.status.code() < Some(2),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if blocks_that_count(Path::new(&out)) == BLOCKS {
            return out;
        }
        fs::remove_dir_all(&out).expect("it was written");
    }
    panic!("the machine was too busy to measure anything in 20 studies")
}

/// The number of blocks whose only cell was measured.
fn blocks_that_count(out: &Path) -> usize {
    let text = fs::read_to_string(out.join("records.ndjson")).expect("the records are there");
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<CellRecord>(line).expect("a record"));
    let blocks: BTreeSet<u32> = records
        .filter(|record| record.status == CellStatus::Measured)
        .map(|record| record.block)
        .collect();
    blocks.len()
}

/// `slower` is what a comparison with a slower server printed.
#[track_caller]
fn its_last_line_is_the_gate(base: &str, slower: &str) {
    let last = slower.lines().last().expect("there are lines");
    assert!(
        last.starts_with("Gate failed: of 1 comparison, 1 worse, 0 undecided."),
        "{last}"
    );
    let same = c10k(&["compare", base, base]);
    let text = String::from_utf8_lossy(&same.stdout);
    assert_eq!(
        text.lines().last(),
        Some(
            "Gate passed: of 1 comparison, 0 worse, 0 undecided. The smallest change that it could have seen is 5.0%."
        )
    );
}

#[test]
fn a_slower_server_is_worse_a_folder_equals_itself_and_strangers_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = study(folder.path(), "base", "0us", "epoll", "7");
    let slow = study(folder.path(), "slow", "5ms", "epoll", "7");
    let other = study(folder.path(), "other", "0us", "stranger", "7");

    let itself = c10k(&["compare", &base, &base, "--json"]);
    assert_eq!(
        itself.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&itself.stderr)
    );
    let found = comparison(&itself);
    assert_eq!(found.environment, []);
    assert_eq!(found.pairing, Pairing::Blocks);
    let cell = &found.cells[0];
    assert_eq!(cell.verdict, Change::Equivalent, "{found:?}");
    assert_eq!(
        (cell.ratio, cell.ratio_low, cell.ratio_high),
        (Some(1.0), Some(1.0), Some(1.0))
    );
    assert_eq!(
        (cell.measure.as_str(), cell.unit.as_str()),
        ("cpu-us-per-request", "µs")
    );
    assert_eq!((cell.blocks_a, cell.blocks_b), (BLOCKS, BLOCKS));

    let slower = c10k(&["compare", &base, &slow, "--json", "--bound", "10%"]);
    assert_eq!(
        slower.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&slower.stdout)
    );
    let found = comparison(&slower);
    assert_eq!(found.cells[0].verdict, Change::Worse, "{found:?}");
    assert!(
        found.cells[0].b > Some(2500.0),
        "most of the 5 ms of work is in the CPU time per request: {found:?}"
    );
    assert_eq!(found.pairing, Pairing::Independent, "another experiment");
    assert_eq!(found.environment[0].what, "experiment");

    let words = c10k(&["compare", &base, &slow]);
    let text = String::from_utf8_lossy(&words.stdout);
    let (environment, verdict) = (text.find("environments differ"), text.find("worse"));
    assert!(
        environment.is_some() && environment < verdict,
        "the environment comes first: {text}"
    );
    its_last_line_is_the_gate(&base, &text);

    for (arguments, word) in [
        (vec!["compare", &base, &other], "no cell in common"),
        (vec!["compare", &base, "/nowhere"], "holds no study"),
        (
            vec!["compare", &base, &slow, "--measure", "beauty"],
            "no measure 'beauty'",
        ),
        (vec!["compare", &base, &slow, "--bound", "much"], "5%"),
    ] {
        let refused = c10k(&arguments);
        let message = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(
            message.lines().count() == 1 && message.contains(word),
            "{arguments:?}: {message}"
        );
    }
}

#[test]
fn a_cell_that_no_longer_runs_is_lost_and_fails_the_gate() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = study(folder.path(), "base", "0us", "epoll", "7");
    let lost = study(folder.path(), "lost", "0us", "epoll", "7");
    let records = Path::new(&lost).join("records.ndjson");
    let text = fs::read_to_string(&records).expect("records");
    fs::write(
        &records,
        text.replace("\"status\":\"measured\"", "\"status\":\"invalid\""),
    )
    .expect("it can be written");
    let found = c10k(&["compare", &base, &lost, "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let found = comparison(&found);
    assert_eq!(found.cells[0].verdict, Change::Lost, "{found:?}");
    assert_eq!(found.cells[0].b, None);
}

#[test]
fn a_probe_is_compared_by_what_its_operation_costs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ring.toml");
    fs::write(&file, PROBE).expect("it can be written");
    let out = folder.path().join("out").to_str().expect("UTF-8").to_owned();
    let ran = c10k(&["study", file.to_str().expect("UTF-8"), "--out", &out, "--repeats", "2"]);
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let found = c10k(&["compare", &out, &out, "--json"]);
    assert_eq!(
        found.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    assert_eq!(comparison(&found).cells[0].measure, "cost-us");
}
