//! The queue of pending signals of one thread, as one set sees it.

use crate::{
    counters::{Call, Counters},
    mechanism::backend::Refused,
};
use c10k_sys::signal::{self, Receiver, Signal, SignalFd, SignalSet, Taken};
use rustix::io::Errno;
use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How signals are taken from the queue. A type, so that each way is compiled separately: after a system call the code of a
/// loop is in no cache, and the code of the other way would take room in it.
pub(in crate::mechanism) trait Dequeue: Send + 'static {
    const MANY: bool;
}

/// `rt_sigtimedwait`: one signal per call.
pub(in crate::mechanism) struct One;

/// `read` of a signalfd: many signals per call; `rt_sigtimedwait` waits for the first one if none is pending.
pub(in crate::mechanism) struct Many;

impl Dequeue for One {
    const MANY: bool = false;
}

impl Dequeue for Many {
    const MANY: bool = true;
}

/// What the sets of one thread share: the real-time signals in use, and one `SIGIO`.
#[derive(Debug, Default)]
struct ThreadSignals {
    /// One bit for each real-time signal in use.
    used: AtomicU64,
    /// How often `SIGIO` was taken.
    overflows: AtomicU64,
}

thread_local! {
    static OF_THIS_THREAD: Arc<ThreadSignals> = Arc::default();
}

/// One set's part of the queue: a real-time signal of its own, and `SIGIO`.
pub(super) struct Queue<D> {
    dequeue: PhantomData<D>,
    shared: Arc<ThreadSignals>,
    bit: u64,
    signal: Signal,
    mask: SignalSet,
    receiver: Receiver,
    signal_fd: Option<SignalFd>,
    /// The signals of the last [`take`](Self::take), without `SIGIO`.
    taken: Vec<Taken>,
    overflows_seen: u64,
}

impl<D: Dequeue> Queue<D> {
    /// Claims the lowest real-time signal that no set of this thread uses, blocks it and `SIGIO` in this thread, and
    /// discards the signals that an earlier set left in the queue.
    ///
    /// # Errors
    /// `EBUSY` if all real-time signals are in use; the errors of `signalfd4`.
    pub(super) fn open() -> Result<Self, (&'static str, Errno)> {
        let shared = OF_THIS_THREAD.with(Arc::clone);
        let used = shared.used.load(Ordering::Relaxed);
        let (bit, signal) = (0..u64::BITS)
            .map(|place| 1 << place)
            .zip(Signal::real_time())
            .find(|(bit, _)| used & bit == 0)
            .ok_or(("fcntl", Errno::BUSY))?;
        let mask = SignalSet::of(&[signal, Signal::IO]);
        signal::block(&mask);
        let signal_fd = if D::MANY {
            Some(SignalFd::open(&mask).map_err(|errno| ("signalfd4", errno))?)
        } else {
            None
        };
        shared.used.fetch_or(bit, Ordering::Relaxed);
        let receiver = Receiver::this_thread();
        let mut queue = Self {
            dequeue: PhantomData,
            shared,
            bit,
            signal,
            mask,
            receiver,
            signal_fd,
            taken: Vec::with_capacity(1),
            overflows_seen: 0,
        };
        loop {
            match signal::wait(&queue.mask, Some(Duration::ZERO)) {
                // Another set of this thread may have overflowed; it must learn of it.
                Ok(taken) if taken.signal == Signal::IO => {
                    queue.shared.overflows.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {}
            }
        }
        queue.forget_overflow();
        Ok(queue)
    }

    /// The signal that the set's sources send.
    pub(super) fn signal(&self) -> Signal {
        self.signal
    }

    /// The thread that receives it.
    pub(super) fn receiver(&self) -> Receiver {
        self.receiver
    }

    /// Takes at most `max` signals and waits for the first one. They are in [`taken`](Self::taken), except `SIGIO`, which
    /// [`overflowed`](Self::overflowed) reports.
    ///
    /// # Errors
    /// `EAGAIN` if the queue was empty until the timeout; `EINTR`.
    // See `Kernel` for why this is inlined.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        max: usize,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<(), Refused> {
        self.taken.clear();
        if D::MANY
            && let Some(signal_fd) = &mut self.signal_fd
        {
            counters.count(Call::Read);
            let (taken, shared) = (&mut self.taken, &self.shared);
            match signal_fd.take(max, |signal| note(signal, taken, shared)) {
                Ok(count) => {
                    counters.signals += count as u64;
                    return Ok(());
                }
                Err(Errno::AGAIN) if timeout != Some(Duration::ZERO) => {}
                Err(errno) => return Err(Refused::by(Call::Read)(errno)),
            }
        }
        counters.count(Call::RtSigtimedwait);
        let signal = signal::wait(&self.mask, timeout).map_err(Refused::by(Call::RtSigtimedwait))?;
        counters.signals += 1;
        note(signal, &mut self.taken, &self.shared);
        Ok(())
    }

    /// [Takes](Self::take) pending signals that will be discarded.
    #[cold]
    pub(super) fn drain(&mut self, counters: &mut Counters) -> Result<(), Refused> {
        /// The most signals that one call takes.
        const DRAIN: usize = 256;
        self.take(DRAIN, Some(Duration::ZERO), counters)
    }

    /// Forgets the signals of the last [`take`](Self::take).
    pub(super) fn forget_taken(&mut self) {
        self.taken.clear();
    }

    /// The signals of the last [`take`](Self::take).
    #[inline]
    pub(super) fn taken(&self) -> &[Taken] {
        &self.taken
    }

    /// Whether any set of this thread has taken `SIGIO` since the last
    /// [`forget_overflow`](Self::forget_overflow).
    #[inline]
    pub(super) fn overflowed(&self) -> bool {
        self.shared.overflows.load(Ordering::Relaxed) != self.overflows_seen
    }

    /// Notes that this set has handled the overflow.
    pub(super) fn forget_overflow(&mut self) {
        self.overflows_seen = self.shared.overflows.load(Ordering::Relaxed);
    }

    /// Whether no signal of this set is pending.
    pub(super) fn is_empty(&self, counters: &mut Counters) -> bool {
        counters.count(Call::RtSigpending);
        !signal::pending().contains(self.signal)
    }
}

impl<D> Drop for Queue<D> {
    fn drop(&mut self) {
        // The signal stays blocked: some may still be pending, and an unblocked one would end the process.
        self.shared.used.fetch_and(!self.bit, Ordering::Relaxed);
    }
}

#[inline]
fn note(signal: Taken, taken: &mut Vec<Taken>, shared: &ThreadSignals) {
    if signal.signal == Signal::IO {
        shared.overflows.fetch_add(1, Ordering::Relaxed);
    } else {
        taken.push(signal);
    }
}
