//! What the engine needs from outside: a clock, and a connection per slot. In a run these are sockets; in the tests
//! they are simulated in virtual time.

use crate::accounting::failure::Failure;
use crate::clock::Moment;

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The connect is in progress.
    Connecting,
    /// The connection is established.
    Connected,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadResult {
    /// This many bytes, at least one.
    Bytes(usize),
    /// No bytes are available now. An event will report more.
    WouldBlock,
    /// The server has closed its side.
    Closed,
}

/// A clock and connections.
pub(crate) trait World {
    /// The current time.
    fn now(&self) -> Moment;
    /// Starts a connect for a slot that has no connection.
    fn connect(&mut self, slot: u32) -> Result<Link, Failure>;
    /// The result of a connect in progress. Must be called after its event.
    fn connected(&mut self, slot: u32) -> Result<(), Failure>;
    /// Writes as many bytes as the connection accepts now. If that is not all, an event will report when it accepts
    /// more.
    fn write(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, Failure>;
    /// Reads the bytes that are available.
    fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Result<ReadResult, Failure>;
    /// Closes the slot's connection.
    fn close(&mut self, slot: u32);
}
