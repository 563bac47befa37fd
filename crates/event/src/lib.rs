//! Every Linux event mechanism behind one safe interest-set API.
//!
//! A program declares its *interest set* incrementally and fetches pending events in batches. The set owns the sources
//! that it watches, so no source can be closed while the kernel still watches it. The caller's code needs no `unsafe` and
//! no raw descriptors.
//!
//! ```
//! use c10k_event::{Events, Interest, InterestSet, Mechanism};
//! use std::{io::Write, os::unix::net::UnixStream};
//!
//! # fn main() -> std::io::Result<()> {
//! let mechanism = Mechanism::named("epoll-edge")?;
//! let mut set = InterestSet::open(mechanism)?;
//! let (mut ours, theirs) = UnixStream::pair()?;
//! theirs.set_nonblocking(true)?;
//! let key = set.declare(theirs, Interest::READABLE, mechanism.default_trigger())?;
//! ours.write_all(b"hello")?;
//!
//! let mut events = Events::with_capacity(256);
//! set.next_events(&mut events, None)?;
//! while let Some(event) = set.take(&mut events) {
//!     assert_eq!(event.key, key);
//!     assert!(event.readiness.is_readable());
//!     // read from set[event.key] until it would block
//! }
//! let theirs = set.withdraw(key)?;
//! # drop(theirs);
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! **Names.** [`declare`](InterestSet::declare) is `declare_interest`, and [`next_events`](InterestSet::next_events) is
//! `get_next_event`, in batches, of Banga, Mogul and Druschel, *A Scalable and Explicit Event Delivery Mechanism for UNIX*
//! (USENIX 1999). Chandra and Mosberger, *Scalability of Linux Event-Dispatch Mechanisms* (USENIX 2001), compare Linux's
//! mechanisms with that interface. `declare_interest` has a race: a condition that became true before the declaration is
//! not a change and would never be reported. Here a condition that holds at a declaration is reported by the waits that
//! follow, on every mechanism. With [`Watch::returning_state`] the declaration also returns the state, as theirs did.
//!
//! **Sources do not block.** A source must have `O_NONBLOCK` set, because an event is a hint. A debug build panics if one has
//! not; epoll descriptors are exempt.
//!
//! **Events are hints.** An event says what held when the kernel noted it. The call that follows may still return
//! `EAGAIN`: another thread may have been faster, a datagram's checksum may be wrong, an edge may be reported twice. The
//! source of an event is never wrong: a [`Key`] has a generation, and an event of a source that was withdrawn (a queued
//! signal, a completion, the rest of the batch) is dropped and counted.
//!
//! **Triggers.** [`Trigger::Level`] reports a condition at every wait while it holds. [`Trigger::Edge`] reports a change
//! once: drain the source until `EAGAIN`, or the rest may never be reported. [`Trigger::Oneshot`] reports once and is then
//! silent until [`modify`](InterestSet::modify). A trigger means the same on every mechanism that offers it; a declaration
//! with one that the mechanism does not offer fails with [`Unsupported::Trigger`]. Nothing is approximated. A program that
//! drains its sources at each event, and modifies a source after each oneshot event, is correct with all of them. The
//! signal mechanisms report what the kernel signals, and refuse what it does not; [a table](#what-signals-report) has both.
//!
//! **Readiness.** *Readable* and *writable* mean that the call would not block, as with `select(2)`: the end of a stream
//! and a pending error make a source readable. The reasons ([`Readiness::READ_CLOSED`], [`Readiness::WRITE_CLOSED`],
//! [`Readiness::ERROR`], [`Readiness::PRIORITY`]) are reported if the mechanism's kernel interface provides them; the
//! column [`reports`](Descriptor::reports) of each row says which:
//!
//! | mechanism | half-close | full close | error | priority |
//! |---|---|---|---|---|
//! | `select` | no | no | no | yes |
//! | `rt-signal`, `rt-signal-batch` | no | [by file](#what-signals-report) | [by file](#what-signals-report) | yes |
//! | `signal-per-fd` | no | no: a merged signal has the first reason only | no | yes |
//! | all others | yes | yes | yes | yes |
//!
//! **Batches.** A batch belongs to the set that filled it. Another set takes no event from it, and fills it only when it is
//! empty ([`WaitError::OtherSet`]).
//!
//! **Fairness.** If more sources are ready than the batch holds, the waits that follow report the rest, and no source is
//! reported twice before each was reported once.
//!
//! **Withdrawing.** When [`withdraw`](InterestSet::withdraw) returns, the kernel no longer watches the source, and the
//! caller has it back, open. Dropping the set closes its sources. A descriptor can be in a set only once. Replacing the
//! descriptor inside a source through [`get_mut`](InterestSet::get_mut) is a mistake; the set detects it if the number
//! changed.
//!
//! **Files.** Regular files, directories, block devices and devices without `poll` have no readiness to wait for. Every
//! mechanism refuses them ([`Unsupported::FileWithoutReadiness`]), and refuses exactly the files that epoll refuses; `aio-poll`
//! and the signal mechanisms refuse more ([`Unsupported::FileWithSeveralQueues`], [table](#what-signals-report)). A
//! descriptor that was opened with `O_PATH` only names a file ([`Unsupported::PathOnly`]). An epoll descriptor can be declared
//! like any file; the kernel allows five levels on the epoll mechanisms and `dev-poll` (`ELOOP`).
//!
//! **Time.** Timeouts have a resolution of one nanosecond. A wait reports what changed before it; on `aio-poll` a thread of the
//! kernel reports some changes, such as a half-close, a moment later, which a zero timeout may miss. An interrupted wait is repeated with the rest of its timeout;
//! the caller never sees `EINTR`.
//!
//! **Threads and processes.** A set may be moved to another thread. Mechanisms that the kernel ties to the opening thread
//! ([`Threading::Opener`]) fail in another one with [`WrongContext::Thread`]. A [`Waker`] wakes a set from any thread. In a
//! forked child, the sets and the wakers of the parent fail with [`WrongContext::Process`], and dropping them does not affect
//! the parent. On mechanisms with [`Threading::Concurrent`] several threads can wait for one set at once, a [`SharedSet`].
//!
//! **Signals.** A set with a [signal queue](Mechanism::signal_queue) blocks one real-time signal and `SIGIO` in the thread that opened
//! it, and takes them. While it watches a file, the file has that thread as its owner (`F_SETOWN_EX`), which also gets `SIGURG`. A
//! withdrawal restores the file's owner and signal. When the last set of a thread is dropped, nothing is left in the queue, and the
//! thread's mask and the process's limit ([`Options::signal_queue`]) are as before. A set cannot undo this:
//!
//! - Threads and child processes that are started while it is open inherit the mask and the limit;
//!   [`InheritedSignals`] restores both there.
//! - If a set is dropped in another thread, its signals stay blocked until the opening thread opens or drops its next set.
//! - If the descriptor of a source was replaced, the former file may still send the signal, which stays blocked.
//! - A `SIGIO` that is sent to the process instead of a thread may be taken by a set.
//!
//! **Costs.** A wait makes the system calls that the row of its mechanism lists ([`Costs`]), no more, and allocates nothing
//! once its buffers have grown to their size. Tests assert both. [`Counters`] count what a set has done.
//!
//! **Sandboxes.** A seccomp profile may refuse any call. [`Mechanism::probe`] makes each call that a mechanism needs and names
//! the one that is refused. [`waker`](InterestSet::waker) and [`Watch::returning_state`] need further calls, which their errors name.
//!
//! **Errors.** The text of an error is complete: operation, cause and remedy on one line, without a
//! [`source`](std::error::Error::source). All errors convert into [`std::io::Error`] with the kind of the kernel's error.
//! A declaration that fails returns the source in [`Declined`].
//!
//! # What signals report
//!
//! The kernel's drivers send signals in calls of their own, next to the wake-ups that all other mechanisms use, and leave
//! changes out. The signal mechanisms refuse a file of which a change would be lost, and report of the others:
//!
//! | file | readable | writable | reasons of `rt-signal` and `rt-signal-batch` |
//! |---|---|---|---|
//! | TCP | yes | yes | full close, error, priority |
//! | UDP, raw, netlink and packet sockets | yes | yes | error |
//! | local stream socket | yes | after a send that found no room (`EAGAIN`, or fewer bytes than given) since the declaration; refused if it has no room when it is declared[^room] | full close, if the peer closes both halves at once; a reset is a full close; priority |
//! | local sequential-packet socket | yes | yes | full close |
//! | local datagram socket | yes | yes; refused if it is connected to a named socket, whose queue others fill too[^room] | none |
//! | pipe, FIFO | yes | yes, but not when it is enlarged | none |
//! | inotify, perf event | yes | no room to wait for | none |
//! | eventfd, timerfd, signalfd, pidfd, epoll, `/proc` | refused[^none] | | |
//! | terminals and all other character devices | refused[^some] | | |
//! | MPTCP, SCTP, vsock, sockets of other families | refused[^some] | | |
//!
//! What the program itself does to a file is not signalled: a `shutdown` through the source or a duplicate, and `F_SETPIPE_SZ`.
//! Call [`rearm`](InterestSet::rearm) after it. Connect a local datagram socket before it is declared.
//!
//! [^none]: [`Unsupported::FileWithoutSignals`]
//! [^some]: [`Unsupported::FileWithIncompleteSignals`]
//! [^room]: [`Unsupported::RoomWithoutSignals`], for an interest in [`WRITABLE`](Interest::WRITABLE), when it is declared or
//!     modified.
//!
//! # Recipes
//!
//! **Deadlines.** A set has one timeout for each wait and no timers. Keep a heap of `(deadline, key)` next to it, wait until
//! the earliest deadline, and look at the entries whose time has come. An entry need not be moved when its source becomes
//! active: when its time has come, compare it with the source's present deadline and push a new entry if that is later. An
//! entry of a withdrawn source needs no removal: its key names nothing. `examples/proxy.rs` closes idle pairs so.
//!
//! **Pairs.** [`declare_by`](InterestSet::declare_by) makes a source that knows its own key, and
//! [`get_two_mut`](InterestSet::get_two_mut) reaches both sources of a pair at once, as in `examples/proxy.rs`.
//!
//! **No descriptor left.** When `accept` fails for lack of descriptors, the listener stays ready. Give it
//! [`Interest::NONE`] and modify it again after a connection was closed or a short time has passed, as in
//! `examples/echo.rs`.
//!
//! **Another event loop.** A set on an epoll mechanism or on `dev-poll` is one descriptor, and [`Nested`] makes it a source of
//! another set.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `bpf` | yes | the mechanism `signal-per-fd` |
//! | `io-uring` | yes | the mechanism `io-uring-poll` |
//!
//! Without its feature a mechanism is still listed, and its [`probe`](Mechanism::probe) names the feature.
//!
//! # Comparison
//!
//! | | this crate | mio | polling | libevent |
//! |---|---|---|---|---|
//! | mechanisms on Linux, selected at run time | all | epoll | epoll | select, poll, epoll |
//! | other systems | none | many | many | many |
//! | triggers | level, edge, oneshot | edge | oneshot, level, edge | level, edge |
//! | owns its sources | yes | no | no (`add` is unsafe) | no |
//! | drops stale events | yes | no | no | no |
//! | timers, buffered I/O | no | no | no | yes |
//!
//! The folder `docs/event/` of the repository has a chapter on each mechanism, measurements against other libraries, and
//! the results of the contract suite.
#![forbid(unsafe_code)]

