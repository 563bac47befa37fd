//! The driver of the event-driven models: a loop over an interest set of any mechanism.

mod connection;
mod driver;
mod helpers;
mod turn;

pub(crate) use connection::Connection;
pub(crate) use driver::{AcceptSource, run, run_as, run_with_helpers};
pub(crate) use helpers::Helpers;
pub(crate) use turn::{EofHint, INPUT_BYTES, NextAction, TURN_BYTES, TakesTurns};
