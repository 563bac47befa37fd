//! An io_uring that accepts, receives and sends, and that works on files. It uses multishot accept and receive, and
//! provided buffers. The ring owns the memory of a request until the request has completed.
//!
//! Descriptors are passed as numbers. A queued request applies to the file that has the number when the kernel
//! takes the request, so close a socket only after its requests have ended.

mod completion;
mod parcel;
mod shape;
mod socket;
mod work;

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, Fixed, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use rustix::io::{Errno, Result};

use crate::poll_ring::Shots;
use crate::provided_buffers::{GROUP, ProvidedBuffers};
use crate::ring::{Queue, Ring, Wanted, errno};
use parcel::{Parcel, State, part};

pub use crate::provided_buffers::{Received, Rest};
pub use completion::{Completion, Notifications, SendId, Sent};
pub use shape::{Placement, SendMemory, Shape};
pub use socket::{Direct, Socket, Sockets, Target};
pub use work::SleepId;

/// The kind of a request, in the upper half of its user data. The lower half is the number of the caller or the index
/// of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Accept,
    Receive,
    Send,
    Read,
    Open,
    Size,
    Work,
    Poll,
    ShutDown,
    Close,
    Cancel,
}

impl Kind {
    fn with(self, data: u32) -> u64 {
        u64::from(self as u32) << 32 | u64::from(data)
    }

    fn of(data: u64) -> Kind {
        const KINDS: [Kind; 10] = [
            Kind::Accept,
            Kind::Receive,
            Kind::Send,
            Kind::Read,
            Kind::Open,
            Kind::Size,
            Kind::Work,
            Kind::Poll,
            Kind::ShutDown,
            Kind::Close,
        ];
        KINDS.get((data >> 32) as usize).copied().unwrap_or(Kind::Cancel)
    }

    /// Whether a request of this kind has a parcel.
    fn has_memory(self) -> bool {
        matches!(self, Kind::Send | Kind::Read | Kind::Open | Kind::Size | Kind::Work)
    }
}

/// In the result of a notification: the kernel has copied the bytes (`IORING_NOTIF_USAGE_ZC_COPIED`).
const USAGE_COPIED: u32 = 1 << 31;

/// The maximum number of boxes that are kept for later sends.
const SPARE: usize = 256;

/// How often dropping a ring waits for the end of its requests, and for how long each time.
const DRAIN_ATTEMPTS: u32 = 100;
const DRAIN_WAIT: Duration = Duration::from_millis(10);

/// A ring. It belongs to the thread that opened it. Calls of other threads fail with `EEXIST`
/// (`IORING_SETUP_SINGLE_ISSUER`), unless its work is done as
/// [`TaskWork::Interrupt`](crate::ring::TaskWork::Interrupt) or [`TaskWork::Cooperative`](crate::ring::TaskWork::Cooperative) says.
pub struct StreamRing {
    ring: Ring,
    sockets: Sockets,
    placement: Placement,
    send_memory: SendMemory,
    notifications: Notifications,
    /// `None` only while the ring is being dropped.
    buffers: Option<ProvidedBuffers>,
    /// A parcel is `Some` only from its request until the completion.
    parcels: Vec<Option<Box<Parcel>>>,
    /// Boxes of completed parcels.
    #[allow(clippy::vec_box, reason = "a parcel in use must not move, and its box is reused")]
    spare: Vec<Box<Parcel>>,
    free: Vec<u32>,
    /// Requests for which the queue had no space.
    waiting: VecDeque<squeue::Entry>,
}

impl StreamRing {
    /// `io_uring_setup(2)`, `io_uring_register(2)`.
    ///
    /// # Errors
    /// `ENOSYS`, `EPERM`, `EINVAL`, `ENOMEM`, `EMFILE`: [`ring_setup::remedy`](crate::ring_setup::remedy) gives the
    /// cause. `EINVAL` too where the kernel is older than what the shape asks for, or a kernel thread submits and the task work is
    /// cooperative, or a minimum wait is shorter than a microsecond or for no completion. `EBUSY` if the ring is to be registered and
    /// the thread has registered 16 rings.
    pub fn open(shape: Shape) -> Result<Self> {
        Self::open_with(shape, None)
    }

