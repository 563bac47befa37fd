//! A timing wheel for deadlines that nearly always move before they pass.
//!
//! A connection stands in the wheel at most once for each tick; moving its deadline back costs a store in the
//! connection, and nothing here. When its entry comes up too early, it is put in again.

use std::time::Duration;

use crate::clock::{TICK, Tick};

const SLOTS: usize = 1024;

/// How far ahead [`Wheel::timeout`] looks: a loop wakes at least this often, which is what bounds the time until it
/// sees a [`Stop`](crate::Stop) that no event told.
const LOOK_AHEAD: u32 = 16;

/// What one connection remembers of its deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// When it passes.
    pub(crate) at: Tick,
    /// Where its entry stands in the wheel; `Tick(0)` where it has none.
    scheduled: Tick,
}

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline {
            at: Tick(u32::MAX),
            scheduled: Tick(0),
        }
    }
}

/// What to do with an entry that came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The deadline has passed.
    Passed,
    /// The deadline was moved: the entry was put in again, or another one stands for it.
    Later,
}

/// Entries of a key type `K`, by the tick at which they come up.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    slots: Vec<Vec<K>>,
    /// The last tick that was looked at.
    seen: Tick,
    entries: usize,
}

impl<K: Copy> Wheel<K> {
    pub(crate) fn new() -> Wheel<K> {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            seen: Tick(0),
            entries: 0,
        }
    }

    /// Sees to it that `key` comes up when `deadline` passes, or before.
    pub(crate) fn schedule(&mut self, key: K, deadline: &mut Deadline) {
        let tick = Tick(deadline.at.0.clamp(self.seen.0 + 1, self.seen.0 + SLOTS as u32 - 1));
        if deadline.scheduled != Tick(0) && deadline.scheduled <= tick {
            return;
        }
        deadline.scheduled = tick;
        self.slots[tick.0 as usize % SLOTS].push(key);
        self.entries += 1;
    }

    /// The entries that come up until `now`, each with its tick.
    pub(crate) fn take_due(&mut self, now: Tick, due: &mut Vec<(Tick, K)>) {
        if self.entries == 0 {
            self.seen = now.max(self.seen);
        }
        while self.seen < now {
            self.seen.0 += 1;
            let tick = self.seen;
            let slot = std::mem::take(&mut self.slots[tick.0 as usize % SLOTS]);
            self.entries -= slot.len();
            due.extend(slot.into_iter().map(|key| (tick, key)));
        }
    }

    /// Judges an entry that came up at `tick`.
    pub(crate) fn judge(&mut self, tick: Tick, key: K, deadline: &mut Deadline) -> Due {
        if deadline.scheduled != tick {
            return Due::Later;
        }
        deadline.scheduled = Tick(0);
        if deadline.at > self.seen {
            self.schedule(key, deadline);
            return Due::Later;
        }
        Due::Passed
    }

    /// How long a wait may last.
    pub(crate) fn timeout(&self) -> Duration {
        let ahead = (1..LOOK_AHEAD)
            .find(|ahead| !self.slots[(self.seen.0 + ahead) as usize % SLOTS].is_empty())
            .unwrap_or(LOOK_AHEAD);
        TICK * ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, now: u32) -> Vec<(Tick, u32)> {
        let mut due = Vec::new();
        wheel.take_due(Tick(now), &mut due);
        due
    }

    #[test]
    fn an_entry_comes_up_at_its_tick_and_passes() {
        let mut wheel = Wheel::new();
        let mut deadline = Deadline {
            at: Tick(5),
            ..Deadline::default()
        };
        wheel.schedule(7, &mut deadline);
        assert_eq!(wheel.timeout(), TICK * 5);
        assert_eq!(due(&mut wheel, 4), []);
        assert_eq!(due(&mut wheel, 9), [(Tick(5), 7)]);
        assert_eq!(wheel.judge(Tick(5), 7, &mut deadline), Due::Passed);
    }

    #[test]
    fn a_deadline_that_moved_back_is_put_in_again() {
        let mut wheel = Wheel::new();
        let mut deadline = Deadline {
            at: Tick(5),
            ..Deadline::default()
        };
        wheel.schedule(7, &mut deadline);
        deadline.at = Tick(3000);
        wheel.schedule(7, &mut deadline);
        let mut came_up = 0;
        for now in 1..3000 {
            for (tick, key) in due(&mut wheel, now) {
                assert_eq!(wheel.judge(tick, key, &mut deadline), Due::Later);
                came_up += 1;
            }
        }
        assert!((1..6).contains(&came_up), "{came_up}");
        assert_eq!(due(&mut wheel, 3000), [(Tick(3000), 7)]);
    }

    #[test]
    fn a_deadline_that_moved_forward_passes_once() {
        let mut wheel = Wheel::new();
        let mut deadline = Deadline {
            at: Tick(50),
            ..Deadline::default()
        };
        wheel.schedule(7, &mut deadline);
        deadline.at = Tick(5);
        wheel.schedule(7, &mut deadline);
        assert_eq!(due(&mut wheel, 5), [(Tick(5), 7)]);
        assert_eq!(wheel.judge(Tick(5), 7, &mut deadline), Due::Passed);
        assert_eq!(due(&mut wheel, 50), [(Tick(50), 7)]);
        assert_eq!(wheel.judge(Tick(50), 7, &mut deadline), Due::Later);
    }
}
