//! How a study ends: what failed makes its exit code 1 and is named, what was not asked for does not count, and what was
//! interrupted says how to resume it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use c10k_record::{CellStatus, ClaimNeeds, SetRecord, StudyRecord, Verdict, read};

use crate::ports::free_port;
use crate::support::{self, OWN, Study, c10k, records, said};

const SECOND: &str = r#"{ model = "event-loop", mechanism = "poll" }"#;

fn concluded(output: &Output) -> StudyRecord {
    read::object(&output.stdout).unwrap_or_else(|damage| panic!("{damage}: {}", said(output)))
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server by its command; nothing listens at its URL unless the command does.
fn server(command: &[&str]) -> String {
    format!(
        "{{ command = {command:?}, url = \"http://127.0.0.1:{}\" }}",
        free_port()
    )
}

/// The file of a study with a claim about both of its variants.
fn with_a_claim(study: &Study) {
    let text = fs::read_to_string(study.file()).expect("it is there");
    let claim = r#"
[[claim]]
id = "answers"
text = "Every request is answered"
source = "this test"
statistic = "value"
measure = "answered-share"
variants = ["one", "two"]
at-least = 0.5
"#;
    fs::write(study.file(), text + claim).expect("it can be written");
}

#[test]
fn a_study_until_it_is_settled_ends_at_the_first_look_that_leaves_nothing_open() {
    let study = Study::new(&[("one", OWN), ("two", OWN)]);
    with_a_claim(&study);
    let output = study.run(&["--until", "settled", "--budget", "60s", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let outcome = concluded(&output);
    let blocks = outcome.claims[0].settled_after.expect("an early look settled it");
    assert_eq!(outcome.claims[0].verdict, Verdict::Confirmed);
    assert!(
        said(&output).contains(&format!("no claim is open after {blocks} blocks")),
        "{}",
        said(&output)
    );
    let run = study.records().iter().map(|record| record.block).max();
    assert_eq!(run, Some(blocks - 1));
    let again = c10k(&["report", "--json", &study.out().to_string_lossy()]);
    assert_eq!(concluded(&again).claims[0].settled_after, Some(blocks));
    assert!(study.run(&["--resume"]).status.success(), "nothing is left to be run");
    assert_eq!(study.records().iter().map(|record| record.block).max(), run);
}

#[test]
fn a_server_that_does_not_start_fails_with_its_last_words_and_the_rest_is_measured() {
    let missing = server(&["/nowhere/server"]);
    let broken = server(&["sh", "-c", "echo 'no such file: my.conf' >&2; exit 3"]);
    let study = Study::new(&[("missing", &missing), ("broken", &broken), ("own", OWN)]);
    let output = study.run(&["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let outcome = concluded(&output);
    let words = [("broken", "no such file: my.conf"), ("missing", "/nowhere/server")];
    assert_eq!(
        (outcome.cells.failed, outcome.cells.skipped, outcome.failures.len()),
        (2, 0, 2)
    );
    for ((variant, word), failure) in words.into_iter().zip(&outcome.failures) {
        assert_eq!((failure.variant.as_str(), failure.cells), (variant, 1));
        assert!(failure.reason.contains(word), "{failure:?}");
        assert_eq!(study.record(variant).status, CellStatus::Failed);
        assert!(outcome.answer.contains(&failure.reason), "{}", outcome.answer);
    }
    let own = study.record("own").status;
    assert!(matches!(own, CellStatus::Measured | CellStatus::Invalid), "{own:?}");
    let folder = study.out();
    let page = fs::read_to_string(folder.join("report.html")).expect("the page is there");
    let text = printed(&c10k(&["report", folder.to_str().expect("UTF-8")]));
    for (variant, word) in words {
        assert!(text.contains(&format!("{variant}: ")) && text.contains(word), "{text}");
        assert!(
            page.contains("<strong>failed</strong>") && page.contains("my.conf"),
            "{page}"
        );
    }
    assert!(text.contains(", 2 failed."), "{text}");

    // Resumed, they are not tried again, and the exit code is the same.
    let again = study.run(&["--resume"]);
    assert_eq!(
        (again.status.code(), study.records().len()),
        (Some(1), records(&folder).len())
    );
}

#[test]
fn something_else_at_the_address_of_a_server_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", taken.local_addr().expect("bound"));
    let study = Study::new(&[
        (
            "other",
            &format!("{{ command = [\"sleep\", \"600\"], url = \"{url}\" }}"),
        ),
        ("own", OWN),
    ]);
    let output = study.run(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let record = study.record("other");
    assert_eq!(record.status, CellStatus::Failed, "{record:?}");
    assert!(record.reasons.concat().contains("something else answers"), "{record:?}");
}

#[test]
fn a_limit_of_the_machine_skips_and_an_option_that_the_server_refuses_fails() {
    let study = Study::new(&[
        ("own", OWN),
        ("mistaken", r#"{ model = "thread-pool", mechanism = "poll" }"#),
        ("unknown", r#"{ model = "event-loop", mechanism = "kqueue" }"#),
    ]);
    // Fewer descriptors than a cell needs, and enough for the lab.
    let mut limited = Command::new("sh");
    let command = study.command(&["--json"]);
    limited
        .args(["-c", "ulimit -n 60; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    let output = limited.output().expect("the shell starts");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let outcome = concluded(&output);
    assert_eq!((outcome.cells.skipped, outcome.cells.failed), (1, 2), "{outcome:?}");
    assert_eq!(study.record("own").status, CellStatus::Skipped);
    assert!(study.record("own").reasons.concat().contains("descriptors"));
    for (variant, word) in [("mistaken", "--mechanism"), ("unknown", "kqueue")] {
        let record = study.record(variant);
        assert_eq!(record.status, CellStatus::Failed, "{record:?}");
        assert!(record.reasons.concat().contains(word), "{record:?}");
    }
}

#[test]
fn a_failed_server_of_one_study_fails_the_set_and_is_named_in_its_overview() {
    let (good, bad) = (
        Study::new(&[("own", OWN)]),
        Study::new(&[("missing", &server(&["/nowhere/server"])), ("own", OWN)]),
    );
    let text = fs::read_to_string(bad.file()).expect("it is there");
    fs::write(bad.file(), text.replace("\"small\"", "\"bad\"")).expect("it can be written");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let out = path(&folder.path().join("out"));
    let output = c10k(&["study", &path(&good.file()), &path(&bad.file()), "--out", &out]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = printed(&output);
    assert!(text.contains("Cells failed in: bad."), "{text}");
    let json = fs::read(Path::new(&out).join("overview.json")).expect("it is there");
    let set: SetRecord = read::object(&json).expect("a set");
    let failed: Vec<usize> = set.outcomes().map(|outcome| outcome.cells.failed).collect();
    assert_eq!(failed, [0, 1]);
}

#[test]
fn a_claim_of_which_cells_were_excluded_is_neither_open_nor_required() {
    let study = Study::new(&[("one", OWN), ("two", SECOND)]);
    with_a_claim(&study);
    let output = study.run(&["--only", "one", "--json"]);
    assert!(output.status.code() < Some(2), "{}", said(&output));
    let claim = &concluded(&output).claims[0];
    assert_eq!(
        (claim.verdict, claim.needs),
        (Verdict::NotMeasured, Some(ClaimNeeds::WholeStudy))
    );
    assert!(claim.estimates.is_empty(), "{claim:?}");
    let drawn = c10k(&["report", study.out().to_str().expect("UTF-8")]);
    let text = printed(&drawn);
    assert!(text.contains("not measured  Every request is answered"), "{text}");
    assert!(
        !text.contains("Inconclusive") && text.contains("1 claim was not measured: excluded by --only."),
        "{text}"
    );
    let page = fs::read_to_string(study.out().join("report.html")).expect("the page is there");
    assert!(page.contains("not measured</span>"), "{page}");
}

#[test]
fn what_is_required_decides_the_exit_code_and_the_open_claims_are_named() {
    let study = Study::new(&[("one", OWN), ("two", SECOND)]);
    with_a_claim(&study);
    // One block settles nothing.
    let output = study.run(&["--require", "confirmed"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("--require confirmed: not confirmed: answers (inconclusive)"),
        "{}",
        said(&output)
    );

    let refused = study.run(&["--require", "floor"]);
    assert_eq!(
        (refused.status.code(), said(&refused).lines().count()),
        (Some(2), 1),
        "{}",
        said(&refused)
    );

    let none = Study::new(&[("one", OWN)]);
    let output = none.run(&["--require", "confirmed"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("there is no claim"), "{}", said(&output));
}

#[test]
fn a_budget_that_is_too_small_for_one_block_is_refused_with_what_it_takes() {
    let study = Study::timed("10s", "20s", &[("one", OWN), ("two", SECOND)]);
    let output = study.run(&["--budget", "30s"]);
    let line = said(&output);
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    for word in [
        "--budget",
        "30s is too small",
        "one block of small takes 60.4 s",
        "--budget 61s",
        "--only",
    ] {
        assert!(line.contains(word), "{line} lacks {word}");
    }
    assert!(!study.out().exists());

    let second = Study::timed("10s", "20s", &[("one", OWN)]);
    let text = fs::read_to_string(second.file()).expect("it is there");
    fs::write(second.file(), text.replace("\"small\"", "\"second\"")).expect("it can be written");
    let files = [study.file(), second.file()].map(|file| file.to_str().expect("UTF-8").to_owned());
    let out = study.out().to_str().expect("UTF-8").to_owned();
    let output = c10k(&["study", &files[0], &files[1], "--out", &out, "--budget", "80s"]);
    let line = said(&output);
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    for word in [
        "80s is too small",
        "2 studies of one block each take 95 s",
        "--budget 96s",
    ] {
        assert!(line.contains(word), "{line} lacks {word}");
    }
    assert!(!study.out().exists());
}

#[test]
fn an_interrupted_study_prints_the_command_that_resumes_it() {
    let study = Study::new(&[("one", OWN), ("two", SECOND)]);
    let home = study.file();
    let out = home.parent().expect("it has one").join("it's the result");
    for signal in ["INT", "TERM", "HUP"] {
        // Below nohup(1), SIGHUP would be ignored.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_c10k"), "study"])
            .arg(study.file())
            .arg("--out")
            .arg(&out)
            .args(["--repeats", "40", "--resume"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let running = command.spawn().expect("the command starts");
        let before = records(&out).len();
        let deadline = Instant::now() + Duration::from_secs(120);
        while records(&out).len() < before + 2 {
            assert!(Instant::now() < deadline, "{signal}: nothing is measured");
            std::thread::sleep(Duration::from_millis(2));
        }
        support::signal(signal, running.id());
        let output = running.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), None, "{signal}: {}", said(&output));
        let said = said(&output);
        let last = said.lines().last().expect("it says something");
        let (_, resume) = last
            .split_once("resume with: ")
            .unwrap_or_else(|| panic!("{signal}: {said}"));
        assert!(resume.ends_with("/it'\\''s the result' --resume"), "{resume}");
        if signal == "HUP" {
            let resumed = Command::new("sh")
                .args(["-c", resume])
                .output()
                .expect("there is a shell");
            assert!(resumed.status.code() < Some(2), "{resume}: {}", support::said(&resumed));
        }
    }
    let cells: std::collections::BTreeSet<_> = records(&out)
        .into_iter()
        .map(|record| (record.cell, record.block))
        .collect();
    assert_eq!(cells.len(), 80, "every cell of every block is there");
}

#[test]
fn a_study_that_is_interrupted_before_it_is_planned_has_nothing_to_resume() {
    // The trial of the first server takes ten seconds, before anything is planned.
    let study = Study::new(&[("silent", &server(&["sleep", "600"])), ("own", OWN)]);
    let running = study.start();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let below = crate::processes::below(running.id());
        if below
            .iter()
            .any(|&(pid, _)| crate::processes::command_of(pid).starts_with("sleep 600"))
        {
            break;
        }
        assert!(Instant::now() < deadline, "the server is not started");
        std::thread::sleep(Duration::from_millis(2));
    }
    support::signal("INT", running.id());
    let output = running.wait_with_output().expect("it ends");
    let said = said(&output);
    assert!(
        said.lines()
            .last()
            .is_some_and(|line| line.contains("nothing was measured yet")),
        "{said}"
    );
}
