//! HTTP/1.1 without I/O and without a clock. Bytes go in; replies come out.
//!
//! A [`Machine`] is the protocol state of one connection. A driver (a readiness loop, a blocking thread, a completion
//! ring, a task) reads bytes and passes them to [`Machine::feed`], which appends replies to an [`Output`] and returns
//! the [`Step`] that the driver must take next. All drivers take the same steps, so the replies of two drivers are
//! identical to the byte.
//!
//! ```
//! use c10k_http::{Date, Host, Machine, Output, Step};
//!
//! let host = Host::new(Date::from_unix(0));
//! let mut machine = Machine::new();
//! let mut output = Output::default();
//! let step = machine.feed(b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n", &host, &mut output);
//! assert_eq!(step, Step::Read);
//! assert!(output.bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
//! ```
//!
//! # Contract
//! - The replies do not depend on how the input is cut: the same bytes always give the same output.
//! - Between two calls the machine owns all that it needs. While the connection is idle ([`Phase::Idle`]) it allocates no
//!   memory. A partial head, a body in progress and a long reply are kept in a box.
//! - Output is bounded: after [`Step::Write`] the driver must send all of it before it feeds more. A long body is not
//!   copied into the output. It is the machine's *tail* ([`Machine::tail`]), which is sent from static memory.
//! - After [`Step::Close`] nothing more is read as a request.
//!
//! Heads are parsed strictly (RFC 9110, RFC 9112). What `httparse` accepts although it should not (bare LF) is checked here.
#![forbid(unsafe_code)]

mod answer;
mod blocking_work;
mod body;
mod class;
mod date;
mod file;
mod head;
mod host;
mod limits;
mod machine;
mod media_type;
mod pattern;
mod range;
mod refusal;
mod route;
mod target;

pub use blocking_work::{BlockingWork, Cache, WorkFailure, after_sleep};
pub use date::Date;
pub use file::{FileFacts, Piece, Unsent};
pub use host::{Disk, Files, Host, Output, Resources, Stage};
pub use limits::Limits;
pub use machine::{Ending, Machine, Phase, Step};
pub use pattern::{MAX_BYTES, pattern};

pub mod reply;
