//! `epoll-level`, `epoll-edge` and `epoll-oneshot`: `epoll_ctl`, `epoll_wait`, `epoll_pwait2`.
//!
//! The interest set is in the kernel. A wait reads the ready list only, and the kernel writes the events directly into the
//! caller's batch. Timeouts that are not whole milliseconds use `epoll_pwait2`; without it (before Linux 5.11 and under old
//! seccomp profiles, which answer `ENOSYS` or `EPERM`) they are rounded up to milliseconds.

pub(super) mod backend;
pub(super) mod wait;

use super::{
    descriptor::{Costs, Descriptor, EventsPerCall, HandWritten},
    kernel::Kernel,
};
use crate::{ReadinessDetail, Threading, Trigger, Wakeup};
use backend::Epoll;

pub(super) static EPOLL_LEVEL: Descriptor = LEVEL;

pub(super) static EPOLL_EDGE: Descriptor = Descriptor {
    name: "epoll-edge",
    summary: "interest set and ready list in the kernel; reported once for each change",
    triggers: &[Trigger::Edge],
    ..LEVEL
};

pub(super) static EPOLL_ONESHOT: Descriptor = Descriptor {
    name: "epoll-oneshot",
    summary: "interest set and ready list in the kernel; reported once, then silent until armed again",
    triggers: &[Trigger::Oneshot],
    wakeups: &[Wakeup::All],
    ..LEVEL
};

const LEVEL: Descriptor = Descriptor {
    name: "epoll-level",
    summary: "interest set and ready list in the kernel; reported while a condition holds",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All, Wakeup::Exclusive],
    threading: Threading::Concurrent,
    reports: ReadinessDetail::ALL,
    busy_poll: true,
    ring: false,
    emulated: false,
    signal_queue: None,
    waits: &["epoll_wait", "epoll_pwait2"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("epoll_ctl", 1)],
        modify: &[("epoll_ctl", 1)],
        withdraw: &[("epoll_ctl", 1)],
        wait: &[("epoll_wait", 1)],
        wait_in_vain: &[("epoll_wait", 1)],
        wait_until_timeout: &[("epoll_pwait2", 1)],
    },
    hand_written: Some(HandWritten::Epoll),
    open: |row, options| Epoll::open(row.name, options).map(Kernel::Epoll),
};
