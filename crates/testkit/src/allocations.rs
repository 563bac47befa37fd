//! A counting allocator, for tests that assert the number of allocations.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system allocator with a counter of allocations. Use it as the `#[global_allocator]` of a test program.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

/// The number of allocations and reallocations of this thread so far, if [`Counting`] is the global allocator.
#[must_use]
pub fn of_this_thread() -> u64 {
    COUNT.with(Cell::get)
}

/// The bytes that this thread has allocated less those that it has freed, as they were asked for, if [`Counting`] is the global
/// allocator. Negative if it frees what other threads have allocated.
#[must_use]
pub fn bytes_of_this_thread() -> i64 {
    BYTES.with(Cell::get)
}

fn count(more: usize, less: usize) {
    // The counters have no destructor and no lazy initialisation, so this never allocates and works at any time in a
    // thread.
    COUNT.with(|count| count.set(count.get() + u64::from(more > 0)));
    // An allocation has at most isize::MAX bytes.
    BYTES.with(|bytes| bytes.set(bytes.get() + more as i64 - less as i64));
}

// SAFETY: every call is forwarded unchanged to the system allocator, which upholds the contract of the trait.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller upholds `alloc`'s contract, which is System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller guarantees that the pointer came from this allocator, that is from System, with this
        // layout.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as for `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
