//! What a mechanism tells about a source: [`Readiness`].

use crate::Interest;
use c10k_sys::poll::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP};
use std::{
    fmt,
    ops::{BitOr, BitOrAssign},
};

/// A set of conditions of a source.
///
/// Two are answers to an interest and mean what `select(2)` means by them, on every mechanism: *readable*, a read would
/// not block (data, end of stream, or an error to fetch), and *writable*, a write would not block (room, or an error to
/// fetch). A program that only reads on readable and writes on writable is therefore right on every mechanism. The
/// other bits say why, as far as the mechanism's kernel interface knows it; the table is in the crate's documentation.
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

    /// An error is pending: `SO_ERROR`, or the next call, tells which.
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

    /// The conditions that `poll(2)`'s result bits tell; epoll's and io_uring's have the same values.
    ///
    /// Errors make a source readable and writable, a hang-up makes it readable, as `select(2)` has it
    /// (`POLLIN_SET` and `POLLOUT_SET` in `fs/select.c`).
    #[must_use]
    #[inline]
    pub(crate) const fn from_poll(found: u16) -> Self {
        // What nearly all events say.
        if found == POLLIN {
            Self::READABLE
        } else {
            Self::from_any_poll(found)
        }
    }

    /// Apart, so that the loop around [`from_poll`](Self::from_poll) stays small.
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

    /// Without the answers to interests that are not `interest`: the reasons stay.
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

/// Something about a source that not every mechanism's kernel interface tells apart from "a read would not block".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The peer closed its writing half, ours is open: [`Readiness::READ_CLOSED`] alone.
    HalfClose,
    /// Both directions are closed: [`Readiness::READ_CLOSED`] and [`Readiness::WRITE_CLOSED`].
    FullClose,
    /// An error is pending: [`Readiness::ERROR`].
    Error,
    /// Out-of-band data: [`Readiness::PRIORITY`].
    Priority,
}

impl Fact {
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
    fn a_hang_up_closes_both_directions_and_does_not_block_a_read() {
        let readiness = Readiness::from_poll(POLLHUP);
        assert_eq!(
            readiness,
            Readiness::READABLE | Readiness::READ_CLOSED | Readiness::WRITE_CLOSED
        );
    }

    #[test]
    fn an_answer_to_an_interest_that_was_given_up_is_not_visible_but_its_reason_is() {
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
