//! Servers that run for a whole study: which cells share one, what a fault costs, and that nothing of them is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use c10k_record::{CellRecord, CellStatus, Manifest};

use crate::processes::{all_gone, below, command_of};
use crate::support::{self, OWN, Study, WINDOWS, external, said};

const POLL: &str = r#"{ model = "event-loop", mechanism = "poll" }"#;

fn manifest(study: &Study) -> Manifest {
    let text = fs::read_to_string(study.out().join("manifest.json")).expect("it is there");
    serde_json::from_str(&text).expect("a manifest")
}

/// The addresses of the servers of each variant, in the order of the records.
fn addresses(records: &[CellRecord]) -> BTreeMap<&str, Vec<&str>> {
    let mut addresses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in records {
        let address = record.load_command.get(2).map_or("", String::as_str);
        addresses.entry(&record.variant).or_default().push(address);
    }
    addresses
}

#[test]
fn each_variant_has_one_server_for_all_its_windows_and_an_invalid_window_costs_no_other() {
    let study = Study::interleaved(&[("one", OWN), ("two", POLL)]);
    let output = study.run(&[]);
    assert!(output.status.code() < Some(2), "{}", said(&output));
    assert!(manifest(&study).interleaved);
    let records = study.records();
    assert!(records.len() >= 2 * WINDOWS, "{records:?}");
    for (variant, addresses) in addresses(&records) {
        let mut of_variant = records.iter().filter(|record| record.variant == variant);
        let invalid = of_variant
            .clone()
            .filter(|record| record.status != CellStatus::Measured);
        let distinct: BTreeSet<&str> = addresses.iter().copied().collect();
        // A window that is not valid costs its server. The last one of a study has no successor.
        assert!(distinct.len() <= 1 + invalid.count(), "{variant}: {addresses:?}");
        assert!(of_variant.all(|record| record.load_command.iter().any(|word| word == "--windows")));
    }
    let distinct: BTreeSet<&str> = addresses(&records).into_values().flatten().collect();
    assert!(distinct.len() >= 2, "two variants have two servers");
    for record in records.iter().filter(|record| record.status == CellStatus::Measured) {
        let load = record.load.as_ref().expect("it was measured");
        assert!(load.completed > 0 && load.reconciles(), "{load:?}");
        assert!(record.meters.as_ref().is_some_and(|meters| meters.cpu_run_ns > 0));
        assert!(record.server.is_none(), "a server's totals are not of a window");
    }
}

#[test]
fn a_study_of_windows_that_lost_records_resumes_with_new_servers() {
    let study = Study::interleaved(&[("one", OWN), ("two", POLL)]);
    assert!(study.run(&[]).status.code() < Some(2));
    let file = study.out().join("records.ndjson");
    let text = fs::read_to_string(&file).expect("it is there");
    let whole = study.records();
    let kept = text
        .lines()
        .take(3)
        .fold(String::new(), |kept, line| kept + line + "\n");
    fs::write(&file, &kept).expect("it can be written");
    let output = study.run(&["--resume"]);
    assert!(output.status.code() < Some(2), "{}", said(&output));
    let records = study.records();
    assert_eq!(records[..3], whole[..3]);
    let cells: BTreeSet<(&str, u32)> = records
        .iter()
        .map(|record| (record.cell.as_str(), record.block))
        .collect();
    assert_eq!(cells.len(), 2 * WINDOWS, "{records:?}");
    assert!(
        records[3..]
            .iter()
            .all(|record| record.load_command.iter().any(|word| word == "--windows"))
    );
    let before: BTreeSet<&str> = addresses(&whole[..3]).into_values().flatten().collect();
    let after: BTreeSet<&str> = addresses(&records[3..]).into_values().flatten().collect();
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
}

#[test]
fn a_server_that_is_never_idle_is_measured_by_itself_and_its_records_say_why() {
    let busy = external("while :; do :; done & exec");
    let study = Study::interleaved(&[("busy", &busy), ("own", OWN)]);
    let output = study.run(&[]);
    assert!(output.status.code() < Some(2), "{}", said(&output));
    let records = study.records();
    let of =
        |variant: &str| -> Vec<&CellRecord> { records.iter().filter(|record| record.variant == variant).collect() };
    assert!(of("busy").len() >= WINDOWS && of("own").len() >= WINDOWS, "{records:?}");
    for record in of("busy") {
        let notes = record.notes.concat();
        assert!(
            notes.contains("measured by itself") && notes.contains("% of a CPU"),
            "{notes}"
        );
        assert!(record.load_command.iter().all(|word| word != "--windows"));
    }
    assert!(
        of("own")
            .iter()
            .all(|record| record.load_command.iter().any(|word| word == "--windows"))
    );
}

