//! Verdicts on records with a known truth.

use c10k_record::CellStatus;

use super::*;
use crate::experiment::{Experiment, Source};
use crate::plan::{Choices, Unavailable};
use crate::testing;

/// Records of the test experiment: `flat` uses 10% of a CPU everywhere, `steep` 10% and then `steep_last`; every block
/// is off by a factor of its own, common to all cells, as a slow hour would make it.
fn records(plan: &Plan, blocks: u32, steep_last: f64, noise: f64) -> Vec<CellRecord> {
    let mut records = Vec::new();
    for block in 0..blocks {
        for cell in &plan.cells {
            let common = 1.0 + 0.3 * f64::from(block);
            let phase = block * 7 + cell.variant as u32 * 3 + cell.levels[0] as u32 * (1 + block / 3);
            let wobble = 1.0 + noise * (f64::from(phase % 5) - 2.0) / 2.0;
            let share = match (plan.variants[cell.variant].name.as_str(), cell.levels[0]) {
                ("steep", 1) => steep_last,
                _ => 0.1,
            };
            let mut record = testing::record(&cell.id, block, share * common * wobble / 4.0);
            record.variant.clone_from(&plan.variants[cell.variant].name);
            records.push(record);
        }
    }
    records
}

fn plan() -> Plan {
    Plan::resolve(&testing::experiment(), &Choices::default(), Some(10_000.0)).expect("it resolves")
}

fn verdicts(plan: &Plan, records: &[CellRecord]) -> Vec<(String, Verdict)> {
    judge(plan, records)
        .into_iter()
        .map(|claim| (claim.claim, claim.verdict))
        .collect()
}

#[test]
fn what_is_flat_and_what_grows_is_distinguished_in_spite_of_slow_blocks() {
    let plan = plan();
    let found = verdicts(&plan, &records(&plan, 5, 0.4, 0.01));
    assert_eq!(
        found,
        [
            ("flat".to_owned(), Verdict::Confirmed),
            ("grows".to_owned(), Verdict::Confirmed),
            ("dearer".to_owned(), Verdict::Confirmed),
        ]
    );
}

#[test]
fn a_claim_that_is_not_settled_says_how_many_blocks_would_settle_it() {
    let plan = plan();
    let found = judge(&plan, &records(&plan, 3, 0.4, 0.9));
    let open: Vec<_> = found
        .iter()
        .filter(|claim| claim.verdict == Verdict::Inconclusive)
        .collect();
    assert!(!open.is_empty(), "{found:?}");
    for claim in &found {
        let in_blocks = matches!(
            claim.needs,
            Some(ClaimNeeds::Blocks { .. } | ClaimNeeds::TooManyBlocks { .. })
        );
        assert_eq!(in_blocks, claim.verdict == Verdict::Inconclusive, "{claim:?}");
    }
}

#[test]
fn a_claim_that_is_wrong_is_refuted() {
    let plan = plan();
    let found = verdicts(&plan, &records(&plan, 5, 0.1, 0.01));
    assert_eq!(found[1], ("grows".to_owned(), Verdict::Refuted));
    assert_eq!(found[2], ("dearer".to_owned(), Verdict::Refuted));
}

#[test]
fn one_block_settles_nothing() {
    let plan = plan();
    for claim in judge(&plan, &records(&plan, 1, 0.4, 0.0)) {
        assert_eq!(claim.verdict, Verdict::Inconclusive, "{}", claim.claim);
        assert_eq!(claim.needs, Some(ClaimNeeds::ValidBlocks));
    }
}

#[test]
fn invalid_and_skipped_cells_do_not_count() {
    let plan = plan();
    let mut records = records(&plan, 5, 0.4, 0.01);
    for record in &mut records {
        if record.cell.starts_with("steep idle=20") {
            record.status = CellStatus::Invalid;
        }
    }
    let found = judge(&plan, &records);
    assert_eq!(found[0].verdict, Verdict::Confirmed);
    for claim in &found[1..] {
        assert_eq!(claim.verdict, Verdict::Inconclusive, "{claim:?}");
    }
}

#[test]
fn a_sentence_carries_the_numbers() {
    let plan = plan();
    let found = judge(&plan, &records(&plan, 5, 0.4, 1e-6));
    assert_eq!(found[1].sentence, "It grew: steep: +120.0%.");
    assert!(
        found[0].sentence.starts_with("flat does not depend on idle (flat: "),
        "{}",
        found[0].sentence
    );
    let estimate = &found[1].estimates[0];
    assert_eq!((estimate.variant.as_str(), estimate.blocks), ("steep", 5));
    assert!(
        (estimate.value.expect("it was measured") - 1.2).abs() < 1e-4,
        "{estimate:?}"
    );
    assert!(
        estimate.low <= estimate.value && estimate.value <= estimate.high,
        "{estimate:?}"
    );
    assert_eq!(estimate.levels, [("rate".to_owned(), 1000.0)].into());
    assert_eq!(found[1].test.at_least, Some(0.5));
}

