//! The compiled BPF object that is committed, and its source.
//!
//! Building the workspace takes the committed object and needs no clang. Where there is one, the object is compiled
//! again and compared to the byte: the same version of clang makes the same object.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the root of the repository.
const PACKAGE: &str = "crates/bpf";
/// From the root of the package, where the compiler runs.
const SOURCE: &str = "programs/signal_per_fd.bpf.c";
const OBJECT: &str = "programs/signal_per_fd.bpf.o";

/// Compiles the source and compares the result with the committed object.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let package = root.join(PACKAGE);
    let fresh = compile(&package)?;
    let committed = fs::read(package.join(OBJECT)).map_err(|error| format!("cannot read {OBJECT}: {error}"))?;
    if fresh == committed {
        return Ok(());
    }
    let (theirs, ours) = (producer(&committed), producer(&fresh));
    if theirs == ours {
        return Err(format!(
            "{OBJECT} does not match {SOURCE}; run `cargo xtask bpf-build` and commit the object"
        ));
    }
    Err(format!(
        "{OBJECT} was made by {theirs}, and here is {ours}: compare with the same version, or run `cargo xtask bpf-build` \
         and commit the object"
    ))
}

/// Compiles the source over the committed object.
pub(crate) fn build(root: &Path) -> Result<(), String> {
    let package = root.join(PACKAGE);
    let fresh = compile(&package)?;
    fs::write(package.join(OBJECT), fresh).map_err(|error| format!("cannot write {OBJECT}: {error}"))
}

fn compile(package: &Path) -> Result<Vec<u8>, String> {
    let target: PathBuf = std::env::temp_dir().join(format!("c10k-{}.bpf.o", std::process::id()));
    let output = Command::new("clang")
        .current_dir(package)
        // Version 3 of the instruction set has the atomics that answer with the old value (Linux 5.12). The debugging
        // information holds the kernel's types, without which nothing can be relocated; no path of this machine.
        .args([
            "-target",
            "bpf",
            "-mcpu=v3",
            "-O2",
            "-g",
            "-Wall",
            "-Werror",
            "-ffile-compilation-dir=.",
        ])
        .args(["-c", SOURCE, "-o"])
        .arg(&target)
        .output()
        .map_err(|error| format!("cannot run clang: {error}; install it (Debian: apt-get install clang)"))?;
    if !output.status.success() {
        return Err(format!("clang: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let object = fs::read(&target).map_err(|error| format!("cannot read {}: {error}", target.display()));
    // What is left in the directory for temporary files harms nobody.
    let _ = fs::remove_file(&target);
    object
}

/// The compiler's name and version as the debugging information gives it.
fn producer(object: &[u8]) -> String {
    let text = String::from_utf8_lossy(object);
    let version = text
        .split_once("clang version ")
        .and_then(|(_, rest)| rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next());
    format!("clang {}", version.unwrap_or("of an unknown version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_named_by_its_version() {
        assert_eq!(producer(b"\0Debian clang version 14.0.6\0x"), "clang 14.0.6");
        assert_eq!(producer(b""), "clang of an unknown version");
    }

    #[test]
    fn the_committed_object_names_no_path_of_a_machine() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let object = fs::read(root.join(PACKAGE).join(OBJECT)).expect("committed");
        let text = String::from_utf8_lossy(&object);
        assert!(text.contains(SOURCE));
        let here = root.canonicalize().expect("it exists");
        assert!(!text.contains(&*here.to_string_lossy()) && !text.contains("/home/"));
    }
}
