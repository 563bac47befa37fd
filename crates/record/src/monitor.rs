//! What `c10k monitor serve` sends and prints: samples of a host, and the totals of a run.

use serde::{Deserialize, Serialize};

/// One sample of a host: `GET /sample`, and a line of `GET /stream`.
///
/// Figures that grow (times, bytes, packets, operations) are totals since the host was started. A rate is the difference of two
/// samples, so a sample that was missed makes no rate wrong. A group that the kernel does not report is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MonitorSample {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the host.
    pub host: String,
    /// The number of the sample, from 1. One process counts up; a restarted one begins anew.
    pub sequence: u64,
    /// When it was made, nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// The intended time from one sample to the next, nanoseconds.
    pub period_ns: u64,
    /// Time since the host was started, nanoseconds.
    pub uptime_ns: Option<u64>,
    /// Load averages, and how many tasks there are.
    pub load: Option<MonitorLoad>,
    /// CPU time of all CPUs.
    pub cpu: Option<MonitorCpu>,
    /// Memory.
    pub memory: Option<MonitorMemory>,
    /// The sum of all network interfaces but the loopback interface.
    pub network: Option<MonitorNetwork>,
    /// The sum of all disks; partitions and devices that are stacked on disks are not counted again.
    pub disks: Option<MonitorDisks>,
}

/// `/proc/loadavg`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MonitorLoad {
    /// Load average over the last minute.
    pub load_1: f64,
    /// Load average over the last 5 minutes.
    pub load_5: f64,
    /// Load average over the last 15 minutes.
    pub load_15: f64,
    /// Tasks (processes and threads) that run or wait for a CPU now.
    pub tasks_running: u64,
    /// Tasks that exist now.
    pub tasks: u64,
}

/// `/proc/stat`: what the CPUs did since the start of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorCpu {
    /// CPUs that are online.
    pub cpus: u64,
    /// Time in user mode, `nice` included, nanoseconds.
    pub user_ns: u64,
    /// Time in kernel mode, interrupts included, nanoseconds.
    pub system_ns: u64,
    /// Idle time, nanoseconds.
    pub idle_ns: u64,
    /// Idle time during which a task waited for a disk, nanoseconds.
    pub iowait_ns: u64,
    /// Time that a hypervisor gave to others, nanoseconds.
    pub steal_ns: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Processes and threads that were created.
    pub forks: u64,
}

impl MonitorCpu {
    /// The share of the time since `earlier` in which the CPUs were not idle, 0 to 1; `None` if no time has passed, or the host
    /// was started in between.
    #[must_use]
    pub fn busy_since(&self, earlier: &MonitorCpu) -> Option<f64> {
        // A sample may come from anywhere, with any numbers.
        let sum = |parts: &[u64]| parts.iter().map(|&part| u128::from(part)).sum::<u128>();
        let idle = |cpu: &MonitorCpu| sum(&[cpu.idle_ns, cpu.iowait_ns]);
        let all = |cpu: &MonitorCpu| sum(&[cpu.user_ns, cpu.system_ns, cpu.steal_ns]) + idle(cpu);
        let passed = all(self).checked_sub(all(earlier)).filter(|&passed| passed > 0)?;
        // The kernel may correct idle and waiting time downwards.
        let idle = idle(self).saturating_sub(idle(earlier)).min(passed);
        Some((passed - idle) as f64 / passed as f64)
    }
}

/// `/proc/meminfo`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorMemory {
    /// Memory, bytes.
    pub total_bytes: u64,
    /// Memory that can be had without swapping, bytes; `None` before Linux 3.14.
    pub available_bytes: Option<u64>,
    /// Memory that nothing uses, bytes.
    pub free_bytes: u64,
    /// Swap space, bytes.
    pub swap_total_bytes: u64,
    /// Swap space that nothing uses, bytes.
    pub swap_free_bytes: u64,
}

impl MonitorMemory {
    /// The share of the memory that is not available, 0 to 1; `None` if the kernel does not say.
    #[must_use]
    pub fn used(&self) -> Option<f64> {
        let available = self.available_bytes?.min(self.total_bytes);
        (self.total_bytes > 0).then(|| (self.total_bytes - available) as f64 / self.total_bytes as f64)
    }
}

