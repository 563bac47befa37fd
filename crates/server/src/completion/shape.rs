//! What a worker's ring is made of.

use c10k_sys::ring::{self, Setup};
use c10k_sys::stream_ring::{Placement, SendMemory, Shape, Sockets};
use rustix::process::{Resource, getrlimit};

use crate::{RingOptions, Submission};

/// How long the kernel's thread polls for requests before it sleeps.
const SQPOLL_IDLE_MS: u32 = 2;

/// The most places of a ring's table of sockets (`IORING_MAX_FIXED_FILES`).
const MAX_PLACES: u64 = 1 << 20;

/// What a worker's ring is made of.
pub(crate) fn shape(submission: Submission, options: &RingOptions) -> Shape {
    let mut shape = Shape {
        submissions: 512,
        completions: 4096,
        buffers: 512,
        buffer_size: 4096,
        setup: Setup {
            submission: match submission {
                Submission::Enter => ring::Submission::Enter,
                Submission::Sqpoll | Submission::SqpollShared => ring::Submission::KernelThread {
                    idle_ms: SQPOLL_IDLE_MS,
                },
            },
            ..Setup::default()
        },
        sockets: Sockets::default(),
        placement: Placement::default(),
        send_memory: SendMemory::default(),
    };
    options.apply(&mut shape);
    shape
}

/// How many connections fit a ring of that shape, which has room for at most `most` of them. A table of sockets is made that
/// large; the kernel allows one of `RLIMIT_NOFILE` places.
pub(super) fn fit(shape: &mut Shape, most: usize) -> usize {
    let Sockets::Direct { places } = &mut shape.sockets else {
        return most;
    };
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MAX_PLACES);
    let fitting = (most as u64).min(limit).clamp(1, MAX_PLACES);
    *places = u32::try_from(fitting).unwrap_or(1);
    most.min(*places as usize)
}