mod bits;
#[cfg(debug_assertions)]
mod blocking;
mod chunks;
mod counters;
pub mod dev_poll;
mod error;
mod events;
mod fd;
mod interest;
mod key;
mod mechanism;
mod nested;
mod options;
mod owner;
mod readiness;
mod registry;
mod set;
mod shared_counters;
mod shared_set;
mod slab;
mod waker;

pub use counters::Counters;
pub use error::{
    DeclareError, Declined, OpenError, SignalConflict, Unavailable, Unsupported, WaitError, WakerError, WithdrawError,
    WrongContext,
};
pub use events::{Event, Events};
pub use interest::{InitialState, Interest, Trigger, Wakeup, Watch};
pub use key::Key;
pub use mechanism::{
    CallCounts, Costs, Descriptor, EventsPerCall, HandWritten, InheritedSignals, MECHANISMS, Mechanism, SignalQueue,
    UnknownMechanism,
};
pub use nested::{Nested, NotOneDescriptor};
pub use options::{BusyPoll, Interrupts, MinWait, OnOverflow, Options, RingDescriptor, RingSetup, TaskWork};
pub use owner::Threading;
pub use readiness::{Readiness, ReadinessDetail};
pub use set::{Declared, InterestSet};
pub use shared_set::{Held, SharedSet, TryHold};
pub use slab::Slab;
pub use waker::Waker;
