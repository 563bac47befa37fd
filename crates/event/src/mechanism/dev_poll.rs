//! `dev-poll`: the interest set is in the kernel, written incrementally, and a wait reports state, as with `/dev/poll`;
//! emulated by [`DevPoll`] on epoll.
//!
//! A declaration is one write, a withdrawal one write of `POLLREMOVE`. Written events are added to the cached ones, so a
//! modification removes the descriptor and writes it again. The set owns its sources, so no cached descriptor can be
//! closed, and the emulation does not search for closed ones.

pub(super) mod backend;

use super::{
    descriptor::{Costs, Descriptor, EventsPerCall, HandWritten},
    kernel::Kernel,
};
use crate::{ReadinessDetail, Threading, Trigger, Wakeup};
use backend::DevPollSet;

pub(super) static DEV_POLL: Descriptor = Descriptor {
    name: "dev-poll",
    summary: "interest set in the kernel, state reported at every wait; /dev/poll emulated on epoll",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    reports: ReadinessDetail::ALL,
    busy_poll: false,
    ring: false,
    emulated: true,
    signal_queue: None,
    waits: &["epoll_wait", "epoll_pwait2"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("epoll_ctl", 1)],
        modify: &[("epoll_ctl", 2)],
        withdraw: &[("epoll_ctl", 1)],
        wait: &[("epoll_wait", 1)],
        wait_in_vain: &[("epoll_wait", 1)],
        wait_until_timeout: &[("epoll_pwait2", 1)],
    },
    hand_written: Some(HandWritten::Epoll),
    open: |row, _| DevPollSet::open(row.name).map(Kernel::DevPoll),
};
