//! An interest set that several threads wait for at once: [`SharedSet`].

use crate::{
    Counters, DeclareError, Declined, Events, Interest, Key, Mechanism, OpenError, Options, Readiness, Threading,
    Trigger, WaitError, WakerError, Watch, WithdrawError,
    chunks::Chunks,
    mechanism::{Epoll, EpollWait, Refused},
    owner::Owner,
    registry::Registry,
    set::next_number,
    shared_counters::SharedCounters,
    waker::{Channel, ChannelKind, WAKER_WATCH},
};
use rustix::io::Errno;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A set of sources that any number of threads use and wait for at once.
///
/// ```
/// use c10k_event::{Events, Interest, Mechanism, SharedSet};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// # fn main() -> std::io::Result<()> {
/// let set = SharedSet::open(Mechanism::named("epoll-oneshot")?)?;
/// let (mut ours, theirs) = UnixStream::pair()?;
/// theirs.set_nonblocking(true)?;
/// set.declare(theirs, Interest::READABLE)?;
/// ours.write_all(b"hello")?;
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| -> std::io::Result<()> {
///             let mut events = Events::with_capacity(4);
///             while !events.woken() {
///                 set.wait(&mut events, None)?;
///                 while let Some((mut source, readiness)) = set.take(&mut events) {
///                     assert!(readiness.is_readable());
///                     // read from `source` until it would block, and then, in a server:
///                     source.arm(Interest::READABLE)?;
///                     # drop(source);
///                     # set.end_waits()?;
///                 }
///             }
///             Ok(())
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
///
/// # The contract
///
/// All that the [crate's documentation](crate) says of sets holds, with these differences.
///
/// **Mechanisms.** The mechanism must have [`Threading::Concurrent`]. The others let one thread wait at a time, and
/// [`open`](Self::open) refuses them ([`OpenError::OneThreadWaits`]).
///
/// **One event, one thread.** Every source is [oneshot](Trigger::Oneshot), whatever triggers the mechanism's row lists. When a
/// source is ready, one of the waiting threads gets its event, and the source is silent until it is [armed](Held::arm). A
/// condition that holds when it is armed is reported at once, so nothing is lost between an event and the arming. A level
/// trigger would report the same condition to every thread until one has drained the source, and an edge trigger would
/// report the data that arrives during a turn to another thread; both would give one source to two threads.
///
/// **One thread at a time.** A source is reached through [`Held`], of which there is at most one for each source. A thread
/// that takes an event, or [holds](Self::hold) a source by its key, waits until no other thread holds it. In a program that
/// arms a source at the end of its turn that wait is short. A thread that holds two sources at once, and waits for one of them,
/// may wait for ever; use [`try_hold`](Self::try_hold).
///
/// **Withdrawing.** A thread may withdraw a source whose event another thread has fetched but not taken. That event is then
/// stale: [`take`](Self::take) drops and counts it. The key's generation tells it from an event of the slot's next source.
///
/// **Batches.** Each thread has an [`Events`] of its own. The events in it are this thread's: if it takes 512 and is busy with
/// the first, the other 511 wait for it, even if other threads have nothing to do. A small capacity spreads the events over the
/// threads; one event for each wait spreads them best and costs a system call for each.
///
/// **Waking.** [`end_waits`](Self::end_waits) ends the waits of all threads, for good. To give one of the waiting threads something
/// to do, declare an `eventfd` as a source.
///
/// **Costs.** The system calls are those of [`InterestSet`](crate::InterestSet) on the same mechanism, and one `epoll_ctl` to
/// arm a source after its event. A set has a lock for each source, which is free unless two threads want the same source, and
/// one lock for all that declarations and withdrawals take for a short time; a wait, an event and an arming do not take it. The
/// sources never move, so no lock protects their table. Each thread counts in a cell of its own. In the kernel all threads share
/// the locks of one epoll descriptor: this is what a set for each thread avoids.
///
/// **Processes.** In a forked child the set fails with [`WrongContext::Process`](crate::WrongContext::Process). Dropping it
/// there does not affect the parent.
pub struct SharedSet<S: AsFd> {
    // Fields are dropped in this order: the kernel's side is closed before the sources.
    kernel: Epoll,
    channel: Channel,
    /// Whether all waits are over.
    ended: AtomicBool,
    slots: Chunks<Slot<S>>,
    registry: Mutex<Registry>,
    counters: SharedCounters,
    /// Whether there is no `epoll_pwait2`.
    in_milliseconds: AtomicBool,
    owner: Owner,
    mechanism: Mechanism,
    /// A number that no other set of the process has; batches carry it.
    number: u64,
}

/// A place for a source.
struct Slot<S> {
    /// The key of its source, as bits. Changed only under the lock of the tenant.
    current: AtomicU64,
    tenant: Mutex<Tenant<S>>,
}

impl<S> Default for Slot<S> {
    fn default() -> Self {
        Self {
            current: AtomicU64::new(Key::NONE.to_bits()),
            tenant: Mutex::new(Tenant {
                generation: 0,
                entry: None,
            }),
        }
    }
}

struct Tenant<S> {
    /// The generation of the source, or of the next one.
    generation: u32,
    entry: Option<Entry<S>>,
}

/// A declared source and what the set knows about it.
struct Entry<S> {
    source: S,
    interest: Interest,
    /// The descriptor's number at the declaration.
    fd: RawFd,
}

impl<S: AsFd> SharedSet<S> {
    /// Opens an empty set on a mechanism.
    ///
    /// # Errors
    /// [`OpenError`]: the mechanism lets only one thread wait, it cannot run here, or a resource is used up.
    pub fn open(mechanism: Mechanism) -> Result<Self, OpenError> {
        Self::open_with(mechanism, &Options::default())
    }

    /// Opens an empty set with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`OpenError::UnsupportedOption`].
    pub fn open_with(mechanism: Mechanism, options: &Options) -> Result<Self, OpenError> {
        let one_thread_waits = || OpenError::OneThreadWaits {
            mechanism: mechanism.name(),
            able: concurrent().map(Mechanism::name).collect::<Vec<_>>().join(", "),
        };
        if mechanism.threading() != Threading::Concurrent {
            return Err(one_thread_waits());
        }
        let system = |call, errno| OpenError::System {
            mechanism: mechanism.name(),
            call,
            errno,
        };
        let owner = Owner::current(mechanism.threading()).map_err(|errno| system(Owner::CALL, errno))?;
        let kernel = mechanism.descriptor().open(options)?;
        let kernel = kernel.into_concurrent().ok_or_else(one_thread_waits)?;
        let channel = Channel::open(ChannelKind::Eventfd).map_err(|error| channel_refused(&error, system))?;
        let counters = SharedCounters::new();
        let mut counted = Counters::default();
        kernel
            .add_shared(channel.as_fd(), Key::WAKER, WAKER_WATCH, &mut counted)
            .map_err(|error| channel_refused(&WakerError::Open(error), system))?;
        counters.add(&counted);
        Ok(Self {
            kernel,
            channel,
            ended: AtomicBool::new(false),
            slots: Chunks::new(),
            registry: Mutex::default(),
            counters,
            in_milliseconds: AtomicBool::new(false),
            owner,
            mechanism,
            number: next_number(),
        })
    }

    /// The mechanism that the set was opened on.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Adds a source to the set and arms it. A condition that already holds is reported to one of the waits that follow.
    ///
    /// # Errors
    /// [`Declined`] returns the source with the [`DeclareError`].
    pub fn declare(&self, source: S, interest: Interest) -> Result<Key, Declined<S>> {
        let fd = source.as_fd().as_raw_fd();
        let reserved = self
            .owner
            .check()
            .map_err(DeclareError::from)
            .and_then(|()| self.registry().reserve(fd));
        let index = match reserved {
            Ok(index) => index,
            Err(error) => return Err(Declined { source, error }),
        };
        #[cfg(debug_assertions)]
        self.counted(|counters| crate::blocking::check(source.as_fd(), counters));
        let slot = self.slots.at(index);
        let mut tenant = unpoisoned(slot.tenant.lock());
        let key = Key::at(index, tenant.generation);
        if !interest.is_none()
            && let Err(error) = self.counted(|it| self.kernel.add_shared(source.as_fd(), key, oneshot(interest), it))
        {
            drop(tenant);
            self.registry().release(Some(index), fd);
            return Err(Declined { source, error });
        }
        slot.current.store(key.to_bits(), Ordering::Release);
        tenant.entry = Some(Entry { source, interest, fd });
        Ok(key)
    }

    /// Replaces a source's interest and arms it, once no other thread holds it. See [`Held::arm`].
    ///
    /// # Errors
    /// [`DeclareError`].
    pub fn modify(&self, key: Key, interest: Interest) -> Result<(), DeclareError> {
        let mut held = self.hold(key).ok_or(DeclareError::UnknownKey(key))?;
        held.arm(interest)
    }

    /// Removes a source from the set and returns it, once no other thread holds it. See [`Held::withdraw`].
    ///
    /// # Errors
    /// [`WithdrawError`]: the key is unknown, or the kernel refused (the source is returned nevertheless).
    pub fn withdraw(&self, key: Key) -> Result<S, WithdrawError<S>> {
        self.hold(key).ok_or(WithdrawError::UnknownKey(key))?.withdraw()
    }

    /// Waits for events and fills the batch of this thread, up to its capacity. Returns the number of events: 0 after the
    /// timeout, or if the waits were [ended](Self::end_waits). `None` waits without a limit, a zero timeout does not wait. The
    /// resolution is one nanosecond.
    ///
    /// Events that were not taken from the batch are not lost: while there are any, this returns their number at once,
    /// without a system call. If another set found them, this fails with [`WaitError::OtherSet`].
    ///
    /// # Errors
    /// [`WaitError`]; never for an interrupted call.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> Result<usize, WaitError> {
        if !events.is_empty() {
            let left = events.len();
            return match events.is_of(self.number) {
                true => Ok(left),
                false => Err(WaitError::OtherSet { left }),
            };
        }
        self.owner.check()?;
        events.start(self.number);
        if self.ended.load(Ordering::Acquire) {
            events.note_wakeup();
            return Ok(0);
        }
        self.counted(|counters| {
            counters.waits += 1;
            self.wait_in_kernel(events, timeout, counters)?;
            // It is not emptied: the other threads are to see it as well.
            events.take_out_waker();
            counters.wakeups += u64::from(events.woken());
            counters.events += events.len() as u64;
            Ok(events.len())
        })
    }

    /// Repeats an interrupted wait with the rest of its timeout.
    fn wait_in_kernel(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<(), Refused> {
        let started = timeout.filter(|timeout| !timeout.is_zero()).map(|_| Instant::now());
        let mut left = timeout;
        let mut kind = if self.in_milliseconds.load(Ordering::Relaxed) {
            EpollWait::Milliseconds
        } else {
            EpollWait::Nanoseconds
        };
        loop {
            let (room, found) = (events.room(), events.found());
            let outcome = kind.wait(self.kernel.epoll(), found, room, left, counters);
            if matches!(kind, EpollWait::Milliseconds) {
                self.in_milliseconds.store(true, Ordering::Relaxed);
            }
            match (outcome, timeout, started) {
                (Err(Refused { errno: Errno::INTR, .. }), Some(timeout), Some(started)) => {
                    left = Some(timeout.saturating_sub(started.elapsed()));
                }
                (Err(Refused { errno: Errno::INTR, .. }), ..) => {}
                (outcome, ..) => return outcome.map(drop),
            }
        }
    }

    /// Takes the next event of this thread's batch, once no other thread holds its source: the source, and what is ready.
    /// Events of sources that were withdrawn, or whose interest no longer includes them, are dropped and counted as stale.
    /// `None` if the batch is used up, or was filled by another set.
    pub fn take(&self, events: &mut Events) -> Option<(Held<'_, S>, Readiness)> {
        if !events.is_of(self.number) {
            return None;
        }
        let mut stale_events = 0;
        let found = loop {
            let Some((key, bits)) = events.pop() else { break None };
            if let Some(held) = self.hold(key) {
                let readiness = Readiness::from_poll(bits).visible_to(held.interest());
                if !readiness.is_none() {
                    break Some((held, readiness));
                }
            }
            stale_events += 1;
        };
        if stale_events > 0 {
            self.counted(|counters| counters.stale_events += stale_events);
        }
        found
    }

    /// The source that a key names, once no other thread holds it; `None` if it was withdrawn.
    #[must_use]
    pub fn hold(&self, key: Key) -> Option<Held<'_, S>> {
        let slot = self.slots.get(key.slot())?;
        Held::of(self, key, unpoisoned(slot.tenant.lock()))
    }

    /// The source that a key names, if no thread holds it.
    #[must_use]
    pub fn try_hold(&self, key: Key) -> TryHold<'_, S> {
        let Some(slot) = self.slots.get(key.slot()) else {
            return TryHold::Withdrawn;
        };
        let tenant = match slot.tenant.try_lock() {
            Ok(tenant) => tenant,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if slot.current.load(Ordering::Acquire) == key.to_bits() => {
                return TryHold::Busy;
            }
            Err(TryLockError::WouldBlock) => return TryHold::Withdrawn,
        };
        Held::of(self, key, tenant).map_or(TryHold::Withdrawn, TryHold::Held)
    }

    /// Makes the waits of all threads return at once, those in progress and all later ones, with
    /// [`Events::woken`] set. Events that they have found can still be taken. Calling it again changes nothing.
    ///
    /// # Errors
    /// [`WakerError::Wake`] if the kernel refuses the write, which is not expected. Later waits return at once nevertheless;
    /// the next call tries again to end those in progress. [`WakerError::WrongContext`] in a forked child.
    pub fn end_waits(&self) -> Result<(), WakerError> {
        self.owner.check().map_err(WakerError::WrongContext)?;
        self.ended.store(true, Ordering::Release);
        self.channel.waker().wake()
    }

    /// The keys of all sources. A source that is declared or withdrawn meanwhile may be among them or not.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let used = self.registry().used();
        let current = |index| Some(Key::from_bits(self.slots.get(index)?.current.load(Ordering::Acquire)));
        (0..used).filter_map(current).filter(|key| *key != Key::NONE).collect()
    }

    /// The number of sources.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registry().sources()
    }

    /// Whether the set has no source.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts of what the set has done since it was opened, by all threads. What a thread counts during this call may be
    /// included or not.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.sum()
    }

    fn counted<T>(&self, work: impl FnOnce(&mut Counters) -> T) -> T {
        let mut counters = Counters::default();
        let outcome = work(&mut counters);
        self.counters.add(&counters);
        outcome
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        unpoisoned(self.registry.lock())
    }
}

