//! Heads of requests: where one ends, and what it says.

use httparse::{EMPTY_HEADER, Header};

use crate::Limits;
use crate::class::{self, GRAPHIC, TOKEN};
use crate::refusal::{
    CONTENT_TOO_LARGE, EXPECTATION_FAILED, FIELDS_TOO_LARGE, NOT_IMPLEMENTED, Refusal, URI_TOO_LONG,
    VERSION_NOT_SUPPORTED,
};
use crate::route::{Method, Route};
use crate::target::{self, PortRule};

/// Most heads have fewer fields; the larger table is cleared only for those that have more.
const FEW_FIELDS: usize = 16;
const MANY_FIELDS: usize = 100;

/// What [`scan`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The head ends before this offset.
    End(usize),
    /// The head is incomplete. Everything before this offset consists of complete lines; the next scan starts there.
    Partial(usize),
}

/// How the length of the body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    Length(u64),
    Chunked,
}

/// A well-formed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) route: Route,
    pub(crate) version: Version,
    pub(crate) wish: Wish,
    pub(crate) framing: Framing,
    pub(crate) expectation: Expectation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    /// 1.1 or any later 1.x (RFC 9110, section 2.5).
    Http11,
}

/// What the client wants to happen to the connection after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Keep,
    Close,
}

/// Whether the client waits for `100 Continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    None,
    Continue,
}

/// Finds the end of a head that starts at offset 0. The search begins at `from`, the start of a line.
///
/// Limits and line endings are checked line by line from the start, so that the result does not depend on how the bytes
/// arrived.
pub(crate) fn scan(bytes: &[u8], from: usize, limits: &Limits) -> Result<Scan, Refusal> {
    let mut line = from;
    while let Some(length) = memchr::memchr(b'\n', &bytes[line..]) {
        let end = line + length;
        if line == 0 && length > limits.request_line + 1 {
            return Err(Refusal::with(URI_TOO_LONG, "the request line is too long"));
        }
        if end >= limits.head {
            return Err(Refusal::with(FIELDS_TOO_LARGE, "the head is too large"));
        }
        if length == 0 || bytes[end - 1] != b'\r' {
            return Err(Refusal::bad("a line of the head ends without CR"));
        }
        if length == 1 {
            return Ok(Scan::End(end + 1));
        }
        line = end + 1;
    }
    if line == 0 && bytes.len() > limits.request_line + 1 {
        return Err(Refusal::with(URI_TOO_LONG, "the request line is too long"));
    }
    if bytes.len() >= limits.head {
        return Err(Refusal::with(FIELDS_TOO_LARGE, "the head is too large"));
    }
    Ok(Scan::Partial(line))
}

/// Whether a request, of which the beginning is given, is for a head alone. Its reply has no body, whatever it says.
pub(crate) fn wants_no_body(request: &[u8]) -> bool {
    request.starts_with(b"HEAD") && class::run(request, TOKEN) == b"HEAD".len()
}

/// Reads a complete head, as delimited by [`scan`]. Its request line is not empty.
pub(crate) fn parse(head: &[u8], limits: &Limits) -> Result<Request, Refusal> {
    let line_feed = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let (line, fields) = (&head[..line_feed.saturating_sub(1)], &head[line_feed + 1..]);
    let (method, target, version) = request_line(line)?;
    let facts = match read_fields(fields, limits, &mut [EMPTY_HEADER; FEW_FIELDS]) {
        None => read_fields(fields, limits, &mut [EMPTY_HEADER; MANY_FIELDS])
            .unwrap_or(Err(Refusal::with(FIELDS_TOO_LARGE, "too many fields"))),
        Some(facts) => facts,
    }?;
    if facts.hosts == 0 && version == Version::Http11 {
        return Err(Refusal::bad("no Host field"));
    }
    let framing = facts.framing(version)?;
    let Some(method) = Method::named(method) else {
        return Err(Refusal::with(NOT_IMPLEMENTED, "unknown method"));
    };
    let path = target::path(method, target)?;
    if method == Method::Connect {
        // The connection ends, since what follows may be meant for the other end of the tunnel.
        return Err(Refusal::with(NOT_IMPLEMENTED, "this server opens no tunnels"));
    }
    if facts.unmet_expectation {
        return Err(Refusal::with(EXPECTATION_FAILED, "unknown expectation"));
    }
    if matches!(framing, Framing::Length(length) if length > limits.body) {
        return Err(Refusal::with(CONTENT_TOO_LARGE, "the body is too large"));
    }
    let keep = !facts.close && (version == Version::Http11 || facts.keep_alive);
    Ok(Request {
        method,
        route: Route::of(path),
        version,
        wish: if keep { Wish::Keep } else { Wish::Close },
        framing,
        expectation: if facts.expects_continue && version == Version::Http11 {
            Expectation::Continue
        } else {
            Expectation::None
        },
    })
}

fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], Version), Refusal> {
    const MALFORMED: Refusal = Refusal::bad("malformed request line");
    let (method, rest) = line.split_at(class::run(line, TOKEN));
    let rest = rest
        .strip_prefix(b" ")
        .filter(|_| !method.is_empty())
        .ok_or(MALFORMED)?;
    let (target, version) = rest.split_at(class::run(rest, GRAPHIC));
    let version = match version.split_first() {
        Some((b' ', version)) if !target.is_empty() => version,
        _ if rest.contains(&b' ') => return Err(Refusal::bad("invalid request target")),
        _ => return Err(MALFORMED),
    };
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', b'0'..=b'9'] => {
            if *major != b'1' {
                return Err(Refusal::with(VERSION_NOT_SUPPORTED, "only HTTP/1.x is spoken here"));
            }
            Version::Http11
        }
        _ => return Err(MALFORMED),
    };
    Ok((method, target, version))
}

/// The fields that the machine uses.
#[derive(Debug, Default)]
struct Facts {
    hosts: u32,
    content_length: Option<u64>,
    transfer_encoding: Option<Coding>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    unmet_expectation: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// `chunked`, once, and nothing else.
    Chunked,
    /// The request has a coding that this server does not implement.
    Unknown(Last),
    /// `chunked` is repeated, or is not the last coding, or there is no coding.
    Invalid,
}

/// Whether the list has reached `chunked`, which must be last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Chunked,
    Other,
}

impl Facts {
    /// RFC 9112, section 6.
    fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(_), Some(_)) => Err(Refusal::bad("both Transfer-Encoding and Content-Length")),
            (Some(_), None) if version == Version::Http10 => Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Unknown(_)), None) => Err(Refusal::with(NOT_IMPLEMENTED, "unknown transfer coding")),
            (Some(Coding::Invalid), None) => Err(Refusal::bad("malformed Transfer-Encoding")),
        }
    }

    fn take(&mut self, field: &Header<'_>) -> Result<(), Refusal> {
        let named = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            4 if named("host") => {
                self.hosts += 1;
                if self.hosts > 1 {
                    return Err(Refusal::bad("more than one Host field"));
                }
                if !target::is_authority(field.value, PortRule::Optional) {
                    return Err(Refusal::bad("malformed Host field"));
                }
            }
            6 if named("expect") => {
                for expectation in list(field.value).filter(|expectation| !expectation.is_empty()) {
                    let known = expectation.eq_ignore_ascii_case(b"100-continue");
                    self.expects_continue |= known;
                    self.unmet_expectation |= !known;
                }
            }
            10 if named("connection") => {
                for option in list(field.value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if named("content-length") => {
                if self.content_length.is_some() {
                    return Err(Refusal::bad("more than one Content-Length field"));
                }
                self.content_length = Some(content_length(field.value)?);
            }
            17 if named("transfer-encoding") => {
                // A second field line continues the list (RFC 9110, section 5.3).
                self.transfer_encoding = Some(coding(self.transfer_encoding, field.value));
            }
            _ => {}
        }
        Ok(())
    }
}

/// `None` if the table is too small.
fn read_fields<'a>(text: &'a [u8], limits: &Limits, table: &mut [Header<'a>]) -> Option<Result<Facts, Refusal>> {
    const MALFORMED: Refusal = Refusal::bad("malformed field line");
    let fields = match httparse::parse_headers(text, table) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Err(httparse::Error::TooManyHeaders) => return None,
        Ok(httparse::Status::Partial) | Err(_) => return Some(Err(MALFORMED)),
    };
    if fields.len() > limits.fields {
        return Some(Err(Refusal::with(FIELDS_TOO_LARGE, "too many fields")));
    }
    let mut facts = Facts::default();
    Some(fields.iter().try_for_each(|field| facts.take(field)).map(|()| facts))
}

/// Digits only, with a value that fits in 63 bits, so that no later addition overflows.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    const MALFORMED: Refusal = Refusal::bad("malformed Content-Length");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let text = std::str::from_utf8(value).map_err(|_| MALFORMED)?;
    text.parse()
        .ok()
        .filter(|length| *length <= u64::MAX >> 1)
        .ok_or(MALFORMED)
}

/// Appends to the list of codings from the earlier field lines.
fn coding(before: Option<Coding>, value: &[u8]) -> Coding {
    let (mut chunked, mut unknown) = match before {
        None => (false, false),
        Some(Coding::Chunked) => (true, false),
        Some(Coding::Unknown(last)) => (last == Last::Chunked, true),
        Some(Coding::Invalid) => return Coding::Invalid,
    };
    for name in list(value) {
        if chunked || name.is_empty() || class::run(name, TOKEN) < name.len() {
            return Coding::Invalid;
        }
        if name.eq_ignore_ascii_case(b"chunked") {
            chunked = true;
        } else {
            unknown = true;
        }
    }
    match (unknown, chunked) {
        (false, _) => Coding::Chunked,
        (true, true) => Coding::Unknown(Last::Chunked),
        (true, false) => Coding::Unknown(Last::Other),
    }
}

/// The elements of a comma-separated list, without the white space around them.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
