//! How many connections the limit on open descriptors allows.

/// Descriptors of a server that are no connections: standard streams, a listener, the root, those that report events, and some
/// for files that are being sent.
const RESERVE: u64 = 20;

/// Those of each loop: a listener, the mechanism's own, a waker, a file of a disk.
const RESERVE_OF_LOOP: u64 = 4;

/// A loop with room for fewer connections than this is not started.
const LEAST_OF_LOOP: u64 = 8;

/// How many files the work on a disk may have open at once, beyond one for each loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFiles {
    UpTo(usize),
    /// One for each connection, all at once.
    OneForEachConnection,
}

/// How many connections a server with so many loops and files has room for.
pub(crate) fn room(limit: u64, loops: usize, files: DiskFiles) -> usize {
    let reserved = RESERVE.saturating_add(RESERVE_OF_LOOP.saturating_mul(loops as u64));
    let left = usize::try_from(limit.saturating_sub(reserved)).unwrap_or(usize::MAX);
    match files {
        DiskFiles::UpTo(files) => left.saturating_sub(files),
        DiskFiles::OneForEachConnection => left / 2,
    }
}

/// The lowest limit at which a server with so many loops and files starts.
pub(crate) fn least_limit(loops: usize, files: DiskFiles) -> u64 {
    let connections = LEAST_OF_LOOP.saturating_mul(loops as u64);
    let files = match files {
        DiskFiles::UpTo(files) => files as u64,
        DiskFiles::OneForEachConnection => connections,
    };
    RESERVE
        .saturating_add(RESERVE_OF_LOOP.saturating_mul(loops as u64))
        .saturating_add(connections)
        .saturating_add(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: DiskFiles = DiskFiles::UpTo(0);

    #[test]
    fn a_low_limit_leaves_most_descriptors_to_connections() {
        assert_eq!((room(64, 1, NONE), room(1024, 1, NONE)), (40, 1000));
        assert_eq!(room(64, 4, NONE), 28);
    }

    #[test]
    fn files_have_descriptors_of_their_own() {
        assert_eq!(room(64, 1, DiskFiles::UpTo(30)), 10);
        assert_eq!(room(64, 1, DiskFiles::UpTo(41)), 0);
        assert_eq!(room(64, 1, DiskFiles::OneForEachConnection), 20);
    }

    #[test]
    fn at_the_lowest_limit_each_loop_has_a_few_connections() {
        for loops in [1, 3, 64] {
            for files in [NONE, DiskFiles::UpTo(5), DiskFiles::OneForEachConnection] {
                assert_eq!(room(least_limit(loops, files), loops, files), 8 * loops);
            }
        }
        assert_eq!(
            (
                room(10, 1, NONE),
                room(u64::MAX, usize::MAX, DiskFiles::OneForEachConnection)
            ),
            (0, 0)
        );
    }
}
