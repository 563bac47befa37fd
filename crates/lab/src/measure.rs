//! The measures that claims and figures can use: one row each, read from a cell's record.

mod overload;

use std::sync::LazyLock;

use c10k_record::{CallRecord, CellRecord, CellStatus, LoadRow, LoadSummary, Meters, ServeSummary};

use crate::rows;
use crate::stats::counts::{Counted, Law};

/// One measure.
pub(crate) struct Measure {
    /// Its name in an experiment.
    pub(crate) name: &'static str,
    /// Its label on an axis.
    pub(crate) label: &'static str,
    /// Its unit; empty for plain numbers.
    pub(crate) unit: &'static str,
    reading: Reading,
}

/// Reads the events of a record.
type Events = fn(&CellRecord) -> Option<Counted>;

/// Where the value of a measure comes from.
enum Reading {
    Record(fn(&CellRecord) -> Option<f64>),
    /// A count of events: the ratio of what the function returns. Its interval is exact, by this law.
    Count(Law, Events),
    /// A rate of events of the passes in which system calls and context switches are counted, rather than of the blocks.
    Pass(Events),
    /// A time of the row of a mix at this place, nanoseconds. There is none without a mix, or if the row has no reply.
    Row(usize, fn(&LoadRow) -> u64),
    /// A figure that a probe prints, by its key.
    Figure(&'static str),
}

impl Measure {
    /// Its value in a record; `None` if the record does not have it.
    pub(crate) fn read(&self, record: &CellRecord) -> Option<f64> {
        match self.reading {
            Reading::Record(read) => read(record),
            Reading::Count(_, count) | Reading::Pass(count) => count(record).map(Counted::ratio),
            Reading::Row(place, read) => {
                let row = record.load.as_ref()?.rows.get(place)?;
                (row.completed > 0).then(|| read(row) as f64 / 1e6)
            }
            Reading::Figure(key) => record.probe.as_ref()?.values.get(key).copied(),
        }
    }

    /// How it counts events, if it does: their law, and those of a record.
    pub(crate) fn counting(&self) -> Option<(Law, Events)> {
        match self.reading {
            Reading::Count(law, count) => Some((law, count)),
            Reading::Pass(count) => Some((Law::Rate, count)),
            Reading::Record(_) | Reading::Row(..) | Reading::Figure(_) => None,
        }
    }

    /// Whether it is a measure of one of two requests, which a load without a mix does not have.
    pub(crate) fn is_of_a_row(&self) -> bool {
        matches!(self.reading, Reading::Row(..))
    }

    /// Whether it needs the end of a server.
    pub(crate) fn is_of_the_whole_run(&self) -> bool {
        OF_THE_WHOLE_RUN.iter().any(|measure| measure.name == self.name)
    }

