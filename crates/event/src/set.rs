//! The interest set.

use crate::{
    Call, Channel, Counters, DeclareError, Declined, Event, Events, Foreign, InitialState, Interest, Key, Mechanism,
    OpenError, Options, Readiness, Trigger, WaitError, Waker, WakerError, Watch, WithdrawError,
    home::Home,
    key::{Entry, Slots},
    mechanism::{Kernel, WAKER_WATCH, check},
    readiness::poll_bits,
};
use c10k_sys::poll::PollEntry;
use std::{
    fmt,
    ops::{Index, IndexMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

/// A set of sources that owns them and tells when they are ready; see the [crate's documentation](crate).
pub struct InterestSet<S: AsFd> {
    // The order is the order of dropping: the kernel forgets the set before its sources are closed.
    backend: Kernel,
    home: Home,
    channel: Option<Channel>,
    slots: Slots<S>,
    /// Which descriptor numbers are in the set.
    declared: Vec<bool>,
    counters: Counters,
}

/// What a declaration with [`declare_with`](InterestSet::declare_with) answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared {
    /// The source's key.
    pub key: Key,
    /// The source's state just after the declaration, as far as it was asked for ([`InitialState::Returned`]) and as
    /// far as the interest goes.
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
    /// As [`open`](Self::open), and [`OpenError::UnsupportedOption`].
    pub fn open_with(mechanism: Mechanism, options: &Options) -> Result<Self, OpenError> {
        let home = Home::here(mechanism.threading()).map_err(|errno| OpenError::System {
            mechanism: mechanism.name(),
            call: "madvise",
            errno,
        })?;
        Ok(Self {
            backend: mechanism.backend(options)?,
            home,
            channel: None,
            slots: Slots::new(),
            declared: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// The mechanism that the set was opened on.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        Mechanism::of(self.backend.descriptor())
    }

    /// Takes a source into the set: the paper's `declare_interest`.
    ///
    /// A condition that holds already is told by the waits that follow, on every mechanism and with every trigger.
    ///
    /// # Errors
    /// [`Declined`] hands the source back with the [`DeclareError`].
    pub fn declare(&mut self, source: S, interest: Interest, trigger: Trigger) -> Result<Key, Declined<S>> {
        self.declare_with(source, Watch::new(interest, trigger))
            .map(|declared| declared.key)
    }

    /// Takes a source into the set as the [`Watch`] says.
    ///
    /// # Errors
    /// [`Declined`] hands the source back with the [`DeclareError`].
    pub fn declare_with(&mut self, source: S, watch: Watch) -> Result<Declared, Declined<S>> {
        match self.try_declare(source.as_fd(), watch) {
            Ok(declared) => {
                let fd = source.as_fd().as_raw_fd();
                self.mark(fd, true);
                self.slots.insert(declared.key, Entry { source, watch, fd });
                Ok(declared)
            }
            Err(error) => Err(Declined { source, error }),
        }
    }

    /// Replaces a source's interest and trigger, and arms it again: a condition that holds is told again, whatever was
    /// told before. [`Interest::NONE`] silences the source until the next modification.
    ///
    /// # Errors
    /// [`DeclareError`]; the former declaration stays as it was. Where the kernel failed between the two calls that `dev-poll` and
    /// `io-uring-poll` need, the source is not watched until it is modified again.
    #[inline]
    pub fn modify(&mut self, key: Key, interest: Interest, trigger: Trigger) -> Result<(), DeclareError> {
        let watch = Watch::new(interest, trigger);
        let Self {
            backend,
            slots,
            counters,
            ..
        } = self;
        let entry = slots.get_mut(key).ok_or(DeclareError::UnknownKey(key))?;
        self.home.check()?;
        // The trigger that the source has was checked when it was declared.
        if entry.watch.trigger() != trigger {
            check(backend.descriptor(), watch)?;
        }
        if entry.watch.wakeup() != watch.wakeup() {
            let what = crate::Unsupported::ModifyExclusive;
            return Err(DeclareError::Unsupported {
                mechanism: backend.descriptor().name,
                what,
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

    /// Takes a source out of the set and hands it back. The kernel no longer knows it when this returns, events of it
    /// that are on their way are dropped, and so is the rest of the current batch as far as it is about this source.
    ///
    /// # Errors
    /// [`WithdrawError`]: the key is unknown, or the kernel could not be told (the source is handed back all the same).
    pub fn withdraw(&mut self, key: Key) -> Result<S, WithdrawError<S>> {
        let entry = self.slots.remove(key).ok_or(WithdrawError::UnknownKey(key))?;
        self.mark(entry.fd, false);
        let outcome = if entry.watch.interest().is_none() {
            Ok(())
        } else {
            (self.home.check().map_err(DeclareError::Foreign)).and_then(|()| match same_descriptor(&entry) {
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

    /// Waits for events and fills the batch with at most its capacity of them: the paper's `get_next_event`, in
    /// batches. Returns how many there are; 0 after the timeout, or when only a [`Waker`] was heard. No timeout waits
    /// for ever; a zero timeout does not wait; the resolution is that of the kernel's clock, in nanoseconds.
    ///
    /// An event that was not taken from the batch is not lost: while some are left, this returns them at once and asks
    /// nobody.
    ///
    /// # Errors
    /// [`WaitError`]; never for an interrupted call.
    // Small: what is rare in it is called. See `Kernel` for why it is part of the caller's loop.
    #[inline(always)]
    pub fn next_events(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<usize, WaitError> {
        if !events.is_empty() {
            return Ok(events.len());
        }
        self.home.check()?;
        events.start();
        self.counters.waits += 1;
        self.backend.wait(events, timeout, &mut self.counters)?;
        if let Some(channel) = &self.channel {
            hear(channel, events, &mut self.counters);
        }
        self.counters.events += events.len() as u64;
        Ok(events.len())
    }

    /// The next event of the batch whose source is still in the set and still wants it; the others are dropped and
    /// counted as stale. `None` when the batch is used up.
    ///
    /// The batch must be one that this set has filled.
    #[inline]
    pub fn take(&mut self, events: &mut Events) -> Option<Event> {
        let (key, bits) = events.pop()?;
        match self.judge(key, bits) {
            None => self.take_beyond_stale(events),
            event => event,
        }
    }

    /// As [`take`](Self::take), after an event that was stale.
    #[cold]
    fn take_beyond_stale(&mut self, events: &mut Events) -> Option<Event> {
        loop {
            self.counters.stale_events += 1;
            let (key, bits) = events.pop()?;
            let event = self.judge(key, bits);
            if event.is_some() {
                return event;
            }
        }
    }

    /// What was found, as an event; `None` when it is stale.
    #[inline]
    fn judge(&self, key: Key, bits: u16) -> Option<Event> {
        let entry = self.slots.get(key)?;
        let readiness = Readiness::from_poll(bits).visible_to(entry.watch.interest());
        (!readiness.is_none()).then_some(Event { key, readiness })
    }

    /// The source behind a key; `None` when it was withdrawn.
    #[must_use]
    #[inline]
    pub fn get(&self, key: Key) -> Option<&S> {
        self.slots.get(key).map(|entry| &entry.source)
    }

    /// The source behind a key, to change; `None` when it was withdrawn.
    ///
    /// The descriptor inside must stay the same one: withdraw a source before replacing its descriptor. (The set notices
    /// when the number changed, and refuses to modify the source.)
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut S> {
        self.slots.get_mut(key).map(|entry| &mut entry.source)
    }

    /// What a source is declared with; `None` when it was withdrawn.
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

    /// All keys and sources, to change; as for [`get_mut`](Self::get_mut), each keeps its descriptor.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut S)> {
        self.slots.iter_mut().map(|(key, entry)| (key, &mut entry.source))
    }

    /// What the set has done since it was opened.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A handle that wakes this set from any thread. The channel is opened by the first call.
    ///
    /// # Errors
    /// [`WakerError::Open`] when the process has no descriptor left.
    pub fn waker(&mut self) -> Result<Waker, WakerError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.waker());
        }
        self.home
            .check()
            .map_err(|foreign| WakerError::Open(DeclareError::Foreign(foreign)))?;
        let channel = Channel::open(self.backend.channel_kind())?;
        self.backend
            .add(channel.as_fd(), Key::WAKER, WAKER_WATCH, &mut self.counters)
            .map_err(WakerError::Open)?;
        let waker = channel.waker();
        self.channel = Some(channel);
        Ok(waker)
    }

    fn try_declare(&mut self, fd: BorrowedFd<'_>, watch: Watch) -> Result<Declared, DeclareError> {
        self.home.check()?;
        check(self.backend.descriptor(), watch)?;
        if self.is_declared(fd.as_raw_fd()) {
            return Err(DeclareError::AlreadyDeclared { fd: fd.as_raw_fd() });
        }
        let key = self.slots.next_key().ok_or(DeclareError::Full)?;
        if !watch.interest().is_none() {
            self.backend.add(fd, key, watch, &mut self.counters)?;
        }
        let state = match watch.initial_state() {
            InitialState::AsEvent => None,
            InitialState::Returned => Some(self.state(fd, watch.interest())),
        };
        Ok(Declared { key, state })
    }

    /// A source's state at this moment; nothing where the kernel cannot tell.
    fn state(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> Readiness {
        let mut entry = [PollEntry::new(fd, poll_bits(interest))];
        loop {
            self.counters.count(Call::Ppoll);
            match c10k_sys::poll::poll(&mut entry, Some(Duration::ZERO)) {
                Err(rustix::io::Errno::INTR) => {}
                _ => return Readiness::from_poll(entry[0].found()).visible_to(interest),
            }
        }
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
    /// Forgets the sources and closes them. In a forked child the parent's set is not touched.
    fn drop(&mut self) {
        if self.home.check() == Err(Foreign::Process) {
            return;
        }
        for (_, entry) in self.slots.iter().filter(|(_, entry)| !entry.watch.interest().is_none()) {
            self.backend.abandon(entry.source.as_fd());
        }
        // A waker may keep it open.
        if let Some(channel) = &self.channel {
            self.backend.abandon(channel.as_fd());
        }
    }
}

impl<S: AsFd> Index<Key> for InterestSet<S> {
    type Output = S;

    /// # Panics
    /// When the source was withdrawn; [`get`](InterestSet::get) does not.
    #[inline]
    fn index(&self, key: Key) -> &S {
        self.get(key).unwrap_or_else(|| withdrawn(key))
    }
}

impl<S: AsFd> IndexMut<Key> for InterestSet<S> {
    /// # Panics
    /// When the source was withdrawn; [`get_mut`](InterestSet::get_mut) does not.
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

/// Apart and by value, so that indexing keeps its key in a register.
#[cold]
fn withdrawn(key: Key) -> ! {
    panic!("{key:?} names no source of this set: it was withdrawn")
}

/// Takes the wakings out of a batch, and empties their channel if there were any. Apart, so that the waits of sets without
/// a waker are small enough to become part of the loop around them.
#[inline(never)]
fn hear(channel: &Channel, events: &mut Events, counters: &mut Counters) {
    events.take_out_waker();
    if events.woken() {
        counters.count(Call::Read);
        counters.wakeups += 1;
        channel.drain();
    }
}

/// The source's descriptor, if it still is the one that was declared.
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
