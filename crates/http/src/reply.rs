//! The client's side: HTTP/1.1 replies, incrementally and without I/O.
//!
//! [`ReplyParser`] is fed whatever bytes arrive, in pieces of any size, and says when a reply is complete. It keeps no
//! body: each piece is handed to the caller as a slice of the caller's own buffer. Framing follows RFC 9112 section 6.3
//! and is strict where leniency would hide a broken server: a reply whose length is ambiguous is [`ReplyError`], not a
//! guess. Memory is bounded by [`ReplyLimits::head_bytes`] whatever the server sends.

use thiserror::Error;

/// Interim replies (1xx) accepted ahead of the final one.
const INTERIM_MAX: u32 = 16;
/// Fields accepted in one head.
const FIELDS_MAX: usize = 64;
/// Bytes accepted in one chunk-size line, extensions included.
const CHUNK_LINE_MAX: usize = 4096;

/// What a reply may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Bytes of one head, and of all trailers of one reply. Default 64 KiB.
    pub head_bytes: usize,
    /// Bytes of one body, after decoding. Default no limit.
    pub body_bytes: u64,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            body_bytes: u64::MAX,
        }
    }
}

/// A reply that arrived in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status code, 200 to 999.
    pub status: u16,
    /// Bytes of the body after decoding.
    pub body_bytes: u64,
    /// Whether the connection may carry another request.
    pub persistence: Persistence,
}

/// What becomes of the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open for the next request.
    KeepAlive,
    /// The server closes it, or its end was the end of the body.
    Close,
}

/// Why a byte stream is not an acceptable reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// The bytes are not an HTTP/1.x head, or a chunk is malformed.
    #[error("the reply is not HTTP/1.x: {0}")]
    Malformed(&'static str),
    /// The head or the trailers exceed [`ReplyLimits::head_bytes`].
    #[error("the reply's head is longer than the limit")]
    HeadTooLong,
    /// The body exceeds, or is declared to exceed, [`ReplyLimits::body_bytes`].
    #[error("the reply's body is longer than the limit")]
    BodyTooLong,
    /// The connection ended inside the reply, or before its first byte.
    #[error("the connection ended before the reply was complete")]
    Truncated,
}

/// How far the bytes given so far have led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All bytes are consumed and the reply is not complete.
    Partial,
    /// The reply is complete; `consumed` bytes of the piece belonged to it, the rest to what follows.
    Complete {
        /// The reply.
        reply: Reply,
        /// Bytes of the piece that belonged to it.
        consumed: usize,
    },
}

