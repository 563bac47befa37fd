//! `cargo xtask package [OPTION]…`: every crate that is published builds from its packaged sources.
//!
//! `cargo package` compiles what an upload would hold, so a file that lies outside its package is found here. The crates that
//! depend on no other crate of the workspace then go through `cargo publish --dry-run`. Options are passed to both commands,
//! for example `--allow-dirty`.

use std::path::Path;
use std::process::Command;

/// Packages and builds the crates, then rehearses the uploads.
///
/// # Errors
/// One line: which command failed.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let options: Vec<String> = std::env::args().skip(2).collect();
    let published = published(&metadata(root)?);
    let selected = |crates: &[Published]| {
        crates
            .iter()
            .flat_map(|row| ["-p".to_owned(), row.name.clone()])
            .collect()
    };
    let all: Vec<String> = selected(&published);
    cargo(root, &["package", "--quiet"], &all, &options)?;
    let independent: Vec<Published> = published.into_iter().filter(|row| row.is_independent).collect();
    for row in &independent {
        let one: Vec<String> = selected(std::slice::from_ref(row));
        cargo(
            root,
            &["publish", "--dry-run", "--no-verify", "--quiet"],
            &one,
            &options,
        )?;
        println!("{}: ready to publish", row.name);
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Published {
    name: String,
    /// Whether it depends on no other crate of the workspace.
    is_independent: bool,
}

fn metadata(root: &Path) -> Result<serde_json::Value, String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata printed no JSON: {error}"))
}

/// The crates without `publish = false`.
fn published(metadata: &serde_json::Value) -> Vec<Published> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_published = |package: &&serde_json::Value| package["publish"].as_array().is_none_or(|to| !to.is_empty());
    let rows = packages.iter().filter(is_published).map(|package| Published {
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        is_independent: !package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|dependency| dependency["kind"] != "dev" && dependency["path"].is_string()),
    });
    rows.collect()
}

fn cargo(root: &Path, command: &[&str], crates: &[String], options: &[String]) -> Result<(), String> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(command)
        .args(crates)
        .args(options)
        .status()
        .map_err(|error| format!("cannot run cargo {}: {error}", command[0]))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("cargo {} {} failed: see above", command[0], crates.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_are_not_published_are_left_out_and_test_dependencies_do_not_count() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "leaf", "publish": null, "dependencies": [{ "name": "kit", "kind": "dev", "path": "/kit" }] },
            { "name": "top", "publish": null, "dependencies": [{ "name": "leaf", "kind": null, "path": "/leaf" }] },
            { "name": "kit", "publish": [], "dependencies": [] },
        ]});
        let row = |name: &str, is_independent| Published {
            name: name.to_owned(),
            is_independent,
        };
        assert_eq!(published(&metadata), [row("leaf", true), row("top", false)]);
    }
}
