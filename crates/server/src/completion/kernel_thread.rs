//! The kernel thread that submits for several rings.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use c10k_sys::stream_ring::{Shape, StreamRing};
use rustix::io::Result;

use crate::Submission;

/// The ring whose kernel thread submits for the rings that are opened after it, if they share one.
#[derive(Debug)]
pub(crate) struct KernelThread {
    is_shared: bool,
    first: Mutex<Option<OwnedFd>>,
}

impl KernelThread {
    pub(crate) fn new(submission: Submission) -> KernelThread {
        KernelThread {
            is_shared: submission == Submission::SqpollShared,
            first: Mutex::new(None),
        }
    }

    /// Opens a worker's ring.
    pub(super) fn open(&self, shape: Shape) -> Result<StreamRing> {
        if !self.is_shared {
            return StreamRing::open(shape);
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = StreamRing::open_with(shape, first.as_ref().map(AsFd::as_fd))?;
        if first.is_none() {
            *first = Some(rustix::io::fcntl_dupfd_cloexec(&ring, 0)?);
        }
        Ok(ring)
    }
}
