//! How many threads run at once, of a pool that serves one queue of events: the discipline of the completion ports of Windows
//! NT.
//!
//! A thread needs a *place* to run, and there are N of them. The threads are more. What a thread does without a place is to wait: for
//! an event, for a place, or for what it does for a client and that blocks.
//!
//! # Contract
//! - **At most N run.** A thread takes a place after it has got an event and before it serves it. It gives the place up when it
//!   has served the event, and for the time of work that blocks. Then the place is free, and another thread takes it.
//! - **Declared blocking.** [`PortThread::leave`] gives up the place until the guard that it returns is dropped.
//! - **Noticed blocking.** A [monitor](monitor::run) looks at the threads that have a place, every
//!   [`INTERVAL`](monitor::INTERVAL). It takes the place from a thread that sleeps and has had the same place at the look before, so
//!   after one to two intervals. When the thread runs again it has no place. It notices this at its next scheduling point
//!   ([`PortThread::check`], before each step of a connection: reading, computing, sending at most 256 KiB), and waits for a place
//!   there. Until then it runs in excess of N: for the rest of one step, which takes less than an interval.
//! - **Who is next.** A free place goes to the thread that has waited longest for one: it has come back from work that
//!   blocked, or has an event already. These have priority over threads that wait for events, so what has begun is
//!   finished first. (On NT a thread that comes back runs at once, above N, and no other one starts until fewer than N run. Here it
//!   waits, because otherwise N would not be a limit where most threads block.) Only if there is none, another event is served.
//! - **Last in, first out.** Of the threads that have nothing to do, the one that had something to do last is called first:
//!   its stack and what it has read are most likely still in a cache. At most N of them wait for the set, since no
//!   more could run. Linux wakes the one of them that has begun to wait last (`ep_poll` adds a thread at the
//!   head of the queue; a test observes it). The others are parked on a stack, and are called after those.
//! - **No event is lost or waits for nothing.** While a place is free, a thread waits for events, unless all are busy or blocked.
//!   A thread that has got an event keeps it until it has a place.
//! - **No deadlock.** However many threads block, each of them has given its place to another one. If all threads of the pool
//!   block, events wait until one comes back, as they would in any pool.
//! - **The end.** [`Port::end`] lets every thread go that waits for a place or is parked. A thread that is blocked notices when it
//!   comes back.
//!
//! # Structure
//! [`Places`](places::Places) is the discipline as a state machine, without threads, clocks and locks; its tests go through every
//! order of events. [`Port`] puts it under a lock and lets threads wait. `monitor` looks at threads by `thread_states`.
//! What is served is not decided here.

mod monitor;
mod places;
mod port;
mod thread_states;

pub(crate) use monitor::run as run_monitor;
pub(crate) use port::{Entered, Left, Port, PortThread, Summons};
pub(crate) use thread_states::{TASKS, ThreadStates, open_tasks};
