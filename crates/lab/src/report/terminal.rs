//! The verdict table and the report's path, for a terminal of 100 columns.

use std::fmt::Write as _;

use c10k_record::{ClaimRecord, StudyRecord, Verdict};

use super::{crosstab, exact, words};
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
        if let Some(ground) = exact::by_instructions(advice) {
            line(&mut text, format_args!("        {ground}."));
        }
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
    // What the blocks say of a claim that instructions settled.
    let here = match claim.verdict {
        Verdict::SettledByInstructions => Verdict::Inconclusive,
        verdict => verdict,
    };
    for estimate in &claim.estimates {
        let own_verdict = match estimate.verdict == here {
            true => String::new(),
            false => format!(" {}", estimate.verdict.word()),
        };
        let exact = match &claim.exact {
            None => String::new(),
            Some(exact) => format!(
                "; exact, instructions: {}",
                exact::of_variant(claim, exact, &estimate.variant)
            ),
        };
        line(
            text,
            format_args!(
                "{:width$}    {}: {} ({}; {} {}){own_verdict}{exact}",
                "",
                estimate.of,
                words::value(claim, estimate),
                words::interval(claim, estimate),
                estimate.blocks,
                if estimate.blocks == 1 { "block" } else { "blocks" },
            ),
        );
    }
    if let Some(exact) = &claim.exact {
        // Where there are numbers of these blocks, those in instructions stand next to them.
        let numbers = match claim.estimates.is_empty() {
            true => format!(". {}", exact::numbers(claim, exact)),
            false => String::new(),
        };
        line(
            text,
            format_args!(
                "{:width$}  In instructions ({}): {}{numbers}.",
                "",
                exact::counted_in(exact),
                exact.verdict.word(),
            ),
        );
    }
    if let Some(disagreement) = exact::disagreement(claim) {
        line(text, format_args!("{:width$}  {disagreement}.", ""));
    }
    if let Some(remark) = words::remark(claim) {
        line(text, format_args!("{:width$}  {remark}.", ""));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn here_and_in_instructions_stand_side_by_side_and_a_settled_claim_is_called_so() {
        let mut claim = testing::settled("flat", Verdict::Confirmed);
        claim.estimates = vec![testing::estimate("flat", Verdict::Inconclusive)];
        let mut text = String::new();
        claim_text(&mut text, &claim, 23);
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(lines[0], "settled by instructions  the claim flat");
        assert_eq!(
            lines[2],
            "flat: +5.0% (no interval; 5 blocks); exact, instructions: +0.2%"
        );
        assert_eq!(
            lines[3],
            "In instructions (vm/dispatch-cost, Linux 6.1.0, emulator 7.2): confirmed."
        );
        assert_eq!(lines.len(), 4, "they agree: {text}");
        claim.estimates.clear();
        let mut text = String::new();
        claim_text(&mut text, &claim, 23);
        assert!(text.ends_with("emulator 7.2): confirmed. flat: +0.2%.\n"), "{text}");
    }
}
