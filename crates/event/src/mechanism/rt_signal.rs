//! `rt-signal` and `rt-signal-batch`: the kernel queues one real-time signal for each event (`F_SETOWN_EX`, `F_SETSIG`,
//! `O_ASYNC`), taken one a call (`rt_sigtimedwait`) or many a call (`read` of a signalfd).
//!
//! What the kernel does, and what is made of it here:
//!
//! - Only changes make signals. After arming, the state at that moment is looked at once (`ppoll`) and told as an event.
//! - A signal carries the descriptor's number, and nothing that tells one source from the next under the same number. A
//!   signal that may be older than its number's present source is *suspect*: it is checked with a zero-timeout `ppoll`
//!   and becomes an event with the state found, or is dropped and counted as stale. A number is suspect from its
//!   re-declaration until the queue was seen empty, or until as many signals were taken as the queue can hold.
//! - When the queue is full (`RLIMIT_SIGPENDING`, counted per user) the kernel sends `SIGIO`, without a descriptor, and
//!   the event is lost. [`OnOverflow`] says what then.
//! - `SIGIO` is one for all sets of a thread. Each of them recovers.

mod queue;
mod sources;

use super::{Backend, Descriptor, Refused, refuse_busy_poll, require_readiness, select::Maps, signal_per_fd::Gate};
use crate::{
    Call, ChannelKind, Counters, DeclareError, Events, Fact, Interest, Key, OnOverflow, OpenError, Options, Readiness,
    Threading, Trigger, Unavailable, Unsupported, Wakeup, Watch, readiness::poll_bits,
};
use c10k_sys::{
    poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, PollEntry, poll},
    select::select,
    signal::{self, Async, Reason, Taken},
};
use queue::Queue;
pub(super) use queue::{Dequeue, Many, One};
use rustix::{
    io::{Errno, retry_on_intr},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sources::{Sources, Trust};
use std::{
    collections::VecDeque,
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

pub(super) static RT_SIGNAL: Descriptor = Descriptor {
    name: "rt-signal",
    summary: "one queued real-time signal for each event, taken one a call",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    tells: &[Fact::FullClose, Fact::Error, Fact::Priority],
    emulated: false,
    waits: &["rt_sigtimedwait"],
    declares: &["fcntl", "ppoll"],
    probe: || probe::<One, Ungated>(&RT_SIGNAL),
    open: |options| RtSignal::<One, Ungated>::open(&RT_SIGNAL, options).map(super::boxed),
};

pub(super) static RT_SIGNAL_BATCH: Descriptor = Descriptor {
    name: "rt-signal-batch",
    summary: "one queued real-time signal for each event, taken many a call",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    tells: &[Fact::FullClose, Fact::Error, Fact::Priority],
    emulated: false,
    waits: &["read", "rt_sigtimedwait"],
    declares: &["fcntl", "ppoll"],
    probe: || probe::<Many, Ungated>(&RT_SIGNAL_BATCH),
    open: |options| RtSignal::<Many, Ungated>::open(&RT_SIGNAL_BATCH, options).map(super::boxed),
};

/// How many signals of one descriptor the kernel queues.
pub(super) trait Gating: Send + 'static {
    const GATED: bool;
}

/// One for each event.
pub(super) struct Ungated;

/// One, until it is taken.
pub(super) struct PerDescriptor;

impl Gating for Ungated {
    const GATED: bool = false;
}

impl Gating for PerDescriptor {
    const GATED: bool = true;
}

/// The kernel's side of a set on real-time signals.
pub(super) struct RtSignal<D, G> {
    descriptor: &'static Descriptor,
    gating: PhantomData<G>,
    queue: Queue<D>,
    gate: Option<Gate>,
    sources: Sources,
    /// Events found by looking, not by signal: initial states and the results of a sweep; as bits of `poll(2)`.
    backlog: VecDeque<(Key, u16)>,
    /// Whose turn it is, the queue's or the backlog's, where a batch has room for one event.
    is_queues_turn: bool,
    on_overflow: OnOverflow,
    /// The most signals that the queue can have held since the set was opened.
    queue_limit: u64,
    sweep: Vec<PollEntry>,
    maps: Maps,
}

impl<D: Dequeue, G: Gating> RtSignal<D, G> {
    pub(super) fn open(descriptor: &'static Descriptor, options: &Options) -> Result<Self, OpenError> {
        refuse_busy_poll(descriptor, options)?;
        let mechanism = descriptor.name;
        let before = getrlimit(Resource::Sigpending);
        if options.signal_queue.is_some() {
            setrlimit(
                Resource::Sigpending,
                Rlimit {
                    current: options.signal_queue,
                    maximum: before.maximum,
                },
            )
            .map_err(|errno| OpenError::System {
                mechanism,
                call: "setrlimit",
                errno,
            })?;
        }
        let queue_limit = before
            .current
            .map_or(u64::MAX, |before| before.max(options.signal_queue.unwrap_or(0)));
        let queue = Queue::open().map_err(|(call, errno)| match errno {
            Errno::BUSY => OpenError::Unavailable {
                mechanism,
                reason: all_signals_used(),
            },
            errno => OpenError::System { mechanism, call, errno },
        })?;
        let gate = if G::GATED {
            let gate = Gate::open(queue.signal(), queue.receiver());
            Some(gate.map_err(|reason| OpenError::Unavailable { mechanism, reason })?)
        } else {
            None
        };
        Ok(Self {
            descriptor,
            gating: PhantomData,
            queue,
            gate,
            sources: Sources::default(),
            backlog: VecDeque::new(),
            is_queues_turn: false,
            on_overflow: options.on_overflow,
            queue_limit,
            sweep: Vec::new(),
            maps: Maps::default(),
        })
    }

    /// Makes an open file send its signals here.
    fn arm(&mut self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<(), DeclareError> {
        let refuse = |what| {
            Err(DeclareError::Unsupported {
                mechanism: self.descriptor.name,
                what,
            })
        };
        let failed = |errno| DeclareError::System { call: "fcntl", errno };
        counters.count(Call::Fcntl);
        let (state, flags) = signal::async_of(fd).map_err(failed)?;
        if state == Async::On {
            return refuse(Unsupported::SignalsInUse);
        }
        counters.count(Call::Fcntl);
        signal::set_receiver(fd, self.queue.receiver()).map_err(failed)?;
        counters.count(Call::Fcntl);
        signal::set_signal(fd, self.queue.signal()).map_err(failed)?;
        if let Some(gate) = &mut self.gate {
            // Before the first signal, so that none goes uncounted.
            gate.watch(fd.as_raw_fd()).map_err(failed)?;
        }
        counters.count(Call::Fcntl);
        signal::set_async(fd, Async::On, flags).map_err(failed)?;
        // F_SETFL succeeds without effect where the file has no fasync.
        counters.count(Call::Fcntl);
        if signal::async_of(fd).map_err(failed)?.0 == Async::Off {
            require_readiness(self.descriptor, fd, counters)?;
            return refuse(Unsupported::FileWithoutSignals);
        }
        Ok(())
    }

    /// Makes an open file send no more signals.
    fn disarm(fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<(), Errno> {
        counters.count(Call::Fcntl);
        let (_, flags) = signal::async_of(fd)?;
        counters.count(Call::Fcntl);
        signal::set_async(fd, Async::Off, flags)
    }

    /// Looks at a source's state and tells it with the waits that follow.
    fn tell_state(&mut self, fd: BorrowedFd<'_>, key: Key, interest: Interest, counters: &mut Counters) {
        let state = look(PollEntry::new(fd, poll_bits(interest)), counters);
        if is_wanted(state, interest) {
            self.backlog.push_back((key, state));
        }
    }

    /// Takes what has been queued while states are still to be told, for half of the batch's room: a source that is modified
    /// at each of its events has a state to tell at every wait, and the others are to be heard beside it.
    #[inline(never)]
    fn take_beside_the_backlog(&mut self, room: usize, counters: &mut Counters) -> Result<(), Refused> {
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
        if taken.reason == Reason::Foreign {
            return;
        }
        // Whatever the number's source is by now, its next event is to be queued again, from here on.
        let coalesced = G::GATED && self.gate.as_ref().is_some_and(|gate| gate.taken(taken.fd) > 1);
        let told = self
            .sources
            .find(taken.fd, counters.signals)
            .and_then(|(watched, trust)| {
                // A signal that stands for several events tells the reason of the first. Where that is all that the
                // program waits for, the others add nothing that its next read or write does not tell.
                let certain = trust == Trust::Certain && (!coalesced || is_all(taken.reason, watched.interest));
                let bits = if certain {
                    bits_of(taken.reason)
                } else {
                    look(PollEntry::of_number(taken.fd, poll_bits(watched.interest)), counters)
                };
                is_wanted(bits, watched.interest).then_some((watched.key, bits))
            });
        match told {
            Some((key, bits)) => events.push(key, bits),
            None => {
                counters.events += 1;
                counters.stale_events += 1;
            }
        }
    }

    /// Recovers from lost events: what is still queued is thrown away, then every source is looked at. What happens
    /// while this looks is signalled again. Without recovery, the signals that were taken beside `SIGIO` stay.
    #[cold]
    fn recover(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        counters.overflows += 1;
        if self.on_overflow == OnOverflow::None {
            self.queue.forget_overflow();
            return Ok(());
        }
        // What was taken beside `SIGIO` is as old as what is left in the queue.
        let beside = self.queue.taken().len() as u64;
        // Under steady fire the queue may never be seen empty; its length's worth of signals is old news in any case.
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
        counters.discarded_signals += counters.signals - before + beside;
        self.queue.forget_overflow();
        self.queue.forget_taken();
        if let Some(gate) = &self.gate {
            gate.clear();
        }
        self.backlog.clear();
        counters.rescans += 1;
        match self.on_overflow {
            OnOverflow::RescanSelect => self.sweep_select(counters),
            _ => self.sweep_poll(counters),
        }
    }

    fn sweep_poll(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        let Self {
            sources,
            sweep,
            backlog,
            ..
        } = self;
        sweep.clear();
        sweep.extend(
            sources
                .iter()
                .map(|(fd, watched)| PollEntry::of_number(fd, poll_bits(watched.interest))),
        );
        retry_on_intr(|| {
            counters.count(Call::Ppoll);
            poll(sweep, Some(Duration::ZERO))
        })
        .map_err(Refused::by(Call::Ppoll))?;
        for ((_, watched), entry) in sources.iter().zip(sweep) {
            if is_wanted(entry.found(), watched.interest) {
                backlog.push_back((watched.key, entry.found()));
            }
        }
        Ok(())
    }

    fn sweep_select(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        let Self {
            sources, maps, backlog, ..
        } = self;
        let bound = sources.iter().last().map_or(0, |(fd, _)| super::select::place(fd) + 1);
        retry_on_intr(|| {
            maps.clear(bound);
            sources.iter().for_each(|(fd, watched)| maps.set(fd, watched.interest));
            counters.count(Call::Pselect6);
            let now = Some(Duration::ZERO);
            select(bound, &mut maps.read, &mut maps.write, &mut maps.except, now)
        })
        .map_err(Refused::by(Call::Pselect6))?;
        for (fd, watched) in sources.iter() {
            let bits = maps.get(fd);
            if bits != 0 {
                backlog.push_back((watched.key, bits));
            }
        }
        Ok(())
    }
}

impl<D: Dequeue, G: Gating> Backend for RtSignal<D, G> {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn channel_kind(&self) -> ChannelKind {
        ChannelKind::Pipe
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        let number = fd.as_raw_fd();
        if self.sources.is_doubtful(number) && self.queue.is_empty(counters) {
            self.sources.seen_empty();
        }
        if let Err(error) = self.arm(fd, counters) {
            if let Some(gate) = &mut self.gate {
                gate.unwatch(number);
            }
            return Err(error);
        }
        let until_taken = counters.signals.saturating_add(self.queue_limit);
        self.sources.insert(number, key, watch.interest(), until_taken);
        self.tell_state(fd, key, watch.interest(), counters);
        Ok(())
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        self.sources.change(fd.as_raw_fd(), watch.interest());
        self.tell_state(fd, key, watch.interest(), counters);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.sources.remove(fd.as_raw_fd());
        let disarmed = Self::disarm(fd, counters).map_err(|errno| DeclareError::System { call: "fcntl", errno });
        if let Some(gate) = &mut self.gate {
            gate.unwatch(fd.as_raw_fd());
        }
        disarmed
    }

    fn forget(&mut self, number: RawFd, _key: Key, _: &mut Counters) {
        self.sources.remove(number);
        if let Some(gate) = &mut self.gate {
            gate.unwatch(number);
        }
    }

    fn abandon(&mut self, fd: BorrowedFd<'_>) {
        // The set is being dropped and its sources are about to be closed: an error has no reader and no consequence.
        let _ = Self::disarm(fd, &mut Counters::default());
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
            self.take_beside_the_backlog(events.room(), counters)?;
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
            // Signals, but nothing that is an event.
            return Err(Refused::by(Call::RtSigtimedwait)(Errno::INTR));
        }
        Ok(())
    }
}

/// What a signal says about its source, no more than its reason, as bits of `poll(2)`. Looked up, since the jump that a
/// `match` makes is one that the processor guesses wrong after a system call.
#[inline]
fn bits_of(reason: Reason) -> u16 {
    /// In the order of [`Reason`].
    const BITS: [u16; 6] = [POLLIN, POLLOUT, POLLERR, POLLPRI, POLLHUP, 0];
    const { assert!(Reason::In as usize == 0 && Reason::Priority as usize == 3 && Reason::Foreign as usize == 5) };
    BITS[reason as usize]
}

/// Whether bits of `poll(2)` tell an interest anything.
#[inline]
fn is_wanted(bits: u16, interest: Interest) -> bool {
    !Readiness::from_poll(bits).visible_to(interest).is_none()
}

/// Whether a signal of this reason tells all that the interest asks for.
fn is_all(reason: Reason, interest: Interest) -> bool {
    matches!(
        (reason, interest),
        (Reason::In, Interest::READABLE) | (Reason::Out, Interest::WRITABLE) | (Reason::Priority, Interest::PRIORITY)
    )
}

/// A descriptor's state at this moment, as bits of `poll(2)`; nothing where the kernel cannot tell.
#[inline(never)]
fn look(entry: PollEntry, counters: &mut Counters) -> u16 {
    let mut entry = [entry];
    loop {
        counters.count(Call::Ppoll);
        match poll(&mut entry, Some(Duration::ZERO)) {
            Err(Errno::INTR) => {}
            _ => return entry[0].found(),
        }
    }
}

fn all_signals_used() -> Unavailable {
    Unavailable {
        call: "fcntl",
        errno: Errno::BUSY,
        remedy: "the sets of this thread use all real-time signals: drop some, or open sets in other threads"
            .to_owned(),
    }
}

pub(super) fn probe<D: Dequeue, G: Gating>(descriptor: &'static Descriptor) -> Result<(), Unavailable> {
    // In a thread of its own, since opening blocks signals.
    let opened = std::thread::scope(|scope| {
        scope
            .spawn(|| RtSignal::<D, G>::open(descriptor, &Options::default()).map(drop))
            .join()
    });
    match opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(()) => Ok(()),
        Err(OpenError::Unavailable { reason, .. }) => Err(reason),
        Err(OpenError::System { call, errno, .. }) => Err(Unavailable {
            call,
            errno,
            remedy: "a limit or a seccomp profile forbids the call".to_owned(),
        }),
        Err(OpenError::UnsupportedOption { .. }) => Ok(()),
    }
}
