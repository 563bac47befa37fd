//! The CSV files of a study: numbers in full precision, in the dialect of [`c10k_record::csv`].

use std::collections::BTreeMap;

use c10k_record::csv::{number, to_string};
use c10k_record::{CallRecord, CellRecord, CellStatus, ClaimRecord, EstimateRecord, StudyRecord, TableRecord};

use super::tables;
use crate::LabError;
use crate::experiment::value::Kind;
use crate::measure;
use crate::plan::{Axis, Plan};
use crate::results::Results;
use crate::stats;

/// `cells.csv`: the spread of each measure over the valid blocks of each cell, a row for each measure of each cell.
pub(super) fn cells(plan: &Plan, records: &[CellRecord]) -> Result<String, LabError> {
    let results = Results::new(plan, records);
    let measures = tables::measures(plan);
    let header = header(
        &["cell", "variant"],
        plan,
        &[
            "measure",
            "unit",
            "blocks",
            "min",
            "quartile_1",
            "median",
            "quartile_3",
            "max",
        ],
    );
    let rows = plan.cells.iter().flat_map(|cell| {
        let results = &results;
        measures.iter().filter_map(move |measure| {
            let values: Vec<f64> = results.values(&cell.id, measure).into_values().collect();
            let spread = stats::spread(&values)?;
            let mut row = vec![cell.id.clone(), plan.variants[cell.variant].name.clone()];
            row.extend(levels(plan, &cell.levels));
            row.extend([
                measure.name.to_owned(),
                measure.unit.to_owned(),
                values.len().to_string(),
            ]);
            row.extend(spread.map(|value| number(Some(value))));
            Some(row)
        })
    });
    finish(to_string(&header, rows))
}

/// `records.csv`: every measure of every record, a row for each record.
pub(super) fn records(plan: &Plan, records: &[CellRecord]) -> Result<String, LabError> {
    let names: Vec<&str> = measure::all().map(|measure| measure.name).collect();
    let header = header(&["cell", "variant", "block", "position", "status"], plan, &names);
    let rows = records.iter().map(|record| {
        let mut row = vec![
            record.cell.clone(),
            record.variant.clone(),
            record.block.to_string(),
            record.position.to_string(),
            record.status.word().to_owned(),
        ];
        let axes = plan.axes.iter();
        row.extend(axes.map(|axis| number(record.levels.get(&axis.name).copied())));
        row.extend(measure::all().map(|measure| number(measure.read(record))));
        row
    });
    finish(to_string(&header, rows))
}

/// The columns of `verdicts.csv`.
const VERDICTS_HEADER: &[&str] = &[
    "claim",
    "verdict",
    "statistic",
    "measure",
    "along",
    "against",
    "at_least",
    "at_most",
    "of",
    "variant",
    "form",
    "unit",
    "value",
    "low",
    "high",
    "confidence",
    "blocks",
    "estimate_verdict",
    "confirms_confidence",
    "confirms_low",
    "confirms_high",
    "refutes_confidence",
    "refutes_low",
    "refutes_high",
    "plain",
    "plain_low",
    "plain_high",
    "speed_slope",
    "speeds",
    "exact_table",
    "exact_min",
    "exact_max",
    "exact_verdict",
];

