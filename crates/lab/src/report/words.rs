//! The numbers of claims as text for people.

use c10k_record::{
    AdviceGround, AdviceRecord, CellCounts, CheapestRecord, ClaimNeeds, ClaimRecord, ClaimTest, DecidingInterval,
    DiskFacts, EstimateRecord, StudyRecord, Verdict,
};

use c10k_units::display;

use super::exact;
use crate::statistic::{Form, number};
use crate::{measure, statistic};

/// A verdict as people read it.
pub(super) fn verdict(verdict: Verdict) -> String {
    verdict.word().replace('-', " ")
}

/// The verdict of a claim as people read it; where instructions settled it, with what they say.
pub(super) fn verdict_of(claim: &ClaimRecord) -> String {
    match claim.verdict {
        Verdict::SettledByInstructions => format!("{}: {}", verdict(claim.verdict), claim.conclusion().word()),
        other => verdict(other),
    }
}

/// How the runs of cells ended.
pub(crate) fn cells(cells: CellCounts) -> String {
    let mut words = format!(
        "{} measured, {} invalid, {} skipped",
        cells.measured, cells.invalid, cells.skipped
    );
    if cells.failed > 0 {
        words.push_str(&format!(", {} failed", cells.failed));
    }
    words
}

/// A disk: its file system, and how fast it was.
pub(super) fn disk(disk: &DiskFacts) -> String {
    let file_system = disk.file_system.as_deref().unwrap_or("unknown file system");
    let time = |key: &str| {
        let us = disk.speed.values.get(key)?;
        Some(display::seconds(us / 1e6))
    };
    let times = |name: &str, median: &str, p99: &str| {
        let (median, p99) = time(median).zip(time(p99))?;
        Some(format!("{name} takes {median} (99th percentile {p99})"))
    };
    let read = times("a read of 4 KiB from it", "cold_read_p50_us", "cold_read_p99_us");
    let append = times("an append with fdatasync", "append_p50_us", "append_p99_us");
    let none = || "no read is from the disk: what is dropped from the page cache stays in memory".to_owned();
    let parts = [Some(file_system.to_owned()), read.or_else(|| Some(none())), append];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Which variants failed, and why; `None` where none did.
pub(super) fn failures(study: &StudyRecord) -> Option<String> {
    let each = study.failures.iter();
    let words: Vec<String> = each
        .map(|failure| format!("{}: {}", failure.variant, failure.reason))
        .collect();
    (!words.is_empty()).then(|| format!("Failed: {}.", words.join("; ").trim_end_matches('.')))
}

/// How many claims were not measured.
pub(super) fn not_measured(claims: usize) -> String {
    match claims {
        1 => "1 claim was not measured".to_owned(),
        _ => format!("{claims} claims were not measured"),
    }
}

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
    interval_of(claim.test.form, &estimate.unit, estimate.low.zip(estimate.high))
}

/// An interval from its two ends.
pub(super) fn interval_of(form: Form, unit: &str, ends: Option<(f64, f64)>) -> String {
    let write = |value| number(form, unit, value);
    match ends {
        Some((low, high)) => format!("{} … {}", write(low), write(high)),
        None => "no interval".to_owned(),
    }
}

/// The interval that decided about an estimate, with its confidence: that which refutes where it was refuted, and else that which
/// confirms; `none` with fewer than two valid blocks.
pub(super) fn deciding(claim: &ClaimRecord, estimate: &EstimateRecord) -> String {
    let write = |end| number(claim.test.form, &estimate.unit, end);
    let Some(DecidingInterval { confidence, low, high }) = estimate.decided_by() else {
        return "none".to_owned();
    };
    let percent = format!("{:.2}", 100.0 * confidence);
    let percent = percent.trim_end_matches('0').trim_end_matches('.');
    match low.zip(high) {
        None => format!("unbounded ({percent}%)"),
        Some((low, high)) => format!("{} … {} ({percent}%)", write(low), write(high)),
    }
}

