//! Load curves as figures: a line for each server, and the points that the paper states.

use c10k_chart::{Chart, ChartError, Point, Series, Size, X};
use c10k_record::CostTable;
use c10k_units::display::thousands;
use serde::Serialize;

use crate::figure::{Figure, Kind, Published, Scaling};
use crate::study::Study;

/// A figure, drawn.
#[derive(Debug, Serialize)]
pub struct Drawn {
    /// Its name, such as `figure-6a`.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// How far the server on signals is from the paper's points, or from where on one subject costs less than another, in words;
    /// empty where neither is asked.
    pub distance: String,
    /// For desktops and paper, as SVG.
    pub wide: String,
    /// For phones, as SVG.
    pub narrow: String,
}

/// The server whose points the paper states.
const OF_THE_PAPER: &str = "rt-signal/accept-all";

/// The figures of a table of load curves, with the names that its study gives them; none of another table.
///
/// # Errors
/// If a value is not finite.
pub fn figures(table: &CostTable, scaling: Scaling) -> Result<Vec<Drawn>, ChartError> {
    let figures = Study::named(&table.study).map_or(&[][..], |study| study.figures);
    figures.iter().map(|figure| draw(table, figure, scaling)).collect()
}

/// The lines of a figure: each server with its points, in the order of the table.
pub(crate) fn lines(table: &CostTable, figure: &Figure, scaling: Scaling) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for cell in &table.cells {
        let has_level = figure.level.is_empty() || cell.load.split(' ').any(|level| level == figure.level);
        let (Some(x), Some(y), true) = (cell.level(figure.along), (figure.measure.read)(cell), has_level) else {
            continue;
        };
        let place = lines.iter().position(|(name, _)| *name == cell.subject);
        let place = place.unwrap_or_else(|| {
            lines.push((cell.subject.clone(), Vec::new()));
            lines.len() - 1
        });
        let across = if figure.along == "rate" {
            Kind::Rate
        } else {
            Kind::Share
        };
        lines[place]
            .1
            .push((scaling.scale(across, x), scaling.scale(figure.measure.kind, y)));
    }
    lines
}

fn draw(table: &CostTable, figure: &Figure, scaling: Scaling) -> Result<Drawn, ChartError> {
    let lines = lines(table, figure, scaling);
    let series = lines.iter().enumerate().map(|(look, (label, points))| Series {
        label: label.clone(),
        look,
        points: points.iter().map(|&(x, y)| Point::exact(x, y)).collect(),
        crosses: Vec::new(),
    });
    let mut series: Vec<Series> = series.collect();
    let mut distance = String::new();
    if let Some(paper) = &figure.paper {
        series.push(Series {
            label: format!("signals in the paper, rates × {}", paper.factor(scaling)),
            look: series.len(),
            points: Vec::new(),
            crosses: paper.points(scaling).collect(),
        });
        let own = lines.iter().find(|(name, _)| name == OF_THE_PAPER);
        distance = own.and_then(|(_, own)| words(own, paper, scaling)).unwrap_or_default();
    }
    if let Some((first, second)) = figure.break_even {
        distance = break_even(&lines, first, second).unwrap_or_default();
    }
    let chart = Chart {
        title: match figure.name.strip_prefix("figure-") {
            Some(number) => format!("Figure {number}: {}{}", figure.measure.title, scaling.words()),
            None => figure.measure.title.to_owned(),
        },
        x: X::levels(
            match figure.along {
                "rate" => "requests per second",
                "batch" => "requests that arrive together",
                key => key,
            },
            thousands,
        ),
        y: figure.measure.y.to_owned(),
        scale: figure.measure.scale,
        series,
    };
    Ok(Drawn {
        name: figure.name.to_owned(),
        wide: chart.draw(Size::Wide, &format!("{}-wide", figure.name))?,
        narrow: chart.draw(Size::Narrow, &format!("{}-narrow", figure.name))?,
        title: chart.title,
        distance,
    })
}

