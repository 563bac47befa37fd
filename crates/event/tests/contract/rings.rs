//! The ways to set up a ring, besides the default.

use c10k_event::{InterestSet, Mechanism, MinWait, Options, RingDescriptor, RingSetup, TaskWork};
use std::os::fd::OwnedFd;

const MIN_WAIT: MinWait = MinWait {
    duration_us: 200,
    completions: 32,
};

/// Each step from the kernel's default to its newest addition alone, and all additions together.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, RingSetup)> {
    let way = |change: fn(&mut RingSetup)| {
        let mut ring = RingSetup::default();
        change(&mut ring);
        ring
    };
    [
        ("default-taskrun", way(|ring| ring.task_work = TaskWork::Interrupt)),
        ("coop-taskrun", way(|ring| ring.task_work = TaskWork::Cooperative)),
        (
            "registered-ring",
            way(|ring| ring.descriptor = RingDescriptor::Registered),
        ),
        ("min-wait", way(|ring| ring.min_wait = Some(MIN_WAIT))),
        (
            "registered-ring+min-wait",
            way(|ring| (ring.descriptor, ring.min_wait) = (RingDescriptor::Registered, Some(MIN_WAIT))),
        ),
    ]
    .into_iter()
}

/// Why the kernel refuses a ring that is set up so.
pub(crate) fn refused(mechanism: Mechanism, ring: RingSetup) -> Option<String> {
    let mut options = Options::default();
    options.ring = Some(ring);
    InterestSet::<OwnedFd>::open_with(mechanism, &options)
        .err()
        .map(|error| error.to_string())
}
