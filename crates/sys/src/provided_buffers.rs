//! A ring of buffers from which the kernel takes one when data has arrived (`IORING_REGISTER_PBUF_RING`): a receive
//! that waits occupies no buffer. See io_uring_register(2).

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use rustix::io::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::stream_ring::Placement;

/// The number of the only buffer group of a ring.
pub(crate) const GROUP: u16 = 0;

/// The kernel takes a buffer part by part (`IOU_PBUF_RING_INC`).
const INCREMENTAL: u16 = 2;

/// Received bytes. The caller owns them until they are given back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Received {
    /// The first buffer, or the only one.
    buffer: u16,
    /// Where they start in it.
    start: usize,
    bytes: usize,
}

/// What is left to be read of received bytes, which cannot be given back meanwhile.
#[derive(Debug)]
pub struct Rest<'r> {
    /// The buffer, the position in it, and the number of bytes.
    next: Option<(u16, usize, usize)>,
    received: PhantomData<&'r Received>,
}

impl Received {
    /// All of it.
    #[must_use]
    pub fn rest(&self) -> Rest<'_> {
        Rest {
            next: Some((self.buffer, self.start, self.bytes)),
            received: PhantomData,
        }
    }
}

/// Who owns a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Buffer {
    /// Whether the kernel may still receive into it.
    with_kernel: bool,
    /// How many bytes it has received since the kernel got it.
    filled: usize,
    /// How many [`Received`] values have bytes of it.
    held: u32,
    /// In a bundle, the buffer that follows.
    next: u16,
}

impl Buffer {
    fn with_caller() -> Buffer {
        Buffer {
            with_kernel: false,
            filled: 0,
            held: 0,
            next: 0,
        }
    }
}

/// Buffers of one size in one mapping, behind the entries that describe them to the kernel.
#[derive(Debug)]
pub(crate) struct ProvidedBuffers {
    mapping: NonNull<c_void>,
    length: usize,
    entries: u16,
    size: usize,
    tail: u16,
    placement: Placement,
    buffers: Vec<Buffer>,
    /// The buffer in each place of the ring, in the order in which the kernel takes them.
    places: Vec<u16>,
    /// The place of each buffer.
    place_of: Vec<u16>,
}

