//! The kernel's work on received packets.
//!
//! A packet over loopback waits in a queue of its receiver, and whoever runs works the queue off. If that takes too long, the kernel
//! leaves it to a thread, `ksoftirqd`, which shares the processor with the server like any process. The generator runs before both: it
//! fills the queue (of 1,000 packets) while the thread waits, packets are lost, and what is measured is how TCP recovers from that.
//! On a wire the network card's interrupt takes the processor instead. So here the thread runs before all others, and the queue has
//! room for every packet of a run.

use std::fs;

use c10k_sys::scheduling::{Class, set_of};
use rustix::process::Pid;

use crate::workload::error::WorkloadError;

/// The queue of received packets of a processor, in packets (the kernel's `Documentation/admin-guide/sysctl/net.rst`).
const QUEUE: (&str, &str) = ("/proc/sys/net/core/netdev_max_backlog", "1000000");

/// The kernel's thread on the only processor.
const THREAD: &str = "ksoftirqd/0";

/// Lets the kernel's thread receive before anything else runs, and every packet wait for it.
pub(super) fn receive_first() -> Result<(), WorkloadError> {
    fs::write(QUEUE.0, QUEUE.1).map_err(|error| WorkloadError::Io("lengthen the queue of received packets", error))?;
    let failed = |error| WorkloadError::Io("let ksoftirqd run first (SCHED_FIFO)", error);
    set_of(thread().map_err(failed)?, Class::Fifo { priority: 2 }).map_err(failed)
}

fn thread() -> std::io::Result<Pid> {
    let is_it = |pid: &Pid| {
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim_end() == THREAD)
    };
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let mut found = pids.filter(is_it);
    found.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
}
