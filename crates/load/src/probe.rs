//! One request over a connection of its own, outside the load.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use c10k_http::reply::{Progress, Reply, ReplyError, ReplyLimits, ReplyParser};

use crate::LoadError;
use crate::endpoint::Blocking;
use crate::fingerprint::Fingerprint;
use crate::target::Target;

/// What the server did with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It replied, with whatever status and this body.
    Replied(Reply, Fingerprint),
    /// It did not within the time, or broke the connection off. The load will count such things.
    Nothing,
}

/// Asks for the target once, within `limit`.
///
/// # Errors
/// [`LoadError::Connect`] when nothing accepts there, [`LoadError::NotHttp`] when what comes back is not HTTP.
pub(crate) fn ask(target: &Target, limit: Duration) -> Result<Answer, LoadError> {
    let until = Instant::now() + limit;
    let mut stream = match Blocking::connect(&target.address, limit) {
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
        if left.is_zero() || stream.set_time_limit(left).is_err() {
            return Ok(Answer::Nothing);
        }
        let progress = match stream.read(&mut buffer) {
            Ok(0) => {
                return Ok(parser
                    .end()
                    .map_or(Answer::Nothing, |reply| Answer::Replied(reply, body)));
            }
            Ok(length) => parser.feed(&buffer[..length], |bytes| body.take(bytes)),
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
