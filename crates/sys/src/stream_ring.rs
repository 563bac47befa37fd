//! An io_uring that accepts, receives and sends: multishot accept and receive, provided buffers, and sends whose memory
//! the ring owns until they have completed.
//!
//! Descriptors are handed over as numbers: a request that is queued belongs to whatever the number names when the
//! kernel takes it, so close a socket after its requests have ended.

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

/// What a request is, in the upper half of its user data; the lower half is the caller's number, or a parcel's index.
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

/// The longest timeout handed to the kernel: it adds the present time to it without a check.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// Boxes kept for later sends.
const SPARE: usize = 256;

/// How often a ring that is dropped looks for the end of its requests, and for how long each time.
const FAREWELLS: u32 = 100;
const FAREWELL: Duration = Duration::from_millis(10);

/// Who takes what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// `io_uring_enter`, which also does the ring's pending work (`IORING_SETUP_DEFER_TASKRUN`).
    Enter,
    /// A kernel thread that looks for requests by itself and sleeps after it has found none for so long
    /// (`IORING_SETUP_SQPOLL`). Where the calling thread may run on one CPU only, the kernel thread is kept to it.
    KernelThread {
        /// In milliseconds.
        idle_ms: u32,
    },
}

/// How large a ring is, and who submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Requests that can be queued, rounded up to a power of two.
    pub submissions: u32,
    /// Completions that the ring holds, rounded up to a power of two; what comes beyond waits in the kernel.
    pub completions: u32,
    /// Buffers for receiving, a power of two.
    pub buffers: u16,
    /// Bytes of each of them.
    pub buffer_size: usize,
    /// Who submits.
    pub submission: Submission,
}

/// A send in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendId(u32);

/// A buffer that holds received bytes, until it is given back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Received(u16);

/// One completion.
#[derive(Debug)]
pub enum Completion {
    /// Of an accept.
    Accepted {
        /// The connection: closed on exec, blocking.
        connection: Result<OwnedFd>,
        /// Whether the request goes on (`IORING_CQE_F_MORE`).
        more: bool,
    },
    /// Of a receive.
    Received {
        /// The request's number.
        data: u32,
        /// The buffer that was filled; `None` at the end of the stream. `ENOBUFS` where no buffer was left.
        outcome: Result<Option<Received>>,
        /// Whether the request goes on.
        more: bool,
    },
    /// Of a send, whose memory comes back.
    Sent {
        /// The request's number.
        data: u32,
        /// How many bytes went, or why none did.
        outcome: Result<usize>,
        /// What was to be sent first.
        head: Vec<u8>,
        /// The first byte of it that was to be sent.
        from: usize,
    },
    /// Of a read from a file.
    Read {
        /// The request's number.
        data: u32,
        /// How many bytes were read, 0 at the end of the file, or why none were.
        outcome: Result<usize>,
        /// What was there before, and the bytes read.
        bytes: Vec<u8>,
    },
    /// Of a poll.
    Polled {
        /// The request's number.
        data: u32,
    },
}

/// The memory of a send or a read in flight. It is boxed, so that the message does not move.
#[derive(Debug)]
struct Parcel {
    data: u32,
    head: Vec<u8>,
    from: usize,
    /// What the message points to, where there are two parts.
    parts: [libc::iovec; 2],
    message: libc::msghdr,
}

/// A ring. It belongs to the thread that opened it (`IORING_SETUP_SINGLE_ISSUER`); other threads' calls fail with
/// `EEXIST`.
pub struct StreamRing {
    ring: IoUring,
    submission: Submission,
    /// `None` only while the ring is being dropped.
    buffers: Option<ProvidedBuffers>,
    /// A parcel is `Some` from its send to the completion of it, and then only.
    parcels: Vec<Option<Box<Parcel>>>,
    /// Boxes of parcels that are over.
    #[allow(clippy::vec_box, reason = "a parcel in use must not move, and its box is used again")]
    spare: Vec<Box<Parcel>>,
    free: Vec<u32>,
    /// Requests that found the queue full.
    waiting: VecDeque<squeue::Entry>,
}

impl StreamRing {
    /// `io_uring_setup(2)`.
    ///
    /// # Errors
    /// `ENOSYS`, `EPERM`, `EINVAL`, `ENOMEM`, `EMFILE`: [`ring_setup::remedy`](crate::ring_setup::remedy) says who
    /// refuses.
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

    /// Queues an accept on a listener that must block (`O_NONBLOCK` makes it fail instead of wait).
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

