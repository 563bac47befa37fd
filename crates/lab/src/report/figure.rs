//! The figures: medians with error bars over one axis, a line per variant, a panel per combination of the other axes.
//!
//! Each panel is drawn twice, wide for desktops and paper and narrow for phones, because text that is scaled down with
//! its picture cannot be read. Colours are those of Okabe and Ito, distinct with any colour vision; lines
//! also differ by marker and dash. The page replaces the colours by its own for dark mode.

use std::collections::BTreeMap;
use std::ops::Range;

use c10k_record::{CellRecord, CellStatus};
use c10k_units::display::{significant, thousands};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::LevelAxis;
use crate::LabError;
use crate::experiment::options::OptionRow;
use crate::experiment::{FigureSpec, Scale};
use crate::format::escape;
use crate::measure::{self, Measure};
use crate::plan::Plan;
use crate::results::Results;
use crate::stats;

/// A drawn figure.
#[derive(Debug)]
pub(super) struct Figure {
    /// Name of its file, without the ending.
    pub(super) file: String,
    pub(super) title: String,
    pub(super) caption: String,
    pub(super) wide: String,
    pub(super) narrow: String,
    /// Where one line passes below another, in words.
    pub(super) crossovers: Vec<String>,
}

/// How a line looks: colour, dashes, marker.
struct Look {
    colour: RGBColor,
    dashes: &'static str,
    marker: Marker,
}

#[derive(Clone, Copy)]
enum Marker {
    Disc,
    Square,
    TriangleUp,
    Diamond,
    Cross,
    Ring,
    TriangleDown,
    Plus,
}

const fn look(colour: (u8, u8, u8), dashes: &'static str, marker: Marker) -> Look {
    Look {
        colour: RGBColor(colour.0, colour.1, colour.2),
        dashes,
        marker,
    }
}

const LOOKS: &[Look] = &[
    look((0xD5, 0x5E, 0x00), "", Marker::Disc),
    look((0xE6, 0x9F, 0x00), "7 4", Marker::Square),
    look((0x00, 0x72, 0xB2), "", Marker::TriangleUp),
    look((0x00, 0x9E, 0x73), "", Marker::Diamond),
    look((0x56, 0xB4, 0xE9), "2 3", Marker::Ring),
    look((0xCC, 0x79, 0xA7), "9 3 2 3", Marker::Cross),
    look((0x6B, 0x6B, 0x6B), "4 2", Marker::TriangleDown),
    look((0x8C, 0x56, 0x4B), "7 4", Marker::Plus),
];

/// Ink, axes, grid and paper; the page finds and replaces them.
const INK: RGBColor = RGBColor(0x1A, 0x1A, 0x1A);
const AXIS: RGBColor = RGBColor(0x76, 0x76, 0x76);
const GRID: RGBColor = RGBColor(0xE1, 0xE1, 0xE1);
const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// Lines of series have this width and nothing else has: dashes are put on by it.
const SERIES_WIDTH: u32 = 2;

const MARKER_SIZE: i32 = 5;

/// Height of one row of the legend, pixels.
const LEGEND_ROW: u32 = 22;

/// The x axis with its labels, pixels.
const X_LABELS_HEIGHT: u32 = 46;

/// Around a chart, pixels.
const MARGIN: u32 = 10;
const MARGIN_RIGHT: u32 = 18;

/// Width of a character of a label, pixels.
const LABEL_CHARACTER: f64 = 7.0;

/// Width of a letter of an axis label, as a part of its size.
const DESCRIPTION_LETTER: f64 = 0.45;

/// The two sizes of a panel, pixels.
const WIDE: (u32, u32) = (780, 440);
const NARROW: (u32, u32) = (360, 400);

struct Series<'a> {
    label: &'a str,
    look: &'static Look,
    /// Level, median, smallest and largest block.
    points: Vec<(f64, f64, f64, f64)>,
    /// Level and median of the invalid blocks, where they are the most.
    invalid: Vec<(f64, f64)>,
}

