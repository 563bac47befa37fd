//! Tables laid out as the source's: one variant, an axis down, an axis and its measures across, the published numbers beside.

use c10k_record::CellRecord;

use c10k_units::display::{significant, thousands};

use crate::experiment::TableSpec;
use crate::plan::{Axis, Plan};
use crate::results::Results;
use crate::{StudyTable, measure, stats};

/// Every table of the plan's experiment.
pub(crate) fn tables(plan: &Plan, records: &[CellRecord]) -> Vec<StudyTable> {
    let results = Results::new(plan, records);
    let specs = plan.experiment.tables.iter();
    specs.filter_map(|spec| table(plan, &results, spec)).collect()
}

/// Names were checked when the experiment was read.
fn table(plan: &Plan, results: &Results, spec: &TableSpec) -> Option<StudyTable> {
    let variant = plan.variant(spec.variant.get_ref())?;
    let down = plan.axis(spec.rows.get_ref())?;
    let across = plan.axis(spec.columns.get_ref())?;
    let columns: Vec<(usize, &str, &str)> = (0..plan.axes[across].levels.len())
        .flat_map(|level| {
            let measures = spec.measures.iter().zip(&spec.heads);
            measures.map(move |(measure, head)| (level, measure.get_ref().as_str(), head.as_str()))
        })
        .collect();
    let label = |level: usize, head: &str| format!("{head}, {}", plan.axes[across].describe(level));
    let mut heading = vec![plan.axes[down].row.name.to_owned()];
    heading.extend(columns.iter().map(|(level, _, head)| label(*level, head)));
    heading.push(spec.published_as.clone());
    heading.extend(
        columns
            .iter()
            .map(|(level, _, head)| format!("published: {}", label(*level, head))),
    );
    let rows = spec.published.iter().enumerate().map(|(row, published)| {
        let ours = columns.iter().map(|(column, name, _)| {
            let mut levels = vec![0; plan.axes.len()];
            levels[down] = row;
            levels[across] = *column;
            let values: Vec<f64> = measure::find(name)
                .zip(plan.cell(variant, &levels))
                .map(|(measure, cell)| results.values(&cell.id, measure).into_values().collect())
                .unwrap_or_default();
            stats::median(&values).map_or_else(|| "–".to_owned(), count)
        });
        let first = describe(&plan.axes[down], row);
        std::iter::once(first)
            .chain(ours)
            .chain(published.get_ref().iter().cloned())
            .collect()
    });
    Some(StudyTable {
        id: spec.id.get_ref().clone(),
        title: spec.title.clone(),
        caption: spec.caption.clone(),
        rows: rows.collect(),
        heading,
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

/// A table as text, its columns as wide as their widest field.
pub(super) fn text(table: &StudyTable) -> String {
    let all = || std::iter::once(&table.heading).chain(&table.rows);
    let widths: Vec<usize> = (0..table.heading.len())
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
    fn the_counts_are_the_servers_and_stand_beside_the_published_ones() {
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
        assert_eq!(found[0].rows[0], ["10", "–", "–", "1", "504728", "0"]);
        assert_eq!(found[0].rows[1], ["20", "700", "3", "2", "40", "40"]);
        assert_eq!(found[0].heading.len(), 6);
        assert!(text(&found[0]).lines().count() == 4, "{}", text(&found[0]));
    }
}
