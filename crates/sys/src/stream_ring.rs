//! An io_uring that accepts, receives and sends. It uses multishot accept and receive, and provided buffers. The ring
//! owns the memory of a send until the send has completed.
//!
//! Descriptors are passed as numbers. A queued request applies to the file that has the number when the kernel
//! takes the request, so close a socket only after its requests have ended.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use rustix::io::{Errno, Result};
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::poll_ring::Shots;
use crate::provided_buffers::{GROUP, ProvidedBuffers};

/// The kind of a request, in the upper half of its user data. The lower half is the number of the caller or the index
/// of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Accept,
    Receive,
    Send,
    Read,
    Poll,
    Cancel,
}

impl Kind {
    fn with(self, data: u32) -> u64 {
        u64::from(self as u32) << 32 | u64::from(data)
    }

    fn of(data: u64) -> Kind {
        let kinds = [Kind::Accept, Kind::Receive, Kind::Send, Kind::Read, Kind::Poll];
        kinds.get((data >> 32) as usize).copied().unwrap_or(Kind::Cancel)
    }
}

/// The longest timeout handed to the kernel: it adds the current time to it without an overflow check.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// The maximum number of boxes that are kept for later sends.
const SPARE: usize = 256;

/// How often dropping a ring waits for the end of its requests, and for how long each time.
const DRAIN_ATTEMPTS: u32 = 100;
const DRAIN_WAIT: Duration = Duration::from_millis(10);

/// How queued requests reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// By `io_uring_enter`, which also does the pending work of the ring (`IORING_SETUP_DEFER_TASKRUN`).
    Enter,
    /// By a kernel thread that polls for requests and sleeps after it has found none for this time
    /// (`IORING_SETUP_SQPOLL`). If the calling thread may run on one CPU only, the kernel thread is bound to it.
    KernelThread {
        /// The time until it sleeps, in milliseconds.
        idle_ms: u32,
    },
}

/// The sizes of a ring, and how it submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of requests that can be queued, rounded up to a power of two.
    pub submissions: u32,
    /// The number of completions in the ring, rounded up to a power of two. Further completions wait in the kernel.
    pub completions: u32,
    /// The number of receive buffers, a power of two.
    pub buffers: u16,
    /// The size of each buffer, in bytes.
    pub buffer_size: usize,
    /// How requests are submitted.
    pub submission: Submission,
}

/// A send in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendId(u32);

/// A buffer with received bytes. The caller owns it until it is returned.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Received(u16);

/// One completion.
#[derive(Debug)]
pub enum Completion {
    /// The completion of an accept.
    Accepted {
        /// The connection: close-on-exec, blocking.
        connection: Result<OwnedFd>,
        /// Whether the request stays active (`IORING_CQE_F_MORE`).
        more: bool,
    },
    /// The completion of a receive.
    Received {
        /// The number of the request.
        data: u32,
        /// The buffer that was filled; `None` at the end of the stream. `ENOBUFS` if no buffer was free.
        outcome: Result<Option<Received>>,
        /// Whether the request stays active.
        more: bool,
    },
    /// The completion of a send. It returns the memory of the send.
    Sent {
        /// The number of the request.
        data: u32,
        /// The number of bytes sent, or the error.
        outcome: Result<usize>,
        /// The first part of the data.
        head: Vec<u8>,
        /// The position in `head` at which the send started.
        from: usize,
    },
    /// The completion of a read from a file.
    Read {
        /// The number of the request.
        data: u32,
        /// The number of bytes read (0 at the end of the file), or the error.
        outcome: Result<usize>,
        /// The bytes that the caller passed, followed by the bytes read.
        bytes: Vec<u8>,
    },
    /// The completion of a poll.
    Polled {
        /// The number of the request.
        data: u32,
    },
}

/// The memory of a send or a read in flight. It is boxed so that the message does not move.
#[derive(Debug)]
struct Parcel {
    data: u32,
    head: Vec<u8>,
    from: usize,
    /// The parts that the message points to, if there are two.
    parts: [libc::iovec; 2],
    message: libc::msghdr,
}

/// A ring. It belongs to the thread that opened it (`IORING_SETUP_SINGLE_ISSUER`). Calls of other threads fail with
/// `EEXIST`.
pub struct StreamRing {
    ring: IoUring,
    submission: Submission,
    /// `None` only while the ring is being dropped.
    buffers: Option<ProvidedBuffers>,
    /// A parcel is `Some` only from its send or read until the completion.
    parcels: Vec<Option<Box<Parcel>>>,
    /// Boxes of completed parcels.
    #[allow(clippy::vec_box, reason = "a parcel in use must not move, and its box is reused")]
    spare: Vec<Box<Parcel>>,
    free: Vec<u32>,
    /// Requests for which the queue had no space.
    waiting: VecDeque<squeue::Entry>,
}

