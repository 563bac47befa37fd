//! Draws a chart as SVG.

use std::ops::Range;

use c10k_units::display::{significant, thousands};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::look::{self, AXIS, GRID, INK, LOOKS, Marker, PAPER};
use crate::x_axis::XAxis;
use crate::{Chart, Kind, Scale, Series, Size};

/// The most characters of [`Chart::y`] that fit a narrow chart with four rows of legend.
pub const Y_LABEL_MAX: usize = 41;

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

/// The smallest and the largest size of the letters of an axis label. Below 13.8, which the drawing makes 11 pixels high, letters
/// cannot be read; those of the labels have 16.
const DESCRIPTION_SIZES: (f64, f64) = (13.8, 16.0);

/// Why a chart cannot be drawn: two of its values are too far apart for an axis, or not finite.
#[derive(Debug, thiserror::Error)]
#[error("the chart '{title}' cannot be drawn: {cause}")]
pub struct ChartError {
    title: String,
    cause: String,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A marker, the pixel of its centre, and its colour.
type PlacedMarker = (Marker, (i32, i32), RGBColor);

type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Size {
    fn pixels(self) -> (u32, u32) {
        match self {
            Self::Wide => (780, 440),
            Self::Narrow => (360, 400),
        }
    }
}

impl Chart<'_> {
    /// The chart as an `svg` element. `id` is unique in the page; the elements with its title and description are named after
    /// it.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn draw(&self, size: Size, id: &str) -> Result<String, ChartError> {
        let mut svg = String::new();
        self.draw_into(&mut svg, size.pixels()).map_err(|error| ChartError {
            title: self.title.clone(),
            cause: error.to_string(),
        })?;
        Ok(self.finish(&svg, id))
    }

    fn draw_into(&self, svg: &mut String, size: (u32, u32)) -> Drawn {
        if self.xs().chain(self.ys()).any(|value| !value.is_finite()) {
            return Err("a value is not a finite number".into());
        }
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&PAPER)?;
        let rows = self.legend_rows(size.0);
        let legend_height = LEGEND_ROW * u32::try_from(rows.len()).unwrap_or(1) + 6;
        let legend_top = size.1.saturating_sub(legend_height);
        let (plot, _) = root.split_vertically(legend_top);
        let markers = match self.scale {
            Scale::Linear => self.draw_lines(&plot, 0.0..self.top())?,
            Scale::Log => self.draw_lines(&plot, self.decades().log_scale())?,
            Scale::Change => self.draw_lines(&plot, self.with_zero())?,
        };
        for (marker, place, colour) in markers {
            draw_marker(&root, marker, place, colour)?;
        }
        draw_legend(&root, legend_top.cast_signed(), &rows)?;
        root.present()?;
        Ok(())
    }

    /// Draws axes, lines and error bars; returns the markers with their pixels, to be drawn above all lines.
    fn draw_lines<Y>(&self, area: &Canvas, y: Y) -> Result<Vec<PlacedMarker>, Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let (width, height) = area.dim_in_pixel();
        let font = ("sans-serif", 16).into_font().color(&INK);
        let described = ("sans-serif", self.description_size(height)).into_font().color(&INK);
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(MARGIN_RIGHT)
            .x_label_area_size(X_LABELS_HEIGHT)
            .y_label_area_size(y_labels_width(width))
            .build_cartesian_2d(self.axis(width), y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS)
            .label_style(font.clone())
            .axis_desc_style(described)
            .x_desc(&self.x.label)
            .y_desc(&self.y)
            .y_labels(6)
            .x_label_formatter(&|value| self.x.text(*value))
            .y_label_formatter(&|value| y_text(*value))
            .draw()?;
        let mut markers = Vec::new();
        for series in &self.series {
            let look = look::of(series.look);
            let line = series.points.iter().map(|point| (point.x, point.middle));
            chart.draw_series(LineSeries::new(line, look.colour.stroke_width(SERIES_WIDTH)))?;
            for point in &series.points {
                let bar = [(point.x, point.low), (point.x, point.high)];
                chart.draw_series([PathElement::new(bar, look.colour.stroke_width(1))])?;
                markers.push((look.marker, chart.backend_coord(&(point.x, point.middle)), look.colour));
            }
            for place in &series.crosses {
                markers.push((Marker::Cross, chart.backend_coord(place), AXIS));
            }
        }
        Ok(markers)
    }

    fn xs(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| {
            let points = series.points.iter().map(|point| point.x);
            points.chain(series.crosses.iter().map(|cross| cross.0))
        })
    }

    fn ys(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| {
            let points = series.points.iter().flat_map(|point| [point.low, point.high]);
            points.chain(series.crosses.iter().map(|cross| cross.1))
        })
    }

    /// The x axis of a chart of this width.
    pub(crate) fn axis(&self, width: u32) -> XAxis {
        let plot = f64::from(width - MARGIN - MARGIN_RIGHT - y_labels_width(width));
        let label_width = |place| LABEL_CHARACTER * self.x.text(place).chars().count() as f64;
        match &self.x.kind {
            Kind::Levels(_) => XAxis::over_levels(self.xs().collect(), plot, label_width),
            Kind::Names(names) => XAxis::over_names(names.len(), plot, label_width),
        }
    }

    fn top(&self) -> f64 {
        let high = self.ys().fold(0.0, f64::max);
        if high > 0.0 { high * 1.08 } else { 1.0 }
    }

    /// From the smallest to the largest value, or from or to 0, with space around.
    fn with_zero(&self) -> Range<f64> {
        let low = self.ys().fold(0.0, f64::min);
        let high = self.ys().fold(0.0, f64::max);
        let space = if high > low { 0.08 * (high - low) } else { 1.0 };
        low - space..high + space
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
        let plot = f64::from(height.saturating_sub(X_LABELS_HEIGHT + 2 * MARGIN));
        let letters = self.y.chars().count() as f64;
        (plot / (DESCRIPTION_LETTER * letters)).clamp(DESCRIPTION_SIZES.0, DESCRIPTION_SIZES.1)
    }

    /// As many entries in a row as fit: text is about 7 pixels a character.
    fn legend_rows(&self, width: u32) -> Vec<Vec<(i32, &Series)>> {
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
        let named = format!("<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" ");
        let text = text.replacen("<svg ", &named, 1);
        let head = format!(
            ">\n<title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>",
            escape(&self.title),
            escape(&self.description())
        );
        text.replacen('>', &head, 1)
    }
}

/// The y axis with its labels, pixels.
fn y_labels_width(width: u32) -> u32 {
    if width < 500 { 68 } else { 70 }
}

fn y_text(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", significant(value / 1e6)),
        value if value >= 1000.0 => thousands(value),
        value => significant(value),
    }
}

/// Text as it stands in an element of a page.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn draw_legend(area: &Canvas, top: i32, rows: &[Vec<(i32, &Series)>]) -> Drawn {
    let style = ("sans-serif", 16)
        .into_font()
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    for (index, row) in rows.iter().enumerate() {
        let y = top + LEGEND_ROW.cast_signed() * i32::try_from(index).unwrap_or_default() + 10;
        for &(x, series) in row {
            if series.points.is_empty() && !series.crosses.is_empty() {
                draw_marker(area, Marker::Cross, (x + 14, y), AXIS)?;
            } else {
                let look = look::of(series.look);
                let line = look.colour.stroke_width(SERIES_WIDTH);
                area.draw(&PathElement::new([(x, y), (x + 28, y)], line))?;
                draw_marker(area, look.marker, (x + 14, y), look.colour)?;
            }
            area.draw(&Text::new(series.label.as_str(), (x + 34, y), style.clone()))?;
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
