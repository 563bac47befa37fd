//! What would settle a claim that these runs have not settled: how many blocks, if they spread as those that there are.

use c10k_record::{ClaimNeeds, Verdict};

use super::scale::Scale;
use crate::stats;

/// Nobody is advised to run more blocks than this.
const MOST: u32 = 1000;

/// What one number needs to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// It is settled.
    Nothing,
    /// About so many blocks, to lie within the bounds.
    Confirming(u32),
    /// More than [`MOST`]: as far as the blocks show, the value lies on a bound.
    TooMany,
    /// Two valid blocks, before anything can be estimated.
    Valid,
    /// About so many blocks, to lie outside them. One such number refutes the claim, whatever the others need.
    Refuting(u32),
}

/// What the number of these blocks needs, of which `verdict` has been found. `run` blocks were run, for as many as are valid.
pub(super) fn needs(
    verdict: Verdict,
    scale: Scale,
    per_block: &[f64],
    bounds: (Option<f64>, Option<f64>),
    confidence: f64,
    run: u32,
) -> Needs {
    if verdict != Verdict::Inconclusive {
        return Needs::Nothing;
    }
    let values: Vec<f64> = per_block.iter().map(|&value| scale.to(value)).collect();
    let (Some(median), Some(spread)) = (stats::median(&values), stats::deviation(&values)) else {
        return Needs::Valid;
    };
    // How far inside the bounds a centre lies; negative outside them.
    let inside = |centre: f64| {
        let low = bounds.0.map_or(f64::INFINITY, |low| centre - scale.to(low));
        let high = bounds.1.map_or(f64::INFINITY, |high| scale.to(high) - centre);
        low.min(high)
    };
    // The interval is the hull of one around the median and one around the mean.
    let inside = [inside(median), inside(stats::mean(&values))];
    let room = inside[0].abs().min(inside[1].abs());
    if inside[0].is_sign_negative() != inside[1].is_sign_negative() {
        return Needs::TooMany;
    }
    let valid = u32::try_from(values.len()).unwrap_or(MOST);
    match fewest(valid + 1, |blocks| {
        stats::half_width(spread, blocks, confidence) <= room
    }) {
        None => Needs::TooMany,
        Some(blocks) => {
            let blocks = (blocks * run.max(valid)).div_ceil(valid);
            let is_inside = inside[0].is_sign_positive();
            if is_inside {
                Needs::Confirming(blocks)
            } else {
                Needs::Refuting(blocks)
            }
        }
    }
}

/// The fewest blocks that are enough, from `low` to [`MOST`]; enough for all that are more.
fn fewest(mut low: u32, enough: impl Fn(u32) -> bool) -> Option<u32> {
    let mut high = MOST;
    if low > high || !enough(high) {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

/// What the numbers of a claim need together; `None` if all are settled. `call_passes`: the measure is read in the counting
/// passes, one for each block.
pub(super) fn of_claim(needs: &[Needs], call_passes: bool) -> Option<ClaimNeeds> {
    let refuting = needs.iter().filter(|need| matches!(need, Needs::Refuting(_))).min();
    match *refuting.or_else(|| needs.iter().max())? {
        Needs::Nothing => None,
        Needs::Confirming(blocks) | Needs::Refuting(blocks) => Some(ClaimNeeds::Blocks { blocks, call_passes }),
        Needs::TooMany => Some(ClaimNeeds::TooManyBlocks { over: MOST }),
        Needs::Valid => Some(ClaimNeeds::ValidBlocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(scale: Scale, values: &[f64], bounds: (Option<f64>, Option<f64>)) -> Needs {
        let run = u32::try_from(values.len()).expect("few");
        needs(Verdict::Inconclusive, scale, values, bounds, 0.95, run)
    }

    #[test]
    fn the_nearer_the_bound_the_more_blocks() {
        let values = [0.9, 1.0, 1.1];
        let at_most = |bound| open(Scale::Plain, &values, (None, Some(bound)));
        // Deviation 0.1. With eight blocks Student's quantile is 2.365, 2.365 * 0.1 / sqrt(8) = 0.084, and the median's
        // 1.253 * 1.96 * 0.1 / sqrt(8) = 0.087; with seven it is 2.447 * 0.1 / sqrt(7) = 0.0925.
        assert_eq!(at_most(1.09), Needs::Confirming(8));
        assert_eq!(at_most(0.91), Needs::Refuting(8));
        assert!(at_most(1.02) > Needs::Confirming(50));
        assert_eq!(
            at_most(5.0),
            Needs::Confirming(4),
            "more than there are, or it would be settled"
        );
        assert_eq!(at_most(1.0), Needs::TooMany);
    }

    #[test]
    fn factors_are_compared_on_their_logarithms_and_the_nearer_of_two_bounds_counts() {
        let values = [0.5, 1.0, 2.0];
        let wide = open(Scale::Logarithm, &values, (Some(0.25), Some(4.0)));
        assert_eq!(wide, open(Scale::Logarithm, &values, (None, Some(4.0))));
        assert!(open(Scale::Logarithm, &values, (Some(0.5), Some(4.0))) > wide);
    }

    #[test]
    fn a_bound_between_median_and_mean_is_never_cleared() {
        let skewed = [0.0, 0.0, 0.0, 0.0, 0.5];
        assert_eq!(open(Scale::Plain, &skewed, (None, Some(0.05))), Needs::TooMany);
        assert!(matches!(
            open(Scale::Plain, &skewed, (None, Some(0.3))),
            Needs::Confirming(_)
        ));
    }

    #[test]
    fn blocks_that_are_not_valid_have_to_be_run_too() {
        let needed = |run| {
            needs(
                Verdict::Inconclusive,
                Scale::Plain,
                &[0.9, 1.0, 1.1],
                (None, Some(1.09)),
                0.95,
                run,
            )
        };
        assert_eq!(needed(6), Needs::Confirming(16));
    }

    #[test]
    fn what_is_settled_needs_nothing_and_one_block_tells_nothing() {
        let settled = needs(Verdict::Confirmed, Scale::Plain, &[1.0], (None, None), 0.95, 1);
        assert_eq!(settled, Needs::Nothing);
        assert_eq!(open(Scale::Plain, &[1.0], (None, Some(2.0))), Needs::Valid);
        assert_eq!(of_claim(&[Needs::Nothing, Needs::Nothing], false), None);
    }

    #[test]
    fn the_most_that_any_number_needs_is_said_and_the_least_that_refutes() {
        let two = [Needs::Confirming(12), Needs::Nothing, Needs::Confirming(7)];
        for call_passes in [false, true] {
            let expected = ClaimNeeds::Blocks {
                blocks: 12,
                call_passes,
            };
            assert_eq!(of_claim(&two, call_passes), Some(expected));
        }
        let too_many = [Needs::TooMany, Needs::Confirming(3)];
        assert_eq!(
            of_claim(&too_many, false),
            Some(ClaimNeeds::TooManyBlocks { over: MOST })
        );
        assert_eq!(
            of_claim(&[Needs::TooMany, Needs::Valid], false),
            Some(ClaimNeeds::ValidBlocks)
        );
        let refuted = [Needs::TooMany, Needs::Refuting(8), Needs::Valid, Needs::Refuting(20)];
        let expected = ClaimNeeds::Blocks {
            blocks: 8,
            call_passes: false,
        };
        assert_eq!(of_claim(&refuted, false), Some(expected));
    }
}
