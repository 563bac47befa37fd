//! A Rust file fits in one sitting.

use std::path::Path;

use super::tree::{File, rust};

const LINES_MAX: usize = 600;

pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let long = rust(files)
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX);
    Ok(long
        .map(|(file, lines)| format!("{}: {lines} lines, more than {LINES_MAX}", file.path))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let files = [
            file("a.rs", &"\n".repeat(LINES_MAX + 1)),
            file("b.rs", &"\n".repeat(LINES_MAX)),
        ];
        let found = find(Path::new("."), &files).expect("runs");
        assert_eq!(found, ["a.rs: 601 lines, more than 600"]);
    }
}
