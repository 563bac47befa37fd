//! A slab with generations.

use crate::Key;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// A table whose indices are reused and whose keys are not.
///
/// An interest set keeps its sources in one. It is public for programs that keep a table of connections next to a set, or
/// without one.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    occupied: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            occupied: 0,
        }
    }

    /// The key that the next [`insert`](Self::insert) or [`fill`](Self::fill) will use; `None` when all indices are in use.
    pub(crate) fn next_key(&self) -> Option<Key> {
        match self.free.last() {
            Some(&index) => Some(Key::at(index, self.slots[index as usize].generation)),
            None => {
                let index = u32::try_from(self.slots.len())
                    .ok()
                    .filter(|&index| index < Key::WAKER.slot())?;
                Some(Key::at(index, 0))
            }
        }
    }

    /// Puts a value into a free slot. `None` when all indices are in use.
    pub fn insert(&mut self, value: T) -> Option<Key> {
        let key = self.next_key()?;
        self.fill(key, value);
        Some(key)
    }

    /// Fills the slot that [`next_key`](Self::next_key) announced.
    pub(crate) fn fill(&mut self, key: Key, value: T) {
        if self.free.last() == Some(&key.slot()) {
            self.free.pop();
            self.slots[key.index()].value = Some(value);
        } else {
            debug_assert_eq!(key.index(), self.slots.len(), "fill takes the key that next_key gave");
            self.slots.push(Slot {
                generation: key.generation(),
                value: Some(value),
            });
        }
        self.occupied += 1;
    }

    /// The key of the value with this index, if there is one.
    #[inline]
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        let slot = self.slots.get(index as usize)?;
        slot.value.as_ref().map(|_| Key::at(index, slot.generation))
    }

    /// The value with this index, if there is one.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// The value of a key; `None` if the key is stale.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index())?;
        // A vacant slot already has the generation of its next tenant, which no key carries yet.
        if slot.generation == key.generation() {
            slot.value.as_ref()
        } else {
            None
        }
    }

    /// The value of a key; `None` if the key is stale.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation == key.generation() {
            slot.value.as_mut()
        } else {
            None
        }
    }

    /// The values of two keys; `None` if one is stale, or both are the same.
    #[inline]
    pub fn get_two_mut(&mut self, first: Key, second: Key) -> Option<(&mut T, &mut T)> {
        let [one, other] = self.slots.get_disjoint_mut([first.index(), second.index()]).ok()?;
        if (one.generation, other.generation) != (first.generation(), second.generation()) {
            return None;
        }
        one.value.as_mut().zip(other.value.as_mut())
    }

    /// Takes a value out; from here on its key is stale.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation != key.generation() {
            return None;
        }
        let value = slot.value.take()?;
        self.occupied -= 1;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(key.slot());
        }
        Some(value)
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.occupied
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// All values, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            slot.value
                .as_ref()
                .map(|value| (Key::at(index, slot.generation), value))
        })
    }

    /// All values, in the order of their indices.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        (0..).zip(&mut self.slots).filter_map(|(index, slot)| {
            let generation = slot.generation;
            slot.value.as_mut().map(|value| (Key::at(index, generation), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(slots: &mut Slab<u64>, source: u64) -> Key {
        slots.insert(source).expect("an index is free")
    }

    #[test]
    fn a_removed_key_never_names_the_next_tenant() {
        let mut slots = Slab::new();
        let first = insert(&mut slots, 1);
        assert_eq!(slots.remove(first), Some(1));
        assert!(slots.get(first).is_none());
        let second = insert(&mut slots, 2);
        assert_eq!(second.index(), first.index(), "the index is reused");
        assert_ne!(second, first);
        assert!(slots.get(first).is_none() && slots.get_mut(first).is_none() && slots.remove(first).is_none());
        assert_eq!(slots.get(second), Some(&2));
    }

    #[test]
    fn two_values_are_reached_at_once_unless_a_key_is_stale_or_both_are_one() {
        let mut slots = Slab::new();
        let [first, second, removed] = [1, 2, 3].map(|source| insert(&mut slots, source));
        slots.remove(removed);
        if let Some((one, other)) = slots.get_two_mut(second, first) {
            std::mem::swap(one, other);
        }
        assert_eq!((slots.get(first), slots.get(second)), (Some(&2), Some(&1)));
        for (one, other) in [(first, first), (first, removed), (removed, second)] {
            assert_eq!(slots.get_two_mut(one, other), None);
        }
        let next = insert(&mut slots, 4);
        assert_eq!(next.index(), removed.index());
        assert_eq!(slots.get_two_mut(first, removed), None);
        assert!(slots.get_two_mut(first, next).is_some());
    }

    #[test]
    fn a_slot_without_generations_left_is_retired() {
        let mut slots = Slab::new();
        let first = insert(&mut slots, 1);
        slots.slots[first.index()].generation = u32::MAX;
        let last = Key::at(first.slot(), u32::MAX);
        assert!(slots.remove(last).is_some());
        let next = insert(&mut slots, 2);
        assert_ne!(next.index(), first.index());
        assert!(slots.get(last).is_none());
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn slots_agree_with_a_map_over_many_random_steps() {
        let mut slots = Slab::new();
        let mut model = std::collections::BTreeMap::new();
        let mut dead = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for step in 0..if cfg!(miri) { 200 } else { 20_000 } {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 0 || model.is_empty() {
                let key = insert(&mut slots, step);
                assert!(model.insert(key, step).is_none(), "a key was given out twice");
            } else {
                let at = usize::try_from(state >> 33).expect("31 bits") % model.len();
                let key = *model.keys().nth(at).expect("in range");
                assert_eq!(slots.remove(key), model.remove(&key));
                dead.push(key);
            }
            assert_eq!(slots.len(), model.len());
        }
        assert!(dead.iter().all(|&key| slots.get(key).is_none()));
        let left: Vec<_> = slots.iter().map(|(key, entry)| (key, *entry)).collect();
        assert_eq!(left, model.into_iter().collect::<Vec<_>>());
    }
}
