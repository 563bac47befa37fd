//! What a program asks for: [`Interest`], [`Trigger`] and [`Watch`].

use std::{
    fmt,
    ops::{BitOr, BitOrAssign},
};

/// What a program wants to be told about a source: a set of [`READABLE`](Self::READABLE),
/// [`WRITABLE`](Self::WRITABLE) and [`PRIORITY`](Self::PRIORITY).
///
/// Errors and the closing of both directions are reported with every non-empty interest, the closing of the peer's
/// writing half with [`READABLE`](Self::READABLE), as far as the mechanism can tell them (the table is in the crate's
/// documentation).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// Nothing: the source stays in the set and is silent on every mechanism, even about errors, until
    /// [`modify`](crate::InterestSet::modify) asks for something again.
    pub const NONE: Self = Self(0);
    /// A read would not block: there is data, the end of the stream, or an error to fetch.
    pub const READABLE: Self = Self(1);
    /// A write would not block: there is room, or an error to fetch.
    pub const WRITABLE: Self = Self(1 << 1);
    /// Exceptional conditions: out-of-band data of TCP, a state change of a pseudo-terminal in packet mode.
    pub const PRIORITY: Self = Self(1 << 2);

    /// Whether all of `other` is asked for.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is asked for.
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

/// When a source's readiness is told; a contract that means the same on every mechanism that offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// At every wait, as long as the condition holds: the event comes again until the source is drained.
    Level,
    /// Once for each change: new data, new room. The program drains the source until `EAGAIN` (or until a short read,
    /// where it knows that one means the same), or it may never hear of what it left. An edge may come more often than
    /// the condition changed, never less.
    Edge,
    /// Once; then the source is silent until [`modify`](crate::InterestSet::modify) arms it again, and a condition
    /// that holds at that moment is told at once.
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

/// Which of several sets that watch the same open file are woken by one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Wakeup {
    /// All of them.
    #[default]
    All,
    /// At least one of those that asked for this, which avoids waking a herd for one connection: `EPOLLEXCLUSIVE`.
    /// Offered by `epoll-level` and `epoll-edge`, with [`Interest::READABLE`] and [`Interest::WRITABLE`] only; such a
    /// source cannot be modified, and the closing of the peer's writing half is not told apart.
    Exclusive,
}

/// Whether a declaration also answers with the source's state at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum InitialState {
    /// It does not; a state that holds at the declaration still comes as an event.
    #[default]
    AsEvent,
    /// It does, at the price of one zero-timeout `ppoll`; the event comes as well.
    Returned,
}

/// One declaration: what to tell about a source, when, and how.
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

    /// What is asked for.
    #[must_use]
    pub const fn interest(&self) -> Interest {
        self.interest
    }

    /// When it is told.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Who is woken.
    #[must_use]
    pub const fn wakeup(&self) -> Wakeup {
        self.wakeup
    }

    /// Whether the declaration answers with the state.
    #[must_use]
    pub const fn initial_state(&self) -> InitialState {
        self.initial_state
    }
}
