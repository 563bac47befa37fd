//! The connections of the viewer: one event loop for all hosts.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use c10k_event::{Events, Interest, InterestSet, Key, Mechanism};
use c10k_record::MonitorSample;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use super::decoder::{Decoder, Progress, Refused};
use super::host::{Host, Link};
use crate::{MonitorError, Stop, address_of};

/// Bytes that one read takes at most.
const INPUT_BYTES: usize = 64 * 1024;

/// Reads of one turn; others have their turn before the next.
const READS: usize = 16;

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long a connection is silent before the kernel asks whether the other host is there, and the time between its questions.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A connection to a daemon.
#[derive(Debug)]
struct Peer {
    socket: OwnedFd,
    /// The index of its host.
    host: usize,
    request: Vec<u8>,
    sent: usize,
    decoder: Decoder,
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// How a turn of a connection ends.
enum Turn {
    Waits,
    /// More may have come.
    Again,
    Lost(String),
}

/// Something that a viewer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A sample of this host has come.
    Sample(usize),
    /// The state of the connection to this host has changed.
    Link(usize),
}

/// Connections to the daemons of several hosts. What is lost is tried again.
#[derive(Debug)]
pub struct Watcher {
    set: InterestSet<Peer>,
    events: Events,
    hosts: Vec<Host>,
    /// The connection of each host.
    keys: Vec<Option<Key>>,
    again: Vec<Key>,
    input: Vec<u8>,
    samples: u64,
}

impl Watcher {
    /// Finds the addresses of `HOST[:PORT]` for each host. The connections are begun by [`plain`](super::plain) and
    /// [`screen`](super::screen). `stop` ends their waits.
    ///
    /// # Errors
    /// [`MonitorError::Resolve`] for a host that has no address, [`MonitorError::Mechanism`] and [`MonitorError::Waker`] where epoll
    /// cannot be used.
    pub fn open(hosts: &[String], stop: &Stop) -> Result<Watcher, MonitorError> {
        let now = Instant::now();
        let hosts = hosts.iter().map(|name| Ok(Host::new(name, address_of(name)?, now)));
        let hosts: Vec<Host> = hosts.collect::<Result<_, MonitorError>>()?;
        let mut set = InterestSet::open(Mechanism::default())?;
        stop.wakes(set.waker()?);
        Ok(Watcher {
            set,
            events: Events::with_capacity(256),
            keys: vec![None; hosts.len()],
            hosts,
            again: Vec::new(),
            input: vec![0; INPUT_BYTES],
            samples: 0,
        })
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// How many samples have come.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Waits once, at most so long, and handles what has come. Returns the changes.
    pub(crate) fn turn(&mut self, most: Duration) -> Result<Vec<Change>, MonitorError> {
        let timeout = self.timeout(most);
        self.set.next_events(&mut self.events, Some(timeout))?;
        let now = Instant::now();
        let again = std::mem::take(&mut self.again);
        let mut changes = Vec::new();
        while let Some(event) = self.set.take(&mut self.events) {
            self.serve(event.key, now, &mut changes);
        }
        for key in again {
            self.serve(key, now, &mut changes);
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].until_due(now).is_zero() {
                self.act(host, now, &mut changes);
            }
        }
        Ok(changes)
    }

    fn timeout(&self, most: Duration) -> Duration {
        if !self.again.is_empty() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let due = self.hosts.iter().map(|host| host.until_due(now)).min();
        due.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT).min(most)
    }

    /// Connects, or gives the connection up.
    fn act(&mut self, host: usize, now: Instant, changes: &mut Vec<Change>) {
        if self.keys[host].is_some() {
            let reason = self.hosts[host].overdue().to_owned();
            return self.lose(host, reason, now, changes);
        }
        self.hosts[host].connecting(now);
        changes.push(Change::Link(host));
        let peer = match connect(self.hosts[host].address) {
            Ok(socket) => Peer {
                socket,
                host,
                request: request(self.hosts[host].address),
                sent: 0,
                decoder: Decoder::new(),
            },
            Err(errno) => return self.lose(host, errno_text(errno), now, changes),
        };
        let trigger = self.set.mechanism().default_trigger();
        match self.set.declare(peer, Interest::READABLE | Interest::WRITABLE, trigger) {
            Ok(key) => self.keys[host] = Some(key),
            Err(declined) => self.lose(host, declined.error.to_string(), now, changes),
        }
    }

    fn lose(&mut self, host: usize, reason: String, now: Instant, changes: &mut Vec<Change>) {
        if let Some(key) = self.keys[host].take() {
            drop(self.set.withdraw(key));
        }
        self.hosts[host].lost(reason, now);
        changes.push(Change::Link(host));
    }

    fn serve(&mut self, key: Key, now: Instant, changes: &mut Vec<Change>) {
        let Some(peer) = self.set.get_mut(key) else {
            return;
        };
        let index = peer.host;
        let host = &mut self.hosts[index];
        let samples = &mut self.samples;
        let turn = peer.turn(&mut self.input, &mut |sample| {
            if host.link != Link::Connected {
                host.connected(now);
                changes.push(Change::Link(index));
            }
            if let Some(sample) = sample {
                host.sampled(sample, now);
                *samples += 1;
                changes.push(Change::Sample(index));
            }
        });
        match turn {
            Turn::Waits => {}
            Turn::Again => self.again.push(key),
            Turn::Lost(reason) => self.lose(index, reason, now, changes),
        }
    }
}

impl Peer {
    /// Sends the request and reads until nothing is left. Calls `on` with nothing when the head has come, and with each sample.
    fn turn(&mut self, input: &mut [u8], on: &mut dyn FnMut(Option<MonitorSample>)) -> Turn {
        while self.sent < self.request.len() {
            match rustix::net::send(&self.socket, &self.request[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                // A connection that is not established yet is reported as writable when it is.
                Err(Errno::AGAIN | Errno::NOTCONN) => return Turn::Waits,
                Err(errno) => return Turn::Lost(errno_text(errno)),
            }
        }
        for _ in 0..READS {
            let count = match rustix::io::read(&self.socket, &mut *input) {
                Ok(0) => return Turn::Lost("the daemon has closed the connection".to_owned()),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Turn::Waits,
                Err(errno) => return Turn::Lost(errno_text(errno)),
            };
            let had_head = self.decoder.has_head();
            let progress = self.decoder.feed(&input[..count], &mut |line| {
                let sample = c10k_record::read::object(line).map_err(|damage| Refused::Sample(damage.cause))?;
                on(Some(sample));
                Ok(())
            });
            match progress {
                Ok(Progress::More) if !had_head && self.decoder.has_head() => on(None),
                Ok(Progress::More) => {}
                Ok(Progress::Ended) => return Turn::Lost("the daemon has ended the stream".to_owned()),
                Err(refused) => return Turn::Lost(refused.to_string()),
            }
        }
        Turn::Again
    }
}

fn request(address: SocketAddr) -> Vec<u8> {
    format!("GET /stream HTTP/1.1\r\nHost: {address}\r\nAccept: application/x-ndjson\r\n\r\n").into_bytes()
}

/// Begins a connection without waiting for it.
fn connect(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A host that is down sends no end. Before its first sample nothing else would show that.
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEP_ALIVE)?;
    sockopt::set_tcp_keepcnt(&socket, 3)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// The kernel's words, without its number.
fn errno_text(errno: Errno) -> String {
    let text = errno.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_lowercase()
}
