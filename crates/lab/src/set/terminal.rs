//! A set for a terminal: a line per study with its verdicts counted, then the answer.

use std::fmt::Write as _;

use c10k_record::{SetRecord, StudyEnd, Verdict};

use crate::report::cell_words;

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
                "{} confirmed, {} refuted, {} inconclusive{}{}; runs of cells: {}",
                outcome.count(Verdict::Confirmed),
                outcome.count(Verdict::Refuted),
                outcome.count(Verdict::Inconclusive),
                match outcome.count(Verdict::SettledByInstructions) {
                    0 => String::new(),
                    count => format!(", {count} settled by instructions"),
                },
                match outcome.count(Verdict::NotMeasured) {
                    0 => String::new(),
                    count => format!(", {count} not measured"),
                },
                cell_words(outcome.cells),
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
