//! The axis across a chart.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use crate::Scale;

/// From this ratio of the highest level to the lowest on, the x axis is divided by decades.
const DECADES_APART: f64 = 100.0;

/// The least space between two labels, pixels.
const LABEL_GAP: f64 = 10.0;

/// An x axis that is labelled at the places of its points.
pub(crate) struct XAxis {
    scale: Scale,
    span: Range<f64>,
    /// The places with a label, the highest first.
    pub(crate) ticks: Vec<f64>,
}

impl XAxis {
    /// Divided by decades where the levels are far apart, and from 0 otherwise; over `plot` pixels, without the labels that
    /// would run into that of a higher level.
    pub(crate) fn over_levels(mut levels: Vec<f64>, plot: f64, label_width: impl Fn(f64) -> f64) -> Self {
        let high = levels.iter().copied().fold(0.0, f64::max);
        let low = levels.iter().copied().fold(f64::INFINITY, f64::min);
        let is_far_apart = low > 0.0 && high / low >= DECADES_APART;
        let mut axis = if is_far_apart {
            let margin = (high / low).powf(0.04);
            Self {
                scale: Scale::Log,
                span: low / margin..high * margin,
                ticks: Vec::new(),
            }
        } else {
            levels.push(0.0);
            Self {
                scale: Scale::Linear,
                span: 0.0..if high > 0.0 { high * 1.03 } else { 1.0 },
                ticks: Vec::new(),
            }
        };
        levels.sort_unstable_by(|one, two| two.total_cmp(one));
        axis.label(&levels, plot, label_width);
        axis
    }

    /// So many names at equal distances, with half a distance at both ends.
    pub(crate) fn over_names(count: usize, plot: f64, label_width: impl Fn(f64) -> f64) -> Self {
        let mut axis = Self {
            scale: Scale::Linear,
            span: -0.5..count.max(1) as f64 - 0.5,
            ticks: Vec::new(),
        };
        let places: Vec<f64> = (0..count).rev().map(|place| place as f64).collect();
        axis.label(&places, plot, label_width);
        axis
    }

    /// Labels the places, of which the highest is the first, as far as there is room.
    fn label(&mut self, places: &[f64], plot: f64, label_width: impl Fn(f64) -> f64) {
        for &place in places {
            let has_room = |&above: &f64| {
                let apart = plot * (self.share(above) - self.share(place));
                apart >= (label_width(above) + label_width(place)) / 2.0 + LABEL_GAP
            };
            if self.ticks.last().is_none_or(has_room) {
                self.ticks.push(place);
            }
        }
    }

    /// Where a level lies between the ends of the axis, 0 to 1.
    fn share(&self, level: f64) -> f64 {
        let Range { start, end } = self.span;
        match self.scale {
            Scale::Linear | Scale::Change => (level - start) / (end - start),
            Scale::Log => (level / start).ln() / (end / start).ln(),
        }
    }
}

impl Ranged for XAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (left, right): (i32, i32)) -> i32 {
        left + (f64::from(right - left) * self.share(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            Vec::new()
        } else {
            self.ticks.clone()
        }
    }

    fn range(&self) -> Range<f64> {
        self.span.clone()
    }
}
