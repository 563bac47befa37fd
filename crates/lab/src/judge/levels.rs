//! Along which levels of an axis a statistic is computed, where some are missing.

use std::collections::BTreeMap;

use crate::plan::{Axis, Level};

/// `(level, measure)` along an axis, by block.
pub(super) type Rows = BTreeMap<u32, Vec<(f64, f64)>>;

/// Which part of an axis a statistic along it looks at: levels that cannot run here, or whose cells are invalid, are missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Range {
    #[default]
    Whole,
    /// From one level to another, in words.
    Part(String),
    /// One level at most: nothing can be said along it.
    Point,
}

impl Range {
    pub(super) fn of(axis: &Axis, rows: &Rows) -> Self {
        let seen: Vec<&Level> = match rows.values().next() {
            Some(row) => axis
                .levels
                .iter()
                .filter(|level| row.iter().any(|point| point.0 == level.value))
                .collect(),
            None => Vec::new(),
        };
        match seen.as_slice() {
            [] | [_] if axis.levels.len() > 1 => Self::Point,
            [first, .., last] if seen.len() < axis.levels.len() => {
                Self::Part(format!("only {} from {} to {}", axis.name, first.written, last.written))
            }
            _ => Self::Whole,
        }
    }

    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Part(text) => Some(text),
            Self::Whole | Self::Point => None,
        }
    }
}

/// What is divided or subtracted was measured at the same levels.
pub(super) fn keep_common_levels(own: &mut Rows, others: &mut Rows) {
    own.retain(|block, _| others.contains_key(block));
    others.retain(|block, _| own.contains_key(block));
    for (own, other) in own.values_mut().zip(others.values_mut()) {
        own.retain(|(level, _)| other.iter().any(|(at, _)| at == level));
        other.retain(|(level, _)| own.iter().any(|(at, _)| at == level));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::options;

    fn axis(levels: &[f64]) -> Axis {
        let level = |&value: &f64| Level {
            written: value.to_string(),
            value,
            flag: value.to_string(),
        };
        Axis {
            name: "idle".to_owned(),
            row: options::find_any("idle").expect("an option"),
            levels: levels.iter().map(level).collect(),
        }
    }

    fn rows(levels: &[f64]) -> Rows {
        BTreeMap::from([(0, levels.iter().map(|&level| (level, 1.0)).collect())])
    }

    #[test]
    fn a_statistic_says_which_part_of_an_axis_it_looks_at() {
        let axis = axis(&[10.0, 20.0, 40.0]);
        assert_eq!(Range::of(&axis, &rows(&[10.0, 20.0, 40.0])), Range::Whole);
        let part = Range::of(&axis, &rows(&[10.0, 20.0]));
        assert_eq!(part.text().as_deref(), Some("only idle from 10 to 20"));
    }

    #[test]
    fn nothing_is_said_along_an_axis_of_which_one_level_is_left() {
        assert_eq!(Range::of(&axis(&[10.0, 20.0, 40.0]), &rows(&[20.0])), Range::Point);
        assert_eq!(Range::of(&axis(&[10.0, 20.0]), &Rows::new()), Range::Point);
        assert_eq!(
            Range::of(&axis(&[10.0]), &rows(&[10.0])),
            Range::Whole,
            "it never had more"
        );
    }

    #[test]
    fn two_variants_are_compared_where_both_were_measured() {
        let (mut own, mut other) = (rows(&[10.0, 20.0]), rows(&[20.0, 40.0]));
        own.insert(1, vec![(10.0, 1.0)]);
        keep_common_levels(&mut own, &mut other);
        assert_eq!((own, other), (rows(&[20.0]), rows(&[20.0])));
    }
}
