//! Memory of a process and of the kernel on its behalf.

use std::fs;

/// Proportional set size of one process, bytes (`Pss` of `/proc/PID/smaps_rollup`): its private pages and its share of
/// those that it shares. `None` when the process is gone or the file may not be read.
#[must_use]
pub fn proportional_set_bytes(pid: u32) -> Option<u64> {
    field_kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

/// Memory in the kernel's slab caches, where sockets, files and epoll items live, bytes, on the whole machine.
#[must_use]
pub fn kernel_slab_bytes() -> Option<u64> {
    field_kib(&fs::read_to_string("/proc/meminfo").ok()?, "Slab:")
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
        assert!(kernel_slab_bytes().is_some_and(|bytes| bytes > 4096));
    }
}
