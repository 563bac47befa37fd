//! The stacks of coroutines.

use std::fs;

use corosensei::stack::DefaultStack;

use crate::accept::Shortage;
use crate::stats::Calls;

/// The size of a stack, without its guard page: five times what the request path uses at most without optimisation (12.5
/// KB), and nearly three times what a panic with its backtrace uses. Tests measure both and allow half of it. The rest costs
/// address space only.
pub(super) const STACK_BYTES: usize = 64 * 1024;

/// Stacks of connections that have ended are kept for those that come, up to this number.
const MOST_SPARE: usize = 1024;

/// What a stack takes of the process's memory mappings (`vm.max_map_count`): itself, and its guard page.
const MAPPINGS_PER_STACK: usize = 2;

/// Mappings that are left to the rest of the process. At the limit, its allocations would fail too.
const SPARE_MAPPINGS: usize = 4000;

/// The kernel's own limit on mappings, if the process cannot read what it is.
const DEFAULT_MAX_MAP_COUNT: usize = 65_530;

/// Makes stacks, and keeps those that are not in use.
#[derive(Default)]
pub(super) struct StackPool {
    spare: Vec<DefaultStack>,
}

impl StackPool {
    /// Makes a stack, unless there is a spare one.
    pub(super) fn reserve(&mut self, calls: &mut Calls) -> Result<(), Shortage> {
        if self.spare.is_empty() {
            let stack = map(STACK_BYTES, calls)?;
            self.spare.push(stack);
        }
        Ok(())
    }

    pub(super) fn take(&mut self, calls: &mut Calls) -> Result<DefaultStack, Shortage> {
        match self.spare.pop() {
            Some(stack) => Ok(stack),
            None => map(STACK_BYTES, calls),
        }
    }

    /// Takes back a stack that is no longer in use.
    pub(super) fn give_back(&mut self, stack: DefaultStack, calls: &mut Calls) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(stack);
        } else {
            calls.munmap += 1;
        }
    }
}

/// Makes a stack of so many bytes, with a guard page.
fn map(bytes: usize, calls: &mut Calls) -> Result<DefaultStack, Shortage> {
    calls.mmap += 1;
    let stack = DefaultStack::new(bytes).map_err(|error| Shortage::Call("mmap", error))?;
    calls.mprotect += 1;
    Ok(stack)
}

/// Whether the process may have the memory mappings for the stacks of so many connections.
///
/// # Errors
/// Why not, and what to do about it.
pub(crate) fn check_mappings(connections: usize) -> Result<(), String> {
    // Without /proc the usual limit is assumed.
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok());
    fits(connections, limit.unwrap_or(DEFAULT_MAX_MAP_COUNT))
}

fn fits(connections: usize, limit: usize) -> Result<(), String> {
    let needed = connections
        .saturating_mul(MAPPINGS_PER_STACK)
        .saturating_add(SPARE_MAPPINGS);
    if needed <= limit {
        return Ok(());
    }
    let possible = limit.saturating_sub(SPARE_MAPPINGS) / MAPPINGS_PER_STACK;
    Err(format!(
        "{connections} stacks need {needed} memory mappings, and vm.max_map_count is {limit}: give --max-connections \
         {possible} or fewer, or raise the limit (sysctl vm.max_map_count={needed})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corosensei::stack::Stack;

    #[test]
    fn a_stack_takes_two_mappings_and_nobody_may_touch_the_page_below_it() {
        let stack = map(STACK_BYTES, &mut Calls::default()).expect("memory");
        let (bottom, top) = (stack.limit().get(), stack.base().get());
        let maps = fs::read_to_string("/proc/self/maps").expect("the mappings of this process");
        let mappings: Vec<(usize, usize, &str)> = maps
            .lines()
            .map(|line| {
                let (range, rest) = line.split_once(' ').expect("a range");
                let (from, to) = range.split_once('-').expect("two addresses");
                let address = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
                (address(from), address(to), &rest[..4])
            })
            .filter(|(from, to, _)| *from < top && *to > bottom)
            .collect();
        assert_eq!(mappings.len(), MAPPINGS_PER_STACK, "{mappings:x?}");
        let (guard_end, usable) = (mappings[0].1, top - mappings[1].0);
        assert_eq!((mappings[0].2, mappings[1].2), ("---p", "rw-p"));
        assert!(guard_end > bottom && usable >= STACK_BYTES, "{mappings:x?}");
    }

    #[test]
    fn stacks_are_used_again_and_those_beyond_the_spare_ones_are_returned() {
        let (mut pool, mut calls) = (StackPool::default(), Calls::default());
        let take = |pool: &mut StackPool, calls: &mut Calls| pool.take(calls).expect("memory");
        for _ in 0..10 {
            pool.reserve(&mut calls).expect("memory");
            let stack = take(&mut pool, &mut calls);
            pool.give_back(stack, &mut calls);
        }
        assert_eq!((calls.mmap, calls.mprotect, calls.munmap), (1, 1, 0));
        let stacks: Vec<DefaultStack> = (0..MOST_SPARE + 3).map(|_| take(&mut pool, &mut calls)).collect();
        stacks.into_iter().for_each(|stack| pool.give_back(stack, &mut calls));
        assert_eq!((calls.mmap, calls.munmap), (MOST_SPARE as u64 + 3, 3));
    }

    #[test]
    fn a_stack_for_which_there_is_no_memory_is_a_shortage() {
        let mut calls = Calls::default();
        let shortage = map(1 << 47, &mut calls).err().expect("more than the address space has");
        assert_eq!(
            shortage.to_string(),
            "mmap failed (Cannot allocate memory (os error 12))"
        );
        assert_eq!((calls.mmap, calls.mprotect), (1, 0));
    }

    #[test]
    fn more_connections_than_there_are_mappings_for_are_refused_with_what_is_possible() {
        assert_eq!(fits(30_000, DEFAULT_MAX_MAP_COUNT), Ok(()));
        let possible = (DEFAULT_MAX_MAP_COUNT - SPARE_MAPPINGS) / MAPPINGS_PER_STACK;
        assert_eq!(fits(possible, DEFAULT_MAX_MAP_COUNT), Ok(()));
        let reason = fits(possible + 1, DEFAULT_MAX_MAP_COUNT).expect_err("one too many");
        assert!(
            reason.contains(&format!("--max-connections {possible} or fewer")),
            "{reason}"
        );
        assert!(reason.contains("vm.max_map_count=65532"), "{reason}");
        assert_eq!(fits(100_000, 204_000), Ok(()));
    }
}
