//! An HTTP server in which mechanism and concurrency model are flags and nothing else differs.
//!
//! Every model drives the same request machine ([`c10k_http::Machine`]) over the same sockets with the same counters;
//! every mechanism is driven by the same code. [`MODELS`] is the table of models.
//!
//! ```no_run
//! use c10k_event::Mechanism;
//! use c10k_server::{Config, Model, Server, Stop};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new(Model::named("event-loop")?, Mechanism::named("epoll-edge")?);
//! let server = Server::bind(config)?;
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
//! - **Edges and levels.** A turn of a connection reads until a read comes back short, which proves that the socket was
//!   empty at that moment; whatever arrives later is told by a new event on every trigger. Only where the end of the
//!   stream may have been told together with data (the event says so, or events were lost and replaced by a rescan) is
//!   the read repeated until the end or `EAGAIN`. A turn that stops earlier, to be fair to others, is resumed by the
//!   loop itself without waiting for an event.
//! - **Accepting.** [`AcceptPolicy`] says how many connections one readiness of the listener brings at most. What is
//!   left in the backlog is told again by level-triggered mechanisms; for the others the loop remembers that the
//!   listener may hold more, lets the other events of the moment go first (a wait with a zero timeout), and accepts
//!   again.
//! - **Shortage.** When no descriptor or no memory is left, or the cap on connections is reached, the listener is taken
//!   out of the interest set until a connection ends or a tenth of a second has passed: accepting never spins.
//! - **Stopping.** [`Stop`] is seen within a second even when the mechanism loses every event. The backlog is accepted,
//!   the listener closed; every connection that has a request gets its reply, with `Connection: close`; one that has
//!   none gets a short grace for a request that is on its way, then the end of the stream; none is reset before the
//!   drain deadline.
#![forbid(unsafe_code)]

mod acceptor;
mod blocking;
mod clock;
mod config;
mod connection;
mod deadlines;
mod error;
mod files;
mod gate;
mod ledger;
mod limits;
mod listener;
mod log;
mod model;
mod peer;
mod peers;
mod privileges;
mod proactor;
mod reactor;
mod root;
mod roster;
mod runtime_failure;
mod server;
mod stop;
mod tally;
mod waiting;

pub use config::{AcceptPolicy, AcceptSharing, Config, Confinement, Deadlines, Submission};
pub use error::ServeError;
pub use limits::raise_descriptor_limit;
pub use model::{Descriptor, Dispatch, MODELS, Model};
pub use root::Root;
pub use server::Server;
pub use stop::Stop;

pub use c10k_http::units;
