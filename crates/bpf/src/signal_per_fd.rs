//! The compiled programs of signal-per-fd: at most one queued signal for each watched descriptor.
//!
//! `learn_owner` reports the address of a descriptor's `fown_struct`, which identifies the open file; `filter_signal`
//! counts the signals of watched files and drops all but the first. The constants here are the layout of the memory
//! that these programs share with user space; they repeat what `programs/signal_per_fd.bpf.c` declares.

use crate::{Attach, BpfError, Hook, Prepared};

/// Bytes of an ELF file, aligned as its parser needs them.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../programs/signal_per_fd.bpf.o"));

const HOOKS: [Hook; 2] = [
    Hook {
        program: "learn_owner",
        function: "security_file_set_fowner",
        attach: Attach::Entry,
    },
    Hook {
        program: "filter_signal",
        function: "security_file_send_sigiotask",
        attach: Attach::ModifyReturn,
    },
];

/// Name of the map with the words of [`control`].
pub const CONTROL_MAP: &str = ".bss";

/// Name of the map with the table of watched descriptors: [`slot::WORDS`] words for each slot.
pub const WATCHED_MAP: &str = "watched";

/// Words of [`CONTROL_MAP`]: what user space sets, and what `learn_owner` answers.
pub mod control {
    /// Set: the device number of the pid namespace that [`THREAD`] belongs to.
    pub const NAMESPACE_DEVICE: usize = 0;
    /// Set: the inode number of that namespace.
    pub const NAMESPACE_INODE: usize = 1;
    /// Set: the thread whose `F_SETOWN_EX` is observed, 0 for none.
    pub const THREAD: usize = 2;
    /// Set: the signal number that is filtered; all others pass.
    pub const SIGNAL: usize = 3;
    /// Set: 32 minus the number of bits of a slot's number.
    pub const SHIFT: usize = 4;
    /// Answer: the address of the `fown_struct`.
    pub const OWNER: usize = 5;
    /// Answer: the address of the thread's `task_struct`.
    pub const TASK: usize = 6;
}

/// One slot of [`WATCHED_MAP`]: its words, and the values of its first word that are not addresses.
pub mod slot {
    /// Words in a slot.
    pub const WORDS: usize = 3;
    /// The address of the `fown_struct` that is watched, or [`FREE`] or [`REMOVED`].
    pub const OWNER: usize = 0;
    /// The address of the `task_struct` that its signals are for.
    pub const TASK: usize = 1;
    /// The signals since user space last set this word to 0.
    pub const COUNT: usize = 2;
    /// Never used: a search ends here.
    pub const FREE: u64 = 0;
    /// No longer used: a search continues behind it.
    pub const REMOVED: u64 = 1;
}

/// Slots that a search looks at, from [`first_slot`] on. The table has as many slots more than `1 << bits`.
pub const PROBES: usize = 32;

/// The slot at which the search for an owner starts. `shift` is the word [`control::SHIFT`].
#[must_use]
#[inline]
pub fn first_slot(owner: u64, shift: u64) -> usize {
    const HASH: u32 = 0x9e37_79b1;
    ((owner as u32).wrapping_mul(HASH) >> shift) as usize
}

/// Prepares the programs for the running kernel. A table of `1 << bits` slots needs
/// [`attach`](Prepared::attach) with `(1 << bits) + PROBES` entries.
///
/// # Errors
/// [`BpfError`]: what can be refused before `bpf(2)` is called.
pub fn prepare() -> Result<Prepared, BpfError> {
    Prepared::new(&OBJECT.0, &HOOKS)
}
