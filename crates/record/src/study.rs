//! The files of a study folder: `manifest.json` (one [`Manifest`]), `records.ndjson` (one [`CellRecord`] a line) and
//! `calls.ndjson` (one [`CallRecord`] a line).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{HostFacts, LoadSummary, ProbeSummary, ServeSummary};

/// What a study was planned from: enough to resume it, to draw its report again and to repeat it on another machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// The file that the experiment was read from; used in messages.
    pub experiment_file: String,
    /// The text of the experiment file.
    pub experiment: String,
    /// Version of the tool that planned the study.
    pub version: String,
    /// SHA-256, in hexadecimal, of the executable that ran as server and generator; absent if it could not be read.
    #[serde(default)]
    pub executable_sha256: Option<String>,
    /// When the study was planned, RFC 3339, UTC.
    pub planned_at: String,
    /// Seed of the order within blocks, of the load schedules and of the resampling.
    pub seed: u64,
    /// Number of planned blocks. Each block runs every cell once.
    pub blocks: u32,
    /// Number of planned passes that count system calls. Each pass runs every cell once.
    #[serde(default)]
    pub call_passes: u32,
    /// Whether the servers of all cells run for the whole study and each block measures a window of each.
    #[serde(default)]
    pub interleaved: bool,
    /// How often the study is judged, at equal parts of the time of its blocks; what is settled then is not measured again. 0
    /// and 1: once, at its end.
    #[serde(default)]
    pub looks: u32,
    /// Whether the study ends as soon as no claim is open (`--until settled`).
    #[serde(default)]
    pub until_settled: bool,
    /// Whether the study ends at the first of its own looks that leaves no claim open, because other studies get the rest of
    /// its time.
    #[serde(default)]
    pub ends_when_settled: bool,
    /// The requested budget, seconds.
    pub budget_s: Option<f64>,
    /// The requested filter (`--only`).
    pub only: Option<String>,
    /// Variants whose server cannot be started; the plan has no time for them.
    #[serde(default)]
    pub unavailable: Vec<String>,
    /// The reason for each of them. Their cells are skipped or failed with it and are not tried again.
    #[serde(default)]
    pub unavailable_because: BTreeMap<String, String>,
    /// Those of them whose reason is not this machine. Their cells are failed, not skipped.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Part of the study's budget that was spent to find out which servers can be started, seconds.
    #[serde(default)]
    pub prepared_s: f64,
    /// Expected duration of the study, seconds.
    pub expected_s: f64,
    /// The measured saturation of the reference variant, if the experiment gives rates as a percentage of it.
    pub saturation: Option<Saturation>,
    /// CPU that the server was pinned to; absent if the machine has one CPU for everything.
    pub server_cpu: Option<usize>,
    /// CPUs of the generator and of the lab.
    pub client_cpus: Vec<usize>,
    /// What could not be done on this machine, one sentence each.
    pub notes: Vec<String>,
    /// The machine that the study was planned on.
    pub host: HostFacts,
    /// The disk that the servers' files are on; absent if they have none.
    #[serde(default)]
    pub disk: Option<DiskFacts>,
}

/// A disk, and how fast it was before the first cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// The absolute path of the directory that was given with `--disk`; absent if it was that of the results.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// The name of its file system, such as `ext4`; absent if the kernel does not tell.
    pub file_system: Option<String>,
    /// What the probe `disk-speed` measured.
    pub speed: ProbeSummary,
}

/// The saturation rate: a level written in percent is a percentage of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Saturation {
    /// The variant that was measured.
    pub variant: String,
    /// Replies per second at which the server's CPU would be full: replies per second reached in a closed loop ÷ the
    /// share of the CPU that the server used for them. The median of all runs.
    pub rate: f64,
    /// Replies per second reached, one value per run.
    pub reached: Vec<f64>,
    /// CPU that the server used for them, percent, one value per run.
    pub cpu_percent: Vec<f64>,
    /// Part of the study's budget that this measurement took, seconds.
    #[serde(default)]
    pub seconds: f64,
}

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellStatus {
    /// The cell ran, and its figures describe the server.
    Measured,
    /// The cell ran, but its figures do not describe the server alone. They are kept and drawn as invalid.
    Invalid,
    /// The cell could not run on this machine: its kernel, its limits or its devices do not allow it.
    Skipped,
    /// The cell could not run because of what the experiment asks for: a server whose command does not start or never
    /// answers, an option that the server or the generator refuses.
    Failed,
}

impl CellStatus {
    /// The word that stands in the records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Invalid => "invalid",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// One run of one cell: one variant at one combination of levels in one block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// The cell: its variant and its levels as written. The same in every block.
    pub cell: String,
    /// Name of the variant.
    pub variant: String,
    /// The level on each axis, as a number in the axis's unit.
    pub levels: BTreeMap<String, f64>,
    /// Block, from 0.
    pub block: u32,
    /// Position within the block, from 0.
    pub position: u32,
    /// How the run ended.
    pub status: CellStatus,
    /// Why the run is invalid, was skipped or failed.
    pub reasons: Vec<String>,
    /// What else a reader should know, such as noise, or a server that had to be killed.
    pub notes: Vec<String>,
    /// Whether something other than the server disturbed the run by more than a stated bound. A disturbed run counts
    /// unless there is an undisturbed run of the same cell and block.
    #[serde(default)]
    pub disturbed: bool,
    /// When the run started, RFC 3339, UTC.
    pub started_at: String,
    /// Duration of the run, including start and end of the processes, seconds.
    pub seconds: f64,
    /// Command line of the server.
    pub server_command: Vec<String>,
    /// Command line of the generator.
    pub load_command: Vec<String>,
    /// The overload in the middle of the load, if there was one.
    #[serde(default)]
    pub overload: Option<Overload>,
    /// What the generator printed.
    pub load: Option<LoadSummary>,
    /// What the server printed.
    pub server: Option<ServeSummary>,
    /// What the lab measured itself.
    pub meters: Option<Meters>,
    /// What the probe printed, in studies that run a probe instead of a server and a generator.
    #[serde(default)]
    pub probe: Option<ProbeSummary>,
    /// System calls of the same cell, read from `calls.ndjson`. They are not stored in this record.
    #[serde(skip)]
    pub calls: Option<CallRecord>,
}

