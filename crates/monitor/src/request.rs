//! Heads of requests, without I/O: where one ends, and what it asks for.
//!
//! The resources take no bodies and no options, so a head is read for four things: the path, whether only a head is wanted, the
//! version, and whether the connection persists. What makes the end of a request doubtful is refused (RFC 9112): a line without CR,
//! a body, several `Host` fields.

use httparse::{EMPTY_HEADER, Error, Status};

use crate::resource::{self, Resource};

/// Bytes of a head. Beyond: 431.
pub(crate) const MAX_HEAD: usize = 4096;

/// Fields of a head. Beyond: 431.
const MAX_FIELDS: usize = 64;

/// A well-formed request for something that there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) resource: &'static Resource,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// What becomes of the connection after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

/// A request that is refused; the connection is closed after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Code and reason phrase.
    pub(crate) status: &'static str,
    /// Whole field lines, or nothing.
    pub(crate) fields: &'static str,
    /// The body.
    pub(crate) why: &'static str,
}

impl Refusal {
    const fn new(status: &'static str, why: &'static str) -> Refusal {
        Refusal {
            status,
            fields: "",
            why,
        }
    }

    const fn bad(why: &'static str) -> Refusal {
        Refusal::new("400 Bad Request", why)
    }

    /// The head did not come in time.
    pub(crate) const LATE: Refusal = Refusal::new("408 Request Timeout", "the head took too long\n");

    /// There are as many subscribers as there may be.
    pub(crate) const FULL: Refusal = Refusal {
        status: "503 Service Unavailable",
        fields: "Retry-After: 10\r\n",
        why: "there are as many subscribers as this daemon takes\n",
    };
}

const TOO_LARGE: Refusal = Refusal::new("431 Request Header Fields Too Large", "the head is too large\n");
const NOT_FOUND: Refusal = Refusal::new("404 Not Found", "there are /sample, /stream and /metrics\n");
const NOT_ALLOWED: Refusal = Refusal {
    status: "405 Method Not Allowed",
    fields: "Allow: GET, HEAD\r\n",
    why: "use GET or HEAD\n",
};
const VERSION: Refusal = Refusal::new("505 HTTP Version Not Supported", "only HTTP/1.x is spoken here\n");

/// What [`next`] found at the start of the input.
#[derive(Debug)]
pub(crate) enum Found {
    /// The head is not complete.
    Partial,
    /// A request, whose head has so many bytes.
    Request(Request, usize),
    /// It is refused, and where the next request would begin does not matter.
    Refused(Refusal),
}

/// Reads the request that the input starts with. The result does not depend on how the input was cut.
pub(crate) fn next(input: &[u8]) -> Found {
    let end = match head_end(input) {
        Ok(Some(end)) => end,
        Ok(None) => return Found::Partial,
        Err(refusal) => return Found::Refused(refusal),
    };
    match parse(&input[..end]) {
        Ok(request) => Found::Request(request, end),
        Err(refusal) => Found::Refused(refusal),
    }
}

/// What a request asks for, of which the beginning is given: the reply to HEAD has no body, whatever it says.
pub(crate) fn method_of(input: &[u8]) -> Method {
    if input.trim_ascii_start().starts_with(b"HEAD ") {
        Method::Head
    } else {
        Method::Get
    }
}

/// Where the head ends, after the empty line. An empty line before the request is no end (RFC 9112, section 2.2).
fn head_end(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut line = 0;
    let mut has_request_line = false;
    for (at, _) in input
        .iter()
        .enumerate()
        .take(MAX_HEAD)
        .filter(|(_, byte)| **byte == b'\n')
    {
        if at == line || input[at - 1] != b'\r' {
            return Err(Refusal::bad("a line of the head ends without CR\n"));
        }
        let is_empty = at == line + 1;
        if is_empty && has_request_line {
            return Ok(Some(at + 1));
        }
        has_request_line |= !is_empty;
        line = at + 1;
    }
    if input.len() >= MAX_HEAD {
        Err(TOO_LARGE)
    } else {
        Ok(None)
    }
}

