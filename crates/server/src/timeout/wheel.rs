//! A timing wheel for deadlines that nearly always move before they pass.
//!
//! A connection has at most one entry in the wheel for each tick. Postponing its deadline is a store in the connection;
//! the wheel is not touched. An entry that comes up before its deadline is scheduled again.

use std::time::Duration;

use super::clock::{TICK, Tick};

const SLOTS: usize = 1024;

/// How many ticks a loop that handles events waits at most: a second. Then it reports what it has counted.
const LONGEST_WAIT: u32 = 16;

/// How many ticks a loop waits at most that had nothing to do after its last wait: 16 seconds. Every wait of `select` or
/// `poll` costs CPU for each connection, so a server that is not used should seldom wait anew. By then it sees a
/// [`Stop`](crate::Stop) even if no event reports it.
const LONGEST_IDLE_WAIT: u32 = 256;

/// The deadline of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// When it passes.
    pub(crate) at: Tick,
    /// The tick of its entry in the wheel; `Tick(0)` if it has none.
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

/// A table of connections that have deadlines.
pub(crate) trait Deadlined<K> {
    /// The deadline of a connection; `None` if it is gone.
    fn deadline(&mut self, key: K) -> Option<&mut Deadline>;
}

/// Entries of a key type `K`, by the tick at which they come up.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    slots: Vec<Vec<K>>,
    /// The last tick whose entries were collected.
    seen: Tick,
    entries: usize,
    /// Entries that came up, the last one first.
    due: Vec<(Tick, K)>,
}

