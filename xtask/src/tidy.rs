//! Style that a machine can check. Each rule is a function from the tree to its findings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository: its path from the root and its text.
struct File {
    path: String,
    text: String,
}

type Rule = fn(&Path, &[File]) -> Result<Vec<String>, String>;

const RULES: &[Rule] = &[
    arrows,
    unsafe_only_in_system_crates,
    file_length,
    function_length,
    unfinished,
    links,
    decisions_numbered,
    conformance_is_tested,
];

/// Who may depend on whom inside the workspace (ARCHITECTURE.md); every crate may also be used by itself in tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("c10k-sys", &[]),
    ("c10k-bpf", &[]),
    ("c10k-competitors", &[]),
    ("c10k-testkit", &[]),
    ("c10k-record", &[]),
    ("c10k-units", &[]),
    ("c10k-http", &["c10k-units"]),
    ("c10k-event", &["c10k-bpf", "c10k-sys"]),
    ("c10k-host", &["c10k-record", "c10k-sys"]),
    (
        "c10k-server",
        &["c10k-event", "c10k-http", "c10k-record", "c10k-sys", "c10k-units"],
    ),
    (
        "c10k-load",
        &["c10k-event", "c10k-http", "c10k-record", "c10k-sys", "c10k-units"],
    ),
    (
        "c10k-probe",
        &[
            "c10k-competitors",
            "c10k-event",
            "c10k-record",
            "c10k-sys",
            "c10k-units",
        ],
    ),
    ("c10k-lab", &["c10k-host", "c10k-record", "c10k-units"]),
    ("c10k-vm", &["c10k-event", "c10k-record", "c10k-sys", "c10k-units"]),
    (
        "c10k",
        &[
            "c10k-event",
            "c10k-host",
            "c10k-http",
            "c10k-lab",
            "c10k-load",
            "c10k-probe",
            "c10k-record",
            "c10k-server",
            "c10k-units",
            "c10k-vm",
        ],
    ),
    ("xtask", &[]),
];

/// The crates that may contain `unsafe`: they make system calls, load foreign code, or stand in for the allocator.
const UNSAFE_CRATES: &[&str] = &["crates/sys/", "crates/bpf/", "crates/competitors/", "crates/testkit/"];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Runs every rule and prints every finding.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let files = tracked_files(root)?;
    let mut findings = Vec::new();
    for rule in RULES {
        findings.extend(rule(root, &files)?);
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        n => Err(format!("{n} findings")),
    }
}

fn tracked_files(root: &Path) -> Result<Vec<File>, String> {
    let listed = output(
        Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard"),
    )?;
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    Ok(paths
        .filter_map(|path| {
            // A deleted file is still listed; a picture is not text. Neither has style.
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(File {
                path: path.to_owned(),
                text,
            })
        })
        .collect())
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} printed what is not UTF-8"))
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".rs"))
}

/// The crates depend on each other only along the arrows; dependencies for tests are free.
fn arrows(root: &Path, _files: &[File]) -> Result<Vec<String>, String> {
    let text = output(Command::new("cargo").current_dir(root).args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    let members: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            findings.push(format!("{name}: a crate without a row in xtask/src/tidy.rs ARROWS"));
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"] != "dev") {
            let to = dependency["name"].as_str().unwrap_or_default();
            if members.contains(to) && !allowed.contains(&to) {
                findings.push(format!("{name} depends on {to}: no such arrow in ARCHITECTURE.md"));
            }
        }
    }
    Ok(findings)
}

/// `unsafe` is allowed in [`UNSAFE_CRATES`]; every other crate root forbids it.
fn unsafe_only_in_system_crates(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let roots = rust(files).filter(|file| {
        let path = file.path.as_str();
        (path.starts_with("crates/") || path.starts_with("xtask/"))
            && (path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs"))
            && !UNSAFE_CRATES.iter().any(|folder| path.starts_with(folder))
    });
    Ok(roots
        .filter(|file| !file.text.contains("#![forbid(unsafe_code)]"))
        .map(|file| format!("{}: a crate root without #![forbid(unsafe_code)]", file.path))
        .collect())
}

fn file_length(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let long = rust(files)
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES);
    Ok(long
        .map(|(file, lines)| format!("{}: {lines} lines, more than {FILE_LINES}", file.path))
        .collect())
}

