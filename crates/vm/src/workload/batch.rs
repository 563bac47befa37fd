//! What a request costs if several arrive together.
//!
//! The client has a connection for each request of a batch. It writes a request on each, and then reads a reply from each. The
//! server runs in between, and finds all of them ready. As with [`request`](super::request), everything that the machine executes
//! is counted, and the client's share is subtracted: half of an exchange of the same batches with a bare server, which reads
//! and answers one connection after the other.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use c10k_record::CostCell;
use c10k_sys::scheduling::{Class, enter};

use super::bare::Bare;
use super::client::{Client, REQUEST, idle_connections};
use super::error::WorkloadError;
use super::server_process::{ServerProcess, Start};
use super::task::{Subject, Task};
use super::windows::{stable_median, window};

/// How many requests arrive together.
const BATCHES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, MOST];

/// The largest batch, and the requests of a window.
const MOST: usize = 256;

/// epoll, and the uses of io_uring: polling, completions, and completions with each option of a ring that is not the default.
const SUBJECTS: [&str; 9] = [
    "event-loop/epoll-edge",
    "event-loop/io-uring-poll",
    "io-uring",
    "io-uring+default-taskrun",
    "io-uring+coop-taskrun",
    "io-uring+registered-ring",
    "io-uring+send-zc",
    "io-uring+recv-bundle",
    "io-uring+incremental-buffers",
];

pub(crate) fn subjects() -> Vec<Subject> {
    SUBJECTS.into_iter().map(Subject::named).collect()
}

fn load(batch: usize) -> String {
    format!("batch={batch}")
}

pub(super) fn loads() -> Vec<String> {
    BATCHES.into_iter().map(load).collect()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    // Client and server take turns, each until it waits.
    enter(Class::Batch).map_err(|error| WorkloadError::Io("enter SCHED_BATCH", error))?;
    let server = match ServerProcess::start(task.subject, MOST, &[])? {
        Start::Serving(server) => server,
        Start::Unavailable(reason) => return task.unavailable(reason),
    };
    let reply = Client::first_reply(server.address, REQUEST)?;
    let mut connections = idle_connections(server.address, MOST)?;
    let mut replies = 1;
    for batch in BATCHES {
        if !task.is_selected(&load(batch)) {
            continue;
        }
        let share = exchange(&reply, batch)?.instructions / 2;
        let (mut cell, answered) = measure(&mut connections[..batch], &reply)?;
        cell.subject = task.subject.name.clone();
        cell.instructions = cell.instructions.saturating_sub(share);
        replies += answered;
        task.print(cell)?;
    }
    drop(connections);
    server.stop(replies)
}

/// Measures an exchange: client and bare server together.
fn exchange(reply: &[u8], batch: usize) -> Result<CostCell, WorkloadError> {
    let bare = Bare::start_many(reply, batch)?;
    let mut connections = idle_connections(bare.address, batch)?;
    measure(&mut connections, reply).map(|(cell, _)| cell)
}

/// The cost of a batch on these connections, and how many replies were read.
fn measure(connections: &mut [TcpStream], reply: &[u8]) -> Result<(CostCell, u64), WorkloadError> {
    let load = load(connections.len());
    let mut replies = 0;
    let mut buffer = vec![0; reply.len()];
    let cell = stable_median(&load, &mut || {
        window(&load, MOST, || {
            for _ in 0..MOST / connections.len() {
                exchange_batch(connections, &mut buffer)?;
                replies += connections.len() as u64;
            }
            Ok(())
        })
    })?;
    Ok((cell, replies))
}

/// Writes a request on each connection, then reads a reply from each.
fn exchange_batch(connections: &mut [TcpStream], reply: &mut [u8]) -> Result<(), WorkloadError> {
    let failed = |error| WorkloadError::Io("send a request to the server", error);
    for connection in &mut *connections {
        connection.write_all(REQUEST).map_err(failed)?;
    }
    for connection in connections {
        connection.read_exact(reply).map_err(failed)?;
        if !reply.starts_with(b"HTTP/1.1 200 ") {
            return Err(failed(std::io::Error::other("the server did not answer 200")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_server_answers_each_connection_of_a_batch() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
        let bare = Bare::start_many(reply, 3).expect("it starts");
        let mut connections = idle_connections(bare.address, 3).expect("it accepts");
        let mut buffer = vec![0; reply.len()];
        for _ in 0..4 {
            exchange_batch(&mut connections, &mut buffer).expect("it answers");
            assert_eq!(buffer, reply);
        }
    }

    #[test]
    fn a_window_is_whole_batches() {
        assert!(BATCHES.iter().all(|batch| MOST.is_multiple_of(*batch)));
    }
}
