//! `aio-poll`: one poll request of Linux AIO for each source (`IOCB_CMD_POLL`), whose completions are read from a ring in shared
//! memory.
//!
//! - Oneshot is a request. Level is a request that the wait after its event submits again; it completes at once if the
//!   condition still holds, because the kernel checks.
//! - Declaring and re-arming make no system call: the next wait submits all requests with one `io_submit`. It calls
//!   `io_getevents` only if the ring is empty and it has to sleep.
//! - The kernel holds a reference to the file while a request exists. A withdrawal cancels the request and waits for its
//!   completion, which always comes: `io_cancel` and `io_getevents`. After its event a source has no request to cancel.
//! - A context has room for a fixed number of requests. A set that outgrows it takes one twice as large; the requests of the
//!   former one end with it and are submitted again.

mod backend;
mod requests;

use super::{
    descriptor::{Costs, Descriptor, EventsPerCall},
    kernel::Kernel,
};
use crate::{ReadinessDetail, Threading, Trigger, Wakeup};

pub(super) static AIO_POLL: Descriptor = Descriptor {
    name: "aio-poll",
    summary: "a poll request of Linux AIO for each source; completions through a shared ring",
    // Both make the same system calls; level needs no call of the library after each event.
    triggers: &[Trigger::Level, Trigger::Oneshot],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    reports: ReadinessDetail::ALL,
    busy_poll: false,
    ring: false,
    emulated: false,
    signal_queue: None,
    waits: &["io_getevents"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("getsockopt", 1)],
        modify: &[("io_cancel", 1), ("io_getevents", 1)],
        withdraw: &[("io_cancel", 1), ("io_getevents", 1)],
        // The completions are in the ring.
        wait: &[],
        // That of the sources that were reported before.
        wait_in_vain: &[("io_submit", 1)],
        wait_until_timeout: &[("io_getevents", 1)],
    },
    hand_written: None,
    open: |row, _options| backend::AioPoll::open(row.name).map(Kernel::boxed),
};
