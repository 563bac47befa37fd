//! `signal-per-fd`: real-time signals of which the kernel queues at most one for each descriptor, the enhancement of
//! Chandra and Mosberger (USENIX 2001, section 3.3) on an unpatched kernel.
//!
//! Two BPF programs (`programs/signal_per_fd.bpf.c` of the crate `c10k-bpf`) run at security hooks of the kernel. While a
//! descriptor is being armed, one reports the address of its `fown_struct`, which identifies the open file from then on.
//! The other counts the signals of watched files and drops all but the first. The list of watched files and the counts are
//! memory shared with the kernel. A set that takes a signal sets its count to zero, without a system call, *before* the
//! source is polled: polling finds an event from before that moment, and a later event is queued.
//!
//! - A signal has the reason of the first event that it stands for. If it stands for more events and the program waits for
//!   more than one condition, the source is polled (`ppoll`); if the program waits for one condition, that one is reported.
//!   So closing and errors are reported only if their signal was not merged with an earlier one, and the row does not
//!   promise them.
//! - A count whose signal did not fit into the queue would silence its source: recovery sets all counts to zero.
//! - The signal of a withdrawn source may still be queued. Its number starts with a count of 1 when it is declared again,
//!   so that the queue never has two signals of one number. That signal is suspect until it is taken (see `rt_signal`),
//!   and then the source is polled.

#[cfg(feature = "bpf")]
mod filter;
#[cfg(not(feature = "bpf"))]
#[path = "signal_per_fd/missing.rs"]
mod filter;

use super::{
    descriptor::{Descriptor, SignalQueue},
    kernel::Kernel,
    rt_signal::{BATCH, backend::RtSignal, queue::Many},
};
use crate::ReadinessDetail;
use filter::OnePerSource;

pub(super) static SIGNAL_PER_FD: Descriptor = Descriptor {
    name: "signal-per-fd",
    summary: "at most one queued real-time signal for each descriptor; a call takes many",
    reports: &[ReadinessDetail::Priority],
    signal_queue: Some(SignalQueue::PerSource),
    hand_written: None,
    open: |row, options| RtSignal::<Many, OnePerSource>::open(row.name, options).map(Kernel::boxed),
    ..BATCH
};
