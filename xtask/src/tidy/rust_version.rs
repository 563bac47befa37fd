//! The declared minimum Rust version is the lowest that the dependencies and the code itself allow.
//!
//! Clippy's `incompatible_msrv` checks the standard library against the declared version; this rule checks the declaration.

use std::path::Path;
use std::process::Command;

use super::tree::{File, output};

/// What the code of the workspace needs: `File::try_lock`.
const OURS: &str = "1.89";

pub(super) fn find(root: &Path, _files: &[File]) -> Result<Vec<String>, String> {
    let text = output(Command::new("cargo").current_dir(root).args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    Ok(declared_otherwise(&metadata))
}

/// The crates of the workspace whose declared version is not the lowest possible.
fn declared_otherwise(metadata: &serde_json::Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (others, members): (Vec<_>, Vec<_>) = packages.iter().partition(|package| package["source"].is_string());
    let needs = others
        .iter()
        .filter_map(|package| Some((package["rust_version"].as_str()?, package["name"].as_str()?)))
        .chain([(OURS, "the workspace's own code")])
        .max_by_key(|(needed, _)| version(needed));
    let (needed, by) = needs.unwrap_or((OURS, "the workspace's own code"));
    let differing = members
        .iter()
        .filter(|package| package["rust_version"].as_str().map(version) != Some(version(needed)));
    let findings = differing.map(|package| {
        let (name, declared) = (&package["name"], &package["rust_version"]);
        format!("{name} declares Rust {declared}; {by} needs {needed}, and nothing needs more")
    });
    findings.collect()
}

/// `1.88` and `1.88.0` are the same version.
fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(declared: &str, needed: &str) -> usize {
        let metadata = serde_json::json!({ "packages": [
            { "name": "ours", "source": null, "rust_version": declared },
            { "name": "other", "source": "registry", "rust_version": needed },
            { "name": "silent", "source": "registry", "rust_version": null },
        ]});
        declared_otherwise(&metadata).len()
    }

    #[test]
    fn too_low_and_too_high_a_version_are_found() {
        assert_eq!(found("1.90", "1.90.0"), 0);
        assert_eq!(found("1.89", "1.90.0"), 1);
        assert_eq!(found("1.95", "1.90.0"), 1);
        assert_eq!(found(OURS, "1.60"), 0);
    }
}
