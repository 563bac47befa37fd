//! What `c10k compare --json` prints: two result folders, cell by cell.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Two folders of one study compared. One line of `c10k compare --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRecord {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// The first folder, the baseline.
    pub a: PathBuf,
    /// The second folder, which is compared with the baseline.
    pub b: PathBuf,
    /// Whether B does not have this study at all.
    pub missing_in_b: bool,
    /// Why this study cannot be compared, in one line; absent where it can. Then there are no cells.
    #[serde(default)]
    pub unreadable: Option<String>,
    /// What differs between the two environments. To be read before the numbers.
    pub environment: Vec<EnvironmentDifference>,
    /// How blocks were compared.
    pub pairing: Pairing,
    /// By how much B may be worse, a part of one: 0.05 is five percent.
    pub bound: f64,
    /// Confidence of each interval alone, a part of one. All intervals of the comparison together hold with 0.95.
    pub confidence: f64,
    /// One for each measure of each cell that both folders have.
    pub cells: Vec<CellComparison>,
    /// Cells that only A has.
    pub only_in_a: Vec<String>,
    /// Cells that only B has.
    pub only_in_b: Vec<String>,
}

impl ComparisonRecord {
    /// Whether something could be compared, and nothing is worse by more than the bound or lost.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let holds = |cell: &CellComparison| !matches!(cell.verdict, Change::Worse | Change::Lost);
        self.cells.iter().any(|cell| cell.ratio_low.is_some()) && self.cells.iter().all(holds)
    }
}

/// One fact that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentDifference {
    /// Which fact.
    pub what: String,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
}

/// How the blocks of the two folders were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Block by block: the same experiment with the same seed.
    Blocks,
    /// As two independent samples.
    Independent,
}

/// One measure of one cell in both folders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellComparison {
    /// The cell.
    pub cell: String,
    /// Name of the measure.
    pub measure: String,
    /// Unit of `a` and `b`; empty for plain numbers.
    pub unit: String,
    /// Median in A; absent without a valid block.
    pub a: Option<f64>,
    /// Median in B; absent without a valid block.
    pub b: Option<f64>,
    /// B ÷ A; absent where one of the two has no valid block.
    pub ratio: Option<f64>,
    /// Lower end of the interval of the ratio; absent where there are fewer than two blocks to compare.
    pub ratio_low: Option<f64>,
    /// Upper end of the interval of the ratio.
    pub ratio_high: Option<f64>,
    /// Valid blocks in A.
    pub blocks_a: usize,
    /// Valid blocks in B.
    pub blocks_b: usize,
    /// The verdict.
    pub verdict: Change,
    /// The smallest change that these blocks could have called worse, a part of one: the distance between the ratio and the
    /// lower end of its interval (the upper end if more is better), or the bound if that is larger. Absent without an interval.
    #[serde(default)]
    pub smallest_change: Option<f64>,
}

/// How B compares with A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// B is better: the interval excludes no difference, and the difference is larger than the bound.
    Better,
    /// B is worse, by the same rule.
    Worse,
    /// The whole interval lies within the bound.
    Equivalent,
    /// None of the three.
    Inconclusive,
    /// A has it, and B has no valid block of it.
    Lost,
}

impl Change {
    /// The word that stands in the records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
            Self::Lost => "lost",
        }
    }
}
