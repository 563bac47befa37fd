//! Load curves: how many requests a server answers, how fast, and with how much CPU, at a rate that does not depend on it.
//!
//! The server is `c10k serve` with one event loop, and the [generator](generator) is `c10k load --clock server`: the clock stands
//! still while the generator runs, and the generator runs before everything else. So the one processor is the server's, as if the
//! clients were on other machines, and what is measured is the same in every run.
//!
//! On loopback the sender of a packet also does what its receiver's kernel would do on a wire. So the generator does the kernel's
//! work to receive the requests, and the server that to receive the replies and their acknowledgements. What neither gets done in
//! time is done by a thread of the kernel, [before](network) everything else.

mod generator;
mod network;

use std::time::Duration;

use c10k_record::{CostCell, CurvePoint, LoadPhase, LoadSummary, ServeSummary};
use c10k_sys::scheduling::{Class, enter};
use rustix::time::{ClockId, clock_getres};

use super::client::idle_connections;
use super::error::WorkloadError;
use super::server_process::{ServerProcess, Start};
use super::task::{Subject, Task};
use generator::{Connections, Generator, Load};

/// The load curves of one study.
#[derive(Debug)]
pub(crate) struct Curve {
    /// Its name as a workload.
    pub(crate) name: &'static str,
    /// Each with how many connections the server accepts when its listener is ready.
    servers: &'static [(&'static str, &'static str)],
    levels: Levels,
    reply_bytes: usize,
}

/// What varies from point to point.
#[derive(Debug)]
enum Levels {
    /// The rate, next to these idle connections. Each request opens a connection of its own.
    Rate { idle: usize, rates: &'static [u32] },
    /// The rate, and the number of idle connections. Each request opens a connection of its own.
    RateAndIdle {
        idle: &'static [usize],
        rates: &'static [u32],
    },
    /// The number of connections, over which the requests go in turn.
    Connections {
        connections: &'static [usize],
        rates: &'static [u32],
    },
}

/// One point.
struct Level {
    load: String,
    rate: u32,
    connections: Connections,
}

/// Requests per second of the server's clock, in which it executes a billion instructions.
const RATES: &[u32] = &[1_000, 4_000, 8_000, 12_000, 16_000, 20_000];

/// Five times those of table 1 of the paper: 2,800, 3,000, 3,200, 3,400 and 4,000. So both are around the rate at which signals saturate.
const RATES_OF_TABLE_1: &[u32] = &[14_000, 15_000, 16_000, 17_000, 20_000];

/// Twice the rates of figures 3 to 5 of the paper.
const RATES_OF_FIGURE_4: &[u32] = &[1_000, 2_000];

/// The model of all servers.
const MODEL: &str = "event-loop";

/// The mechanisms of the paper, and those of today.
const SERVERS: &[(&str, &str)] = &[
    ("select", "one"),
    ("select", "all"),
    ("poll", "all"),
    ("dev-poll-kernel", "one"),
    ("dev-poll-kernel", "all"),
    ("rt-signal", "all"),
    ("signal-per-fd", "all"),
    ("epoll-edge", "all"),
    ("io-uring-poll", "all"),
];

/// The same, where connections are only opened before the measurement: how many are accepted at once does not matter.
const SERVERS_OF_KEPT: &[(&str, &str)] = &[
    ("select", "all"),
    ("poll", "all"),
    ("dev-poll-kernel", "all"),
    ("rt-signal", "all"),
    ("signal-per-fd", "all"),
    ("epoll-edge", "all"),
    ("io-uring-poll", "all"),
];

/// Those of table 1.
const SERVERS_OF_TABLE_1: &[(&str, &str)] = &[("rt-signal", "all"), ("signal-per-fd", "all")];

/// Figures 3, 4 and 5 of the paper.
pub(crate) const CONNECTIONS: Curve = Curve {
    name: "curve-connections",
    servers: SERVERS_OF_KEPT,
    levels: Levels::Connections {
        connections: &[250, 1_000, 3_000, 6_000],
        rates: RATES_OF_FIGURE_4,
    },
    reply_bytes: 92,
};

/// Figures 6 and 9 (a).
pub(crate) const IDLE_252: Curve = Curve {
    name: "curve-252-1b",
    servers: SERVERS,
    levels: Levels::Rate {
        idle: 252,
        rates: RATES,
    },
    reply_bytes: 1,
};

/// Figures 7 and 9 (b).
pub(crate) const IDLE_6000: Curve = Curve {
    name: "curve-6000-1b",
    servers: SERVERS,
    levels: Levels::Rate {
        idle: 6_000,
        rates: RATES,
    },
    reply_bytes: 1,
};

/// Figures 8 and 9 (c).
pub(crate) const IDLE_6000_6K: Curve = Curve {
    name: "curve-6000-6k",
    servers: SERVERS,
    levels: Levels::Rate {
        idle: 6_000,
        rates: RATES,
    },
    reply_bytes: 6_144,
};

/// Table 1.
pub(crate) const TABLE_1: Curve = Curve {
    name: "curve-table-1",
    servers: SERVERS_OF_TABLE_1,
    levels: Levels::RateAndIdle {
        idle: &[252, 6_000],
        rates: RATES_OF_TABLE_1,
    },
    reply_bytes: 1,
};

impl Curve {
    /// The names of its points.
    pub(crate) fn loads(&self) -> Vec<String> {
        self.levels().into_iter().map(|level| level.load).collect()
    }

    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let subject = |(mechanism, accept): &(&str, &str)| Subject::named(format!("{mechanism}/accept-{accept}"));
        self.servers.iter().map(subject).collect()
    }

