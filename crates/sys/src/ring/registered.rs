//! A ring's descriptor, registered with the thread (`IORING_REGISTER_RING_FDS`, Linux 5.18): calls then name it by an index, which
//! the kernel finds without looking a descriptor up.

use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::SubmitArgs;
use io_uring::{EnterFlags, IoUring};
use rustix::io::{Errno, Result};
use rustix::process::Pid;
use rustix::thread::gettid;

const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// Says that a call names the ring by its index (`IORING_ENTER_REGISTERED_RING`).
const REGISTERED_RING: u32 = 1 << 4;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// The index of a ring among those that the thread has registered; at most 16 are.
#[derive(Debug)]
pub(super) struct Registered {
    index: u32,
    ring: RawFd,
    /// The thread whose table has it.
    thread: Pid,
}

impl Registered {
    /// Registers a ring. The kernel keeps it open until it is [unregistered](Self::unregister) or the thread ends.
    ///
    /// # Errors
    /// `EBUSY` if the thread has registered 16 rings; `EINVAL` before Linux 5.18.
    pub(super) fn register(ring: &IoUring) -> Result<Self> {
        let ring = ring.as_raw_fd();
        let mut update = Update {
            offset: u32::MAX,
            reserved: 0,
            data: ring as u64,
        };
        register(ring, REGISTER_RING_FDS, &mut update)?;
        Ok(Self {
            index: update.offset,
            ring,
            thread: gettid(),
        })
    }

    /// Takes the registration back, before the ring is closed. In another thread than the one that registered the ring, and in a forked
    /// child, this does nothing: the call concerns the table of the thread that makes it, in which another ring may have this index.
    pub(super) fn unregister(&self) {
        if gettid() != self.thread {
            return;
        }
        let mut update = Update {
            offset: self.index,
            reserved: 0,
            data: 0,
        };
        // The thread's table has the ring, so there is no reason to fail; if it did, the ring would stay until the thread ends.
        let _ = register(self.ring, UNREGISTER_RING_FDS, &mut update);
    }

    /// `io_uring_enter(2)`, as the crate's method does it, by the index.
    ///
    /// # Safety
    /// As [`io_uring::Submitter::enter`], with flags that say that the argument is a [`SubmitArgs`].
    ///
    /// # Errors
    /// As `io_uring_enter(2)`; `EINVAL` in another thread than the one that registered the ring.
    pub(super) unsafe fn enter(
        &self,
        queued: u32,
        wanted: u32,
        flags: EnterFlags,
        arguments: &SubmitArgs<'_, '_>,
    ) -> Result<()> {
        let flags = flags.bits() | REGISTERED_RING;
        // SAFETY: the caller upholds what the call asks for; the arguments are live until it returns.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.index,
                queued,
                wanted,
                flags,
                std::ptr::from_ref(arguments),
                size_of::<SubmitArgs<'_, '_>>(),
            )
        };
        outcome(returned)
    }
}

fn register(ring: RawFd, operation: libc::c_uint, update: &mut Update) -> Result<()> {
    // SAFETY: the kernel reads and writes one `struct io_uring_rsrc_update` there during the call.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring,
            operation,
            std::ptr::from_mut(update),
            1,
        )
    };
    outcome(returned)
}

fn outcome(returned: libc::c_long) -> Result<()> {
    if returned < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(())
}
