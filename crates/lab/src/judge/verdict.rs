//! What judging comes to: a verdict on each claim with the numbers that it rests on, and the noise floor.

use serde::Serialize;

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// Every interval lies within the bounds.
    Confirmed,
    /// At least one interval lies outside the bounds.
    Refuted,
    /// An interval crosses a bound, or there are too few valid blocks for one.
    Inconclusive,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A claim with its verdict and the numbers that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Short name of the claim.
    pub id: String,
    /// The claim.
    pub text: String,
    /// Who made it, where.
    pub source: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What was asked of the statistic: its name, its measure and its bounds, in words.
    pub test: String,
    /// The numbers, one for each variant and combination of levels.
    pub estimates: Vec<Estimate>,
    /// One sentence for the answer.
    pub sentence: String,
    /// What would settle it, in words; `None` where it is settled.
    pub settles: Option<String>,
}

/// One number with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Variant and levels.
    pub of: String,
    /// The median over the blocks, as text with its unit; `none` without a valid block.
    pub value: String,
    /// The interval as text; `none` with fewer than two valid blocks.
    pub interval: String,
    /// Valid blocks.
    pub blocks: usize,
    /// The verdict on this number alone.
    pub verdict: Verdict,
}

/// The A/A control: the same server under two names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoiseFloor {
    /// Which variant ran twice.
    pub variant: String,
    /// What was compared.
    pub measure: String,
    /// The largest difference between the two, median over blocks, percent.
    pub percent: f64,
    /// The largest difference in any single block, percent.
    pub worst_block_percent: f64,
    /// Comparisons made, one for each combination of levels.
    pub comparisons: usize,
    /// Of those, called different at the confidence of the study's intervals, which is wrong.
    pub called_different: usize,
}
