//! The monitoring daemon `c10k monitor serve` with many subscribers: its CPU time and memory, and what it takes from a job that
//! runs on its CPU.
//!
//! The daemon and the job share the first CPU; the subscribers are on the second. Nothing else of the probe runs on the first
//! while it is measured. The job runs alone before the daemon is started and after it has ended, for a quarter of the measured
//! time each, so that a machine that becomes slower or faster all the while does not look like the daemon.
//!
//! The slowdown is measured in two ways: by the clock, and by CPU times. The second has the daemon's share of the CPU and what
//! it does to the job's caches, but not what other processes take from either.
//!
//! Memory per subscriber is what the daemon holds beyond itself without subscribers. A model that starts a thread for each place in
//! advance holds most of it before the first subscriber comes, so it is compared with a daemon that has one place.

use std::time::Duration;

use c10k_host::meter::available_memory;

use crate::daemon::{Daemon, cpu_time, memory};
use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME, names};
use crate::row::{Figure, Figures, Outcome, Probe};
use crate::subscribers::Subscribers;
use crate::task::pin;
use crate::triad::{Passes, Triad};
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "daemon-cost",
    summary: "the monitoring daemon with many subscribers, alone or next to a job on its CPU",
    options: &[
        TIME,
        OptionRow::by(BY, "The model of the daemon"),
        OptionRow {
            name: "subscribers",
            summary: "Subscribers, on the second CPU",
            kind: Kind::Count(1, 15_000),
            default: Some("1"),
            label: "subscribers",
            // A connection, and for some models a process or a thread.
            setup_us: 200,
        },
        OptionRow {
            name: "period",
            summary: "Time from one sample to the next; the measured time is rounded up to whole periods",
            kind: Kind::Duration,
            default: Some("100ms"),
            label: "period",
            setup_us: 0,
        },
        OptionRow {
            name: "job",
            summary: "What else runs on the daemon's CPU: nothing, or a triad over three arrays",
            kind: Kind::Word(JOB),
            default: Some("none"),
            label: "job",
            setup_us: 0,
        },
        OptionRow {
            name: "array-mib",
            summary: "Size of each array of the job, MiB; it should be larger than the last cache",
            kind: Kind::Count(1, 1024),
            default: Some("32"),
            label: "array of the job [MiB]",
            setup_us: 0,
        },
    ],
    figures: &[
        SAMPLE_CPU_US,
        LINE_CPU_US,
        CPU_PERCENT,
        LINES_SHARE,
        SUBSCRIBER_KIB,
        MACHINE_KIB,
        SLOWDOWN,
        SLOWDOWN_BY_CPU,
        JOB_CPU_RATIO,
        JOB_ALONE_US,
    ],
    run,
};

const SAMPLE_CPU_US: Figure = Figure {
    key: "sample_cpu_us",
    measure: "daemon-us-per-sample",
    label: "daemon's CPU time per sample",
    unit: "µs",
};
const LINE_CPU_US: Figure = Figure {
    key: "line_cpu_us",
    measure: "daemon-us-per-line",
    label: "daemon's CPU time per line",
    unit: "µs",
};
const CPU_PERCENT: Figure = Figure {
    key: "cpu_percent",
    measure: "daemon-percent",
    label: "CPU used by the daemon",
    unit: "%",
};
const LINES_SHARE: Figure = Figure {
    key: "lines_share",
    measure: "lines-share",
    label: "lines received ÷ lines due",
    unit: "",
};
const SUBSCRIBER_KIB: Figure = Figure {
    key: "subscriber_kib",
    measure: "subscriber-kib",
    label: "memory of the daemon per subscriber",
    unit: "KiB",
};
const MACHINE_KIB: Figure = Figure {
    key: "machine_kib",
    measure: "subscriber-machine-kib",
    label: "memory of the machine per subscriber",
    unit: "KiB",
};
const SLOWDOWN: Figure = Figure {
    key: "slowdown",
    measure: "slowdown",
    label: "time of the job next to the daemon ÷ alone",
    unit: "",
};
const SLOWDOWN_BY_CPU: Figure = Figure {
    key: "slowdown_by_cpu",
    measure: "slowdown-by-cpu",
    label: "slowdown of the job, by CPU times",
    unit: "",
};
const JOB_CPU_RATIO: Figure = Figure {
    key: "job_cpu_ratio",
    measure: "job-cpu-ratio",
    label: "CPU time of the job next to the daemon ÷ alone",
    unit: "",
};
const JOB_ALONE_US: Figure = Figure {
    key: "job_alone_us",
    measure: "job-alone-us",
    label: "time of a pass of the job alone",
    unit: "µs",
};

