//! The client: one request after the other, with calls that block.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use c10k_record::ServeSummary;

use super::error::WorkloadError;

/// The request: for a document as small as the paper's smallest.
pub(super) const REQUEST: &[u8] = b"GET /bytes/92 HTTP/1.1\r\nHost: c10k\r\n\r\n";

/// What happens to a connection after its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// It stays open for the next request.
    Kept,
    /// It is closed, and the next request opens another.
    New,
}

impl Connection {
    /// Both, with their names in a load.
    pub(super) const ALL: [(&'static str, Self); 2] = [("kept", Self::Kept), ("new", Self::New)];
}

/// A client of one server.
pub(super) struct Client {
    address: SocketAddr,
    request: &'static [u8],
    kept: Option<TcpStream>,
    reply: Vec<u8>,
    /// Replies read so far.
    pub(super) replies: u64,
}

/// Connections that never send anything.
pub(super) fn idle_connections(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>, WorkloadError> {
    let connect = |_| TcpStream::connect(address).map_err(|error| WorkloadError::Io("make an idle connection", error));
    (0..count).map(connect).collect()
}

impl Client {
    /// A client that sends `request` and expects replies of the length of `reply`.
    pub(super) fn new(address: SocketAddr, request: &'static [u8], reply: &[u8]) -> Self {
        Self {
            address,
            request,
            kept: None,
            reply: reply.to_owned(),
            replies: 0,
        }
    }

    /// Sends one request and returns the whole reply, head and body. Every later reply has the same length.
    pub(super) fn first_reply(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, WorkloadError> {
        reply_to(address, request)
    }

    /// Sends one request and reads its reply.
    pub(super) fn request(&mut self, connection: Connection) -> io::Result<()> {
        let mut stream = match self.kept.take() {
            Some(kept) => kept,
            None => TcpStream::connect(self.address)?,
        };
        stream.write_all(self.request)?;
        stream.read_exact(&mut self.reply)?;
        if !self.reply.starts_with(b"HTTP/1.1 200 ") {
            let line = String::from_utf8_lossy(&self.reply);
            let line = line.lines().next().unwrap_or_default().to_owned();
            return Err(io::Error::other(format!("the server answered {line:?}")));
        }
        self.replies += 1;
        if connection == Connection::Kept {
            self.kept = Some(stream);
        }
        Ok(())
    }
}

/// What the server has counted so far, from its `/stats`.
pub(super) fn counts(address: SocketAddr) -> Result<ServeSummary, WorkloadError> {
    let reply = reply_to(address, b"GET /stats HTTP/1.1\r\nHost: c10k\r\n\r\n")?;
    let start = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = start.map_or(&[][..], |start| &reply[start + 4..]);
    serde_json::from_slice(body).map_err(|error| WorkloadError::Io("read the server's /stats", error.into()))
}

/// Sends a request on a connection of its own and returns the whole reply.
fn reply_to(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, WorkloadError> {
    let failed = |error| WorkloadError::Io("send a request to the server", error);
    let mut connection = TcpStream::connect(address).map_err(failed)?;
    connection.write_all(request).map_err(failed)?;
    let mut reply = Vec::new();
    let mut part = [0; 4096];
    while length(&reply).is_none_or(|length| reply.len() < length) {
        match connection.read(&mut part).map_err(failed)? {
            0 => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            count => reply.extend_from_slice(&part[..count]),
        }
    }
    Ok(reply)
}

/// The length of a reply, once its head is complete.
fn length(reply: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(reply);
    let head = text.split_once("\r\n\r\n")?.0;
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    Some(head.len() + 4 + body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::bare::Bare;

    #[test]
    fn the_length_of_a_reply_is_known_when_its_head_is_complete() {
        assert_eq!(length(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), Some(43));
    }

    #[test]
    fn a_bare_server_answers_on_kept_and_on_new_connections() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
        let bare = Bare::start(reply).expect("it starts");
        for (_, connection) in Connection::ALL {
            let mut client = Client::new(bare.address, REQUEST, reply);
            for _ in 0..3 {
                client.request(connection).expect("it answers");
            }
            assert_eq!(client.replies, 3);
        }
        assert_eq!(Client::first_reply(bare.address, REQUEST).expect("it answers"), reply);
    }
}
