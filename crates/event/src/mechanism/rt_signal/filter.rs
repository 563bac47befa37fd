//! What a set on real-time signals needs from a filter in the kernel.

use crate::Unavailable;
use c10k_sys::signal::{Receiver, Signal};
use rustix::io::Errno;
use std::os::fd::RawFd;

/// Limits the signals that the kernel queues for one descriptor.
pub(in crate::mechanism) trait SignalFilter: Send + Sized + 'static {
    /// Starts filtering the signals of one number to one thread.
    ///
    /// # Errors
    /// Why this kernel cannot do it.
    fn open(signal: Signal, receiver: Receiver) -> Result<Self, Unavailable>;

    /// Watches a descriptor, right after this thread became the receiver of its signals (`F_SETOWN_EX`) and before it
    /// sends the first one.
    ///
    /// # Errors
    /// `ENOSPC` if the filter has no room for another descriptor.
    fn watch(&mut self, fd: RawFd) -> Result<(), Errno>;

    /// Stops watching a descriptor that sends no more signals. Does nothing if it is not watched.
    fn unwatch(&mut self, fd: RawFd);

    /// Notes that a descriptor's signal was taken, before its source is polled. Returns how many events this one signal
    /// stands for, or 0 if that is unknown.
    fn taken(&self, fd: RawFd) -> u64;

    /// Notes that all signals were taken or lost. The sources are polled after this.
    fn clear(&self);
}

/// No filter: the kernel queues one signal for each event.
pub(in crate::mechanism) struct NoFilter;

impl SignalFilter for NoFilter {
    fn open(_: Signal, _: Receiver) -> Result<Self, Unavailable> {
        Ok(Self)
    }

    fn watch(&mut self, _: RawFd) -> Result<(), Errno> {
        Ok(())
    }

    fn unwatch(&mut self, _: RawFd) {}

    #[inline]
    fn taken(&self, _: RawFd) -> u64 {
        0
    }

    fn clear(&self) {}
}
