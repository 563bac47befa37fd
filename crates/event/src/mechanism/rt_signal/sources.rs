//! Which sources are behind which descriptor numbers, and which numbers' signals are to be doubted.

use crate::{Interest, Key};
use std::os::fd::RawFd;

/// One watched source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) key: Key,
    pub(super) interest: Interest,
    /// Whether its signals are in doubt, as far as was known when it was added; the number's [`Doubt`] tells more.
    doubted: bool,
}

/// What is known of a number's former source. Kept apart from [`Watched`], which every signal looks at.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// The number of removals at this number's last one: its former source's signals may be in the queue.
    removal: u64,
    /// How many signals will have been taken when none of those can be left.
    until_taken: u64,
}

/// Whether a signal is about the present source of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Certain,
    /// It may have been queued about the number's former source.
    Suspect,
}

/// The sources by descriptor number.
///
/// Removals are counted. A number's signals are in doubt while its last removal is later than the last moment at which
/// the queue was seen empty: signals are queued and taken in order.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_number: Vec<Option<Watched>>,
    doubts: Vec<Doubt>,
    removals: u64,
    /// The number of removals at the last moment when the queue was seen empty.
    clean_through: u64,
}

impl Sources {
    /// Whether signals of a former source of this number may be in the queue.
    pub(super) fn is_doubtful(&self, fd: RawFd) -> bool {
        self.doubts
            .get(index(fd))
            .is_some_and(|doubt| doubt.removal > self.clean_through)
    }

    /// Adds a source. `until_taken` is the number of signals taken at which the queue as it is now is used up.
    pub(super) fn insert(&mut self, fd: RawFd, key: Key, interest: Interest, until_taken: u64) {
        let doubted = self.is_doubtful(fd);
        let at = index(fd);
        if at >= self.by_number.len() {
            self.by_number.resize(at + 1, None);
            self.doubts.resize(at + 1, Doubt::default());
        }
        self.doubts[at].until_taken = until_taken;
        self.by_number[at] = Some(Watched { key, interest, doubted });
    }

    /// Replaces a source's interest.
    pub(super) fn change(&mut self, fd: RawFd, interest: Interest) {
        if let Some(watched) = self.by_number.get_mut(index(fd)).and_then(Option::as_mut) {
            watched.interest = interest;
        }
    }

    /// Removes a source; its number is doubtful from here on.
    pub(super) fn remove(&mut self, fd: RawFd) {
        self.removals += 1;
        let at = index(fd);
        if let Some(watched) = self.by_number.get_mut(at) {
            *watched = None;
            self.doubts[at].removal = self.removals;
        }
    }

    /// Notes that the queue is empty at this moment: no signal of a removed source is left.
    pub(super) fn seen_empty(&mut self) {
        self.clean_through = self.removals;
    }

    /// The source of this number, and whether a signal just taken is surely about it; `taken` signals were taken so far.
    #[inline]
    pub(super) fn find(&self, fd: RawFd, taken: u64) -> Option<(Watched, Trust)> {
        let fd = usize::try_from(fd).ok()?;
        let watched = (*self.by_number.get(fd)?)?;
        let suspect = watched.doubted && {
            let Doubt { removal, until_taken } = self.doubts[fd];
            removal > self.clean_through && taken <= until_taken
        };
        Some((watched, if suspect { Trust::Suspect } else { Trust::Certain }))
    }

    /// All numbers and sources.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RawFd, Watched)> {
        (0..)
            .zip(&self.by_number)
            .filter_map(|(fd, watched)| watched.map(|watched| (fd, watched)))
    }
}

fn index(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or_else(|_| unreachable!("an open descriptor has no negative number, as {fd} is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::from_bits(7);
    const OTHER: Key = Key::from_bits(1 << 32 | 7);

    fn trust(sources: &Sources, fd: RawFd, taken: u64) -> Option<(Key, Trust)> {
        sources.find(fd, taken).map(|(watched, trust)| (watched.key, trust))
    }

    #[test]
    fn a_number_that_had_no_source_is_trusted() {
        let mut sources = Sources::default();
        sources.insert(3, KEY, Interest::READABLE, 0);
        assert_eq!(trust(&sources, 3, 1), Some((KEY, Trust::Certain)));
        assert_eq!(trust(&sources, 4, 1), None);
        assert_eq!(trust(&sources, -1, 1), None);
    }

    #[test]
    fn a_reused_number_is_doubted_until_the_queue_was_seen_empty() {
        let mut sources = Sources::default();
        sources.insert(3, KEY, Interest::READABLE, 100);
        sources.remove(3);
        assert_eq!(trust(&sources, 3, 1), None);
        sources.insert(3, OTHER, Interest::READABLE, 100);
        assert_eq!(trust(&sources, 3, 1), Some((OTHER, Trust::Suspect)));
        sources.seen_empty();
        assert_eq!(trust(&sources, 3, 2), Some((OTHER, Trust::Certain)));
    }

    #[test]
    fn a_reused_number_is_trusted_when_the_queue_as_it_was_is_used_up() {
        let mut sources = Sources::default();
        sources.insert(3, KEY, Interest::READABLE, 8);
        sources.remove(3);
        sources.insert(3, OTHER, Interest::READABLE, 8);
        assert_eq!(trust(&sources, 3, 8), Some((OTHER, Trust::Suspect)));
        assert_eq!(trust(&sources, 3, 9), Some((OTHER, Trust::Certain)));
    }

    #[test]
    fn the_emptiness_before_a_removal_proves_nothing_about_it() {
        let mut sources = Sources::default();
        sources.insert(3, KEY, Interest::READABLE, 100);
        sources.seen_empty();
        sources.remove(3);
        assert!(sources.is_doubtful(3));
        assert!(!sources.is_doubtful(4));
    }
}
