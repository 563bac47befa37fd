//! Other event libraries whose interfaces are unsafe, behind safe ones: [`Polling`] (the crate `polling`) and
//! [`LibeventBase`] (the system's libevent, loaded at run time).
//!
//! They exist to be measured next to `c10k-event`: the `dispatch` benchmark and `c10k probe library-cost` use them. Each
//! watches borrowed descriptors for reading and reports a descriptor by its position in the order in which they were
//! given.

mod libevent;
mod polling;

pub use self::{
    libevent::{Libevent, LibeventBase},
    polling::Polling,
};
