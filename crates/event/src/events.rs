//! The caller's buffer of events.

use crate::{Key, Readiness};
use c10k_sys::epoll::Event as Found;

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
    /// In epoll's form, whatever the mechanism, since epoll's kernel side then writes right in here: the bits of `poll(2)`
    /// and the key. They become [`Readiness`] when they are taken.
    found: Vec<Found>,
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
            found: Vec::with_capacity(capacity),
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
        self.found.len() - self.next
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
        self.found.clear();
        self.next = 0;
        self.woken = false;
    }

    /// How many more events the batch takes.
    pub(crate) const fn room(&self) -> usize {
        self.capacity - self.found.len()
    }

    /// Adds an event: the bits of `poll(2)`. The mechanism has seen to it that there is [`room`](Self::room); one event more
    /// is kept rather than lost.
    #[inline]
    pub(crate) fn push(&mut self, key: Key, bits: u16) {
        self.found.push(Found::new(u32::from(bits), key.to_bits()));
    }

    /// The batch itself, for the kernel to write events into whose user data are keys.
    #[inline]
    pub(crate) const fn found(&mut self) -> &mut Vec<Found> {
        &mut self.found
    }

    /// Takes the events of the set's own wake-up channel out, and notes whether there were any.
    pub(crate) fn take_out_waker(&mut self) {
        let all = self.found.len();
        self.found.retain(|found| found.data() != Key::WAKER.to_bits());
        self.woken = self.found.len() < all;
    }

    /// The next event: whose, and the bits of `poll(2)`.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the high bits are the flags of epoll_ctl, never set in an event"
    )]
    pub(crate) fn pop(&mut self) -> Option<(Key, u16)> {
        let found = self.found.get(self.next)?;
        self.next += 1;
        Some((Key::from_bits(found.data()), found.bits() as u16))
    }
}
