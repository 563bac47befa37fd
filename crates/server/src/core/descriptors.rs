//! How many connections the limit on open descriptors allows.

/// Descriptors of a server that are no connections: standard streams, a listener, the root, those that report events, and some
/// for files that are being sent.
const RESERVE: u64 = 20;

/// Those of each loop: a listener, the mechanism's own, a waker.
const RESERVE_OF_LOOP: u64 = 4;

/// A loop with room for fewer connections than this is not started.
const LEAST_OF_LOOP: u64 = 8;

/// How many connections a server with so many loops has room for.
pub(crate) fn room(limit: u64, loops: usize) -> usize {
    let reserved = RESERVE.saturating_add(RESERVE_OF_LOOP.saturating_mul(loops as u64));
    usize::try_from(limit.saturating_sub(reserved)).unwrap_or(usize::MAX)
}

/// The lowest limit at which a server with so many loops starts.
pub(crate) fn least_limit(loops: usize) -> u64 {
    RESERVE.saturating_add((RESERVE_OF_LOOP + LEAST_OF_LOOP).saturating_mul(loops as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_leaves_most_descriptors_to_connections() {
        assert_eq!((room(64, 1), room(1024, 1)), (40, 1000));
        assert_eq!(room(64, 4), 28);
    }

    #[test]
    fn at_the_lowest_limit_each_loop_has_a_few_connections() {
        for loops in [1, 3, 64] {
            assert_eq!(room(least_limit(loops), loops), 8 * loops);
        }
        assert_eq!((room(10, 1), room(u64::MAX, usize::MAX)), (0, 0));
    }
}