/// What an estimate is without its adjustment to equal speeds of the CPU, and what that rests on; `None` without one.
pub(super) fn speed(claim: &ClaimRecord, estimate: &EstimateRecord) -> Option<String> {
    let speed = estimate.speed.as_ref()?;
    let form = claim.test.form;
    let write = |value| number(form, &estimate.unit, value);
    let speeds = format!(
        "the speeds of the CPU have the ratio {} ({})",
        number(Form::Factor, "", speed.speeds),
        interval_of(Form::Factor, "", speed.speeds_low.zip(speed.speeds_high))
    );
    Some(match speed.is_adjusted {
        true => format!(
            "{}: adjusted to equal speeds of the CPU, with a slope of {:.2}; as measured {} ({}); {speeds}",
            estimate.of,
            speed.slope,
            write(speed.plain),
            interval_of(form, &estimate.unit, speed.plain_low.zip(speed.plain_high)),
        ),
        false => format!(
            "{}: not adjusted to equal speeds of the CPU, because they differ by more than chance: {speeds}",
            estimate.of
        ),
    })
}

/// What the comparison with the cheapest is.
pub(super) fn compared(compared: &CheapestRecord) -> String {
    let place = match compared.at.as_str() {
        "" => String::new(),
        at => format!(" at {at}"),
    };
    let apart = match compared.floor_percent {
        Some(floor) => format!("beyond the noise floor of {floor:.1}%"),
        None => "above 1 (this study has no noise floor in this measure)".to_owned(),
    };
    format!(
        "CPU per request{place}: the median over the blocks, and the ratio to the first row in the same block (median and \
         interval). The intervals of all pairs together hold with 95% confidence (Bonferroni), so that it does not matter \
         that the first row was chosen by the same blocks. A variant is distinguished from the first if the whole interval lies \
         {apart}. The others may cost the same as the first."
    )
}

/// The line about what would settle a claim, or about when an early look settled it; `None` where nothing is to be said.
pub(super) fn remark(claim: &ClaimRecord) -> Option<String> {
    if let Some(blocks) = claim.settled_after {
        return Some(format!("Settled after {blocks} blocks, before the end of the study"));
    }
    let place = match claim.verdict {
        Verdict::SettledByInstructions => " here",
        _ => "",
    };
    settles(claim).map(|settles| format!("What would settle it{place}: {settles}"))
}

/// What would settle a claim, and on how few blocks that rests; `None` for one that is settled here.
fn settles(claim: &ClaimRecord) -> Option<String> {
    /// With fewer blocks than this, how far blocks spread is hardly known.
    const FEW: usize = 4;
    let words = needs(claim.needs?);
    let fewest = claim
        .estimates
        .iter()
        .map(|estimate| estimate.blocks)
        .min()
        .unwrap_or_default();
    match claim.needs? {
        ClaimNeeds::Blocks { .. } | ClaimNeeds::TooManyBlocks { .. } if fewest < FEW => {
            Some(format!("{words}. {fewest} blocks allow only a guess"))
        }
        _ => Some(words),
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
            format!("a new study of about {blocks} blocks ({how}), if its blocks vary like these")
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
        ClaimNeeds::WorkingServer => "what failed, mended; the list of cells says why it failed".to_owned(),
        ClaimNeeds::WholeStudy => "a run without --only, which excluded cells that it looks at".to_owned(),
    }
}

/// What was tested of a claim that advice rests on, with "not" if it was refuted.
pub(super) fn ground(claim: &ClaimRecord) -> String {
    let not = if claim.conclusion() == Verdict::Refuted {
        "not "
    } else {
        ""
    };
    format!("{not}{}", test(&claim.test))
}

/// The numbers of a claim that advice rests on, one text for each; those in instructions where they settled it.
pub(super) fn numbers(claim: &ClaimRecord) -> Vec<String> {
    let estimates = claim.estimates.iter().map(|estimate| {
        format!(
            "{}: {} ({})",
            estimate.of,
            value(claim, estimate),
            interval(claim, estimate)
        )
    });
    let exact = claim.exact.iter();
    let settling = exact
        .filter(|_| claim.verdict == Verdict::SettledByInstructions)
        .map(|exact| {
            format!(
                "settled by instructions ({}): {}",
                exact.table,
                exact::numbers(claim, exact)
            )
        });
    estimates.chain(settling).collect()
}

