//! What a request costs a server.
//!
//! One client asks again and again; the server is a process of its own. Everything that the machine executes in between is
//! counted, whoever it is charged to: the server, its workers, the kernel's work in their calls, the delivery of the
//! request and the waking of whoever waits for it (which the kernel does while the *client* runs), processes that are made
//! and buried. Taken off is the client's own share, which is half of an exchange of the same bytes with a bare server.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use c10k_record::CostCell;
use c10k_sys::scheduling::{Class, enter};

use super::bare::Bare;
use super::client::{Client, Connection};
use super::servant::{Servant, Start};
use super::{Task, WINDOWS, WorkloadError, median};

/// The subject that is no server of this project: what nothing can be cheaper than.
pub(crate) const BARE: &str = "bare";

/// Whose replies a bare server sends.
const ANY: &str = "event-loop/epoll-edge";

/// Connections that never send anything.
const IDLE: [usize; 2] = [0, 2_000];

/// Requests of a window.
const REQUESTS: usize = 40;

/// Workers beyond one for each idle connection, where a connection occupies one.
const SPARE: usize = 8;

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
    // Client and server run in turns, each until it waits. Elsewhere the scheduler would let the one that is woken break
    // in or not by how long both ran before, and what a request costs would depend on what was measured before it.
    enter(Class::Batch).map_err(|error| WorkloadError::Io("enter SCHED_BATCH", error))?;
    if task.subject == BARE {
        return bare(task);
    }
    for idle in IDLE {
        let asked = Connection::ALL.map(|(name, _)| task.asks_for(&load(idle, name)));
        if asked.contains(&true) && !with_idle(task, idle, asked)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Measures what is asked for beside `idle` connections; false, and a record, where the server cannot run here.
fn with_idle(task: &mut Task<'_>, idle: usize, asked: [bool; 2]) -> Result<bool, WorkloadError> {
    let workers = if idle == 0 { 0 } else { idle + SPARE };
    let servant = match Servant::start(task.subject, workers)? {
        Start::Serving(servant) => servant,
        Start::Unavailable(reason) => return task.unavailable(reason).map(|()| false),
    };
    let mut silent = Vec::with_capacity(idle);
    for _ in 0..idle {
        let connected = TcpStream::connect(servant.address);
        silent.push(connected.map_err(|error| WorkloadError::Io("make an idle connection", error))?);
    }
    let reply = Client::first_reply(servant.address)?;
    let mut replies = 1;
    for ((name, connection), _) in Connection::ALL.into_iter().zip(asked).filter(|(_, asked)| *asked) {
        let share = exchange(&reply, name, connection)?.instructions / 2;
        let mut client = Client::new(servant.address, &reply);
        let mut cell = measure(&mut client, &load(idle, name), connection)?;
        cell.subject = task.subject.to_owned();
        cell.instructions = cell.instructions.saturating_sub(share);
        replies += client.replies;
        task.print(cell)?;
    }
    drop(silent);
    servant.stop(replies)?;
    Ok(true)
}

/// Half of an exchange with a bare server, which is what that costs.
fn bare(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    let servant = match Servant::start(ANY, 0)? {
        Start::Serving(servant) => servant,
        Start::Unavailable(reason) => return task.unavailable(reason),
    };
    let reply = Client::first_reply(servant.address)?;
    servant.stop(1)?;
    for (name, connection) in Connection::ALL {
        // Its one process can have no idle connections beside the one that it serves.
        if task.asks_for(&load(0, name)) {
            let mut cell = exchange(&reply, name, connection)?;
            cell.instructions /= 2;
            task.print(cell)?;
        }
    }
    Ok(())
}

/// What client and bare server cost together.
fn exchange(reply: &[u8], name: &str, connection: Connection) -> Result<CostCell, WorkloadError> {
    let bare = Bare::start(reply)?;
    let mut cell = measure(&mut Client::new(bare.address, reply), &load(0, name), connection)?;
    cell.subject = BARE.to_owned();
    Ok(cell)
}

/// The window of median cost, once windows cost the same: a server may still be making processes for its idle
/// connections when it answers the first requests.
fn measure(client: &mut Client, load: &str, connection: Connection) -> Result<CostCell, WorkloadError> {
    /// Windows that must agree, within this part of their cost, and windows that may pass before they do.
    const AGREE: (usize, u64) = (4, 50);
    const MOST: usize = 2_000;
    let mut last = Vec::new();
    let settled = |last: &[u64]| {
        let recent = &last[last.len().saturating_sub(AGREE.0)..];
        let (min, max) = (recent.iter().min(), recent.iter().max());
        recent.len() == AGREE.0 && min.zip(max).is_some_and(|(min, max)| max - min <= min / AGREE.1)
    };
    while !settled(&last) {
        if last.len() == MOST {
            return Err(WorkloadError::Inexact {
                load: load.to_owned(),
                why: format!("{MOST} windows of {REQUESTS} requests did not settle"),
            });
        }
        last.push(window(client, load, connection)?.instructions);
    }
    let busy = Busy::start()?;
    let windows: Result<Vec<_>, _> = (0..WINDOWS).map(|_| window(client, load, connection)).collect();
    busy.confirm(load)?;
    Ok(median(windows?))
}

fn window(client: &mut Client, load: &str, connection: Connection) -> Result<CostCell, WorkloadError> {
    let started = Instant::now();
    for _ in 0..REQUESTS {
        client
            .ask(connection)
            .map_err(|error| WorkloadError::Io("ask the server", error))?;
    }
    Ok(CostCell {
        subject: String::new(),
        load: load.to_owned(),
        work: REQUESTS as u64,
        instructions: started.elapsed().as_nanos() as u64,
        events: 0,
        signals: 0,
        overflows: 0,
    })
}

/// That the processor is never idle while windows are measured: the guest's clock jumps over idle time, which would be
/// counted as instructions.
struct Busy {
    started: Instant,
    ran: Duration,
}

impl Busy {
    fn start() -> Result<Self, WorkloadError> {
        Ok(Self {
            started: Instant::now(),
            ran: ran()?,
        })
    }

    fn confirm(&self, load: &str) -> Result<(), WorkloadError> {
        let took = self.started.elapsed();
        let ran = ran()?.saturating_sub(self.ran);
        // What runs at the moment counts when it is switched out: the two may differ by a few switches.
        if took.saturating_sub(ran) > took / 50 {
            return Err(WorkloadError::Inexact {
                load: load.to_owned(),
                why: format!("the processor ran for {ran:?} of {took:?} and was idle for the rest"),
            });
        }
        Ok(())
    }
}

/// How long processes have run on the first processor: the seventh figure of its line in `/proc/schedstat`
/// (the kernel's `Documentation/scheduler/sched-stats.rst`).
fn ran() -> Result<Duration, WorkloadError> {
    let failed = |error| WorkloadError::Io("read /proc/schedstat", error);
    let text = std::fs::read_to_string("/proc/schedstat").map_err(failed)?;
    let line = text.lines().find(|line| line.starts_with("cpu0 "));
    let figure = line.and_then(|line| line.split_whitespace().nth(7)?.parse().ok());
    let figure = figure.ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))?;
    Ok(Duration::from_nanos(figure))
}
