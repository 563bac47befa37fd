//! The slots that keys name.

use crate::{Key, Watch};
use std::os::fd::RawFd;

/// A declared source and what the set knows about it.
pub(crate) struct Entry<S> {
    pub(crate) source: S,
    pub(crate) watch: Watch,
    /// The descriptor's number at the declaration.
    pub(crate) fd: RawFd,
}

struct Slot<S> {
    generation: u32,
    entry: Option<Entry<S>>,
}

/// The slots of a set. Indices are reused, keys are not.
pub(crate) struct Slots<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    occupied: usize,
}

impl<S> Slots<S> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            occupied: 0,
        }
    }

    /// The key that the next [`insert`](Self::insert) uses; `None` if all indices are in use.
    pub(crate) fn next_key(&self) -> Option<Key> {
        match self.free.last() {
            Some(&index) => Some(Key {
                index,
                generation: self.slots[index as usize].generation,
            }),
            None => {
                let index = u32::try_from(self.slots.len())
                    .ok()
                    .filter(|&index| index < Key::WAKER.index)?;
                Some(Key { index, generation: 0 })
            }
        }
    }

    /// Fills the slot of [`next_key`](Self::next_key).
    pub(crate) fn insert(&mut self, key: Key, entry: Entry<S>) {
        if self.free.last() == Some(&key.index) {
            self.free.pop();
            self.slots[key.index()].entry = Some(entry);
        } else {
            debug_assert_eq!(
                key.index(),
                self.slots.len(),
                "insert takes the key that next_key returned"
            );
            self.slots.push(Slot {
                generation: key.generation,
                entry: Some(entry),
            });
        }
        self.occupied += 1;
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Entry<S>> {
        let slot = self.slots.get(key.index())?;
        // A vacant slot has the generation of its next source, which no key has yet.
        if slot.generation == key.generation {
            slot.entry.as_ref()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Entry<S>> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation == key.generation {
            slot.entry.as_mut()
        } else {
            None
        }
    }

    /// Empties a slot. Its key is stale from here on.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Entry<S>> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation != key.generation {
            return None;
        }
        let entry = slot.entry.take()?;
        self.occupied -= 1;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(key.index);
        }
        Some(entry)
    }

    pub(crate) const fn len(&self) -> usize {
        self.occupied
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Entry<S>)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            slot.entry.as_ref().map(|entry| {
                (
                    Key {
                        index,
                        generation: slot.generation,
                    },
                    entry,
                )
            })
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut Entry<S>)> {
        (0..).zip(&mut self.slots).filter_map(|(index, slot)| {
            let generation = slot.generation;
            slot.entry.as_mut().map(|entry| (Key { index, generation }, entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interest, Trigger};

    fn entry(source: u64) -> Entry<u64> {
        Entry {
            source,
            watch: Watch::new(Interest::READABLE, Trigger::Level),
            fd: -1,
        }
    }

    fn insert(slots: &mut Slots<u64>, source: u64) -> Key {
        let key = slots.next_key().expect("an index is free");
        slots.insert(key, entry(source));
        key
    }

    #[test]
    fn a_removed_key_never_names_the_next_source() {
        let mut slots = Slots::new();
        let first = insert(&mut slots, 1);
        assert_eq!(slots.remove(first).map(|entry| entry.source), Some(1));
        assert!(slots.get(first).is_none());
        let second = insert(&mut slots, 2);
        assert_eq!(second.index(), first.index(), "the index is reused");
        assert_ne!(second, first);
        assert!(slots.get(first).is_none() && slots.get_mut(first).is_none() && slots.remove(first).is_none());
        assert_eq!(slots.get(second).map(|entry| entry.source), Some(2));
    }

    #[test]
    fn a_slot_without_generations_left_is_not_used_again() {
        let mut slots = Slots::new();
        let first = insert(&mut slots, 1);
        slots.slots[first.index()].generation = u32::MAX;
        let last = Key {
            generation: u32::MAX,
            ..first
        };
        assert!(slots.remove(last).is_some());
        let next = insert(&mut slots, 2);
        assert_ne!(next.index(), first.index());
        assert!(slots.get(last).is_none());
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn slots_behave_like_a_map_over_many_random_steps() {
        let mut slots = Slots::new();
        let mut model = std::collections::BTreeMap::new();
        let mut dead = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for step in 0..if cfg!(miri) { 200 } else { 20_000 } {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 0 || model.is_empty() {
                let key = insert(&mut slots, step);
                assert!(model.insert(key, step).is_none(), "a key was issued twice");
            } else {
                let at = usize::try_from(state >> 33).expect("31 bits") % model.len();
                let key = *model.keys().nth(at).expect("in range");
                assert_eq!(slots.remove(key).map(|entry| entry.source), model.remove(&key));
                dead.push(key);
            }
            assert_eq!(slots.len(), model.len());
        }
        assert!(dead.iter().all(|&key| slots.get(key).is_none()));
        let left: Vec<_> = slots.iter().map(|(key, entry)| (key, entry.source)).collect();
        assert_eq!(left, model.into_iter().collect::<Vec<_>>());
    }
}
