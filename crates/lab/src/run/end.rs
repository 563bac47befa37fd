//! Why a cell ended before its time.

use c10k_record::CellStatus;

/// Why a cell ended before its time.
pub(super) struct CellFailure {
    pub(super) status: CellStatus,
    pub(super) reason: String,
}

pub(super) fn skipped(reason: impl Into<String>) -> CellFailure {
    CellFailure {
        status: CellStatus::Skipped,
        reason: reason.into(),
    }
}

pub(super) fn invalid(reason: impl Into<String>) -> CellFailure {
    CellFailure {
        status: CellStatus::Invalid,
        reason: reason.into(),
    }
}
