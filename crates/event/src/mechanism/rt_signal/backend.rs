//! The kernel's side of a set on real-time signals.

use super::{
    file_signals::FileSignals,
    filter::SignalFilter,
    queue::{Dequeue, Queue},
    queue_limit::QueueLimit,
    signalled::{Room, Signalled},
    sources::{Sources, Trust},
};
use crate::{
    Counters, DeclareError, Events, Interest, Key, OnOverflow, OpenError, Options, Readiness, Unsupported, Watch,
    counters::Call,
    fd::index,
    mechanism::{
        backend::{Backend, Refused},
        select::Maps,
    },
    readiness::poll_bits,
    waker::ChannelKind,
};
use c10k_sys::{
    limit::limit,
    poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, PollEntry, poll},
    select::select,
    signal::{self, Async, Reason, Taken},
};
use rustix::{
    fs::OFlags,
    io::{Errno, retry_on_intr},
    process::Resource,
};
use std::{
    cell::Cell,
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

/// The kernel's side of a set on real-time signals.
pub(in crate::mechanism) struct RtSignal<D, F> {
    mechanism: &'static str,
    queue: Queue<D>,
    filter: F,
    sources: Sources,
    files: FileSignals,
    /// Events found by polling, not by a signal: initial states and the results of a rescan; as bits of `poll(2)`.
    backlog: VecDeque<(Key, u16)>,
    /// Whether the queue's turn comes before the backlog's in a batch with room for one event only.
    is_queues_turn: bool,
    on_overflow: OnOverflow,
    /// The most signals that the queue can have held since the set was opened.
    queue_limit: u64,
    _changed_limit: Option<QueueLimit>,
    rescan: Vec<PollEntry>,
    maps: Maps,
    /// Why sources could not be polled whose state the program has not learnt. While there is a reason, the next wait polls
    /// all sources.
    unpolled: Cell<Option<Errno>>,
}

impl<D: Dequeue, F: SignalFilter> RtSignal<D, F> {
    /// Opens the queue and the filter for the mechanism of this name.
    pub(in crate::mechanism) fn open(mechanism: &'static str, options: &Options) -> Result<Self, OpenError> {
        let refused = |errno| match errno {
            // The option asks for more than the hard limit.
            Errno::INVAL => OpenError::System {
                mechanism,
                call: "prlimit64",
                errno,
            },
            errno => OpenError::refused(mechanism, "prlimit64", errno),
        };
        let before = limit(Resource::Sigpending).map_err(refused)?;
        let changed = options.signal_queue.map(QueueLimit::set).transpose().map_err(refused)?;
        let queue_limit = before
            .current
            .map_or(u64::MAX, |before| before.max(options.signal_queue.unwrap_or(0)));
        let queue = Queue::open(mechanism, options.signal)?;
        let filter =
            F::open(queue.signal(), queue.receiver()).map_err(|reason| OpenError::Unavailable { mechanism, reason })?;
        Ok(Self {
            mechanism,
            queue,
            filter,
            sources: Sources::default(),
            files: FileSignals::default(),
            backlog: VecDeque::new(),
            is_queues_turn: false,
            on_overflow: options.on_overflow,
            queue_limit,
            _changed_limit: changed,
            rescan: Vec::new(),
            maps: Maps::default(),
            unpolled: Cell::new(None),
        })
    }

    /// Makes an open file send its signals to this set's thread, or leaves it as it was. Returns when it signals room.
    fn arm(&mut self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<Room, DeclareError> {
        let failed = |errno| DeclareError::System { call: "fcntl", errno };
        counters.count(Call::Fcntl);
        let (state, flags) = signal::async_of(fd).map_err(failed)?;
        if flags.contains(OFlags::PATH) {
            return Err(self.unsupported(Unsupported::PathOnly));
        }
        let signalled = Signalled::of(self.mechanism, fd, counters)?;
        let owner = self.files.note(fd, counters).map_err(failed)?;
        if state == Async::On {
            if !owner.is_gone() {
                return Err(self.unsupported(Unsupported::SignalsInUse));
            }
            // A process that has ended left it so. The file would report the number that it had there.
            counters.count(Call::Fcntl);
            signal::set_async(fd, Async::Off, flags).map_err(failed)?;
        }
        let armed = self.start_signals(fd, flags, signalled, counters);
        if armed.is_err() {
            self.filter.unwatch(fd.as_raw_fd());
            // The first error is the reason.
            let _ = self.files.restore(fd, counters);
        }
        armed.map(|()| signalled.room)
    }

    fn start_signals(
        &mut self,
        fd: BorrowedFd<'_>,
        flags: OFlags,
        signalled: Signalled,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        let failed = |call| move |errno| DeclareError::System { call, errno };
        let (receiver, signal) = (self.queue.receiver(), self.queue.signal());
        FileSignals::redirect(fd, receiver, signal, counters).map_err(failed("fcntl"))?;
        // Before the first signal, so that every signal is counted.
        self.filter.watch(fd.as_raw_fd()).map_err(failed("bpf"))?;
        counters.count(Call::Fcntl);
        signal::set_async(fd, Async::On, flags).map_err(failed("fcntl"))?;
        // F_SETFL succeeds without effect if the file has no fasync.
        if !signalled.is_certain {
            counters.count(Call::Fcntl);
            if signal::async_of(fd).map_err(failed("fcntl"))?.0 == Async::Off {
                return Err(self.unsupported(Unsupported::FileWithoutSignals));
            }
        }
        Ok(())
    }

    fn unsupported(&self, what: Unsupported) -> DeclareError {
        DeclareError::Unsupported {
            mechanism: self.mechanism,
            what,
        }
    }

    /// Stops an open file from sending signals, and restores its former owner and signal.
    fn disarm(&mut self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<(), Errno> {
        counters.count(Call::Fcntl);
        let (_, flags) = signal::async_of(fd)?;
        counters.count(Call::Fcntl);
        signal::set_async(fd, Async::Off, flags)?;
        self.files.restore(fd, counters)
    }

    /// Polls a source. The waits that follow report what is returned here.
    fn state(fd: BorrowedFd<'_>, interest: Interest, room: Room, counters: &mut Counters) -> Result<u16, DeclareError> {
        poll_now(PollEntry::new(fd, poll_bits(interest) | room.polled()), counters)
            .map_err(|errno| DeclareError::System { call: "ppoll", errno })
    }

    /// Polls a source that was just armed. Refuses it if the kernel would not signal what its interest asks for.
    fn first_state(
        &mut self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        room: Room,
        counters: &mut Counters,
    ) -> Result<u16, DeclareError> {
        let state = Self::state(fd, interest, room, counters)?;
        self.note_room(fd, interest, room.armed_in(state))?;
        Ok(state)
    }

    fn note_room(&mut self, fd: BorrowedFd<'_>, interest: Interest, room: Room) -> Result<(), DeclareError> {
        self.sources.set_room(fd.as_raw_fd(), room);
        if room.suffices(interest, fd) {
            Ok(())
        } else {
            Err(self.unsupported(Unsupported::RoomWithoutSignals))
        }
    }

    fn report(&mut self, key: Key, interest: Interest, state: u16) {
        if is_wanted(state, interest) {
            self.backlog.push_back((key, state));
        }
    }

    /// Takes queued signals for half of the batch's room while the backlog has states to report. A source that is modified
    /// after each of its events has a state to report at every wait; it must not keep the other sources out.
    #[inline(never)]
    fn take_along_with_backlog(&mut self, room: usize, counters: &mut Counters) -> Result<(), Refused> {
        self.queue.forget_taken();
        self.is_queues_turn = !self.is_queues_turn;
        let share = if room == 1 {
            usize::from(self.is_queues_turn)
        } else {
            room / 2
        };
        if share == 0 || self.queue.overflowed() {
            return Ok(());
        }
        match self.queue.take(share, Some(Duration::ZERO), counters) {
            Err(Refused {
                errno: Errno::AGAIN, ..
            }) => {
                self.sources.seen_empty();
                Ok(())
            }
            Err(Refused { errno: Errno::INTR, .. }) => Ok(()),
            outcome => outcome,
        }
    }

    #[inline(never)]
    fn deliver_backlog(&mut self, events: &mut Events) {
        while events.room() > 0 {
            let Some((key, bits)) = self.backlog.pop_front() else {
                return;
            };
            events.push(key, bits);
        }
    }

    /// Turns one signal into an event, or drops it.
    #[inline]
    fn deliver(&self, taken: Taken, events: &mut Events, counters: &mut Counters) {
        if taken.reason == Reason::SentByProgram {
            return;
        }
        // The next event of this number's source is queued again from here on, whichever source that is by now.
        let coalesced = self.filter.taken(taken.fd) > 1 || taken.is_mixed;
        let event = self
            .sources
            .find(taken.fd, counters.signals)
            .and_then(|(watched, trust)| {
                // A signal that stands for several events has the reason of the first one. If the program waits for that
                // reason only, the others add nothing that its next read or write does not show.
                let certain =
                    trust == Trust::Certain && (!coalesced || is_whole_interest(taken.reason, watched.interest));
                let bits = if certain {
                    bits_of(taken.reason)
                } else {
                    let entry = PollEntry::of_number(taken.fd, poll_bits(watched.interest));
                    poll_now(entry, counters).unwrap_or_else(|errno| self.poll_all_next(errno))
                };
                is_wanted(bits, watched.interest).then_some((watched.key, bits))
            });
        match event {
            Some((key, bits)) => events.push(key, bits),
            None => {
                counters.events += 1;
                counters.stale_events += 1;
            }
        }
    }

    /// Notes that a signal was taken and its source could not be polled: the next wait polls all sources. Returns no
    /// conditions.
    #[cold]
    fn poll_all_next(&self, errno: Errno) -> u16 {
        self.unpolled.set(Some(errno));
        self.queue.miss_overflow();
        0
    }

    /// Recovers from lost events: discards the queued signals, then polls every source. Events during the rescan are
    /// signalled again. Without recovery, the signals that were taken together with `SIGIO` are kept. If the sources
    /// cannot be polled, the next wait recovers again.
    #[cold]
    fn recover(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        if self.unpolled.get().is_none() {
            counters.overflows += 1;
            if self.on_overflow == OnOverflow::None {
                self.queue.forget_overflow();
                return Ok(());
            }
        }
        // The signals taken together with `SIGIO` are as outdated as the ones that are left in the queue.
        let taken = self.queue.taken().len() as u64;
        // Under constant load the queue may never be empty. As many signals as it can hold are outdated in any case.
        let before = counters.signals;
        let until = before.saturating_add(self.queue_limit);
        while counters.signals < until {
            match self.queue.drain(counters) {
                Ok(()) | Err(Refused { errno: Errno::INTR, .. }) => {}
                Err(Refused {
                    errno: Errno::AGAIN, ..
                }) => {
                    self.sources.seen_empty();
                    break;
                }
                Err(refused) => return Err(refused),
            }
        }
        counters.discarded_signals += counters.signals - before + taken;
        self.queue.forget_taken();
        self.filter.clear();
        match self.on_overflow {
            OnOverflow::RescanSelect => self.rescan_select(counters),
            _ => self.rescan_poll(counters),
        }
        .inspect_err(|refused| self.unpolled.set(Some(refused.errno)))?;
        counters.rescans += 1;
        self.queue.forget_overflow();
        self.unpolled.set(None);
        Ok(())
    }

    fn rescan_poll(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        let Self {
            sources,
            rescan,
            backlog,
            ..
        } = self;
        rescan.clear();
        rescan.extend(
            sources
                .iter()
                .map(|(fd, watched)| PollEntry::of_number(fd, poll_bits(watched.interest))),
        );
        retry_on_intr(|| {
            counters.count(Call::Ppoll);
            poll(rescan, Some(Duration::ZERO))
        })
        .map_err(Refused::by(Call::Ppoll))?;
        // What was found before is found again.
        backlog.clear();
        for ((_, watched), entry) in sources.iter().zip(rescan) {
            if is_wanted(entry.found(), watched.interest) {
                backlog.push_back((watched.key, entry.found()));
            }
        }
        Ok(())
    }

    fn rescan_select(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        let Self {
            sources, maps, backlog, ..
        } = self;
        let bound = sources.iter().last().map_or(0, |(fd, _)| index(fd) + 1);
        retry_on_intr(|| {
            maps.clear(bound);
            sources.iter().for_each(|(fd, watched)| maps.set(fd, watched.interest));
            counters.count(Call::Pselect6);
            let now = Some(Duration::ZERO);
            select(bound, &mut maps.read, &mut maps.write, &mut maps.except, now)
        })
        .map_err(Refused::by(Call::Pselect6))?;
        backlog.clear();
        for (fd, watched) in sources.iter() {
            let bits = maps.get(fd);
            if bits != 0 {
                backlog.push_back((watched.key, bits));
            }
        }
        Ok(())
    }
}

impl<D: Dequeue, F: SignalFilter> Backend for RtSignal<D, F> {
    fn channel_kind(&self) -> ChannelKind {
        ChannelKind::Pipe
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        let number = fd.as_raw_fd();
        if self.sources.is_suspect(number) && self.queue.is_empty(counters) {
            self.sources.seen_empty();
        }
        let room = self.arm(fd, counters)?;
        let until_taken = counters.signals.saturating_add(self.queue_limit);
        self.sources.insert(number, key, watch.interest(), until_taken);
        match self.first_state(fd, watch.interest(), room, counters) {
            Ok(state) => {
                self.report(key, watch.interest(), state);
                Ok(())
            }
            Err(error) => {
                // The first error is the reason.
                let _ = self.remove(fd, key, counters);
                Err(error)
            }
        }
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        let room = self.sources.room(fd.as_raw_fd());
        let state = Self::state(fd, watch.interest(), room, counters)?;
        self.note_room(fd, watch.interest(), room.seen_in(state))?;
        self.sources.change(fd.as_raw_fd(), watch.interest());
        self.report(key, watch.interest(), state);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.sources.remove(fd.as_raw_fd());
        let disarmed = self.disarm(fd, counters);
        if disarmed.is_err() {
            self.queue.keep_blocked();
        }
        self.filter.unwatch(fd.as_raw_fd());
        disarmed.map_err(|errno| DeclareError::System { call: "fcntl", errno })
    }

    fn forget(&mut self, number: RawFd, _key: Key, _: &mut Counters) {
        // The file may be open under another number.
        self.queue.keep_blocked();
        self.sources.remove(number);
        self.filter.unwatch(number);
    }

    fn removes_in_any_thread(&self) -> bool {
        true
    }

    fn abandon(&mut self, fd: BorrowedFd<'_>) {
        // The set is being dropped, so an error has no consequence but that the signal stays blocked.
        let _ = self.remove(fd, Key::NONE, &mut Counters::default());
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        if self.backlog.is_empty() && !self.queue.overflowed() {
            match self.queue.take(events.room(), timeout, counters) {
                Err(Refused {
                    errno: Errno::AGAIN, ..
                }) => {
                    self.sources.seen_empty();
                    return Ok(());
                }
                outcome => outcome?,
            }
        } else {
            self.take_along_with_backlog(events.room(), counters)?;
        }
        if self.queue.overflowed() {
            self.recover(counters)?;
        }
        for &signal in self.queue.taken() {
            self.deliver(signal, events, counters);
        }
        if !self.backlog.is_empty() {
            self.deliver_backlog(events);
        }
        if events.is_empty() {
            return Err(match self.unpolled.get() {
                Some(errno) => Refused::by(Call::Ppoll)(errno),
                // There were signals, but none is an event.
                None => Refused::by(Call::RtSigtimedwait)(Errno::INTR),
            });
        }
        Ok(())
    }
}

/// The reason of a signal as bits of `poll(2)`. A table, because the processor mispredicts the jump of a `match` after a
/// system call.
#[inline]
fn bits_of(reason: Reason) -> u16 {
    /// In the order of [`Reason`].
    const BITS: [u16; 6] = [POLLIN, POLLOUT, POLLERR, POLLPRI, POLLHUP, 0];
    const { assert!(Reason::In as usize == 0 && Reason::Priority as usize == 3 && Reason::SentByProgram as usize == 5) };
    BITS[reason as usize]
}

/// Whether bits of `poll(2)` are visible to an interest.
#[inline]
fn is_wanted(bits: u16, interest: Interest) -> bool {
    !Readiness::from_poll(bits).visible_to(interest).is_none()
}

/// Whether a signal of this reason says everything that the interest asks for.
fn is_whole_interest(reason: Reason, interest: Interest) -> bool {
    matches!(
        (reason, interest),
        (Reason::In, Interest::READABLE) | (Reason::Out, Interest::WRITABLE) | (Reason::Priority, Interest::PRIORITY)
    )
}

/// A descriptor's current state as bits of `poll(2)`.
#[inline(never)]
fn poll_now(entry: PollEntry, counters: &mut Counters) -> Result<u16, Errno> {
    let mut entry = [entry];
    retry_on_intr(|| {
        counters.count(Call::Ppoll);
        poll(&mut entry, Some(Duration::ZERO))
    })?;
    Ok(entry[0].found())
}
