//! What a claim is decided by: one number per block, from the values of one variant (and of the one it is compared
//! with). One row each.

use crate::stats;

/// How the numbers of several blocks are averaged and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A number in the unit of the measure.
    Plain,
    /// A part of one, written in percent.
    Share,
    /// A factor: averaged as a logarithm, written with ×.
    Factor,
}

/// The values of one block: `(level, measure)` along the axis, or one pair where there is none.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) own: Vec<(f64, f64)>,
    pub(crate) other: Vec<(f64, f64)>,
}

pub(crate) struct Statistic {
    /// Its name in an experiment.
    pub(crate) name: &'static str,
    /// How it reads before its number.
    pub(crate) reads: &'static str,
    pub(crate) needs_axis: bool,
    pub(crate) needs_other: bool,
    pub(crate) form: Form,
    pub(crate) of: fn(&Values) -> Option<f64>,
}

pub(crate) const STATISTICS: &[Statistic] = &[
    Statistic {
        name: "value",
        reads: "",
        needs_axis: false,
        needs_other: false,
        form: Form::Plain,
        of: |values| values.own.first().map(|point| point.1),
    },
    Statistic {
        name: "lowest",
        reads: "lowest",
        needs_axis: true,
        needs_other: false,
        form: Form::Plain,
        of: |values| values.own.iter().map(|point| point.1).min_by(f64::total_cmp),
    },
    Statistic {
        name: "highest",
        reads: "highest",
        needs_axis: true,
        needs_other: false,
        form: Form::Plain,
        of: |values| peak(&values.own),
    },
    Statistic {
        name: "change",
        reads: "change over the range",
        needs_axis: true,
        needs_other: false,
        form: Form::Share,
        of: change,
    },
    Statistic {
        name: "factor",
        reads: "last level ÷ first",
        needs_axis: true,
        needs_other: false,
        form: Form::Factor,
        of: |values| quotient(values.own.last()?.1, values.own.first()?.1),
    },
    Statistic {
        name: "dip",
        reads: "lowest ÷ first level",
        needs_axis: true,
        needs_other: false,
        form: Form::Factor,
        of: |values| {
            let lowest = values.own.iter().map(|point| point.1).min_by(f64::total_cmp)?;
            quotient(lowest, values.own.first()?.1)
        },
    },
    Statistic {
        name: "ratio",
        reads: "ratio",
        needs_axis: false,
        needs_other: true,
        form: Form::Factor,
        of: |values| quotient(values.own.first()?.1, values.other.first()?.1),
    },
    Statistic {
        name: "peak-ratio",
        reads: "peak ÷ peak",
        needs_axis: true,
        needs_other: true,
        form: Form::Factor,
        of: |values| quotient(peak(&values.own)?, peak(&values.other)?),
    },
];

pub(crate) fn find(name: &str) -> Option<&'static Statistic> {
    STATISTICS.iter().find(|statistic| statistic.name == name)
}

/// All names, for messages.
pub(crate) fn names() -> String {
    let names: Vec<&str> = STATISTICS.iter().map(|statistic| statistic.name).collect();
    names.join(", ")
}

fn peak(points: &[(f64, f64)]) -> Option<f64> {
    points.iter().map(|point| point.1).max_by(f64::total_cmp)
}

fn quotient(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

/// The rise of the fitted line over the whole range, as a part of the mean over the levels: 0 where the measure does not
/// depend on the axis. Not of the value at the lowest level, whose noise would then count twice.
fn change(values: &Values) -> Option<f64> {
    let first = values.own.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let last = values.own.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let mean = values.own.iter().map(|point| point.1).sum::<f64>() / values.own.len() as f64;
    quotient(stats::slope(&values.own)? * (last.0 - first.0), mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, own: &[(f64, f64)], other: &[(f64, f64)]) -> Option<f64> {
        (find(name).expect("it is in the table").of)(&Values {
            own: own.to_vec(),
            other: other.to_vec(),
        })
    }

    #[test]
    fn change_is_zero_for_a_flat_line_and_the_rise_over_the_mean_for_a_steep_one() {
        assert_eq!(of("change", &[(0.0, 5.0), (10.0, 5.0)], &[]), Some(0.0));
        assert_eq!(of("change", &[(0.0, 5.0), (10.0, 15.0)], &[]), Some(1.0));
        assert_eq!(of("change", &[(0.0, 5.0)], &[]), None);
    }

    #[test]
    fn factors_compare_the_ends_and_the_peaks() {
        let own = [(1.0, 2.0), (2.0, 9.0), (3.0, 6.0)];
        assert_eq!(of("factor", &own, &[]), Some(3.0));
        assert_eq!(of("peak-ratio", &own, &[(1.0, 3.0)]), Some(3.0));
        assert_eq!(of("dip", &[(1.0, 4.0), (2.0, 1.0), (3.0, 8.0)], &[]), Some(0.25));
        assert_eq!(of("ratio", &[(1.0, 4.0)], &[(1.0, 0.0)]), None);
    }
}
