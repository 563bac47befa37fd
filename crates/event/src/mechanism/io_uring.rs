//! `io-uring-poll`: one `POLL_ADD` request a source, submitted and completed through rings in shared memory
//! (`io_uring_enter`).
//!
//! - Edge is a multishot request. When one ends by itself (a completion without `IORING_CQE_F_MORE`) it is submitted again.
//! - Oneshot is a single request. Level is a single request that is submitted again by the wait after its event, which
//!   completes it at once if the condition still holds; the look is the kernel's.
//! - Declaring and re-arming cost no system call: requests go along with the next wait.
//! - The kernel holds a reference to the file while a request lives, so closing cancels nothing. A withdrawal removes the
//!   request and waits for its last completion: one `io_uring_enter`.
//! - When the completion queue is full the kernel keeps completions in a list, and hands them out when there is room.

use super::{Backend, Descriptor, Refused, require_readiness};
use crate::{
    Call, Counters, DeclareError, Events, Fact, Interrupts, Key, OpenError, Options, Threading, Trigger, Unavailable,
    Wakeup, Watch, home::Home, readiness::poll_bits,
};
use c10k_sys::{
    poll::POLLERR,
    poll_ring::{BusyPoll, Completion, PollRing, Shots},
    ring_setup,
};
use rustix::io::Errno;
use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

pub(super) static IO_URING_POLL: Descriptor = Descriptor {
    name: "io-uring-poll",
    summary: "a poll request for each source; requests and completions through shared rings",
    triggers: &[Trigger::Edge, Trigger::Level, Trigger::Oneshot],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    tells: Fact::ALL,
    emulated: false,
    waits: &["io_uring_enter"],
    declares: &["io_uring_enter", "fstat"],
    probe,
    open: |options| IoUringPoll::open(options).map(super::boxed),
};

/// How many requests can be queued before the kernel has to be called in between.
const SUBMISSIONS: u32 = 1_024;
/// How many completions the ring holds, unless [`Options::completion_queue`] says otherwise.
const COMPLETIONS: u32 = 4_096;
/// The user data of removals' own completions: no key's, since no index is that of the waker and more.
const REMOVAL: u64 = u64::MAX;

/// The kernel's side of a set on io_uring.
pub(crate) struct IoUringPoll {
    ring: PollRing,
    home: Home,
    requests: Requests,
    /// Sources whose requests the next wait submits again.
    again: Vec<Key>,
    /// Completions that came while a removal was waited for.
    backlog: VecDeque<Completion>,
}

/// A source's request.
#[derive(Clone, Copy, Debug)]
struct Request {
    key: Key,
    fd: RawFd,
    bits: u32,
    trigger: Trigger,
    life: Life,
}

/// Whether the kernel has a request, as far as the completions taken from the ring tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Armed,
    Ended,
}

/// The requests by key.
#[derive(Debug, Default)]
struct Requests {
    waker: Option<Request>,
    by_index: Vec<Option<Request>>,
}

impl Requests {
    fn slot(&mut self, key: Key) -> &mut Option<Request> {
        if key == Key::WAKER {
            return &mut self.waker;
        }
        if key.index() >= self.by_index.len() {
            self.by_index.resize(key.index() + 1, None);
        }
        &mut self.by_index[key.index()]
    }

    /// The request of a current key.
    fn get(&mut self, key: Key) -> Option<&mut Request> {
        let slot = if key == Key::WAKER {
            &mut self.waker
        } else {
            self.by_index.get_mut(key.index())?
        };
        slot.as_mut().filter(|request| request.key == key)
    }
}

impl IoUringPoll {
    fn open(options: &Options) -> Result<Self, OpenError> {
        let mechanism = IO_URING_POLL.name;
        let completions = options.completion_queue.unwrap_or(COMPLETIONS).max(1);
        let ring = PollRing::open(SUBMISSIONS, completions).map_err(|errno| OpenError::Unavailable {
            mechanism,
            reason: refused(errno),
        })?;
        if let Some(busy_poll) = options.busy_poll {
            let prefer = busy_poll.interrupts == Interrupts::Deferred;
            ring.set_busy_poll(BusyPoll {
                microseconds: busy_poll.duration_us,
                prefer,
            })
            .map_err(|errno| OpenError::System {
                mechanism,
                call: "IORING_REGISTER_NAPI",
                errno,
            })?;
        }
        let home = Home::here(Threading::Opener).map_err(|errno| OpenError::System {
            mechanism,
            call: "madvise",
            errno,
        })?;
        Ok(Self {
            ring,
            home,
            requests: Requests::default(),
            again: Vec::new(),
            backlog: VecDeque::new(),
        })
    }

