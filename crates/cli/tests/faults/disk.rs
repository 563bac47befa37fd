//! Servers with files: the lab makes a directory for them, says how fast its disk is, and leaves nothing of it behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use c10k_record::{CellStatus, Manifest, read};

use crate::support::{Study, said};

/// A study of a mix of requests, whose server has four files.
fn study(duration: &str) -> Study {
    let server = r#"{ model = "event-loop", mechanism = "poll", disk-files = 4, disk-delay = "100us" }"#;
    let study = Study::timed("20ms", duration, &[("one", server)]);
    let text = fs::read_to_string(study.file()).expect("it is there");
    let mix = "[load]\nother-path = \"/file/{zipf:4}\"\nother-share = 30";
    fs::write(study.file(), text.replacen("[load]", mix, 1)).expect("it can be written");
    study
}

/// The directories of files below `folder`.
fn scratch(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.to_string_lossy().contains("c10k-scratch"))
        .collect()
}

#[test]
fn the_files_are_served_their_disk_is_measured_and_their_directory_is_removed() {
    let study = study("500ms");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let output = study.run(&["--disk", &elsewhere.path().to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    let records = study.records();
    // A cell that was disturbed is tried again.
    let record = records.last().expect("one cell");
    assert_ne!(record.status, CellStatus::Failed, "{:?}", record.reasons);
    let place = elsewhere.path().canonicalize().expect("it is there");
    let of_server = record.server_command.join(" ");
    assert!(
        of_server.contains(&format!("--disk {}", place.display())),
        "{of_server}"
    );
    let load = record.load.as_ref().expect("a summary");
    let [main, other] = &load.rows[..] else {
        panic!("two rows: {:?}", load.rows)
    };
    assert_eq!(
        (main.request.as_str(), other.request.as_str()),
        ("/bytes/92", "/file/{zipf:4}")
    );
    assert!(other.completed > 0 && other.completed == other.intended, "{other:?}");
    let manifest: Manifest = read::object(&fs::read(study.out().join("manifest.json")).expect("written")).expect("one");
    let disk = manifest.disk.expect("a disk");
    assert!(disk.speed.values["append_p50_us"] > 0.0, "{disk:?}");
    let report = fs::read_to_string(study.out().join("report.html")).expect("written");
    assert!(
        report.contains("an append with fdatasync takes"),
        "the report has no disk"
    );
    assert!(scratch(elsewhere.path()).is_empty());
}

#[test]
fn a_study_that_is_ended_by_a_signal_leaves_no_directory_behind() {
    for signal in ["INT", "KILL"] {
        let study = study("10m");
        let mut running = study.start();
        let deadline = Instant::now() + Duration::from_secs(60);
        while scratch(&study.out()).is_empty() {
            assert!(Instant::now() < deadline, "no directory is made");
            std::thread::sleep(Duration::from_millis(5));
        }
        let id = running.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill is there").success());
        running.wait().expect("it ends");
        // The guard of a study that is killed has still to end.
        while !scratch(&study.out()).is_empty() {
            assert!(Instant::now() < deadline, "{signal}: the directory is left");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_directory_that_does_not_exist_is_refused_in_one_line() {
    let output = study("500ms").run(&["--disk", "/nonexistent"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nonexistent") && said.contains("--disk"), "{said}");
}
