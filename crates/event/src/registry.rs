//! Which slots and descriptor numbers of a shared set are in use.

use crate::{DeclareError, Key};
use std::os::fd::RawFd;

/// Which slots are in use.
#[derive(Default)]
pub(crate) struct Registry {
    free: Vec<u32>,
    /// The lowest index that was never used.
    next: u32,
    sources: usize,
    /// Which descriptor numbers are in the set.
    declared: Vec<bool>,
}

impl Registry {
    /// Takes a free index for a source with this descriptor number.
    pub(crate) fn reserve(&mut self, fd: RawFd) -> Result<u32, DeclareError> {
        let number = usize::try_from(fd).unwrap_or(0);
        if self.declared.get(number).copied().unwrap_or(false) {
            return Err(DeclareError::AlreadyDeclared { fd });
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.next < Key::WAKER.slot() => {
                self.next += 1;
                self.next - 1
            }
            None => return Err(DeclareError::Full),
        };
        if number >= self.declared.len() {
            self.declared.resize(number + 1, false);
        }
        self.declared[number] = true;
        self.sources += 1;
        Ok(index)
    }

    /// Forgets a source. `index` is free from here on; `None` if it has no generation left.
    pub(crate) fn release(&mut self, index: Option<u32>, fd: RawFd) {
        self.free.extend(index);
        self.sources -= 1;
        let declared = usize::try_from(fd).ok().and_then(|fd| self.declared.get_mut(fd));
        if let Some(declared) = declared {
            *declared = false;
        }
    }

    /// How many indices were ever used: the first ones.
    pub(crate) const fn used(&self) -> u32 {
        self.next
    }

    /// The number of sources.
    pub(crate) const fn sources(&self) -> usize {
        self.sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_used_again_and_a_descriptor_is_in_the_set_once() {
        let mut registry = Registry::default();
        assert_eq!([5, 3, 9].map(|fd| registry.reserve(fd)), [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(registry.reserve(3), Err(DeclareError::AlreadyDeclared { fd: 3 }));
        registry.release(Some(1), 3);
        assert_eq!((registry.sources(), registry.used()), (2, 3));
        assert_eq!(registry.reserve(3), Ok(1));
        // A slot without generations left is retired.
        registry.release(None, 5);
        assert_eq!(registry.reserve(5), Ok(3));
    }

    #[test]
    fn all_indices_but_those_with_a_meaning_can_be_used() {
        let mut registry = Registry {
            next: Key::WAKER.slot() - 1,
            ..Registry::default()
        };
        assert_eq!(registry.reserve(1), Ok(Key::WAKER.slot() - 1));
        assert_eq!(registry.reserve(2), Err(DeclareError::Full));
        assert_eq!(registry.sources(), 1);
    }
}
