//! Tables of `docs/paper.md`: the paper's claims, judged on the committed load curves and by the committed live studies; and its
//! table 1.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// What `c10k vm study paper --out` writes.
const EXACT: &str = "experiments/vm/claims.json";

const TABLE_1: &str = "experiments/vm/table-1.json";

/// Table 1 of the paper: requests per second; signals and overflows with 252 idle connections, and with 6,000.
const PUBLISHED: &[(u64, [u64; 4])] = &[
    (2800, [504_728, 0, 504_474, 0]),
    (3000, [540_576, 0, 540_792, 0]),
    (3200, [10_538, 1_526, 19, 19]),
    (3400, [40, 40, 16, 16]),
    (4000, [39, 39, 13, 13]),
];

/// The guest's rates are so many times the paper's.
const SCALE: u64 = 5;

/// What `c10k study all --out` writes.
const LIVE: &str = "docs/results/overview.json";

/// A row for each claim: figure, claim, exact and live verdict, and the command that makes the exact one.
///
/// # Errors
/// One line: a file cannot be read, or a live claim that is named is not there.
pub(crate) fn claims(root: &Path) -> Result<Value, String> {
    let (exact, live) = (read(&root.join(EXACT))?, read(&root.join(LIVE))?);
    let claims = exact.as_array().ok_or("the exact claims are no list")?;
    claims.iter().map(|claim| row(claim, &live)).collect()
}

/// A row for each rate: the paper's counts and those of the guest.
///
/// # Errors
/// One line: the table cannot be read, or it lacks a cell.
pub(crate) fn table_1(root: &Path) -> Result<Value, String> {
    let table = read(&root.join(TABLE_1))?;
    let row = |(rate, paper): &(u64, [u64; 4])| {
        let counts = |server: &str, idle: u64| -> Result<String, String> {
            let load = format!("idle={idle} rate={}", rate * SCALE);
            let mut cells = table["cells"].as_array().into_iter().flatten();
            let cell = cells.find(|cell| cell["subject"] == server && cell["load"] == load.as_str());
            let cell = cell.ok_or_else(|| format!("{TABLE_1} has no cell {server} {load}"))?;
            Ok(format!("{} / {}", cell["signals"], cell["overflows"]))
        };
        let [few, many] = [252, 6_000].map(|idle| counts("rt-signal/accept-all", idle));
        let [per_fd_few, per_fd_many] = [252, 6_000].map(|idle| counts("signal-per-fd/accept-all", idle));
        Ok(json!({
            "rate": format!("{} ({rate})", rate * SCALE),
            "cells": [
                format!("{} / {}", paper[0], paper[1]), few?, per_fd_few?,
                format!("{} / {}", paper[2], paper[3]), many?, per_fd_many?,
            ],
        }))
    };
    PUBLISHED.iter().map(row).collect()
}

fn read(path: &Path) -> Result<Value, String> {
    let failed = |error: &dyn std::fmt::Display| format!("reading {}: {error}", path.display());
    let text = fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

fn row(claim: &Value, live: &Value) -> Result<Value, String> {
    let text = |key: &str| claim[key].as_str().unwrap_or_default();
    let verdict = if claim["holds"] == true { "confirmed" } else { "refuted" };
    let value = short(claim["value"].as_f64().unwrap_or_default());
    let live = match claim["live"].as_array().map(Vec::as_slice) {
        Some([study, id]) => sentence(live, study, id)?,
        _ => "–".to_owned(),
    };
    Ok(json!({
        "about": text("about"),
        "text": text("text"),
        "exact": format!("{verdict}: {value} ({})", text("what")),
        "live": live,
        "study": text("study"),
    }))
}

/// The verdict of a live claim, with its values.
fn sentence(live: &Value, study: &Value, id: &Value) -> Result<String, String> {
    let studies = live["studies"].as_array().into_iter().flatten();
    let mut claims = studies
        .filter(|one| one["study"] == *study)
        .flat_map(|one| one["outcome"]["claims"].as_array().into_iter().flatten());
    let claim = claims.find(|claim| claim["claim"] == *id);
    let claim = claim.ok_or_else(|| format!("{LIVE} has no claim {id} of {study}"))?;
    let verdict = match claim["verdict"].as_str().unwrap_or_default() {
        "inconclusive" => "not settled",
        verdict => verdict,
    };
    let sentence = claim["sentence"].as_str().unwrap_or_default();
    let values = sentence.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
    Ok(values.map_or_else(|| verdict.to_owned(), |values| format!("{verdict}: {values}")))
}

/// Three digits, or five after the point.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        small if small >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_both_verdicts() {
        let claim = json!({
            "about": "figure 4", "text": "It is flat", "what": "a ÷ b", "value": 1.0026, "holds": true,
            "study": "vm/idle-connections", "live": ["paper/idle-connections", "flat"],
        });
        let live = json!({ "studies": [{ "study": "paper/idle-connections", "outcome": { "claims": [
            { "claim": "flat", "verdict": "confirmed", "sentence": "It is flat (one (1%): +7%; -16% … +19%)" },
        ] } }] });
        let row = row(&claim, &live).expect("the claim is there");
        assert_eq!(row["exact"], "confirmed: 1.00 (a ÷ b)");
        assert_eq!(row["live"], "confirmed: one (1%): +7%; -16% … +19%");
        let error = super::row(&claim, &json!({ "studies": [] })).expect_err("the claim is not there");
        assert!(error.contains("has no claim \"flat\""), "{error}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.0, 0.000_244, 0.0123, 0.941, 1.5, 21.76, 1234.0].map(short);
        assert_eq!(texts, ["0", "0.00024", "0.012", "0.941", "1.50", "21.8", "1234"]);
    }
}
