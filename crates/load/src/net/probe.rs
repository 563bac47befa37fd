//! A test request over its own connection, outside the load.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use c10k_http::reply::{Progress, Reply, ReplyError, ReplyLimits, ReplyParser};

use crate::LoadError;
use crate::endpoint::Endpoint;
use crate::fingerprint::Fingerprint;
use crate::plan::Target;

/// What the server did with the test request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It replied. The reply may have any status.
    Replied(Reply, Fingerprint),
    /// It did not reply in time, or closed the connection. The load will count such failures.
    Nothing,
}

/// Requests the target once, within `limit`.
///
/// # Errors
/// [`LoadError::Connect`] if no connection can be made, [`LoadError::NotHttp`] if the reply is not HTTP.
pub(crate) fn ask(target: &Target, limit: Duration) -> Result<Answer, LoadError> {
    let until = Instant::now() + limit;
    let mut stream = match Stream::connect(&target.address, limit) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(Answer::Nothing),
        Err(source) => {
            return Err(LoadError::Connect {
                address: target.address.clone(),
                source,
            });
        }
    };
    if stream.write_all(&target.request).is_err() {
        return Ok(Answer::Nothing);
    }
    let mut parser = ReplyParser::new(ReplyLimits::default());
    let mut body = Fingerprint::EMPTY;
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(left).is_err() {
            return Ok(Answer::Nothing);
        }
        let progress = match stream.read(&mut buffer) {
            Ok(0) => {
                return Ok(parser
                    .end()
                    .map_or(Answer::Nothing, |reply| Answer::Replied(reply, body)));
            }
            Ok(length) => parser.feed(&buffer[..length], |bytes| body.update(bytes)),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Ok(Answer::Nothing),
        };
        match progress {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { reply, .. }) => return Ok(Answer::Replied(reply, body)),
            Err(source @ (ReplyError::Malformed(_) | ReplyError::HeadTooLong)) => {
                return Err(LoadError::NotHttp {
                    address: target.address.clone(),
                    source,
                });
            }
            Err(ReplyError::BodyTooLong | ReplyError::Truncated) => return Ok(Answer::Nothing),
        }
    }
}

/// A blocking connection.
enum Stream {
    Internet(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(endpoint: &Endpoint, limit: Duration) -> io::Result<Self> {
        match endpoint {
            Endpoint::Internet(address) => TcpStream::connect_timeout(address, limit).map(Self::Internet),
            Endpoint::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Internet(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Internet(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Internet(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}
