//! The kernel's side of a set on Linux AIO.

use super::requests::{Request, Requests, State};
use crate::{
    Counters, DeclareError, Events, Key, OpenError, Trigger, Unsupported, Watch,
    counters::Call,
    mechanism::{
        backend::{Backend, Refused},
        file_kind::{FileKind, require_readiness},
    },
    readiness::poll_bits,
};
use c10k_sys::{
    aio_ring::{Completion, PollContext, Ticket},
    poll::{POLLERR, POLLHUP, POLLIN, POLLPRI, PollEntry, poll},
};
use rustix::{
    event::EventfdFlags,
    io::{Errno, retry_on_intr},
};
use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

/// How many requests the first context of a set has room for. It is small, because `fs.aio-max-nr` counts the room of all
/// contexts of the system, used or not.
const FIRST_CAPACITY: u32 = 128;
/// The conditions that the kernel adds to each request.
const ALWAYS: u16 = POLLHUP | POLLERR;
/// The user data of the request that checks a file. No key has these bits.
const CHECK: u64 = Key::NONE.to_bits();

/// The kernel's side of a set on Linux AIO.
///
/// A submitted request has exactly one completion, whether it finds a condition or is cancelled. Between the calls of this type
/// no request is queued in the context.
pub(super) struct AioPoll {
    mechanism: &'static str,
    context: PollContext,
    requests: Requests,
    /// The requests that the next wait submits. Those that are not [`State::Queued`] any more are skipped.
    queue: Vec<Key>,
    /// Completions that were taken from the ring in search of another one, or that a submission returned as an error.
    backlog: VecDeque<Completion>,
}

impl AioPoll {
    /// Opens a context for the mechanism of this name.
    pub(super) fn open(mechanism: &'static str) -> Result<Self, OpenError> {
        let refused = |(call, errno)| OpenError::refused(mechanism, call, errno);
        let mut context = PollContext::open(FIRST_CAPACITY).map_err(|errno| refused(("io_setup", errno)))?;
        make_each_call(&mut context).map_err(refused)?;
        Ok(Self {
            mechanism,
            context,
            requests: Requests::default(),
            queue: Vec::new(),
            backlog: VecDeque::new(),
        })
    }

    /// Replaces the context by one with room for so many requests. What has completed is kept. The requests that end with the
    /// former context are submitted again: a condition that they would have reported is found then, if it still holds.
    #[cold]
    fn replace_context(&mut self, capacity: usize, counters: &mut Counters) -> Result<(), Refused> {
        counters.count(Call::IoSetup);
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        let next = PollContext::open(capacity).map_err(Refused::by(Call::IoSetup))?;
        while let Some(completion) = self.context.pop() {
            self.note_end(completion);
            self.backlog.push_back(completion);
        }
        counters.count(Call::IoDestroy);
        self.context.destroy().map_err(Refused::by(Call::IoDestroy))?;
        self.context = next;
        for request in self.requests.iter_mut() {
            if matches!(request.state, State::Submitted(_)) {
                request.state = State::Queued;
                self.queue.push(request.key);
            }
        }
        Ok(())
    }

    fn grow(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        self.replace_context(2 * self.context.capacity(), counters)
    }

    /// Queues a source's request for the next wait.
    fn enqueue(&mut self, key: Key) {
        if let Some(request) = self.requests.get(key).filter(|request| request.state == State::Ended) {
            request.state = State::Queued;
            self.queue.push(key);
        }
    }

    /// Submits the queued requests.
    fn submit(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        let mut next = 0;
        while let Some(&key) = self.queue.get(next) {
            next += 1;
            let Some(request) = self.requests.get(key).filter(|request| request.state == State::Queued) else {
                continue;
            };
            match self.context.queue(request.fd, request.bits, key.to_bits()) {
                Some(ticket) => request.state = State::Submitted(ticket),
                // Requests that could not be cancelled take the room.
                None => {
                    next -= 1;
                    self.grow(counters).inspect_err(|_| self.take_back())?;
                }
            }
        }
        self.queue.clear();
        self.flush(counters)
    }

    /// Hands the requests that are queued in the context to the kernel. One that it refuses completes with the error.
    fn flush(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        while self.context.queued() > 0 {
            counters.count(Call::IoSubmit);
            match self.context.submit() {
                Ok(()) => {}
                Err(errno @ (Errno::BADF | Errno::INVAL)) => {
                    if let Some(data) = self.context.drop_first() {
                        let completion = Completion {
                            data,
                            result: Err(errno),
                        };
                        self.note_end(completion);
                        self.backlog.push_back(completion);
                    }
                }
                Err(errno) => {
                    self.take_back();
                    return Err(Refused::by(Call::IoSubmit)(errno));
                }
            }
        }
        Ok(())
    }

