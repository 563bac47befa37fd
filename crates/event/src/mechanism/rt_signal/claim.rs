//! Which signals the sets of a thread use, and which signals they blocked in it.

use crate::{OpenError, SignalConflict, Unavailable};
use c10k_sys::{
    fork::Process,
    signal::{self, Signal, SignalSet},
};
use rustix::io::Errno;
use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// What the sets of one thread share. A bit stands for a real-time signal, the lowest bit for the lowest signal.
///
/// Only `left` is written by other threads.
#[derive(Debug, Default)]
struct ThreadSignals {
    /// The signals of the thread's sets.
    used: AtomicU64,
    /// The signals of sets that were dropped in another thread, which cannot take them or unblock them here.
    left: AtomicU64,
    /// The signals that are blocked because a set blocked them.
    blocked: AtomicU64,
    /// Whether `SIGIO` is blocked because a set blocked it.
    blocked_io: AtomicBool,
    /// How often `SIGIO` was taken.
    overflows: AtomicU64,
}

thread_local! {
    /// With the process: a forked child starts anew, since the sets of its parent take no signals there.
    static OF_THIS_THREAD: RefCell<Option<(Process, Arc<ThreadSignals>)>> = const { RefCell::new(None) };
}

/// A real-time signal of one set. The signal and `SIGIO` are blocked in the thread that claimed it. Dropping the claim
/// there discards what is pending and restores the thread's mask.
#[derive(Debug)]
pub(super) struct Claim {
    shared: Arc<ThreadSignals>,
    bit: u64,
    signal: Signal,
    /// Whether an open file may still send the signal, which would end the process if it was not blocked.
    is_sent: bool,
}

impl Claim {
    /// Claims the named real-time signal, or the lowest one that the program does not use.
    pub(super) fn new(mechanism: &'static str, named: Option<i32>) -> Result<Self, OpenError> {
        let refused = |call| move |errno| OpenError::refused(mechanism, call, errno);
        let conflict = |conflict| OpenError::Unavailable {
            mechanism,
            reason: Unavailable::Signal(conflict),
        };
        let shared = ThreadSignals::of_this_thread().map_err(refused("pthread_atfork"))?;
        shared.release_left();
        if signal::has_handler(Signal::IO).map_err(refused("rt_sigaction"))? {
            return Err(conflict(SignalConflict::HandlerOfSigio));
        }
        let used = shared.used.load(Ordering::Relaxed);
        let (bit, signal) = match named {
            Some(number) => find_named(number, used).map_err(conflict)?,
            None => {
                let blocked = signal::blocked().map_err(refused("rt_sigprocmask"))?;
                find_free(used, blocked)
                    .map_err(refused("rt_sigaction"))?
                    .ok_or_else(|| conflict(SignalConflict::NoneFree))?
            }
        };
        let mask = SignalSet::of(&[signal, Signal::IO]);
        let before = signal::block(&mask).map_err(refused("rt_sigprocmask"))?;
        shared.used.fetch_or(bit, Ordering::Relaxed);
        if !before.contains(signal) {
            shared.blocked.fetch_or(bit, Ordering::Relaxed);
        }
        if !before.contains(Signal::IO) {
            shared.blocked_io.store(true, Ordering::Relaxed);
        }
        Ok(Self {
            shared,
            bit,
            signal,
            is_sent: false,
        })
    }

    pub(super) fn signal(&self) -> Signal {
        self.signal
    }

    /// Keeps the signal blocked when the claim is dropped: an open file that this set no longer knows may send it.
    pub(super) fn keep_blocked(&mut self) {
        self.is_sent = true;
    }

    /// How often the sets of this thread have taken `SIGIO`.
    #[inline]
    pub(super) fn overflows(&self) -> u64 {
        self.shared.overflows.load(Ordering::Relaxed)
    }

