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
    /// What would settle the claim; absent where it is settled.
    pub needs: Option<ClaimNeeds>,
}

impl ClaimRecord {
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
    /// The verdict on this number alone.
    pub verdict: Verdict,
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
}

/// A claim that advice rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceGround {
    /// Short name of the claim; its numbers are among the study's claims.
    pub claim: String,
    /// The verdict that the claim must have.
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
