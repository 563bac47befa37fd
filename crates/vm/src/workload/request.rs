//! What a request costs a server.
//!
//! One client sends one request after the other; the server is a process of its own. Everything that the machine executes
//! is counted, whichever process it is charged to: the server and its workers, the kernel's work in their calls, the
//! delivery of the request and the wake-up of the receiver (which the kernel does while the *client* runs), the start and
//! the end of processes. The client's share is subtracted: half of an exchange of the same bytes with a bare server.

use c10k_record::CostCell;
use c10k_sys::scheduling::{Class, enter};

use super::bare::Bare;
use super::client::{Client, Connection, REQUEST, idle_connections};
use super::error::WorkloadError;
use super::server_process::{ServerProcess, Start};
use super::task::{Subject, Task};
use super::windows::{stable_median, window};

/// The subject that is not a server of this project: no server can cost less.
pub(crate) const BARE: &str = "bare";

/// The server whose replies a bare server repeats.
const TEMPLATE: &str = "event-loop/epoll-edge";

/// Connections that never send anything.
const IDLE: [usize; 2] = [0, 2_000];

/// Requests of a window.
const REQUESTS: usize = 40;

fn load(idle: usize, connection: &str) -> String {
    format!("idle={idle} connection={connection}")
}

pub(super) fn loads() -> Vec<String> {
    let loads = IDLE
        .iter()
        .flat_map(|&idle| Connection::ALL.map(|(name, _)| load(idle, name)));
    loads.collect()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    // In this class, client and server take turns, each until it waits. In the default class, a process that wakes up may
    // preempt the other, depending on how long both ran before: a request's cost would depend on earlier measurements.
    enter(Class::Batch).map_err(|error| WorkloadError::Io("enter SCHED_BATCH", error))?;
    if task.subject.name == BARE {
        return bare(task);
    }
    for idle in IDLE {
        let selected = Connection::ALL.map(|(name, _)| task.is_selected(&load(idle, name)));
        if selected.contains(&true) && !with_idle(task, idle, selected)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Measures the selected cells with `idle` silent connections. If the server cannot run here, prints that as a record and
/// returns false.
fn with_idle(task: &mut Task<'_>, idle: usize, selected: [bool; 2]) -> Result<bool, WorkloadError> {
    let server = match ServerProcess::start(task.subject, idle, &[])? {
        Start::Serving(server) => server,
        Start::Unavailable(reason) => return task.unavailable(reason).map(|()| false),
    };
    let silent = idle_connections(server.address, idle)?;
    let reply = Client::first_reply(server.address, REQUEST)?;
    let mut replies = 1;
    for ((name, connection), _) in Connection::ALL
        .into_iter()
        .zip(selected)
        .filter(|(_, selected)| *selected)
    {
        let share = exchange(&reply, name, connection)?.instructions / 2;
        let mut client = Client::new(server.address, REQUEST, &reply);
        let mut cell = measure(&mut client, &load(idle, name), connection)?;
        cell.subject = task.subject.name.clone();
        cell.instructions = cell.instructions.saturating_sub(share);
        replies += client.replies;
        task.print(cell)?;
    }
    drop(silent);
    server.stop(replies)?;
    Ok(true)
}

/// Measures the bare server: half of an exchange with it.
fn bare(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    let server = match ServerProcess::start(&Subject::named(TEMPLATE), 0, &[])? {
        Start::Serving(server) => server,
        Start::Unavailable(reason) => return task.unavailable(reason),
    };
    let reply = Client::first_reply(server.address, REQUEST)?;
    server.stop(1)?;
    for (name, connection) in Connection::ALL {
        // Its one process can have no idle connections: it serves one connection at a time.
        if task.is_selected(&load(0, name)) {
            let mut cell = exchange(&reply, name, connection)?;
            cell.instructions /= 2;
            task.print(cell)?;
        }
    }
    Ok(())
}

/// Measures an exchange: client and bare server together.
fn exchange(reply: &[u8], name: &str, connection: Connection) -> Result<CostCell, WorkloadError> {
    exchange_of(REQUEST, reply, &load(0, name), connection)
}

/// The same for any request. `load` names the cell.
pub(super) fn exchange_of(
    request: &'static [u8],
    reply: &[u8],
    load: &str,
    connection: Connection,
) -> Result<CostCell, WorkloadError> {
    let bare = Bare::start(reply)?;
    let mut cell = measure(&mut Client::new(bare.address, request, reply), load, connection)?;
    cell.subject = BARE.to_owned();
    Ok(cell)
}

/// Measures requests of a client, one after the other.
pub(super) fn measure(client: &mut Client, load: &str, connection: Connection) -> Result<CostCell, WorkloadError> {
    stable_median(load, &mut || {
        window(load, REQUESTS, || {
            for _ in 0..REQUESTS {
                client
                    .request(connection)
                    .map_err(|error| WorkloadError::Io("send a request to the server", error))?;
            }
            Ok(())
        })
    })
}
