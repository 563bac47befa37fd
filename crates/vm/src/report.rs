//! Tables as CSV and as an HTML page.

use c10k_chart::ChartError;
use c10k_record::{CostCell, CostTable, CurvePoint, csv};
use c10k_units::display::{significant, thousands};
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use crate::claims;
use crate::curves::{self, figures};
use crate::figure::{CPU, RESPONSE, Scaling, THROUGHPUT};
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
        "elapsed_ns",
        "waits",
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

fn curve(point: Option<&CurvePoint>) -> [String; 8] {
    let Some(point) = point else {
        return Default::default();
    };
    [
        point.due.to_string(),
        point.answered.to_string(),
        point.elapsed_ns.to_string(),
        point.waits.to_string(),
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
pub fn html(tables: &[CostTable], scaling: Scaling) -> Result<String, Box<dyn std::error::Error>> {
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("report.html"))?;
    let page = environment.get_template("report.html")?;
    let contents = Page {
        style: STYLE,
        chart_style: c10k_chart::STYLE,
        grids: tables
            .iter()
            .map(|table| Grid::of(table, scaling))
            .collect::<Result<_, _>>()?,
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
    figures: Vec<curves::Drawn>,
    claims: Vec<ClaimRow>,
    points: Vec<PointRow<'t>>,
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
struct ClaimRow {
    about: String,
    text: String,
    what: String,
    value: String,
    verdict: &'static str,
}

impl ClaimRow {
    fn of(verdict: claims::Verdict) -> Self {
        Self {
            about: verdict.about,
            text: verdict.text,
            what: verdict.what,
            value: significant(verdict.value),
            verdict: if verdict.holds { "confirmed" } else { "refuted" },
        }
    }
}

/// A point of a load curve.
#[derive(Serialize)]
struct PointRow<'t> {
    subject: &'t str,
    load: &'t str,
    values: Vec<String>,
}

impl<'t> PointRow<'t> {
    fn of(cell: &'t CostCell) -> Option<Self> {
        let point = cell.curve.as_ref()?;
        let measured =
            [&THROUGHPUT, &CPU, &RESPONSE].map(|measure| significant((measure.read)(cell).unwrap_or_default()));
        let counts = [point.waits, cell.events, cell.signals, cell.overflows];
        let counts = counts.map(|count| thousands(count as f64));
        Some(Self {
            subject: &cell.subject,
            load: &cell.load,
            values: measured.into_iter().chain(counts).collect(),
        })
    }
}

#[derive(Serialize)]
struct Cost {
    text: String,
    is_least: bool,
}

impl<'t> Grid<'t> {
    fn of(table: &'t CostTable, scaling: Scaling) -> Result<Self, ChartError> {
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
            figures: figures(table, scaling)?,
            points: table.cells.iter().filter_map(PointRow::of).collect(),
            claims: claims::judge(table).into_iter().map(ClaimRow::of).collect(),
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
        let page = html(&[table()], Scaling::default()).expect("the template is right");
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
            csv.contains("\nepoll-edge,idle=10 active=1,5421,10,54210,10,0,0,,,,,,,,,,\n"),
            "{csv}"
        );
    }
}
