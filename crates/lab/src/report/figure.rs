//! The figures: medians with error bars over one axis, a line per variant, a chart per combination of the other axes.

use std::collections::BTreeMap;

use c10k_chart::{Chart, ChartError, Point, Scale, Series, Size, X};
use c10k_record::{CellRecord, CellStatus};

use crate::LabError;
use crate::experiment::{self, FigureSpec};
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

/// Draws every figure of the plan's experiment.
pub(super) fn draw_all(plan: &Plan, records: &[CellRecord]) -> Result<Vec<Figure>, LabError> {
    let results = Results::new(plan, records);
    let mut figures = Vec::new();
    for spec in &plan.experiment.figures {
        let (Some(axis), Some(measure)) = (plan.axis(spec.x.get_ref()), measure::find(spec.y.get_ref())) else {
            continue;
        };
        for levels in plan.combinations(Some(axis), &BTreeMap::new()) {
            let series = series(plan, &results, spec, axis, measure, &levels);
            let is_empty = |series: &Series| series.points.is_empty() && series.crosses.is_empty();
            if !series.iter().all(is_empty) {
                let place = plan.levels_text(&levels, Some(axis));
                let figure = draw(spec, &chart(plan, spec, axis, measure, &place, series), &place);
                figures.push(figure.map_err(|error| LabError::Report(error.to_string()))?);
            }
        }
    }
    Ok(figures)
}

fn chart<'p>(
    plan: &'p Plan,
    spec: &FigureSpec,
    axis: usize,
    measure: &Measure,
    place: &str,
    series: Vec<Series>,
) -> Chart<'p> {
    let x = plan.axes[axis].row;
    Chart {
        title: if place.is_empty() {
            spec.title.clone()
        } else {
            format!("{} · {place}", spec.title)
        },
        x: X::levels(x.label, |level| x.kind.text(level)),
        y: measure.label_with_unit(),
        scale: match spec.scale {
            experiment::Scale::Linear => Scale::Linear,
            experiment::Scale::Log => Scale::Log,
        },
        series,
    }
}

fn draw(spec: &FigureSpec, chart: &Chart, place: &str) -> Result<Figure, ChartError> {
    let file = file_name(spec.id.get_ref(), place);
    Ok(Figure {
        wide: chart.draw(Size::Wide, &format!("{file}-wide"))?,
        narrow: chart.draw(Size::Narrow, &format!("{file}-narrow"))?,
        crossovers: chart.crossovers(),
        title: chart.title.clone(),
        caption: spec.caption.clone(),
        file,
    })
}

/// The figure's name and its panel's levels, with everything that is no letter or digit folded to single dashes.
fn file_name(id: &str, place: &str) -> String {
    let words = place.split(|character: char| !character.is_ascii_alphanumeric() && character != '.');
    let words = std::iter::once(id).chain(words.filter(|word| !word.is_empty()));
    words.collect::<Vec<_>>().join("-")
}

fn series(
    plan: &Plan,
    results: &Results,
    spec: &FigureSpec,
    axis: usize,
    measure: &Measure,
    levels: &[usize],
) -> Vec<Series> {
    let wanted = |name: &str| spec.variants.is_empty() || spec.variants.iter().any(|wanted| wanted.get_ref() == name);
    let mut all = Vec::new();
    let variants = plan.variants.iter().enumerate();
    for (index, variant) in variants.filter(|(_, variant)| variant.control_of.is_none() && wanted(&variant.name)) {
        let mut series = Series {
            label: variant.label.clone(),
            look: index,
            ..Series::default()
        };
        for (place, level) in plan.axes[axis].levels.iter().enumerate() {
            let mut levels = levels.to_vec();
            levels[axis] = place;
            let Some(cell) = plan.cell(index, &levels) else {
                continue;
            };
            let valid: Vec<f64> = results.values(&cell.id, measure).into_values().collect();
            series.points.extend(point(level.value, &valid));
            let doubtful: Vec<f64> = results
                .of(&cell.id)
                .filter(|record| record.status == CellStatus::Invalid)
                .filter_map(|record| measure.read(record))
                .collect();
            if let Some(middle) = stats::median(&doubtful).filter(|_| doubtful.len() > valid.len()) {
                series.crosses.push((level.value, middle));
            }
        }
        all.push(series);
    }
    all
}

/// The median of the valid blocks, with the smallest and the largest as its error bar.
fn point(level: f64, valid: &[f64]) -> Option<Point> {
    Some(Point {
        x: level,
        middle: stats::median(valid)?,
        low: valid.iter().copied().min_by(f64::total_cmp)?,
        high: valid.iter().copied().max_by(f64::total_cmp)?,
    })
}

#[cfg(test)]
mod tests;
