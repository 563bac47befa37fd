//! `cargo xtask matrix`: runs the event library's contract suite and writes the table mechanism × case to
//! `docs/event/matrix.md`.

use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

/// What came of one pair, as the suite wrote it.
struct Pair {
    mechanism: String,
    case: String,
    outcome: String,
    reason: String,
}

/// Runs the suite and writes the page.
///
/// # Errors
/// One line: the suite failed or could not be run, or the page could not be written.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let results = root.join("target").join("event-matrix.ndjson");
    // The suite appends; what an earlier run left would be counted as well.
    if results.exists() {
        fs::remove_file(&results).map_err(|error| format!("removing {}: {error}", results.display()))?;
    }
    let status = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--package", "c10k-event", "--test", "contract"])
        .env("C10K_MATRIX", &results)
        .current_dir(root)
        .status()
        .map_err(|error| format!("running cargo test: {error}"))?;
    if !status.success() {
        return Err("the contract suite fails: see above".to_owned());
    }
    let text = fs::read_to_string(&results).map_err(|error| format!("reading {}: {error}", results.display()))?;
    let page = page(&pairs(&text)?);
    let path = root.join("docs/event/matrix.md");
    fs::write(&path, page).map_err(|error| format!("writing {}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn pairs(text: &str) -> Result<Vec<Pair>, String> {
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {line}: {error}"))?;
            let field = |name: &str| {
                let found = value[name].as_str().map(str::to_owned);
                found.ok_or_else(|| format!("a result without '{name}': {line}"))
            };
            Ok(Pair {
                mechanism: field("mechanism")?,
                case: field("case")?,
                outcome: field("outcome")?,
                reason: field("reason")?,
            })
        })
        .collect()
}

fn page(pairs: &[Pair]) -> String {
    let mut mechanisms: Vec<&str> = pairs.iter().map(|pair| pair.mechanism.as_str()).collect();
    mechanisms.sort_unstable();
    mechanisms.dedup();
    let mut cases: BTreeMap<&str, BTreeMap<&str, &Pair>> = BTreeMap::new();
    for pair in pairs {
        cases.entry(&pair.case).or_default().insert(&pair.mechanism, pair);
    }
    let mut page = String::from(
        "# Mechanism × case\n\nWritten by `cargo xtask matrix` from a run of the contract suite. ✓ passes. – is not offered by the \
         mechanism, which must return a typed error. ? could not run on the machine that wrote this page.\n\n| case |",
    );
    for mechanism in &mechanisms {
        let _ = write!(page, " `{mechanism}` |");
    }
    let _ = writeln!(page, "\n|---|{}", ":-:|".repeat(mechanisms.len()));
    for (case, row) in &cases {
        let _ = write!(page, "| {} |", case.replace('_', " "));
        for mechanism in &mechanisms {
            let mark = match row.get(mechanism).map(|pair| pair.outcome.as_str()) {
                Some("pass") => "✓",
                Some("unsupported") => "–",
                _ => "?",
            };
            let _ = write!(page, " {mark} |");
        }
        page.push('\n');
    }
    notes(&mut page, pairs);
    page
}

/// What is not offered, and why something could not run, each reason once.
fn notes(page: &mut String, pairs: &[Pair]) {
    let mut reasons: BTreeMap<(&str, &str), ()> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.outcome == "unavailable") {
        reasons.insert((&pair.mechanism, &pair.reason), ());
    }
    if !reasons.is_empty() {
        page.push_str("\nCould not run there:\n\n");
    }
    for (mechanism, reason) in reasons.keys() {
        let _ = writeln!(page, "- `{mechanism}`: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_mark_and_each_reason_is_said_once() {
        let lines = "{\"mechanism\":\"poll\",\"case\":\"a_b\",\"outcome\":\"pass\",\"reason\":\"\"}\n\
                     {\"mechanism\":\"poll\",\"case\":\"c\",\"outcome\":\"unsupported\",\"reason\":\"the trigger\"}\n\
                     {\"mechanism\":\"ring\",\"case\":\"a_b\",\"outcome\":\"unavailable\",\"reason\":\"no ring\"}\n\
                     {\"mechanism\":\"ring\",\"case\":\"c\",\"outcome\":\"unavailable\",\"reason\":\"no ring\"}";
        let page = page(&pairs(lines).expect("four results"));
        assert!(page.contains("| a b | ✓ | ? |\n| c | – | ? |\n"), "{page}");
        assert_eq!(page.matches("- `ring`: no ring").count(), 1);
        assert!(pairs("{}").is_err() && pairs("nonsense").is_err());
    }
}
