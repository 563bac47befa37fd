//! The second instrument: the statistic of a claim from the instructions that the guest counted. It never changes a verdict that
//! the measured blocks give. Where noise leaves the claim open, and no measured interval contradicts the instructions, they
//! settle it, with a verdict of its own.

use c10k_record::{ClaimRecord, EstimateRecord, ExactRecord, ExactValue, Verdict};

use super::decide::Bounds;
use super::estimate::bounds;
use crate::experiment::ClaimSpec;
use crate::guest_tables;
use crate::statistic::{Form, Statistic, number};
use crate::stats::Interval;

/// The record of a claim with its numbers in instructions, where it names cells, and with the verdict that follows.
pub(super) fn join(claim: &ClaimSpec, statistic: &Statistic, mut record: ClaimRecord) -> ClaimRecord {
    record.exact = exact(claim, statistic, &record.estimates);
    if let Some(exact) = &record.exact
        && settles(&record, exact)
    {
        record.sentence = format!(
            "{}: {} by instructions ({})",
            record.sentence,
            exact.verdict.word(),
            range(statistic.form, &exact.values)
        );
        record.verdict = Verdict::SettledByInstructions;
    }
    record
}

fn exact(claim: &ClaimSpec, statistic: &Statistic, estimates: &[EstimateRecord]) -> Option<ExactRecord> {
    let spec = claim.exact.as_ref()?;
    // Every name was checked when the experiment was read.
    let table = guest_tables::find(spec.table.get_ref())?;
    let cost = |name: &str| Some(guest_tables::cell(table, name)?.instructions_per_work());
    let pairs = spec.cells.iter().flat_map(|(variant, pairs)| {
        pairs
            .iter()
            .map(move |pair| (variant.get_ref(), pair.get_ref().as_slice()))
    });
    let values: Option<Vec<ExactValue>> = pairs
        .map(|(variant, pair)| {
            let [from, to] = pair else { return None };
            let (from, to) = (from.get_ref(), to.get_ref());
            let value = statistic.of_pair(cost(from)?, cost(to)?)?;
            Some(ExactValue {
                variant: variant.clone(),
                from: from.clone(),
                to: to.clone(),
                value,
                is_within: is_within(variant, value, estimates),
                verdict: verdict(bounds(claim), value),
            })
        })
        .collect();
    let values = values?;
    let is_refuted = values.iter().any(|value| value.verdict == Verdict::Refuted);
    Some(ExactRecord {
        table: table.study.clone(),
        kernel: table.kernel.clone(),
        emulator: table.emulator.clone(),
        why: spec.why.get_ref().trim().to_owned(),
        verdict: if is_refuted {
            Verdict::Refuted
        } else {
            Verdict::Confirmed
        },
        values,
    })
}

/// The rule of [`super::decide`] for a number without an error: it lies within the bounds or it does not.
fn verdict(bounds: Bounds, value: f64) -> Verdict {
    let point = Interval {
        low: value,
        high: value,
    };
    if bounds.hold(point) {
        Verdict::Confirmed
    } else {
        Verdict::Refuted
    }
}

/// Whether all intervals that decided about the variant contain the value; `None` without an interval.
fn is_within(variant: &str, value: f64, estimates: &[EstimateRecord]) -> Option<bool> {
    let own = estimates.iter().filter(|estimate| estimate.variant == variant);
    let mut contained = own
        .filter_map(EstimateRecord::decided_by)
        .map(|interval| interval.contains(value))
        .peekable();
    contained.peek()?;
    Some(contained.all(|contained| contained))
}

/// Whether noise alone leaves the claim open here, and no interval excludes what the instructions say. A claim that could not be
/// measured, or of which a number has a single block, is not open because of noise. Where an interval excludes the instructions,
/// something else costs the time here.
fn settles(record: &ClaimRecord, exact: &ExactRecord) -> bool {
    let mut intervals = record.estimates.iter().map(EstimateRecord::decided_by).peekable();
    let is_noise = intervals.peek().is_some() && intervals.all(|interval| interval.is_some());
    let is_contradicted = exact.values.iter().any(|value| value.is_within == Some(false));
    record.verdict == Verdict::Inconclusive && is_noise && !is_contradicted
}