    /// Takes back what is queued in the context, for the next wait.
    #[cold]
    fn take_back(&mut self) {
        while let Some(data) = self.context.drop_last() {
            let key = Key::from_bits(data);
            if let Some(request) = self.requests.get(key) {
                request.state = State::Queued;
                self.queue.push(key);
            }
        }
    }

    /// Ends a source's request, and drops its completion if it has one.
    fn cancel(&mut self, key: Key, counters: &mut Counters) -> Result<(), Refused> {
        let data = key.to_bits();
        self.backlog.retain(|completion| completion.data != data);
        match self.requests.get(key).map(|request| request.state) {
            Some(State::Submitted(ticket)) => self.cancel_submitted(data, ticket, counters),
            _ => Ok(()),
        }
    }

    /// Cancels a request and waits for its completion, which is dropped. Keeps the completions of other sources.
    fn cancel_submitted(&mut self, data: u64, ticket: Ticket, counters: &mut Counters) -> Result<(), Refused> {
        counters.count(Call::IoCancel);
        match self.context.cancel(ticket) {
            // A thread of the kernel completes it. It seldom runs before this one sleeps, so looking first is in vain.
            Ok(()) => {}
            // It has completed, or a wake-up on another CPU is about to complete it.
            Err(Errno::INVAL) => {
                if self.set_ring_aside_until(data) {
                    return Ok(());
                }
            }
            // A sandbox refuses the call. Every request ends with its context.
            Err(errno) => {
                self.replace_context(self.context.capacity(), counters)
                    .map_err(|_| Refused::by(Call::IoCancel)(errno))?;
                self.backlog.retain(|completion| completion.data != data);
                return Ok(());
            }
        }
        loop {
            counters.count(Call::IoGetevents);
            match self.context.wait(None) {
                Ok(Some(completion)) => {
                    if self.set_aside_unless(data, completion) || self.set_ring_aside_until(data) {
                        return Ok(());
                    }
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Refused::by(Call::IoGetevents)(errno)),
            }
        }
    }

    /// Drops a completion with this user data and returns true. Keeps another one.
    fn set_aside_unless(&mut self, data: u64, completion: Completion) -> bool {
        self.note_end(completion);
        let is_it = completion.data == data;
        if !is_it {
            self.backlog.push_back(completion);
        }
        is_it
    }

    /// Takes completions from the ring until one has this user data, which is dropped. Returns whether there was one.
    fn set_ring_aside_until(&mut self, data: u64) -> bool {
        while let Some(completion) = self.context.pop() {
            if self.set_aside_unless(data, completion) {
                return true;
            }
        }
        false
    }

    /// Notes that a request has ended.
    #[inline]
    fn note_end(&mut self, completion: Completion) {
        if let Some(request) = self.requests.get(Key::from_bits(completion.data)) {
            request.state = State::Ended;
        }
    }

    /// Turns the completion of a request that has ended into an event.
    #[inline]
    fn deliver(&mut self, completion: Completion, events: &mut Events, counters: &mut Counters) {
        let key = Key::from_bits(completion.data);
        let Some(request) = self.requests.get(key) else {
            // A request that could not be cancelled.
            counters.events += 1;
            counters.stale_events += 1;
            return;
        };
        let mut bits = match completion.result {
            Ok(found) => found & (request.bits | ALWAYS),
            // The request could not be started: the program closed the descriptor of a source in the set.
            Err(_) => POLLERR,
        };
        if bits & POLLPRI != 0 {
            bits = without_false_priority(request.fd, bits, counters);
        }
        if bits == 0 || request.trigger == Trigger::Level {
            self.enqueue(key);
        }
        if bits != 0 {
            events.push(key, bits);
        }
    }

    /// Fills the batch from the backlog, then from the ring, without a system call.
    fn collect(&mut self, events: &mut Events, counters: &mut Counters) {
        while events.room() > 0
            && let Some(completion) = self.backlog.pop_front()
        {
            self.deliver(completion, events, counters);
        }
        while events.room() > 0
            && let Some(completion) = self.context.pop()
        {
            self.note_end(completion);
            self.deliver(completion, events, counters);
        }
    }

