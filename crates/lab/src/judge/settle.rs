//! What would settle a claim that these runs have not settled: how many blocks, if they spread as those that there are.

use super::Verdict;
use super::statistic::Form;
use crate::stats;

/// Nobody is advised to run more blocks than this.
const MOST: u32 = 1000;

/// What one number needs to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// It is settled.
    Nothing,
    /// About so many blocks.
    Blocks(u32),
    /// More than [`MOST`]: as far as can be told the value lies on a bound.
    TooMany,
    /// Two valid blocks, before anything can be told.
    Valid,
}

/// What the number of these blocks needs, of which `verdict` has been found.
pub(super) fn needs(
    verdict: Verdict,
    form: Form,
    per_block: &[f64],
    bounds: (Option<f64>, Option<f64>),
    confidence: f64,
) -> Needs {
    if verdict != Verdict::Inconclusive {
        return Needs::Nothing;
    }
    let scale = |value: f64| if form == Form::Factor { value.ln() } else { value };
    let values: Vec<f64> = per_block.iter().copied().map(scale).collect();
    let (Some(centre), Some(spread)) = (stats::median(&values), stats::deviation(&values)) else {
        return Needs::Valid;
    };
    let room = [
        bounds.0.map(|low| centre - scale(low)),
        bounds.1.map(|high| scale(high) - centre),
    ];
    let room = room
        .into_iter()
        .flatten()
        .min_by(f64::total_cmp)
        .unwrap_or_default()
        .abs();
    let enough = |blocks: u32| stats::half_width(spread, blocks, confidence) <= room;
    let present = u32::try_from(values.len()).unwrap_or(MOST);
    if !enough(MOST) {
        return Needs::TooMany;
    }
    // The width falls with every block: halve the range in which it becomes small enough.
    let (mut low, mut high) = (present + 1, MOST.max(present + 1));
    while low < high {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Needs::Blocks(low)
}

/// The most that any of a claim's numbers needs, in words; `None` where all are settled. `per_pass`: its measure is read in
/// the passes in which system calls are counted.
pub(super) fn in_words(needs: impl Iterator<Item = Needs>, per_pass: bool) -> Option<String> {
    let (what, how) = if per_pass {
        ("passes", "call-passes = ")
    } else {
        ("blocks", "--repeats ")
    };
    match needs.max()? {
        Needs::Nothing => None,
        Needs::Blocks(count) => Some(format!(
            "about {count} {what}, if they spread as these do ({how}{count})"
        )),
        Needs::TooMany => Some(format!(
            "more than {MOST} {what}, if they spread as these do: a value lies too near its bound"
        )),
        Needs::Valid => Some(format!(
            "two valid {what} at least of every cell that it looks at; why they are missing stands with the cells"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: (Option<f64>, Option<f64>) = (None, None);

    fn open(form: Form, values: &[f64], bounds: (Option<f64>, Option<f64>)) -> Needs {
        needs(Verdict::Inconclusive, form, values, bounds, 0.95)
    }

    #[test]
    fn the_nearer_the_bound_the_more_blocks() {
        let values = [0.9, 1.0, 1.1];
        let needed = |bound| match open(Form::Plain, &values, (None, Some(bound))) {
            Needs::Blocks(blocks) => blocks,
            other => panic!("{other:?}"),
        };
        // Deviation 0.1; Student's quantile with seven degrees of freedom is 2.365: 2.365 * 0.1 / sqrt(8) = 0.084, less than
        // the median's 1.253 * 1.96 * 0.1 / sqrt(8) = 0.087; with six, 2.447 * 0.1 / sqrt(7) = 0.0925.
        assert_eq!(needed(1.09), 8);
        assert!(needed(1.02) > 50);
        assert_eq!(needed(0.91), needed(1.09), "to refute as to confirm");
        assert_eq!(needed(5.0), 4, "more than there are, or it would be settled");
        assert_eq!(open(Form::Plain, &values, (None, Some(1.0))), Needs::TooMany);
    }

    #[test]
    fn factors_are_told_apart_on_their_logarithms_and_the_nearer_of_two_bounds_counts() {
        let values = [0.5, 1.0, 2.0];
        let wide = open(Form::Factor, &values, (Some(0.25), Some(4.0)));
        assert_eq!(wide, open(Form::Factor, &values, (None, Some(4.0))));
        assert!(open(Form::Factor, &values, (Some(0.5), Some(4.0))) > wide);
    }

    #[test]
    fn what_is_settled_needs_nothing_and_one_block_tells_nothing() {
        assert_eq!(
            needs(Verdict::Confirmed, Form::Plain, &[1.0], NONE, 0.95),
            Needs::Nothing
        );
        assert_eq!(open(Form::Plain, &[1.0], (None, Some(2.0))), Needs::Valid);
        assert_eq!(in_words([Needs::Nothing, Needs::Nothing].into_iter(), false), None);
    }

    #[test]
    fn the_most_that_any_number_needs_is_said() {
        let said = |needs: &[Needs], per_pass| in_words(needs.iter().copied(), per_pass).expect("it is open");
        let two = [Needs::Blocks(12), Needs::Nothing, Needs::Blocks(7)];
        assert!(said(&two, false).contains("about 12 blocks") && said(&two, false).contains("--repeats 12"));
        assert!(said(&two, true).contains("call-passes = 12"));
        assert!(said(&[Needs::TooMany, Needs::Blocks(3)], false).contains("more than 1000 blocks"));
        assert!(said(&[Needs::TooMany, Needs::Valid], false).contains("two valid blocks"));
    }
}
