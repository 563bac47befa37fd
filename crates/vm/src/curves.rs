//! Load curves as figures: throughput, CPU and response time over the rate of requests, a line for each server.

use c10k_chart::{Chart, ChartError, Point, Scale, Series, Size, X};
use c10k_record::{CostCell, CostTable, CurvePoint};
use c10k_units::display::thousands;
use serde::Serialize;

use crate::study::Study;

/// A figure, drawn.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Its name, such as `figure-6a`.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// For desktops and paper, as SVG.
    pub wide: String,
    /// For phones, as SVG.
    pub narrow: String,
}

/// Where the replies of a second are a smaller part of the requests of a second, the server is past its limit.
const KEEPS_UP: f64 = 0.99;

/// What is drawn of a point.
struct Measure {
    title: &'static str,
    y: &'static str,
    scale: Scale,
    /// Its value at a rate of requests; none where it is not known.
    read: fn(&CostCell, &CurvePoint, f64) -> Option<f64>,
}

const THROUGHPUT: Measure = Measure {
    title: "Throughput",
    y: "replies per second",
    scale: Scale::Linear,
    read: |_, point, _| Some(point.replies_per_s),
};

/// What the server's process runs for one reply, times the replies of a second, in which a billion instructions are executed. Not
/// known past the server's limit: what it runs for a reply is counted over its whole run, and there it also answers requests
/// after the measured time, at another cost.
const CPU: Measure = Measure {
    title: "CPU",
    y: "CPU used by the server, %",
    scale: Scale::Linear,
    read: |cell, point, rate| {
        let keeps_up = point.replies_per_s >= KEEPS_UP * rate;
        keeps_up.then(|| 100.0 * cell.instructions_per_work() * point.replies_per_s / 1e9)
    },
};

const RESPONSE: Measure = Measure {
    title: "Response time",
    y: "response time, mean, ms",
    scale: Scale::Log,
    read: |_, point, _| Some(point.response_ns_mean / 1e6),
};

/// The figures of a table of load curves, with the names that its study gives them; none of another table.
///
/// # Errors
/// If a value is not finite.
pub fn figures(table: &CostTable) -> Result<Vec<Figure>, ChartError> {
    let names = Study::named(&table.study).map_or(&[][..], |study| study.figures);
    let figures = names.iter().zip([THROUGHPUT, CPU, RESPONSE]);
    figures.map(|(name, measure)| draw(table, name, &measure)).collect()
}

fn draw(table: &CostTable, name: &str, measure: &Measure) -> Result<Figure, ChartError> {
    let mut series: Vec<Series> = Vec::new();
    for cell in &table.cells {
        let rate = cell.load.strip_prefix("rate=").and_then(|rate| rate.parse().ok());
        let (Some(rate), Some(point)) = (rate, &cell.curve) else {
            continue;
        };
        let Some(value) = (measure.read)(cell, point, rate) else {
            continue;
        };
        let place = series.iter().position(|series| series.label == cell.subject);
        let place = place.unwrap_or_else(|| {
            series.push(Series {
                label: cell.subject.clone(),
                look: series.len(),
                ..Series::default()
            });
            series.len() - 1
        });
        series[place].points.push(Point::exact(rate, value));
    }
    let chart = Chart {
        title: format!("{}: {}", name.replacen("figure-", "Figure ", 1), measure.title),
        x: X::levels("requests per second", thousands),
        y: measure.y.to_owned(),
        scale: measure.scale,
        series,
    };
    Ok(Figure {
        name: name.to_owned(),
        wide: chart.draw(Size::Wide, &format!("{name}-wide"))?,
        narrow: chart.draw(Size::Narrow, &format!("{name}-narrow"))?,
        title: chart.title,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::SCHEMA;

    fn table(study: &str) -> CostTable {
        let cell = |rate: u32, replies_per_s| CostCell {
            subject: "poll/accept-all".to_owned(),
            load: format!("rate={rate}"),
            work: 1,
            instructions: 1,
            events: 1,
            signals: 0,
            overflows: 0,
            scan: None,
            curve: Some(CurvePoint {
                due: 500,
                answered: 500,
                replies_per_s,
                response_ns_mean: 40_000.0,
                response_ns_p50: 40_000,
                response_ns_p99: 50_000,
                send_lag_ns_p99: 1_000,
            }),
        };
        CostTable {
            schema: SCHEMA,
            study: study.to_owned(),
            version: String::new(),
            kernel: String::new(),
            kernel_sha256: String::new(),
            emulator: String::new(),
            cells: vec![cell(1_000, 1_000.0), cell(20_000, 17_000.0)],
            unavailable: Vec::new(),
        }
    }

    #[test]
    fn a_table_of_load_curves_has_figures_with_the_numbers_of_the_paper() {
        let figures = figures(&table("vm/throughput-252-1b")).expect("they draw");
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["figure-6a", "figure-6b", "figure-9a"]);
        let text = &figures[0].wide;
        assert!(
            text.contains("poll/accept-all: 1000 at 1,000, 17000 at 20,000"),
            "{text}"
        );
    }

    #[test]
    fn a_table_of_costs_has_no_figure() {
        assert!(figures(&table("vm/burst-cost")).expect("nothing to draw").is_empty());
    }
}
