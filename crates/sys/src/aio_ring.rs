//! A context of Linux AIO that only polls descriptors: `IOCB_CMD_POLL` (Linux 4.19), once for each request.
//!
//! The kernel copies a request when it is submitted, and finds it again for `io_cancel` by the address from which it was
//! copied. So each request needs an address that no other request of the context has until it has completed:
//! [`PollContext`] has a fixed table of requests, and gives an entry away again only when it has taken the completion of the
//! former one.
//!
//! Completions are read from the ring that the kernel maps into the process, without a system call. It holds the completion
//! of every request of the table, so it never overflows.

use crate::{poll::errno, timeout};
use rustix::io::{Errno, Result};
use std::{
    ffi::{c_long, c_ulong},
    mem::{MaybeUninit, offset_of},
    os::fd::RawFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// `IOCB_CMD_POLL`.
const COMMAND_POLL: u16 = 5;
/// `AIO_RING_MAGIC`.
const MAGIC: u32 = 0xa10a_10a1;

/// `struct iocb` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Request {
    data: u64,
    #[cfg(target_endian = "big")]
    flags_of_io: u32,
    /// Written by `io_submit`, read by `io_cancel`.
    key: u32,
    #[cfg(target_endian = "little")]
    flags_of_io: u32,
    command: u16,
    priority: i16,
    fd: u32,
    /// The bits of `poll(2)`.
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    eventfd: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Event {
    data: u64,
    /// The address of the request.
    object: u64,
    result: i64,
    result2: i64,
}

/// `struct aio_ring` of `fs/aio.c`, which the events follow.
#[repr(C)]
struct Header {
    /// The kernel reads it to find the context.
    id: AtomicU32,
    /// The number of events that there is room for.
    room: AtomicU32,
    /// The next event to take.
    head: AtomicU32,
    /// The next event that the kernel will write.
    tail: AtomicU32,
    magic: AtomicU32,
    compatible_features: AtomicU32,
    incompatible_features: AtomicU32,
    header_length: AtomicU32,
}

const _: () = assert!(size_of::<Request>() == 64 && offset_of!(Request, command) == 16);
const _: () = assert!(size_of::<Event>() == 32 && size_of::<Header>() == 32);

/// One completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request's user data.
    pub data: u64,
    /// The conditions found, as bits of `poll(2)`: 0 if the request was cancelled. A condition that was not asked for may be
    /// among them, and for a request that waited, one of its wake-up that does not hold (`POLLPRI` with any data).
    pub result: std::result::Result<u16, Errno>,
}

/// Names a request until its completion is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// A context for poll requests. Any thread may use it. In a forked child it does not exist (`EINVAL`), and a child must not
/// take completions: it shares the ring with its parent.
#[derive(Debug)]
pub struct PollContext {
    /// The kernel's name of the context: the address of the ring. 0 after [`destroy`](Self::destroy).
    id: c_ulong,
    ring: NonNull<Header>,
    /// The number of events that there is room for in the ring.
    room: u32,
    /// The table of requests, from `Box::leak`. All accesses go through this pointer.
    requests: NonNull<[Request]>,
    /// The entries of the table that no request has.
    free: Vec<u32>,
    /// The requests that are to be submitted.
    queued: Vec<*mut Request>,
}

// SAFETY: the ring and the table belong to this value alone. The context belongs to the process, so that any thread may make
// its calls.
unsafe impl Send for PollContext {}

impl PollContext {
    /// `io_setup(2)`: a context for this many requests at a time.
    ///
    /// # Errors
    /// `ENOSYS`: the kernel was built without `CONFIG_AIO`, or a seccomp profile hides it; `EAGAIN`: all contexts of the
    /// system together would be for more requests than `fs.aio-max-nr`; `EINVAL`: none, or millions; `ENOMEM`;
    /// `EOPNOTSUPP`: the ring of this kernel is laid out in another way.
    pub fn open(capacity: u32) -> Result<Self> {
        let mut id: c_ulong = 0;
        // SAFETY: io_setup writes the context's name to the second argument, which is live.
        returned(unsafe { libc::syscall(libc::SYS_io_setup, capacity, &raw mut id) })?;
        let ring =
            NonNull::new(std::ptr::with_exposed_provenance_mut::<Header>(id as usize)).ok_or(Errno::OPNOTSUPP)?;
        let table = Box::<[Request]>::from(vec![Request::default(); capacity as usize]);
        let mut context = Self {
            id,
            ring,
            room: 0,
            requests: NonNull::from(Box::leak(table)),
            free: (0..capacity).rev().collect(),
            queued: Vec::with_capacity(capacity as usize),
        };
        let header = context.header();
        let is_known = header.magic.load(Ordering::Relaxed) == MAGIC
            && header.incompatible_features.load(Ordering::Relaxed) == 0
            && header.header_length.load(Ordering::Relaxed) as usize == size_of::<Header>();
        if !is_known {
            return Err(Errno::OPNOTSUPP);
        }
        context.room = header.room.load(Ordering::Relaxed);
        Ok(context)
    }

