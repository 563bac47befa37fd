//! A table that grows without moving what it holds, so that threads reach its values without a common lock.

use std::sync::OnceLock;

/// The number of values in the first chunk; each further chunk has twice as many as the one before.
const FIRST: u64 = 64;

/// So many chunks have a place for every index.
const CHUNKS: usize = 27;

/// A table of values that are made when their chunk is first used, and stay where they are until the table is dropped.
pub(crate) struct Chunks<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

impl<T: Default> Chunks<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// The value with this index; `None` if its chunk was never used.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, place) = place(index);
        self.chunks[chunk].get()?.get(place)
    }

    /// The value with this index. Makes its chunk if there is none.
    pub(crate) fn at(&self, index: u32) -> &T {
        let (chunk, place) = place(index);
        let values = self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| T::default()).collect());
        &values[place]
    }
}

/// The chunk of an index, and its place there.
#[expect(clippy::cast_possible_truncation, reason = "both are smaller than 2^32")]
const fn place(index: u32) -> (usize, usize) {
    let from_first = index as u64 + FIRST;
    let chunk = from_first.ilog2() - FIRST.ilog2();
    (chunk as usize, (from_first - (FIRST << chunk)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            assert_eq!(place(index), expected, "{index}");
            expected.1 += 1;
            if expected.1 == (FIRST as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(place(u32::MAX).0 < CHUNKS);
    }

    #[test]
    fn a_value_stays_where_it_is_while_the_table_grows() {
        let table = Chunks::<AtomicU32>::new();
        assert!(table.get(0).is_none() && table.get(u32::MAX).is_none());
        let first = table.at(3);
        first.store(7, Ordering::Relaxed);
        table.at(10_000).store(8, Ordering::Relaxed);
        assert!(std::ptr::eq(first, table.at(3)));
        let values = [3, 10_000, 10_001].map(|index| table.get(index).map(|value| value.load(Ordering::Relaxed)));
        assert_eq!(values, [Some(7), Some(8), Some(0)]);
        assert!(table.get(64).is_none(), "a chunk between the two was not needed");
    }
}
