//! `rt-signal` and `rt-signal-batch`: the kernel queues one real-time signal for each event (`F_SETOWN_EX`, `F_SETSIG`,
//! `O_ASYNC`). A call takes one (`rt_sigtimedwait`) or many (`read` of a signalfd).
//!
//! What the kernel does, and what this module does about it:
//!
//! - Only changes cause signals. After arming a source, its current state is polled once (`ppoll`) and reported as an event.
//! - Drivers leave changes out. A file of which one would be lost is refused; the crate's documentation has a table.
//! - A signal carries the descriptor's number, which does not identify the source: the number may be in use again. A signal
//!   that may be older than the present source of its number is *suspect*: it is checked with a zero-timeout `ppoll` and
//!   becomes an event with the state found, or is dropped and counted as stale. A number is suspect from its next
//!   declaration until the queue was empty, or until as many signals were taken as the queue can hold.
//! - If the queue is full (`RLIMIT_SIGPENDING`, counted for each user), the kernel sends `SIGIO`, without a descriptor, and
//!   the event is lost. [`OnOverflow`](crate::OnOverflow) selects what happens then.
//! - All sets of a thread share one `SIGIO`. Each of them recovers.

pub(super) mod backend;
mod claim;
mod file_signals;
pub(super) mod filter;
pub(super) mod inherited;
pub(super) mod queue;
mod queue_limit;
mod signalled;
mod sources;

use super::{
    descriptor::{Costs, Descriptor, EventsPerCall, HandWritten, SignalQueue},
    kernel::Kernel,
};
use crate::{ReadinessDetail, Threading, Trigger, Wakeup};
use backend::RtSignal;
use filter::NoFilter;
use queue::{Many, One};

pub(super) static RT_SIGNAL: Descriptor = Descriptor {
    name: "rt-signal",
    summary: "one queued real-time signal for each event; a call takes one",
    waits: &["rt_sigtimedwait"],
    events_per_call: EventsPerCall::One,
    costs: Costs {
        wait: &[("rt_sigtimedwait", 1)],
        wait_in_vain: &[("rt_sigtimedwait", 1)],
        wait_until_timeout: &[("rt_sigtimedwait", 1)],
        ..BATCH.costs
    },
    open: |row, options| RtSignal::<One, NoFilter>::open(row.name, options).map(Kernel::boxed),
    ..BATCH
};

pub(super) static RT_SIGNAL_BATCH: Descriptor = BATCH;

/// The row of `rt-signal-batch`, as a base for the others.
pub(super) const BATCH: Descriptor = Descriptor {
    name: "rt-signal-batch",
    summary: "one queued real-time signal for each event; a call takes many",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    reports: &[
        ReadinessDetail::FullClose,
        ReadinessDetail::Error,
        ReadinessDetail::Priority,
    ],
    busy_poll: false,
    ring: false,
    emulated: false,
    signal_queue: Some(SignalQueue::PerEvent),
    waits: &["read", "rt_sigtimedwait"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("fcntl", 6), ("getsockopt", 3), ("ppoll", 1)],
        modify: &[("ppoll", 1)],
        withdraw: &[("fcntl", 4)],
        wait: &[("read", 1)],
        wait_in_vain: &[("read", 1)],
        wait_until_timeout: &[("read", 1), ("rt_sigtimedwait", 1)],
    },
    hand_written: Some(HandWritten::Signals),
    open: |row, options| RtSignal::<Many, NoFilter>::open(row.name, options).map(Kernel::boxed),
};