    /// The same; the kernel thread that submits for `other`, a ring of the same shape, submits for this one too
    /// (`IORING_SETUP_ATTACH_WQ`).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(shape: Shape, other: Option<BorrowedFd<'_>>) -> Result<Self> {
        let completions = shape.completions.max(shape.submissions);
        let ring = Ring::open(shape.setup, shape.submissions, completions, other)?;
        let queues = &ring.queues;
        if shape.placement == Placement::Bundle && !queues.params().is_feature_recvsend_bundle() {
            return Err(Errno::INVAL);
        }
        if shape.send_memory == SendMemory::ZeroCopy {
            require(queues, opcode::SendMsgZc::CODE)?;
        }
        if let Sockets::Direct { places } = shape.sockets {
            require(queues, opcode::Shutdown::CODE)?;
            socket::register_table(queues, places)?;
        }
        let buffers = ProvidedBuffers::register(queues, shape.buffers, shape.buffer_size, shape.placement)?;
        Ok(Self {
            ring,
            sockets: shape.sockets,
            placement: shape.placement,
            send_memory: shape.send_memory,
            notifications: Notifications::default(),
            buffers: Some(buffers),
            parcels: Vec::new(),
            spare: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
        })
    }

    /// Queues an accept on a listener that must block (with `O_NONBLOCK` it fails instead of waiting).
    pub fn accept(&mut self, listener: RawFd, shots: Shots, data: u32) {
        let (place, flags) = self.sockets.destination();
        let entry = match shots {
            Shots::Many => opcode::AcceptMulti::new(Fd(listener))
                .allocate_file_index(place.is_some())
                .flags(flags)
                .build(),
            Shots::One => opcode::Accept::new(Fd(listener), std::ptr::null_mut(), std::ptr::null_mut())
                .file_index(place)
                .flags(flags)
                .build(),
        };
        self.queue(entry.user_data(Kind::Accept.with(data)));
    }

    /// Queues a multishot receive from a socket that must block.
    pub fn receive(&mut self, socket: impl Into<Target>, data: u32) {
        let target = socket.into();
        let entry = match self.placement {
            Placement::Bundle => opcode::RecvMultiBundle::new(target.number(), GROUP).build(),
            Placement::Whole | Placement::Incremental => opcode::RecvMulti::new(target.number(), GROUP).build(),
        };
        self.queue(target.mark(entry).user_data(Kind::Receive.with(data)));
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
    pub fn send(
        &mut self,
        socket: impl Into<Target>,
        head: Vec<u8>,
        from: usize,
        tail: &'static [u8],
        data: u32,
    ) -> SendId {
        let target = socket.into();
        let index = self.place();
        let mut parcel = self.spare.pop().unwrap_or_else(Parcel::empty);
        (parcel.data, parcel.head, parcel.from, parcel.state) = (data, head, from, State::InFlight);
        let first = &parcel.head[from..];
        let entry = if first.is_empty() || tail.is_empty() {
            let single = if first.is_empty() { tail } else { first };
            self.send_memory.entry_of_one(target, single)
        } else {
            parcel.parts = [part(first), part(tail)];
            parcel.message.msg_iov = parcel.parts.as_mut_ptr();
            parcel.message.msg_iovlen = parcel.parts.len() as _;
            self.send_memory.entry_of_several(target, &raw const parcel.message)
        };
        // The kernel reads what the entry points to until the completion, and only the completion clears this place.
        self.parcels[index as usize] = Some(parcel);
        self.queue(entry.user_data(Kind::Send.with(index)));
        SendId(index)
    }

    /// Queues the end of the sending half of a direct socket (`IORING_OP_SHUTDOWN`, Linux 5.11). The completion is
    /// [`Completion::ShutDown`].
    pub fn shutdown(&mut self, socket: Direct, data: u32) {
        let target = Target::Direct(socket);
        let entry = opcode::Shutdown::new(target.number(), libc::SHUT_WR).build();
        self.queue(target.mark(entry).user_data(Kind::ShutDown.with(data)));
    }

    /// Queues the close of a direct socket (`IORING_OP_CLOSE` with a file index, Linux 5.15), after all of its requests have completed. The
    /// completion is [`Completion::Closed`]; then its place is free.
    pub fn close_direct(&mut self, socket: Direct, data: u32) {
        let entry = opcode::Close::new(Fixed(socket.0)).build();
        self.queue(entry.user_data(Kind::Close.with(data)));
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
        let queue = if self.waiting.is_empty() {
            Queue::Room
        } else {
            Queue::Full
        };
        self.ring.enter(Wanted::Several, timeout, queue)
    }

    /// Takes one completion from the ring. Makes no system call.
    pub fn pop(&mut self) -> Option<Completion> {
        loop {
            let entry = self.ring.queues.completion().next()?;
            let data = entry.user_data() as u32;
            if cqueue::notif(entry.flags()) {
                self.notified(data, entry.result());
                continue;
            }
            let result = u32::try_from(entry.result()).map_err(|_| Errno::from_raw_os_error(-entry.result()));
            let more = cqueue::more(entry.flags());
            return Some(match Kind::of(entry.user_data()) {
                Kind::Accept => Completion::Accepted {
                    connection: result.map(|number| self.accepted(number)),
                    more,
                },
                Kind::Receive => {
                    let received = self.received(result.unwrap_or(0) as usize, entry.flags());
                    let outcome = match (result, received) {
                        (Ok(1..), received) => Ok(received),
                        (nothing, received) => {
                            received.into_iter().for_each(|buffer| self.give_back(buffer));
                            nothing.map(|_| None)
                        }
                    };
                    Completion::Received { data, outcome, more }
                }
                Kind::Send if more => match self.sent_and_lent(data, result) {
                    Some(sent) => sent,
                    None => continue,
                },
                Kind::Send => match self.sent(data, result) {
                    Some(sent) => sent,
                    None => continue,
                },
                Kind::Read => match self.read_over(data, result) {
                    Some(read) => read,
                    None => continue,
                },
                Kind::Open => match self.opened(data, result) {
                    Some(opened) => opened,
                    None => continue,
                },
                kind @ (Kind::Size | Kind::Work) => match self.worked(kind, data, result) {
                    Some(worked) => worked,
                    None => continue,
                },
                Kind::Poll => Completion::Polled { data },
                Kind::ShutDown => Completion::ShutDown { data },
                Kind::Close => Completion::Closed { data },
                Kind::Cancel => continue,
            });
        }
    }

    /// The next part of what is [left](Received::rest) of received bytes.
    pub fn next_part(&self, rest: &mut Rest<'_>) -> Option<&[u8]> {
        self.buffers.as_ref()?.next_part(rest)
    }

    /// Returns the memory of received bytes to the kernel.
    pub fn give_back(&mut self, received: Received) {
        if let Some(buffers) = &mut self.buffers {
            buffers.give_back(received);
        }
    }

    /// The notifications of sends without a copy so far.
    #[must_use]
    pub fn notifications(&self) -> Notifications {
        self.notifications
    }

    /// Whether completions wait in the kernel for space in the ring (`IORING_SQ_CQ_OVERFLOW`); the next
    /// [`enter`](Self::enter) fetches them.
    pub fn overflowed(&mut self) -> bool {
        self.ring.overflowed()
    }

    /// Ends all requests and takes their completions. Returns whether the kernel has released all memory.
    fn end_all(&mut self) -> bool {
        for entry in std::mem::take(&mut self.waiting) {
            // The kernel has not taken this request.
            if Kind::of(entry.get_user_data()).has_memory() {
                self.parcels[entry.get_user_data() as u32 as usize] = None;
            }
        }
        for _ in 0..DRAIN_ATTEMPTS {
            // Both fail if no request is left, or in another thread than the opener. The check below detects the
            // latter.
            let _ = self.enter(Some(Duration::ZERO));
            let wait = Some(Timespec::from(DRAIN_WAIT));
            let _ = self
                .ring
                .queues
                .submitter()
                .register_sync_cancel(wait, CancelBuilder::any());
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

    /// The socket that an accept has made.
    fn accepted(&self, number: u32) -> Socket {
        match self.sockets {
            // SAFETY: the result of an accept is a descriptor that the kernel has just created, and this completion is
            // its only owner: `pop` calls this once for each, and no other request has user data of this kind.
            Sockets::Descriptors => Socket::Open(unsafe { OwnedFd::from_raw_fd(number as RawFd) }),
            Sockets::Direct { .. } => Socket::Direct(Direct(number)),
        }
    }

    /// The buffers of a completed receive.
    fn received(&mut self, bytes: usize, flags: u32) -> Option<Received> {
        let buffer = cqueue::buffer_select(flags)?;
        let buffers = self.buffers.as_mut()?;
        Some(buffers.taken(buffer, bytes, cqueue::buffer_more(flags)))
    }

    /// A send has completed, and its memory is not in use any more.
    fn sent(&mut self, index: u32, result: Result<u32>) -> Option<Completion> {
        let (data, head, from) = self.take_parcel(index)?;
        let outcome = result.map(|sent| split(sent as usize, head.len() - from));
        let from = from + outcome.map_or(0, |sent| sent.head);
        Some(Completion::Sent {
            data,
            outcome,
            head,
            from,
        })
    }

    /// A send has completed, and a notification will say when its memory is not in use any more.
    fn sent_and_lent(&mut self, index: u32, result: Result<u32>) -> Option<Completion> {
        let parcel = self.parcels.get_mut(index as usize)?.as_mut()?;
        parcel.state = State::Lent;
        let outcome = result.map(|sent| split(sent as usize, parcel.head.len() - parcel.from));
        let head = parcel.head[parcel.from + outcome.map_or(0, |sent| sent.head)..].to_vec();
        Some(Completion::Sent {
            data: parcel.data,
            outcome,
            head,
            from: 0,
        })
    }

    /// The network has finished with the memory of a send.
    fn notified(&mut self, index: u32, usage: i32) {
        self.notifications.all += 1;
        self.notifications.copied += u64::from(usage as u32 & USAGE_COPIED != 0);
        let parcel = self.parcels.get(index as usize).and_then(Option::as_ref);
        if parcel.is_some_and(|parcel| parcel.state == State::Lent) {
            drop(self.take_parcel(index));
        }
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
        // SAFETY: what a request points to is static or owned by its parcel, which stays in `parcels`, unmoved
        // and unchanged, until the request's completion was seen, or is never freed (`drop`); requests without a parcel refer
        // to no memory of this process but the provided buffers, which outlive the ring's requests
        // (`ProvidedBuffers::release`). Descriptors are numbers that the kernel checks.
        unsafe { self.ring.queues.submission().push(entry) }.is_ok()
    }
}

impl AsFd for StreamRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns this descriptor and stays open as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.queues.as_raw_fd()) }
    }
}

impl Drop for StreamRing {
    fn drop(&mut self) {
        if !self.end_all() {
            // The kernel may still read from them.
            std::mem::forget(std::mem::take(&mut self.parcels));
        }
        if let Some(buffers) = self.buffers.take() {
            buffers.release(&self.ring.queues);
        }
        if let Sockets::Direct { .. } = self.sockets {
            // The kernel would close the sockets some time after the ring.
            let _ = self.ring.queues.submitter().unregister_files();
        }
    }
}

/// Refuses a kernel that does not know an operation (`IORING_REGISTER_PROBE`).
fn require(ring: &IoUring, operation: u8) -> Result<()> {
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| errno(&error))?;
    match probe.is_supported(operation) {
        true => Ok(()),
        false => Err(Errno::INVAL),
    }
}

/// Divides sent bytes among the two parts of a send.
fn split(sent: usize, head: usize) -> Sent {
    let of_head = sent.min(head);
    Sent {
        head: of_head,
        tail: sent - of_head,
    }
}
