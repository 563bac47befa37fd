//! Requests of a ring that open, read, write and close files, and one that only takes time. Each has one completion.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{Fd, FsyncFlags, Timespec};
use io_uring::{opcode, squeue};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

use super::completion::Completion;
use super::parcel::{Held, Parcel, State, size_in};
use super::{Kind, StreamRing};
use crate::timeout::LONGEST;

/// A sleep in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepId(u32);

impl StreamRing {
    /// Queues an `openat(2)` of a path below a directory (`IORING_OP_OPENAT`, Linux 5.6). The completion is
    /// [`Completion::Opened`]. The directory must be open until then.
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

    /// Queues a request for a file's size (`IORING_OP_STATX`, Linux 5.6). The completion is [`Completion::Worked`]
    /// with the size.
    pub fn file_size(&mut self, file: RawFd, data: u32) {
        let mut bytes = vec![0; size_of::<libc::statx>()];
        let entry = opcode::Statx::new(Fd(file), c"".as_ptr(), bytes.as_mut_ptr().cast())
            .flags(libc::AT_EMPTY_PATH)
            .mask(libc::STATX_SIZE)
            .build();
        self.queue_with_memory(Kind::Size, entry, data, bytes, Held::Nothing);
    }

    /// Queues a read of at most `length` bytes of a file, from `offset`, and appends them to `bytes`. The completion is
    /// [`Completion::Read`], with 0 bytes at the end of the file. The ring owns the memory until the completion returns it.
    pub fn read(&mut self, file: RawFd, offset: u64, mut bytes: Vec<u8>, length: usize, data: u32) {
        bytes.reserve(length);
        let room = bytes.spare_capacity_mut();
        let length = u32::try_from(length.min(room.len())).unwrap_or(u32::MAX);
        let entry = opcode::Read::new(Fd(file), room.as_mut_ptr().cast(), length)
            .offset(offset)
            .build();
        self.queue_with_memory(Kind::Read, entry, data, bytes, Held::Nothing);
    }

    /// Queues a write of `bytes`, from position `from`, at an offset of a file; with `O_APPEND` the offset does not count. The
    /// completion is [`Completion::Worked`] with the number of bytes written. As with `write(2)`, a regular file takes all of them, or
    /// the disk is full.
    ///
    /// # Panics
    /// If `from` is beyond the end of `bytes`.
    pub fn write(&mut self, file: RawFd, offset: u64, bytes: Vec<u8>, from: usize, data: u32) {
        let rest = &bytes[from..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        // By a thread of the kernel, as one call that blocks. Otherwise the kernel tries first without blocking, which some file systems
        // offer for buffered writes: then a part may be written, and the rest by a second write, between which others append.
        let entry = opcode::Write::new(Fd(file), rest.as_ptr(), length)
            .offset(offset)
            .build()
            .flags(squeue::Flags::ASYNC);
        self.queue_with_memory(Kind::Work, entry, data, bytes, Held::Nothing);
    }

    /// Queues an `fdatasync(2)` (`IORING_OP_FSYNC` with `IORING_FSYNC_DATASYNC`). The completion is [`Completion::Worked`].
    pub fn sync_data(&mut self, file: RawFd, data: u32) {
        let entry = opcode::Fsync::new(Fd(file)).flags(FsyncFlags::DATASYNC).build();
        self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::Nothing);
    }

    /// Queues the advice that the cached pages of a whole file are not needed (`IORING_OP_FADVISE`, Linux 5.6). The completion is
    /// [`Completion::Worked`].
    pub fn drop_pages(&mut self, file: RawFd, data: u32) {
        let entry = opcode::Fadvise::new(Fd(file), 0, libc::POSIX_FADV_DONTNEED).build();
        self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::Nothing);
    }

    /// Queues the close of a file (`IORING_OP_CLOSE`, Linux 5.6). The completion is [`Completion::Worked`].
    pub fn close_file(&mut self, file: OwnedFd, data: u32) {
        let entry = opcode::Close::new(Fd(file.as_raw_fd())).build();
        self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::File(file));
    }

    /// Queues a request that completes after a time, at most 10⁹ s (`IORING_OP_TIMEOUT`). The completion is
    /// [`Completion::Worked`] with 0, or with `ECANCELED`.
    pub fn sleep(&mut self, time: Duration, data: u32) -> SleepId {
        let time = Box::new(Timespec::from(time.min(LONGEST)));
        let entry = opcode::Timeout::new(&raw const *time).build();
        SleepId(self.queue_with_memory(Kind::Work, entry, data, Vec::new(), Held::Time(time)))
    }

    /// Queues the cancellation of a sleep.
    pub fn cancel_sleep(&mut self, sleep: SleepId) {
        self.cancel(Kind::Work.with(sleep.0));
    }

    /// Queues a request that refers to the memory of `bytes`, or to what is `held`, or to nothing. Returns the index of its
    /// parcel.
    pub(super) fn queue_with_memory(
        &mut self,
        kind: Kind,
        entry: squeue::Entry,
        data: u32,
        bytes: Vec<u8>,
        held: Held,
    ) -> u32 {
        let index = self.place();
        let mut parcel = self.spare.pop().unwrap_or_else(Parcel::empty);
        (parcel.data, parcel.head, parcel.from) = (data, bytes, 0);
        (parcel.state, parcel.held) = (State::InFlight, held);
        // The kernel reads or writes what the entry points to until the completion, and only the completion clears this
        // place.
        self.parcels[index as usize] = Some(parcel);
        self.queue(entry.user_data(kind.with(index)));
        index
    }

    pub(super) fn read_over(&mut self, index: u32, result: Result<u32>) -> Option<Completion> {
        let (data, mut bytes, _) = self.take_parcel(index)?;
        let outcome = result.map(|read| (read as usize).min(bytes.capacity() - bytes.len()));
        // SAFETY: the kernel has appended this many bytes, within the capacity.
        unsafe { bytes.set_len(bytes.len() + outcome.unwrap_or(0)) };
        Some(Completion::Read { data, outcome, bytes })
    }

    pub(super) fn opened(&mut self, index: u32, result: Result<u32>) -> Option<Completion> {
        let (data, ..) = self.take_parcel(index)?;
        // SAFETY: the result of an open is a descriptor that the kernel has just created, and this completion is its only
        // owner: its parcel was taken just now, and no other request has user data of this kind.
        let file = result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
        Some(Completion::Opened { data, file })
    }

    pub(super) fn worked(&mut self, kind: Kind, index: u32, result: Result<u32>) -> Option<Completion> {
        let parcel = self.parcels.get_mut(index as usize)?.as_mut()?;
        std::mem::replace(&mut parcel.held, Held::Nothing).over(result != Err(Errno::CANCELED));
        let (data, bytes, _) = self.take_parcel(index)?;
        let outcome = match (kind, result) {
            (Kind::Size, Ok(_)) => Ok(size_in(&bytes)),
            // A sleep has lasted as long as it was to.
            (_, Err(Errno::TIME)) => Ok(0),
            (_, result) => result.map(u64::from),
        };
        Some(Completion::Worked { data, outcome, bytes })
    }
}
