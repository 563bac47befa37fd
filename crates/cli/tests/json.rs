//! Every `--json` output is a type of `c10k-record` with a schema number. What is printed reads back as that type without
//! loss.

use std::fmt::Debug;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use c10k_record::{
    ComparisonRecord, DoctorReport, Inventory, LoadRecord, LoadSearch, ProbeSummary, SCHEMA, ServeRecord, SetEntry,
    SetManifest, SetRecord, StudyRecord,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Commands with `--json`, by their names in `c10k help`. `vm study` needs an emulator; the tests of the guest read its
/// table.
const COVERED: &[&str] = &["serve", "load", "probe", "study", "report", "compare", "list", "doctor"];

const EXPERIMENT: &str = r#"
name = "NAME"
title = "A small study"
question = "Does it run?"
seconds = 5
call-passes = 0

[server]
model = "event-loop"
mechanism = "epoll-level"

[load]
rate = 100
connections = 2
reply = 92
duration = "500ms"
warmup = "20ms"
timeout = "20s"
max-lag = "20s"

[[variant]]
name = "epoll"

[control]
variant = "epoll"
measure = "cpu-us-per-request"

[[claim]]
id = "answered"
text = "Every request is answered"
source = "this test"
statistic = "value"
measure = "answered-share"
variants = ["epoll"]
at-least = 0.5

[[advice]]
when = "it is small"
take = "epoll"
confirmed = ["answered"]
"#;

fn c10k(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_c10k")).args(arguments).output();
    let output = output.expect("the command starts");
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Checks one object: it has the schema number, reads as `T`, and `T` has all of its fields.
#[track_caller]
fn is_record<T: Serialize + DeserializeOwned + Debug>(text: &str) -> T {
    let printed: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(printed["schema"], SCHEMA, "{text}");
    let record: T = serde_json::from_value(printed.clone()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_value(&record).expect("it is plain data"), printed);
    record
}

struct Server(Child);

impl Server {
    fn start() -> (Self, String, BufReader<std::process::ChildStdout>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
        let command = command.args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        let ServeRecord::Listening { address, .. } = is_record(&line) else {
            panic!("not the listening record: {line}")
        };
        (Self(child), format!("http://{address}/bytes/92"), lines)
    }

    fn terminate(&self) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .is_ok_and(|status| status.success())
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_command_with_json_is_left_out() {
    let help = c10k(&["--help"]);
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let commands = commands.take_while(|line| line.starts_with("  "));
    let with_json: Vec<&str> = commands
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help" && c10k(&[command, "--help"]).contains("--json"))
        .collect();
    assert!(!with_json.is_empty(), "{help}");
    for command in with_json {
        assert!(
            COVERED.contains(&command),
            "{command} prints JSON and is not tested here"
        );
    }
}

#[test]
fn what_a_server_and_a_generator_print_are_records() {
    let (server, url, mut lines) = Server::start();
    let load = [
        "load",
        &url,
        "--rate",
        "100",
        "--duration",
        "100ms",
        "--max-lag",
        "60s",
        "--json",
    ];
    let printed = c10k(&[&load[..], &["--phases"]].concat());
    assert!(printed.lines().count() > 1, "{printed}");
    for line in printed.lines() {
        is_record::<LoadRecord>(line);
    }
    is_record::<LoadSearch>(&c10k(&[&load[..], &["--find-max", "p99<60s"]].concat()));
    server.terminate();
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert!(matches!(is_record(&line), ServeRecord::Summary(_)), "{line}");
}

#[test]
fn what_the_lists_and_a_probe_print_are_records() {
    is_record::<Inventory>(&c10k(&["list", "--json"]));
    is_record::<DoctorReport>(&c10k(&["doctor", "--json"]));
    is_record::<ProbeSummary>(&c10k(&[
        "probe",
        "switch-cost",
        "--by",
        "pipe",
        "--time",
        "10ms",
        "--json",
    ]));
}

fn experiment(folder: &Path, name: &str) -> String {
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, EXPERIMENT.replace("NAME", name)).expect("it can be written");
    file.to_str().expect("UTF-8").to_owned()
}

/// Runs two studies as a set into the folder and returns what they print.
fn set_of_two(folder: &Path, out: &Path) -> String {
    let (first, second) = (experiment(folder, "first"), experiment(folder, "second"));
    let out = out.to_str().expect("UTF-8");
    c10k(&[
        "study",
        &first,
        &second,
        "--out",
        out,
        "--repeats",
        "2",
        "--seed",
        "7",
        "--json",
    ])
}

#[test]
fn what_studies_print_and_store_are_records() {
    let folder = tempfile::tempdir().expect("a folder");
    // A busy machine makes cells invalid. Then the studies run again.
    for attempt in 0..20 {
        let out = folder.path().join(format!("out-{attempt}"));
        let printed = set_of_two(folder.path(), &out);
        let entries: Vec<SetEntry> = printed.lines().map(is_record).collect();
        let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
        assert_eq!(is_record::<SetRecord>(&read("overview.json")).studies, entries);
        is_record::<SetManifest>(&read("set.json"));

        let one = out.join("first");
        let study: StudyRecord = is_record(&c10k(&["report", one.to_str().expect("UTF-8"), "--json"]));
        let out = out.to_str().expect("UTF-8");
        for line in c10k(&["compare", out, out, "--json"]).lines() {
            is_record::<ComparisonRecord>(line);
        }
        let estimate = study.claims[0].estimates.first();
        let Some(estimate) = estimate.filter(|estimate| estimate.blocks == 2) else {
            continue;
        };
        assert_eq!(estimate.variant, "epoll");
        assert!(
            estimate.low <= estimate.value && estimate.value <= estimate.high,
            "{study:?}"
        );
        assert_eq!(study.advice[0].because[0].claim, "answered");
        assert!(study.noise_floor.is_some(), "{study:?}");
        return;
    }
    panic!("the machine was too busy to measure anything in 20 studies");
}

#[test]
fn a_results_folder_of_an_earlier_version_is_read() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["manifest.json", "records.ndjson", "calls.ndjson"] {
        let stored = results.join("paper/queue-overflow").join(name);
        if stored.is_file() {
            fs::copy(stored, folder.path().join(name)).expect("it can be copied");
        }
    }
    let path = folder.path().to_str().expect("UTF-8");
    let study: StudyRecord = is_record(&c10k(&["report", path, "--json"]));
    assert!(study.cells.measured > 0 && !study.claims.is_empty(), "{study:?}");
    assert!(
        study.tables[0]
            .rows
            .iter()
            .all(|row| row.values.iter().all(Option::is_some))
    );
    let comparison: ComparisonRecord = is_record(&c10k(&["compare", path, path, "--json"]));
    assert!(comparison.is_success(), "{comparison:?}");
}