    /// Queues a source's request; the kernel is called only when the queue is full.
    fn submit(&mut self, key: Key, counters: &mut Counters) -> Result<(), Errno> {
        let Self { ring, requests, .. } = self;
        let Some(request) = requests.get(key).filter(|request| request.life == Life::Ended) else {
            return Ok(());
        };
        let shots = if request.trigger == Trigger::Edge {
            Shots::Many
        } else {
            Shots::One
        };
        while !ring.add(request.fd, request.bits, key.to_bits(), shots) {
            enter(ring, 0, Some(Duration::ZERO), counters)?;
        }
        request.life = Life::Armed;
        Ok(())
    }

    /// Ends a source's request and waits for its last completion. What other sources completed meanwhile is kept.
    fn cancel(&mut self, key: Key, counters: &mut Counters) -> Result<(), Errno> {
        let data = key.to_bits();
        self.backlog.retain(|completion| completion.data != data);
        let mut armed = self
            .requests
            .get(key)
            .is_some_and(|request| request.life == Life::Armed);
        if !armed {
            return Ok(());
        }
        self.submit_removal(data, counters)?;
        let mut removals = 1;
        // Each removal's own completion is waited for too: one that is left would be taken for the next source's.
        while armed || removals > 0 {
            match enter(&mut self.ring, 1, None, counters) {
                Ok(()) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            let mut removed = None;
            while let Some(completion) = self.ring.pop() {
                match completion.data {
                    REMOVAL => {
                        removals -= 1;
                        removed = Some(completion.result);
                    }
                    same if same == data => armed &= completion.more,
                    _ => {
                        self.note(completion);
                        self.backlog.push_back(completion);
                    }
                }
            }
            match removed {
                // An event of the request was on its way, which a removal does not stop.
                Some(Err(Errno::ALREADY)) if armed => {
                    self.submit_removal(data, counters)?;
                    removals += 1;
                }
                // Not found, and nothing of it is left in the ring: it has ended before.
                Some(Err(Errno::NOENT)) => armed = false,
                _ => {}
            }
        }
        Ok(())
    }

    /// Queues the removal of a request; the kernel is called only when the queue is full.
    fn submit_removal(&mut self, data: u64, counters: &mut Counters) -> Result<(), Errno> {
        while !self.ring.remove(data, REMOVAL) {
            enter(&mut self.ring, 0, Some(Duration::ZERO), counters)?;
        }
        Ok(())
    }

    /// Notes that a request has ended with this completion.
    #[inline]
    fn note(&mut self, completion: Completion) {
        if !completion.more
            && let Some(request) = self.requests.get(Key::from_bits(completion.data))
        {
            request.life = Life::Ended;
        }
    }

    /// Turns a completion into an event. One of a request that goes on needs no more: whether its key is current is looked
    /// at when the event is taken.
    #[inline]
    fn deliver(&mut self, completion: Completion, events: &mut Events, counters: &mut Counters) {
        match completion.result {
            Ok(bits) if completion.more => events.push(Key::from_bits(completion.data), told(bits)),
            _ => self.deliver_last(completion, events, counters),
        }
    }

    /// As [`deliver`](Self::deliver), for a request's last completion.
    #[inline(never)]
    fn deliver_last(&mut self, completion: Completion, events: &mut Events, counters: &mut Counters) {
        let key = Key::from_bits(completion.data);
        let Some(request) = self.requests.get(key) else {
            // A removal's own completion, or the last ones of a source that was withdrawn.
            if completion.data != REMOVAL {
                counters.events += 1;
                counters.stale_events += 1;
            }
            return;
        };
        match completion.result {
            Ok(bits) => {
                if request.trigger != Trigger::Oneshot {
                    self.again.push(key);
                }
                events.push(key, told(bits));
            }
            // The request could not be started: its descriptor was closed behind the set's back.
            Err(_) => events.push(key, POLLERR),
        }
    }

    /// Whether there are completions that were not turned into events, for want of room or since a removal was waited for.
    fn holds_completions(&mut self) -> bool {
        !self.backlog.is_empty() || self.ring.holds_completions()
    }

    /// Takes from the backlog, then from the ring, as much as the batch has room for; asks nobody.
    fn gather(&mut self, events: &mut Events, counters: &mut Counters) {
        if !self.backlog.is_empty() {
            self.gather_backlog(events, counters);
        }
        while events.room() > 0 {
            let Some(completion) = self.ring.pop() else { return };
            self.note(completion);
            self.deliver(completion, events, counters);
        }
    }

    #[cold]
    fn gather_backlog(&mut self, events: &mut Events, counters: &mut Counters) {
        while events.room() > 0
            && let Some(completion) = self.backlog.pop_front()
        {
            self.deliver(completion, events, counters);
        }
    }

    /// Submits again what ended with its event.
    #[inline(never)]
    fn submit_again(&mut self, counters: &mut Counters) -> Result<(), Errno> {
        for index in 0..self.again.len() {
            self.submit(self.again[index], counters)?;
        }
        self.again.clear();
        Ok(())
    }
}

impl Backend for IoUringPoll {
    fn descriptor(&self) -> &'static Descriptor {
        &IO_URING_POLL
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(&IO_URING_POLL, fd, counters)?;
        // The waker's channel makes an edge at each waking, and is emptied after each.
        let trigger = if key == Key::WAKER {
            Trigger::Edge
        } else {
            watch.trigger()
        };
        let bits = u32::from(poll_bits(watch.interest()));
        let request = Request {
            key,
            fd: fd.as_raw_fd(),
            bits,
            trigger,
            life: Life::Ended,
        };
        *self.requests.slot(key) = Some(request);
        self.submit(key, counters).map_err(failed)
    }

