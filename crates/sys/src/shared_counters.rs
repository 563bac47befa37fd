//! Counters that a process shares with the children that it forks: `mmap`.

use std::io;
use std::sync::atomic::AtomicU64;

/// `mmap(MAP_SHARED | MAP_ANONYMOUS)`: `count` counters, all 0, on pages that forked children share. They are never
/// unmapped. See mmap(2).
///
/// # Errors
/// `ENOMEM`.
///
/// # Panics
/// If `count` is 0.
pub fn map(count: usize) -> io::Result<&'static [AtomicU64]> {
    assert!(count > 0, "a mapping is not empty");
    let size = count * size_of::<AtomicU64>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice does not affect existing memory.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, `size` bytes long, readable and writable, never unmapped, and zeroed, which
    // is a valid state of an atomic number; other processes reach it through atomics as well.
    Ok(unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), count) })
}
