//! The interest set.

use crate::{
    Counters, DeclareError, Declined, Event, Events, InitialState, Interest, Key, Mechanism, OpenError, Options,
    Readiness, Trigger, Unsupported, WaitError, Waker, WakerError, Watch, WithdrawError, WrongContext,
    counters::Call,
    mechanism::{Kernel, Refused},
    owner::Owner,
    readiness::poll_bits,
    slab::Slab,
    waker::{Channel, WAKER_WATCH},
};
use c10k_sys::poll::PollEntry;
use std::{
    fmt,
    ops::{Index, IndexMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A declared source and what the set knows about it.
struct Entry<S> {
    source: S,
    watch: Watch,
    /// The descriptor's number at the declaration.
    fd: RawFd,
}

/// A set of sources. It owns them and reports when they are ready; see the [crate's documentation](crate).
pub struct InterestSet<S: AsFd> {
    // Fields are dropped in this order: the kernel's side is closed before the sources.
    backend: Kernel,
    owner: Owner,
    channel: Option<Channel>,
    slots: Slab<Entry<S>>,
    /// Which descriptor numbers are in the set.
    declared: Vec<bool>,
    counters: Counters,
    mechanism: Mechanism,
    /// A number that no other set of the process has; batches carry it.
    number: u64,
}

/// The result of a declaration with [`declare_with`](InterestSet::declare_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared {
    /// The source's key.
    pub key: Key,
    /// The conditions of the interest that held just after the declaration, if [`InitialState::Returned`] was asked for.
    pub state: Option<Readiness>,
}

impl<S: AsFd> InterestSet<S> {
    /// Opens an empty set on a mechanism.
    ///
    /// # Errors
    /// [`OpenError`]: the mechanism cannot run here, or a resource is used up.
    pub fn open(mechanism: Mechanism) -> Result<Self, OpenError> {
        Self::open_with(mechanism, &Options::default())
    }

    /// Opens an empty set with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), [`OpenError::UnsupportedOption`], and [`OpenError::OptionOutOfRange`].
    pub fn open_with(mechanism: Mechanism, options: &Options) -> Result<Self, OpenError> {
        let owner = Owner::current(mechanism.threading()).map_err(|errno| OpenError::System {
            mechanism: mechanism.name(),
            call: Owner::CALL,
            errno,
        })?;
        Ok(Self {
            backend: mechanism.descriptor().open(options)?,
            owner,
            channel: None,
            slots: Slab::new(),
            declared: Vec::new(),
            counters: Counters::default(),
            mechanism,
            number: next_number(),
        })
    }

    /// The mechanism that the set was opened on.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Adds a source to the set and starts watching it: the paper's `declare_interest`.
    ///
    /// A condition that already holds is reported by the waits that follow, on every mechanism and with every trigger.
    ///
    /// # Errors
    /// [`Declined`] returns the source with the [`DeclareError`].
    #[doc(alias = "register")]
    #[doc(alias = "add")]
    pub fn declare(&mut self, source: S, interest: Interest, trigger: Trigger) -> Result<Key, Declined<S>> {
        self.declare_with(source, Watch::new(interest, trigger))
            .map(|declared| declared.key)
    }

    /// Adds a source to the set with all options of a declaration.
    ///
    /// # Errors
    /// [`Declined`] returns the source with the [`DeclareError`].
    #[doc(alias = "register")]
    pub fn declare_with(&mut self, source: S, watch: Watch) -> Result<Declared, Declined<S>> {
        match self.try_declare(source.as_fd(), watch) {
            Ok(declared) => {
                let fd = source.as_fd().as_raw_fd();
                self.mark(fd, true);
                self.slots.fill(declared.key, Entry { source, watch, fd });
                Ok(declared)
            }
            Err(error) => Err(Declined { source, error }),
        }
    }

    /// Adds a source that knows its own key, for instance because it is one of a pair that name each other. The source is
    /// made with the key that it will have; if the declaration fails, that key names no source.
    ///
    /// # Errors
    /// [`Declined`] returns the source with the [`DeclareError`].
    pub fn declare_by(&mut self, watch: Watch, source: impl FnOnce(Key) -> S) -> Result<Declared, Declined<S>> {
        self.declare_with(source(self.slots.next_key().unwrap_or(Key::NONE)), watch)
    }

    /// Arms a source again with its present interest and trigger: a condition that holds is reported again. A oneshot
    /// source needs this after each of its events, and with the signal mechanisms a source whose state changed without a
    /// signal (the crate's documentation lists such changes).
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    #[inline]
    pub fn rearm(&mut self, key: Key) -> Result<(), DeclareError> {
        let watch = self.watch(key).ok_or(DeclareError::UnknownKey(key))?;
        self.modify(key, watch.interest(), watch.trigger())
    }

    /// Replaces a source's interest and trigger, and arms it again: a condition that holds is reported again. With
    /// [`Interest::NONE`] nothing is reported until the next modification.
    ///
    /// # Errors
    /// [`DeclareError`]; the former declaration is unchanged. If the kernel fails between the two calls that `dev-poll`, `aio-poll`
    /// and `io-uring-poll` need, the source is not watched until it is modified again.
    #[doc(alias = "reregister")]
    #[inline]
    pub fn modify(&mut self, key: Key, interest: Interest, trigger: Trigger) -> Result<(), DeclareError> {
        let watch = Watch::new(interest, trigger);
        let Self {
            backend,
            slots,
            counters,
            mechanism,
            ..
        } = self;
        let entry = slots.get_mut(key).ok_or(DeclareError::UnknownKey(key))?;
        self.owner.check()?;
        // The source's present trigger was checked when it was declared.
        if entry.watch.trigger() != trigger {
            mechanism.descriptor().check(watch)?;
        }
        if entry.watch.wakeup() != watch.wakeup() {
            return Err(DeclareError::Unsupported {
                mechanism: mechanism.name(),
                what: Unsupported::ModifyExclusive,
            });
        }
        let fd = same_descriptor(entry)?;
        match (entry.watch.interest().is_none(), interest.is_none()) {
            (false, false) => backend.change(fd, key, watch, counters)?,
            (false, true) => backend.remove(fd, key, counters)?,
            (true, false) => backend.add(fd, key, watch, counters)?,
            (true, true) => {}
        }
        entry.watch = watch;
        Ok(())
    }

    /// Removes a source from the set and returns it. When this returns, the kernel no longer watches the source, and no
    /// event of it will be reported: queued ones and those left in the current batch are dropped as stale.
    ///
    /// # Errors
    /// [`WithdrawError`]: the key is unknown, or the kernel refused (the source is returned nevertheless).
    #[doc(alias = "deregister")]
    #[doc(alias = "delete")]
    pub fn withdraw(&mut self, key: Key) -> Result<S, WithdrawError<S>> {
        let entry = self.slots.remove(key).ok_or(WithdrawError::UnknownKey(key))?;
        self.mark(entry.fd, false);
        let outcome = if entry.watch.interest().is_none() {
            Ok(())
        } else {
            let context = match self.owner.check() {
                Err(WrongContext::Thread) if self.backend.removes_in_any_thread() => Ok(()),
                context => context.map_err(DeclareError::WrongContext),
            };
            context.and_then(|()| match same_descriptor(&entry) {
                Ok(fd) => self.backend.remove(fd, key, &mut self.counters),
                Err(replaced) => {
                    self.backend.forget(entry.fd, key, &mut self.counters);
                    Err(replaced)
                }
            })
        };
        match outcome {
            Ok(()) => Ok(entry.source),
            Err(error) => Err(WithdrawError::StillWatched {
                source: entry.source,
                error,
            }),
        }
    }

    /// Waits for events and fills the batch, up to its capacity: the paper's `get_next_event`, in batches. Returns the
    /// number of events: 0 after the timeout, or if only a [`Waker`] ended the wait. `None` waits without a limit, a zero
    /// timeout does not wait. The resolution is one nanosecond.
    ///
    /// Events that were not taken from the batch are not lost: while there are any, this returns their number at once,
    /// without a system call. If another set found them, this fails with
    /// [`WaitError::OtherSet`].
    ///
    /// # Errors
    /// [`WaitError`]; never for an interrupted call.
    // Small, and rare parts are out of line; see `Kernel` for why this is inlined into the caller's loop.
    #[doc(alias = "wait")]
    #[doc(alias = "poll")]
    #[inline(always)]
    pub fn next_events(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<usize, WaitError> {
        if !events.is_empty() {
            return self.left_in(events);
        }
        self.owner.check()?;
        events.start(self.number);
        self.counters.waits += 1;
        self.backend.wait(events, timeout, &mut self.counters)?;
        if let Some(channel) = &self.channel {
            take_wakeups(channel, events, &mut self.counters)?;
        }
        self.counters.events += events.len() as u64;
        Ok(events.len())
    }

    /// Takes the next event whose source is still in the set and whose conditions are still in the source's interest; the
    /// others are dropped and counted as stale. `None` if the batch is used up, or was filled by another set.
    #[inline]
    pub fn take(&mut self, events: &mut Events) -> Option<Event> {
        if !events.is_of(self.number) {
            return None;
        }
        let (key, bits) = events.pop()?;
        match self.current_event(key, bits) {
            None => self.take_beyond_stale(events),
            event => event,
        }
    }

    /// Continues [`take`](Self::take) after a stale event.
    #[cold]
    fn take_beyond_stale(&mut self, events: &mut Events) -> Option<Event> {
        loop {
            self.counters.stale_events += 1;
            let (key, bits) = events.pop()?;
            let event = self.current_event(key, bits);
            if event.is_some() {
                return event;
            }
        }
    }

    /// The number of events that are left in a batch of this set.
    #[cold]
    fn left_in(&self, events: &Events) -> Result<usize, WaitError> {
        let left = events.len();
        if events.is_of(self.number) {
            Ok(left)
        } else {
            Err(WaitError::OtherSet { left })
        }
    }

    /// A found event as the source's interest sees it; `None` if it is stale.
    #[inline]
    fn current_event(&self, key: Key, bits: u16) -> Option<Event> {
        let entry = self.slots.get(key)?;
        let readiness = Readiness::from_poll(bits).visible_to(entry.watch.interest());
        (!readiness.is_none()).then_some(Event { key, readiness })
    }

    /// The source that a key names; `None` if it was withdrawn.
    #[must_use]
    #[inline]
    pub fn get(&self, key: Key) -> Option<&S> {
        self.slots.get(key).map(|entry| &entry.source)
    }

    /// The source that a key names, mutably; `None` if it was withdrawn.
    ///
    /// Its descriptor must stay the same: withdraw a source before replacing its descriptor. (If the number has changed, the
    /// set refuses to modify the source.)
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut S> {
        self.slots.get_mut(key).map(|entry| &mut entry.source)
    }

    /// The sources that two keys name, for instance the two ends that a proxy connects; `None` if one was withdrawn, or both
    /// keys are the same. As for [`get_mut`](Self::get_mut), the descriptors must stay the same.
    #[must_use]
    #[inline]
    pub fn get_two_mut(&mut self, first: Key, second: Key) -> Option<(&mut S, &mut S)> {
        let (first, second) = self.slots.get_two_mut(first, second)?;
        Some((&mut first.source, &mut second.source))
    }

    /// The descriptor that is the whole of the kernel's side, for the epoll mechanisms and `dev-poll`; `None` for all others.
    /// It is readable while the set has events, so that the set can be a source of another event loop;
    /// [`Nested`](crate::Nested) makes it one of another set. Only waiting for readability is useful with it.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.backend.descriptor()
    }

    /// A source's declaration; `None` if it was withdrawn.
    #[must_use]
    pub fn watch(&self, key: Key) -> Option<Watch> {
        self.slots.get(key).map(|entry| entry.watch)
    }

    /// The number of sources.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the set has no source.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and sources, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &S)> {
        self.slots.iter().map(|(key, entry)| (key, &entry.source))
    }

    /// All keys and sources, mutably. As for [`get_mut`](Self::get_mut), their descriptors must stay the same.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut S)> {
        self.slots.iter_mut().map(|(key, entry)| (key, &mut entry.source))
    }

    /// Counts of what the set has done since it was opened.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A handle that wakes this set from any thread. The first call opens the channel.
    ///
    /// # Errors
    /// [`WakerError::Open`] if the process has no descriptor left.
    pub fn waker(&mut self) -> Result<Waker, WakerError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.waker());
        }
        self.owner
            .check()
            .map_err(|context| WakerError::Open(DeclareError::WrongContext(context)))?;
        let channel = Channel::open(self.backend.channel_kind())?;
        self.backend
            .add(channel.as_fd(), Key::WAKER, WAKER_WATCH, &mut self.counters)
            .map_err(WakerError::Open)?;
        let waker = channel.waker();
        self.channel = Some(channel);
        Ok(waker)
    }

    fn try_declare(&mut self, fd: BorrowedFd<'_>, watch: Watch) -> Result<Declared, DeclareError> {
        self.owner.check()?;
        self.mechanism.descriptor().check(watch)?;
        if self.is_declared(fd.as_raw_fd()) {
            return Err(DeclareError::AlreadyDeclared { fd: fd.as_raw_fd() });
        }
        let key = self.slots.next_key().ok_or(DeclareError::Full)?;
        #[cfg(debug_assertions)]
        crate::blocking::check(fd, &mut self.counters);
        if !watch.interest().is_none() {
            self.backend.add(fd, key, watch, &mut self.counters)?;
        }
        let state = match watch.initial_state() {
            InitialState::AsEvent => None,
            InitialState::Returned => match self.state(fd, watch.interest()) {
                Ok(state) => Some(state),
                Err(error) => {
                    if !watch.interest().is_none() {
                        // The first error is the reason.
                        let _ = self.backend.remove(fd, key, &mut self.counters);
                    }
                    return Err(error);
                }
            },
        };
        Ok(Declared { key, state })
    }

    /// A source's current state.
    fn state(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> Result<Readiness, DeclareError> {
        let mut entry = [PollEntry::new(fd, poll_bits(interest))];
        rustix::io::retry_on_intr(|| {
            self.counters.count(Call::Ppoll);
            c10k_sys::poll::poll(&mut entry, Some(Duration::ZERO))
        })
        .map_err(|errno| DeclareError::System { call: "ppoll", errno })?;
        Ok(Readiness::from_poll(entry[0].found()).visible_to(interest))
    }

    fn is_declared(&self, fd: RawFd) -> bool {
        usize::try_from(fd).is_ok_and(|fd| self.declared.get(fd).copied().unwrap_or(false))
    }

    fn mark(&mut self, fd: RawFd, declared: bool) {
        let Ok(fd) = usize::try_from(fd) else { return };
        if fd >= self.declared.len() {
            self.declared.resize(fd + 1, false);
        }
        self.declared[fd] = declared;
    }
}