/// Draws every figure of the plan's experiment.
pub(super) fn draw_all(plan: &Plan, records: &[CellRecord]) -> Result<Vec<Figure>, LabError> {
    let results = Results::new(plan, records);
    let mut figures = Vec::new();
    for spec in &plan.experiment.figures {
        let (Some(axis), Some(measure)) = (plan.axis(spec.x.get_ref()), measure::find(spec.y.get_ref())) else {
            continue;
        };
        for levels in plan.combinations(Some(axis), &BTreeMap::new()) {
            let place = plan.levels_text(&levels, Some(axis));
            let panel = Panel {
                spec,
                measure,
                x: plan.axes[axis].row,
                title: if place.is_empty() {
                    spec.title.clone()
                } else {
                    format!("{} · {place}", spec.title)
                },
                series: series(plan, &results, spec, axis, measure, &levels),
            };
            if panel
                .series
                .iter()
                .all(|series| series.points.is_empty() && series.invalid.is_empty())
            {
                continue;
            }
            let file = file_name(spec.id.get_ref(), &place);
            figures.push(Figure {
                wide: panel.draw(WIDE, &format!("{file}-wide"))?,
                narrow: panel.draw(NARROW, &format!("{file}-narrow"))?,
                crossovers: panel.crossovers(),
                title: panel.title,
                caption: spec.caption.clone(),
                file,
            });
        }
    }
    Ok(figures)
}

/// The figure's name and its panel's levels, with everything that is no letter or digit folded to single dashes.
fn file_name(id: &str, place: &str) -> String {
    let words = place.split(|character: char| !character.is_ascii_alphanumeric() && character != '.');
    let words = std::iter::once(id).chain(words.filter(|word| !word.is_empty()));
    words.collect::<Vec<_>>().join("-")
}

fn series<'a>(
    plan: &'a Plan,
    results: &Results,
    spec: &FigureSpec,
    axis: usize,
    measure: &Measure,
    levels: &[usize],
) -> Vec<Series<'a>> {
    let wanted = |name: &str| spec.variants.is_empty() || spec.variants.iter().any(|wanted| wanted.get_ref() == name);
    let mut all = Vec::new();
    let variants = plan.variants.iter().enumerate();
    for (index, variant) in variants.filter(|(_, variant)| variant.control_of.is_none() && wanted(&variant.name)) {
        let mut series = Series {
            label: &variant.label,
            look: &LOOKS[index % LOOKS.len()],
            points: Vec::new(),
            invalid: Vec::new(),
        };
        for (place, level) in plan.axes[axis].levels.iter().enumerate() {
            let mut levels = levels.to_vec();
            levels[axis] = place;
            let Some(cell) = plan.cell(index, &levels) else {
                continue;
            };
            let valid: Vec<f64> = results.values(&cell.id, measure).into_values().collect();
            let low = valid.iter().copied().min_by(f64::total_cmp);
            let high = valid.iter().copied().max_by(f64::total_cmp);
            if let (Some(middle), Some(low), Some(high)) = (stats::median(&valid), low, high) {
                series.points.push((level.value, middle, low, high));
            }
            let doubtful: Vec<f64> = results
                .of(&cell.id)
                .filter(|record| record.status == CellStatus::Invalid)
                .filter_map(|record| measure.read(record))
                .collect();
            if let Some(middle) = stats::median(&doubtful).filter(|_| doubtful.len() > valid.len()) {
                series.invalid.push((level.value, middle));
            }
        }
        all.push(series);
    }
    all
}

struct Panel<'a> {
    spec: &'a FigureSpec,
    measure: &'a Measure,
    x: &'static OptionRow,
    title: String,
    series: Vec<Series<'a>>,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A marker, the pixel of its centre, and its colour.
type PlacedMarker = (Marker, (i32, i32), RGBColor);

