//! Load curves: how many requests a server answers, and how fast, at a rate that does not depend on it.
//!
//! The server is `c10k serve` with one event loop, and the generator is `c10k load --clock server`: the clock stands still while
//! the generator runs, and the generator runs before everything else. So the one processor is the server's, as if the clients
//! were on other machines, and what is measured is the same in every run. Each request opens a connection of its own, next to
//! idle connections that this process keeps open. Each rate gets a new server.
//!
//! On loopback the sender of a packet also does what its receiver's kernel would do on a wire. So the generator does the kernel's
//! work to receive the requests, and the server that to receive the replies and their acknowledgements.

use std::process::{Command, Stdio};

use c10k_record::{CostCell, CurvePoint, LoadRecord, LoadSummary, ServeSummary};

use super::client::{Client, idle_connections};
use super::error::WorkloadError;
use super::server_process::{ServerProcess, Start};
use super::task::{Subject, Task};

/// The server's connections and replies, as in three figures of the paper (6, 7 and 8).
pub(super) struct Figure {
    idle: usize,
    reply_bytes: usize,
}

pub(super) const IDLE_252: Figure = Figure {
    idle: 252,
    reply_bytes: 1,
};
pub(super) const IDLE_6000: Figure = Figure {
    idle: 6_000,
    reply_bytes: 1,
};
pub(super) const IDLE_6000_6K: Figure = Figure {
    idle: 6_000,
    reply_bytes: 6_144,
};

/// Requests per second of the server's clock, in which it executes a billion instructions.
const RATES: [u32; 8] = [250, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 20_000];

/// The times of a run, on the server's clock.
const TIMES: [&str; 6] = ["--warmup", "250ms", "--duration", "500ms", "--timeout", "2s"];

/// The model of all servers.
const MODEL: &str = "event-loop";

/// The mechanisms, each with how many connections the server accepts when its listener is ready: as in the paper, and the
/// mechanisms of today.
const SERVERS: &[(&str, &str)] = &[
    ("select", "one"),
    ("select", "all"),
    ("poll", "all"),
    ("dev-poll-kernel", "all"),
    ("rt-signal", "all"),
    ("signal-per-fd", "all"),
    ("epoll-edge", "all"),
    ("io-uring-poll", "all"),
];

pub(super) fn loads() -> Vec<String> {
    RATES.map(load).into()
}

fn load(rate: u32) -> String {
    format!("rate={rate}")
}

pub(crate) fn subjects() -> Vec<Subject> {
    let subject = |(mechanism, accept): &(&str, &str)| Subject::named(format!("{mechanism}/accept-{accept}"));
    SERVERS.iter().map(subject).collect()
}

pub(super) fn run(task: &mut Task<'_>, figure: &Figure) -> Result<(), WorkloadError> {
    let name = task.subject.name.clone();
    let unknown = || WorkloadError::Server {
        subject: name.clone(),
        problem: "no server of a load curve has this name".to_owned(),
    };
    let (mechanism, accept) = name.split_once("/accept-").ok_or_else(unknown)?;
    for rate in RATES {
        let load = load(rate);
        if !task.is_selected(&load) {
            continue;
        }
        let server = Subject::named(format!("{MODEL}/{mechanism}"));
        match ServerProcess::start(&server, figure.idle, &["--accept", accept])? {
            Start::Serving(server) => task.print(CostCell {
                subject: name.clone(),
                load,
                ..point(server, figure, rate)?
            })?,
            Start::Unavailable(reason) => return task.unavailable(reason),
        }
    }
    Ok(())
}

/// Measures one server at one rate.
fn point(server: ServerProcess, figure: &Figure, rate: u32) -> Result<CostCell, WorkloadError> {
    let idle = idle_connections(server.address, figure.idle)?;
    // Connections are accepted in turn, so all are accepted when this one is answered.
    Client::first_reply(server.address)?;
    let before_ns = server.ran_ns()?;
    let load = generate(&server, figure, rate)?;
    let ran_ns = server.ran_ns()? - before_ns;
    drop(idle);
    let served = server.stop_counting()?;
    Ok(cell(&load, &served, ran_ns))
}

fn generate(server: &ServerProcess, figure: &Figure, rate: u32) -> Result<LoadSummary, WorkloadError> {
    let failed = |error| WorkloadError::Io("run the generator", error);
    let output = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("load")
        .arg(format!("http://{}/bytes/{}", server.address, figure.reply_bytes))
        .args([
            "--clock",
            "server",
            "--json",
            "--no-probe",
            "--requests-per-connection",
            "1",
        ])
        .args(["--rate", &rate.to_string()])
        .args(TIMES)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    match summary {
        Some(LoadRecord::Summary(summary)) => Ok(*summary),
        _ => Err(WorkloadError::Server {
            subject: format!("the generator at {rate} requests a second"),
            problem: String::from_utf8_lossy(&output.stderr)
                .lines()
                .last()
                .unwrap_or("it printed nothing")
                .to_owned(),
        }),
    }
}

fn cell(load: &LoadSummary, served: &ServeSummary, ran_ns: u64) -> CostCell {
    CostCell {
        subject: String::new(),
        load: String::new(),
        work: served.replies,
        instructions: ran_ns,
        events: served.events,
        signals: served.signals,
        overflows: served.overflows,
        scan: None,
        curve: Some(CurvePoint {
            due: load.intended,
            answered: load.completed,
            replies_per_s: load.rate_achieved,
            response_ns_mean: load.latency_ns.mean,
            response_ns_p50: load.latency_ns.p50,
            response_ns_p99: load.latency_ns.p99,
            send_lag_ns_p99: load.send_lag_ns.p99,
        }),
    }
}
