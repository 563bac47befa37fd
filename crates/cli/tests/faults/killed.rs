//! A process of a study is killed: the server, the generator, a worker, in every phase. No such cell counts as measured.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use c10k_record::{CellRecord, CellStatus};

use crate::processes::{below, command_of};
use crate::support::{Study, external, said};

/// A process below a study, with its command line and how long it has been seen.
struct Seen {
    pid: u32,
    parent: u32,
    command: String,
    since: Instant,
}

fn signal(name: &str, pid: u32) {
    // The process may have ended meanwhile.
    let _ = std::process::Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
}

/// Runs a study and kills each process that `is_victim` selects, once it has been seen for `after`.
fn kill_in(study: &Study, after: Duration, is_victim: impl Fn(&Seen, &[Seen]) -> bool) -> Vec<CellRecord> {
    let mut running = study.start();
    let mut seen: Vec<Seen> = Vec::new();
    let mut killed = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(240);
    while running.try_wait().expect("it can be waited for").is_none() {
        assert!(
            Instant::now() < deadline,
            "the study goes on without the process that was killed"
        );
        let now = below(running.id());
        seen.retain(|process| now.iter().any(|(pid, _)| *pid == process.pid));
        for (pid, parent) in now {
            if seen.iter().all(|process| process.pid != pid) {
                seen.push(Seen {
                    pid,
                    parent,
                    command: command_of(pid),
                    since: Instant::now(),
                });
            }
        }
        // A process has the command line of its parent until it executes its own program.
        for process in &mut seen {
            process.command = command_of(process.pid);
        }
        for process in &seen {
            if process.since.elapsed() >= after && is_victim(process, &seen) && killed.insert(process.pid) {
                signal("KILL", process.pid);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = running.wait_with_output().expect("it has ended");
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", said(&output));
    assert!(!killed.is_empty(), "nothing was killed");
    study.records()
}

#[track_caller]
fn all_invalid(records: &[CellRecord], word: &str) {
    assert!(!records.is_empty());
    for record in records {
        assert_eq!(record.status, CellStatus::Invalid, "{record:?}");
        assert!(
            record.reasons.concat().contains(word),
            "{:?} lacks {word:?}",
            record.reasons
        );
    }
}

const OWN: &str = r#"{ model = "event-loop" }"#;

fn is_generator(process: &Seen) -> bool {
    process.command.contains(" load http")
}

/// Whether it is the server of a cell: the trial before the first cell has no generator.
fn serves_a_load(process: &Seen, seen: &[Seen]) -> bool {
    process.command.contains(" serve ") && seen.iter().any(is_generator)
}

#[test]
fn a_server_that_is_killed_makes_its_cell_invalid_in_every_phase_and_ends_it() {
    // The phases are longer than any test: the cell has to end at once.
    for (warm_up, duration, after) in [("10m", "10m", 0), ("10m", "10m", 700), ("0", "10m", 1500)] {
        let study = Study::timed(warm_up, duration, &[("own", OWN)]);
        let records = kill_in(&study, Duration::from_millis(after), serves_a_load);
        all_invalid(&records, "the server ended");
        assert!(records.iter().all(|record| record.meters.is_none()), "{records:?}");
    }
}

#[test]
fn a_generator_that_is_killed_makes_its_cell_invalid_in_every_phase() {
    for (warm_up, duration, after) in [("10m", "10m", 0), ("10m", "10m", 700), ("0", "10m", 1500)] {
        let study = Study::timed(warm_up, duration, &[("own", OWN)]);
        let records = kill_in(&study, Duration::from_millis(after), |process, _| is_generator(process));
        all_invalid(&records, "the generator ended without a result");
    }
}

#[test]
fn a_worker_that_is_killed_makes_its_cell_invalid_although_another_takes_its_place() {
    let study = Study::timed("0", "2s", &[("own", r#"{ model = "preforked", workers = 4 }"#)]);
    let records = kill_in(&study, Duration::ZERO, |process, seen| {
        let is_worker = |process: &Seen| {
            let is_master = |other: &Seen| other.pid == process.parent && other.command == process.command;
            process.command.contains("--model preforked") && seen.iter().any(is_master)
        };
        is_worker(process) && seen.iter().any(is_generator)
    });
    all_invalid(&records, "processes of the server ended before the measured time did");
}

#[test]
fn a_child_of_any_other_server_that_is_killed_makes_its_cell_invalid() {
    let study = Study::timed("0", "2s", &[("other", &external("sleep 600 & exec"))]);
    let records = kill_in(&study, Duration::ZERO, |process, seen| {
        process.command.starts_with("sleep 600") && seen.iter().any(is_generator)
    });
    all_invalid(
        &records,
        "1 of 2 processes of the server ended before the measured time did",
    );
}
