//! The directory that `/file` and `/mail` work on.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use c10k_http::{Cache, pattern};
use rustix::fs::{Advice, AtFlags, CWD, Mode, OFlags, fadvise, mkdirat, openat, statat, syncfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::ServeError;

/// The most bytes of a file.
pub(crate) const MAX_FILE_SIZE: u32 = 64 * 1024;
/// The most files.
const MAX_FILES: u32 = 1_000_000;
/// The number of mailboxes.
const MAILBOXES: u32 = 256;
/// Files are spread over so many directories.
const DIRECTORIES: u32 = 256;

/// What the directory holds, and how fast it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskOptions {
    /// The number of files, 1 to 1,000,000. Default 10,000.
    pub files: u32,
    /// Bytes of each, 1 to 65,536. Default 4,096.
    pub file_size: u32,
    /// Each access waits that long before it begins, as on a slow disk. Default 0.
    pub delay: Duration,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions {
            files: 10_000,
            file_size: 4096,
            delay: Duration::ZERO,
        }
    }
}

/// A directory with a tree of files and with mailboxes. Clones are the same directory.
///
/// File number N is `files/XX/N`, where XX is the remainder of N by 256, in hexadecimal. Its byte at offset `i` is `i % 251`,
/// as of `/bytes`. Mailbox N is `mail/N`. One that has reached 16 MiB is renamed to `N.old`, which
/// replaces the one before.
#[derive(Debug, Clone)]
pub struct DiskStore(Arc<Store>);

#[derive(Debug)]
struct Store {
    directory: OwnedFd,
    options: DiskOptions,
    /// Whether a file's pages can be dropped from the page cache, so that a read reaches the disk.
    has_cold: bool,
    /// Whether the page cache can be passed by.
    has_direct: bool,
}

impl DiskStore {
    /// Opens the directory, and makes what it lacks: files that do not exist or have another size are written, and brought to
    /// the disk. What else is there is left alone.
    ///
    /// # Errors
    /// [`ServeError::Disk`], also if an option is out of its range.
    pub fn open(path: &Path, options: DiskOptions) -> Result<DiskStore, ServeError> {
        let refused = |cause: io::Error| ServeError::Disk {
            path: path.to_owned(),
            cause,
        };
        check(&options).map_err(|reason| refused(io::Error::new(io::ErrorKind::InvalidInput, reason)))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty()).map_err(|errno| refused(errno.into()))?;
        let mut store = Store {
            directory,
            options,
            has_cold: false,
            has_direct: false,
        };
        store.prepare(path).map_err(refused)?;
        store.has_cold = store.reads_cold().map_err(|errno| refused(errno.into()))?;
        store.has_direct = store.open_file(0, OFlags::DIRECT).is_ok();
        Ok(DiskStore(Arc::new(store)))
    }

    /// The directory, which the paths of files and mailboxes begin at.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.0.directory.as_fd()
    }

    /// How long each access waits before it begins.
    pub(crate) fn delay(&self) -> Duration {
        self.0.options.delay
    }

    /// Whether files can be read in that way.
    pub(crate) fn reads(&self, cache: Cache) -> bool {
        match cache {
            Cache::Warm => true,
            Cache::Cold => self.0.has_cold,
            Cache::Direct => self.0.has_direct,
        }
    }

    /// The path of a file below the directory; `None` if there is none of that number.
    pub(crate) fn file_path(&self, number: u32) -> Option<String> {
        (number < self.0.options.files).then(|| file_path(number))
    }

    /// The path of a mailbox below the directory; `None` if there is none of that number.
    #[expect(
        clippy::unused_self,
        reason = "all stores have the same number of mailboxes, which is theirs to know"
    )]
    pub(crate) fn mailbox_path(&self, number: u32) -> Option<String> {
        (number < MAILBOXES).then(|| format!("mail/{number}"))
    }
}

/// Drops a file's pages from the page cache.
pub(super) fn drop_pages(file: impl AsFd) -> Result<(), Errno> {
    fadvise(file, 0, None, Advice::DontNeed)
}

fn check(options: &DiskOptions) -> Result<(), String> {
    if !(1..=MAX_FILES).contains(&options.files) {
        return Err(format!("{} files: give 1 to {MAX_FILES}", options.files));
    }
    if !(1..=MAX_FILE_SIZE).contains(&options.file_size) {
        return Err(format!(
            "files of {} bytes: give 1 to {MAX_FILE_SIZE}",
            options.file_size
        ));
    }
    Ok(())
}

fn file_path(number: u32) -> String {
    format!("files/{:02x}/{number}", number % DIRECTORIES)
}

impl Store {
    /// Makes what the directory lacks.
    fn prepare(&self, path: &Path) -> io::Result<()> {
        self.make_directory("mail")?;
        self.make_directory("files")?;
        for number in 0..self.options.files.min(DIRECTORIES) {
            self.make_directory(&format!("files/{number:02x}"))?;
        }
        let size = u64::from(self.options.file_size);
        for name in (0..self.options.files).map(file_path) {
            let found = statat(&self.directory, &name, AtFlags::SYMLINK_NOFOLLOW);
            if found.is_ok_and(|found| u64::try_from(found.st_size) == Ok(size)) {
                continue;
            }
            fs::write(path.join(&name), pattern(0, size))?;
        }
        // Only pages that are on the disk can be dropped from the cache.
        Ok(syncfs(&self.directory)?)
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        match mkdirat(&self.directory, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn open_file(&self, number: u32, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        openat(&self.directory, file_path(number), flags, Mode::empty())
    }

    /// Whether pages that are dropped from the cache are gone: a read that may not wait for the disk then finds nothing. A file
    /// system in memory has no other place for them.
    fn reads_cold(&self) -> Result<bool, Errno> {
        let file = self.open_file(0, OFlags::empty())?;
        drop_pages(&file)?;
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        match preadv2(&file, &mut into, 0, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN) => Ok(true),
            Ok(_) | Err(Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}
