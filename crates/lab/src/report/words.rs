//! The numbers of claims as text for people.

use c10k_record::{
    AdviceGround, AdviceRecord, ClaimNeeds, ClaimRecord, ClaimTest, DecidingInterval, EstimateRecord, StudyRecord,
    Verdict,
};

use crate::statistic::number;
use crate::{measure, statistic};

/// The test of a claim: its measure, its statistic and its bounds.
pub(super) fn test(test: &ClaimTest) -> String {
    let write = |value: f64| number(test.form, &test.unit, value);
    let mut words = measure::find(&test.measure).map_or_else(|| test.measure.clone(), |row| row.label.to_owned());
    let reads = statistic::find(&test.statistic).map_or("", |row| row.reads);
    if !reads.is_empty() {
        words.push_str(&format!(", {reads}"));
    }
    if let Some(along) = &test.along {
        words.push_str(&format!(" along {along}"));
    }
    if let Some(against) = &test.against {
        words.push_str(&format!(" against {against}"));
    }
    let bounds = match (test.at_least, test.at_most) {
        (Some(low), Some(high)) => format!(": between {} and {}", write(low), write(high)),
        (Some(low), None) => format!(": at least {}", write(low)),
        (None, Some(high)) => format!(": at most {}", write(high)),
        (None, None) => String::new(),
    };
    words + &bounds
}

/// The median of an estimate; `none` without a valid block.
pub(super) fn value(claim: &ClaimRecord, estimate: &EstimateRecord) -> String {
    let write = |value| number(claim.test.form, &estimate.unit, value);
    estimate.value.map_or_else(|| "none".to_owned(), write)
}

/// The interval of an estimate; `none` with fewer than two valid blocks.
pub(super) fn interval(claim: &ClaimRecord, estimate: &EstimateRecord) -> String {
    let write = |value| number(claim.test.form, &estimate.unit, value);
    match estimate.low.zip(estimate.high) {
        Some((low, high)) => format!("{} … {}", write(low), write(high)),
        None => "none".to_owned(),
    }
}

/// The interval that decided about an estimate, with its confidence: that which refutes where it was refuted, and else that which
/// confirms; `none` with fewer than two valid blocks.
pub(super) fn deciding(claim: &ClaimRecord, estimate: &EstimateRecord) -> String {
    let write = |end| number(claim.test.form, &estimate.unit, end);
    let decided = match estimate.verdict {
        Verdict::Refuted => estimate.refutes,
        Verdict::Confirmed | Verdict::Inconclusive => estimate.confirms,
    };
    let Some(DecidingInterval { confidence, low, high }) = decided else {
        return "none".to_owned();
    };
    let percent = format!("{:.2}", 100.0 * confidence);
    let percent = percent.trim_end_matches('0').trim_end_matches('.');
    match low.zip(high) {
        None => format!("unbounded ({percent}%)"),
        Some((low, high)) => format!("{} … {} ({percent}%)", write(low), write(high)),
    }
}

/// What would settle a claim.
pub(super) fn needs(needs: ClaimNeeds) -> String {
    match needs {
        ClaimNeeds::Blocks { blocks, call_passes } => {
            let how = if call_passes {
                format!("call-passes = {blocks} and --repeats {blocks}")
            } else {
                format!("--repeats {blocks}")
            };
            format!("about {blocks} blocks, if further blocks vary like these ({how})")
        }
        ClaimNeeds::TooManyBlocks { over } => {
            format!("more than {over} blocks, if further blocks vary like these: a value is too close to its bound")
        }
        ClaimNeeds::ValidBlocks => {
            "at least two valid blocks of every cell that it uses; the list of cells says why they are missing"
                .to_owned()
        }
        ClaimNeeds::AnotherMachine => {
            "a machine where it can run; the list of cells says why it cannot run here".to_owned()
        }
    }
}

/// What was tested of a claim that advice rests on, with "not" if it was refuted.
pub(super) fn ground(claim: &ClaimRecord) -> String {
    let not = if claim.verdict == Verdict::Refuted { "not " } else { "" };
    format!("{not}{}", test(&claim.test))
}

