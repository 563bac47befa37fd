//! The filter in the kernel, as BPF programs.

use crate::{Unavailable, fd::index, mechanism::rt_signal::filter::SignalFilter};
use c10k_bpf::{
    Attached, BpfError, Map, Prepared, SharedWords,
    signal_per_fd::{CONTROL_MAP, PROBES, WATCHED_MAP, control, first_slot, prepare, slot},
};
use c10k_sys::{
    limit::limit,
    signal::{self, Async, Receiver, Signal, SignalSet},
};
use rustix::{io::Errno, pipe::PipeFlags, process::Resource};
use std::{
    cell::Cell,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The most sources that one set is prepared for, even if the process may open more descriptors. Opening a set takes the
/// memory for all of them, 72 to 144 bytes for each.
const SOURCES: u64 = 1 << 16;

/// The state of a descriptor number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Unwatched,
    /// In this slot of the table.
    Watched(u32),
    /// Not watched, but the signal of its former source may still be queued.
    Left,
}

/// The attached programs of one set, and the memory that they share with this process.
pub(in crate::mechanism) struct OnePerSource {
    control: SharedWords,
    watched: SharedWords,
    numbers: Vec<Cell<Number>>,
    _programs: Attached,
}

impl SignalFilter for OnePerSource {
    /// Attaches the programs and tests that they have an effect.
    fn open(signal: Signal, receiver: Receiver) -> Result<Self, Unavailable> {
        let limit = limit(Resource::Nofile).map_err(|errno| Unavailable::refused("prlimit64", errno))?;
        let limit = limit.current.unwrap_or(SOURCES).min(SOURCES) as u32;
        // At most a third of the slots is in use, so a search of PROBES slots finds a free one.
        let bits = (3 * limit).next_power_of_two().ilog2();
        let programs = attach((1 << bits) + PROBES as u32).map_err(|error| refused(&error))?;
        let share = |name| programs.map(name).and_then(Map::share).map_err(|error| refused(&error));
        let (control, watched) = (share(CONTROL_MAP)?, share(WATCHED_MAP)?);
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_err(|errno| Unavailable::Refused {
            call: "newfstatat",
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
        let mut filter = Self {
            control,
            watched,
            numbers: Vec::new(),
            _programs: programs,
        };
        filter.self_test(signal, receiver)?;
        Ok(filter)
    }

    fn watch(&mut self, fd: RawFd) -> Result<(), Errno> {
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
        // Stored last, because the program's search reads this word.
        self.word(at, slot::OWNER).store(owner, Ordering::Release);
        self.numbers[number].set(Number::Watched(at as u32));
        Ok(())
    }

    fn unwatch(&mut self, fd: RawFd) {
        let Some(Number::Watched(at)) = self.numbers.get(index(fd)).map(Cell::get) else {
            return;
        };
        let mut at = at as usize;
        let queued = self.word(at, slot::COUNT).load(Ordering::Acquire) != 0;
        self.numbers[index(fd)].set(if queued { Number::Left } else { Number::Unwatched });
        self.word(at, slot::OWNER).store(slot::REMOVED, Ordering::Release);
        // A removed slot before a free one becomes free, so that searches end there.
        let owner = |at| self.word(at, slot::OWNER);
        let ends =
            |at| at + 1 == self.watched.len() / slot::WORDS || owner(at + 1).load(Ordering::Relaxed) == slot::FREE;
        while owner(at).load(Ordering::Relaxed) == slot::REMOVED && ends(at) {
            owner(at).store(slot::FREE, Ordering::Release);
            let Some(before) = at.checked_sub(1) else { return };
            at = before;
        }
    }

    #[inline]
    fn taken(&self, fd: RawFd) -> u64 {
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

    fn clear(&self) {
        for fd in 0..self.numbers.len() {
            self.taken(fd as RawFd);
        }
    }
}

impl OnePerSource {
    #[inline]
    fn word(&self, at: usize, word: usize) -> &AtomicU64 {
        &self.watched[at * slot::WORDS + word]
    }

    /// Tests that two events on one descriptor cause one signal, and a third event after it was taken another one. A program
    /// may attach without effect, as LSM programs do if `bpf` is not in the kernel's `lsm=` list.
    fn self_test(&mut self, signal: Signal, receiver: Receiver) -> Result<(), Unavailable> {
        let failed = |call| {
            move |errno| Unavailable::Refused {
                call,
                errno,
                remedy: "the self-test of signal-per-fd needs two descriptors".to_owned(),
            }
        };
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed("pipe2"))?;
        let fd = reader.as_raw_fd();
        let overflow_before = signal::pending().map_err(failed("rt_sigpending"))?.contains(Signal::IO);
        signal::set_receiver(reader.as_fd(), receiver).map_err(failed("fcntl"))?;
        signal::set_signal(reader.as_fd(), signal).map_err(failed("fcntl"))?;
        if self.control[control::OWNER].load(Ordering::Acquire) == 0 {
            return Err(without_effect("F_SETOWN_EX was not observed"));
        }
        self.watch(fd).map_err(failed("bpf"))?;
        let (_, flags) = signal::async_of(reader.as_fd()).map_err(failed("fcntl"))?;
        signal::set_async(reader.as_fd(), Async::On, flags).map_err(failed("fcntl"))?;
        let first = signals_of(signal, &writer, 2).map_err(failed("write"))?;
        let counted = self.taken(fd);
        let second = signals_of(signal, &writer, 1).map_err(failed("write"))?;
        self.taken(fd);
        // Closing the writer is an event too.
        signal::set_async(reader.as_fd(), Async::Off, flags).map_err(failed("fcntl"))?;
        self.unwatch(fd);
        if !overflow_before && signal::pending().is_ok_and(|pending| pending.contains(Signal::IO)) {
            // Other signals of this user fill the queue. That says nothing about the programs, and this SIGIO is about no
            // source of any set.
            let _ = signal::wait(&SignalSet::of(&[Signal::IO]), Some(Duration::ZERO));
        }
        if counted != 2 || first > 1 || second > 1 {
            return Err(without_effect(
                "two events on a descriptor did not cause exactly one signal",
            ));
        }
        Ok(())
    }
}

/// Writes `writes` times and counts the signals that are queued.
fn signals_of(signal: Signal, writer: &OwnedFd, writes: usize) -> Result<usize, Errno> {
    for _ in 0..writes {
        rustix::io::write(writer, b"x")?;
    }
    let set = SignalSet::of(&[signal]);
    Ok(std::iter::from_fn(|| signal::wait(&set, Some(Duration::ZERO)).ok()).count())
}

fn without_effect(what: &str) -> Unavailable {
    Unavailable::Refused {
        call: "bpf",
        errno: Errno::NOTSUP,
        remedy: format!("the programs were loaded but have no effect ({what}); use rt-signal on this kernel"),
    }
}

/// The object prepared for this kernel, once for each process, because resolving the kernel's types takes a while.
static PREPARED: Mutex<Option<Prepared>> = Mutex::new(None);

fn attach(entries: u32) -> Result<Attached, BpfError> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let object = match &mut *prepared {
        Some(object) => object,
        none => none.insert(prepare()?),
    };
    object.attach(entries)
}

fn refused(error: &BpfError) -> Unavailable {
    Unavailable::Refused {
        call: error.call(),
        errno: error.io_error().and_then(Errno::from_io_error).unwrap_or(Errno::NOTSUP),
        remedy: error.remedy(),
    }
}
