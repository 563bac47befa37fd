//! What the command line chooses about a study.

use std::path::PathBuf;
use std::time::Duration;

use crate::LabError;

/// How a study is run.
#[derive(Debug, Clone, Default)]
pub struct StudyOptions {
    /// The `c10k` executable that serves and loads.
    pub tool: PathBuf,
    /// The folder; `c10k-results/NAME` where absent.
    pub out: Option<PathBuf>,
    /// Where the files of servers are made, if a study needs any; the folder of its results where absent.
    pub disk: Option<PathBuf>,
    /// As many blocks as fit; the experiment's own number of blocks where absent.
    pub budget: Option<Duration>,
    /// The number of blocks, or the most of them where there is a budget.
    pub repeats: Option<u32>,
    /// Seed of the order, the schedules and the resampling; a new one where absent. It is recorded.
    pub seed: Option<u64>,
    /// Only the cells that this filter selects, in the grammar of [`c10k_units::Filter`].
    pub only: Option<String>,
    /// Whether the study is judged five times at least, and ends as soon as no claim is open.
    pub until_settled: bool,
    /// Whether the study ends at the first of its own looks that leaves no claim open. Those of a set with a budget do, so
    /// that the others get the rest of their time.
    pub ends_when_settled: bool,
    /// Whether to resume what the folder holds.
    pub start: Start,
}

impl StudyOptions {
    /// The directory of [`Self::disk`] by its absolute path, which is the same wherever a study is resumed.
    pub(crate) fn disk_directory(&self) -> Result<Option<PathBuf>, LabError> {
        let absolute = |given: &PathBuf| {
            given.canonicalize().map_err(|source| LabError::Disk {
                path: given.clone(),
                cause: source.to_string(),
            })
        };
        self.disk.as_ref().map(absolute).transpose()
    }
}

/// Whether to begin a study or to resume one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// A new study; a folder that holds one already is refused.
    #[default]
    New,
    /// The cells that are missing; a new study where there is none.
    Resume,
}
