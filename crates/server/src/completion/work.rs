//! Work that may block, as requests on the ring: it has one in flight at a time, and does what `disk::run` does by calls.
//!
//! A file: open, size, for `cold` the advice that its pages are not needed, reads, close. A mailbox: open, write, sync, reads,
//! close. A sleep, and the delay of a slow disk: a timeout.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use c10k_http::{BlockingWork, Cache, WorkFailure, after_sleep};
use c10k_sys::stream_ring::{SleepId, StreamRing};
use rustix::fs::{Mode, SeekFrom, seek};
use rustix::io::Errno;

use crate::disk::{self, DiskStore};

/// Makes a write begin at the file's position, and move it: it is then behind what was appended.
const AT_POSITION: u64 = u64::MAX;

/// Work in progress. It has one request in flight until [`advance`](Self::advance) has returned [`Progress::Over`].
#[derive(Debug)]
pub(super) struct RingWork {
    work: BlockingWork,
    stage: Stage,
    sleep: Option<SleepId>,
    file: Option<OwnedFd>,
    span: Span,
    /// What is written or was read, while it is not in flight.
    buffer: Vec<u8>,
    /// What follows the close of the file.
    outcome: Outcome,
}

/// The bytes of the answer, or why the work could not be done.
pub(super) type Outcome = Result<Vec<u8>, WorkFailure>;

/// What requests need.
pub(super) struct Site<'a> {
    pub(super) ring: &'a mut StreamRing,
    pub(super) disk: Option<&'a DiskStore>,
    /// The number of the requests.
    pub(super) number: u32,
}

/// Whether a work goes on.
#[derive(Debug)]
pub(super) enum Progress {
    /// A request is in flight.
    Waits,
    Over(Outcome),
}

/// The completion of a request.
#[derive(Debug)]
pub(super) enum Completed {
    Opened(Result<OwnedFd, Errno>),
    Read(Result<usize, Errno>, Vec<u8>),
    Other(Result<u64, Errno>, Vec<u8>),
}

/// The kind of the request in flight.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Sleep(Duration),
    Open,
    Size,
    DropPages,
    Read,
    Write,
    Sync,
    Close,
}

/// What is read of a file, in as many requests as that takes.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// Where it begins in the file.
    from: u64,
    /// Where it begins in the buffer: what is before that aligns it.
    padding: usize,
    /// How many bytes are asked for.
    asked: usize,
    /// How many of them are the answer.
    wanted: usize,
}

/// What follows a completion.
enum Next {
    Request(Stage),
    Answer(Vec<u8>),
}

impl RingWork {
    /// Starts some work.
    ///
    /// # Errors
    /// The outcome, if it is over at once.
    pub(super) fn start(work: BlockingWork, mut site: Site<'_>) -> Result<Box<RingWork>, WorkFailure> {
        let stage = match (&work, site.disk) {
            (BlockingWork::Sleep(time), _) => Stage::Sleep(*time),
            (_, None) => return Err(WorkFailure::Missing),
            (_, Some(disk)) if !disk.delay().is_zero() => Stage::Sleep(disk.delay()),
            _ => Stage::Open,
        };
        let mut work = Box::new(RingWork {
            work,
            stage,
            sleep: None,
            file: None,
            span: Span::default(),
            buffer: Vec::new(),
            outcome: Err(WorkFailure::Failed),
        });
        work.request(stage, &mut site)?;
        Ok(work)
    }

    /// Cancels a sleep. Other work is finished, as it is by calls.
    pub(super) fn cancel(&self, ring: &mut StreamRing) {
        if let (Stage::Sleep(_), Some(sleep)) = (self.stage, self.sleep) {
            ring.cancel_sleep(sleep);
        }
    }

    /// Goes on after the completion of its request.
    pub(super) fn advance(&mut self, completed: Completed, mut site: Site<'_>) -> Progress {
        let next = match self.result_of(completed) {
            _ if matches!(self.stage, Stage::Close) => {
                return Progress::Over(std::mem::replace(&mut self.outcome, Err(WorkFailure::Failed)));
            }
            Ok(result) => self.follow(result, &site),
            Err(Errno::INTR) => Ok(Next::Request(self.stage)),
            Err(errno) => Err(disk::failure(errno)),
        };
        let outcome = match next {
            Ok(Next::Request(stage)) => match self.request(stage, &mut site) {
                Ok(()) => return Progress::Waits,
                Err(failure) => Err(failure),
            },
            Ok(Next::Answer(bytes)) => Ok(bytes),
            Err(failure) => Err(failure),
        };
        let Some(file) = self.file.take() else {
            return Progress::Over(outcome);
        };
        (self.stage, self.outcome) = (Stage::Close, outcome);
        site.ring.close_file(file, site.number);
        Progress::Waits
    }

    /// Takes what a request gives back, and returns its result.
    fn result_of(&mut self, completed: Completed) -> Result<u64, Errno> {
        match completed {
            Completed::Opened(file) => {
                self.file = Some(file?);
                Ok(0)
            }
            Completed::Read(result, bytes) => {
                self.buffer = bytes;
                result.map(|read| read as u64)
            }
            Completed::Other(result, bytes) => {
                if matches!(self.stage, Stage::Write) {
                    self.buffer = bytes;
                }
                result
            }
        }
    }

