//! The verdict table and the report's path, for a terminal of 100 columns.

use std::fmt::Write as _;

use super::crosstab;
use crate::Outcome;

impl Outcome {
    /// The verdict table and the report's path, for a terminal.
    #[must_use]
    pub fn summary(&self) -> String {
        summary(self)
    }
}

fn summary(outcome: &Outcome) -> String {
    let mut text = String::new();
    let width = outcome
        .judgements
        .iter()
        .map(|judgement| judgement.verdict.word().len())
        .max()
        .unwrap_or_default();
    for judgement in &outcome.judgements {
        line(
            &mut text,
            format_args!("{:width$}  {}", judgement.verdict.word(), judgement.text),
        );
        line(&mut text, format_args!("{:width$}  {}", "", judgement.test));
        for estimate in &judgement.estimates {
            line(
                &mut text,
                format_args!(
                    "{:width$}    {}: {} ({}; {} blocks){}",
                    "",
                    estimate.of,
                    estimate.value,
                    estimate.interval,
                    estimate.blocks,
                    if estimate.verdict == judgement.verdict {
                        String::new()
                    } else {
                        format!(" {}", estimate.verdict.word())
                    }
                ),
            );
        }
        if let Some(settles) = &judgement.settles {
            line(
                &mut text,
                format_args!("{:width$}  What would settle it: {settles}", ""),
            );
        }
    }
    if let Some(floor) = &outcome.noise_floor {
        line(
            &mut text,
            format_args!(
                "Noise floor: {} run twice under two names differed by {:.1}% at most ({}; {} of {} comparisons called \
                 different).",
                floor.variant, floor.percent, floor.measure, floor.called_different, floor.comparisons
            ),
        );
    }
    for advice in outcome.advice.iter().filter(|advice| advice.withheld.is_none()) {
        line(
            &mut text,
            format_args!("Advice: where {}: {}", advice.when, advice.take),
        );
    }
    for table in &outcome.tables {
        line(&mut text, format_args!("{}", crosstab::text(table)));
    }
    let cells = outcome.cells;
    line(
        &mut text,
        format_args!(
            "Cells: {} measured, {} invalid, {} skipped.",
            cells.measured, cells.invalid, cells.skipped
        ),
    );
    line(&mut text, format_args!("{}", outcome.answer));
    let _ = write!(text, "Report: {}", outcome.report.display());
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
