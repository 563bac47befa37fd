//! `signal-per-fd`: real-time signals of which the kernel queues at most one for each descriptor, the enhancement of
//! Chandra and Mosberger (USENIX 2001, section 3.3) on an unpatched kernel.
//!
//! Two BPF programs (`programs/signal_per_fd.bpf.c` of the crate `c10k-bpf`) stand at security hooks of the kernel. While a descriptor is being armed
//! one tells the address of its `fown_struct`, which identifies the open file from then on; the other counts the signals
//! of watched files and drops all but the first. What is watched, and the counts, is memory shared with the kernel:
//! whoever takes a signal sets its count to zero, without a system call, *before* the source is looked at. An event from
//! before that moment is found by looking, one after it is queued.
//!
//! - A signal tells the reason of the first event that it stands for. Where more were coalesced into it and the program
//!   waits for more than one condition, the source's state is looked at (`ppoll`); where it waits for one, that is told.
//!   So closing and errors are told apart only where they are not coalesced, and no fact of them is promised.
//! - A count whose signal did not fit into the queue would silence its source: recovery sets all to zero.
//! - The signal of a withdrawn source may still be queued. Its number starts with a count of 1 when it is declared again,
//!   so that no number ever has two; it is suspect until that signal is taken (see `rt_signal`), and then looked at.

use super::rt_signal::{Many, PerDescriptor, RtSignal, probe};
use super::{Descriptor, boxed};
use crate::{Fact, Threading, Trigger, Unavailable, Wakeup};
use c10k_bpf::{
    Attached, BpfError, Map, Prepared, SharedWords,
    signal_per_fd::{CONTROL_MAP, PROBES, WATCHED_MAP, control, first_slot, prepare, slot},
};
use c10k_sys::signal::{self, Async, Receiver, Signal, SignalSet};
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};
use std::{
    cell::Cell,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(super) static SIGNAL_PER_FD: Descriptor = Descriptor {
    name: "signal-per-fd",
    summary: "at most one queued real-time signal for each descriptor, taken many a call",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    tells: &[Fact::Priority],
    emulated: false,
    waits: &["read", "rt_sigtimedwait"],
    declares: &["fcntl", "ppoll"],
    probe: || probe::<Many, PerDescriptor>(&SIGNAL_PER_FD),
    open: |options| RtSignal::<Many, PerDescriptor>::open(&SIGNAL_PER_FD, options).map(boxed),
};

/// The most sources that one set is prepared for, whatever the process's limit of descriptors: the memory for them is
/// taken when the set is opened, 72 to 144 bytes a source.
const SOURCES: u64 = 1 << 16;

/// What is known of a descriptor number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Unwatched,
    /// Its place in the table.
    Watched(u32),
    /// Not watched, and the signal of its former source may still be queued.
    Left,
}

/// The kernel's side of one set: the programs at work, and what they share with this process.
pub(super) struct Gate {
    control: SharedWords,
    watched: SharedWords,
    numbers: Vec<Cell<Number>>,
    _programs: Attached,
}

