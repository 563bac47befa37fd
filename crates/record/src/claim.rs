//! A claim with its verdict and the numbers that decided it; the advice and the noise floor of a study.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the measured blocks say about a claim, or about one number of it. With what confidence, [`EstimateRecord::confirms`] and
/// [`EstimateRecord::refutes`] say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every interval lies within the bounds.
    Confirmed,
    /// At least one interval lies outside the bounds.
    Refuted,
    /// An interval crosses a bound, or there are too few valid blocks for an interval.
    Inconclusive,
    /// Inconclusive in the measured blocks, and decided by the instructions that the guest counted: [`ExactRecord::verdict`] says
    /// how. Only claims have this verdict; their numbers have not.
    SettledByInstructions,
    /// `--only` excluded cells that the claim looks at, so that nothing is said about it. Only claims have this verdict; their
    /// numbers have not.
    NotMeasured,
}

impl Verdict {
    /// The word that stands in the records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
            Self::SettledByInstructions => "settled-by-instructions",
            Self::NotMeasured => "not-measured",
        }
    }
}

/// What a statistic is: how its numbers are averaged over blocks, and how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A number in the unit of the measure.
    Plain,
    /// A part of one: 0.05 is five percent.
    Share,
    /// A factor: 2 is twice as much. Averaged as a logarithm.
    Factor,
    /// A level of the axis, in the unit of the axis.
    Level,
}

impl Form {
    /// The word that stands in the records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Share => "share",
            Self::Factor => "factor",
            Self::Level => "level",
        }
    }
}

/// A claim with its verdict and the numbers that decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// Short name of the claim.
    pub claim: String,
    /// The claim in words.
    pub text: String,
    /// Who made it, and where.
    pub source: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What was tested.
    pub test: ClaimTest,
    /// The numbers, one for each variant and combination of levels. Empty where none of the variants can run here, and where
    /// the claim was not measured.
    pub estimates: Vec<EstimateRecord>,
    /// The result as one sentence of the study's answer.
    pub sentence: String,
    /// What would settle the claim here; absent where it is settled here.
    pub needs: Option<ClaimNeeds>,
    /// The blocks that had been run when the claim was settled before the end of the study; absent where it was judged at the
    /// end.
    #[serde(default)]
    pub settled_after: Option<u32>,
    /// The same in instructions, where the claim names cells of a table of the guest.
    #[serde(default)]
    pub exact: Option<ExactRecord>,
}

impl ClaimRecord {
    /// What advice may rest on: the verdict of the measured blocks, or that of the instructions where these settled the claim.
    #[must_use]
    pub fn conclusion(&self) -> Verdict {
        match (self.verdict, &self.exact) {
            (Verdict::SettledByInstructions, Some(exact)) => exact.verdict,
            (verdict, _) => verdict,
        }
    }

    /// Whether a run like this one can settle the claim: `--only` excluded nothing of it, and this machine can run it.
    #[must_use]
    pub fn is_within_reach(&self) -> bool {
        self.verdict != Verdict::NotMeasured && self.needs != Some(ClaimNeeds::AnotherMachine)
    }
}

/// The test of a claim: a statistic of a measure against bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimTest {
    /// Name of the statistic.
    pub statistic: String,
    /// Name of the measure.
    pub measure: String,
    /// The axis along which the statistic is computed.
    pub along: Option<String>,
    /// The variant that is compared with.
    pub against: Option<String>,
    /// The lower bound.
    pub at_least: Option<f64>,
    /// The upper bound.
    pub at_most: Option<f64>,
    /// What the bounds and the estimates are.
    pub form: Form,
    /// Unit of the bounds and the estimates (`ns`, `µs`, `ms`, `s`, `KiB`, `%`, `/s`); empty for shares, factors and plain
    /// counts.
    pub unit: String,
}

/// One number with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimateRecord {
    /// Variant, levels and the measured part of the axis, in words.
    pub of: String,
    /// Name of the variant.
    pub variant: String,
    /// The levels at which the number was computed, each in the unit of its axis; without the axis of the test.
    pub levels: BTreeMap<String, f64>,
    /// The median over the blocks; absent without a valid block.
    pub value: Option<f64>,
    /// Lower end of the interval; absent with fewer than two valid blocks.
    pub low: Option<f64>,
    /// Upper end of the interval; absent with fewer than two valid blocks.
    pub high: Option<f64>,
    /// Unit of the three numbers, as in [`ClaimTest::unit`].
    pub unit: String,
    /// Confidence of this interval alone, a part of one. All intervals of a study together hold with 0.95.
    pub confidence: f64,
    /// What confirms the number if it lies within the bounds; absent with fewer than two valid blocks.
    #[serde(default)]
    pub confirms: Option<DecidingInterval>,
    /// What refutes the number, and the claim with it, if it lies outside the bounds; absent with fewer than two valid blocks.
    #[serde(default)]
    pub refutes: Option<DecidingInterval>,
    /// Valid blocks.
    pub blocks: usize,
    /// The number as it was measured, and what its adjustment to equal speeds of the CPU rests on; absent where the experiment
    /// does not ask for it, and where there are too few blocks.
    #[serde(default)]
    pub speed: Option<SpeedRecord>,
    /// The verdict on this number alone.
    pub verdict: Verdict,
}

