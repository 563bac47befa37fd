//! The statistics that decide claims: each computes one number per block from the values of one variant (and of the variant
//! that it is compared with). One row each.

pub(crate) use c10k_record::Form;
use c10k_units::display::{seconds, significant};

use crate::stats;

/// A number in its form, with three significant digits.
pub(crate) fn number(form: Form, unit: &str, value: f64) -> String {
    match form {
        // An interval over two blocks can be this wide; the digits of such a bound mean nothing.
        Form::Share if value > 10.0 => "over +1000%".to_owned(),
        Form::Share if value < -10.0 => "under -1000%".to_owned(),
        // No "-0.0%".
        Form::Share if value.abs() < 0.0005 => "+0.0%".to_owned(),
        Form::Share => format!("{:+.1}%", value * 100.0),
        Form::Factor if value > 1000.0 => "over 1000×".to_owned(),
        Form::Factor if value < 0.001 => "under 0.001×".to_owned(),
        Form::Factor => format!("{}×", significant(value)),
        Form::Level if unit == "s" => seconds(value),
        Form::Plain | Form::Level if unit.is_empty() => significant(value),
        Form::Plain if unit == "%" => format!("{}%", significant(value)),
        Form::Plain | Form::Level => format!("{} {unit}", significant(value)),
    }
}

/// The values of one block: a pair `(level, measure)` for each level of the axis, or one pair without an axis.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) own: Vec<(f64, f64)>,
    pub(crate) other: Vec<(f64, f64)>,
}

/// The value of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// The only one that there is.
    Only,
    Lowest,
    Highest,
}

/// What two numbers have to be for a statistic to be computed from them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// One at a level of the axis and one at a higher level.
    Levels,
    /// One of the variant that is compared with, and one of the variant.
    Variants,
}

pub(crate) struct Statistic {
    /// Its name in an experiment.
    pub(crate) name: &'static str,
    /// How it reads before its number.
    pub(crate) reads: &'static str,
    pub(crate) needs_axis: bool,
    pub(crate) needs_other: bool,
    pub(crate) form: Form,
    /// Which of the levels a count's exact interval is about; absent for a statistic that has none.
    pub(crate) counts: Option<Pick>,
    /// What two numbers give it in the same form, whatever they count; absent for a statistic that has the unit of its measure or
    /// looks at all levels.
    pub(crate) pair: Option<Pair>,
    pub(crate) of: fn(&Values) -> Option<f64>,
}

