//! The drivers of the models whose threads share one interest set: a connection is served by whichever thread gets its event.
//!
//! [`SharedQueue`]: all threads wait for the set at once. [`LeaderFollower`]: one of them at a time. Both drive the
//! [`Connection`](crate::readiness::Connection) of the event loops, so the request path is the same.

mod dispatch;
mod followers;
mod job;
mod keeper;
mod leader;
mod queue;
mod timers;

pub(crate) use followers::LeaderFollower;
pub(crate) use queue::SharedQueue;
