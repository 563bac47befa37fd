//! The monitoring daemon: one sample for all subscribers, or one for each.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;

use crate::process_cost::reap;
use crate::timing::spin;
use crate::{Figures, Options, Outcome, ProbeError};

/// Bytes of a sample.
const SAMPLE: usize = 200;

/// The most subscribers that may be asked for.
const MOST: u64 = 5_000;

pub(crate) fn run(options: &Options) -> Outcome {
    if options.subscribers == 0 || options.subscribers > MOST {
        return Err(ProbeError::Impossible(format!(
            "--subscribers {} cannot be served: give 1 to {MOST}",
            options.subscribers
        )));
    }
    match options.by.as_str() {
        "shared" => shared(options),
        "forked" => forked(options),
        other => Err(ProbeError::Way {
            option: "by",
            value: other.to_owned(),
            known: "shared or forked",
        }),
    }
}

/// A connection: the server's end and the subscriber's.
struct Connection {
    server: OwnedFd,
    subscriber: OwnedFd,
}

fn connect(options: &Options) -> Result<Vec<Connection>, ProbeError> {
    (0..options.subscribers)
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

/// One process makes a sample and sends it to all. What the subscribers take is not timed.
fn shared(options: &Options) -> Outcome {
    let connections = connect(options)?;
    let sample = [b's'; SAMPLE];
    let (mut making, mut sending) = (Duration::ZERO, Duration::ZERO);
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < options.time || rounds == 0 {
        let begun = Instant::now();
        spin(options.sample);
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
            ("sample_us", microseconds(making, rounds)),
            ("send_us", microseconds(sending, rounds)),
            ("cost_us", microseconds(making + sending, rounds)),
        ],
    })
}

/// A process for each subscriber makes its own sample when its turn comes, as a daemon that forks for each connection
/// does. The turn is a byte from the subscriber; a round is over when all have their sample.
fn forked(options: &Options) -> Outcome {
    let mut connections = connect(options)?;
    let mut children: Vec<Pid> = Vec::new();
    for number in 0..connections.len() {
        let child = c10k_sys::process::fork(|| {
            // The subscribers' ends belong to the parent: a child that kept one would never see it closed.
            let server = connections.drain(..).nth(number).map(|connection| connection.server);
            server.map_or(1, |server| serve(&server, options.sample))
        });
        children.push(child.map_err(ProbeError::io(format!("fork for subscriber {number}")))?);
    }
    let outcome = rounds(options, &connections);
    drop(connections);
    children.into_iter().try_for_each(reap)?;
    outcome
}

fn rounds(options: &Options, connections: &[Connection]) -> Outcome {
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < options.time || rounds == 0 {
        for connection in connections {
            rustix::io::write(&connection.subscriber, b"?").map_err(ProbeError::call("asking for a sample"))?;
        }
        connections.iter().try_for_each(receive)?;
        rounds += 1;
    }
    Ok(Figures {
        operations: rounds,
        values: vec![("cost_us", microseconds(started.elapsed(), rounds))],
    })
}

fn serve(server: &OwnedFd, time: Duration) -> u8 {
    let mut turn = [0];
    while let Ok(1) = rustix::io::read(server, &mut turn) {
        spin(time);
        if rustix::io::write(server, &[b's'; SAMPLE]).is_err() {
            return 1;
        }
    }
    0
}
