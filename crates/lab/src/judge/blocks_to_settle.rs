//! What would settle a claim that these runs have not settled: how many blocks, if they spread as those that there are.

use c10k_record::{ClaimNeeds, Verdict};

use super::block_values::BlockValues;
use super::decide::{Bounds, Tails};
use crate::stats::Interval;

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
    /// A machine that can run its cells.
    Machine,
    /// What failed, mended.
    Server,
    /// About so many blocks, to lie outside them. One such number refutes the claim, whatever the others need.
    Refuting(u32),
}

/// What the number of these blocks needs, of which `verdict` has been found at these `tails`. `run` blocks were run, for as many
/// as are valid.
pub(super) fn needs(verdict: Verdict, values: &BlockValues, bounds: Bounds, tails: Tails, run: u32) -> Needs {
    if verdict != Verdict::Inconclusive {
        return Needs::Nothing;
    }
    let valid = u32::try_from(values.per_block.len()).unwrap_or(MOST);
    if valid < 2 {
        return Needs::Valid;
    }
    let lie = |blocks, tail, test: fn(Bounds, Interval) -> bool| {
        values.expected(blocks, tail).is_some_and(|found| test(bounds, found))
    };
    let all_run = |blocks: u32| (blocks * run.max(valid)).div_ceil(valid);
    for blocks in candidates(valid + 1) {
        if lie(blocks, tails.confirm, Bounds::hold) {
            return Needs::Confirming(all_run(blocks));
        }
        if lie(blocks, tails.refute, Bounds::exclude) {
            return Needs::Refuting(all_run(blocks));
        }
    }
    Needs::TooMany
}

/// Numbers of blocks from `first` to [`MOST`], each at most a twentieth more than the one before. More blocks can be less
/// certain than fewer, because the ranks of order statistics are whole numbers.
fn candidates(first: u32) -> impl Iterator<Item = u32> {
    let next = |&blocks: &u32| Some(blocks + (blocks / 20).max(1));
    std::iter::successors(Some(first), next).take_while(|blocks| *blocks <= MOST)
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
        Needs::Machine => Some(ClaimNeeds::AnotherMachine),
        Needs::Server => Some(ClaimNeeds::WorkingServer),
    }
}

#[cfg(test)]
mod tests {
    use super::super::block_values::Counts;
    use super::*;
    use crate::statistic::{Form, Pick};
    use crate::stats::counts::{Counted, Law};

    fn open(form: Form, values: &[f64], (at_least, at_most): (Option<f64>, Option<f64>), run: u32) -> Needs {
        let values = BlockValues {
            form,
            per_block: values.to_vec(),
            counts: None,
        };
        let tails = Tails {
            confirm: 0.01,
            refute: 0.005,
        };
        needs(Verdict::Inconclusive, &values, Bounds { at_least, at_most }, tails, run)
    }

    #[test]
    fn the_nearer_the_bound_the_more_blocks() {
        let values = [0.9, 1.0, 1.1];
        let at_most = |bound| open(Form::Plain, &values, (None, Some(bound)), 3);
        // Deviation 0.1. The ends of seven blocks are the outermost values, about 1.36 deviations away; 2^-7 is below
        // 0.01, and 2^-8 below 0.005, where they are about 1.43 deviations away.
        assert_eq!(at_most(1.14), Needs::Confirming(7));
        assert_eq!(at_most(0.856), Needs::Refuting(8));
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
        let wide = open(Form::Factor, &values, (Some(0.25), Some(4.0)), 3);
        assert_eq!(wide, open(Form::Factor, &values, (None, Some(4.0)), 3));
        assert!(open(Form::Factor, &values, (Some(0.5), Some(4.0)), 3) > wide);
    }

    #[test]
    fn equal_blocks_need_as_many_as_are_exact_for_every_distribution() {
        assert_eq!(
            open(Form::Level, &[0.001; 5], (None, Some(0.002)), 5),
            Needs::Confirming(7)
        );
        assert_eq!(
            open(Form::Level, &[0.001; 5], (Some(0.002), None), 5),
            Needs::Refuting(8)
        );
    }

    #[test]
    fn blocks_that_are_not_valid_have_to_be_run_too() {
        let needed = |run| open(Form::Plain, &[0.9, 1.0, 1.1], (None, Some(1.14)), run);
        assert_eq!((needed(3), needed(6)), (Needs::Confirming(7), Needs::Confirming(14)));
    }

    #[test]
    fn no_number_of_blocks_without_an_event_proves_that_there_are_none() {
        let mut values = BlockValues {
            form: Form::Plain,
            per_block: vec![0.0; 3],
            counts: Some(Counts {
                law: Law::Rate,
                pick: Pick::Only,
                by_level: vec![Counted { events: 0.0, of: 3.0 }],
            }),
        };
        let tails = Tails {
            confirm: 0.05,
            refute: 0.05,
        };
        let at_most = |values: &BlockValues, bound| {
            let bounds = Bounds {
                at_least: None,
                at_most: Some(bound),
            };
            needs(Verdict::Inconclusive, values, bounds, tails, 3)
        };
        assert_eq!(at_most(&values, 0.0), Needs::TooMany);
        assert_eq!(at_most(&values, 0.5), Needs::Confirming(6), "3.0 in six blocks");
        values.counts = None;
        assert_eq!(at_most(&values, 0.0), Needs::Confirming(5), "2^-5 is below 0.05");
    }

    #[test]
    fn what_is_settled_needs_nothing_and_one_block_tells_nothing() {
        let one = BlockValues {
            form: Form::Plain,
            per_block: vec![1.0],
            counts: None,
        };
        let tails = Tails {
            confirm: 0.01,
            refute: 0.01,
        };
        let settled = needs(Verdict::Confirmed, &one, Bounds::default(), tails, 1);
        assert_eq!(settled, Needs::Nothing);
        assert_eq!(open(Form::Plain, &[1.0], (None, Some(2.0)), 1), Needs::Valid);
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
