//! What a wait on `/dev/poll` (the module) costs, with and without its hints, and with results that are copied or mapped.
//!
//! The unit of work is that of [`dispatch`](super::dispatch): one byte written to a source, reported, and read until the source
//! would block. The device is used directly, without an interest set, and counts the entries that its scans look at and the
//! files that they ask.

use std::io::{Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use c10k_event::Mechanism;
use c10k_record::{CostCell, ScanCounts};
use c10k_sys::dev_poll::{self, Area, Counts};
use c10k_sys::poll::{POLLIN, PollEntry};
use rustix::io::Errno;

use super::error::WorkloadError;
use super::pairs::LOST_AFTER;
use super::task::{Subject, Task};
use super::windows::{WINDOWS, median};

/// A way to use the device, and its name as a subject.
struct Form {
    name: &'static str,
    has_hints: bool,
    has_area: bool,
}

const FORMS: &[Form] = &[
    Form {
        name: "hints/mapped",
        has_hints: true,
        has_area: true,
    },
    Form {
        name: "hints/copied",
        has_hints: true,
        has_area: false,
    },
    Form {
        name: "no-hints/mapped",
        has_hints: false,
        has_area: true,
    },
    Form {
        name: "no-hints/copied",
        has_hints: false,
        has_area: false,
    },
];

const IDLE: [usize; 4] = [10, 100, 1_000, 5_000];
const ACTIVE: [usize; 2] = [1, 100];

/// Writes of a window, at least.
const WRITES: usize = 40;

fn load(idle: usize, active: usize) -> String {
    format!("idle={idle} active={active}")
}

pub(super) fn loads() -> Vec<String> {
    let loads = IDLE.iter().flat_map(|&idle| ACTIVE.map(|active| load(idle, active)));
    loads.collect()
}

pub(crate) fn subjects() -> Vec<Subject> {
    FORMS.iter().map(|form| Subject::named(form.name)).collect()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    let name = task.subject.name.clone();
    let form = FORMS.iter().find(|form| form.name == name);
    let form = form.ok_or_else(|| WorkloadError::Server {
        subject: name.clone(),
        problem: "no way to use /dev/poll has this name".to_owned(),
    })?;
    if let Err(reason) = Mechanism::named("dev-poll-kernel")?.probe() {
        return task.unavailable(reason.to_string());
    }
    for idle in IDLE {
        for active in ACTIVE {
            let load = load(idle, active);
            if task.is_selected(&load) {
                let mut set = Set::open(form, idle + active).map_err(io("set the device up"))?;
                task.print(set.measure(form, &load, active)?)?;
            }
        }
    }
    Ok(())
}

/// A device with pairs of sockets, of which it has the near ends.
struct Set {
    device: OwnedFd,
    area: Option<Area>,
    results: Vec<MaybeUninit<PollEntry>>,
    pairs: Vec<(UnixStream, UnixStream)>,
    /// The near end of each descriptor number.
    places: Vec<usize>,
}

impl Set {
    fn open(form: &Form, count: usize) -> std::io::Result<Self> {
        let device = dev_poll::open()?;
        if !form.has_hints {
            dev_poll::ignore_hints(&device)?;
        }
        let mut set = Self {
            area: form.has_area.then(|| Area::map(&device, count)).transpose()?,
            device,
            results: vec![MaybeUninit::uninit(); count],
            pairs: Vec::with_capacity(count),
            places: Vec::new(),
        };
        for place in 0..count {
            let (near, far) = UnixStream::pair()?;
            near.set_nonblocking(true)?;
            dev_poll::write(&set.device, &[PollEntry::new(near.as_fd(), POLLIN)])?;
            let number = near.as_raw_fd() as usize;
            set.places.resize(set.places.len().max(number + 1), usize::MAX);
            set.places[number] = place;
            set.pairs.push((near, far));
        }
        Ok(set)
    }

    fn measure(&mut self, form: &Form, load: &str, active: usize) -> Result<CostCell, WorkloadError> {
        let rounds = WRITES.div_ceil(active).max(2);
        for _ in 0..2 {
            self.round(active)?;
        }
        let mut windows = Vec::with_capacity(WINDOWS);
        for _ in 0..WINDOWS {
            let before = self.counts()?;
            let started = Instant::now();
            for _ in 0..rounds {
                self.round(active)?;
            }
            let instructions = started.elapsed().as_nanos() as u64;
            let after = self.counts()?;
            windows.push(CostCell {
                subject: form.name.to_owned(),
                load: load.to_owned(),
                work: (rounds * active) as u64,
                instructions,
                events: (rounds * active) as u64,
                signals: 0,
                overflows: 0,
                scan: Some(ScanCounts {
                    visited: after.visited - before.visited,
                    asked: after.asked - before.asked,
                }),
                curve: None,
            });
        }
        Ok(median(windows))
    }

    fn counts(&self) -> Result<Counts, WorkloadError> {
        dev_poll::counts(&self.device).map_err(|errno| io("read the counts")(errno.into()))
    }

    /// Writes one byte to each of the last `active` pairs, and reads what is reported until all have been read.
    fn round(&mut self, active: usize) -> Result<(), WorkloadError> {
        let first = self.pairs.len() - active;
        for (_, far) in &mut self.pairs[first..] {
            far.write_all(b"x").map_err(io("write"))?;
        }
        let mut left = active;
        while left > 0 {
            let Self {
                device,
                area,
                results,
                pairs,
                places,
            } = self;
            let found = match area {
                Some(area) => area.poll(device, Some(LOST_AFTER)),
                None => dev_poll::poll(device, results, Some(LOST_AFTER)),
            };
            let found = found.map_err(|errno: Errno| io("wait")(errno.into()))?;
            if found.is_empty() {
                return Err(lost(left, active));
            }
            for entry in found {
                left -= drain(&mut pairs[places[entry.number() as usize]].0)?;
            }
        }
        Ok(())
    }
}

/// Reads the byte, and then in vain.
fn drain(near: &mut UnixStream) -> Result<usize, WorkloadError> {
    let mut buffer = [0; 64];
    let count = near.read(&mut buffer).map_err(io("read"))?;
    match near.read(&mut buffer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(count),
        Ok(more) => Ok(count + more),
        Err(error) => Err(io("read")(error)),
    }
}

fn lost(left: usize, active: usize) -> WorkloadError {
    let limit: Duration = LOST_AFTER;
    WorkloadError::Lost {
        missing: left as u64,
        work: active as u64,
        limit,
    }
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> WorkloadError {
    move |error| WorkloadError::Io(what, error)
}
