//! The least that a server can do: accept, read, write, wait for the end, close.
//!
//! It is a process that blocks in each call and serves one connection at a time, or several in turn. In an exchange, client and server do the
//! same: one write, one read that blocks, one switch to the other. So half of the cost of an exchange is the client's.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use c10k_sys::process::fork;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::error::WorkloadError;

/// A running bare server.
pub(super) struct Bare {
    process: Pid,
    pub(super) address: SocketAddr,
}

impl Bare {
    /// Starts one that answers each read with `reply`.
    pub(super) fn start(reply: &[u8]) -> Result<Self, WorkloadError> {
        Self::run(|listener| serve(listener, reply))
    }

    /// Starts one that reads from so many connections in turn and answers each read with `reply`.
    pub(super) fn start_many(reply: &[u8], connections: usize) -> Result<Self, WorkloadError> {
        Self::run(|listener| serve_in_turn(listener, connections, reply))
    }

    fn run(serve: impl FnOnce(&TcpListener) -> io::Result<()>) -> Result<Self, WorkloadError> {
        let failed = |error| WorkloadError::Io("start a bare server", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let process = fork(|| u8::from(serve(&listener).is_err())).map_err(failed)?;
        Ok(Self { process, address })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Both fail only if it has already been waited for.
        let _ = kill_process(self.process, Signal::KILL);
        let _ = waitpid(Some(self.process), WaitOptions::empty());
    }
}

fn serve(listener: &TcpListener, reply: &[u8]) -> io::Result<()> {
    let mut request = [0; 1024];
    loop {
        let (mut connection, _) = listener.accept()?;
        answer(&mut connection, &mut request, reply)?;
    }
}

fn serve_in_turn(listener: &TcpListener, connections: usize, reply: &[u8]) -> io::Result<()> {
    let accept = |_| listener.accept().map(|(connection, _)| connection);
    let mut connections = (0..connections).map(accept).collect::<io::Result<Vec<_>>>()?;
    let mut request = [0; 1024];
    loop {
        for connection in &mut connections {
            if connection.read(&mut request)? == 0 {
                return Ok(());
            }
            connection.write_all(reply)?;
        }
    }
}

fn answer(connection: &mut TcpStream, request: &mut [u8], reply: &[u8]) -> io::Result<()> {
    while connection.read(request)? > 0 {
        connection.write_all(reply)?;
    }
    Ok(())
}