    /// Whether it is read in the passes that count, rather than in the blocks.
    pub(crate) fn is_per_pass(&self) -> bool {
        matches!(self.reading, Reading::Pass(_))
    }
}

const fn measure(
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    read: fn(&CellRecord) -> Option<f64>,
) -> Measure {
    Measure {
        name,
        label,
        unit,
        reading: Reading::Record(read),
    }
}

/// The places of the two requests of a mix in the record: that of `path` or `reply`, and the other one.
const MAIN: usize = 0;
const OTHER: usize = 1;

/// A time of one of the requests of a mix, which `read` returns in nanoseconds.
const fn of_row(place: usize, name: &'static str, label: &'static str, read: fn(&LoadRow) -> u64) -> Measure {
    Measure {
        name,
        label,
        unit: "ms",
        reading: Reading::Row(place, read),
    }
}

/// A measure that counts events, at a rate or as a share of trials.
const fn count(law: Law, name: &'static str, label: &'static str, read: Events) -> Measure {
    Measure {
        name,
        label,
        unit: "",
        reading: Reading::Count(law, read),
    }
}

/// A measure that is counted in a pass of its own.
const fn counted_measure(name: &'static str, label: &'static str, read: Events) -> Measure {
    Measure {
        name,
        label,
        unit: "",
        reading: Reading::Pass(read),
    }
}

/// Calls that servers of other projects use to wait for events, in addition to those of the mechanisms' rows.
const OTHER_WAITS: &[&str] = &["epoll_pwait", "io_uring_enter", "poll", "select"];

/// Calls that a server may wait with, but that it also uses for other things: `read` takes signals from a signalfd, and
/// data from files. They count as waits only if the server reports that it waits with them.
const AMBIGUOUS_WAITS: &[&str] = &["read"];

/// A row for one call that a claim may be about.
macro_rules! by_name {
    ($name:literal) => {
        counted_measure(
            concat!("syscall-", $name, "-per-request"),
            concat!("calls of ", $name, " per request"),
            |record| counted(record, |name| name == $name),
        )
    };
}

static MEASURES: &[Measure] = &[
    measure("cpu-percent", "CPU used by the server", "%", |record| {
        share_percent(record, |meters| Some(meters.cpu_run_ns))
    }),
    measure(
        "cpu-percent-idle-counter",
        "CPU used, by the idle counter",
        "%",
        |record| share_percent(record, |meters| meters.cpu_idle_counter_ns),
    ),
    measure("cpu-percent-busy", "CPU used, by busy time of the CPU", "%", |record| {
        share_percent(record, |meters| meters.cpu_busy_ns)
    }),
    measure("cpu-us-per-request", "CPU per request", "µs", |record| {
        us_per_request(record, |meters| Some(meters.cpu_run_ns))
    }),
    measure(
        "cpu-us-per-request-idle-counter",
        "CPU per request, by the idle counter",
        "µs",
        |record| us_per_request(record, |meters| meters.cpu_idle_counter_ns),
    ),
    measure(
        "cpu-us-per-request-busy",
        "CPU per request, by busy time of the CPU",
        "µs",
        |record| us_per_request(record, |meters| meters.cpu_busy_ns),
    ),
    measure(
        "cpu-speed",
        "speed of the server's CPU, loops of the idle counter per second of its own time",
        "/s",
        |record| cpu_speed(record.meters.as_ref()?),
    ),
    measure("reply-rate", "replies per second", "/s", |record| {
        load(record, |load| load.rate_achieved)
    }),
    measure("offered-rate", "requests offered per second", "/s", |record| {
        load(record, |load| load.rate_offered)
    }),
    count(Law::Share, "reply-share", "reply rate ÷ request rate", |record| {
        let load = record.load.as_ref()?;
        Counted::new(
            load.rate_achieved * load.duration_s,
            load.rate_offered * load.duration_s,
        )
    }),
    count(
        Law::Share,
        "last-quarter-share",
        "replies ÷ requests, in the last quarter",
        |record| {
            let load = record.load.as_ref()?;
            Counted::new(load.replies_by_quarter[3] as f64, load.due_by_quarter[3] as f64)
        },
    ),
    count(Law::Share, "answered-share", "share of requests answered", |record| {
        let load = record.load.as_ref()?;
        Counted::new(load.completed as f64, load.intended as f64)
    }),
    measure("response-ms", "response time, mean", "ms", |record| {
        answered(record, |load| load.latency_ns.mean / 1e6)
    }),
    measure("response-ms-p50", "response time, median", "ms", |record| {
        answered(record, |load| load.latency_ns.p50 as f64 / 1e6)
    }),
    measure("response-ms-p99", "response time, 99th percentile", "ms", |record| {
        answered(record, |load| load.latency_ns.p99 as f64 / 1e6)
    }),
    measure(
        "response-p99-to-p50",
        "response time, 99th percentile ÷ median",
        "",
        |record| {
            let load = record.load.as_ref().filter(|load| load.completed > 0)?;
            ratio(load.latency_ns.p99 as f64, load.latency_ns.p50 as f64)
        },
    ),
    of_row(MAIN, "response-ms-p50-main", "main requests, median", |row| {
        row.latency_ns.p50
    }),
    of_row(MAIN, "response-ms-p90-main", "main requests, 90th percentile", |row| {
        row.latency_ns.p90
    }),
    of_row(MAIN, "response-ms-p99-main", "main requests, 99th percentile", |row| {
        row.latency_ns.p99
    }),
    of_row(OTHER, "response-ms-p50-other", "other requests, median", |row| {
        row.latency_ns.p50
    }),
    of_row(
        OTHER,
        "response-ms-p99-other",
        "other requests, 99th percentile",
        |row| row.latency_ns.p99,
    ),
    measure("service-ms", "service time, mean", "ms", |record| {
        answered(record, |load| load.service_ns.mean / 1e6)
    }),
    measure(
        "send-lag-ms-p99",
        "send lag of the generator, 99th percentile",
        "ms",
        |record| load(record, |load| load.send_lag_ns.p99 as f64 / 1e6),
    ),
    measure(
        "generator-percent",
        "CPU of the generator's busiest thread",
        "%",
        |record| load(record, |load| load.client.busiest_thread_percent),
    ),
    measure("in-system", "requests in the system, counted", "", |record| {
        load(record, |load| load.in_system_mean).filter(|mean| *mean > 0.0)
    }),
    measure(
        "in-system-by-times",
        "requests in the system, by Little's law",
        "",
        |record| answered(record, |load| load.rate_achieved * load.latency_ns.mean / 1e9),
    ),
    count(
        Law::Rate,
        "switches-per-request",
        "context switches per request",
        |record| per_request(record, |meters| meters.switches_voluntary + meters.switches_involuntary),
    ),
    count(
        Law::Rate,
        "interrupts-per-request",
        "interrupts per request",
        |record| per_request(record, |meters| meters.interrupts),
    ),
    count(Law::Rate, "softirqs-per-request", "softirqs per request", |record| {
        per_request(record, |meters| meters.softirqs)
    }),
    count(Law::Rate, "forks-per-request", "tasks created per request", |record| {
        per_request(record, |meters| meters.forks)
    }),
    count(
        Law::Rate,
        "faults-per-request",
        "page faults of the server per request",
        |record| per_request(record, |meters| meters.page_faults),
    ),
    counted_measure(
        "all-switches-per-request",
        "context switches per request, those of tasks that ended included",
        |record| {
            let calls = counted_in_pass(record)?;
            calls_and_requests(calls, calls.switches?)
        },
    ),
    counted_measure(
        "syscalls-per-request",
        "system calls of the server per request",
        |record| counted(record, |_| true),
    ),
    by_name!("accept4"),
    by_name!("clone3"),
    by_name!("close"),
    by_name!("epoll_ctl"),
    by_name!("epoll_pwait2"),
    by_name!("fcntl"),
    by_name!("futex"),
    by_name!("io_uring_enter"),
    by_name!("read"),
    by_name!("recvfrom"),
    by_name!("sendto"),
    by_name!("write"),
    by_name!("writev"),
    count(
        Law::Rate,
        "lost-connections",
        "requests refused, reset or cut off",
        |record| Counted::new(lost(record.load.as_ref()?), 1.0),
    ),
    count(
        Law::Share,
        "lost-share",
        "share of requests refused or cut off",
        |record| {
            let load = record.load.as_ref()?;
            Counted::new(lost(load), load.intended as f64)
        },
    ),
    count(
        Law::Share,
        "failed-share",
        "share of requests without a good reply",
        |record| {
            let load = record.load.as_ref()?;
            Counted::new(
                load.intended.saturating_sub(load.completed) as f64,
                load.intended as f64,
            )
        },
    ),
];

/// The kinds of failure that a connection has if the listener, or the process behind it, goes away.
const LOST: [&str; 3] = ["connrefused", "connreset", "truncated"];

/// Requests that failed because their connection was lost.
fn lost(load: &LoadSummary) -> f64 {
    let lost: u64 = LOST.iter().filter_map(|kind| load.errors.get(*kind)).sum();
    lost as f64
}
/// What needs an overload in the middle of the measured time.
static OF_AN_OVERLOAD: &[Measure] = &[
    measure(
        "goodput-share",
        "goodput during the overload ÷ the limit",
        "",
        overload::goodput_share,
    ),
    measure(
        "recovery-ms",
        "time to recover after the overload",
        "ms",
        overload::recovery_ms,
    ),
];

/// What needs the end of a server: its own counts until then, and the memory that it holds with all its connections. A window
/// of a server that runs on has none of it.
static OF_THE_WHOLE_RUN: &[Measure] = &[
    counted_measure(
        "syscall-waits-per-request",
        "system calls that wait for events, per request",
        waits_per_request,
    ),
    count(
        Law::Rate,
        "dispatch-calls-per-request",
        "system calls of the dispatch path per request, by the server's own count",
        |record| {
            let server = record.server.as_ref()?;
            Counted::new(server.syscalls.values().sum::<u64>() as f64, server.replies as f64)
        },
    ),
    count(Law::Rate, "events-per-wait", "events per wait", |record| {
        let server = record.server.as_ref()?;
        Counted::new(server.events as f64, server.waits as f64)
    }),
    count(Law::Rate, "signals", "signals dequeued", |record| {
        server(record, |server| server.signals)
    }),
    count(
        Law::Rate,
        "signals-read",
        "signals read, without those thrown away",
        |record| server(record, read_signals),
    ),
    count(Law::Rate, "overflows", "overflows of the queue", |record| {
        server(record, |server| server.overflows)
    }),
    count(Law::Rate, "rescans", "rescans of the interest set", |record| {
        server(record, |server| server.rescans)
    }),
    count(
        Law::Share,
        "overflows-per-signal",
        "overflows of the queue per signal read",
        |record| {
            let server = record.server.as_ref()?;
            Counted::new(server.overflows as f64, read_signals(server) as f64)
        },
    ),
    measure("accept-imbalance", "busiest worker ÷ a fair share", "", |record| {
        let accepted = &record.server.as_ref()?.accepted_by_worker;
        let fair = ratio(accepted.iter().sum::<u64>() as f64, accepted.len() as f64)?;
        ratio(*accepted.iter().max()? as f64, fair)
    }),
    measure("pss-kib", "memory of the server", "KiB", |record| {
        kib(record.meters.as_ref()?.pss_bytes)
    }),
    measure("page-table-kib", "page tables of the server", "KiB", |record| {
        kib(record.meters.as_ref()?.page_table_bytes)
    }),
    measure("kernel-kib", "growth of the kernel's memory", "KiB", |record| {
        let meters = record.meters.as_ref()?;
        let bytes = meters.slab_growth_bytes? + meters.stacks_growth_bytes? + meters.page_tables_growth_bytes?;
        Some(bytes as f64 / 1024.0)
    }),
    measure(
        "pss-kib-per-connection",
        "server's memory per connection",
        "KiB",
        |record| {
            let meters = record.meters.as_ref()?;
            ratio(meters.pss_bytes? as f64 / 1024.0, meters.open_connections? as f64)
        },
    ),
    measure(
        "slab-kib-per-connection",
        "kernel slab per connection",
        "KiB",
        |record| {
            let meters = record.meters.as_ref()?;
            ratio(
                meters.slab_growth_bytes? as f64 / 1024.0,
                meters.open_connections? as f64,
            )
        },
    ),
];

/// The figures of the registered probes. A figure that several probes print is one measure.
static FIGURES: LazyLock<Vec<Measure>> = LazyLock::new(|| {
    let mut measures: Vec<Measure> = Vec::new();
    for figure in rows::get().probes.iter().flat_map(|probe| &probe.figures) {
        if measures.iter().all(|measure| measure.name != figure.measure) {
            measures.push(Measure {
                name: &figure.measure,
                label: &figure.label,
                unit: &figure.unit,
                reading: Reading::Figure(&figure.key),
            });
        }
    }
    measures
});

/// Every measure.
pub(crate) fn all() -> impl Iterator<Item = &'static Measure> {
    let own = MEASURES.iter().chain(OF_AN_OVERLOAD).chain(OF_THE_WHOLE_RUN);
    own.chain(FIGURES.iter())
}

