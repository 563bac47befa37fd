//! `signal-per-fd`: real-time signals of which the kernel queues at most one for each descriptor, the enhancement of
//! Chandra and Mosberger (USENIX 2001, section 3.3) on an unpatched kernel.
//!
//! Two BPF programs (`bpf/signal_per_fd.bpf.c`) stand at security hooks of the kernel. While a descriptor is being armed
//! one tells the address of its `fown_struct`, which identifies the open file from then on; the other counts the signals
//! of watched files and drops all but the first. The counts are memory shared with the kernel: whoever takes a signal
//! sets its count to zero, without a system call, *before* the source is looked at. An event from before that moment is
//! found by looking, one after it is queued.
//!
//! - What a count says beyond 1 was coalesced: the signal tells the reason of the first event only, so the source's state
//!   is looked at (`ppoll`).
//! - A count whose signal did not fit into the queue would silence its descriptor: recovery sets all to zero.
//! - A count survives the withdrawal of its source, as the queued signal does; the number is suspect until that signal is
//!   taken (see `rt_signal`), and a new source behind it is then looked at.

use super::rt_signal::{Gating, RtSignal, probe};
use super::{Descriptor, boxed};
use crate::{Fact, Threading, Trigger, Unavailable, Wakeup};
use c10k_sys::{
    bpf::{Attach, Attached, BpfError, Hook, Map, Prepared, Shared},
    signal::{self, Async, Receiver, Signal, SignalSet},
};
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};
use std::{
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

pub(super) static SIGNAL_PER_FD: Descriptor = Descriptor {
    name: "signal-per-fd",
    summary: "real-time signals, at most one queued for each descriptor",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    tells: &[Fact::FullClose, Fact::Error, Fact::Priority],
    emulated: false,
    calls: &["rt_sigtimedwait", "fcntl", "bpf", "ppoll"],
    probe: || probe(&SIGNAL_PER_FD, super::rt_signal::Dequeue::One, Gating::PerDescriptor),
    open: |options| {
        RtSignal::open(
            &SIGNAL_PER_FD,
            super::rt_signal::Dequeue::One,
            Gating::PerDescriptor,
            options,
        )
        .map(boxed)
    },
};

/// An ELF file is read by words.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../../bpf/signal_per_fd.bpf.o"));

const HOOKS: [Hook; 2] = [
    Hook {
        program: "learn_owner",
        function: "security_file_set_fowner",
        attach: Attach::Entry,
    },
    Hook {
        program: "gate_signal",
        function: "security_file_send_sigiotask",
        attach: Attach::ModifyReturn,
    },
];

/// Words of `control` in the BPF program.
mod control {
    pub(super) const NAMESPACE_DEVICE: usize = 0;
    pub(super) const NAMESPACE_INODE: usize = 1;
    pub(super) const THREAD: usize = 2;
    pub(super) const SIGNAL: usize = 3;
    pub(super) const OWNER: usize = 4;
    pub(super) const TASK: usize = 5;
}

/// The most descriptors that one set is prepared for, whatever the limit of the process: the kernel's own default for
/// the highest limit (`fs.nr_open`).
const DESCRIPTORS: u64 = 1 << 20;

/// The kernel's side of one set: the programs at work, and what they share with this process.
pub(super) struct Gate {
    programs: Attached,
    control: Shared,
    counts: Shared,
    /// The kernel's address of each watched descriptor's `fown_struct`; 0 for those not watched.
    owners: Vec<u64>,
}

impl Gate {
    /// Loads the programs for the signals of one number to one thread, and tries them.
    ///
    /// # Errors
    /// Why this kernel cannot, or does not.
    pub(super) fn open(signal: Signal, receiver: Receiver) -> Result<Self, Unavailable> {
        let limit = getrlimit(Resource::Nofile)
            .current
            .unwrap_or(DESCRIPTORS)
            .min(DESCRIPTORS);
        let programs = attach(limit as u32).map_err(|error| refused(&error))?;
        let share = |name| programs.map(name).and_then(Map::share).map_err(|error| refused(&error));
        let (control, counts) = (share(".bss")?, share("counts")?);
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_err(|errno| Unavailable {
            call: "stat",
            errno,
            remedy: "the pid namespace is read from /proc: mount it".to_owned(),
        })?;
        for (word, value) in [
            (control::NAMESPACE_DEVICE, namespace.st_dev),
            (control::NAMESPACE_INODE, namespace.st_ino),
            (control::SIGNAL, u64::from(signal.number().unsigned_abs())),
            (control::THREAD, u64::from(receiver.id().unsigned_abs())),
        ] {
            control[word].store(value, Ordering::Release);
        }
        let mut gate = Self {
            programs,
            control,
            counts,
            owners: Vec::new(),
        };
        gate.try_out(signal, receiver)?;
        Ok(gate)
    }

    /// Watches a descriptor that this thread has just made itself the receiver of (`F_SETOWN_EX`).
    ///
    /// # Errors
    /// `ENOSPC` when the number is beyond the limit of descriptors at the time when the set was opened.
    pub(super) fn watch(&mut self, fd: RawFd) -> Result<(), Errno> {
        let at = fd.unsigned_abs() as usize;
        if at >= self.counts.len() {
            return Err(Errno::NOSPC);
        }
        let [owner, task] = [control::OWNER, control::TASK].map(|word| self.control[word].load(Ordering::Acquire));
        self.watched(|map| map.set(&[owner], &[task, at as u64]))?;
        if at >= self.owners.len() {
            self.owners.resize(at + 1, 0);
        }
        self.owners[at] = owner;
        Ok(())
    }

    /// Watches a descriptor no more. One that is not watched is left alone.
    pub(super) fn unwatch(&mut self, fd: RawFd) -> Result<(), Errno> {
        match self.owners.get_mut(fd.unsigned_abs() as usize).map(std::mem::take) {
            None | Some(0) => Ok(()),
            Some(owner) => self.watched(|map| map.remove(&[owner])),
        }
    }

    /// Notes that a descriptor's signal was taken, before its source is looked at, and returns how many events that one
    /// signal stands for.
    #[inline]
    pub(super) fn taken(&self, fd: RawFd) -> u64 {
        let count = usize::try_from(fd).ok().and_then(|fd| self.counts.get(fd));
        count.map_or(0, |count| count.swap(0, Ordering::AcqRel))
    }

    /// Notes that all signals were taken or lost; the sources are to be looked at after this.
    pub(super) fn clear(&self) {
        for count in &*self.counts {
            // Most are zero: reading leaves their memory clean.
            if count.load(Ordering::Relaxed) != 0 {
                count.store(0, Ordering::Release);
            }
        }
    }

    fn watched(&self, call: impl FnOnce(&Map) -> std::io::Result<()>) -> Result<(), Errno> {
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
        let map = self.programs.map("watched").map_err(|_| Errno::NOENT)?;
        call(map).map_err(errno)
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
        self.unwatch(fd).map_err(failed("bpf"))?;
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

fn without_effect(what: &str) -> Unavailable {
    Unavailable {
        call: "bpf",
        errno: Errno::NOTSUP,
        remedy: format!("the programs were loaded and have no effect ({what}); use rt-signal on this kernel"),
    }
}

/// The object as it fits this kernel, made once in a process: resolving the kernel's types takes a while.
static PREPARED: Mutex<Option<Prepared>> = Mutex::new(None);

fn attach(descriptors: u32) -> Result<Attached, BpfError> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let object = match &mut *prepared {
        Some(object) => object,
        none => none.insert(Prepared::new(&OBJECT.0, &HOOKS)?),
    };
    object.attach(descriptors)
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
