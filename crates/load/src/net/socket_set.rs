//! The connections of one thread: non-blocking sockets in an interest set.

use std::time::Duration;

use c10k_event::{Event, Events, Interest, InterestSet, Key, Mechanism, Trigger};
use rustix::io::Errno;

use super::socket::{Role, Socket};
use super::sources::Sources;
use crate::LoadError;
use crate::accounting::failure::Failure;
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::engine::world::{Link, ReadResult, World};
use crate::plan::Close;

/// Events fetched at once.
const BATCH: usize = 256;

/// The sockets of one thread: those of its slots and those of its idle pool.
pub(crate) struct SocketSet {
    set: InterestSet<Socket>,
    events: Events,
    /// The key of each slot's socket.
    slots: Vec<Option<Key>>,
    destination: Endpoint,
    sources: Sources,
    close: Close,
}

/// An event on a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketEvent {
    pub(crate) event: Event,
    pub(crate) role: Role,
}

impl SocketSet {
    /// An empty set. Must be opened in the thread that waits.
    pub(crate) fn open(destination: Endpoint, sources: Sources, close: Close) -> Result<Self, LoadError> {
        let mechanism = Mechanism::named("epoll-edge").expect("MECHANISMS has a row with this name");
        Ok(Self {
            set: InterestSet::open(mechanism)?,
            events: Events::with_capacity(BATCH),
            slots: Vec::new(),
            destination,
            sources,
            close,
        })
    }

    /// Waits for events, at most `timeout`. Returns the number of events that [`SocketSet::take`] will return.
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

    /// Starts a connect for the idle pool.
    pub(crate) fn open_idle(&mut self) -> Result<(Key, Link), Failure> {
        let (key, link) = self.start(Role::IdleOpening)?;
        if link == Link::Connected {
            self.set[key].role = Role::Idle;
        }
        Ok((key, link))
    }

    /// The connections of the idle pool.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Key> {
        let idle = self.set.iter().filter(|(_, socket)| socket.role == Role::Idle);
        idle.map(|(key, _)| key)
    }

    /// Closes a connection of the idle pool. Returns false if it was closed before.
    pub(crate) fn close_idle(&mut self, key: Key) -> bool {
        let is_open = self.set.get(key).is_some();
        if is_open {
            self.drop_socket(key);
        }
        is_open
    }

    /// Completes a connect for the idle pool. If it failed, the socket is closed.
    pub(crate) fn idle_connected(&mut self, key: Key) -> Result<(), Failure> {
        if let Err(errno) = self.set[key].connected() {
            self.drop_socket(key);
            return Err(errno.into());
        }
        self.set[key].role = Role::Idle;
        // The server may have closed already: that edge was consumed together with the connect's. Modifying reports it again.
        self.set
            .modify(key, Interest::READABLE, Trigger::Edge)
            .map_err(|_| Failure::Other)
    }

    /// Handles an event of an idle connection and returns whether it is still open. Received bytes are discarded. If the
    /// server has closed the connection, or sends without a pause, which would occupy the thread, it is closed.
    pub(crate) fn idle_is_open(&mut self, key: Key, buffer: &mut [u8]) -> bool {
        /// The maximum number of reads per event.
        const READS_MAX: usize = 64;
        for _ in 0..READS_MAX {
            match self.set[key].read(buffer) {
                Ok(ReadResult::WouldBlock) => return true,
                Ok(ReadResult::Bytes(_)) => {}
                Ok(ReadResult::Closed) | Err(_) => break,
            }
        }
        self.drop_socket(key);
        false
    }

    /// Closes the idle connections whose connect is in progress; returns their number.
    pub(crate) fn give_up_idle_opening(&mut self) -> u64 {
        let opening = self.set.iter().filter(|(_, socket)| socket.role == Role::IdleOpening);
        let keys: Vec<Key> = opening.map(|(key, _)| key).collect();
        keys.iter().for_each(|&key| self.drop_socket(key));
        keys.len() as u64
    }

    /// Starts a connect from the next source that has a free port.
    fn start(&mut self, role: Role) -> Result<(Key, Link), Failure> {
        let mut untried = self.sources.len();
        let (socket, link) = loop {
            match Socket::connect(&self.destination, self.sources.next_source(), role, self.close) {
                Err(Errno::ADDRNOTAVAIL) if untried > 1 => untried -= 1,
                result => break result?,
            }
        };
        let interest = match link {
            Link::Connected => Interest::READABLE,
            Link::Connecting => Interest::READABLE | Interest::WRITABLE,
        };
        let key = self
            .set
            .declare(socket, interest, Trigger::Edge)
            .map_err(|_| Failure::Other)?;
        Ok((key, link))
    }

    fn drop_socket(&mut self, key: Key) {
        // Dropping the socket closes it, even if withdrawing it failed.
        drop(self.set.withdraw(key));
    }

    /// The socket of a slot.
    fn slot(&self, slot: u32) -> Result<Key, Failure> {
        self.slots.get(slot as usize).copied().flatten().ok_or(Failure::Other)
    }
}

impl World for SocketSet {
    fn now(&self) -> Moment {
        Moment::now()
    }

    fn connect(&mut self, slot: u32) -> Result<Link, Failure> {
        let (key, link) = self.start(Role::Slot(slot))?;
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.slots[index] = Some(key);
        Ok(link)
    }

    fn connected(&mut self, slot: u32) -> Result<(), Failure> {
        Ok(self.set[self.slot(slot)?].connected()?)
    }

    fn write(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, Failure> {
        let key = self.slot(slot)?;
        let written = self.set[key].write(bytes)?;
        if written < bytes.len() {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.set.modify(key, both, Trigger::Edge).map_err(|_| Failure::Other)?;
        }
        Ok(written)
    }

    fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Result<ReadResult, Failure> {
        Ok(self.set[self.slot(slot)?].read(buffer)?)
    }

    fn close(&mut self, slot: u32) {
        if let Some(key) = self.slots.get_mut(slot as usize).and_then(Option::take) {
            self.drop_socket(key);
        }
    }
}
