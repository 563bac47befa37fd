//! Whole studies over real sockets: the files in their folder, no loss after a kill, and one line for each mistake. Whether a
//! cell is valid depends on what else the machine does; whether these tests pass does not.

#[path = "support/processes.rs"]
mod processes;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use processes::{all_gone, below};

const EXPERIMENT: &str = r#"
name = "small"
title = "A small study"
question = "Does it run?"
seconds = 5
repeats = 2

[server]
model = "event-loop"

[load]
rate = 200
connections = 2
reply = 92
duration = "60ms"
warmup = "20ms"
timeout = "60s"
max-lag = "60s"

[axes]
idle = [0, 20]

[[variant]]
name = "poll"
server = { mechanism = "poll" }

[[variant]]
name = "epoll"
server = { mechanism = "epoll-level" }

[control]
variant = "epoll"
measure = "cpu-us-per-request"

[[claim]]
id = "answers"
text = "Every request is answered"
source = "this test"
statistic = "lowest"
measure = "answered-share"
variants = ["poll", "epoll"]
along = "idle"
at-least = 0.5

[[figure]]
id = "cpu"
title = "CPU"
x = "idle"
y = "cpu-percent"
caption = "Nothing to see."
"#;

/// Cells of the experiment: two variants and the control, at two levels.
const CELLS: usize = 6;
const BLOCKS: usize = 2;

fn study(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    study(arguments).output().expect("the command starts")
}

fn experiment(folder: &Path) -> String {
    let path = folder.join("small.toml");
    fs::write(&path, EXPERIMENT).expect("a temporary file can be written");
    path.to_str().expect("the path is UTF-8").to_owned()
}

/// Cell, block and status (or `disturbed`) of every whole record, in the order in which they were written.
fn records(out: &Path) -> Vec<(String, u64, String)> {
    let text = fs::read_to_string(out.join("records.ndjson")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record is JSON");
        (
            record["cell"].as_str().expect("a cell has a name").to_owned(),
            record["block"].as_u64().expect("a block is a number"),
            match record["disturbed"].as_bool() {
                Some(true) => "disturbed".to_owned(),
                _ => record["status"].as_str().expect("a status is a word").to_owned(),
            },
        )
    });
    lines.collect()
}

#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?} printed {message:?}");
    assert_eq!(
        message.lines().count(),
        1,
        "{arguments:?} printed more than a line: {message:?}"
    );
    for word in words {
        assert!(message.contains(word), "{arguments:?}: {message:?} lacks {word:?}");
    }
}

#[test]
// long: one study and all files that it must write
fn a_study_leaves_records_tables_figures_and_a_page_that_needs_no_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let out_text = out.to_str().expect("UTF-8");
    let output = run(&[
        "study",
        &experiment(folder.path()),
        "--out",
        out_text,
        "--seed",
        "7",
        "--repeats",
        "2",
        "--json",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    let result: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(result["study"], "small");
    let pairs: BTreeSet<(String, u64)> = records(&out)
        .into_iter()
        .map(|(cell, block, _)| (cell, block))
        .collect();
    assert_eq!(pairs.len(), CELLS * BLOCKS);
    for name in [
        "manifest.json",
        "cells.csv",
        "records.csv",
        "verdicts.csv",
        "cpu.svg",
        "report.html",
    ] {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    let page = fs::read_to_string(out.join("report.html")).expect("the page is there");
    assert!(page.contains("Every request is answered"));
    // The only address in the page names the SVG vocabulary; nothing is fetched.
    let addresses = page
        .replace("http://www.w3.org/2000/svg", "")
        .replace("http://127.0.0.1", "");
    assert!(
        !addresses.contains("http://") && !addresses.contains("https://"),
        "the page points elsewhere"
    );
    assert!(!page.contains("<script"), "the page needs no script");

    // The idle connections were open: both ends of each are sockets of this machine.
    let lines = fs::read_to_string(out.join("records.ndjson")).expect("the records are there");
    for line in lines.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record is JSON");
        if record["status"] == "measured" && record["levels"]["idle"] == 20.0 {
            assert!(record["meters"]["tcp_sockets_open"].as_u64() >= Some(40), "{record}");
            assert!(record["meters"]["open_connections"].as_u64() >= Some(20), "{record}");
        }
    }

    // Drawn again from the records alone, the page is the same to the byte.
    let again = run(&["report", out_text]);
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert!(String::from_utf8_lossy(&again.stdout).contains("report.html"));
    assert_eq!(
        fs::read_to_string(out.join("report.html")).expect("the page is there"),
        page
    );

    refused(
        &["study", &experiment(folder.path()), "--out", out_text],
        &["holds a study already", "--resume"],
    );
}

/// Kills the study with SIGKILL as soon as it has written `kill_at` records and has `enough` running children. Returns all
/// children that it had.
fn killed(mut study: Child, out: &Path, kill_at: usize, enough: usize) -> BTreeSet<u32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut children = BTreeSet::new();
    loop {
        let ended = study.try_wait().expect("it can be waited for").is_some();
        let now: Vec<u32> = below(study.id()).into_iter().map(|(pid, _)| pid).collect();
        let enough = now.len() >= enough;
        children.extend(now);
        if ended || (records(out).len() >= kill_at && enough) {
            assert!(!ended, "the study ended before it could be killed");
            break;
        }
        assert!(Instant::now() < deadline, "the study wrote no {kill_at} records");
        std::thread::yield_now();
    }
    // The study may have ended by itself.
    let _ = study.kill();
    study.wait().expect("it can be waited for");
    children
}