pub(crate) const STATISTICS: &[Statistic] = &[
    Statistic {
        name: "value",
        reads: "",
        needs_axis: false,
        needs_other: false,
        form: Form::Plain,
        counts: Some(Pick::Only),
        pair: None,
        of: |values| values.own.first().map(|point| point.1),
    },
    Statistic {
        name: "lowest",
        reads: "lowest",
        needs_axis: true,
        needs_other: false,
        form: Form::Plain,
        counts: Some(Pick::Lowest),
        pair: None,
        of: |values| values.own.iter().map(|point| point.1).min_by(f64::total_cmp),
    },
    Statistic {
        name: "highest",
        reads: "highest",
        needs_axis: true,
        needs_other: false,
        form: Form::Plain,
        counts: Some(Pick::Highest),
        pair: None,
        of: |values| peak(&values.own),
    },
    Statistic {
        name: "change",
        reads: "change over the range",
        needs_axis: true,
        needs_other: false,
        form: Form::Share,
        counts: None,
        pair: Some(Pair::Levels),
        of: change,
    },
    Statistic {
        name: "factor",
        reads: "last level ÷ first",
        needs_axis: true,
        needs_other: false,
        form: Form::Factor,
        counts: None,
        pair: Some(Pair::Levels),
        of: |values| quotient(values.own.last()?.1, values.own.first()?.1),
    },
    Statistic {
        name: "dip",
        reads: "lowest ÷ first level",
        needs_axis: true,
        needs_other: false,
        form: Form::Factor,
        counts: None,
        pair: None,
        of: |values| {
            let lowest = values.own.iter().map(|point| point.1).min_by(f64::total_cmp)?;
            quotient(lowest, values.own.first()?.1)
        },
    },
    Statistic {
        name: "last-to-peak",
        reads: "last level ÷ highest",
        needs_axis: true,
        needs_other: false,
        form: Form::Factor,
        counts: None,
        pair: None,
        of: |values| quotient(values.own.last()?.1, peak(&values.own)?),
    },
    Statistic {
        name: "ratio",
        reads: "ratio",
        needs_axis: false,
        needs_other: true,
        form: Form::Factor,
        counts: None,
        pair: Some(Pair::Variants),
        of: |values| quotient(values.own.first()?.1, values.other.first()?.1),
    },
    Statistic {
        name: "difference",
        reads: "difference",
        needs_axis: false,
        needs_other: true,
        form: Form::Plain,
        counts: None,
        pair: None,
        of: |values| Some(values.own.first()?.1 - values.other.first()?.1),
    },
    Statistic {
        name: "slope",
        reads: "slope",
        needs_axis: true,
        needs_other: false,
        form: Form::Plain,
        counts: None,
        pair: None,
        of: |values| stats::slope(&values.own),
    },
    Statistic {
        name: "slope-difference",
        reads: "difference of the slopes",
        needs_axis: true,
        needs_other: true,
        form: Form::Plain,
        counts: None,
        pair: None,
        of: |values| Some(stats::slope(&values.own)? - stats::slope(&values.other)?),
    },
    Statistic {
        name: "meets-at",
        reads: "lowest level from which on the two differ by at most a tenth",
        needs_axis: true,
        needs_other: true,
        form: Form::Level,
        counts: None,
        pair: None,
        of: meets_at,
    },
    Statistic {
        name: "peak-ratio",
        reads: "peak ÷ peak",
        needs_axis: true,
        needs_other: true,
        form: Form::Factor,
        counts: None,
        pair: None,
        of: |values| quotient(peak(&values.own)?, peak(&values.other)?),
    },
];

