//! What the engine needs of the outside: a clock and one connection per lane. The real one is sockets on an interest
//! set; the tests have one in virtual time.

use crate::clock::Moment;
use crate::failure::Failure;

/// Whether a connection is established yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting,
    Up,
}

/// What was read from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing now; an event will tell when there is more.
    Nothing,
    /// The server has closed its side.
    End,
}

/// A clock and connections.
pub(crate) trait World {
    /// Now.
    fn now(&self) -> Moment;
    /// Starts a connection for a lane that has none.
    fn connect(&mut self, lane: u32) -> Result<Link, Failure>;
    /// Whether a connect under way has succeeded, after its event.
    fn connected(&mut self, lane: u32) -> Result<(), Failure>;
    /// Writes what the connection takes now; when that is not all, an event will tell when it takes more.
    fn write(&mut self, lane: u32, bytes: &[u8]) -> Result<usize, Failure>;
    /// Reads what there is.
    fn read(&mut self, lane: u32, buffer: &mut [u8]) -> Result<Got, Failure>;
    /// Closes the lane's connection.
    fn close(&mut self, lane: u32);
}