/// The server's workers are children of a child. They must not outlive the lab either.
#[test]
fn a_killed_lab_leaves_no_worker_of_a_forking_server_behind() {
    for model in ["preforked", "fork-per-connection"] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let file = folder.path().join("forks.toml");
        let text = EXPERIMENT
            .replace("model = \"event-loop\"", &format!("model = \"{model}\""))
            .replace("server = { mechanism = \"epoll-level\" }\n", "")
            .replace("duration = \"60ms\"", "duration = \"5s\"");
        fs::write(&file, text).expect("it can be written");
        let arguments = [
            "study",
            file.to_str().expect("UTF-8"),
            "--out",
            out.to_str().expect("UTF-8"),
            "--only",
            "epoll idle=20",
            "--repeats",
            "1",
        ];
        let child = study(&arguments).spawn().expect("the command starts");
        // The server, a worker and the generator at least.
        let children = killed(child, &out, 0, 3);
        assert!(children.len() >= 3, "{model}: {children:?}");
        all_gone(&children, "KILL");
    }
}

#[test]
fn a_study_that_is_killed_again_and_again_ends_with_every_cell_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let out_text = out.to_str().expect("UTF-8");
    let file = experiment(folder.path());
    let start = [
        "study",
        &file,
        "--out",
        out_text,
        "--seed",
        "7",
        "--repeats",
        "2",
        "--resume",
    ];
    // Before the last record, so that the study still runs. Each further run of a disturbed cell adds a record.
    for kill_at in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] {
        let child = study(&start).spawn().expect("the command starts");
        all_gone(&killed(child, &out, kill_at, 1), "KILL");
        // A kill during a write leaves such a line.
        if out.join("records.ndjson").is_file() {
            let mut torn = fs::read(out.join("records.ndjson")).expect("it is there");
            torn.extend_from_slice(b"{\"schema\":1,\"study\":\"sm");
            fs::write(out.join("records.ndjson"), torn).expect("it can be written");
        }
    }
    let output = run(&start);
    assert!(
        output.status.code() < Some(2),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(out.join("report.html").is_file());
    let all = records(&out);
    let pairs: BTreeSet<(&str, u64)> = all.iter().map(|(cell, block, _)| (cell.as_str(), *block)).collect();
    assert_eq!(pairs.len(), CELLS * BLOCKS);
    for pair in pairs {
        let tries: Vec<&str> = all
            .iter()
            .filter(|(cell, block, _)| (cell.as_str(), *block) == pair)
            .map(|(_, _, status)| status.as_str())
            .collect();
        // An invalid or disturbed cell is run once more; no other cell may have two records.
        let (_, before) = tries.split_last().expect("there is at least one");
        assert!(
            before.len() <= 1 && before.iter().all(|status| *status != "measured"),
            "{tries:?}"
        );
    }
    refused(
        &["study", &file, "--out", out_text, "--resume", "--seed", "8"],
        &["cannot resume", "--seed is 7"],
    );
    fs::write(&file, EXPERIMENT.replace("rate = 200", "rate = 300")).expect("it can be written");
    refused(
        &["study", &file, "--out", out_text, "--resume"],
        &["cannot resume", "small.toml"],
    );
}

#[test]
fn what_cannot_run_here_is_skipped_what_is_a_mistake_fails_and_the_rest_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let text = EXPERIMENT
        .replace("mechanism = \"poll\"", "mechanism = \"kqueue\"")
        .replace("idle = [0, 20]", "idle = [0, 1000000]");
    let file = folder.path().join("odd.toml");
    fs::write(&file, text).expect("it can be written");
    let output = run(&[
        "study",
        file.to_str().expect("UTF-8"),
        "--repeats",
        "1",
        "--out",
        out.to_str().expect("UTF-8"),
    ]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all = records(&out);
    for (cell, _, status) in &all {
        let failed = cell.starts_with("poll");
        let skipped = !failed && cell.ends_with("idle=1000000");
        assert_eq!(
            (status == "failed", status == "skipped"),
            (failed, skipped),
            "{cell}: {status}"
        );
    }
    let page = fs::read_to_string(out.join("report.html")).expect("the page is there");
    assert!(page.contains("kqueue") && page.contains("descriptors"));
}

