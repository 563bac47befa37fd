//! Tables as CSV and as an HTML page.

use c10k_chart::ChartError;
use c10k_record::{CostCell, CostTable, CurvePoint, csv};
use c10k_units::display::thousands;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use crate::curves::{self, figures};
use crate::study::Study;

/// The style sheet of the guest's pages.
pub(crate) const STYLE: &str = include_str!("page.css");

/// A table as comma-separated values.
#[must_use]
pub fn csv(table: &CostTable) -> String {
    let header = [
        "subject",
        "load",
        "instructions_per_work",
        "work",
        "instructions",
        "events",
        "signals",
        "overflows",
        "visited",
        "asked",
        "due",
        "answered",
        "replies_per_s",
        "response_ns_mean",
        "response_ns_p50",
        "response_ns_p99",
    ];
    let rows = table.cells.iter().map(|cell| {
        let counts = [cell.work, cell.instructions, cell.events, cell.signals, cell.overflows];
        let mut row = vec![cell.subject.clone(), cell.load.clone()];
        row.push(csv::number(Some(cell.instructions_per_work())));
        row.extend(counts.map(|count| count.to_string()));
        let scan = cell.scan.map(|scan| [scan.visited, scan.asked]);
        row.extend(scan.map_or([String::new(), String::new()], |scan| {
            scan.map(|count| count.to_string())
        }));
        row.extend(curve(cell.curve.as_ref()));
        row
    });
    csv::to_string(&header, rows).expect("every row is as long as the header")
}

fn curve(point: Option<&CurvePoint>) -> [String; 6] {
    let Some(point) = point else {
        return Default::default();
    };
    [
        point.due.to_string(),
        point.answered.to_string(),
        csv::number(Some(point.replies_per_s)),
        csv::number(Some(point.response_ns_mean)),
        point.response_ns_p50.to_string(),
        point.response_ns_p99.to_string(),
    ]
}

/// Tables of one kernel as a self-contained page.
///
/// # Errors
/// Only if the page's template is wrong, or a value is not finite.
pub fn html(tables: &[CostTable]) -> Result<String, Box<dyn std::error::Error>> {
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("report.html"))?;
    let page = environment.get_template("report.html")?;
    let contents = Page {
        style: STYLE,
        chart_style: c10k_chart::STYLE,
        grids: tables.iter().map(Grid::of).collect::<Result<_, _>>()?,
        made_with: tables.first(),
    };
    Ok(page.render(Value::from(Serde(&contents)))?)
}

#[derive(Serialize)]
struct Page<'t> {
    style: &'static str,
    chart_style: &'static str,
    grids: Vec<Grid<'t>>,
    made_with: Option<&'t CostTable>,
}

/// A table with a row for each subject and a column for each load.
#[derive(Serialize)]
struct Grid<'t> {
    study: &'t str,
    question: &'static str,
    unit: &'static str,
    figures: Vec<curves::Figure>,
    loads: Vec<&'t str>,
    rows: Vec<Row<'t>>,
    unavailable: &'t [(String, String)],
}

#[derive(Serialize)]
struct Row<'t> {
    subject: &'t str,
    figures: Vec<Cost>,
}

#[derive(Serialize)]
struct Cost {
    text: String,
    is_least: bool,
}

impl<'t> Grid<'t> {
    fn of(table: &'t CostTable) -> Result<Self, ChartError> {
        let mut subjects: Vec<&str> = Vec::new();
        let mut loads: Vec<&str> = Vec::new();
        for CostCell { subject, load, .. } in &table.cells {
            if !subjects.contains(&subject.as_str()) {
                subjects.push(subject);
            }
            if !loads.contains(&load.as_str()) {
                loads.push(load);
            }
        }
        let least = |load: &str| {
            let cells = table.cells.iter().filter(|cell| cell.load == load);
            cells.map(CostCell::instructions_per_work).fold(f64::INFINITY, f64::min)
        };
        let least: Vec<f64> = loads.iter().map(|load| least(load)).collect();
        let figure = |subject: &str, load: &str, least: f64| {
            let mut cells = table.cells.iter();
            let cell = cells.find(|cell| cell.subject == subject && cell.load == load)?;
            let cost = cell.instructions_per_work();
            Some(Cost {
                text: thousands(cost),
                is_least: cost <= least,
            })
        };
        let absent = || Cost {
            text: "–".to_owned(),
            is_least: false,
        };
        let rows = subjects.iter().map(|subject| Row {
            subject,
            figures: (loads.iter().zip(&least))
                .map(|(load, least)| figure(subject, load, *least).unwrap_or_else(absent))
                .collect(),
        });
        let study = Study::named(&table.study);
        Ok(Self {
            study: &table.study,
            figures: figures(table)?,
            question: study.map_or("", |study| study.question),
            unit: study.map_or("", |study| study.unit),
            rows: rows.collect(),
            loads,
            unavailable: &table.unavailable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::SCHEMA;

    fn table() -> CostTable {
        let cell = |subject: &str, instructions| CostCell {
            subject: subject.to_owned(),
            load: "idle=10 active=1".to_owned(),
            work: 10,
            instructions,
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
            kernel: "6.1.0-test".to_owned(),
            kernel_sha256: "abc".to_owned(),
            emulator: "7.2".to_owned(),
            cells: vec![cell("poll", 21_421_400), cell("epoll-edge", 54_210)],
            unavailable: vec![("signal-per-fd".to_owned(), "no <BTF>".to_owned())],
        }
    }

    #[test]
    fn the_page_names_its_figures_and_the_kernel() {
        let page = html(&[table()]).expect("the template is right");
        for text in [
            "Instructions, one virtual CPU",
            "6.1.0-test",
            "abc",
            "2,142,140",
            "<b>5,421</b>",
            "no &lt;BTF&gt;",
            "How many instructions does it cost to learn of one event?",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
        assert!(
            !page.contains("http:") && !page.contains("https:"),
            "it needs the network"
        );
    }

    #[test]
    fn a_row_has_the_figure_and_the_counts_that_it_comes_from() {
        let csv = csv(&table());
        assert!(
            csv.contains("\nepoll-edge,idle=10 active=1,5421,10,54210,10,0,0,,,,,,,,\n"),
            "{csv}"
        );
    }
}