    /// Notes that a set of this thread has taken `SIGIO`.
    #[inline]
    pub(super) fn note_overflow(&self) {
        self.shared.overflows.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_sent {
            return;
        }
        let is_here = OF_THIS_THREAD.try_with(|own| match &*own.borrow() {
            Some((_, own)) => Arc::ptr_eq(own, &self.shared),
            None => false,
        });
        if is_here == Ok(true) {
            self.shared.release(self.bit, self.signal);
            self.shared.release_left();
        } else {
            self.shared.left.fetch_or(self.bit, Ordering::Relaxed);
        }
    }
}

impl ThreadSignals {
    fn of_this_thread() -> Result<Arc<Self>, Errno> {
        let this = Process::this()?;
        OF_THIS_THREAD.with_borrow_mut(|own| match own {
            Some((process, shared)) if *process == this => Ok(Arc::clone(shared)),
            _ => Ok(Arc::clone(&own.insert((this, Arc::default())).1)),
        })
    }

    /// Discards the pending signals of a set that no file sends any more, and restores the mask of the calling thread,
    /// which is this one. What the kernel refuses stays blocked.
    fn release(&self, bit: u64, signal: Signal) {
        if !discard_pending(signal) {
            return;
        }
        if self.blocked.load(Ordering::Relaxed) & bit != 0 {
            if signal::unblock(&SignalSet::of(&[signal])).is_err() {
                return;
            }
            self.blocked.fetch_and(!bit, Ordering::Relaxed);
        }
        let is_last = self.used.fetch_and(!bit, Ordering::Relaxed) == bit;
        // All sets of the thread share SIGIO.
        if is_last
            && discard_pending(Signal::IO)
            && self.blocked_io.load(Ordering::Relaxed)
            && signal::unblock(&SignalSet::of(&[Signal::IO])).is_ok()
        {
            self.blocked_io.store(false, Ordering::Relaxed);
        }
    }

    /// [Releases](Self::release) the signals of sets that were dropped in another thread.
    fn release_left(&self) {
        let left = self.left.swap(0, Ordering::Relaxed);
        for (bit, signal) in bits().filter(|(bit, _)| left & bit != 0) {
            self.release(bit, signal);
        }
    }
}

/// The signals that are blocked in this thread because its sets blocked them.
pub(super) fn blocked_by_sets() -> SignalSet {
    OF_THIS_THREAD.with_borrow(|own| {
        let Some((_, shared)) = own else {
            return SignalSet::of(&[]);
        };
        let blocked = shared.blocked.load(Ordering::Relaxed);
        let io = shared.blocked_io.load(Ordering::Relaxed).then_some(Signal::IO);
        let signals = bits().filter(|(bit, _)| blocked & bit != 0).map(|(_, signal)| signal);
        SignalSet::of(&signals.chain(io).collect::<Vec<_>>())
    })
}

/// The real-time signal of this number, unless a set uses it.
fn find_named(number: i32, used: u64) -> Result<(u64, Signal), SignalConflict> {
    let (bit, signal) = bits()
        .find(|(_, signal)| signal.number() == number)
        .ok_or(SignalConflict::NotRealTime(number))?;
    if used & bit == 0 {
        Ok((bit, signal))
    } else {
        Err(SignalConflict::InUse(number))
    }
}

/// The lowest real-time signal that neither a set nor the program uses. A program that takes a signal from a queue blocks it.
fn find_free(used: u64, blocked: SignalSet) -> Result<Option<(u64, Signal)>, Errno> {
    for (bit, signal) in bits() {
        if used & bit == 0 && !blocked.contains(signal) && !signal::has_handler(signal)? {
            return Ok(Some((bit, signal)));
        }
    }
    Ok(None)
}

/// The real-time signals with their bits.
fn bits() -> impl Iterator<Item = (u64, Signal)> {
    (0..u64::BITS).map(|place| 1 << place).zip(Signal::real_time())
}

/// Takes all pending signals of one number. Returns whether none is left.
fn discard_pending(signal: Signal) -> bool {
    let set = SignalSet::of(&[signal]);
    loop {
        match signal::wait(&set, Some(Duration::ZERO)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return errno == Errno::AGAIN,
        }
    }
}
