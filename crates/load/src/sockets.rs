//! The real world: non-blocking sockets on an interest set.

use std::time::Duration;

use c10k_event::{Event, Events, Interest, InterestSet, Key, Mechanism, Trigger};
use rustix::io::Errno;

use crate::LoadError;
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::plan::Close;
use crate::socket::{Role, Socket};
use crate::sources::Sources;
use crate::world::{Got, Link, World};

/// Events fetched at once.
const BATCH: usize = 256;

/// One thread's sockets: those of its lanes and its idle connections.
pub(crate) struct Sockets {
    set: InterestSet<Socket>,
    events: Events,
    /// The key of each lane's socket.
    lanes: Vec<Option<Key>>,
    destination: Endpoint,
    sources: Sources,
    close: Close,
}

/// Something happened on a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketEvent {
    pub(crate) event: Event,
    pub(crate) role: Role,
}

impl Sockets {
    /// No sockets yet. To be opened in the thread that waits.
    pub(crate) fn open(destination: Endpoint, sources: Sources, close: Close) -> Result<Self, LoadError> {
        let mechanism = Mechanism::named("epoll-edge").expect("the table of mechanisms has a row of that name");
        Ok(Self {
            set: InterestSet::open(mechanism)?,
            events: Events::with_capacity(BATCH),
            lanes: Vec::new(),
            destination,
            sources,
            close,
        })
    }

    /// Waits for events, at most `timeout`; returns how many there are to [`Sockets::take`].
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, LoadError> {
        Ok(self.set.next_events(&mut self.events, timeout)?)
    }

    /// The next event of the last wait.
    pub(crate) fn take(&mut self) -> Option<SocketEvent> {
        let event = self.set.take(&mut self.events)?;
        Some(SocketEvent {
            event,
            role: self.set[event.key].role,
        })
    }

    /// Starts a connection for the idle pool.
    pub(crate) fn open_idle(&mut self) -> Result<(Key, Link), Failure> {
        let (key, link) = self.start(Role::IdleOpening)?;
        if link == Link::Up {
            self.set[key].role = Role::Idle;
        }
        Ok((key, link))
    }

    /// The connections of the idle pool.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Key> {
        let idle = self.set.iter().filter(|(_, socket)| socket.role == Role::Idle);
        idle.map(|(key, _)| key)
    }

    /// Closes a connection of the idle pool; false where it is gone already.
    pub(crate) fn close_idle(&mut self, key: Key) -> bool {
        let is_open = self.set.get(key).is_some();
        if is_open {
            self.drop_socket(key);
        }
        is_open
    }

    /// The connect of a connection for the idle pool has ended. Where it failed the socket is closed.
    pub(crate) fn idle_connected(&mut self, key: Key) -> Result<(), Failure> {
        if let Err(errno) = self.set[key].connected() {
            self.drop_socket(key);
            return Err(errno.into());
        }
        self.set[key].role = Role::Idle;
        // Declaring again reports a close that came together with the connect, whose edge is consumed.
        self.set
            .modify(key, Interest::READABLE, Trigger::Edge)
            .map_err(|_| Failure::Other)
    }

    /// Whether an idle connection is still open after an event. Bytes that nothing asked for are dropped; a connection
    /// that has ended is closed here too, and so is one on which they do not end, which would keep the thread for ever.
    pub(crate) fn idle_is_open(&mut self, key: Key, buffer: &mut [u8]) -> bool {
        /// Reads at a time.
        const READS_MAX: usize = 64;
        for _ in 0..READS_MAX {
            match self.set[key].read(buffer) {
                Ok(Got::Nothing) => return true,
                Ok(Got::Bytes(_)) => {}
                Ok(Got::End) | Err(_) => break,
            }
        }
        self.drop_socket(key);
        false
    }

    /// Closes the idle connections whose connect has not ended; returns their number.
    pub(crate) fn give_up_idle_opening(&mut self) -> u64 {
        let opening = self.set.iter().filter(|(_, socket)| socket.role == Role::IdleOpening);
        let keys: Vec<Key> = opening.map(|(key, _)| key).collect();
        keys.iter().for_each(|&key| self.drop_socket(key));
        keys.len() as u64
    }

    /// Starts a connection from the next source. A source without free ports is passed over.
    fn start(&mut self, role: Role) -> Result<(Key, Link), Failure> {
        let mut tries = self.sources.len();
        let (socket, link) = loop {
            match Socket::connect(&self.destination, self.sources.next_source(), role, self.close) {
                Err(Errno::ADDRNOTAVAIL) if tries > 1 => tries -= 1,
                result => break result?,
            }
        };
        let interest = match link {
            Link::Up => Interest::READABLE,
            Link::Connecting => Interest::READABLE | Interest::WRITABLE,
        };
        let key = self
            .set
            .declare(socket, interest, Trigger::Edge)
            .map_err(|_| Failure::Other)?;
        Ok((key, link))
    }

    fn drop_socket(&mut self, key: Key) {
        // Dropping the source closes it, whether or not the kernel let it be withdrawn in order.
        drop(self.set.withdraw(key));
    }

    /// The socket of a lane that has a connection.
    fn lane(&self, lane: u32) -> Result<Key, Failure> {
        self.lanes.get(lane as usize).copied().flatten().ok_or(Failure::Other)
    }
}

impl World for Sockets {
    fn now(&self) -> Moment {
        Moment::now()
    }

    fn connect(&mut self, lane: u32) -> Result<Link, Failure> {
        let (key, link) = self.start(Role::Lane(lane))?;
        let index = lane as usize;
        if self.lanes.len() <= index {
            self.lanes.resize(index + 1, None);
        }
        self.lanes[index] = Some(key);
        Ok(link)
    }

    fn connected(&mut self, lane: u32) -> Result<(), Failure> {
        Ok(self.set[self.lane(lane)?].connected()?)
    }

    fn write(&mut self, lane: u32, bytes: &[u8]) -> Result<usize, Failure> {
        let key = self.lane(lane)?;
        let written = self.set[key].write(bytes)?;
        if written < bytes.len() {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.set.modify(key, both, Trigger::Edge).map_err(|_| Failure::Other)?;
        }
        Ok(written)
    }

    fn read(&mut self, lane: u32, buffer: &mut [u8]) -> Result<Got, Failure> {
        Ok(self.set[self.lane(lane)?].read(buffer)?)
    }

    fn close(&mut self, lane: u32) {
        if let Some(key) = self.lanes.get_mut(lane as usize).and_then(Option::take) {
            self.drop_socket(key);
        }
    }
}
