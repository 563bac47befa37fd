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
