//! An HTTP server whose event mechanism and concurrency model can be chosen, while nothing else differs.
//!
//! Every model drives the same request machine ([`c10k_http::Machine`]) and takes the same decisions about its connections;
//! every mechanism is driven by the same code. [`MODELS`] is the table of models.
//!
//! ```no_run
//! use c10k_event::Mechanism;
//! use c10k_server::{Config, Model, Server, Stop};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new(Mechanism::named("epoll-edge")?);
//! let server = Server::bind(Model::named("event-loop")?, config)?;
//! println!("listening on {}", server.address());
//! let stop = Stop::new();
//! stop.on_signals()?;
//! let summary = server.run(&stop)?;
//! println!("{} requests", summary.requests);
//! # Ok(())
//! # }
//! ```
//!
//! # Contract
//! - **Edges and levels.** In its turn a connection reads until a read returns less than was asked for. Then the socket was
//!   empty, and with every trigger another event reports what arrives later. If the end of the stream may have been
//!   reported together with the data, because the event says so or because a rescan replaced lost events, it reads until the
//!   end or `EAGAIN`. A turn ends after 256 KiB, so that other connections have theirs. The loop resumes it without an event.
//! - **Accepting.** [`AcceptPolicy`] limits how many connections are accepted each time the listener is ready.
//!   Level-triggered mechanisms report again what is left in the backlog. For the others the loop remembers that more
//!   connections may wait, handles other events with a zero timeout, and accepts again.
//! - **Work that may block.** A driver does it where it stands, or has it done by other threads. Until the connection has
//!   answered it, the connection is not read and nothing else of it is answered.
//! - **Shortage.** When descriptors or memory are used up, or the limit on connections is reached, the listener leaves the
//!   interest set until a connection is closed or a tenth of a second ([`Deadlines::back_off`]) has passed. An acceptor
//!   thread or process waits in the same way, and is woken by the end of a connection in any thread or process. Accepting
//!   never spins.
//! - **Stopping.** A [`Stop`] takes effect within 16 seconds even if the mechanism loses every event. The backlog is accepted
//!   and the listener closed. Every connection that has a request gets its reply, with `Connection: close`. A connection without
//!   a request gets a short grace, since one may be on its way; then the server ends the stream. No connection is reset before
//!   the drain deadline.
//!
//! # Structure
//! What is decided about connections is in `core`, without I/O and without a clock. Six drivers do the I/O: `readiness`,
//! `shared`, `completion`, `blocking`, `coroutine` and `task`. `accept` has what they share for accepting, `timeout` the clock and
//! the timing wheel, `stats` the counters, `disk` what is done for requests that may block, `helpers` the threads that do it for
//! others, and `model` the table.
#![forbid(unsafe_code)]

mod accept;
mod blocking;
mod completion;
mod completion_port;
mod config;
mod context;
mod core;
mod coroutine;
mod descriptor_limit;
mod disk;
mod error;
mod helpers;
mod log;
mod model;
mod privileges;
mod readiness;
mod recycle;
mod ring_options;
mod root;
mod send;
mod server;
mod shared;
mod spin;
mod stats;
mod stop;
mod task;
mod timeout;

pub use accept::{Address, Listen};
pub use config::{AcceptPolicy, AcceptSharing, Config, Confinement, Deadlines, Spin, SpinError, Submission};
pub use descriptor_limit::raise_descriptor_limit;
pub use disk::{DiskOptions, DiskStore};
pub use error::ServeError;
pub use model::{
    Concurrency, ConnectionsIn, Descriptor, Dispatch, MODELS, Model, ModelOption, Workers, probe_ring_option,
};
pub use recycle::{Backlog, Recycle, RecycleError};
pub use ring_options::{RING_OPTIONS, RingOption, RingOptions, RingOptionsError};
pub use root::Root;
pub use server::Server;
pub use stop::Stop;