/// From the smallest number to the largest.
fn range(form: Form, values: &[ExactValue]) -> String {
    let numbers = || values.iter().map(|value| value.value);
    let ends = numbers().min_by(f64::total_cmp).zip(numbers().max_by(f64::total_cmp));
    let words = ends.map(|(low, high)| (number(form, "", low), number(form, "", high)));
    match words {
        None => String::new(),
        Some((low, high)) if low == high => low,
        Some((low, high)) => format!("{low} to {high}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Experiment, Source};
    use crate::statistic;
    use crate::testing;
    use c10k_record::DecidingInterval;

    // The claim `grows` of the test experiment says: at least 0.5.
    /// A rise of 0.2% of the mean.
    const FLAT: &str = r#"[["epoll-edge idle=10 active=1", "epoll-edge idle=5000 active=1"]]"#;
    /// 190.8% and 197.7%.
    const STEEP: &str = r#"[
        ["poll idle=100 active=1", "poll idle=5000 active=1"],
        ["poll idle=10 active=1", "poll idle=5000 active=1"],
    ]"#;
    const MIXED: &str = r#"[
        ["poll idle=10 active=1", "poll idle=5000 active=1"],
        ["epoll-edge idle=10 active=1", "epoll-edge idle=5000 active=1"],
    ]"#;

    fn claim(cells: &str) -> ClaimSpec {
        let last = "confirmed = \"It grew: {}.\"\n";
        let exact = format!("{last}[claim.exact]\ntable = \"vm/dispatch-cost\"\ncells.steep = {cells}\nwhy = \"W.\"\n");
        let text = testing::EXPERIMENT.replacen(last, &exact, 1);
        let source = Source {
            file: "t.toml".to_owned(),
            text,
        };
        let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
        experiment.claims[1].clone()
    }

    /// What the blocks found, with the interval that decided; without ends it bounds nothing.
    fn record(verdict: Verdict, interval: Option<(Option<f64>, Option<f64>)>) -> ClaimRecord {
        let decided = interval.map(|(low, high)| DecidingInterval {
            confidence: 0.95,
            low,
            high,
        });
        let mut record = testing::claim("grows", verdict);
        record.sentence = "steep grows (steep: +60.0%)".to_owned();
        let mut estimate = testing::estimate("steep", verdict);
        (estimate.confirms, estimate.refutes) = (decided, decided);
        record.estimates = vec![estimate];
        record
    }

    const WIDE: Option<(Option<f64>, Option<f64>)> = Some((Some(-3.0), Some(3.0)));

    fn joined(cells: &str, record: ClaimRecord) -> ClaimRecord {
        join(&claim(cells), statistic::find("change").expect("a statistic"), record)
    }

    /// Of the claim, in instructions, and what advice rests on.
    fn verdicts(cells: &str, record: ClaimRecord) -> (Verdict, Verdict, Verdict) {
        let found = joined(cells, record);
        let exact = found.exact.as_ref().expect("it has cells").verdict;
        (found.verdict, exact, found.conclusion())
    }

    #[test]
    fn only_what_noise_leaves_open_is_settled_and_what_the_blocks_say_stands() {
        use Verdict::{Confirmed, Inconclusive, NotMeasured, Refuted, SettledByInstructions};
        for (here, cells, verdict, exact, conclusion) in [
            (Confirmed, STEEP, Confirmed, Confirmed, Confirmed),
            (Confirmed, FLAT, Confirmed, Refuted, Confirmed),
            (Refuted, STEEP, Refuted, Confirmed, Refuted),
            (Refuted, FLAT, Refuted, Refuted, Refuted),
            (Inconclusive, STEEP, SettledByInstructions, Confirmed, Confirmed),
            (Inconclusive, FLAT, SettledByInstructions, Refuted, Refuted),
            (NotMeasured, STEEP, NotMeasured, Confirmed, NotMeasured),
        ] {
            let found = verdicts(cells, record(here, WIDE));
            assert_eq!(found, (verdict, exact, conclusion), "{here:?} with {cells}");
        }
        let unbounded = record(Inconclusive, Some((None, None)));
        assert_eq!(joined(STEEP, unbounded).verdict, SettledByInstructions);
    }

    #[test]
    fn a_claim_that_could_not_be_measured_is_not_settled() {
        let mut one_block = record(Verdict::Inconclusive, WIDE);
        one_block
            .estimates
            .push(testing::estimate("steep", Verdict::Inconclusive));
        let mut cannot_run = one_block.clone();
        cannot_run.estimates.clear();
        for lacking in [one_block, cannot_run] {
            let found = joined(STEEP, lacking.clone());
            assert_eq!((found.verdict, found.sentence), (lacking.verdict, lacking.sentence));
            assert_eq!(found.exact.map(|exact| exact.verdict), Some(Verdict::Confirmed));
        }
    }

    #[test]
    fn instructions_that_an_interval_excludes_settle_nothing() {
        for ((low, high), within, verdict) in [
            ((0.1, 1.97), [Some(true), Some(false)], Verdict::Inconclusive),
            ((0.1, 1.98), [Some(true); 2], Verdict::SettledByInstructions),
            ((0.1, 1.0), [Some(false); 2], Verdict::Inconclusive),
        ] {
            let found = joined(STEEP, record(Verdict::Inconclusive, Some((Some(low), Some(high)))));
            let values = found.exact.expect("it has cells").values;
            let found_within: Vec<Option<bool>> = values.iter().map(|value| value.is_within).collect();
            assert_eq!((found_within.as_slice(), found.verdict), (&within[..], verdict));
        }
    }

    #[test]
    fn one_number_outside_refutes_and_the_sentence_of_a_settled_claim_says_by_what() {
        let found = joined(MIXED, record(Verdict::Inconclusive, WIDE));
        let exact = found.exact.expect("it has cells");
        let verdicts: Vec<Verdict> = exact.values.iter().map(|value| value.verdict).collect();
        assert_eq!(verdicts, [Verdict::Confirmed, Verdict::Refuted]);
        assert_eq!(
            found.sentence,
            "steep grows (steep: +60.0%): refuted by instructions (-0.2% to +197.7%)"
        );
        assert_eq!((exact.table.as_str(), exact.why.as_str()), ("vm/dispatch-cost", "W."));
        assert!(!exact.kernel.is_empty() && !exact.emulator.is_empty());
    }

    #[test]
    fn a_claim_without_cells_is_left_as_it_is() {
        let experiment = testing::experiment();
        let open = record(Verdict::Inconclusive, WIDE);
        let statistic = statistic::find("change").expect("a statistic");
        assert_eq!(join(&experiment.claims[1], statistic, open.clone()), open);
    }
}