/// A model of the daemon, and how it is given the number of its subscribers.
#[derive(Debug, Clone, Copy)]
struct Model {
    name: &'static str,
    /// The most that it is asked to hold, and why.
    most: Option<(u64, &'static str)>,
    /// The flag that takes the number.
    flag: Option<&'static str>,
    /// Whether it has a thread for each of them before they come.
    starts_threads_first: bool,
}

const LOOP: Model = Model {
    name: "loop",
    most: None,
    flag: None,
    starts_threads_first: false,
};
const FORK: Model = Model {
    name: "fork",
    most: Some((4000, "4,000 processes are its default")),
    flag: Some("--max-subscribers"),
    starts_threads_first: false,
};
const POOL: Model = Model {
    name: "pool",
    most: Some((
        1000,
        "each connection wakes every thread that waits for one, so the time to open them grows with the square",
    )),
    flag: Some("--workers"),
    starts_threads_first: true,
};

const MODELS: [(&str, Model); 3] = [(LOOP.name, LOOP), (FORK.name, FORK), (POOL.name, POOL)];
const BY: &[&str] = &names(&MODELS);

/// Whether the job runs.
const JOBS: [(&str, bool); 2] = [("none", false), ("triad", true)];
const JOB: &[&str] = &names(&JOBS);

fn run(values: &Values) -> Outcome {
    let (near, far) = match values.cpus[..] {
        [] if !values.choice("job", &JOBS) => (None, None),
        [near, far, ..] => (Some(near), Some(far)),
        [] => {
            return Err(ProbeError::Impossible(
                "the job is to run on the daemon's CPU, and the subscribers on another: give two with --cpus A,B"
                    .to_owned(),
            ));
        }
        [_] => {
            return Err(ProbeError::Impossible(
                "the daemon and its subscribers take a CPU each: give two with --cpus A,B".to_owned(),
            ));
        }
    };
    check_most(values)?;
    let window = whole_periods(values.time(), values.duration("period"));
    let job = match values.choice("job", &JOBS) {
        true => Some(Triad::start(values.count("array-mib"))?),
        false => None,
    };
    pin(far)?;
    let alone = |job: &Triad| job.window(window / 4);
    let before = job.as_ref().map(alone).transpose()?;
    let mut measured = with_daemon(values, near, window, job.as_ref())?;
    let after = job.as_ref().map(alone).transpose()?;
    if let Some((alone, loaded)) = before
        .zip(after)
        .map(|(before, after)| before.plus(after))
        .zip(measured.passes)
    {
        let cpu_ratio = loaded.cpu_us() / alone.cpu_us().max(f64::MIN_POSITIVE);
        measured.figures.values.extend([
            (SLOWDOWN.key, loaded.wall_us() / alone.wall_us()),
            (
                SLOWDOWN_BY_CPU.key,
                cpu_ratio / (1.0 - measured.used_share).max(f64::MIN_POSITIVE),
            ),
            (JOB_CPU_RATIO.key, cpu_ratio),
            (JOB_ALONE_US.key, alone.wall_us()),
        ]);
    }
    Ok(measured.figures)
}

/// Refuses more subscribers than the model is asked to hold.
fn check_most(values: &Values) -> Result<(), ProbeError> {
    let (model, subscribers) = (values.choice("by", &MODELS), values.count("subscribers"));
    if let Some((most, why)) = model.most.filter(|(most, _)| subscribers > *most) {
        return Err(ProbeError::Impossible(format!(
            "{subscribers} subscribers are more than the {most} that the model {} is measured with: {why}",
            model.name
        )));
    }
    Ok(())
}

/// The flags of a daemon with a place for so many subscribers.
fn flags(values: &Values, places: u64) -> Vec<String> {
    let model = values.choice("by", &MODELS);
    let period = c10k_units::duration::exact(values.duration("period"));
    let mut flags = vec![
        "--model".to_owned(),
        model.name.to_owned(),
        "--period".to_owned(),
        period,
    ];
    if let Some(flag) = model.flag {
        flags.extend([flag.to_owned(), places.to_string()]);
    }
    flags
}

/// Memory before there are subscribers, bytes.
struct Baseline {
    /// What the machine has left; absent if the kernel does not tell.
    available: Option<u64>,
    /// What the daemon holds.
    held: u64,
}

impl Baseline {
    fn of(daemon: &Daemon) -> Result<Self, ProbeError> {
        Ok(Self {
            available: available_memory(),
            held: memory(&daemon.processes()?),
        })
    }

