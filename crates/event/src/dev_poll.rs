//! `/dev/poll` as its manual describes it, emulated on epoll.

use crate::{
    counters::{Call, Counters},
    mechanism::{EpollWait, Refused},
};
use c10k_sys::{
    epoll::{self, Control, Event as EpollEvent},
    fork::Process,
    limit::limit,
    poll::PollEntry,
};
use rustix::{event::epoll::CreateFlags, io::Errno, process::Resource};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

pub use c10k_sys::poll::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP};

/// Removes a descriptor if it is all that is written as its events. The value is that of Linux's headers.
pub const POLLREMOVE: u16 = 0x1000;

/// `struct pollfd` as `/dev/poll` uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DevPollFd {
    /// The descriptor's number. `/dev/poll` caches numbers: a descriptor may be closed while it is cached.
    pub fd: RawFd,
    /// Written: the events to add to the interest, or exactly [`POLLREMOVE`]. In results: the cached interest.
    pub events: u16,
    /// In results: the conditions found. Ignored when written.
    pub revents: u16,
}

/// A call on a [`DevPoll`] that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} on the emulated /dev/poll failed ({errno}){}", explain(*.errno))]
pub struct DevPollError {
    /// The operation: `open`, `write`, `DP_POLL`, `DP_ISPOLLED`.
    pub operation: &'static str,
    /// Its error: the one that `/dev/poll` has for this case, if it has one.
    pub errno: Errno,
}

fn explain(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => ": the set belongs to the process that used it first; open another one in the child",
        Errno::INVAL => ": more descriptors than RLIMIT_NOFILE",
        Errno::INTR => ": a signal interrupted the wait; repeat it",
        Errno::MFILE => ": RLIMIT_NOFILE descriptors are open; raise it",
        _ => "",
    }
}

/// The interest set of Solaris's and illumos's `/dev/poll`, which Linux had as a patch (Provos and Lever, USENIX 2000),
/// **emulated** on epoll with the semantics of `poll(4D)`:
///
/// - [`write`](Self::write) *adds* events to what is cached for a descriptor; only exactly [`POLLREMOVE`] removes.
/// - [`poll`](Self::poll), the ioctl `DP_POLL`, reports state, not changes. With a result of 0 the array is unchanged.
/// - [`is_polled`](Self::is_polled), the ioctl `DP_ISPOLLED`, returns the cached interest.
/// - A cached descriptor that is closed is reported as [`POLLNVAL`] until it is removed. If its number is in use again for
///   another file, the results are undefined, as with the real device.
/// - The set belongs to the process that used it first. In a forked child every call fails with `EACCES`.
/// - Files without readiness (regular files) are always ready, as with `poll(2)`.
///
/// The emulation costs more than the real device: to find closed descriptors, every `DP_POLL` checks all of them (`ppoll` with
/// no events). The sources of the mechanism `dev-poll` cannot be closed while they are cached, so it leaves this check out
/// and costs the same as epoll.
///
/// ```
/// use c10k_event::dev_poll::{DevPoll, DevPollFd, POLLIN};
/// use std::{io::Write, os::{fd::AsRawFd, unix::net::UnixStream}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut ours, theirs) = UnixStream::pair()?;
/// let mut set = DevPoll::open()?;
/// set.write(&[DevPollFd { fd: theirs.as_raw_fd(), events: POLLIN, revents: 0 }])?;
/// ours.write_all(b"x")?;
/// let mut ready = [DevPollFd::default(); 8];
/// assert_eq!(set.poll(&mut ready, None)?, 1);
/// assert_eq!((ready[0].fd, ready[0].revents), (theirs.as_raw_fd(), POLLIN));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DevPoll {
    epoll: OwnedFd,
    /// The entry of each number; one with 0 events is cached too.
    cached: Vec<Option<Cached>>,
    /// How many cached descriptors are not in the epoll set.
    unwatched: usize,
    closed_descriptors: ClosedDescriptors,
    owner: Option<Process>,
    wait: EpollWait,
    buffer: Vec<EpollEvent>,
    check: Vec<PollEntry>,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    events: u16,
    state: State,
}