type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Panel<'_> {
    fn draw(&self, size: (u32, u32), id: &str) -> Result<String, LabError> {
        let mut svg = String::new();
        self.draw_into(&mut svg, size)
            .map_err(|error| LabError::Report(format!("figure '{}': {error}", self.title)))?;
        Ok(self.finish(&svg, id))
    }

    fn draw_into(&self, svg: &mut String, size: (u32, u32)) -> Drawn {
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&PAPER)?;
        let rows = self.legend_rows(size.0);
        let legend_height = LEGEND_ROW * u32::try_from(rows.len()).unwrap_or(1) + 6;
        let legend_top = size.1 - legend_height;
        let (chart, _) = root.split_vertically(legend_top);
        let markers = match self.spec.scale {
            Scale::Linear => self.draw_chart(&chart, 0.0..self.top())?,
            Scale::Log => self.draw_chart(&chart, self.decades().log_scale())?,
        };
        for (marker, place, colour) in markers {
            draw_marker(&root, marker, place, colour)?;
        }
        draw_legend(&root, legend_top.cast_signed(), &rows)?;
        root.present()?;
        Ok(())
    }

    /// Draws axes, lines and error bars; returns the markers with their pixels, to be drawn above all lines.
    fn draw_chart<Y>(&self, area: &Canvas, y: Y) -> Result<Vec<PlacedMarker>, Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let font = ("sans-serif", 16).into_font().color(&INK);
        let described = ("sans-serif", self.description_size(area.dim_in_pixel().1))
            .into_font()
            .color(&INK);
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(MARGIN_RIGHT)
            .x_label_area_size(X_LABELS_HEIGHT)
            .y_label_area_size(y_labels_width(area.dim_in_pixel().0))
            .build_cartesian_2d(self.axis(area.dim_in_pixel().0), y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS)
            .label_style(font.clone())
            .axis_desc_style(described)
            .x_desc(self.x.label)
            .y_desc(self.measure.label_with_unit())
            .y_labels(6)
            .x_label_formatter(&|value| self.x.kind.text(*value))
            .y_label_formatter(&|value| match *value {
                value if value >= 1e6 => format!("{}M", significant(value / 1e6)),
                value if value >= 1000.0 => thousands(value),
                value => significant(value),
            })
            .draw()?;
        let mut markers = Vec::new();
        for series in &self.series {
            let colour = series.look.colour;
            let line = series.points.iter().map(|point| (point.0, point.1));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(SERIES_WIDTH)))?;
            for &(x, middle, low, high) in &series.points {
                chart.draw_series([PathElement::new([(x, low), (x, high)], colour.stroke_width(1))])?;
                markers.push((series.look.marker, chart.backend_coord(&(x, middle)), colour));
            }
            for place in &series.invalid {
                markers.push((Marker::Cross, chart.backend_coord(place), AXIS));
            }
        }
        Ok(markers)
    }

    fn xs(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| {
            let valid = series.points.iter().map(|point| point.0);
            valid.chain(series.invalid.iter().map(|point| point.0))
        })
    }

    fn ys(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| {
            let valid = series.points.iter().flat_map(|point| [point.2, point.3]);
            valid.chain(series.invalid.iter().map(|point| point.1))
        })
    }

    /// The x axis of a panel of this width.
    fn axis(&self, width: u32) -> LevelAxis {
        let plot = f64::from(width - MARGIN - MARGIN_RIGHT - y_labels_width(width));
        let label_width = |level| LABEL_CHARACTER * self.x.kind.text(level).chars().count() as f64;
        LevelAxis::over(self.xs().collect(), plot, label_width)
    }

    fn top(&self) -> f64 {
        let high = self.ys().fold(0.0, f64::max);
        if high > 0.0 { high * 1.08 } else { 1.0 }
    }

    /// From the decade below the smallest value to the one above the largest.
    fn decades(&self) -> Range<f64> {
        let positive = || self.ys().filter(|value| *value > 0.0);
        let low = positive().fold(f64::INFINITY, f64::min);
        let high = positive().fold(0.0, f64::max);
        if high == 0.0 {
            return 0.1..1.0;
        }
        10_f64.powf(low.log10().floor())..10_f64.powf(high.log10().ceil().max(low.log10().floor() + 1.0))
    }

    /// Size of the letters of the axis labels, pixels, so that the label of the y axis fits a chart of this height.
    fn description_size(&self, height: u32) -> f64 {
        /// Below 13.8, which the drawing makes 11 pixels high, letters cannot be read; those of the labels have 16.
        const SIZES: (f64, f64) = (13.8, 16.0);
        let plot = f64::from(height.saturating_sub(X_LABELS_HEIGHT + 2 * MARGIN));
        let letters = self.measure.label_with_unit().chars().count() as f64;
        (plot / (DESCRIPTION_LETTER * letters)).clamp(SIZES.0, SIZES.1)
    }

    /// As many entries in a row as fit: text is about 7 pixels a character.
    fn legend_rows(&self, width: u32) -> Vec<Vec<(i32, &Series<'_>)>> {
        let width = width.cast_signed();
        let mut rows: Vec<Vec<(i32, &Series)>> = Vec::new();
        let mut x = 14;
        for series in &self.series {
            let needed = 46 + 7 * i32::try_from(series.label.chars().count()).unwrap_or(20);
            if rows.is_empty() || x + needed > width {
                rows.push(Vec::new());
                x = 14;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, series));
            }
            x += needed;
        }
        rows
    }

    /// Puts on the dashes and what a screen reader needs.
    fn finish(&self, svg: &str, id: &str) -> String {
        let mut text = svg.to_owned();
        for style in LOOKS.iter().filter(|style| !style.dashes.is_empty()) {
            let RGBColor(red, green, blue) = style.colour;
            let plain = format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\" stroke-width=\"{SERIES_WIDTH}\"");
            text = text.replace(&plain, &format!("{plain} stroke-dasharray=\"{}\"", style.dashes));
        }
        let description = self.description();
        let named = format!("<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" ");
        let text = text.replacen("<svg ", &named, 1);
        let head = format!(
            ">\n<title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>",
            escape(&self.title),
            escape(&description)
        );
        text.replacen('>', &head, 1)
    }

    /// The ends of every line in words.
    fn description(&self) -> String {
        let lines: Vec<String> = self
            .series
            .iter()
            .filter_map(|series| {
                let (first, last) = (series.points.first()?, series.points.last()?);
                Some(format!(
                    "{}: {} at {}, {} at {}",
                    series.label,
                    significant(first.1),
                    self.x.kind.text(first.0),
                    significant(last.1),
                    self.x.kind.text(last.0)
                ))
            })
            .collect();
        format!(
            "{} over {}. {}.",
            self.measure.label_with_unit(),
            self.x.label,
            lines.join("; ")
        )
    }

    /// Pairs of lines that change places between two neighbouring levels, by more than their error bars.
    fn crossovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, one) in self.series.iter().enumerate() {
            for two in &self.series[index + 1..] {
                let common: Vec<_> = one
                    .points
                    .iter()
                    .filter_map(|a| Some((a, two.points.iter().find(|b| (b.0 - a.0).abs() < f64::EPSILON)?)))
                    .collect();
                let mut below: Option<(bool, f64)> = None;
                for (a, b) in common {
                    let apart = if a.3 < b.2 {
                        Some(true)
                    } else if b.3 < a.2 {
                        Some(false)
                    } else {
                        None
                    };
                    let Some(apart) = apart else { continue };
                    if let Some((before, x)) = below
                        && before != apart
                    {
                        let (low, high) = if apart {
                            (one.label, two.label)
                        } else {
                            (two.label, one.label)
                        };
                        found.push(format!(
                            "{low} passes below {high} between {} and {} {}",
                            self.x.kind.text(x),
                            self.x.kind.text(a.0),
                            self.x.label
                        ));
                    }
                    below = Some((apart, a.0));
                }
            }
        }
        found
    }
}