    /// Whether [`destroy`](Self::destroy) is allowed: `io_destroy` of no context, which the kernel answers with `EINVAL`.
    ///
    /// # Errors
    /// Any other error, for instance that of a seccomp profile.
    pub fn may_destroy() -> Result<()> {
        // SAFETY: io_destroy takes a name; 0 names no context.
        match returned(unsafe { libc::syscall(libc::SYS_io_destroy, c_ulong::MIN) }) {
            Ok(_) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// How many requests there can be at a time, from [`queue`](Self::queue) until their completions are taken.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.requests.len()
    }

    /// Queues a request for `bits`, those of `poll(2)`, for the next [`submit`](Self::submit). The descriptor must be open
    /// then. `None` if the capacity is used up.
    #[must_use]
    pub fn queue(&mut self, fd: RawFd, bits: u16, data: u64) -> Option<Ticket> {
        let ticket = Ticket(self.free.pop()?);
        let request = self.address(ticket)?;
        let content = Request {
            data,
            command: COMMAND_POLL,
            fd: fd.cast_unsigned(),
            buffer: bits.into(),
            ..Request::default()
        };
        // SAFETY: `address` is that of an entry of the table, which lives as long as this value; no reference to an entry
        // exists, and the kernel uses an entry only in calls.
        unsafe { request.write(content) };
        self.queued.push(request);
        Some(ticket)
    }

    /// How many requests are queued.
    #[must_use]
    #[inline]
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// `io_submit(2)`: submits the queued requests in their order, up to one that the kernel refuses. If a condition of a
    /// request already holds, it completes in this call.
    ///
    /// # Errors
    /// For the first request: `EBADF` if the descriptor is not open; `EINVAL` if its file has no wait queue or several, or
    /// before Linux 4.19. For all: `ENOMEM`, or the error of a seccomp profile. The requests stay queued.
    pub fn submit(&mut self) -> Result<()> {
        let (count, first) = (self.queued.len(), self.queued.as_mut_ptr());
        // SAFETY: the third argument is an array of `count` addresses of entries of the table, which are live. The kernel
        // copies the requests and writes their keys in this call only. A poll request refers to no memory.
        let taken = returned(unsafe { libc::syscall(libc::SYS_io_submit, self.id, count, first) })?;
        self.queued.drain(..taken.min(self.queued.len()));
        // The kernel takes one at least, or returns an error.
        if taken > 0 || self.queued.is_empty() {
            Ok(())
        } else {
            Err(Errno::AGAIN)
        }
    }

    /// Drops the first queued request, which the kernel has refused. Returns its user data.
    pub fn drop_first(&mut self) -> Option<u64> {
        let is_some = !self.queued.is_empty();
        is_some
            .then(|| self.queued.remove(0))
            .map(|first| self.drop_queued(first))
    }

    /// Drops the last queued request. Returns its user data.
    pub fn drop_last(&mut self) -> Option<u64> {
        self.queued.pop().map(|last| self.drop_queued(last))
    }

    fn drop_queued(&mut self, request: *mut Request) -> u64 {
        self.release(request.addr() as u64);
        // SAFETY: the address is that of an entry of the table, written by `queue`.
        unsafe { (*request).data }
    }

    /// `io_cancel(2)`: ends a request. Its completion follows nevertheless, in a moment, and is that of its event if it could
    /// not be ended any more.
    ///
    /// The kernel searches its list of requests, from the oldest.
    ///
    /// # Errors
    /// `EINVAL`: it has completed, or is just being completed. Or the error of a seccomp profile.
    pub fn cancel(&mut self, ticket: Ticket) -> Result<()> {
        let request = self.address(ticket).ok_or(Errno::INVAL)?;
        let mut unused = MaybeUninit::<Event>::uninit();
        // SAFETY: the kernel reads the key of a live entry of the table, and only compares its address otherwise. There is
        // room for an event, which old kernels write.
        match returned(unsafe { libc::syscall(libc::SYS_io_cancel, self.id, request, unused.as_mut_ptr()) }) {
            Ok(_) | Err(Errno::INPROGRESS) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the ring holds completions. Makes no system call.
    #[must_use]
    #[inline]
    pub fn holds_completions(&self) -> bool {
        let header = self.header();
        header.head.load(Ordering::Relaxed) != header.tail.load(Ordering::Acquire)
    }

    /// Takes one completion from the ring. Makes no system call.
    #[inline]
    pub fn pop(&mut self) -> Option<Completion> {
        let header = self.header();
        let head = header.head.load(Ordering::Relaxed);
        // Acquire: the kernel writes an event before it moves the tail.
        if head == header.tail.load(Ordering::Acquire) || head >= self.room {
            return None;
        }
        // SAFETY: the kernel maps a header and `room` events. The one at `head` is not at the tail, so the kernel has written
        // it and does not touch it before the head has moved.
        let event = unsafe { self.ring.add(1).cast::<Event>().add(head as usize).read() };
        let next = if head + 1 == self.room { 0 } else { head + 1 };
        // Release: the event was read before the kernel may overwrite it.
        self.header().head.store(next, Ordering::Release);
        Some(self.complete(event))
    }

    /// `io_getevents(2)`: waits until there is a completion, and takes it. Without a timeout it waits without a limit. `None`
    /// after the timeout.
    ///
    /// # Errors
    /// `EINTR`; `EINVAL` in a forked child.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Completion>> {
        let timeout = timeout.map(|timeout| timeout::timespec(timeout.min(timeout::LONGEST)));
        let until = timeout::pointer(timeout.as_ref());
        let mut event = MaybeUninit::<Event>::uninit();
        let (least, most): (c_long, c_long) = (1, 1);
        let first = event.as_mut_ptr();
        // SAFETY: there is room for the one event that is asked for, and the timeout is null or a live timespec.
        let taken = returned(unsafe { libc::syscall(libc::SYS_io_getevents, self.id, least, most, first, until) })?;
        if taken == 0 {
            return Ok(None);
        }
        // SAFETY: the kernel has written one event.
        let event = unsafe { event.assume_init() };
        Ok(Some(self.complete(event)))
    }

    /// `io_destroy(2)`: ends all requests, waits until they have ended, and removes the context. Completions that were not
    /// taken are lost. Nothing can be done with the context afterwards.
    ///
    /// # Errors
    /// Those of a seccomp profile; the context is then unchanged. `EINVAL` in a forked child.
    pub fn destroy(&mut self) -> Result<()> {
        if self.id == 0 {
            return Ok(());
        }
        // SAFETY: the kernel unmaps the ring. `id` becomes 0 and the ring is then not accessed any more.
        returned(unsafe { libc::syscall(libc::SYS_io_destroy, self.id) })?;
        self.id = 0;
        self.ring = NonNull::from(&GONE);
        Ok(())
    }

    fn header(&self) -> &Header {
        // SAFETY: the ring is mapped, page-aligned and readable until `destroy`, which replaces the pointer; a forked child
        // inherits the mapping. The fields are atomic, as the kernel writes some of them at any time.
        unsafe { self.ring.as_ref() }
    }

    /// The address of a request; `None` if the ticket is not of this context.
    fn address(&self, ticket: Ticket) -> Option<*mut Request> {
        let index = ticket.0 as usize;
        // SAFETY: the index is within the table.
        (index < self.requests.len()).then(|| unsafe { self.requests.cast::<Request>().add(index).as_ptr() })
    }

    /// Makes the entry of a request available for another one.
    #[inline]
    fn release(&mut self, address: u64) {
        let offset = address.wrapping_sub(self.requests.cast::<Request>().addr().get() as u64);
        let index = offset / size_of::<Request>() as u64;
        if index < self.requests.len() as u64 {
            self.free.push(index as u32);
        }
    }

    #[inline]
    fn complete(&mut self, event: Event) -> Completion {
        self.release(event.object);
        let result = u16::try_from(event.result).map_err(|_| match i32::try_from(event.result.wrapping_neg()) {
            Ok(number @ 1..=4_095) => Errno::from_raw_os_error(number),
            _ => Errno::IO,
        });
        Completion {
            data: event.data,
            result,
        }
    }
}

impl Drop for PollContext {
    fn drop(&mut self) {
        // It fails in a forked child, where the context does not exist; there is nothing to end.
        let _ = self.destroy();
        // SAFETY: the table came from `Box::leak`, and no reference to it exists. The kernel uses it in calls only.
        drop(unsafe { Box::from_raw(self.requests.as_ptr()) });
    }
}

/// The ring of a context that was destroyed: empty.
static GONE: Header = Header {
    id: AtomicU32::new(0),
    room: AtomicU32::new(0),
    head: AtomicU32::new(0),
    tail: AtomicU32::new(0),
    magic: AtomicU32::new(0),
    compatible_features: AtomicU32::new(0),
    incompatible_features: AtomicU32::new(0),
    header_length: AtomicU32::new(0),
};

/// What a system call returned. The C library has no functions for those of AIO.
fn returned(result: c_long) -> Result<usize> {
    usize::try_from(result).map_err(|_| errno())
}
