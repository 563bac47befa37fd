//! What a program asks for: [`Interest`], [`Trigger`] and [`Watch`].

use std::{
    fmt,
    ops::{BitOr, BitOrAssign},
};

/// The conditions of a source that a program waits for: a set of [`READABLE`](Self::READABLE),
/// [`WRITABLE`](Self::WRITABLE) and [`PRIORITY`](Self::PRIORITY).
///
/// Errors and the closing of both directions are reported with every non-empty interest, the closing of the peer's
/// writing half with [`READABLE`](Self::READABLE) (on `io-uring-poll` with every non-empty interest, as the kernel has it),
/// if the mechanism reports them (the crate's documentation has a table).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// Nothing: the source stays in the set and no event of it is reported, not even an error, until
    /// [`modify`](crate::InterestSet::modify) sets another interest.
    pub const NONE: Self = Self(0);
    /// A read would not block: there is data, the end of the stream, or an error to fetch.
    pub const READABLE: Self = Self(1);
    /// A write would not block: there is room, or an error to fetch.
    pub const WRITABLE: Self = Self(1 << 1);
    /// Exceptional conditions: out-of-band data of TCP, a state change of a pseudo-terminal in packet mode.
    pub const PRIORITY: Self = Self(1 << 2);

    /// Whether all conditions of `other` are included.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no condition is included.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for Interest {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, "READABLE"),
            (Self::WRITABLE, "WRITABLE"),
            (Self::PRIORITY, "PRIORITY"),
        ];
        crate::bits::debug(formatter, "NONE", names.map(|(bit, name)| (self.contains(bit), name)))
    }
}

/// When a source's readiness is reported. A trigger means the same on every mechanism that offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// At every wait while the condition holds: the event is repeated until the source is drained.
    Level,
    /// Once for each change: new data, new room. The program must drain the source until `EAGAIN` (or until a short read,
    /// for sources where that means the same), otherwise the rest may never be reported. An edge may be reported more
    /// often than the condition changed, never less often.
    Edge,
    /// Once. After that nothing is reported until [`modify`](crate::InterestSet::modify) arms the source again; a condition
    /// that holds at that moment is reported at once.
    Oneshot,
}

impl Trigger {
    /// The name in lower case, as in tables and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Edge => "edge",
            Self::Oneshot => "oneshot",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Which sets one event wakes when several sets watch the same open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Wakeup {
    /// All of them.
    #[default]
    All,
    /// At least one of the sets that declared it exclusive, which avoids waking all of them for one connection:
    /// `EPOLLEXCLUSIVE`. Offered by `epoll-level` and `epoll-edge`, with [`Interest::READABLE`] and
    /// [`Interest::WRITABLE`] only. Such a source cannot be modified, and the closing of the peer's writing half is not
    /// reported.
    Exclusive,
}

/// Whether a declaration also returns the source's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum InitialState {
    /// It does not. A condition that holds at the declaration is reported as an event.
    #[default]
    AsEvent,
    /// It does, with one zero-timeout `ppoll`. The event is reported as well.
    Returned,
}

/// One declaration: which conditions of a source to report, when, and to which sets.
///
/// ```
/// use c10k_event::{Interest, Trigger, Watch};
/// let watch = Watch::new(Interest::READABLE, Trigger::Edge).returning_state();
/// assert_eq!(watch.interest(), Interest::READABLE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    interest: Interest,
    trigger: Trigger,
    wakeup: Wakeup,
    initial_state: InitialState,
}

impl Watch {
    /// A declaration with the defaults of [`Wakeup`] and [`InitialState`].
    #[must_use]
    pub const fn new(interest: Interest, trigger: Trigger) -> Self {
        Self {
            interest,
            trigger,
            wakeup: Wakeup::All,
            initial_state: InitialState::AsEvent,
        }
    }

    /// The same with [`Wakeup::Exclusive`].
    #[must_use]
    pub const fn exclusive(self) -> Self {
        Self {
            wakeup: Wakeup::Exclusive,
            ..self
        }
    }

    /// The same with [`InitialState::Returned`].
    #[must_use]
    pub const fn returning_state(self) -> Self {
        Self {
            initial_state: InitialState::Returned,
            ..self
        }
    }

    /// The conditions to report.
    #[must_use]
    pub const fn interest(&self) -> Interest {
        self.interest
    }

    /// When to report them.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Which sets to wake.
    #[must_use]
    pub const fn wakeup(&self) -> Wakeup {
        self.wakeup
    }

    /// Whether the declaration returns the state.
    #[must_use]
    pub const fn initial_state(&self) -> InitialState {
        self.initial_state
    }
}