    /// Queues a poll for input, once.
    pub fn await_input(&mut self, fd: RawFd, data: u32) {
        let input = u32::from(rustix::event::PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(Fd(fd), input).build();
        self.queue(entry.user_data(Kind::Poll.with(data)));
    }

    /// Queues a send of `head` from its byte `from` on, then of `tail`, on a socket that must block. It may send less.
    /// The ring keeps the memory until the completion gives it back.
    ///
    /// # Panics
    /// Where `from` lies beyond the end of `head`.
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
        // The kernel reads what the entry points to until the completion, which alone empties this place.
        self.parcels[index as usize] = Some(parcel);
        self.queue(entry.user_data(Kind::Send.with(index)));
        SendId(index)
    }

    /// Queues a read of at most `length` bytes of a file from `offset` on, to the end of `bytes`. The ring keeps the
    /// memory until the completion gives it back.
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
        // The kernel writes where the entry points to until the completion, which alone empties this place.
        self.parcels[index as usize] = Some(parcel);
        self.queue(entry.user_data(Kind::Read.with(index)));
    }

    /// Queues the cancellation of all accepts with this number. Each ends with a completion of its own, `ECANCELED` or
    /// what it came to before; so do the requests of the other kinds.
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

    /// Submits what is queued, does the pending work, and waits until there is a completion. No timeout waits for ever;
    /// a timeout of 0 does not wait. Says whether the kernel was called.
    ///
    /// # Errors
    /// `ETIME` after the timeout; `EINTR`; `EBUSY` or `EAGAIN` when the kernel is short of resources; `EEXIST` from
    /// another thread than the opener.
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

    /// Takes one completion from the ring; asks nobody.
    pub fn pop(&mut self) -> Option<Completion> {
        loop {
            let entry = self.ring.completion().next()?;
            let result = u32::try_from(entry.result()).map_err(|_| Errno::from_raw_os_error(-entry.result()));
            let data = entry.user_data() as u32;
            let more = cqueue::more(entry.flags());
            return Some(match Kind::of(entry.user_data()) {
                Kind::Accept => Completion::Accepted {
                    // SAFETY: the result of an accept is a descriptor that the kernel has just made, and that nobody
                    // but the taker of this completion learns of; no other request has user data of this kind.
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

    /// The bytes in a buffer.
    #[must_use]
    pub fn bytes(&self, received: &Received) -> &[u8] {
        self.buffers.as_ref().map_or(&[], |buffers| buffers.bytes(received.0))
    }

    /// Lets the kernel use a buffer again.
    #[allow(clippy::needless_pass_by_value, reason = "who gives a buffer back has it no more")]
    pub fn give_back(&mut self, received: Received) {
        let Received(buffer) = received;
        if let Some(buffers) = &mut self.buffers {
            buffers.give_back(buffer);
        }
    }

    /// Whether completions wait in the kernel for room in the ring (`IORING_SQ_CQ_OVERFLOW`); the next
    /// [`enter`](Self::enter) brings them.
    pub fn overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Ends all requests, and takes their completions; says whether no memory is left with the kernel.
    fn end_all(&mut self) -> bool {
        for entry in std::mem::take(&mut self.waiting) {
            // The kernel has not seen it.
            if matches!(Kind::of(entry.get_user_data()), Kind::Send | Kind::Read) {
                self.parcels[entry.get_user_data() as u32 as usize] = None;
            }
        }
        for _ in 0..FAREWELLS {
            // Both fail where nothing is left, and where the calling thread is not the ring's own: the count below
            // tells.
            let _ = self.enter(Some(Duration::ZERO));
            let farewell = Some(Timespec::from(FAREWELL));
            let _ = self
                .ring
                .submitter()
                .register_sync_cancel(farewell, CancelBuilder::any());
            let _ = self.enter(Some(Duration::ZERO));
            while self.pop().is_some() {}
            if self.parcels.iter().all(Option::is_none) {
                return true;
            }
        }
        false
    }

    /// A place for a parcel.
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
        // SAFETY: the kernel has written so many bytes behind those that were there, within the capacity.
        unsafe { bytes.set_len(bytes.len() + outcome.unwrap_or(0)) };
        Some(Completion::Read { data, outcome, bytes })
    }

    /// The memory of a request that has completed.
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

    /// Queues behind what waits already.
    fn queue(&mut self, entry: squeue::Entry) {
        if !self.waiting.is_empty() || !self.push(&entry) {
            self.waiting.push_back(entry);
            // The next wait repeats what fails here and reports it.
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

/// The CPU that the calling thread may run on, where there is only one.
fn only_cpu() -> Option<u32> {
    let set = sched_getaffinity(None).ok().filter(|set| set.count() == 1)?;
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| set.is_set(*cpu))?;
    u32::try_from(cpu).ok()
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
