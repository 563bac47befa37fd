//! Folders that something has damaged: each damage is one line, and loses nothing else.

use std::fs;
use std::path::Path;
use std::process::Output;

use c10k_record::CellStatus;

use crate::support::{OWN, Study, c10k, records, said};

const SECOND: &str = r#"{ model = "event-loop", mechanism = "poll" }"#;

/// How often a study runs again because a busy machine made cells of it invalid.
const TRIES: u32 = 20;

/// A finished study of two cells, both of which were measured.
fn finished() -> Study {
    let mut reasons = Vec::new();
    for _ in 0..TRIES {
        let study = Study::new(&[("one", OWN), ("two", SECOND)]);
        let output = study.run(&[]);
        assert!(output.status.code() < Some(2), "{}", said(&output));
        if is_measured(&study.out()) {
            return study;
        }
        reasons.extend(study.records().into_iter().flat_map(|record| record.reasons));
    }
    panic!("the machine was too busy to measure two cells in {TRIES} studies: {reasons:?}")
}

/// Whether the two cells were measured at each try; a cell that was disturbed is tried again.
fn is_measured(out: &Path) -> bool {
    let records = records(out);
    records.len() >= 2 && records.iter().all(|record| record.status == CellStatus::Measured)
}

/// Asserts that one line of standard error has all these words.
#[track_caller]
fn names(output: &Output, words: &[&str]) {
    let said = said(output);
    let found = said
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .count();
    assert_eq!(found, 1, "no line, or several, with {words:?}: {said}");
}

#[test]
fn one_bad_byte_loses_one_record_and_resume_runs_it_again() {
    let study = finished();
    let (out, file) = (study.out(), study.out().join("records.ndjson"));
    let folder = out.to_str().expect("UTF-8");
    let whole = study.records();
    let mut text = fs::read(&file).expect("it is there");
    text[20] = 0xff;
    fs::write(&file, &text).expect("it can be written");
    let words = ["records.ndjson:1:", "this record is lost", "--resume"];
    let left = whole.len() - 1;

    let drawn = c10k(&["report", folder, "--json"]);
    assert_eq!(drawn.status.code(), Some(0), "{}", said(&drawn));
    names(&drawn, &words);
    let study_record: serde_json::Value = serde_json::from_slice(&drawn.stdout).expect("JSON");
    assert_eq!(study_record["damage"].as_array().map(Vec::len), Some(1));
    let page = fs::read_to_string(out.join("report.html")).expect("the page is there");
    assert!(
        page.contains("records.ndjson:1:"),
        "the page does not say what it lacks"
    );

    let compared = c10k(&["compare", folder, folder]);
    assert!(compared.status.code() < Some(2), "{}", said(&compared));
    assert!(said(&compared).contains(words[0]));
    assert_eq!(study.records(), whole[1..]);

    let resumed = study.run(&["--resume"]);
    assert!(resumed.status.code() < Some(2), "{}", said(&resumed));
    names(&resumed, &words);
    let again = study.records();
    assert_eq!(again[..left], whole[1..], "nothing else changed");
    // If the cell was tried twice, its other record is still there.
    assert!(again.iter().any(|record| record.cell == whole[0].cell), "{again:?}");
}

#[test]
fn records_without_a_manifest_are_not_adopted() {
    let study = finished();
    let manifest = study.out().join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("it is there");
    fs::remove_file(&manifest).expect("it is there");
    let before = study.records();
    for arguments in [&["--resume"][..], &[]] {
        let output = study.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        names(&output, &["holds records and no manifest.json", "--out"]);
    }
    assert_eq!(study.records(), before);
    assert!(!manifest.exists());

    fs::write(&manifest, text.replacen("\"schema\": 1", "\"schema\": 9", 1)).expect("it can be written");
    for output in [
        study.run(&["--resume"]),
        c10k(&["report", study.out().to_str().expect("UTF-8")]),
    ] {
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        names(&output, &["manifest.json:1:", "schema 9", "later version"]);
    }
}

#[test]
fn a_damaged_study_of_a_set_loses_no_other_study() {
    let (first, second) = (finished(), finished());
    let set = tempfile::tempdir().expect("a folder");
    let named = |study: &Study, name: &str| {
        let file = set.path().join(format!("{name}.toml"));
        let text =
            fs::read_to_string(study.out().parent().expect("it has one").join("small.toml")).expect("it is there");
        fs::write(&file, text.replace("\"small\"", &format!("\"{name}\""))).expect("it can be written");
        file.to_str().expect("UTF-8").to_owned()
    };
    let (one, two) = (named(&first, "first"), named(&second, "second"));
    let out = set.path().join("out");
    let folder = out.to_str().expect("UTF-8");
    for tries in 1.. {
        let run = c10k(&["study", &one, &two, "--out", folder, "--repeats", "1", "--seed", "7"]);
        assert!(run.status.code() < Some(2), "{}", said(&run));
        if is_measured(&out.join("first")) && is_measured(&out.join("second")) {
            break;
        }
        assert!(
            tries < TRIES,
            "the machine was too busy to measure four cells in {TRIES} sets: {}",
            said(&run)
        );
        fs::remove_dir_all(&out).expect("it was written");
    }
    fs::write(out.join("first/manifest.json"), "{").expect("it can be written");

    let drawn = c10k(&["report", folder, "--json"]);
    let text = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(
        text.contains("\"failed\"") && text.contains("\"concluded\""),
        "{text}: {}",
        said(&drawn)
    );
    let compared = c10k(&["compare", folder, folder, "--json"]);
    assert_eq!(compared.status.code(), Some(1), "{}", said(&compared));
    let text = String::from_utf8_lossy(&compared.stdout).into_owned();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(
        lines[0]["unreadable"]
            .as_str()
            .is_some_and(|reason| reason.contains("first/manifest.json:1:")),
        "{text}"
    );
    assert!(lines[1]["unreadable"].is_null() && lines[1]["cells"].as_array().is_some_and(|cells| !cells.is_empty()));
}
