//! Work that may block: reading many small files and appending to mailboxes, below one directory.
//!
//! [`run`] does such work where it is called. Models that have another way to do it use the parts of [`DiskStore`].

mod mailbox;
mod store;
mod work;

pub(crate) use mailbox::rotate;
pub(crate) use store::MAX_FILE_SIZE;
pub use store::{DiskOptions, DiskStore};
pub(crate) use work::{BLOCK, WorkOutcome, failure, file_flags, mailbox_flags, mailbox_mode, run};
