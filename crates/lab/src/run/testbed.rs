//! The test testbed: which CPUs serve and which load, what counts the idle loops, and what this machine limits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use c10k_host::child::pin_this_thread;
use c10k_host::meter::{CpuTicks, IdleCounter, IdleCounterReading, cpu_ticks};
use c10k_host::scratch::Scratch;
use c10k_record::HostFacts;

use crate::LabError;
use crate::executable::{Stamp, stamp};

/// How the CPU is metered without a server before each cell: short windows, of which the fastest counts, since
/// whatever else ran in the others was not there to be measured.
const WINDOWS: u32 = 4;
const WINDOW: Duration = Duration::from_millis(10);

/// Where cells are measured.
#[derive(Debug)]
pub(crate) struct Testbed {
    /// The `c10k` executable.
    pub(super) tool: PathBuf,
    /// Which file that is.
    stamp: Option<Stamp>,
    /// The server's CPU; `None` where there is one CPU for all.
    pub(super) server_cpu: Option<usize>,
    /// Where the generator and the lab run.
    pub(super) client_cpus: Vec<usize>,
    pub(super) idle_counter: Option<IdleCounter>,
    pub(super) baseline: Option<Baseline>,
    calibrated_at: Option<Instant>,
    /// Descriptors that one process may open.
    pub(super) nofile: u64,
    /// Where the servers have their files, if they need any.
    pub(super) disk: Option<Scratch>,
    /// What this machine cannot do, one sentence each.
    pub(super) notes: Vec<String>,
}

/// The server's CPU without a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Baseline {
    pub(super) loops_per_s: f64,
    /// Share of the time that neither the idle counter nor idling took.
    pub(super) busy_share: f64,
}

/// The server's CPU at one instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuReading {
    pub(super) idle_counter: IdleCounterReading,
    pub(super) ticks: CpuTicks,
}

impl CpuReading {
    /// Wall − idle − steal − the idle counter's run time, as a share of the wall time.
    pub(super) fn busy_share_since(&self, earlier: &Self) -> f64 {
        let wall = self
            .idle_counter
            .at
            .duration_since(earlier.idle_counter.at)
            .as_secs_f64();
        let others = (self.ticks.idle + self.ticks.steal).saturating_sub(earlier.ticks.idle + earlier.ticks.steal)
            + self.idle_counter.run_time.saturating_sub(earlier.idle_counter.run_time);
        if wall > 0.0 {
            1.0 - others.as_secs_f64() / wall
        } else {
            0.0
        }
    }
}

impl Testbed {
    /// Divides the CPUs, moves this thread to those of the generator and starts the idle counter. Whatever the machine
    /// refuses becomes a note, and the study runs without it.
    pub(crate) fn set_up(tool: &Path, facts: &HostFacts) -> Self {
        let mut notes = Vec::new();
        let (server_cpu, client_cpus) = match facts.cpus.as_slice() {
            [others @ .., last] if !others.is_empty() => (Some(*last), others.to_vec()),
            _ => {
                notes.push(
                    "There is one CPU: server and generator share it, response times include the generator's work, and \
                     the idle counter is left out."
                        .to_owned(),
                );
                (None, facts.cpus.clone())
            }
        };
        if server_cpu.is_some()
            && let Err(error) = pin_this_thread(&client_cpus)
        {
            notes.push(format!("The lab could not be moved off the server's CPU: {error}."));
        }
        let idle_counter = server_cpu.and_then(|cpu| match IdleCounter::start(cpu) {
            Ok(idle_counter) => Some(idle_counter),
            Err(error) => {
                notes.push(format!("No idle counter: {error}."));
                None
            }
        });
        Self {
            tool: tool.to_owned(),
            stamp: stamp(tool),
            server_cpu,
            client_cpus,
            idle_counter,
            baseline: None,
            calibrated_at: None,
            nofile: facts.limits.nofile_hard.unwrap_or(u64::MAX),
            disk: None,
            notes,
        }
    }

