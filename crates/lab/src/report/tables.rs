//! The tables of a study as rows of text, for the page.

use std::collections::BTreeMap;

use c10k_record::{CallRecord, CellRecord, CellStatus};
use c10k_units::display::significant;
use serde::Serialize;

use crate::measure::Measure;
use crate::plan::Plan;
use crate::results::Results;
use crate::{measure, stats};

/// A heading and its rows, all of the same length.
#[derive(Debug, Default, Serialize)]
pub(super) struct Table {
    pub(super) heading: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// What the table of cells shows of each study, where there is any, with headings short enough for a page.
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
    ("all-switches-per-request", "switches/request, ended tasks included"),
    ("syscalls-per-request", "calls/request"),
    ("events-per-wait", "events/wait"),
    ("overflows", "overflows"),
];

/// The columns of the table of cells: those of every study, then the other measures of this study's claims and figures.
fn columns(plan: &Plan) -> Vec<(&'static Measure, String)> {
    let always = SHOWN.iter().map(|&(name, heading)| (name, Some(heading)));
    let claims = plan.experiment.claims.iter().map(|claim| &claim.measure);
    let figures = plan.experiment.figures.iter().map(|figure| &figure.y);
    let own = claims.chain(figures).map(|name| (name.get_ref().as_str(), None));
    let mut columns: Vec<(&Measure, String)> = Vec::new();
    for (name, heading) in always.chain(own) {
        // Every name was checked when the experiment was read.
        let Some(measure) = measure::find(name) else { continue };
        if columns.iter().all(|(other, _)| other.name != measure.name) {
            columns.push((
                measure,
                heading.map_or_else(|| measure.label_with_unit(), str::to_owned),
            ));
        }
    }
    columns
}

/// The measures of `cells.csv`: those of the table of cells and those of what the generator did.
pub(super) fn measures(plan: &Plan) -> Vec<&'static Measure> {
    let shown = columns(plan).into_iter().map(|(measure, _)| measure);
    let mut measures: Vec<&Measure> = Vec::new();
    for measure in shown.chain(PROOF.iter().filter_map(|(name, _)| measure::find(name))) {
        if measures.iter().all(|other| other.name != measure.name) {
            measures.push(measure);
        }
    }
    measures
}

/// What shows that the generator was not the limit.
const PROOF: &[(&str, &str)] = &[
    ("generator-percent", "generator CPU %"),
    ("send-lag-ms-p99", "send lag p99 ms"),
    ("offered-rate", "offered/s"),
    ("reply-rate", "replies/s"),
    ("in-system", "in system"),
    ("in-system-by-times", "by Little's law"),
];

/// Medians over the valid blocks of what a study looks at, a row per cell.
pub(super) fn cells(plan: &Plan, records: &[CellRecord]) -> Table {
    medians(plan, records, columns(plan))
}

/// Medians over the valid blocks of what the generator did, a row per cell; no row where there was none.
pub(super) fn proof(plan: &Plan, records: &[CellRecord]) -> Table {
    let columns = PROOF
        .iter()
        .filter_map(|&(name, heading)| Some((measure::find(name)?, heading.to_owned())));
    match records.iter().any(|record| record.load.is_some()) {
        true => medians(plan, records, columns.collect()),
        false => Table::default(),
    }
}

/// Medians by cell, without empty columns.
fn medians(plan: &Plan, records: &[CellRecord], columns: Vec<(&'static Measure, String)>) -> Table {
    let results = Results::new(plan, records);
    let medians = |measure: &Measure| -> Vec<Option<f64>> {
        let values = plan.cells.iter().map(|cell| results.values(&cell.id, measure));
        values
            .map(|values| stats::median(&values.into_values().collect::<Vec<f64>>()))
            .collect()
    };
    let columns: Vec<(String, Vec<Option<f64>>)> = columns
        .into_iter()
        .map(|(measure, heading)| (heading, medians(measure)))
        .filter(|(_, medians)| medians.iter().any(Option::is_some))
        .collect();
    let mut heading = vec!["variant".to_owned()];
    heading.extend(plan.axes.iter().map(|axis| axis.name.clone()));
    heading.push("blocks".to_owned());
    heading.extend(columns.iter().map(|(heading, _)| heading.clone()));
    let rows = plan.cells.iter().enumerate().map(|(index, cell)| {
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
        let medians = columns.iter().map(|(_, medians)| medians[index]);
        row.extend(medians.map(|median| median.map_or_else(|| "–".to_owned(), significant)));
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
    heading.extend(plan.axes.iter().map(|axis| axis.name.clone()));
    heading.push("all".to_owned());
    heading.extend(names.iter().map(|name| (*name).to_owned()));
    let rows: Vec<Vec<String>> = rows.collect();
    (!rows.is_empty()).then_some(Table { heading, rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

    #[test]
    fn every_row_is_as_long_as_its_heading() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let all = [testing::record("flat idle=10 rate=10%", 0, 0.1)];
        for table in [cells(&plan, &all), proof(&plan, &all)] {
            assert!(!table.rows.is_empty());
            for row in &table.rows {
                assert_eq!(row.len(), table.heading.len());
            }
        }
        let Table { heading, rows } = cells(&plan, &all);
        let shows = |column: usize| rows.iter().any(|row| row[column] != "–");
        assert!(heading.len() > 4 && (4..heading.len()).all(shows), "{heading:?}");
        assert_eq!(rows[0][3], "1");
        assert_eq!(rows[1][3], "0", "a cell that has not run has no block");
    }
}