/// The adjustment of a ratio to equal speeds of the server's CPU (`covariate = "cpu-speed"`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpeedRecord {
    /// Whether the number is adjusted. It is not if the speeds of the two variants differ by more than chance.
    pub is_adjusted: bool,
    /// The number as it was measured: the median over the blocks.
    pub plain: f64,
    /// Lower end of its interval, with the same confidence.
    pub plain_low: Option<f64>,
    /// Upper end of its interval.
    pub plain_high: Option<f64>,
    /// By how much the logarithm of the number changes with the logarithm of the ratio of the speeds.
    pub slope: f64,
    /// The speed with the variant divided by that with the other variant, median over the blocks.
    pub speeds: f64,
    /// Lower end of its interval, with the same confidence.
    pub speeds_low: Option<f64>,
    /// Upper end of its interval.
    pub speeds_high: Option<f64>,
}

/// An interval that decides. Its confidence follows from the number of claims and of their numbers, so that any verdict of a
/// study is wrong with a chance of at most 0.05.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DecidingInterval {
    /// Confidence of this interval alone, two-sided, a part of one.
    pub confidence: f64,
    /// Lower end; absent where the blocks bound nothing.
    pub low: Option<f64>,
    /// Upper end; absent where the blocks bound nothing.
    pub high: Option<f64>,
}

impl EstimateRecord {
    /// The interval that decided: that which refutes where the number was refuted, and else that which confirms. Absent with
    /// fewer than two valid blocks.
    #[must_use]
    pub fn decided_by(&self) -> Option<DecidingInterval> {
        match self.verdict {
            Verdict::Refuted => self.refutes,
            _ => self.confirms,
        }
    }
}

impl DecidingInterval {
    /// Whether it contains this value. What bounds nothing contains every value.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }
}

/// The numbers of a claim in instructions, formed from cells of a table that the guest counted. They have no error of
/// measurement, and they are the same on every machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExactRecord {
    /// Name of the guest's study, such as `vm/dispatch-cost`.
    pub table: String,
    /// Release of the guest's kernel.
    pub kernel: String,
    /// Version of the emulator.
    pub emulator: String,
    /// What the cells are, and how they differ from what is measured here.
    pub why: String,
    /// The numbers, for each variant of the claim one or more.
    pub values: Vec<ExactValue>,
    /// Confirmed if every number lies within the bounds of the claim, else refuted.
    pub verdict: Verdict,
}

/// One number in instructions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExactValue {
    /// Name of the variant of the claim.
    pub variant: String,
    /// The cell that is compared with: the lower level, or the other variant.
    pub from: String,
    /// The other cell.
    pub to: String,
    /// The statistic of the claim, from the two cells.
    pub value: f64,
    /// Whether every interval that decided about the variant here contains the number; absent where there is none.
    pub is_within: Option<bool>,
    /// The verdict on this number alone.
    pub verdict: Verdict,
}

/// What would settle a claim that is inconclusive or not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum ClaimNeeds {
    /// About this many blocks, if they spread like the measured ones.
    Blocks {
        /// How many.
        blocks: u32,
        /// Whether the measure is read in counting passes, so that as many passes are needed.
        call_passes: bool,
    },
    /// More blocks than is reasonable: a value lies too near its bound.
    TooManyBlocks {
        /// More than this many.
        over: u32,
    },
    /// Two valid blocks of each cell that the claim looks at.
    ValidBlocks,
    /// A machine that can run what this one skipped.
    AnotherMachine,
    /// What failed here, mended.
    WorkingServer,
    /// A run without `--only`, or with a filter that selects all its cells.
    WholeStudy,
}

/// What to use for a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceRecord {
    /// The workload; reads after "where".
    pub when: String,
    /// What to use.
    pub take: String,
    /// The claims that the advice rests on.
    pub because: Vec<AdviceGround>,
    /// The first of those claims whose verdict is another one; the advice is given only where this is absent.
    pub withheld_by: Option<String>,
    /// Those of the claims that are settled by instructions and not by what was measured here.
    #[serde(default)]
    pub by_instructions: Vec<String>,
}

/// A claim that advice rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceGround {
    /// Short name of the claim; its numbers are among the study's claims.
    pub claim: String,
    /// The verdict that the claim must have, here or by instructions.
    pub wanted: Verdict,
}

/// The A/A control: one variant that ran twice under two names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloor {
    /// Name of the variant.
    pub variant: String,
    /// Its label in reports.
    pub label: String,
    /// Name of the measure that was compared.
    pub measure: String,
    /// The largest difference between the two (median over blocks), percent.
    pub difference_percent: f64,
    /// The largest difference in a single block, percent.
    pub worst_block_percent: f64,
    /// Comparisons made, one for each combination of levels.
    pub comparisons: usize,
    /// Comparisons that called the two different, which is wrong. The control decides as a claim does.
    pub called_different: usize,
}
