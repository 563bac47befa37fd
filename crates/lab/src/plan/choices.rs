//! What was chosen on the command line, or recorded in a manifest.

use std::collections::BTreeMap;

use c10k_record::Manifest;
use time::OffsetDateTime;

/// What the command line chose.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Choices {
    pub(crate) seed: u64,
    pub(crate) repeats: Option<u32>,
    /// If absent, that of the experiment.
    pub(crate) call_passes: Option<u32>,
    pub(crate) budget: Budget,
    pub(crate) only: Option<String>,
    /// Whether the servers of all cells can run at once, which an experiment with `[interleaved]` needs.
    pub(crate) can_interleave: bool,
    /// How often the claims are judged; if absent, as often as the experiment says.
    pub(crate) looks: Option<u32>,
    /// Names of variants that cannot run.
    pub(crate) unavailable: BTreeMap<String, Unavailable>,
}

/// Why a variant cannot run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unavailable {
    /// The reason; absent where an older manifest has none.
    pub(crate) reason: Option<String>,
    /// Whether the reason is not this machine.
    pub(crate) has_failed: bool,
}

/// The time that a study may take, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Budget {
    /// The number of blocks decides.
    #[default]
    None,
    /// As many blocks as fit.
    Asked(f64),
    /// As many as fit, at most those of the experiment.
    Stated(f64),
}

impl Budget {
    pub(crate) fn seconds(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Asked(seconds) | Self::Stated(seconds) => Some(seconds),
        }
    }
}

impl Choices {
    /// The choices that reproduce the plan of a manifest.
    pub(crate) fn of_manifest(manifest: &Manifest) -> Self {
        let unavailable = manifest.unavailable.iter().map(|name| {
            let unavailable = Unavailable {
                reason: manifest.unavailable_because.get(name).cloned(),
                has_failed: manifest.failed.contains(name),
            };
            (name.clone(), unavailable)
        });
        Self {
            seed: manifest.seed,
            repeats: Some(manifest.blocks),
            call_passes: Some(manifest.call_passes),
            budget: Budget::None,
            only: manifest.only.clone(),
            can_interleave: manifest.interleaved,
            looks: Some(manifest.looks),
            unavailable: unavailable.collect(),
        }
    }
}

/// A seed that differs from run to run. It is recorded, so that the run can be repeated.
pub(crate) fn fresh_seed() -> u64 {
    let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
    // A few of the last digits suffice, so that the seed is easy to type.
    u64::try_from(nanos.rem_euclid(1_000_000)).unwrap_or_default()
}
