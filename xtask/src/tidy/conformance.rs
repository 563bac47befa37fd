//! Each rule of the conformance page names the tests that show it, and they exist.

use std::path::Path;

use super::tree::File;

pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    const PAGE: &str = "docs/server/conformance.md";
    let page = files
        .iter()
        .find(|file| file.path == PAGE)
        .ok_or(format!("{PAGE} is missing"))?;
    let sources: Vec<&str> = files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && file.path.ends_with(".rs"))
        .map(|file| file.text.as_str())
        .collect();
    // A function, or a row of a table of cases.
    let exists = |test: &str| {
        let (function, row) = (format!("fn {test}()"), format!("\"{test}\""));
        sources
            .iter()
            .any(|text| text.contains(&function) || text.contains(&row))
    };
    let mut findings = Vec::new();
    for (number, line) in page.text.lines().enumerate().filter(|(_, line)| line.starts_with("| ")) {
        let tests = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && tests.trim() != "tests" {
            findings.push(format!("{PAGE}:{}: a rule without a test", number + 1));
        }
        let missing = named.into_iter().filter(|test| !exists(test));
        findings.extend(missing.map(|test| format!("{PAGE}:{}: no test is called {test}", number + 1)));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn a_rule_whose_test_is_missing_is_found() {
        let page = file(
            "docs/server/conformance.md",
            "| rule | `here` |\n| rule | `missing` |\n| rule | |\n",
        );
        let test = file("crates/server/tests/a.rs", "fn here() {}");
        let found = find(Path::new("."), &[page, test]).expect("runs");
        assert_eq!(
            found,
            [
                "docs/server/conformance.md:2: no test is called missing",
                "docs/server/conformance.md:3: a rule without a test",
            ]
        );
    }
}