/// Why advice is not given; `None` if it is given.
pub(super) fn withheld(study: &StudyRecord, advice: &AdviceRecord) -> Option<String> {
    let claim = study.claim(advice.withheld_by.as_deref()?)?;
    let verdict = match claim.verdict {
        Verdict::SettledByInstructions => format!("{} by instructions", claim.conclusion().word()),
        other => format!("{} here", verdict(other)),
    };
    Some(format!("\"{}\" is {verdict}", claim.text))
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
    use c10k_record::SpeedRecord;

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

    fn estimate(blocks: usize) -> EstimateRecord {
        let mut estimate = testing::estimate("flat", Verdict::Inconclusive);
        estimate.blocks = blocks;
        estimate
    }

    #[test]
    fn what_was_not_measured_is_none() {
        let claim = testing::claim("flat", Verdict::Inconclusive);
        let mut estimate = estimate(1);
        assert_eq!(
            (value(&claim, &estimate).as_str(), interval(&claim, &estimate).as_str()),
            ("+5.0%", "no interval")
        );
        (estimate.low, estimate.high) = (Some(-0.5), Some(0.6));
        assert_eq!(interval(&claim, &estimate), "-50.0% … +60.0%");
    }

    #[test]
    fn an_adjusted_number_says_what_was_measured_and_one_that_is_not_says_why() {
        let mut claim = testing::claim("flat", Verdict::Inconclusive);
        claim.test.form = Form::Factor;
        let mut estimate = estimate(12);
        assert_eq!(speed(&claim, &estimate), None);
        let found = SpeedRecord {
            is_adjusted: true,
            plain: 1.02,
            plain_low: Some(0.9),
            plain_high: Some(1.2),
            slope: -0.61,
            speeds: 0.98,
            speeds_low: Some(0.8),
            speeds_high: Some(1.1),
        };
        estimate.speed = Some(found);
        assert_eq!(
            speed(&claim, &estimate).as_deref(),
            Some(
                "flat: adjusted to equal speeds of the CPU, with a slope of -0.61; as measured 1.02× (0.9× … 1.2×); the speeds of \
                 the CPU have the ratio 0.98× (0.8× … 1.1×)"
            )
        );
        estimate.speed = Some(SpeedRecord {
            is_adjusted: false,
            ..found
        });
        let words = speed(&claim, &estimate).expect("there are speeds");
        assert!(
            words.contains("not adjusted") && words.ends_with("0.98× (0.8× … 1.1×)"),
            "{words}"
        );
    }

    #[test]
    fn the_interval_that_decided_follows_from_the_verdict() {
        let claim = testing::claim("flat", Verdict::Inconclusive);
        let mut estimate = estimate(1);
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
    fn what_rests_on_few_blocks_is_called_a_guess() {
        let mut claim = testing::claim("flat", Verdict::Inconclusive);
        assert_eq!(settles(&claim), None);
        claim.needs = Some(ClaimNeeds::Blocks {
            blocks: 12,
            call_passes: false,
        });
        let guessed = |claim: &ClaimRecord| settles(claim).is_some_and(|words| words.contains("a guess"));
        claim.estimates = vec![estimate(2), estimate(9)];
        assert!(guessed(&claim), "{:?}", settles(&claim));
        claim.estimates = vec![estimate(9)];
        assert!(!guessed(&claim), "{:?}", settles(&claim));
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

    #[test]
    fn a_claim_that_instructions_settle_says_so_wherever_it_is_named() {
        let mut claim = testing::settled("flat", Verdict::Refuted);
        assert_eq!(verdict_of(&claim), "settled by instructions: refuted");
        assert!(ground(&claim).starts_with("not "));
        let mut study = testing::study(vec![claim.clone()]);
        study.advice = vec![AdviceRecord {
            when: "it idles".to_owned(),
            take: "flat".to_owned(),
            because: Vec::new(),
            withheld_by: Some("flat".to_owned()),
            by_instructions: Vec::new(),
        }];
        assert_eq!(
            withheld(&study, &study.advice[0]).as_deref(),
            Some("\"the claim flat\" is refuted by instructions")
        );
        assert_eq!(
            numbers(&claim),
            ["settled by instructions (vm/dispatch-cost): flat: +0.2%"]
        );
        claim.needs = Some(ClaimNeeds::ValidBlocks);
        assert!(remark(&claim).is_some_and(|words| words.starts_with("What would settle it here: ")));
        claim.verdict = Verdict::Inconclusive;
        assert_eq!(verdict_of(&claim), "inconclusive");
        assert!(remark(&claim).is_some_and(|words| words.starts_with("What would settle it: ")));
        claim.settled_after = Some(6);
        assert_eq!(
            remark(&claim).as_deref(),
            Some("Settled after 6 blocks, before the end of the study")
        );
        assert!(numbers(&claim).is_empty());
    }
}
