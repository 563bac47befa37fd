//! The server of a cell: ours, which says where it listens, or any other, which is ready when its port answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use c10k_host::child::OnParentDeath;
use c10k_host::guard::Strays;
use c10k_record::{CellRecord, ServeRecord, ServeSummary, read};

use super::end::{CellFailure, failed, invalid, skipped};
use super::process::{NoLine, Program};
use super::testbed::Testbed;
use crate::experiment::Authority;
use crate::plan::{Cell, ExternalServer};

/// A server that has not said that it listens by then will not.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The same for a server with files: the first one makes them and brings them to the disk.
const START_LIMIT_WITH_FILES: Duration = Duration::from_secs(60);

/// What a server gets to drain and to print its summary.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What the server's own count of connections may take to answer. A hung server must not hang the lab.
const STATS_LIMIT: Duration = Duration::from_millis(500);

/// How long a server that goes to the background may take to do so after it has begun to answer.
const BACKGROUND_LIMIT: Duration = Duration::from_millis(20);

/// A running server and where it answers.
pub(super) struct Server {
    pub(super) program: Program,
    pub(super) is_ours: bool,
    /// What it leaves behind; ended after it.
    strays: Strays,
    pub(super) address: SocketAddr,
    pub(super) url: String,
}

impl Server {
    /// Starts the server of a cell. `prefix` stands before its command. Its strays, if they are watched, end with it.
    pub(super) fn start(
        testbed: &Testbed,
        cell: &Cell,
        external: Option<&ExternalServer>,
        prefix: Vec<String>,
        strays: Strays,
        record: &mut CellRecord,
    ) -> Result<Self, CellFailure> {
        match external {
            Some(external) => Self::start_external(testbed, cell, external, prefix, strays, record),
            None => Self::start_own(testbed, cell, prefix, strays, record),
        }
    }

    fn start_own(
        testbed: &Testbed,
        cell: &Cell,
        prefix: Vec<String>,
        strays: Strays,
        record: &mut CellRecord,
    ) -> Result<Self, CellFailure> {
        let mut command = prefix;
        command.push(testbed.tool.display().to_string());
        command.extend(["serve", "--listen", "127.0.0.1:0", "--json", "--lab"].map(str::to_owned));
        command.extend(cell.server_flags.iter().cloned());
        let disk = testbed.disk.as_ref().filter(|_| cell.needs_disk);
        command.extend(
            disk.iter()
                .flat_map(|disk| ["--disk".to_owned(), disk.path().display().to_string()]),
        );
        record.server_command.clone_from(&command);
        let mut program = Program::start(&command, &testbed.server_cpus(), OnParentDeath::Kill)?;
        let limit = if cell.needs_disk {
            START_LIMIT_WITH_FILES
        } else {
            START_LIMIT
        };
        let line = match program.line(Instant::now() + limit) {
            Ok(line) => line,
            Err(NoLine::Ended) => {
                return Err(failed(format!(
                    "the server did not start: {}",
                    program.last_error_line()
                )));
            }
            Err(NoLine::Late) => return Err(invalid(format!("the server did not listen within {limit:?}"))),
        };
        let address = match read::object(line.text.as_bytes()) {
            Ok(ServeRecord::Listening { address, .. }) => address,
            Ok(ServeRecord::Unavailable { reason, .. }) => {
                return Err(skipped(format!("the server cannot run here: {reason}")));
            }
            Ok(ServeRecord::Summary(_)) => return Err(invalid("the server ended before it listened")),
            Err(damage) => {
                let said = &line.text;
                return Err(invalid(format!(
                    "the server said '{said}' instead of where it listens: {}",
                    damage.cause
                )));
            }
        };
        let url = format!("http://{address}{}", cell.path);
        let address = address
            .parse()
            .map_err(|_| invalid(format!("the server listens on '{address}', which is no address")))?;
        Ok(Self {
            program,
            is_ours: true,
            strays,
            address,
            url,
        })
    }

    /// Any command: it is ready when its port accepts a connection.
    fn start_external(
        testbed: &Testbed,
        cell: &Cell,
        external: &ExternalServer,
        prefix: Vec<String>,
        strays: Strays,
        record: &mut CellRecord,
    ) -> Result<Self, CellFailure> {
        let mut command = prefix;
        command.extend(external.command.iter().cloned());
        record.server_command.clone_from(&command);
        let authority = Authority::of_url(&external.url)
            .ok_or_else(|| failed(format!("'{}' names no host and port", external.url)))?;
        let addresses = authority
            .addresses()
            .map_err(|error| failed(format!("resolving '{}': {error}", external.url)))?;
        if let Some(address) = first_that_answers(&addresses) {
            return Err(failed(format!("something else answers at {address} already; stop it")));
        }
        let mut program = Program::start(&command, &testbed.server_cpus(), OnParentDeath::Terminate)?;
        let deadline = Instant::now() + START_LIMIT;
        let address = loop {
            if let Some(address) = first_that_answers(&addresses) {
                break address;
            }
            if program.ended(Duration::from_millis(5)).is_some() {
                let why = why_ended(&mut program, &strays);
                return Err(failed(format!("the server did not start: {why}")));
            }
            if Instant::now() >= deadline {
                return Err(invalid(format!(
                    "nothing answered at {} within {START_LIMIT:?}",
                    authority.text
                )));
            }
        };
        if program.ended(BACKGROUND_LIMIT).is_some() {
            let why = why_ended(&mut program, &strays);
            return Err(failed(format!("the server cannot be measured: {why}")));
        }
        let url = format!("http://{}{}", authority.text, cell.path);
        Ok(Self {
            program,
            is_ours: false,
            strays,
            address,
            url,
        })
    }

    /// Why it has ended; `None` while it runs.
    pub(super) fn why_ended(&mut self) -> Option<String> {
        self.program.ended(Duration::ZERO)?;
        Some(why_ended(&mut self.program, &self.strays))
    }

    /// Drains the server and takes its summary where it is ours.
    pub(super) fn finish(mut self, record: &mut CellRecord) {
        let mut left = Vec::new();
        match self.program.stop(DRAIN_LIMIT) {
            Some(_) => left = self.strays.running(),
            None => record.notes.push(format!(
                "the server did not drain within {DRAIN_LIMIT:?} and was killed"
            )),
        }
        if self.is_ours {
            record.server = self.summary();
            if record.server.is_none() {
                record.notes.push("the server printed no summary".to_owned());
            }
        }
        self.program.kill();
        self.strays.end();
        if !left.is_empty() {
            let names = left.join(", ");
            record
                .notes
                .push(format!("the server left processes behind, which were ended: {names}"));
        }
    }

    fn summary(&self) -> Option<ServeSummary> {
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Ok(line) = self.program.line(deadline) {
            if let Ok(ServeRecord::Summary(summary)) = read::object(line.text.as_bytes()) {
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

/// Why a server has ended. One that has gone to the background is named with the remedy.
fn why_ended(program: &mut Program, strays: &Strays) -> String {
    let succeeded = program.ended(Duration::ZERO).is_some_and(|status| status.success());
    match strays.running() {
        running if succeeded && !running.is_empty() => format!(
            "its command ended and left {} running in the background: keep it in the foreground, as with nginx -g 'daemon off;'",
            running.join(", ")
        ),
        _ => program.last_error_line(),
    }
}

/// Of the addresses of a server, the first that accepts a connection.
fn first_that_answers(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let mut answering = addresses
        .iter()
        .filter(|address| TcpStream::connect_timeout(address, STATS_LIMIT).is_ok());
    answering.next().copied()
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