impl<S: AsFd> Drop for InterestSet<S> {
    /// Stops watching the sources and closes them. In a forked child the parent's set is not touched.
    fn drop(&mut self) {
        if self.owner.check() == Err(WrongContext::Process) {
            return;
        }
        for (_, entry) in self.slots.iter().filter(|(_, entry)| !entry.watch.interest().is_none()) {
            self.backend.abandon(entry.source.as_fd());
        }
        // A waker may keep the channel open.
        if let Some(channel) = &self.channel {
            self.backend.abandon(channel.as_fd());
        }
    }
}

impl<S: AsFd> Index<Key> for InterestSet<S> {
    type Output = S;

    /// # Panics
    /// If the source was withdrawn; [`get`](InterestSet::get) does not panic.
    #[inline]
    fn index(&self, key: Key) -> &S {
        self.get(key).unwrap_or_else(|| withdrawn(key))
    }
}

impl<S: AsFd> IndexMut<Key> for InterestSet<S> {
    /// # Panics
    /// If the source was withdrawn; [`get_mut`](InterestSet::get_mut) does not panic.
    #[inline]
    fn index_mut(&mut self, key: Key) -> &mut S {
        self.get_mut(key).unwrap_or_else(|| withdrawn(key))
    }
}

impl<S: AsFd> fmt::Debug for InterestSet<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InterestSet")
            .field("mechanism", &self.mechanism().name())
            .field("sources", &self.len())
            .finish_non_exhaustive()
    }
}