#[test]
fn the_record_has_the_interval_that_is_shown_and_those_that_decide() {
    let plan = plan();
    let found = judge(&plan, &records(&plan, 5, 0.4, 0.01));
    // Three claims and a control: a quarter of 5% each, one number and one bound.
    let estimate = &found[1].estimates[0];
    let (confirms, refutes) = (
        estimate.confirms.expect("five blocks"),
        estimate.refutes.expect("five blocks"),
    );
    assert!((confirms.confidence - 0.975).abs() < 1e-12, "{confirms:?}");
    assert_eq!(confirms, refutes);
    assert!(confirms.low > Some(0.5) && confirms.low < estimate.value && estimate.value < confirms.high);
    // Five intervals are shown: one of each claim, two of the control.
    assert!((estimate.confidence - 0.99).abs() < 1e-12);
    // Two bounds: refuting has two chances to be wrong.
    let flat = &found[0].estimates[0];
    assert!(
        (flat.refutes.expect("five blocks").confidence - 0.9875).abs() < 1e-12,
        "{flat:?}"
    );
}

#[test]
fn blocks_with_the_same_value_settle_nothing_until_there_are_enough() {
    let plan = plan();
    let few = judge(&plan, &records(&plan, 5, 0.4, 0.0));
    assert_eq!(few[1].verdict, Verdict::Inconclusive);
    assert_eq!(few[1].estimates[0].confirms.map(|interval| interval.high), Some(None));
    // 2^-7 is below a quarter of 5%.
    let needs = ClaimNeeds::Blocks {
        blocks: 7,
        call_passes: false,
    };
    assert_eq!(few[1].needs, Some(needs));
    assert_eq!(
        judge(&plan, &records(&plan, 7, 0.4, 0.0))[1].verdict,
        Verdict::Confirmed
    );
}

#[test]
fn the_control_states_the_noise_floor() {
    let plan = plan();
    let quiet = noise_floor(&plan, &records(&plan, 5, 0.4, 0.0)).expect("there is a control");
    assert_eq!(quiet.comparisons, 2);
    assert_eq!(quiet.called_different, 0);
    assert!(quiet.difference_percent < 1e-9);
    let loud = noise_floor(&plan, &records(&plan, 5, 0.4, 0.1)).expect("there is a control");
    assert!(loud.difference_percent > 0.5 && loud.worst_block_percent >= loud.difference_percent);
}

/// A plan with this `--only` and these variants unavailable.
fn plan_with(only: Option<&str>, unavailable: &[(&str, bool)]) -> Plan {
    let unavailable = unavailable.iter().map(|&(name, has_failed)| {
        let reason = Some("a reason".to_owned());
        (name.to_owned(), Unavailable { reason, has_failed })
    });
    let choices = Choices {
        only: only.map(str::to_owned),
        unavailable: unavailable.collect(),
        ..Choices::default()
    };
    Plan::resolve(&testing::experiment(), &choices, Some(10_000.0)).expect("it resolves")
}

#[test]
fn a_claim_of_which_any_cell_was_excluded_is_not_measured_and_takes_no_part_of_the_confidence() {
    for only in ["flat", "idle=20", "flat idle=20,steep"] {
        let plan = plan_with(Some(only), &[]);
        let found = judge(&plan, &records(&plan, 5, 0.4, 0.01));
        let judged: Vec<&str> = found
            .iter()
            .filter(|claim| claim.verdict != Verdict::NotMeasured)
            .map(|claim| claim.claim.as_str())
            .collect();
        let expected: &[&str] = match only {
            "flat" => &["flat"],
            "idle=20" => &["dearer"],
            _ => &["grows", "dearer"],
        };
        assert_eq!(judged, expected, "--only {only}");
        for claim in found.iter().filter(|claim| claim.verdict == Verdict::NotMeasured) {
            assert_eq!((claim.needs, claim.estimates.len()), (Some(ClaimNeeds::WholeStudy), 0));
            assert!(!claim.is_within_reach());
        }
    }
    let plan = plan_with(Some("flat"), &[]);
    let found = judge(&plan, &records(&plan, 5, 0.4, 0.01));
    // One interval of a claim and two of the control.
    assert!(
        (found[0].estimates[0].confidence - (1.0 - 0.05 / 3.0)).abs() < 1e-12,
        "{found:?}"
    );
}

