//! The sources by descriptor number, and which numbers' signals are suspect.

use super::signalled::Room;
use crate::{Interest, Key, fd::index};
use std::os::fd::RawFd;

/// One watched source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) key: Key,
    pub(super) interest: Interest,
    /// Whether its signals were suspect when it was added; the number's [`FormerSource`] says until when.
    suspect: bool,
    room: Room,
}

/// What is known of a number's former source. Separate from [`Watched`], which is read for every signal.
#[derive(Clone, Copy, Debug, Default)]
struct FormerSource {
    /// The count of removals after the former source was removed: its signals may be in the queue.
    removal: u64,
    /// When this many signals have been taken, none of them can be left.
    until_taken: u64,
}

/// Whether a signal is about the present source of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Certain,
    /// It may have been queued for the number's former source.
    Suspect,
}

/// The sources by descriptor number.
///
/// Removals are counted. Signals are queued and taken in order, so a number's signals are suspect while its last removal is
/// later than the last moment at which the queue was empty.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_number: Vec<Option<Watched>>,
    former: Vec<FormerSource>,
    removals: u64,
    /// The count of removals at the last moment when the queue was empty.
    clean_through: u64,
}

impl Sources {
    /// Whether signals of a former source of this number may be in the queue.
    pub(super) fn is_suspect(&self, fd: RawFd) -> bool {
        self.former
            .get(index(fd))
            .is_some_and(|former| former.removal > self.clean_through)
    }

    /// Adds a source. When `until_taken` signals have been taken, no signal that is in the queue now is left.
    pub(super) fn insert(&mut self, fd: RawFd, key: Key, interest: Interest, until_taken: u64) {
        let suspect = self.is_suspect(fd);
        let at = index(fd);
        if at >= self.by_number.len() {
            self.by_number.resize(at + 1, None);
            self.former.resize(at + 1, FormerSource::default());
        }
        self.former[at].until_taken = until_taken;
        let room = Room::Always;
        self.by_number[at] = Some(Watched {
            key,
            interest,
            suspect,
            room,
        });
    }

    /// When the source of this number signals room.
    pub(super) fn room(&self, fd: RawFd) -> Room {
        let watched = self.by_number.get(index(fd)).copied().flatten();
        watched.map_or(Room::Always, |watched| watched.room)
    }

    pub(super) fn set_room(&mut self, fd: RawFd, room: Room) {
        if let Some(watched) = self.by_number.get_mut(index(fd)).and_then(Option::as_mut) {
            watched.room = room;
        }
    }

    /// Replaces a source's interest.
    pub(super) fn change(&mut self, fd: RawFd, interest: Interest) {
        if let Some(watched) = self.by_number.get_mut(index(fd)).and_then(Option::as_mut) {
            watched.interest = interest;
        }
    }

    /// Removes a source. Its number is suspect from here on.
    pub(super) fn remove(&mut self, fd: RawFd) {
        self.removals += 1;
        let at = index(fd);
        if let Some(watched) = self.by_number.get_mut(at) {
            *watched = None;
            self.former[at].removal = self.removals;
        }
    }

    /// Notes that the queue is empty: no signal of a removed source is left.
    pub(super) fn seen_empty(&mut self) {
        self.clean_through = self.removals;
    }

    /// The source of this number, and whether a signal just taken is certainly about it. `taken` signals were taken so far.
    #[inline]
    pub(super) fn find(&self, fd: RawFd, taken: u64) -> Option<(Watched, Trust)> {
        let fd = usize::try_from(fd).ok()?;
        let watched = (*self.by_number.get(fd)?)?;
        let suspect = watched.suspect && {
            let FormerSource { removal, until_taken } = self.former[fd];
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
    fn a_reused_number_is_suspect_until_the_queue_was_empty() {
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
    fn a_reused_number_is_trusted_after_as_many_signals_as_the_queue_held() {
        let mut sources = Sources::default();
        sources.insert(3, KEY, Interest::READABLE, 8);
        sources.remove(3);
        sources.insert(3, OTHER, Interest::READABLE, 8);
        assert_eq!(trust(&sources, 3, 8), Some((OTHER, Trust::Suspect)));
        assert_eq!(trust(&sources, 3, 9), Some((OTHER, Trust::Certain)));
    }

    #[test]
    fn an_empty_queue_before_a_removal_says_nothing_about_it() {
        let mut sources = Sources::default();
        sources.insert(3, KEY, Interest::READABLE, 100);
        sources.seen_empty();
        sources.remove(3);
        assert!(sources.is_suspect(3));
        assert!(!sources.is_suspect(4));
    }
}
