//! Tables in the layout of the source: one variant, one axis down, one axis with its measures across, and the published
//! numbers next to ours.

use c10k_record::{CellRecord, TableColumn, TableRecord, TableRow};
use c10k_units::display::{significant, thousands};

use super::tables::Table;
use crate::experiment::TableSpec;
use crate::measure::Measure;
use crate::plan::{Axis, Plan};
use crate::results::Results;
use crate::{measure, stats};

/// Every table of the plan's experiment.
pub(crate) fn tables(plan: &Plan, records: &[CellRecord]) -> Vec<TableRecord> {
    let results = Results::new(plan, records);
    let specs = plan.experiment.tables.iter();
    specs.filter_map(|spec| table(plan, &results, spec)).collect()
}

/// Names were checked when the experiment was read.
fn table(plan: &Plan, results: &Results, spec: &TableSpec) -> Option<TableRecord> {
    let variant = plan.variant(spec.variant.get_ref())?;
    let down = plan.axis(spec.rows.get_ref())?;
    let across = plan.axis(spec.columns.get_ref())?;
    let columns: Vec<(usize, &Measure, &str)> = (0..plan.axes[across].levels.len())
        .flat_map(|level| {
            let measures = spec.measures.iter().zip(&spec.heads);
            measures.filter_map(move |(name, head)| Some((level, measure::find(name.get_ref())?, head.as_str())))
        })
        .collect();
    let rows = spec.published.iter().enumerate().map(|(row, published)| {
        let values = columns.iter().map(|(column, measure, _)| {
            let mut levels = vec![0; plan.axes.len()];
            levels[down] = row;
            levels[across] = *column;
            let cell = plan.cell(variant, &levels)?;
            let values: Vec<f64> = results.values(&cell.id, measure).into_values().collect();
            stats::median(&values)
        });
        let mut published = published.get_ref().iter().cloned();
        TableRow {
            heading: describe(&plan.axes[down], row),
            level: plan.axes[down].levels[row].value,
            values: values.collect(),
            published_level: published.next().unwrap_or_default(),
            published: published.collect(),
        }
    });
    let rows = rows.collect();
    let columns = columns.iter().map(|(level, measure, head)| TableColumn {
        heading: format!("{head}, {}", plan.axes[across].describe(*level)),
        level: plan.axes[across].levels[*level].value,
        measure: measure.name.to_owned(),
        unit: measure.unit.to_owned(),
    });
    Some(TableRecord {
        table: spec.id.get_ref().clone(),
        title: spec.title.clone(),
        caption: spec.caption.clone(),
        variant: plan.variants[variant].name.clone(),
        rows_axis: plan.axes[down].name.clone(),
        columns_axis: plan.axes[across].name.clone(),
        published_heading: spec.published_as.clone(),
        columns: columns.collect(),
        rows,
    })
}

fn describe(axis: &Axis, level: usize) -> String {
    let level = &axis.levels[level];
    if level.written.ends_with('%') {
        format!("{} ({}/s)", level.written, thousands(level.value))
    } else {
        level.written.clone()
    }
}

/// Whole numbers in full, others with three digits.
fn count(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        significant(value)
    }
}

/// The heading and the rows of a table as text for people.
pub(super) fn words(table: &TableRecord) -> Table {
    let headings = || table.columns.iter().map(|column| column.heading.clone());
    let mut heading = vec![table.rows_axis.clone()];
    heading.extend(headings());
    heading.push(table.published_heading.clone());
    heading.extend(headings().map(|heading| format!("published: {heading}")));
    let rows = table.rows.iter().map(|row| {
        let mut fields = vec![row.heading.clone()];
        fields.extend(
            row.values
                .iter()
                .map(|value| value.map_or_else(|| "–".to_owned(), count)),
        );
        fields.push(row.published_level.clone());
        fields.extend(row.published.iter().cloned());
        fields
    });
    Table {
        rows: rows.collect(),
        heading,
    }
}

/// A table as text for a terminal, its columns as wide as their widest field.
pub(super) fn text(table: &TableRecord) -> String {
    let Table { heading, rows } = words(table);
    let all = || std::iter::once(&heading).chain(&rows);
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            all()
                .filter_map(|row| row.get(column))
                .map(|field| field.chars().count())
                .max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let lines = all().map(|row| {
        let fields = row.iter().zip(&widths).map(|(field, width)| format!("{field:>width$}"));
        fields.collect::<Vec<_>>().join("  ")
    });
    let body: Vec<String> = lines.collect();
    format!("{}\n{}", table.title, body.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Experiment, Source};
    use crate::plan::Choices;
    use crate::testing;

    #[test]
    fn the_counts_are_the_servers_and_stand_next_to_the_published_ones() {
        let source = Source {
            file: "t.toml".to_owned(),
            text: testing::EXPERIMENT.to_owned()
                + r#"
[[table]]
id = "t"
title = "A table"
caption = "C"
variant = "flat"
rows = "idle"
columns = "rate"
measures = ["signals", "overflows"]
heads = ["waits", "SIGIOs"]
published-as = "their rate"
published = [["1", "504728", "0"], ["2", "40", "40"]]
"#,
        };
        let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
        let plan = Plan::resolve(&experiment, &Choices::default(), Some(1000.0)).expect("it resolves");
        let mut record = testing::record("flat idle=20 rate=10%", 0, 0.1);
        let server = record.server.as_mut().expect("it has one");
        (server.signals, server.overflows) = (700, 3);
        let found = tables(&plan, &[record]);
        assert_eq!(found[0].rows[1].values, [Some(700.0), Some(3.0)]);
        let Table { heading, rows } = words(&found[0]);
        assert_eq!(rows[0], ["10", "–", "–", "1", "504728", "0"]);
        assert_eq!(rows[1], ["20", "700", "3", "2", "40", "40"]);
        assert_eq!(heading.len(), 6);
        assert!(text(&found[0]).lines().count() == 4, "{}", text(&found[0]));
    }
}
