//! Decisions are numbered without a gap, so that each keeps its number.

use std::path::Path;

use super::tree::File;

pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
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

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn a_gap_is_found() {
        let page = |number: &str| file(&format!("docs/decisions/{number}-x.md"), "");
        let root = Path::new(".");
        assert!(find(root, &[page("0001"), page("0002")]).expect("runs").is_empty());
        assert_eq!(find(root, &[page("0001"), page("0003")]).expect("runs").len(), 1);
    }
}
