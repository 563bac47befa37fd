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
    /// What it costs on each kernel.
    pub costs: Vec<Cost>,
}

/// What a cell costs on a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cost {
    /// Instructions per unit of work.
    Counted(f64),
    /// Its subject cannot run on this kernel.
    Unavailable,
    /// It was not measured.
    Absent,
}

impl Cost {
    fn of(table: &CostTable, subject: &str, load: &str) -> Self {
        let mut cells = table.cells.iter();
        match cells.find(|cell| cell.subject == subject && cell.load == load) {
            Some(cell) => Self::Counted(cell.instructions_per_work()),
            None if table.unavailable.iter().any(|(name, _)| name == subject) => Self::Unavailable,
            None => Self::Absent,
        }
    }

    /// Instructions per unit of work, where they were counted.
    #[must_use]
    pub fn counted(self) -> Option<f64> {
        match self {
            Self::Counted(cost) => Some(cost),
            Self::Unavailable | Self::Absent => None,
        }
    }
}

impl Row<'_> {
    /// A cost ÷ that on the first kernel, for each kernel.
    pub fn ratios(&self) -> impl Iterator<Item = Option<f64>> {
        let first = self.costs.first().copied().and_then(Cost::counted);
        self.costs.iter().map(move |cost| Some(cost.counted()? / first?))
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
            let costs = tables.iter().map(|table| Cost::of(table, subject, load));
            rows.push(Row {
                subject,
                load,
                costs: costs.collect(),
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

    /// What cannot run on which kernels, and why; kernels with the same reason together.
    fn unavailable(&self) -> Vec<String> {
        let mut found: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        for table in &self.tables {
            for (subject, reason) in &table.unavailable {
                match found.iter_mut().find(|(name, why, _)| name == subject && why == reason) {
                    Some((.., kernels)) => kernels.push(&table.kernel),
                    None => found.push((subject, reason, vec![&table.kernel])),
                }
            }
        }
        let lines = found.into_iter();
        lines
            .map(|(subject, reason, kernels)| format!("{subject} on {}: {reason}", kernels.join(", ")))
            .collect()
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

/// A row for each cell, a column for each kernel with its cost (`unavailable` if the subject cannot run on it), and one for each
/// kernel with its ratio to the first.
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
        let costs = row.costs.iter().map(|cost| match cost {
            Cost::Unavailable => "unavailable".to_owned(),
            cost => csv::number(cost.counted()),
        });
        let names = [row.subject, row.load].map(str::to_owned);
        let figures = costs.chain(row.ratios().map(csv::number));
        names.into_iter().chain(figures).collect::<Vec<_>>()
    });
    csv::to_string(&header, rows).expect("every row is as long as the header")
}

/// A row for each kernel: its release, the SHA-256 of its file, and with which versions the tables were made.
#[must_use]
pub fn kernels_csv(study: &SideBySide) -> String {
    let rows = study.tables.iter().map(|table| {
        let CostTable {
            kernel,
            kernel_sha256,
            emulator,
            version,
            ..
        } = table;
        [kernel, kernel_sha256, emulator, version].map(String::clone).to_vec()
    });
    csv::to_string(&["kernel", "sha256", "emulator", "c10k"], rows).expect("every row is as long as the header")
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

/// The charts of the page as SVG, each with a name such as `burst-cost-sources-64-writes-10`.
///
/// # Errors
/// If a value is not finite.
pub fn charts(study: &SideBySide) -> Result<Vec<(String, String)>, ChartError> {
    let loads = StudyView::of(study)?.loads.into_iter();
    let charts = loads.flat_map(|load| load.charts);
    Ok(charts.map(|chart| (chart.name, chart.wide)).collect())
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
    /// What cannot run on which kernel, and why.
    unavailable: Vec<String>,
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
    name: String,
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
            unavailable: study.unavailable(),
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
            let study = study.study().rsplit('/').next().unwrap_or_default();
            let name = format!("{study}-{}", load.replace([' ', '='], "-"));
            Ok(ChartView {
                name: if parts > 1 {
                    format!("{name}-{}", part + 1)
                } else {
                    name
                },
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

/// A line for each row: by how many percent it costs more than on the first kernel.
fn chart(study: &SideBySide, load: &str, rows: &[&Row]) -> Chart<'static> {
    let labels = study.labels();
    let series = rows.iter().enumerate().map(|(look, row)| {
        let points = row.ratios().enumerate();
        let points = points.filter_map(|(kernel, ratio)| Some(Point::exact(kernel as f64, 100.0 * (ratio? - 1.0))));
        Series {
            label: row.subject.to_owned(),
            look,
            points: points.collect(),
            crosses: Vec::new(),
        }
    });
    Chart {
        title: format!("{}, {load}", study.study()),
        y: format!(
            "instructions, change from {}, %",
            labels.first().map_or("", String::as_str)
        ),
        x: X::names("kernel", labels),
        scale: Scale::Change,
        series: series.collect(),
    }
}

impl<'t> RowView<'t> {
    fn of(row: &Row<'t>) -> Self {
        let figures = row.costs.iter().zip(row.ratios()).enumerate();
        let figures = figures.map(|(kernel, (cost, ratio))| match (cost, ratio) {
            (Cost::Absent, _) => "–".to_owned(),
            (Cost::Unavailable, _) => "unavailable".to_owned(),
            (Cost::Counted(cost), Some(ratio)) if kernel > 0 => {
                format!("{} ({:+.1}%)", thousands(*cost), 100.0 * (ratio - 1.0))
            }
            (Cost::Counted(cost), _) => thousands(*cost),
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

    fn unavailable(kernel: &str, subject: &str) -> CostTable {
        CostTable {
            unavailable: vec![(subject.to_owned(), "no such device".to_owned())],
            ..table(kernel, &[])
        }
    }

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
    fn a_study_that_cannot_run_on_one_kernel_says_so_in_every_form() {
        let tables = [table("6.1.0-56", &[("poll", 100_000)]), unavailable("6.12.94", "poll")];
        let study = SideBySide::of(tables.iter().collect());
        assert_eq!(study.rows[0].costs, [Cost::Counted(10_000.0), Cost::Unavailable]);
        assert!(csv(&study).ends_with("poll,idle=10 active=1,10000,unavailable,1,\n"));
        let page = html(&[study]).expect("the template is right");
        for text in ["<td>unavailable</td>", "poll on 6.12.94: no such device"] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
        // The first kernel is the one that lacks it: nothing to compare with.
        let tables = [unavailable("6.1.0-56", "poll"), table("6.12.94", &[("poll", 100_000)])];
        let study = SideBySide::of(tables.iter().collect());
        assert!(csv(&study).ends_with("poll,idle=10 active=1,unavailable,10000,,\n"));
    }

    #[test]
    fn the_kernels_are_listed_with_the_sum_of_each_file() {
        let tables = [table("6.1.0-56", &[]), table("6.12.94", &[])];
        assert_eq!(
            kernels_csv(&SideBySide::of(tables.iter().collect())),
            "kernel,sha256,emulator,c10k\n6.1.0-56,sum of 6.1.0-56,7.2,0.1.0\n6.12.94,sum of 6.12.94,7.2,0.1.0\n"
        );
    }

    #[test]
    fn a_chart_is_named_by_its_study_and_load_and_shows_the_change() {
        let tables = [
            table("6.1.0-56", &[("poll", 100_000)]),
            table("6.12.94", &[("poll", 90_000)]),
        ];
        let charts = charts(&SideBySide::of(tables.iter().collect())).expect("it draws");
        let [(name, svg)] = charts.as_slice() else {
            panic!("one load, one chart")
        };
        assert_eq!(name, "dispatch-cost-idle-10-active-1");
        assert!(
            svg.contains("instructions, change from 6.1, % over kernel. poll: 0 at 6.1, -10 at 6.12."),
            "{svg}"
        );
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
            "poll: 0 at 6.1, 10 at 6.12",
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
