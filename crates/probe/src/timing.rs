//! Repeating an operation for a while, and what it took.

use std::time::{Duration, Instant};

use crate::error::ProbeError;
use c10k_sys::rusage;

/// Operations done, and the time and the CPU that they took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) operations: u64,
    wall: Duration,
    cpu_ns: u64,
}

impl Timed {
    /// Wall time of an operation, microseconds.
    pub(crate) fn cost_us(self) -> f64 {
        self.wall.as_secs_f64() * 1e6 / self.operations.max(1) as f64
    }

    /// CPU time of an operation in this process and in children that have ended, microseconds.
    pub(crate) fn cpu_us(self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.operations.max(1) as f64
    }
}

/// Does `operation` once unmeasured, then again and again for `time`.
pub(crate) fn repeat(
    time: Duration,
    mut operation: impl FnMut() -> Result<(), ProbeError>,
) -> Result<Timed, ProbeError> {
    operation()?;
    let before = cpu_ns()?;
    let started = Instant::now();
    let mut operations = 0;
    loop {
        operation()?;
        operations += 1;
        let wall = started.elapsed();
        if wall >= time {
            return Ok(Timed {
                operations,
                wall,
                cpu_ns: cpu_ns()?.saturating_sub(before),
            });
        }
    }
}

fn cpu_ns() -> Result<u64, ProbeError> {
    let own = rusage::of_process().map_err(ProbeError::io("getrusage"))?;
    let children = rusage::of_children().map_err(ProbeError::io("getrusage"))?;
    let sum = own.plus(children);
    Ok(sum.user_ns + sum.system_ns)
}

/// The median of a sample; 0 of nothing.
pub(crate) fn median(sample: &mut [f64]) -> f64 {
    sample.sort_by(f64::total_cmp);
    sample.get(sample.len() / 2).copied().unwrap_or_default()
}

/// The smallest value that this share of the sample does not exceed; 0 of nothing.
pub(crate) fn quantile(sample: &mut [f64], share: f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let rank = (share * sample.len() as f64).ceil() as usize;
    sample.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// Computes for `time`, as making a sample or serving a request would.
pub(crate) fn spin(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_counted() {
        let mut calls = 0;
        let timed = repeat(Duration::from_millis(1), || {
            calls += 1;
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(timed.operations + 1, calls, "the first is not measured");
        assert!(timed.cost_us() > 0.0);
    }

    #[test]
    fn the_median_of_nothing_is_nothing() {
        assert!(median(&mut []).abs() < f64::EPSILON);
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_quantile_is_a_value_of_the_sample() {
        let mut sample: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (share, value) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert!((quantile(&mut sample, share) - value).abs() < f64::EPSILON, "{share}");
        }
        assert!(quantile(&mut [], 0.5).abs() < f64::EPSILON);
    }
}