/// The numbers of a claim that advice rests on, one text for each.
pub(super) fn numbers(claim: &ClaimRecord) -> Vec<String> {
    let estimates = claim.estimates.iter();
    estimates
        .map(|estimate| {
            format!(
                "{}: {} ({})",
                estimate.of,
                value(claim, estimate),
                interval(claim, estimate)
            )
        })
        .collect()
}

/// Why advice is not given; `None` if it is given.
pub(super) fn withheld(study: &StudyRecord, advice: &AdviceRecord) -> Option<String> {
    let claim = study.claim(advice.withheld_by.as_deref()?)?;
    Some(format!("\"{}\" is {} here", claim.text, claim.verdict.word()))
}

/// The claims that advice rests on.
pub(super) fn grounds<'a>(
    study: &'a StudyRecord,
    because: &'a [AdviceGround],
) -> impl Iterator<Item = &'a ClaimRecord> {
    because.iter().filter_map(|ground| study.claim(&ground.claim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_test_is_its_measure_its_statistic_and_its_bounds() {
        let mut claim = testing::claim("flat", Verdict::Refuted);
        let words = "CPU per request, change over the range along idle: at most +10.0%";
        assert_eq!(test(&claim.test), words);
        assert_eq!(ground(&claim), format!("not {words}"));
        claim.test.at_least = Some(-0.1);
        claim.test.against = Some("steep".to_owned());
        assert!(test(&claim.test).ends_with(" against steep: between -10.0% and +10.0%"));
    }

    fn estimate() -> EstimateRecord {
        EstimateRecord {
            of: "flat".to_owned(),
            variant: "flat".to_owned(),
            levels: [].into(),
            value: Some(0.05),
            low: None,
            high: None,
            unit: String::new(),
            confidence: 0.95,
            confirms: None,
            refutes: None,
            blocks: 1,
            verdict: Verdict::Inconclusive,
        }
    }

    #[test]
    fn what_was_not_measured_is_none() {
        let claim = testing::claim("flat", Verdict::Inconclusive);
        let mut estimate = estimate();
        assert_eq!(
            (value(&claim, &estimate).as_str(), interval(&claim, &estimate).as_str()),
            ("+5.0%", "none")
        );
        (estimate.low, estimate.high) = (Some(-0.5), Some(0.6));
        assert_eq!(interval(&claim, &estimate), "-50.0% … +60.0%");
    }

    #[test]
    fn the_interval_that_decided_follows_from_the_verdict() {
        let claim = testing::claim("flat", Verdict::Inconclusive);
        let mut estimate = estimate();
        assert_eq!(deciding(&claim, &estimate), "none");
        let interval = |confidence, low, high| Some(DecidingInterval { confidence, low, high });
        estimate.confirms = interval(0.98, Some(-0.5), Some(0.6));
        estimate.refutes = interval(0.995, Some(-0.7), Some(0.8));
        assert_eq!(deciding(&claim, &estimate), "-50.0% … +60.0% (98%)");
        estimate.verdict = Verdict::Refuted;
        assert_eq!(deciding(&claim, &estimate), "-70.0% … +80.0% (99.5%)");
        estimate.refutes = interval(0.995, None, None);
        assert_eq!(deciding(&claim, &estimate), "unbounded (99.5%)");
    }

    #[test]
    fn what_would_settle_a_claim_names_the_flags() {
        let blocks = |call_passes| ClaimNeeds::Blocks {
            blocks: 12,
            call_passes,
        };
        assert!(needs(blocks(false)).contains("about 12 blocks") && needs(blocks(false)).contains("(--repeats 12)"));
        assert!(needs(blocks(true)).contains("call-passes = 12 and --repeats 12"));
        assert!(needs(ClaimNeeds::TooManyBlocks { over: 1000 }).contains("more than 1000 blocks"));
        assert!(needs(ClaimNeeds::ValidBlocks).contains("two valid blocks"));
    }
}