impl Gate {
    /// Loads the programs for the signals of one number to one thread, and tries them.
    ///
    /// # Errors
    /// Why this kernel cannot, or does not.
    pub(super) fn open(signal: Signal, receiver: Receiver) -> Result<Self, Unavailable> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(SOURCES).min(SOURCES) as u32;
        // At most a third of the places is taken, so that a search of PROBES places finds a free one.
        let bits = (3 * limit).next_power_of_two().ilog2();
        let programs = attach((1 << bits) + PROBES as u32).map_err(|error| refused(&error))?;
        let share = |name| programs.map(name).and_then(Map::share).map_err(|error| refused(&error));
        let (control, watched) = (share(CONTROL_MAP)?, share(WATCHED_MAP)?);
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_err(|errno| Unavailable {
            call: "stat",
            errno,
            remedy: "the pid namespace is read from /proc: mount it".to_owned(),
        })?;
        for (word, value) in [
            (control::NAMESPACE_DEVICE, namespace.st_dev),
            (control::NAMESPACE_INODE, namespace.st_ino),
            (control::SIGNAL, u64::from(signal.number().unsigned_abs())),
            (control::SHIFT, u64::from(u32::BITS - bits)),
            (control::THREAD, u64::from(receiver.id().unsigned_abs())),
        ] {
            control[word].store(value, Ordering::Release);
        }
        let mut gate = Self {
            control,
            watched,
            numbers: Vec::new(),
            _programs: programs,
        };
        gate.try_out(signal, receiver)?;
        Ok(gate)
    }

    /// Watches a descriptor that this thread has just made itself the receiver of (`F_SETOWN_EX`).
    ///
    /// # Errors
    /// `ENOSPC` when the set has as many sources as it was prepared for.
    pub(super) fn watch(&mut self, fd: RawFd) -> Result<(), Errno> {
        let [owner, task, shift] =
            [control::OWNER, control::TASK, control::SHIFT].map(|word| self.control[word].load(Ordering::Acquire));
        let first = first_slot(owner, shift);
        let at = (first..first + PROBES)
            .find(|at| self.word(*at, slot::OWNER).load(Ordering::Relaxed) <= slot::REMOVED)
            .ok_or(Errno::NOSPC)?;
        let number = index(fd);
        if number >= self.numbers.len() {
            self.numbers.resize(number + 1, Cell::new(Number::Unwatched));
        }
        let queued = self.numbers[number].get() == Number::Left;
        self.word(at, slot::TASK).store(task, Ordering::Relaxed);
        self.word(at, slot::COUNT).store(u64::from(queued), Ordering::Relaxed);
        // Last, since it is what a search looks at.
        self.word(at, slot::OWNER).store(owner, Ordering::Release);
        self.numbers[number].set(Number::Watched(at as u32));
        Ok(())
    }

    /// Watches a descriptor no more, once it sends no more signals. One that is not watched is left alone.
    pub(super) fn unwatch(&mut self, fd: RawFd) {
        let Some(Number::Watched(at)) = self.numbers.get(index(fd)).map(Cell::get) else {
            return;
        };
        let mut at = at as usize;
        let queued = self.word(at, slot::COUNT).load(Ordering::Acquire) != 0;
        self.numbers[index(fd)].set(if queued { Number::Left } else { Number::Unwatched });
        self.word(at, slot::OWNER).store(slot::REMOVED, Ordering::Release);
        // A removed place before a free one is where searches may end.
        let owner = |at| self.word(at, slot::OWNER);
        let ends =
            |at| at + 1 == self.watched.len() / slot::WORDS || owner(at + 1).load(Ordering::Relaxed) == slot::FREE;
        while owner(at).load(Ordering::Relaxed) == slot::REMOVED && ends(at) {
            owner(at).store(slot::FREE, Ordering::Release);
            let Some(before) = at.checked_sub(1) else { return };
            at = before;
        }
    }

    /// Notes that a descriptor's signal was taken, before its source is looked at, and returns how many events that one
    /// signal stands for.
    #[inline]
    pub(super) fn taken(&self, fd: RawFd) -> u64 {
        let Some(number) = usize::try_from(fd).ok().and_then(|fd| self.numbers.get(fd)) else {
            return 0;
        };
        match number.get() {
            Number::Watched(at) => self.word(at as usize, slot::COUNT).swap(0, Ordering::AcqRel),
            Number::Left => {
                number.set(Number::Unwatched);
                1
            }
            Number::Unwatched => 0,
        }
    }

    /// Notes that all signals were taken or lost; the sources are to be looked at after this.
    pub(super) fn clear(&self) {
        for fd in 0..self.numbers.len() {
            self.taken(fd as RawFd);
        }
    }

    #[inline]
    fn word(&self, at: usize, word: usize) -> &AtomicU64 {
        &self.watched[at * slot::WORDS + word]
    }

    /// Two events on one descriptor make one signal, and a third one after it was taken makes another. A program that
    /// attaches without effect, as LSM programs do where `bpf` is not in the kernel's `lsm=` list, is found out here.
    fn try_out(&mut self, signal: Signal, receiver: Receiver) -> Result<(), Unavailable> {
        let failed = |call| {
            move |errno| Unavailable {
                call,
                errno,
                remedy: "the self-test of signal-per-fd needs two descriptors".to_owned(),
            }
        };
        let (reader, writer) = rustix::pipe::pipe().map_err(failed("pipe"))?;
        let fd = reader.as_raw_fd();
        let overflow_before = signal::pending().contains(Signal::IO);
        signal::set_receiver(reader.as_fd(), receiver).map_err(failed("fcntl"))?;
        signal::set_signal(reader.as_fd(), signal).map_err(failed("fcntl"))?;
        if self.control[control::OWNER].load(Ordering::Acquire) == 0 {
            return Err(without_effect("F_SETOWN_EX was not seen"));
        }
        self.watch(fd).map_err(failed("bpf"))?;
        let (_, flags) = signal::async_of(reader.as_fd()).map_err(failed("fcntl"))?;
        signal::set_async(reader.as_fd(), Async::On, flags).map_err(failed("fcntl"))?;
        let first = signals_of(signal, &writer, 2);
        let counted = self.taken(fd);
        let second = signals_of(signal, &writer, 1);
        self.taken(fd);
        // Closing the writer is an event too.
        signal::set_async(reader.as_fd(), Async::Off, flags).map_err(failed("fcntl"))?;
        self.unwatch(fd);
        if !overflow_before && signal::pending().contains(Signal::IO) {
            // The queue is full, of this user's other signals. It says nothing against the programs, and to nobody else
            // anything about their sources.
            let _ = signal::wait(&SignalSet::of(&[Signal::IO]), Some(Duration::ZERO));
        }
        if counted != 2 || first > 1 || second > 1 {
            return Err(without_effect("two events on a descriptor did not make one signal"));
        }
        Ok(())
    }
}

/// Writes `writes` times and counts the signals that this queues.
fn signals_of(signal: Signal, writer: &OwnedFd, writes: usize) -> usize {
    for _ in 0..writes {
        // A pipe that takes no byte makes no event, and the count shows it.
        let _ = rustix::io::write(writer, b"x");
    }
    let set = SignalSet::of(&[signal]);
    std::iter::from_fn(|| signal::wait(&set, Some(Duration::ZERO)).ok()).count()
}

fn index(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or_else(|_| unreachable!("an open descriptor has no negative number, as {fd} is"))
}

fn without_effect(what: &str) -> Unavailable {
    Unavailable {
        call: "bpf",
        errno: Errno::NOTSUP,
        remedy: format!("the programs were loaded and have no effect ({what}); use rt-signal on this kernel"),
    }
}

/// The object as it fits this kernel, made once in a process: resolving the kernel's types takes a while.
static PREPARED: Mutex<Option<Prepared>> = Mutex::new(None);

fn attach(places: u32) -> Result<Attached, BpfError> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let object = match &mut *prepared {
        Some(object) => object,
        none => none.insert(prepare()?),
    };
    object.attach(places)
}

fn refused(error: &BpfError) -> Unavailable {
    let errno = match error {
        BpfError::NoKernelTypes(error) | BpfError::Refused { error, .. } | BpfError::Map { error, .. } => {
            Errno::from_io_error(error)
        }
        _ => None,
    };
    Unavailable {
        call: "bpf",
        errno: errno.unwrap_or(Errno::NOTSUP),
        remedy: error.to_string(),
    }
}