/// The level of a line relative to the paper's first point, and how far its shape is from the paper's: the largest deviation
/// that is left when both are divided by their values at that point.
fn words(line: &[(f64, f64)], paper: &Published, scaling: Scaling) -> Option<String> {
    let mut ratios = Vec::new();
    for (x, y) in paper.points(scaling) {
        ratios.push(at(line, x)? / y);
    }
    let first = *ratios.first()?;
    let shape = ratios
        .iter()
        .map(|ratio| (ratio / first - 1.0).abs())
        .fold(0.0, f64::max);
    let points = match ratios.len() {
        1 => String::new(),
        _ => format!(", and its shape deviates by at most {:.1}%", 100.0 * shape),
    };
    Some(format!(
        "Against the paper's points (rates × {}): rt-signal is at {first:.2} times the first{points}.",
        paper.factor(scaling)
    ))
}

/// From where on the first subject costs less than the second, at the places where both were measured; `None` if one was not.
fn break_even(lines: &[(String, Vec<(f64, f64)>)], first: &str, second: &str) -> Option<String> {
    let line = |name| lines.iter().find(|(own, _)| own == name).map(|(_, line)| line);
    let (one, other) = (line(first)?, line(second)?);
    let pairs = one
        .iter()
        .filter_map(|&(x, y)| Some((x, y, other.iter().find(|(own, _)| *own == x)?.1)));
    let pairs: Vec<(f64, f64, f64)> = pairs.collect();
    let (start, end) = (pairs.first()?, pairs.last()?);
    let percent = |(_, y, other): &(f64, f64, f64)| format!("{:+.1}%", 100.0 * (y / other - 1.0));
    let ends = format!(
        "{} at {}, {} at {}",
        percent(start),
        thousands(start.0),
        percent(end),
        thousands(end.0)
    );
    let is_less = |(_, y, other): &(f64, f64, f64)| y < other;
    let changes: Vec<f64> = pairs
        .windows(2)
        .filter(|pair| is_less(&pair[0]) != is_less(&pair[1]))
        .map(|pair| pair[1].0)
        .collect();
    Some(match changes.as_slice() {
        [] if is_less(start) => format!("{first} costs less than {second} at every level: {ends}."),
        [] => format!("{first} costs less than {second} at no level: {ends}."),
        [from] if is_less(end) => format!("{first} costs less than {second} from {} on: {ends}.", thousands(*from)),
        [from] => format!("{first} costs more than {second} from {} on: {ends}.", thousands(*from)),
        several => {
            let places: Vec<String> = several.iter().map(|&place| thousands(place)).collect();
            format!(
                "The costs of {first} and {second} cross at {}: {ends}.",
                places.join(", ")
            )
        }
    })
}

/// The value of a line at a place, between its points in proportion.
fn at(line: &[(f64, f64)], x: f64) -> Option<f64> {
    line.windows(2).find_map(|pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        (x0 <= x && x <= x1).then(|| y0 + (y1 - y0) * (x - x0) / (x1 - x0))
    })
}

#[cfg(test)]
mod tests {
    use c10k_record::{CostCell, CurvePoint, SCHEMA};

    use super::*;

