//! The caller's buffer of events.

use crate::{Key, Readiness};

/// One source's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub key: Key,
    /// What holds, or held when the kernel noted it: an event is a hint, and the call that follows may still find
    /// nothing (`EAGAIN`).
    pub readiness: Readiness,
}

/// A batch of events: filled by [`next_events`](crate::InterestSet::next_events), emptied by
/// [`take`](crate::InterestSet::take). It is allocated once and belongs to the caller.
#[derive(Debug)]
pub struct Events {
    events: Vec<Event>,
    /// The next event to take.
    next: usize,
    capacity: usize,
    woken: bool,
}

impl Events {
    /// A buffer for at most `capacity` events a wait.
    ///
    /// # Panics
    /// When `capacity` is 0.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        assert!(capacity > 0, "a batch holds at least one event");
        Self {
            events: Vec::with_capacity(capacity),
            next: 0,
            capacity,
            woken: false,
        }
    }

    /// How many events a wait brings at most.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many events are left to take, stale ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.events.len() - self.next
    }

    /// Whether no event is left to take.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a [`Waker`](crate::Waker) ended the last wait or was called since the one before.
    #[must_use]
    pub const fn woken(&self) -> bool {
        self.woken
    }

    /// Forgets the last batch.
    pub(crate) fn start(&mut self) {
        self.events.clear();
        self.next = 0;
        self.woken = false;
    }

    /// How many more events the batch takes.
    pub(crate) const fn room(&self) -> usize {
        self.capacity - self.events.len()
    }

    /// Adds an event; one of the set's own wake-up channel only leaves its mark. The mechanism has seen to it that
    /// there is [`room`](Self::room); one event more is kept rather than lost.
    #[inline]
    pub(crate) fn push(&mut self, key: Key, readiness: Readiness) {
        if key == Key::WAKER {
            self.woken = true;
        } else {
            self.events.push(Event { key, readiness });
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.get(self.next).copied();
        self.next += usize::from(event.is_some());
        event
    }
}