    /// A study measures one executable from its first cell to its last.
    ///
    /// # Errors
    /// When the file has been replaced.
    pub(super) fn same_tool(&self) -> Result<(), LabError> {
        if stamp(&self.tool) == self.stamp {
            return Ok(());
        }
        Err(LabError::ToolReplaced {
            path: self.tool.clone(),
        })
    }

    pub(crate) fn server_cpu(&self) -> Option<usize> {
        self.server_cpu
    }

    pub(crate) fn client_cpus(&self) -> &[usize] {
        &self.client_cpus
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Watches the server's CPU without a server. To be called before each cell, so that a drift of the clock frequency
    /// or of the neighbours does not pass for the server's work.
    pub(crate) fn calibrate(&mut self) {
        let windows: Vec<Baseline> = (0..WINDOWS).filter_map(|_| self.watch_idle()).collect();
        let fastest = windows
            .into_iter()
            .max_by(|one, two| one.loops_per_s.total_cmp(&two.loops_per_s));
        self.baseline = fastest.filter(|window| window.loops_per_s > 0.0);
        self.calibrated_at = Some(Instant::now());
    }

    /// The same, unless it was done less than `interval` ago.
    pub(super) fn calibrate_every(&mut self, interval: Duration) {
        if self.calibrated_at.is_none_or(|at| at.elapsed() >= interval) {
            self.calibrate();
        }
    }

    fn watch_idle(&self) -> Option<Baseline> {
        let before = self.read_cpu()?;
        std::thread::sleep(WINDOW);
        let after = self.read_cpu()?;
        Some(Baseline {
            loops_per_s: after.idle_counter.rate_since(&before.idle_counter),
            busy_share: after.busy_share_since(&before).max(0.0),
        })
    }

    /// `None` without an idle counter.
    pub(super) fn read_cpu(&self) -> Option<CpuReading> {
        let idle_counter = self.idle_counter.as_ref()?.read().ok()?;
        let ticks = cpu_ticks(self.server_cpu?).ok()?;
        Some(CpuReading { idle_counter, ticks })
    }

    pub(super) fn server_cpus(&self) -> Vec<usize> {
        self.server_cpu.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_that_is_replaced_is_noticed() {
        let tool = tempfile::NamedTempFile::new().expect("there is room");
        let testbed = Testbed::set_up(tool.path(), &HostFacts::default());
        testbed.same_tool().expect("it is unchanged");
        std::fs::write(tool.path(), "another").expect("it can be written");
        let error = testbed.same_tool().expect_err("it is another").to_string();
        assert!(error.contains("replaced"), "{error}");
    }

    #[test]
    fn a_single_cpu_is_noted_and_shared() {
        let own = c10k_host::facts::read().cpus;
        let facts = HostFacts {
            cpus: own[..1].to_vec(),
            ..HostFacts::default()
        };
        let mut testbed = Testbed::set_up(Path::new("c10k"), &facts);
        assert_eq!(testbed.server_cpu(), None);
        assert_eq!(testbed.notes().len(), 1);
        testbed.calibrate();
        assert!(testbed.baseline.is_none());
    }

    #[test]
    fn two_cpus_are_divided_and_the_idle_counter_is_calibrated() {
        let facts = c10k_host::facts::read();
        if facts.cpus.len() < 2 {
            eprintln!("skipped: this machine has one CPU");
            return;
        }
        // In a thread of its own: set_up moves the thread that calls it.
        let testbed = std::thread::spawn(move || {
            let mut testbed = Testbed::set_up(Path::new("c10k"), &facts);
            // On a busy machine a thread of the idle class may wait long for its first loop; only a hang takes a minute.
            let deadline = Instant::now() + Duration::from_secs(60);
            while testbed.baseline.is_none() && Instant::now() < deadline {
                testbed.calibrate();
            }
            testbed
        });
        let testbed = testbed.join().expect("it does not panic");
        let server = testbed.server_cpu().expect("there are two");
        assert!(!testbed.client_cpus().contains(&server));
        assert!(testbed.baseline.is_some_and(|baseline| baseline.loops_per_s > 0.0));
    }
}
