//! The numbers of a claim in instructions as text for people.

use std::collections::BTreeSet;

use c10k_record::{AdviceRecord, ClaimRecord, EstimateRecord, ExactRecord, ExactValue, Verdict};

use crate::statistic::number;

/// Where the instructions were counted.
pub(super) fn counted_in(exact: &ExactRecord) -> String {
    format!("{}, Linux {}, emulator {}", exact.table, exact.kernel, exact.emulator)
}

/// The numbers of a variant, equal ones once; `none` without one.
pub(super) fn of_variant(claim: &ClaimRecord, exact: &ExactRecord, variant: &str) -> String {
    let own = exact.values.iter().filter(|value| value.variant == variant);
    let mut numbers: Vec<String> = own.map(|value| write(claim, value)).collect();
    numbers.dedup();
    match numbers.as_slice() {
        [] => "none".to_owned(),
        all => all.join(", "),
    }
}

/// All numbers, by variant.
pub(super) fn numbers(claim: &ClaimRecord, exact: &ExactRecord) -> String {
    let variants: BTreeSet<&str> = exact.values.iter().map(|value| value.variant.as_str()).collect();
    let words: Vec<String> = variants
        .into_iter()
        .map(|variant| format!("{variant}: {}", of_variant(claim, exact, variant)))
        .collect();
    words.join("; ")
}

/// Each number with its two cells.
pub(super) fn cells(claim: &ClaimRecord, exact: &ExactRecord) -> Vec<String> {
    let values = exact.values.iter();
    values
        .map(|value| format!("{} ({} → {})", write(claim, value), value.from, value.to))
        .collect()
}

/// Where the instructions disagree with what was measured here, as one sentence; `None` where they agree.
pub(super) fn disagreement(claim: &ClaimRecord) -> Option<String> {
    let exact = claim.exact.as_ref()?;
    let is_opposite = matches!(
        (claim.verdict, exact.verdict),
        (Verdict::Confirmed, Verdict::Refuted) | (Verdict::Refuted, Verdict::Confirmed)
    );
    let verdicts = is_opposite.then(|| {
        let (here, there) = (claim.verdict.word(), exact.verdict.word());
        format!("The verdicts disagree: {here} here, {there} in instructions")
    });
    let sentences: Vec<String> = verdicts.into_iter().chain(outside(claim, exact)).collect();
    (!sentences.is_empty()).then(|| sentences.join(". "))
}

/// The first number that a measured interval excludes, and how many more there are.
fn outside(claim: &ClaimRecord, exact: &ExactRecord) -> Option<String> {
    let outside: Vec<&ExactValue> = exact
        .values
        .iter()
        .filter(|value| value.is_within == Some(false))
        .collect();
    let first = *outside.first()?;
    let (of, low, high) = claim.estimates.iter().find_map(|estimate| excluding(estimate, first))?;
    let write = |value| number(claim.test.form, "", value);
    let more = match outside.len() {
        1 => String::new(),
        2 => ", and one more is outside".to_owned(),
        count => format!(", and {} more are outside", count - 1),
    };
    let unsettled = match claim.verdict {
        Verdict::Inconclusive => "; so instructions do not settle the claim",
        _ => "",
    };
    Some(format!(
        "The numbers disagree: {} in instructions is outside the interval that was measured here ({of}: {} … {}){more}{unsettled}",
        write(first.value),
        write(low),
        write(high)
    ))
}

/// The interval of an estimate of the same variant, if it excludes the number.
fn excluding<'e>(estimate: &'e EstimateRecord, exact: &ExactValue) -> Option<(&'e str, f64, f64)> {
    let interval = estimate.decided_by().filter(|_| estimate.variant == exact.variant)?;
    let (low, high) = interval.low.zip(interval.high)?;
    (!interval.contains(exact.value)).then_some((estimate.of.as_str(), low, high))
}

/// On which claims that are settled by instructions advice rests; `None` where all were settled here.
pub(crate) fn by_instructions(advice: &AdviceRecord) -> Option<String> {
    match advice.by_instructions.as_slice() {
        [] => None,
        claims => Some(format!(
            "This rests on instructions that the guest counted and not on these runs: {}",
            claims.join(", ")
        )),
    }
}

fn write(claim: &ClaimRecord, value: &ExactValue) -> String {
    number(claim.test.form, "", value.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use c10k_record::DecidingInterval;

    /// A claim with this verdict here and in instructions, and an interval that decided.
    fn claim(here: Verdict, exact: Verdict, (low, high): (f64, f64)) -> ClaimRecord {
        let mut claim = testing::settled("flat", exact);
        claim.verdict = here;
        let decided = Some(DecidingInterval {
            confidence: 0.95,
            low: Some(low),
            high: Some(high),
        });
        let mut estimate = testing::estimate("flat", here);
        (estimate.confirms, estimate.refutes) = (decided, decided);
        let values = &mut claim.exact.as_mut().expect("it has cells").values;
        values[0].is_within = estimate.decided_by().map(|interval| interval.contains(values[0].value));
        claim.estimates = vec![estimate];
        claim
    }

    #[test]
    fn the_numbers_stand_by_variant_and_with_their_cells() {
        let claim = testing::settled("flat", Verdict::Confirmed);
        let exact = claim.exact.as_ref().expect("it has cells");
        assert_eq!(numbers(&claim, exact), "flat: +0.2%");
        assert_eq!(
            (of_variant(&claim, exact, "flat"), of_variant(&claim, exact, "steep")),
            ("+0.2%".to_owned(), "none".to_owned())
        );
        assert_eq!(
            cells(&claim, exact),
            ["+0.2% (epoll-level idle=10 active=1 → epoll-level idle=20 active=1)"]
        );
        assert_eq!(counted_in(exact), "vm/dispatch-cost, Linux 6.1.0, emulator 7.2");
    }

    #[test]
    fn one_sentence_says_where_the_two_disagree() {
        use Verdict::{Confirmed, Inconclusive, Refuted, SettledByInstructions};
        let agreeing = [
            (Confirmed, Confirmed),
            (Refuted, Refuted),
            (SettledByInstructions, Confirmed),
            (Inconclusive, Refuted),
        ];
        for (here, exact) in agreeing {
            assert_eq!(
                disagreement(&claim(here, exact, (-0.1, 0.1))),
                None,
                "{here:?} {exact:?}"
            );
        }
        let words = |here, exact, interval| disagreement(&claim(here, exact, interval)).expect("they disagree");
        assert_eq!(
            words(Confirmed, Refuted, (-0.1, 0.1)),
            "The verdicts disagree: confirmed here, refuted in instructions"
        );
        assert_eq!(
            words(Confirmed, Confirmed, (-0.1, 0.001)),
            "The numbers disagree: +0.2% in instructions is outside the interval that was measured here (flat: -10.0% … +0.1%)"
        );
        assert!(words(Inconclusive, Confirmed, (0.01, 0.2)).ends_with("; so instructions do not settle the claim"));
        let both = words(Refuted, Confirmed, (0.2, 0.4));
        assert!(
            both.starts_with("The verdicts disagree: refuted here, confirmed in instructions. The numbers disagree: "),
            "{both}"
        );
    }
}
