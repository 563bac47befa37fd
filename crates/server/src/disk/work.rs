//! Does blocking work where it is called.

use std::os::fd::OwnedFd;
use std::thread::sleep;

use c10k_http::{BlockingWork, Cache, WorkFailure, after_sleep};
use rustix::fs::{Mode, OFlags, SeekFrom, fdatasync, fstat, openat, seek};
use rustix::io::{Errno, pread, write};

use super::mailbox;
use super::store::{DiskStore, MAX_FILE_SIZE, drop_pages};

/// What a buffer for a read past the page cache is aligned to, and its length a multiple of.
pub(crate) const BLOCK: usize = 4096;

/// The bytes of the answer, or why the work could not be done.
pub(crate) type WorkOutcome = Result<Vec<u8>, WorkFailure>;

/// Does the work, and blocks the calling thread meanwhile.
pub(crate) fn run(disk: Option<&DiskStore>, work: BlockingWork) -> WorkOutcome {
    match (work, disk) {
        (BlockingWork::Sleep(time), _) => {
            sleep(time);
            Ok(after_sleep().to_vec())
        }
        (_, None) => Err(WorkFailure::Missing),
        (BlockingWork::File { number, cache }, Some(disk)) => {
            sleep(disk.delay());
            read_file(disk, number, cache)
        }
        (BlockingWork::Mail { mailbox, message }, Some(disk)) => {
            sleep(disk.delay());
            append(disk, mailbox, &message)
        }
    }
}

/// Why a call for some work failed, as the client learns it.
pub(crate) fn failure(errno: Errno) -> WorkFailure {
    match errno {
        Errno::NOENT => WorkFailure::Missing,
        Errno::NOSPC | Errno::DQUOT => WorkFailure::Full,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => WorkFailure::Shortage,
        _ => WorkFailure::Failed,
    }
}

/// The flags with which a file is opened.
pub(crate) fn file_flags(cache: Cache) -> OFlags {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match cache {
        Cache::Direct => flags | OFlags::DIRECT,
        Cache::Warm | Cache::Cold => flags,
    }
}

/// The flags with which a mailbox is opened.
pub(crate) fn mailbox_flags() -> OFlags {
    OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC
}

/// The permissions of a mailbox.
pub(crate) fn mailbox_mode() -> Mode {
    Mode::from_raw_mode(0o644)
}

fn read_file(disk: &DiskStore, number: u32, cache: Cache) -> Result<Vec<u8>, WorkFailure> {
    let path = disk.file_path(number).ok_or(WorkFailure::Missing)?;
    if !disk.reads(cache) {
        return Err(WorkFailure::Unsupported);
    }
    let read = || {
        let file = open(disk, &path, file_flags(cache), Mode::empty())?;
        let size = usize::try_from(fstat(&file)?.st_size).unwrap_or(usize::MAX);
        let size = size.min(MAX_FILE_SIZE as usize);
        match cache {
            Cache::Warm => {}
            Cache::Cold => drop_pages(&file)?,
            Cache::Direct => return read_direct(&file, size),
        }
        let mut bytes = vec![0; size];
        let read = read_whole(&file, 0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    read().map_err(failure)
}

/// Reads past the page cache, into a buffer that the disk's blocks fit.
fn read_direct(file: &OwnedFd, size: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0_u8; size.next_multiple_of(BLOCK) + BLOCK];
    let start = buffer.as_ptr().align_offset(BLOCK);
    let aligned = &mut buffer[start..start + size.next_multiple_of(BLOCK)];
    let read = read_whole(file, 0, aligned)?.min(size);
    Ok(aligned[..read].to_vec())
}

/// Reads until `into` is full or the file ends. Returns how many bytes that were.
fn read_whole(file: &OwnedFd, from: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let mut read = 0;
    while read < into.len() {
        match retry(|| pread(file, &mut into[read..], from + read as u64))? {
            0 => break,
            bytes => read += bytes,
        }
    }
    Ok(read)
}

fn append(disk: &DiskStore, mailbox: u32, message: &[u8]) -> Result<Vec<u8>, WorkFailure> {
    let path = disk.mailbox_path(mailbox).ok_or(WorkFailure::Missing)?;
    let append = || {
        let file = open(disk, &path, mailbox_flags(), mailbox_mode())?;
        let written = retry(|| write(&file, message))?;
        // A regular file takes all of it, or the disk is full.
        if written < message.len() {
            return Err(Errno::NOSPC);
        }
        // Behind this message, whoever else appends.
        let end = seek(&file, SeekFrom::Current(0))?;
        let start = end.saturating_sub(message.len() as u64);
        fdatasync(&file)?;
        let mut back = vec![0; message.len()];
        let read = read_whole(&file, start, &mut back)?;
        back.truncate(read);
        mailbox::rotate(disk.directory(), &path, message.len(), end)?;
        Ok(back)
    };
    append().map_err(failure)
}

fn open(disk: &DiskStore, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    retry(|| openat(disk.directory(), path, flags, mode))
}

/// Makes a call again while signals interrupt it.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}
