//! The files of a study folder: `manifest.json` (one [`Manifest`]), `records.ndjson` (one [`CellRecord`] a line) and
//! `calls.ndjson` (one [`CallRecord`] a line).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{HostFacts, LoadSummary, ProbeSummary, ServeSummary};

/// What a study folder was made from: enough to go on with it, to draw its report again, and to run it elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// Where the experiment was read from, for messages.
    pub experiment_file: String,
    /// The experiment as it was written.
    pub experiment: String,
    /// Version of the tool that planned it.
    pub version: String,
    /// SHA-256 of the executable that served and loaded, hexadecimal; absent where it could not be read.
    #[serde(default)]
    pub executable_sha256: Option<String>,
    /// When it was planned, RFC 3339, UTC.
    pub planned_at: String,
    /// Seed of the order within blocks, of the load schedules and of the resampling.
    pub seed: u64,
    /// Blocks planned: every cell once per block.
    pub blocks: u32,
    /// Passes planned in which system calls are counted: every cell once per pass.
    #[serde(default)]
    pub call_passes: u32,
    /// The budget that was asked for, seconds.
    pub budget_s: Option<f64>,
    /// The filter that was asked for.
    pub only: Option<String>,
    /// Variants whose server could not be started here: no time was planned for them.
    #[serde(default)]
    pub unavailable: Vec<String>,
    /// What the plan expects to take, seconds.
    pub expected_s: f64,
    /// The measured saturation of the reference variant, where the experiment scales rates to it.
    pub saturation: Option<Saturation>,
    /// CPU that the server was pinned to; absent where there is one CPU for all.
    pub server_cpu: Option<usize>,
    /// CPUs of the generator and of the lab.
    pub client_cpus: Vec<usize>,
    /// What could not be done on this machine, one sentence each.
    pub notes: Vec<String>,
    /// The machine.
    pub host: HostFacts,
}

/// The rate that levels written in percent are fractions of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Saturation {
    /// Variant that was driven to its limit.
    pub variant: String,
    /// Replies per second at which its CPU would be full: replies per second reached in a closed loop ÷ the share of
    /// the CPU that it used for them. The median of the tries.
    pub rate: f64,
    /// Replies per second reached, each try.
    pub reached: Vec<f64>,
    /// CPU that the server used for them, percent, each try.
    pub cpu_percent: Vec<f64>,
    /// What finding it took of the study's budget, seconds.
    #[serde(default)]
    pub seconds: f64,
}

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellStatus {
    /// Its figures describe the server.
    Measured,
    /// It ran, but its figures do not describe the server alone; they are kept and drawn as invalid.
    Invalid,
    /// It could not run here.
    Skipped,
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
    /// How it ended.
    pub status: CellStatus,
    /// Why it is invalid or was skipped.
    pub reasons: Vec<String>,
    /// What else a reader should know: noise, a server that had to be killed.
    pub notes: Vec<String>,
    /// Whether something beside the server disturbed it by more than a stated bound. It counts, unless a quiet run of
    /// the same cell and block stands beside it.
    #[serde(default)]
    pub disturbed: bool,
    /// When it started, RFC 3339, UTC.
    pub started_at: String,
    /// What it took in all, seconds.
    pub seconds: f64,
    /// The server as it was started.
    pub server_command: Vec<String>,
    /// The generator as it was started.
    pub load_command: Vec<String>,
    /// What the generator printed.
    pub load: Option<LoadSummary>,
    /// What the server printed.
    pub server: Option<ServeSummary>,
    /// What the lab measured itself.
    pub meters: Option<Meters>,
    /// What a probe printed, in studies that have one instead of a server and a generator.
    #[serde(default)]
    pub probe: Option<ProbeSummary>,
    /// System calls of the same cell, from the pass that counts them: read from `calls.ndjson`, never stored here.
    #[serde(skip)]
    pub calls: Option<CallRecord>,
}

/// One line of `calls.ndjson`: one run of one cell in which nothing but system calls was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// The cell, as in [`CellRecord::cell`].
    pub cell: String,
    /// Which pass, from 0.
    pub pass: u32,
    /// How it ended.
    pub status: CellStatus,
    /// Why it is invalid or was skipped.
    pub reasons: Vec<String>,
    /// When it started, RFC 3339, UTC.
    pub started_at: String,
    /// What it took in all, seconds.
    pub seconds: f64,
    /// What counted: `perf stat` (calls on the server's CPU by tasks called like it) or `strace` (all calls of the server's processes).
    pub tool: String,
    /// For how long, nanoseconds.
    pub window_ns: u64,
    /// Replies per second meanwhile.
    pub rate_achieved: f64,
    /// System calls by name.
    pub by_name: BTreeMap<String, u64>,
}

/// What was measured from outside between the generator's phases `measuring` and `measured`.
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
    /// Loops per second of the idle counter without a server, just before the cell.
    pub idle_loops_per_s_alone: Option<f64>,
    /// Busy time of the server's CPU: wall − idle − steal − the idle counter's own run time − the baseline, nanoseconds.
    pub cpu_busy_ns: Option<u64>,
    /// Time for which the server's living threads were runnable and waited for a CPU, nanoseconds.
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
    /// Time in which any task of the machine waited for a CPU, nanoseconds.
    pub pressure_ns: Option<u64>,
    /// Time in which any task of the machine waited for memory, nanoseconds.
    #[serde(default)]
    pub memory_pressure_ns: Option<u64>,
    /// Time in which any task of the machine waited for a disk, nanoseconds.
    #[serde(default)]
    pub io_pressure_ns: Option<u64>,
    /// Time for which the generator's threads were runnable and waited for a CPU, nanoseconds.
    #[serde(default)]
    pub generator_wait_ns: Option<u64>,
    /// The longest delay between a phase of the generator and the reading of the meters, nanoseconds.
    pub meter_lag_ns: u64,
    /// Connections that the server itself says are open, during warm-up (`/stats`).
    pub open_connections: Option<u64>,
    /// TCP sockets of the machine before the generator started.
    pub tcp_sockets_before: u64,
    /// TCP sockets of the machine at the start of the measured time; both ends count on loopback.
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
