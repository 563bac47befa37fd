//! The server of a cell: ours, which says where it listens, or any other, which is ready when its port answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use c10k_host::child::OnParentDeath;
use c10k_record::{CellRecord, ServeRecord, ServeSummary};

use super::end::{CellFailure, invalid, skipped};
use super::process::{NoLine, Program};
use super::testbed::Testbed;
use crate::plan::{Cell, ExternalServer};

/// A server that has not said that it listens by then will not.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What a server gets to drain and to print its summary.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What the server's own count of connections may take to answer. A hung server must not hang the lab.
const STATS_LIMIT: Duration = Duration::from_millis(500);

/// A running server and where it answers.
pub(super) struct Server {
    pub(super) program: Program,
    pub(super) address: SocketAddr,
    pub(super) url: String,
}

impl Server {
    /// Starts the server of a cell. `prefix` stands before its command.
    pub(super) fn start(
        testbed: &Testbed,
        cell: &Cell,
        external: Option<&ExternalServer>,
        prefix: Vec<String>,
        record: &mut CellRecord,
    ) -> Result<Self, CellFailure> {
        match external {
            Some(external) => Self::start_external(testbed, cell, external, prefix, record),
            None => Self::start_own(testbed, cell, prefix, record),
        }
    }

    fn start_own(
        testbed: &Testbed,
        cell: &Cell,
        prefix: Vec<String>,
        record: &mut CellRecord,
    ) -> Result<Self, CellFailure> {
        let mut command = prefix;
        command.push(testbed.tool.display().to_string());
        command.extend(["serve", "--listen", "127.0.0.1:0", "--json", "--lab"].map(str::to_owned));
        command.extend(cell.server_flags.iter().cloned());
        record.server_command.clone_from(&command);
        let mut program = Program::start(&command, &testbed.server_cpus(), OnParentDeath::Kill).map_err(skipped)?;
        let deadline = Instant::now() + START_LIMIT;
        let line = match program.line(deadline) {
            Ok(line) => line,
            Err(NoLine::Ended) => {
                return Err(skipped(format!(
                    "the server did not start: {}",
                    program.last_error_line()
                )));
            }
            Err(NoLine::Late) => return Err(invalid(format!("the server did not listen within {START_LIMIT:?}"))),
        };
        let Ok(ServeRecord::Listening { address, .. }) = serde_json::from_str(&line.text) else {
            return Err(invalid(format!(
                "the server said '{}' instead of where it listens",
                line.text
            )));
        };
        let url = format!("http://{address}{}", cell.path);
        let address = address
            .parse()
            .map_err(|_| invalid(format!("the server listens on '{address}', which is no address")))?;
        Ok(Self { program, address, url })
    }

    /// Any command: it is ready when its port accepts a connection.
    fn start_external(
        testbed: &Testbed,
        cell: &Cell,
        external: &ExternalServer,
        prefix: Vec<String>,
        record: &mut CellRecord,
    ) -> Result<Self, CellFailure> {
        let mut command = prefix;
        command.extend(external.command.iter().cloned());
        record.server_command.clone_from(&command);
        let authority = external
            .url
            .strip_prefix("http://")
            .unwrap_or(&external.url)
            .trim_end_matches('/');
        let address = authority
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| skipped(format!("'{}' names no host and port", external.url)))?;
        if TcpStream::connect_timeout(&address, STATS_LIMIT).is_ok() {
            return Err(skipped(format!("something else answers at {address} already; stop it")));
        }
        let mut program =
            Program::start(&command, &testbed.server_cpus(), OnParentDeath::Terminate).map_err(skipped)?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect_timeout(&address, STATS_LIMIT).is_err() {
            if program.ended(Duration::from_millis(5)).is_some() {
                return Err(skipped(format!(
                    "the server did not start: {}",
                    program.last_error_line()
                )));
            }
            if Instant::now() >= deadline {
                return Err(invalid(format!("nothing answered at {address} within {START_LIMIT:?}")));
            }
        }
        let url = format!("http://{authority}{}", cell.path);
        Ok(Self { program, address, url })
    }

    /// Drains the server and takes its summary where it is ours.
    pub(super) fn finish(mut self, ours: bool, record: &mut CellRecord) {
        if self.program.stop(DRAIN_LIMIT).is_none() {
            record.notes.push(format!(
                "the server did not drain within {DRAIN_LIMIT:?} and was killed"
            ));
        }
        if ours {
            record.server = self.summary();
            if record.server.is_none() {
                record.notes.push("the server printed no summary".to_owned());
            }
        }
    }

    fn summary(&self) -> Option<ServeSummary> {
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Ok(line) = self.program.line(deadline) {
            if let Ok(ServeRecord::Summary(summary)) = serde_json::from_str(&line.text) {
                return Some(*summary);
            }
        }
        None
    }

    /// Asks for the server's own count of open connections, from `/stats`; `None` if no answer comes in time. In a thread
    /// of its own: a busy server answers late, and the meters must not wait for it.
    pub(super) fn ask_open_connections(&self) -> JoinHandle<Option<u64>> {
        let address = self.address;
        thread::spawn(move || open_connections(address))
    }
}

fn open_connections(address: SocketAddr) -> Option<u64> {
    let mut stream = TcpStream::connect_timeout(&address, STATS_LIMIT).ok()?;
    stream.set_read_timeout(Some(STATS_LIMIT)).ok()?;
    stream.set_write_timeout(Some(STATS_LIMIT)).ok()?;
    write!(
        stream,
        "GET /stats HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut reply = Vec::new();
    // What came before a timeout may still be whole.
    let _ = stream.take(64 * 1024).read_to_end(&mut reply);
    let text = String::from_utf8(reply).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    // This request's own connection is among them.
    value
        .get("open_connections")?
        .as_u64()
        .map(|open| open.saturating_sub(1))
}
