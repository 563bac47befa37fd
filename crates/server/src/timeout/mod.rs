//! Time as the server sees it: a coarse clock, and deadlines on a timing wheel.

mod clock;
mod kind;
mod wheel;

pub(crate) use clock::{Clock, TICK, Tick, Ticks};
pub(crate) use kind::{TimeLimits, TimeoutKind, least_sent};
pub(crate) use wheel::{Deadline, Deadlined, Wheel};