/// The measure of that name.
pub(crate) fn find(name: &str) -> Option<&'static Measure> {
    all().find(|measure| measure.name == name)
}

/// All names, for messages.
pub(crate) fn names() -> String {
    all().map(|measure| measure.name).collect::<Vec<_>>().join(", ")
}

impl Measure {
    /// Its label with its unit.
    pub(crate) fn label_with_unit(&self) -> String {
        if self.unit.is_empty() {
            self.label.to_owned()
        } else {
            format!("{} [{}]", self.label, self.unit)
        }
    }
}

/// The measure whose ratios can be adjusted to equal speeds of the CPU.
pub(crate) const ADJUSTED: &str = "cpu-us-per-request";

/// The speed of the server's CPU during the measurement: loops of the idle counter per second of its own run time. A
/// neighbour on the same core slows the server and the counter equally; steal time does not show this. `None` if the counter
/// hardly ran.
pub(crate) fn cpu_speed(meters: &Meters) -> Option<f64> {
    /// Less run time than this gives no reliable speed, nanoseconds.
    const ENOUGH_NS: u64 = 10_000_000;
    let run_ns = meters.idle_run_ns.filter(|&run_ns| run_ns >= ENOUGH_NS)?;
    ratio(meters.idle_loops? as f64 * 1e9, run_ns as f64)
}