/// `verdicts.csv`: every number that decides a verdict, a row for each.
pub(super) fn verdicts(study: &StudyRecord) -> Result<String, LabError> {
    let rows = study.claims.iter().flat_map(|claim| {
        claim.estimates.iter().map(move |estimate| {
            let test = &claim.test;
            let deciding = [estimate.confirms, estimate.refutes].into_iter().flat_map(|interval| {
                let confidence = interval.map(|interval| interval.confidence);
                let ends = interval.map_or((None, None), |interval| (interval.low, interval.high));
                [confidence, ends.0, ends.1].map(number)
            });
            let mut row = vec![
                claim.claim.clone(),
                claim.verdict.word().to_owned(),
                test.statistic.clone(),
                test.measure.clone(),
                test.along.clone().unwrap_or_default(),
                test.against.clone().unwrap_or_default(),
                number(test.at_least),
                number(test.at_most),
                estimate.of.clone(),
                estimate.variant.clone(),
                test.form.word().to_owned(),
                estimate.unit.clone(),
                number(estimate.value),
                number(estimate.low),
                number(estimate.high),
                number(Some(estimate.confidence)),
                estimate.blocks.to_string(),
                estimate.verdict.word().to_owned(),
            ];
            row.extend(deciding);
            row.extend(plain(estimate));
            row.extend(exact(claim, &estimate.variant));
            row
        })
    });
    finish(to_string(VERDICTS_HEADER, rows))
}

/// The number as it was measured, where it is adjusted to equal speeds of the CPU, the slope and the ratio of the speeds.
fn plain(estimate: &EstimateRecord) -> [String; 5] {
    let speed = estimate.speed;
    [
        speed.map(|speed| speed.plain),
        speed.and_then(|speed| speed.plain_low),
        speed.and_then(|speed| speed.plain_high),
        speed.map(|speed| speed.slope),
        speed.map(|speed| speed.speeds),
    ]
    .map(number)
}

/// The table of the guest, the smallest and the largest number of the variant in instructions, and what all numbers of the claim
/// say.
fn exact(claim: &ClaimRecord, variant: &str) -> [String; 4] {
    let Some(exact) = &claim.exact else {
        return [const { String::new() }; 4];
    };
    let values = exact.values.iter().filter(|value| value.variant == variant);
    let numbers: Vec<f64> = values.map(|value| value.value).collect();
    [
        exact.table.clone(),
        number(numbers.iter().copied().min_by(f64::total_cmp)),
        number(numbers.iter().copied().max_by(f64::total_cmp)),
        exact.verdict.word().to_owned(),
    ]
}

/// `calls.csv`: system calls per request, the mean over the counting passes, a row for each call of each cell. `None` if
/// nothing was counted.
pub(super) fn calls(plan: &Plan, records: &[CellRecord]) -> Option<Result<String, LabError>> {
    let results = Results::new(plan, records);
    let header = header(&["cell", "variant"], plan, &["call", "passes", "per_request"]);
    let mut rows = Vec::new();
    for cell in &plan.cells {
        let counted = results.of(&cell.id).filter_map(|record| record.calls.as_ref());
        let counted: Vec<&CallRecord> = counted.filter(|calls| calls.status == CellStatus::Measured).collect();
        let mut per_request: BTreeMap<&str, f64> = BTreeMap::new();
        for calls in &counted {
            for (name, count) in &calls.by_name {
                *per_request.entry(name).or_default() +=
                    measure::calls_per_request(calls, *count).unwrap_or_default() / counted.len() as f64;
            }
        }
        for (name, mean) in per_request {
            let mut row = vec![cell.id.clone(), plan.variants[cell.variant].name.clone()];
            row.extend(levels(plan, &cell.levels));
            row.extend([name.to_owned(), counted.len().to_string(), number(Some(mean))]);
            rows.push(row);
        }
    }
    (!rows.is_empty()).then(|| finish(to_string(&header, rows)))
}

/// A table in the layout of the source: the level of the row, our medians, the level of the source and its numbers.
pub(super) fn table(table: &TableRecord) -> Result<String, LabError> {
    let headings = || table.columns.iter().map(|column| column.heading.clone());
    let mut header = vec![table.rows_axis.clone()];
    header.extend(headings());
    header.push(table.published_heading.clone());
    header.extend(headings().map(|heading| format!("published: {heading}")));
    let rows = table.rows.iter().map(|row| {
        let mut fields = vec![number(Some(row.level))];
        fields.extend(row.values.iter().map(|value| number(*value)));
        fields.push(row.published_level.clone());
        fields.extend(row.published.iter().cloned());
        fields
    });
    finish(to_string(&header, rows))
}

