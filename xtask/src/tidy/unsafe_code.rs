//! `unsafe` is allowed in the system crates; every other crate root forbids it.

use std::path::Path;

use super::tree::{File, rust};

/// The crates that may contain `unsafe`: they make system calls, load foreign code, or stand in for the allocator.
const UNSAFE_CRATES: &[&str] = &["crates/sys/", "crates/bpf/", "crates/competitors/", "crates/testkit/"];

pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
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

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn a_crate_root_must_forbid_unsafe_code() {
        let files = [
            file("crates/x/src/lib.rs", "//! X\n"),
            file("crates/sys/src/lib.rs", "//! S\n"),
            file("crates/bpf/src/lib.rs", "//! B\n"),
        ];
        assert_eq!(find(Path::new("."), &files).expect("runs").len(), 1);
    }
}
