//! `io-uring-poll`: one `POLL_ADD` request for each source, submitted and completed through rings in shared memory
//! (`io_uring_enter`).
//!
//! - Edge is a multishot request. If one ends by itself (a completion without `IORING_CQE_F_MORE`), it is submitted again.
//! - Oneshot is a single request. Level is a single request that the wait after its event submits again; it completes at
//!   once if the condition still holds, because the kernel checks.
//! - Declaring and re-arming make no system call: the next wait submits the requests.
//! - The kernel holds a reference to the file while a request exists, so closing a file cancels nothing. A withdrawal removes
//!   the request and waits for its last completion: one `io_uring_enter`.
//! - [`Options::ring`](crate::Options::ring) sets the ring up in another way: the steps from what the kernel does by default to
//!   its newest additions.
//! - When the completion queue is full, the kernel keeps completions in a list and adds them when there is room.

#[cfg(feature = "io-uring")]
mod backend;
#[cfg(not(feature = "io-uring"))]
#[path = "io_uring/missing.rs"]
mod backend;
#[cfg(feature = "io-uring")]
mod setup;

use super::descriptor::{Costs, Descriptor, EventsPerCall, HandWritten};
use crate::{ReadinessDetail, Threading, Trigger, Wakeup};

pub(super) static IO_URING_POLL: Descriptor = Descriptor {
    name: "io-uring-poll",
    summary: "a poll request for each source; requests and completions through shared rings",
    triggers: &[Trigger::Edge, Trigger::Level, Trigger::Oneshot],
    wakeups: &[Wakeup::All],
    threading: Threading::Opener,
    reports: ReadinessDetail::ALL,
    busy_poll: true,
    ring: true,
    emulated: false,
    signal_queue: None,
    waits: &["io_uring_enter"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("getsockopt", 1)],
        modify: &[("io_uring_enter", 1)],
        withdraw: &[("io_uring_enter", 1)],
        wait: &[("io_uring_enter", 1)],
        wait_in_vain: &[("io_uring_enter", 1)],
        wait_until_timeout: &[("io_uring_enter", 1)],
    },
    hand_written: Some(HandWritten::IoUring),
    open: |row, options| backend::open(row.name, options),
};
