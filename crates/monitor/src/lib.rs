//! A monitoring daemon that makes one sample of its host for any number of subscribers, and a viewer for many daemons.
//!
//! The daemon is the one of the Beowulf list's thread of 2008: a process on each node of a cluster that hands out what the kernel
//! counts, and should not spend what it measures. Its model is an option: an event loop that samples once for all, a process for each
//! connection that samples for itself, or a pool of threads. [`MODELS`] is the table.
//!
//! ```no_run
//! use c10k_monitor::{Config, Model, Monitor, Stop};
//!
//! # fn main() -> Result<(), c10k_monitor::MonitorError> {
//! let monitor = Monitor::bind(Model::named("loop")?, Config::default())?;
//! println!("listening on {}", monitor.address());
//! let stop = Stop::new()?;
//! stop.on_signals()?;
//! let summary = monitor.run(&stop)?;
//! assert!(summary.reconciles());
//! # Ok(())
//! # }
//! ```
//!
//! # Contract of the daemon
//! - **Samples.** A worker makes at most one sample in each period, however many ask for it, and none in a period in which nobody asks.
//!   A period that has passed while the process was late is counted and not made up for. The model `loop` has one worker.
//! - **One serialisation.** A sample is serialised once. All subscribers are sent the same bytes from the same memory; sending a line
//!   allocates nothing.
//! - **Subscribers.** `GET /stream` has no line of the present period; the first is that of the next. A sample is *due* to each
//!   subscriber there is when it is made. The line is written to the socket once, without waiting. If the socket takes a part, the rest is
//!   kept (a reference to the shared bytes) and sent when there is room. If it takes nothing, or the rest of an earlier line is still
//!   there, the line is skipped. So a subscriber that reads slowly misses whole samples, never a part of one, and delays nobody.
//! - **Accounting.** lines due = sent + skipped + cut, for each subscriber and in the summary. A line is cut if the connection ends
//!   before the line's last byte was handed to the kernel.
//! - **Bounds.** For a connection the daemon holds at most a head and what was read with it (8 KiB), the rest of one reply, or a
//!   reference to one line. The kernel's send buffer is limited too. Heads, idle connections and stalled readers have deadlines
//!   ([`Deadlines`]).
//! - **Shortage.** A subscriber beyond [`Config::max_subscribers`] gets status 503. When descriptors or memory are used up, accepting
//!   pauses until a connection ends or a tenth of a second has passed. Accepting never spins.
//! - **Stopping.** A [`Stop`] ends each stream after the line that was begun, with the last chunk, and each connection after its reply.
//!   What is not over at the drain deadline is closed.
//! - **Privacy.** A sample has the name of the host and numbers of the whole host: no process, no command line, no environment, no user.
//!
//! # Structure
//! `request`, `reply`, `reading` and `metrics` do no I/O. `connection` is one connection on a socket that does not block; every model
//! drives it alike. `event_loop` and `blocking` are the drivers, `model` the table. `watch` is the viewer.
#![forbid(unsafe_code)]

mod blocking;
mod config;
mod connection;
mod counts;
mod error;
mod event_loop;
mod feed;
mod listener;
mod metrics;
mod model;
mod monitor;
mod reading;
mod reply;
mod request;
mod resource;
mod sampler;
mod service;
mod stop;
pub mod watch;

pub use config::{Config, DEFAULT_PORT, Deadlines, address_of};
pub use counts::Counts;
pub use error::MonitorError;
pub use listener::raise_descriptor_limit;
pub use model::{Descriptor, Dispatch, MODELS, Model, Workers};
pub use monitor::Monitor;
pub use stop::Stop;
