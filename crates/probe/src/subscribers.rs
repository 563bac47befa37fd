//! Thousands of subscribers of a monitoring daemon, held by one thread: they ask for `/stream` and count the lines that come.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use c10k_event::{Events, Interest, InterestSet, Mechanism};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::ProbeError;

/// Connections that are opened before the replies to them are read.
const TOGETHER: u64 = 64;

/// What a reply to a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all of them may take to be opened. A daemon whose CPU is full answers ever later.
const OPENING: Duration = Duration::from_secs(20);

/// Descriptors of this process that are no subscribers.
const OTHER_DESCRIPTORS: u64 = 64;

/// The most events of a wait.
const BATCH: usize = 1024;

/// Bytes that are read at once. A line has about a thousand.
const READ: usize = 16 * 1024;

/// A subscriber. An HTTP/1.0 stream has no framing but its line feeds.
struct Subscriber(TcpStream);

impl AsFd for Subscriber {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// All subscribers of a daemon.
pub(crate) struct Subscribers {
    set: InterestSet<Subscriber>,
    events: Events,
}

impl Subscribers {
    /// Opens so many subscriptions. All have been answered when it returns.
    pub(crate) fn connect(address: &str, count: u64) -> Result<Self, ProbeError> {
        raise_descriptor_limit(count)?;
        let mechanism = Mechanism::default();
        let no_set = |error| ProbeError::Impossible(format!("the subscribers cannot be held: {error}"));
        let mut set = InterestSet::open(mechanism).map_err(|error| no_set(error.to_string()))?;
        let (mut opened, begun) = (0, Instant::now());
        while opened < count {
            if begun.elapsed() > OPENING {
                return Err(ProbeError::Broken(format!(
                    "the daemon answered {opened} of {count} subscribers within {OPENING:?}: give a longer --period, or fewer \
                     --subscribers"
                )));
            }
            let together = TOGETHER.min(count - opened);
            let streams: Vec<TcpStream> = (0..together)
                .map(|number| ask(address).map_err(of_stream(format!("subscriber {}", opened + number))))
                .collect::<Result<_, _>>()?;
            for stream in streams {
                let stream = answered(stream, opened)?;
                set.declare(Subscriber(stream), Interest::READABLE, mechanism.default_trigger())
                    .map_err(|declined| no_set(declined.error.to_string()))?;
                opened += 1;
            }
        }
        Ok(Self {
            set,
            events: Events::with_capacity(BATCH),
        })
    }

    /// Takes lines until none has come for a tenth of the period, at most for one and a half periods: between two samples. Then a
    /// number of whole periods has the lines of so many samples, as long as a sample takes less than a period to be sent.
    pub(crate) fn settle(&mut self, period: Duration) -> Result<(), ProbeError> {
        const STEPS: u32 = 10;
        self.drain()?;
        for _ in 0..STEPS + STEPS / 2 {
            if self.receive(period / STEPS)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes what comes for `time`, and counts the lines.
    pub(crate) fn receive(&mut self, time: Duration) -> Result<u64, ProbeError> {
        let end = Instant::now() + time;
        let mut lines = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(lines);
            }
            lines += self.turn(left)?.lines;
        }
    }

    /// Takes what has come by now, and counts the lines: full batches of events and the first that is not full, so that it ends
    /// although more may come meanwhile.
    pub(crate) fn drain(&mut self) -> Result<u64, ProbeError> {
        let mut lines = 0;
        loop {
            let turn = self.turn(Duration::ZERO)?;
            lines += turn.lines;
            if turn.events < BATCH {
                return Ok(lines);
            }
        }
    }

    /// Waits for events, at most for `most`, and reads what they announce.
    fn turn(&mut self, most: Duration) -> Result<Turn, ProbeError> {
        let events = self.set.next_events(&mut self.events, Some(most));
        let events = events.map_err(|error| ProbeError::Impossible(format!("waiting for lines: {error}")))?;
        let mut lines = 0;
        while let Some(event) = self.set.take(&mut self.events) {
            lines += read_lines(&mut self.set[event.key].0)?;
        }
        Ok(Turn { events, lines })
    }
}

/// What one wait for events brought.
struct Turn {
    events: usize,
    lines: u64,
}

/// Connects and asks for a stream. The connection ends with a reset, so that thousands leave no ports in `TIME_WAIT`.
fn ask(address: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n")?;
    Ok(stream)
}

/// Waits for the head of the reply. Lines that come with it are not counted.
fn answered(mut stream: TcpStream, number: u64) -> Result<TcpStream, ProbeError> {
    let (mut reply, mut buffer) = (Vec::new(), [0; READ]);
    while !reply.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ended()),
            Ok(count) => reply.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ProbeError::Broken(format!(
                    "the daemon did not answer subscriber {number} within {PATIENCE:?}"
                )));
            }
            Err(error) => return Err(of_stream(format!("the reply to subscriber {number}"))(error)),
        }
    }
    let status = reply.split(|&byte| byte == b'\r').next().unwrap_or_default();
    if !status.ends_with(b" 200 OK") {
        let status = String::from_utf8_lossy(status);
        return Err(ProbeError::Broken(format!(
            "the daemon refused subscriber {number}: {status}"
        )));
    }
    let nonblocking = stream.set_nonblocking(true);
    nonblocking.map_err(ProbeError::io("O_NONBLOCK of a subscriber"))?;
    Ok(stream)
}

/// Reads until nothing is left.
fn read_lines(stream: &mut TcpStream) -> Result<u64, ProbeError> {
    let (mut lines, mut buffer) = (0, [0; READ]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ended()),
            Ok(count) => {
                lines += buffer[..count].iter().filter(|&&byte| byte == b'\n').count() as u64;
                // The rest may come later: that is another event.
                if count < buffer.len() {
                    return Ok(lines);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(lines),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(of_stream("reading a line")(error)),
        }
    }
}

fn ended() -> ProbeError {
    ProbeError::Broken("the daemon has ended a stream".to_owned())
}

/// An error of a connection: what its other end does to it is the daemon's failure, everything else a limit of the machine.
fn of_stream(call: impl Into<String>) -> impl FnOnce(Error) -> ProbeError {
    let call = call.into();
    move |error| match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::TimedOut => ProbeError::Broken(format!("the daemon has ended a connection: {call}: {error}")),
        _ => ProbeError::io(call)(error),
    }
}

/// Makes room for so many connections.
fn raise_descriptor_limit(connections: u64) -> Result<(), ProbeError> {
    let wanted = connections + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < wanted) {
        return Err(ProbeError::Impossible(format!(
            "{connections} subscribers need {wanted} descriptors and a process may open {} (ulimit -Hn)",
            limit.maximum.unwrap_or_default()
        )));
    }
    if limit.current.is_some_and(|now| now < wanted) {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised).map_err(ProbeError::call("setrlimit"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_does_to_a_connection_is_a_finding_and_what_the_machine_lacks_is_none() {
        let is_finding = |error: Error| of_stream("subscriber 7")(error).is_finding();
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
        ] {
            assert!(is_finding(kind.into()), "{kind}");
        }
        let emfile = 24;
        for error in [Error::from_raw_os_error(emfile), ErrorKind::AddrNotAvailable.into()] {
            assert!(!is_finding(error));
        }
        assert!(ended().is_finding());
    }
}