    /// That of a daemon with one place, which has ended when this returns.
    fn of_one_place(values: &Values, cpu: Option<usize>) -> Result<Self, ProbeError> {
        /// The first thread, the one that waits for signals, and the one that serves.
        const THREADS: u64 = 3;
        let daemon = Daemon::start(&flags(values, 1), cpu)?;
        daemon.wait_for_threads(THREADS)?;
        Self::of(&daemon)
    }
}

/// `time`, rounded up.
fn whole_periods(time: Duration, period: Duration) -> Duration {
    let periods = time.as_nanos().div_ceil(period.as_nanos().max(1)).max(1);
    period * u32::try_from(periods).unwrap_or(u32::MAX)
}

/// What was measured while the daemon ran.
struct Measured {
    figures: Figures,
    /// The daemon's CPU time ÷ the time of the window.
    used_share: f64,
    passes: Option<Passes>,
}

/// Starts the daemon, opens the subscriptions, lets it settle, takes lines for `window`, and ends it.
fn with_daemon(
    values: &Values,
    cpu: Option<usize>,
    window: Duration,
    job: Option<&Triad>,
) -> Result<Measured, ProbeError> {
    let (count, period) = (values.count("subscribers"), values.duration("period"));
    let with_one = match values.choice("by", &MODELS).starts_threads_first {
        true => Some(Baseline::of_one_place(values, cpu)?),
        false => None,
    };
    let daemon = Daemon::start(&flags(values, count), cpu)?;
    let before = with_one.map_or_else(|| Baseline::of(&daemon), Ok)?;
    let mut subscribers = Subscribers::connect(&daemon.address, count)?;
    subscribers.settle(period)?;
    let processes = daemon.processes()?;
    if let Some(job) = job {
        job.begin(window);
    }
    let used_before = cpu_time(&processes);
    let in_time = subscribers.receive(window)?;
    let used = cpu_time(&processes).saturating_sub(used_before);
    // Lines that were sent in the window and not read yet.
    let lines = in_time + subscribers.drain()?;
    let passes = job.map(Triad::end).transpose()?;
    let held = memory(&processes).saturating_sub(before.held);
    let taken = before
        .available
        .zip(available_memory())
        .map(|(before, now)| before.saturating_sub(now));
    drop(subscribers);
    check(&daemon.end()?, count, lines, window)?;
    let due = count as f64 * window.as_secs_f64() / period.as_secs_f64();
    let used_share = used.as_secs_f64() / window.as_secs_f64();
    let line_us = used.as_secs_f64() * 1e6 / lines as f64;
    let kib = |bytes: u64| bytes as f64 / 1024.0 / count as f64;
    let mut figures = vec![
        (SAMPLE_CPU_US.key, line_us * count as f64),
        (LINE_CPU_US.key, line_us),
        (CPU_PERCENT.key, 100.0 * used_share),
        (LINES_SHARE.key, lines as f64 / due),
        (SUBSCRIBER_KIB.key, kib(held)),
    ];
    figures.extend(taken.map(|taken| (MACHINE_KIB.key, kib(taken))));
    Ok(Measured {
        figures: Figures {
            operations: lines,
            values: figures,
        },
        used_share,
        passes,
    })
}

/// Refuses figures of a daemon that did not serve all subscribers.
fn check(
    summary: &c10k_record::MonitorSummary,
    subscribers: u64,
    lines: u64,
    window: Duration,
) -> Result<(), ProbeError> {
    let wrong = if lines == 0 {
        format!("no line came within {window:?}")
    } else if summary.subscribers_max != subscribers {
        format!(
            "the daemon counts {} subscribers of {subscribers}",
            summary.subscribers_max
        )
    } else if summary.lost_children > 0 {
        format!("{} processes of the daemon were lost", summary.lost_children)
    } else if !summary.reconciles() {
        "the daemon's counts of lines do not reconcile".to_owned()
    } else {
        return Ok(());
    };
    Err(ProbeError::Broken(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_time_is_whole_periods() {
        let ms = Duration::from_millis;
        assert_eq!(whole_periods(ms(300), ms(100)), ms(300));
        assert_eq!(whole_periods(ms(301), ms(100)), ms(400));
        assert_eq!(whole_periods(ms(300), ms(1000)), ms(1000));
        assert_eq!(whole_periods(Duration::ZERO, ms(7)), ms(7));
    }

    #[test]
    fn a_daemon_that_did_not_serve_all_is_refused_with_the_reason() {
        let summary = c10k_record::MonitorSummary {
            subscribers_max: 5,
            lines_due: 10,
            lines_sent: 9,
            lines_cut: 1,
            ..Default::default()
        };
        let window = Duration::from_secs(1);
        check(&summary, 5, 9, window).expect("all were served");
        let refused = |summary: &c10k_record::MonitorSummary, subscribers, lines| {
            let error = check(summary, subscribers, lines, window).expect_err("refused");
            assert!(error.is_finding(), "it is no limit of the machine: {error}");
            error.to_string()
        };
        assert_eq!(refused(&summary, 5, 0), "no line came within 1s");
        assert_eq!(refused(&summary, 6, 9), "the daemon counts 5 subscribers of 6");
        let lost = c10k_record::MonitorSummary {
            lost_children: 1,
            ..summary.clone()
        };
        assert_eq!(refused(&lost, 5, 9), "1 processes of the daemon were lost");
        let cut = c10k_record::MonitorSummary {
            lines_cut: 0,
            ..summary
        };
        assert!(refused(&cut, 5, 9).contains("reconcile"));
    }
}
