//! The rule: from the numbers of all claims of a study to their verdicts.
//!
//! A claim says that every one of its numbers lies within its bounds. It is *confirmed* if the interval of each number lies
//! within them (an intersection-union test: if the claim is wrong, one number lies outside, and its interval alone decides).
//! It is *refuted* if the interval of at least one number lies outside, which has as many chances to be wrong as there are
//! numbers and bounds. The claims share the error of the study; what settled claims have used no more is left to the others
//! (Holm).

use c10k_record::Verdict;

use super::block_values::BlockValues;
use crate::stats::Interval;

/// The chance that any verdict of a study is wrong, at most.
pub(super) const FAMILY_ERROR: f64 = 0.05;

/// Between what the numbers of a claim have to lie.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) at_least: Option<f64>,
    pub(super) at_most: Option<f64>,
}

/// What is asked about a claim.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) bounds: Bounds,
    pub(super) numbers: Vec<&'a BlockValues>,
}

/// The chances of an error, on one side, at which the numbers of a claim were looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tails {
    pub(super) confirm: f64,
    pub(super) refute: f64,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) tails: Tails,
    /// Of each number alone.
    pub(super) verdicts: Vec<Verdict>,
    /// Of the claim.
    pub(super) verdict: Verdict,
}

impl Bounds {
    pub(super) fn hold(self, Interval { low, high }: Interval) -> bool {
        self.at_least.is_none_or(|bound| low >= bound) && self.at_most.is_none_or(|bound| high <= bound)
    }

    pub(super) fn exclude(self, Interval { low, high }: Interval) -> bool {
        self.at_least.is_some_and(|bound| high < bound) || self.at_most.is_some_and(|bound| low > bound)
    }

    fn sides(self) -> usize {
        usize::from(self.at_least.is_some()) + usize::from(self.at_most.is_some())
    }
}

/// The share of the error that each of so many claims has; the control counts as one.
pub(super) fn share(error: f64, claims: usize) -> f64 {
    error / claims.max(1) as f64
}

/// Decides all claims of a study, of which any verdict is wrong with a chance of at most `error`. `others`: what shares the
/// error with them, which is the control.
pub(super) fn decide(questions: &[Question], others: usize, error: f64) -> Vec<Decision> {
    let can_be_decided = questions.iter().filter(|question| !question.numbers.is_empty());
    let mut left = can_be_decided.count() + others;
    let mut decisions: Vec<Decision> = questions
        .iter()
        .map(|question| question.at(share(error, left)))
        .collect();
    loop {
        let is_open = |(question, decision): &(&Question, &Decision)| {
            !question.numbers.is_empty() && decision.verdict == Verdict::Inconclusive
        };
        let open = questions.iter().zip(&decisions).filter(is_open).count();
        if open == 0 || open + others == left {
            return decisions;
        }
        left = open + others;
        for (question, decision) in questions.iter().zip(&mut decisions) {
            if decision.verdict == Verdict::Inconclusive {
                *decision = question.at(share(error, left));
            }
        }
    }
}

impl Question<'_> {
    /// What comes of it with this share of the error.
    fn at(&self, share: f64) -> Decision {
        let chances = self.numbers.len().max(1) * self.bounds.sides().max(1);
        let tails = Tails {
            confirm: share,
            refute: share / chances as f64,
        };
        let verdicts: Vec<Verdict> = self.numbers.iter().map(|number| self.of(number, tails)).collect();
        let verdict = match () {
            () if verdicts.contains(&Verdict::Refuted) => Verdict::Refuted,
            () if verdicts.is_empty() || verdicts.contains(&Verdict::Inconclusive) => Verdict::Inconclusive,
            () => Verdict::Confirmed,
        };
        Decision {
            tails,
            verdicts,
            verdict,
        }
    }

    fn of(&self, number: &BlockValues, tails: Tails) -> Verdict {
        let lies = |tail, test: fn(Bounds, Interval) -> bool| {
            number.deciding(tail).is_some_and(|found| test(self.bounds, found))
        };
        if lies(tails.confirm, Bounds::hold) {
            Verdict::Confirmed
        } else if lies(tails.refute, Bounds::exclude) {
            Verdict::Refuted
        } else {
            Verdict::Inconclusive
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistic::Form;

    const AT_MOST_1: Bounds = Bounds {
        at_least: None,
        at_most: Some(1.0),
    };

    /// Seven blocks around this value, up to 0.1 away.
    fn around(value: f64) -> BlockValues {
        BlockValues {
            form: Form::Plain,
            per_block: [-0.1, -0.06, -0.02, 0.0, 0.03, 0.07, 0.1].map(|off| value + off).into(),
            counts: None,
        }
    }

    fn verdicts(numbers: &[&[&BlockValues]], others: usize, error: f64) -> Vec<Verdict> {
        let questions: Vec<Question> = numbers
            .iter()
            .map(|numbers| Question {
                bounds: AT_MOST_1,
                numbers: numbers.to_vec(),
            })
            .collect();
        decide(&questions, others, error)
            .iter()
            .map(|decision| decision.verdict)
            .collect()
    }

    #[test]
    fn confirming_needs_every_number_at_the_claims_share_and_refuting_one_at_a_part_of_it() {
        let (inside, outside, open) = (around(0.5), around(1.5), around(1.0));
        // 2^-7 = 0.0078: one claim of five may use 0.01, each of its two numbers 0.005 to refute it.
        let alone = |numbers: &[&BlockValues]| verdicts(&[numbers], 4, 0.05)[0];
        assert_eq!(alone(&[&inside, &inside]), Verdict::Confirmed);
        assert_eq!(alone(&[&inside, &open]), Verdict::Inconclusive);
        assert_eq!(alone(&[&inside, &outside]), Verdict::Refuted);
        let near = around(1.101);
        assert_eq!(
            alone(&[&near]),
            Verdict::Refuted,
            "all seven values lie above the bound"
        );
        assert_eq!(
            alone(&[&near, &near]),
            Verdict::Inconclusive,
            "for two numbers they are too few"
        );
        assert_eq!(alone(&[]), Verdict::Inconclusive);
    }

    #[test]
    fn claims_that_are_settled_leave_their_share_to_the_others() {
        let (clear, near) = (around(0.1), around(0.899));
        // A sixth of the error is 0.0083, enough for seven values below the bound; a seventh is 0.0071, too little.
        let near: &[&BlockValues] = &[&near];
        let seven = vec![near; 7];
        assert_eq!(verdicts(&seven, 0, 0.05), [Verdict::Inconclusive; 7]);
        let clear: &[&BlockValues] = &[&clear];
        let one_is_clear = [&seven[..6], &[clear]].concat();
        assert_eq!(verdicts(&one_is_clear, 0, 0.05), [Verdict::Confirmed; 7]);
        assert_eq!(
            verdicts(&one_is_clear, 1, 0.05)[0],
            Verdict::Inconclusive,
            "the control keeps its share"
        );
    }

    #[test]
    fn a_claim_that_cannot_run_here_takes_no_share() {
        let near = around(0.899);
        let near: &[&BlockValues] = &[&near];
        let six = [near; 6];
        let absent: &[&BlockValues] = &[];
        assert_eq!(
            verdicts(&[&six[..], &[absent]].concat(), 0, 0.05)[..6],
            [Verdict::Confirmed; 6]
        );
    }
}
