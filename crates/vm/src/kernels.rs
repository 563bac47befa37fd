//! Tables of several kernels next to each other: as CSV, as a page with charts, and cell by cell.

use c10k_chart::{Chart, ChartError, LOOKS, Point, Scale, Series, Size, X};
use c10k_record::{CostCell, CostTable, csv};
use c10k_units::display::thousands;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use crate::report::STYLE;
use crate::study::Study;

/// A study on several kernels.
#[derive(Debug)]
pub struct SideBySide<'t> {
    /// Its table on each kernel.
    pub tables: Vec<&'t CostTable>,
    /// Each cell that one of them has.
    pub rows: Vec<Row<'t>>,
}

/// A cell on each kernel.
#[derive(Debug)]
pub struct Row<'t> {
    /// Its subject.
    pub subject: &'t str,
    /// Its load.
    pub load: &'t str,
    /// Instructions per unit of work on each kernel; absent where it was not measured.
    pub costs: Vec<Option<f64>>,
}

impl Row<'_> {
    /// A cost ÷ that on the first kernel, for each kernel.
    pub fn ratios(&self) -> impl Iterator<Item = Option<f64>> {
        let first = self.costs.first().copied().flatten();
        self.costs.iter().map(move |cost| Some((*cost)? / first?))
    }
}

impl<'t> SideBySide<'t> {
    /// Tables of one study, one for each kernel.
    #[must_use]
    pub fn of(tables: Vec<&'t CostTable>) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for CostCell { subject, load, .. } in tables.iter().flat_map(|table| &table.cells) {
            if rows.iter().any(|row| row.subject == subject && row.load == load) {
                continue;
            }
            let cost = |table: &&CostTable| {
                let mut cells = table.cells.iter();
                let cell = cells.find(|cell| cell.subject == *subject && cell.load == *load);
                cell.map(CostCell::instructions_per_work)
            };
            rows.push(Row {
                subject,
                load,
                costs: tables.iter().map(cost).collect(),
            });
        }
        Self { tables, rows }
    }

    fn study(&self) -> &'t str {
        self.tables.first().map_or("", |table| &table.study)
    }

    /// The release of each kernel, as short as they differ.
    fn labels(&self) -> Vec<String> {
        let releases = || self.tables.iter().map(|table| table.kernel.as_str());
        let short = |release: &str| release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let mut different: Vec<String> = releases().map(short).collect();
        let labels = different.clone();
        different.sort_unstable();
        different.dedup();
        match different.len() == labels.len() {
            true => labels,
            false => releases().map(str::to_owned).collect(),
        }
    }

    /// The loads, each once.
    fn loads(&self) -> Vec<&'t str> {
        let mut loads = Vec::new();
        for row in &self.rows {
            if !loads.contains(&row.load) {
                loads.push(row.load);
            }
        }
        loads
    }
}

/// A row for each cell, a column for each kernel, and one for each kernel with its ratio to the first.
#[must_use]
pub fn csv(study: &SideBySide) -> String {
    let releases = study.tables.iter().map(|table| table.kernel.as_str());
    let ratios = study.tables.iter().map(|table| format!("{} ÷ first", table.kernel));
    let ratios: Vec<String> = ratios.collect();
    let header: Vec<&str> = ["subject", "load"]
        .into_iter()
        .chain(releases)
        .chain(ratios.iter().map(String::as_str))
        .collect();
    let rows = study.rows.iter().map(|row| {
        let figures = row.costs.iter().copied().chain(row.ratios()).map(csv::number);
        let names = [row.subject, row.load].map(str::to_owned);
        names.into_iter().chain(figures).collect::<Vec<_>>()
    });
    csv::to_string(&header, rows).expect("every row is as long as the header")
}

/// Studies on several kernels as a self-contained page: for each load a chart and a table.
///
/// # Errors
/// Only if the page's template is wrong.
pub fn html(studies: &[SideBySide]) -> Result<String, Box<dyn std::error::Error>> {
    let mut environment = Environment::new();
    environment.add_template("kernels.html", include_str!("kernels.html"))?;
    let page = environment.get_template("kernels.html")?;
    let contents = Page {
        style: STYLE,
        chart_style: c10k_chart::STYLE,
        studies: studies.iter().map(StudyView::of).collect::<Result<_, _>>()?,
        kernels: studies.first().map(|study| study.tables.as_slice()).unwrap_or_default(),
    };
    Ok(page.render(Value::from(Serde(&contents)))?)
}

#[derive(Serialize)]
struct Page<'t> {
    style: &'static str,
    chart_style: &'static str,
    studies: Vec<StudyView<'t>>,
    kernels: &'t [&'t CostTable],
}

#[derive(Serialize)]
struct StudyView<'t> {
    name: &'t str,
    question: &'static str,
    unit: &'static str,
    kernels: Vec<String>,
    loads: Vec<LoadView<'t>>,
}

/// One load of a study.
#[derive(Serialize)]
struct LoadView<'t> {
    load: &'t str,
    charts: Vec<ChartView>,
    rows: Vec<RowView<'t>>,
}

#[derive(Serialize)]
struct ChartView {
    wide: String,
    narrow: String,
}

#[derive(Serialize)]
struct RowView<'t> {
    subject: &'t str,
    figures: Vec<String>,
}

