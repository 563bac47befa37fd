//! A comparison for a terminal: first what differs in the environment, then a line per cell.

use c10k_record::{CellComparison, ComparisonRecord, Pairing};

use crate::statistic::{Form, number};

/// The comparison as lines of text.
#[must_use]
pub fn comparison_text(comparison: &ComparisonRecord) -> String {
    let mut lines = vec![format!(
        "{}: B = {} against A = {}",
        comparison.study,
        comparison.b.display(),
        comparison.a.display()
    )];
    if comparison.missing_in_b {
        lines.push("B does not have this study.".to_owned());
        return lines.join("\n");
    }
    if let Some(reason) = &comparison.unreadable {
        lines.push(format!("It cannot be compared: {reason}"));
        return lines.join("\n");
    }
    if comparison.environment.is_empty() {
        lines.push("The environments are the same as far as they are known.".to_owned());
    }
    for difference in &comparison.environment {
        lines.push(format!(
            "The environments differ: {}: A {}; B {}",
            difference.what, difference.a, difference.b
        ));
    }
    lines.push(format!(
        "{}; {} comparisons hold together with 95% (Bonferroni); the bound is {:.1}%.",
        match comparison.pairing {
            Pairing::Blocks => "Compared block by block (same experiment, same seed)",
            Pairing::Independent => "Compared as independent samples (another seed or another experiment)",
        },
        comparison.cells.len(),
        100.0 * comparison.bound
    ));
    let widths = comparison.cells.iter().map(|cell| cell.cell.len());
    let width = widths.max().unwrap_or_default();
    lines.extend(comparison.cells.iter().map(|cell| line(cell, width)));
    let only = |cells: &[String], folder: &str| -> Vec<String> {
        cells
            .iter()
            .map(|cell| format!("only in {folder}     {cell}"))
            .collect()
    };
    lines.extend(only(&comparison.only_in_a, "A"));
    lines.extend(only(&comparison.only_in_b, "B"));
    lines.join("\n")
}

fn line(cell: &CellComparison, width: usize) -> String {
    let factor = |value: f64| number(Form::Factor, "", value);
    let ratio = match (cell.ratio, cell.ratio_low.zip(cell.ratio_high)) {
        (Some(ratio), Some((low, high))) => format!("{} ({} … {})", factor(ratio), factor(low), factor(high)),
        (Some(ratio), None) => format!("{} (too few blocks)", factor(ratio)),
        (None, _) => "no valid block in one of them".to_owned(),
    };
    let median =
        |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| number(Form::Plain, &cell.unit, value));
    format!(
        "{:12}  {:width$}  {}: {} → {}, {ratio}",
        cell.verdict.word(),
        cell.cell,
        cell.measure,
        median(cell.a),
        median(cell.b)
    )
}
