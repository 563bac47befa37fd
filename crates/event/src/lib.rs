//! Every Linux event mechanism behind one safe interest-set API.
//!
//! A program declares its *interest set* incrementally and fetches pending events in batches. The set owns the sources
//! that it watches, so that no source can be closed while the kernel still knows it, and no `unsafe` and no raw
//! descriptor appear in the caller's code.
//!
//! ```ignore
//! let mut set = InterestSet::open(Mechanism::named("epoll-edge")?)?;
//! let listener = set.declare(listener, Interest::READABLE, Trigger::Edge)?;
//! let mut events = Events::with_capacity(256);
//! loop {
//!     set.next_events(&mut events, None)?;
//!     while let Some(event) = set.take(&mut events) {
//!         let source = &mut set[event.key];
//!         // …
//!     }
//! }
//! ```
#![forbid(unsafe_code)]
