//! The crates depend on each other only along the arrows of ARCHITECTURE.md; dependencies for tests are free.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::tree::{File, output};

/// Who may depend on whom inside the workspace (ARCHITECTURE.md).
const ARROWS: &[(&str, &[&str])] = &[
    ("c10k-sys", &[]),
    ("c10k-bpf", &[]),
    ("c10k-competitors", &[]),
    ("c10k-testbed", &["c10k-sys"]),
    ("c10k-testkit", &[]),
    ("c10k-record", &[]),
    ("c10k-units", &[]),
    ("c10k-chart", &["c10k-units"]),
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
            "c10k-host",
            "c10k-record",
            "c10k-sys",
            "c10k-units",
        ],
    ),
    (
        "c10k-monitor",
        &["c10k-event", "c10k-http", "c10k-record", "c10k-sys", "c10k-units"],
    ),
    ("c10k-lab", &["c10k-chart", "c10k-host", "c10k-record", "c10k-units"]),
    (
        "c10k-vm",
        &["c10k-chart", "c10k-event", "c10k-record", "c10k-sys", "c10k-units"],
    ),
    (
        "c10k",
        &[
            "c10k-event",
            "c10k-host",
            "c10k-http",
            "c10k-lab",
            "c10k-load",
            "c10k-monitor",
            "c10k-probe",
            "c10k-record",
            "c10k-server",
            "c10k-units",
            "c10k-vm",
        ],
    ),
    ("xtask", &[]),
];

pub(super) fn find(root: &Path, _files: &[File]) -> Result<Vec<String>, String> {
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
            findings.push(format!(
                "{name}: a crate without a row in ARROWS in xtask/src/tidy/arrows.rs"
            ));
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
