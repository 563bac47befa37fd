//! Requests of a ring that open, read, write and close files, and one that only takes time. Each has one completion.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::{Fd, FsyncFlags, Timespec};
use rustix::fs::{Mode, OFlags};

use super::parcel::Held;
use super::{Kind, StreamRing};

/// The longest sleep.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// A sleep in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepId(u32);

impl StreamRing {
    /// Queues an `openat(2)` of a path below a directory (`IORING_OP_OPENAT`, Linux 5.6). The completion is
    /// [`Opened`](super::Completion::Opened). The directory must be open until then.
    pub fn open_file(&mut self, directory: RawFd, path: CString, flags: OFlags, mode: Mode, data: u32) {
        let mut bytes = path.into_bytes_with_nul();
        // The kernel only reads it.
        let path = bytes.as_mut_ptr().cast_const().cast();
        let entry = opcode::OpenAt::new(Fd(directory), path)
            .flags((flags | OFlags::CLOEXEC).bits() as i32)
            .mode(mode.bits())
            .build();
        self.queue_with_memory(Kind::Open, entry, data, bytes, Held::Nothing);
    }

    /// Queues a request for a file's size (`IORING_OP_STATX`, Linux 5.6). The completion is [`Worked`](super::Completion::Worked)
    /// with the size.
    pub fn file_size(&mut self, file: RawFd, data: u32) {
        let mut bytes = vec![0; size_of::<libc::statx>()];
        let entry = opcode::Statx::new(Fd(file), c"".as_ptr(), bytes.as_mut_ptr().cast())
            .flags(libc::AT_EMPTY_PATH)
            .mask(libc::STATX_SIZE)
            .build();
        self.queue_with_memory(Kind::Size, entry, data, bytes, Held::Nothing);
    }

    /// Queues a write of `bytes`, from position `from`, at an offset of a file; with `O_APPEND` the offset does not count. The
    /// completion is [`Worked`](super::Completion::Worked) with the number of bytes written. It may write less.
    ///
    /// # Panics
    /// If `from` is beyond the end of `bytes`.
    pub fn write(&mut self, file: RawFd, offset: u64, bytes: Vec<u8>, from: usize, data: u32) {
        let rest = &bytes[from..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Write::new(Fd(file), rest.as_ptr(), length)
            .offset(offset)
            .build();
        self.queue_with_memory(Kind::Work, entry, data, bytes, Held::Nothing);
    }

    /// Queues an `fdatasync(2)` (`IORING_OP_FSYNC` with `IORING_FSYNC_DATASYNC`). The completion is [`Worked`](super::Completion::Worked).
    pub fn sync_data(&mut self, file: RawFd, data: u32) {
        let entry = opcode::Fsync::new(Fd(file)).flags(FsyncFlags::DATASYNC).build();
        self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::Nothing);
    }

    /// Queues the advice that the cached pages of a whole file are not needed (`IORING_OP_FADVISE`, Linux 5.6). The completion is
    /// [`Worked`](super::Completion::Worked).
    pub fn drop_pages(&mut self, file: RawFd, data: u32) {
        let entry = opcode::Fadvise::new(Fd(file), 0, libc::POSIX_FADV_DONTNEED).build();
        self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::Nothing);
    }

    /// Queues the close of a file (`IORING_OP_CLOSE`, Linux 5.6). The completion is [`Worked`](super::Completion::Worked).
    pub fn close_file(&mut self, file: OwnedFd, data: u32) {
        let entry = opcode::Close::new(Fd(file.as_raw_fd())).build();
        self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::File(file));
    }

    /// Queues a request that completes after a time (`IORING_OP_TIMEOUT`). The completion is [`Worked`](super::Completion::Worked)
    /// with 0, or with `ECANCELED`.
    pub fn sleep(&mut self, time: Duration, data: u32) -> SleepId {
        let time = Box::new(Timespec::from(time.min(LONGEST)));
        let entry = opcode::Timeout::new(&raw const *time).build();
        SleepId(self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::Time(time)))
    }

    /// Queues the cancellation of a sleep.
    pub fn cancel_sleep(&mut self, sleep: SleepId) {
        self.cancel(Kind::Work.with(sleep.0));
    }
}
