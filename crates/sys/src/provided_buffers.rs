//! A ring of buffers from which the kernel takes one when data has arrived (`IORING_REGISTER_PBUF_RING`): a receive
//! that waits occupies no buffer. See io_uring_register(2).

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use rustix::io::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The number of the only buffer group of a ring.
pub(crate) const GROUP: u16 = 0;

/// Who owns a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Kernel,
    /// The caller. The number is the count of received bytes in the buffer.
    Caller(usize),
}

/// Buffers of one size in one mapping, behind the entries that describe them to the kernel.
#[derive(Debug)]
pub(crate) struct ProvidedBuffers {
    mapping: NonNull<c_void>,
    length: usize,
    entries: u16,
    size: usize,
    tail: u16,
    holders: Vec<Holder>,
}

impl ProvidedBuffers {
    /// Maps `entries` buffers, a power of two, of `size` bytes each, and registers them with a ring. Pages are touched
    /// when data is received.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` before Linux 5.19 or if `entries` is not a power of two.
    pub(crate) fn register(ring: &IoUring, entries: u16, size: usize) -> Result<Self> {
        let head = (usize::from(entries) * size_of::<BufRingEntry>()).next_multiple_of(rustix::param::page_size());
        let length = head + usize::from(entries) * size;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of anyone.
        let mapping = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, MapFlags::PRIVATE) }?;
        let Some(mapping) = NonNull::new(mapping) else {
            return Err(Errno::NOMEM);
        };
        let mut buffers = Self {
            mapping,
            length,
            entries,
            size,
            tail: 0,
            holders: vec![Holder::Caller(0); usize::from(entries)],
        };
        // SAFETY: the mapping begins on a page and has room for the entries; it is unmapped only after the group was
        // unregistered (`release`), or never.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(mapping.as_ptr() as u64, entries, GROUP, 0)
        }
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        for buffer in 0..entries {
            buffers.give_back(buffer);
        }
        Ok(buffers)
    }

    /// Records that the kernel has put `received` bytes into a buffer.
    pub(crate) fn taken(&mut self, buffer: u16, received: usize) {
        if let Some(holder) = self.holders.get_mut(usize::from(buffer)) {
            *holder = Holder::Caller(received.min(self.size));
        }
    }

    /// The received bytes in a buffer. Empty if the kernel owns the buffer.
    pub(crate) fn bytes(&self, buffer: u16) -> &[u8] {
        match self.holders.get(usize::from(buffer)) {
            // SAFETY: the address lies in the mapping, which is readable, zeroed at first and lives as long as `self`;
            // the kernel does not write to a buffer between its completion and its return, which needs `&mut self`.
            Some(Holder::Caller(received)) => unsafe { std::slice::from_raw_parts(self.address(buffer), *received) },
            _ => &[],
        }
    }

    /// Returns a buffer to the kernel. Does nothing if the kernel already owns it.
    pub(crate) fn give_back(&mut self, buffer: u16) {
        match self.holders.get_mut(usize::from(buffer)) {
            Some(holder @ Holder::Caller(_)) => *holder = Holder::Kernel,
            _ => return,
        }
        let address = self.address(buffer) as u64;
        let entries = self.mapping.as_ptr().cast::<BufRingEntry>();
        let slot = usize::from(self.tail & (self.entries - 1));
        // SAFETY: the slot is one of the `entries` at the front of the mapping; the kernel reads entries only between
        // its head and the tail, and this one lies behind the tail until the store below. No Rust reference to the
        // entry exists but this one.
        let entry = unsafe { &mut *entries.add(slot) };
        entry.set_addr(address);
        entry.set_len(u32::try_from(self.size).unwrap_or(u32::MAX));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is the aligned field of the first entry that the interface sets aside for it, in the
        // mapping; the kernel only reads it, and this process writes it here alone.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Unregisters and unmaps the buffers. If the kernel refuses, the memory stays mapped.
    pub(crate) fn release(self, ring: &IoUring) {
        if ring.submitter().unregister_buf_ring(GROUP).is_ok() {
            // SAFETY: the mapping is this value's own, nothing borrows from it any more, and the kernel, which receives
            // into it only under the lock that unregistering takes, has forgotten it.
            let _ = unsafe { munmap(self.mapping.as_ptr(), self.length) };
        }
    }

    fn address(&self, buffer: u16) -> *mut u8 {
        let head = self.length - usize::from(self.entries) * self.size;
        // SAFETY: callers pass buffers below `entries`, so the address lies in the mapping.
        unsafe {
            self.mapping
                .as_ptr()
                .cast::<u8>()
                .add(head + usize::from(buffer) * self.size)
        }
    }
}