    fn change(
        &mut self,
        _fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        self.cancel(key, counters).map_err(failed)?;
        if let Some(request) = self.requests.get(key) {
            request.bits = u32::from(poll_bits(watch.interest()));
            request.trigger = watch.trigger();
            request.life = Life::Ended;
        }
        self.submit(key, counters).map_err(failed)
    }

    fn remove(&mut self, _fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        let outcome = self.cancel(key, counters);
        *self.requests.slot(key) = None;
        outcome.map_err(failed)
    }

    fn forget(&mut self, _number: RawFd, key: Key, counters: &mut Counters) {
        // The request holds the file itself. Where it cannot be cancelled, what it still tells is stale.
        let _ = self.cancel(key, counters);
        *self.requests.slot(key) = None;
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        if self.holds_completions() {
            self.gather(events, counters);
            if !events.is_empty() {
                return Ok(());
            }
        }
        let failed = Refused::by(Call::IoUringEnter);
        if !self.again.is_empty() {
            self.submit_again(counters).map_err(failed)?;
        }
        let wanted = u32::from(timeout != Some(Duration::ZERO));
        let outcome = enter(&mut self.ring, wanted, timeout, counters);
        self.gather(events, counters);
        match outcome {
            _ if !events.is_empty() => Ok(()),
            // Completions, but of nothing that is an event.
            Ok(()) if wanted > 0 => Err(failed(Errno::INTR)),
            Ok(()) | Err(Errno::TIME) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for IoUringPoll {
    fn drop(&mut self) {
        // A forked child must not touch the ring that it shares, and another thread may not; the kernel then lets go of the
        // files when the last descriptor of the ring is closed.
        if self.home.check().is_ok() {
            // With no request left there is nothing to cancel, and nobody to tell of any other error.
            let _ = self.ring.cancel_all();
        }
    }
}

/// A completion's conditions, as bits of `poll(2)`.
#[inline]
fn told(bits: u32) -> u16 {
    u16::try_from(bits).unwrap_or(POLLERR)
}

/// Submits what is queued and waits for completions. Completions that had no room in the ring are brought along.
#[inline]
fn enter(ring: &mut PollRing, wanted: u32, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Errno> {
    counters.overflows += u64::from(ring.overflowed());
    counters.count(Call::IoUringEnter);
    ring.enter(wanted, timeout).map(drop)
}

fn failed(errno: Errno) -> DeclareError {
    DeclareError::System {
        call: "io_uring_enter",
        errno,
    }
}

/// Who refused the ring, and what lifts it.
fn refused(errno: Errno) -> Unavailable {
    Unavailable {
        call: "io_uring_setup",
        errno,
        remedy: ring_setup::remedy(errno).to_owned(),
    }
}

fn probe() -> Result<(), Unavailable> {
    PollRing::open(1, 2).map(drop).map_err(refused)
}
