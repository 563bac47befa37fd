//! Every Linux event mechanism behind one safe interest-set API.
//!
//! A program declares its *interest set* incrementally and fetches pending events in batches. The set owns the sources
//! that it watches, so that no source can be closed while the kernel still knows it, and no `unsafe` and no raw
//! descriptor appear in the caller's code.
//!
//! ```
//! use c10k_event::{Events, Interest, InterestSet, Mechanism};
//! use std::{io::Write, os::unix::net::UnixStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
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
//! **Names.** [`declare`](InterestSet::declare) is `declare_interest` and [`next_events`](InterestSet::next_events) is
//! `get_next_event`, in batches, of Banga, Mogul and Druschel, *A Scalable and Explicit Event Delivery Mechanism for UNIX*
//! (USENIX 1999), the interface that Chandra and Mosberger, *Scalability of Linux Event-Dispatch Mechanisms* (USENIX 2001),
//! measure Linux's mechanisms against. `declare_interest` has a race: what became ready before it is no change, and would
//! never be told. Here a condition that holds at a declaration is told by the waits that follow, on every mechanism; and
//! [`Watch::returning_state`] has the declaration answer with the state too, as theirs did.
//!
//! **Events are hints.** An event says what held when the kernel noted it. The call that follows may still find nothing
//! (`EAGAIN`), and a program must live with that: another thread may have been faster, a datagram's checksum may be wrong, an
//! edge may be told twice. What is never wrong is *whose* event it is: a [`Key`] carries a generation, and an event of a
//! source that was withdrawn (a queued signal, a completion under way, the rest of the batch) is dropped and counted.
//!
//! **Triggers.** [`Trigger::Level`] tells a condition at every wait as long as it holds. [`Trigger::Edge`] tells a change
//! once: drain the source until `EAGAIN`, or what is left may never be told. [`Trigger::Oneshot`] tells once and is silent
//! until [`modify`](InterestSet::modify). They mean the same on every mechanism that offers them; one that it does not offer
//! is [`Unsupported::Trigger`] at the declaration. Nothing is approximated. A program that drains its sources at each event,
//! and modifies a source after each event of the oneshot trigger, is right with all of them. One limit is the kernel's: it
//! signals no room in a local (UNIX) datagram socket, nor in a local stream socket that was full before it was declared, so
//! that the signal mechanisms do not tell that those are writable again.
//!
//! **Readiness.** *Readable* and *writable* mean that the call would not block, as `select(2)` has it: the end of a stream and
//! a pending error make a source readable. The reasons ([`Readiness::READ_CLOSED`], [`Readiness::WRITE_CLOSED`],
//! [`Readiness::ERROR`], [`Readiness::PRIORITY`]) are told as far as the mechanism's kernel interface knows them:
//!
//! | mechanism | half-close | full close | error | priority |
//! |---|---|---|---|---|
//! | `select` | no | no | no | yes |
//! | `rt-signal`, `rt-signal-batch` | no | yes | yes | yes |
//! | `signal-per-fd` | no | no: merged signals tell only the first reason | no | yes |
//! | all others | yes | yes | yes | yes |
//!
//! **Fairness.** When more is ready than the batch holds, the rest is told by the waits that follow, and nobody is told twice
//! before everybody was told once.
//!
//! **Withdrawing.** When [`withdraw`](InterestSet::withdraw) returns, the kernel no longer knows the source; it comes back to the
//! caller, open. Dropping the set closes its sources. A descriptor may be in a set once. Replacing the descriptor inside a
//! source through [`get_mut`](InterestSet::get_mut) is a mistake that the set notices where the number changed.
//!
//! **Files.** Regular files, directories, block devices and devices without `poll` are refused on every mechanism
//! ([`Unsupported::FileWithoutReadiness`]): they have no readiness to wait for. The measure is what epoll refuses.
//!
//! **Time.** Timeouts have nanosecond resolution. An interrupted wait is repeated with what is left of its timeout;
//! `EINTR` never reaches the caller.
//!
//! **Threads and processes.** A set may be moved to another thread. Mechanisms that the kernel ties to the opening thread
//! ([`Threading::Opener`]) refuse to work in another one, with [`Foreign::Thread`]. A [`Waker`] wakes a set from any thread. In a
//! forked child the parent's sets are refused ([`Foreign::Process`]), and dropping them leaves the parent's untouched.
//!
//! **Costs.** A wait makes the system calls that the mechanism's chapter documents, no more, and allocates nothing once its
//! buffers have their size; both are asserted by tests. [`Counters`] tell what a set has done.
//!
//! # Beside others
//!
//! | | this crate | mio | polling | libevent |
//! |---|---|---|---|---|
//! | mechanisms on Linux, at run time | all | epoll | epoll | select, poll, epoll |
//! | other systems | none | many | many | many |
//! | triggers | level, edge, oneshot | edge | oneshot, level, edge | level, edge |
//! | owns its sources | yes | no | no (`add` is unsafe) | no |
//! | drops stale events | yes | no | no | no |
//! | timers, buffered I/O | no | no | no | yes |
//!
//! The chapters on each mechanism, the measured comparison and the matrix of tests are in the repository under
//! `docs/event/`.
#![forbid(unsafe_code)]

mod bits;
mod counters;
pub mod dev_poll;
mod error;
mod events;
mod home;
mod interest;
mod key;
mod mechanism;
mod options;
mod readiness;
mod set;
mod waker;

pub use counters::Counters;
pub use error::{
    DeclareError, Declined, Foreign, OpenError, Unavailable, UnknownMechanism, Unsupported, WaitError, WakerError,
    WithdrawError,
};
pub use events::{Event, Events};
pub use home::Threading;
pub use interest::{InitialState, Interest, Trigger, Wakeup, Watch};
pub use key::Key;
pub use mechanism::{Descriptor, MECHANISMS, Mechanism};
pub use options::{BusyPoll, Interrupts, OnOverflow, Options};
pub use readiness::{Fact, Readiness};
pub use set::{Declared, InterestSet};
pub use waker::Waker;

use counters::Call;
use waker::{Channel, ChannelKind};
