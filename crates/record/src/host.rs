//! The machine that a result was measured on, as the manifest of a study and `c10k doctor` state it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What can make results differ between two machines, or between two days on the same machine.
///
/// A fact that the kernel does not report is `None`, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub architecture: String,
    /// Name of the processor, as it reports it.
    pub cpu_model: Option<String>,
    /// CPUs that this process may run on.
    pub cpus: Vec<usize>,
    /// Physical memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Whether the kernel runs as the guest of a hypervisor.
    pub virtual_machine: Option<bool>,
    /// `current_clocksource`.
    pub clock_source: Option<String>,
    /// How the kernel divides CPU time into user, system and idle: `tick`, `virt-gen` or `virt-native`.
    pub cpu_accounting: Option<String>,
    /// Timer interrupts per second (`CONFIG_HZ`).
    pub timer_hz: Option<u32>,
    /// CPU vulnerability mitigations, by name.
    pub mitigations: BTreeMap<String, String>,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// Resource limits of this process.
    pub limits: ProcessLimits,
    /// Kernel settings that limit a server or a load generator, by their names under `/proc/sys` with dots.
    pub sysctls: BTreeMap<String, String>,
    /// Load average over the last minute.
    pub load_average: Option<f64>,
    /// Share of the last 10 s in which a task waited for a CPU, percent (`/proc/pressure/cpu`, `some avg10`).
    pub cpu_pressure_percent: Option<f64>,
    /// CPU time stolen by the hypervisor since boot, as a share of all CPU time, percent.
    pub steal_percent: Option<f64>,
}

/// Resource limits of a process; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Open descriptors, soft limit.
    pub nofile_soft: Option<u64>,
    /// Open descriptors, hard limit.
    pub nofile_hard: Option<u64>,
    /// Queued signals of the user, soft limit.
    pub sigpending_soft: Option<u64>,
    /// Processes and threads of the user, soft limit.
    pub nproc_soft: Option<u64>,
    /// Locked memory, bytes, soft limit.
    pub memlock_soft_bytes: Option<u64>,
}