/// A part of the measured time with another rate than before and after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Overload {
    /// The measured saturation, requests per second; absent in a study that does not measure it.
    pub limit_per_s: Option<f64>,
    /// Start of the overload, seconds from the start of the measured time.
    pub start_s: f64,
    /// Its end, in the same way.
    pub end_s: f64,
}

/// One line of `calls.ndjson`: one run of one cell in which only system calls and context switches were counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// The cell, as in [`CellRecord::cell`].
    pub cell: String,
    /// Number of the pass, from 0.
    pub pass: u32,
    /// How the run ended.
    pub status: CellStatus,
    /// Why the run is invalid, was skipped or failed.
    pub reasons: Vec<String>,
    /// When the run started, RFC 3339, UTC.
    pub started_at: String,
    /// Duration of the run, including start and end of the processes, seconds.
    pub seconds: f64,
    /// The tool that counted: `perf stat` (calls on the server's CPU by tasks that have the server's name) or `strace`
    /// (all calls of the server's processes).
    pub tool: String,
    /// Duration of the counting, nanoseconds.
    pub window_ns: u64,
    /// Replies per second during the counting.
    pub rate_achieved: f64,
    /// System calls by name.
    pub by_name: BTreeMap<String, u64>,
    /// Context switches of the server's tasks, of those that ended included. `None` with `strace`.
    #[serde(default)]
    pub switches: Option<u64>,
}

/// What the lab measured from outside the server, between the generator's phases `measuring` and `measured`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Meters {
    /// Wall time between the two readings, nanoseconds.
    pub wall_ns: u64,
    /// Scheduler run time of the server's process tree, nanoseconds.
    pub cpu_run_ns: u64,
    /// Busy time of the server's CPU by the idle counter, nanoseconds: wall time × (1 − loops ÷ loops without server).
    pub cpu_idle_counter_ns: Option<u64>,
    /// Loops of the idle counter between the two readings.
    pub idle_loops: Option<u64>,
    /// CPU time of the idle counter between the two readings, nanoseconds.
    pub idle_run_ns: Option<u64>,
    /// Loops per second of the idle counter without a server, measured immediately before the cell.
    pub idle_loops_per_s_alone: Option<f64>,
    /// Busy time of the server's CPU: wall − idle − steal − the idle counter's own run time − the baseline, nanoseconds.
    pub cpu_busy_ns: Option<u64>,
    /// Time that the server's threads, those alive at the end, were runnable and waited for a CPU, nanoseconds.
    pub cpu_wait_ns: u64,
    /// Voluntary context switches of the server's tree.
    pub switches_voluntary: u64,
    /// Involuntary context switches of the server's tree.
    pub switches_involuntary: u64,
    /// Page faults of the server's tree.
    pub page_faults: u64,
    /// Processes of the server alive at the end.
    pub processes: u64,
    /// Threads of the server alive at the end.
    pub threads: u64,
    /// Interrupts served by the server's CPU.
    pub interrupts: u64,
    /// Softirqs served by the server's CPU.
    pub softirqs: u64,
    /// Processes and threads created on the whole machine.
    pub forks: u64,
    /// Time that the hypervisor took from the server's CPU, nanoseconds.
    pub steal_ns: u64,
    /// Time during which at least one task of the machine waited for a CPU, nanoseconds.
    pub pressure_ns: Option<u64>,
    /// Time during which at least one task of the machine waited for memory, nanoseconds.
    #[serde(default)]
    pub memory_pressure_ns: Option<u64>,
    /// Time during which at least one task of the machine waited for I/O, nanoseconds.
    #[serde(default)]
    pub io_pressure_ns: Option<u64>,
    /// Time that the generator's threads were runnable and waited for a CPU, nanoseconds.
    #[serde(default)]
    pub generator_wait_ns: Option<u64>,
    /// The longest delay between the start of a generator phase and the reading of the meters, nanoseconds.
    pub meter_lag_ns: u64,
    /// Open connections by the server's own count, during warm-up (`/stats`).
    pub open_connections: Option<u64>,
    /// TCP sockets of the machine before the generator started.
    pub tcp_sockets_before: u64,
    /// TCP sockets of the machine at the start of the measured time. On loopback, both ends of a connection count.
    pub tcp_sockets_open: u64,
    /// Proportional set size of the server's tree at the end, bytes.
    pub pss_bytes: Option<u64>,
    /// Kernel slab of the machine: growth from before the generator started to the end, bytes.
    pub slab_growth_bytes: Option<i64>,
    /// Kernel stacks of the machine: growth over the same time, bytes.
    #[serde(default)]
    pub stacks_growth_bytes: Option<i64>,
    /// Page tables of the machine: growth over the same time, bytes.
    #[serde(default)]
    pub page_tables_growth_bytes: Option<i64>,
    /// Page tables of the server's tree at the end, bytes.
    #[serde(default)]
    pub page_table_bytes: Option<u64>,
}
