//! Memory of a process and of the kernel on its behalf.

use std::fs;

/// Proportional set size of one process, bytes (`Pss` of `/proc/PID/smaps_rollup`): its private pages and its share of
/// those that it shares. `None` when the process is gone or the file may not be read.
#[must_use]
pub fn proportional_set_bytes(pid: u32) -> Option<u64> {
    field_kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

/// Page tables of one process, bytes (`VmPTE` of `/proc/PID/status`). `None` when the process is gone.
#[must_use]
pub fn page_table_bytes(pid: u32) -> Option<u64> {
    field_kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmPTE:")
}

/// What the kernel holds on the whole machine for connections and for tasks, bytes (`/proc/meminfo`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// Slab caches, where sockets, files, epoll items and task structures live.
    pub slab: u64,
    /// Kernel stacks of all tasks.
    pub stacks: u64,
    /// Page tables of all processes.
    pub page_tables: u64,
}

/// Reads [`KernelMemory`]; `None` if the kernel does not report it.
#[must_use]
pub fn kernel_memory() -> Option<KernelMemory> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    Some(KernelMemory {
        slab: field_kib(&text, "Slab:")?,
        stacks: field_kib(&text, "KernelStack:")?,
        page_tables: field_kib(&text, "PageTables:")?,
    })
}

/// Memory that could be used without swapping, bytes; `None` if the kernel does not report it.
#[must_use]
pub fn available_memory() -> Option<u64> {
    field_kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_the_kernel_use_memory() {
        assert!(proportional_set_bytes(std::process::id()).is_some_and(|bytes| bytes > 4096));
        assert!(page_table_bytes(std::process::id()).is_some_and(|bytes| bytes > 4096));
        assert!(available_memory().is_some_and(|bytes| bytes > 4096));
        let kernel = kernel_memory().expect("every Linux reports it");
        assert!(kernel.slab > 4096 && kernel.stacks > 4096 && kernel.page_tables > 4096);
    }
}