impl<S: AsFd> fmt::Debug for SharedSet<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedSet")
            .field("mechanism", &self.mechanism().name())
            .field("sources", &self.len())
            .finish_non_exhaustive()
    }
}

/// A source of a [`SharedSet`] that this thread holds and no other one can reach. When it is dropped, other threads can hold
/// the source again; it is reported again only if it was [armed](Held::arm).
pub struct Held<'s, S: AsFd> {
    set: &'s SharedSet<S>,
    key: Key,
    /// Has an entry until the source is withdrawn, which consumes this.
    tenant: MutexGuard<'s, Tenant<S>>,
}

/// What [`SharedSet::try_hold`] finds.
#[derive(Debug)]
pub enum TryHold<'s, S: AsFd> {
    /// The source.
    Held(Held<'s, S>),
    /// Another thread holds the source.
    Busy,
    /// The key names no source of the set.
    Withdrawn,
}

impl<'s, S: AsFd> Held<'s, S> {
    fn of(set: &'s SharedSet<S>, key: Key, tenant: MutexGuard<'s, Tenant<S>>) -> Option<Self> {
        let is_current = tenant.generation == key.generation() && tenant.entry.is_some();
        is_current.then_some(Self { set, key, tenant })
    }

    /// The source's key.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// What the source was last armed for.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.entry().interest
    }

    /// Arms the source for this interest: the next condition is reported, or one that holds now. With [`Interest::NONE`]
    /// nothing is reported. Other threads that get the event wait until this is dropped, so drop it soon.
    ///
    /// # Errors
    /// [`DeclareError`]; the source stays silent.
    pub fn arm(&mut self, interest: Interest) -> Result<(), DeclareError> {
        let Self { set, key, tenant } = self;
        let Some(entry) = &mut tenant.entry else {
            return Err(DeclareError::UnknownKey(*key));
        };
        set.owner.check()?;
        let fd = same_descriptor(entry)?;
        set.counted(|counters| match (entry.interest.is_none(), interest.is_none()) {
            (false, false) => set.kernel.change_shared(fd, *key, oneshot(interest), counters),
            (false, true) => set.kernel.remove_shared(fd, counters),
            (true, false) => set.kernel.add_shared(fd, *key, oneshot(interest), counters),
            (true, true) => Ok(()),
        })?;
        entry.interest = interest;
        Ok(())
    }

    /// Removes the source from the set and returns it. When this returns, the kernel no longer watches the source, and events of
    /// it that other threads have fetched are stale.
    ///
    /// # Errors
    /// [`WithdrawError::StillWatched`] returns the source with what the kernel refused.
    pub fn withdraw(self) -> Result<S, WithdrawError<S>> {
        let Self { set, key, mut tenant } = self;
        let entry = tenant.entry.take().ok_or(WithdrawError::UnknownKey(key))?;
        let removed = match set.owner.check() {
            Err(context) => Err(context.into()),
            Ok(()) if entry.interest.is_none() => Ok(()),
            Ok(()) => {
                same_descriptor(&entry).and_then(|fd| set.counted(|counters| set.kernel.remove_shared(fd, counters)))
            }
        };
        let next = tenant.generation.checked_add(1);
        tenant.generation = next.unwrap_or(tenant.generation);
        if let Some(slot) = set.slots.get(key.slot()) {
            slot.current.store(Key::NONE.to_bits(), Ordering::Release);
        }
        drop(tenant);
        set.registry().release(next.map(|_| key.slot()), entry.fd);
        match removed {
            Ok(()) => Ok(entry.source),
            Err(error) => Err(WithdrawError::StillWatched {
                source: entry.source,
                error,
            }),
        }
    }

    fn entry(&self) -> &Entry<S> {
        self.tenant.entry.as_ref().unwrap_or_else(|| without_source(self.key))
    }
}

