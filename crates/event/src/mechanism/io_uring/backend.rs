//! The kernel's side of a set on io_uring.

use super::setup;
use crate::{
    Counters, DeclareError, Events, Interrupts, Key, OpenError, Options, Threading, Trigger, Watch,
    counters::Call,
    mechanism::{
        backend::{Backend, Refused},
        file_kind::require_readiness,
        kernel::Kernel,
    },
    owner::Owner,
    readiness::poll_bits,
};
use c10k_sys::{
    poll::{POLLERR, POLLHUP, POLLRDHUP},
    poll_ring::{BusyPoll, Completion, PollRing, Shots},
};
use rustix::io::Errno;
use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

/// Opens a ring for the mechanism of this name.
pub(super) fn open(mechanism: &'static str, options: &Options) -> Result<Kernel, OpenError> {
    IoUringPoll::open(mechanism, options).map(Kernel::boxed)
}

/// How many requests can be queued before the kernel must be called.
const SUBMISSIONS: u32 = 1_024;
/// How many completions the ring holds by default; [`Options::completion_queue`] changes it.
const COMPLETIONS: u32 = 4_096;
/// The conditions of a source that will not change any more.
const ENDED: u16 = POLLHUP | POLLERR;
/// The peer has closed its half of the connection.
const HALF_CLOSED: u32 = POLLRDHUP as u32;
/// The user data of a removal's own completion. No key has these bits: they are [`Key::NONE`]'s.
const REMOVAL: u64 = u64::MAX;

/// The kernel's side of a set on io_uring.
struct IoUringPoll {
    mechanism: &'static str,
    ring: PollRing,
    owner: Owner,
    requests: Requests,
    /// Sources whose requests the next wait submits again.
    again: Vec<Key>,
    /// Completions that arrived during the wait for a removal.
    backlog: VecDeque<Completion>,
}

/// A source's request.
#[derive(Clone, Copy, Debug)]
struct Request {
    key: Key,
    fd: RawFd,
    bits: u32,
    trigger: Trigger,
    state: RequestState,
    mode: Mode,
}

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// As the trigger requires.
    Direct,
    /// It stays, and completes at each change. The kernel reports a half-closed peer although it was not asked for: a level
    /// request would complete at once, again and again.
    AtChanges,
    /// As `AtChanges`, after its event. The next wait ends it.
    Spent,
}

