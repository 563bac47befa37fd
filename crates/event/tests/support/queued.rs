//! Whether this kernel queues a signal for each event or one for each descriptor.

use crate::sockets::{stream_pair, write};
use c10k_sys::signal::{self, Async, Receiver, Signal, SignalSet};
use std::{os::fd::AsFd, time::Duration};

/// Of what the kernel queues at most one signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// Linux.
    Event,
    /// Linux with signal-per-fd (`kernel/signal-per-fd`).
    Descriptor,
}

impl Queued {
    /// What this kernel does, found out with a signal that no test uses otherwise.
    pub(crate) fn once_for() -> Self {
        let number = Signal::real_time().nth(20).expect("there are real-time signals");
        let mask = SignalSet::of(&[number]);
        signal::block(&mask).expect("the mask");
        let (ours, theirs) = stream_pair();
        let fd = theirs.as_fd();
        signal::set_receiver(fd, Receiver::this_thread().expect("gettid")).expect("F_SETOWN_EX");
        signal::set_signal(fd, number).expect("F_SETSIG");
        let (_, flags) = signal::async_of(fd).expect("F_GETFL");
        signal::set_async(fd, Async::On, flags).expect("F_SETFL");
        write(&ours, b"x");
        write(&ours, b"x");
        let signals = std::iter::from_fn(|| signal::wait(&mask, Some(Duration::ZERO)).ok()).count();
        drop((ours, theirs));
        // The close of the pair may be signalled; a signal that is pending would end the process when it is unblocked.
        while signal::wait(&mask, Some(Duration::ZERO)).is_ok() {}
        signal::unblock(&mask).expect("the mask");
        match signals {
            1 => Self::Descriptor,
            2 => Self::Event,
            signals => panic!("{signals} signals of two events"),
        }
    }
}