impl<S: AsFd> Deref for Held<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.entry().source
    }
}

/// The descriptor of the source must stay the same.
impl<S: AsFd> DerefMut for Held<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        let key = self.key;
        let entry = self.tenant.entry.as_mut();
        &mut entry.unwrap_or_else(|| without_source(key)).source
    }
}

impl<S: AsFd> fmt::Debug for Held<'_, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Held")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The mechanisms that let several threads wait.
fn concurrent() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|mechanism| mechanism.threading() == Threading::Concurrent)
}

const fn oneshot(interest: Interest) -> Watch {
    Watch::new(interest, Trigger::Oneshot)
}

/// A panic of another thread leaves the lock's content as it was between two operations.
fn unpoisoned<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// The error of a set whose channel was refused.
fn channel_refused(error: &WakerError, system: impl FnOnce(&'static str, Errno) -> OpenError) -> OpenError {
    match error {
        WakerError::Open(DeclareError::System { call, errno }) => system(call, *errno),
        WakerError::Wake(errno) => system("write", *errno),
        WakerError::Open(_) | WakerError::WrongContext(_) => system("epoll_ctl", Errno::INVAL),
    }
}

/// The source's descriptor, if it is still the declared one.
fn same_descriptor<S: AsFd>(entry: &Entry<S>) -> Result<BorrowedFd<'_>, DeclareError> {
    let fd = entry.source.as_fd();
    match fd.as_raw_fd() {
        now if now == entry.fd => Ok(fd),
        now => Err(DeclareError::DescriptorReplaced {
            declared: entry.fd,
            now,
        }),
    }
}

#[cold]
fn without_source(key: Key) -> ! {
    panic!("{key:?} is held without a source, which only withdrawing removes")
}
