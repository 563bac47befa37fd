//! Work that may block: reading many small files and appending to mailboxes, below one directory.
//!
//! [`run`] does such work where it is called. Models that have another way to do it use the parts of [`DiskStore`].

mod mailbox;
mod store;
mod work;

pub use store::{DiskOptions, DiskStore};
pub(crate) use work::{WorkOutcome, run};
