//! What a mechanism reports about a source: [`Readiness`].

use crate::Interest;
use c10k_sys::poll::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP};
use std::{
    fmt,
    ops::{BitOr, BitOrAssign},
};

/// A set of conditions of a source.
///
/// *Readable* and *writable* mean the same as with `select(2)`, on every mechanism: a read would not block (data, end of
/// stream, or an error to fetch), or a write would not block (room, or an error to fetch). A program that reads on readable
/// and writes on writable is therefore correct on every mechanism. The other bits give the reason, if the kernel interface
/// of the mechanism provides it; the crate's documentation has a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// No condition.
    pub const NONE: Self = Self(0);
    /// A read would not block.
    pub const READABLE: Self = Self(1);
    /// A write would not block.
    pub const WRITABLE: Self = Self(1 << 1);
    /// An exceptional condition, for instance out-of-band data.
    pub const PRIORITY: Self = Self(1 << 2);
    /// The peer will send nothing more.
    pub const READ_CLOSED: Self = Self(1 << 3);
    /// Nothing more can be sent.
    pub const WRITE_CLOSED: Self = Self(1 << 4);
    /// An error is pending; for the writing end of a pipe: no reader is left.
    pub const ERROR: Self = Self(1 << 5);

    const NAMED: [(Self, &'static str); 6] = [
        (Self::READABLE, "READABLE"),
        (Self::WRITABLE, "WRITABLE"),
        (Self::PRIORITY, "PRIORITY"),
        (Self::READ_CLOSED, "READ_CLOSED"),
        (Self::WRITE_CLOSED, "WRITE_CLOSED"),
        (Self::ERROR, "ERROR"),
    ];

    /// A read would not block: there is data, the end of the stream, or an error to fetch.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.contains(Self::READABLE)
    }

    /// A write would not block: there is room, or an error to fetch.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.contains(Self::WRITABLE)
    }

    /// There is an exceptional condition, for instance out-of-band data.
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.contains(Self::PRIORITY)
    }

    /// The peer will send nothing more; data that it sent before may still be there to read.
    #[must_use]
    pub const fn is_read_closed(self) -> bool {
        self.contains(Self::READ_CLOSED)
    }

    /// Nothing more can be sent: both directions are closed.
    #[must_use]
    pub const fn is_write_closed(self) -> bool {
        self.contains(Self::WRITE_CLOSED)
    }

    /// An error is pending: `SO_ERROR` or the next call returns it.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.contains(Self::ERROR)
    }

    /// Whether no condition is set.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the conditions that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED
            .into_iter()
            .filter(move |(bit, _)| self.contains(*bit))
            .map(|(_, name)| name)
    }

    /// The conditions of `poll(2)`'s result bits; those of epoll and io_uring have the same values.
    ///
    /// Errors make a source readable and writable, and a hang-up makes it readable, as with `select(2)` (`POLLIN_SET` and
    /// `POLLOUT_SET` in `fs/select.c`).
    #[must_use]
    #[inline]
    pub(crate) const fn from_poll(found: u16) -> Self {
        // Nearly all events are this one.
        if found == POLLIN {
            Self::READABLE
        } else {
            Self::from_any_poll(found)
        }
    }

    /// Out of line, so that the loop around [`from_poll`](Self::from_poll) stays small.
    #[inline(never)]
    const fn from_any_poll(found: u16) -> Self {
        let mut bits = 0;
        if found & (POLLIN | POLLHUP | POLLERR | POLLNVAL | POLLRDHUP) != 0 {
            bits |= Self::READABLE.0;
        }
        if found & (POLLOUT | POLLERR | POLLNVAL) != 0 {
            bits |= Self::WRITABLE.0;
        }
        if found & POLLPRI != 0 {
            bits |= Self::PRIORITY.0;
        }
        if found & (POLLRDHUP | POLLHUP) != 0 {
            bits |= Self::READ_CLOSED.0;
        }
        if found & POLLHUP != 0 {
            bits |= Self::WRITE_CLOSED.0;
        }
        if found & (POLLERR | POLLNVAL) != 0 {
            bits |= Self::ERROR.0;
        }
        Self(bits)
    }

    /// The conditions that a source with this interest sees: readable, writable and priority only if asked for, the reasons
    /// always.
    #[must_use]
    #[inline]
    pub(crate) const fn visible_to(self, interest: Interest) -> Self {
        const REASONS: u8 = Readiness::READ_CLOSED.0 | Readiness::WRITE_CLOSED.0 | Readiness::ERROR.0;
        if interest.is_none() {
            Self::NONE
        } else {
            Self(self.0 & (interest.bits() | REASONS))
        }
    }
}

/// A reason for readiness that some mechanisms report and others do not distinguish from "a read would not block".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadinessDetail {
    /// The peer closed its writing half and ours is open: [`Readiness::READ_CLOSED`] alone.
    HalfClose,
    /// Both directions are closed: [`Readiness::READ_CLOSED`] and [`Readiness::WRITE_CLOSED`].
    FullClose,
    /// An error is pending: [`Readiness::ERROR`].
    Error,
    /// Out-of-band data: [`Readiness::PRIORITY`].
    Priority,
}

impl ReadinessDetail {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::HalfClose, Self::FullClose, Self::Error, Self::Priority];

    /// The name, as in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HalfClose => "half-close",
            Self::FullClose => "full close",
            Self::Error => "error",
            Self::Priority => "priority",
        }
    }
}

/// The bits of `poll(2)` that ask for `interest`.
#[must_use]
pub(crate) const fn poll_bits(interest: Interest) -> u16 {
    let mut bits = 0;
    if interest.contains(Interest::READABLE) {
        bits |= POLLIN | POLLRDHUP;
    }
    if interest.contains(Interest::WRITABLE) {
        bits |= POLLOUT;
    }
    if interest.contains(Interest::PRIORITY) {
        bits |= POLLPRI;
    }
    bits
}

impl BitOr for Readiness {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::bits::debug(
            formatter,
            "NONE",
            Self::NAMED.map(|(bit, name)| (self.contains(bit), name)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_closes_both_directions_and_makes_the_source_readable() {
        let readiness = Readiness::from_poll(POLLHUP);
        assert_eq!(
            readiness,
            Readiness::READABLE | Readiness::READ_CLOSED | Readiness::WRITE_CLOSED
        );
    }

    #[test]
    fn a_condition_outside_the_interest_is_not_visible_but_its_reason_is() {
        let readiness = Readiness::from_poll(POLLIN | POLLRDHUP);
        assert_eq!(readiness.visible_to(Interest::WRITABLE), Readiness::READ_CLOSED);
        assert_eq!(readiness.visible_to(Interest::NONE), Readiness::NONE);
    }

    #[test]
    fn bit_sets_print_their_names() {
        assert_eq!(
            format!("{:?}", Readiness::READABLE | Readiness::ERROR),
            "READABLE|ERROR"
        );
        assert_eq!(format!("{:?}", Interest::NONE), "NONE");
    }
}