fn read_signals(server: &ServeSummary) -> u64 {
    server.signals.saturating_sub(server.discarded_signals)
}

fn kib(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64 / 1024.0)
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

fn load(record: &CellRecord, read: fn(&LoadSummary) -> f64) -> Option<f64> {
    record.load.as_ref().map(read)
}

/// Without a recorded value there are no percentiles.
fn answered(record: &CellRecord, read: fn(&LoadSummary) -> f64) -> Option<f64> {
    record.load.as_ref().filter(|load| load.completed > 0).map(read)
}

/// What the server counted in its whole life, in one block.
fn server(record: &CellRecord, read: fn(&ServeSummary) -> u64) -> Option<Counted> {
    Counted::new(read(record.server.as_ref()?) as f64, 1.0)
}

fn share_percent(record: &CellRecord, time_ns: fn(&Meters) -> Option<u64>) -> Option<f64> {
    let meters = record.meters.as_ref()?;
    ratio(100.0 * time_ns(meters)? as f64, meters.wall_ns as f64)
}

/// A time as a share of the interval between the two readings ÷ the replies per second. The interval of the meters and that
/// of the generator differ by the delay of the readings, so each value is divided by the length of its own interval.
fn us_per_request(record: &CellRecord, time_ns: fn(&Meters) -> Option<u64>) -> Option<f64> {
    let percent = share_percent(record, time_ns)?;
    ratio(percent / 100.0 * 1e6, record.load.as_ref()?.rate_achieved)
}

