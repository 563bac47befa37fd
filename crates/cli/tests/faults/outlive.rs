//! Nothing that a study starts outlives it, and nothing that a cell starts outlives the cell.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use c10k_record::CellStatus;

use crate::ports::free_port;
use crate::processes::{all_gone, below, command_of, gone};
use crate::support::{self, OWN, Study, external, said};

/// A server that leaves a process of another session behind.
fn leaving() -> String {
    external("setsid sleep 600 & exec")
}

#[test]
fn whatever_signal_ends_a_study_nothing_of_it_is_left() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
        let study = Study::timed("0", "10m", &[("leaving", &leaving())]);
        let mut running = study.start_in_background();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = BTreeSet::new();
        loop {
            let now: Vec<u32> = below(running.id()).into_iter().map(|(pid, _)| pid).collect();
            let commands: Vec<String> = now.iter().copied().map(command_of).collect();
            seen.extend(now);
            let has = |words: &str| commands.iter().any(|command| command.contains(words));
            if has("sleep 600") && has(" load http") {
                break;
            }
            assert!(Instant::now() < deadline, "{commands:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        support::signal(signal, running.id());
        let status = running.wait().expect("it can be waited for");
        assert_eq!(status.signal(), Some(number), "{signal}");
        if number != 9 {
            // The caller has waited for the end of everything.
            assert!(seen.iter().all(|&pid| gone(pid)), "{signal}: something was left");
        }
        all_gone(&seen, signal);
    }
}

#[test]
fn what_a_server_leaves_behind_ends_with_its_cell_and_is_named() {
    let study = Study::new(&[("leaving", &leaving()), ("own", OWN)]);
    let mut running = study.start();
    let mut sleepers = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while running.try_wait().expect("it can be waited for").is_none() {
        assert!(Instant::now() < deadline, "the study does not end");
        let now = below(running.id()).into_iter().map(|(pid, _)| pid);
        sleepers.extend(now.filter(|&pid| command_of(pid).starts_with("sleep 600")));
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = running.wait_with_output().expect("it has ended");
    assert!(output.status.code() < Some(2), "{}", said(&output));
    assert!(
        !sleepers.is_empty() && sleepers.iter().all(|&pid| gone(pid)),
        "{sleepers:?}"
    );
    let notes = study.record("leaving").notes.concat();
    assert!(
        notes.contains("left processes behind") && notes.contains("sleep"),
        "{notes}"
    );
    assert!(!study.record("own").notes.concat().contains("behind"));
}

#[test]
fn a_server_that_goes_to_the_background_is_named_with_the_remedy_and_its_port_is_free_again() {
    let port = free_port();
    let server = format!(
        r#"{{ command = ["sh", "-c", "setsid \"$0\" serve --listen 127.0.0.1:{port} >/dev/null 2>&1 & exit 0", {:?}], url = "http://127.0.0.1:{port}" }}"#,
        env!("CARGO_BIN_EXE_c10k")
    );
    let study = Study::new(&[("daemon", &server), ("own", OWN)]);
    let output = study.run(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let record = study.record("daemon");
    assert_eq!(record.status, CellStatus::Failed, "{record:?}");
    let reasons = record.reasons.concat();
    for word in ["running in the background", "foreground", "daemon off"] {
        assert!(reasons.contains(word), "{reasons} lacks {word}");
    }
    let own = study.record("own").status;
    assert!(matches!(own, CellStatus::Measured | CellStatus::Invalid), "{own:?}");
    TcpListener::bind(("127.0.0.1", port)).expect("the daemon still has the port");
}
