//! The drivers of the models whose threads share one interest set: a connection is served by whichever thread gets its event.
//!
//! [`SharedQueue`]: all threads wait for the set at once. [`LeaderFollower`]: one of them at a time. [`PortQueue`]: as many as may
//! run at once. All drive the
//! [`Connection`](crate::readiness::Connection) of the event loops, so the request path is the same.

mod dispatch;
mod followers;
mod job;
mod keeper;
mod leader;
mod port_queue;
mod queue;
mod timers;

pub(crate) use followers::LeaderFollower;
pub(crate) use port_queue::PortQueue;
pub(crate) use queue::SharedQueue;
