//! A job that uses memory as fast as it can: `a[i] = b[i] + 3 × c[i]`, over arrays that no cache holds.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use c10k_sys::rusage;

use crate::error::ProbeError;

/// What the job did in a window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passes {
    /// Times that the arrays were gone through.
    pub(crate) count: u64,
    pub(crate) wall: Duration,
    /// CPU time of the job.
    pub(crate) cpu: Duration,
}

impl Passes {
    /// Both windows together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
        }
    }

    /// Wall time of a pass, microseconds.
    pub(crate) fn wall_us(self) -> f64 {
        self.wall.as_secs_f64() * 1e6 / self.count.max(1) as f64
    }

    /// CPU time of a pass, microseconds.
    pub(crate) fn cpu_us(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count.max(1) as f64
    }
}

/// The job: a thread that waits between its windows. It runs where the thread that started it ran.
pub(crate) struct Triad {
    windows: Option<Sender<Duration>>,
    done: Receiver<Result<Passes, ProbeError>>,
    thread: Option<JoinHandle<()>>,
}

impl Triad {
    /// Starts the job on three arrays of `mib` MiB each. They have been gone through once when it takes its first window.
    pub(crate) fn start(mib: u64) -> Result<Self, ProbeError> {
        let (windows, asked) = channel();
        let (sender, done) = channel();
        let work = move || run(mib, &asked, &sender);
        let thread = std::thread::Builder::new().name("triad".to_owned()).spawn(work);
        Ok(Self {
            windows: Some(windows),
            done,
            thread: Some(thread.map_err(ProbeError::io("starting the job"))?),
        })
    }

    /// Begins a window of `time`; a pass that was begun is finished.
    pub(crate) fn begin(&self, time: Duration) {
        if let Some(windows) = &self.windows {
            // If the job has ended, `end` says so.
            let _ = windows.send(time);
        }
    }

    /// Waits for the end of the window that was begun.
    pub(crate) fn end(&self) -> Result<Passes, ProbeError> {
        let ended = |_| ProbeError::Impossible("the job has ended".to_owned());
        self.done.recv().map_err(ended)?
    }

    /// A window from its begin to its end.
    pub(crate) fn window(&self, time: Duration) -> Result<Passes, ProbeError> {
        self.begin(time);
        self.end()
    }
}

impl Drop for Triad {
    fn drop(&mut self) {
        drop(self.windows.take());
        if let Some(thread) = self.thread.take() {
            // It only computes, so it cannot have panicked.
            let _ = thread.join();
        }
    }
}

fn run(mib: u64, asked: &Receiver<Duration>, done: &Sender<Result<Passes, ProbeError>>) {
    let length = (mib * 1024 * 1024) as usize / size_of::<f64>();
    let (mut a, b, c) = (vec![1.0; length], vec![2.0; length], vec![0.5; length]);
    pass(&mut a, &b, &c);
    while let Ok(time) = asked.recv() {
        if done.send(window(time, || pass(&mut a, &b, &c))).is_err() {
            return;
        }
    }
}

fn pass(a: &mut [f64], b: &[f64], c: &[f64]) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = b + 3.0 * c;
    }
    // Otherwise a pass would be no work, as nobody reads its result.
    std::hint::black_box(a);
}

fn window(time: Duration, mut pass: impl FnMut()) -> Result<Passes, ProbeError> {
    let cpu_ns = || {
        let usage = rusage::of_thread().map_err(ProbeError::io("getrusage"))?;
        Ok(usage.user_ns + usage.system_ns)
    };
    let (before_ns, begun) = (cpu_ns()?, Instant::now());
    let mut count = 0;
    loop {
        pass();
        count += 1;
        let wall = begun.elapsed();
        if wall >= time {
            let cpu = Duration::from_nanos(cpu_ns()?.saturating_sub(before_ns));
            return Ok(Passes { count, wall, cpu });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_computes_every_element() {
        let mut a = [0.0; 5];
        pass(&mut a, &[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0; 5]);
        assert!(
            a.iter()
                .zip([4.0, 5.0, 6.0, 7.0, 8.0])
                .all(|(a, b)| (a - b).abs() < f64::EPSILON),
            "{a:?}"
        );
    }

    #[test]
    fn windows_have_whole_passes_and_add_up() {
        let job = Triad::start(1).expect("a thread");
        let first = job.window(Duration::from_nanos(1)).expect("it runs");
        let second = job.window(Duration::from_millis(3)).expect("it runs");
        assert!(first.count >= 1 && second.wall >= Duration::from_millis(3));
        let sum = first.plus(second);
        assert_eq!(
            (sum.count, sum.wall),
            (first.count + second.count, first.wall + second.wall)
        );
        assert!(sum.wall_us() > 0.0);
    }
}
