//! A test request over its own connection, outside the load.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use c10k_http::reply::{Progress, Reply, ReplyError, ReplyLimits, ReplyParser};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

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

/// Connects to the first of `addresses` that accepts a connection within its part of `limit`, and returns that address. If
/// none does, but one did not answer in time, that one is returned: the load will count its failures.
///
/// # Errors
/// [`LoadError::Connect`] or [`LoadError::ConnectAny`] if every address refuses.
pub(crate) fn first_that_accepts(url: &str, addresses: &[Endpoint], limit: Duration) -> Result<Endpoint, LoadError> {
    let part = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let (mut silent, mut refused) = (None, Vec::new());
    for address in addresses {
        match Stream::connect(address, part) {
            Ok(_) => return Ok(address.clone()),
            Err(error) if error.kind() == ErrorKind::TimedOut => silent = silent.or(Some(address)),
            Err(error) => refused.push((address, error)),
        }
    }
    if let Some(address) = silent {
        return Ok(address.clone());
    }
    if refused.len() == 1
        && let Some((address, source)) = refused.pop()
    {
        let address = address.clone();
        return Err(LoadError::Connect { address, source });
    }
    let tried: Vec<String> = refused
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    Err(LoadError::ConnectAny {
        url: url.to_owned(),
        tried: tried.join("; "),
    })
}

/// How soon a wait for the reply notices that it is to end.
const STOP_NOTICED_WITHIN: Duration = Duration::from_millis(100);

/// Requests the target once, within `limit`, and no longer than until `is_stopped`.
///
/// # Errors
/// [`LoadError::Connect`] if no connection can be made, [`LoadError::NotHttp`] if the reply is not HTTP.
pub(crate) fn ask(target: &Target, limit: Duration, is_stopped: impl Fn() -> bool) -> Result<Answer, LoadError> {
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
    if stream.set_timeouts(limit).is_err() || stream.write_all(&target.test_request()).is_err() {
        return Ok(Answer::Nothing);
    }
    let mut parser = ReplyParser::new(ReplyLimits::default());
    let mut body = Fingerprint::EMPTY;
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || is_stopped() || stream.set_timeouts(left.min(STOP_NOTICED_WITHIN)).is_err() {
            return Ok(Answer::Nothing);
        }
        let progress = match stream.read(&mut buffer) {
            Ok(0) => {
                return Ok(parser
                    .end()
                    .map_or(Answer::Nothing, |reply| Answer::Replied(reply, body)));
            }
            Ok(length) => parser.feed(&buffer[..length], |bytes| body.update(bytes)),
            // A read that ends at its time limit says that it would block.
            Err(error) if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => continue,
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
            Endpoint::Unix(path) => connect_unix(path, limit).map(Self::Unix),
        }
    }

    /// Limits each read and each write.
    fn set_timeouts(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Internet(stream) => stream
                .set_read_timeout(Some(limit))
                .and_then(|()| stream.set_write_timeout(Some(limit))),
            Self::Unix(stream) => stream
                .set_read_timeout(Some(limit))
                .and_then(|()| stream.set_write_timeout(Some(limit))),
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

/// Connects within `limit`. A blocking connect would wait without a limit for a listener whose queue is full; a
/// non-blocking one is refused with `EAGAIN`, and nothing reports when there is room again (unix(7)).
fn connect_unix(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    const RETRY_AFTER: Duration = Duration::from_millis(2);
    let until = Instant::now() + limit;
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::AGAIN) if Instant::now() < until => thread::sleep(RETRY_AFTER),
            Err(Errno::AGAIN) => return Err(ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
    ioctl_fionbio(&socket, false)?;
    Ok(UnixStream::from(socket))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use rustix::net::{accept, bind, listen};

    use super::*;

    /// A time limit that only a hang reaches.
    const HANG: Duration = Duration::from_secs(60);

    /// The address of a port on which nothing listens: ports below 1024 are not assigned to programs that ask for any.
    fn refusing() -> Endpoint {
        Endpoint::Internet(SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    #[test]
    fn every_address_of_a_name_is_tried_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Endpoint::Internet(listener.local_addr().unwrap());
        let find = |addresses: &[Endpoint]| first_that_accepts("http://name/", addresses, HANG);
        assert_eq!(find(&[refusing(), open.clone()]).unwrap(), open);
        assert_eq!(find(&[open.clone(), refusing()]).unwrap(), open);
        let none = find(&[refusing(), refusing()]).unwrap_err();
        assert!(matches!(none, LoadError::ConnectAny { .. }), "{none:?}");
        assert_eq!(none.to_string().matches("127.0.0.1:1").count(), 2, "{none}");
        assert!(matches!(find(&[refusing()]), Err(LoadError::Connect { .. })));
    }

    #[test]
    fn a_server_that_does_not_reply_is_waited_for_until_the_limit_or_the_end_of_the_run() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let limit = 3 * STOP_NOTICED_WITHIN;
        let start = Instant::now();
        assert!(matches!(ask(&target, limit, || false), Ok(Answer::Nothing)));
        assert!(start.elapsed() >= limit);
        assert!(matches!(ask(&target, HANG, || true), Ok(Answer::Nothing)));
        assert!(start.elapsed() < HANG);
    }

    #[test]
    fn a_local_listener_with_a_full_queue_gives_no_answer_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let address = SocketAddrUnix::new(&path).unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let listener = socket();
        bind(&listener, &address).unwrap();
        listen(&listener, 0).unwrap();
        let waiting: Vec<_> = std::iter::repeat_with(socket)
            .take_while(|client| connect(client, &address).is_ok())
            .collect();
        assert!(!waiting.is_empty(), "the queue has room for one");
        let target = Target::parse(&format!("unix:{}:/", path.display())).unwrap();
        assert!(matches!(
            ask(&target, Duration::from_millis(20), || false),
            Ok(Answer::Nothing)
        ));
        drop((accept(&listener).unwrap(), waiting));
        assert!(connect_unix(&path, HANG).is_ok(), "there is room again");
    }
}