/// The y axis with its labels, pixels.
fn y_labels_width(width: u32) -> u32 {
    if width < 500 { 68 } else { 70 }
}

fn draw_legend(area: &Canvas, top: i32, rows: &[Vec<(i32, &Series<'_>)>]) -> Drawn {
    let style = ("sans-serif", 16)
        .into_font()
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    for (index, row) in rows.iter().enumerate() {
        let y = top + LEGEND_ROW.cast_signed() * i32::try_from(index).unwrap_or_default() + 10;
        for &(x, series) in row {
            let colour = series.look.colour;
            area.draw(&PathElement::new(
                [(x, y), (x + 28, y)],
                colour.stroke_width(SERIES_WIDTH),
            ))?;
            draw_marker(area, series.look.marker, (x + 14, y), colour)?;
            area.draw(&Text::new(series.label, (x + 34, y), style.clone()))?;
        }
    }
    Ok(())
}

/// Draws a marker around a pixel. Open shapes are lines, so that they differ without colour, too.
fn draw_marker(area: &Canvas, marker: Marker, (x, y): (i32, i32), colour: RGBColor) -> Drawn {
    const S: i32 = MARKER_SIZE;
    let at = |points: &[(i32, i32)]| -> Vec<(i32, i32)> { points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect() };
    let fill = |points: &[(i32, i32)]| area.draw(&Polygon::new(at(points), colour.filled()));
    let stroke = |points: &[(i32, i32)]| area.draw(&PathElement::new(at(points), colour.stroke_width(3)));
    match marker {
        Marker::Disc => area.draw(&Circle::new((x, y), S, colour.filled()))?,
        Marker::Ring => area.draw(&Circle::new((x, y), S, colour.stroke_width(3)))?,
        Marker::Square => fill(&[(-S, -S), (S, -S), (S, S), (-S, S)])?,
        Marker::TriangleUp => fill(&[(0, -S - 1), (S + 1, S), (-S - 1, S)])?,
        Marker::TriangleDown => fill(&[(0, S + 1), (S + 1, -S), (-S - 1, -S)])?,
        Marker::Diamond => fill(&[(0, -S - 1), (S + 1, 0), (0, S + 1), (-S - 1, 0)])?,
        Marker::Cross => {
            stroke(&[(-S, -S), (S, S)])?;
            stroke(&[(-S, S), (S, -S)])?;
        }
        Marker::Plus => {
            stroke(&[(-S - 1, 0), (S + 1, 0)])?;
            stroke(&[(0, -S - 1), (0, S + 1)])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