/// Where the state of a cached descriptor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// From epoll.
    FromEpoll,
    /// The file has no readiness and is always ready.
    AlwaysReady,
    /// The descriptor was not open when it was written.
    Closed,
}

/// Whether a cached descriptor can be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedDescriptors {
    /// It can, and must be reported.
    Reported,
    /// The owner of the set keeps all of them open.
    Impossible,
}

impl DevPoll {
    /// `open("/dev/poll")`: an empty set.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn open() -> Result<Self, DevPollError> {
        Self::open_for(ClosedDescriptors::Reported).map_err(failed("open"))
    }

    /// `write(fd, entries)`: adds each entry's events to those cached for its descriptor, or removes the descriptor if the
    /// events are exactly [`POLLREMOVE`]. Returns the number of entries. A descriptor that is not open is cached as well, and
    /// reported as [`POLLNVAL`]. Negative numbers, and removals of descriptors that are not cached, are ignored.
    ///
    /// # Errors
    /// `EACCES` in a child of fork; `EINVAL` for more entries than `RLIMIT_NOFILE`; `ENOMEM`, `ENOSPC`.
    pub fn write(&mut self, entries: &[DevPollFd]) -> Result<usize, DevPollError> {
        let failed = failed("write");
        self.claim().map_err(failed)?;
        if limit(Resource::Nofile)
            .map_err(failed)?
            .current
            .is_some_and(|limit| entries.len() as u64 > limit)
        {
            return Err(failed(Errno::INVAL));
        }
        let mut counters = Counters::default();
        for entry in entries {
            self.put(*entry, &mut counters).map_err(failed)?;
        }
        Ok(entries.len())
    }

    /// `ioctl(fd, DP_POLL, {results, timeout})`: waits until a cached descriptor is ready and fills the results, at most
    /// as many as the array holds; returns their number. `None` waits without a limit. The resolution of the device is a
    /// millisecond, that of the emulation a nanosecond. With an empty array it only sleeps.
    ///
    /// # Errors
    /// `EACCES` in a child of fork; `EINTR`.
    pub fn poll(&mut self, results: &mut [DevPollFd], timeout: Option<Duration>) -> Result<usize, DevPollError> {
        self.claim()
            .and_then(|()| self.wait(results, timeout, &mut Counters::default()))
            .map_err(failed("DP_POLL"))
    }

    /// `ioctl(fd, DP_ISPOLLED, fd)`: the interest cached for a descriptor; `None` if it is not cached.
    ///
    /// # Errors
    /// `EACCES` in a child of fork.
    pub fn is_polled(&mut self, fd: RawFd) -> Result<Option<u16>, DevPollError> {
        self.claim().map_err(failed("DP_ISPOLLED"))?;
        Ok(self.get(fd).map(|cached| cached.events))
    }

    pub(crate) fn open_for(closed_descriptors: ClosedDescriptors) -> Result<Self, Errno> {
        Ok(Self {
            epoll: rustix::event::epoll::create(CreateFlags::CLOEXEC)?,
            cached: Vec::new(),
            unwatched: 0,
            closed_descriptors,
            owner: None,
            wait: EpollWait::default(),
            buffer: Vec::new(),
            check: Vec::new(),
        })
    }

    /// The epoll descriptor.
    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Makes the calling process the owner, if there is none yet.
    fn claim(&mut self) -> Result<(), Errno> {
        let this = Process::this()?;
        if *self.owner.get_or_insert(this) == this {
            Ok(())
        } else {
            Err(Errno::ACCESS)
        }
    }

    fn get(&self, fd: RawFd) -> Option<Cached> {
        usize::try_from(fd)
            .ok()
            .and_then(|fd| self.cached.get(fd).copied().flatten())
    }

    fn set(&mut self, fd: RawFd, cached: Option<Cached>) {
        let Ok(index) = usize::try_from(fd) else { return };
        if index >= self.cached.len() {
            self.cached.resize(index + 1, None);
        }
        let unwatched = |cached: Option<Cached>| usize::from(cached.is_some_and(|it| it.state != State::FromEpoll));
        self.unwatched = self.unwatched + unwatched(cached) - unwatched(self.cached[index]);
        self.cached[index] = cached;
    }

    /// Adds or removes one descriptor. If closed descriptors are impossible, a file without readiness is `EPERM`, as with
    /// epoll.
    pub(crate) fn put(&mut self, entry: DevPollFd, counters: &mut Counters) -> Result<(), Errno> {
        let DevPollFd { fd, events, .. } = entry;
        if fd < 0 {
            return Ok(());
        }
        if events == POLLREMOVE {
            return self.remove(fd, counters);
        }
        let before = self.get(fd);
        let events = before.map_or(0, |cached| cached.events) | events & !POLLREMOVE;
        let watched = before.is_some_and(|cached| cached.state == State::FromEpoll);
        let control = if watched { Control::Modify } else { Control::Add };
        let state = match self.control(control, fd, events, counters) {
            Ok(()) => State::FromEpoll,
            // The number was closed, and may belong to another file by now.
            Err(Errno::NOENT | Errno::BADF | Errno::PERM) if watched => {
                let state = State::FromEpoll;
                return self.rebuild(fd, Some(Cached { events, state }), counters);
            }
            Err(Errno::PERM) if self.closed_descriptors == ClosedDescriptors::Reported => State::AlwaysReady,
            Err(Errno::BADF) if self.closed_descriptors == ClosedDescriptors::Reported => State::Closed,
            Err(errno) => return Err(errno),
        };
        self.set(fd, Some(Cached { events, state }));
        Ok(())
    }

    fn remove(&mut self, fd: RawFd, counters: &mut Counters) -> Result<(), Errno> {
        let Some(cached) = self.get(fd) else { return Ok(()) };
        if cached.state == State::FromEpoll {
            match self.control(Control::Delete, fd, 0, counters) {
                // The descriptor was closed, or closed and opened again. If a duplicate is open, epoll still watches the
                // file, and no number names it any more. Only a new epoll set helps.
                Err(Errno::BADF | Errno::NOENT) => self.rebuild(fd, None, counters)?,
                outcome => outcome?,
            }
        }
        self.set(fd, None);
        Ok(())
    }

    /// Replaces the epoll set by a new one with all cached descriptors and this change of one, after a cached one was closed.
    /// If a duplicate of it is open, epoll still watches its file and reports it under the number, and no number names it any
    /// more. Only a new epoll set helps. After an error all is as before.
    fn rebuild(&mut self, changed: RawFd, change: Option<Cached>, counters: &mut Counters) -> Result<(), Errno> {
        let epoll = rustix::event::epoll::create(CreateFlags::CLOEXEC)?;
        let mut rebuilt = Vec::new();
        for (fd, &cached) in (0..).zip(&self.cached) {
            let cached = if fd == changed { change } else { cached };
            let Some(cached) = cached.filter(|cached| cached.state == State::FromEpoll) else {
                continue;
            };
            let state = match control(&epoll, Control::Add, fd, cached.events, counters) {
                Ok(()) => State::FromEpoll,
                Err(Errno::BADF) => State::Closed,
                Err(Errno::PERM) => State::AlwaysReady,
                Err(errno) => return Err(errno),
            };
            rebuilt.push((fd, Cached { state, ..cached }));
        }
        self.epoll = epoll;
        for (fd, cached) in rebuilt {
            self.set(fd, Some(cached));
        }
        Ok(())
    }

    fn control(&self, operation: Control, fd: RawFd, events: u16, counters: &mut Counters) -> Result<(), Errno> {
        control(&self.epoll, operation, fd, events, counters)
    }

    /// The work of `DP_POLL`.
    fn wait(
        &mut self,
        results: &mut [DevPollFd],
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        if results.is_empty() {
            counters.count(Call::Ppoll);
            return c10k_sys::poll::poll(&mut [], timeout);
        }
        let mut found = match self.closed_descriptors {
            ClosedDescriptors::Reported => self.find_closed(results, counters)?,
            ClosedDescriptors::Impossible => 0,
        };
        if self.unwatched > 0 {
            found += self.find_always_ready(&mut results[found..]);
        }
        if found == results.len() {
            return Ok(found);
        }
        let timeout = if found > 0 { Some(Duration::ZERO) } else { timeout };
        let room = results.len() - found;
        let Self {
            epoll, wait, buffer, ..
        } = self;
        buffer.clear();
        buffer.reserve(room);
        wait.wait(epoll.as_fd(), buffer, room, timeout, counters)
            .map_err(|refused| refused.errno)?;
        let closed = found;
        for event in &self.buffer {
            let (fd, revents) = (number_of(event), event.bits() as u16);
            // A duplicate may keep the file of a closed number in the epoll set; that number was already reported as closed.
            if results[..closed]
                .iter()
                .any(|result| result.fd == fd && result.revents == POLLNVAL)
            {
                continue;
            }
            let events = self.get(fd).map_or(0, |cached| cached.events);
            results[found] = DevPollFd { fd, events, revents };
            found += 1;
        }
        Ok(found)
    }

    /// Waits for events if all descriptors are in the epoll set, and replaces the buffer's content by at most `room` of
    /// them: the conditions and the [number](number_of) of each.
    // See `mechanism::Kernel` for why this is inlined.
    #[inline(always)]
    pub(crate) fn wait_for_watched(
        &mut self,
        buffer: &mut Vec<EpollEvent>,
        room: usize,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<usize, Refused> {
        self.wait.wait(self.epoll.as_fd(), buffer, room, timeout, counters)
    }

    /// Reports cached numbers that are not open.
    fn find_closed(&mut self, results: &mut [DevPollFd], counters: &mut Counters) -> Result<usize, Errno> {
        let Self { cached, check, .. } = self;
        check.clear();
        let numbers = (0..).zip(&*cached).filter(|(_, cached)| cached.is_some());
        check.extend(numbers.map(|(fd, _)| PollEntry::of_number(fd, 0)));
        counters.count(Call::Ppoll);
        if c10k_sys::poll::poll(check, Some(Duration::ZERO))? == 0 {
            return Ok(0);
        }
        let mut found = 0;
        for entry in self.check.iter().filter(|entry| entry.found() & POLLNVAL != 0) {
            let Some(result) = results.get_mut(found) else { break };
            let events = self.get(entry.number()).map_or(0, |cached| cached.events);
            *result = DevPollFd {
                fd: entry.number(),
                events,
                revents: POLLNVAL,
            };
            found += 1;
        }
        Ok(found)
    }

    fn find_always_ready(&self, results: &mut [DevPollFd]) -> usize {
        let ready = (0..).zip(&self.cached).filter_map(|(fd, cached)| {
            let cached = cached.filter(|cached| cached.state == State::AlwaysReady)?;
            let revents = cached.events & (POLLIN | POLLOUT);
            (revents != 0).then_some(DevPollFd {
                fd,
                events: cached.events,
                revents,
            })
        });
        results
            .iter_mut()
            .zip(ready)
            .map(|(result, ready)| *result = ready)
            .count()
    }
}

/// The descriptor's number of an event of the device's epoll set.
#[inline]
pub(crate) fn number_of(event: &EpollEvent) -> RawFd {
    (event.data() as u32).cast_signed()
}

fn control(epoll: &OwnedFd, operation: Control, fd: RawFd, events: u16, counters: &mut Counters) -> Result<(), Errno> {
    counters.count(Call::EpollCtl);
    let data = u64::from(fd.cast_unsigned());
    epoll::control(epoll.as_fd(), operation, fd, u32::from(events), data)
}

fn failed(operation: &'static str) -> impl Fn(Errno) -> DevPollError + Copy {
    move |errno| DevPollError { operation, errno }
}