    /// Refuses a file with several wait queues, which the kernel refuses unless a condition holds at once. So this asks for no
    /// condition.
    fn require_one_queue(&mut self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<(), DeclareError> {
        let ticket = self.context.queue(fd.as_raw_fd(), 0, CHECK);
        self.flush(counters).map_err(declined)?;
        if let Some(Completion { data: CHECK, result }) = self.backlog.back().copied() {
            self.backlog.pop_back();
            return match result {
                Err(Errno::INVAL) => Err(DeclareError::Unsupported {
                    mechanism: self.mechanism,
                    what: Unsupported::FileWithSeveralQueues,
                }),
                Err(errno) => Err(declined(Refused::by(Call::IoSubmit)(errno))),
                Ok(_) => Ok(()),
            };
        }
        match ticket {
            Some(ticket) => self.cancel_submitted(CHECK, ticket, counters).map_err(declined),
            // The context had no room, which `add` made.
            None => Err(declined(Refused::by(Call::IoSubmit)(Errno::AGAIN))),
        }
    }
}

impl Backend for AioPoll {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        // The waker's eventfd needs no check.
        let kind = if key == Key::WAKER {
            FileKind::Socket
        } else {
            require_readiness(self.mechanism, fd, counters)?
        };
        if self.requests.count() >= self.context.capacity() {
            self.grow(counters).map_err(declined)?;
        }
        if kind == FileKind::Other {
            self.require_one_queue(fd, counters)?;
        }
        self.requests.insert(Request {
            key,
            fd: fd.as_raw_fd(),
            bits: poll_bits(watch.interest()),
            trigger: watch.trigger(),
            state: State::Ended,
        });
        self.enqueue(key);
        Ok(())
    }

    fn change(
        &mut self,
        _fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        self.cancel(key, counters).map_err(declined)?;
        if let Some(request) = self.requests.get(key) {
            request.bits = poll_bits(watch.interest());
            request.trigger = watch.trigger();
        }
        self.enqueue(key);
        Ok(())
    }

    fn remove(&mut self, _fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        let outcome = self.cancel(key, counters);
        self.requests.remove(key);
        outcome.map_err(declined)
    }

    fn forget(&mut self, _number: RawFd, key: Key, counters: &mut Counters) {
        // The request holds the file itself. If it cannot be cancelled, its event is stale.
        let _ = self.cancel(key, counters);
        self.requests.remove(key);
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        self.collect(events, counters);
        if events.is_empty() && !self.queue.is_empty() {
            self.submit(counters)?;
            self.collect(events, counters);
        }
        if !events.is_empty() || timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        let failed = Refused::by(Call::IoGetevents);
        // A completion was no event, and its request must be submitted again.
        if !self.queue.is_empty() {
            return Err(failed(Errno::INTR));
        }
        counters.count(Call::IoGetevents);
        let Some(completion) = self.context.wait(timeout).map_err(failed)? else {
            return Ok(());
        };
        self.note_end(completion);
        self.deliver(completion, events, counters);
        self.collect(events, counters);
        if events.is_empty() {
            return Err(failed(Errno::INTR));
        }
        Ok(())
    }
}

/// Makes each system call once: some sandboxes allow the setup only. A set relies on the kernel's answer to `io_cancel` as well:
/// a request that it does not end is about to complete.
fn make_each_call(context: &mut PollContext) -> Result<(), (&'static str, Errno)> {
    let named = |call| move |errno| (call, errno);
    PollContext::may_destroy().map_err(named("io_destroy"))?;
    let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    let never = rustix::event::eventfd(0, flags).map_err(named("eventfd2"))?;
    let ticket = context.queue(never.as_raw_fd(), POLLIN, CHECK);
    let ticket = ticket.ok_or(("io_submit", Errno::AGAIN))?;
    context.submit().map_err(named("io_submit"))?;
    context.cancel(ticket).map_err(named("io_cancel"))?;
    while retry_on_intr(|| context.wait(None))
        .map_err(named("io_getevents"))?
        .is_none()
    {}
    Ok(())
}

/// Removes `POLLPRI` from the conditions of a completion if it does not hold. Sockets wake what waits for it with any data, and
/// a request that was woken completes with the conditions of the wake-up.
#[cold]
fn without_false_priority(fd: RawFd, bits: u16, counters: &mut Counters) -> u16 {
    let mut entry = [PollEntry::of_number(fd, POLLPRI)];
    counters.count(Call::Ppoll);
    match poll(&mut entry, Some(Duration::ZERO)) {
        Ok(_) if entry[0].found() & POLLPRI == 0 => bits & !POLLPRI,
        // If the state cannot be read, the event is a hint.
        _ => bits,
    }
}

fn declined(Refused { call, errno }: Refused) -> DeclareError {
    DeclareError::System {
        call: call.name(),
        errno,
    }
}
