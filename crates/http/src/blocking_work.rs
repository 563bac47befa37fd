//! Work that may block whoever does it: access to a disk, or a sleep that stands for it.

use std::time::Duration;

use crate::Date;
use crate::answer::{self, Manner, OCTETS, TEXT};
use crate::pattern::pattern;
use crate::refusal::{FAILED, NOT_FOUND, NOT_IMPLEMENTED, OK, STORAGE_FULL, Status, UNAVAILABLE};

/// What the driver is asked to do by [`Step::Block`](crate::Step::Block). It may be done by another thread, or by the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockingWork {
    /// `/file/N`: open file number N, ask for its size, read all of it, close it. The answer is its bytes.
    File {
        /// Its number, from 0.
        number: u32,
        /// Where its bytes may come from.
        cache: Cache,
    },
    /// `/mail/N`: append the message to mailbox number N, write it to the disk, read it back. The answer is what was read.
    Mail {
        /// The mailbox's number, from 0.
        mailbox: u32,
        /// The body of the request.
        message: Vec<u8>,
    },
    /// `/sleep/TIME`: do nothing for that long. The answer is one byte.
    Sleep(Duration),
}

impl BlockingWork {
    /// How many bytes of the request it keeps.
    pub(crate) fn kept(&self) -> usize {
        match self {
            BlockingWork::Mail { message, .. } => message.len(),
            BlockingWork::File { .. } | BlockingWork::Sleep(_) => 0,
        }
    }
}

/// Where the bytes of a file may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// From the page cache, if they are there.
    Warm,
    /// From the disk: the file's pages are dropped from the cache first (`POSIX_FADV_DONTNEED`).
    Cold,
    /// From the disk, past the page cache (`O_DIRECT`).
    Direct,
}

impl Cache {
    /// The last segment of the path, for what is not [`Warm`](Cache::Warm).
    pub(crate) fn named(name: &[u8]) -> Option<Cache> {
        match name {
            b"cold" => Some(Cache::Cold),
            b"direct" => Some(Cache::Direct),
            _ => None,
        }
    }
}

/// Why blocking work could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkFailure {
    /// There is no file or mailbox of that number: 404.
    Missing,
    /// The disk is full: 507.
    Full,
    /// Descriptors, memory, or room for more work are used up: 503.
    Shortage,
    /// The file system cannot do it, such as to read past the page cache: 501.
    Unsupported,
    /// The disk or its file system has failed: 500.
    Failed,
}

/// The bytes that answer a [`Sleep`](BlockingWork::Sleep).
#[must_use]
pub fn after_sleep() -> &'static [u8] {
    pattern(0, 1)
}

/// Appends the reply.
pub(crate) fn answer(outcome: Result<&[u8], WorkFailure>, manner: Manner, date: &Date, out: &mut Vec<u8>) {
    let (status, fields, body): (Status, &str, &[u8]) = match outcome {
        Ok(bytes) => (OK, OCTETS, bytes),
        Err(WorkFailure::Missing) => (NOT_FOUND, TEXT, b"nothing is here\n"),
        Err(WorkFailure::Full) => (STORAGE_FULL, TEXT, b"the disk is full\n"),
        Err(WorkFailure::Shortage) => (UNAVAILABLE, TEXT, b"too much work is in progress: try again\n"),
        Err(WorkFailure::Unsupported) => (NOT_IMPLEMENTED, TEXT, b"the file system cannot do this\n"),
        Err(WorkFailure::Failed) => (FAILED, TEXT, b"the disk has failed\n"),
    };
    answer::whole(out, status, fields, body, manner, date);
}