    fn levels(&self) -> Vec<Level> {
        match self.levels {
            Levels::Rate { idle, rates } => {
                let level = |&rate| Level {
                    load: format!("rate={rate}"),
                    rate,
                    connections: Connections::New { idle },
                };
                rates.iter().map(level).collect()
            }
            Levels::RateAndIdle { idle, rates } => product(idle, rates, |idle, rate| Level {
                load: format!("idle={idle} rate={rate}"),
                rate,
                connections: Connections::New { idle },
            }),
            Levels::Connections { connections, rates } => product(connections, rates, |count, rate| Level {
                load: format!("connections={count} rate={rate}"),
                rate,
                connections: Connections::Kept { count },
            }),
        }
    }
}

fn product(counts: &[usize], rates: &[u32], level: impl Fn(usize, u32) -> Level) -> Vec<Level> {
    let pairs = rates
        .iter()
        .flat_map(|&rate| counts.iter().map(move |&count| (count, rate)));
    pairs.map(|(count, rate)| level(count, rate)).collect()
}

pub(super) fn run(task: &mut Task<'_>, curve: &Curve) -> Result<(), WorkloadError> {
    let name = task.subject.name.clone();
    let unknown = || WorkloadError::Server {
        subject: name.clone(),
        problem: "no server of a load curve has this name".to_owned(),
    };
    let (mechanism, accept) = name.split_once("/accept-").ok_or_else(unknown)?;
    for level in curve.levels() {
        if !task.is_selected(&level.load) {
            continue;
        }
        let server = Subject::named(format!("{MODEL}/{mechanism}"));
        match ServerProcess::start(&server, 0, &["--accept", accept])? {
            Start::Serving(server) => task.print(CostCell {
                subject: name.clone(),
                ..point(server, curve, level)?
            })?,
            Start::Unavailable(reason) => return task.unavailable(reason),
        }
    }
    Ok(())
}

/// Measures one server at one level.
fn point(server: ServerProcess, curve: &Curve, level: Level) -> Result<CostCell, WorkloadError> {
    wait_for_fine_timers();
    network::receive_first()?;
    let idle = match level.connections {
        Connections::New { idle } => idle_connections(server.address, idle)?,
        Connections::Kept { .. } => Vec::new(),
    };
    // Connections are accepted in turn, so all are accepted when this is answered.
    let before = server.counts()?;
    // This process reads the meters before the server runs on. It costs the server's clock the time of two readings.
    enter(Class::Fifo { priority: 1 })
        .map_err(|error| WorkloadError::Io("run before the server (SCHED_FIFO)", error))?;
    let mut generator = Generator::start(&Load {
        address: server.address,
        rate: level.rate,
        connections: level.connections,
        reply_bytes: curve.reply_bytes,
    })?;
    let from = (generator.wait_for(LoadPhase::Measuring)?, server.ran_ns()?);
    let to = (generator.wait_for(LoadPhase::Measured)?, server.ran_ns()?);
    generator.wait_for(LoadPhase::Closing)?;
    // Before the generator closes its connections, and this process its own.
    let after = server.counts()?;
    let load = generator.finish()?;
    server.stop_counting()?;
    drop(idle);
    Ok(cell(
        level.load,
        &load,
        (&before, &after),
        (to.0 - from.0, to.1 - from.1),
    ))
}

/// For a second after the boot, the kernel has only its tick of some milliseconds. If that does not change, the generator says so.
fn wait_for_fine_timers() {
    const LONGEST: Duration = Duration::from_secs(20);
    const STEP: Duration = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    while clock_getres(ClockId::Monotonic).tv_nsec > 1_000 && waited < LONGEST {
        std::thread::sleep(STEP);
        waited += STEP;
    }
}

/// `time` is the measured time on the server's clock, and how long the server ran in it.
fn cell(load: String, run: &LoadSummary, counts: (&ServeSummary, &ServeSummary), time: (u64, u64)) -> CostCell {
    let (before, after) = counts;
    let counted = |count: fn(&ServeSummary) -> u64| count(after).saturating_sub(count(before));
    CostCell {
        subject: String::new(),
        load,
        work: run.replies_measured,
        instructions: time.1,
        events: counted(|counts| counts.events),
        signals: counted(|counts| counts.signals),
        overflows: counted(|counts| counts.overflows),
        scan: None,
        curve: Some(CurvePoint {
            due: run.intended,
            answered: run.completed,
            elapsed_ns: time.0,
            waits: counted(|counts| counts.waits),
            replies_per_s: run.rate_achieved,
            response_ns_mean: run.latency_ns.mean,
            response_ns_p50: run.latency_ns.p50,
            response_ns_p99: run.latency_ns.p99,
            send_lag_ns_p99: run.send_lag_ns.p99,
        }),
    }
}