/// Whether the kernel has a request, according to the completions taken from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestState {
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
    fn open(mechanism: &'static str, options: &Options) -> Result<Self, OpenError> {
        let completions = options.completion_queue.unwrap_or(COMPLETIONS).max(1);
        let setup = options.ring.unwrap_or_default();
        setup::check(setup).map_err(|remedy| OpenError::OptionOutOfRange {
            mechanism,
            option: "the minimum wait",
            remedy,
        })?;
        let mut ring = setup::open(setup, SUBMISSIONS, completions)
            .map_err(|reason| OpenError::Unavailable { mechanism, reason })?;
        // Some sandboxes allow the setup only.
        ring.enter(0, Some(Duration::ZERO))
            .map_err(|errno| OpenError::refused(mechanism, "io_uring_enter", errno))?;
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
        let owner = Owner::current(Threading::Opener).map_err(|errno| OpenError::System {
            mechanism,
            call: Owner::CALL,
            errno,
        })?;
        Ok(Self {
            mechanism,
            ring,
            owner,
            requests: Requests::default(),
            again: Vec::new(),
            backlog: VecDeque::new(),
        })
    }

    /// Queues a source's request. Calls the kernel only if the queue is full.
    fn submit(&mut self, key: Key, counters: &mut Counters) -> Result<(), Errno> {
        let Self { ring, requests, .. } = self;
        let Some(request) = requests.get(key).filter(|request| request.state == RequestState::Ended) else {
            return Ok(());
        };
        let shots = if request.trigger == Trigger::Edge || request.mode == Mode::AtChanges {
            Shots::Many
        } else {
            Shots::One
        };
        while !ring.add(request.fd, request.bits, key.to_bits(), shots) {
            enter(ring, 0, Some(Duration::ZERO), counters)?;
        }
        request.state = RequestState::Armed;
        Ok(())
    }

    /// Ends a source's request and waits for its last completion. Keeps the completions of other sources.
    fn cancel(&mut self, key: Key, counters: &mut Counters) -> Result<(), Errno> {
        let data = key.to_bits();
        self.backlog.retain(|completion| completion.data != data);
        let mut armed = self
            .requests
            .get(key)
            .is_some_and(|request| request.state == RequestState::Armed);
        if !armed {
            return Ok(());
        }
        self.submit_removal(data, counters)?;
        let mut removals = 1;
        // Wait for each removal's own completion too: one that is left would be mistaken for that of a later removal.
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
                        self.note_end(completion);
                        self.backlog.push_back(completion);
                    }
                }
            }
            match removed {
                // An event of the request was about to be completed; a removal does not stop that.
                Some(Err(Errno::ALREADY)) if armed => {
                    self.submit_removal(data, counters)?;
                    removals += 1;
                }
                // Not found, and none of its completions is left in the ring: it ended earlier.
                Some(Err(Errno::NOENT)) => armed = false,
                _ => {}
            }
        }
        Ok(())
    }

    /// Queues the removal of a request. Calls the kernel only if the queue is full.
    fn submit_removal(&mut self, data: u64, counters: &mut Counters) -> Result<(), Errno> {
        while !self.ring.remove(data, REMOVAL) {
            enter(&mut self.ring, 0, Some(Duration::ZERO), counters)?;
        }
        Ok(())
    }

    /// Notes that a request has ended, if this completion is its last.
    #[inline]
    fn note_end(&mut self, completion: Completion) {
        if !completion.more
            && let Some(request) = self.requests.get(Key::from_bits(completion.data))
        {
            request.state = RequestState::Ended;
        }
    }

    /// Turns a completion into an event. If the request continues, nothing else is needed: `take` checks whether the key is
    /// current.
    #[inline]
    fn deliver(&mut self, completion: Completion, events: &mut Events, counters: &mut Counters) {
        match completion.result {
            Ok(bits) if bits & HALF_CLOSED != 0 => self.deliver_half_closed(completion, bits, events, counters),
            Ok(bits) if completion.more => events.push(Key::from_bits(completion.data), poll_result(bits)),
            _ => self.deliver_last(completion, events, counters),
        }
    }

    /// As [`deliver`](Self::deliver), after the peer has closed its half. The kernel adds this condition to every request: it
    /// is no event of a source whose interest does not include it.
    #[cold]
    fn deliver_half_closed(&mut self, completion: Completion, bits: u32, events: &mut Events, counters: &mut Counters) {
        let key = Key::from_bits(completion.data);
        let unasked = |request: &&mut Request| request.bits & HALF_CLOSED == 0;
        let Some(request) = self.requests.get(key).filter(unasked) else {
            if completion.more {
                events.push(key, poll_result(bits));
            } else {
                self.deliver_last(completion, events, counters);
            }
            return;
        };
        let asked = bits & (request.bits | u32::from(ENDED));
        if asked == 0 {
            if !completion.more {
                request.mode = Mode::AtChanges;
                self.again.push(key);
            }
        } else if request.mode != Mode::Spent {
            if !completion.more {
                let result = Ok(asked);
                return self.deliver_last(Completion { result, ..completion }, events, counters);
            }
            events.push(key, poll_result(asked));
            if request.trigger != Trigger::Edge {
                request.mode = Mode::Spent;
                self.again.push(key);
            }
        }
    }

    /// As [`deliver`](Self::deliver), for a request's last completion.
    #[inline(never)]
    fn deliver_last(&mut self, completion: Completion, events: &mut Events, counters: &mut Counters) {
        let key = Key::from_bits(completion.data);
        let Some(request) = self.requests.get(key) else {
            // A removal's own completion, or one of a source that was withdrawn.
            if completion.data != REMOVAL {
                counters.events += 1;
                counters.stale_events += 1;
            }
            return;
        };
        match completion.result {
            Ok(bits) => {
                // Nothing changes after a hang-up with an error, and a hung-up terminal would end each request at once.
                let has_ended = request.trigger == Trigger::Edge && poll_result(bits) & ENDED == ENDED;
                if request.trigger != Trigger::Oneshot && !has_ended {
                    self.again.push(key);
                }
                events.push(key, poll_result(bits));
            }
            // The request could not be started: the program closed the descriptor of a source in the set.
            Err(_) => events.push(key, POLLERR),
        }
    }

    /// Whether completions are left that did not fit into the last batch or arrived during the wait for a removal.
    fn holds_completions(&mut self) -> bool {
        !self.backlog.is_empty() || self.ring.holds_completions()
    }

    /// Fills the batch from the backlog, then from the ring, without a system call.
    fn collect(&mut self, events: &mut Events, counters: &mut Counters) {
        if !self.backlog.is_empty() {
            self.collect_backlog(events, counters);
        }
        while events.room() > 0 {
            let Some(completion) = self.ring.pop() else { return };
            self.note_end(completion);
            self.deliver(completion, events, counters);
        }
    }

    #[cold]
    fn collect_backlog(&mut self, events: &mut Events, counters: &mut Counters) {
        while events.room() > 0
            && let Some(completion) = self.backlog.pop_front()
        {
            self.deliver(completion, events, counters);
        }
    }

    /// Ends a request that stayed although its trigger is not edge, after its event. Returns its trigger if it was one.
    fn end_spent(&mut self, key: Key, counters: &mut Counters) -> Result<Option<Trigger>, Errno> {
        if !self
            .requests
            .get(key)
            .is_some_and(|request| request.mode == Mode::Spent)
        {
            return Ok(None);
        }
        self.cancel(key, counters)?;
        Ok(self.requests.get(key).map(|request| {
            (request.mode, request.state) = (Mode::Direct, RequestState::Ended);
            request.trigger
        }))
    }

    /// Submits again the requests that ended with their events.
    #[inline(never)]
    fn submit_again(&mut self, counters: &mut Counters) -> Result<(), Errno> {
        for index in 0..self.again.len() {
            let key = self.again[index];
            if self.end_spent(key, counters)? != Some(Trigger::Oneshot) {
                self.submit(key, counters)?;
            }
        }
        self.again.clear();
        Ok(())
    }
}

