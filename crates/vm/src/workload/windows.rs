//! The windows of a cell: the same work is measured several times, and the median counts.

use std::time::{Duration, Instant};

use c10k_record::CostCell;
use c10k_units::duration;

use super::error::WorkloadError;

/// Windows of a cell.
pub(super) const WINDOWS: usize = 9;

/// A window: what the clock says that so many units of work take.
pub(super) fn window(
    load: &str,
    work: usize,
    run: impl FnOnce() -> Result<(), WorkloadError>,
) -> Result<CostCell, WorkloadError> {
    let started = Instant::now();
    run()?;
    Ok(CostCell {
        subject: String::new(),
        load: load.to_owned(),
        work: work as u64,
        instructions: started.elapsed().as_nanos() as u64,
        events: 0,
        signals: 0,
        overflows: 0,
        scan: None,
        curve: None,
    })
}

/// The window of median cost. The kernel's background work falls into a few windows only, so the median does not include it.
pub(super) fn median(mut windows: Vec<CostCell>) -> CostCell {
    windows.sort_by_key(|window| window.instructions);
    let middle = windows.len() / 2;
    windows.swap_remove(middle)
}

/// The window of median cost, measured once consecutive windows cost the same: a server may still be starting workers for
/// its idle connections when it answers the first requests.
pub(super) fn stable_median(
    load: &str,
    window: &mut dyn FnMut() -> Result<CostCell, WorkloadError>,
) -> Result<CostCell, WorkloadError> {
    /// How many consecutive windows must agree, and within which part of their cost; and how many windows that may take.
    const AGREE: (usize, u64) = (4, 50);
    const MOST: usize = 2_000;
    let mut last = Vec::new();
    let is_stable = |last: &[u64]| {
        let recent = &last[last.len().saturating_sub(AGREE.0)..];
        let (min, max) = (recent.iter().min(), recent.iter().max());
        recent.len() == AGREE.0 && min.zip(max).is_some_and(|(min, max)| max - min <= min / AGREE.1)
    };
    while !is_stable(&last) {
        if last.len() == MOST {
            return Err(WorkloadError::Inexact {
                load: load.to_owned(),
                why: format!("the cost of {MOST} windows did not become stable"),
            });
        }
        last.push(window()?.instructions);
    }
    let busy = Busy::start()?;
    let windows: Result<Vec<_>, _> = (0..WINDOWS).map(|_| window()).collect();
    busy.check(load)?;
    Ok(median(windows?))
}

/// Checks that the processor is never idle while windows are measured. The guest's clock jumps over idle time, so idle time
/// would be counted as instructions.
struct Busy {
    started: Instant,
    ran: Duration,
}

impl Busy {
    fn start() -> Result<Self, WorkloadError> {
        Ok(Self {
            started: Instant::now(),
            ran: ran()?,
        })
    }

    fn check(&self, load: &str) -> Result<(), WorkloadError> {
        let took = self.started.elapsed();
        let ran = ran()?.saturating_sub(self.ran);
        // The kernel adds a process's time when it switches to another, so the two may differ by a few switches.
        if took.saturating_sub(ran) > took / 50 {
            return Err(WorkloadError::Inexact {
                load: load.to_owned(),
                why: format!(
                    "the processor ran for {} of {} and was idle for the rest",
                    duration::exact(ran),
                    duration::exact(took)
                ),
            });
        }
        Ok(())
    }
}

/// The time that processes have run on the first processor: the seventh number of its line in `/proc/schedstat`
/// (the kernel's `Documentation/scheduler/sched-stats.rst`).
fn ran() -> Result<Duration, WorkloadError> {
    let failed = |error| WorkloadError::Io("read /proc/schedstat", error);
    let text = std::fs::read_to_string("/proc/schedstat").map_err(failed)?;
    let line = text.lines().find(|line| line.starts_with("cpu0 "));
    let figure = line.and_then(|line| line.split_whitespace().nth(7)?.parse().ok());
    let figure = figure.ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))?;
    Ok(Duration::from_nanos(figure))
}
