//! The queue of pending signals of one thread, as one set sees it.

use super::claim::Claim;
use crate::{
    OpenError,
    counters::{Call, Counters},
    mechanism::backend::Refused,
};
use c10k_sys::signal::{self, Receiver, Signal, SignalFd, SignalSet, Taken};
use rustix::io::Errno;
use std::{cell::Cell, marker::PhantomData, time::Duration};

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

/// One set's part of the queue: a real-time signal of its own, and `SIGIO`.
pub(super) struct Queue<D> {
    dequeue: PhantomData<D>,
    claim: Claim,
    mask: SignalSet,
    receiver: Receiver,
    signal_fd: Option<SignalFd>,
    /// The signals of the last [`take`](Self::take), without `SIGIO`.
    taken: Vec<Taken>,
    overflows_seen: Cell<u64>,
}

impl<D: Dequeue> Queue<D> {
    /// Claims a real-time signal, the named one or a free one, and discards what is pending of it.
    pub(super) fn open(mechanism: &'static str, named: Option<i32>) -> Result<Self, OpenError> {
        let refused = |call| move |errno| OpenError::refused(mechanism, call, errno);
        let receiver = Receiver::this_thread().map_err(refused("gettid"))?;
        let claim = Claim::new(mechanism, named)?;
        let mask = SignalSet::of(&[claim.signal(), Signal::IO]);
        let signal_fd = if D::MANY {
            Some(SignalFd::open(&mask).map_err(refused("signalfd4"))?)
        } else {
            None
        };
        let queue = Self {
            dequeue: PhantomData,
            claim,
            mask,
            receiver,
            signal_fd,
            taken: Vec::with_capacity(1),
            overflows_seen: Cell::new(0),
        };
        loop {
            match signal::wait(&queue.mask, Some(Duration::ZERO)) {
                // Another set of this thread may have overflowed; it must learn of it.
                Ok(taken) if taken.signal == Signal::IO => queue.claim.note_overflow(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(refused("rt_sigtimedwait")(errno)),
            }
        }
        queue.forget_overflow();
        Ok(queue)
    }

    /// The signal that the set's sources send.
    pub(super) fn signal(&self) -> Signal {
        self.claim.signal()
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
            let (taken, claim) = (&mut self.taken, &self.claim);
            match signal_fd.take(max, |signal| note(signal, taken, claim)) {
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
        note(signal, &mut self.taken, &self.claim);
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
        self.claim.overflows() != self.overflows_seen.get()
    }

    /// Notes that this set has handled the overflow.
    pub(super) fn forget_overflow(&self) {
        self.overflows_seen.set(self.claim.overflows());
    }

    /// Reports an overflow from here on, although there was none: the set has lost an event.
    pub(super) fn miss_overflow(&self) {
        self.overflows_seen.set(self.claim.overflows().wrapping_sub(1));
    }

    /// Whether it is certain that no signal of this set is pending.
    pub(super) fn is_empty(&self, counters: &mut Counters) -> bool {
        counters.count(Call::RtSigpending);
        signal::pending().is_ok_and(|pending| !pending.contains(self.signal()))
    }

    /// Keeps the signal blocked after the set is dropped: an open file that the set no longer knows may send it.
    pub(super) fn keep_blocked(&mut self) {
        self.claim.keep_blocked();
    }
}

#[inline]
fn note(signal: Taken, taken: &mut Vec<Taken>, claim: &Claim) {
    if signal.signal == Signal::IO {
        claim.note_overflow();
    } else {
        taken.push(signal);
    }
}