/// A function that rustfmt laid out runs from its `fn` line to the first line that closes at the same indent.
fn function_length(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in rust(files) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            if !is_function_start(code) || code.ends_with(';') || code.ends_with('}') {
                continue;
            }
            let close = format!("{}}}", &line[..line.len() - code.len()]);
            let Some(length) = lines[start..].iter().position(|line| *line == close) else {
                continue;
            };
            let excused = start > 0 && lines[start - 1].trim_start().starts_with("// long: ");
            if length > FUNCTION_LINES && !excused {
                findings.push(format!(
                    "{}:{}: a function of {length} lines, more than {FUNCTION_LINES}",
                    file.path,
                    start + 1
                ));
            }
        }
    }
    Ok(findings)
}

fn is_function_start(code: &str) -> bool {
    let mut words = code.split_whitespace();
    words.find(|word| !(word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(word)))
        == Some("fn")
}

/// Nothing is left for later in the code.
fn unfinished(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
    ];
    let mut findings = Vec::new();
    for file in rust(files) {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                findings.push(format!("{}:{}: {mark}", file.path, number + 1));
            }
        }
    }
    Ok(findings)
}

/// Links between the pages of the repository lead somewhere.
fn links(root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = root
            .join(&file.path)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        for target in link_targets(&file.text) {
            let path: PathBuf = folder.join(target.split('#').next().unwrap_or_default());
            if !path.exists() {
                findings.push(format!("{}: the link {target} leads nowhere", file.path));
            }
        }
    }
    Ok(findings)
}

fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        let local = !target.contains("://") && !target.starts_with('#') && !target.is_empty();
        local.then_some(target)
    })
}

/// Decisions are numbered without a gap, so that each has one name for good.
fn decisions_numbered(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut numbers: Vec<usize> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/decisions/")?.get(..4)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let expected: Vec<usize> = (1..=numbers.len()).collect();
    Ok(if numbers == expected {
        Vec::new()
    } else {
        vec![format!("docs/decisions: numbered {numbers:?}")]
    })
}

/// Each rule of the conformance page names the tests that show it, and they exist.
fn conformance_is_tested(_: &Path, files: &[File]) -> Result<Vec<String>, String> {
    const PAGE: &str = "docs/server/conformance.md";
    let page = files
        .iter()
        .find(|file| file.path == PAGE)
        .ok_or(format!("{PAGE} is missing"))?;
    let sources: Vec<&str> = files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && file.path.ends_with(".rs"))
        .map(|file| file.text.as_str())
        .collect();
    // A function, or a row of a table of cases.
    let exists = |test: &str| {
        let (function, row) = (format!("fn {test}()"), format!("\"{test}\""));
        sources
            .iter()
            .any(|text| text.contains(&function) || text.contains(&row))
    };
    let mut findings = Vec::new();
    for (number, line) in page.text.lines().enumerate().filter(|(_, line)| line.starts_with("| ")) {
        let tests = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && tests.trim() != "tests" {
            findings.push(format!("{PAGE}:{}: a rule without a test", number + 1));
        }
        let missing = named.into_iter().filter(|test| !exists(test));
        findings.extend(missing.map(|test| format!("{PAGE}:{}: no test is called {test}", number + 1)));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_long_function_is_found_and_a_reason_excuses_it() {
        let body = "    x();\n".repeat(FUNCTION_LINES + 1);
        let long = format!("pub(crate) fn f() {{\n{body}}}\n");
        let root = Path::new(".");
        assert_eq!(function_length(root, &[file("a.rs", &long)]).expect("runs").len(), 1);
        let excused = format!("// long: a table\n{long}");
        assert!(
            function_length(root, &[file("a.rs", &excused)])
                .expect("runs")
                .is_empty()
        );
    }

    #[test]
    fn a_crate_root_must_forbid_unsafe_code() {
        let root = Path::new(".");
        let files = [
            file("crates/x/src/lib.rs", "//! X\n"),
            file("crates/sys/src/lib.rs", "//! S\n"),
            file("crates/bpf/src/lib.rs", "//! B\n"),
        ];
        assert_eq!(unsafe_only_in_system_crates(root, &files).expect("runs").len(), 1);
    }

    #[test]
    fn links_to_pages_are_told_from_links_to_the_network() {
        let text = "[a](docs/a.md) [b](https://example.org) [c](#here) [d](b.md#part)";
        assert_eq!(link_targets(text).collect::<Vec<_>>(), ["docs/a.md", "b.md#part"]);
    }
}
