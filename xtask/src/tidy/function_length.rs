//! A function fits on a screen; a longer one has its reason in writing above it (`// long: reason`).

use std::path::Path;

use super::tree::{File, rust};

const LINES_MAX: usize = 70;

/// A function that rustfmt laid out runs from its `fn` line to the first line that closes at the same indent.
pub(super) fn find(_root: &Path, files: &[File]) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in rust(files) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            if !is_function_start(code) || code.ends_with(';') || code.ends_with('}') {
                continue;
            }
            let close = format!("{}}}", &line[..line.len() - code.len()]);
            let Some(length) = lines[start..].iter().position(|line| *line == close) else {
                continue;
            };
            let excused = start > 0 && lines[start - 1].trim_start().starts_with("// long: ");
            if length > LINES_MAX && !excused {
                findings.push(format!(
                    "{}:{}: a function of {length} lines, more than {LINES_MAX}",
                    file.path,
                    start + 1
                ));
            }
        }
    }
    Ok(findings)
}

fn is_function_start(code: &str) -> bool {
    let mut words = code.split_whitespace();
    words.find(|word| !(word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(word)))
        == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn a_long_function_is_found_and_a_reason_excuses_it() {
        let body = "    x();\n".repeat(LINES_MAX + 1);
        let long = format!("pub(crate) fn f() {{\n{body}}}\n");
        let root = Path::new(".");
        assert_eq!(find(root, &[file("a.rs", &long)]).expect("runs").len(), 1);
        let excused = format!("// long: a table\n{long}");
        assert!(find(root, &[file("a.rs", &excused)]).expect("runs").is_empty());
    }
}