impl ProvidedBuffers {
    /// Maps `entries` buffers, a power of two, of `size` bytes each, and registers them with a ring. The kernel takes
    /// one after the other, so all are soon in use; their pages are made here, and not by the requests that first reach them.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` before Linux 5.19 (6.12 for [`Placement::Incremental`]) or if `entries` is not a power of two.
    pub(crate) fn register(ring: &IoUring, entries: u16, size: usize, placement: Placement) -> Result<Self> {
        let head = (usize::from(entries) * size_of::<BufRingEntry>()).next_multiple_of(rustix::param::page_size());
        let length = head + usize::from(entries) * size;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of anyone.
        let mapping = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                length,
                access,
                MapFlags::PRIVATE | MapFlags::POPULATE,
            )
        }?;
        let Some(mapping) = NonNull::new(mapping) else {
            return Err(Errno::NOMEM);
        };
        let mut buffers = Self {
            mapping,
            length,
            entries,
            size,
            tail: 0,
            placement,
            buffers: vec![Buffer::with_caller(); usize::from(entries)],
            places: vec![0; usize::from(entries)],
            place_of: vec![0; usize::from(entries)],
        };
        let flags = match placement {
            Placement::Incremental => INCREMENTAL,
            Placement::Whole | Placement::Bundle => 0,
        };
        // SAFETY: the mapping begins on a page and has room for the entries; it is unmapped only after the group was
        // unregistered (`release`), or never.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(mapping.as_ptr() as u64, entries, GROUP, flags)
        }
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        for buffer in 0..entries {
            buffers.offer(buffer);
        }
        Ok(buffers)
    }

    /// The bytes of a completion, which names the first buffer; `more`: the kernel continues in the same buffer.
    pub(crate) fn taken(&mut self, buffer: u16, bytes: usize, more: bool) -> Received {
        let buffer = buffer & (self.entries - 1);
        match self.placement {
            Placement::Incremental => self.take_part(buffer, bytes, more),
            Placement::Whole => self.take_whole(buffer, bytes.min(self.size)),
            Placement::Bundle => self.take_whole(buffer, bytes),
        }
    }

    fn take_part(&mut self, buffer: u16, bytes: usize, more: bool) -> Received {
        let size = self.size;
        let state = &mut self.buffers[usize::from(buffer)];
        let start = state.filled;
        state.filled = (start + bytes).min(size);
        state.held += 1;
        state.with_kernel = more;
        Received {
            buffer,
            start,
            bytes: state.filled - start,
        }
    }

    /// Takes one buffer, or as many as the bytes fill. The kernel has taken them one after the other from the ring, and ring and
    /// completions are written under one lock, so the places behind the first still name them.
    fn take_whole(&mut self, first: u16, bytes: usize) -> Received {
        let (mut buffer, mut left) = (first, bytes);
        loop {
            let place = self.place_of[usize::from(buffer)];
            let next = self.places[usize::from((place + 1) & (self.entries - 1))];
            let filled = left.min(self.size);
            self.buffers[usize::from(buffer)] = Buffer {
                with_kernel: false,
                filled,
                held: 1,
                next,
            };
            left -= filled;
            if left == 0 {
                return Received {
                    buffer: first,
                    start: 0,
                    bytes,
                };
            }
            let is_kernels = self.buffers[usize::from(next)].with_kernel;
            assert!(
                is_kernels,
                "the kernel has received into a buffer that it does not have"
            );
            buffer = next;
        }
    }

    /// The next part of received bytes, which lies in one buffer.
    pub(crate) fn next_part(&self, rest: &mut Rest<'_>) -> Option<&[u8]> {
        let (buffer, start, bytes) = rest.next?;
        let here = bytes.min(self.size - start);
        rest.next = (bytes > here).then(|| (self.buffers[usize::from(buffer)].next, 0, bytes - here));
        // SAFETY: the range lies in the buffer and so in the mapping, which is readable, zeroed at first and lives as long as
        // `self`; the kernel has completed these bytes and writes there again only after the `Received` value was given
        // back, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(self.address(buffer).add(start), here) })
    }

    /// Takes received bytes back: each buffer of which none are left is offered to the kernel again.
    #[allow(clippy::needless_pass_by_value, reason = "the caller loses the bytes")]
    pub(crate) fn give_back(&mut self, received: Received) {
        let (mut buffer, mut left) = (received.buffer, received.bytes + received.start);
        loop {
            let state = &mut self.buffers[usize::from(buffer)];
            let next = state.next;
            left = left.saturating_sub(self.size);
            state.held = state.held.saturating_sub(1);
            if state.held == 0 && !state.with_kernel {
                self.offer(buffer);
            }
            if left == 0 || self.placement == Placement::Incremental {
                return;
            }
            buffer = next;
        }
    }

    /// Puts a buffer that is the caller's into the ring.
    fn offer(&mut self, buffer: u16) {
        self.buffers[usize::from(buffer)] = Buffer {
            with_kernel: true,
            ..Buffer::with_caller()
        };
        let address = self.address(buffer) as u64;
        let entries = self.mapping.as_ptr().cast::<BufRingEntry>();
        let place = self.tail & (self.entries - 1);
        self.places[usize::from(place)] = buffer;
        self.place_of[usize::from(buffer)] = place;
        // SAFETY: the place is one of the `entries` at the front of the mapping; the kernel reads entries only between
        // its head and the tail, and this one lies behind the tail until the store below. No Rust reference to the
        // entry exists but this one.
        let entry = unsafe { &mut *entries.add(usize::from(place)) };
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
