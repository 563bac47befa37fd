//! A set for a terminal: a line per study with its verdicts counted, then the answer.

use std::fmt::Write as _;

use c10k_record::{SetRecord, StudyEnd, Verdict};

/// The answer, a line per study and the overview's path, for a terminal.
#[must_use]
pub fn set_text(set: &SetRecord) -> String {
    let mut text = String::new();
    let width = set
        .studies
        .iter()
        .map(|entry| entry.study.len())
        .max()
        .unwrap_or_default();
    for entry in &set.studies {
        let words = match &entry.ended {
            StudyEnd::Concluded { outcome } => format!(
                "{} confirmed, {} refuted, {} inconclusive; {} cells measured, {} invalid, {} skipped",
                outcome.count(Verdict::Confirmed),
                outcome.count(Verdict::Refuted),
                outcome.count(Verdict::Inconclusive),
                outcome.cells.measured,
                outcome.cells.invalid,
                outcome.cells.skipped
            ),
            StudyEnd::Failed { reason } => format!("failed: {reason}"),
            StudyEnd::NotRun { reason } => format!("not run: {reason}"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:width$}  {words}", entry.study);
    }
    let _ = write!(text, "{}\nOverview: {}", set.answer, set.report.display());
    text
}