#[test]
fn servers_that_would_have_the_same_address_run_one_after_the_other() {
    let server = external("exec");
    let study = Study::interleaved(&[("same", &server), ("again", &server)]);
    let output = study.run(&[]);
    assert!(output.status.code() < Some(2), "{}", said(&output));
    let manifest = manifest(&study);
    assert!(!manifest.interleaved);
    let note = manifest.notes.concat();
    assert!(
        note.contains("several cells have their server at http://127.0.0.1:"),
        "{note}"
    );
    assert!(
        study
            .records()
            .iter()
            .all(|record| record.load_command.iter().all(|word| word != "--windows"))
    );
}

#[test]
fn a_server_that_is_killed_between_its_windows_costs_one_window() {
    let study = Study::interleaved(&[("one", OWN), ("two", POLL)]);
    let mut running = study.start();
    let deadline = Instant::now() + Duration::from_secs(240);
    let mut killed = None;
    while running.try_wait().expect("it can be waited for").is_none() {
        assert!(Instant::now() < deadline, "the study goes on without its server");
        let has_record = !study.records().is_empty();
        let poll = below(running.id()).into_iter().map(|(pid, _)| pid).find(|&pid| {
            let command = command_of(pid);
            command.contains(" serve ") && command.contains("--mechanism poll")
        });
        if let (None, true, Some(pid)) = (killed, has_record, poll) {
            support::signal("KILL", pid);
            killed = Some(pid);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(killed.is_some(), "nothing was killed");
    let records = study.records();
    let of_two = || records.iter().filter(|record| record.variant == "two");
    let named = of_two().filter(|record| record.reasons.concat().contains("the server ended"));
    assert_eq!(named.count(), 1, "{records:?}");
    let blocks: BTreeSet<u32> = of_two().map(|record| record.block).collect();
    assert_eq!(blocks.len(), WINDOWS, "{records:?}");
    let distinct: BTreeSet<&str> = addresses(&records)["two"].iter().copied().collect();
    assert!(distinct.len() >= 2, "the next window had another server: {distinct:?}");
}

#[test]
fn whatever_signal_ends_a_study_of_windows_nothing_of_it_is_left() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
        let leaving = external("setsid sleep 600 & exec");
        let study = Study::interleaved(&[("leaving", &leaving), ("one", OWN), ("two", POLL)]);
        let mut running = study.start_in_background();
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut seen = BTreeSet::new();
        while study.records().is_empty() {
            assert!(Instant::now() < deadline, "{signal}: no window was measured");
            seen.extend(below(running.id()).into_iter().map(|(pid, _)| pid));
            std::thread::sleep(Duration::from_millis(2));
        }
        support::signal(signal, running.id());
        let status = running.wait().expect("it can be waited for");
        assert_eq!(status.signal(), Some(number), "{signal}");
        all_gone(&seen, signal);
    }
}

#[test]
fn a_study_of_windows_that_is_killed_ten_times_ends_with_every_window_and_leaves_no_process() {
    /// More than are measured before the tenth kill: a busy machine may measure several before each.
    const MANY: usize = 4 * WINDOWS;
    let study = Study::of_windows(MANY, &[("one", OWN), ("two", POLL)]);
    let mut seen = BTreeSet::new();
    for kill in 0..10 {
        let windows = study.records().len() + kill % 2;
        let more: &[&str] = if kill == 0 { &[] } else { &["--resume"] };
        let mut running = study.command(more).spawn().expect("the command starts");
        let started = Instant::now();
        // While the servers start, or in one of the next windows.
        let is_early = |elapsed: Duration| elapsed < Duration::from_millis(60 * kill as u64);
        while is_early(started.elapsed()) || study.records().len() < windows {
            assert!(started.elapsed() < Duration::from_secs(120), "no window was measured");
            let ended = running.try_wait().expect("it can be waited for");
            assert!(
                ended.is_none(),
                "it ended before kill {kill}: {} records",
                study.records().len()
            );
            seen.extend(below(running.id()).into_iter().map(|(pid, _)| pid));
            std::thread::sleep(Duration::from_millis(2));
        }
        support::signal("KILL", running.id());
        running.wait().expect("it can be waited for");
        all_gone(&seen, "KILL");
    }
    let output = study.run(&["--resume"]);
    assert!(output.status.code() < Some(2), "{}", said(&output));
    let mut tries: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for record in study.records() {
        *tries.entry((record.cell, record.block)).or_default() += 1;
    }
    assert_eq!(tries.len(), 2 * MANY, "{tries:?}");
    assert!(tries.values().all(|&tries| tries <= 2), "{tries:?}");
}
