//! A monitoring daemon: one sample for all subscribers, or one for each.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;

use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME, names};
use crate::row::{COST_US, Figure, Figures, Outcome, Probe};
use crate::task::reap;
use crate::timing::spin;
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "fan-out",
    summary: "one round of samples to all subscribers of a monitoring daemon",
    options: &[
        TIME,
        OptionRow::by(
            BY,
            "Whether all subscribers share one sample, or a process for each makes its own",
        ),
        OptionRow {
            name: "subscribers",
            summary: "Subscribers",
            kind: Kind::Count(1, 5000),
            default: Some("1"),
            label: "subscribers",
            setup_us: 0,
        },
        OptionRow {
            name: "sample",
            summary: "CPU time that a sample takes",
            kind: Kind::Duration,
            default: Some("100us"),
            label: "work for a sample",
            setup_us: 0,
        },
    ],
    figures: &[COST_US, SAMPLE_US, SEND_US],
    run: |values| values.choice("by", &WAYS)(values),
};

const SAMPLE_US: Figure = Figure {
    key: "sample_us",
    measure: "sample-us",
    label: "time to make a sample",
    unit: "µs",
};
const SEND_US: Figure = Figure {
    key: "send_us",
    measure: "send-us",
    label: "time to send a sample to all",
    unit: "µs",
};

type Way = fn(&Values) -> Outcome;

const WAYS: [(&str, Way); 2] = [("shared", shared), ("forked", forked)];
const BY: &[&str] = &names(&WAYS);

/// Bytes of a sample.
const SAMPLE: usize = 200;

/// A connection: the server's end and the subscriber's.
struct Connection {
    server: OwnedFd,
    subscriber: OwnedFd,
}

fn connect(values: &Values) -> Result<Vec<Connection>, ProbeError> {
    (0..values.count("subscribers"))
        .map(|number| {
            let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
            let (server, subscriber) = pair.map_err(ProbeError::call(format!("connection {number} (ulimit -n)")))?;
            Ok(Connection { server, subscriber })
        })
        .collect()
}

/// Takes what a subscriber was sent.
fn receive(connection: &Connection) -> Result<(), ProbeError> {
    let mut sample = [0; SAMPLE];
    let mut received = 0;
    while received < SAMPLE {
        match rustix::io::read(&connection.subscriber, &mut sample[received..]) {
            Ok(0) => {
                return Err(ProbeError::Impossible(
                    "the server of a subscriber has ended".to_owned(),
                ));
            }
            Ok(count) => received += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(ProbeError::call("reading a sample")(errno)),
        }
    }
    Ok(())
}

fn microseconds(time: Duration, rounds: u64) -> f64 {
    time.as_secs_f64() * 1e6 / rounds.max(1) as f64
}

/// One process makes a sample and sends it to all subscribers. The time that the subscribers take is not counted.
fn shared(values: &Values) -> Outcome {
    let connections = connect(values)?;
    let (time, sample_time) = (values.time(), values.duration("sample"));
    let sample = [b's'; SAMPLE];
    let (mut making, mut sending) = (Duration::ZERO, Duration::ZERO);
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < time || rounds == 0 {
        let begun = Instant::now();
        spin(sample_time);
        let made = Instant::now();
        for connection in &connections {
            rustix::io::write(&connection.server, &sample).map_err(ProbeError::call("sending a sample"))?;
        }
        sending += made.elapsed();
        making += made.duration_since(begun);
        rounds += 1;
        connections.iter().try_for_each(receive)?;
    }
    Ok(Figures {
        operations: rounds,
        values: vec![
            (SAMPLE_US.key, microseconds(making, rounds)),
            (SEND_US.key, microseconds(sending, rounds)),
            (COST_US.key, microseconds(making + sending, rounds)),
        ],
    })
}

/// A process for each subscriber makes its own sample when it is asked, like a daemon that forks for each connection. A byte
/// from the subscriber asks; a round ends when all subscribers have their sample.
fn forked(values: &Values) -> Outcome {
    let mut connections = connect(values)?;
    let sample_time = values.duration("sample");
    let mut children: Vec<Pid> = Vec::new();
    for number in 0..connections.len() {
        let child = c10k_sys::process::fork(|| {
            // A child that kept a subscriber's end open would never see it closed.
            let server = connections.drain(..).nth(number).map(|connection| connection.server);
            server.map_or(1, |server| serve(&server, sample_time))
        });
        children.push(child.map_err(ProbeError::io(format!("fork for subscriber {number}")))?);
    }
    let outcome = rounds(values.time(), &connections);
    drop(connections);
    children.into_iter().try_for_each(reap)?;
    outcome
}

fn rounds(time: Duration, connections: &[Connection]) -> Outcome {
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < time || rounds == 0 {
        for connection in connections {
            rustix::io::write(&connection.subscriber, b"?").map_err(ProbeError::call("asking for a sample"))?;
        }
        connections.iter().try_for_each(receive)?;
        rounds += 1;
    }
    Ok(Figures {
        operations: rounds,
        values: vec![(COST_US.key, microseconds(started.elapsed(), rounds))],
    })
}

fn serve(server: &OwnedFd, time: Duration) -> u8 {
    let mut request = [0];
    while let Ok(1) = rustix::io::read(server, &mut request) {
        spin(time);
        if rustix::io::write(server, &[b's'; SAMPLE]).is_err() {
            return 1;
        }
    }
    0
}
