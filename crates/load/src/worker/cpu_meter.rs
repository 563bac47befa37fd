//! The CPU time that the calling thread uses during the measured time.

use c10k_sys::rusage::{Usage, of_thread};

use crate::clock::thread_cpu_ns;

/// Measures the calling thread between [`CpuMeter::begin`] and [`CpuMeter::end`].
#[derive(Debug, Default)]
pub(super) struct CpuMeter {
    begin_ns: Option<u64>,
    end_ns: Option<u64>,
    begin_usage: Usage,
    end_usage: Usage,
    /// Time in which the thread polled for the next request without anything else to do.
    polled_ns: u64,
}

impl CpuMeter {
    pub(super) fn has_begun(&self) -> bool {
        self.begin_ns.is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end_ns.is_some()
    }

    pub(super) fn begin(&mut self) {
        self.begin_ns = Some(thread_cpu_ns());
        self.begin_usage = of_thread().unwrap_or_default();
    }

    pub(super) fn end(&mut self) {
        self.end_ns = Some(thread_cpu_ns());
        self.end_usage = of_thread().unwrap_or_default();
    }

    /// The thread has polled without anything else to do.
    pub(super) fn add_polled(&mut self, ns: u64) {
        if self.has_begun() && !self.has_ended() {
            self.polled_ns += ns;
        }
    }

    /// CPU time without polling, nanoseconds.
    pub(super) fn busy_ns(&self) -> u64 {
        let used = self
            .end_ns
            .zip(self.begin_ns)
            .map_or(0, |(end, begin)| end.saturating_sub(begin));
        used.saturating_sub(self.polled_ns)
    }

    /// What the kernel counted for the thread.
    pub(super) fn usage(&self) -> Usage {
        self.end_usage.since(self.begin_usage)
    }
}
