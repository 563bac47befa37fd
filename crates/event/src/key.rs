//! Keys with generations.

/// Names one declared source of one set.
///
/// A key is the index of a slot and the slot's 32-bit generation. The generation changes when the source is withdrawn, so an
/// old key never names the slot's next source. A slot whose generations are used up is not used again. A key has no meaning
/// in another set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The set's own wake-up channel. No slot has this index.
    pub(crate) const WAKER: Self = Self {
        index: u32::MAX,
        generation: 0,
    };
    /// No source, in tables with an entry for every descriptor number. No slot has this index.
    pub(crate) const NONE: Self = Self {
        index: u32::MAX,
        generation: u32::MAX,
    };

    pub(crate) const fn at(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }

    /// The index of its slot. A later key may have the same one.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.index
    }

    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }

    /// The key as the 64 bits of user data that the kernel returns with an event.
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The key with these [bits](Self::to_bits).
    #[expect(clippy::cast_possible_truncation, reason = "a key is the two halves of the 64 bits")]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_bits() {
        for key in [
            Key::WAKER,
            Key {
                index: 0,
                generation: u32::MAX,
            },
            Key {
                index: 7,
                generation: 1 << 31,
            },
        ] {
            assert_eq!(Key::from_bits(key.to_bits()), key);
        }
    }
}
