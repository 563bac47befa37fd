//! On which scale blocks are averaged.

use crate::statistic::Form;
use crate::stats::{self, Interval};

/// The scale on which a statistic is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Plain,
    /// Of factors and levels, which lie as many times apart as they like, unless one of them has no logarithm.
    Logarithm,
}

impl Scale {
    pub(super) fn of(form: Form, values: &[f64]) -> Self {
        if matches!(form, Form::Factor | Form::Level) && values.iter().all(|value| *value > 0.0) {
            Self::Logarithm
        } else {
            Self::Plain
        }
    }

    pub(super) fn to(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Logarithm => value.ln(),
        }
    }

    fn back(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Logarithm => value.exp(),
        }
    }

    pub(super) fn interval_back(self, Interval { low, high }: Interval) -> Interval {
        Interval {
            low: self.back(low),
            high: self.back(high),
        }
    }
}

/// The interval of a statistic over blocks that reports show.
pub(super) fn interval(form: Form, values: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    let scale = Scale::of(form, values);
    let values: Vec<f64> = values.iter().map(|&value| scale.to(value)).collect();
    stats::interval(&values, confidence, seed).map(|interval| scale.interval_back(interval))
}
