//! The files of the repository, read once for every rule.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A file of the repository: its path from the root and its text.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// The files of the repository that are text, those not yet committed included.
pub(super) fn files(root: &Path) -> Result<Vec<File>, String> {
    let listed = output(
        Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard"),
    )?;
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    Ok(paths
        .filter_map(|path| {
            // A deleted file is still listed, and a picture is not text.
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(File {
                path: path.to_owned(),
                text,
            })
        })
        .collect())
}

/// What a command prints; its failure with the reason.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
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

/// The Rust sources.
pub(super) fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".rs"))
}

/// A file for the unit tests of the rules.
#[cfg(test)]
pub(super) fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
