//! One connection in a thread or process of its own, which makes samples for itself: `poll(2)` on two descriptors.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use c10k_event::Interest;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::MonitorError;
use crate::connection::{Connection, Next, Stage, Worker};
use crate::counts::Count;
use crate::feed::Demand;
use crate::listener::{Accepted, Listener};
use crate::service::{PAUSE, Service};
use crate::stop::Stop;

/// Serves a connection until it ends, or the drain after a stop is over.
pub(crate) fn serve(socket: OwnedFd, worker: &mut Worker, stop: &Stop) -> Result<(), MonitorError> {
    worker.now = Instant::now();
    let mut connection = Connection::new(socket, worker);
    let outcome = run(&mut connection, worker, stop);
    connection.account(&worker.counts);
    outcome
}

fn run(connection: &mut Connection, worker: &mut Worker, stop: &Stop) -> Result<(), MonitorError> {
    let mut next = Next::Wait(Interest::READABLE);
    let mut end = None;
    loop {
        let interest = match next {
            Next::Wait(interest) => interest,
            Next::Again => Interest::NONE,
            Next::Close => return Ok(()),
        };
        let timeout = match next {
            Next::Again => Some(Duration::ZERO),
            _ => timeout(connection, worker, end),
        };
        let mut sources = vec![PollFd::from_borrowed_fd(connection.as_fd(), flags(interest))];
        if worker.stage == Stage::Serving {
            sources.push(PollFd::from_borrowed_fd(stop.event(), PollFlags::IN));
        }
        poll(&mut sources, timeout)?;
        let found = sources[0].revents();
        let stops = sources.get(1).is_some_and(|event| !event.revents().is_empty());
        drop(sources);
        worker.now = Instant::now();
        let mut step = publish(connection, worker);
        // What both ends have closed is reported even without an interest.
        if found.intersects(PollFlags::ERR | PollFlags::HUP) && interest == Interest::NONE {
            step = Some(Next::Close);
        } else if !found.is_empty() || next == Next::Again {
            step = Some(connection.turn(worker));
        }
        if stops {
            worker.stage = Stage::Draining;
            end = Some(worker.now + worker.deadlines.drain);
            step = Some(connection.drain(worker));
        }
        if step != Some(Next::Close) && connection.deadline().is_some_and(|deadline| deadline <= worker.now) {
            step = Some(connection.expire(worker));
        }
        next = step.unwrap_or(next);
        if end.is_some_and(|end| end <= worker.now) {
            next = Next::Close;
        }
    }
}

/// Sends the line of a period that has begun. A connection that is lost shows at its next turn.
fn publish(connection: &mut Connection, worker: &mut Worker) -> Option<Next> {
    let demand = if connection.is_subscribed() {
        Demand::Subscribed
    } else {
        Demand::None
    };
    let stalled = worker.now + worker.deadlines.stalled;
    let reading = worker.feed.tick(worker.now, demand)?;
    Some(connection.publish(reading, &worker.counts, stalled))
}

fn timeout(connection: &Connection, worker: &Worker, end: Option<Instant>) -> Option<Duration> {
    let now = Instant::now();
    let until = |moment: Instant| moment.saturating_duration_since(now);
    let sample = connection.is_subscribed().then(|| worker.feed.until_next(now));
    let (deadline, end) = (connection.deadline().map(until), end.map(until));
    [sample, deadline, end].into_iter().flatten().min()
}

/// Waits for a connection until the stop is requested, at most for `patience`.
pub(crate) fn next_connection(
    listener: &Listener,
    service: &Service,
    stop: &Stop,
    patience: Option<Duration>,
) -> Result<Incoming, MonitorError> {
    loop {
        if stop.is_requested() {
            return Ok(Incoming::Stopped);
        }
        match listener.accept() {
            Accepted::Connection(socket) => {
                service.counts.add(Count::Accepted, 1);
                return Ok(Incoming::Connection(socket));
            }
            Accepted::Gone => {}
            Accepted::Shortage(errno) => {
                service.report_shortage(Some(errno));
                if wait_for_stop(stop, PAUSE)? {
                    return Ok(Incoming::Stopped);
                }
            }
            Accepted::Nobody => {
                let mut sources = [
                    PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
                    PollFd::from_borrowed_fd(stop.event(), PollFlags::IN),
                ];
                poll(&mut sources, patience)?;
                if sources[0].revents().is_empty() {
                    let stopped = !sources[1].revents().is_empty();
                    return Ok(if stopped { Incoming::Stopped } else { Incoming::Nobody });
                }
            }
        }
    }
}

/// What a wait for a connection found.
#[derive(Debug)]
pub(crate) enum Incoming {
    Connection(OwnedFd),
    Nobody,
    Stopped,
}

/// Waits for the stop, at most so long. Returns whether it was requested.
pub(crate) fn wait_for_stop(stop: &Stop, most: Duration) -> Result<bool, MonitorError> {
    let mut sources = [PollFd::from_borrowed_fd(stop.event(), PollFlags::IN)];
    poll(&mut sources, Some(most))?;
    Ok(!sources[0].revents().is_empty())
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    if interest.contains(Interest::READABLE) {
        flags |= PollFlags::IN;
    }
    if interest.contains(Interest::WRITABLE) {
        flags |= PollFlags::OUT;
    }
    flags
}

fn poll(sources: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<(), MonitorError> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match rustix::event::poll(sources, timeout.as_ref()) {
        // After a signal the caller looks at the time and waits again.
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(MonitorError::of_call("ppoll")(errno)),
    }
}