impl<K: Copy> Wheel<K> {
    pub(crate) fn new() -> Wheel<K> {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            seen: Tick(0),
            entries: 0,
            due: Vec::new(),
        }
    }

    /// Makes `key` come up when `deadline` passes, or before.
    pub(crate) fn schedule(&mut self, key: K, deadline: &mut Deadline) {
        let tick = Tick(deadline.at.0.clamp(self.seen.0 + 1, self.seen.0 + SLOTS as u32 - 1));
        if deadline.scheduled != Tick(0) && deadline.scheduled <= tick {
            return;
        }
        deadline.scheduled = tick;
        self.slots[tick.0 as usize % SLOTS].push(key);
        self.entries += 1;
    }

    /// Collects the entries that come up until `now`, for [`next_passed`](Wheel::next_passed).
    pub(crate) fn advance(&mut self, now: Tick) {
        if self.entries == 0 {
            self.seen = now.max(self.seen);
        }
        if self.seen >= now {
            return;
        }
        while self.seen < now {
            self.seen.0 += 1;
            let tick = self.seen;
            let slot = std::mem::take(&mut self.slots[tick.0 as usize % SLOTS]);
            self.entries -= slot.len();
            self.due.extend(slot.into_iter().map(|key| (tick, key)));
        }
        self.due.reverse();
    }

    /// The next connection whose deadline has passed. Entries whose deadline was postponed are scheduled again.
    pub(crate) fn next_passed(&mut self, connections: &mut impl Deadlined<K>) -> Option<K> {
        while let Some((tick, key)) = self.due.pop() {
            let Some(deadline) = connections.deadline(key) else {
                continue;
            };
            // Otherwise another entry stands for this deadline.
            if deadline.scheduled != tick {
                continue;
            }
            deadline.scheduled = Tick(0);
            if deadline.at > self.seen {
                self.schedule(key, deadline);
                continue;
            }
            return Some(key);
        }
        None
    }

    /// How long a loop that handles events may wait. Entries that no longer stand for a deadline end the wait too.
    pub(crate) fn timeout(&self) -> Duration {
        let ahead = (1..LONGEST_WAIT)
            .find(|ahead| !self.slots[(self.seen.0 + ahead) as usize % SLOTS].is_empty())
            .unwrap_or(LONGEST_WAIT);
        TICK * ahead
    }

    /// How long a loop may wait that has nothing to do. Takes out the entries that no longer stand for a deadline.
    pub(crate) fn idle_timeout(&mut self, connections: &mut impl Deadlined<K>) -> Duration {
        let ahead = (1..LONGEST_IDLE_WAIT)
            .find(|ahead| self.has_deadline(Tick(self.seen.0 + ahead), connections))
            .unwrap_or(LONGEST_IDLE_WAIT);
        TICK * ahead
    }

    /// Whether a deadline passes at this tick. Entries before it that stand for no deadline, or for a later one, leave the
    /// slot.
    fn has_deadline(&mut self, tick: Tick, connections: &mut impl Deadlined<K>) -> bool {
        while let Some(&key) = self.slots[tick.0 as usize % SLOTS].last() {
            let deadline = connections.deadline(key).filter(|deadline| deadline.scheduled == tick);
            if deadline.as_ref().is_some_and(|deadline| deadline.at <= tick) {
                return true;
            }
            self.slots[tick.0 as usize % SLOTS].pop();
            self.entries -= 1;
            if let Some(deadline) = deadline {
                deadline.scheduled = Tick(0);
                self.schedule(key, deadline);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only connection, number 7.
    impl Deadlined<u32> for Deadline {
        fn deadline(&mut self, key: u32) -> Option<&mut Deadline> {
            (key == 7).then_some(self)
        }
    }

    fn deadline_at(tick: u32) -> Deadline {
        Deadline {
            at: Tick(tick),
            ..Deadline::default()
        }
    }

    fn passed(wheel: &mut Wheel<u32>, now: u32, deadline: &mut Deadline) -> Vec<u32> {
        wheel.advance(Tick(now));
        std::iter::from_fn(|| wheel.next_passed(deadline)).collect()
    }

    #[test]
    fn a_deadline_passes_at_its_tick_and_not_before() {
        let (mut wheel, mut deadline) = (Wheel::new(), deadline_at(5));
        wheel.schedule(7, &mut deadline);
        assert_eq!(wheel.timeout(), TICK * 5);
        assert_eq!(passed(&mut wheel, 4, &mut deadline), Vec::<u32>::new());
        assert_eq!(passed(&mut wheel, 9, &mut deadline), [7]);
    }

    #[test]
    fn a_deadline_that_was_postponed_is_scheduled_again_and_seldom() {
        let (mut wheel, mut deadline) = (Wheel::new(), deadline_at(5));
        wheel.schedule(7, &mut deadline);
        deadline.at = Tick(3000);
        wheel.schedule(7, &mut deadline);
        let mut came_up = 0;
        for now in 1..3000 {
            wheel.advance(Tick(now));
            came_up += wheel.due.len();
            assert_eq!(wheel.next_passed(&mut deadline), None);
        }
        assert!((1..6).contains(&came_up), "{came_up}");
        assert_eq!(passed(&mut wheel, 3000, &mut deadline), [7]);
    }

    #[test]
    fn a_deadline_that_was_brought_forward_passes_once() {
        let (mut wheel, mut deadline) = (Wheel::new(), deadline_at(50));
        wheel.schedule(7, &mut deadline);
        deadline.at = Tick(5);
        wheel.schedule(7, &mut deadline);
        assert_eq!(passed(&mut wheel, 5, &mut deadline), [7]);
        assert_eq!(passed(&mut wheel, 50, &mut deadline), Vec::<u32>::new());
    }

    #[test]
    fn a_connection_that_is_gone_does_not_come_up() {
        let (mut wheel, mut deadline) = (Wheel::new(), deadline_at(5));
        wheel.schedule(8, &mut deadline_at(5));
        assert_eq!(passed(&mut wheel, 9, &mut deadline), Vec::<u32>::new());
    }

    #[test]
    fn an_idle_loop_waits_until_the_next_deadline_and_no_entry_without_one_ends_its_wait() {
        let (mut wheel, mut deadline) = (Wheel::new(), deadline_at(5));
        wheel.schedule(7, &mut deadline);
        wheel.schedule(8, &mut deadline_at(9));
        deadline.at = Tick(100);
        assert_eq!(wheel.timeout(), TICK * 5);
        assert_eq!(wheel.idle_timeout(&mut deadline), TICK * 100);
        assert_eq!(wheel.entries, 1);
        assert_eq!(passed(&mut wheel, 99, &mut deadline), Vec::<u32>::new());
        assert_eq!(passed(&mut wheel, 100, &mut deadline), [7]);
        deadline.at = Tick(5000);
        wheel.schedule(7, &mut deadline);
        assert_eq!(wheel.idle_timeout(&mut deadline), TICK * LONGEST_IDLE_WAIT);
    }

    #[test]
    fn the_wheel_keeps_working_after_being_idle_for_longer_than_it_has_slots() {
        let (mut wheel, mut deadline) = (Wheel::new(), deadline_at(9005));
        assert_eq!(passed(&mut wheel, 9000, &mut deadline), Vec::<u32>::new());
        wheel.schedule(7, &mut deadline);
        assert_eq!(passed(&mut wheel, 9004, &mut deadline), Vec::<u32>::new());
        assert_eq!(passed(&mut wheel, 9005, &mut deadline), [7]);
    }
}