/// Between the two readings, and the requests answered in that time.
fn per_request(record: &CellRecord, count: fn(&Meters) -> u64) -> Option<Counted> {
    let meters = record.meters.as_ref()?;
    let seconds = meters.wall_ns as f64 / 1e9;
    Counted::new(count(meters) as f64, record.load.as_ref()?.rate_achieved * seconds)
}

/// What the pass has counted in this cell, if it was valid.
fn counted_in_pass(record: &CellRecord) -> Option<&CallRecord> {
    record
        .calls
        .as_ref()
        .filter(|calls| calls.status == CellStatus::Measured)
}

/// Calls in the counting pass, per second of its window, ÷ the replies per second of the same run. `None` if no
/// pass has counted this cell.
fn counted(record: &CellRecord, wanted: impl Fn(&str) -> bool) -> Option<Counted> {
    let calls = counted_in_pass(record)?;
    let of_interest = calls.by_name.iter().filter(|(name, _)| wanted(name));
    let count: u64 = of_interest.map(|(_, count)| count).sum();
    calls_and_requests(calls, count)
}

/// A server with an event mechanism reports the calls that it waits with. The same call may be a wait on one mechanism and
/// not on another: `read` of a signalfd or of a file, `ppoll` of the whole set or of one source that was just declared.
/// For any other server, every call that is only used for waiting counts.
fn waits_per_request(record: &CellRecord) -> Option<Counted> {
    let reported = record.server.as_ref().map_or(&[][..], |server| &server.wait_calls);
    let is_wait = |name: &str| {
        if reported.is_empty() {
            let known = rows::get().wait_calls.iter().any(|wait| wait == name) || OTHER_WAITS.contains(&name);
            known && !AMBIGUOUS_WAITS.contains(&name)
        } else {
            reported.iter().any(|wait| wait == name)
        }
    };
    counted(record, is_wait)
}

/// A count of the counting pass per request.
pub(crate) fn calls_per_request(calls: &CallRecord, count: u64) -> Option<f64> {
    calls_and_requests(calls, count).map(Counted::ratio)
}

fn calls_and_requests(calls: &CallRecord, count: u64) -> Option<Counted> {
    Counted::new(count as f64, calls.rate_achieved * calls.window_ns as f64 / 1e9)
}

#[cfg(test)]
mod tests;
