//! The driver of the event-driven models: a loop over an interest set of any mechanism.

mod connection;
mod driver;

pub(crate) use connection::{Connection, EofHint, INPUT_BYTES, NextAction};
pub(crate) use driver::{AcceptSource, run};