#[test]
fn a_claim_that_cannot_be_run_says_whether_the_machine_or_a_failure_is_the_reason() {
    for (has_failed, needs) in [(false, ClaimNeeds::AnotherMachine), (true, ClaimNeeds::WorkingServer)] {
        let plan = plan_with(None, &[("steep", has_failed)]);
        let status = if has_failed {
            CellStatus::Failed
        } else {
            CellStatus::Skipped
        };
        let mut records = records(&plan, 3, 0.4, 0.01);
        for record in records.iter_mut().filter(|record| record.cell.starts_with("steep")) {
            record.status = status;
        }
        let found = judge(&plan, &records);
        for claim in &found[1..] {
            assert_eq!(
                (claim.verdict, claim.needs),
                (Verdict::Inconclusive, Some(needs)),
                "{claim:?}"
            );
            assert_eq!(claim.is_within_reach(), has_failed);
        }
    }
}

#[test]
fn a_level_that_this_machine_always_skips_needs_another_machine_and_not_more_blocks() {
    let plan = plan();
    let mut records = records(&plan, 3, 0.4, 0.01);
    for record in records
        .iter_mut()
        .filter(|record| record.cell.starts_with("steep idle=20"))
    {
        record.status = CellStatus::Skipped;
    }
    let found = judge(&plan, &records);
    assert_eq!(found[1].needs, Some(ClaimNeeds::AnotherMachine), "{:?}", found[1]);
    assert_eq!(found[2].needs, Some(ClaimNeeds::AnotherMachine), "{:?}", found[2]);
    // Where it was invalid once, it can run here.
    let first = records
        .iter_mut()
        .find(|record| record.cell.starts_with("steep idle=20"));
    first.expect("there is one").status = CellStatus::Invalid;
    assert_eq!(judge(&plan, &records)[2].needs, Some(ClaimNeeds::ValidBlocks));
}

/// The test experiment with a covariate, and blocks in which a slower CPU takes more time for the same request.
fn with_speeds(blocks: u32) -> (Plan, Vec<CellRecord>) {
    let text = testing::EXPERIMENT.replacen("seconds = 1", "seconds = 1\ncovariate = \"cpu-speed\"", 1);
    let file = "test.toml".to_owned();
    let experiment = Experiment::parse(&Source { file, text }).expect("it parses");
    let plan = Plan::resolve(&experiment, &Choices::default(), Some(10_000.0)).expect("it resolves");
    let mut records = records(&plan, blocks, 0.3, 0.01);
    for record in &mut records {
        let place = plan
            .cells
            .iter()
            .position(|cell| cell.id == record.cell)
            .unwrap_or_default() as u32;
        let speed = 1.0 + 0.3 * f64::from((record.block * (3 + place) + place) % 4);
        let meters = record.meters.as_mut().expect("it was measured");
        meters.cpu_run_ns = (meters.cpu_run_ns as f64 / speed) as u64;
        (meters.idle_run_ns, meters.idle_loops) = (Some(100_000_000), Some((speed * 1e6) as u64));
    }
    (plan, records)
}

#[test]
fn a_ratio_is_judged_at_equal_speeds_and_both_numbers_are_recorded() {
    let (plan, records) = with_speeds(12);
    let found = judge(&plan, &records);
    let dearer = found
        .iter()
        .find(|claim| claim.claim == "dearer")
        .expect("it is judged");
    let estimate = &dearer.estimates[0];
    let speed = estimate.speed.expect("it has speeds");
    assert!(speed.is_adjusted && (speed.slope + 1.0).abs() < 0.1, "{speed:?}");
    let width = |low: Option<f64>, high: Option<f64>| high.zip(low).map_or(f64::NAN, |(high, low)| high / low);
    let (adjusted, plain) = (
        width(estimate.low, estimate.high),
        width(speed.plain_low, speed.plain_high),
    );
    assert!(adjusted.ln() < 0.5 * plain.ln(), "{adjusted}, {plain}");
    assert!((estimate.value.expect("a value") - 3.0).abs() < 0.1, "{estimate:?}");
    let floor = noise_floor(&plan, &records).expect("there is a control");
    assert!(floor.difference_percent < 3.0, "{floor:?}");
    let others = found.iter().filter(|claim| claim.claim != "dearer");
    assert!(
        others
            .flat_map(|claim| &claim.estimates)
            .all(|estimate| estimate.speed.is_none())
    );
    let (_, few) = with_speeds(11);
    let found = judge(&plan, &few);
    assert!(
        found
            .iter()
            .flat_map(|claim| &claim.estimates)
            .all(|estimate| estimate.speed.is_none())
    );
}
