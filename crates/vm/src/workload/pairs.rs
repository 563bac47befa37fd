//! Pairs of sockets as sources: the part that the workloads on mechanisms have in common.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use c10k_event::{Events, Interest, InterestSet, Trigger};
use c10k_record::CostCell;

use super::error::WorkloadError;
use super::windows::{WINDOWS, median};

/// How long an event may take before it counts as lost. The guest's clock jumps over idle time, so this takes no time there.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(1);

/// The fewest writes of a window.
const WRITES: usize = 40;

/// Events of a batch.
const BATCH: usize = 256;

/// Pairs of sockets whose near ends are declared.
pub(super) struct Pairs {
    set: InterestSet<UnixStream>,
    events: Events,
    far: Vec<UnixStream>,
    buffer: [u8; 64],
}

impl Pairs {
    pub(super) fn new(set: InterestSet<UnixStream>) -> Self {
        Self {
            set,
            events: Events::with_capacity(BATCH),
            far: Vec::new(),
            buffer: [0; 64],
        }
    }

    /// Declares pairs until there are `count`.
    pub(super) fn grow_to(&mut self, count: usize) -> Result<(), WorkloadError> {
        let trigger = self.set.mechanism().default_trigger();
        while self.far.len() < count {
            let (near, far) = UnixStream::pair().map_err(|error| WorkloadError::Io("make a pair of sockets", error))?;
            near.set_nonblocking(true)
                .map_err(|error| WorkloadError::Io("set up a socket", error))?;
            self.set
                .declare(near, Interest::READABLE, trigger)
                .map_err(|declined| declined.error)?;
            self.far.push(far);
        }
        Ok(())
    }

    /// Writes `writes` times one byte to each of the last `active` pairs. Then fetches events and reads every reported source
    /// until it would block, until all bytes are read and no event is left.
    fn round(&mut self, active: usize, writes: usize) -> Result<(), WorkloadError> {
        let first = self.far.len() - active;
        for mut far in self.far[first..].iter().cycle().take(active * writes) {
            far.write_all(b"x").map_err(|error| WorkloadError::Io("write", error))?;
        }
        let trigger = self.set.mechanism().default_trigger();
        let work = (active * writes) as u64;
        let mut left = work;
        while left > 0 {
            if self.set.next_events(&mut self.events, Some(LOST_AFTER))? == 0 {
                return Err(WorkloadError::Lost {
                    missing: left,
                    work,
                    limit: LOST_AFTER,
                });
            }
            while let Some(event) = self.set.take(&mut self.events) {
                left -= drain(&mut self.set[event.key], &mut self.buffer)?;
                if trigger == Trigger::Oneshot {
                    self.set.modify(event.key, Interest::READABLE, trigger)?;
                }
            }
        }
        // After a burst, events may be left for bytes that were read already. They are fetched too.
        while writes > 1 && self.set.next_events(&mut self.events, Some(Duration::ZERO))? > 0 {
            while let Some(event) = self.set.take(&mut self.events) {
                drain(&mut self.set[event.key], &mut self.buffer)?;
            }
        }
        Ok(())
    }

    /// Measures windows of at least [`WRITES`] writes, after two rounds of warm-up, and returns the one of median cost.
    pub(super) fn measure(&mut self, load: &str, active: usize, writes: usize) -> Result<CostCell, WorkloadError> {
        let rounds = WRITES.div_ceil(active * writes).max(2);
        for _ in 0..2 {
            self.round(active, writes)?;
        }
        let mut windows = Vec::with_capacity(WINDOWS);
        for _ in 0..WINDOWS {
            windows.push(self.window(load, rounds, active, writes)?);
        }
        Ok(median(windows))
    }

    fn window(&mut self, load: &str, rounds: usize, active: usize, writes: usize) -> Result<CostCell, WorkloadError> {
        let before = self.set.counters().clone();
        let started = Instant::now();
        for _ in 0..rounds {
            self.round(active, writes)?;
        }
        let instructions = started.elapsed().as_nanos() as u64;
        let after = self.set.counters();
        Ok(CostCell {
            subject: self.set.mechanism().name().to_owned(),
            load: load.to_owned(),
            work: (rounds * active * writes) as u64,
            instructions,
            events: after.events - before.events,
            signals: after.signals - before.signals,
            overflows: after.overflows - before.overflows,
            scan: None,
            curve: None,
        })
    }
}

/// Reads until the source would block, as an edge trigger requires.
fn drain(source: &mut UnixStream, buffer: &mut [u8]) -> Result<u64, WorkloadError> {
    let mut bytes = 0;
    loop {
        match source.read(buffer) {
            Ok(count) if count > 0 => bytes += count as u64,
            Ok(_) => return Err(WorkloadError::Io("read", io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(bytes),
            Err(error) => return Err(WorkloadError::Io("read", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_event::Mechanism;

    #[test]
    fn every_write_of_a_burst_is_read_and_counted_once() {
        for name in ["select", "epoll-edge", "epoll-oneshot"] {
            let set = InterestSet::open(Mechanism::named(name).expect("in the table")).expect("it opens");
            let mut pairs = Pairs::new(set);
            pairs.grow_to(4).expect("descriptors are left");
            let cell = pairs.measure("x", 2, 10).expect("nothing is lost");
            assert_eq!((cell.work, cell.events), (40, 4), "{name}");
        }
    }
}