impl Statistic {
    /// The statistic of two numbers; `None` if it has no pair, or if they give none.
    pub(crate) fn of_pair(&self, from: f64, to: f64) -> Option<f64> {
        let values = match self.pair? {
            Pair::Levels => Values {
                own: vec![(0.0, from), (1.0, to)],
                other: Vec::new(),
            },
            Pair::Variants => Values {
                own: vec![(0.0, to)],
                other: vec![(0.0, from)],
            },
        };
        (self.of)(&values)
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Statistic> {
    STATISTICS.iter().find(|statistic| statistic.name == name)
}

/// All names, for messages.
pub(crate) fn names() -> String {
    let names: Vec<&str> = STATISTICS.iter().map(|statistic| statistic.name).collect();
    names.join(", ")
}

/// The names of those that two numbers give, for messages.
pub(crate) fn names_with_pair() -> String {
    let with_pair = STATISTICS.iter().filter(|statistic| statistic.pair.is_some());
    with_pair.map(|statistic| statistic.name).collect::<Vec<_>>().join(", ")
}

fn peak(points: &[(f64, f64)]) -> Option<f64> {
    points.iter().map(|point| point.1).max_by(f64::total_cmp)
}

fn quotient(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

/// The lowest level from which the two differ by at most a tenth. If they differ by more at the last level too, twice the
/// last level, so that no bound within the range holds.
fn meets_at(values: &Values) -> Option<f64> {
    let near = |&&(level, own): &&(f64, f64)| {
        let other = values.other.iter().find(|(at, _)| *at == level);
        other.is_some_and(|(_, other)| own <= 1.1 * other && *other <= 1.1 * own)
    };
    let mut levels = values.own.clone();
    levels.sort_by(|one, two| two.0.total_cmp(&one.0));
    let beyond = 2.0 * levels.first()?.0;
    let meeting = levels.iter().take_while(near).last();
    Some(meeting.map_or(beyond, |(level, _)| *level))
}

/// The rise of the fitted line over the whole range, as a part of the mean over the levels: 0 if the measure does not depend
/// on the axis. It is not relative to the value at the lowest level, because the noise of that value would count twice.
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
    fn a_bound_of_which_the_digits_mean_nothing_has_none() {
        let share = |value| number(Form::Share, "", value);
        assert_eq!(
            [share(0.239), share(-52.1), share(52.6)],
            ["+23.9%", "under -1000%", "over +1000%"]
        );
        assert_eq!(number(Form::Factor, "", 1e6), "over 1000×");
        assert_eq!([share(-0.00002), share(-0.0006)], ["+0.0%", "-0.1%"]);
    }

    #[test]
    fn change_is_zero_for_a_flat_line_and_the_rise_over_the_mean_for_a_steep_one() {
        assert_eq!(of("change", &[(0.0, 5.0), (10.0, 5.0)], &[]), Some(0.0));
        assert_eq!(of("change", &[(0.0, 5.0), (10.0, 15.0)], &[]), Some(1.0));
        assert_eq!(of("change", &[(0.0, 5.0)], &[]), None);
    }

    #[test]
    fn two_lines_meet_where_they_stay_within_a_tenth() {
        let other = [(1.0, 10.0), (2.0, 20.0), (4.0, 40.0)];
        let found = |own: [f64; 3]| of("meets-at", &[(1.0, own[0]), (2.0, own[1]), (4.0, own[2])], &other);
        assert_eq!(found([20.0, 21.0, 40.0]), Some(2.0));
        assert_eq!(
            found([10.0, 30.0, 40.0]),
            Some(4.0),
            "that they met before does not count"
        );
        assert_eq!(found([10.0, 20.0, 80.0]), Some(8.0), "beyond the range");
    }

    #[test]
    fn slopes_and_differences_are_in_the_unit_of_the_measure() {
        let own = [(1.0, 2.0), (3.0, 8.0)];
        assert_eq!(of("slope", &own, &[]), Some(3.0));
        assert_eq!(of("slope-difference", &own, &[(1.0, 1.0), (3.0, 3.0)]), Some(2.0));
        assert_eq!(of("difference", &own, &[(1.0, 5.0)]), Some(-3.0));
    }

    #[test]
    fn factors_compare_the_ends_and_the_peaks() {
        let own = [(1.0, 2.0), (2.0, 9.0), (3.0, 6.0)];
        assert_eq!(of("factor", &own, &[]), Some(3.0));
        assert_eq!(of("peak-ratio", &own, &[(1.0, 3.0)]), Some(3.0));
        assert_eq!(of("dip", &[(1.0, 4.0), (2.0, 1.0), (3.0, 8.0)], &[]), Some(0.25));
        assert_eq!(
            of("last-to-peak", &[(1.0, 4.0), (2.0, 8.0), (3.0, 6.0)], &[]),
            Some(0.75)
        );
        assert_eq!(of("ratio", &[(1.0, 4.0)], &[(1.0, 0.0)]), None);
    }

    #[test]
    fn two_numbers_give_a_statistic_in_the_form_that_it_has_in_a_block() {
        let pair = |name, from, to| find(name).expect("it is in the table").of_pair(from, to);
        assert_eq!(pair("change", 5.0, 15.0), Some(1.0), "the rise over the mean");
        assert_eq!(pair("factor", 5.0, 15.0), Some(3.0));
        assert_eq!(pair("ratio", 5.0, 15.0), Some(3.0));
        assert_eq!(pair("ratio", 0.0, 15.0), None);
        assert_eq!(pair("difference", 5.0, 15.0), None, "it has the unit of its measure");
        assert_eq!(names_with_pair(), "change, factor, ratio");
    }
}
