//! A new mechanism, model, probe or output is one file and one row. The feature `fake-rows` adds one row to each table; the
//! command built with it has them in its flags, its list, its studies and the tables of the documentation, without any other
//! edit.
//!
//! The command is built by cargo. Its intermediate files are those of this build, so that only crates with a fake row and
//! their dependants are compiled again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const STUDY: &str = r#"
name = "fake"
title = "A study of fakes"
question = "Does a row appear in a report?"
seconds = 1
repeats = 1

[server]
mechanism = "epoll-edge"

[load]
rate = 100
connections = 1
duration = "50ms"
warmup = "20ms"
timeout = "60s"
max-lag = "60s"

[axes]
idle = [0, 1]

[[variant]]
name = "fake-poll"
server = { mechanism = "fake-poll" }

[[variant]]
name = "fake-model"
server = { model = "fake-model" }

[[figure]]
id = "cpu"
title = "CPU"
x = "idle"
y = "cpu-percent"
caption = "Nothing to see."
"#;

/// The folders of the packages that have a contract suite, and the names of its cases on their fake row (of the model: with one mechanism).
const SUITES: [(&str, &str); 2] = [
    ("crates/event", "fake-poll::"),
    ("crates/server", "fake-model::epoll-edge::"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `target`, where this test was built.
fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("it is target/tmp").to_owned()
}

/// The command and the contract suites, built with the fake rows.
struct Built {
    command: PathBuf,
    xtask: PathBuf,
    /// The executable of each of [`SUITES`].
    suites: Vec<PathBuf>,
}

/// Builds them with one call of cargo, for the whole workspace and with test dependencies: so external crates have the
/// features that they have in this build, and are not compiled again.
fn build() -> Built {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--workspace",
            "--bin",
            "c10k",
            "--bin",
            "xtask",
            "--test",
            "contract",
        ])
        .args(["--message-format", "json", "--features", "c10k/fake-rows"])
        .args([
            "--config",
            &format!("build.build-dir={:?}", target().display().to_string()),
        ])
        // Final files go elsewhere, so that the command of the other tests stays.
        .arg("--target-dir")
        .arg(target().join("fake-rows"))
        .current_dir(root())
        .output();
    let text = printed(&output.expect("cargo starts"));
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built: Vec<Value> = messages.filter(|message| message["executable"].is_string()).collect();
    let executable = |folder: &str, target: &str| {
        let manifest = format!("{folder}/Cargo.toml");
        let found = built.iter().find(|message| {
            let of_package = message["manifest_path"]
                .as_str()
                .is_some_and(|path| path.ends_with(&manifest));
            of_package && message["target"]["name"] == target
        });
        let path = found.and_then(|message| message["executable"].as_str());
        PathBuf::from(path.unwrap_or_else(|| panic!("cargo built no {target} of {folder}")))
    };
    Built {
        command: executable("crates/cli", "c10k"),
        xtask: executable("xtask", "xtask"),
        suites: SUITES
            .iter()
            .map(|(folder, _)| executable(folder, "contract"))
            .collect(),
    }
}

/// Standard output of a command that must succeed.
fn printed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The names of a table of `c10k list --json`.
fn names<'l>(list: &'l Value, table: &str) -> Vec<&'l str> {
    let rows = list[table].as_array().expect("the list has this table");
    rows.iter().filter_map(|row| row["name"].as_str()).collect()
}

#[test]
fn a_new_row_appears_everywhere_without_another_edit() {
    let Built { command, xtask, .. } = build();
    let c10k = |arguments: &[&str]| Command::new(&command).args(arguments).output().expect("it starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();

    // The list.
    let text = printed(&c10k(&["list"]));
    let json = printed(&c10k(&["list", "--json"]));
    let list: Value = serde_json::from_str(&json).expect("it is JSON");
    let rows = [
        ("mechanisms", "fake-poll"),
        ("models", "fake-model"),
        ("probes", "fake"),
        ("load_outputs", "fake-output"),
    ];
    for (table, name) in rows {
        assert!(names(&list, table).contains(&name), "{table}: {json}");
    }
    assert!(
        text.contains("fake-poll") && text.contains("nothing, a number of times"),
        "{text}"
    );

    // The flags.
    assert!(printed(&c10k(&["load", "--help"])).contains("--fake-output"));
    let probe = printed(&c10k(&["probe", "fake", "--time", "1ms", "--fakes", "2", "--json"]));
    assert!(probe.contains("fake_us"), "{probe}");
    let refused = c10k(&["serve", "--mechanism", "nap"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("fake-poll"));
    let refused = c10k(&["serve", "--model", "nap"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("fake-model"));

    // A study's report. The verdict and the validity of its cells do not matter here.
    fs::write(path("fake.toml"), STUDY).expect("space");
    c10k(&["study", &path("fake.toml"), "--out", &path("results")]);
    let report = fs::read_to_string(path("results/report.html")).expect("the study has a report");
    for name in ["fake-poll", "fake-model"] {
        assert!(report.contains(name), "the legend has no {name}");
    }

    // The tables of the documentation.
    fs::write(path("list.json"), &json).expect("space");
    let (list, docs) = (path("list.json"), path("docs"));
    let arguments = ["tables", "--inventory", &list, "--into", &docs];
    let run = Command::new(xtask).args(arguments).current_dir(root()).output();
    printed(&run.expect("it starts"));
    let page = fs::read_to_string(path("docs/docs/inventory.md")).expect("the page is written");
    for name in ["`fake-poll`", "`fake-model`", "`fake`", "`--fake-output`", "`fake-us`"] {
        assert!(page.contains(name), "{name} is not in {page}");
    }
}

#[test]
fn a_new_row_is_tested_by_the_contract_suite_of_its_table() {
    let suites = build().suites;
    for ((folder, row), suite) in SUITES.into_iter().zip(suites) {
        let mut command = Command::new(suite);
        let command = command.arg(row).current_dir(root().join(folder));
        let text = printed(&command.output().expect("it starts"));
        let passed = text
            .lines()
            .find_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
        let passed = passed.and_then(|count| count.parse::<u32>().ok());
        assert!(passed > Some(10), "{folder}: {text}");
    }
}
