//! The caller's buffer of events.

use crate::{Key, Readiness};
use c10k_sys::epoll::Event as Found;

/// One source's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The source.
    pub key: Key,
    /// The conditions that held when the kernel noted the event. An event is a hint: the call that follows may still return
    /// `EAGAIN`.
    pub readiness: Readiness,
}

/// A batch of events: [`next_events`](crate::InterestSet::next_events) fills it, [`take`](crate::InterestSet::take) of the
/// same set empties it. The caller allocates it once and keeps it.
#[derive(Debug)]
pub struct Events {
    /// In epoll's form on every mechanism, so that epoll's kernel side writes directly into this buffer: the bits of
    /// `poll(2)` and the key. They become [`Readiness`] when they are taken.
    found: Vec<Found>,
    /// The next event to take.
    next: usize,
    capacity: usize,
    woken: bool,
    /// The number of the set that filled the batch.
    set: u64,
}

impl Events {
    /// A buffer for at most `capacity` events per wait.
    ///
    /// # Panics
    /// If `capacity` is 0.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        assert!(capacity > 0, "a batch holds at least one event");
        Self {
            found: Vec::with_capacity(capacity),
            next: 0,
            capacity,
            woken: false,
            set: 0,
        }
    }

    /// The most events that a wait returns.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of events that are left to take, stale ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.found.len() - self.next
    }

    /// Whether no event is left to take.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a [`Waker`](crate::Waker) ended the last wait, or was called between it and the wait before; for a
    /// [`SharedSet`](crate::SharedSet), whether its waits were [ended](crate::SharedSet::end_waits).
    #[must_use]
    pub const fn woken(&self) -> bool {
        self.woken
    }

    /// Gives up the events that are left. They are not reported again, except by a level trigger.
    pub fn clear(&mut self) {
        self.start(0);
    }

    /// Forgets the last batch. The next one is that of the set with this number.
    pub(crate) fn start(&mut self, set: u64) {
        self.set = set;
        self.found.clear();
        self.next = 0;
        self.woken = false;
    }

    /// Whether the set with this number filled the batch.
    #[inline]
    pub(crate) const fn is_of(&self, set: u64) -> bool {
        self.set == set
    }

    /// How many more events fit into the batch.
    pub(crate) const fn room(&self) -> usize {
        self.capacity - self.found.len()
    }

    /// Adds an event with the bits of `poll(2)`. The mechanism has checked that there is [`room`](Self::room); an event too
    /// many is kept.
    #[inline]
    pub(crate) fn push(&mut self, key: Key, bits: u16) {
        self.found.push(Found::new(u32::from(bits), key.to_bits()));
    }

    /// The buffer, for the kernel to write events with keys as user data into.
    #[inline]
    pub(crate) const fn found(&mut self) -> &mut Vec<Found> {
        &mut self.found
    }

    /// Removes the events of the set's own wake-up channel, and notes whether there were any.
    pub(crate) fn take_out_waker(&mut self) {
        let all = self.found.len();
        self.found.retain(|found| found.data() != Key::WAKER.to_bits());
        self.woken = self.found.len() < all;
    }

    /// Notes that the wait ended without the kernel, for a wake-up that lasts.
    pub(crate) fn note_wakeup(&mut self) {
        self.woken = true;
    }

    /// The next event: its key and the bits of `poll(2)`.
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
