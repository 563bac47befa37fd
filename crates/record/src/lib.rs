//! The versioned schema of everything that `c10k` prints for other programs.
//!
//! Every `--json` output and every JSON file of a results folder is one of these types, and nothing else. The lab reads
//! only these types: a server or a generator that prints the same objects is measured in the same way as ours.
//!
//! | output | type |
//! |---|---|
//! | `c10k serve --json`, `/stats` with `--lab` | [`ServeRecord`], [`ServeSummary`] |
//! | `c10k load --json`, with `--find-max` | [`LoadRecord`], [`LoadSearch`] |
//! | `c10k probe --json` | [`ProbeSummary`] |
//! | `c10k monitor serve --json`, its `/sample` and `/stream` | [`MonitorRecord`], [`MonitorSample`] |
//! | `c10k study NAME --json`, `c10k report --json` | [`StudyRecord`] |
//! | `c10k study all --json`, `overview.json` | [`SetEntry`], [`SetRecord`] |
//! | `c10k compare --json` | [`ComparisonRecord`] |
//! | `c10k list --json`, `c10k doctor --json` | [`Inventory`], [`DoctorReport`] |
//! | `c10k vm study --json` | [`CostTable`] |
//! | `manifest.json`, `records.ndjson`, `calls.ndjson`, `set.json` | [`Manifest`], [`CellRecord`], [`CallRecord`], [`SetManifest`] |
//!
//! [`csv`] writes every CSV file. [`read`] reads JSON objects back; it refuses those of a later schema.
//!
//! # Rules
//!
//! * Every object has [`SCHEMA`] in its field `schema`.
//! * Figures are numbers, never text. The unit is last in the name (`cpu_user_ns`, `duration_s`); where the measure is
//!   chosen at run time, a field `unit` has it. An interval is two fields, `low` and `high`.
//! * A figure that could not be measured is `null`, never a guess.
//! * Fields are only added. A field that was added later reads as its default from an older file. A change of meaning
//!   raises [`SCHEMA`], and readers keep reading the old number.
#![forbid(unsafe_code)]

mod claim;
mod comparison;
mod cost;
pub mod csv;
mod guest;
mod host;
mod inventory;
mod load;
mod monitor;
mod outcome;
mod probe;
pub mod read;
mod serve;
mod study;

pub use claim::{
    AdviceGround, AdviceRecord, ClaimNeeds, ClaimRecord, ClaimTest, DecidingInterval, EstimateRecord, ExactRecord,
    ExactValue, Form, NoiseFloor, SpeedRecord, Verdict,
};
pub use comparison::{CellComparison, Change, ComparisonRecord, EnvironmentDifference, Pairing};
pub use cost::{CostCell, CostRecord, CostTable, CurvePoint, ScanCounts};
pub use guest::GuestRecord;
pub use host::{HostFacts, ProcessLimits};
pub use inventory::{
    DoctorCheck, DoctorReport, GuestStudyRow, Inventory, LoadOutputRow, MechanismRow, ModelRow, MonitorModelRow,
    OptionKind, ProbeFigure, ProbeOption, ProbeRow, RingOptionRow, StudyRow,
};
pub use load::{
    ClientUse, IdlePool, LatencySummary, LoadPhase, LoadRecord, LoadRow, LoadSearch, LoadSeries, LoadSummary,
    LoadTrial, PercentileIntervals, SessionTotals,
};
pub use monitor::{
    MonitorCpu, MonitorDisks, MonitorLoad, MonitorMemory, MonitorNetwork, MonitorRecord, MonitorSample, MonitorSummary,
};
pub use outcome::{
    CellCounts, CheapestRecord, CheapestRow, FailureRecord, SetEntry, SetManifest, SetRecord, StudyEnd, StudyRecord,
    TableColumn, TableRecord, TableRow,
};
pub use probe::ProbeSummary;
pub use serve::{ServeRecord, ServeSummary};
pub use study::{CallRecord, CellRecord, CellStatus, DiskFacts, Manifest, Meters, Overload, Saturation};

/// Version of the schema. Written into every object that is stored.
pub const SCHEMA: u32 = 1;