/// `/proc/net/dev`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorNetwork {
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Packets that were received with an error, or dropped.
    pub receive_failures: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets that could not be sent.
    pub send_failures: u64,
}

/// `/proc/diskstats`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorDisks {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads that were completed.
    pub reads: u64,
    /// Writes that were completed.
    pub writes: u64,
}

/// One line of `c10k monitor serve --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum MonitorRecord {
    /// The listener accepts connections.
    Listening {
        /// [`crate::SCHEMA`].
        schema: u32,
        /// The bound address. If port 0 was requested, it has the port that the kernel chose.
        address: String,
        /// Process id of the daemon; with child processes, that of their parent.
        pid: u32,
    },
    /// The daemon has drained and is about to exit.
    Summary(Box<MonitorSummary>),
}

/// The totals of one run of the daemon, including threads and child processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorSummary {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the concurrency model.
    pub model: String,
    /// Name of the event mechanism; absent for models that have none.
    pub mechanism: Option<String>,
    /// Connections accepted.
    pub accepted: u64,
    /// Well-formed requests for something that there is.
    pub requests: u64,
    /// Requests refused with a 4xx or 5xx status.
    pub refused: u64,
    /// Connections closed because a deadline passed.
    pub timeouts: u64,
    /// Subscribers: connections whose request for `/stream` was answered with a stream.
    pub subscribers: u64,
    /// The highest number of subscribers at once.
    pub subscribers_max: u64,
    /// Samples made.
    pub samples: u64,
    /// Periods that passed without a sample although somebody had subscribed, because the process was late.
    pub periods_missed: u64,
    /// Lines that were due: for each sample, the number of subscribers at that time.
    pub lines_due: u64,
    /// Lines whose last byte was handed to the kernel.
    pub lines_sent: u64,
    /// Lines that were not begun because the subscriber had not read the earlier ones.
    pub lines_skipped: u64,
    /// Lines that were begun and not finished, or failed, because the connection ended.
    pub lines_cut: u64,
    /// Child processes that died.
    pub lost_children: u64,
    /// CPU time in user mode, nanoseconds.
    pub cpu_user_ns: u64,
    /// CPU time in kernel mode, nanoseconds.
    pub cpu_system_ns: u64,
}

impl MonitorSummary {
    /// Whether the lines add up: due = sent + skipped + cut. A child that died has not reported its lines.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        self.lost_children > 0 || self.lines_due == self.lines_sent + self.lines_skipped + self.lines_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busy_share_is_that_of_the_time_between_two_samples() {
        let cpu = |user_ns, idle_ns, iowait_ns| MonitorCpu {
            user_ns,
            idle_ns,
            iowait_ns,
            ..MonitorCpu::default()
        };
        let earlier = cpu(100, 1000, 10);
        assert_eq!(cpu(125, 1060, 25).busy_since(&earlier), Some(0.25));
        assert_eq!(earlier.busy_since(&earlier), None, "no time has passed");
        assert_eq!(cpu(1, 2, 3).busy_since(&earlier), None, "the host was started anew");
        assert_eq!(cpu(200, 1000, 5).busy_since(&earlier), Some(1.0), "corrected downwards");
        let largest = cpu(u64::MAX, u64::MAX, u64::MAX);
        assert!(
            largest.busy_since(&earlier).is_some_and(|share| share < 0.4),
            "no overflow"
        );
    }

    #[test]
    fn used_memory_is_what_is_not_available() {
        let memory = MonitorMemory {
            total_bytes: 1000,
            available_bytes: Some(250),
            ..MonitorMemory::default()
        };
        assert_eq!(memory.used(), Some(0.75));
        let unknown = MonitorMemory {
            available_bytes: None,
            ..memory
        };
        assert_eq!(unknown.used(), None);
    }

    #[test]
    fn a_line_that_is_not_accounted_for_does_not_reconcile() {
        let mut summary = MonitorSummary {
            lines_due: 6,
            lines_sent: 3,
            lines_skipped: 2,
            lines_cut: 1,
            ..MonitorSummary::default()
        };
        assert!(summary.reconciles());
        summary.lines_sent = 2;
        assert!(!summary.reconciles());
    }
}
