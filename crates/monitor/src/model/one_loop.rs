//! `loop`: one thread, one interest set, one sample for all.

use super::descriptor::{Descriptor, Dispatch, Workers};
use crate::event_loop;

pub(super) const ROW: Descriptor = Descriptor {
    name: "loop",
    summary: "one event loop on any mechanism; one sample a period for all subscribers",
    dispatch: Dispatch::Mechanism,
    workers: Workers::One,
    run: event_loop::run,
};