/// Parses the replies of one connection, one after the other.
///
/// An idle parser owns no heap memory. After an error the parser must not be fed again: the stream is out of step.
#[derive(Debug)]
pub struct ReplyParser {
    limits: ReplyLimits,
    state: State,
    /// A head that came in several pieces; empty (and without capacity) otherwise.
    partial: Vec<u8>,
    head: Head,
    body_bytes: u64,
    interim: u32,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// A body of known length; this much is missing.
    Sized(u64),
    UntilClose,
    /// In a chunk-size line.
    ChunkSize {
        size: u64,
        digits: u8,
        bytes: u16,
        part: LinePart,
    },
    /// In a chunk's data; this much is missing.
    ChunkData(u64),
    /// Between a chunk's data and the next size line: CR, then LF, are due.
    ChunkEnd(LinePart),
    Trailer(TrailerPart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinePart {
    Text,
    Extension,
    Lf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrailerPart {
    LineStart,
    InLine,
    /// LF of a trailer line is due.
    LineLf,
    /// LF of the final empty line is due.
    FinalLf,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    persistence: Persistence,
}

enum Framing {
    Sized(u64),
    Chunked,
    UntilClose,
}

impl ReplyParser {
    /// A parser at the start of a connection.
    #[must_use]
    pub fn new(limits: ReplyLimits) -> Self {
        Self {
            limits,
            state: State::Head,
            partial: Vec::new(),
            head: Head {
                status: 0,
                persistence: Persistence::Close,
            },
            body_bytes: 0,
            interim: 0,
            trailer_bytes: 0,
        }
    }

    /// Whether a reply has begun and is not complete.
    #[must_use]
    pub fn in_reply(&self) -> bool {
        self.state != State::Head || !self.partial.is_empty() || self.interim > 0
    }

    /// Takes the next bytes of the stream. Body bytes are handed to `body` in order, as slices of `bytes`.
    ///
    /// # Errors
    /// [`ReplyError`] as soon as the bytes cannot become an acceptable reply.
    pub fn feed(&mut self, bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<Progress, ReplyError> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let used = match self.state {
                State::Head => match self.take_head(rest)? {
                    Some(used) => used,
                    None => return Ok(Progress::Partial),
                },
                State::Sized(0) => return Ok(self.complete(at)),
                _ if rest.is_empty() => return Ok(Progress::Partial),
                State::Sized(missing) => {
                    let used = self.take_body(rest, missing, &mut body)?;
                    self.state = State::Sized(missing - used as u64);
                    used
                }
                State::UntilClose => self.take_body(rest, u64::MAX, &mut body)?,
                State::ChunkData(missing) => {
                    let used = self.take_body(rest, missing, &mut body)?;
                    self.state = match missing - used as u64 {
                        0 => State::ChunkEnd(LinePart::Text),
                        left => State::ChunkData(left),
                    };
                    used
                }
                State::ChunkSize { .. } | State::ChunkEnd(_) => {
                    self.chunk_line_byte(rest[0])?;
                    1
                }
                State::Trailer(part) => {
                    if self.trailer_byte(part, rest[0])? {
                        return Ok(self.complete(at + 1));
                    }
                    1
                }
            };
            at += used;
        }
    }

    /// Says that the server has closed its side: completes a body delimited by the close.
    ///
    /// # Errors
    /// [`ReplyError::Truncated`] when the close came anywhere else.
    pub fn end(&mut self) -> Result<Reply, ReplyError> {
        match self.state {
            State::UntilClose => match self.complete(0) {
                Progress::Complete { reply, .. } => Ok(reply),
                Progress::Partial => Err(ReplyError::Truncated),
            },
            _ => Err(ReplyError::Truncated),
        }
    }

    fn complete(&mut self, consumed: usize) -> Progress {
        let reply = Reply {
            status: self.head.status,
            body_bytes: self.body_bytes,
            persistence: self.head.persistence,
        };
        *self = Self::new(self.limits);
        Progress::Complete { reply, consumed }
    }

    fn take_body(&mut self, rest: &[u8], missing: u64, body: &mut impl FnMut(&[u8])) -> Result<usize, ReplyError> {
        let used = usize::try_from(missing).map_or(rest.len(), |missing| missing.min(rest.len()));
        self.body_bytes += used as u64;
        if self.body_bytes > self.limits.body_bytes {
            return Err(ReplyError::BodyTooLong);
        }
        body(&rest[..used]);
        Ok(used)
    }

    /// Takes a whole head from `rest`, or keeps what there is. `None` means that the head is not complete.
    fn take_head(&mut self, rest: &[u8]) -> Result<Option<usize>, ReplyError> {
        if self.partial.is_empty() {
            starts_like_http(rest)?;
            if let Some(end) = end_of_head(rest, 0) {
                self.accept_head(&rest[..end])?;
                return Ok(Some(end));
            }
            self.keep(rest)?;
            return Ok(None);
        }
        let before = self.partial.len();
        // The blank line may straddle the seam: it is searched for from three bytes before it.
        self.partial
            .extend_from_slice(&rest[..rest.len().min(self.limits.head_bytes + 4)]);
        starts_like_http(&self.partial)?;
        let Some(end) = end_of_head(&self.partial, before.saturating_sub(3)) else {
            self.partial.truncate(before);
            self.keep(rest)?;
            return Ok(None);
        };
        let head = std::mem::take(&mut self.partial);
        self.accept_head(&head[..end])?;
        Ok(Some(end - before))
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), ReplyError> {
        // At once, not when the head is complete: a head whose lines end with a bare LF never is.
        let last = self.partial.last().copied();
        check_line_ends(
            last,
            &rest[..rest.len().min(self.limits.head_bytes - self.partial.len())],
        )?;
        if self.partial.len() + rest.len() > self.limits.head_bytes {
            return Err(ReplyError::HeadTooLong);
        }
        self.partial.extend_from_slice(rest);
        starts_like_http(&self.partial)
    }

    fn accept_head(&mut self, bytes: &[u8]) -> Result<(), ReplyError> {
        check_line_ends(None, &bytes[..bytes.len().min(self.limits.head_bytes)])?;
        if bytes.len() > self.limits.head_bytes {
            return Err(ReplyError::HeadTooLong);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(ReplyError::Malformed("the head ends early")),
            Err(httparse::Error::TooManyHeaders) => return Err(ReplyError::HeadTooLong),
            Err(_) => return Err(ReplyError::Malformed("the head does not parse")),
        }
        let status = parsed.code.unwrap_or(0);
        if (100..200).contains(&status) {
            self.interim += 1;
            return match status {
                101 => Err(ReplyError::Malformed("it switches protocols unasked")),
                _ if self.interim > INTERIM_MAX => Err(ReplyError::Malformed("too many interim replies")),
                _ => Ok(()),
            };
        }
        if status < 200 {
            return Err(ReplyError::Malformed("the status is below 100"));
        }
        let (framing, persistence) = framing(status, parsed.version == Some(1), parsed.headers)?;
        self.head = Head { status, persistence };
        self.state = match framing {
            Framing::Sized(length) if length > self.limits.body_bytes => return Err(ReplyError::BodyTooLong),
            Framing::Sized(length) => State::Sized(length),
            Framing::Chunked => CHUNK_SIZE_START,
            Framing::UntilClose => State::UntilClose,
        };
        Ok(())
    }

    fn chunk_line_byte(&mut self, byte: u8) -> Result<(), ReplyError> {
        self.state = match (self.state, byte) {
            (State::ChunkEnd(LinePart::Text), b'\r') => State::ChunkEnd(LinePart::Lf),
            (State::ChunkEnd(LinePart::Lf), b'\n') => CHUNK_SIZE_START,
            (State::ChunkEnd(_), _) => return Err(ReplyError::Malformed("a chunk is longer than its size")),
            (State::ChunkSize { bytes, .. }, _) if usize::from(bytes) >= CHUNK_LINE_MAX => {
                return Err(ReplyError::Malformed("a chunk-size line is too long"));
            }
            (
                State::ChunkSize {
                    size,
                    part: LinePart::Lf,
                    ..
                },
                b'\n',
            ) => match size {
                0 => State::Trailer(TrailerPart::LineStart),
                size if size > self.limits.body_bytes.saturating_sub(self.body_bytes) => {
                    return Err(ReplyError::BodyTooLong);
                }
                size => State::ChunkData(size),
            },
            (
                State::ChunkSize {
                    size,
                    digits,
                    bytes,
                    part,
                },
                _,
            ) => {
                let (size, digits, part) = chunk_size_byte(size, digits, part, byte)?;
                State::ChunkSize {
                    size,
                    digits,
                    bytes: bytes + 1,
                    part,
                }
            }
            (other, _) => other,
        };
        Ok(())
    }

    /// Takes one byte of the trailers; true when it was the last byte of the reply.
    fn trailer_byte(&mut self, part: TrailerPart, byte: u8) -> Result<bool, ReplyError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.limits.head_bytes {
            return Err(ReplyError::HeadTooLong);
        }
        let next = match (part, byte) {
            (TrailerPart::FinalLf, b'\n') => return Ok(true),
            (TrailerPart::LineStart, b'\r') => TrailerPart::FinalLf,
            (TrailerPart::InLine, b'\r') => TrailerPart::LineLf,
            (TrailerPart::LineLf, b'\n') => TrailerPart::LineStart,
            (TrailerPart::FinalLf | TrailerPart::LineLf, _) | (_, b'\n' | 0) => {
                return Err(ReplyError::Malformed("a trailer line is not ended by CR LF"));
            }
            _ => TrailerPart::InLine,
        };
        self.state = State::Trailer(next);
        Ok(false)
    }
}

const CHUNK_SIZE_START: State = State::ChunkSize {
    size: 0,
    digits: 0,
    bytes: 0,
    part: LinePart::Text,
};

fn chunk_size_byte(size: u64, digits: u8, part: LinePart, byte: u8) -> Result<(u64, u8, LinePart), ReplyError> {
    let bad = Err(ReplyError::Malformed("a chunk size is not a hexadecimal number"));
    match (part, byte) {
        (LinePart::Text, _) if byte.is_ascii_hexdigit() => {
            // 16 digits fill a u64; more are an overflow even when they are zeros.
            let value = (byte as char).to_digit(16).map_or(0, u64::from);
            if digits >= 16 {
                bad
            } else {
                Ok((size << 4 | value, digits + 1, part))
            }
        }
        (LinePart::Text, _) if digits == 0 => bad,
        (LinePart::Text | LinePart::Extension, b'\r') => Ok((size, digits, LinePart::Lf)),
        (LinePart::Text, b';' | b' ' | b'\t') => Ok((size, digits, LinePart::Extension)),
        (LinePart::Extension, b'\n' | 0) | (LinePart::Text | LinePart::Lf, _) => bad,
        (LinePart::Extension, _) => Ok((size, digits, part)),
    }
}

fn starts_like_http(bytes: &[u8]) -> Result<(), ReplyError> {
    let start = b"HTTP/1.";
    let seen = bytes.len().min(start.len());
    if bytes[..seen] == start[..seen] {
        Ok(())
    } else {
        Err(ReplyError::Malformed("it does not start with HTTP/1."))
    }
}

/// Refuses a line of a head that ends with a bare LF, which httparse takes for a line's end. `last` precedes `bytes`.
fn check_line_ends(last: Option<u8>, bytes: &[u8]) -> Result<(), ReplyError> {
    let starts_bare = bytes.first() == Some(&b'\n') && last != Some(b'\r');
    if starts_bare || bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r') {
        return Err(ReplyError::Malformed("a line of the head is not ended by CR LF"));
    }
    Ok(())
}