impl StreamRing {
    /// `io_uring_setup(2)`.
    ///
    /// # Errors
    /// `ENOSYS`, `EPERM`, `EINVAL`, `ENOMEM`, `EMFILE`: [`ring_setup::remedy`](crate::ring_setup::remedy) gives the
    /// cause.
    pub fn open(shape: Shape) -> Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_clamp()
            .setup_cqsize(shape.completions.max(shape.submissions));
        match shape.submission {
            Submission::Enter => {
                builder.setup_defer_taskrun();
            }
            Submission::KernelThread { idle_ms } => {
                builder.setup_sqpoll(idle_ms);
                if let Some(cpu) = only_cpu() {
                    builder.setup_sqpoll_cpu(cpu);
                }
            }
        }
        let ring = builder.build(shape.submissions).map_err(|error| errno(&error))?;
        let buffers = ProvidedBuffers::register(&ring, shape.buffers, shape.buffer_size)?;
        Ok(Self {
            ring,
            submission: shape.submission,
            buffers: Some(buffers),
            parcels: Vec::new(),
            spare: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
        })
    }

    /// Queues an accept on a listener that must block (with `O_NONBLOCK` it fails instead of waiting).
    pub fn accept(&mut self, listener: RawFd, shots: Shots, data: u32) {
        let flags = libc::SOCK_CLOEXEC;
        let entry = match shots {
            Shots::Many => opcode::AcceptMulti::new(Fd(listener)).flags(flags).build(),
            Shots::One => opcode::Accept::new(Fd(listener), std::ptr::null_mut(), std::ptr::null_mut())
                .flags(flags)
                .build(),
        };
        self.queue(entry.user_data(Kind::Accept.with(data)));
    }

    /// Queues a multishot receive from a socket that must block.
    pub fn receive(&mut self, socket: RawFd, data: u32) {
        let entry = opcode::RecvMulti::new(Fd(socket), GROUP).build();
        self.queue(entry.user_data(Kind::Receive.with(data)));
    }

    /// Queues a single poll for input.
    pub fn await_input(&mut self, fd: RawFd, data: u32) {
        let input = u32::from(rustix::event::PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(Fd(fd), input).build();
        self.queue(entry.user_data(Kind::Poll.with(data)));
    }

    /// Queues a send of `head`, from position `from`, and then of `tail`, on a socket that must block. It may send
    /// less. The ring owns the memory until the completion returns it.
    ///
    /// # Panics
    /// If `from` is beyond the end of `head`.
    pub fn send(&mut self, socket: RawFd, head: Vec<u8>, from: usize, tail: &'static [u8], data: u32) -> SendId {
        let index = self.place();
        let mut parcel = self.spare.pop().unwrap_or_else(Parcel::empty);
        (parcel.data, parcel.head, parcel.from) = (data, head, from);
        let first = &parcel.head[from..];
        let single = if first.is_empty() { tail } else { first };
        let flags = libc::MSG_NOSIGNAL;
        let entry = if first.is_empty() || tail.is_empty() {
            let length = u32::try_from(single.len()).unwrap_or(u32::MAX);
            opcode::Send::new(Fd(socket), single.as_ptr(), length)
                .flags(flags)
                .build()
        } else {
            parcel.parts = [part(first), part(tail)];
            parcel.message.msg_iov = parcel.parts.as_mut_ptr();
            parcel.message.msg_iovlen = parcel.parts.len() as _;
            opcode::SendMsg::new(Fd(socket), &raw const parcel.message)
                .flags(flags as u32)
                .build()
        };
        // The kernel reads what the entry points to until the completion, and only the completion clears this place.
        self.parcels[index as usize] = Some(parcel);
        self.queue(entry.user_data(Kind::Send.with(index)));
        SendId(index)
    }

    /// Queues a read of at most `length` bytes of a file, from `offset`, and appends them to `bytes`. The ring
    /// owns the memory until the completion returns it.
    pub fn read(&mut self, file: RawFd, offset: u64, mut bytes: Vec<u8>, length: usize, data: u32) {
        let index = self.place();
        let mut parcel = self.spare.pop().unwrap_or_else(Parcel::empty);
        bytes.reserve(length);
        (parcel.data, parcel.head, parcel.from) = (data, bytes, 0);
        let room = parcel.head.spare_capacity_mut();
        let length = u32::try_from(length.min(room.len())).unwrap_or(u32::MAX);
        let entry = opcode::Read::new(Fd(file), room.as_mut_ptr().cast(), length)
            .offset(offset)
            .build();
        // The kernel writes where the entry points to until the completion, and only the completion clears this place.
        self.parcels[index as usize] = Some(parcel);
        self.queue(entry.user_data(Kind::Read.with(index)));
    }

    /// Queues the cancellation of all accepts with this number. Each ends with its own completion: `ECANCELED`, or
    /// its result if it completed before. The same holds for the other kinds of requests.
    pub fn cancel_accepts(&mut self, data: u32) {
        let all = CancelBuilder::user_data(Kind::Accept.with(data)).all();
        let entry = opcode::AsyncCancel2::new(all).build();
        self.queue(entry.user_data(Kind::Cancel.with(0)));
    }

    /// Queues the cancellation of a receive.
    pub fn cancel_receive(&mut self, data: u32) {
        self.cancel(Kind::Receive.with(data));
    }

    /// Queues the cancellation of a send.
    pub fn cancel_send(&mut self, send: SendId) {
        self.cancel(Kind::Send.with(send.0));
    }

    /// Queues the cancellation of a poll.
    pub fn cancel_poll(&mut self, data: u32) {
        self.cancel(Kind::Poll.with(data));
    }

    /// Submits what is queued, does the pending work, and waits until there is a completion. Without a timeout it
    /// waits without a limit; a timeout of 0 does not wait. Returns whether the kernel was called.
    ///
    /// # Errors
    /// `ETIME` after the timeout; `EINTR`; `EBUSY` or `EAGAIN` if the kernel lacks resources; `EEXIST` in another
    /// thread than the opener.
    pub fn enter(&mut self, timeout: Option<Duration>) -> Result<bool> {
        self.queue_waiting();
        let wanted = u32::from(timeout != Some(Duration::ZERO));
        let timeout = timeout.map(|timeout| Timespec::from(timeout.min(LONGEST)));
        let arguments = match &timeout {
            Some(timeout) => SubmitArgs::new().timespec(timeout),
            None => SubmitArgs::new(),
        };
        let mut flags = EnterFlags::EXT_ARG | EnterFlags::GETEVENTS;
        let queued = match self.submission {
            Submission::Enter => u32::try_from(self.ring.submission().len()).unwrap_or(u32::MAX),
            Submission::KernelThread { .. } => {
                let asleep = self.ring.submission().need_wakeup();
                if asleep {
                    flags |= EnterFlags::SQ_WAKEUP;
                }
                if !self.waiting.is_empty() {
                    flags |= EnterFlags::SQ_WAIT;
                }
                let ready = !self.ring.completion().is_empty();
                if !asleep && self.waiting.is_empty() && (ready || wanted == 0) && !self.overflowed() {
                    return Ok(false);
                }
                0
            }
        };
        // SAFETY: the flags say that the argument is an io_uring_getevents_arg, which is all that a SubmitArgs holds
        // (the crate's own submit_with_args passes it in the same way); it and the timespec that it points to are live
        // until the call returns; `queued` entries are in the ring, and what they point to is in `parcels`.
        unsafe {
            self.ring
                .submitter()
                .enter(queued, wanted, flags.bits(), Some(&arguments))
        }
        .map(|_| true)
        .map_err(|error| errno(&error))
    }

    /// Takes one completion from the ring. Makes no system call.
    pub fn pop(&mut self) -> Option<Completion> {
        loop {
            let entry = self.ring.completion().next()?;
            let result = u32::try_from(entry.result()).map_err(|_| Errno::from_raw_os_error(-entry.result()));
            let data = entry.user_data() as u32;
            let more = cqueue::more(entry.flags());
            return Some(match Kind::of(entry.user_data()) {
                Kind::Accept => Completion::Accepted {
                    // SAFETY: the result of an accept is a descriptor that the kernel has just created, and
                    // this completion is its only owner; no other request has user data of this kind.
                    connection: result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
                    more,
                },
                Kind::Receive => {
                    let received = cqueue::buffer_select(entry.flags());
                    if let (Some(buffer), Some(buffers)) = (received, &mut self.buffers) {
                        buffers.taken(buffer, result.unwrap_or(0) as usize);
                    }
                    let outcome = match (result, received.map(Received)) {
                        (Ok(1..), received) => Ok(received),
                        (nothing, received) => {
                            received.into_iter().for_each(|buffer| self.give_back(buffer));
                            nothing.map(|_| None)
                        }
                    };
                    Completion::Received { data, outcome, more }
                }
                Kind::Send => match self.sent(data, result) {
                    Some(sent) => sent,
                    None => continue,
                },
                Kind::Read => match self.read_over(data, result) {
                    Some(read) => read,
                    None => continue,
                },
                Kind::Poll => Completion::Polled { data },
                Kind::Cancel => continue,
            });
        }
    }

    /// The received bytes in a buffer.
    #[must_use]
    pub fn bytes(&self, received: &Received) -> &[u8] {
        self.buffers.as_ref().map_or(&[], |buffers| buffers.bytes(received.0))
    }

    /// Returns a buffer to the kernel.
    #[allow(clippy::needless_pass_by_value, reason = "the caller loses the buffer")]
    pub fn give_back(&mut self, received: Received) {
        let Received(buffer) = received;
        if let Some(buffers) = &mut self.buffers {
            buffers.give_back(buffer);
        }
    }

    /// Whether completions wait in the kernel for space in the ring (`IORING_SQ_CQ_OVERFLOW`); the next
    /// [`enter`](Self::enter) fetches them.
    pub fn overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Ends all requests and takes their completions. Returns whether the kernel has released all memory.
    fn end_all(&mut self) -> bool {
        for entry in std::mem::take(&mut self.waiting) {
            // The kernel has not taken this request.
            if matches!(Kind::of(entry.get_user_data()), Kind::Send | Kind::Read) {
                self.parcels[entry.get_user_data() as u32 as usize] = None;
            }
        }
        for _ in 0..DRAIN_ATTEMPTS {
            // Both fail if no request is left, or in another thread than the opener. The check below detects the
            // latter.
            let _ = self.enter(Some(Duration::ZERO));
            let wait = Some(Timespec::from(DRAIN_WAIT));
            let _ = self.ring.submitter().register_sync_cancel(wait, CancelBuilder::any());
            let _ = self.enter(Some(Duration::ZERO));
            while self.pop().is_some() {}
            if self.parcels.iter().all(Option::is_none) {
                return true;
            }
        }
        false
    }

    /// Returns a free place for a parcel.
    fn place(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.parcels.push(None);
            u32::try_from(self.parcels.len() - 1).expect("requests in flight are fewer than 2³²")
        })
    }

    fn sent(&mut self, index: u32, result: Result<u32>) -> Option<Completion> {
        let (data, head, from) = self.take_parcel(index)?;
        let outcome = result.map(|sent| sent as usize);
        Some(Completion::Sent {
            data,
            outcome,
            head,
            from,
        })
    }

    fn read_over(&mut self, index: u32, result: Result<u32>) -> Option<Completion> {
        let (data, mut bytes, _) = self.take_parcel(index)?;
        let outcome = result.map(|read| (read as usize).min(bytes.capacity() - bytes.len()));
        // SAFETY: the kernel has appended this many bytes, within the capacity.
        unsafe { bytes.set_len(bytes.len() + outcome.unwrap_or(0)) };
        Some(Completion::Read { data, outcome, bytes })
    }

    /// Takes the parcel of a completed request.
    fn take_parcel(&mut self, index: u32) -> Option<(u32, Vec<u8>, usize)> {
        let mut parcel = self.parcels.get_mut(index as usize)?.take()?;
        self.free.push(index);
        let taken = (parcel.data, std::mem::take(&mut parcel.head), parcel.from);
        if self.spare.len() < SPARE {
            self.spare.push(parcel);
        }
        Some(taken)
    }

    fn cancel(&mut self, data: u64) {
        let entry = opcode::AsyncCancel::new(data).build();
        self.queue(entry.user_data(Kind::Cancel.with(0)));
    }

    /// Queues a request after those that already wait.
    fn queue(&mut self, entry: squeue::Entry) {
        if !self.waiting.is_empty() || !self.push(&entry) {
            self.waiting.push_back(entry);
            // The next wait repeats a call that fails here, and reports the error.
            let _ = self.enter(Some(Duration::ZERO));
        }
    }

    fn queue_waiting(&mut self) {
        while let Some(entry) = self.waiting.pop_front() {
            if !self.push(&entry) {
                self.waiting.push_front(entry);
                return;
            }
        }
    }

    fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: what a send or a read points to is static or owned by its parcel, which stays in `parcels`, unmoved
        // and unchanged, until the request's completion was seen, or is never freed (`drop`); the other requests refer
        // to no memory of this process but the provided buffers, which outlive the ring's requests
        // (`ProvidedBuffers::release`). Descriptors are numbers that the kernel checks.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }
}

impl Drop for StreamRing {
    fn drop(&mut self) {
        if !self.end_all() {
            // The kernel may still read from them.
            std::mem::forget(std::mem::take(&mut self.parcels));
        }
        if let Some(buffers) = self.buffers.take() {
            buffers.release(&self.ring);
        }
    }
}

impl Parcel {
    fn empty() -> Box<Parcel> {
        let nothing = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Box::new(Parcel {
            data: 0,
            head: Vec::new(),
            from: 0,
            parts: [nothing; 2],
            message: libc::msghdr {
                msg_name: std::ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: std::ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: std::ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
        })
    }
}

fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// The CPU of the calling thread, if it may run on one CPU only.
fn only_cpu() -> Option<u32> {
    let set = sched_getaffinity(None).ok().filter(|set| set.count() == 1)?;
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| set.is_set(*cpu))?;
    u32::try_from(cpu).ok()
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
