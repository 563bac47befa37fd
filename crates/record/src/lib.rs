//! The versioned schema of everything that `c10k` prints for other programs.
//!
//! `c10k serve --json`, `c10k load --json`, `c10k list --json`, `c10k doctor --json` and the files of a study folder are
//! made of these types and nothing else. The lab reads only them, so that a server or a generator that prints the same
//! objects is measured in the same way as ours.
//!
//! Every figure carries its unit last in its name (`cpu_user_ns`, `duration_s`). Fields are only ever added; a change
//! of meaning raises [`SCHEMA`].
#![forbid(unsafe_code)]

mod cost;
mod guest;
mod host;
mod inventory;
mod load;
mod probe;
mod serve;
mod study;

pub use cost::{CostCell, CostRecord, CostTable};
pub use guest::GuestRecord;
pub use host::{HostFacts, ProcessLimits};
pub use inventory::{
    DoctorCheck, DoctorReport, GuestStudyRow, Inventory, MechanismRow, ModelRow, OptionKind, ProbeFigure, ProbeOption,
    ProbeRow, StudyRow,
};
pub use load::{
    ClientUse, IdlePool, LatencySummary, LoadPhase, LoadRecord, LoadSearch, LoadSummary, LoadTrial,
    PercentileIntervals, SessionTotals,
};
pub use probe::{PROBES, ProbeSummary};
pub use serve::{ServeRecord, ServeSummary};
pub use study::{CallRecord, CellRecord, CellStatus, Manifest, Meters, Saturation};

/// Version of the schema. Written into every object that is stored.
pub const SCHEMA: u32 = 1;
