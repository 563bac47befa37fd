//! `pselect6` on bit maps of any size, so descriptors beyond `FD_SETSIZE` (1,024) can be watched.

use crate::{poll::errno, timeout};
use rustix::io::Result;
use std::{os::fd::RawFd, time::Duration};

const WORD_BITS: usize = u64::BITS as usize;

/// A set of descriptor numbers as the kernel's `fd_set`: a bit map that grows to the highest number.
#[derive(Clone, Debug, Default)]
pub struct FdBits {
    words: Vec<u64>,
}

impl FdBits {
    /// Adds a descriptor number, which must not be negative.
    pub fn insert(&mut self, fd: RawFd) {
        let (word, bit) = place(fd);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Removes a descriptor number.
    pub fn remove(&mut self, fd: RawFd) {
        let (word, bit) = place(fd);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether the map contains a descriptor number.
    #[must_use]
    pub fn contains(&self, fd: RawFd) -> bool {
        let (word, bit) = place(fd);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Clears the map and makes room for the numbers below `bound`.
    pub fn clear(&mut self, bound: usize) {
        self.words.clear();
        self.words.resize(bound.div_ceil(WORD_BITS), 0);
    }

    /// Removes the numbers from `end` on; the map keeps its length.
    pub fn truncate(&mut self, end: usize) {
        let (word, keep) = (end / WORD_BITS, (1_u64 << (end % WORD_BITS)) - 1);
        if let Some(last) = self.words.get_mut(word) {
            *last &= keep;
            self.words[word + 1..].fill(0);
        }
    }

    /// The map's words, the lowest descriptors first.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Copies the first `words` words of `other`, with zeros if `other` is shorter.
    pub fn copy_words(&mut self, other: &Self, words: usize) {
        let shared = words.min(other.words.len());
        self.words.clear();
        self.words.extend_from_slice(&other.words[..shared]);
        self.words.resize(words, 0);
    }
}

/// `pselect6(bound, read, write, except, timeout)`: leaves in each map only the descriptors that are ready, and
/// returns the number of bits set. `bound` is the highest watched descriptor plus one.
///
/// This uses the raw system call, because the `fd_set` of the C library ends at 1,024 descriptors.
///
/// # Errors
/// `EBADF` if a number is not an open descriptor (nothing is reported about the others); `EINTR`; `EINVAL`;
/// `ENOMEM`. See `select(2)`.
///
/// # Panics
/// If a map is shorter than `bound` bits.
pub fn select(
    bound: usize,
    read: &mut FdBits,
    write: &mut FdBits,
    except: &mut FdBits,
    timeout: Option<Duration>,
) -> Result<usize> {
    let words = bound.div_ceil(WORD_BITS);
    assert!(
        [&*read, &*write, &*except].iter().all(|map| map.words.len() >= words),
        "select: a bit map is shorter than the bound of {bound} descriptors"
    );
    let mut timeout = timeout.map(timeout::timespec);
    let timeout = timeout.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: each map is a live exclusive borrow of at least `bound` bits rounded up to words (asserted above), which
    // is what the kernel reads and writes; the timeout is null or a live timespec of ours that the kernel may update;
    // no signal mask is passed.
    let ready = unsafe {
        libc::syscall(
            libc::SYS_pselect6,
            bound,
            read.words.as_mut_ptr(),
            write.words.as_mut_ptr(),
            except.words.as_mut_ptr(),
            timeout,
            std::ptr::null::<libc::c_void>(),
        )
    };
    usize::try_from(ready).map_err(|_| errno())
}

fn place(fd: RawFd) -> (usize, u64) {
    let fd = usize::try_from(fd).unwrap_or_else(|_| panic!("select: {fd} is not a descriptor number"));
    (fd / WORD_BITS, 1 << (fd % WORD_BITS))
}
