//! `cargo xtask package [OPTION]…`: every crate that is published builds from its packaged sources.
//!
//! `cargo package` compiles what an upload would hold, so a file that lies outside its package is found here. The crates that
//! depend on no other crate of the workspace then go through `cargo publish --dry-run`. Options are passed to both commands,
//! for example `--allow-dirty`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where packages are built, below the root: all of it anew each time.
const TARGET: &str = "target/packages";

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
    forget_earlier_packages(root, &published)?;
    cargo(root, &["package", "--quiet", "--target-dir", TARGET], &all, &options)?;
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

/// Removes what cargo has unpacked and compiled of these crates before. It puts packages into a registry below the target
/// directory. It unpacks and compiles a package of that version only once, so that it would test the sources of an earlier run.
fn forget_earlier_packages(root: &Path, published: &[Published]) -> Result<(), String> {
    let target = root.join(TARGET);
    if target.exists() {
        fs::remove_dir_all(&target).map_err(|error| format!("removing {}: {error}", target.display()))?;
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(registry) = home.map(|home| home.join("registry")) else {
        return Ok(());
    };
    for folder in [registry.join("src"), registry.join("cache")] {
        // A registry without a host name is one of files.
        let of_files = entries(&folder).filter(|path| name(path).starts_with('-'));
        let packages = of_files.flat_map(|registry| entries(&registry));
        for path in packages.filter(|path| is_package_of(name(path), published)) {
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(|error| format!("removing {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// The paths in a folder; none if it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Whether this is the name of one of the crates and a version.
fn is_package_of(package: &str, published: &[Published]) -> bool {
    published.iter().any(|row| {
        let version = package.strip_prefix(&row.name).and_then(|rest| rest.strip_prefix('-'));
        version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    })
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

    #[test]
    fn only_packages_of_the_crates_themselves_are_removed() {
        let published = [Published {
            name: "top".to_owned(),
            is_independent: true,
        }];
        for (package, is_one) in [
            ("top-0.1.0", true),
            ("top-0.1.0.crate", true),
            ("top-hat-0.1.0", false),
            ("stop-0.1.0", false),
            ("top", false),
        ] {
            assert_eq!(is_package_of(package, &published), is_one, "{package}");
        }
    }
}
