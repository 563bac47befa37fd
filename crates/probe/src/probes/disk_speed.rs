//! How fast a disk is for small files: a read that is not in the page cache, and an append that is brought to the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSliceMut, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME};
use crate::row::{Figure, Figures, Outcome, Probe};
use crate::timing::quantile;
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "disk-speed",
    summary: "a read of a small file that is not in the page cache, and an append that is brought to the disk",
    options: &[
        TIME,
        OptionRow {
            name: "in",
            summary: "Directory on the disk; at most 9 MiB of files are made in it and removed",
            kind: Kind::Directory,
            default: Some("."),
            label: "directory",
            setup_us: 0,
        },
    ],
    figures: &[
        figure(
            "cold_read_p50_us",
            "cold-read-us-p50",
            "open and read of a cold file of 4 KiB, median",
        ),
        figure(
            "cold_read_p99_us",
            "cold-read-us-p99",
            "open and read of a cold file of 4 KiB, 99th percentile",
        ),
        figure(
            "append_p50_us",
            "append-us-p50",
            "append of 1 KiB with fdatasync, median",
        ),
        figure(
            "append_p99_us",
            "append-us-p99",
            "append of 1 KiB with fdatasync, 99th percentile",
        ),
    ],
    run,
};

const fn figure(key: &'static str, measure: &'static str, label: &'static str) -> Figure {
    Figure {
        key,
        measure,
        label,
        unit: "µs",
    }
}

/// The number of files that are read, each in its turn.
const FILES: usize = 256;
/// Bytes of each.
const FILE_BYTES: usize = 4096;
/// Bytes of an append.
const APPEND_BYTES: usize = 1024;
/// The most appends: the file grows with each.
const APPENDS_MAX: usize = 8192;

/// Reads for half of the time and appends for the other half. Where dropped pages stay in memory, as on tmpfs, no read is
/// cold, and the figures of reads are left out.
fn run(values: &Values) -> Outcome {
    let directory = Files::make(values.directory("in"))?;
    let half = values.time() / 2;
    let mut reads = directory.read_cold(half)?;
    let mut appends = directory.append(half)?;
    let operations = (reads.len() + appends.len()) as u64;
    let mut figures = vec![
        ("append_p50_us", quantile(&mut appends, 0.5)),
        ("append_p99_us", quantile(&mut appends, 0.99)),
    ];
    if !reads.is_empty() {
        figures.push(("cold_read_p50_us", quantile(&mut reads, 0.5)));
        figures.push(("cold_read_p99_us", quantile(&mut reads, 0.99)));
    }
    Ok(Figures {
        operations,
        values: figures,
    })
}

/// The directory with the files of a run. It is removed when this is dropped.
struct Files(PathBuf);

impl Files {
    fn make(parent: &Path) -> Result<Self, ProbeError> {
        let path = parent.join(format!("c10k-disk-speed-{}", std::process::id()));
        fs::create_dir(&path).map_err(ProbeError::io("making a directory for the files"))?;
        let files = Self(path);
        for number in 0..FILES {
            let mut file = File::create(files.file(number)).map_err(ProbeError::io("making a file"))?;
            // Only pages that are on the disk can be dropped from the cache.
            file.write_all(&[b'x'; FILE_BYTES])
                .and_then(|()| file.sync_all())
                .map_err(ProbeError::io("writing a file"))?;
        }
        Ok(files)
    }

    fn file(&self, number: usize) -> PathBuf {
        self.0.join(number.to_string())
    }

    /// The times of open and read, each of a file whose pages were dropped before, in microseconds.
    fn read_cold(&self, time: Duration) -> Result<Vec<f64>, ProbeError> {
        let mut buffer = vec![0; FILE_BYTES];
        let mut times = Vec::new();
        let started = Instant::now();
        for number in (0..FILES).cycle() {
            let path = self.file(number);
            let file = File::open(&path).map_err(ProbeError::io("opening a file"))?;
            fadvise(&file, 0, None, Advice::DontNeed).map_err(ProbeError::call("posix_fadvise"))?;
            if times.is_empty() && !is_cold(&file)? {
                return Ok(times);
            }
            drop(file);
            let before = Instant::now();
            File::open(&path)
                .and_then(|mut file| file.read_exact(&mut buffer))
                .map_err(ProbeError::io("reading a file"))?;
            times.push(microseconds(before));
            if started.elapsed() >= time {
                break;
            }
        }
        Ok(times)
    }

    /// The times of an append with fdatasync, in microseconds.
    fn append(&self, time: Duration) -> Result<Vec<f64>, ProbeError> {
        let path = self.0.join("appended");
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(0o644);
        let mut file = options.open(path).map_err(ProbeError::io("making a file"))?;
        let mut times = Vec::new();
        let started = Instant::now();
        while times.is_empty() || (started.elapsed() < time && times.len() < APPENDS_MAX) {
            let before = Instant::now();
            file.write_all(&[b'x'; APPEND_BYTES])
                .and_then(|()| file.sync_data())
                .map_err(ProbeError::io("appending to a file"))?;
            times.push(microseconds(before));
        }
        Ok(times)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What the file system refuses to remove now, the user has to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a read that may not wait for the disk finds nothing of the file in memory.
fn is_cold(file: &File) -> Result<bool, ProbeError> {
    let mut byte = [0];
    match preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT) {
        Err(Errno::AGAIN) => Ok(true),
        Ok(_) | Err(Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(ProbeError::call("preadv2")(errno)),
    }
}

fn microseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