#[test]
fn each_mistake_gets_one_line_with_its_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    refused(&["study", "paper/nothing"], &["paper/nothing", "c10k list", "quick"]);
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, EXPERIMENT.replacen("rate = 200", "rate = = 200", 1)).expect("it can be written");
    refused(&["study", broken.to_str().expect("UTF-8")], &["broken.toml:12:"]);
    let unknown = folder.path().join("unknown.toml");
    fs::write(&unknown, EXPERIMENT.replacen("idle = [0, 20]", "idel = [0, 20]", 1)).expect("it can be written");
    refused(
        &["study", unknown.to_str().expect("UTF-8")],
        &["unknown.toml:21:", "unknown axis 'idel'", "idle"],
    );
    let file = experiment(folder.path());
    // A file in place of the folder: nothing can be written below it, not even by root.
    refused(
        &["study", &file, "--out", &format!("{file}/out")],
        &["cannot write", "--out"],
    );
    refused(
        &["study", &file, "--only", "nonsense"],
        &["--only 'nonsense'", "poll idle=0"],
    );
    refused(&["study", &file, "--repeats", "0"], &["--repeats"]);
    refused(&["study", &file, "--budget", "soon"], &["--budget", "2m"]);
    refused(
        &["report", folder.path().to_str().expect("UTF-8")],
        &["holds no study", "c10k study"],
    );
}

#[test]
fn several_studies_get_a_folder_each_and_one_that_fails_does_not_stop_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let out_text = out.to_str().expect("UTF-8");
    let named = |name: &str, text: &str| {
        let path = folder.path().join(format!("{name}.toml"));
        fs::write(&path, text.replace("\"small\"", &format!("\"{name}\""))).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let impossible = EXPERIMENT
        .replace("rate = 200\n", "rate = \"5%\"\n")
        .replace("mechanism = \"poll\"", "mechanism = \"kqueue\"")
        + "[saturation]\nvariant = \"poll\"\n";
    let (first, broken, last) = (
        named("first", EXPERIMENT),
        named("broken", &impossible),
        named("last", EXPERIMENT),
    );
    let start = ["study", &first, &broken, &last, "--out", out_text, "--budget", "30s"];
    let more = ["--only", "poll idle=0", "--repeats", "1", "--seed", "7", "--json"];
    let go = |extra: &[&str]| run(&[&start[..], &more, extra].concat());
    let output = go(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines = |output: &Output| -> Vec<serde_json::Value> {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line is an object"))
            .collect()
    };
    let ended: Vec<String> = lines(&output).iter().map(|entry| entry["ended"].to_string()).collect();
    assert_eq!(ended, ["\"concluded\"", "\"failed\"", "\"concluded\""], "{said}");
    let server_cpus: BTreeSet<String> = ["first", "last"]
        .map(|name| fs::read_to_string(out.join(name).join("manifest.json")).expect("it is there"))
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).expect("JSON")["server_cpu"].to_string())
        .collect();
    assert_eq!(server_cpus.len(), 1, "a study must not take CPUs from the next");
    let page = fs::read_to_string(out.join("index.html")).expect("the overview is there");
    assert!(
        page.contains("first/report.html") && page.contains("saturation"),
        "{page}"
    );
    assert!(out.join("first/report.html").is_file() && out.join("last/report.html").is_file());

    // Resumed: nothing is measured twice, and what failed is run again.
    let before = records(&out.join("first")).len() + records(&out.join("last")).len();
    let again = go(&["--resume"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(lines(&again).len(), 3);
    assert_eq!(
        records(&out.join("first")).len() + records(&out.join("last")).len(),
        before
    );
    let drawn = run(&["report", out_text]);
    assert_eq!(drawn.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&drawn.stdout).contains("Overview: "));
    refused(&[&start[..], &more].concat(), &["holds a study already", "--resume"]);
}

#[test]
fn another_build_may_not_resume_a_study_that_this_one_has_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("small.toml");
    fs::write(&file, EXPERIMENT).expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    let other = folder.path().join("c10k-of-tomorrow");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_c10k")).expect("it is there");
    bytes.push(0);
    fs::write(&other, bytes).expect("it can be written");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let out = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let named = |name: &str| file.replace("small.toml", name);
    fs::write(named("second.toml"), EXPERIMENT.replace("\"small\"", "\"second\"")).expect("it can be written");
    let (alone, together, second) = (out("alone"), out("together"), named("second.toml"));
    for studies in [
        &["study", file, "--out", &alone][..],
        &["study", file, &second, "--out", &together],
    ] {
        let begun = run(&[studies, &["--only", "poll idle=0", "--repeats", "1"]].concat());
        assert!(
            begun.status.code() < Some(2),
            "{}",
            String::from_utf8_lossy(&begun.stderr)
        );
        let again = [studies, &["--resume"]].concat();
        let output = Command::new(&other).args(again).output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("another build of c10k"), "{said}");
    }
}