    fn follow(&mut self, result: u64, site: &Site<'_>) -> Result<Next, WorkFailure> {
        let stage = match (self.stage, &mut self.work) {
            (Stage::Sleep(_), BlockingWork::Sleep(_)) => return Ok(Next::Answer(after_sleep().to_vec())),
            (Stage::Sleep(_), _) => Stage::Open,
            (Stage::Open, BlockingWork::Mail { message, .. }) => {
                self.buffer = std::mem::take(message);
                Stage::Write
            }
            (Stage::Open, _) => Stage::Size,
            (Stage::Size, BlockingWork::File { cache, .. }) => {
                let (cache, size) = (*cache, usize::try_from(result).unwrap_or(usize::MAX));
                self.make_room(size.min(disk::MAX_FILE_SIZE as usize), cache);
                match cache {
                    Cache::Cold => Stage::DropPages,
                    Cache::Warm | Cache::Direct => Stage::Read,
                }
            }
            (Stage::Write, _) => self.written(result)?,
            (Stage::Read, _) if result > 0 && self.buffer.len() < self.span.padding + self.span.wanted => Stage::Read,
            (Stage::Read, _) => return self.all_read(site).map(Next::Answer),
            _ => Stage::Read,
        };
        match stage {
            Stage::Read if self.span.wanted == 0 => self.all_read(site).map(Next::Answer),
            stage => Ok(Next::Request(stage)),
        }
    }

    /// Makes the buffer for a file of that size. Past the page cache, the disk's blocks fit it.
    fn make_room(&mut self, size: usize, cache: Cache) {
        let block = match cache {
            Cache::Direct => disk::BLOCK,
            Cache::Warm | Cache::Cold => 1,
        };
        let asked = size.next_multiple_of(block);
        self.buffer = Vec::with_capacity(asked + block);
        self.span = Span {
            from: 0,
            padding: self.buffer.as_ptr().align_offset(block),
            asked,
            wanted: size,
        };
        self.buffer.resize(self.span.padding, 0);
    }

    /// A message was appended, and is to be synced and read back.
    fn written(&mut self, bytes: u64) -> Result<Stage, WorkFailure> {
        let length = self.buffer.len();
        // A regular file takes all of it, or the disk is full.
        if bytes < length as u64 {
            return Err(WorkFailure::Full);
        }
        let file = self.file.as_ref().ok_or(WorkFailure::Failed)?;
        // Behind this message, whoever else appends.
        let end = seek(file, SeekFrom::Current(0)).map_err(disk::failure)?;
        self.span = Span {
            from: end.saturating_sub(length as u64),
            padding: 0,
            asked: length,
            wanted: length,
        };
        self.buffer.clear();
        Ok(Stage::Sync)
    }

    /// The bytes that were read, after the mailbox was bounded.
    fn all_read(&mut self, site: &Site<'_>) -> Result<Vec<u8>, WorkFailure> {
        if let (BlockingWork::Mail { mailbox, .. }, Some(disk)) = (&self.work, site.disk) {
            let path = disk.mailbox_path(*mailbox).ok_or(WorkFailure::Missing)?;
            let end = self.span.from + self.span.wanted as u64;
            disk::rotate(disk.directory(), &path, self.span.wanted, end).map_err(disk::failure)?;
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.drain(..self.span.padding);
        bytes.truncate(self.span.wanted);
        Ok(bytes)
    }

    /// Queues the request of a stage.
    fn request(&mut self, stage: Stage, site: &mut Site<'_>) -> Result<(), WorkFailure> {
        self.stage = stage;
        let (number, ring) = (site.number, &mut *site.ring);
        match (stage, self.file.as_ref().map(AsRawFd::as_raw_fd)) {
            (Stage::Sleep(time), _) => self.sleep = Some(ring.sleep(time, number)),
            (Stage::Open, _) => return self.open(site),
            (Stage::Size, Some(file)) => ring.file_size(file, number),
            (Stage::DropPages, Some(file)) => ring.drop_pages(file, number),
            (Stage::Write, Some(file)) => ring.write(file, AT_POSITION, std::mem::take(&mut self.buffer), 0, number),
            (Stage::Sync, Some(file)) => ring.sync_data(file, number),
            (Stage::Read, Some(file)) => {
                let bytes = std::mem::take(&mut self.buffer);
                let Span {
                    from, padding, asked, ..
                } = self.span;
                let done = bytes.len() - padding;
                ring.read(file, from + done as u64, bytes, asked - done, number);
            }
            (Stage::Close, _) | (_, None) => return Err(WorkFailure::Failed),
        }
        Ok(())
    }

    fn open(&self, site: &mut Site<'_>) -> Result<(), WorkFailure> {
        let disk = site.disk.ok_or(WorkFailure::Missing)?;
        let (path, flags, mode) = match self.work {
            BlockingWork::File { number, cache } => {
                let path = disk.file_path(number).ok_or(WorkFailure::Missing)?;
                if !disk.reads(cache) {
                    return Err(WorkFailure::Unsupported);
                }
                (path, disk::file_flags(cache), Mode::empty())
            }
            BlockingWork::Mail { mailbox, .. } => {
                let path = disk.mailbox_path(mailbox).ok_or(WorkFailure::Missing)?;
                (path, disk::mailbox_flags(), disk::mailbox_mode())
            }
            BlockingWork::Sleep(_) => return Err(WorkFailure::Failed),
        };
        let path = CString::new(path).map_err(|_| WorkFailure::Failed)?;
        let directory = disk.directory().as_raw_fd();
        site.ring.open_file(directory, path, flags, mode, site.number);
        Ok(())
    }
}
