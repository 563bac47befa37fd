//! Hosts on one machine: a server and its clients in network namespaces, joined by a switch, with links of a stated rate and
//! delay.
//!
//! ```no_run
//! use c10k_testbed::{Spec, Testbed};
//!
//! # fn main() -> Result<(), c10k_testbed::TestbedError> {
//! let testbed = Testbed::build(&Spec {
//!     hosts: 10,
//!     bits_per_second: Some(100_000_000),
//!     ..Spec::default()
//! })?;
//! println!("server {}", testbed.server().address());
//! # Ok(())
//! # }
//! ```
//!
//! # Contract
//! - **Addresses.** The server is 10.77.0.1, client k (from 1) is 10.77.1.k, all in one network of 16 bits. The addresses are
//!   those of the testbed's namespaces: the host's own network is not touched, and any number of testbeds can exist at once.
//! - **Links.** Each host has one link, to a switch (a bridge) in a namespace of its own. Both directions of each link have the
//!   stated rate and delay. Frames pass as a network card sends them: no larger than an Ethernet frame. A rate is bounded from above:
//!   from about 1 Gbit/s on, the CPU may be slower. A delayed link without a rate has room for 1,000 frames on the way, which
//!   bounds it to 12 Mbit per delay.
//! - **End.** A namespace has no name. It is held by the descriptors of the [`Testbed`], and by the processes and sockets in it.
//!   When the testbed is dropped, or its process ends in whatever way, and nothing runs there any more, the kernel removes the
//!   namespaces and all that is in them.
//! - **Entering.** [`Host::run`] runs code inside. Another process enters by [`Host::path`], while the testbed exists.
//! - **What the kernel lacks is an error that says so** ([`TestbedError::Missing`]). Nothing is left out silently: a link that has
//!   a delay is delayed.
#![forbid(unsafe_code)]

mod discipline;
mod error;
mod host;
mod netlink;
mod receive;
mod shaping;
mod spec;
mod switch;
mod testbed;

pub use discipline::Discipline;
pub use error::TestbedError;
pub use host::Host;
pub use shaping::probe;
pub use spec::{MOST_HOSTS, Receive, Spec};
pub use testbed::Testbed;
