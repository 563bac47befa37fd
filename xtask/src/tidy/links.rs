//! Links between the pages of the repository lead somewhere.

use std::path::{Path, PathBuf};

use super::tree::File;

pub(super) fn find(root: &Path, files: &[File]) -> Result<Vec<String>, String> {
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

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn links_to_pages_are_separated_from_links_to_the_network() {
        let text = "[a](docs/a.md) [b](https://example.org) [c](#here) [d](b.md#part)";
        assert_eq!(link_targets(text).collect::<Vec<_>>(), ["docs/a.md", "b.md#part"]);
    }

    #[test]
    fn a_link_to_a_missing_page_is_found() {
        let page = file("a.md", "[a](no-such-page.md)");
        let found = find(Path::new("."), &[page]).expect("runs");
        assert_eq!(found, ["a.md: the link no-such-page.md leads nowhere"]);
    }
}
