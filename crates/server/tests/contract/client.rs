//! A plain client: blocking, one connection, replies read by their Content-Length.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The time limit for a reply. Only a hung server reaches it; then the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Bytes read beyond the last reply.
    held: Vec<u8>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn closes(&self) -> bool {
        self.head.contains("\r\nConnection: close\r\n")
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::on(TcpStream::connect(address).expect("the server listens"))
    }

    pub(crate) fn on(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a TCP socket");
        Client {
            stream,
            held: Vec::new(),
        }
    }

    /// Sets the time limit for a reply.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a TCP socket");
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes the request");
    }

    /// Requests a path and keeps the connection.
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send(get(path));
        self.reply()
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply()
            .expect("a whole reply")
            .expect("a reply before the end of the stream")
    }

    /// The next reply, if the server sends only its head.
    pub(crate) fn reply_without_body(&mut self) -> Reply {
        let head = self.until_blank_line().expect("a whole head").expect("a reply");
        let status = status(&head);
        Reply {
            status,
            head,
            body: Vec::new(),
        }
    }

    /// The next reply; `None` at an end of the stream between replies.
    pub(crate) fn try_reply(&mut self) -> io::Result<Option<Reply>> {
        let Some(head) = self.until_blank_line()? else {
            return Ok(None);
        };
        let status = status(&head);
        if matches!(status, 100 | 304) {
            return Ok(Some(Reply {
                status,
                head,
                body: Vec::new(),
            }));
        }
        let length = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("no length in {head:?}")))?;
        while self.held.len() < length {
            if self.fill()? == 0 {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("truncated after {head:?}"),
                ));
            }
        }
        let body = self.held.drain(..length).collect();
        Ok(Some(Reply { status, head, body }))
    }

    /// Everything until the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.held);
        self.stream
            .read_to_end(&mut rest)
            .expect("an end of the stream, not a reset");
        rest
    }

    fn until_blank_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.held.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.held.drain(..end + 4).collect();
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.fill()? == 0 {
                return if self.held.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::new(ErrorKind::UnexpectedEof, "truncated head"))
                };
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let taken = self.stream.read(&mut buffer)?;
        self.held.extend_from_slice(&buffer[..taken]);
        Ok(taken)
    }
}

fn status(head: &str) -> u16 {
    head.get(9..12).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A request for a path.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The body of `/bytes/N`.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}