fn parse(head: &[u8]) -> Result<Request, Refusal> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Refusal::bad("malformed head\n")),
        Err(Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(Error::Version) => return Err(VERSION),
        Err(_) => return Err(Refusal::bad("malformed head\n")),
    }
    let version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let mut hosts = 0;
    let mut after = match version {
        Version::Http10 => After::Close,
        Version::Http11 => After::Keep,
    };
    for field in request.headers.iter() {
        let named = |name: &str| field.name.eq_ignore_ascii_case(name);
        if named("host") {
            hosts += 1;
        } else if named("transfer-encoding")
            || (named("content-length") && field.value.iter().any(|&byte| byte != b'0'))
        {
            return Err(Refusal::bad("a request has no body here\n"));
        } else if named("connection") {
            let mut options = field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            if options.any(|option| option.eq_ignore_ascii_case(b"close")) {
                after = After::Close;
            }
        }
    }
    if hosts > 1 || (hosts == 0 && version == Version::Http11) {
        return Err(Refusal::bad("a request has one Host field\n"));
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(NOT_ALLOWED),
    };
    let resource = resource::at(path(request.path.unwrap_or_default())).ok_or(NOT_FOUND)?;
    Ok(Request {
        resource,
        method,
        version,
        after,
    })
}

/// The path of a target in origin form or absolute form, without its query.
fn path(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    };
    target.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(input: &str) -> String {
        match next(input.as_bytes()) {
            Found::Partial => "partial".to_owned(),
            Found::Request(request, end) => {
                assert_eq!(end, input.len());
                format!("{} {:?} {:?}", request.resource.path, request.method, request.after)
            }
            Found::Refused(refusal) => refusal.status.split(' ').next().expect("a code").to_owned(),
        }
    }

    #[test]
    fn requests_are_read_as_the_rfc_has_them() {
        for (input, wanted) in [
            ("GET /sample HTTP/1.1\r\nHost: a\r\n\r\n", "/sample Get Keep"),
            ("\r\nGET /sample HTTP/1.1\r\nHost: a\r\n\r\n", "/sample Get Keep"),
            ("HEAD /metrics?x=1 HTTP/1.1\r\nhOST: a\r\n\r\n", "/metrics Head Keep"),
            ("GET http://a/stream HTTP/1.1\r\nHost: a\r\n\r\n", "/stream Get Keep"),
            (
                "GET /sample HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
                "/sample Get Close",
            ),
            ("GET /sample HTTP/1.0\r\n\r\n", "/sample Get Close"),
            (
                "GET /sample HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                "/sample Get Keep",
            ),
            ("GET /sample HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "400"),
            (
                "GET /sample HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                "400",
            ),
            ("GET /sample HTTP/1.1\r\n\r\n", "400"),
            ("GET /sample HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
            ("GET /sample HTTP/1.1\nHost: a\n\n", "400"),
            ("\n", "400"),
            ("GET /sample HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
            ("GET  /sample HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET /sample HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
            ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
            ("GET /sample/ HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
            ("POST /sample HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
            ("get /sample HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ] {
            assert_eq!(status(input), wanted, "{input:?}");
        }
    }

    #[test]
    fn every_beginning_of_a_head_is_partial() {
        let whole = "GET /sample HTTP/1.1\r\nHost: a\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(status(&whole[..length]), "partial", "{length}");
        }
    }

    #[test]
    fn a_head_has_a_largest_size_and_number_of_fields() {
        let head = |fields: &str| format!("GET /sample HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let fixed = head("X: \r\n").len();
        assert_eq!(
            status(&head(&format!("X: {}\r\n", "x".repeat(MAX_HEAD - fixed)))),
            "/sample Get Keep"
        );
        assert_eq!(
            status(&head(&format!("X: {}\r\n", "x".repeat(MAX_HEAD - fixed + 1)))),
            "431"
        );
        assert_eq!(status(&"x".repeat(MAX_HEAD)), "431");
        assert_eq!(status(&"x".repeat(MAX_HEAD - 1)), "partial");
        assert_eq!(status(&head(&"X: 1\r\n".repeat(MAX_FIELDS - 1))), "/sample Get Keep");
        assert_eq!(status(&head(&"X: 1\r\n".repeat(MAX_FIELDS))), "431");
    }

    #[test]
    fn the_second_of_two_requests_begins_where_the_first_ends() {
        let one = "GET /sample HTTP/1.1\r\nHost: a\r\n\r\n";
        let two = format!("{one}{one}");
        assert!(matches!(next(two.as_bytes()), Found::Request(_, end) if end == one.len()));
    }
}
