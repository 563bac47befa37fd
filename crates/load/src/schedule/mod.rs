//! When each request is due, and which thread sends it. Nothing here reads a clock.

pub(crate) mod arrivals;
pub(crate) mod choices;
pub(crate) mod rate_profile;
pub(crate) mod thread_share;
pub(crate) mod timetable;