impl<'t> StudyView<'t> {
    fn of(study: &SideBySide<'t>) -> Result<Self, ChartError> {
        let row = Study::named(study.study());
        let load = |(index, load)| LoadView::of(study, load, index);
        Ok(Self {
            name: study.study(),
            question: row.map_or("", |row| row.question),
            unit: row.map_or("", |row| row.unit),
            kernels: study.labels(),
            loads: study
                .loads()
                .into_iter()
                .enumerate()
                .map(load)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl<'t> LoadView<'t> {
    fn of(study: &SideBySide<'t>, load: &'t str, index: usize) -> Result<Self, ChartError> {
        let rows: Vec<&Row> = study.rows.iter().filter(|row| row.load == load).collect();
        // As many charts as it takes for lines that all look different, equally full.
        let parts = rows.len().div_ceil(LOOKS).max(1);
        let charts = rows.chunks(rows.len().div_ceil(parts).max(1)).enumerate();
        let charts = charts.map(|(part, rows)| {
            let chart = chart(study, load, rows);
            let id = format!("{}-{index}-{part}", study.study().replace('/', "-"));
            Ok(ChartView {
                wide: chart.draw(Size::Wide, &format!("{id}-wide"))?,
                narrow: chart.draw(Size::Narrow, &format!("{id}-narrow"))?,
            })
        });
        Ok(Self {
            load,
            charts: charts.collect::<Result<_, ChartError>>()?,
            rows: rows.iter().map(|row| RowView::of(row)).collect(),
        })
    }
}

fn chart(study: &SideBySide, load: &str, rows: &[&Row]) -> Chart<'static> {
    let series = rows.iter().enumerate().map(|(look, row)| {
        let points = row.costs.iter().enumerate();
        Series {
            label: row.subject.to_owned(),
            look,
            points: points
                .filter_map(|(kernel, cost)| Some(Point::exact(kernel as f64, (*cost)?)))
                .collect(),
            crosses: Vec::new(),
        }
    });
    Chart {
        title: format!("{}, {load}", study.study()),
        x: X::names("kernel", study.labels()),
        y: "instructions".to_owned(),
        scale: Scale::Log,
        series: series.collect(),
    }
}

impl<'t> RowView<'t> {
    fn of(row: &Row<'t>) -> Self {
        let figures = row.costs.iter().zip(row.ratios()).enumerate();
        let figures = figures.map(|(kernel, (cost, ratio))| match (cost, ratio) {
            (None, _) => "–".to_owned(),
            (Some(cost), Some(ratio)) if kernel > 0 => {
                format!("{} ({:+.1}%)", thousands(*cost), 100.0 * (ratio - 1.0))
            }
            (Some(cost), _) => thousands(*cost),
        });
        Self {
            subject: row.subject,
            figures: figures.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::SCHEMA;

    fn table(kernel: &str, cells: &[(&str, u64)]) -> CostTable {
        let cell = |(subject, instructions): &(&str, u64)| CostCell {
            subject: (*subject).to_owned(),
            load: "idle=10 active=1".to_owned(),
            work: 10,
            instructions: *instructions,
            events: 10,
            signals: 0,
            overflows: 0,
            scan: None,
            curve: None,
        };
        CostTable {
            schema: SCHEMA,
            study: "vm/dispatch-cost".to_owned(),
            version: "0.1.0".to_owned(),
            kernel: kernel.to_owned(),
            kernel_sha256: format!("sum of {kernel}"),
            emulator: "7.2".to_owned(),
            cells: cells.iter().map(cell).collect(),
            unavailable: Vec::new(),
        }
    }

    #[test]
    fn a_cell_has_a_column_for_each_kernel_and_its_ratio_to_the_first() {
        let tables = [
            table("6.1.0-56-cloud-amd64", &[("poll", 100_000), ("epoll-edge", 50_000)]),
            table("6.12.94", &[("poll", 110_000)]),
        ];
        let csv = csv(&SideBySide::of(tables.iter().collect()));
        let expected = "subject,load,6.1.0-56-cloud-amd64,6.12.94,6.1.0-56-cloud-amd64 ÷ first,6.12.94 ÷ first\n\
                        poll,idle=10 active=1,10000,11000,1,1.1\n\
                        epoll-edge,idle=10 active=1,5000,,1,\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn the_page_has_a_chart_over_the_kernels_and_the_sum_of_each_file() {
        let tables = [
            table("6.1.0-56", &[("poll", 100_000)]),
            table("6.12.94", &[("poll", 110_000)]),
        ];
        let page = html(&[SideBySide::of(tables.iter().collect())]).expect("the template is right");
        for text in [
            ">\n6.12\n<",
            "poll: 10000 at 6.1, 11000 at 6.12",
            "11,000 (+10.0%)",
            "sum of 6.12.94",
            "How many instructions does it cost to learn of one event?",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }

    #[test]
    fn kernels_with_the_same_two_numbers_are_named_in_full() {
        let tables = [table("6.1.0-55", &[]), table("6.1.0-56", &[])];
        assert_eq!(
            SideBySide::of(tables.iter().collect()).labels(),
            ["6.1.0-55", "6.1.0-56"]
        );
    }

    #[test]
    fn no_chart_has_two_lines_that_look_the_same() {
        let names: Vec<String> = (0..2 * LOOKS + 1).map(|number| format!("s{number}")).collect();
        let cells: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
        let table = table("6.1.0", &cells);
        let study = SideBySide::of(vec![&table]);
        let view = StudyView::of(&study).expect("it draws");
        assert_eq!(view.loads[0].charts.len(), 3);
        assert_eq!(view.loads[0].rows.len(), names.len());
    }
}