/// The columns before the axes, the axes, and the columns after them.
fn header(before: &[&str], plan: &Plan, after: &[&str]) -> Vec<String> {
    let text = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    let mut header = text(before);
    header.extend(plan.axes.iter().map(axis));
    header.extend(text(after));
    header
}

/// The name of an axis with the unit of its numbers.
fn axis(axis: &Axis) -> String {
    let unit = match axis.row.kind {
        Kind::Duration => "_s",
        Kind::Rate => "_per_s",
        Kind::Size => "_bytes",
        Kind::Count | Kind::Word => "",
    };
    format!("{}{unit}", axis.name)
}

fn levels(plan: &Plan, levels: &[usize]) -> Vec<String> {
    let axes = plan.axes.iter().zip(levels);
    axes.map(|(axis, &level)| number(Some(axis.levels[level].value)))
        .collect()
}

fn finish(text: std::io::Result<String>) -> Result<String, LabError> {
    text.map_err(|error| LabError::Report(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;
    use c10k_record::Verdict;

    fn lines(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split(',').collect()).collect()
    }

    #[test]
    fn a_cell_has_the_spread_of_each_measure_in_full_precision() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let cell = "flat idle=10 rate=10%";
        let measured: Vec<CellRecord> = [0.1, 0.2, 0.4, 0.3]
            .into_iter()
            .zip(0..)
            .map(|(share, block)| testing::record(cell, block, share))
            .collect();
        let text = cells(&plan, &measured).expect("rows are as long as the header");
        let lines = lines(&text);
        let header = "cell,variant,idle,rate_per_s,measure,unit,blocks,min,quartile_1,median,quartile_3,max";
        assert_eq!(lines[0].join(","), header);
        let row = lines
            .iter()
            .find(|row| row[4] == "cpu-percent")
            .expect("it was measured");
        assert_eq!(row[..7], [cell, "flat", "10", "100", "cpu-percent", "%", "4"]);
        let spread: Vec<f64> = row[7..].iter().map(|field| field.parse().expect("a number")).collect();
        for (found, expected) in spread.iter().zip([10.0, 17.5, 25.0, 32.5, 40.0]) {
            assert!((found - expected).abs() < 1e-6, "{spread:?}");
        }
        assert!(lines.iter().all(|row| row.len() == lines[0].len()));
        assert!(
            lines[1..].iter().all(|row| row[0] == cell),
            "cells without a valid block have no row"
        );
    }

    #[test]
    fn a_record_without_a_figure_has_an_empty_field() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let text = records(&plan, &[testing::record("flat idle=10 rate=10%", 0, 0.1)]).expect("it is written");
        let lines = lines(&text);
        assert_eq!(lines.len(), 2);
        let field = |name: &str| lines[1][lines[0].iter().position(|column| *column == name).expect(name)];
        assert_eq!((field("status"), field("fake-ns")), ("measured", ""));
        assert_eq!(field("reply-rate"), "1000");
    }

    #[test]
    fn a_number_has_those_in_instructions_next_to_it() {
        let mut settled = testing::settled("flat", Verdict::Confirmed);
        settled.estimates = vec![testing::estimate("flat", Verdict::Inconclusive)];
        let mut plain = testing::claim("plain", Verdict::Confirmed);
        plain.estimates = vec![testing::estimate("flat", Verdict::Confirmed)];
        let text = verdicts(&testing::study(vec![settled, plain])).expect("rows are as long as the header");
        let lines = lines(&text);
        let last = |row: usize| lines[row][lines[row].len() - 4..].to_vec();
        assert_eq!(last(0), ["exact_table", "exact_min", "exact_max", "exact_verdict"]);
        assert_eq!(last(1), ["vm/dispatch-cost", "0.002", "0.002", "confirmed"]);
        assert_eq!(last(2), [""; 4]);
        assert_eq!(lines[1][..2], ["flat", "settled-by-instructions"]);
    }
}
