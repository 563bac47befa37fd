//! The verdict table and the report's path, for a terminal of 100 columns.

use std::fmt::Write as _;

use c10k_record::{ClaimRecord, StudyRecord, Verdict};

use super::{crosstab, words};
use crate::measure;

/// The verdict table and the report's path, for a terminal.
#[must_use]
pub fn study_text(outcome: &StudyRecord) -> String {
    let mut text = String::new();
    let width = outcome
        .claims
        .iter()
        .map(|claim| words::verdict(claim.verdict).len())
        .max()
        .unwrap_or_default();
    for claim in &outcome.claims {
        claim_text(&mut text, claim, width);
    }
    if let Some(floor) = &outcome.noise_floor {
        line(
            &mut text,
            format_args!(
                "Noise floor: {:.1}%. {} ran twice in each block, under two names. The two differ by up to that in {} (median \
                 over the blocks); {} of {} comparisons called them different.",
                floor.difference_percent,
                floor.label,
                measure::find(&floor.measure).map_or(floor.measure.as_str(), |measure| measure.label),
                floor.called_different,
                floor.comparisons
            ),
        );
    }
    for advice in outcome.advice.iter().filter(|advice| advice.withheld_by.is_none()) {
        line(
            &mut text,
            format_args!("Advice: where {}: {}", advice.when, advice.take),
        );
    }
    for table in &outcome.tables {
        line(&mut text, format_args!("{}", crosstab::text(table)));
    }
    line(
        &mut text,
        format_args!("Runs of cells: {}.", words::cells(outcome.cells)),
    );
    line(&mut text, format_args!("{}", outcome.answer));
    let _ = write!(text, "Report: {}", outcome.report.display());
    text
}

/// The verdict of a claim, its estimates, and what would settle it.
fn claim_text(text: &mut String, claim: &ClaimRecord, width: usize) {
    line(
        text,
        format_args!("{:width$}  {}", words::verdict(claim.verdict), claim.text),
    );
    if claim.verdict == Verdict::NotMeasured {
        line(text, format_args!("{:width$}  Excluded by --only.", ""));
        return;
    }
    line(text, format_args!("{:width$}  {}", "", words::test(&claim.test)));
    for estimate in &claim.estimates {
        let own_verdict = match estimate.verdict == claim.verdict {
            true => String::new(),
            false => format!(" {}", estimate.verdict.word()),
        };
        line(
            text,
            format_args!(
                "{:width$}    {}: {} ({}; {} blocks){own_verdict}",
                "",
                estimate.of,
                words::value(claim, estimate),
                words::interval(claim, estimate),
                estimate.blocks,
            ),
        );
    }
    if let Some(settles) = words::settles(claim) {
        line(text, format_args!("{:width$}  What would settle it: {settles}.", ""));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