/// The number of the next set. Batches that no set has filled have the number 0.
pub(crate) fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Out of line and by value, so that indexing keeps its key in a register.
#[cold]
fn withdrawn(key: Key) -> ! {
    panic!("{key:?} names no source of this set: it was withdrawn")
}

/// Removes the wake-ups from a batch, and empties their channel if there were any. Out of line, so that the waits of sets
/// without a waker stay small enough to be inlined into the loop around them.
#[inline(never)]
fn take_wakeups(channel: &Channel, events: &mut Events, counters: &mut Counters) -> Result<(), Refused> {
    events.take_out_waker();
    if events.woken() {
        counters.count(Call::Read);
        counters.wakeups += 1;
        channel.drain().map_err(|errno| {
            // The events stay in the batch; the next call returns them.
            counters.events += events.len() as u64;
            Refused::by(Call::Read)(errno)
        })?;
    }
    Ok(())
}

/// The source's descriptor, if it is still the declared one.
fn same_descriptor<S: AsFd>(entry: &Entry<S>) -> Result<BorrowedFd<'_>, DeclareError> {
    let fd = entry.source.as_fd();
    let now = fd.as_raw_fd();
    if now == entry.fd {
        Ok(fd)
    } else {
        Err(DeclareError::DescriptorReplaced {
            declared: entry.fd,
            now,
        })
    }
}
