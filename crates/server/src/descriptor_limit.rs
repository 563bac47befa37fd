//! The limit on open descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that connections may not use: standard streams, listeners, the mechanism's own, files that are sent.
const RESERVE: u64 = 64;

/// Raises the soft limit on open descriptors to the hard one, and returns it. Processes started afterwards inherit it.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // This fails only if the hard limit was lowered meanwhile. Then the soft limit stays as it is.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The most connections that the descriptor limit allows.
pub(crate) fn room_for_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(RESERVE).max(1)).unwrap_or(usize::MAX)
}
