//! The tables of a study as rows of text: for the page and as comma-separated files.

use std::collections::BTreeMap;

use c10k_record::{CallRecord, CellRecord, CellStatus};
use serde::Serialize;

use crate::judge::{Results, significant};
use crate::measure::{MEASURES, Measure};
use crate::plan::Plan;
use crate::{Outcome, measure, stats};

/// A heading and its rows, all of the same length.
#[derive(Debug, Default, Serialize)]
pub(super) struct Table {
    pub(super) heading: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// What the table of cells shows, with headings short enough for a page.
const SHOWN: &[(&str, &str)] = &[
    ("cpu-percent", "CPU %"),
    ("cpu-percent-idle-counter", "idle counter %"),
    ("cpu-percent-busy", "busy %"),
    ("cpu-us-per-request", "µs/request"),
    ("reply-rate", "replies/s"),
    ("answered-share", "answered"),
    ("response-ms-p50", "p50 ms"),
    ("response-ms-p99", "p99 ms"),
    ("switches-per-request", "switches/request"),
    ("syscalls-per-request", "calls/request"),
    ("events-per-wait", "events/wait"),
    ("overflows", "overflows"),
];

/// Medians over the valid blocks, a row per cell.
pub(super) fn cells(plan: &Plan, records: &[CellRecord]) -> Table {
    let results = Results::new(plan, records);
    let shown: Vec<(&Measure, &str)> = SHOWN
        .iter()
        .filter_map(|(name, heading)| Some((measure::find(name)?, *heading)))
        .collect();
    let mut heading = vec!["variant".to_owned()];
    heading.extend(plan.axes.iter().map(|axis| axis.row.name.to_owned()));
    heading.push("blocks".to_owned());
    heading.extend(shown.iter().map(|(_, heading)| (*heading).to_owned()));
    let rows = plan.cells.iter().map(|cell| {
        let mut row = vec![plan.variants[cell.variant].label.clone()];
        let levels = plan.axes.iter().zip(&cell.levels);
        row.extend(levels.map(|(axis, &level)| axis.levels[level].written.clone()));
        let all = results.of(&cell.id).count();
        let valid = results
            .of(&cell.id)
            .filter(|record| record.status == CellStatus::Measured)
            .count();
        row.push(if valid == all {
            valid.to_string()
        } else {
            format!("{valid} of {all}")
        });
        row.extend(shown.iter().map(|(measure, _)| {
            let values: Vec<f64> = results.values(&cell.id, measure).into_values().collect();
            stats::median(&values).map_or_else(|| "–".to_owned(), significant)
        }));
        row
    });
    Table {
        rows: rows.collect(),
        heading,
    }
}

/// System calls per request by name, a row per cell, the most frequent call first; means over the counting passes.
/// `None` where nothing was counted.
pub(super) fn calls(plan: &Plan, records: &[CellRecord]) -> Option<Table> {
    let results = Results::new(plan, records);
    let counted = |cell: &str| -> Vec<&CallRecord> {
        let calls = results.of(cell).filter_map(|record| record.calls.as_ref());
        calls.filter(|calls| calls.status == CellStatus::Measured).collect()
    };
    let mut per_request: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    let mut passes = vec![0; plan.cells.len()];
    for (row, cell) in plan.cells.iter().enumerate() {
        for calls in counted(&cell.id) {
            passes[row] += 1;
            for (name, count) in &calls.by_name {
                let value = measure::calls_per_request(calls, *count).unwrap_or_default();
                per_request.entry((row, name)).or_default().push(value);
            }
        }
    }
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for ((_, name), values) in &per_request {
        *totals.entry(name).or_default() += values.iter().sum::<f64>();
    }
    let mut names: Vec<&str> = totals.keys().copied().collect();
    names.sort_by(|one, two| totals[two].total_cmp(&totals[one]));
    let rows = plan
        .cells
        .iter()
        .enumerate()
        .filter(|(row, _)| passes[*row] > 0)
        .map(|(row, cell)| {
            let mut fields = vec![plan.variants[cell.variant].label.clone()];
            let levels = plan.axes.iter().zip(&cell.levels);
            fields.extend(levels.map(|(axis, &level)| axis.levels[level].written.clone()));
            let mean = |name: &str| {
                let values = per_request.get(&(row, name))?;
                Some(values.iter().sum::<f64>() / f64::from(passes[row]))
            };
            let all: f64 = names.iter().filter_map(|name| mean(name)).sum();
            fields.push(significant(all));
            fields.extend(
                names
                    .iter()
                    .map(|name| mean(name).map_or_else(|| "–".to_owned(), significant)),
            );
            fields
        });
    let mut heading = vec!["variant".to_owned()];
    heading.extend(plan.axes.iter().map(|axis| axis.row.name.to_owned()));
    heading.push("all".to_owned());
    heading.extend(names.iter().map(|name| (*name).to_owned()));
    let rows: Vec<Vec<String>> = rows.collect();
    (!rows.is_empty()).then_some(Table { heading, rows })
}

/// Every measure of every record, for spreadsheets.
pub(super) fn records(plan: &Plan, records: &[CellRecord]) -> Table {
    let mut heading: Vec<String> = ["cell", "variant", "block", "position", "status"]
        .map(str::to_owned)
        .into();
    heading.extend(plan.axes.iter().map(|axis| axis.row.name.to_owned()));
    heading.extend(MEASURES.iter().map(|measure| measure.name.to_owned()));
    let rows = records.iter().map(|record| {
        let status = match record.status {
            CellStatus::Measured => "measured",
            CellStatus::Invalid => "invalid",
            CellStatus::Skipped => "skipped",
        };
        let mut row = vec![
            record.cell.clone(),
            record.variant.clone(),
            record.block.to_string(),
            record.position.to_string(),
            status.to_owned(),
        ];
        let text = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        row.extend(
            plan.axes
                .iter()
                .map(|axis| text(record.levels.get(axis.row.name).copied())),
        );
        row.extend(MEASURES.iter().map(|measure| text((measure.read)(record))));
        row
    });
    Table {
        rows: rows.collect(),
        heading,
    }
}

/// Every number that a verdict rests on.
pub(super) fn verdicts(outcome: &Outcome) -> Table {
    let heading = [
        "claim",
        "verdict",
        "test",
        "of",
        "value",
        "interval",
        "blocks",
        "this alone",
    ];
    let rows = outcome.judgements.iter().flat_map(|judgement| {
        judgement.estimates.iter().map(|estimate| {
            vec![
                judgement.id.clone(),
                judgement.verdict.word().to_owned(),
                judgement.test.clone(),
                estimate.of.clone(),
                estimate.value.clone(),
                estimate.interval.clone(),
                estimate.blocks.to_string(),
                estimate.verdict.word().to_owned(),
            ]
        })
    });
    Table {
        heading: heading.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

/// RFC 4180: fields with a comma, a quote or a line end are quoted, lines end with CR LF.
pub(super) fn csv(table: &Table) -> String {
    let field = |text: &String| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.clone()
        }
    };
    std::iter::once(&table.heading)
        .chain(&table.rows)
        .map(|row| row.iter().map(field).collect::<Vec<_>>().join(",") + "\r\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let table = Table {
            heading: vec!["a".to_owned(), "b,c".to_owned()],
            rows: vec![vec!["say \"x\"".to_owned(), "1".to_owned()]],
        };
        assert_eq!(csv(&table), "a,\"b,c\"\r\n\"say \"\"x\"\"\",1\r\n");
    }

    #[test]
    fn every_row_is_as_long_as_its_heading() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let all = [testing::record("flat idle=10 rate=10%", 0, 0.1)];
        for table in [cells(&plan, &all), records(&plan, &all)] {
            assert!(!table.rows.is_empty());
            for row in &table.rows {
                assert_eq!(row.len(), table.heading.len());
            }
        }
        let rows = cells(&plan, &all).rows;
        assert_eq!(rows[0][3], "1");
        assert_eq!(rows[1][3], "0", "a cell that has not run has no block");
    }
}