impl Backend for IoUringPoll {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(self.mechanism, fd, counters)?;
        // The waker's channel is emptied after each wake-up, so that each is an edge.
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
            state: RequestState::Ended,
            mode: Mode::Direct,
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
            (request.mode, request.state) = (Mode::Direct, RequestState::Ended);
        }
        self.submit(key, counters).map_err(failed)
    }

    fn remove(&mut self, _fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        let outcome = self.cancel(key, counters);
        *self.requests.slot(key) = None;
        outcome.map_err(failed)
    }

    fn forget(&mut self, _number: RawFd, key: Key, counters: &mut Counters) {
        // The request holds the file itself. If it cannot be cancelled, its events are stale.
        let _ = self.cancel(key, counters);
        *self.requests.slot(key) = None;
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        if self.holds_completions() {
            self.collect(events, counters);
            if !events.is_empty() {
                return Ok(());
            }
        }
        let failed = Refused::by(Call::IoUringEnter);
        if !self.again.is_empty() {
            self.submit_again(counters).map_err(failed)?;
        }
        count_enter(&mut self.ring, counters);
        let outcome = self.ring.wait(timeout);
        self.collect(events, counters);
        match outcome {
            _ if !events.is_empty() => Ok(()),
            // There were completions, but none is an event.
            Ok(()) if timeout != Some(Duration::ZERO) => Err(failed(Errno::INTR)),
            Ok(()) | Err(Errno::TIME) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for IoUringPoll {
    fn drop(&mut self) {
        // A forked child must not touch the ring that it shares with its parent, and another thread may not. The kernel then
        // releases the files when the last descriptor of the ring is closed.
        if self.owner.check().is_ok() {
            // Fails if no request is left, which is fine; the set is being dropped, so no other error can be reported.
            let _ = self.ring.cancel_all();
        }
    }
}

/// The conditions of a completion, as bits of `poll(2)`.
#[inline]
fn poll_result(bits: u32) -> u16 {
    u16::try_from(bits).unwrap_or(POLLERR)
}

/// Submits the queued requests and waits for completions. Completions that had no room in the ring are moved into it.
#[inline]
fn enter(ring: &mut PollRing, wanted: u32, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Errno> {
    count_enter(ring, counters);
    ring.enter(wanted, timeout)
}

#[inline]
fn count_enter(ring: &mut PollRing, counters: &mut Counters) {
    counters.overflows += u64::from(ring.overflowed());
    counters.count(Call::IoUringEnter);
}

fn failed(errno: Errno) -> DeclareError {
    DeclareError::System {
        call: "io_uring_enter",
        errno,
    }
}