/// The position after the blank line that ends a head, searched for from `from`.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..]
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|position| from + position + 4)
}

/// The length of the body and what follows it, by RFC 9112 section 6.3 and RFC 9110 section 15.
fn framing(
    status: u16,
    is_http_1_1: bool,
    fields: &[httparse::Header<'_>],
) -> Result<(Framing, Persistence), ReplyError> {
    let mut length: Option<u64> = None;
    let mut chunked = false;
    let mut coded = false;
    let mut persistence = if is_http_1_1 {
        Persistence::KeepAlive
    } else {
        Persistence::Close
    };
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = content_length(field.value)?;
            if length.is_some_and(|length| length != value) {
                return Err(ReplyError::Malformed("two different Content-Length fields"));
            }
            length = Some(value);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if coded {
                return Err(ReplyError::Malformed("two Transfer-Encoding fields"));
            }
            coded = true;
            chunked = field.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else if field.name.eq_ignore_ascii_case("connection") {
            for token in field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"close") {
                    persistence = Persistence::Close;
                } else if token.eq_ignore_ascii_case(b"keep-alive") && !is_http_1_1 {
                    persistence = Persistence::KeepAlive;
                }
            }
        }
    }
    if coded && (length.is_some() || !is_http_1_1) {
        return Err(ReplyError::Malformed(
            "Transfer-Encoding together with Content-Length, or in HTTP/1.0",
        ));
    }
    if coded && !chunked {
        return Err(ReplyError::Malformed(
            "a transfer coding other than chunked, which nothing asked for",
        ));
    }
    if matches!(status, 204 | 304) {
        return Ok((Framing::Sized(0), persistence));
    }
    Ok(match length {
        _ if chunked => (Framing::Chunked, persistence),
        Some(length) => (Framing::Sized(length), persistence),
        None => (Framing::UntilClose, Persistence::Close),
    })
}

fn content_length(value: &[u8]) -> Result<u64, ReplyError> {
    let value = value.trim_ascii();
    let bad = ReplyError::Malformed("Content-Length is not a number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    value
        .iter()
        .try_fold(0u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(bad)
}

#[cfg(test)]
mod tests;