    fn table(study: &str, cells: &[(&str, f64)]) -> CostTable {
        let cell = |(load, replies_per_s): &(&str, f64)| CostCell {
            subject: OF_THE_PAPER.to_owned(),
            load: (*load).to_owned(),
            work: 1,
            instructions: 15_000_000,
            events: 1,
            signals: 0,
            overflows: 0,
            scan: None,
            curve: Some(CurvePoint {
                due: 500,
                answered: 500,
                elapsed_ns: 300_000_000,
                waits: 400,
                replies_per_s: *replies_per_s,
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
            cells: cells.iter().map(cell).collect(),
            unavailable: Vec::new(),
        }
    }

    #[test]
    fn a_table_of_load_curves_has_figures_with_the_numbers_of_the_paper() {
        let table = table(
            "vm/throughput-252-1b",
            &[("rate=12000", 12_000.0), ("rate=20000", 16_000.0)],
        );
        let figures = figures(&table, Scaling::default()).expect("they draw");
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["figure-6a", "figure-6b", "figure-9a"]);
        let text = &figures[0].wide;
        assert!(
            text.contains("rt-signal/accept-all: 12000 at 12,000, 16000 at 20,000"),
            "{text}"
        );
        // The paper's points are at 14,000, 15,000 and 16,000; halfway up from 12,000 there are 14,000.
        let distance = "rt-signal is at 0.93 times the first, and its shape deviates by at most 5.8%";
        assert!(figures[0].distance.contains(distance), "{}", figures[0].distance);
    }

    #[test]
    fn a_figure_has_only_the_cells_of_its_level() {
        let cells = [
            ("connections=250 rate=1000", 1_000.0),
            ("connections=3000 rate=1000", 990.0),
            ("connections=250 rate=2000", 2_000.0),
        ];
        let table = table("vm/idle-connections", &cells);
        let study = Study::named("figure-3a").expect("in the table");
        let own = lines(&table, &study.figures[0], Scaling::default());
        assert_eq!(
            own,
            [(OF_THE_PAPER.to_owned(), vec![(250.0, 1_000.0), (3_000.0, 990.0)])]
        );
        let cpu = study
            .figures
            .iter()
            .find(|figure| figure.name == "figure-4b")
            .expect("in the table");
        assert_eq!(lines(&table, cpu, Scaling::default())[0].1, [(250.0, 5.0)]);
    }

    #[test]
    fn a_table_of_costs_has_no_figure() {
        let table = table("vm/burst-cost", &[("idle=1", 1.0)]);
        let figures = figures(&table, Scaling::default()).expect("nothing to draw");
        assert!(figures.is_empty());
    }

    #[test]
    fn another_speed_scales_rates_and_times_and_no_shares() {
        let table = table("vm/throughput-252-1b", &[("rate=16000", 16_000.0)]);
        let study = Study::named("figure-6a").expect("in the table");
        let points: Vec<(f64, f64)> = (study.figures.iter())
            .map(|figure| lines(&table, figure, Scaling::to_mips(200))[0].1[0])
            .collect();
        assert_eq!(points, [(3_200.0, 3_200.0), (3_200.0, 5.0), (3_200.0, 0.2)]);
        let drawn = figures(&table, Scaling::to_mips(200)).expect("they draw");
        assert_eq!(
            drawn[0].title,
            "Figure 6a: Reply rate, scaled to 200 million instructions a second"
        );
        assert!(drawn[0].wide.contains("rates × 1"), "{}", drawn[0].wide);
    }

    #[test]
    fn the_level_from_which_one_subject_costs_less_is_named() {
        let line = |name: &str, costs: [f64; 3]| {
            let levels = [1.0, 8.0, 64.0];
            (name.to_owned(), levels.into_iter().zip(costs).collect())
        };
        let words = |costs| break_even(&[line("a", costs), line("b", [10.0, 10.0, 10.0])], "a", "b");
        let said = |costs| words(costs).expect("both are there");
        assert_eq!(
            said([12.0, 9.0, 8.0]),
            "a costs less than b from 8 on: +20.0% at 1, -20.0% at 64."
        );
        assert_eq!(
            said([9.0, 9.0, 12.0]),
            "a costs more than b from 64 on: -10.0% at 1, +20.0% at 64."
        );
        assert_eq!(
            said([12.0, 11.0, 11.0]),
            "a costs less than b at no level: +20.0% at 1, +10.0% at 64."
        );
        assert_eq!(
            said([9.0, 9.0, 9.0]),
            "a costs less than b at every level: -10.0% at 1, -10.0% at 64."
        );
        assert_eq!(
            said([9.0, 11.0, 9.0]),
            "The costs of a and b cross at 8, 64: -10.0% at 1, -10.0% at 64."
        );
        assert_eq!(break_even(&[line("a", [1.0; 3])], "a", "b"), None);
    }

    #[test]
    fn a_line_has_a_value_only_between_its_points() {
        let line = [(1.0, 10.0), (2.0, 20.0)];
        assert_eq!(at(&line, 1.5), Some(15.0));
        assert_eq!(at(&line, 2.5), None);
    }
}
